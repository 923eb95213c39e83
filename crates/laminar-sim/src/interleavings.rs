//! Models of the real code under chosen schedules: which thread goes on is decided at every lock, every atomic, every wait and
//! every call of the simulated disk, by a seed.
//!
//! Only under `--cfg laminar_model`, with which the `sync` modules of the crates hand out the locks, atomics and threads of `shuttle`;
//! `cargo xtask fault --interleavings` builds it so. What is not part of the model: time (a wait with a limit may end at any moment) and weak
//! memory (every atomic is sequentially consistent).
//!
//! What must hold in every schedule: what was acknowledged is on the disk at that moment, whatever power is cut after it; nobody waits for ever
//! (`shuttle` tells a deadlock, and a run that does not end); positions grow with the appends; after a failed sync nobody is told that
//! something became durable.
//!
//! A lot is [`SCHEDULES`] schedules of one model from one seed: even lots draw each step, odd ones keep to priorities that change
//! a few times (PCT), which finds what takes few switches at the right moments. Of a small model schedules are gone
//! through one by one, without a seed, up to a bound.
//!
//! Three bugs were planted by hand to see that they are found; each was within the first four lots: durable before the sync has returned; waiters
//! that are not woken when a sync fails; a leader whose turn does not end with its sync.

use std::panic::{AssertUnwindSafe, catch_unwind};

use laminar_vfs::panic_message;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

mod log;
mod machine;
mod small;
mod store;

/// How many schedules a lot has.
pub const SCHEDULES: usize = 50;
/// A schedule that takes more steps than this does not end. The largest model takes some tens of thousands.
const MOST_STEPS: usize = 2_000_000;
/// Of a model whose schedules are gone through one by one, no more than these.
const MOST_EXHAUSTIVE: usize = 20_000;
/// Bytes of a thread's stack: recovery and merging run on it.
const STACK_BYTES: usize = 1 << 20;

/// A model: a name, what it runs, and whether its schedules are gone through one by one.
struct Model {
    name: &'static str,
    body: fn(),
    is_small: bool,
}

const MODELS: [Model; 8] = [
    Model { name: "group commit", body: log::group_commit, is_small: false },
    Model { name: "failed sync", body: log::failed_sync, is_small: false },
    Model { name: "close", body: log::close, is_small: false },
    Model { name: "follower", body: log::follower, is_small: false },
    Model { name: "background", body: log::background, is_small: false },
    Model { name: "store", body: store::checkpoints, is_small: false },
    Model { name: "completion", body: small::hand_over, is_small: true },
    Model { name: "worker", body: small::worker, is_small: true },
];

/// The names of the models.
pub fn models() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|model| model.name)
}

/// Whether one lot goes through the schedules of this model one by one, whatever its number.
#[must_use]
pub fn is_small(name: &str) -> bool {
    MODELS.iter().any(|model| model.name == name && model.is_small)
}

/// Runs a lot of schedules of a model; returns how many.
///
/// # Errors
/// What went wrong in the first that fails.
pub fn explore(name: &str, lot: u64) -> Result<u64, String> {
    let Some(model) = MODELS.iter().find(|model| model.name == name) else {
        return Err(format!("no model is called {name:?}"));
    };
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    // The lot is the seed, and says enough.
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let body = model.body;
    let run = || {
        if model.is_small {
            Runner::new(DfsScheduler::new(Some(MOST_EXHAUSTIVE), false), config).run(body)
        } else if lot.is_multiple_of(2) {
            Runner::new(RandomScheduler::new_from_seed(lot, SCHEDULES), config).run(body)
        } else {
            let depth = 2 + usize::try_from(lot / 2 % 4).unwrap_or(0);
            Runner::new(PctScheduler::new_from_seed(lot, depth, SCHEDULES), config).run(body)
        }
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(schedules) => Ok(schedules as u64),
        Err(panic) => Err(format!("{name}, lot {lot}: a panic: {}", panic_message(&*panic))),
    }
}
