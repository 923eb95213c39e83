//! What a check of every byte reports.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::report::Part;

/// How far a long piece of work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are done.
    pub done_bytes: u64,
    /// Bytes in all, as far as is known.
    pub total_bytes: u64,
}

/// What [`CheckpointManager::verify`](crate::CheckpointManager::verify) found.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create};
/// # let scratch = tempfile::tempdir()?;
/// # let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let checkpoint = manager.create(Create::new(1).entries([("a", Some("1"))]))?;
/// let report = manager.verify(checkpoint.id(), &mut |progress| {
///     assert!(progress.done_bytes <= progress.total_bytes);
/// })?;
/// assert!(report.is_whole());
/// assert_eq!((report.files, report.bytes), (2, checkpoint.bytes()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Everything that is not as it was written.
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// Whether every byte is as it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty()
    }

    /// Whether everything that was written can be read, by parity and second copies where need be.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.damage.iter().all(|damage| damage.is_healed)
    }
}

/// One damaged part of a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where the damaged part begins.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// What it is.
    pub part: Part,
    /// Whether reading makes it good.
    pub is_healed: bool,
    /// What is wrong.
    pub error: Error,
}

/// Gathers the report and tells how far it has come.
pub(crate) struct Findings<'p> {
    pub(crate) report: VerifyReport,
    total_bytes: u64,
    path: PathBuf,
    progress: &'p mut dyn FnMut(Progress),
}

impl<'p> Findings<'p> {
    pub(crate) fn new(total_bytes: u64, progress: &'p mut dyn FnMut(Progress)) -> Self {
        Self { report: VerifyReport::default(), total_bytes, path: PathBuf::new(), progress }
    }

    /// What follows is about this file.
    pub(crate) fn begin(&mut self, path: &Path) {
        self.path = path.to_owned();
        self.report.files += 1;
    }

    pub(crate) fn read(&mut self, bytes: u64) {
        self.report.bytes += bytes;
        (self.progress)(Progress {
            done_bytes: self.report.bytes,
            total_bytes: self.total_bytes.max(self.report.bytes),
        });
    }

    pub(crate) fn damage(&mut self, offset: u64, bytes: u64, part: Part, is_healed: bool, error: Error) {
        self.report.damage.push(Damage { path: self.path.clone(), offset, bytes, part, is_healed, error });
    }

    pub(crate) fn has_damage(&self, path: &Path) -> bool {
        self.report.damage.iter().any(|damage| damage.path == path)
    }
}
