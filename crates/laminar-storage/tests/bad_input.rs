//! Bad input gives one clear typed error that names the path, and changes nothing on disk.
//!
//! Method: the whole directory is read before and after the call that must fail, names and bytes, and compared.
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

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use laminar_storage::{Env, Error, MemoryStateStore, StateStore, StoreOptions, SyncPolicy, WalStateStore, format};
use laminar_vfs::{DirEntry, Kind, Lock, Op, OpenMode, Vfs, VfsFile};

/// Every file and directory below `dir`, with the bytes of the files.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all.insert(path.clone(), None);
                todo.push(path);
            } else {
                all.insert(path.clone(), Some(fs::read(&path).unwrap()));
            }
        }
    }
    all
}

fn options() -> StoreOptions {
    StoreOptions::new().segment_bytes(64 << 10)
}

/// Opening `dir` fails, changes nothing, and the message names `names`. Returns the error.
fn refused(dir: &Path, names: &Path) -> Error {
    let root = dir.parent().unwrap();
    let before = tree(root);
    let error = WalStateStore::open(dir, options()).unwrap_err();
    assert_eq!(tree(root), before, "an error changed something");
    let message = error.to_string();
    assert!(message.contains(names.to_str().unwrap()), "{message} does not name {}", names.display());
    error
}

/// A store with a few commits, dropped without closing, so that its log's tail has to be proven.
fn store_in(root: &Path) -> PathBuf {
    let dir = root.join("store");
    let (mut store, _) = WalStateStore::open(&dir, options()).unwrap();
    for n in 0..20_u8 {
        store.put(&[n], &[n; 100]).unwrap();
        store.commit().unwrap().wait().unwrap();
    }
    drop(store);
    dir
}

#[test]
fn a_directory_that_is_not_ours() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("photos");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("cat.jpg"), b"meow").unwrap();
    assert!(matches!(refused(&dir, &dir), Error::Foreign { .. }));
}

#[test]
fn temporaries_that_are_not_ours_are_left_alone() {
    let root = tempfile::tempdir().unwrap();
    for name in ["thesis.tmp", ".tmp", "STORE.tmp.tmp", "store.tmp"] {
        let dir = root.path().join("photos").join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name), b"years of work").unwrap();
        assert!(matches!(refused(&dir, &dir), Error::Foreign { .. }), "{name}");
    }
    // A directory is none of ours either, whatever its name.
    let dir = root.path().join("more");
    fs::create_dir_all(dir.join("STORE.tmp")).unwrap();
    assert!(matches!(refused(&dir, &dir), Error::Foreign { .. }));

    let dir = store_in(root.path());
    fs::write(dir.join("thesis.tmp"), b"years of work").unwrap();
    fs::write(dir.join("STORE.tmp"), b"ours").unwrap();
    for _ in 0..2 {
        drop(WalStateStore::open(&dir, options()).unwrap());
        assert_eq!(fs::read(dir.join("thesis.tmp")).unwrap(), b"years of work");
        assert!(!dir.join("STORE.tmp").exists());
    }
}

#[test]
fn temporaries_of_a_creation_are_ours() {
    let root = tempfile::tempdir().unwrap();
    for name in ["CREATING.tmp", "CREATING.tmp.tmp", "STORE.tmp"] {
        let dir = root.path().join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(name), b"").unwrap();
        let (_store, report) = WalStateStore::open(&dir, options()).unwrap();
        assert!(report.created);
        assert!(!dir.join(name).exists(), "{name} is left");
    }
}

#[test]
fn a_file_where_the_directory_belongs() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    fs::write(&dir, b"a file").unwrap();
    assert!(matches!(refused(&dir, &dir), Error::Foreign { .. }));
}

#[test]
fn a_file_where_a_parent_belongs() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), b"a file").unwrap();
    let dir = root.path().join("file").join("store");
    let before = tree(root.path());
    let error = WalStateStore::open(&dir, options()).unwrap_err();
    assert_eq!(tree(root.path()), before);
    assert!(matches!(error, Error::Io(_)), "{error}");
    assert!(error.to_string().contains("file"), "{error}");
}

