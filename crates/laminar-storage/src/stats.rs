//! What a store tells those who watch it.

use laminar_checkpoint::{Checkpoint, Run};

use crate::{CheckpointInfo, LogStats, WalStateStore};

/// What [`WalStateStore::stats`] says of a store that is open: what it holds, and what it has done since it was opened.
///
/// ```
/// use laminar_storage::{StateStore, StoreOptions, WalStateStore};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let dir = scratch.path().join("state");
/// let (mut store, _) = WalStateStore::open(dir, StoreOptions::new())?;
/// store.put(b"a", b"1")?;
/// store.commit()?.wait()?;
/// store.checkpoint()?.wait()?;
/// store.commit()?; // takes the checkpoint into use
/// let stats = store.stats();
/// assert_eq!((stats.runs, stats.checkpoints_made), (1, 1));
/// assert!(stats.log.syncs > 0 && stats.last_checkpoint.is_some_and(|info| info.bytes_written > 0));
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreStats {
    /// What the log did since it was opened: records, groups, bytes, syncs and the waits that these served.
    pub log: LogStats,
    /// Bytes of log behind the attached checkpoint, as [`log_bytes_behind`](WalStateStore::log_bytes_behind) says: what a recovery would
    /// have to replay now.
    pub log_bytes_behind: u64,
    /// Entries of the table in memory, tombstones and what the sweep has not come to among them; the last few changes may be missing.
    pub table_entries: u64,
    /// Bytes of memory that the table uses.
    pub table_resident_bytes: u64,
    /// Runs of the attached checkpoint, the parts of the oldest as one, 16 at most but for those that one checkpoint added because of
    /// [`run_limits`](crate::StoreOptions::run_limits): what a look-up asks that misses the table and that no
    /// filter answers.
    pub runs: u64,
    /// Bytes of the files of these runs, all parts among them.
    pub run_bytes: u64,
    /// Entries of these runs, tombstones and what newer runs replace among them.
    pub run_entries: u64,
    /// Checkpoints that were made since the store was opened, and whose end a commit, or the next checkpoint, has seen.
    pub checkpoints_made: u64,
    /// The last of them: how long it took, what it wrote, what it merged.
    pub last_checkpoint: Option<CheckpointInfo>,
}

impl WalStateStore {
    /// Figures for those who watch the store. Costs a look at each run, and no lock that anybody holds for long: it may be asked for with
    /// every commit.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let runs = self.attached.as_ref().map(Checkpoint::runs).unwrap_or_default();
        let (table_entries, _) = self.table.about();
        let (checkpoints_made, last_checkpoint) = self.checkpointing.made();
        StoreStats {
            log: self.wal.stats(),
            log_bytes_behind: self.log_bytes_behind(),
            table_entries: table_entries as u64,
            table_resident_bytes: self.table.resident_bytes(),
            runs: self.attached.as_ref().map_or(0, Checkpoint::depth) as u64,
            run_bytes: runs.iter().map(Run::bytes).sum(),
            run_entries: runs.iter().map(Run::entries).sum(),
            checkpoints_made,
            last_checkpoint: last_checkpoint.cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use laminar_vfs::sim::SimDisk;

    use crate::{StateStore, StoreOptions, WalStateStore};

    #[test]
    fn figures_follow_what_is_done() {
        let disk = SimDisk::new(1);
        let open = || WalStateStore::open("/store", StoreOptions::new().env(disk.env())).unwrap().0;
        let mut store = open();
        let none = store.stats();
        assert_eq!((none.table_entries, none.runs, none.run_entries, none.checkpoints_made), (0, 0, 0, 0));
        assert!(none.last_checkpoint.is_none());
        for key in 0..100u32 {
            store.put(&key.to_le_bytes(), b"value").unwrap();
        }
        store.commit().unwrap().wait().unwrap();
        let put = store.stats();
        // The operator's name is an entry too, and a commit a record.
        assert!((90..=101).contains(&put.table_entries) && put.table_resident_bytes > 0);
        assert_eq!((put.log.records, put.log.syncs > 0), (102, true));
        assert_eq!(put.log_bytes_behind, store.log_bytes_behind());
        let made = store.checkpoint().unwrap().wait().unwrap();
        assert_eq!(store.stats().checkpoints_made, 0, "no commit has seen it");
        store.commit().unwrap();
        let stats = store.stats();
        assert_eq!((stats.checkpoints_made, stats.last_checkpoint.as_ref()), (1, Some(&made)));
        assert_eq!((stats.runs, stats.run_entries), (1, 101));
        assert!(stats.run_bytes > 0 && stats.log_bytes_behind < put.log_bytes_behind);
        drop(store);
        let again = open().stats();
        assert_eq!((again.runs, again.run_entries, again.checkpoints_made), (1, 101, 0));
        assert!(again.log.records < 3 && again.last_checkpoint.is_none());
    }

    #[test]
    fn a_checkpoint_that_failed_is_none_that_was_made() {
        let disk = SimDisk::new(1);
        let (mut store, _) = WalStateStore::open("/store", StoreOptions::new().env(disk.env())).unwrap();
        store.put(b"a", b"1").unwrap();
        store.commit().unwrap().wait().unwrap();
        disk.set_space(Some(disk.used_bytes()));
        assert!(store.checkpoint().unwrap().wait().is_err());
        disk.set_space(None);
        store.commit().unwrap();
        assert_eq!((store.stats().checkpoints_made, store.stats().runs), (0, 0));
        assert!(store.take_upkeep_error().is_some());
    }
}
