//! Checkpoints that a store makes: of everything, and of one key in a hundred.

use std::cell::Cell;

use laminar_benches::names::{
    CHANGED_BYTES, CHECKPOINT_CHANGED, CHECKPOINT_CHANGED_BYTES, CHECKPOINT_FULL, CHECKPOINT_FULL_BYTES, F_BW, LAMINAR,
};
use laminar_benches::workload::{self, Key, Values};
use laminar_benches::{Figure, Output, Rounds, Settings, directory, floor, loaded};

pub(crate) fn measure(settings: &Settings, count: u32, output: &Output) {
    let (keys, values) = (workload::keys(count), Values::new());
    let full_bytes = Cell::new(0);
    let mut rounds = Rounds::new(format!("checkpoint, {count} keys"), settings);
    rounds.add(LAMINAR, || make(&keys, &values, &full_bytes));
    rounds.add(F_BW, || {
        let dir = directory::scratch();
        let bytes = if full_bytes.get() == 0 { loaded::payload_bytes(keys.len()) } else { full_bytes.get() };
        vec![(CHECKPOINT_FULL, "ns", floor::bandwidth(dir.path(), bytes).as_secs_f64() * 1e9)]
    });
    let changed = loaded::payload_bytes(workload::every(&keys, 100).len());
    rounds.add(CHANGED_BYTES, || vec![(CHECKPOINT_CHANGED_BYTES, "bytes", changed as f64)]);
    output.rows(rounds.run(), count);
}

fn make(keys: &[Key], values: &Values, full_bytes: &Cell<u64>) -> Vec<Figure> {
    let dir = directory::scratch();
    let mut store = loaded::open(dir.path());
    loaded::put_all(&mut store, keys, values, 0);
    let full = loaded::checkpoint(&mut store);
    full_bytes.set(full.bytes_written);
    loaded::put_all(&mut store, &workload::every(keys, 100), values, 1);
    let changed = loaded::checkpoint(&mut store);
    assert_eq!(changed.entries_written, keys.len().div_ceil(100) as u64, "only what changed is written");
    let bytes = changed.bytes_written + changed.bytes_merged;
    vec![
        (CHECKPOINT_FULL, "ns", full.duration.as_secs_f64() * 1e9).into(),
        (CHECKPOINT_FULL_BYTES, "bytes", full.bytes_written as f64).into(),
        (CHECKPOINT_CHANGED, "ns", changed.duration.as_secs_f64() * 1e9).into(),
        (CHECKPOINT_CHANGED_BYTES, "bytes", bytes as f64).into(),
    ]
}
