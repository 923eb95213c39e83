//! Our store and log beside their peers: the same work for all of them, in turns, each part in a process and a directory of its
//! own. What is run, with which settings, and how to build it stands in `README.md`.
//!
//! `peers [--quick] [--large] [--keys N] [--rounds N] [FILTER]` writes rows to `target/bench/peers-*.jsonl`; the budgets are
//! computed from them by `cargo xtask bench`.

#![expect(
    clippy::disallowed_methods,
    reason = "handles the files of others, and runs their calls in threads of its own"
)]

use std::path::Path;
use std::process::ExitCode;

use laminar_benches::{Settings, child};

mod backend;
mod logs;
mod measure;
mod nexmark;
mod part;
mod stores;

use backend::{Outcome, Store};

fn main() -> ExitCode {
    let outcome = match child::part() {
        Some((name, arguments)) => run_part(&name, &arguments),
        None => run(&settings()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What was asked for; a quick look is one round here, where every round takes a minute.
fn settings() -> Settings {
    let settings = Settings::from_arguments();
    if settings.quick { Settings { rounds: 1, ..settings } } else { settings }
}

fn run(settings: &Settings) -> Outcome {
    let programs: [(&str, fn(&Settings) -> Outcome); 3] =
        [("stores", stores::run), ("logs", logs::run), ("nexmark", nexmark::run)];
    let mut failed = Vec::new();
    for (name, program) in programs {
        // What one of the others dies of keeps nothing else from being measured.
        match std::panic::catch_unwind(|| program(settings)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failed.push(format!("{name}: {error}")),
            Err(_) => failed.push(format!("{name}: a panic, told above")),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
}

fn run_part(name: &str, arguments: &[String]) -> Outcome {
    match name {
        "nexmark" => return nexmark::part(arguments, false),
        "nexmark-recover" => return nexmark::part(arguments, true),
        "log" => return logs::part(arguments),
        _ => {}
    }
    let [store, dir, keys] = arguments else { return Err(format!("{name} with other arguments").into()) };
    let dir = Path::new(dir);
    std::fs::create_dir_all(dir)?;
    let told = part::run(name, Store::find(store)?, part::Task { dir, keys: keys.parse()? })?;
    child::tell(&told);
    Ok(())
}
