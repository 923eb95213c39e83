//! Waiting awake for what comes sooner than a thread that sleeps can be woken.
//!
//! A fast disk syncs in the time that it takes to wake a handful of threads, on a virtual machine even one. So whoever waits for such a disk
//! gives way to others and looks again, for as long as two syncs take; then, or where somebody else has use for the processor,
//! it sleeps. RocksDB's writers wait in this way for the leader of their group (`WriteThread::AwaitState`).

use std::time::Duration;

use crate::commit::Turn;
use crate::log::Log;
use crate::sync::{MutexGuard, Ordering, yield_now};

/// A disk whose last sync took longer is waited for asleep: to be woken is a small part of that.
const FAST: Duration = Duration::from_micros(250);

/// Who does not get the processor back in this time has given it to somebody with more to do than to look whether a sync is over.
const TAKEN: Duration = Duration::from_micros(500);

/// So many waits are asleep then, and twice as many each time that it happens again soon. To give way to a thread that computes can take
/// milliseconds, because the scheduler counts it as having had one's turn; now and then a wait finds out whether it still does.
const DOZES: std::ops::RangeInclusive<u32> = 1 << 10..=1 << 17;

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
    /// How long to wait awake for the end of a sync, and perhaps of the one behind it. `None`: not at all.
    fn awake_limit(&self) -> Option<Duration> {
        let is_worth_it = self.dozes == 0 && !self.sync_time.is_zero() && self.sync_time <= FAST;
        is_worth_it.then(|| self.sync_time * 2)
    }

    /// Somebody who waited awake had to wait for the processor.
    fn doze(&mut self) {
        // Where several had to, it is the same reason.
        if self.dozes == 0 {
            self.doze_length = (self.doze_length * 2).clamp(*DOZES.start(), *DOZES.end());
            self.dozes = self.doze_length;
        }
    }

    /// A sync has ended.
    pub(crate) fn note_sync(&mut self) {
        if self.dozes == 0 {
            self.doze_length = self.doze_length.saturating_sub(1);
        }
    }
}

impl Log {
    /// Waits until something becomes durable, nobody leads, or nothing will come any more; awake as long as that is worth it. `None`: everything
    /// before `target` is durable, which is said without the lock: all who were served would want it at once.
    pub(crate) fn wait_for_news<'a>(
        &'a self,
        mut turn: MutexGuard<'a, Turn>,
        target: u64,
        is_awake: &mut bool,
    ) -> Option<MutexGuard<'a, Turn>> {
        let Some(limit) = turn.awake_limit().filter(|_| *is_awake) else {
            turn.dozes = turn.dozes.saturating_sub(1);
            self.progress.wait(&mut turn);
            return Some(turn);
        };
        let seen = self.news.load(Ordering::Acquire);
        drop(turn);
        let wake = self.stay_awake(limit, || self.news.load(Ordering::Acquire) != seen);
        // Who has synced has forgotten those it served, before it told them.
        if wake == Wake::Over && self.durable.load(Ordering::Acquire) >= target {
            return None;
        }
        let mut turn = self.turn.lock();
        *is_awake = wake == Wake::Over;
        if wake == Wake::Displaced {
            turn.doze();
        }
        Some(turn)
    }

    /// Gives way until `is_over`, or for `limit`.
    fn stay_awake(&self, limit: Duration, mut is_over: impl FnMut() -> bool) -> Wake {
        let clock = &self.dir.env.clock;
        let started = clock.now();
        let mut last = started;
        while !is_over() {
            yield_now();
            let now = clock.now();
            if now.saturating_sub(last) >= TAKEN {
                return Wake::Displaced;
            }
            if now.saturating_sub(started) >= limit {
                return Wake::Tired;
            }
            last = now;
        }
        Wake::Over
    }

    /// Waits for as many as the leader holds for; says whether they came in time.
    pub(crate) fn wait_for_arrivals(&self, turn: &mut MutexGuard<'_, Turn>, limit: Duration) -> bool {
        if turn.awake_limit().is_none() {
            return !self.arrived.wait_for(turn, limit).timed_out();
        }
        let clock = &self.dir.env.clock;
        let until = clock.now() + limit;
        while turn.is_short() && clock.now() < until {
            MutexGuard::unlocked(turn, yield_now);
        }
        !turn.is_short()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "threads of the user, not of the log")]
mod tests {
    use std::thread;

