//! A store that version 1 wrote, kept as files, opens for ever and holds what is said here; one of a later version is refused.
//!
//! `GOLDEN_WRITE=1 cargo test -p laminar-storage --test golden` writes the files that are not there. Files of a released
//! version are never written again.
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

use std::fs;
use std::path::{Path, PathBuf};

use laminar_storage::{Env, Error, StateStore, StoreOptions, Verify, WalStateStore};
use laminar_vfs::sim::SimDisk;

/// Bytes of `STORE`, of one of its copies, and where the second one lies.
const STORE_BYTES: usize = 4608;
const COPIES: [usize; 2] = [0, 4096];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn options(env: Env) -> StoreOptions {
    StoreOptions::new().env(env).segment_bytes(16 << 10).buffer_bytes(4 << 10)
}

/// Every file below `dir`, relative to it, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { todo.push(path) } else { all.push(path.strip_prefix(dir).unwrap().to_owned()) }
        }
    }
    all.sort();
    all
}

/// The store whose files are kept: two checkpoints, the second of two runs with a tombstone in the newer, and commits behind it in a
/// log that was never closed.
fn write_store(disk: &SimDisk) {
    let (mut store, _) = WalStateStore::open("/store", options(disk.env())).unwrap();
    for n in 0..40_u32 {
        store.put(format!("key-{n:02}").as_bytes(), &n.to_le_bytes()).unwrap();
    }
    store.operator("counts").unwrap().put(b"N14228", b"ORD").unwrap();
    store.operator("cleared").unwrap().put(b"gone", b"gone").unwrap();
    store.set_source_offset("flights", 40).unwrap();
    store.commit().unwrap();
    store.checkpoint().unwrap().wait().unwrap();
    store.delete(b"key-07").unwrap();
    store.put(b"", b"the empty key").unwrap();
    store.put(b"empty value", b"").unwrap();
    store.operator("cleared").unwrap().clear().unwrap();
    store.set_source_offset("flights", 41).unwrap();
    store.set_source_offset("\u{e9}t\u{e9}", 7).unwrap();
    store.commit().unwrap();
    store.checkpoint().unwrap().wait().unwrap();
    store.put(b"key-01", b"in the log alone").unwrap();
    store.delete(b"key-02").unwrap();
    store.commit().unwrap();
    store.set_source_offset("flights", 42).unwrap();
    store.commit().unwrap().wait().unwrap();
}

fn assert_is_what_was_written(store: &WalStateStore) {
    for n in 0..40_u32 {
        let expected = match n {
            1 => Some(b"in the log alone".to_vec()),
            2 | 7 => None,
            _ => Some(n.to_le_bytes().to_vec()),
        };
        assert_eq!(store.get(format!("key-{n:02}").as_bytes()).unwrap(), expected.as_deref(), "key-{n:02}");
    }
    assert_eq!(store.get(b"").unwrap(), Some(&b"the empty key"[..]));
    assert_eq!(store.get(b"empty value").unwrap(), Some(&b""[..]));
    assert_eq!(store.len().unwrap(), 40);
    assert_eq!(store.operators().collect::<Vec<_>>(), ["", "cleared", "counts"]);
    let counts = store.operator_view("counts").unwrap();
    assert_eq!((counts.get(b"N14228").unwrap(), counts.len().unwrap()), (Some(&b"ORD"[..]), 1));
    assert!(store.operator_view("cleared").unwrap().is_empty().unwrap());
    assert_eq!(store.source_offset("flights"), Some(42));
    assert_eq!(store.source_offset("\u{e9}t\u{e9}"), Some(7));
    assert_eq!(store.source_offsets().len(), 2);
}

/// Writes a golden file if that is asked for and there is none.
fn write_if_asked(path: &Path, bytes: impl FnOnce() -> Vec<u8>) {
    if std::env::var_os("GOLDEN_WRITE").is_some() && !path.exists() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes()).unwrap();
    }
}

/// Writes the golden store `name` if that is asked for and there is none.
fn write_store_if_asked(name: &str, write: fn(&SimDisk)) {
    if !golden().join(name).exists() {
        let disk = SimDisk::new(2013);
        write(&disk);
        for path in disk.files() {
            let file = path.strip_prefix("/store").unwrap();
            write_if_asked(&golden().join(name).join(file), || disk.read_file(&path).unwrap());
        }
    }
}

/// The store of version 1, copied to where it may change.
fn copy_of_v1() -> tempfile::TempDir {
    copy_of("v1-store")
}

fn copy_of(name: &str) -> tempfile::TempDir {
    let from = golden().join(name);
    let scratch = tempfile::tempdir().unwrap();
    for file in files(&from) {
        let to = scratch.path().join("store").join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from.join(&file), to).unwrap();
    }
    scratch
}

