//! Time that stands still until a test moves it.

use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Clock;

/// 2024-01-01, so that a timestamp of zero is never mistaken for a real one.
const START_UNIX_MS: u64 = 1_704_067_200_000;

/// A clock that goes only when told.
///
/// ```
/// use std::time::Duration;
/// use laminar_vfs::{Clock, sim::SimClock};
/// let clock = SimClock::new();
/// assert_eq!(clock.now(), clock.now());
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(clock.now(), Duration::from_millis(5));
/// ```
#[derive(Debug)]
pub struct SimClock {
    now_ns: AtomicU64,
    unix_ms: AtomicU64,
}

impl SimClock {
    /// A clock at zero; its calendar begins on 2024-01-01.
    #[must_use]
    pub fn new() -> Self {
        Self { now_ns: AtomicU64::new(0), unix_ms: AtomicU64::new(START_UNIX_MS) }
    }

    /// Lets time pass, on the clock and on the calendar.
    pub fn advance(&self, by: Duration) {
        self.now_ns.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.unix_ms.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Sets the calendar alone, forward or back, as an operator or a time server does.
    pub fn set_unix_ms(&self, unix_ms: u64) {
        self.unix_ms.store(unix_ms, Ordering::Relaxed);
    }

    pub(super) fn copy(&self) -> Self {
        let now_ns = AtomicU64::new(self.now_ns.load(Ordering::Relaxed));
        Self { now_ns, unix_ms: AtomicU64::new(self.unix_ms.load(Ordering::Relaxed)) }
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns.load(Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        self.unix_ms.load(Ordering::Relaxed)
    }
}
