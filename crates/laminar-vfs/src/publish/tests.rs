//! Publication and new directories, stopped and failed at every call.
#![cfg(feature = "sim")]

use super::*;
use crate::sim::{Fault, FaultKind, SimDisk, is_gone};

const PATH: &str = "/dir/file";

/// A disk on which `old` is published.
fn published(old: &[u8]) -> SimDisk {
    let disk = SimDisk::new(1);
    let vfs = disk.env().vfs;
    create_dir_durable(&*vfs, "/dir".as_ref()).unwrap();
    publish(&*vfs, PATH.as_ref(), old).unwrap();
    disk.fork()
}

#[test]
fn a_power_cut_at_any_point_leaves_the_old_or_the_new_file() {
    let disk = published(b"old");
    let new = [7; 1300];
    disk.start_history();
    publish(&*disk.env().vfs, PATH.as_ref(), &new).unwrap();
    let mut seen = [false; 2];
    let history = disk.take_history();
    let last = history.len() - 1;
    for (point, disk) in history.iter().enumerate() {
        assert!(disk.choices() <= 8);
        for mask in 0..1 << disk.choices() {
            let bytes = disk.crash_mask(mask).read_file(PATH).unwrap();
            assert!(bytes == b"old" || bytes == new, "at point {point}, mask {mask:b}: {bytes:?}");
            assert!(point < last || bytes == new, "it was acknowledged");
            seen[usize::from(bytes == new)] = true;
        }
    }
    assert_eq!(seen, [true; 2], "both ends were reached");
}

#[test]
fn a_process_killed_at_any_point_leaves_the_old_or_the_new_file() {
    let disk = published(b"old");
    for point in 0.. {
        let disk = disk.fork();
        disk.stop_at(point);
        let result = publish(&*disk.env().vfs, PATH.as_ref(), b"new");
        disk.kill();
        let bytes = disk.read_file(PATH).unwrap();
        assert!(bytes == b"old" || bytes == b"new");
        // What the next process publishes is there, whatever the dead one left behind.
        publish(&*disk.env().vfs, PATH.as_ref(), b"next").unwrap();
        assert_eq!(disk.crash_lose_all().read_file(PATH).unwrap(), b"next");
        match result {
            Ok(()) => return assert!(point > 4),
            Err(error) => assert!(is_gone(&error)),
        }
    }
}

#[test]
fn any_error_leaves_the_old_or_the_new_file_and_no_temporary() {
    let kinds = [FaultKind::Io, FaultKind::NoSpace, FaultKind::Torn, FaultKind::Short, FaultKind::Interrupted];
    for kind in kinds {
        for point in 0.. {
            let disk = published(b"old");
            disk.fail_nth(point, kind, false);
            let result = publish(&*disk.env().vfs, PATH.as_ref(), b"new");
            assert!(result.is_ok() || disk.faults_struck() == 1);
            assert_eq!(disk.files().len(), 1, "after {kind:?} of call {point}: {:?}", disk.files());
            for after in [disk.crash_keep_all(), disk.crash_lose_all()] {
                let bytes = after.read_file(PATH).unwrap();
                assert!(bytes == b"new" || (result.is_err() && bytes == b"old"), "{kind:?} of call {point}");
            }
            if disk.operations() <= point {
                break;
            }
        }
    }
}

#[test]
fn publishing_into_the_working_directory_needs_no_dot() {
    let disk = SimDisk::new(1);
    publish(&*disk.env().vfs, "name".as_ref(), b"bytes").unwrap();
    assert_eq!(disk.crash_lose_all().read_file("name").unwrap(), b"bytes");
    assert!(publish(&*disk.env().vfs, "/".as_ref(), b"bytes").is_err());
}

#[test]
fn created_directories_are_durable_each() {
    let disk = SimDisk::new(1);
    let vfs = disk.env().vfs;
    assert!(create_dir_durable(&*vfs, "a/b/c".as_ref()).unwrap());
    assert!(!create_dir_durable(&*vfs, "a/b/c".as_ref()).unwrap());
    assert_eq!(disk.choices(), 0);
    let after = disk.crash_lose_all().env().vfs;
    assert_eq!(after.kind("a/b/c".as_ref()).unwrap(), Some(Kind::Dir));
    let file = vfs.open("file".as_ref(), OpenMode::CreateNew);
    drop(file);
    let error = create_dir_durable(&*vfs, "file".as_ref()).unwrap_err();
    assert_eq!((error.op(), error.io().kind()), (Op::CreateDir, io::ErrorKind::NotADirectory));
    assert!(create_dir_durable(&*vfs, "file/below".as_ref()).is_err());
}

#[test]
fn a_directory_that_a_dead_process_left_is_made_durable() {
    for point in 0.. {
        let disk = SimDisk::new(1);
        disk.stop_at(point);
        let first = create_dir_durable(&*disk.env().vfs, "a/b".as_ref());
        disk.kill();
        create_dir_durable(&*disk.env().vfs, "a/b".as_ref()).unwrap();
        let after = disk.crash_lose_all().env().vfs;
        assert_eq!(after.kind("a/b".as_ref()).unwrap(), Some(Kind::Dir), "the first stopped at call {point}");
        if first.is_ok() {
            return;
        }
    }
}

#[test]
fn a_directory_whose_sync_failed_is_created_anew() {
    let disk = SimDisk::new(1);
    let vfs = disk.env().vfs;
    disk.fail(Fault::new(FaultKind::Io).on(Op::SyncDir));
    assert!(create_dir_durable(&*vfs, "a".as_ref()).is_err());
    assert_eq!(vfs.kind("a".as_ref()).unwrap(), None);
    create_dir_durable(&*vfs, "a".as_ref()).unwrap();
    let after = disk.crash_lose_all().env().vfs;
    assert_eq!(after.kind("a".as_ref()).unwrap(), Some(Kind::Dir));
}
