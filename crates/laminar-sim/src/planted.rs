//! Planted bugs: mistakes that a maintainer could make, each acted out at one place of the code on request, and the ordinary runs
//! that notice it.
//!
//! A test is worth what it catches. Each bug here breaks one promise in one way; the runs that find it are those that
//! `cargo xtask fault` makes anyway, with the same seeds and the same rules. A change to the runs must keep them all caught.

use std::fmt;
use std::path::Path;

use crate::{
    Break, Op, Reference, SimMachine, check_fault, enumerate, fault_cases, fill_disk, run_ops, workload, workloads,
};

mod list;

pub use laminar_vfs::plant;
pub use list::PLANTED;

/// Operations of a random run.
const STEPS: usize = 100;
/// Random runs that a hunt makes at most.
const SEEDS: u64 = 1_000;
/// Random runs on a log alone.
const LOG_SEEDS: u64 = 100_000;
/// Operations of the longest small workload.
const OPS: u32 = 3;
/// From one case of a long list to the next that is tried: a prime, so that all are, and soon some of every kind.
const STRIDE: usize = 7919;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Planted {
    /// What it is called, in the code that it spoils too; begins with no crate's name, so that the rows of a table stay short.
    pub name: &'static str,
    /// The crate that it is in.
    pub owner: &'static str,
    /// The promise that it breaks.
    pub promise: &'static str,
    /// What goes wrong.
    pub what: &'static str,
    /// The runs that notice it.
    pub hunt: Hunt,
}

/// A kind of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum Hunt {
    /// Power cuts at every change of the disk, in small workloads.
    Workloads,
    /// Random runs by seed.
    Seeds,
    /// Random runs on a log alone.
    Logs,
    /// Damage at rest to the reference of this name.
    Damage(&'static str),
    /// Calls that fail.
    Calls,
    /// Disks that get full.
    Full,
}

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workloads => f.write_str("small workloads"),
            Self::Seeds => f.write_str("random runs"),
            Self::Logs => f.write_str("random runs on a log"),
            Self::Damage(reference) => write!(f, "damages of {reference}"),
            Self::Calls => f.write_str("calls that fail"),
            Self::Full => f.write_str("full disks"),
        }
    }
}

/// How a bug was noticed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Caught {
    /// How many runs it took.
    pub runs: u64,
    /// What the run saw.
    pub seen: String,
    /// The command that makes this run again, with the bug.
    pub replay: String,
}

/// The bug of this name.
#[must_use]
pub fn find_planted(name: &str) -> Option<&'static Planted> {
    PLANTED.iter().find(|bug| bug.name == name)
}

/// Makes the runs of one kind with a bug, until one of them notices it, there are no more, or `is_over`. The bug is gone from the
/// thread when this returns. A run that fails without the bug too has noticed something else, and the hunt goes on.
#[must_use]
pub fn hunt(bug: &Planted, kind: Hunt, is_over: &dyn Fn() -> bool) -> Option<Caught> {
    plant(Some(bug.name));
    let mut runs = 0;
    let mut next = || {
        runs += 1;
        !is_over()
    };
    let bug_name = bug.name;
    let seen = match kind {
        Hunt::Workloads => small_workloads(bug_name, &mut next),
        Hunt::Seeds => seeds(bug_name, &mut next),
        Hunt::Logs => logs(bug_name, &mut next),
        Hunt::Damage(reference) => damages(bug_name, reference, &mut next),
        Hunt::Calls => calls(bug_name, &mut next),
        Hunt::Full => full_disks(bug_name, &mut next),
    };
    plant(None);
    seen.map(|(seen, arguments)| {
        let replay = format!("cargo xtask fault --plant {} {arguments}", bug.name);
        Caught { runs, seen, replay }
    })
}

/// What a run saw, and the arguments that make it again.
type Seen = Option<(String, String)>;

/// What is wrong in a run that is right without the bug.
fn noticed<T, E: fmt::Display>(bug: &'static str, run: impl Fn() -> Result<T, E>) -> Option<String> {
    let violation = run().err()?;
    plant(None);
    let is_right_without = run().is_ok();
    plant(Some(bug));
    is_right_without.then(|| violation.to_string())
}

