//! A checkpoint read by operator, beside the owner of the store and after it.
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::path::PathBuf;

use laminar_storage::{CheckpointView, Error, StateStore, StoreOptions, Verify, WalStateStore, restore};
use laminar_vfs::Op;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};

const DIR: &str = "/store";

fn options(disk: &SimDisk) -> StoreOptions {
    StoreOptions::new().env(disk.env()).segment_bytes(16 << 10).buffer_bytes(4 << 10)
}

/// A store with a checkpoint in which `sums` has 1 under its key and `counts` has 7, and changes behind it.
fn store_with_checkpoint(disk: &SimDisk) -> WalStateStore {
    let (mut store, _) = WalStateStore::open(DIR, options(disk)).unwrap();
    store.put(b"own", b"0").unwrap();
    store.operator("sums").unwrap().put(b"key", b"1").unwrap();
    store.operator("counts").unwrap().put(b"key", b"7").unwrap();
    store.set_source_offset("orders", 3).unwrap();
    store.commit().unwrap();
    store.checkpoint().unwrap().wait().unwrap();
    store.operator("sums").unwrap().put(b"key", b"2").unwrap();
    store.operator("later").unwrap().put(b"key", b"9").unwrap();
    store.commit().unwrap();
    store
}

#[test]
fn operators_are_read_as_of_the_checkpoint() {
    let disk = SimDisk::new(1);
    let store = store_with_checkpoint(&disk);
    let view = CheckpointView::newest(DIR, options(&disk)).unwrap().unwrap();
    assert_eq!(view.operators().collect::<Vec<_>>(), ["", "counts", "sums"]);
    let value = |operator: &str| view.operator(operator).and_then(|view| view.get(b"key").unwrap());
    assert_eq!(value("sums"), Some(&b"1"[..]));
    assert_eq!(value("counts"), Some(&b"7"[..]));
    assert!(view.operator("later").is_none());
    let own = view.operator("").unwrap();
    assert!(own.contains(b"own").unwrap() && !own.contains(b"key").unwrap());
    let all: Vec<_> = view.operator("sums").unwrap().prefix_scan(b"k").map(Result::unwrap).collect();
    assert_eq!(all, [(&b"key"[..], &b"1"[..])]);
    assert_eq!(view.checkpoint().source_offsets()["orders"], 3);
    drop(store);
}

#[test]
fn a_view_outlives_the_retirement_of_its_checkpoint() {
    let disk = SimDisk::new(2);
    let mut store = store_with_checkpoint(&disk);
    let view = CheckpointView::newest(DIR, options(&disk)).unwrap().unwrap();
    for round in 0..6u8 {
        store.operator("sums").unwrap().put(b"key", &[round]).unwrap();
        store.commit().unwrap();
        store.checkpoint().unwrap().wait().unwrap();
    }
    store.commit().unwrap();
    let newest = CheckpointView::newest(DIR, options(&disk)).unwrap().unwrap();
    assert!(newest.checkpoint().id() > view.checkpoint().id());
    assert_eq!(newest.operator("sums").unwrap().get(b"key").unwrap(), Some(&[5][..]));
    assert_eq!(view.operator("sums").unwrap().get(b"key").unwrap(), Some(&b"1"[..]));
    let listed = CheckpointView::list(DIR, options(&disk)).unwrap();
    assert_eq!(listed.last().map(PathBuf::as_path), Some(newest.checkpoint().state_path()));
    assert!(listed.len() >= 2 && !listed.iter().any(|path| path == view.checkpoint().state_path()));
}

#[test]
fn an_export_and_what_was_restored_from_it_read_the_same() {
    let disk = SimDisk::new(3);
    let mut store = store_with_checkpoint(&disk);
    let export = store.export("/export").unwrap();
    restore(export.state_path(), "/again", options(&disk)).unwrap();
    for view in [
        CheckpointView::open(export.state_path(), options(&disk)).unwrap(),
        CheckpointView::newest("/again", options(&disk)).unwrap().unwrap(),
    ] {
        assert_eq!(view.operator("sums").unwrap().get(b"key").unwrap(), Some(&b"2"[..]));
        assert_eq!(view.operator("later").unwrap().get(b"key").unwrap(), Some(&b"9"[..]));
    }
}

