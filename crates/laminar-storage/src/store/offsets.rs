//! Source offsets: how far each source has been read, and what of that goes with the next commit.

use std::collections::BTreeMap;

use super::check;
use crate::format::{MAX_NAME_BYTES, MAX_OFFSET_BYTES, MAX_OFFSETS, offset_len};
use crate::{Result, WalStateStore};

/// What a limit is about, in an error.
const SET: &str = "set of source offsets";

/// The source offsets of a store.
#[derive(Debug)]
pub(crate) struct Offsets {
    /// As last set, committed or not.
    all: BTreeMap<String, u64>,
    /// Changed since the last commit; `None` for a name that was removed.
    fresh: BTreeMap<String, Option<u64>>,
    /// Bytes that all of them take in a commit record. A name that was removed counts until its removal is committed: so the record is
    /// within the limit whatever was set and removed for it.
    bytes: usize,
}

impl Offsets {
    /// What a recovery found.
    pub(crate) fn recovered(all: BTreeMap<String, u64>) -> Self {
        let bytes = all.keys().map(|name| offset_len(name)).sum();
        Self { all, fresh: BTreeMap::new(), bytes }
    }

    /// Changed since the last commit; `None` for a name that was removed.
    pub(crate) fn fresh(&self) -> &BTreeMap<String, Option<u64>> {
        &self.fresh
    }

    /// What was changed is committed.
    pub(crate) fn commit(&mut self) {
        let removed = self.fresh.iter().filter(|(_, offset)| offset.is_none());
        self.bytes -= removed.map(|(name, _)| offset_len(name)).sum::<usize>();
        self.fresh.clear();
    }

    fn set(&mut self, source: &str, offset: u64) -> Result<()> {
        check("name", source.len(), MAX_NAME_BYTES)?;
        if let (Some(known), Some(fresh)) = (self.all.get_mut(source), self.fresh.get_mut(source)) {
            (*known, *fresh) = (offset, Some(offset));
            return Ok(());
        }
        self.check_fresh(source)?;
        if !self.all.contains_key(source) && !self.fresh.contains_key(source) {
            let bytes = self.bytes + offset_len(source);
            check(SET, bytes, MAX_OFFSET_BYTES)?;
            self.bytes = bytes;
        }
        self.all.insert(source.to_owned(), offset);
        self.fresh.insert(source.to_owned(), Some(offset));
        Ok(())
    }

    fn remove(&mut self, source: &str) -> Result<bool> {
        if !self.all.contains_key(source) {
            return Ok(false);
        }
        self.check_fresh(source)?;
        self.all.remove(source);
        // Also of a name that no commit has yet: to know which those are would take a second set of them.
        self.fresh.insert(source.to_owned(), None);
        Ok(true)
    }

    /// Whether the next commit can take a change of this name.
    fn check_fresh(&self, source: &str) -> Result<()> {
        let others = self.fresh.len() - usize::from(self.fresh.contains_key(source));
        check(SET, others + 1, MAX_OFFSETS)
    }
}

impl WalStateStore {
    /// Notes how far a source has been read. Goes with the next commit, atomically with the changes made since the last one.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a name over 4 KiB, over a million names set or removed since the last commit, or names
    /// that come to more than 64 MiB in all, with 12 bytes for each; `Closed`.
    pub fn set_source_offset(&mut self, source: &str, offset: u64) -> Result<()> {
        self.check_open()?;
        self.offsets.set(source, offset)
    }

    /// Forgets a source that will not be read any more: a file that was rotated away, a partition that is gone. Goes with the next
    /// commit, as an offset that is set; from that commit on, the name no longer counts for the limit of
    /// [`set_source_offset`](Self::set_source_offset). False if there is no offset of this source.
    ///
    /// ```
    /// use laminar_storage::{StoreOptions, WalStateStore};
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let dir = scratch.path().join("state");
    /// let (mut store, _) = WalStateStore::open(&dir, StoreOptions::new())?;
    /// store.set_source_offset("orders.1", 9000)?;
    /// store.commit()?;
    /// store.remove_source_offset("orders.1")?;
    /// store.set_source_offset("orders.2", 0)?;
    /// store.commit()?;
    /// drop(store);
    ///
    /// let (store, _) = WalStateStore::open(&dir, StoreOptions::new())?;
    /// assert_eq!((store.source_offset("orders.1"), store.source_offset("orders.2")), (None, Some(0)));
    /// # Ok::<(), laminar_storage::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for over a million names set or removed since the last commit; `Closed`. Nothing changed.
    pub fn remove_source_offset(&mut self, source: &str) -> Result<bool> {
        self.check_open()?;
        self.offsets.remove(source)
    }

    /// How far a source has been read, as last set.
    #[must_use]
    pub fn source_offset(&self, source: &str) -> Option<u64> {
        self.offsets.all.get(source).copied()
    }

    /// All source offsets, as last set.
    #[must_use]
    pub fn source_offsets(&self) -> &BTreeMap<String, u64> {
        &self.offsets.all
    }
}
