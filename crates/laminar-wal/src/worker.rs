//! The log's own job, in pieces: what can be done off the path of those who append, and what nobody else would do.
//!
//! It is started when there is first something for it, never by opening a log. Whatever it fails at, those who
//! need it do themselves and get the error.

use std::time::Duration;

use laminar_vfs::{Job, Op, Step};

use crate::coming::Fetcher;
use crate::log::Log;
use crate::sync::{Ordering, Weak};
use crate::{Result, SyncPolicy};

/// The worker is in a step, or will be soon.
pub(crate) const AWAKE: u8 = 0;
/// It sleeps, but not for ever.
const DOZING: u8 = 1;
/// It sleeps until it is woken.
const ASLEEP: u8 = 2;

impl Log {
    /// Wakes the worker for something that can't wait, starting it if need be.
    pub(crate) fn wake_urgently(&self) {
        self.wake_if(|state| state != AWAKE);
    }

    /// Wakes the worker if it would not look by itself, starting it if need be.
    pub(crate) fn wake_lazily(&self) {
        self.wake_if(|state| state == ASLEEP);
    }

    fn wake_if(&self, sleeping: impl Fn(u8) -> bool) {
        // Without a worker everything still works, at the cost of whoever needs it.
        let Ok(worker) = self.worker() else { return };
        let woken = |state| sleeping(state).then_some(AWAKE);
        if self.doze.fetch_update(Ordering::SeqCst, Ordering::SeqCst, woken).is_ok() {
            worker.wake();
        }
    }

    /// Stops the worker; it does nothing any more when this returns.
    pub(crate) fn stop_worker(&self) {
        if let Some(worker) = self.worker.get() {
            worker.stop();
        }
    }
}

/// Steps the log's background work.
#[derive(Debug)]
pub(crate) struct LogJob {
    log: Weak<Log>,
    /// Where the log was when something was tried in vain: not tried again before it moves on, or some time passes.
    gave_up_at: Option<u64>,
    rested: bool,
    /// Brings the next segment into memory.
    fetcher: Fetcher,
}

/// What a look at the log found to do.
enum Next {
    Nothing(Option<Duration>),
    Serve(u64),
    Write,
    Prepare,
    Sync,
    Mark,
}

impl LogJob {
    pub(crate) fn new(log: Weak<Log>) -> Self {
        Self { log, gave_up_at: None, rested: false, fetcher: Fetcher::default() }
    }

    fn look(&self, log: &Log) -> Next {
        let (written, durable) = (log.written.load(Ordering::Acquire), log.durable.load(Ordering::Acquire));
        let (wanted, synced_at) = {
            let turn = log.turn.lock();
            (turn.wanted_by_tasks(), turn.synced_at)
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted > durable) {
            return Next::Serve(wanted);
        }
        // Below a lock that a writer may hold for a while: a look can wait for that, this is a thread of its own.
        let (behind, at, segment) = {
            let writer = log.writer.lock();
            (writer.is_behind(), writer.segment.offset(written.max(writer.segment.data())), writer.segment)
        };
        let may_try = self.gave_up_at != Some(written);
        if may_try && behind {
            return Next::Write;
        }
        let short = log.is_reserve_short(at, segment.header.length);
        if may_try && (short || (at > segment.header.length / 2 && !log.ahead.lock().has_spare())) {
            return Next::Prepare;
        }
        if may_try && log.is_sync_due(at, segment.header.length) {
            return Next::Sync;
        }
        let dirty = log.buffer.lock().end() > durable;
        let (after, next) = match (log.choices.sync_policy, log.choices.idle_seal) {
            (SyncPolicy::Interval(every), _) if dirty => (every, Next::Sync),
            (SyncPolicy::Interval(every), None) => (every, Next::Nothing(Some(every))),
            (_, Some(idle)) if !dirty && log.writer.lock().marked != durable => (idle, Next::Mark),
            (SyncPolicy::Interval(every), _) => (every, Next::Nothing(Some(every))),
            _ => return Next::Nothing(None),
        };
        // However long is asked for: `Duration::MAX` is one way to say never.
        let remaining = synced_at.saturating_add(after).saturating_sub(log.dir.env.clock.now());
        if !may_try {
            Next::Nothing(Some(after))
        } else if remaining.is_zero() {
            next
        } else {
            Next::Nothing(Some(remaining))
        }
    }

    /// Does it; `false` if it could not be done now.
    fn work(&mut self, log: &Log, next: &Next) -> Result<bool> {
        match next {
            Next::Nothing(_) => {}
            Next::Serve(wanted) => log.wait_durable(*wanted).inspect_err(|error| log.fail_tasks(error))?,
            Next::Write => log.finish(&mut log.writer.lock())?,
            Next::Prepare => {
                let (length, at) = {
                    let mut writer = log.writer.lock();
                    log.begin(&mut writer)?;
                    let written = log.written.load(Ordering::Acquire);
                    (writer.segment.header.length, writer.segment.offset(written.max(writer.segment.data())))
                };
                if log.is_reserve_short(at, length) {
                    log.grow_reserve(length)?;
                } else if at > length / 2
                    && let Some(coming) = log.prepare_spare()?
                {
                    self.fetcher.fetch(&*log.dir.env.spawn, coming);
                }
            }
            Next::Sync => {
                let end = log.buffer.lock().end();
                log.wait_durable(end)?;
            }
            Next::Mark => return log.write_mark(),
        }
        Ok(true)
    }
}

impl Job for LogJob {
    fn step(&mut self) -> Step {
        let Some(log) = self.log.upgrade() else { return Step::Done };
        log.doze.store(AWAKE, Ordering::SeqCst);
        if log.check_poison().is_err() || log.writer.lock().closed {
            return Step::Done;
        }
        if std::mem::take(&mut self.rested) {
            self.gave_up_at = None;
        }
        let mut next = self.look(&log);
        if let Next::Nothing(first) = next {
            log.doze.store(if first.is_some() { DOZING } else { ASLEEP }, Ordering::SeqCst);
            // Whoever came between the look and the doze saw the worker awake and did not wake it.
            next = self.look(&log);
            match next {
                Next::Nothing(limit) if limit.is_some() == first.is_some() => {
                    self.rested = limit.is_some();
                    return Step::Wait(limit);
                }
                Next::Nothing(_) => return Step::Again,
                _ => log.doze.store(AWAKE, Ordering::SeqCst),
            }
        }
        let done = self.work(&log, &next).unwrap_or(false);
        self.gave_up_at = if done { None } else { Some(log.written.load(Ordering::Acquire)) };
        Step::Again
    }

    /// A bug. What the step had in hand may be half done, and nobody else serves the futures that wait: the log is poisoned, which
    /// tells all of them, now and later.
    fn panicked(&mut self, message: &str) -> bool {
        if let Some(log) = self.log.upgrade() {
            let panic = std::io::Error::other(format!("the log's own thread has panicked: {message}"));
            log.poison_with(laminar_vfs::Error::new(Op::Background, &log.dir.path, panic));
        }
        false
    }
}
