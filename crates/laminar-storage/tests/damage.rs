//! What `verify` finds, and what `RecoverTo::LastGood` gives up: no more than is lost, kept aside, and reported.
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

use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create, Verify};
use laminar_storage::{RecoverTo, RecoveryReport, StateStore, StoreOptions, WalStateStore};
use laminar_vfs::sim::SimDisk;
use laminar_wal::{Wal, WalOptions};

const DIR: &str = "/store";

fn options(disk: &SimDisk) -> StoreOptions {
    StoreOptions::new().env(disk.env()).segment_bytes(16 << 10).buffer_bytes(4 << 10)
}

fn try_open(disk: &SimDisk, recover_to: RecoverTo) -> laminar_storage::Result<(WalStateStore, RecoveryReport)> {
    WalStateStore::open(DIR, options(disk).recover_to(recover_to))
}

/// A closed store with commits 1 to 100 over several segments, and a checkpoint after each of `checkpoints`.
fn store_of_100(checkpoints: &[u64]) -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut store, _) = try_open(&disk, RecoverTo::Whole).unwrap();
    for n in 1..=100_u64 {
        store.put(&n.to_be_bytes(), &[n as u8; 300]).unwrap();
        store.put(b"last", &n.to_be_bytes()).unwrap();
        store.set_source_offset("n", n).unwrap();
        store.commit().unwrap();
        if checkpoints.contains(&n) {
            store.checkpoint().unwrap().wait().unwrap();
        }
    }
    store.close().unwrap();
    disk
}

/// The commit that a store is at, after checking that all before it is there and nothing after it.
fn number(store: &WalStateStore) -> u64 {
    let n = store.source_offset("n").unwrap_or(0);
    assert_eq!(store.get(b"last").unwrap(), (n > 0).then_some(&n.to_be_bytes()[..]));
    for k in 1..=100_u64 {
        let expected = (k <= n).then_some([k as u8; 300]);
        assert_eq!(store.get(&k.to_be_bytes()).unwrap(), expected.as_ref().map(|value| &value[..]), "{k} of {n}");
    }
    n
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let names = disk.files().into_iter().map(|path| path.to_str().unwrap().to_owned());
    names.filter(|path| path.starts_with("/store/wal/") && path.ends_with(".wal")).collect()
}

fn runs(disk: &SimDisk) -> Vec<String> {
    let names = disk.files().into_iter().map(|path| path.to_str().unwrap().to_owned());
    names.filter(|path| path.contains("/checkpoint-") && path.ends_with(".run")).collect()
}

/// Writes over a stretch in the middle of a file, more than its parity can rebuild.
fn ruin(disk: &SimDisk, path: &str) {
    let len = disk.read_file(path).unwrap().len();
    disk.overwrite(path, len as u64 / 4, &vec![0xA5; len / 2]).unwrap();
}

/// The disk after a kill, and after a power cut: with all lost, and with subsets that differ from place to place.
fn cuts(disk: &SimDisk, place: u64) -> impl Iterator<Item = SimDisk> {
    let subsets = (0..4).map(move |cut| disk.crash(place * 4 + cut));
    [disk.crash_keep_all(), disk.crash_lose_all()].into_iter().chain(subsets)
}

#[test]
fn verify_of_a_whole_store_reads_everything() {
    let disk = store_of_100(&[30, 60]);
    let (mut store, _) = try_open(&disk, RecoverTo::Whole).unwrap();
    store.put(b"one more", b"").unwrap();
    store.commit().unwrap();
    let (mut calls, mut done, mut total) = (0, 0, 0);
    let before = disk.hash();
    let report = store
        .verify(&mut |progress| {
            calls += 1;
            (done, total) = (progress.done_bytes, progress.total_bytes);
            assert!(done <= total);
        })
        .unwrap();
    assert_eq!(disk.hash(), before, "a check changed something");
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.checkpoints.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
    assert!(calls >= 2 && done == total && total > 0, "{calls} calls, {done} of {total}");
    assert!(report.log_records >= 40 * 3, "{report:?}");
    assert!(report.log_end.get() > 60 * 300);
}

