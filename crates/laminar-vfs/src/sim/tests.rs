//! Each rule of the model, by a test that fails without the rule.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::{OpenMode, Vfs, VfsFile, publish};

mod bytes;
mod faults;
mod names;
mod random;
mod space;

/// A process on a fresh disk.
fn fresh() -> (SimDisk, Arc<dyn Vfs>) {
    let disk = SimDisk::new(1);
    let vfs = disk.env().vfs;
    (disk, vfs)
}

fn create(vfs: &dyn Vfs, path: &str, bytes: &[u8]) -> Arc<dyn VfsFile> {
    let file = vfs.open(path.as_ref(), OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// Every state that a power cut may leave, one by one.
fn crashes(disk: &SimDisk) -> impl Iterator<Item = SimDisk> {
    let choices = disk.choices();
    assert!(choices <= 12, "{choices} choices are too many to enumerate");
    (0..1u64 << choices).map(|mask| disk.crash_mask(mask))
}

/// What `look` sees in any of the states that a power cut may leave.
fn outcomes<T: Ord>(disk: &SimDisk, look: impl Fn(&SimDisk) -> T) -> BTreeSet<T> {
    crashes(disk).map(|after| look(&after)).collect()
}

fn exists(disk: &SimDisk, path: &str) -> bool {
    disk.files().iter().any(|file| file == Path::new(path))
}

#[test]
fn equal_runs_have_equal_traces_and_hashes() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        let env = disk.env();
        let id = env.random.id();
        publish(&*env.vfs, "a".as_ref(), &id.to_le_bytes()).unwrap();
        create(&*env.vfs, "b", b"bytes");
        (disk.trace_hash(), disk.hash(), disk.crash(3).hash())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn a_killed_process_loses_nothing_but_its_handles_and_locks() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", b"written");
    let lock = vfs.lock("LOCK".as_ref()).unwrap();
    assert!(disk.env().vfs.lock("LOCK".as_ref()).unwrap_err().is_locked());
    disk.kill();
    assert!(is_gone(&file.write_at(b"ghost", 0).unwrap_err()));
    assert!(is_gone(&vfs.kind("a".as_ref()).unwrap_err()));
    assert_eq!(disk.read_file("a").unwrap(), b"written");
    let next = disk.env().vfs;
    let held = next.lock("LOCK".as_ref()).unwrap();
    drop(lock);
    assert!(next.lock("LOCK".as_ref()).is_err(), "a dead process's lock frees nobody else's");
    drop(held);
    assert!(next.lock("LOCK".as_ref()).is_ok());
    assert!(!exists(&disk.crash_lose_all(), "/a"), "what was unsynced is unsynced still");
}

#[test]
fn a_process_stops_before_the_call_that_was_named() {
    let (disk, vfs) = fresh();
    disk.stop_at(2);
    let file = create(&*vfs, "a", b"1");
    assert!(is_gone(&file.write_at(b"2", 0).unwrap_err()));
    assert!(is_gone(&file.len().unwrap_err()), "and does not come back");
    assert_eq!(disk.read_file("a").unwrap(), b"1");
    assert_eq!((disk.operations(), disk.changes()), (2, 2));
    disk.kill();
    assert!(disk.env().vfs.kind("a".as_ref()).unwrap().is_some());
}

#[test]
fn stopping_at_a_change_lets_reads_pass() {
    let (disk, vfs) = fresh();
    disk.stop_at_change(2);
    let file = create(&*vfs, "a", b"1");
    file.len().unwrap();
    file.read_exact_at(&mut [0], 0).unwrap();
    assert!(is_gone(&file.write_at(b"2", 0).unwrap_err()));
    assert!(is_gone(&file.len().unwrap_err()));
}

#[test]
fn history_holds_the_disk_before_each_change() {
    let (disk, vfs) = fresh();
    disk.start_history();
    let file = create(&*vfs, "a", b"1");
    file.write_all_at(b"2", 0).unwrap();
    file.len().unwrap();
    let history = disk.take_history();
    assert_eq!(history.len(), 4, "three changes, and the end");
    let seen: Vec<_> = history.iter().map(|disk| disk.read_file("a").ok()).collect();
    assert_eq!(seen, [None, Some(vec![]), Some(vec![b'1']), Some(vec![b'2'])]);
    assert_eq!(history[3].hash(), disk.hash());
}

#[test]
fn a_fork_is_another_disk() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", b"one");
    let fork = disk.fork();
    file.write_all_at(b"two", 0).unwrap();
    assert_eq!(fork.read_file("a").unwrap(), b"one");
    assert_eq!(fork.choices(), 3, "what is pending is pending in both");
    fork.env().vfs.remove_file("a".as_ref()).unwrap();
    assert_eq!(disk.read_file("a").unwrap(), b"two");
}
