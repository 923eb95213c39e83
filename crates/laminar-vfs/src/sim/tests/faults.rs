//! Faults on request, and what the kernel and the disk do then.

use std::io::ErrorKind;

use super::*;
use crate::{Op, ReadMode};

/// A disk with the file `a` of 1024 bytes, all 1, durable, and a handle to it.
fn with_file() -> (SimDisk, Arc<dyn Vfs>, Arc<dyn VfsFile>) {
    let (disk, vfs) = fresh();
    disk.write_file("a", &[1; 1024]).unwrap();
    let file = vfs.open("a".as_ref(), OpenMode::Write).unwrap();
    (disk, vfs, file)
}

fn bytes(disk: &SimDisk) -> Vec<u8> {
    let mut bytes = disk.read_file("a").unwrap();
    bytes.dedup();
    bytes
}

#[test]
fn after_a_failed_sync_the_cache_lies() {
    let (disk, _, file) = with_file();
    file.write_all_at(&[2; 1024], 0).unwrap();
    disk.fail(Fault::new(FaultKind::Io).on(Op::SyncData));
    assert!(file.sync_data().is_err());
    file.sync_data().expect("the second sync says OK");
    assert_eq!(disk.choices(), 0, "nothing waits to be written");
    assert_eq!(bytes(&disk), [2]);
    disk.kill();
    assert_eq!(bytes(&disk), [2], "the next process of the same boot is lied to as well");
    assert_eq!(bytes(&disk.crash_keep_all()), [1]);
    let file = disk.env().vfs.open("a".as_ref(), OpenMode::Write).unwrap();
    file.evict(0..u64::MAX);
    assert_eq!(bytes(&disk), [1]);
}

#[test]
fn bytes_written_anew_after_a_failed_sync_are_synced() {
    let (disk, _, file) = with_file();
    file.write_all_at(&[2; 1024], 0).unwrap();
    disk.fail(Fault::new(FaultKind::NoSpace).on(Op::SyncData));
    assert!(file.sync_data().unwrap_err().is_no_space());
    // The same bytes once more: not a change to what the cache holds, and yet one to the disk.
    file.write_all_at(&[2; 512], 0).unwrap();
    assert_eq!(disk.choices(), 1);
    file.sync_data().unwrap();
    assert_eq!(bytes(&disk.crash_keep_all()), [2, 1]);
    disk.drop_caches();
    assert_eq!(bytes(&disk), [2, 1]);
}

#[test]
fn a_length_that_a_failed_sync_dropped_comes_with_later_bytes() {
    let (disk, _, file) = with_file();
    file.write_all_at(&[2; 1024], 1024).unwrap();
    disk.fail(Fault::new(FaultKind::Io).on(Op::SyncData));
    assert!(file.sync_data().is_err());
    file.write_all_at(&[3; 512], 1024).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.read_file("a").unwrap().len(), 2048);
    assert_eq!(disk.crash_lose_all().read_file("a").unwrap().len(), 1536);
    assert_eq!(bytes(&disk.crash_lose_all()), [1, 3]);
}

#[test]
fn a_sync_may_fail_half_way() {
    let states: BTreeSet<_> = (0..40)
        .map(|seed| {
            let disk = SimDisk::new(seed);
            disk.write_file("a", &[1; 1024]).unwrap();
            let file = disk.env().vfs.open("a".as_ref(), OpenMode::Write).unwrap();
            file.write_all_at(&[2; 1024], 0).unwrap();
            disk.fail(Fault::new(FaultKind::IoPartly).on(Op::SyncData));
            assert!(file.sync_data().is_err());
            assert_eq!(bytes(&disk), [2]);
            bytes(&disk.crash_keep_all())
        })
        .collect();
    assert_eq!(states, [vec![1], vec![2], vec![1, 2], vec![2, 1]].into());
}

#[test]
fn after_a_failed_sync_of_a_directory_its_names_lie() {
    let (disk, vfs, _file) = with_file();
    vfs.rename("a".as_ref(), "b".as_ref()).unwrap();
    disk.fail(Fault::new(FaultKind::Io).on(Op::SyncDir));
    assert!(vfs.sync_dir("/".as_ref()).is_err());
    vfs.sync_dir("/".as_ref()).expect("the second sync says OK");
    create(&*vfs, "c", b"");
    vfs.sync_dir("/".as_ref()).unwrap();
    assert_eq!(disk.files(), ["/b", "/c"].map(Path::new));
    assert_eq!(disk.crash_keep_all().files(), ["/a", "/c"].map(Path::new), "what came later is durable");
    disk.drop_caches();
    assert_eq!(disk.files(), ["/a", "/c"].map(Path::new));
    assert_eq!(bytes(&disk), [1]);
    assert_eq!(disk.used_bytes(), 4096);
}