#[test]
fn verify_finds_every_damaged_file() {
    let disk = store_of_100(&[30, 60]);
    let mut looked_at = 0;
    for path in runs(&disk).into_iter().chain(segments(&disk)) {
        let damaged = disk.fork();
        let (store, _) = try_open(&damaged, RecoverTo::Whole).unwrap();
        let last = segments(&damaged).last().is_some_and(|last| *last == path);
        if last && damaged.read_file(&path).unwrap().iter().skip(4096).all(|&byte| byte == 0) {
            continue;
        }
        // The log's first record or two, or half of a run.
        if path.ends_with(".wal") {
            damaged.overwrite(&path, 4096 + 100, &[0xA5; 40]).unwrap()
        } else {
            ruin(&damaged, &path)
        }
        let report = store.verify(&mut |_| {}).unwrap();
        assert!(!report.is_whole(), "{path} is damaged, and nothing was said");
        // A run lies in several directories; any of them will do.
        let name = if path.ends_with(".wal") { &path } else { path.rsplit('/').next().unwrap() };
        let told = report.damaged.iter().any(|error| error.is_corrupt() && error.to_string().contains(name));
        assert!(told, "{path}: {:?}", report.damaged);
        looked_at += 1;
    }
    assert!(looked_at >= 6, "{looked_at} files");
}

#[test]
fn verify_finds_a_damaged_manifest_and_a_missing_run() {
    let disk = store_of_100(&[30, 60]);
    let (store, _) = try_open(&disk, RecoverTo::Whole).unwrap();
    let manifest = "/store/checkpoints/checkpoint-00000000000000000001/MANIFEST";
    let len = disk.read_file(manifest).unwrap().len();
    disk.overwrite(manifest, 0, &vec![0xA5; len]).unwrap();
    disk.remove(runs(&disk).last().unwrap()).unwrap();
    let report = store.verify(&mut |_| {}).unwrap();
    assert_eq!((report.damaged.len(), report.checkpoints.len()), (2, 0), "{report:?}");
    assert_eq!(number(&store), 100, "what is open is served still");
}

#[test]
fn verify_finds_a_damaged_copy_of_the_identity() {
    let disk = store_of_100(&[]);
    let (store, _) = try_open(&disk, RecoverTo::Whole).unwrap();
    assert!(store.verify(&mut |_| {}).unwrap().is_whole());
    disk.overwrite("/store/STORE", 0, &[0; 512]).unwrap();
    let report = store.verify(&mut |_| {}).unwrap();
    assert!(report.is_whole() && report.identity_degraded, "one copy is enough: {report:?}");
    disk.overwrite("/store/STORE", 4096, &[0; 512]).unwrap();
    let report = store.verify(&mut |_| {}).unwrap();
    assert!(!report.is_whole() && report.damaged[0].to_string().contains("/store/STORE"), "{report:?}");
}

#[test]
fn with_any_one_segment_missing_last_good_recovers_to_what_is_left() {
    // Without a checkpoint: everything up to the segment that is missing.
    let disk = store_of_100(&[]);
    let segments = segments(&disk);
    assert!(segments.len() >= 4, "{segments:?}");
    let mut recovered = Vec::new();
    for (at, path) in segments.iter().enumerate() {
        let damaged = disk.fork();
        let is_spare = at + 1 == segments.len();
        damaged.remove(path).unwrap();
        match try_open(&damaged, RecoverTo::Whole) {
            Err(error) => {
                assert!(error.is_corrupt(), "{path}: {error}");
                let (store, report) = try_open(&damaged, RecoverTo::LastGood).unwrap();
                assert!(report.is_degraded(), "{path}: {report:?}");
                recovered.push(number(&store));
            }
            // A spare that no record has come to is no loss.
            Ok((store, _)) => assert!(is_spare && number(&store) == 100, "{path} is missing, and nobody noticed"),
        }
    }
    assert_eq!(recovered.first(), Some(&0), "without its first segment the log holds nothing");
    assert!(recovered.is_sorted() && recovered.iter().skip(1).all(|n| (1..100).contains(n)), "{recovered:?}");
    assert!(recovered.len() >= 3, "{recovered:?}");
}

