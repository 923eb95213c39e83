//! A disk in memory that can lose power.
//!
//! [`SimDisk`] is a disk with a clock, random ids and inline workers beside it ([`SimDisk::env`]), on which code that
//! takes an [`Env`] runs as it does on a real one, deterministically and on one thread. What was synced is
//! kept apart from what was only written, so that [`SimDisk::crash`] yields a disk as a power cut may leave it:
//!
//! ```
//! use laminar_vfs::{OpenMode, publish, sim::SimDisk};
//! let disk = SimDisk::new(7);
//! let vfs = disk.env().vfs;
//! publish(&*vfs, "name".as_ref(), b"old").unwrap();
//! publish(&*vfs, "name".as_ref(), b"new").unwrap();
//! let file = vfs.open("scratch".as_ref(), OpenMode::CreateNew).unwrap();
//! file.write_all_at(b"never synced", 0).unwrap();
//! for seed in 0..100 {
//!     let after = disk.crash(seed);
//!     assert_eq!(after.read_file("name").unwrap(), b"new");
//! }
//! assert!(disk.crash_lose_all().read_file("scratch").is_err());
//! assert_eq!(disk.crash_keep_all().read_file("scratch").unwrap(), b"never synced");
//! ```
//!
//! # What a power cut may leave
//!
//! Every change since the last sync is a choice of its own, kept or lost; [`SimDisk::pending`] counts them, and
//! [`SimDisk::crash_with`] makes each one, so that all the states can be gone through.
//!
//! - **Bytes**: each 512-byte sector of each write. Of several writes to a sector the last that is kept shows, whole:
//!   the sector as the cache held it after that write. What was never kept reads as before the write, or as zero
//!   where there was nothing.
//! - **Lengths**: of each file the first so many of its changes. A length may be kept without the bytes, which then
//!   read as zero, and bytes without the length, which are then not part of the file.
//! - **Names**: each creation, link, rename and removal, of files and directories, until its directory is synced. A
//!   rename happens whole or not at all. A change is lost if one that it needs is: an earlier change of the same name;
//!   for the removal of a directory, what emptied it; for a move between directories, earlier creations and moves of
//!   directories. Nothing else is kept in order: a link may be lost although a later removal is kept.
//! - A **move between directories** needs a sync of both. After that of the target alone, a file may still have its
//!   old name too; after that of the source alone, all of it may be lost. A directory has its old name or its new one.
//! - `sync_data` makes bytes and length durable and no name; `sync_dir` makes names durable and no bytes.
//!
//! A process that is only killed loses nothing that it wrote ([`SimDisk::kill`]).
//!
//! # What goes wrong on request
//!
//! [`SimDisk::fail`] takes a [`Fault`]: an error, once or sticky, on the n-th call of a kind; torn and short
//! transfers; writes and syncs that the disk forgets, and writes that it puts elsewhere. A failed sync does what
//! Linux does: the changes it was to write count as written and are not, the next sync says OK, and reads show them
//! until the cache is dropped ([`VfsFile::evict`](crate::VfsFile::evict), [`SimDisk::drop_caches`]).
//! [`SimDisk::set_space`] makes the disk small. [`SimDisk::flip_bit`] and its neighbours damage what is at rest.
//!
//! # Speed
//!
//! Copies share all sectors until one is written, so [`SimDisk::fork`] and a crash take time by the number of files,
//! not of bytes, and zeros take no memory. Copies that two threads use at once also share reference counts: give
//! each thread a workload of its own.

use std::fmt;
use std::sync::Arc;

use crate::sync::Mutex;
use crate::{Env, Inline};

mod clock;
mod crash;
mod damage;
mod fault;
mod file;
mod fingerprint;
mod handle;
mod machine;
mod names;
mod page;
mod process;
mod random;
mod state;
#[cfg(test)]
mod tests;
mod tree;

pub use clock::SimClock;
pub use crash::Pending;
pub use fault::{Fault, FaultKind, is_gone};
pub use handle::MAX_FILE_BYTES;
pub use page::{PAGE_BYTES, SECTOR_BYTES};

pub use random::SimRandom;

use machine::Machine;
use process::Process;
use state::State;

struct Shared {
    machine: Mutex<Machine>,
    clock: Arc<SimClock>,
}

/// A simulated disk, held by the test; processes get at it through [`env`](Self::env).
///
/// A clone is the same disk; [`fork`](Self::fork) makes another one. All paths, also relative ones, begin at the
/// disk's root directory, which exists.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

