//! What a store holds through checkpoints, merges, clears, retention and reopenings: always what the same changes do to a map.
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

use laminar_storage::{Error, Phase, RecoveryReport, StateStore, StoreOptions, WalStateStore};
use laminar_vfs::Op as DiskOp;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use table::table_bytes;

const DIR: &str = "/store";

fn options(disk: &SimDisk) -> StoreOptions {
    // Changes arrive as in a large table.
    StoreOptions::new().env(disk.env()).segment_bytes(16 << 10).buffer_bytes(4 << 10).small_table_bytes(0)
}

fn open(disk: &SimDisk) -> (WalStateStore, RecoveryReport) {
    WalStateStore::open(DIR, options(disk)).unwrap()
}

/// Commits, makes a checkpoint, takes it into use, and returns its id.
fn checkpoint(store: &mut WalStateStore) -> u64 {
    store.commit().unwrap();
    let id = store.checkpoint().unwrap().wait().unwrap().id;
    store.commit().unwrap();
    assert_eq!(store.attached_checkpoint().unwrap().id(), id);
    id
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn all(state: &impl StateStore) -> Model {
    let everything = state.range_scan((Bound::Unbounded, Bound::Unbounded)).unwrap();
    everything.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

/// Every way of reading gives what the model has.
fn assert_holds(state: &impl StateStore, model: &Model) {
    assert_eq!(all(state), *model);
    assert_eq!(state.len().unwrap(), model.len() as u64);
    assert_eq!(state.is_empty().unwrap(), model.is_empty());
    for (key, value) in model {
        assert_eq!(state.get(key).unwrap(), Some(value.as_slice()), "{key:?}");
        assert!(state.contains(key).unwrap());
    }
}

fn key(n: u32) -> Vec<u8> {
    format!("key-{n:05}").into_bytes()
}

/// Names in a directory of the disk, without what is below them.
fn names(disk: &SimDisk, dir: &str) -> Vec<String> {
    let below = disk.files().into_iter().filter_map(|path| {
        let name = path.strip_prefix(dir).ok()?.iter().next()?.to_str()?.to_owned();
        Some(name)
    });
    let mut names: Vec<String> = below.collect();
    names.dedup();
    names
}

fn checkpoints(disk: &SimDisk) -> Vec<String> {
    names(disk, "/store/checkpoints").into_iter().filter(|name| name.starts_with("checkpoint-")).collect()
}

#[test]
fn a_delete_hides_what_only_a_checkpoint_holds() {
    let disk = SimDisk::new(1);
    let mut model = Model::new();
    let (mut store, _) = open(&disk);
    for n in 0..100 {
        store.put(&key(n), b"old").unwrap();
        model.insert(key(n), b"old".to_vec());
    }
    checkpoint(&mut store);
    store.close().unwrap();
    drop(store);

    // Nothing is in the table now.
    let (mut store, report) = open(&disk);
    assert_eq!((report.checkpoint, report.records_replayed), (Some(1), 0));
    assert_holds(&store, &model);
    for n in (0..100).step_by(3) {
        store.delete(&key(n)).unwrap();
        model.remove(&key(n));
        assert_eq!(store.get(&key(n)).unwrap(), None);
        assert!(!store.contains(&key(n)).unwrap());
    }
    assert_holds(&store, &model);
    store.commit().unwrap();
    assert_holds(&store, &model);
    disk.kill();
    drop(store);

    // Tombstones in the table over the checkpoint.
    let (mut store, report) = open(&disk);
    assert_eq!(report.records_replayed, 34);
    assert_holds(&store, &model);
    // Tombstones in a run over another.
    checkpoint(&mut store);
    assert_holds(&store, &model);
    drop(store);
    let (mut store, report) = open(&disk);
    assert_eq!((report.checkpoint, report.records_replayed), (Some(2), 0));
    assert_holds(&store, &model);
    for n in (0..100).step_by(9) {
        store.put(&key(n), b"again").unwrap();
        model.insert(key(n), b"again".to_vec());
    }
    checkpoint(&mut store);
    drop(store);
    assert_holds(&open(&disk).0, &model);
}

/// Periodic checkpoints may run at any time, and `checkpoint` gives their tickets.
#[test]
fn a_checkpoint_of_all_has_what_was_committed_while_one_ran() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    store.put(b"first", b"1").unwrap();
    store.commit().unwrap();
    let running = store.checkpoint().unwrap();
    store.put(b"second", b"2").unwrap();
    let end = store.commit().unwrap().lsn();
    assert_eq!(store.checkpoint().unwrap().wait().unwrap().id, running.wait().unwrap().id);
    let all = store.checkpoint_all().unwrap();
    assert_eq!(all.wal_position(), end.get());
    assert_eq!(store.checkpoint_all().unwrap().id(), all.id(), "there was nothing left to do");
    store.put(b"not committed", b"3").unwrap();
    assert_eq!(store.checkpoint_all().unwrap().id(), all.id());
    drop(store);
    let (store, report) = WalStateStore::open(DIR, options(&disk).env(disk.crash_lose_all().env())).unwrap();
    assert_eq!(report.records_replayed, 0);
    assert_holds(&store, &Model::from([(b"first".into(), b"1".into()), (b"second".into(), b"2".into())]));
}

#[test]
fn a_checkpoint_takes_as_long_as_who_asked_for_it_waits() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    store.put(b"k", b"v").unwrap();
    store.commit().unwrap();
    let ticket = store.checkpoint().unwrap();
    assert_eq!(ticket.progress().phase, Phase::Waiting);
    disk.clock().advance(Duration::from_secs(5));
    assert!(ticket.wait().unwrap().duration >= Duration::from_secs(5));
}

#[test]
fn a_ticket_that_outlives_its_store_says_that_it_is_closed() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    store.put(b"k", b"v").unwrap();
    let ticket = store.commit().unwrap();
    assert!(!ticket.is_durable());
    drop(store);
    assert!(matches!(ticket.wait(), Err(Error::Closed)));
}

