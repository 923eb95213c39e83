//! Group commit: many who wait, one sync; and what becomes of them when a sync fails.
//!
//! Whoever waits and finds nobody leading leads: hands the open group over, syncs, tells the others. Waiters that arrive
//! during a sync can't be in it, so with a plain leader N writers get into two camps and N/2 of them share a sync. So
//! a leader holds for as many as there were when the last sync ended (those it served, who are likely to come back,
//! and those it did not): for a quarter of that sync's time, and again so long as some came meanwhile, but no longer than
//! that sync took. A lone writer is never held.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use laminar_vfs::{VfsFile, planted};

use crate::log::{Log, count};
use crate::sync::{Arc, MutexGuard, Ordering};
use crate::{Error, Lsn, Result};

/// A leader holds this part of a sync's time, that often at most; waking many threads takes few cores as long as a fast disk's sync.
const HOLDS: u32 = 4;
/// A leader never holds longer than this with nobody coming, however slow the disk.
const LONGEST_HOLD: Duration = Duration::from_millis(2);

/// Whose turn it is to sync, and who waits.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) leading: bool,
    holding: bool,
    closed: bool,
    /// What blocked threads wait for.
    threads: Vec<u64>,
    /// What futures wait for.
    tasks: BTreeMap<u64, Task>,
    /// Followers that wait for anything new.
    watchers: BTreeMap<u64, Waker>,
    next_id: u64,
    /// How many the next sync may hope to serve.
    pub(crate) expected: usize,
    pub(crate) sync_time: Duration,
    /// `awake.rs`: so many waits to come are asleep, whatever the disk.
    pub(crate) waits_asleep: u32,
    /// How many they were at first, less one for each sync since that was waited for awake.
    pub(crate) last_asleep: u32,
    /// When the last sync ended, by the environment's clock.
    pub(crate) synced_at: Duration,
}

/// What a leader's turn came to.
enum Led {
    /// It ended with the sync.
    HandedOn,
    /// There was nothing left to sync.
    Still,
}

#[derive(Debug)]
struct Task {
    lsn: u64,
    waker: Waker,
    failed: Option<Error>,
}

impl Turn {
    pub(crate) fn waiting(&self) -> usize {
        self.threads.len() + self.tasks.len()
    }

    /// Whether fewer wait than the next sync may hope to serve.
    pub(crate) fn is_short(&self) -> bool {
        self.waiting() < self.expected
    }

    fn forget_thread(&mut self, target: u64) {
        if let Some(at) = self.threads.iter().position(|waiting| *waiting == target) {
            self.threads.swap_remove(at);
        }
    }

    fn take_all_wakers(&mut self) -> Vec<Waker> {
        let tasks = self.tasks.values().map(|task| task.waker.clone());
        tasks.chain(std::mem::take(&mut self.watchers).into_values()).collect()
    }

    /// The highest position that a future waits for in vain so far.
    pub(crate) fn wanted_by_tasks(&self) -> Option<u64> {
        self.tasks.values().filter(|task| task.failed.is_none()).map(|task| task.lsn).max()
    }
}

impl Log {
    /// Blocks until everything before `target` is durable, syncing where nobody else does.
    pub(crate) fn wait_durable(&self, target: u64) -> Result<()> {
        let mut turn = self.turn.lock();
        let mut awake_until = None;
        loop {
            if self.durable.load(Ordering::Acquire) >= target {
                return Ok(());
            }
            self.check_poison()?;
            if turn.closed {
                return Err(Error::Closed);
            }
            turn.threads.push(target);
            if turn.leading {
                if turn.holding && !turn.is_short() {
                    self.arrived.notify_one();
                }
                match self.wait_for_news(turn, target, &mut awake_until) {
                    Some(again) => turn = again,
                    None => return Ok(()),
                }
            } else {
                turn.leading = true;
                self.hold(&mut turn);
                let led = MutexGuard::unlocked(&mut turn, || self.unwinding_poisons(|| self.write_and_sync(target)));
                if !matches!(led, Ok(Led::HandedOn)) {
                    turn.leading = false;
                    // The others try themselves: each gets its own answer, and none hangs.
                    self.tell_all();
                }
                if let Err(error) = led {
                    turn.forget_thread(target);
                    return Err(error);
                }
            }
            turn.forget_thread(target);
        }
    }

