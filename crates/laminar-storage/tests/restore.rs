//! A restore that is cut off never passes for a store: it is shown whole, or refused until it is repeated.
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

use std::path::Path;

use laminar_storage::{Error, RecoverTo, StateStore, StoreOptions, WalStateStore, restore};
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use laminar_vfs::{Op, OpenMode};

const BACKUP: &str = "/backup";
const AGAIN: &str = "/again";

fn options(disk: &SimDisk) -> StoreOptions {
    StoreOptions::new().env(disk.env()).segment_bytes(16 << 10).buffer_bytes(4 << 10)
}

/// A disk with an export on it, all of it durable, and the directory of the checkpoint in it.
fn backup() -> (SimDisk, std::path::PathBuf) {
    let disk = SimDisk::new(1);
    let (mut store, _) = WalStateStore::open("/store", options(&disk)).unwrap();
    for n in 0..50_u8 {
        store.put(&[n], &[n; 100]).unwrap();
    }
    store.set_source_offset("source", 50).unwrap();
    store.commit().unwrap().wait().unwrap();
    let exported = store.export(BACKUP).unwrap();
    drop(store);
    (disk, exported.state_path().to_owned())
}

fn assert_whole(store: &WalStateStore) {
    assert_eq!(store.len().unwrap(), 50);
    assert_eq!(store.get(&[7]).unwrap(), Some(&[7; 100][..]));
    assert_eq!(store.source_offset("source"), Some(50));
}

/// Whether there is anything of a restore in the directory, other than what comes before its marker is durable.
fn has_begun(disk: &SimDisk) -> bool {
    let early = ["LOCK", "RESTORING.tmp.tmp"].map(|name| Path::new(AGAIN).join(name));
    disk.files().iter().any(|path| path.starts_with(AGAIN) && !early.contains(path))
}

