//! Reading from a checkpoint that was just opened, and from a mixture of it and of what was written since.
//!
//! The pages are in the system's cache, and each was touched once before: a run verifies a block when it is touched first.

use laminar_benches::names::{
    GET_HIT_MIXTURE, GET_HIT_OPENED, GET_HIT_OPENED_BATCH, GET_MISS_OPENED, LAMINAR, SCAN_MIXTURE, SCAN_OPENED,
};
use laminar_benches::workload::{self, GROUP_KEYS, Key, Prefix, Values, read};
use laminar_benches::{Figure, Output, Rounds, Settings, directory, loaded, time};
use laminar_storage::{StateStore, WalStateStore};

use crate::contenders::{Contender, Laminar, batch_rate};

pub(crate) fn measure(settings: &Settings, count: u32, output: &Output) {
    let ops = if settings.quick { 200_000 } else { 1_000_000 };
    let values = Values::new();
    let keys = workload::keys(count);
    let (grouped, prefixes) = workload::grouped(count);
    let (of_points, of_groups) = (directory::scratch(), directory::scratch());
    let mut rounds = Rounds::new(format!("store opened, {count} keys"), settings);
    rounds.add(LAMINAR, || {
        let mut figures = Vec::new();
        let mut store = Laminar::of(fresh(of_points.path(), &keys, &values));
        figures.extend(points(&mut store, &keys, &values, ops));
        drop(store);
        let mut store = Laminar::of(fresh(of_groups.path(), &grouped, &values));
        figures.extend(scans(&mut store, &grouped, &prefixes, &values, ops / 4));
        figures
    });
    output.rows(rounds.run(), count);
}

/// A store with a checkpoint of all keys and an empty log behind it, opened anew.
fn fresh(dir: &std::path::Path, keys: &[Key], values: &Values) -> WalStateStore {
    let (store, report) = WalStateStore::open(dir, loaded::options()).expect("the store can be opened");
    let mut store = Laminar::of(store);
    let dirty = if report.created { keys.to_vec() } else { tenth(keys) };
    for key in &dirty {
        store.put(key, values.of(key, 0));
    }
    drop(store.store.commit().expect("there is space"));
    store.store.checkpoint().and_then(|ticket| ticket.wait()).expect("there is space");
    store.store.close().expect("there is space");
    drop(store);
    WalStateStore::open(dir, loaded::options()).expect("the store can be opened").0
}

/// What is written between opening and reading the mixture.
fn tenth(keys: &[Key]) -> Vec<Key> {
    workload::every(keys, 10)
}

fn points(store: &mut Laminar, keys: &[Key], values: &Values, ops: usize) -> Vec<Figure> {
    for key in keys {
        assert_eq!(store.get(key), Some(read(values.of(key, 0))), "the value that was put");
    }
    let hits = workload::picks(keys, ops, 21);
    let misses = workload::misses(ops);
    let hit = time::rate(&hits, |key| store.get(key).expect("it was put"));
    let miss = time::rate(&misses, |key| assert_eq!(store.get(key), None));
    let batch = batch_rate(store, &workload::picks(keys, ops, 23)).expect("it can be told");
    let written = tenth(keys);
    for key in &written {
        store.put(key, values.of(key, 1));
    }
    assert!(written.iter().all(|key| store.get(key) == Some(read(values.of(key, 1)))), "the newer value");
    let mixture = time::rate(&hits, |key| store.get(key).expect("it was put"));
    vec![
        (GET_HIT_OPENED, "ops/s", hit).into(),
        (GET_HIT_OPENED_BATCH, "ops/s", batch).into(),
        (GET_MISS_OPENED, "ops/s", miss).into(),
        (GET_HIT_MIXTURE, "ops/s", mixture).into(),
    ]
}

fn scans(store: &mut Laminar, grouped: &[Key], prefixes: &[Prefix], values: &Values, ops: usize) -> Vec<Figure> {
    let asked = workload::picks(prefixes, ops, 22);
    // Touches every page.
    prefixes.iter().for_each(|prefix| expect_whole(store, prefix));
    let opened = time::rate(&asked, |prefix| expect_whole(store, prefix));
    for key in &tenth(grouped) {
        store.put(key, values.of(key, 1));
    }
    prefixes.iter().take(10_000).for_each(|prefix| expect_whole(store, prefix));
    let newer = tenth(grouped);
    let is_exact = |key: &Key, version| store.store.get(key).expect("it is whole") == Some(values.of(key, version));
    assert!(newer.iter().take(10_000).all(|key| is_exact(key, 1)), "the newer value");
    let mixture = time::rate(&asked, |prefix| expect_whole(store, prefix));
    vec![(SCAN_OPENED, "ops/s", opened).into(), (SCAN_MIXTURE, "ops/s", mixture).into()]
}

#[inline]
fn expect_whole(store: &Laminar, prefix: &Prefix) {
    assert_eq!(store.scan(prefix).map(|(count, _)| count), Some(GROUP_KEYS));
}
