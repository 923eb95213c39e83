//! The runs themselves, shared out to the processors: a progress bar each part, the first failure with its replay command, and a
//! closing table.

use std::ops::{AddAssign, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::Outcome;
use crate::steps::seconds;

/// What one run did, or many.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// Kills and power cuts; of a small workload, the moments at which the power was cut in many ways.
    crashes: u64,
    /// Disks that a crash left, recovered and compared whole.
    recovered: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.recovered += other.recovered;
    }
}

/// One part, done.
struct Part {
    name: String,
    runs: u64,
    counts: Counts,
    time: Duration,
    /// Of the run with the lowest number among those that failed.
    failure: Option<(u64, String)>,
}

/// The parts done so far.
#[derive(Default)]
pub(super) struct Parts {
    done: Vec<Part>,
}

impl Parts {
    /// Every crash of all workloads of up to `ops` operations.
    pub(super) fn small_workloads(&mut self, ops: u32) -> Outcome {
        let first_of = |ops: u32| -> u64 { (0..ops).map(laminar_sim::workloads).sum() };
        // Counted through: first those of no operation, then of one, and so on.
        let run = |index: u64| {
            let ops = (0..=ops).rev().find(|ops| first_of(*ops) <= index).unwrap_or(0);
            small_workload(ops, index - first_of(ops))
        };
        self.take(format!("workloads of up to {ops} operations"), 0..first_of(ops + 1), run)
    }

    /// Every crash of one small workload.
    pub(super) fn one_workload(&mut self, ops: u32, number: u64) -> Outcome {
        let number = number % laminar_sim::workloads(ops);
        self.take(format!("workload {number} of {ops} operations"), number..number + 1, |number| {
            small_workload(ops, number)
        })
    }

    /// Random runs of `steps` operations.
    pub(super) fn random_runs(&mut self, seeds: Range<u64>, steps: usize) -> Outcome {
        let name = format!("random runs of {steps} operations, seeds {}..{}", seeds.start, seeds.end);
        self.take(name, seeds, |seed| {
            let summary = laminar_sim::run_seed(seed, steps).map_err(|failure| failure.to_string())?;
            Ok(Counts { crashes: summary.crashes, recovered: summary.recoveries })
        })
    }

    /// Runs every number of a range, until one fails.
    fn take(
        &mut self,
        name: String,
        numbers: Range<u64>,
        run: impl Fn(u64) -> Result<Counts, String> + Sync,
    ) -> Outcome {
        let style = ProgressStyle::with_template("{msg}\n{bar:40} {human_pos}/{human_len}, {per_sec}, {eta} to go")?;
        let bar = ProgressBar::new(numbers.end - numbers.start).with_style(style).with_message(name.clone());
        let part = Part { name, runs: 0, counts: Counts::default(), time: Duration::ZERO, failure: None };
        let (part, start) = (Mutex::new(part), Instant::now());
        let next = AtomicU64::new(numbers.start);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return;
                }
                let outcome = catch_unwind(AssertUnwindSafe(|| run(number)));
                let outcome = outcome.unwrap_or_else(|_| Err(format!("number {number}: a panic, see above")));
                let mut part = part.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                part.runs += 1;
                match outcome {
                    Ok(counts) => part.counts += counts,
                    Err(failure) => {
                        next.store(numbers.end, Ordering::Relaxed);
                        if part.failure.as_ref().is_none_or(|(lowest, _)| number < *lowest) {
                            part.failure = Some((number, failure));
                        }
                    }
                }
                bar.inc(1);
            }
        };
        std::thread::scope(|scope| {
            (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(work)));
        });
        bar.finish_and_clear();
        let mut part = part.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        part.time = start.elapsed();
        self.done.push(part);
        Ok(())
    }

    /// Prints the table.
    ///
    /// # Errors
    /// The failures, each with the command that replays it.
    pub(super) fn finish(self) -> Outcome {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "runs", "crashes", "recovered and compared", "a minute", "violations", "time"]);
        for part in &self.done {
            let Counts { crashes, recovered } = part.counts;
            let millis = part.time.as_millis().max(1);
            let counts = [part.runs, crashes, recovered, u64::try_from(u128::from(recovered) * 60_000 / millis)?];
            let mut row = vec![part.name.clone()];
            row.extend(counts.map(|count| HumanCount(count).to_string()));
            row.extend([u64::from(part.failure.is_some()).to_string(), seconds(part.time)]);
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{table}");
        let failures: Vec<String> =
            self.done.into_iter().filter_map(|part| part.failure).map(|(_, failure)| failure).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
    }
}

fn small_workload(ops: u32, number: u64) -> Result<Counts, String> {
    let workload = laminar_sim::workload(ops, number);
    let counts = catch_unwind(AssertUnwindSafe(|| laminar_sim::enumerate(&workload, true)));
    let failure = match counts {
        Ok(Ok(counts)) => return Ok(Counts { crashes: counts.crash_points, recovered: counts.images }),
        Ok(Err(violation)) => violation.to_string(),
        Err(_) => "a panic, see above".to_owned(),
    };
    Err(format!("workload {workload:?}: {failure}\nreplay: cargo xtask fault --ops {ops} --workload {number}"))
}
