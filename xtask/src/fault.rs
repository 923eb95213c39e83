//! `cargo xtask fault`: crashes on the simulated disk (every one of all small workloads, and long random runs by seed), damage at rest,
//! calls that fail, hostile bytes; processes that are killed, schedules under the model checker, and whether all that notices the bugs of a list.
//!
//! The runs want an optimised build and the crates they run; the rest of xtask wants neither. So the task starts itself
//! again, built in release with the feature that it takes.

use crate::Outcome;
use crate::steps::cargo;

mod interleavings;
#[cfg(feature = "fault")]
mod kill;
#[cfg(feature = "planted")]
mod planted;
#[cfg(feature = "fault")]
mod runs;

#[cfg(feature = "fault")]
pub(crate) use kill::{Work, work};

/// How many random runs on a log alone there are in a long round, and where no number is given.
const LONG_LOGS: &str = "1000";
/// And in a short one.
#[cfg(feature = "fault")]
const QUICK_LOGS: u64 = 30;

/// How many simulated disks are filled, in the long round and where no number is given.
const FULL: &str = "2000";

/// How many processes are killed, in the long round and where no number is given.
const KILLS: &str = "5000";

/// In a short round, workloads have up to so many operations, and of those that have, one in so many is taken. Together they
/// leave more than a million disks.
#[cfg(feature = "fault")]
const QUICK_OPS: u32 = 4;
#[cfg(feature = "fault")]
const QUICK_WORKLOAD_STEP: u64 = 2;
#[cfg(feature = "fault")]
const QUICK_DISKS: u64 = 1_000_000;
/// In a short round, one call in so many fails.
#[cfg(feature = "fault")]
const QUICK_CALL_STEP: usize = 3;
/// In a short round, one bit in so many is flipped; prime, so that in time every bit of a byte has its turn.
#[cfg(feature = "fault")]
const QUICK_DAMAGE_STEP: usize = 1009;
/// Mutations of each kind of hostile bytes, in a short round and in a long one.
#[cfg(feature = "fault")]
const HOSTILE: [u64; 2] = [200, 100_000];

/// Which runs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A short round, as `cargo xtask test` makes it
    #[arg(long, group = "what", conflicts_with_all = ["ops", "seeds", "seed", "steps"])]
    quick: bool,
    /// Cut the power everywhere in all workloads of up to N operations
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=5))]
    ops: u32,
    /// Nothing but these workloads
    #[arg(long, group = "what")]
    small: bool,
    /// Only this workload of exactly --ops operations
    #[arg(long, group = "what", value_name = "NUMBER", requires = "ops")]
    workload: Option<u64>,
    /// How many random runs to make [default: 1000, or 1 where --seed is given]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The seed of the first random run [default: 0]; where it is given, no small workloads
    #[arg(long, value_name = "SEED", conflicts_with_all = ["small", "workload"])]
    seed: Option<u64>,
    /// Operations in a random run
    #[arg(long, value_name = "N", default_value_t = 200)]
    steps: usize,
    /// Only damage at rest, and only to the reference directory of this name; with --damage only this one
    #[arg(long, group = "what", value_name = "NAME")]
    reference: Option<String>,
    /// Only this damage
    #[arg(long, value_name = "PATH:KIND:AT", requires = "reference")]
    damage: Option<String>,
    /// Only this failing call of a workload
    #[arg(long, group = "what", value_name = "WORKLOAD:CALL:KIND:HOW")]
    case: Option<String>,
    /// Only hostile bytes: so many mutations of each kind, or one, which is also kept as a case of the tests
    #[arg(long, group = "what", value_name = "COUNT|TARGET:raw|mended:SEED")]
    hostile: Option<String>,
    /// Only random runs on a log alone, that many, the first with --seed
    #[arg(long, group = "what", value_name = "COUNT", num_args = 0..=1, default_missing_value = LONG_LOGS)]
    logs: Option<u64>,
    /// Only full simulated disks: so many, the first with --seed
    #[arg(long, group = "what", value_name = "COUNT", num_args = 0..=1, default_missing_value = FULL)]
    full: Option<u64>,
    /// Only kill real processes, that many one after the other on one directory, and fill a real file system
    #[arg(long, group = "what", value_name = "ROUNDS", num_args = 0..=1, default_missing_value = KILLS)]
    kill: Option<u64>,
    /// Only schedules of the real code under the model checker: so many lots of each model, the first with --seed
    #[arg(long, group = "what", value_name = "LOTS", num_args = 0..=1, default_missing_value = interleavings::LOTS)]
    interleavings: Option<u64>,
    /// Only whether the runs notice every bug of a list of bugs
    #[arg(long, group = "what")]
    planted: bool,
    /// With this bug of that list, in the runs that are asked for; processes that are killed and schedules have none
    #[arg(long, value_name = "NAME", conflicts_with_all = ["planted", "kill", "interleavings"])]
    plant: Option<String>,
}