/// What is left of a restore is whole, refused, or nothing at all; and a restore into it succeeds.
fn check_cut_off(disk: &SimDisk, checkpoint: &Path, at: &str) {
    let opened = disk.fork();
    match WalStateStore::open(AGAIN, options(&opened)) {
        Ok((_, report)) if report.created => assert!(!has_begun(disk), "{at}: an empty store in its place"),
        Ok((mut store, _)) => {
            assert_whole(&store);
            store.put(b"more", b"1").unwrap();
            store.commit().unwrap().wait().unwrap();
            drop(store);
            let again = opened.crash_lose_all();
            let refused = restore(checkpoint, AGAIN, options(&again)).unwrap_err();
            assert!(matches!(refused, Error::Foreign { .. }), "{at}: a store in use was restored over: {refused}");
            let (store, _) = WalStateStore::open(AGAIN, options(&again).create(false)).unwrap();
            assert_eq!(store.get(b"more").unwrap(), Some(&b"1"[..]), "{at}");
        }
        Err(Error::RestoreInterrupted { path }) => assert_eq!(path, Path::new(AGAIN)),
        Err(error) => panic!("{at}: {error}"),
    }
    restore(checkpoint, AGAIN, options(disk)).unwrap_or_else(|error| panic!("{at}: restored again: {error}"));
    let after = disk.crash_lose_all();
    let (store, _) = WalStateStore::open(AGAIN, options(&after).create(false)).unwrap();
    assert_whole(&store);
    let left: Vec<_> = after.files().into_iter().filter(|path| path.to_string_lossy().ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{at}: {left:?}");
}

/// The ways in which a power cut or a kill may leave `disk`.
fn cuts(disk: &SimDisk) -> Vec<(String, SimDisk)> {
    let mut cuts = vec![
        ("killed".to_owned(), disk.fork()),
        ("all kept".to_owned(), disk.crash_keep_all()),
        ("all lost".to_owned(), disk.crash_lose_all()),
    ];
    cuts.extend((0..6).map(|seed| (format!("cut {seed}"), disk.crash(seed))));
    cuts
}

fn check_every_cut(disk: &SimDisk, checkpoint: &Path) -> usize {
    disk.start_history();
    restore(checkpoint, AGAIN, options(disk)).unwrap();
    let history = disk.take_history();
    for (change, before) in history.iter().enumerate() {
        for (how, left) in cuts(before) {
            check_cut_off(&left, checkpoint, &format!("before change {change}, {how}"));
        }
    }
    history.len()
}

#[test]
fn a_restore_that_is_cut_off_anywhere_is_whole_or_refused() {
    let (disk, checkpoint) = backup();
    let changes = check_every_cut(&disk, &checkpoint);
    assert!(changes > 20, "{changes}");
}

/// As `cp` leaves it, in the system's memory alone.
#[test]
fn what_was_copied_here_without_a_sync_is_durable_when_it_is_restored() {
    let (disk, checkpoint) = backup();
    let copied = Path::new("/copied").join(checkpoint.file_name().unwrap());
    let vfs = disk.env().vfs;
    vfs.create_dir(Path::new("/copied")).unwrap();
    vfs.create_dir(&copied).unwrap();
    for path in disk.files().iter().filter(|path| path.starts_with(&checkpoint)) {
        let bytes = disk.read_file(path).unwrap();
        let file = vfs.open(&copied.join(path.file_name().unwrap()), OpenMode::CreateNew).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    }
    restore(&copied, AGAIN, options(&disk)).unwrap();
    let (store, _) = WalStateStore::open(AGAIN, options(&disk.crash_lose_all()).create(false)).unwrap();
    assert_whole(&store);
}

#[test]
fn a_repeated_restore_may_be_cut_off_as_well() {
    let (disk, checkpoint) = backup();
    disk.start_history();
    restore(&checkpoint, AGAIN, options(&disk)).unwrap();
    let history = disk.take_history();
    // Into nothing yet, into the middle of a restore, and where only its marker is still there.
    for first in [0, history.len() / 3, history.len() / 2, history.len() - 2, history.len() - 3] {
        check_every_cut(&history[first].crash_keep_all(), &checkpoint);
    }
}

#[test]
fn another_checkpoint_is_not_restored_over_a_whole_store() {
    let (disk, checkpoint) = backup();
    let (mut store, _) = WalStateStore::open("/store", options(&disk)).unwrap();
    let other = store.export("/other").unwrap();
    drop(store);
    disk.start_history();
    restore(&checkpoint, AGAIN, options(&disk)).unwrap();
    let has = |disk: &SimDisk, name: &str| disk.read_file(Path::new(AGAIN).join(name)).is_ok();
    let history = disk.take_history();
    let ended = history.iter().find(|disk| has(disk, "STORE") && has(disk, "RESTORING.tmp")).unwrap();
    // The same state, at the same position, in other files: not proven to be the same.
    let refused = restore(other.state_path(), AGAIN, options(ended)).unwrap_err();
    assert!(matches!(refused, Error::Foreign { .. }), "{refused}");
    assert_whole(&WalStateStore::open(AGAIN, options(ended)).unwrap().0);
}

#[test]
fn a_restore_into_an_unfinished_creation() {
    let (disk, checkpoint) = backup();
    disk.start_history();
    drop(WalStateStore::open(AGAIN, options(&disk)).unwrap());
    let history = disk.take_history();
    let unfinished = history.iter().rev().find(|disk| disk.read_file("/again/STORE").is_err()).unwrap();
    assert!(unfinished.read_file("/again/CREATING.tmp").is_ok());
    let disk = unfinished.crash_keep_all();
    restore(&checkpoint, AGAIN, options(&disk)).unwrap();
    let (store, _) = WalStateStore::open(AGAIN, options(&disk.crash_lose_all()).create(false)).unwrap();
    assert_whole(&store);
}

#[test]
fn a_restore_of_which_a_call_fails_can_be_repeated() {
    let (disk, checkpoint) = backup();
    for op in [Op::SyncDir, Op::SyncData, Op::Rename, Op::RemoveFile, Op::HardLink, Op::Write] {
        for nth in 0..20 {
            let disk = disk.fork();
            let in_place = |path: &Path| path.starts_with(AGAIN) || path.starts_with(BACKUP);
            disk.fail(Fault::new(FaultKind::Io).on(op).path(in_place).after(nth));
            let failed = restore(&checkpoint, AGAIN, options(&disk));
            disk.clear_faults();
            if let Err(error) = failed {
                assert!(!matches!(error, Error::Foreign { .. }), "{error}");
                check_cut_off(&disk, &checkpoint, &format!("{op:?} {nth} fails"));
            }
        }
    }
}

#[test]
fn an_interrupted_restore_is_refused_whatever_the_options() {
    let (disk, _) = backup();
    let vfs = disk.env().vfs;
    vfs.create_dir(AGAIN.as_ref()).unwrap();
    vfs.open("/again/RESTORING.tmp".as_ref(), OpenMode::CreateNew).unwrap();
    let last_good = RecoverTo::LastGood;
    for options in [options(&disk), options(&disk).create(false), options(&disk).recover_to(last_good)] {
        let error = WalStateStore::open(AGAIN, options).unwrap_err();
        assert!(matches!(error, Error::RestoreInterrupted { .. }), "{error}");
        assert!(error.to_string().contains(AGAIN) && error.to_string().contains("repeat"), "{error}");
    }
    assert!(disk.read_file("/again/RESTORING.tmp").is_ok());
}

#[test]
fn a_restore_that_is_running_is_not_called_interrupted() {
    let (disk, _) = backup();
    let vfs = disk.env().vfs;
    vfs.create_dir(AGAIN.as_ref()).unwrap();
    let _held = vfs.lock("/again/LOCK".as_ref()).unwrap();
    vfs.open("/again/RESTORING.tmp".as_ref(), OpenMode::CreateNew).unwrap();
    assert!(WalStateStore::open(AGAIN, options(&disk)).unwrap_err().is_locked());
}

/// A restored store in use, whose newest checkpoint is still the restored one: a restore repeated over it gives up nothing of its log.
#[test]
fn a_store_in_use_is_not_given_up_to_a_repeated_restore() {
    let (disk, checkpoint) = backup();
    restore(&checkpoint, AGAIN, options(&disk)).unwrap();
    let (mut store, _) = WalStateStore::open(AGAIN, options(&disk)).unwrap();
    for n in 0..20_u8 {
        store.put(&[n, n], &[n; 100]).unwrap();
        store.commit().unwrap().wait().unwrap();
    }
    drop(store);
    let is_segment =
        |path: &&std::path::PathBuf| path.starts_with(AGAIN) && path.extension().is_some_and(|suffix| suffix == "wal");
    let segment = disk.files().iter().find(is_segment).unwrap().clone();
    // In its first group, before many that are whole.
    disk.flip_bit(&segment, (4096 + 40) * 8).unwrap();
    let (files, bytes) = (disk.files(), disk.read_file(&segment).unwrap());
    let error = restore(&checkpoint, AGAIN, options(&disk).recover_to(RecoverTo::LastGood)).unwrap_err();
    assert!(error.is_corrupt() || matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!((disk.files(), disk.read_file(&segment).unwrap()), (files, bytes), "nothing was moved aside");
}