#[test]
fn a_store_of_a_future_version() {
    let root = tempfile::tempdir().unwrap();
    let dir = store_in(root.path());
    let store = dir.join("STORE");
    let mut bytes = fs::read(&store).unwrap();
    for copy in [0, 4096] {
        bytes[copy + 8] = 2;
        let checksum = crc32c::crc32c(&bytes[copy..copy + 508]);
        bytes[copy + 508..copy + 512].copy_from_slice(&checksum.to_le_bytes());
    }
    fs::write(&store, &bytes).unwrap();
    assert!(matches!(refused(&dir, &store), Error::Version { found: 2, supported: 1, .. }));
}

#[test]
fn an_identity_that_is_truncated_zeroed_foreign_or_gone() {
    let root = tempfile::tempdir().unwrap();
    let dir = store_in(root.path());
    let store = dir.join("STORE");
    let good = fs::read(&store).unwrap();
    for len in [0, 1, 511] {
        fs::write(&store, &good[..len]).unwrap();
        assert!(matches!(refused(&dir, &store), Error::Corrupt { .. }), "cut to {len}");
    }
    fs::write(&store, vec![0; good.len()]).unwrap();
    assert!(matches!(refused(&dir, &store), Error::Corrupt { .. }));
    fs::write(&store, vec![b'x'; good.len()]).unwrap();
    assert!(matches!(refused(&dir, &store), Error::Foreign { .. }));
    fs::remove_file(&store).unwrap();
    assert!(matches!(refused(&dir, &store), Error::Missing { .. }));
    fs::create_dir(&store).unwrap();
    assert!(matches!(refused(&dir, &store), Error::Foreign { .. }));
    fs::remove_dir(&store).unwrap();

    // One whole copy is enough, and the report says so.
    let mut one_copy = good.clone();
    one_copy[..512].fill(0);
    fs::write(&store, &one_copy).unwrap();
    let (opened, report) = WalStateStore::open(&dir, options()).unwrap();
    assert!(report.identity_degraded && report.is_degraded());
    assert_eq!(opened.len().unwrap(), 20);
}

#[test]
fn a_log_segment_that_is_truncated_zeroed_or_gone() {
    let root = tempfile::tempdir().unwrap();
    let dir = store_in(root.path());
    let segment = dir.join("wal").join("00000000000000000000.wal");
    let good = fs::read(&segment).unwrap();
    for len in [0, 100, 4096, 5000, good.len() - 1] {
        fs::write(&segment, &good[..len]).unwrap();
        let error = refused(&dir, &segment);
        assert!(error.is_corrupt(), "cut to {len}: {error}");
    }
    fs::write(&segment, vec![0; good.len()]).unwrap();
    let error = refused(&dir, &segment);
    assert!(error.is_corrupt(), "{error}");
    fs::remove_file(&segment).unwrap();
    let error = refused(&dir, &dir.join("wal"));
    assert!(error.is_corrupt(), "{error}");
}

#[test]
fn a_part_of_a_store_that_is_gone() {
    for part in ["wal", "checkpoints"] {
        let root = tempfile::tempdir().unwrap();
        let dir = store_in(root.path());
        fs::remove_dir_all(dir.join(part)).unwrap();
        assert!(matches!(refused(&dir, &dir.join(part)), Error::Missing { .. }));
    }
}

#[test]
fn nothing_where_nothing_may_be_created() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let error = WalStateStore::open(&dir, options().create(false)).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert!(!dir.exists());
}

#[test]
fn a_key_a_value_or_a_name_over_its_limit() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = WalStateStore::open(root.path().join("store"), StoreOptions::new()).unwrap();
    let too_long = vec![7; format::MAX_KEY_BYTES + 1];
    assert!(matches!(store.put(&too_long, b""), Err(Error::TooLarge { what: "key", .. })));
    assert!(matches!(store.delete(&too_long), Err(Error::TooLarge { what: "key", .. })));
    assert!(matches!(store.put(b"", &too_long), Err(Error::TooLarge { what: "value", .. })));
    assert_eq!(store.operators().count(), 0, "a change that is refused for its size makes no operator");
    let name = "n".repeat(format::MAX_NAME_BYTES + 1);
    assert!(matches!(store.operator(&name).map(drop), Err(Error::TooLarge { what: "name", .. })));
    assert!(matches!(store.set_source_offset(&name, 1), Err(Error::TooLarge { what: "name", .. })));

    // The store that one tests with refuses the same.
    let mut memory = MemoryStateStore::new();
    assert!(matches!(memory.put(&too_long, b""), Err(Error::TooLarge { what: "key", .. })));
    assert!(matches!(memory.delete(&too_long), Err(Error::TooLarge { what: "key", .. })));
    assert!(matches!(memory.put(b"", &too_long), Err(Error::TooLarge { what: "value", .. })));
    memory.put(&too_long[1..], &too_long[1..]).unwrap();

    // The limits themselves are legal, and so is nothing at all.
    store.put(&too_long[1..], &too_long[1..]).unwrap();
    store.put(b"", b"").unwrap();
    store.commit().unwrap().wait().unwrap();
    drop(store);
    let (store, _) = WalStateStore::open(root.path().join("store"), StoreOptions::new()).unwrap();
    assert_eq!(store.get(&too_long[1..]).unwrap(), Some(&too_long[1..]));
    assert_eq!(store.get(b"").unwrap(), Some(&b""[..]));
}

