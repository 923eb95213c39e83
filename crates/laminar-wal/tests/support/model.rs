//! What a log should hold: every record that was appended, and how many of them must survive what.
#![allow(dead_code, unreachable_pub, reason = "each test is a crate of its own and uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use laminar_vfs::Inline;
use laminar_vfs::sim::SimDisk;
use laminar_wal::{BatchPart, Error, Lsn, SyncPolicy, TailReport, Wal, WalOptions};

/// A record that was appended: where, what, and whether its batch goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub lsn: Lsn,
    pub payload: Vec<u8>,
    pub more: bool,
}

/// How many records, in whole batches, were safe when the disk had seen so many changes.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub changes: u64,
    /// Acknowledged as durable.
    pub durable: usize,
    /// Handed to the operating system.
    pub committed: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub records: Vec<Appended>,
    pub events: Vec<Event>,
    pub durable: usize,
    pub committed: usize,
}

impl Model {
    pub fn note(&mut self, disk: &SimDisk) {
        let (durable, committed) = (whole(self, self.durable), whole(self, self.committed));
        let event = Event { changes: disk.changes(), durable, committed };
        self.events.push(event);
    }

    /// What was safe before the change with this number.
    pub fn at(&self, changes: u64) -> (usize, usize) {
        let event = self.events.iter().rev().find(|event| event.changes <= changes);
        event.map_or((0, 0), |event| (event.durable, event.committed))
    }

    /// Checks that the log holds the first records of the model, whole batches, at least `least`; returns how many.
    pub fn check(&self, wal: &Wal, least: usize, what: &dyn Fn() -> String) -> usize {
        let start = wal.start_lsn();
        let skipped = self.records.iter().take_while(|record| record.lsn < start).count();
        let mut records = wal.replay(start).unwrap_or_else(|error| panic!("{error}: {}", what()));
        let mut count = skipped;
        while let Some(record) = records.next().unwrap_or_else(|error| panic!("{error}: {}", what())) {
            let expected = self.records.get(count).unwrap_or_else(|| panic!("a record that nobody wrote: {}", what()));
            assert_eq!((record.lsn, record.more), (expected.lsn, expected.more), "{}", what());
            assert!(record.payload == expected.payload, "wrong bytes at {}: {}", record.lsn, what());
            count += 1;
        }
        assert!(count >= least, "{count} records of at least {least}: {}", what());
        let whole = count == 0 || count == skipped || self.records.get(count - 1).is_some_and(|last| !last.more);
        assert!(whole, "half a batch: {}", what());
        assert_eq!(wal.durable_lsn(), wal.end_lsn(), "{}", what());
        count
    }
}

pub fn payload(random: &mut fastrand::Rng) -> Vec<u8> {
    let len = match random.u8(..10) {
        0 => 0,
        1..=5 => random.usize(1..120),
        6..=8 => random.usize(120..1500),
        _ => random.usize(1500..9000),
    };
    // Some with runs of zeros longer than a sector.
    if random.u8(..4) == 0 { vec![0; len] } else { (0..len).map(|_| random.u8(..)).collect() }
}

pub fn options(random: &mut fastrand::Rng) -> WalOptions {
    let policy = match random.u8(..4) {
        0 => SyncPolicy::EveryCommit,
        1 => SyncPolicy::Interval(Duration::from_millis(10)),
        _ => SyncPolicy::Manual,
    };
    let segment = *random.choice([12 << 10, 16 << 10, 32 << 10].iter()).unwrap_or(&(16 << 10));
    WalOptions::new().segment_bytes(segment).buffer_bytes(4 << 10).sync_policy(policy).sync_behind_bytes(8 << 10)
}

/// What a workload does to a log that is open.
pub struct Driver<'a> {
    pub disk: &'a SimDisk,
    pub workers: Inline,
    pub wal: Wal,
    pub random: fastrand::Rng,
}

impl<'a> Driver<'a> {
    pub fn open(disk: &'a SimDisk, options: &WalOptions, seed: u64) -> Result<(Self, TailReport), Error> {
        let (env, workers) = disk.env_and_workers();
        let (wal, report) = Wal::open("log", options.clone().env(env))?;
        Ok((Self { disk, workers, wal, random: fastrand::Rng::with_seed(seed) }, report))
    }

    /// One random operation. An error of the log is returned; the model then knows what was promised by then.
    pub fn step(&mut self, model: &mut Model) -> Result<(), Error> {
        let random = &mut self.random;
        match random.u8(..20) {
            0..=7 => {
                let payload = payload(random);
                let lsn = self.wal.append(&payload)?;
                model.records.push(Appended { lsn, payload, more: false });
            }
            8..=9 => {
                let count = random.usize(2..5);
                let payloads: Vec<_> = (0..count).map(|_| payload(random)).collect();
                let slices: Vec<_> = payloads.iter().map(Vec::as_slice).collect();
                let mut lsn = self.wal.append_batch(&slices)?.start;
                for (at, payload) in payloads.into_iter().enumerate() {
                    let end = Lsn::new(lsn.get() + 8 + payload.len() as u64);
                    model.records.push(Appended { lsn, payload, more: at + 1 < count });
                    lsn = end;
                }
            }
            10 => {
                let count = random.usize(1..6);
                for at in 0..count {
                    let payload = payload(random);
                    let part = if at + 1 < count { BatchPart::More } else { BatchPart::Last };
                    let range = self.wal.append_with(payload.len(), part, |into| into.copy_from_slice(&payload))?;
                    model.records.push(Appended { lsn: range.start, payload, more: part == BatchPart::More });
                }
            }
            11..=13 => {
                self.wal.commit()?;
                model.committed = model.records.len();
            }
            14..=16 => {
                self.wal.sync()?;
                model.committed = model.records.len();
                model.durable = model.records.len();
            }
            17 => {
                self.disk.clock().advance(Duration::from_millis(random.u64(1..200)));
                self.workers.drive_all();
            }
            18 => {
                let _ = self.workers.step_all();
            }
            _ => {
                if let Some(record) = random.choice(model.records.iter()) {
                    self.wal.truncate_below(record.lsn)?;
                }
            }
        }
        let durable = self.wal.durable_lsn();
        let safe = model.records.iter().take_while(|record| record.lsn < durable).count();
        model.durable = model.durable.max(safe);
        let written = self.wal.written_lsn();
        let safe = model.records.iter().take_while(|record| record.lsn < written).count();
        model.committed = model.committed.max(safe);
        model.note(self.disk);
        Ok(())
    }
}

/// Cuts a count of records back to the end of the last whole batch.
pub fn whole(model: &Model, count: usize) -> usize {
    let (upto, _) = model.records.split_at(count);
    upto.iter().rposition(|record| !record.more).map_or(0, |at| at + 1)
}
