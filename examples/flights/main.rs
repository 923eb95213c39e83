//! A streaming job on real data that is killed again and again, and counts every row exactly once all the same.
//!
//! The input is every departure from New York's airports in 2013, 336,776 rows. Four operators keep state in a
//! `WalStateStore`: departures and delays per carrier, the same per route, per aircraft its legs and last airport, and in a window of a day the
//! departures per destination, of which the busiest is kept.
//! This program starts the job as a child process, kills it with SIGKILL at random moments (also while a checkpoint is being
//! written), starts it again each time, and at the end compares every entry of the state with a single pass in memory.
//!
//! `cargo run --release --example flights -- --help`
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a program about files and processes, not a layer of the store")]
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::process::ExitCode;

use clap::Parser;

mod args;
mod driver;
mod input;
mod job;
mod operators;
mod oracle;
mod report;
mod windows;

/// Any error: a program has nobody to hand it to but its user.
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    let outcome = match (arguments.child, &arguments.dir) {
        (true, Some(dir)) => job::run(dir).map(|()| true),
        _ => driver::run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
