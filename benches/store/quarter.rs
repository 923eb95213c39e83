//! A state four times as large as the memory that its table may hold, in a process of its own.

use std::time::Duration;

use laminar_benches::names::{GET_HIT_QUARTER, LAMINAR};
use laminar_benches::workload::{self, VALUE_BYTES, Values, read};
use laminar_benches::{Figure, Output, Rounds, Settings, child, directory, loaded, memory, time};
use laminar_storage::{StateStore, WalStateStore};

use crate::contenders::{Contender, Laminar};

pub(crate) fn measure(settings: &Settings, output: &Output) {
    let count = settings.keys.to_string();
    let mut rounds = Rounds::new("store quarter", settings);
    rounds.add(LAMINAR, || child::figures("quarter", &[&count]));
    output.rows(rounds.run(), settings.keys);
}

pub(crate) fn child(arguments: &[String]) {
    let count: u32 = arguments.first().and_then(|count| count.parse().ok()).expect("a count");
    child::tell_figures(&run(count));
}

fn run(count: u32) -> Vec<Figure> {
    let dir = directory::scratch();
    let state_bytes = u64::from(count) * (16 + VALUE_BYTES as u64);
    let options = loaded::options().memory_budget((state_bytes / 4).max(1 << 20));
    let (mut store, _) = WalStateStore::open(dir.path(), options).expect("a store can be made");
    store.enable_checkpointing(Duration::from_secs(1), 2).expect("legal options");
    let mut store = Laminar::of(store);
    let (keys, values) = (workload::keys(count), Values::new());
    let before = memory::resident();
    for version in 0..2 {
        for key in &keys {
            store.put(key, values.of(key, version));
        }
    }
    drop(store.store.commit().expect("there is space"));
    store.store.checkpoint().and_then(|ticket| ticket.wait()).expect("there is space");
    drop(store.store.commit().expect("there is space"));
    // What the checkpoint holds leaves the table as changes come.
    for key in keys.iter().take(keys.len() / 8) {
        store.put(key, values.of(key, 1));
    }
    for key in &keys {
        assert_eq!(store.store.get(key).expect("it is whole"), Some(values.of(key, 1)), "the newest value");
    }
    let hits = workload::picks(&keys, keys.len(), 41);
    let rate = time::rate(&hits, |key| store.store.get(key).expect("it is whole").map(read).expect("it was put"));
    let bytes = memory::resident().anonymous.saturating_sub(before.anonymous);
    vec![
        (GET_HIT_QUARTER, "ops/s", rate).into(),
        (format!("{GET_HIT_QUARTER}/memory"), "bytes", bytes as f64).into(),
        (format!("{GET_HIT_QUARTER}/state"), "bytes", state_bytes as f64).into(),
    ]
}
