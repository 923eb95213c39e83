//! `cargo xtask bench`: the benches of the workspace.

use crate::Outcome;
use crate::steps::{cargo, show};

/// Which benches, and how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Small sizes and few rounds: minutes, not an hour
    #[arg(long)]
    quick: bool,
    /// Only benches whose name contains this
    filter: Option<String>,
}

/// Runs them. All of them are plain programs (`harness = false`) that take the same arguments.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut command = cargo(&["bench", "--package", "laminar-benches", "--bench", "*", "--"]);
    if arguments.quick {
        command.arg("--quick");
    }
    command.args(&arguments.filter);
    show(command)
}
