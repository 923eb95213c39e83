//! Schedules of the real code under the model checker. That takes a build of its own, in which every lock is the model checker's, so
//! the task starts itself once more, built with `--cfg laminar_model` in a target directory of its own.

use crate::Outcome;

/// How many lots of each model there are in the long round, and where no number is given.
pub(super) const LOTS: &str = "40";

/// Starts the build that has the models.
#[cfg(not(laminar_model))]
pub(super) fn run(lots: u64, seed: Option<u64>) -> Outcome {
    use crate::steps::root;

    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), std::path::PathBuf::from);
    let mut command = super::command(&[&format!("--interleavings={lots}")]);
    command.args(seed.map(|seed| format!("--seed={seed}")));
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{flags} --cfg laminar_model").trim_start());
    command.env("CARGO_TARGET_DIR", target.join("interleavings"));
    // What takes long in a build would gain the models little.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off");
    crate::steps::show(command)
}

/// Runs the models.
#[cfg(laminar_model)]
pub(super) fn run(lots: u64, seed: Option<u64>) -> Outcome {
    use super::runs::{Counts, Parts};
    use laminar_sim::interleavings::{explore, is_small, models};

    let mut parts = Parts::new(None)?;
    let first = seed.unwrap_or(0);
    for name in models() {
        // One goes through the schedules of a small model one by one.
        let lots = if is_small(name) { first..first + 1 } else { first..first + lots };
        parts.take(format!("lots of schedules (as crashes): {name}"), lots, |lot| match explore(name, lot) {
            Ok(schedules) => Ok(Counts { crashes: schedules, recovered: 0, ..Counts::default() }),
            Err(what) => Err(format!("{what}\nreplay: cargo xtask fault --interleavings 1 --seed {lot}")),
        })?;
    }
    parts.finish()
}
