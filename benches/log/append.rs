//! Buffered appends: a copy and a checksum each, and now and then a group for the operating system.
//!
//! Measured twice: in one large segment that nobody syncs, which is what an append costs the caller and what logs that don't sync
//! are held against; and with the defaults, where the log syncs behind the writer, so that a writer without a pause is as fast
//! as the disk.

use laminar_benches::names::{
    F_BW, F_CPU, LAMINAR, LOG_APPEND, LOG_APPEND_ALLOCATIONS, LOG_APPEND_CALLS, LOG_APPEND_SUSTAINED,
};
use laminar_benches::workload::Values;
use laminar_benches::{Figure, Output, Rounds, Settings, directory, floor, memory, time};
use laminar_wal::{Wal, WalOptions};

use crate::RECORD_BYTES;

/// What a record occupies in the log.
const FRAMED_BYTES: usize = RECORD_BYTES + 8;

pub(crate) fn measure(settings: &Settings, output: &Output) {
    let records = if settings.quick { 200_000 } else { 1_000_000 };
    let values = Values::new();
    let mut rounds = Rounds::new("log append", settings);
    rounds.add(LAMINAR, || {
        // Half of it is written before: by then the reserve, which a log makes once and keeps, is as long as the segment.
        let segment_bytes = (records as u64 * 5 / 2 * FRAMED_BYTES as u64).next_power_of_two();
        let first = usize::try_from(segment_bytes / 2).unwrap_or(usize::MAX) / FRAMED_BYTES + 20_000;
        let unsynced = WalOptions::new().segment_bytes(segment_bytes).sync_behind_bytes(1 << 30);
        let mut figures = append(unsynced, &values, first, records, LOG_APPEND);
        figures.extend(append(WalOptions::new(), &values, 20_000, records, LOG_APPEND_SUSTAINED));
        figures
    });
    rounds.add(F_CPU, || vec![(LOG_APPEND, "ns", floor::cpu(&values, RECORD_BYTES, records))]);
    rounds.add(F_BW, || {
        let dir = directory::scratch();
        let elapsed = floor::bandwidth(dir.path(), (records * FRAMED_BYTES) as u64);
        vec![(LOG_APPEND_SUSTAINED, "ns", elapsed.as_secs_f64() * 1e9 / records as f64)]
    });
    output.rows(rounds.run(), 0);
}

fn append(options: WalOptions, values: &Values, first: usize, records: usize, bench: &str) -> Vec<Figure> {
    let dir = directory::scratch();
    let (wal, _) = Wal::open(dir.path(), options).expect("a log can be made");
    // The first segments are made, and the buffers are faulted in.
    for index in 0..first {
        wal.append(values.nth(index, RECORD_BYTES)).expect("there is room");
    }
    wal.commit().expect("there is space");
    let (before, processor) = (memory::written(), time::on_processor());
    let mut nanos = 0.0;
    let allocations = allocation_counter::measure(|| {
        nanos = time::nanos_per(records, || {
            for index in 0..records {
                wal.append(values.nth(index, RECORD_BYTES)).expect("there is room");
            }
        });
    });
    let processor = (time::on_processor() - processor).as_secs_f64() * 1e9 / records as f64;
    let calls = memory::written().since(before).calls;
    let each = |count: u64| count as f64 / records as f64;
    // Beside the time that passed: where others use the machine too, it is what the two differ by.
    let mut figures = vec![(bench, "ns", nanos).into(), (format!("{bench}/processor"), "ns", processor).into()];
    if bench == LOG_APPEND {
        figures.push((LOG_APPEND_CALLS, "calls/record", each(calls)).into());
        figures.push((LOG_APPEND_ALLOCATIONS, "allocations/record", each(allocations.count_total)).into());
    }
    figures
}
