//! `cargo xtask test`: every test of the workspace, then a short crash enumeration.

use crate::steps::{Steps, cargo, show, show_tests};
use crate::{Outcome, fault};

/// Runs both and prints their verdicts.
pub(crate) fn run() -> Outcome {
    let mut steps = Steps::default();
    take(&mut steps);
    steps.finish()
}

/// The two steps, for whoever takes more of them.
pub(crate) fn take(steps: &mut Steps) {
    steps.take("tests", || {
        // Doc tests are part of it. The simulated disk is a feature, and its own tests exist only with it.
        let tally = show_tests(cargo(&["test", "--workspace", "--no-fail-fast", "--features", "laminar-vfs/sim"]))?;
        Ok(tally.to_string())
    });
    steps.take("crash runs", || {
        show(fault::command(&["--quick"]))?;
        Ok("see the table of the step".to_owned())
    });
}
