//! Waiting awake for what comes sooner than a thread that sleeps can be woken.
//!
//! A fast disk syncs in the time that it takes to wake a handful of threads, on a virtual machine even one. So whoever waits for such a disk
//! gives way to others and looks again, for as long as a few syncs take; then, or where somebody else has use for the processor,
//! it sleeps. RocksDB's writers wait in this way for the leader of their group (`WriteThread::AwaitState`).

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::commit::Turn;
use crate::log::Log;
use crate::sync::{MutexGuard, Ordering, yield_now};

/// A disk whose last sync took longer is waited for asleep: to be woken is a small part of that.
const FAST: Duration = Duration::from_micros(250);

/// How long a call waits awake in all, in syncs: for the rest of one that it comes too late for, for those the leader holds for, and for
/// the sync that serves it.
const SYNCS: u32 = 4;

/// Who does not get the processor back in this time has most likely given it to somebody with more to do than to look whether a sync is over.
const TAKEN: Duration = Duration::from_micros(500);

/// So many waits are asleep then, and twice as many each time that it happens again soon. To give way to a thread that computes can take
/// milliseconds, because the scheduler counts it as having had one's turn; now and then a wait finds out whether it still does.
const SLEEPS: RangeInclusive<u32> = 1 << 10..=1 << 17;

/// Nobody looks more often, whatever the clock says: it may stand still.
const LOOKS: u32 = 1 << 20;

/// What it came to, to wait awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// To what was waited for.
    Over,
    /// It takes too long.
    Tired,
    /// Somebody else had use for the processor.
    Displaced,
}

impl Turn {
    /// How long a call waits awake. `None`: not at all.
    fn awake_limit(&self) -> Option<Duration> {
        let is_worth_it = self.waits_asleep == 0 && !self.sync_time.is_zero() && self.sync_time <= FAST;
        is_worth_it.then(|| self.sync_time * SYNCS)
    }

    /// Somebody who waited awake had to wait for the processor.
    fn displaced(&mut self) {
        // Where several had to, it is the same reason.
        if self.waits_asleep == 0 {
            self.last_asleep = (self.last_asleep * 2).clamp(*SLEEPS.start(), *SLEEPS.end());
            self.waits_asleep = self.last_asleep;
        }
    }

    /// A sync has ended: if it could be waited for awake, the next displacement is a little less of a habit.
    pub(crate) fn not_displaced(&mut self) {
        if self.awake_limit().is_some() {
            self.last_asleep = self.last_asleep.saturating_sub(1);
        }
    }
}

impl Log {
    /// Waits until something becomes durable, nobody leads, or nothing will come any more; awake as long as that is worth it, up to `until`, which the
    /// first wait of a call sets. `None`: everything before `target` is durable, which is said without the lock: all who were served would want it
    /// at once.
    pub(crate) fn wait_for_news<'a>(
        &'a self,
        mut turn: MutexGuard<'a, Turn>,
        target: u64,
        until: &mut Option<Duration>,
    ) -> Option<MutexGuard<'a, Turn>> {
        let now = self.dir.env.clock.now();
        let limit = turn.awake_limit().map(|limit| *until.get_or_insert(now + limit));
        let Some(limit) = limit.filter(|limit| now < *limit) else {
            turn.waits_asleep = turn.waits_asleep.saturating_sub(1);
            self.progress.wait(&mut turn);
            return Some(turn);
        };
        let seen = self.news.load(Ordering::Acquire);
        drop(turn);
        let wake = self.stay_awake(limit, || self.news.load(Ordering::Acquire) != seen);
        // Whoever has made it durable has forgotten those it served, or is about to: nothing can fail between.
        if wake == Wake::Over && self.durable.load(Ordering::Acquire) >= target {
            return None;
        }
        let mut turn = self.turn.lock();
        if wake != Wake::Over {
            *until = Some(Duration::ZERO);
        }
        if wake == Wake::Displaced {
            turn.displaced();
        }
        Some(turn)
    }

    /// Gives way until `is_over`, or up to `limit`.
    fn stay_awake(&self, limit: Duration, mut is_over: impl FnMut() -> bool) -> Wake {
        let clock = &self.dir.env.clock;
        let mut last = clock.now();
        for _ in 0..LOOKS {
            if is_over() {
                return Wake::Over;
            }
            yield_now();
            let now = clock.now();
            if now.saturating_sub(last) >= TAKEN {
                return Wake::Displaced;
            }
            if now >= limit {
                break;
            }
            last = now;
        }
        Wake::Tired
    }

    /// Waits for as many as the leader holds for; says whether they came in time.
    pub(crate) fn wait_for_arrivals(&self, turn: &mut MutexGuard<'_, Turn>, limit: Duration) -> bool {
        if turn.awake_limit().is_none() {
            return !self.arrived.wait_for(turn, limit).timed_out();
        }
        let clock = &self.dir.env.clock;
        let until = clock.now() + limit;
        for _ in 0..LOOKS {
            // Before the first look at the clock: nobody can come while the lock is held.
            MutexGuard::unlocked(turn, yield_now);
            if !turn.is_short() {
                return true;
            }
            if clock.now() >= until {
                break;
            }
        }
        false
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "threads of the user, not of the log")]
mod tests {
    use std::thread;

