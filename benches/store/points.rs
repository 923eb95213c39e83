//! Operations on a store that is in memory whole, its log on.

use laminar_benches::names::{
    BTREEMAP, DELETE, F_MEM, GET_HIT, GET_HIT_BATCH, GET_MISS, HASHBROWN, LAMINAR, MEMORY_AGAIN, MEMORY_FRESH, PUT,
    PUT_SCANNED, SCAN, ZIPF,
};
use laminar_benches::workload::{self, GROUP_KEYS, Key, Prefix, Values};
use laminar_benches::{Figure, Output, Rounds, Settings, floor, time};

use crate::contenders::{Contender, Hash, Laminar, Tree, batch_rate};

/// As much as a store of a million keys takes.
const TOUCHED_BYTES: usize = 256 << 20;

/// What all contenders are asked, in the same order.
pub(crate) struct Questions {
    keys: Vec<Key>,
    hits: Vec<Key>,
    batches: Vec<Key>,
    misses: Vec<Key>,
    zipf: Vec<Key>,
    deletes: Vec<Key>,
    grouped: Vec<Key>,
    prefixes: Vec<Prefix>,
    values: Values,
}

impl Questions {
    fn new(count: u32, ops: usize) -> Self {
        let keys = workload::keys(count);
        let (grouped, prefixes) = workload::grouped(count);
        Self {
            hits: workload::picks(&keys, ops, 11),
            batches: workload::picks(&keys, ops, 15),
            misses: workload::misses(ops),
            zipf: workload::zipf(&keys, ops, 12),
            deletes: workload::shuffled(&keys, ops, 13),
            grouped,
            prefixes: workload::picks(&prefixes, ops / 4, 14),
            keys,
            values: Values::new(),
        }
    }
}

pub(crate) fn measure(settings: &Settings, keys: u32, output: &Output) {
    let questions = Questions::new(keys, if settings.quick { 200_000 } else { 1_000_000 });
    let mut rounds = Rounds::new(format!("store points, {keys} keys"), settings);
    rounds.add(LAMINAR, || run(Laminar::new(), Laminar::new, &questions));
    rounds.add(HASHBROWN, || run(Hash::default(), Hash::default, &questions));
    // No budget names it, and at the larger size it would take longer than all else here.
    if keys < Settings::LARGE_KEYS {
        rounds.add(BTREEMAP, || run(Tree::default(), Tree::default, &questions));
    }
    rounds.add(F_MEM, || {
        let [fresh, again] = floor::touches(TOUCHED_BYTES);
        vec![(MEMORY_FRESH, "ns", fresh), (MEMORY_AGAIN, "ns", again)]
    });
    output.rows(rounds.run(), keys);
}

fn run<C: Contender>(mut store: C, another: impl FnOnce() -> C, questions: &Questions) -> Vec<Figure> {
    let Questions { keys, hits, batches, misses, zipf, deletes, values, .. } = questions;
    let mut figures: Vec<Figure> = Vec::new();
    let mut note = |bench: &str, rate: f64| figures.push((bench, "ops/s", rate).into());
    note(PUT, time::rate(keys, |key| store.put(key, values.of(key, 0))));
    store.settle();
    note(GET_HIT, time::rate(hits, |key| store.get(key).expect("it was put")));
    note(GET_MISS, time::rate(misses, |key| assert_eq!(store.get(key), None)));
    if let Some(rate) = batch_rate(&store, batches) {
        note(GET_HIT_BATCH, rate);
    }
    let mut put = false;
    let half = |key: &Key| {
        put = !put;
        if put {
            store.put(key, values.of(key, 1));
        } else {
            std::hint::black_box(store.get(key).expect("it was put"));
        }
    };
    note(ZIPF, time::rate(zipf, half));
    store.settle();
    note(DELETE, time::rate(deletes, |key| store.delete(key)));
    assert!(deletes.iter().take(1_000).all(|key| store.get(key).is_none()), "what was deleted is gone");
    drop(store);
    figures.extend(scans(another(), questions).into_iter().flatten());
    figures
}

/// Scans, and puts into what was scanned before: ops/s. Nothing of a contender without order.
fn scans<C: Contender>(mut store: C, questions: &Questions) -> Option<[Figure; 2]> {
    let Questions { grouped, prefixes, values, .. } = questions;
    store.scan(prefixes.first()?)?;
    let put = time::rate(grouped, |key| store.put(key, values.of(key, 0)));
    let found = |prefix: &Prefix| assert_eq!(store.scan(prefix).map(|(count, _)| count), Some(GROUP_KEYS));
    Some([(PUT_SCANNED, "ops/s", put).into(), (SCAN, "ops/s", time::rate(prefixes, found)).into()])
}
