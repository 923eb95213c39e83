//! A memory budget changes what lies in the table, never what a store holds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_lossless,
    clippy::big_endian_bytes,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test stops at what it does not expect, makes its keys by hand, and prepares directories"
)]

#[path = "support/table.rs"]
mod table;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use laminar_storage::{StateStore, StoreOptions, WalStateStore};
use laminar_vfs::Op;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use table::table_bytes;

const BUDGET: u64 = 1 << 20;

fn options(disk: &SimDisk) -> StoreOptions {
    StoreOptions::new()
        .env(disk.env())
        .segment_bytes(256 << 10)
        .buffer_bytes(64 << 10)
        .memory_budget(BUDGET)
        .small_table_bytes(0)
}

fn open(disk: &SimDisk) -> WalStateStore {
    WalStateStore::open("/store", options(disk)).unwrap().0
}

fn checkpoint(store: &mut WalStateStore) {
    store.commit().unwrap();
    store.checkpoint().unwrap().wait().unwrap();
    store.commit().unwrap();
}

fn assert_holds(store: &WalStateStore, model: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut scan = store.range_scan((Bound::Unbounded, Bound::Unbounded)).unwrap();
    for (key, value) in model {
        let (found, held) = scan.next().expect("an entry is missing at the end").unwrap();
        assert!(found == key && held == value, "a scan has {found:?} where {key:?} should be");
        assert_eq!(store.get(key).unwrap(), Some(value.as_slice()));
    }
    assert!(scan.next().is_none());
}

#[test]
fn a_state_larger_than_the_budget_is_exact_under_random_changes() {
    for seed in 0..4 {
        let disk = SimDisk::new(seed);
        let mut store = open(&disk);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut model = BTreeMap::new();
        let mut largest = 0;
        for round in 0..40 {
            for _ in 0..rng.u32(1..300) {
                let key = format!("{:04}", rng.u32(..4000)).into_bytes();
                match rng.u8(..10) {
                    0..7 => {
                        let value = vec![rng.u8(..); rng.usize(..2000)];
                        store.put(&key, &value).unwrap();
                        model.insert(key, value);
                    }
                    7..9 => {
                        store.delete(&key).unwrap();
                        model.remove(&key);
                    }
                    _ => assert_eq!(store.get(&key).unwrap(), model.get(&key).map(Vec::as_slice)),
                }
            }
            if round == 30 && seed % 2 == 0 {
                store.clear().unwrap();
                model.clear();
            }
            match rng.u8(..4) {
                0 => checkpoint(&mut store),
                1 => drop(store.commit().unwrap()),
                2 => {
                    store.commit().unwrap();
                    disk.kill();
                    drop(store);
                    store = open(&disk);
                }
                _ => {}
            }
            largest = largest.max(model.iter().map(|(key, value)| key.len() + value.len()).sum());
            if round % 8 == 7 {
                assert_holds(&store, &model);
            }
        }
        assert!(largest as u64 > BUDGET, "seed {seed}: the state had {largest} bytes at most");
        checkpoint(&mut store);
        assert_holds(&store, &model);
        drop(store);
        assert_holds(&open(&disk), &model);
    }
}

#[test]
fn a_writer_that_outruns_checkpoints_waits_for_them() {
    // Nothing steps the checkpoints of this machine but those who wait for them.
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    store.enable_checkpointing(Duration::from_secs(3600), 2).unwrap();
    let mut model = BTreeMap::new();
    let mut most = 0;
    for n in 0..20_000_u32 {
        let (key, value) = (n.to_be_bytes().to_vec(), vec![n as u8; 1000]);
        store.put(&key, &value).unwrap();
        model.insert(key, value);
        if n % 100 == 99 {
            store.commit().unwrap();
            most = most.max(table_bytes(&store));
        }
    }
    assert!(most > BUDGET, "the budget was never passed");
    assert!(most < 2 * BUDGET, "{most} bytes were in the table");
    assert_holds(&store, &model);
}