impl SimDisk {
    /// An empty disk. The seed decides the ids of [`SimRandom`], and where faults that have a choice strike.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(State::new(seed), SimClock::new())
    }

    fn with(state: State, clock: SimClock) -> Self {
        let machine = Mutex::new(Machine::new(state));
        Self { shared: Arc::new(Shared { machine, clock: Arc::new(clock) }) }
    }

    /// The environment of a process that runs now, with workers of its own ([`Inline`]); it is dead after
    /// [`kill`](Self::kill). Several may run at once, and share the disk as processes of one machine do.
    #[must_use]
    pub fn env(&self) -> Env {
        self.env_and_workers().0
    }

    /// As [`env`](Self::env), with the workers, for whoever wants to step them.
    #[must_use]
    pub fn env_and_workers(&self) -> (Env, Inline) {
        let inline = Inline::new();
        let life = self.shared.machine.lock().life;
        let env = Env {
            vfs: Arc::new(Process { shared: Arc::clone(&self.shared), life }),
            clock: Arc::clone(&self.shared.clock) as _,
            random: Arc::new(SimRandom::new(Arc::clone(&self.shared))),
            spawn: Arc::new(inline.clone()),
        };
        (env, inline)
    }

    /// The clock of every environment of this disk.
    #[must_use]
    pub fn clock(&self) -> &SimClock {
        &self.shared.clock
    }

    /// Another disk in the same state, with both its views, as if no process ran on it: no faults, no locks, no open
    /// files, and counts that begin at 0.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut state = self.shared.machine.lock().state.clone();
        state.close_all();
        Self::with(state, self.shared.clock.copy())
    }

    /// Kills every process: what they wrote stays visible and stays unsynced, their locks are released, and whatever
    /// of them still runs gets errors ([`is_gone`]) from every call.
    pub fn kill(&self) {
        let mut machine = self.shared.machine.lock();
        machine.life += 1;
        machine.close_all();
        machine.stop_at = u64::MAX;
        machine.stop_at_change = u64::MAX;
    }

    /// How many calls processes have made, failed ones included, since this disk came to be.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.machine.lock().operations
    }

    /// The most files that processes had open at once since this disk came to be, locks among them. A mapping needs no
    /// open file.
    #[must_use]
    pub fn open_files_most(&self) -> u64 {
        self.shared.machine.lock().handles_most
    }

    /// How many of the [`operations`](Self::operations) could change what is on the disk, or what survives a power
    /// cut. Between two of these all crash states are the same.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shared.machine.lock().changes
    }

    /// Lets `operations` more calls happen, and stops the processes before the one after: it and all later ones have
    /// no effect and fail ([`is_gone`]), until [`kill`](Self::kill).
    pub fn stop_at(&self, operations: u64) {
        let mut machine = self.shared.machine.lock();
        machine.stop_at = machine.operations.saturating_add(operations);
    }

    /// As [`stop_at`](Self::stop_at), counting only [`changes`](Self::changes).
    pub fn stop_at_change(&self, changes: u64) {
        let mut machine = self.shared.machine.lock();
        machine.stop_at_change = machine.changes.saturating_add(changes);
    }

    /// Arms a fault. Of several that a call matches, the one armed first strikes.
    pub fn fail(&self, fault: Fault) {
        self.shared.machine.lock().faults.arm(fault);
    }

    /// Lets `operations` more calls happen and fails the one after, or from there on every one if `sticky`.
    pub fn fail_nth(&self, operations: u64, kind: FaultKind, sticky: bool) {
        let fault = Fault::new(kind).after(operations);
        self.fail(if sticky { fault.sticky() } else { fault });
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.shared.machine.lock().faults.clear();
    }

    /// How many calls were struck by a fault. A fault that can't apply to the call it met is spent without a strike.
    #[must_use]
    pub fn faults_struck(&self) -> u64 {
        self.shared.machine.lock().faults.struck
    }

    /// Sets how many bytes the disk has for the contents of files, in pages of 4 KiB, rounded down; `None` for no
    /// limit. Pages in use may be overwritten also on a full disk; holes take no space, and a file with several names
    /// takes its space once. Names and directories are free.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.shared.machine.lock().state.space_pages = bytes.map(|bytes| bytes / PAGE_BYTES as u64);
    }

    /// Bytes of space in use, in whole pages.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.shared.machine.lock().state.used_bytes()
    }

    /// Forgets all that the cache holds and that is not waiting to be written: after a failed sync or a lie of the
    /// disk, reads and names then show what is really there.
    pub fn drop_caches(&self) {
        self.shared.machine.lock().state.drop_caches();
    }

    /// A hash over every call so far with its arguments, the bytes written, and whether it succeeded. Equal runs have
    /// equal traces, on every machine.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.shared.machine.lock().trace
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.shared.machine.lock();
        f.debug_struct("SimDisk").field("operations", &machine.operations).finish_non_exhaustive()
    }
}