#[test]
fn a_prefix_is_deleted_whole_wherever_its_keys_are() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let mut model = Model::new();
    let named = |window: &str, n: u32| format!("{window}/{n:05}").into_bytes();
    let mut put = |store: &mut WalStateStore, key: Vec<u8>| {
        store.put(&key, b"value").unwrap();
        model.insert(key, b"value".to_vec());
    };
    // More keys than are taken out of the store at a time. Some of them only in the checkpoint, some only in the table, some in both.
    for n in 0..20_000 {
        put(&mut store, named("07-01", n));
    }
    for key in ["07-01", "07-0", "07-01.", "07-010", ""] {
        put(&mut store, key.into());
    }
    store.operator("other").unwrap().put(&named("07-01", 0), b"stays").unwrap();
    checkpoint(&mut store);
    for n in 15_000..25_000 {
        put(&mut store, named("07-01", n));
        put(&mut store, named("07-02", n));
    }
    store.delete(&named("07-01", 5)).unwrap();

    assert_eq!(store.delete_prefix(b"07-01/").unwrap(), 24_999);
    assert_eq!(store.delete_prefix(b"07-01/").unwrap(), 0);
    model.retain(|key, _| !key.starts_with(b"07-01/"));
    assert_eq!(model.len(), 10_005);
    assert_holds(&store, &model);
    store.commit().unwrap();
    drop(store);
    let (mut store, _) = open(&disk);
    assert_holds(&store, &model);
    checkpoint(&mut store);
    assert_holds(&store, &model);
    assert_eq!(store.operator("other").unwrap().len().unwrap(), 1);
    // As part of its commit, or not at all.
    assert_eq!(store.delete_prefix(b"").unwrap(), 10_005);
    assert!(store.is_empty().unwrap());
    drop(store);
    assert_holds(&open(&disk).0, &model);
}

#[test]
fn scans_see_table_checkpoint_and_tombstones_as_one() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    for n in 0..60 {
        store.put(&key(n), b"run").unwrap();
    }
    checkpoint(&mut store);
    store.delete(&key(10)).unwrap();
    store.put(&key(11), b"table").unwrap();
    store.put(&key(100), b"table").unwrap();
    store.delete(&key(59)).unwrap();
    let scanned = |prefix: &[u8]| -> Vec<Vec<u8>> {
        store.prefix_scan(prefix).unwrap().map(|entry| entry.unwrap().0.to_vec()).collect()
    };
    assert_eq!(scanned(b"key-0001"), (11..20).map(key).collect::<Vec<_>>());
    assert_eq!(scanned(b"key-0005"), (50..59).map(key).collect::<Vec<_>>());
    assert_eq!(scanned(b"key-001"), [key(100)]);
    assert_eq!(scanned(b"nothing"), Vec::<Vec<u8>>::new());
    assert_eq!(scanned(b"").len(), 59);
    let range = |lower, upper| -> Vec<Vec<u8>> {
        store.range_scan((lower, upper)).unwrap().map(|entry| entry.unwrap().0.to_vec()).collect()
    };
    let (ten, twelve) = (key(10), key(12));
    assert_eq!(range(Bound::Included(&ten[..]), Bound::Included(&twelve[..])), [key(11), key(12)]);
    assert_eq!(range(Bound::Excluded(&ten[..]), Bound::Excluded(&twelve[..])), [key(11)]);
    assert_eq!(range(Bound::Included(&twelve[..]), Bound::Excluded(&ten[..])), Vec::<Vec<u8>>::new());
    assert_eq!(range(Bound::Excluded(&key(58)[..]), Bound::Unbounded), [key(100)]);
}

#[test]
fn what_was_cleared_never_comes_back() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let mut model = Model::new();
    let mut committed = Model::new();
    for round in 0..24_u32 {
        for n in 0..20 {
            let (key, value) = (key(n + round), format!("{round}").into_bytes());
            store.put(&key, &value).unwrap();
            model.insert(key, value);
        }
        if round % 2 == 0 {
            checkpoint(&mut store);
            committed.clone_from(&model);
        }
        match round % 6 {
            1 => {
                store.commit().unwrap();
                committed.clone_from(&model);
            }
            3 => {
                disk.kill();
                drop(store);
                // The round was not committed.
                store = open(&disk).0;
                model.clone_from(&committed);
                assert_holds(&store, &model);
            }
            _ => {}
        }
        if round % 3 == 1 {
            store.clear().unwrap();
            model.clear();
            assert_holds(&store, &model);
            store.put(b"after the clear", b"1").unwrap();
            model.insert(b"after the clear".to_vec(), b"1".to_vec());
            store.commit().unwrap();
            committed.clone_from(&model);
        }
        if round % 4 == 3 {
            store.commit().unwrap();
            committed.clone_from(&model);
            disk.kill();
            drop(store);
            store = open(&disk).0;
        }
        assert_holds(&store, &model);
    }
    for _ in 0..3 {
        checkpoint(&mut store);
        assert_holds(&store, &model);
    }
    drop(store);
    assert_holds(&open(&disk).0, &model);
}

#[test]
fn a_clear_is_part_of_its_commit() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    store.put(b"k", b"1").unwrap();
    checkpoint(&mut store);
    store.clear().unwrap();
    store.put(b"k", b"2").unwrap();
    assert_eq!(store.len().unwrap(), 1);
    disk.kill();
    drop(store);
    let (mut store, _) = open(&disk);
    assert_eq!(store.get(b"k").unwrap(), Some(&b"1"[..]), "the clear was not committed");
    store.clear().unwrap();
    store.commit().unwrap();
    disk.kill();
    drop(store);
    assert!(open(&disk).0.is_empty().unwrap());
}

#[test]
fn merges_drop_what_was_cleared() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    for n in 0..500 {
        store.put(&key(n), &[7; 100]).unwrap();
    }
    checkpoint(&mut store);
    let entries = |store: &WalStateStore| store.attached_checkpoint().unwrap().entries_upper_bound();
    assert_eq!(entries(&store), 501, "the catalogue's among them");
    store.clear().unwrap();
    for n in 0..250 {
        store.put(&key(n), &[8; 100]).unwrap();
    }
    // This one plans a merge of all, the next one takes it.
    checkpoint(&mut store);
    assert_eq!(entries(&store), 501 + 251);
    store.put(b"k", b"v").unwrap();
    checkpoint(&mut store);
    assert_eq!(entries(&store), 251 + 1, "entries that were cleared take space still");
    assert_eq!(store.len().unwrap(), 251);
    drop(store);
    assert_eq!(open(&disk).0.len().unwrap(), 251);
}

