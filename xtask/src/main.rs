//! The project's tasks, as `cargo xtask <task>`: from arguments to a subcommand, nothing else.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a program about files and times of the source tree, not of a store")]
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod ci;
mod fault;
mod steps;
mod test;
mod tidy;
mod torture;

/// What every task returns: nothing, or what to tell the person who called it.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The project's tasks
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Unit, integration and doc tests of the workspace, then a short crash enumeration
    Test,
    /// Everything a change has to pass: formatting, lints, docs, tidy, test, examples
    Ci,
    /// The rules of the source tree that neither the compiler nor clippy knows
    Tidy(tidy::Arguments),
    /// Crashes on the simulated disk: every one of all small workloads, then random runs by seed
    Fault(fault::Arguments),
    /// The process that `fault` kills
    #[cfg(feature = "fault")]
    #[command(hide = true)]
    Work(fault::Work),
    /// The benches, each held against a floor measured in the same run
    Bench(bench::Arguments),
    /// The torture suite: ours and the logs and stores of others
    Torture(torture::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test => test::run(),
        Task::Ci => ci::run(),
        Task::Tidy(arguments) => tidy::run(&arguments),
        Task::Fault(arguments) => fault::run(&arguments),
        #[cfg(feature = "fault")]
        Task::Work(arguments) => fault::work(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Torture(arguments) => torture::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
