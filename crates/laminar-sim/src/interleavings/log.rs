//! The log under many threads: group commit, segments that are left, a trim, a close, a failed sync, those who follow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use laminar_vfs::{Env, Op};
use laminar_wal::{Error, Lsn, SyncPolicy, Wal, WalOptions};
use shuttle::rand::Rng;
use shuttle::{future, thread};

use super::machine::threaded;

const DIR: &str = "/log";
const APPENDERS: u8 = 3;
/// So large that a segment takes two or three.
const RECORD_BYTES: usize = 3_000;

/// What was acknowledged so far. A lock of the standard library, since nobody waits while it is held.
#[derive(Debug, Clone, Default)]
struct Acknowledged(Arc<Mutex<Vec<(Lsn, Vec<u8>)>>>);

impl Acknowledged {
    fn push(&self, lsn: Lsn, payload: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((lsn, payload));
    }

    fn now(&self) -> Vec<(Lsn, Vec<u8>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Cuts the power now, with everything lost that may be: what was acknowledged before must be there.
    fn power_cut(&self, disk: &SimDisk) {
        let acknowledged = self.now();
        let image = disk.crash_lose_all();
        let (wal, _) = Wal::open(DIR, options(image.env())).expect("a crash opens");
        let mut found = Vec::new();
        let mut records = wal.replay(wal.start_lsn()).expect("what was opened is read");
        while let Some(record) = records.next().expect("what was opened is read") {
            found.push((record.lsn, record.payload.to_vec()));
        }
        for (lsn, payload) in acknowledged.into_iter().filter(|(lsn, _)| *lsn >= wal.start_lsn()) {
            let there = found.binary_search_by_key(&lsn, |(lsn, _)| *lsn).ok().and_then(|at| found.get(at));
            assert!(there.is_some_and(|(_, found)| *found == payload), "{lsn} was acknowledged and is not there");
        }
    }
}

fn options(env: Env) -> WalOptions {
    WalOptions::new().env(env).segment_bytes(16 << 10).buffer_bytes(4096).idle_seal(None)
}

fn open(disk: &SimDisk) -> Wal {
    Wal::open(DIR, options(threaded(disk))).expect("an empty disk").0
}

fn payload(of: u8, number: u8) -> Vec<u8> {
    vec![of * 16 + number + 1; RECORD_BYTES]
}

/// Waits in one of the three ways there are.
fn wait(wal: &Wal, lsn: Lsn, way: u8) -> Result<(), Error> {
    match way % 3 {
        0 => wal.wait_durable(lsn),
        1 => future::block_on(wal.durable(lsn)),
        _ => wal.sync().map(drop),
    }
}

/// Appends and waits, record by record, until it has done so `count` times or the log says no. Now and then the power is cut just then.
fn append(wal: &Wal, disk: &SimDisk, acknowledged: &Acknowledged, of: u8, count: u8) -> Result<(), Error> {
    let mut last = Lsn::ZERO;
    for number in 0..count {
        let payload = payload(of, number);
        let lsn = wal.append(&payload)?;
        assert!(lsn > last, "positions grow");
        last = lsn;
        wait(wal, lsn, of + number)?;
        assert!(wal.durable_lsn() > lsn, "acknowledged, and not durable by the log's own account");
        acknowledged.push(lsn, payload);
        if shuttle::rand::thread_rng().gen_bool(0.25) {
            acknowledged.power_cut(disk);
        }
    }
    Ok(())
}

fn appenders(wal: &Wal, disk: &SimDisk, acknowledged: &Acknowledged) -> Vec<thread::JoinHandle<Result<(), Error>>> {
    let appender = |of| {
        let (wal, disk, acknowledged) = (wal.clone(), disk.clone(), acknowledged.clone());
        thread::spawn(move || append(&wal, &disk, &acknowledged, of, 2))
    };
    (0..APPENDERS).map(appender).collect()
}

/// Many wait for few syncs while segments are left and the log is trimmed behind them; the power is cut at any moment.
pub(super) fn group_commit() {
    let disk = SimDisk::new(1);
    let (wal, acknowledged) = (open(&disk), Acknowledged::default());
    let appenders = appenders(&wal, &disk, &acknowledged);
    let trimmer = {
        let wal = wal.clone();
        thread::spawn(move || wal.truncate_below(wal.durable_lsn()))
    };
    acknowledged.power_cut(&disk);
    for appender in appenders {
        appender.join().expect("an appender").expect("a disk that works");
    }
    trimmer.join().expect("the trimmer").expect("a disk that works");
    assert_eq!(acknowledged.now().len(), usize::from(APPENDERS) * 2);
    acknowledged.power_cut(&disk);
    wal.close().expect("a disk that works");
    acknowledged.power_cut(&disk);
}

/// A sync fails while many wait: each of them is told, nobody waits for ever, and nothing is acknowledged any more.
pub(super) fn failed_sync() {
    let disk = SimDisk::new(1);
    let (wal, acknowledged) = (open(&disk), Acknowledged::default());
    let is_segment = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "wal");
    let fault = Fault::new(FaultKind::Io).on(Op::SyncData).path(is_segment);
    disk.fail(fault.after(shuttle::rand::thread_rng().gen_range(0..3)));
    let appenders = appenders(&wal, &disk, &acknowledged);
    let told = appenders.into_iter().map(|appender| appender.join().expect("an appender"));
    for result in told {
        match result {
            Ok(()) | Err(Error::Poisoned { .. }) => {}
            Err(error) => panic!("a failed sync is told as {error:?}"),
        }
    }
    if wal.poisoned().is_some() {
        let before = wal.durable_lsn();
        assert!(matches!(wal.sync(), Err(Error::Poisoned { .. })), "a sync after a failed one");
        assert!(matches!(wal.append(b"after"), Err(Error::Poisoned { .. })), "an append after a failed sync");
        assert_eq!(wal.durable_lsn(), before);
    }
    disk.clear_faults();
    acknowledged.power_cut(&disk);
}