    fn hold(&self, turn: &mut MutexGuard<'_, Turn>) {
        let limit = (turn.sync_time / HOLDS).min(LONGEST_HOLD);
        if !turn.is_short() || limit.is_zero() {
            return;
        }
        turn.holding = true;
        let (mut holds, mut seen) = (0, turn.waiting());
        while turn.is_short() && self.poison.get().is_none() {
            if !self.wait_for_arrivals(turn, limit) {
                holds += 1;
                let came = turn.waiting() > seen;
                if !came || holds == HOLDS {
                    break;
                }
                seen = turn.waiting();
            }
        }
        turn.holding = false;
    }

    fn write_and_sync(&self, target: u64) -> Result<Led> {
        let (file, to) = {
            let mut writer = self.writer.lock();
            match self.hand_over(&mut writer, true) {
                // What is wanted was written before; what can't be written now can wait.
                Err(error) if error.is_no_space() && self.written.load(Ordering::Acquire) >= target => {}
                handed_over => handed_over?,
            }
            (Arc::clone(&writer.file), self.written.load(Ordering::Acquire))
        };
        assert!(to >= target, "a leader who syncs up to {to} would never be done with {target}");
        if self.durable.load(Ordering::Acquire) >= target {
            // Leaving a segment has synced it on the way.
            return Ok(Led::Still);
        }
        self.sync_and_tell(&*file, to, true)?;
        Ok(Led::HandedOn)
    }

    /// Syncs `file`, which holds everything up to `to` that is not durable yet.
    pub(crate) fn sync_file(&self, file: &dyn VfsFile, to: u64) -> Result<()> {
        self.sync_and_tell(file, to, false)
    }

    /// The lock is held until the result is known to all: else a second sync, which the operating system lets succeed
    /// after a failed one, could acknowledge what the first has lost. `leads`: it is the leader's, whose turn ends with
    /// it, so that one of those who are told and not served goes on.
    fn sync_and_tell(&self, file: &dyn VfsFile, to: u64, leads: bool) -> Result<()> {
        let one_at_a_time = self.sync.lock();
        self.check_poison()?;
        let clock = &self.dir.env.clock;
        let started = clock.now();
        let sync = || if planted("log-acknowledges-before-sync") { Ok(()) } else { file.sync_data() };
        let synced = self.unwinding_poisons(sync);
        let synced = if planted("log-retries-failed-sync") { synced.or_else(|_| file.sync_data()) } else { synced };
        if let Err(error) = synced {
            return Err(if planted("log-failed-sync-is-not-final") { error.into() } else { self.poison_with(error) });
        }
        let ended = clock.now();
        count(&self.counters.syncs, 1);
        self.durable.fetch_max(to, Ordering::AcqRel);
        let wakers = {
            let mut turn = self.turn.lock();
            turn.sync_time = ended.saturating_sub(started);
            turn.synced_at = ended;
            turn.not_displaced();
            turn.leading &= !leads;
            let before = turn.waiting();
            turn.expected = before;
            turn.threads.retain(|target| *target > to);
            let mut wakers: Vec<Waker> = std::mem::take(&mut turn.watchers).into_values().collect();
            turn.tasks.retain(|_, task| {
                if task.lsn <= to {
                    wakers.push(task.waker.clone());
                }
                task.lsn > to
            });
            count(&self.counters.waits_served, (before - turn.waiting()) as u64);
            self.tell_all();
            wakers
        };
        // A waker may run its task at once, which may sync.
        drop(one_at_a_time);
        wakers.into_iter().for_each(Waker::wake);
        if self.choices.idle_seal.is_some() {
            self.wake_lazily();
        }
        Ok(())
    }

    /// Tells the threads that wait for durability, asleep and awake. Under `turn`.
    pub(crate) fn tell_all(&self) {
        self.news.fetch_add(1, Ordering::Release);
        self.progress.notify_all();
    }