#[test]
fn runs_stay_few_also_where_no_life_is_long_enough_for_a_merge() {
    let disk = SimDisk::new(1);
    let mut model = Model::new();
    let mut most = 0;
    for life in 0..60_u32 {
        let (mut store, _) = open(&disk);
        // The first is large, so that not all is merged for want of space.
        for n in if life == 0 { 0..2000 } else { life * 10..life * 10 + 10 } {
            let value = vec![life as u8; 100];
            store.put(&key(n), &value).unwrap();
            model.insert(key(n), value);
        }
        store.commit().unwrap();
        let info = store.checkpoint().unwrap().wait().unwrap();
        most = most.max(info.runs);
        // Merges are planned behind the checkpoint; nobody waits for them here.
        disk.kill();
        drop(store);
    }
    assert_eq!(most, 16, "and not fewer: there was something to merge");
    assert_holds(&open(&disk).0, &model);
}

#[test]
fn operators_are_apart() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let names = ["", "a", "a/b", "\u{e9}t\u{e9}", "b"];
    for (n, name) in (0_u8..).zip(names) {
        let mut operator = store.operator(name).unwrap();
        operator.put(b"same", &[n]).unwrap();
        operator.put(&[n], b"own").unwrap();
        operator.put(b"", &[n, n]).unwrap();
    }
    let check = |store: &WalStateStore, cleared: Option<&str>| {
        for (n, name) in (0_u8..).zip(names) {
            let view = store.operator_view(name).unwrap();
            if Some(name) == cleared {
                assert!(view.is_empty().unwrap());
                continue;
            }
            assert_eq!(view.len().unwrap(), 3, "{name}");
            assert_eq!(view.get(b"same").unwrap(), Some(&[n][..]));
            assert_eq!(view.get(&[n]).unwrap(), Some(&b"own"[..]));
            assert_eq!(view.get(&[n + 1]).unwrap(), None);
            assert_eq!(view.prefix_scan(b"").map(|entry| entry.unwrap().0).next(), Some(&b""[..]));
        }
        assert_eq!(store.operators().collect::<Vec<_>>(), ["", "a", "a/b", "b", "\u{e9}t\u{e9}"]);
        assert!(store.operator_view("c").is_none());
    };
    check(&store, None);
    checkpoint(&mut store);
    check(&store, None);
    drop(store);
    let (mut store, _) = open(&disk);
    check(&store, None);
    store.operator("a").unwrap().clear().unwrap();
    check(&store, Some("a"));
    checkpoint(&mut store);
    drop(store);
    check(&open(&disk).0, Some("a"));
}

#[test]
fn a_handle_of_an_operator_stays_good_when_it_is_cleared() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let id = store.operator_id("counts").unwrap();
    let other = store.operator_id("others").unwrap();
    store.operator_by_id(id).unwrap().put(b"k", b"1").unwrap();
    store.operator_by_id(other).unwrap().put(b"k", b"9").unwrap();
    store.commit().unwrap();
    store.operator_by_id(id).unwrap().clear().unwrap();
    assert_eq!(store.operator_by_id(id).unwrap().get(b"k").unwrap(), None);
    store.operator_by_id(id).unwrap().put(b"k", b"2").unwrap();
    assert_eq!(store.operator_view("counts").unwrap().get(b"k").unwrap(), Some(&b"2"[..]));
    assert_eq!(store.operator("counts").unwrap().id(), id);
    assert_eq!(store.operator_by_id(other).unwrap().get(b"k").unwrap(), Some(&b"9"[..]));
    // One operator held over a clear.
    let mut operator = store.operator("counts").unwrap();
    operator.clear().unwrap();
    operator.put(b"j", b"3").unwrap();
    assert_eq!(operator.len().unwrap(), 1);
    checkpoint(&mut store);
    drop(store);
    let (store, _) = open(&disk);
    assert_eq!(all_of(&store, "counts"), Model::from([(b"j".to_vec(), b"3".to_vec())]));
}

#[test]
fn a_handle_of_another_store_or_of_an_earlier_opening_is_refused() {
    let (disk, other_disk) = (SimDisk::new(1), SimDisk::new(2));
    let (mut store, _) = open(&disk);
    let (mut other, _) = open(&other_disk);
    let names = ["a", "b"];
    let ids = names.map(|name| store.operator_id(name).unwrap());
    let others = names.map(|name| other.operator_id(name).unwrap());
    let refused = |store: &mut WalStateStore, id| match store.operator_by_id(id) {
        Err(Error::InvalidOption { name: "operator", .. }) => {}
        Err(error) => panic!("{error}"),
        Ok(operator) => panic!("{operator:?}"),
    };
    for (id, other_id) in ids.into_iter().zip(others) {
        assert_ne!(id, other_id);
        refused(&mut store, other_id);
        refused(&mut other, id);
    }
    store.commit().unwrap();
    drop(store);
    let (mut store, _) = open(&disk);
    for (name, id) in names.into_iter().zip(ids) {
        refused(&mut store, id);
        let fresh = store.operator_id(name).unwrap();
        assert_eq!(store.operator_by_id(fresh).unwrap().id(), fresh);
    }
}

fn all_of(store: &WalStateStore, operator: &str) -> Model {
    let view = store.operator_view(operator).unwrap();
    view.prefix_scan(b"").map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

#[test]
fn a_thousand_operators() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let name = |n: u32| format!("operator {n}");
    for n in 0..1000 {
        let mut operator = store.operator(&name(n)).unwrap();
        operator.put(b"n", &n.to_le_bytes()).unwrap();
        if n == 500 {
            checkpoint(&mut store);
        }
    }
    for n in (0..1000).step_by(10) {
        store.operator(&name(n)).unwrap().clear().unwrap();
    }
    store.commit().unwrap();
    for reopened in 0..3 {
        assert_eq!(store.operators().count(), 1000);
        for n in 0..1000 {
            let value = store.operator_view(&name(n)).unwrap().get(b"n").unwrap();
            let expected = (n % 10 != 0).then_some(n.to_le_bytes());
            assert_eq!(value, expected.as_ref().map(|bytes| &bytes[..]), "{n}, reopened {reopened} times");
        }
        if reopened == 1 {
            checkpoint(&mut store);
        }
        disk.kill();
        drop(store);
        store = open(&disk).0;
    }
}