/// The command that makes the runs with these arguments. The bugs are compiled in where they are asked for, and nowhere else.
pub(crate) fn command<S: AsRef<str>>(arguments: &[S]) -> std::process::Command {
    let plants = arguments.iter().any(|argument| argument.as_ref().starts_with("--plant"));
    let feature = if plants { "planted" } else { "fault" };
    let mut command =
        cargo(&["run", "--release", "--quiet", "--package", "xtask", "--features", feature, "--", "fault"]);
    command.args(arguments.iter().map(AsRef::as_ref));
    command
}

/// Starts the build that has the runs, with the arguments that this process was given.
#[cfg(not(feature = "fault"))]
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    if let Some(lots) = arguments.interleavings {
        return interleavings::run(lots, arguments.seed);
    }
    let given: Vec<String> = std::env::args().skip_while(|argument| argument != "fault").skip(1).collect();
    crate::steps::show(command(&given))
}

/// Makes the runs.
#[cfg(feature = "fault")]
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    if let Some(lots) = arguments.interleavings {
        return interleavings::run(lots, arguments.seed);
    }
    #[cfg(feature = "planted")]
    if arguments.planted {
        return planted::run();
    }
    let mut parts = runs::Parts::new(arguments.plant.as_deref())?;
    if arguments.quick {
        short_round(&mut parts)?;
    } else if arguments.small {
        parts.small_workloads(arguments.ops, 1)?;
    } else if let Some(number) = arguments.workload {
        parts.one_workload(arguments.ops, number)?;
    } else if let Some(count) = arguments.logs {
        let first = arguments.seed.unwrap_or(0);
        parts.log_runs(first..first.saturating_add(count), arguments.steps)?;
    } else if let Some(count) = arguments.full {
        let first = arguments.seed.unwrap_or(0);
        parts.full_disk_runs(first..first.saturating_add(count))?;
    } else if let Some(rounds) = arguments.kill {
        let seed = arguments.seed.unwrap_or(0);
        parts.kills(seed, rounds)?;
        parts.full_disks(seed..seed + 20)?;
    } else if let Some(case) = &arguments.case {
        parts.one_fault(case)?;
    } else if let Some(hostile) = &arguments.hostile {
        match hostile.parse() {
            Ok(count) => parts.hostile(count)?,
            Err(_) => parts.one_hostile(hostile)?,
        }
    } else if let Some(reference) = &arguments.reference {
        match &arguments.damage {
            Some(damage) => parts.one_damage(reference, damage)?,
            None => parts.damages(Some(reference), 1)?,
        }
    } else if let Some(first) = arguments.seed {
        parts.random_runs(first..first.saturating_add(arguments.seeds.unwrap_or(1)), arguments.steps)?;
    } else {
        long_round(&mut parts, arguments)?;
    }
    parts.finish()
}

#[cfg(feature = "fault")]
fn short_round(parts: &mut runs::Parts) -> Outcome {
    parts.small_workloads(QUICK_OPS, QUICK_WORKLOAD_STEP)?;
    parts.expect_disks(QUICK_DISKS)?;
    parts.random_runs(0..200, 100)?;
    parts.log_runs(0..QUICK_LOGS, 100)?;
    parts.damages(None, QUICK_DAMAGE_STEP)?;
    parts.faults(QUICK_CALL_STEP)?;
    parts.hostile(HOSTILE[0])?;
    parts.full_disk_runs(0..100)?;
    parts.kills(0, 100)?;
    parts.full_disks(0..4)
}

#[cfg(feature = "fault")]
fn long_round(parts: &mut runs::Parts, arguments: &Arguments) -> Outcome {
    parts.small_workloads(arguments.ops, 1)?;
    parts.random_runs(0..arguments.seeds.unwrap_or(1_000), arguments.steps)?;
    parts.log_runs(0..LONG_LOGS.parse()?, 100)?;
    parts.damages(None, 1)?;
    parts.faults(1)?;
    parts.hostile(HOSTILE[1])?;
    parts.full_disk_runs(0..FULL.parse()?)?;
    parts.kills(0, KILLS.parse()?)?;
    parts.full_disks(0..20)?;
    // With a table of its own, from a build of its own.
    interleavings::run(interleavings::LOTS.parse()?, None)
}