#[test]
fn a_missing_segment_that_the_checkpoint_covers_costs_nothing() {
    let whole = store_of_100(&[30, 60]);
    // Those that end before the newest checkpoint does, one missing and one unreadable.
    let below: Vec<String> = segments(&whole).into_iter().take(2).collect();
    for path in &below {
        // Gone, or its header is: the middle alone would not be looked at.
        for ruined_from in [None, Some(0), Some(100)] {
            let disk = whole.fork();
            match ruined_from {
                Some(from) => disk.overwrite(path, from, &[0xA5; 300]).unwrap(),
                None => disk.remove(path).unwrap(),
            }
            try_open(&disk.fork(), RecoverTo::Whole).unwrap_err();
            let (store, report) = try_open(&disk, RecoverTo::LastGood).unwrap();
            assert_eq!(number(&store), 100, "{path}: {report:?}");
            assert!(report.is_degraded() && report.log_given_up.is_none(), "{report:?}");
            let given_up = report.tail.given_up.unwrap();
            assert!(given_up.to.get() <= report.replayed_from.get(), "{given_up:?}");
            assert!(given_up.files.iter().all(|file| disk.files().contains(file)), "{given_up:?}");
            drop(store);
            let (store, report) = try_open(&disk.crash_lose_all(), RecoverTo::Whole).unwrap();
            assert_eq!((number(&store), report.is_degraded()), (100, false), "it goes on like any other");
        }
    }
}

#[test]
fn beginning_a_log_later_is_all_or_nothing_at_every_disk_operation() {
    let disk = store_of_100(&[30, 60]);
    disk.remove(&segments(&disk)[1]).unwrap();
    let disk = disk.crash_keep_all();
    for at in 0..2000 {
        let tried = disk.fork();
        tried.stop_at(at);
        let opened = try_open(&tried, RecoverTo::LastGood);
        for (cut, crashed) in cuts(&tried, at).enumerate() {
            let (store, _) = try_open(&crashed, RecoverTo::LastGood).unwrap();
            assert_eq!(number(&store), 100, "stopped at {at}, cut {cut}");
        }
        if opened.is_ok() {
            assert!(at > 10);
            return;
        }
    }
    panic!("the opening never ended");
}

#[test]
fn a_new_log_whose_creation_was_killed_is_swept() {
    let disk = store_of_100(&[30, 60]);
    for path in segments(&disk).iter().skip(1) {
        disk.remove(path).unwrap();
    }
    let disk = disk.crash_keep_all();
    let is_there = |disk: &SimDisk| disk.files().iter().any(|path| path.starts_with("/store/wal-fresh"));
    let mut left_behind = 0;
    for at in 0..2000 {
        let tried = disk.fork();
        tried.stop_at(at);
        let ended = try_open(&tried, RecoverTo::LastGood).is_ok();
        let killed = tried.crash_keep_all();
        if is_there(&killed) && killed.files().iter().any(|path| path.starts_with("/store/wal/")) {
            left_behind += 1;
            drop(try_open(&killed, RecoverTo::Whole));
            assert!(!is_there(&killed), "stopped at {at}");
        }
        if ended {
            assert!(left_behind > 0, "no kill left anything behind");
            return;
        }
    }
    panic!("the opening never ended");
}

#[test]
fn verify_reads_the_records_of_the_log_as_commits() {
    let disk = store_of_100(&[]);
    // A log that is whole as a log, and is none of a store's.
    let options = WalOptions::new().env(disk.env());
    let (wal, _) = Wal::open("/store/wal", options).unwrap();
    let lsn = wal.append(&[1, 4, 0, 0, 0, 1, 0, 0, 0]).unwrap();
    wal.close().unwrap();
    let error = try_open(&disk, RecoverTo::Whole).unwrap_err();
    assert!(error.is_corrupt() && error.to_string().contains(&lsn.to_string()), "{error}");

    // Below a checkpoint, where recovery does not come to: found by the check, and by nobody else.
    let disk = store_of_100(&[]);
    let (wal, _) = Wal::open("/store/wal", WalOptions::new().env(disk.env())).unwrap();
    let at = wal.append(&[1, 4, 0, 0, 0, 1, 0, 0, 0]).unwrap();
    let end = wal.sync().unwrap();
    let id = wal.log_id().get();
    wal.close().unwrap();
    drop(wal);
    let options = CheckpointOptions::new().env(disk.env()).lineage(id);
    let manager = CheckpointManager::open("/store/checkpoints", options).unwrap();
    drop(manager.create(Create::new(end.get())).unwrap());
    drop(manager);
    let (store, _) = try_open(&disk, RecoverTo::Whole).unwrap();
    let report = store.verify(&mut |_| ()).unwrap();
    let [found] = &report.damaged[..] else { panic!("{report:?}") };
    assert!(found.to_string().contains(&at.to_string()), "{found} instead of {at}");
}

