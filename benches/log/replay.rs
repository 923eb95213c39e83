//! Replay of a log that the system has cached.

use laminar_benches::names::{LAMINAR, LOG_REPLAY, LOG_REPLAY_ALLOCATIONS};
use laminar_benches::workload::{self, Values};
use laminar_benches::{Output, Rounds, Settings, directory, time};
use laminar_wal::{Wal, WalOptions};

/// With 8 bytes of framing they occupy 116.
const RECORD_BYTES: usize = 108;

pub(crate) fn measure(settings: &Settings, output: &Output) {
    let records = if settings.quick { 300_000 } else { 2_000_000 };
    let dir = directory::scratch();
    let (wal, _) = Wal::open(dir.path(), WalOptions::new()).expect("a log can be made");
    let values = Values::new();
    for key in workload::keys(records) {
        let value = values.of(&key, 0);
        wal.append_with(RECORD_BYTES, laminar_wal::BatchPart::Last, |into| {
            let (head, tail) = into.split_at_mut(RECORD_BYTES - value.len());
            head.copy_from_slice(key.split_at(head.len()).0);
            tail.copy_from_slice(value);
        })
        .expect("there is room");
    }
    wal.sync().expect("there is space");
    let mut rounds = Rounds::new("log replay", settings);
    rounds.add(LAMINAR, || {
        let mut nanos = 0.0;
        let mut sum = 0;
        let allocations = allocation_counter::measure(|| {
            nanos = time::nanos_per(records as usize, || {
                let mut replayed = wal.replay(wal.start_lsn()).expect("the log is there");
                while let Some(record) = replayed.next().expect("the log is whole") {
                    sum += record.payload.len();
                }
            });
        });
        assert_eq!(sum, records as usize * RECORD_BYTES, "every record is replayed");
        vec![
            (LOG_REPLAY, "records/s", 1e9 / nanos),
            (LOG_REPLAY_ALLOCATIONS, "allocations/record", allocations.count_total as f64 / f64::from(records)),
        ]
    });
    output.rows(rounds.run(), 0);
}
