//! What another process does while a log is being opened: everything that was looked at before the lock was taken is looked at again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use laminar_vfs::sim::SimDisk;
use laminar_vfs::{DirEntry, Env, Kind, Lock, OpenMode, Result as VfsResult, Vfs, VfsFile};
use laminar_wal::{CreateMode, Error, Wal, WalOptions};

type Other = Box<dyn FnOnce() + Send>;

/// A disk on which another one is quicker: what it does happens just before the lock is taken.
struct Raced {
    vfs: Arc<dyn Vfs>,
    other: Mutex<Option<Other>>,
}

impl fmt::Debug for Raced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raced").finish_non_exhaustive()
    }
}

impl Vfs for Raced {
    fn open(&self, path: &Path, mode: OpenMode) -> VfsResult<Arc<dyn VfsFile>> {
        self.vfs.open(path, mode)
    }
    fn kind(&self, path: &Path) -> VfsResult<Option<Kind>> {
        self.vfs.kind(path)
    }
    fn list(&self, dir: &Path) -> VfsResult<Vec<DirEntry>> {
        self.vfs.list(dir)
    }
    fn create_dir(&self, path: &Path) -> VfsResult<()> {
        self.vfs.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> VfsResult<()> {
        self.vfs.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> VfsResult<()> {
        self.vfs.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> VfsResult<()> {
        self.vfs.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> VfsResult<()> {
        self.vfs.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> VfsResult<()> {
        self.vfs.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> VfsResult<Lock> {
        if let Some(other) = self.other.lock().unwrap().take() {
            other();
        }
        self.vfs.lock(path)
    }
}

fn raced(disk: &SimDisk, other: impl FnOnce() + Send + 'static) -> Env {
    let env = disk.env();
    Env { vfs: Arc::new(Raced { vfs: env.vfs, other: Mutex::new(Some(Box::new(other))) }), ..env }
}

#[test]
fn a_log_that_another_has_just_created_is_not_opened_as_ones_own() {
    let disk = SimDisk::new(1);
    let theirs = disk.env();
    let create = move || {
        let (wal, report) = Wal::open("log", WalOptions::new().env(theirs)).unwrap();
        assert!(report.created);
        wal.append(b"theirs").unwrap();
        wal.close().unwrap();
    };
    let opened = Wal::open("log", WalOptions::new().env(raced(&disk, create)).create(CreateMode::Only));
    assert!(matches!(opened, Err(Error::AlreadyThere { .. })));
    let (wal, report) = Wal::open("log", WalOptions::new().env(disk.env())).unwrap();
    assert!(report.clean && !report.created);
    assert_eq!(wal.replay(wal.start_lsn()).unwrap().next().unwrap().unwrap().payload, b"theirs");
}

#[test]
fn a_log_that_another_has_just_removed_is_not_created() {
    let disk = SimDisk::new(1);
    Wal::open("log", WalOptions::new().env(disk.env())).unwrap().0.close().unwrap();
    let theirs = disk.env();
    let remove = move || {
        for entry in theirs.vfs.list("log".as_ref()).unwrap() {
            theirs.vfs.remove_file(&Path::new("log").join(entry.name)).unwrap();
        }
    };
    let opened = Wal::open("log", WalOptions::new().env(raced(&disk, remove)).create(CreateMode::Never));
    assert!(matches!(opened, Err(Error::NothingThere { .. })));
}