#[test]
fn last_good_gives_up_nothing_that_can_be_had_whole() {
    let disk = store_of_100(&[30, 60]);
    disk.remove("/store/wal/CLOSED").unwrap();
    // Below the newest checkpoint, where recovery does not come to.
    disk.overwrite(&segments(&disk)[1], 6000, &[0xA5; 200]).unwrap();
    for recover_to in [RecoverTo::LastGood, RecoverTo::Whole] {
        let (store, report) = try_open(&disk, recover_to).unwrap();
        assert_eq!(number(&store), 100, "{recover_to:?}");
        assert!(report.log_given_up.is_none() && report.tail.given_up.is_none(), "{report:?}");
    }
}

#[test]
fn a_log_that_ends_before_the_checkpoint_is_given_up_on_request() {
    let disk = store_of_100(&[30, 60]);
    let all = segments(&disk);
    // Everything from the second segment on, which is before the checkpoint's position.
    for path in &all[1..] {
        disk.remove(path).unwrap();
    }
    assert!(try_open(&disk, RecoverTo::Whole).unwrap_err().is_corrupt());
    let (mut store, report) = try_open(&disk, RecoverTo::LastGood).unwrap();
    assert_eq!(number(&store), 60);
    assert!(report.is_degraded(), "{report:?}");
    assert_eq!(report.checkpoint, Some(2));
    let aside = report.log_given_up.clone().unwrap();
    assert!(
        disk.files().iter().any(|path| path.starts_with(&aside)),
        "what was given up is kept at {}",
        aside.display()
    );
    // It goes on from there like any other.
    for n in 61..=70_u64 {
        store.put(&n.to_be_bytes(), &[n as u8; 300]).unwrap();
        store.put(b"last", &n.to_be_bytes()).unwrap();
        store.set_source_offset("n", n).unwrap();
        store.commit().unwrap().wait().unwrap();
    }
    drop(store);
    let (mut store, report) = try_open(&disk.crash_lose_all(), RecoverTo::Whole).unwrap();
    assert_eq!((number(&store), report.is_degraded()), (70, false));
    assert_eq!(report.log_given_up_before, [aside]);
    store.checkpoint().unwrap().wait().unwrap();
    drop(store);
}

#[test]
fn giving_up_a_log_is_all_or_nothing_at_every_disk_operation() {
    let disk = store_of_100(&[30, 60]);
    for path in segments(&disk).iter().skip(1) {
        disk.remove(path).unwrap();
    }
    let disk = disk.crash_keep_all();
    let mut moved_before = 0;
    for at in 0..2000 {
        let tried = disk.fork();
        tried.stop_at(at);
        let opened = try_open(&tried, RecoverTo::LastGood);
        for (cut, crashed) in cuts(&tried, at).enumerate() {
            let is_moved = segments(&crashed).is_empty();
            let (store, report) = try_open(&crashed, RecoverTo::LastGood).unwrap();
            assert_eq!(number(&store), 60, "stopped at {at}, cut {cut}");
            if is_moved {
                let moved = report.log_given_up.as_ref().expect("nobody was told of it yet");
                assert!(moved.ends_with("wal-given-up-1"), "{}", moved.display());
                assert!(report.log_given_up_before.is_empty(), "{report:?}");
                moved_before += 1;
            }
            drop(store);
            // Whoever was killed before it could say so is no reason not to know.
            let (_, report) = try_open(&crashed, RecoverTo::Whole).unwrap();
            let [before] = report.log_given_up_before.as_slice() else { panic!("{report:?}") };
            assert!(before.ends_with("wal-given-up-1") && report.log_given_up.is_none(), "{report:?}");
        }
        if opened.is_ok() {
            assert!(at > 10 && moved_before > 0, "{at}, {moved_before}");
            return;
        }
    }
    panic!("the opening never ended");
}