    /// Tells everyone who waits that something changed for all: poison, or the end.
    pub(crate) fn wake_everyone(&self) {
        let wakers = {
            let mut turn = self.turn.lock();
            self.tell_all();
            self.arrived.notify_all();
            turn.take_all_wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn end_waiting(&self) {
        self.turn.lock().closed = true;
        self.wake_everyone();
    }

    /// Tells followers of unsynced bytes that there are more.
    pub(crate) fn note_written(&self) {
        // Written, as the follower's own count is: one of the two comes first, and the other sees what was before it.
        if self.eager_followers.fetch_add(0, Ordering::AcqRel) > 0 {
            let wakers: Vec<_> = {
                let mut turn = self.turn.lock();
                // No news for those who wait for durability.
                self.progress.notify_all();
                std::mem::take(&mut turn.watchers).into_values().collect()
            };
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Tells the futures that wait that it can't be had now.
    pub(crate) fn fail_tasks(&self, error: &Error) {
        let wakers: Vec<_> = {
            let mut turn = self.turn.lock();
            let tasks = turn.tasks.values_mut().filter(|task| task.failed.is_none());
            tasks
                .map(|task| {
                    task.failed = Some(error.clone());
                    task.waker.clone()
                })
                .collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Blocks a follower until `limit` says that there is more than `seen`; `false` at the end of the log.
    pub(crate) fn wait_for_more(&self, seen: u64, limit: impl Fn() -> u64) -> Result<bool> {
        let mut turn = self.turn.lock();
        loop {
            if limit() > seen {
                return Ok(true);
            }
            self.check_poison()?;
            if turn.closed {
                return Ok(false);
            }
            self.progress.wait(&mut turn);
        }
    }

    /// The same for a task: `None` if it has to wait. `id` is its place among those who watch.
    pub(crate) fn poll_for_more(
        &self,
        seen: u64,
        limit: impl Fn() -> u64,
        id: &mut Option<u64>,
        waker: &Waker,
    ) -> Result<Option<bool>> {
        let mut turn = self.turn.lock();
        if limit() > seen {
            return Ok(Some(true));
        }
        self.check_poison()?;
        if turn.closed {
            return Ok(Some(false));
        }
        let id = *id.get_or_insert_with(|| turn.new_id());
        turn.watchers.insert(id, waker.clone());
        Ok(None)
    }

    pub(crate) fn stop_watching(&self, id: u64) {
        self.turn.lock().watchers.remove(&id);
    }
}

impl Turn {
    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// A wait for durability, made by [`Wal::durable`](crate::Wal::durable). It needs no runtime: the log's own thread
/// syncs and wakes it. Dropping it only ends the wait. It may be woken by a thread that is in the middle of a write: a waker schedules its task,
/// as those of runtimes do, and must not poll it there and then.
///
/// ```
/// # let scratch = tempfile::tempdir().unwrap();
/// use laminar_wal::{Wal, WalOptions};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (wal, _) = Wal::open(scratch.path(), WalOptions::new())?;
/// let lsn = wal.append(b"paid")?;
/// wal.durable(lsn).await?;
/// assert!(wal.durable_lsn() >= lsn);
/// # Ok::<(), laminar_wal::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a wait does nothing unless it is awaited"]
pub struct DurableWait {
    log: Arc<Log>,
    lsn: u64,
    id: Option<u64>,
}

impl DurableWait {
    pub(crate) fn new(log: Arc<Log>, lsn: Lsn) -> Self {
        Self { log, lsn: lsn.get(), id: None }
    }

    /// The position that is waited for.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        Lsn::new(self.lsn)
    }

    fn outcome(&self, turn: &Turn) -> Option<Result<()>> {
        if self.log.durable.load(Ordering::Acquire) >= self.lsn {
            return Some(Ok(()));
        }
        if let Err(error) = self.log.check_poison() {
            return Some(Err(error));
        }
        if turn.closed {
            return Some(Err(Error::Closed));
        }
        let task = turn.tasks.get(&self.id?)?;
        task.failed.clone().map(Err)
    }
}

impl Future for DurableWait {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let log = Arc::clone(&self.log);
        {
            let mut turn = log.turn.lock();
            if let Some(outcome) = self.outcome(&turn) {
                return Poll::Ready(outcome);
            }
            let id = match self.id {
                Some(id) => id,
                None => turn.new_id(),
            };
            self.id = Some(id);
            let task = Task { lsn: self.lsn, waker: context.waker().clone(), failed: None };
            turn.tasks.insert(id, task);
            if turn.holding && !turn.is_short() {
                log.arrived.notify_one();
            }
        }
        // Nobody else would sync for it: without a worker it could only hang.
        if let Err(error) = log.worker() {
            return Poll::Ready(Err(error));
        }
        log.wake_urgently();
        Poll::Pending
    }
}

impl Drop for DurableWait {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.log.turn.lock().tasks.remove(&id);
        }
    }
}
