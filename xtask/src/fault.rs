//! `cargo xtask fault`: crashes on the simulated disk: every one of all small workloads, and long random runs by seed;
//! damage at rest, and calls that fail.
//!
//! The runs want an optimised build and the crates they run; the rest of xtask wants neither. So the task starts itself
//! again, built in release with the feature `fault`.

use crate::Outcome;
use crate::steps::cargo;

mod interleavings;
#[cfg(feature = "fault")]
mod kill;
#[cfg(feature = "fault")]
mod runs;

#[cfg(feature = "fault")]
pub(crate) use kill::{Work, work};

/// How many processes are killed, in the long round and where no number is given.
const KILLS: &str = "5000";

/// In a short round, one call in so many fails.
#[cfg(feature = "fault")]
const QUICK_CALL_STEP: usize = 3;

/// Which runs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A short round, as `cargo xtask test` makes it
    #[arg(long, conflicts_with_all = ["ops", "workload", "seeds", "seed", "steps", "reference", "damage", "case"])]
    quick: bool,
    /// Cut the power everywhere in all workloads of up to N operations
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=5))]
    ops: u32,
    /// Only this workload of exactly --ops operations, and no random runs
    #[arg(long, value_name = "NUMBER", requires = "ops")]
    workload: Option<u64>,
    /// How many random runs to make [default: 1000, or 1 where --seed is given]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The seed of the first random run [default: 0]; where it is given, no small workloads
    #[arg(long, value_name = "SEED", conflicts_with = "workload")]
    seed: Option<u64>,
    /// Operations in a random run
    #[arg(long, value_name = "N", default_value_t = 200)]
    steps: usize,
    /// Only damage at rest, and only to the reference directory of this name; with --damage only this one
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Only this damage
    #[arg(long, value_name = "PATH:KIND:AT", requires = "reference")]
    damage: Option<String>,
    /// Only this failing call of a workload
    #[arg(long, value_name = "WORKLOAD:CALL:KIND:HOW", conflicts_with = "reference")]
    case: Option<String>,
    /// Only kill real processes, that many one after the other on one directory, and fill a real file system
    #[arg(long, value_name = "ROUNDS", num_args = 0..=1, default_missing_value = KILLS, conflicts_with = "quick")]
    kill: Option<u64>,
    /// Only schedules of the real code under the model checker: so many lots of each model, the first with --seed
    #[arg(long, value_name = "LOTS", num_args = 0..=1, default_missing_value = interleavings::LOTS)]
    #[arg(conflicts_with_all = ["quick", "kill"])]
    interleavings: Option<u64>,
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
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { quick, ops, workload, seeds, seed, steps, reference, damage, case, kill, interleavings } =
        arguments;
    if let Some(lots) = interleavings {
        return interleavings::run(*lots, *seed);
    }
    let mut again = vec![format!("--ops={ops}"), format!("--steps={steps}")];
    again.extend(workload.map(|number| format!("--workload={number}")));
    again.extend(seeds.map(|count| format!("--seeds={count}")));
    again.extend(seed.map(|seed| format!("--seed={seed}")));
    again.extend(reference.as_ref().map(|name| format!("--reference={name}")));
    again.extend(damage.as_ref().map(|damage| format!("--damage={damage}")));
    again.extend(case.as_ref().map(|case| format!("--case={case}")));
    again.extend(kill.map(|rounds| format!("--kill={rounds}")));
    let again: Vec<&str> = if *quick { vec!["--quick"] } else { again.iter().map(String::as_str).collect() };
    crate::steps::show(command(&again))
}

/// Makes the runs.
#[cfg(feature = "fault")]
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    if let Some(lots) = arguments.interleavings {
        return interleavings::run(lots, arguments.seed);
    }
    let mut parts = runs::Parts::default();
    if arguments.quick {
        parts.small_workloads(3)?;
        parts.random_runs(0..200, 100)?;
        parts.faults(QUICK_CALL_STEP)?;
        parts.kills(0, 100)?;
        parts.full_disks(0..4)?;
    } else if let Some(rounds) = arguments.kill {
        let seed = arguments.seed.unwrap_or(0);
        parts.kills(seed, rounds)?;
        parts.full_disks(seed..seed + 20)?;
    } else if let Some(case) = &arguments.case {
        parts.one_fault(case)?;
    } else if let Some(reference) = &arguments.reference {
        match &arguments.damage {
            Some(damage) => parts.one_damage(reference, damage)?,
            None => parts.damages(Some(reference), 1)?,
        }
    } else if let Some(number) = arguments.workload {
        parts.one_workload(arguments.ops, number)?;
    } else {
        if arguments.seed.is_none() {
            parts.small_workloads(arguments.ops)?;
        }
        let seeds = arguments.seeds.unwrap_or(if arguments.seed.is_some() { 1 } else { 1_000 });
        let first = arguments.seed.unwrap_or(0);
        parts.random_runs(first..first.saturating_add(seeds), arguments.steps)?;
        if arguments.seed.is_none() {
            parts.damages(None, 1)?;
            parts.faults(1)?;
            parts.kills(0, KILLS.parse()?)?;
            parts.full_disks(0..20)?;
        }
    }
    parts.finish()
}
