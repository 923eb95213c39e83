//! Stores opened by a new process: after a close, and after a death by signal with a tail in the log.

use std::time::Duration;

use laminar_benches::workload::{self, GROUP_KEYS, Key, Values};
use laminar_benches::{child, names, time};

use super::{Task, Told};
use crate::backend::{Backend, Job, Outcome, Setup};
use crate::measure;

/// Records behind the last checkpoint when the process dies.
const TAIL: usize = 100_000;
/// Gets after which an opened store counts as being at full speed.
const FIRST_GETS: usize = 100_000;

/// Keys that are not among the others.
fn tail_keys() -> Vec<Key> {
    workload::misses(TAIL)
}

/// Puts a tail behind what is settled, says so, and waits to be killed.
pub(crate) struct Tail<'a>(pub(crate) Task<'a>);

impl Job for Tail<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let mut store = B::open(&task.store(), Setup::for_keys(task.keys as usize))?;
        store.settle()?;
        measure::load(&mut store, &tail_keys(), &Values::new(), 0)?;
        child::tell(&Told::default());
        std::thread::sleep(Duration::from_secs(60));
        Err("nobody has killed a process that was to die".into())
    }
}

/// Opens a store, gets a first value and then 100,000; then the steady state, all pages touched before.
pub(crate) struct Opened<'a>(pub(crate) Task<'a>);

impl Job for Opened<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, count) = (workload::keys(task.keys), task.operations());
        let mut told = Told::default();
        let mut store: B = opened(task, &keys, names::OPEN_EMPTY_TAIL, names::OPEN_GETS, &mut told)?;
        if task.passes() == 1 {
            measure::gets(&mut store, &keys, keys.len())?;
        } else {
            // In the order of the keys, which takes seconds where random gets take minutes; then what lies beside the entries.
            measure::scans(&mut store, &[[]], keys.len())?;
            measure::gets(&mut store, &workload::picks(&keys, count, 79), count)?;
        }
        let each = count / usize::try_from(task.passes())?;
        for pass in 0..task.passes() {
            let hits = measure::gets(&mut store, &workload::picks(&keys, each, 80 + pass), each)?;
            told.figure(names::GET_HIT_OPENED, "ops/s", hits);
        }
        for misses in workload::misses(count).chunks_exact(each) {
            told.figure(names::GET_MISS_OPENED, "ops/s", measure::gets(&mut store, misses, 0)?);
        }
        store.close()?;
        Ok(told)
    }
}

/// The share of the tail that a store still has after the death of its process.
pub(crate) const TAIL_SURVIVED: &str = "open/tail/survived";
/// As [`names::OPEN_GETS`], with a tail.
const TAIL_GETS: &str = "open/tail/gets";

/// Opens a store whose process was killed, and looks for its tail.
pub(crate) struct Recovered<'a>(pub(crate) Task<'a>);

impl Job for Recovered<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let mut told = Told::default();
        let keys = workload::keys(task.keys);
        let mut store: B = opened(task, &keys, names::OPEN_TAIL, TAIL_GETS, &mut told)?;
        let (tail, values) = (tail_keys(), Values::new());
        let mut survived = 0;
        for key in &tail {
            survived += usize::from(store.get(key, |value| value == values.of(key, 0))? == Some(true));
        }
        told.figure(TAIL_SURVIVED, "share", survived as f64 / tail.len() as f64);
        store.close()?;
        Ok(told)
    }
}

fn opened<B: Backend>(task: Task<'_>, keys: &[Key], first_name: &str, gets_name: &str, told: &mut Told) -> Outcome<B> {
    let picks = workload::picks(keys, FIRST_GETS, 13);
    let (first, _) = picks.split_at(1);
    let start = time::now();
    let mut store = B::open(&task.store(), Setup::for_keys(keys.len()))?;
    measure::gets(&mut store, first, 1)?;
    told.figure(first_name, "ns", start.elapsed().as_secs_f64() * 1e9);
    measure::gets(&mut store, &picks, FIRST_GETS)?;
    told.figure(gets_name, "ns", start.elapsed().as_secs_f64() * 1e9);
    Ok(store)
}

/// Scans of an opened store, all pages touched before.
pub(crate) struct OpenedGroups<'a>(pub(crate) Task<'a>);

impl Job for OpenedGroups<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, prefixes) = workload::grouped(task.keys);
        let mut told = Told::default();
        let mut store = B::open(&task.store(), Setup::for_keys(keys.len()))?;
        measure::scans(&mut store, &prefixes, GROUP_KEYS)?;
        told.add(measure::scan_passes(&mut store, &prefixes, GROUP_KEYS, task, names::SCAN_OPENED)?);
        store.close()?;
        Ok(told)
    }
}
