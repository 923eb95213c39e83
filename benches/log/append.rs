//! Buffered appends: a copy and a checksum each, and now and then a group for the operating system.

use laminar_benches::names::{F_CPU, LAMINAR, LOG_APPEND, LOG_APPEND_ALLOCATIONS, LOG_APPEND_CALLS};
use laminar_benches::workload::Values;
use laminar_benches::{Figure, Output, Rounds, Settings, directory, floor, memory, time};
use laminar_wal::{Wal, WalOptions};

use crate::RECORD_BYTES;

pub(crate) fn measure(settings: &Settings, output: &Output) {
    let records = if settings.quick { 200_000 } else { 1_000_000 };
    let values = Values::new();
    let mut rounds = Rounds::new("log append", settings);
    rounds.add(LAMINAR, || append(&values, records));
    rounds.add(F_CPU, || vec![(LOG_APPEND, "ns", floor::cpu(&values, RECORD_BYTES, records))]);
    output.rows(rounds.run(), 0);
}

fn append(values: &Values, records: usize) -> Vec<Figure> {
    let dir = directory::scratch();
    let (wal, _) = Wal::open(dir.path(), WalOptions::new()).expect("a log can be made");
    // The first segments are made, and the buffers are faulted in.
    for index in 0..20_000 {
        wal.append(values.nth(index, RECORD_BYTES)).expect("there is room");
    }
    wal.commit().expect("there is space");
    let before = memory::written();
    let mut nanos = 0.0;
    let allocations = allocation_counter::measure(|| {
        nanos = time::nanos_per(records, || {
            for index in 0..records {
                wal.append(values.nth(index, RECORD_BYTES)).expect("there is room");
            }
        });
    });
    let calls = memory::written().since(before).calls;
    let each = |count: u64| count as f64 / records as f64;
    vec![
        (LOG_APPEND, "ns", nanos).into(),
        (LOG_APPEND_CALLS, "calls/record", each(calls)).into(),
        (LOG_APPEND_ALLOCATIONS, "allocations/record", each(allocations.count_total)).into(),
    ]
}
