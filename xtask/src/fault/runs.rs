//! The runs themselves, shared out to the processors: a progress bar each part, the first failure with its replay command, and a
//! closing table.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use laminar_sim::{Met, Reference, SimMachine, Target};

use crate::Outcome;
use crate::steps::seconds;

/// Damages that are done one after another by one thread.
const LOT: usize = 512;

/// What one run did, or many.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    /// Kills and power cuts; of a small workload, the moments at which the power was cut in many ways.
    pub(super) crashes: u64,
    /// Disks that a crash left, recovered and compared whole.
    pub(super) recovered: u64,
    /// Disks that a crash left and that are byte for byte one that was recovered in the same run.
    pub(super) equal: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.recovered += other.recovered;
        self.equal += other.equal;
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
pub(super) struct Parts {
    done: Vec<Part>,
    /// The bug that every thread acts out.
    bug: Option<&'static str>,
}

#[cfg(feature = "planted")]
fn find(name: &str) -> Outcome<&'static str> {
    let bug = laminar_sim::find_planted(name).ok_or_else(|| format!("there is no bug `{name}`"))?;
    Ok(bug.name)
}

#[cfg(not(feature = "planted"))]
fn find(name: &str) -> Outcome<&'static str> {
    Err(format!("this build has no bugs, so not `{name}` either: start it by `cargo xtask fault --plant {name}`")
        .into())
}

/// This thread acts out the bug from now on.
fn plant(bug: Option<&'static str>) {
    #[cfg(feature = "planted")]
    laminar_sim::plant(bug);
    #[cfg(not(feature = "planted"))]
    debug_assert!(bug.is_none(), "a build without bugs finds none");
}

impl Parts {
    /// No part yet; in this thread and those of all parts with the bug of this name.
    pub(super) fn new(bug: Option<&str>) -> Outcome<Self> {
        let bug = bug.map(find).transpose()?;
        plant(bug);
        Ok(Self { done: Vec::new(), bug })
    }