#[test]
fn a_store_of_version_1_opens_and_holds_what_was_written() {
    write_store_if_asked("v1-store", write_store);
    let sizes: u64 = files(&golden().join("v1-store"))
        .iter()
        .map(|file| fs::metadata(golden().join("v1-store").join(file)).unwrap().len())
        .sum();
    assert!(sizes > 0 && sizes < 256 << 10, "{sizes} bytes of golden files");

    let scratch = copy_of_v1();
    let dir = scratch.path().join("store");
    let (mut store, report) = WalStateStore::open(&dir, options(Env::real()).verify(Verify::All)).unwrap();
    assert_is_what_was_written(&store);
    assert_eq!((report.checkpoint, report.records_replayed, report.commits_replayed), (Some(2), 2, 2));
    assert!(!report.created && report.healed.is_empty() && report.passed_over.is_empty(), "{report:?}");
    assert!(!report.identity_degraded && report.bytes_cut() == 0, "{report:?}");
    let verified = store.verify(&mut |_| {}).unwrap();
    assert!(verified.is_whole() && verified.checkpoints.iter().all(|(_, report)| report.is_whole()), "{verified:?}");
    assert_eq!(verified.checkpoints.len(), 2);

    // It goes on: what is written now joins what was written then, and the next opening has both.
    store.put(b"key-02", b"today").unwrap();
    store.checkpoint().unwrap().wait().unwrap();
    store.commit().unwrap();
    store.close().unwrap();
    drop(store);
    let (mut store, _) = WalStateStore::open(&dir, options(Env::real())).unwrap();
    assert_eq!(store.get(b"key-02").unwrap(), Some(&b"today"[..]));
    store.delete(b"key-02").unwrap();
    assert_is_what_was_written(&store);
}

#[test]
fn the_older_checkpoint_and_the_log_of_version_1_are_enough() {
    let scratch = copy_of_v1();
    let dir = scratch.path().join("store");
    fs::remove_file(dir.join("checkpoints/checkpoint-00000000000000000002/MANIFEST")).unwrap();
    let (store, report) = WalStateStore::open(&dir, options(Env::real())).unwrap();
    assert_eq!(report.checkpoint, Some(1));
    assert_is_what_was_written(&store);
    drop(store);
    fs::remove_file(dir.join("checkpoints/checkpoint-00000000000000000001/MANIFEST")).unwrap();
    let (store, report) = WalStateStore::open(&dir, options(Env::real())).unwrap();
    assert_eq!((report.checkpoint, report.commits_replayed), (None, 4), "the whole log");
    assert_is_what_was_written(&store);
}

/// Source offsets in a checkpoint and, in the log behind it, commits that remove some of them.
fn write_removals(disk: &SimDisk) {
    let (mut store, _) = WalStateStore::open("/store", options(disk.env())).unwrap();
    for (name, offset) in [("orders.1", 1), ("orders.2", 2), ("kept", 3)] {
        store.set_source_offset(name, offset).unwrap();
    }
    store.commit().unwrap();
    store.checkpoint().unwrap().wait().unwrap();
    store.put(b"k", b"v").unwrap();
    store.remove_source_offset("orders.1").unwrap();
    store.set_source_offset("orders.3", 4).unwrap();
    store.commit().unwrap();
    store.remove_source_offset("orders.2").unwrap();
    store.commit().unwrap().wait().unwrap();
}

#[test]
fn source_offsets_that_version_1_removed_stay_removed() {
    write_store_if_asked("v1-removals", write_removals);
    let scratch = copy_of("v1-removals");
    let dir = scratch.path().join("store");
    for commits in [2, 0] {
        let (mut store, report) = WalStateStore::open(&dir, options(Env::real())).unwrap();
        assert_eq!(report.commits_replayed, commits);
        let offsets: Vec<_> = store.source_offsets().iter().map(|(name, offset)| (name.as_str(), *offset)).collect();
        assert_eq!(offsets, [("kept", 3), ("orders.3", 4)]);
        assert_eq!(store.get(b"k").unwrap(), Some(&b"v"[..]));
        store.checkpoint().unwrap().wait().unwrap();
    }
}

#[test]
fn an_identity_of_a_future_version_is_refused() {
    let future = golden().join("future-STORE");
    write_if_asked(&future, || {
        let mut bytes = fs::read(golden().join("v1-store/STORE")).unwrap();
        for copy in COPIES {
            bytes[copy + 8] = 2;
            let checksum = crc32c::crc32c(&bytes[copy..copy + 508]);
            bytes[copy + 508..copy + 512].copy_from_slice(&checksum.to_le_bytes());
        }
        bytes
    });
    let bytes = fs::read(&future).unwrap();
    assert_eq!(bytes.len(), STORE_BYTES);
    let scratch = copy_of_v1();
    let dir = scratch.path().join("store");
    fs::write(dir.join("STORE"), &bytes).unwrap();
    let before: Vec<_> = files(&dir).into_iter().map(|file| (fs::read(dir.join(&file)).unwrap(), file)).collect();
    let error = WalStateStore::open(&dir, options(Env::real())).unwrap_err();
    assert!(matches!(&error, Error::Version { found: 2, supported: 1, path } if path.ends_with("STORE")), "{error}");
    let after: Vec<_> = files(&dir).into_iter().map(|file| (fs::read(dir.join(&file)).unwrap(), file)).collect();
    assert!(before == after, "a store of a later version was changed");

    // One copy of it is enough to say so, also where the other is damaged.
    let mut half = bytes;
    half[..512].fill(0);
    fs::write(dir.join("STORE"), &half).unwrap();
    let error = WalStateStore::open(&dir, options(Env::real())).unwrap_err();
    assert!(matches!(error, Error::Version { found: 2, .. }), "{error}");
}
