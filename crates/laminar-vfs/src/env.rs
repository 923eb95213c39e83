//! One of each thing that the machine provides, in a bundle that is cheap to clone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{RealClock, RealDisk, RealRandom, Spawn, Threads, Vfs};

/// Time. Only reports and intervals depend on it, never the order of data.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since some fixed point; never goes back.
    fn now(&self) -> Duration;

    /// Milliseconds since 1970-01-01 UTC by the machine's calendar; may jump.
    fn unix_ms(&self) -> u64;
}

/// A source of ids that don't repeat.
pub trait Random: Send + Sync + fmt::Debug {
    /// 128 random bits, never 0.
    fn id(&self) -> u128;
}

/// What the crates above need from the machine.
///
/// ```
/// use laminar_vfs::Env;
/// let env = Env::real();
/// assert_ne!(env.random.id(), env.random.id());
/// ```
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "made by hand from the parts one wants to replace")]
pub struct Env {
    /// Files and directories.
    pub vfs: Arc<dyn Vfs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Random ids.
    pub random: Arc<dyn Random>,
    /// Background work.
    pub spawn: Arc<dyn Spawn>,
}

impl Env {
    /// This machine: its disk, its clock, its randomness, a thread a worker.
    #[must_use]
    pub fn real() -> Self {
        Self {
            vfs: Arc::new(RealDisk::new()),
            clock: Arc::new(RealClock::new()),
            random: Arc::new(RealRandom::new()),
            spawn: Arc::new(Threads::new()),
        }
    }
}

impl Default for Env {
    fn default() -> Self {
        Self::real()
    }
}
