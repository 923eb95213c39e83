//! Operations on a store that was filled by the same process: load, gets, zipf, deletes, scans.

use std::collections::HashSet;

use laminar_benches::workload::{self, GROUP_KEYS, Key, VALUE_BYTES, Values};
use laminar_benches::{memory, names, time};

use super::{Task, Told};
use crate::backend::{Backend, Job, Outcome, Setup};
use crate::measure;

/// Point operations: load in random order, hits, misses, zipf 0.99 half and half, deletes. What was deleted is put again, the
/// first scan and a full checkpoint are made, and the store is closed: the parts that come after open it.
pub(crate) struct Operations<'a>(pub(crate) Task<'a>);

impl Job for Operations<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, values) = (workload::keys(task.keys), Values::new());
        let mut told = Told::default();
        let before = memory::resident().anonymous;
        let mut store = B::open(&task.store(), Setup::for_keys(keys.len()))?;
        told.figure(names::PUT, "ops/s", measure::load(&mut store, &keys, &values, 0)?);
        let bytes = memory::resident().anonymous.saturating_sub(before);
        told.figure(names::MEMORY_ENTRY, "bytes", bytes as f64 / keys.len() as f64);
        points(&mut store, task, &keys, &values, &mut told)?;
        if B::IS_ORDERED {
            let start = time::now();
            store.scan(keys.first().ok_or("there are keys")?, |_, value| {
                _ = std::hint::black_box(workload::read(value))
            })?;
            told.figure(names::SCAN_FIRST, "ns", start.elapsed().as_secs_f64() * 1e9);
        }
        if B::IS_DURABLE {
            let start = time::now();
            let place = store.checkpoint(&task.dir.join("full"))?.wait()?;
            told.figure(names::CHECKPOINT_FULL, "ns", start.elapsed().as_secs_f64() * 1e9);
            let bytes = measure::bytes_of_new_files(&place, &mut HashSet::new())?;
            told.figure(names::CHECKPOINT_FULL_BYTES, "bytes", bytes as f64);
            store.settle()?;
        }
        store.close()?;
        Ok(told)
    }
}

fn points<B: Backend>(store: &mut B, task: Task<'_>, keys: &[Key], values: &Values, told: &mut Told) -> Outcome {
    let passes = task.passes();
    measure::rest(store)?;
    if passes > 1 {
        // Caches hold all data, once it has come into them.
        measure::gets(store, &workload::picks(keys, task.operations(), 4), task.operations())?;
    }
    let count = task.operations() / usize::try_from(passes)?;
    for pass in 0..passes {
        told.figure(names::GET_HIT, "ops/s", measure::gets(store, &workload::picks(keys, count, 50 + pass), count)?);
    }
    let misses = workload::misses(task.operations());
    for misses in misses.chunks_exact(count) {
        told.figure(names::GET_MISS, "ops/s", measure::gets(store, misses, 0)?);
    }
    for pass in 0..passes {
        let zipf = workload::zipf(keys, count, 70 + pass);
        told.figure(names::ZIPF, "ops/s", measure::half_and_half(store, &zipf, values)?);
    }
    let deleted = workload::shuffled(keys, count.min(keys.len() / 2), 8);
    told.figure(names::DELETE, "ops/s", measure::deletes(store, &deleted)?);
    measure::gets(store, deleted.get(..count.min(1_000)).unwrap_or_default(), 0)?;
    measure::load(store, &deleted, values, 0)?;
    Ok(())
}

/// Gets where our table may hold a quarter of the state. LMDB keeps all of it in the page cache, which favours it.
pub(crate) struct Quarter<'a>(pub(crate) Task<'a>);

impl Job for Quarter<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, count) = (workload::keys(task.keys), task.operations());
        let state = keys.len() * (size_of::<Key>() + VALUE_BYTES);
        let mut told = Told::default();
        let setup = Setup::for_keys(keys.len()).memory_budget((state as u64 / 4).max(1 << 20));
        let mut store = B::open(&task.store(), setup)?;
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

/// Puts into a store that was scanned when it was empty, and scans of groups of ten. What was scanned is brought into files, and the store is closed.
pub(crate) struct Scans<'a>(pub(crate) Task<'a>);

impl Job for Scans<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, prefixes) = workload::grouped(task.keys);
        let mut told = Told::default();
        let mut store = B::open(&task.store(), Setup::for_keys(keys.len()))?;
        store.scan(&[], |_, _| ())?;
        told.figure(names::PUT_SCANNED, "ops/s", measure::load(&mut store, &keys, &Values::new(), 0)?);
        measure::rest(&mut store)?;
        told.add(measure::scan_passes(&mut store, &prefixes, GROUP_KEYS, task, names::SCAN)?);
        if B::IS_DURABLE {
            store.settle()?;
        }
        store.close()?;
        Ok(told)
    }
}
