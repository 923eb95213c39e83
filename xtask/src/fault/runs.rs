//! The runs themselves: seeds shared out to the processors, a progress bar, the first failure with its replay command,
//! and a closing table.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use crate::Outcome;
use crate::steps::seconds;

/// What all runs together did.
#[derive(Default)]
struct Sums {
    runs: u64,
    operations: u64,
    crashes: u64,
    commits: u64,
    /// The failure with the lowest seed.
    failure: Option<(u64, String)>,
}

/// One run; false if it failed. The only place that knows how the simulation is called.
fn run_one(seed: u64, steps: usize, sums: &Mutex<Sums>) -> bool {
    let outcome = std::panic::catch_unwind(|| laminar_sim::run_seed(seed, steps));
    let outcome =
        outcome.map_err(|_| format!("seed {seed}: a panic; replay: cargo xtask fault --seed {seed} --steps {steps}"));
    let outcome = outcome.and_then(|outcome| outcome.map_err(|failure| failure.to_string()));
    let mut sums = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    sums.runs += 1;
    match outcome {
        Ok(summary) => {
            sums.operations += as_u64(summary.operations);
            sums.crashes += as_u64(summary.crashes);
            sums.commits += as_u64(summary.commits);
            true
        }
        Err(failure) => {
            if sums.failure.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                sums.failure = Some((seed, failure));
            }
            false
        }
    }
}

fn as_u64(count: impl TryInto<u64>) -> u64 {
    count.try_into().unwrap_or(u64::MAX)
}

/// Runs every seed of a range, until one fails.
///
/// # Errors
/// The failure with the lowest seed, with the command that replays it.
pub(super) fn run(seeds: Range<u64>, steps: usize) -> Outcome {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bar = ProgressBar::new(seeds.end - seeds.start)
        .with_style(ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} seeds, {per_sec}, {eta} to go")?);
    let start = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let sums = Mutex::new(Sums::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if !run_one(seed, steps, &sums) {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let sums = sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "seeds",
        "runs",
        "operations",
        "commits",
        "crashes",
        "violations",
        "time",
    ]);
    let violations = u64::from(sums.failure.is_some());
    let counts = [sums.runs, sums.operations, sums.commits, sums.crashes, violations].map(|count| count.to_string());
    let mut row = vec![format!("{}..{}", seeds.start, seeds.end)];
    row.extend(counts);
    row.push(seconds(start.elapsed()));
    table.add_row(row);
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("{table}");
    match sums.failure {
        None => Ok(()),
        Some((_, failure)) => Err(failure.into()),
    }
}
