//! What can be chosen when a log is opened, and whether the choice is legal.

use std::time::Duration;

use laminar_vfs::Env;

use crate::format::{GROUP_HEADER, PAGE, SECTOR};
use crate::{Error, LogId, Lsn, Result};

/// When what was appended becomes durable without anyone asking for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// [`commit`](crate::Wal::commit) returns when everything appended is durable. Segments are filled with zeros
    /// ahead of need, so that a sync has no file metadata to write.
    EveryCommit,
    /// The log syncs itself this long after the last sync, if anything was appended meanwhile; at least 1 ms.
    Interval(Duration),
    /// Nothing, but for the log's syncing behind a long run of writes ([`WalOptions::sync_behind_bytes`]).
    #[default]
    Manual,
}

/// Whether opening may create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CreateMode {
    /// A log is created where there is nothing, and opened where there is one.
    #[default]
    IfNothing,
    /// Nothing is created: [`Error::NothingThere`].
    Never,
    /// Nothing is opened: [`Error::AlreadyThere`].
    Only,
}

/// What to do about damage to bytes that were durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RecoverTo {
    /// It is an error, and no segment is changed.
    #[default]
    Whole,
    /// Every record is read and verified; the log ends at the last whole batch before the first damage, and what is
    /// damaged or comes after it is moved aside and reported ([`TailReport::given_up`](crate::TailReport)). Where only what lies before
    /// [`WalOptions::needed_from`] is damaged, the log begins behind it instead.
    LastGood,
}

/// How to open a log. [`Wal::open`](crate::Wal::open) checks the values.
///
/// ```
/// use laminar_wal::{SyncPolicy, WalOptions};
/// let options = WalOptions::new().segment_bytes(64 << 20).sync_policy(SyncPolicy::EveryCommit);
/// ```
#[derive(Debug, Clone)]
pub struct WalOptions {
    pub(crate) env: Env,
    pub(crate) segment_bytes: u64,
    pub(crate) buffer_bytes: usize,
    pub(crate) sync_policy: SyncPolicy,
    pub(crate) sync_behind_bytes: u64,
    pub(crate) idle_seal: Option<Duration>,
    pub(crate) log_id: Option<LogId>,
    pub(crate) start: Lsn,
    pub(crate) create: CreateMode,
    pub(crate) recover_to: RecoverTo,
    pub(crate) needed_from: Lsn,
}

impl WalOptions {
    /// The defaults: this machine, 16 MiB segments, a 1 MiB buffer, [`SyncPolicy::Manual`].
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
            sync_behind_bytes: 8 << 20,
            idle_seal: Some(Duration::from_millis(100)),
            log_id: None,
            start: Lsn::ZERO,
            create: CreateMode::IfNothing,
            recover_to: RecoverTo::Whole,
            needed_from: Lsn::ZERO,
        }
    }

    /// Disk, clock, randomness and threads; this machine's by default.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// Length of a segment file of a log that is created, in bytes: a multiple of 4096 from 12 KiB to 1 GiB, 16 MiB by
    /// default. A log that exists keeps the length that it was created with.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How many bytes are collected in memory before they are handed to the operating system unasked: 4 KiB to
    /// 256 MiB, 1 MiB by default. The log holds two such buffers, allocated as they fill.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// When the log syncs unasked; [`SyncPolicy::Manual`] by default.
    #[must_use]
    pub fn sync_policy(mut self, policy: SyncPolicy) -> Self {
        self.sync_policy = policy;
        self
    }

    /// How many bytes may be written but not synced before the log's thread syncs them, so that no later sync has
    /// much to do: at least 4 KiB, 8 MiB by default. In the last eighth of a segment that is at least so long, an eighth of it is enough.
    #[must_use]
    pub fn sync_behind_bytes(mut self, bytes: u64) -> Self {
        self.sync_behind_bytes = bytes;
        self
    }

    /// How long after the last sync an idle log writes a mark (512 bytes, not synced) which says what is durable, so
    /// that damage to the last group shows as damage. `None`: never. 100 ms by default.
    #[must_use]
    pub fn idle_seal(mut self, after: Option<Duration>) -> Self {
        self.idle_seal = after;
        self
    }

    /// The id that a log which exists must have, else [`Error::Foreign`]; a log that is created gets it. By default any
    /// id is opened, and a random one given.
    #[must_use]
    pub fn log_id(mut self, id: LogId) -> Self {
        self.log_id = Some(id);
        self
    }

    /// The position at which a log that is created starts: all its records come after it; at most 2^62, 0 by
    /// default. Ignored where a log exists.
    #[must_use]
    pub fn start(mut self, start: Lsn) -> Self {
        self.start = start;
        self
    }

    /// Whether opening may create; [`CreateMode::IfNothing`] by default.
    #[must_use]
    pub fn create(mut self, mode: CreateMode) -> Self {
        self.create = mode;
        self
    }

    /// What to do about damage; [`RecoverTo::Whole`] by default: an error.
    #[must_use]
    pub fn recover_to(mut self, recover_to: RecoverTo) -> Self {
        self.recover_to = recover_to;
        self
    }

    /// From which position on the log is needed, because everything before it is kept elsewhere: with [`RecoverTo::LastGood`] damage to
    /// segments that end before it gives up those segments, and what came before them, not what comes after. 0 by default.
    #[must_use]
    pub fn needed_from(mut self, lsn: Lsn) -> Self {
        self.needed_from = lsn;
        self
    }

    /// Says whether all of them are in their ranges, as [`Wal::open`](crate::Wal::open) does before anything else.
    ///
    /// # Errors
    /// [`InvalidOption`](Error::InvalidOption), which names the first that is not.
    pub fn check(&self) -> Result<()> {
        let invalid = |name, why| Err(Error::InvalidOption { name, why });
        if !(3 * PAGE..=1 << 30).contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(PAGE) {
            return invalid("segment_bytes", "must be a multiple of 4096 from 12 KiB to 1 GiB");
        }
        if !(4096..=256 << 20).contains(&self.buffer_bytes) {
            return invalid("buffer_bytes", "must be from 4 KiB to 256 MiB");
        }
        if self.sync_behind_bytes < PAGE {
            return invalid("sync_behind_bytes", "must be at least 4 KiB");
        }
        if matches!(self.sync_policy, SyncPolicy::Interval(every) if every < Duration::from_millis(1)) {
            return invalid("sync_policy", "the interval must be at least 1 ms");
        }
        if self.start.get() > 1 << 62 {
            return invalid("start", "must be at most 2^62");
        }
        Ok(())
    }
}

impl Default for WalOptions {
    fn default() -> Self {
        Self::new()
    }
}

// A group always has room for its header in a buffer of the smallest size.
const _: () = assert!(GROUP_HEADER < 4096 && SECTOR <= 4096);
