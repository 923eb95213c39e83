//! What an opening found and did.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use laminar_checkpoint::{Healed, PassedOver};
use laminar_wal::{Lsn, TailReport};

/// What [`WalStateStore::open`](crate::WalStateStore::open) found, did, and had to leave.
///
/// ```
/// use laminar_storage::{StoreOptions, WalStateStore};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let dir = scratch.path().join("state");
/// let (store, report) = WalStateStore::open(dir, StoreOptions::new())?;
/// assert!(report.created && !report.is_degraded());
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether there was nothing and a store was created.
    pub created: bool,
    /// The id of the checkpoint that recovery began with; `None`: it began with the first byte of the log.
    pub checkpoint: Option<u64>,
    /// Newer checkpoints that could not be used, newest first, each with the reason.
    pub passed_over: Vec<PassedOver>,
    /// What of the checkpoint was damaged and made good: blocks rebuilt from parity, and second copies of what describes it that
    /// had to stand in for the first. Blocks are looked at when they are first touched, or all at once with `Verify::All`.
    pub healed: Vec<Healed>,
    /// Whether one of the two copies of the store's identity is damaged.
    pub identity_degraded: bool,
    /// What became of the log's tail: what was cut, where the cut bytes are kept, whether they may have been acknowledged.
    pub tail: TailReport,
    /// The position from which the log was replayed.
    pub replayed_from: Lsn,
    /// Puts and deletes replayed.
    pub records_replayed: u64,
    /// Commits replayed.
    pub commits_replayed: u64,
    /// The source offsets of the last commit: where each source has to be read on from.
    pub source_offsets: BTreeMap<String, u64>,
    /// The log that was given up because it ends before the checkpoint does; only with `RecoverTo::LastGood`.
    pub log_given_up: Option<PathBuf>,
    /// Logs that earlier openings gave up for that, and nobody has removed since: whoever gave up may have been killed before it said so.
    /// Of a log that was given up in part, [`TailReport::given_up_before`] says the same.
    pub log_given_up_before: Vec<PathBuf>,
    /// How long it took.
    pub duration: Duration,
}

impl RecoveryReport {
    /// Bytes of the log's tail that were cut since they were never acknowledged, or only possibly so.
    #[must_use]
    pub fn bytes_cut(&self) -> u64 {
        self.tail.cut.as_ref().map_or(0, |cut| cut.bytes)
    }

    /// Where cut bytes are kept.
    #[must_use]
    pub fn cut_kept_at(&self) -> Option<&std::path::Path> {
        self.tail.cut.as_ref().and_then(|cut| cut.kept_at.as_deref())
    }

    /// Whether anything was found damaged: a checkpoint passed over, a block healed, log given up on request. The state is whole all
    /// the same, unless log was given up.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        !self.passed_over.is_empty()
            || !self.healed.is_empty()
            || self.identity_degraded
            || self.log_given_up.is_some()
            || self.tail.given_up.is_some()
            || self.tail.healed
    }
}