/// The log is closed while others append and wait.
pub(super) fn close() {
    let disk = SimDisk::new(1);
    let (wal, acknowledged) = (open(&disk), Acknowledged::default());
    let appenders = appenders(&wal, &disk, &acknowledged);
    if shuttle::rand::thread_rng().gen_bool(0.5) {
        wal.close().expect("a disk that works");
    } else {
        wal.release();
    }
    assert!(matches!(wal.append(&payload(9, 9)).and_then(|_| wal.commit()), Err(Error::Closed)));
    for appender in appenders {
        match appender.join().expect("an appender") {
            Ok(()) | Err(Error::Closed) => {}
            Err(error) => panic!("a closed log is told as {error:?}"),
        }
    }
    acknowledged.power_cut(&disk);
    // Its lock is free.
    drop(Wal::open(DIR, options(disk.env())).expect("a closed log opens"));
}

/// One follows from the beginning: it sees everything in order, nothing before it is durable, and the end.
pub(super) fn follower() {
    let disk = SimDisk::new(1);
    let (wal, acknowledged) = (open(&disk), Acknowledged::default());
    let follows = {
        let wal = wal.clone();
        thread::spawn(move || {
            let mut seen = Vec::new();
            let mut follower = wal.follow(Lsn::ZERO).expect("an open log");
            while let Some(record) = follower.next().expect("a disk that works") {
                assert!(seen.last().is_none_or(|(last, _)| *last < record.lsn), "out of order");
                seen.push((record.lsn, record.payload.to_vec()));
                assert!(wal.durable_lsn() >= record.end, "shown before it was durable");
            }
            seen
        })
    };
    let appenders = appenders(&wal, &disk, &acknowledged);
    for appender in appenders {
        appender.join().expect("an appender").expect("a disk that works");
    }
    wal.close().expect("a disk that works");
    let mut expected = acknowledged.now();
    expected.sort();
    let seen = follows.join().expect("the follower");
    assert!(expected.ends_with(&seen), "a follower saw what was not there, or not all to the end");
    // It may have begun after some were appended, but it began at the first position.
    assert_eq!(seen, expected);
}

/// The worker syncs behind the writers and seals at rest, while they commit without waiting.
pub(super) fn background() {
    let disk = SimDisk::new(1);
    let every = SyncPolicy::Interval(Duration::from_millis(1));
    let choices = options(threaded(&disk)).sync_policy(every).idle_seal(Some(Duration::from_millis(1)));
    let (wal, _) = Wal::open(DIR, choices).expect("an empty disk");
    let acknowledged = Acknowledged::default();
    let writers: Vec<_> = (0..2)
        .map(|of| {
            let (wal, acknowledged) = (wal.clone(), acknowledged.clone());
            thread::spawn(move || {
                for number in 0..2 {
                    let payload = payload(of, number);
                    let lsn = wal.append(&payload).expect("a disk that works");
                    wal.commit().expect("a disk that works");
                    if wal.durable_lsn() > lsn {
                        acknowledged.push(lsn, payload);
                    }
                }
            })
        })
        .collect();
    acknowledged.power_cut(&disk);
    for writer in writers {
        writer.join().expect("a writer");
    }
    acknowledged.power_cut(&disk);
    wal.close().expect("a disk that works");
}
