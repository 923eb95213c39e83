//! Operations on a store that was filled by the same process: load, gets, zipf, deletes, scans.

use laminar_benches::workload::{self, GROUP_KEYS, VALUE_BYTES, Values};
use laminar_benches::{memory, names};

use super::{Task, Told};
use crate::backend::{Backend, Job, Outcome, Setup};
use crate::measure;

/// Point operations: load in random order, hits, misses, zipf 0.99 half and half, deletes.
pub(crate) struct Operations<'a>(pub(crate) Task<'a>);

impl Job for Operations<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, values, count) = (workload::keys(task.keys), Values::new(), task.operations());
        let (hits, misses) = (workload::picks(&keys, count, 5), workload::misses(count));
        let (zipf, deleted) = (workload::zipf(&keys, count, 7), workload::shuffled(&keys, count, 8));
        let mut told = Told::default();
        let before = memory::resident().anonymous;
        let mut store = B::open(task.dir, Setup::for_keys(keys.len()))?;
        told.figure(names::PUT, "ops/s", measure::load(&mut store, &keys, &values, 0)?);
        let bytes = memory::resident().anonymous.saturating_sub(before);
        told.figure(names::MEMORY_ENTRY, "bytes", bytes as f64 / keys.len() as f64);
        told.figure(names::GET_HIT, "ops/s", measure::gets(&mut store, &hits, count)?);
        told.figure(names::GET_MISS, "ops/s", measure::gets(&mut store, &misses, 0)?);
        told.figure(names::ZIPF, "ops/s", measure::half_and_half(&mut store, &zipf, &values)?);
        told.figure(names::DELETE, "ops/s", measure::deletes(&mut store, &deleted)?);
        measure::gets(&mut store, deleted.get(..count.min(1_000)).unwrap_or_default(), 0)?;
        store.close()?;
        Ok(told)
    }
}

/// Gets where our table may hold a quarter of the state. LMDB keeps all of it in the page cache, which favours it.
pub(crate) struct Quarter<'a>(pub(crate) Task<'a>);

impl Job for Quarter<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, count) = (workload::keys(task.keys), task.operations());
        let state = keys.len() * (size_of::<workload::Key>() + VALUE_BYTES);
        let mut told = Told::default();
        let mut store = B::open(task.dir, Setup::for_keys(keys.len()).memory_budget((state as u64 / 4).max(1 << 20)))?;
        measure::load(&mut store, &keys, &Values::new(), 0)?;
        store.settle()?;
        // What is settled leaves the table with the next puts.
        measure::load(&mut store, &workload::every(&keys, 10), &Values::new(), 1)?;
        measure::gets(&mut store, &keys, keys.len())?;
        let hits = measure::gets(&mut store, &workload::picks(&keys, count, 5), count)?;
        told.figure(names::GET_HIT_QUARTER, "ops/s", hits);
        store.close()?;
        Ok(told)
    }
}

/// Scans of groups of ten.
pub(crate) struct Scans<'a>(pub(crate) Task<'a>);

impl Job for Scans<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, prefixes) = workload::grouped(task.keys);
        let asked = workload::picks(&prefixes, task.operations() / 4, 9);
        let mut told = Told::default();
        let mut store = B::open(task.dir, Setup::for_keys(keys.len()))?;
        measure::load(&mut store, &keys, &Values::new(), 0)?;
        told.figure(names::SCAN, "ops/s", measure::scans(&mut store, &asked, GROUP_KEYS)?);
        store.close()?;
        Ok(told)
    }
}
