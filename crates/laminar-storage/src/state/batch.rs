//! Some keys, copied out of a store that is about to change.

use crate::Result;
use crate::state::Scan;

/// Bytes of keys that are collected before they are used: a few thousand keys, of which one scan more costs little.
const BATCH_BYTES: usize = 64 << 10;

/// Keys in a row, end to end.
#[derive(Debug, Default)]
pub(super) struct KeyBatch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyBatch {
    /// Takes the first keys of a scan, in place of those that it has. Says whether it left some.
    pub(super) fn fill(&mut self, scan: Scan<'_>) -> Result<bool> {
        self.bytes.clear();
        self.ends.clear();
        for entry in scan {
            let (key, _) = entry?;
            if self.bytes.len() >= BATCH_BYTES {
                return Ok(true);
            }
            self.bytes.extend_from_slice(key);
            self.ends.push(self.bytes.len());
        }
        Ok(false)
    }

    /// The keys, in the order of the scan.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).filter_map(|(&start, &end)| self.bytes.get(start..end))
    }
}
