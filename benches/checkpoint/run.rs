//! One run without a store, and the merge of several.

use laminar_benches::names::LAMINAR;
use laminar_benches::workload::{self, GROUP_KEYS, Key, Values, read};
use laminar_benches::{Figure, Output, Rounds, Settings, directory, time};
use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions, Create};

/// Neighbours that are merged.
const RUNS: usize = 8;

pub(crate) fn measure(settings: &Settings, output: &Output) {
    let count = settings.keys;
    let values = Values::new();
    let mut keys = workload::keys(count);
    keys.sort_unstable();
    let (mut grouped, prefixes) = workload::grouped(count);
    grouped.sort_unstable();
    let ops = if settings.quick { 200_000 } else { 1_000_000 };
    let (hits, misses) = (workload::picks(&keys, ops, 61), workload::misses(ops));
    let prefixes = workload::picks(&prefixes, ops / 4, 62);
    let dir = directory::scratch();
    let manager = CheckpointManager::open(dir.path(), CheckpointOptions::new()).expect("a directory can be made");
    let points = create(&manager, None, 1, &keys, &values);
    let groups = create(&manager, None, 2, &grouped, &values);
    // Touches every page.
    assert_eq!((count_of(&points), count_of(&groups)), (keys.len(), grouped.len()));
    let mut rounds = Rounds::new("checkpoint run", settings);
    rounds.add(LAMINAR, || {
        let get = |key: &Key| points.get(key).expect("the run is whole").map(read);
        let scan = |prefix: &workload::Prefix| {
            let entries = groups.prefix(prefix).map(|entry| read(entry.expect("the run is whole").1));
            assert_eq!(entries.map(std::hint::black_box).count(), GROUP_KEYS);
        };
        let mut figures: Vec<Figure> = vec![
            ("run/get/hit", "ops/s", time::rate(&hits, |key| get(key).expect("it is in the run"))).into(),
            ("run/get/miss", "ops/s", time::rate(&misses, |key| assert_eq!(get(key), None))).into(),
            ("run/scan", "ops/s", time::rate(&prefixes, scan)).into(),
        ];
        figures.push(("merge", "records/s", merge(&keys, &values)).into());
        figures
    });
    output.rows(rounds.run(), count);
}

fn create(
    manager: &CheckpointManager,
    base: Option<&Checkpoint>,
    to: u64,
    keys: &[Key],
    values: &Values,
) -> Checkpoint {
    let entries = keys.iter().map(|key| (key, Some(values.of(key, 0))));
    let mut create = Create::new(to).entries(entries).merge(false);
    if let Some(base) = base {
        create = create.base(base);
    }
    manager.create(create).expect("there is space")
}

fn count_of(checkpoint: &Checkpoint) -> usize {
    checkpoint.range(..).inspect(|entry| assert!(entry.is_ok())).count()
}

/// Records a second of merging runs of every eighth key into one, without the sync of the result.
fn merge(keys: &[Key], values: &Values) -> f64 {
    let dir = directory::scratch();
    let manager = CheckpointManager::open(dir.path(), CheckpointOptions::new()).expect("a directory can be made");
    let mut newest = None;
    for number in 0..RUNS {
        let part: Vec<Key> = keys.iter().skip(number).step_by(RUNS).copied().collect();
        newest = Some(create(&manager, newest.as_ref(), number as u64 + 1, &part, values));
    }
    let newest = newest.expect("several runs");
    let plan = manager.plan_full_merge(&newest).expect("several runs");
    let mut job = manager.merge(plan, Box::new(|_| true)).expect("there is space");
    let nanos = time::nanos_per(keys.len(), || while !job.step().expect("the runs are whole") {});
    1e9 / nanos
}
