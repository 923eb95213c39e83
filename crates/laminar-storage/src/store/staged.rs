//! Changes on their way to the log: they wait here until there are a few KiB of them, at the latest until the commit.
//!
//! The log is shared with its own thread and with those who wait for commits, so an append takes a lock; and a lock waits until all
//! that the thread wrote before has left the processor, among it the table's cache misses. So it is taken once for many changes.

use laminar_wal::BatchPart;

use super::WalStateStore;
use crate::Result;

/// Records in a row.
#[derive(Debug)]
pub(crate) struct Staged {
    /// As long as may be staged, once there is something.
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
    capacity: usize,
}

impl Staged {
    /// What of the log's buffer may be staged beside it: 8 KiB where that has the usual size.
    const PART: usize = 128;

    pub(crate) fn new(buffer_bytes: usize) -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), capacity: buffer_bytes / Self::PART }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether a record of `len` bytes can be staged now.
    #[inline]
    pub(crate) fn has_room(&self, len: usize) -> bool {
        len <= self.capacity - self.used()
    }

    /// Stages a record of `len` bytes, which `fill` writes; there is room.
    #[inline]
    pub(crate) fn push(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) {
        self.bytes.resize(self.capacity, 0);
        let start = self.used();
        let Some(record) = self.bytes.get_mut(start..start + len) else { unreachable!("room was asked for") };
        fill(record);
        self.ends.push(start + len);
    }

    /// The records, in order.
    pub(crate) fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        let mut rest = self.bytes.as_slice();
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let (record, others) = rest.split_at(end - start);
            (rest, start) = (others, end);
            record
        })
    }

    /// They are in the log.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
    }

    #[inline]
    fn used(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
}

impl WalStateStore {
    /// Has the log take a record of `len` bytes that `fill` writes, at the latest with the commit. After an error it is not taken.
    #[inline]
    pub(super) fn log(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        if let Some(error) = self.wal.poisoned() {
            return Err(error.into());
        }
        if !self.staged.has_room(len) {
            self.log_staged()?;
        }
        if self.staged.has_room(len) {
            self.staged.push(len, fill);
            return Ok(());
        }
        let logged = self.wal.append_with(len, BatchPart::More, fill)?;
        self.first_change.get_or_insert(logged.start);
        Ok(())
    }

    /// Gives the log what is staged. After an error it is still staged.
    pub(super) fn log_staged(&mut self) -> Result<()> {
        if !self.staged.is_empty() {
            let logged = self.wal.append_row(self.staged.records(), BatchPart::More)?;
            self.first_change.get_or_insert(logged.start);
            self.staged.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in_and_none_twice() {
        let mut staged = Staged::new(64 * Staged::PART);
        for round in 0..3u8 {
            assert!(staged.is_empty() && staged.records().len() == 0);
            for len in [0, 1, 30, 33] {
                assert!(staged.has_room(len));
                staged.push(len, |into| into.fill(round));
            }
            assert!(staged.has_room(0) && !staged.has_room(1));
            let records: Vec<&[u8]> = staged.records().collect();
            assert_eq!(records.iter().map(|record| record.len()).collect::<Vec<_>>(), [0, 1, 30, 33]);
            assert!(records.concat().iter().all(|&byte| byte == round));
            staged.clear();
        }
        assert!(!staged.has_room(65));
    }
}
