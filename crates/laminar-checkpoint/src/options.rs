//! Settings, checked once when a directory is opened.

use std::time::Duration;

use laminar_vfs::{Env, ReadMode};

use crate::{Error, Result};

/// How much of a checkpoint is checked before it is taken for valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Verify {
    /// The MANIFEST, the length of every file, and every header and footer: the same cost at any size. Of a run that is open already, through
    /// another checkpoint of the same manager, only the length. Blocks are verified when they are touched first. The default.
    #[default]
    Footers,
    /// Every byte of every file.
    All,
}

const DEFAULT_PART_BYTES: u64 = 128 << 20;

/// How checkpoints are made and opened.
///
/// ```
/// use std::time::Duration;
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions};
/// # let scratch = tempfile::tempdir()?;
/// let options = CheckpointOptions::new().interval(Duration::from_secs(5)).max_retained(3);
/// let manager = CheckpointManager::open(scratch.path(), options)?;
/// assert_eq!(manager.max_retained(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct CheckpointOptions {
    pub(crate) env: Env,
    pub(crate) interval: Duration,
    pub(crate) max_retained: usize,
    pub(crate) lineage: u128,
    pub(crate) hash_seed: Option<u64>,
    pub(crate) read_mode: ReadMode,
    pub(crate) hold_lock: bool,
    pub(crate) verify: Verify,
    pub(crate) read_back: bool,
    pub(crate) part_bytes: u64,
    pub(crate) value_alignment: usize,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl CheckpointOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Env::real())
    }

    /// The defaults on another machine than this one; nothing of this one is asked for.
    #[must_use]
    pub fn on(env: Env) -> Self {
        Self {
            env,
            interval: Duration::from_secs(60),
            max_retained: 2,
            lineage: 0,
            hash_seed: None,
            read_mode: ReadMode::default(),
            hold_lock: true,
            verify: Verify::default(),
            read_back: true,
            part_bytes: DEFAULT_PART_BYTES,
            value_alignment: 16,
        }
    }

    /// The disk, clock and threads to use. Default: those of this machine.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// How often a checkpoint is wanted; above zero. The manager only remembers it for whoever decides. Default: 60 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How many checkpoints to keep, at least 1. The manager only remembers it for whoever calls
    /// [`cleanup_old`](crate::CheckpointManager::cleanup_old). Default: 2, so that one bad checkpoint is not the end.
    #[must_use]
    pub fn max_retained(mut self, count: usize) -> Self {
        self.max_retained = count;
        self
    }

    /// What the checkpoints belong to, such as the id of a log. New ones carry it, and those of another lineage are
    /// refused as [`Error::Foreign`]. Default: 0, which accepts any and gives new ones 0.
    #[must_use]
    pub fn lineage(mut self, lineage: u128) -> Self {
        self.lineage = lineage;
        self
    }

    /// The seed of [`hash_key`](crate::hash_key) in new runs. Default: that of the base, or a random one.
    #[must_use]
    pub fn hash_seed(mut self, seed: u64) -> Self {
        self.hash_seed = Some(seed);
        self
    }

    /// Whether files are mapped or read into memory. Default: mapped.
    #[must_use]
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.read_mode = mode;
        self
    }

    /// Whether the directory's lock is held while a checkpoint is made and while old ones are removed. Default: yes. An
    /// owner above that holds a lock of its own can do without. Other managers don't see such an owner: in its directory they may read, while
    /// a [`sweep`](crate::CheckpointManager::sweep) of theirs would remove what it is writing.
    #[must_use]
    pub fn hold_lock(mut self, hold: bool) -> Self {
        self.hold_lock = hold;
        self
    }

    /// What [`open_newest_valid`](crate::CheckpointManager::open_newest_valid) and [`Checkpoint::open`](crate::Checkpoint::open)
    /// check. Default: [`Verify::Footers`].
    #[must_use]
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Whether every new file is read from disk again after its sync, before the checkpoint is published. Default: yes.
    /// A disk that lost a write is found out while what was to be written is still known.
    #[must_use]
    pub fn read_back(mut self, read_back: bool) -> Self {
        self.read_back = read_back;
        self
    }

    /// The least size of a part, at least 1 byte: where the oldest run is merged, it is cut into about four, or into fewer so that none but the
    /// last is smaller. A small one is quicker to read in one. Default: 128 MiB.
    #[must_use]
    pub fn part_bytes(mut self, bytes: u64) -> Self {
        self.part_bytes = bytes;
        self
    }

    /// The boundary, in bytes, that values in new runs begin on at least: a power of two, up to 16. Default: 16, which is enough for every archive.
    /// 8 is enough where no number of 128 bits is in the archives, nor anywhere behind their pointers, and 1 where values are bytes. Entries of the same
    /// lengths, key and value together rounded up to this, follow one another without a gap. Runs that are written already keep theirs until they are merged.
    #[must_use]
    pub fn value_alignment(mut self, bytes: usize) -> Self {
        self.value_alignment = bytes;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.max_retained == 0 {
            return Err(Error::InvalidOption { name: "max_retained", why: "at least one checkpoint must be kept" });
        }
        if self.part_bytes == 0 {
            return Err(Error::InvalidOption { name: "part_bytes", why: "it must be above zero" });
        }
        if ![1, 2, 4, 8, 16].contains(&self.value_alignment) {
            return Err(Error::InvalidOption { name: "value_alignment", why: "it must be a power of two, up to 16" });
        }
        if self.interval.is_zero() {
            return Err(Error::InvalidOption { name: "interval", why: "it must be above zero" });
        }
        Ok(())
    }
}
