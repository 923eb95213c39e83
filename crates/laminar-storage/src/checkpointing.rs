//! Checkpoints from the writer's side: it names a cut and goes on; the work is done by a background job.

use std::sync::Arc;
use std::time::Duration;

use laminar_checkpoint::{Checkpoint, CheckpointManager};
use laminar_vfs::{Env, Worker, completion};
use laminar_wal::{Lsn, Wal};

use crate::sync::Mutex;
use crate::{Error, Result};

mod ahead;
mod collect;
mod found;
mod job;
mod order;
mod pieces;
mod recent;
mod retain;
mod spare;
mod tail;
mod ticket;

pub use ticket::{CheckpointInfo, CheckpointProgress, CheckpointTicket, Phase};

use job::CheckpointJob;
use ticket::Counter;

/// The first run of a store, and that of an export, is cut into so many parts at most, of about as many keys.
pub(crate) const MOST_PARTS: usize = 4;

/// How much of the log goes into one run, and the least size of a part of the first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLimits {
    pub(crate) log_bytes: u64,
    pub(crate) records: usize,
    pub(crate) part_bytes: u64,
}

/// A checkpoint to be made: everything that was logged before `cut`, on top of `base`.
pub(crate) struct Request {
    base: Option<Checkpoint>,
    cut: Lsn,
    /// When it was made, by the clock.
    begun: Duration,
    completer: laminar_vfs::Completer<Result<CheckpointInfo>>,
    progress: Arc<Counter>,
}

/// What the writer and the job tell each other. Held only to move a value in or out.
#[derive(Default)]
pub(crate) struct Mailbox {
    request: Option<Request>,
    finished: Option<Option<(Checkpoint, CheckpointInfo)>>,
    max_retained: usize,
    /// The last failure of work that perhaps nobody waits for: checkpoints, retiring and merging.
    upkeep_error: Option<Error>,
}

/// The writer's side of the job. Dropping it ends the job after the step it is in.
pub(crate) struct Checkpointing {
    env: Env,
    wal: Wal,
    manager: CheckpointManager,
    limits: RunLimits,
    mailbox: Arc<Mutex<Mailbox>>,
    worker: Option<Arc<dyn Worker>>,
    running: Option<CheckpointTicket>,
    /// How many were made, and what the last one was.
    made: u64,
    last: Option<CheckpointInfo>,
}

impl Checkpointing {
    pub(crate) fn new(env: Env, wal: Wal, manager: CheckpointManager, limits: RunLimits, max_retained: usize) -> Self {
        let mailbox = Mailbox { max_retained, ..Mailbox::default() };
        let mailbox = Arc::new(Mutex::new(mailbox));
        Self { env, wal, manager, limits, mailbox, worker: None, running: None, made: 0, last: None }
    }

    /// How many checkpoints are kept from the next retirement on.
    pub(crate) fn set_max_retained(&self, count: usize) {
        self.mailbox.lock().max_retained = count;
    }

    /// The checkpoint that is being made, if its result has not been taken yet.
    pub(crate) fn running(&self) -> Option<&CheckpointTicket> {
        self.running.as_ref()
    }

    /// Begins a checkpoint at `cut`. The caller has seen that none is running.
    pub(crate) fn start(&mut self, base: Option<Checkpoint>, cut: Lsn) -> Result<CheckpointTicket> {
        assert!(self.running.is_none(), "one checkpoint at a time");
        let worker = match &self.worker {
            Some(worker) => Arc::clone(worker),
            None => {
                let mailbox = Arc::clone(&self.mailbox);
                let job =
                    CheckpointJob::new(self.wal.clone(), self.manager.clone(), self.env.clone(), self.limits, mailbox);
                let worker = self.env.spawn.spawn("checkpoints", Box::new(job))?;
                self.worker = Some(Arc::clone(&worker));
                worker
            }
        };
        let (completer, done) = completion();
        let progress = Arc::new(Counter::default());
        let ticket = CheckpointTicket::new(done, Arc::downgrade(&worker), Arc::clone(&progress));
        self.mailbox.lock().request = Some(Request { base, cut, begun: self.env.clock.now(), completer, progress });
        self.running = Some(ticket.clone());
        worker.wake();
        Ok(ticket)
    }

    /// Takes the result of a finished checkpoint: `Some` once per checkpoint, with what it made unless it failed.
    pub(crate) fn take_finished(&mut self) -> Option<Option<Checkpoint>> {
        if !self.running.as_ref()?.is_done() {
            return None;
        }
        self.running = None;
        let finished = self.mailbox.lock().finished.take().flatten();
        Some(finished.map(|(checkpoint, info)| {
            self.made += 1;
            self.last = Some(info);
            checkpoint
        }))
    }

    /// How many checkpoints were made and taken, and what the last one was.
    pub(crate) fn made(&self) -> (u64, Option<&CheckpointInfo>) {
        (self.made, self.last.as_ref())
    }

    /// The last failure of a checkpoint, of retiring or of merging; the next checkpoint tries again.
    pub(crate) fn take_upkeep_error(&self) -> Option<Error> {
        self.mailbox.lock().upkeep_error.take()
    }

    /// Ends the job.
    pub(crate) fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
        // A request that the job had not begun is dropped here, and its ticket told so.
        self.mailbox.lock().request = None;
    }
}

impl Drop for Checkpointing {
    fn drop(&mut self) {
        self.stop();
    }
}

/// When a periodic checkpoint is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Periodic {
    pub(crate) interval: Duration,
    /// When the last one was begun, whatever became of it.
    pub(crate) last: Duration,
    /// The last checkpoint failed: the next is due by the interval only, not again with every commit.
    pub(crate) failed: bool,
}

impl Periodic {
    pub(crate) fn new(interval: Duration, last: Duration) -> Self {
        Self { interval, last, failed: false }
    }
}