#[test]
fn options_out_of_their_range() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let every_nothing = SyncPolicy::Interval(std::time::Duration::ZERO);
    for (expected, options) in [
        ("max_retained", StoreOptions::new().max_retained(1)),
        ("segment_bytes", StoreOptions::new().segment_bytes(100)),
        ("buffer_bytes", StoreOptions::new().buffer_bytes(1)),
        ("part_bytes", StoreOptions::new().part_bytes(0)),
        ("value_alignment", StoreOptions::new().value_alignment(12)),
        ("sync_policy", StoreOptions::new().sync_policy(every_nothing)),
    ] {
        let error = WalStateStore::open(&dir, options).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { name, .. } if name == expected), "{error}");
        assert!(!dir.exists());
    }
    // The largest budget is one like any other.
    let (mut store, _) = WalStateStore::open(&dir, StoreOptions::new().memory_budget(u64::MAX)).unwrap();
    store.put(b"a", b"1").unwrap();
    store.commit().unwrap();
    drop(store);
    let (mut store, _) = WalStateStore::open(&dir, StoreOptions::new()).unwrap();
    let error = store.enable_checkpointing(std::time::Duration::ZERO, 2).unwrap_err();
    assert!(matches!(error, Error::InvalidOption { .. }));
}

/// A disk that can be read only. (The tests may run as a user whom permissions do not stop.)
#[derive(Debug)]
struct ReadOnly(Arc<dyn Vfs>);

fn read_only<T>(op: Op, path: &Path) -> laminar_vfs::Result<T> {
    Err(laminar_vfs::Error::new(op, path, io::ErrorKind::ReadOnlyFilesystem.into()))
}

impl Vfs for ReadOnly {
    fn open(&self, path: &Path, mode: OpenMode) -> laminar_vfs::Result<Arc<dyn VfsFile>> {
        if mode == OpenMode::Read { self.0.open(path, mode) } else { read_only(Op::Open, path) }
    }
    fn kind(&self, path: &Path) -> laminar_vfs::Result<Option<Kind>> {
        self.0.kind(path)
    }
    fn list(&self, dir: &Path) -> laminar_vfs::Result<Vec<DirEntry>> {
        self.0.list(dir)
    }
    fn create_dir(&self, path: &Path) -> laminar_vfs::Result<()> {
        read_only(Op::CreateDir, path)
    }
    fn rename(&self, from: &Path, _to: &Path) -> laminar_vfs::Result<()> {
        read_only(Op::Rename, from)
    }
    fn hard_link(&self, from: &Path, _to: &Path) -> laminar_vfs::Result<()> {
        read_only(Op::HardLink, from)
    }
    fn remove_file(&self, path: &Path) -> laminar_vfs::Result<()> {
        read_only(Op::RemoveFile, path)
    }
    fn remove_dir(&self, path: &Path) -> laminar_vfs::Result<()> {
        read_only(Op::RemoveDir, path)
    }
    fn sync_dir(&self, path: &Path) -> laminar_vfs::Result<()> {
        self.0.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> laminar_vfs::Result<Lock> {
        read_only(Op::Lock, path)
    }
}

#[test]
fn a_read_only_directory() {
    let root = tempfile::tempdir().unwrap();
    let existing = store_in(root.path());
    for dir in [existing, root.path().join("new")] {
        let mut env = Env::real();
        env.vfs = Arc::new(ReadOnly(env.vfs));
        let before = tree(root.path());
        let error = WalStateStore::open(&dir, options().env(env)).unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error}");
        assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
        assert_eq!(tree(root.path()), before);
    }
}
