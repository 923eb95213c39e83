//! Checkpoints of a store that was opened: after one key in a hundred changed, and beside a writer that does not stop.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use laminar_benches::workload::{self, Key, Values};
use laminar_benches::{Latency, names, time};

use super::{Task, Told};
use crate::backend::{Backend, Checkpoint, Job, Outcome, Setup};
use crate::measure::{self, BATCH};

/// The checkpoints of a store, and the puts beside them.
pub(crate) struct Checkpoints<'a>(pub(crate) Task<'a>);

/// How long the writer is watched without a checkpoint; a checkpoint that takes longer than a minute is not waited for.
const QUIET: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// Of which the plot shows the longest put.
const SLOT: Duration = Duration::from_millis(10);

impl Job for Checkpoints<'_> {
    type Output = Told;

    fn run<B: Backend>(self) -> Outcome<Told> {
        let Self(task) = self;
        let (keys, values) = (workload::keys(task.keys), Values::new());
        let mut told = Told::default();
        let mut store = B::open(&task.store(), Setup::for_keys(keys.len()))?;
        // What is hard-linked with the checkpoint before costs nothing again.
        let mut known = HashSet::new();
        let before = store.checkpoint(&task.dir.join("before"))?.wait()?;
        measure::bytes_of_new_files(&before, &mut known)?;
        measure::load(&mut store, &workload::every(&keys, 100), &values, 1)?;
        let start = time::now();
        let place = store.checkpoint(&task.dir.join("changed"))?.wait()?;
        told.figure(names::CHECKPOINT_CHANGED, "ns", start.elapsed().as_secs_f64() * 1e9);
        let bytes = measure::bytes_of_new_files(&place, &mut known)?;
        told.figure(names::CHECKPOINT_CHANGED_BYTES, "bytes", bytes as f64);
        let picks = workload::picks(&keys, task.operations(), 12);
        let mut writer = Writer::new(&mut store, picks, &values);
        let quiet = writer.run(None)?;
        told.add(quiet.figures(names::WRITER_QUIET));
        let from = writer.begin.elapsed();
        let checkpoint = writer.store.checkpoint(&task.dir.join("beside"))?;
        let beside = writer.run(Some(&checkpoint))?;
        told.marks = vec![(from.as_secs_f64(), writer.begin.elapsed().as_secs_f64())];
        told.add(beside.figures(names::WRITER_CHECKPOINT));
        checkpoint.wait()?;
        writer.run(None)?;
        told.points = writer.points;
        store.close()?;
        Ok(told)
    }
}

/// Puts of keys that are there, as fast as it goes, with a clock around each.
struct Writer<'a, B> {
    store: &'a mut B,
    keys: Vec<Key>,
    values: &'a Values,
    next: usize,
    begin: Instant,
    points: Vec<(f64, f64)>,
}

impl<'a, B: Backend> Writer<'a, B> {
    fn new(store: &'a mut B, keys: Vec<Key>, values: &'a Values) -> Self {
        Self { store, keys, values, next: 0, begin: time::now(), points: Vec::new() }
    }

    /// Writes until the checkpoint is done, or for a while. Ends on a commit.
    fn run(&mut self, until: Option<&Checkpoint>) -> Outcome<Latency> {
        let mut latency = Latency::new();
        let begin = time::now();
        let (mut slot, mut longest) = (begin, Duration::ZERO);
        loop {
            for index in 1..=BATCH {
                let key = self.keys.get(self.next % self.keys.len()).ok_or("a writer without keys")?;
                self.next += 1;
                let start = time::now();
                self.store.put(key, self.values.of(key, 2))?;
                if index == BATCH {
                    self.store.commit()?;
                }
                let end = latency.record_since(start);
                longest = longest.max(end - start);
                if end - slot >= SLOT {
                    self.points.push(((end - self.begin).as_secs_f64(), longest.as_secs_f64() * 1e9));
                    (slot, longest) = (end, Duration::ZERO);
                }
            }
            let limit = if until.is_some() { PATIENCE } else { QUIET };
            if begin.elapsed() >= limit || until.is_some_and(Checkpoint::is_done) {
                return Ok(latency);
            }
        }
    }
}
