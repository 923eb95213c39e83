//! `cargo xtask fault`: crash and fault runs on the simulated disk, one per seed, on all processors.
//!
//! The runs want an optimised build and the crates they run; the rest of xtask wants neither. So the task starts itself
//! again, built in release with the feature `fault`.

use crate::Outcome;
use crate::steps::cargo;

#[cfg(feature = "fault")]
mod runs;

/// Which runs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds to run [default: 1000, or 1 where --seed is given]
    #[arg(long, value_name = "N", conflicts_with = "quick")]
    seeds: Option<u64>,
    /// The first seed [default: 0]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Operations per run
    #[arg(long, value_name = "N", default_value_t = 200, conflicts_with = "quick")]
    steps: usize,
    /// A short round, as `cargo xtask test` makes it
    #[arg(long)]
    quick: bool,
}

/// The command that makes the runs with these arguments.
pub(crate) fn command(arguments: &[&str]) -> std::process::Command {
    let mut command =
        cargo(&["run", "--release", "--quiet", "--package", "xtask", "--features", "fault", "--", "fault"]);
    command.args(arguments);
    command
}

/// Starts the build that has the runs.
#[cfg(not(feature = "fault"))]
pub(crate) fn run(_: &Arguments) -> Outcome {
    let arguments: Vec<String> = std::env::args().skip_while(|argument| argument != "fault").skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    crate::steps::show(command(&arguments))
}

/// Makes the runs.
#[cfg(feature = "fault")]
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let (seeds, steps) = if arguments.quick {
        (200, 100)
    } else {
        (arguments.seeds.unwrap_or(if arguments.seed.is_some() { 1 } else { 1_000 }), arguments.steps)
    };
    let first = arguments.seed.unwrap_or(0);
    runs::run(first..first.saturating_add(seeds), steps)
}