    use laminar_vfs::{Clock, Env};

    use super::*;
    use crate::sync::{Arc, AtomicU64};
    use crate::{Error, Lsn, Result, Wal, WalOptions};

    /// A clock that goes on by so many nanoseconds each time that somebody looks.
    #[derive(Debug)]
    struct Ticks(AtomicU64, u64);

    impl Clock for Ticks {
        fn now(&self) -> Duration {
            Duration::from_nanos(self.0.fetch_add(self.1, Ordering::Relaxed))
        }

        fn unix_ms(&self) -> u64 {
            1
        }
    }

    /// A log with one record that is not durable, and its end; on a disk that seems to sync in `sync_time`, where somebody leads already.
    fn log(env: Env, sync_time: Duration) -> (tempfile::TempDir, Wal, Lsn) {
        let scratch = tempfile::tempdir().unwrap();
        let (wal, _) = Wal::open(scratch.path().join("log"), WalOptions::on(env)).unwrap();
        wal.append(b"waited for").unwrap();
        let end = wal.commit().unwrap();
        {
            let mut turn = wal.log.turn.lock();
            (turn.leading, turn.sync_time) = (true, sync_time);
        }
        (scratch, wal, end)
    }

    /// On a clock that goes on by `tick` with each look.
    fn ticking(tick: Duration) -> (tempfile::TempDir, Wal, Lsn) {
        let tick = u64::try_from(tick.as_nanos()).unwrap();
        log(Env { clock: Arc::new(Ticks(AtomicU64::new(0), tick)), ..Env::real() }, FAST)
    }

    /// What somebody who leads comes to.
    type Meanwhile = fn(&Log, u64);

    /// What a wait comes to while somebody else leads.
    fn wait(sync_time: Duration, pause: Duration, meanwhile: Meanwhile) -> Result<()> {
        let (_scratch, wal, end) = log(Env::real(), sync_time);
        let waiter = wal.clone();
        let waiter = thread::spawn(move || waiter.wait_durable(end));
        while wal.log.turn.lock().waiting() == 0 {
            yield_now();
        }
        thread::sleep(pause);
        meanwhile(&wal.log, end.get());
        waiter.join().unwrap()
    }

    #[test]
    fn whoever_waits_hears_the_news_awake_and_asleep() {
        let sync: Meanwhile = |log, to| {
            let file = Arc::clone(&log.writer.lock().file);
            log.sync_file(&*file, to).unwrap();
        };
        let give_up: Meanwhile = |log, _| {
            log.turn.lock().leading = false;
            log.wake_everyone();
        };
        let poison: Meanwhile = |log, _| {
            let cause = std::io::Error::other("as if a sync had failed");
            log.poison_with(laminar_vfs::Error::new(laminar_vfs::Op::SyncData, std::path::Path::new("segment"), cause));
        };
        // The last is late for who was awake at first.
        for (sync_time, pause) in [(2 * FAST, 0), (FAST, 0), (FAST, 20)] {
            let wait = |meanwhile| wait(sync_time, Duration::from_millis(pause), meanwhile);
            assert!(wait(sync).is_ok());
            assert!(wait(give_up).is_ok(), "it leads itself");
            assert!(matches!(wait(poison), Err(Error::Poisoned { .. })));
            assert!(matches!(wait(|log, _| log.end_waiting()), Err(Error::Closed)));
        }
    }

