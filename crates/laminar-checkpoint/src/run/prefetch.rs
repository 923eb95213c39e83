//! Fetches what a look-up by hash will wait for into the processor's cache, in steps: first the lines that tell where a key lies, then, once they
//! are there, what they point to. Only blocks that were verified before are looked at, so nothing is read by a call.

use laminar_vfs::prefetch;

use super::file::RunFile;
use super::find::Start;
use crate::filter;
use crate::format::bytes::index32;
use crate::hash::{LINE, line_of, matches};
use crate::key::Key;

impl Start<'_> {
    /// The bucket: first step where nothing lies below, else the second.
    pub(crate) fn prefetch(&self) {
        self.bucket.into_iter().for_each(|bucket| prefetch(bucket));
    }

    /// Second step: the cell that the bucket names for a hash, if it names one.
    fn cell(&self, hash: u64) -> Option<usize> {
        self.bucket.and_then(|bucket| matches(bucket, hash).next_cell(bucket))
    }
}

impl RunFile {
    /// First step, where another run lies below: the line of the filter.
    pub(crate) fn prefetch_filter(&self, hash: u64, key: Key<'_>) {
        self.known_filter_line(hash, key).into_iter().for_each(|line| prefetch(line));
    }

    /// Second step: where to look for the key, if the filter's line allows the hash. The bucket is to be fetched, and the entry in a third step.
    pub(crate) fn start_if_allowed(&self, hash: u64, key: Key<'_>) -> Option<Start<'_>> {
        self.known_filter_line(hash, key).filter(|line| filter::allows(line, hash))?;
        let (at, way) = self.way_to(key)?;
        Some(self.start_at(at, way, hash))
    }

    /// The step behind the bucket: the entry.
    pub(crate) fn prefetch_entry(&self, start: &Start<'_>, hash: u64) {
        prefetch(self.memory_ahead(start, hash));
    }

    /// Where the entry seems to lie to which `start` leads; nothing where there seems to be none, or its block was not verified.
    pub(super) fn memory_ahead(&self, start: &Start<'_>, hash: u64) -> &[u8] {
        start.cell(hash).map_or(&[], |cell| self.pages.whole().memory(start.way, cell))
    }

    fn known_filter_line(&self, hash: u64, key: Key<'_>) -> Option<&[u8; LINE]> {
        let (_, way) = self.way_to(key).filter(|(_, way)| way.lines > 0)?;
        self.pages.whole().filter_line(way, index32(line_of(hash, way.lines)))
    }
}