    /// Every crash of all workloads of fewer than `ops` operations, and of every `step`-th one of `ops`.
    pub(super) fn small_workloads(&mut self, ops: u32, step: u64) -> Outcome {
        let first_of = |ops: u32| -> u64 { (0..ops).map(laminar_sim::workloads).sum() };
        let shorter = first_of(ops);
        // Counted through: first those of no operation, then of one, and so on.
        let run = |index: u64| {
            let index = if index < shorter { index } else { shorter + (index - shorter) * step };
            let ops = (0..=ops).rev().find(|ops| first_of(*ops) <= index).unwrap_or(0);
            small_workload(ops, index - first_of(ops))
        };
        let name = match step {
            1 => format!("workloads of up to {ops} operations"),
            _ => format!("workloads of under {ops} operations, one of {step} of {ops}"),
        };
        self.take(name, 0..shorter + laminar_sim::workloads(ops).div_ceil(step), run)
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
            Ok(Counts { crashes: summary.crashes, recovered: summary.recoveries, ..Counts::default() })
        })
    }

    /// Random runs of `steps` operations on a log alone.
    pub(super) fn log_runs(&mut self, seeds: Range<u64>, steps: usize) -> Outcome {
        let name = format!("runs of {steps} operations on a log alone, seeds {}..{}", seeds.start, seeds.end);
        self.take(name, seeds, |seed| {
            let summary = laminar_sim::run_log(seed, steps).map_err(|failure| failure.to_string())?;
            Ok(Counts { crashes: summary.crashes, recovered: summary.recoveries, ..Counts::default() })
        })
    }

    /// Fills a simulated disk, and frees it, again and again. What was refused counts as a crash.
    pub(super) fn full_disk_runs(&mut self, seeds: Range<u64>) -> Outcome {
        let name = format!("a full disk, seeds {}..{}", seeds.start, seeds.end);
        self.take(name, seeds, |seed| {
            let filled = laminar_sim::fill_disk(Path::new("/store"), seed, SimMachine::new(seed));
            let filled = filled.map_err(|violation| {
                format!("a full disk, seed {seed}: {violation}\nreplay: cargo xtask fault --full 1 --seed {seed}")
            })?;
            Ok(Counts { crashes: filled.refusals, recovered: filled.openings, ..Counts::default() })
        })
    }

    /// Every damage of all references, or of one; or a sample, see [`Reference::damages`]. A damage counts as a crash.
    pub(super) fn damages(&mut self, only: Option<&str>, step: usize) -> Outcome {
        // A name that there is not would be none of all.
        only.map(Reference::new).transpose()?;
        for name in laminar_sim::REFERENCES.into_iter().filter(|name| only.is_none_or(|only| only == *name)) {
            let reference = Reference::new(name)?;
            let damages = reference.damages(step);
            let lots = damages.len().div_ceil(LOT) as u64;
            let (bytes, all) = (HumanCount(reference.bytes()), HumanCount(damages.len() as u64));
            println!("{name}: {all} damages to {bytes} bytes");
            let mut ends = Mutex::new(BTreeMap::new());
            self.take(format!("damages of {name}, in lots of {LOT}"), 0..lots, |lot| {
                // One for each lot, since copies that threads share slow each other down.
                let reference = Reference::new(name).map_err(|violation| violation.to_string())?;
                let (mut counts, mut of_lot) = (Counts::default(), BTreeMap::new());
                for damage in damages.chunks(LOT).nth(index(lot)).unwrap_or_default() {
                    let outcome = reference.check(damage).map_err(|violation| format!("{damage}: {violation}"))?;
                    *of_lot.entry(outcome).or_insert(0) += 1;
                    counts.crashes += 1;
                    counts.recovered += u64::from(outcome == laminar_sim::Outcome::Whole);
                }
                let mut ends = ends.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                of_lot.into_iter().for_each(|(outcome, count)| *ends.entry(outcome).or_insert(0) += count);
                Ok(counts)
            })?;
            let ends = ends.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            let ends = ends.iter().map(|(outcome, count)| format!("{} {outcome}", HumanCount(*count)));
            println!("{name}: {}", ends.collect::<Vec<_>>().join(", "));
        }
        Ok(())
    }

    /// One damage of one reference.
    pub(super) fn one_damage(&mut self, reference: &str, damage: &str) -> Outcome {
        let (reference, damage) = (Reference::new(reference)?, damage.parse()?);
        self.take(format!("{damage}"), 0..1, |_| {
            let outcome = reference.check(&damage).map_err(|violation| violation.to_string())?;
            println!("{damage}: {outcome:?}");
            Ok(Counts { crashes: 1, recovered: u64::from(outcome == laminar_sim::Outcome::Whole), ..Counts::default() })
        })
    }

    /// Every way in which every call of a workload fails; of the calls every `call_step`-th.
    pub(super) fn faults(&mut self, call_step: usize) -> Outcome {
        let cases = laminar_sim::fault_cases(call_step)?;
        self.take("calls that fail".to_owned(), 0..cases.len() as u64, |number| match cases.get(index(number)) {
            Some(case) => one_fault(*case),
            None => Ok(Counts::default()),
        })
    }

    /// One failing call.
    pub(super) fn one_fault(&mut self, case: &str) -> Outcome {
        let case: laminar_sim::FaultCase = case.parse()?;
        self.take(format!("failing call {case}"), 0..1, |_| one_fault(case))
    }

    /// So many mutations of each kind of hostile bytes, raw and mended. What was refused counts as a crash, what was read as recovered.
    pub(super) fn hostile(&mut self, count: u64) -> Outcome {
        let kinds = Target::ALL.map(|target| [(target, false), (target, true)]).concat();
        self.take("hostile bytes".to_owned(), 0..count * kinds.len() as u64, |number| {
            let (seed, kind) = (number / kinds.len() as u64, index(number % kinds.len() as u64));
            let Some((target, mend)) = kinds.get(kind) else { return Ok(Counts::default()) };
            let met = laminar_sim::meet_mutation(*target, *mend, seed).map_err(|violation| violation.to_string())?;
            Ok(Counts { crashes: 1, recovered: u64::from(met == Met::Read), ..Counts::default() })
        })
    }

    /// One mutation, which is kept as a case of the tests.
    pub(super) fn one_hostile(&mut self, case: &str) -> Outcome {
        let parts: Vec<&str> = case.split(':').collect();
        let [target, how, seed] = parts[..] else { return Err(format!("`{case}` is not TARGET:HOW:SEED").into()) };
        let (target, seed) = (target.parse::<Target>()?, seed.parse()?);
        let path = format!("crates/laminar-sim/tests/hostile/{target}/{seed}");
        std::fs::write(&path, laminar_sim::mutation(target, seed)?)?;
        println!("kept in {path}");
        self.take(format!("hostile bytes {case}"), 0..1, |_| {
            let met =
                laminar_sim::meet_mutation(target, how == "mended", seed).map_err(|violation| violation.to_string())?;
            Ok(Counts { crashes: 1, recovered: u64::from(met == Met::Read), ..Counts::default() })
        })
    }

    /// Runs every number of a range, until one fails.
    pub(super) fn take(
        &mut self,
        name: String,
        numbers: Range<u64>,
        run: impl Fn(u64) -> Result<Counts, String> + Sync,
    ) -> Outcome {
        let bar = bar(&name, numbers.end - numbers.start)?;
        let part = Part { name, runs: 0, counts: Counts::default(), time: Duration::ZERO, failure: None };
        let (part, start) = (Mutex::new(part), Instant::now());
        let next = AtomicU64::new(numbers.start);
        let work = || {
            plant(self.bug);
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
                say_how_far(&bar, start);
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

    /// Fails where the parts done so far came by fewer disks than that.
    pub(super) fn expect_disks(&self, least: u64) -> Outcome {
        let disks: u64 = self.done.iter().map(|part| part.counts.recovered + part.counts.equal).sum();
        let failed = self.done.iter().any(|part| part.failure.is_some());
        if failed || disks >= least { Ok(()) } else { Err(format!("only {disks} disks were left, not {least}").into()) }
    }

    /// One part whose runs build on each other, and tell the bar themselves.
    pub(super) fn take_in_turn(
        &mut self,
        name: String,
        runs: u64,
        run: impl FnOnce(&ProgressBar) -> Result<Counts, String>,
    ) -> Outcome {
        let (bar, start) = (bar(&name, runs)?, Instant::now());
        bar.enable_steady_tick(Duration::from_millis(200));
        let (counts, failure) = match run(&bar) {
            Ok(counts) => (counts, None),
            Err(failure) => (Counts::default(), Some((0, failure))),
        };
        let runs = bar.position();
        bar.finish_and_clear();
        self.done.push(Part { name, runs, counts, time: start.elapsed(), failure });
        Ok(())
    }

    /// Prints the table.
    ///
    /// # Errors
    /// The failures, each with the command that replays it.
    pub(super) fn finish(self) -> Outcome {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header([
            "",
            "runs",
            "crashes",
            "disks",
            "recovered and compared",
            "disks a minute",
            "violations",
            "time",
        ]);
        for part in &self.done {
            let Counts { crashes, recovered, equal } = part.counts;
            let millis = part.time.as_millis().max(1);
            let disks = recovered + equal;
            let rate = u64::try_from(u128::from(disks) * 60_000 / millis)?;
            let counts = [part.runs, crashes, disks, recovered, rate];
            let mut row = vec![part.name.clone()];
            row.extend(counts.map(|count| HumanCount(count).to_string()));
            row.extend([u64::from(part.failure.is_some()).to_string(), seconds(part.time)]);
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{table}");
        println!(
            "A disk is what a crash left, whole. Recovered and compared: opened with the store's own code and held whole against the oracle."
        );
        println!(
            "The other disks are byte for byte one that was, in the same workload, whose oracle says the same of both."
        );
        let failures: Vec<String> =
            self.done.into_iter().filter_map(|part| part.failure).map(|(_, failure)| failure).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
    }
}

fn bar(name: &str, runs: u64) -> Outcome<ProgressBar> {
    let style = ProgressStyle::with_template("{msg}\n{bar:40} {human_pos}/{human_len}, {per_sec}, {eta} to go")?;
    Ok(ProgressBar::new(runs).with_style(style).with_message(name.to_owned()))
}

/// Where nobody sees the bar, a line at each tenth of a part that takes long.
fn say_how_far(bar: &ProgressBar, start: Instant) {
    let (at, all) = (bar.position(), bar.length().unwrap_or(0).max(1));
    if bar.is_hidden() && start.elapsed() > Duration::from_secs(10) && at * 10 / all > (at - 1) * 10 / all {
        println!("{}: {}/{} after {}", bar.message(), HumanCount(at), HumanCount(all), seconds(start.elapsed()));
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn one_fault(case: laminar_sim::FaultCase) -> Result<Counts, String> {
    let recovered = laminar_sim::check_fault(case).map_err(|violation| violation.to_string())?;
    Ok(Counts { crashes: 1, recovered, ..Counts::default() })
}

fn small_workload(ops: u32, number: u64) -> Result<Counts, String> {
    let counts = laminar_sim::enumerate_number(ops, number).map_err(|failure| failure.to_string())?;
    let equal = counts.images - counts.recovered;
    Ok(Counts { crashes: counts.crash_points, recovered: counts.recovered, equal })
}