    #[test]
    fn whoever_is_served_awake_needs_no_lock() {
        let (_scratch, wal, end) = ticking(Duration::ZERO);
        let waiter = wal.clone();
        let waiter = thread::spawn(move || {
            let turn = waiter.log.turn.lock();
            waiter.log.wait_for_news(turn, end.get(), &mut Some(FAST)).is_none()
        });
        // It has looked at the clock, and gives way from now on.
        while !waiter.is_finished() {
            wal.log.durable.fetch_max(end.get(), Ordering::AcqRel);
            let turn = wal.log.turn.lock();
            wal.log.tell_all();
            drop(turn);
            yield_now();
        }
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn nobody_stays_awake_for_long() {
        for (tick, wake) in [(TAKEN, Wake::Displaced), (TAKEN / 2, Wake::Tired), (Duration::ZERO, Wake::Tired)] {
            let (_scratch, wal, end) = ticking(tick);
            assert_eq!(wal.log.stay_awake(wal.log.dir.env.clock.now() + 4 * TAKEN, || false), wake);
            assert_eq!(wal.log.stay_awake(Duration::ZERO, || true), Wake::Over);
            // Nothing comes: who is tired knows it himself, who was displaced has others sleep.
            let (mut until, turn) = (None, wal.log.turn.lock());
            let turn = wal.log.wait_for_news(turn, end.get(), &mut until).unwrap();
            assert_eq!(until, Some(Duration::ZERO), "it sleeps next");
            assert_eq!(turn.waits_asleep, if wake == Wake::Displaced { *SLEEPS.start() } else { 0 });
        }
    }

    #[test]
    fn a_leader_holds_awake_for_those_who_come() {
        for (tick, comes) in [(0, true), (1000, false)] {
            let (_scratch, wal, end) = ticking(Duration::from_nanos(tick));
            let mut turn = wal.log.turn.lock();
            turn.expected = 1;
            assert!(turn.awake_limit().is_some());
            let late = wal.clone();
            let late = comes.then(|| thread::spawn(move || late.wait_durable(end)));
            assert_eq!(wal.log.wait_for_arrivals(&mut turn, FAST), comes);
            drop(turn);
            wal.log.end_waiting();
            assert!(late.is_none_or(|late| late.join().unwrap().is_err()));
        }
    }

    #[test]
    fn a_slow_disk_and_busy_processors_are_waited_for_asleep() {
        let limit = |sync_time, waits_asleep| {
            let mut turn = Turn::default();
            (turn.sync_time, turn.waits_asleep) = (sync_time, waits_asleep);
            turn.awake_limit()
        };
        assert_eq!(limit(FAST, 0), Some(SYNCS * FAST));
        let too_slow = FAST + Duration::from_nanos(1);
        assert_eq!((limit(too_slow, 0), limit(Duration::ZERO, 0), limit(FAST, 1)), (None, None, None));
    }

    #[test]
    fn waits_are_asleep_for_longer_where_processors_stay_busy() {
        let mut turn = Turn::default();
        turn.sync_time = FAST;
        let displaced = |turn: &mut Turn| {
            turn.waits_asleep = 0;
            (0..8).for_each(|_| turn.displaced());
            turn.waits_asleep
        };
        assert_eq!([displaced(&mut turn), displaced(&mut turn), displaced(&mut turn)], [1 << 10, 1 << 11, 1 << 12]);
        let lengths = (0..10).map(|_| displaced(&mut turn));
        assert_eq!(lengths.max(), Some(*SLEEPS.end()));
        // Syncs that are waited for asleep say nothing.
        (0..1 << 18).for_each(|_| turn.not_displaced());
        assert_eq!(displaced(&mut turn), *SLEEPS.end());
        turn.waits_asleep = 0;
        (0..1 << 18).for_each(|_| turn.not_displaced());
        assert_eq!(displaced(&mut turn), *SLEEPS.start());
    }
}