#[test]
fn many_checkpoints_stay_few_runs_and_exact() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let mut model = Model::new();
    let mut rng = fastrand::Rng::with_seed(5);
    for n in 0..1000 {
        store.put(&key(n), &[1; 64]).unwrap();
        model.insert(key(n), vec![1; 64]);
    }
    let (mut most, mut merged) = (0, 0);
    for round in 0..120_u32 {
        for _ in 0..rng.u32(1..30) {
            let key = key(rng.u32(..1500));
            if rng.u8(..4) == 0 {
                store.delete(&key).unwrap();
                model.remove(&key);
            } else {
                let value = vec![rng.u8(..); rng.usize(..100)];
                store.put(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
        store.commit().unwrap();
        let info = store.checkpoint().unwrap().wait().unwrap();
        merged += info.bytes_merged;
        most = most.max(info.runs);
        store.commit().unwrap();
        if round % 10 == 0 {
            assert_holds(&store, &model);
        }
        if round % 40 == 20 {
            drop(store);
            store = open(&disk).0;
            assert_holds(&store, &model);
        }
    }
    assert!(most <= 16, "{most} runs");
    assert!(merged > 0, "nothing was ever merged");
    assert!(store.take_upkeep_error().is_none());
    assert_holds(&store, &model);
    drop(store);
    assert_holds(&open(&disk).0, &model);
}

#[test]
fn old_checkpoints_and_the_log_that_only_they_need_go_away() {
    let disk = SimDisk::new(1);
    let (mut store, _) = WalStateStore::open(DIR, options(&disk).max_retained(3)).unwrap();
    for n in 0..10_u32 {
        for k in 0..100 {
            store.put(&key(k), &[n as u8; 200]).unwrap();
        }
        checkpoint(&mut store);
        assert_eq!(checkpoints(&disk).len(), 3.min(n as usize + 1), "after checkpoint {}", n + 1);
        let first_segment = names(&disk, "/store/wal").into_iter().find(|name| name.ends_with(".wal")).unwrap();
        if n < 2 {
            assert_eq!(
                first_segment, "00000000000000000000.wal",
                "the log is kept while fewer are there than are kept"
            );
        } else {
            let start: u64 = first_segment.trim_end_matches(".wal").parse().unwrap();
            let third = store.attached_checkpoint().unwrap().id() - 2;
            let oldest = laminar_checkpoint::Checkpoint::open(
                format!("/store/checkpoints/checkpoint-{third:020}"),
                &laminar_checkpoint::CheckpointOptions::new().env(disk.env()),
            );
            let needed = oldest.unwrap().wal_position();
            assert!(start <= needed, "log that the oldest needs is gone");
            assert!(start + (16 << 10) > needed, "log that none needs is there: from {start}, needed from {needed}");
        }
    }
    assert_eq!(checkpoints(&disk)[0], format!("checkpoint-{:020}", 8));
    assert!(store.take_upkeep_error().is_none());
    // A merged run that waits for the next checkpoint goes with the store.
    drop(store);
    let strays: Vec<_> = disk.files().into_iter().filter(|path| path.to_str().unwrap().contains(".tmp")).collect();
    assert!(strays.is_empty(), "{strays:?}");
}

#[test]
fn a_checkpoint_in_use_is_not_removed_under_its_reader() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    store.put(b"k", b"1").unwrap();
    checkpoint(&mut store);
    let old = store.attached_checkpoint().unwrap().clone();
    for n in 0..6_u8 {
        store.put(b"k", &[n]).unwrap();
        checkpoint(&mut store);
    }
    assert!(checkpoints(&disk).contains(&format!("checkpoint-{:020}", old.id())));
    assert_eq!(old.get(b"\0\0\0\x01k").unwrap(), Some(&b"1"[..]));
    drop(old);
    checkpoint(&mut store);
    assert_eq!(checkpoints(&disk).len(), 2);
}

#[test]
fn one_checkpoint_of_a_long_log_is_several_runs() {
    let disk = SimDisk::new(1);
    let mut model = Model::new();
    let (mut store, _) = WalStateStore::open(DIR, options(&disk).run_limits(4 << 10, 1 << 20)).unwrap();
    for n in 0..200 {
        store.put(&key(n % 120), &[n as u8; 100]).unwrap();
        model.insert(key(n % 120), vec![n as u8; 100]);
        if n % 7 == 0 {
            store.delete(&key(n % 50)).unwrap();
            model.remove(&key(n % 50));
        }
        store.set_source_offset("n", u64::from(n)).unwrap();
        store.commit().unwrap();
    }
    let info = store.checkpoint().unwrap().wait().unwrap();
    assert!(info.runs >= 10, "{info:?}");
    store.commit().unwrap();
    assert_eq!(store.attached_checkpoint().unwrap().runs().len(), info.runs);
    assert_holds(&store, &model);
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!((report.records_replayed, report.source_offsets["n"]), (0, 199));
    assert_holds(&store, &model);
    drop(store);
    // They are merged as soon as there is a checkpoint to take the merge.
    let (mut store, _) = open(&disk);
    checkpoint(&mut store);
    checkpoint(&mut store);
    assert_eq!(store.attached_checkpoint().unwrap().runs().len(), 1);
    assert_holds(&store, &model);

    // By records, and a commit is never split.
    let disk = SimDisk::new(1);
    let (mut store, _) = WalStateStore::open(DIR, options(&disk).run_limits(1 << 30, 10)).unwrap();
    for n in 0..100 {
        store.put(&key(n), b"v").unwrap();
        if n % 25 == 24 {
            store.commit().unwrap();
        }
    }
    assert_eq!(store.checkpoint().unwrap().wait().unwrap().runs, 4);
}

#[test]
fn a_large_state_lies_in_parts_and_is_merged_by_halves() {
    let disk = SimDisk::new(1);
    let mut model: Model = (0..6000).map(|n| (key(n), vec![n as u8; 30])).collect();
    let options = || options(&disk).part_bytes(1);
    let (mut store, _) = WalStateStore::open(DIR, options()).unwrap();
    for (key, value) in &model {
        store.put(key, value).unwrap();
    }
    store.commit().unwrap();
    let info = store.checkpoint().unwrap().wait().unwrap();
    store.commit().unwrap();
    let parts =
        |store: &WalStateStore| store.attached_checkpoint().unwrap().runs().iter().filter(|run| run.is_base()).count();
    assert_eq!((info.runs, parts(&store), store.attached_checkpoint().unwrap().depth()), (1, 4, 1));
    assert_holds(&store, &model);
    let mut was_between = false;
    for round in 0..30_u32 {
        for n in (round % 7..6000).step_by(9) {
            if n % 5 == 0 {
                store.delete(&key(n)).unwrap();
                model.remove(&key(n));
            } else {
                store.put(&key(n), &[round as u8; 30]).unwrap();
                model.insert(key(n), vec![round as u8; 30]);
            }
        }
        checkpoint(&mut store);
        let runs = store.attached_checkpoint().unwrap().runs();
        was_between |= runs.iter().any(|run| run.is_base() && run.to() != runs[0].to());
        if round % 4 == 3 {
            drop(store);
            store = WalStateStore::open(DIR, options()).unwrap().0;
            assert_holds(&store, &model);
        }
    }
    assert!(was_between && parts(&store) > 1);
    store.commit().unwrap();
    let newest = store.attached_checkpoint().unwrap().state_path().to_owned();
    laminar_storage::restore(newest, "/again", options()).unwrap();
    let (restored, _) = WalStateStore::open("/again", options()).unwrap();
    assert_eq!(parts(&restored), parts(&store));
    assert_holds(&restored, &model);
}

#[test]
fn a_power_cut_while_parts_are_written_or_merged_loses_nothing() {
    let disk = SimDisk::new(1);
    let options = |disk: &SimDisk| options(disk).part_bytes(1);
    let mut model: Model = (0..1200).map(|n| (key(n), vec![n as u8; 20])).collect();
    let (mut store, _) = WalStateStore::open(DIR, options(&disk)).unwrap();
    for (key, value) in &model {
        store.put(key, value).unwrap();
    }
    store.commit().unwrap().wait().unwrap();
    let begun = disk.changes();
    disk.start_history();
    // What was durable, and from which change of the disk on.
    let mut durable = vec![(0, model.clone())];
    let mut most_parts = 0;
    for round in 0..6_u32 {
        checkpoint(&mut store);
        let parts = store.attached_checkpoint().unwrap().runs().iter().filter(|run| run.is_base()).count();
        most_parts = most_parts.max(parts);
        for n in (round..1200).step_by(3) {
            store.put(&key(n), &[round as u8; 20]).unwrap();
            model.insert(key(n), vec![round as u8; 20]);
        }
        store.commit().unwrap().wait().unwrap();
        durable.push((disk.changes() - begun, model.clone()));
    }
    assert!(most_parts >= 3, "{most_parts} parts");
    let history = disk.take_history();
    for (change, before) in history.iter().enumerate().step_by(3) {
        let since = durable.iter().filter(|(at, _)| *at <= change as u64).count();
        for image in [before.crash_lose_all(), before.crash(change as u64)] {
            let (store, _) = WalStateStore::open(DIR, options(&image)).unwrap();
            let found = all(&store);
            // The commit after may be whole already.
            let is_one_of = durable.iter().skip(since - 1).take(2).any(|(_, model)| *model == found);
            assert!(is_one_of, "change {change}: {} keys", found.len());
        }
    }
}

#[test]
fn no_part_is_made_of_what_was_deleted() {
    for gone in [0..1600, 4400..6000, 1000..5000, 0..5999, 0..6000] {
        let disk = SimDisk::new(1);
        let (mut store, _) = WalStateStore::open(DIR, options(&disk).part_bytes(1)).unwrap();
        let mut model = Model::new();
        for n in 0..6000 {
            store.put(&key(n), b"value").unwrap();
            model.insert(key(n), b"value".to_vec());
        }
        for n in gone.clone() {
            store.delete(&key(n)).unwrap();
            model.remove(&key(n));
        }
        checkpoint(&mut store);
        let runs = store.attached_checkpoint().unwrap().runs();
        assert!(runs.iter().all(|run| run.entries() > 0) || model.is_empty(), "{gone:?}");
        drop(store);
        assert_holds(&open(&disk).0, &model);
    }
}

#[test]
fn a_run_maps_no_more_of_a_long_log_than_it_takes_in() {
    let disk = SimDisk::new(1);
    let mut model = Model::new();
    let (mut store, _) = WalStateStore::open(DIR, options(&disk).run_limits(32 << 10, 1 << 20)).unwrap();
    for n in 0..6000 {
        store.put(&key(n % 900), &[n as u8; 100]).unwrap();
        model.insert(key(n % 900), vec![n as u8; 100]);
        if n == 5000 {
            // A value that is many times as long as a run.
            store.put(b"long", &[1; 300 << 10]).unwrap();
            model.insert(b"long".to_vec(), vec![1; 300 << 10]);
        }
        // Among short commits, one that is as long.
        if n % 10 == 9 && !(2000..4000).contains(&n) {
            store.commit().unwrap();
        }
    }
    store.commit().unwrap().wait().unwrap();
    let is_segment = |path: &std::path::Path| path.extension().is_some_and(|found| found == "wal");
    let segments = disk.files().iter().filter(|path| is_segment(path)).count() as u64;
    disk.fail(Fault::new(FaultKind::Io).on(DiskOp::Map).path(is_segment).after(3 * segments).sticky());
    let info = store.checkpoint().unwrap().wait().unwrap();
    assert!(segments > 40 && info.runs > 10, "{segments} segments, {info:?}");
    disk.clear_faults();
    store.commit().unwrap();
    assert_holds(&store, &model);
    drop(store);
    assert_holds(&open(&disk).0, &model);
}

#[test]
fn a_checkpoint_of_nothing() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    assert_eq!(store.checkpoint().unwrap().wait().unwrap().entries_written, 0);
    store.commit().unwrap();
    assert!(store.is_empty().unwrap());
    drop(store);
    let (mut store, report) = open(&disk);
    assert_eq!(report.checkpoint, Some(1));
    let exported = store.export("/backup").unwrap();
    laminar_storage::restore(exported.state_path(), "/again", options(&disk)).unwrap();
    for at in [DIR, "/again"] {
        drop(store);
        store = WalStateStore::open(at, options(&disk)).unwrap().0;
        assert!(store.is_empty().unwrap());
        store.put(b"k", b"v").unwrap();
        checkpoint(&mut store);
        // With nothing new since the last.
        checkpoint(&mut store);
        store.delete(b"k").unwrap();
        store.put(b"j", b"v").unwrap();
        checkpoint(&mut store);
        drop(store);
        store = WalStateStore::open(at, options(&disk)).unwrap().0;
        assert_holds(&store, &Model::from([(b"j".to_vec(), b"v".to_vec())]));
    }
}

