//! What can be chosen about a store, with defaults and ranges.

use std::time::Duration;

use laminar_checkpoint::Verify;
use laminar_vfs::{Env, ReadMode};
use laminar_wal::{RecoverTo, SyncPolicy, WalOptions};

use crate::table::SMALL_BYTES;
use crate::{Error, Result};

/// What entries of a table can take at most, in bytes.
const MAX_TABLE_BYTES: u64 = 63 << 30;

/// How a store is opened. Values are checked in `open`.
///
/// ```
/// use laminar_storage::{StoreOptions, SyncPolicy};
/// let options = StoreOptions::new().sync_policy(SyncPolicy::EveryCommit).segment_bytes(64 << 20);
/// ```
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(crate) env: Env,
    pub(crate) segment_bytes: u64,
    pub(crate) buffer_bytes: usize,
    pub(crate) sync_policy: SyncPolicy,
    pub(crate) recover_to: RecoverTo,
    pub(crate) verify: Verify,
    pub(crate) read_mode: ReadMode,
    pub(crate) create: bool,
    pub(crate) checkpoint_interval: Option<Duration>,
    pub(crate) checkpoint_log_bytes: u64,
    pub(crate) max_retained: usize,
    pub(crate) run_log_bytes: u64,
    pub(crate) run_records: usize,
    pub(crate) part_bytes: u64,
    pub(crate) value_alignment: usize,
    pub(crate) memory_budget: Option<u64>,
    pub(crate) table_limit_bytes: u64,
    pub(crate) small_table_bytes: u64,
}

