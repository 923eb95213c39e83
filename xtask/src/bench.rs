//! `cargo xtask bench`: the benches, one after the other, and the report of what they measured.

use std::process::Command;

use crate::Outcome;
use crate::steps::{Steps, cargo, root, show};

/// The programs of the package `laminar-benches` that write figures down, in the order of the report.
const PROGRAMS: [&str; 6] = ["log", "store", "checkpoint", "writer", "series", "recovery"];

/// The package that holds the peers, a workspace of its own.
const PEERS: &str = "benches/peers/Cargo.toml";

/// Which benches, and how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Small sizes and few rounds: two minutes, not an hour; for a look, not for a report
    #[arg(long)]
    quick: bool,
    /// Also at 10 million keys: half an hour more, 8 GiB of memory and 20 GiB of disk
    #[arg(long)]
    large: bool,
    /// Also the stores and logs of others; the first build of them takes half an hour
    #[arg(long)]
    peers: bool,
    /// Turns of every contender, other than five (three with --quick)
    #[arg(long)]
    rounds: Option<u32>,
    /// Measure nothing: only the report of what was measured before
    #[arg(long, conflicts_with_all = ["quick", "large", "peers", "rounds", "filter"])]
    report: bool,
    /// Write the report to benches/REPORT.md and benches/report.html too, and name it in the README
    #[arg(long)]
    publish: bool,
    /// Only programs whose name contains this (log, store, ...), or one part of one: "store scan"
    filter: Option<String>,
}

/// Measures, then reports all that has been measured so far. What fails is told at the end, and keeps nothing else from running.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut steps = Steps::default();
    if !arguments.report {
        let build = || show(cargo(&["bench", "--package", "laminar-benches", "--no-run"])).map(|()| String::new());
        steps.take("build", build);
        for program in PROGRAMS {
            if let Some(part) = arguments.part_of(program) {
                steps.take(program, || show(arguments.pass_to(bench(program), part)).map(|()| String::new()));
            }
        }
        if arguments.peers {
            let part = arguments.filter.as_deref().and_then(|filter| filter.strip_prefix("peers ")).unwrap_or_default();
            steps.take("peers", || show(arguments.pass_to(peers(), part)).map(|()| String::new()));
        }
    }
    steps.take("report", || show(arguments.report()).map(|()| String::new()));
    steps.finish()
}

impl Arguments {
    /// The part of a program to run, empty for all of it; nothing if it is not to run.
    fn part_of(&self, program: &str) -> Option<&str> {
        let Some(filter) = &self.filter else { return Some("") };
        if program.contains(filter.as_str()) {
            return Some("");
        }
        filter.starts_with(&format!("{program} ")).then_some(filter)
    }

    fn pass_to(&self, mut command: Command, part: &str) -> Command {
        if self.quick {
            command.arg("--quick");
        }
        if self.large {
            command.arg("--large");
        }
        if let Some(rounds) = self.rounds {
            command.args(["--rounds", &rounds.to_string()]);
        }
        if !part.is_empty() {
            command.arg(part);
        }
        command
    }

    fn report(&self) -> Command {
        let mut command = cargo(&["run", "--quiet", "--release", "--package", "laminar-benches", "--bin", "report"]);
        if self.publish {
            command.args(["--", "--publish", "."]);
        }
        command
    }
}

fn bench(program: &str) -> Command {
    cargo(&["bench", "--quiet", "--package", "laminar-benches", "--bench", program, "--"])
}

/// In the directory of its package, whose configuration of cargo says how the peers are built.
fn peers() -> Command {
    let mut command = cargo(&["run", "--release", "--"]);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir));
    // Its figures belong beside ours.
    command.env("LAMINAR_BENCH_DIR", target.join("bench"));
    if let Some(package) = root().join(PEERS).parent() {
        command.current_dir(package);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_picks_programs_or_one_part() {
        let with = |filter: &str| Arguments {
            quick: false,
            large: false,
            peers: false,
            rounds: None,
            report: false,
            publish: false,
            filter: (!filter.is_empty()).then(|| filter.to_owned()),
        };
        assert_eq!(with("").part_of("log"), Some(""));
        assert_eq!(with("log").part_of("log"), Some(""));
        assert_eq!(with("log").part_of("store"), None);
        assert_eq!(with("log replay").part_of("log"), Some("log replay"));
        assert_eq!(with("log replay").part_of("store"), None);
        assert_eq!(PROGRAMS.into_iter().filter(|program| with("store points").part_of(program).is_some()).count(), 1);
    }
}