#[test]
fn source_offsets_survive_in_the_log_and_in_checkpoints() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let long = "n".repeat(4096);
    let names = ["", "orders", "\u{65e5}\u{672c}/\u{1f980}\n", &long];
    for (n, name) in (1_u64..).zip(names) {
        store.set_source_offset(name, n).unwrap();
    }
    // Offsets alone are a commit.
    let first = store.commit().unwrap();
    assert_eq!(store.commit().unwrap().lsn(), first.lsn());
    disk.kill();
    drop(store);
    let (mut store, report) = open(&disk);
    assert_eq!((report.commits_replayed, report.records_replayed), (1, 0));
    for (n, name) in (1_u64..).zip(names) {
        assert_eq!(report.source_offsets[name], n);
        assert_eq!(store.source_offset(name), Some(n));
    }
    checkpoint(&mut store);
    store.set_source_offset("orders", u64::MAX).unwrap();
    store.set_source_offset("new", 0).unwrap();
    store.commit().unwrap();
    store.set_source_offset("orders", 3).unwrap();
    assert_eq!(store.source_offset("orders"), Some(3), "as last set");
    disk.kill();
    drop(store);
    let (mut store, report) = open(&disk);
    assert_eq!(report.checkpoint, Some(1));
    assert_eq!(report.source_offsets.len(), 5);
    assert_eq!(report.source_offsets["orders"], u64::MAX, "as last committed");
    assert_eq!((report.source_offsets[""], report.source_offsets["new"]), (1, 0));
    checkpoint(&mut store);
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!((report.commits_replayed, report.source_offsets.len()), (0, 5));
    assert_eq!(report.source_offsets["orders"], u64::MAX);
    assert_eq!(*store.source_offsets(), report.source_offsets);
}