/// An export whose one run has three neighbouring data blocks ruined, more than its parity makes good.
fn ruined_export(disk: &SimDisk) -> PathBuf {
    let (mut store, _) = WalStateStore::open(DIR, options(disk)).unwrap();
    for key in 0..200_u32 {
        store.put(&key.to_le_bytes(), &[7; 100]).unwrap();
    }
    store.commit().unwrap();
    let export = store.export("/export").unwrap();
    // Behind the first block of data, where the catalogue is.
    disk.overwrite(export.runs().first().unwrap().path(), 2 * 4096, &[0xA5; 3 * 4096]).unwrap();
    export.state_path().to_owned()
}

#[test]
fn a_ruined_export_is_not_restored() {
    let disk = SimDisk::new(5);
    let export = ruined_export(&disk);
    let error = restore(&export, "/again", options(&disk)).unwrap_err();
    assert!(error.is_corrupt() && error.to_string().contains(".run"), "{error}");
    assert!(disk.env().vfs.kind("/again".as_ref()).unwrap().is_none(), "nothing was begun");
}

#[test]
fn a_view_verifies_as_much_as_it_is_told_to() {
    let disk = SimDisk::new(6);
    let export = ruined_export(&disk);
    let view = CheckpointView::open(&export, options(&disk).verify(Verify::Footers)).unwrap();
    assert!(
        view.operator("").unwrap().prefix_scan(b"").any(|entry| entry.is_err()),
        "the damage shows when it is read"
    );
    let error = CheckpointView::open(&export, options(&disk).verify(Verify::All)).unwrap_err();
    assert!(error.is_corrupt() && error.to_string().contains(".run"), "{error}");
}

#[test]
fn a_view_costs_the_owner_no_change_and_no_sync() {
    let disk = SimDisk::new(7);
    let store = store_with_checkpoint(&disk);
    let changes = disk.changes();
    for op in [Op::CreateDir, Op::Write, Op::SetLen, Op::SyncData, Op::SyncDir, Op::Rename, Op::RemoveFile, Op::Lock] {
        disk.fail(Fault::new(FaultKind::Io).on(op).sticky());
    }
    let listed = CheckpointView::list(DIR, options(&disk)).unwrap();
    assert!(CheckpointView::newest(DIR, options(&disk)).unwrap().is_some());
    CheckpointView::open(&listed[0], options(&disk)).unwrap();
    assert_eq!((disk.faults_struck(), disk.changes()), (0, changes));
    disk.clear_faults();
    drop(store);
}

#[test]
fn checkpoints_that_are_all_damaged_are_not_none() {
    let disk = SimDisk::new(5);
    drop(store_with_checkpoint(&disk));
    for path in disk.files().iter().filter(|path| path.ends_with("MANIFEST")) {
        let len = disk.read_file(path).unwrap().len();
        disk.overwrite(path, 32, &vec![0xA5; len - 32]).unwrap();
    }
    let error = CheckpointView::newest(DIR, options(&disk)).unwrap_err();
    assert!(error.is_corrupt(), "{error}");
}

#[test]
fn where_there_is_no_checkpoint_there_is_no_view_and_nothing_is_made() {
    let disk = SimDisk::new(4);
    assert!(matches!(CheckpointView::newest("/nowhere", options(&disk)), Err(Error::Foreign { .. })));
    assert!(disk.env().vfs.kind("/nowhere".as_ref()).unwrap().is_none());
    let (mut store, _) = WalStateStore::open(DIR, options(&disk)).unwrap();
    assert!(CheckpointView::newest(DIR, options(&disk)).unwrap().is_none());
    store.checkpoint().unwrap().wait().unwrap();
    let of_nothing = CheckpointView::newest(DIR, options(&disk)).unwrap().unwrap();
    assert!(of_nothing.operators().next().is_none() && of_nothing.operator("").is_none());
}
