//! What opening a log found at its end, and what it did about it.

use std::path::PathBuf;

use crate::Lsn;

/// How the log stood when it was opened. After [`Wal::open`](crate::Wal::open) everything up to `end` is durable.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// use laminar_wal::{Wal, WalOptions};
/// let (wal, report) = Wal::open(scratch.path(), WalOptions::new())?;
/// assert!(report.created && report.cut.is_none());
/// wal.close()?;
/// let (_, report) = Wal::open(scratch.path(), WalOptions::new())?;
/// assert!(report.clean);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TailReport {
    /// There was nothing, and a log was created.
    pub created: bool,
    /// The log was closed with [`Wal::close`](crate::Wal::close), or has just been created: nothing had to be recovered.
    pub clean: bool,
    /// Where the log ends: the end of its last whole batch.
    pub end: Lsn,
    /// How many segment files hold the log.
    pub segments: usize,
    /// What came after `end` and was cut off: bytes of an unfinished write, or records of an unfinished batch.
    pub cut: Option<Cut>,
    /// Whether the groups that the last sync acknowledged may be missing. After a stop without `close`, sectors that read as
    /// zero at the very end were either never written (and so never acknowledged), or have rotted to zero
    /// since; nothing on disk can tell. False only after a clean close.
    pub possibly_acknowledged: bool,
    /// How many bytes were written again so that what was recovered is durable.
    pub rewritten_bytes: u64,
    /// One of the two copies of the log's identity was damaged and has been written anew.
    pub healed: bool,
    /// A mark of a clean close was there but did not verify or did not fit; it was ignored.
    pub ignored_close: bool,
    /// How many unfinished files were removed.
    pub swept: usize,
    /// What was moved aside because [`RecoverTo::LastGood`](crate::RecoverTo::LastGood) was asked for.
    pub given_up: Option<GivenUp>,
    /// What earlier openings moved aside for that, and nobody has removed since: whoever gave up may have been killed before it said so.
    pub given_up_before: Vec<PathBuf>,
}

/// What recovery cut from the end of a log. None of it was ever acknowledged as durable, save for the doubt that
/// [`TailReport::possibly_acknowledged`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Where the log ends now.
    pub from: Lsn,
    /// How far past that anything had been written, in bytes.
    pub bytes: u64,
    /// A copy of the segment as it was, if any of the bytes stood in a file that was written anew. It stays until
    /// [`Wal::truncate_below`](crate::Wal::truncate_below) removes that segment from the log.
    pub kept_at: Option<PathBuf>,
}

/// What was given up on request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GivenUp {
    /// Everything before this position was kept.
    pub from: Lsn,
    /// No segment that was there begins at or past this position.
    pub to: Lsn,
    /// What was wrong.
    pub reason: String,
    /// Where the files were moved.
    pub files: Vec<PathBuf>,
}