/// A store with offsets in a checkpoint and behind it.
fn store_of_sources(disk: &SimDisk) -> WalStateStore {
    let (mut store, _) = open(disk);
    for (name, offset) in [("a", 1), ("b", 2), ("c", 3)] {
        store.set_source_offset(name, offset).unwrap();
    }
    checkpoint(&mut store);
    store.set_source_offset("d", 4).unwrap();
    store.commit().unwrap().wait().unwrap();
    store
}

fn sources(store: &WalStateStore) -> String {
    store.source_offsets().iter().map(|(name, offset)| format!("{name}{offset}")).collect()
}

#[test]
fn a_removed_source_offset_is_gone_in_the_log_and_in_checkpoints() {
    let disk = SimDisk::new(1);
    let mut store = store_of_sources(&disk);
    // One that only the checkpoint has, one that only the log has, one that no commit has.
    store.set_source_offset("e", 5).unwrap();
    for name in ["a", "d", "e"] {
        assert!(store.remove_source_offset(name).unwrap());
        assert!(!store.remove_source_offset(name).unwrap(), "{name} is gone already");
        assert_eq!(store.source_offset(name), None);
    }
    assert!(!store.remove_source_offset("never set").unwrap());
    let removed = store.commit().unwrap();
    assert_eq!(store.commit().unwrap().lsn(), removed.lsn(), "a removal is committed once");
    assert_eq!(sources(&store), "b2c3");
    disk.kill();
    drop(store);
    let (mut store, report) = open(&disk);
    assert_eq!((report.checkpoint, sources(&store)), (Some(1), "b2c3".to_owned()));
    assert_eq!(report.source_offsets, *store.source_offsets());
    checkpoint(&mut store);
    assert!(store.verify(&mut |_| ()).unwrap().is_whole());
    let exported = store.export("/backup").unwrap();
    assert_eq!(exported.source_offsets(), store.source_offsets());
    drop(store);
    let (mut store, report) = open(&disk);
    assert_eq!((report.commits_replayed, sources(&store)), (0, "b2c3".to_owned()));
    // It may come back, in the same commit too: the last word counts.
    store.set_source_offset("a", 7).unwrap();
    store.remove_source_offset("b").unwrap();
    store.set_source_offset("b", 8).unwrap();
    store.set_source_offset("b", 9).unwrap();
    store.commit().unwrap();
    disk.kill();
    drop(store);
    assert_eq!(sources(&open(&disk).0), "a7b9c3");
}

#[test]
fn a_removal_of_a_source_offset_is_part_of_its_commit() {
    let disk = SimDisk::new(1);
    let mut store = store_of_sources(&disk);
    disk.start_history();
    store.put(b"k", b"v").unwrap();
    store.remove_source_offset("a").unwrap();
    store.set_source_offset("e", 5).unwrap();
    store.commit().unwrap().wait().unwrap();
    checkpoint(&mut store);
    let mut seen = std::collections::BTreeSet::new();
    for before in disk.take_history() {
        for left in [before.fork(), before.crash_keep_all(), before.crash_lose_all(), before.crash(1), before.crash(2)]
        {
            let (store, _) = open(&left);
            let is_there = store.get(b"k").unwrap().is_some();
            assert_eq!(sources(&store), if is_there { "b2c3d4e5" } else { "a1b2c3d4" });
            seen.insert(is_there);
        }
    }
    assert_eq!(seen.len(), 2, "both sides of the commit");
    // Without a commit nothing is removed.
    store.remove_source_offset("b").unwrap();
    drop(store);
    assert_eq!(sources(&open(&disk).0), "b2c3d4e5");
}

