//! Durable appends, alone and in groups, beside the disk's own sync of the same bytes.

use std::sync::Barrier;

use laminar_benches::floor::{Layout, SyncFile};
use laminar_benches::names::{
    F_SYNC, F_SYNC_GROWING, LAMINAR, LOG_DURABLE, LOG_DURABLE_CALLS, LOG_GROUP_8, LOG_GROUP_32, RECORDS_PER_SYNC,
};
use laminar_benches::{Figure, Latency, Output, Rounds, Settings, directory, memory, time};
use laminar_wal::{SyncPolicy, Wal, WalOptions};

use crate::RECORD_BYTES;

/// What a group of one record occupies: the floor writes the same.
const GROUP_BYTES: usize = 4096;

pub(crate) fn measure(settings: &Settings, output: &Output) {
    let appends = if settings.quick { 300 } else { 2_000 };
    let mut rounds = Rounds::new("log durable and group commit", settings);
    rounds.add(LAMINAR, move || {
        let mut figures = alone(appends);
        figures.extend(together(8, appends, LOG_GROUP_8));
        figures.extend(together(32, appends, LOG_GROUP_32));
        figures
    });
    for (name, layout) in [(F_SYNC, Layout::Prepared), (F_SYNC_GROWING, Layout::Growing)] {
        rounds.add(name, move || {
            let dir = directory::scratch();
            let mut file = SyncFile::create(dir.path(), layout, GROUP_BYTES, appends);
            let mut latency = Latency::new();
            file.write(appends, &mut latency);
            latency.figures(LOG_DURABLE)
        });
    }
    output.rows(rounds.run(), 0);
}

/// A log whose segments are filled with zeros ahead, and which is past its first record.
fn log(dir: &std::path::Path) -> Wal {
    let options = WalOptions::new().sync_policy(SyncPolicy::EveryCommit).idle_seal(None);
    let (wal, _) = Wal::open(dir, options).expect("a log can be made");
    wal.append(&[1; RECORD_BYTES]).expect("there is room");
    wal.sync().expect("there is space");
    wal
}

fn alone(appends: usize) -> Vec<Figure> {
    let dir = directory::scratch();
    let wal = log(dir.path());
    let (calls, stats) = (memory::written(), wal.stats());
    let mut latency = Latency::new();
    for _ in 0..appends {
        let start = time::now();
        wal.append(&[7; RECORD_BYTES]).expect("there is room");
        wal.sync().expect("there is space");
        latency.record_since(start);
    }
    let groups = wal.stats().groups - stats.groups;
    let syncs = wal.stats().syncs - stats.syncs;
    let each = |count: u64| count as f64 / appends as f64;
    let mut figures = latency.figures(LOG_DURABLE);
    figures.push((format!("{LOG_DURABLE_CALLS}/writes"), "calls/record", each(groups)).into());
    figures.push((format!("{LOG_DURABLE_CALLS}/syncs"), "calls/record", each(syncs)).into());
    // With segments that are prepared in the background.
    let written = memory::written().since(calls).calls;
    figures.push((format!("{LOG_DURABLE_CALLS}/process"), "calls/record", each(written)).into());
    figures
}

/// `threads` that each append a record, wait until it is durable, and begin again.
fn together(threads: usize, appends: usize, bench: &str) -> Vec<Figure> {
    let dir = directory::scratch();
    let wal = log(dir.path());
    let begin = Barrier::new(threads);
    let before = wal.stats();
    let latencies: Vec<Latency> = std::thread::scope(|scope| {
        let one = || {
            let mut latency = Latency::new();
            begin.wait();
            for _ in 0..appends {
                let start = time::now();
                let lsn = wal.append(&[7; RECORD_BYTES]).expect("there is room");
                wal.wait_durable(laminar_wal::Lsn::new(lsn.get() + 1)).expect("there is space");
                latency.record_since(start);
            }
            latency
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join().expect("a writer does not fail")).collect()
    });
    let syncs = wal.stats().syncs - before.syncs;
    let mut latency = Latency::new();
    latencies.iter().for_each(|other| latency.add(other));
    let mut figures = latency.figures(bench);
    let per_sync = latency.count() as f64 / syncs as f64;
    figures.push((format!("{bench}{RECORDS_PER_SYNC}"), "records/sync", per_sync).into());
    figures
}
