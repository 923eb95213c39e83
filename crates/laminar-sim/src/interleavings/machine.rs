//! The machine that models run on: a simulated disk, threads of the model checker, and a clock that moves whenever someone looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use laminar_vfs::sim::SimDisk;
use laminar_vfs::{Clock, Env, Threads};

/// How far the clock moves with a look: so that a sync takes some time, and a leader has something to hold for.
const TICK: Duration = Duration::from_micros(100);

#[derive(Debug, Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> Duration {
        let ticks = self.0.fetch_add(1, Ordering::Relaxed);
        TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    fn unix_ms(&self) -> u64 {
        1_700_000_000_000
    }
}

/// The disk with workers that are threads.
pub(super) fn threaded(disk: &SimDisk) -> Env {
    Env { clock: Arc::new(Ticks::default()), spawn: Arc::new(Threads::new()), ..disk.env() }
}
