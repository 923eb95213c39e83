//! The ticket of a checkpoint: how to wait for it, and how far it is.

use std::sync::{Arc, Weak};
use std::time::Duration;

use laminar_vfs::{Completion, Worker};
use laminar_wal::Lsn;

use crate::sync::{AtomicU8, AtomicU64, Ordering};
use crate::{Error, Result};

/// A finished checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// Its id, the number in the name of its directory.
    pub id: u64,
    /// The position in the log up to which it holds everything.
    pub wal_position: Lsn,
    /// Runs that it consists of; all parts of the oldest count as one.
    pub runs: usize,
    /// Entries and tombstones that were written for it, those of the merge that it adopted among them.
    pub entries_written: u64,
    /// Bytes that were written for it, the manifest among them; what was hard-linked cost nothing. Bytes of the merge that it
    /// adopted are in `bytes_merged`.
    pub bytes_written: u64,
    /// Bytes of runs merged since the checkpoint before, and adopted by this one.
    pub bytes_merged: u64,
    /// From the request to the publication.
    pub duration: Duration,
}

/// What a checkpoint is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It has not begun, or waits for a merge that has to come first, or for the log to be durable up to the cut.
    Waiting,
    /// It reads the log; done and total are bytes of log.
    Scanning,
    /// It writes a run; done and total are entries.
    Writing,
    /// It makes what it wrote durable.
    Publishing,
}

/// How far a checkpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointProgress {
    /// What it is doing.
    pub phase: Phase,
    /// How much of it is done.
    pub done: u64,
    /// How much of it there is.
    pub total: u64,
}

/// The job tells, tickets look.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
}

impl Counter {
    pub(crate) fn set(&self, phase: Phase, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn get(&self) -> CheckpointProgress {
        let phase = match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Waiting,
            1 => Phase::Scanning,
            2 => Phase::Writing,
            _ => Phase::Publishing,
        };
        CheckpointProgress { phase, done: self.done.load(Ordering::Relaxed), total: self.total.load(Ordering::Relaxed) }
    }
}

/// A checkpoint being made. It goes on whether or not anyone waits; clones wait for the same one.
///
/// ```
/// use laminar_storage::{StateStore, StoreOptions, WalStateStore};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let dir = scratch.path().join("state");
/// let (mut store, _) = WalStateStore::open(dir, StoreOptions::new())?;
/// store.put(b"key", b"value")?;
/// store.commit()?;
/// let ticket = store.checkpoint()?;
/// store.put(b"key", b"the writer goes on meanwhile")?;
/// assert_eq!(ticket.wait()?.id, 1);
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CheckpointTicket {
    done: Completion<Result<CheckpointInfo>>,
    worker: Weak<dyn Worker>,
    progress: Arc<Counter>,
}

impl CheckpointTicket {
    pub(crate) fn new(
        done: Completion<Result<CheckpointInfo>>,
        worker: Weak<dyn Worker>,
        progress: Arc<Counter>,
    ) -> Self {
        Self { done, worker, progress }
    }

    /// Blocks until the checkpoint is published, or has failed.
    ///
    /// # Errors
    /// What made it fail; [`Error::Abandoned`] if the store was closed or dropped before it was done; [`Error::Panicked`] for this one
    /// and all later ones of the store after a bug. A failed checkpoint leaves nothing behind, and the next one begins where it began.
    pub fn wait(&self) -> Result<CheckpointInfo> {
        // The store may be gone, and the worker with it: then the completion is settled.
        let worker = self.worker.upgrade();
        self.done.wait(worker.as_deref()).unwrap_or(Err(Error::Abandoned))
    }

    /// Whether waiting would return at once.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.is_settled()
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> CheckpointProgress {
        self.progress.get()
    }
}

impl Future for CheckpointTicket {
    type Output = Result<CheckpointInfo>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<CheckpointInfo>> {
        std::pin::Pin::new(&mut self.done).poll(context).map(|done| done.unwrap_or(Err(Error::Abandoned)))
    }
}
