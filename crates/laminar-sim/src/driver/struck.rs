//! The failing calls of one process: what was asked for, and what they may explain.

use laminar_storage::Error;
use laminar_vfs::Op as DiskOp;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};

use crate::Violation;
use crate::faults::{KINDS, cause};

/// The faults since the process began.
#[derive(Debug, Default)]
pub(super) struct Struck {
    /// How many calls had failed before.
    before: u64,
    /// A call was asked to fail, in whatever way: not only refused for want of space.
    has_failing: bool,
    /// The disk is full until the next operation is done.
    is_full: bool,
}

impl Struck {
    /// A process that begins on this disk.
    pub(super) fn since(disk: &SimDisk) -> Self {
        Self { before: disk.faults_struck(), ..Self::default() }
    }

    pub(super) fn fail(&mut self, disk: &SimDisk, after: u16, kind: u8, sticky: bool) {
        let (_, kind) = KINDS[usize::from(kind) % KINDS.len()];
        disk.fail_nth(u64::from(after), kind, sticky);
        self.has_failing = true;
    }

    pub(super) fn fill(&mut self, disk: &SimDisk, writes: u8) {
        disk.fail(Fault::new(FaultKind::NoSpace).on(DiskOp::Write).after(u64::from(writes)).sticky());
        self.is_full = true;
    }

    /// An operation is done: there is space again.
    pub(super) fn empty(&mut self, disk: &SimDisk) {
        if std::mem::take(&mut self.is_full) {
            disk.clear_faults();
        }
    }

    pub(super) fn is_struck(&self, disk: &SimDisk) -> bool {
        disk.faults_struck() > self.before
    }

    /// Whether a process that is killed may leave less than it handed over: after a failed sync the cache is not to be relied on.
    pub(super) fn may_lose(&self, disk: &SimDisk) -> bool {
        self.has_failing && self.is_struck(disk)
    }

    /// Whether an error is one that a failed call explains. A full disk refuses, and no more.
    pub(super) fn may_fail(&self, disk: &SimDisk, error: &Error) -> Result<(), Violation> {
        let is_typed = error.is_poisoned() || cause(error).is_some() || matches!(error, Error::NoCheckpoint { .. });
        if !is_typed || !self.is_struck(disk) {
            return Err(Violation::new(format!("an error that nothing explains: {error:?}")));
        }
        if !self.has_failing && !error.is_no_space() {
            return Err(Violation::new(format!("want of space is told as {error:?}")));
        }
        Ok(())
    }
}