#[test]
fn a_closed_store_says_so_to_every_change() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let id = store.operator_id("operator").unwrap();
    store.put(b"k", b"v").unwrap();
    store.commit().unwrap();
    store.put(b"not committed", b"v").unwrap();
    store.set_source_offset("not committed", 1).unwrap();
    store.close().unwrap();
    let closed = |result: laminar_storage::Result<()>| assert!(matches!(result, Err(Error::Closed)), "{result:?}");
    closed(store.put(b"k", b"w"));
    closed(store.delete(b"k"));
    closed(store.delete(b"missing"));
    closed(store.clear());
    closed(store.set_source_offset("source", 1));
    closed(store.remove_source_offset("s").map(drop));
    closed(store.commit().map(drop));
    closed(store.checkpoint().map(drop));
    closed(store.enable_checkpointing(Duration::from_secs(1), 2));
    closed(store.operator("new").map(drop));
    closed(store.operator_by_id(id).unwrap().put(b"k", b"v"));
    closed(store.verify(&mut |_| {}).map(drop));
    closed(store.export("/backup").map(drop));
    closed(store.close());
    drop(store);
    let (store, report) = open(&disk);
    assert_holds(&store, &Model::from([(b"k".to_vec(), b"v".to_vec())]));
    assert!(report.source_offsets.is_empty(), "what was not committed is dropped by close");
    assert!(!report.is_degraded(), "{report:?}");
}

/// The disk is full when the mark of the close is written: the store has ended all the same, and everything is there. Found by random runs
/// with failing calls.
#[test]
fn a_close_without_a_mark_is_a_close() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk).0;
    store.put(b"key", b"value").unwrap();
    store.commit().unwrap().wait().unwrap();
    let is_mark = |path: &std::path::Path| path.to_string_lossy().contains("CLOSED");
    disk.fail(Fault::new(FaultKind::NoSpace).on(DiskOp::Write).path(is_mark).sticky());
    assert!(store.close().unwrap_err().is_no_space());
    assert!(store.is_closed());
    assert!(matches!(store.put(b"key", b"other"), Err(Error::Closed)));
    drop(store);
    disk.clear_faults();
    let (store, report) = open(&disk);
    assert!(!report.tail.clean, "{report:?}");
    assert_eq!(all(&store), Model::from([(b"key".to_vec(), b"value".to_vec())]));
}

/// The disk is full before everything is durable: the store goes on, and closes once there is space.
#[test]
fn a_refused_close_goes_on() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk).0;
    store.put(b"key", b"value").unwrap();
    store.commit().unwrap().wait().unwrap();
    store.put(b"key", b"other").unwrap();
    disk.fail(Fault::new(FaultKind::NoSpace).on(DiskOp::Write).sticky());
    assert!(store.commit().unwrap_err().is_no_space());
    assert!(store.close().unwrap_err().is_no_space());
    assert!(!store.is_closed());
    disk.clear_faults();
    store.put(b"more", b"value").unwrap();
    checkpoint(&mut store);
    store.close().unwrap();
    assert!(store.is_closed());
    drop(store);
    let (store, report) = open(&disk);
    assert!(report.tail.clean, "{report:?}");
    let expected = [(b"key".to_vec(), b"other".to_vec()), (b"more".to_vec(), b"value".to_vec())];
    assert_eq!(all(&store), Model::from(expected));
}

#[test]
fn an_export_of_a_closed_store_is_refused_also_with_a_checkpoint_of_everything() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    store.put(b"k", b"v").unwrap();
    checkpoint(&mut store);
    store.close().unwrap();
    assert!(matches!(store.export("/backup"), Err(Error::Closed)));
}

#[test]
fn values_are_aligned_wherever_they_lie() {
    for alignment in [1, 8, 16] {
        let disk = SimDisk::new(1);
        let options = || options(&disk).value_alignment(alignment);
        let (mut store, _) = WalStateStore::open(DIR, options()).unwrap();
        let is_at = |value: Option<&[u8]>, boundary| value.unwrap().as_ptr().addr().is_multiple_of(boundary);
        for n in 0..200 {
            store.put(&vec![b'k'; n as usize % 37], &vec![n as u8; n as usize]).unwrap();
            store.put(&key(n), &vec![n as u8; n as usize]).unwrap();
            // Of one length, so that they need no headers: no boundary comes by itself.
            (0..3).for_each(|more| store.put(&key(1000 + n * 3 + more), &[n as u8; 21]).unwrap());
        }
        let check = |store: &WalStateStore, boundary, what: &str| {
            for n in (0..200).chain(1000..1600) {
                assert!(is_at(store.get(&key(n)).unwrap(), boundary), "{what}, {alignment}: {n}");
            }
            let scan = store.prefix_scan(b"").unwrap();
            assert!(scan.into_iter().all(|entry| is_at(entry.ok().map(|(_, value)| value), boundary)), "{what}");
        };
        check(&store, 16, "in the table");
        checkpoint(&mut store);
        drop(store);
        let (mut store, report) = WalStateStore::open(DIR, options()).unwrap();
        assert_eq!(report.records_replayed, 0);
        check(&store, alignment, "in the checkpoint");
        let odd = (1000..1600).filter(|&n| !is_at(store.get(&key(n)).unwrap(), 16)).count();
        assert_eq!(odd > 100, alignment < 16, "{odd} of 600 begin on another");
        // All that it is copied to, and what is made of that.
        let backup = store.export("/backup").unwrap();
        assert!(backup.range(..).all(|entry| is_at(entry.ok().map(|(_, value)| value), alignment)), "{alignment}");
        laminar_storage::restore(backup.state_path(), "/restored", options()).unwrap();
        check(&WalStateStore::open("/restored", options()).unwrap().0, alignment, "restored");
    }
}

#[test]
fn archives_that_point_to_long_numbers_are_read_in_place_too() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let numbers = |n: u32| vec![u128::from(n); 1 + n as usize % 2];
    for n in 0..400 {
        // Two lengths, each for many keys in a row.
        let n = if n < 200 { 2 * n } else { 2 * n + 1 };
        store.put(&key(n), &rkyv::to_bytes::<rkyv::rancor::Error>(&numbers(n)).unwrap()).unwrap();
    }
    checkpoint(&mut store);
    drop(store);
    let (store, _) = open(&disk);
    for n in (0..200).map(|n| 2 * n).chain((200..400).map(|n| 2 * n + 1)) {
        let bytes = store.get(&key(n)).unwrap().unwrap();
        let found = rkyv::access::<rkyv::Archived<Vec<u128>>, rkyv::rancor::Error>(bytes).unwrap();
        assert!(found.iter().all(|number| number.to_native() == u128::from(n)), "{n}");
    }
}