#[test]
fn without_any_usable_checkpoint_and_with_its_log_truncated_a_store_says_so() {
    let disk = store_of_100(&[20, 40, 60, 80]);
    for path in disk.files() {
        if path.to_str().unwrap().ends_with("MANIFEST") {
            disk.remove(&path).unwrap();
        }
    }
    for recover_to in [RecoverTo::Whole, RecoverTo::LastGood] {
        let error = try_open(&disk, recover_to).unwrap_err();
        assert!(error.is_corrupt(), "{error}");
        let message = error.to_string();
        assert!(message.contains("checkpoint 4") && message.contains("checkpoint 3"), "{message}");
    }
}

#[test]
fn a_checkpoint_that_was_passed_over_stands_in_for_no_older_one() {
    let disk = store_of_100(&[30, 60]);
    let own = runs(&disk).into_iter().rfind(|path| path.contains("checkpoint-00000000000000000002")).unwrap();
    ruin(&disk, &own);
    let open = |disk: &SimDisk| WalStateStore::open(DIR, options(disk).verify(Verify::All)).unwrap();
    let (mut store, report) = open(&disk);
    assert_eq!(report.checkpoint, Some(1));
    store.checkpoint().unwrap().wait().unwrap();
    store.commit().unwrap();
    store.close().unwrap();
    drop(store);
    let newest = disk.files().into_iter().find(|path| path.ends_with("checkpoint-00000000000000000003/MANIFEST"));
    disk.remove(newest.unwrap()).unwrap();
    let (store, report) = open(&disk);
    assert_eq!((report.checkpoint, report.passed_over.len(), number(&store)), (Some(1), 2, 100));
}

#[test]
fn damage_beyond_parity_is_passed_over_at_once_or_is_an_error_where_it_is_read() {
    let disk = store_of_100(&[30, 60]);
    // The newest checkpoint's own run, which the other one does not share.
    let own = runs(&disk).into_iter().rfind(|path| path.contains("checkpoint-00000000000000000002")).unwrap();
    ruin(&disk, &own);
    let open = |disk: &SimDisk, verify| WalStateStore::open(DIR, options(disk).verify(verify)).unwrap();
    let (mut store, report) = open(&disk, Verify::Footers);
    assert_eq!((report.checkpoint, report.passed_over.len()), (Some(2), 0));
    let get = |store: &WalStateStore, n: u64| store.get(&n.to_be_bytes()).map(|value| value.map(<[u8]>::to_vec));
    let failed: Vec<u64> = (1..=100).filter(|n| get(&store, *n).is_err()).collect();
    assert!(!failed.is_empty() && failed.len() < 60, "{failed:?}");
    for n in 1..=100 {
        // Never another value, and the same answer each time.
        match get(&store, n) {
            Ok(value) => assert_eq!(value, Some(vec![n as u8; 300])),
            Err(error) => {
                assert!(error.is_corrupt() && failed.contains(&n) && error.to_string().contains(".run"), "{error}")
            }
        }
    }
    // The store goes on, also with a checkpoint on top.
    store.put(b"one more", b"1").unwrap();
    store.commit().unwrap().wait().unwrap();
    store.checkpoint().unwrap().wait().unwrap();
    store.commit().unwrap();
    assert_eq!((0..=100).filter(|n| get(&store, *n).is_err()).collect::<Vec<_>>(), failed);
    drop(store);

    // Without that checkpoint the one before is still there, with the log behind it.
    let disk = store_of_100(&[30, 60]);
    ruin(&disk, &own);
    let (store, report) = open(&disk, Verify::All);
    assert_eq!((report.checkpoint, report.passed_over.len(), number(&store)), (Some(1), 1, 100));
}
