//! What was committed is there after reopening: random operations on a log equal a vector of records.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use laminar_wal::{BatchPart, Lsn, Wal, WalOptions};
use proptest::prelude::*;

fn small() -> WalOptions {
    WalOptions::new().segment_bytes(16 << 10).buffer_bytes(4 << 10)
}

#[derive(Debug, Clone)]
enum Op {
    Append(usize),
    Batch(Vec<usize>),
    Open(Vec<usize>),
    Commit,
    Sync,
    Truncate,
    Close,
    Drop,
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![4 => 0usize..200, 2 => 400usize..5000, 1 => 5000usize..40000];
    prop_oneof![
        8 => len.clone().prop_map(Op::Append),
        3 => prop::collection::vec(len.clone(), 0..5).prop_map(Op::Batch),
        2 => prop::collection::vec(len, 1..5).prop_map(Op::Open),
        4 => Just(Op::Commit),
        3 => Just(Op::Sync),
        1 => Just(Op::Truncate),
        1 => Just(Op::Close),
        1 => Just(Op::Drop),
    ]
}

fn payload(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((number * 31 + at * 7) % 251).unwrap()).collect()
}

struct Model {
    records: Vec<(Lsn, Vec<u8>, bool)>,
    committed: usize,
    count: usize,
}

impl Model {
    fn check(&self, wal: &Wal, upto: usize) {
        let start = wal.start_lsn();
        let expected: Vec<_> = self.records.iter().take(upto).filter(|record| record.0 >= start).collect();
        let mut records = wal.replay(start).unwrap();
        for (lsn, payload, more) in &expected {
            let record = records.next().unwrap().expect("a record is missing");
            assert_eq!((record.lsn, record.payload, record.more), (*lsn, payload.as_slice(), *more));
        }
        assert!(records.next().unwrap().is_none());
        // From the middle, at a record's start and at its end.
        if let Some((lsn, payload, _)) = expected.get(expected.len() / 2) {
            let mut records = wal.replay(*lsn).unwrap();
            let record = records.next().unwrap().unwrap();
            assert_eq!(record.payload, payload.as_slice());
            let end = record.end;
            let next = wal.replay(end).unwrap().next().unwrap().map(|record| record.lsn);
            assert_eq!(next, expected.get(expected.len() / 2 + 1).map(|record| record.0));
        }
        if upto == self.records.len() && wal.durable_lsn() == wal.end_lsn() {
            let view = wal.view(start..wal.durable_lsn()).unwrap();
            let seen: Vec<_> = view.records().unwrap().map(|record| record.unwrap().lsn).collect();
            assert_eq!(seen, expected.iter().map(|record| record.0).collect::<Vec<_>>());
            for (lsn, payload, _) in &expected {
                assert_eq!(view.record_at(*lsn).unwrap(), payload.as_slice());
            }
        }
    }

    fn append(&mut self, wal: &Wal, lens: &[usize], open: bool) {
        let payloads: Vec<_> = lens.iter().map(|len| payload(self.count, *len)).collect();
        self.count += 1;
        let mut at = if open {
            let mut first = None;
            for (index, payload) in payloads.iter().enumerate() {
                let part = if index + 1 < payloads.len() { BatchPart::More } else { BatchPart::Last };
                let range = wal.append_with(payload.len(), part, |into| into.copy_from_slice(payload)).unwrap();
                self.records.push((range.start, payload.clone(), part == BatchPart::More));
                first.get_or_insert(range.start);
            }
            return;
        } else {
            let slices: Vec<_> = payloads.iter().map(Vec::as_slice).collect();
            wal.append_batch(&slices).unwrap().start.get()
        };
        let count = payloads.len();
        for (index, payload) in payloads.into_iter().enumerate() {
            let len = payload.len() as u64;
            self.records.push((Lsn::new(at), payload, index + 1 < count));
            at += 8 + len;
        }
    }
}

fn run(dir: &Path, ops: &[Op]) {
    let mut wal = Wal::open(dir, small()).unwrap().0;
    let mut model = Model { records: Vec::new(), committed: 0, count: 0 };
    for op in ops {
        match op {
            Op::Append(len) => {
                let payload = payload(model.count, *len);
                model.count += 1;
                let lsn = wal.append(&payload).unwrap();
                model.records.push((lsn, payload, false));
            }
            Op::Batch(lens) => model.append(&wal, lens, false),
            Op::Open(lens) => model.append(&wal, lens, true),
            Op::Commit => {
                wal.commit().unwrap();
                model.committed = model.records.len();
                model.check(&wal, model.committed);
            }
            Op::Sync => {
                assert_eq!(wal.sync().unwrap(), wal.durable_lsn());
                model.committed = model.records.len();
            }
            Op::Truncate => {
                if let Some((lsn, ..)) = model.records.get(model.records.len() / 2) {
                    wal.truncate_below(*lsn).unwrap();
                    assert!(wal.start_lsn() <= *lsn);
                }
            }
            Op::Close => {
                wal.close().unwrap();
                model.committed = model.records.len();
                let (opened, report) = Wal::open(dir, small()).unwrap();
                assert!(report.clean, "{report:?}");
                wal = opened;
                model.check(&wal, model.committed);
            }
            Op::Drop => {
                let written = wal.written_lsn();
                drop(wal);
                let (opened, report) = Wal::open(dir, small()).unwrap();
                wal = opened;
                // What was handed over is there, up to the last whole batch.
                let kept = model.records.iter().rposition(|record| record.0 < written && !record.2);
                let kept = kept.map_or(0, |at| at + 1);
                assert!(kept >= model.committed, "{report:?}");
                model.records.truncate(kept);
                model.committed = kept;
                assert_eq!(wal.durable_lsn(), wal.end_lsn());
                model.check(&wal, kept);
            }
        }
    }
    wal.sync().unwrap();
    model.check(&wal, model.records.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_equal_a_vector_of_records(ops in prop::collection::vec(op(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &ops);
    }
}