    use super::*;
    use crate::sync::Arc;
    use crate::{Error, Result, Wal, WalOptions};

    const SLOW: Duration = Duration::from_secs(1);

    /// What somebody who leads comes to.
    type Meanwhile = fn(&Log, u64);

    /// What a wait comes to on a disk that seems to sync in `sync_time`, while somebody else leads.
    fn wait(sync_time: Duration, pause: Duration, meanwhile: Meanwhile) -> Result<()> {
        let scratch = tempfile::tempdir().unwrap();
        let (wal, _) = Wal::open(scratch.path().join("log"), WalOptions::new()).unwrap();
        let lsn = wal.append(b"waited for").unwrap();
        wal.commit().unwrap();
        {
            let mut turn = wal.log.turn.lock();
            (turn.leading, turn.sync_time) = (true, sync_time);
        }
        let waiter = wal.clone();
        let waiter = thread::spawn(move || waiter.wait_durable(lsn));
        while wal.log.turn.lock().waiting() == 0 {
            yield_now();
        }
        thread::sleep(pause);
        meanwhile(&wal.log, wal.written_lsn().get());
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
        for (sync_time, pause) in [(SLOW, 0), (FAST, 0), (FAST, 20)] {
            let wait = |meanwhile| wait(sync_time, Duration::from_millis(pause), meanwhile);
            assert!(wait(sync).is_ok());
            assert!(wait(give_up).is_ok(), "it leads itself");
            assert!(matches!(wait(poison), Err(Error::Poisoned { .. })));
            assert!(matches!(wait(|log, _| log.end_waiting()), Err(Error::Closed)));
        }
    }

    #[test]
    fn nobody_stays_awake_for_long() {
        let scratch = tempfile::tempdir().unwrap();
        let (wal, _) = Wal::open(scratch.path().join("log"), WalOptions::new()).unwrap();
        let stay = |limit, pause| {
            wal.log.stay_awake(limit, || {
                thread::sleep(pause);
                false
            })
        };
        assert_eq!(stay(SLOW, 2 * TAKEN), Wake::Displaced);
        assert_ne!(stay(Duration::from_nanos(1), Duration::ZERO), Wake::Over);
        assert_eq!(wal.log.stay_awake(Duration::ZERO, || true), Wake::Over);
    }

    #[test]
    fn a_slow_disk_and_busy_processors_are_waited_for_asleep() {
        let limit = |sync_time, dozes| {
            let mut turn = Turn::default();
            (turn.sync_time, turn.dozes) = (sync_time, dozes);
            turn.awake_limit()
        };
        assert_eq!(limit(FAST, 0), Some(2 * FAST));
        assert_eq!(
            (limit(FAST + Duration::from_nanos(1), 0), limit(Duration::ZERO, 0), limit(FAST, 1)),
            (None, None, None)
        );
    }

    #[test]
    fn whoever_was_displaced_has_others_sleep() {
        let scratch = tempfile::tempdir().unwrap();
        let (wal, _) = Wal::open(scratch.path().join("log"), WalOptions::new()).unwrap();
        let mut is_awake = true;
        let mut turn = wal.log.turn.lock();
        turn.sync_time = FAST;
        // Nothing ever comes: who waits becomes tired, and knows it himself, or is displaced, and tells all.
        let turn = wal.log.wait_for_news(turn, u64::MAX, &mut is_awake).unwrap();
        assert!(!is_awake && [0, *DOZES.start()].contains(&turn.dozes));
    }

    #[test]
    fn it_dozes_longer_where_processors_stay_busy() {
        let mut turn = Turn::default();
        let doze = |turn: &mut Turn| {
            turn.dozes = 0;
            (0..8).for_each(|_| turn.doze());
            turn.dozes
        };
        assert_eq!([doze(&mut turn), doze(&mut turn), doze(&mut turn)], [1 << 10, 1 << 11, 1 << 12]);
        let lengths = (0..10).map(|_| doze(&mut turn));
        assert_eq!(lengths.max(), Some(*DOZES.end()));
        // Syncs that were waited for asleep say nothing.
        (0..1 << 18).for_each(|_| turn.note_sync());
        assert_eq!(doze(&mut turn), *DOZES.end());
        turn.dozes = 0;
        (0..1 << 18).for_each(|_| turn.note_sync());
        assert_eq!(doze(&mut turn), *DOZES.start());
    }
}
