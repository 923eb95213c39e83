//! The failing calls of one process, on a disk that outlives it: what was asked for, and whether any has failed.

use laminar_vfs::Op as DiskOp;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};

/// The faults since the process began.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    /// How many calls had failed before.
    before: u64,
    /// A call was asked to fail in any way, not only refused for want of space.
    pub(crate) not_only_full: bool,
    /// The disk is full until the next operation is done.
    is_full: bool,
}

impl Failing {
    /// A process that begins on this disk.
    pub(crate) fn since(disk: &SimDisk) -> Self {
        Self { before: disk.faults_struck(), ..Self::default() }
    }

    /// Lets a call fail.
    pub(crate) fn fail(&mut self, disk: &SimDisk, fault: Fault) {
        disk.fail(fault);
        self.not_only_full = true;
    }

    /// Lets all writes be refused, but the first so many, until the next operation is done.
    pub(crate) fn fill(&mut self, disk: &SimDisk, writes: u8) {
        disk.fail(Fault::new(FaultKind::NoSpace).on(DiskOp::Write).after(u64::from(writes)).sticky());
        self.is_full = true;
    }

    /// An operation is done: there is space again, and with it no other call fails any more.
    pub(crate) fn empty(&mut self, disk: &SimDisk) {
        if std::mem::take(&mut self.is_full) {
            disk.clear_faults();
        }
    }

    /// Whether a call of this process has failed.
    pub(crate) fn is_struck(&self, disk: &SimDisk) -> bool {
        disk.faults_struck() > self.before
    }
}
