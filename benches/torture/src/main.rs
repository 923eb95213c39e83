//! The torture suite: logs and stores, ours and those of others, each put through the same damage, told as one table for
//! logs and one for stores. How to run it and how to read it stands in `README.md`.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]
#![expect(clippy::disallowed_methods, reason = "damages real files of others, and measures how long they take")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

mod child;
mod contender;
mod image;
mod oracle;
mod process;
mod report;
mod strace;
mod torture;
mod trace;
mod verdict;

use contender::{ALL, Kind, Outcome};

/// The same tortures for logs and stores, ours and those of others
#[derive(Parser)]
#[command(name = "torture")]
struct Arguments {
    /// A sixth of the flips, enough to see that everything works
    #[arg(long)]
    quick: bool,
    /// Only the contenders with this in their name; may stand several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Where the flips fall and what the records contain
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processes at once during the flips [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Below which directory the contenders work [default: that of the system for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// After how many seconds without an answer a process hangs
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    patience: u64,
    /// Where the tables go as Markdown
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/torture.md"))]
    markdown: PathBuf,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// The process under torture; started by the suite itself
    #[command(hide = true)]
    Child { name: String, dir: PathBuf, seed: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.role {
        Some(Role::Child { name, dir, seed }) => match contender::find(name) {
            Some(entry) => child::run(entry, dir, *seed).map(|()| true),
            None => Err(format!("no contender is called {name}").into()),
        },
        None => run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Tortures, prints, and tells whether our own rows are without blemish.
fn run(arguments: &Arguments) -> Outcome<bool> {
    let wanted =
        |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| name.contains(only.as_str()));
    let entries: Vec<_> = ALL.iter().filter(|entry| wanted(entry.name)).collect();
    if entries.is_empty() {
        let names: Vec<_> = ALL.iter().map(|entry| entry.name).collect();
        return Err(format!("no contender has such a name; there are: {}", names.join(", ")).into());
    }
    let plan = torture::Plan {
        seed: arguments.seed,
        flips: if arguments.quick { 200 } else { 1_200 },
        jobs: arguments.jobs.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1),
        patience: Duration::from_secs(arguments.patience),
        scratch: arguments.scratch.clone().unwrap_or_else(std::env::temp_dir),
        has_strace: strace::is_available(),
    };
    let rows = torture::run(&plan, &entries)?;
    let kinds = [Kind::Log, Kind::Store];
    for kind in kinds {
        if let Some(text) = report::for_terminal(kind, &plan, &rows) {
            println!("{text}\n");
        }
    }
    let sections: Vec<_> = kinds.into_iter().filter_map(|kind| report::as_markdown(kind, &plan, &rows)).collect();
    if let Some(parent) = arguments.markdown.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&arguments.markdown, sections.join("\n"))?;
    println!("as Markdown: {}", arguments.markdown.display());
    Ok(rows.iter().filter(|row| row.is_ours).all(|row| row.honest))
}