/// Tombstones that a checkpoint covers leave at once when it was waited for.
#[test]
fn a_writer_that_only_deletes_waits_for_checkpoints_too() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    store.enable_checkpointing(Duration::from_secs(3600), 2).unwrap();
    let (mut most, mut waits) = (0, 0);
    for n in 0..40_000_u32 {
        store.delete(&n.to_be_bytes().repeat(50)).unwrap();
        if n % 100 == 99 {
            let before = table_bytes(&store);
            store.commit().unwrap();
            most = most.max(before);
            waits += u32::from(table_bytes(&store) < before / 4);
        }
    }
    assert!(most > BUDGET, "the budget was never passed");
    assert!(most < 2 * BUDGET, "{most} bytes were in the table");
    assert!(waits >= 5, "{waits} commits have emptied the table");
}

#[test]
fn a_writer_does_not_wait_for_checkpoints_that_fail() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    store.enable_checkpointing(Duration::from_secs(3600), 2).unwrap();
    disk.fail(Fault::new(FaultKind::Io).on(Op::Write).path(|path| path.extension().is_some_and(|end| end == "run")));
    for n in 0..4000_u32 {
        store.put(&n.to_be_bytes(), &[n as u8; 1000]).unwrap();
        if n % 100 == 99 {
            store.commit().unwrap();
        }
    }
    assert!(table_bytes(&store) > 3 * BUDGET);
    assert!(store.take_upkeep_error().is_some());
}

#[test]
fn above_the_budget_what_a_checkpoint_holds_leaves_the_table() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    let mut model = BTreeMap::new();
    for n in 0..4000_u32 {
        let (key, value) = (n.to_be_bytes().to_vec(), vec![n as u8; 1000]);
        store.put(&key, &value).unwrap();
        model.insert(key, value);
    }
    assert!(table_bytes(&store) > 3 * BUDGET);
    checkpoint(&mut store);
    // Swept a few per put.
    for _ in 0..5000 {
        store.put(b"k", b"v").unwrap();
    }
    model.insert(b"k".to_vec(), b"v".to_vec());
    assert!(table_bytes(&store) < BUDGET, "{} bytes are in the table", table_bytes(&store));
    assert_holds(&store, &model);
}

#[test]
fn entries_that_a_checkpoint_holds_make_room_for_what_is_written_after_it() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    for n in 0..700_u32 {
        store.put(&n.to_be_bytes(), &[1; 1000]).unwrap();
    }
    checkpoint(&mut store);
    // Within the budget for long enough that a walk over the table finds nothing to do.
    for _ in 0..3000 {
        store.put(b"k", b"v").unwrap();
    }
    assert!(table_bytes(&store) > 700_000, "what fits stays");
    // Now beyond it, though without what the checkpoint holds it would be well within.
    for n in 0..600_u32 {
        for _ in 0..5 {
            store.put(&(n + 10_000).to_be_bytes(), &[2; 1000]).unwrap();
        }
    }
    assert!(table_bytes(&store) < BUDGET, "{} bytes are in the table", table_bytes(&store));
    assert_eq!(store.len().unwrap(), 1301);
}

#[test]
fn a_recovery_of_more_than_the_budget_makes_a_checkpoint_first() {
    let disk = SimDisk::new(1);
    let (mut store, _) = WalStateStore::open("/store", options(&disk)).unwrap();
    for n in 0..3000_u32 {
        store.put(&n.to_be_bytes(), &[n as u8; 1000]).unwrap();
        store.set_source_offset("n", u64::from(n)).unwrap();
        store.commit().unwrap();
    }
    disk.kill();
    drop(store);
    let (store, report) = WalStateStore::open("/store", options(&disk)).unwrap();
    assert_eq!((report.checkpoint, report.records_replayed, report.source_offsets["n"]), (Some(1), 0, 2999));
    assert_eq!(table_bytes(&store), 0);
    assert_eq!(store.len().unwrap(), 3000);
    for n in 0..3000_u32 {
        assert_eq!(store.get(&n.to_be_bytes()).unwrap(), Some(&[n as u8; 1000][..]));
    }
    drop(store);
    // It is a checkpoint like any other, also for whoever has no budget.
    let (store, report) = WalStateStore::open("/store", StoreOptions::new().env(disk.env())).unwrap();
    assert_eq!((report.checkpoint, store.len().unwrap()), (Some(1), 3000));
}