#[test]
fn an_archived_value_is_read_in_place() {
    #[derive(rkyv::Archive, rkyv::Serialize)]
    struct Leg {
        flights: u64,
        delays: Vec<i32>,
        airport: String,
    }
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let leg = Leg { flights: 3, delays: vec![-4, 11, 0], airport: "EWR".to_owned() };
    store.put(b"N14228", &rkyv::to_bytes::<rkyv::rancor::Error>(&leg).unwrap()).unwrap();
    let check = |store: &WalStateStore| {
        let bytes = store.get(b"N14228").unwrap().unwrap();
        let leg = rkyv::access::<ArchivedLeg, rkyv::rancor::Error>(bytes).unwrap();
        assert_eq!((leg.flights.to_native(), leg.airport.as_str()), (3, "EWR"));
        assert_eq!(leg.delays.iter().map(|delay| delay.to_native()).collect::<Vec<_>>(), [-4, 11, 0]);
        assert!(bytes.as_ptr_range().contains(&std::ptr::from_ref(leg).cast()), "a copy was made");
    };
    check(&store);
    checkpoint(&mut store);
    check(&store);
    drop(store);
    check(&open(&disk).0);
}

#[test]
fn empty_keys_and_values_are_as_good_as_any() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let mut model = Model::from([(vec![], b"no key".to_vec()), (b"no value".to_vec(), vec![])]);
    model.iter().for_each(|(key, value)| store.put(key, value).unwrap());
    assert_holds(&store, &model);
    checkpoint(&mut store);
    assert_holds(&store, &model);
    drop(store);
    let (mut store, _) = open(&disk);
    assert_holds(&store, &model);
    store.put(b"", b"").unwrap();
    model.insert(vec![], vec![]);
    store.delete(b"no value").unwrap();
    model.remove(&b"no value"[..]);
    checkpoint(&mut store);
    drop(store);
    let (mut store, _) = open(&disk);
    assert_holds(&store, &model);
    store.delete(b"").unwrap();
    checkpoint(&mut store);
    drop(store);
    assert!(open(&disk).0.is_empty().unwrap());
}

#[test]
fn size_and_len_follow_the_state() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let empty = store.size_bytes();
    for n in 0..1000 {
        store.put(&key(n), &[1; 100]).unwrap();
    }
    let full = store.size_bytes() - empty;
    assert!((109_000..130_000).contains(&full), "{full} bytes of 109,000");
    for n in 0..1000 {
        store.put(&key(n), &[2; 100]).unwrap();
    }
    assert_eq!(store.size_bytes() - empty, full, "an overwrite adds nothing");
    assert_eq!(store.len().unwrap(), 1000);
    checkpoint(&mut store);
    drop(store);
    let (mut store, _) = open(&disk);
    let reopened = store.size_bytes();
    assert!((109_000..130_000).contains(&reopened), "{reopened} bytes of 109,000 in the run");
    for n in 0..1000 {
        store.delete(&key(n)).unwrap();
    }
    assert_eq!(store.len().unwrap(), 0);
    for _ in 0..3 {
        checkpoint(&mut store);
        // Tombstones that a checkpoint covers are swept a few per put.
        (0..1100).for_each(|_| store.put(b"k", b"v").unwrap());
    }
    assert_eq!(store.len().unwrap(), 1);
    assert!(store.size_bytes() < 2000, "{} bytes for one entry", store.size_bytes());
}

/// Those that the run below makes stay are not looked at again and again meanwhile.
#[test]
fn checkpoints_that_fail_hold_up_no_tombstone() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let go_on = |store: &mut WalStateStore, changes| {
        (0..changes).for_each(|_| store.put(b"k", b"v").unwrap());
        store.commit().unwrap();
    };
    (0..1000).for_each(|n| store.put(&key(n), &[1; 100]).unwrap());
    checkpoint(&mut store);
    (0..1000).for_each(|n| store.delete(&key(n)).unwrap());
    (0..2).for_each(|_| go_on(&mut store, 1000));
    let held = table_bytes(&store);
    for n in 1000..2000 {
        store.put(&key(n), &[1; 100]).unwrap();
        store.delete(&key(n)).unwrap();
    }
    store.commit().unwrap();
    let is_of_checkpoints = |path: &std::path::Path| path.components().any(|part| part.as_os_str() == "checkpoints");
    disk.fail(Fault::new(FaultKind::NoSpace).on(DiskOp::Write).path(is_of_checkpoints).sticky());
    for _ in 0..10 {
        assert!(store.checkpoint().unwrap().wait().is_err());
        // The next commit learns of it.
        (0..2).for_each(|_| go_on(&mut store, 100));
    }
    assert!(table_bytes(&store) <= held, "{} for {held}", table_bytes(&store));
}

/// Once they are a quarter of all entries, or a checkpoint has ended.
#[test]
fn tombstones_leave_the_table() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    let go_on = |store: &mut WalStateStore| (0..2000).for_each(|_| store.put(b"k", b"v").unwrap());
    go_on(&mut store);
    let empty = table_bytes(&store);
    for n in 0..1000 {
        store.put(&key(n), &[1; 100]).unwrap();
    }
    let each = (table_bytes(&store) - empty) / 1000;

    // Of one batch, so that none may go before all are there.
    for n in 0..600 {
        store.delete(&key(n)).unwrap();
    }
    go_on(&mut store);
    assert_eq!(table_bytes(&store), empty + 400 * each + 600 * (each - 100), "none is committed");
    store.commit().unwrap();
    go_on(&mut store);
    assert_eq!(table_bytes(&store), empty + 400 * each);

    // Too few to look for.
    for n in 600..650 {
        store.delete(&key(n)).unwrap();
    }
    store.commit().unwrap();
    go_on(&mut store);
    assert_eq!(table_bytes(&store), empty + 350 * each + 50 * (each - 100));
    checkpoint(&mut store);
    go_on(&mut store);
    assert_eq!(table_bytes(&store), empty + 350 * each);

    // The run below has these: they stay until a checkpoint without them is in use.
    for n in 650..950 {
        store.delete(&key(n)).unwrap();
    }
    store.commit().unwrap();
    go_on(&mut store);
    assert_eq!(table_bytes(&store), empty + 50 * each + 300 * (each - 100));
    checkpoint(&mut store);
    go_on(&mut store);
    assert_eq!(table_bytes(&store), empty + 50 * each);
    assert_eq!(store.len().unwrap(), 51);
}
