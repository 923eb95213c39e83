//! The store: a writer, its two workers, and those who wait for its commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use laminar_storage::{CommitTicket, StateStore, StoreOptions, WalStateStore};
use laminar_vfs::Env;
use laminar_vfs::sim::SimDisk;
use shuttle::thread;

use super::machine::threaded;

const DIR: &str = "/store";
const SOURCE: &str = "commit";
const COMMITS: u64 = 6;

fn options(env: Env) -> StoreOptions {
    StoreOptions::new().env(env).segment_bytes(16 << 10).buffer_bytes(4096)
}

/// The value of commit `number`, so large that segments are left; the key is one of three.
fn change(number: u64) -> ([u8; 1], Vec<u8>) {
    let byte = u8::try_from(number).unwrap_or(u8::MAX);
    ([byte % 3], vec![byte + 1; 4_000])
}

/// Cuts the power now: the store is the state after a commit that is not older than the last acknowledged.
fn power_cut(disk: &SimDisk, acknowledged: &AtomicU64, submitted: &AtomicU64) {
    let least = acknowledged.load(Ordering::SeqCst);
    let image = disk.crash_lose_all();
    let most = submitted.load(Ordering::SeqCst);
    let (store, report) = WalStateStore::open(DIR, options(image.env())).expect("a crash opens");
    let found = report.source_offsets.get(SOURCE).copied().unwrap_or(0);
    assert!((least..=most).contains(&found), "commit {found}; {least} was acknowledged, {most} submitted");
    assert!(!report.is_degraded(), "a crash passes for damage: {report:?}");
    for key in 0..3 {
        let last = (1..=found).rev().find(|number| number % 3 == key);
        let expected = last.map(|number| change(number).1);
        let key = [u8::try_from(key).unwrap_or(u8::MAX)];
        assert_eq!(store.get(&key).expect("a disk that works"), expected.as_deref(), "after commit {found}");
    }
}

/// Commits are waited for by another thread, checkpoints are cut, made and taken into use, runs merged, the log trimmed behind
/// them, and all is closed; the power is cut at any moment.
pub(super) fn checkpoints() {
    let disk = SimDisk::new(1);
    let (mut store, _) = WalStateStore::open(DIR, options(threaded(&disk))).expect("an empty disk");
    let (acknowledged, submitted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let cutter = {
        let (disk, acknowledged, submitted) = (disk.clone(), Arc::clone(&acknowledged), Arc::clone(&submitted));
        thread::spawn(move || power_cut(&disk, &acknowledged, &submitted))
    };
    let mut waiters = Vec::new();
    let mut running = Vec::new();
    for number in 1..=COMMITS {
        let (key, value) = change(number);
        store.put(&key, &value).expect("a disk that works");
        store.set_source_offset(SOURCE, number).expect("a disk that works");
        submitted.store(number, Ordering::SeqCst);
        let ticket: CommitTicket = store.commit().expect("a disk that works");
        if number % 2 == 0 {
            running.push(store.checkpoint().expect("a disk that works"));
        }
        let acknowledged = Arc::clone(&acknowledged);
        waiters.push(thread::spawn(move || {
            ticket.wait().expect("a disk that works");
            acknowledged.fetch_max(number, Ordering::SeqCst);
        }));
    }
    let ends_late = running.pop();
    for ticket in running {
        ticket.wait().expect("a checkpoint");
    }
    for waiter in waiters {
        waiter.join().expect("a waiter");
    }
    power_cut(&disk, &acknowledged, &submitted);
    if let Some(error) = store.take_upkeep_error() {
        panic!("upkeep: {error}");
    }
    store.close().expect("a disk that works");
    assert!(ends_late.is_none_or(|ticket| ticket.is_done()), "closed, and a ticket still waits");
    cutter.join().expect("the power cut");
    power_cut(&disk, &acknowledged, &submitted);
    drop(store);
    drop(WalStateStore::open(DIR, options(disk.env())).expect("a closed store opens"));
}