#[test]
fn a_full_disk_opens_also_with_a_tail_beyond_the_budget() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    for n in 0..1000_u32 {
        store.put(&n.to_be_bytes(), &[n as u8; 1000]).unwrap();
    }
    checkpoint(&mut store);
    for n in 0..3000_u32 {
        store.put(&n.to_be_bytes(), &[n as u8; 1000]).unwrap();
        store.commit().unwrap();
    }
    disk.kill();
    drop(store);
    disk.set_space(Some(disk.used_bytes()));
    let mut store = open(&disk);
    assert!(store.take_upkeep_error().is_some_and(|error| error.is_no_space()), "that it had to do without is told");
    assert_eq!(store.attached_checkpoint().map(laminar_storage::Checkpoint::id), Some(1));
    assert_eq!(store.len().unwrap(), 3000);
    assert_eq!(store.get(&2999_u32.to_be_bytes()).unwrap(), Some(&[2999_u32 as u8; 1000][..]));
    // Once there is space again, the next checkpoint takes the tail out of memory.
    disk.set_space(None);
    checkpoint(&mut store);
    (0..3000).for_each(|_| store.put(b"k", b"v").unwrap());
    assert!(table_bytes(&store) < BUDGET);
    assert_eq!(store.len().unwrap(), 3001);
}

#[test]
fn a_checkpoint_that_fails_is_not_tried_again_with_every_commit() {
    let disk = SimDisk::new(1);
    let (env, workers) = disk.env_and_workers();
    let options = options(&disk).env(env).checkpoint_log_bytes(16 << 10);
    let (mut store, _) = WalStateStore::open("/store", options).unwrap();
    store.enable_checkpointing(Duration::from_secs(10), 2).unwrap();
    let in_checkpoints = |path: &std::path::Path| path.starts_with("/store/checkpoints");
    disk.fail(Fault::new(FaultKind::NoSpace).on(Op::Write).path(in_checkpoints).sticky());
    let mut commit = |n: u32| {
        store.put(&n.to_be_bytes(), &[1; 1000]).unwrap();
        store.commit().unwrap();
        workers.drive_all();
    };
    (0..100).for_each(&mut commit);
    assert_eq!(disk.faults_struck(), 1, "each of the commits has tried again");
    disk.clock().advance(Duration::from_secs(10));
    (0..100).for_each(&mut commit);
    assert_eq!(disk.faults_struck(), 2);
    disk.clear_faults();
    disk.clock().advance(Duration::from_secs(10));
    (0..100).for_each(&mut commit);
    assert!(store.take_upkeep_error().is_some_and(|error| error.is_no_space()), "nobody was told");
    assert!(store.take_upkeep_error().is_none());
    assert!(store.attached_checkpoint().is_some_and(|checkpoint| checkpoint.id() >= 3), "bytes of log count again");
}

#[test]
fn a_budget_makes_periodic_checkpoints_due_by_bytes() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk);
    store.enable_checkpointing(Duration::from_secs(1_000_000), 2).unwrap();
    let mut peak = 0;
    for n in 0..20_000_u32 {
        store.put(&n.to_be_bytes(), &[n as u8; 500]).unwrap();
        if n % 20 == 0 {
            store.commit().unwrap();
            if let Some(ticket) = store.running_checkpoint() {
                ticket.wait().unwrap();
            }
        }
        peak = peak.max(table_bytes(&store));
    }
    assert!(peak < 2 * BUDGET, "{peak} bytes were in the table");
    assert_eq!(store.len().unwrap(), 20_000);
    let made = store.attached_checkpoint().unwrap().id();
    // One for each quarter of the budget that was written.
    assert!(made >= 20_000 * 500 / (BUDGET / 4), "only {made} checkpoints came due");
}