#[test]
fn a_lying_disk_forgets_writes_syncs_and_names() {
    let (disk, vfs, file) = with_file();
    disk.fail(Fault::new(FaultKind::Phantom).on(Op::Write));
    file.write_all_at(&[2; 512], 0).unwrap();
    file.write_all_at(&[3; 512], 512).unwrap();
    file.sync_data().unwrap();
    assert_eq!((bytes(&disk), bytes(&disk.crash_keep_all())), (vec![2, 3], vec![1, 3]));

    disk.fail(Fault::new(FaultKind::Phantom).on(Op::SyncData));
    file.write_all_at(&[4; 1024], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!((bytes(&disk), bytes(&disk.crash_keep_all())), (vec![4], vec![1, 3]));

    disk.fail(Fault::new(FaultKind::Phantom).on(Op::SyncDir));
    create(&*vfs, "b", b"");
    vfs.sync_dir("/".as_ref()).unwrap();
    assert!(exists(&disk, "/b") && !exists(&disk.crash_keep_all(), "/b"));
}

#[test]
fn a_misdirected_write_lands_elsewhere() {
    let mut states = BTreeSet::new();
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        disk.write_file("a", &[1; 2048]).unwrap();
        let file = disk.env().vfs.open("a".as_ref(), OpenMode::Write).unwrap();
        disk.fail(Fault::new(FaultKind::Misdirected));
        file.write_all_at(&[2; 512], 512).unwrap();
        file.sync_data().unwrap();
        assert_eq!(bytes(&disk), [1, 2, 1]);
        file.evict(0..u64::MAX);
        assert_eq!(disk.read_file("a").unwrap()[512], 1, "not where it belongs");
        states.insert(bytes(&disk));
    }
    assert_eq!(states, [vec![1], vec![2, 1], vec![1, 2], vec![1, 2, 1]].into());
}

#[test]
fn short_and_interrupted_transfers_say_so() {
    let (disk, _, file) = with_file();
    for kind in [FaultKind::Short, FaultKind::Interrupted] {
        disk.fail(Fault::new(kind));
        assert_eq!(file.write_at(&[2; 600], 0).unwrap(), 300);
        disk.fail(Fault::new(kind));
        assert_eq!(file.read_at(&mut [0; 601], 0).unwrap(), 301);
        disk.fail(Fault::new(kind));
        file.write_all_at(&[2; 600], 0).unwrap();
    }
    assert_eq!(bytes(&disk), [2, 1]);
    assert_eq!(disk.faults_struck(), 6);
}

#[test]
fn a_torn_write_fails_and_leaves_half() {
    let (disk, _, file) = with_file();
    disk.fail(Fault::new(FaultKind::Torn));
    assert!(file.write_at(&[2; 1000], 0).is_err());
    assert_eq!(disk.read_file("a").unwrap().iter().filter(|byte| **byte == 2).count(), 500);
}

#[test]
fn errors_have_the_kinds_that_callers_ask_for() {
    let kinds = [
        (FaultKind::NoSpace, ErrorKind::StorageFull),
        (FaultKind::Quota, ErrorKind::QuotaExceeded),
        (FaultKind::Denied, ErrorKind::PermissionDenied),
        (FaultKind::Unsupported, ErrorKind::Unsupported),
        (FaultKind::Io, ErrorKind::Other),
        (FaultKind::ManyFiles, ErrorKind::Other),
    ];
    let (disk, vfs, file) = with_file();
    for (kind, expected) in kinds {
        disk.fail_nth(0, kind, false);
        assert_eq!(file.write_at(b"x", 0).unwrap_err().io().kind(), expected);
        disk.fail_nth(0, kind, false);
        let error = vfs.hard_link("a".as_ref(), "b".as_ref()).unwrap_err();
        assert_eq!(
            (error.op(), error.path(), error.is_unsupported()),
            (Op::HardLink, Path::new("a"), matches!(kind, FaultKind::Unsupported | FaultKind::Denied))
        );
    }
    assert_eq!(bytes(&disk), [1], "a call that fails does nothing");
}

#[test]
fn a_fault_strikes_what_it_was_meant_for() {
    let (disk, vfs, file) = with_file();
    let other = create(&*vfs, "b", b"bytes");
    disk.fail(Fault::new(FaultKind::Io).on(Op::Len).path(|path| path.ends_with("b")).after(1));
    file.len().unwrap();
    other.len().unwrap();
    file.len().unwrap();
    assert!(other.len().is_err());
    other.len().expect("once");
    assert_eq!(disk.faults_struck(), 1);

    disk.fail(Fault::new(FaultKind::Io).bytes(100..101).sticky());
    file.read_at(&mut [0; 100], 0).unwrap();
    file.sync_data().expect("this reads and writes no bytes");
    for _ in 0..2 {
        assert!(file.read_at(&mut [0; 101], 0).is_err());
        assert!(file.write_at(&[0; 1], 100).is_err());
        assert!(file.map(ReadMode::Owned).is_err());
    }
    other.map(ReadMode::Owned).expect("it ends before");
    disk.clear_faults();
    file.map(ReadMode::Owned).unwrap();
}

#[test]
fn the_nth_call_fails_once_or_from_then_on() {
    for sticky in [false, true] {
        let (disk, _, file) = with_file();
        disk.fail_nth(2, FaultKind::Io, sticky);
        let results: Vec<_> = (0..5).map(|_| file.len().is_ok()).collect();
        assert_eq!(results, [true, true, false, !sticky, !sticky]);
    }
}

#[test]
fn a_fault_that_can_not_apply_is_spent_without_a_strike() {
    let (disk, _, file) = with_file();
    disk.fail_nth(0, FaultKind::Short, false);
    file.len().unwrap();
    assert_eq!(file.write_at(b"xx", 0).unwrap(), 2);
    assert_eq!(disk.faults_struck(), 0);
}