fn small_workloads(bug: &'static str, next: &mut dyn FnMut() -> bool) -> Seen {
    for ops in 0..=OPS {
        for number in 0..workloads(ops) {
            if !next() {
                return None;
            }
            let run = || crate::seeds::caught(|| enumerate(&workload(ops, number), true));
            if let Some(seen) = noticed(bug, run) {
                return Some((seen, format!("--ops {ops} --workload {number}")));
            }
        }
    }
    None
}

fn full_disks(bug: &'static str, next: &mut dyn FnMut() -> bool) -> Seen {
    for seed in 0..SEEDS {
        if !next() {
            return None;
        }
        let run = || fill_disk(Path::new("/store"), seed, SimMachine::new(seed));
        if let Some(seen) = noticed(bug, run) {
            return Some((seen, format!("--full 1 --seed {seed}")));
        }
    }
    None
}

fn seeds(bug: &'static str, next: &mut dyn FnMut() -> bool) -> Seen {
    for seed in 0..SEEDS {
        if !next() {
            return None;
        }
        // As `run_seed`, but not shortened: that is for people.
        if let Some(seen) = noticed(bug, || run_ops(seed, &Op::run(seed, STEPS))) {
            return Some((seen, format!("--seed {seed} --steps {STEPS}")));
        }
    }
    None
}

fn logs(bug: &'static str, next: &mut dyn FnMut() -> bool) -> Seen {
    for seed in 0..LOG_SEEDS {
        if !next() {
            return None;
        }
        if let Some(seen) = noticed(bug, || crate::logs::run_log_once(seed, STEPS)) {
            return Some((seen, format!("--logs 1 --seed {seed} --steps {STEPS}")));
        }
    }
    None
}

fn damages(bug: &'static str, name: &str, next: &mut dyn FnMut() -> bool) -> Seen {
    let reference = match crate::seeds::caught(|| Reference::new(name)) {
        Ok(reference) => reference,
        Err(_) => {
            let seen = noticed(bug, || crate::seeds::caught(|| Reference::new(name)));
            return seen.map(|seen| (seen, format!("--reference {name}")));
        }
    };
    // Whole files first, then bits and sectors in turn: of bits there are a thousand to each sector.
    let (whole, parts): (Vec<_>, Vec<_>) = reference
        .damages(1)
        .into_iter()
        .partition(|damage| matches!(damage.how, Break::Remove | Break::Directory | Break::StaleFile(_)));
    let (bits, sectors): (Vec<_>, Vec<_>) = parts.into_iter().partition(|damage| matches!(damage.how, Break::Flip(_)));
    let mut sectors_left = strided(sectors.len());
    let in_turn = strided(bits.len()).flat_map(|bit| [Some(&bits[bit]), sectors_left.next().map(|at| &sectors[at])]);
    for damage in whole.iter().chain(in_turn.flatten()) {
        if !next() {
            return None;
        }
        if reference.check(damage).is_err() {
            // What was written with the bug says nothing about a run without it: both get a reference of their own.
            let run = || crate::seeds::caught(|| Reference::new(name)?.check(damage));
            if let Some(seen) = noticed(bug, run) {
                return Some((seen, format!("--reference {name} --damage {damage}")));
            }
        }
    }
    None
}

fn calls(bug: &'static str, next: &mut dyn FnMut() -> bool) -> Seen {
    let cases = match crate::seeds::caught(|| fault_cases(1)) {
        Ok(cases) => cases,
        Err(_) => {
            let seen = noticed(bug, || crate::seeds::caught(|| fault_cases(1)));
            return seen.map(|seen| (seen, "--quick".to_owned()));
        }
    };
    for at in strided(cases.len()) {
        if !next() {
            return None;
        }
        let case = cases[at];
        if let Some(seen) = noticed(bug, || check_fault(case)) {
            return Some((seen, format!("--case {case}")));
        }
    }
    None
}

/// All numbers below `len`, each once, far from one to the next.
fn strided(len: usize) -> impl Iterator<Item = usize> {
    let step = (STRIDE..).find(|step| is_coprime(*step, len)).unwrap_or(1);
    (0..len).map(move |at| at * step % len)
}

fn is_coprime(mut a: usize, mut b: usize) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}