impl StoreOptions {
    /// The defaults: the real machine, commits handed to the operating system, no periodic checkpoints.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Env::real())
    }

    /// The defaults on another machine than this one; nothing of this one is asked for.
    #[must_use]
    pub fn on(env: Env) -> Self {
        Self {
            env,
            segment_bytes: 16 << 20,
            buffer_bytes: 1 << 20,
            sync_policy: SyncPolicy::Manual,
            recover_to: RecoverTo::Whole,
            verify: Verify::Footers,
            read_mode: ReadMode::Mapped,
            create: true,
            checkpoint_interval: None,
            checkpoint_log_bytes: 256 << 20,
            max_retained: 2,
            run_log_bytes: 2 << 30,
            run_records: 16 << 20,
            part_bytes: 128 << 20,
            value_alignment: 16,
            memory_budget: None,
            table_limit_bytes: MAX_TABLE_BYTES,
            small_table_bytes: SMALL_BYTES,
        }
    }

    /// The machine that the store runs on; replaced to run it on a simulated disk.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// Bytes of a log segment: how much of the log is created at a time and removed at a time. Default 16 MiB; a multiple of 4096 from
    /// 12 KiB to 1 GiB. An existing log keeps the size it was created with.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Bytes of the log's buffer: changes are handed to the operating system when it fills, at the latest by
    /// `commit`. Default 1 MiB; from 4 KiB to 256 MiB.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// When commits are made durable without being asked for. Default [`SyncPolicy::Manual`]: a commit survives the
    /// death of the process when `commit` returns, and a power cut when its ticket has been waited for.
    #[must_use]
    pub fn sync_policy(mut self, policy: SyncPolicy) -> Self {
        self.sync_policy = policy;
        self
    }

    /// What happens if acknowledged bytes are damaged. Default [`RecoverTo::Whole`]: `open` fails and changes nothing.
    #[must_use]
    pub fn recover_to(mut self, recover_to: RecoverTo) -> Self {
        self.recover_to = recover_to;
        self
    }

    /// What of a checkpoint is verified before it is used. Default [`Verify::Footers`], whose cost does not grow with the state;
    /// every block is verified on first touch all the same. `Verify::All` reads everything first.
    ///
    /// The difference shows where more of a run is damaged than its parity makes good. `Verify::All` finds it while there is a choice, and
    /// passes the checkpoint over for an older one and more log. With `Verify::Footers` the checkpoint is in use by the time a read
    /// comes to the damage: that read, and every later one that needs the block, is an error that names it, and all else stays readable. The
    /// store does not change to another checkpoint then, since values of this one may be borrowed, and later changes stand on it; nor does
    /// a checkpoint hide the damage: one that is made takes the run over as it is, and a merge of it fails. Opened again with
    /// `Verify::All` it falls back.
    #[must_use]
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// How runs get into memory. Default [`ReadMode::Mapped`].
    #[must_use]
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.read_mode = mode;
        self
    }

    /// Whether a store is created where there is nothing. Default `true`.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Periodic checkpoints, as [`WalStateStore::enable_checkpointing`](crate::WalStateStore::enable_checkpointing) sets them.
    /// Default: none.
    #[must_use]
    pub fn checkpoint_interval(mut self, interval: Duration) -> Self {
        self.checkpoint_interval = Some(interval);
        self
    }

    /// With periodic checkpoints, one is also due after this many bytes of log, so that recovery has no more than about this
    /// much to replay. Default 256 MiB, at least 4 KiB.
    #[must_use]
    pub fn checkpoint_log_bytes(mut self, bytes: u64) -> Self {
        self.checkpoint_log_bytes = bytes;
        self
    }

    /// How many checkpoints are kept. Default 2, at least 2, so that a damaged one is not the end.
    #[must_use]
    pub fn max_retained(mut self, count: usize) -> Self {
        self.max_retained = count;
        self
    }

    /// The most bytes of log, and the most records, that go into one run of a checkpoint; a longer stretch becomes several runs. Of a key that
    /// comes again soon only one record counts. Default 2 GiB and 16 Mi records; at least 1 each (a commit is never split).
    ///
    /// The records bound the memory of a checkpoint:
    /// - 24 bytes for each one that counts, and those of one segment of log again;
    /// - up to 20 MiB to sort them;
    /// - up to 5 MiB of records that are read ahead;
    /// - some 20 MiB of a run that wait to be written, more with values of MiBs, and 1 MiB for each further part of it.
    ///
    /// A merge under way has as much of these again. The bytes of log bound what the system's page cache should have room for: the records of a run are
    /// read from all over it.
    #[must_use]
    pub fn run_limits(mut self, log_bytes: u64, records: usize) -> Self {
        self.run_log_bytes = log_bytes;
        self.run_records = records;
        self
    }

    /// The least size of a part: the oldest run of a checkpoint lies in about four files, one behind the other in the order of the keys, or in fewer
    /// so that none but the last is smaller than this. Merging goes by about half of it at a time, and only that half is there twice: with two
    /// checkpoints kept, a large state takes at most about two times and a half its size. Default 128 MiB, at least 1 byte.
    #[must_use]
    pub fn part_bytes(mut self, bytes: u64) -> Self {
        self.part_bytes = bytes;
        self
    }

    /// The boundary, in bytes, that values begin on at least where they are read from a checkpoint: a power of two, up to 16. Default 16, which is
    /// enough for every archive that rkyv makes. 8 is enough where no number of 128 bits is in the archives, nor anywhere behind their pointers, and 1 where
    /// values are bytes; with 16-byte keys and 100-byte values an entry then takes 8 bytes less on disk. What a checkpoint holds already keeps its place until it
    /// is merged, so a store whose values are going to need more is opened with more from the first on. In memory values begin on multiples of 16 always.
    ///
    /// ```
    /// use laminar_storage::{StateStore, StoreOptions, WalStateStore};
    /// # let scratch = tempfile::tempdir()?;
    /// // Counts are archives of one number of 64 bits.
    /// let (mut store, _) = WalStateStore::open(scratch.path(), StoreOptions::new().value_alignment(8))?;
    /// for flight in 0..1000_u32 {
    ///     store.put(&flight.to_le_bytes(), &rkyv::to_bytes::<rkyv::rancor::Error>(&u64::from(flight))?)?;
    /// }
    /// store.commit()?;
    /// store.checkpoint()?.wait()?;
    /// # drop(store);
    /// # let (store, _) = WalStateStore::open(scratch.path(), StoreOptions::new())?;
    /// let count = store.get(&7_u32.to_le_bytes())?.unwrap();
    /// assert_eq!(*rkyv::access::<rkyv::Archived<u64>, rkyv::rancor::Error>(count)?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn value_alignment(mut self, bytes: usize) -> Self {
        self.value_alignment = bytes;
        self
    }

    /// The most bytes of memory that the table may hold on to. Above it, entries that the attached checkpoint holds too leave the
    /// table and are read from there; with periodic checkpoints, one is due after a quarter of this in bytes of log; and a recovery
    /// that would replay more log than this turns it into a checkpoint first. The table exceeds the budget as long as no checkpoint
    /// covers what is in it; where it takes half as much again while a checkpoint is being made, a commit waits for that one, so
    /// that a writer is never further ahead than that and what it puts between two commits. Default: none, everything written since the store was opened stays. At least 1 MiB.
    #[must_use]
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// The most bytes of memory that entries of the table may take, to within 4 MiB. A change for which there may be no room is refused with
    /// [`TableFull`](Error::TableFull) before it is logged; room comes back as a checkpoint covers entries, where there is a
    /// [`memory_budget`](Self::memory_budget). A recovery that has more to replay fails with the same error: open with a higher limit,
    /// or with a memory budget below what there is to replay. A delete takes room until it is swept, also of a key that is not there. What fits into the room of what it replaces, as the
    /// delete of a key that is in memory does, is never refused. From 8 MiB to 63 GiB, which is the default.
    #[must_use]
    pub fn table_limit_bytes(mut self, bytes: u64) -> Self {
        self.table_limit_bytes = bytes;
        self
    }

    /// A table whose entries take less than this is small: the processor's caches hold most of it, and a change takes its place at once. In a larger one a change
    /// waits for one of the next four, while the memory where it belongs is fetched. That decides about speed alone. In bytes of memory, of all operators
    /// together, with what is free between entries; 0: no table is small; default 4 MiB.
    #[must_use]
    pub fn small_table_bytes(mut self, bytes: u64) -> Self {
        self.small_table_bytes = bytes;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let checks = [
            ("max_retained", self.max_retained >= 2, "at least 2"),
            ("checkpoint_log_bytes", self.checkpoint_log_bytes >= 4096, "at least 4096"),
            ("checkpoint_interval", self.checkpoint_interval != Some(Duration::ZERO), "above zero"),
            ("memory_budget", self.memory_budget.is_none_or(|bytes| bytes >= 1 << 20), "at least 1 MiB"),
            (
                "table_limit_bytes",
                (8 << 20..=MAX_TABLE_BYTES).contains(&self.table_limit_bytes),
                "from 8 MiB to 63 GiB",
            ),
            ("part_bytes", self.part_bytes >= 1, "at least 1"),
            ("value_alignment", [1, 2, 4, 8, 16].contains(&self.value_alignment), "a power of two, up to 16"),
            ("run_limits", self.run_log_bytes >= 1 && self.run_records >= 1, "at least 1 each"),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            Some((name, _, why)) => Err(Error::InvalidOption { name, why }),
            None => self.check_log(),
        }
    }

    fn check_log(&self) -> Result<()> {
        let log = WalOptions::on(self.env.clone()).segment_bytes(self.segment_bytes).buffer_bytes(self.buffer_bytes);
        log.sync_policy(self.sync_policy).check().map_err(|error| match error {
            laminar_wal::Error::InvalidOption { name, why } => Error::InvalidOption { name, why },
            error => error.into(),
        })
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::new()
    }
}
