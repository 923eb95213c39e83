//! One put a commit: handed to the operating system, and durable.

use laminar_benches::workload::{self, Values};
use laminar_benches::{Latency, names, time};

use super::{Task, Told};
use crate::backend::{Backend, Durability, Job, Outcome, Setup};
use crate::measure;

/// Puts of keys that are there, each with its commit.
pub(crate) struct Commits<'a>(pub(crate) Task<'a>);

/// Keys of the store: what it holds matters little to a commit, and loading it takes longer than the commits.
pub(crate) const KEYS: u32 = 200_000;
/// Commits handed to the operating system.
const EACH: usize = 20_000;
/// Durable commits: enough for a p99, few enough for a store that needs 10 ms for one.
const DURABLE: usize = 300;

impl Job for Commits<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, values) = (workload::keys(task.keys), Values::new());
        let setup = Setup::for_keys(keys.len());
        let mut told = Told::default();
        let mut store = B::open(&task.dir.join("process"), setup)?;
        measure::load(&mut store, &keys, &values, 0)?;
        let changed = workload::picks(&keys, EACH, 10);
        let each = measure::rate(&changed, |_, key| {
            store.put(key, values.of(key, 1))?;
            store.commit()
        })?;
        told.figure(names::PUT_COMMIT_EACH, "ops/s", each);
        store.close()?;
        let mut store = B::open(&task.dir.join("power"), setup.durability(Durability::Power))?;
        measure::load(&mut store, &keys, &values, 0)?;
        let mut latency = Latency::new();
        let start = time::now();
        for key in workload::picks(&keys, DURABLE, 11) {
            let start = time::now();
            store.put(&key, values.of(&key, 1))?;
            store.commit()?;
            latency.record_since(start);
        }
        told.figure(names::PUT_DURABLE_EACH, "ops/s", measure::per_second(DURABLE, start.elapsed()));
        told.add(latency.figures(names::PUT_DURABLE_EACH));
        store.close()?;
        Ok(told)
    }
}
