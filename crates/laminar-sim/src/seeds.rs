//! Runs by seed: a list of operations from a number, and the shortest list that still fails.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use laminar_vfs::panic_message;

use crate::{Driver, Op, Summary, Violation, shrink};

/// A run that went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// How many operations it had.
    pub steps: usize,
    /// What went wrong in the shortest run that still fails.
    pub violation: Violation,
    /// The operations of that run.
    pub shrunk: Vec<Op>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.violation)?;
        writeln!(f, "replay: cargo xtask fault --seed {} --steps {}", self.seed, self.steps)?;
        writeln!(f, "the shortest run that fails has {} operations:", self.shrunk.len())?;
        self.shrunk.iter().try_for_each(|op| writeln!(f, "  {op:?}"))
    }
}

impl std::error::Error for Failure {}

/// Runs `steps` random operations from `seed`.
///
/// # Errors
/// What the store did that it must not, with the operations shrunk.
pub fn run_seed(seed: u64, steps: usize) -> Result<Summary, Box<Failure>> {
    let ops = Op::run(seed, steps);
    run_ops(seed, &ops).map_err(|violation| {
        let (shrunk, violation) = shrink(ops, violation, |fewer| run_ops(seed, fewer).map(drop));
        Box::new(Failure { seed, steps, violation, shrunk })
    })
}

/// Runs a list of operations on a fresh simulated disk.
///
/// # Errors
/// What the store did that it must not; a panic is one.
pub fn run_ops(seed: u64, ops: &[Op]) -> Result<Summary, Violation> {
    let run = || {
        let mut driver = Driver::new(seed)?;
        for (number, op) in ops.iter().enumerate() {
            driver.apply(op).map_err(|violation| violation.at(number, op))?;
        }
        driver.finish()
    };
    caught(run)
}

/// Runs `run`; a panic in it is a violation.
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(Violation::new(format!("panic: {}", panic_message(&*panic)))))
}
