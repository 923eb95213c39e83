//! What the traits of the seam promise, run against every disk that implements them.
//!
//! The simulated disk takes part with the feature `sim`. Each test gets a disk and an empty directory on it. At the end the disks are compared with each other: the same
//! random calls must have the same outcomes on all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "sim")]
use laminar_vfs::sim::SimDisk;
use laminar_vfs::{
    Kind, Op, OpenMode, ReadMode, RealDisk, Result, Vfs, VfsFile, create_dir_durable, publish, remove_tree,
};

#[cfg(all(feature = "sim", target_os = "linux"))]
#[path = "contract/compare.rs"]
mod compare;

macro_rules! contract {
    ($($test:ident,)*) => {
        mod real {
            $(#[test]
            fn $test() {
                let scratch = tempfile::tempdir().unwrap();
                super::$test(&super::RealDisk::new(), scratch.path());
            })*
        }
        #[cfg(feature = "sim")]
        mod sim {
            $(#[test]
            fn $test() {
                let vfs = super::SimDisk::new(1).env().vfs;
                vfs.create_dir("/dir".as_ref()).unwrap();
                super::$test(&*vfs, "/dir".as_ref());
            })*
        }
    };
}

contract! {
    a_tree_is_removed_with_all_that_is_in_it_and_nothing_else,
    a_file_is_opened_as_asked,
    bytes_go_where_they_are_put,
    long_writes_cross_pages,
    a_file_is_cut_and_extended,
    space_is_had_ahead,
    handles_share_one_file,
    a_handle_for_reading_does_not_write,
    directories_are_listed_in_order,
    directories_are_created_once_and_removed_empty,
    a_kind_is_looked_up,
    only_files_are_opened,
    a_rename_replaces_a_file,
    a_rename_moves_a_directory,
    a_rename_that_can_not_be_is_refused,
    links_are_names_of_one_file,
    a_removed_file_lives_on_in_its_handles,
    a_lock_has_one_owner,
    a_file_is_mapped,
    syncing_what_is_there_succeeds,
    errors_carry_operation_and_path,
    odd_paths_are_paths,
    publication_and_durable_directories_work,
}

fn a_tree_is_removed_with_all_that_is_in_it_and_nothing_else(vfs: &dyn Vfs, dir: &Path) {
    let (tree, beside) = (dir.join("tree"), dir.join("beside"));
    for made in [&tree, &tree.join("empty"), &tree.join("full"), &beside] {
        vfs.create_dir(made).unwrap();
    }
    for path in [tree.join("file"), tree.join("full/file"), beside.join("file")] {
        create(vfs, &path, b"x");
    }
    remove_tree(vfs, &tree).unwrap();
    remove_tree(vfs, &tree).unwrap();
    assert_eq!(vfs.list(dir).unwrap().len(), 1);
    remove_tree(vfs, &beside.join("file")).unwrap();
    assert_eq!((vfs.list(dir).unwrap().len(), vfs.list(&beside).unwrap().len()), (1, 0));
}

#[test]
#[cfg(unix)]
fn a_symbolic_link_is_removed_and_not_what_it_leads_to() {
    let (scratch, vfs) = (tempfile::tempdir().unwrap(), RealDisk::new());
    let (tree, kept) = (scratch.path().join("tree"), scratch.path().join("kept"));
    vfs.create_dir(&kept).unwrap();
    vfs.create_dir(&tree).unwrap();
    create(&vfs, &kept.join("file"), b"not ours");
    for link in [tree.join("link"), scratch.path().join("top")] {
        std::os::unix::fs::symlink(&kept, &link).unwrap();
    }
    remove_tree(&vfs, &tree).unwrap();
    remove_tree(&vfs, &scratch.path().join("top")).unwrap();
    let left = vfs.list(scratch.path()).unwrap();
    assert_eq!(left.iter().map(|entry| entry.name.to_str().unwrap()).collect::<Vec<_>>(), ["kept"]);
    assert_eq!(vfs.list(&kept).unwrap().len(), 1);
}

fn create(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Arc<dyn VfsFile> {
    let file = vfs.open(path, OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn read(vfs: &dyn Vfs, path: &Path) -> Vec<u8> {
    contents(&*vfs.open(path, OpenMode::Read).unwrap())
}

fn contents(file: &dyn VfsFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn failure<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.io().kind(),
    }
}

fn a_file_is_opened_as_asked(vfs: &dyn Vfs, dir: &Path) {
    let path = dir.join("file");
    assert_eq!(failure(vfs.open(&path, OpenMode::Read)), ErrorKind::NotFound);
    assert_eq!(failure(vfs.open(&path, OpenMode::Write)), ErrorKind::NotFound);
    let file = vfs.open(&path, OpenMode::CreateNew).unwrap();
    assert!(file.is_empty().unwrap());
    assert_eq!(file.path(), path);
    file.write_all_at(b"bytes", 0).unwrap();
    assert_eq!(failure(vfs.open(&path, OpenMode::CreateNew)), ErrorKind::AlreadyExists);
    let again = vfs.open(&path, OpenMode::Write).unwrap();
    assert_eq!(contents(&*again), b"bytes", "opening does not cut");
    assert_eq!(failure(vfs.open(&dir.join("no/file"), OpenMode::CreateNew)), ErrorKind::NotFound);
    assert_eq!(failure(vfs.open(&path.join("below"), OpenMode::Read)), ErrorKind::NotADirectory);
}

fn bytes_go_where_they_are_put(vfs: &dyn Vfs, dir: &Path) {
    let file = create(vfs, &dir.join("file"), b"");
    assert_eq!(file.write_at(b"abc", 10).unwrap(), 3);
    assert_eq!(contents(&*file), b"\0\0\0\0\0\0\0\0\0\0abc", "a gap reads as zero");
    file.write_all_at(b"xy", 11).unwrap();
    file.write_all_at(b"-", 0).unwrap();
    assert_eq!(contents(&*file), b"-\0\0\0\0\0\0\0\0\0axy");
    let mut buf = [9; 5];
    assert_eq!(file.read_at(&mut buf, 11).unwrap(), 2);
    assert_eq!(buf, [b'x', b'y', 9, 9, 9]);
    assert_eq!(file.read_at(&mut buf, 13).unwrap(), 0, "the end");
    assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0, "far beyond the end");
    assert_eq!(file.read_at(&mut [], 0).unwrap(), 0);
    assert_eq!(failure(file.read_exact_at(&mut buf, 11)), ErrorKind::UnexpectedEof);
    assert_eq!(file.write_at(b"", 1000).unwrap(), 0);
    assert_eq!(file.len().unwrap(), 13, "an empty write does not extend");
}

fn long_writes_cross_pages(vfs: &dyn Vfs, dir: &Path) {
    let file = create(vfs, &dir.join("file"), b"");
    let bytes: Vec<u8> = (0..70_000u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    file.write_all_at(&bytes, 3000).unwrap();
    assert_eq!(file.len().unwrap(), 73_000);
    let mut back = vec![1; 73_000];
    file.read_exact_at(&mut back, 0).unwrap();
    assert!(back[..3000].iter().all(|byte| *byte == 0) && back[3000..] == bytes);
    file.write_all_at(&[0; 9000], 4000).unwrap();
    file.read_exact_at(&mut back, 0).unwrap();
    assert!(back[3000..4000] == bytes[..1000] && back[4000..13_000] == [0; 9000] && back[13_000..] == bytes[10_000..]);
}

fn a_file_is_cut_and_extended(vfs: &dyn Vfs, dir: &Path) {
    let file = create(vfs, &dir.join("file"), &[7; 5000]);
    file.set_len(4100).unwrap();
    file.set_len(10_000).unwrap();
    let bytes = contents(&*file);
    assert!(bytes[..4100] == [7; 4100] && bytes[4100..] == [0; 5900], "what was cut reads as zero");
    file.set_len(0).unwrap();
    assert!(file.is_empty().unwrap());
}

fn space_is_had_ahead(vfs: &dyn Vfs, dir: &Path) {
    let file = create(vfs, &dir.join("file"), &[7; 100]);
    file.allocate(100..200_000).unwrap();
    file.sync_data().unwrap();
    let bytes = contents(&*file);
    assert!(bytes.len() == 200_000 && bytes[..100] == [7; 100], "it is as long as that, and what it held is there");
    file.allocate(150_000..150_000).unwrap();
    assert_eq!(file.len().unwrap(), 200_000);
    file.write_all_at(&[8; 10], 150_000).unwrap();
    assert!(contents(&*file)[150_000..150_010] == [8; 10]);
    file.write_zeros(150_005..150_010).unwrap();
    assert!(contents(&*file)[150_000..150_010] == [8, 8, 8, 8, 8, 0, 0, 0, 0, 0]);
}

fn handles_share_one_file(vfs: &dyn Vfs, dir: &Path) {
    let (old, new) = (dir.join("old"), dir.join("new"));
    let file = create(vfs, &old, b"one");
    let other = vfs.open(&old, OpenMode::Write).unwrap();
    vfs.rename(&old, &new).unwrap();
    other.write_all_at(b"two", 0).unwrap();
    assert_eq!(contents(&*file), b"two");
    assert_eq!(read(vfs, &new), b"two");
    assert_eq!(file.path(), old, "the path is that of opening");
}

fn a_handle_for_reading_does_not_write(vfs: &dyn Vfs, dir: &Path) {
    let path = dir.join("file");
    create(vfs, &path, b"bytes");
    let file = vfs.open(&path, OpenMode::Read).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.set_len(1).is_err());
    assert_eq!(contents(&*file), b"bytes");
    file.sync_data().unwrap();
}

fn directories_are_listed_in_order(vfs: &dyn Vfs, dir: &Path) {
    for name in ["b", "a", "B", "a.b", "\u{e9}t\u{e9}", "10", "9"] {
        create(vfs, &dir.join(name), b"");
    }
    vfs.create_dir(&dir.join("c")).unwrap();
    create(vfs, &dir.join("c/inside"), b"");
    let entries = vfs.list(dir).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.name.to_str().unwrap()).collect();
    assert_eq!(names, ["10", "9", "B", "a", "a.b", "b", "c", "\u{e9}t\u{e9}"]);
    let dirs = entries.iter().filter(|entry| entry.kind == Kind::Dir).count();
    assert_eq!((dirs, entries[6].kind, entries[0].kind), (1, Kind::Dir, Kind::File));
    assert_eq!(failure(vfs.list(&dir.join("no"))), ErrorKind::NotFound);
    assert_eq!(failure(vfs.list(&dir.join("a"))), ErrorKind::NotADirectory);
}

fn directories_are_created_once_and_removed_empty(vfs: &dyn Vfs, dir: &Path) {
    let sub = dir.join("sub");
    assert_eq!(failure(vfs.create_dir(&sub.join("deep"))), ErrorKind::NotFound);
    vfs.create_dir(&sub).unwrap();
    assert_eq!(failure(vfs.create_dir(&sub)), ErrorKind::AlreadyExists);
    create(vfs, &sub.join("file"), b"");
    assert_eq!(failure(vfs.remove_dir(&sub)), ErrorKind::DirectoryNotEmpty);
    assert_eq!(failure(vfs.remove_dir(&sub.join("file"))), ErrorKind::NotADirectory);
    assert!(vfs.remove_file(&sub).is_err());
    vfs.remove_file(&sub.join("file")).unwrap();
    vfs.remove_dir(&sub).unwrap();
    assert_eq!(failure(vfs.remove_dir(&sub)), ErrorKind::NotFound);
    assert_eq!(failure(vfs.remove_file(&sub)), ErrorKind::NotFound);
}

fn a_kind_is_looked_up(vfs: &dyn Vfs, dir: &Path) {
    create(vfs, &dir.join("file"), b"");
    assert_eq!(vfs.kind(dir).unwrap(), Some(Kind::Dir));
    assert_eq!(vfs.kind(&dir.join("file")).unwrap(), Some(Kind::File));
    assert_eq!(vfs.kind(&dir.join("no")).unwrap(), None);
    assert_eq!(vfs.kind(&dir.join("no/deeper")).unwrap(), None);
    assert_eq!(failure(vfs.kind(&dir.join("file/below"))), ErrorKind::NotADirectory);
}

fn only_files_are_opened(vfs: &dyn Vfs, dir: &Path) {
    for mode in [OpenMode::Read, OpenMode::Write] {
        assert_eq!(failure(vfs.open(dir, mode)), ErrorKind::IsADirectory);
    }
    assert_eq!(failure(vfs.lock(dir)), ErrorKind::IsADirectory);
}

fn a_rename_replaces_a_file(vfs: &dyn Vfs, dir: &Path) {
    let (from, to) = (dir.join("from"), dir.join("to"));
    create(vfs, &from, b"new");
    let replaced = create(vfs, &to, b"old");
    vfs.rename(&from, &to).unwrap();
    assert_eq!(read(vfs, &to), b"new");
    assert_eq!(vfs.kind(&from).unwrap(), None);
    assert_eq!(contents(&*replaced), b"old", "who has the old file open reads it still");
    vfs.rename(&to, &to).unwrap();
    assert_eq!(read(vfs, &to), b"new");
    assert_eq!(failure(vfs.rename(&from, &to)), ErrorKind::NotFound);
}

fn a_rename_moves_a_directory(vfs: &dyn Vfs, dir: &Path) {
    let (from, to) = (dir.join("from"), dir.join("to"));
    vfs.create_dir(&from).unwrap();
    let file = create(vfs, &from.join("file"), b"bytes");
    vfs.rename(&from, &to).unwrap();
    assert_eq!(vfs.kind(&from).unwrap(), None);
    assert_eq!(read(vfs, &to.join("file")), b"bytes");
    file.write_all_at(b"other", 0).unwrap();
    assert_eq!(read(vfs, &to.join("file")), b"other");
    vfs.rename(&to.join("file"), &dir.join("file")).unwrap();
    assert!(vfs.list(&to).unwrap().is_empty());
    assert_eq!(read(vfs, &dir.join("file")), b"other");
}

fn a_rename_that_can_not_be_is_refused(vfs: &dyn Vfs, dir: &Path) {
    let (file, sub, full) = (dir.join("file"), dir.join("sub"), dir.join("full"));
    create(vfs, &file, b"");
    vfs.create_dir(&sub).unwrap();
    vfs.create_dir(&full).unwrap();
    create(vfs, &full.join("file"), b"");
    assert!(vfs.rename(&sub, &full).is_err(), "onto a directory that is not empty");
    assert!(vfs.rename(&file, &sub).is_err(), "a file onto a directory");
    assert!(vfs.rename(&sub, &file).is_err(), "a directory onto a file");
    assert!(vfs.rename(&sub, &sub.join("inside")).is_err(), "a directory into itself");
    assert!(vfs.rename(&file, &dir.join("no/file")).is_err(), "into a directory that is not there");
    assert_eq!(vfs.list(dir).unwrap().len(), 3);
}

fn links_are_names_of_one_file(vfs: &dyn Vfs, dir: &Path) {
    let (one, two) = (dir.join("one"), dir.join("two"));
    let file = create(vfs, &one, b"1");
    vfs.hard_link(&one, &two).unwrap();
    file.write_all_at(b"2", 0).unwrap();
    assert_eq!(read(vfs, &two), b"2");
    assert_eq!(failure(vfs.hard_link(&one, &two)), ErrorKind::AlreadyExists);
    assert_eq!(failure(vfs.hard_link(&dir.join("no"), &dir.join("three"))), ErrorKind::NotFound);
    assert!(vfs.hard_link(dir, &dir.join("three")).is_err(), "a directory has one name");
    vfs.rename(&one, &two).unwrap();
    assert_eq!(read(vfs, &one), b"2", "renaming one name of a file to another does nothing");
    vfs.remove_file(&one).unwrap();
    assert_eq!(read(vfs, &two), b"2");
}

fn a_removed_file_lives_on_in_its_handles(vfs: &dyn Vfs, dir: &Path) {
    let path = dir.join("file");
    let file = create(vfs, &path, b"bytes");
    vfs.remove_file(&path).unwrap();
    assert_eq!(failure(vfs.open(&path, OpenMode::Read)), ErrorKind::NotFound);
    create(vfs, &path, b"another");
    file.write_all_at(b"!", 5).unwrap();
    file.sync_data().unwrap();
    assert_eq!(contents(&*file), b"bytes!");
    assert_eq!(read(vfs, &path), b"another");
}

fn a_lock_has_one_owner(vfs: &dyn Vfs, dir: &Path) {
    let path = dir.join("LOCK");
    let lock = vfs.lock(&path).unwrap();
    assert!(vfs.lock(&path).unwrap_err().is_locked());
    assert!(!vfs.lock(&dir.join("no/LOCK")).unwrap_err().is_locked());
    let other = vfs.lock(&dir.join("OTHER")).unwrap();
    drop(lock);
    drop(vfs.lock(&path).unwrap());
    drop(other);
    vfs.open(&path, OpenMode::Write).unwrap().write_all_at(b"kept", 0).unwrap();
    let lock = vfs.lock(&path).unwrap();
    assert_eq!(read(vfs, &path), b"kept");
    drop(lock);
}

fn a_file_is_mapped(vfs: &dyn Vfs, dir: &Path) {
    for len in [0, 1, 512, 4096, 10_001] {
        let bytes: Vec<u8> = (1..=251).cycle().take(len).collect();
        let path = dir.join("file");
        create(vfs, &path, &bytes);
        let file = vfs.open(&path, OpenMode::Read).unwrap();
        let modes = [ReadMode::Mapped, ReadMode::Owned];
        let whole = modes.map(|mode| file.map(mode).unwrap());
        let start = modes.map(|mode| file.map_start(len as u64 / 3, mode).unwrap());
        for mode in modes {
            assert_eq!(failure(file.map_start(len as u64 + 1, mode)), ErrorKind::UnexpectedEof);
        }
        vfs.remove_file(&path).unwrap();
        drop(file);
        for (region, bytes) in
            whole.iter().map(|whole| (whole, &*bytes)).chain(start.iter().map(|start| (start, &bytes[..len / 3])))
        {
            assert_eq!(**region, *bytes);
            assert_eq!(region.as_ptr() as usize % 16, 0);
            // Only a mapping can be populated, within its bytes.
            let len = region.len();
            assert_eq!(region.populate(len / 2..len), region.is_mapped() && len > 0 && cfg!(target_os = "linux"));
            assert!(!region.populate(0..len + 1) && !region.populate(len..len));
        }
    }
}

fn syncing_what_is_there_succeeds(vfs: &dyn Vfs, dir: &Path) {
    let file = create(vfs, &dir.join("file"), b"bytes");
    file.sync_data().unwrap();
    file.evict(0..5);
    file.prefetch(0..5);
    file.prefetch(0..0);
    vfs.sync_dir(dir).unwrap();
    assert_eq!(contents(&*file), b"bytes");
    assert_eq!(failure(vfs.sync_dir(&dir.join("no"))), ErrorKind::NotFound);
}

fn errors_carry_operation_and_path(vfs: &dyn Vfs, dir: &Path) {
    let no = dir.join("no");
    let errors = [
        vfs.open(&no, OpenMode::Read).map(drop).unwrap_err(),
        vfs.list(&no).map(drop).unwrap_err(),
        vfs.create_dir(&no.join("sub")).unwrap_err(),
        vfs.rename(&no, &dir.join("to")).unwrap_err(),
        vfs.hard_link(&no, &dir.join("to")).unwrap_err(),
        vfs.remove_file(&no).unwrap_err(),
        vfs.remove_dir(&no).unwrap_err(),
        vfs.sync_dir(&no).unwrap_err(),
    ];
    let ops = [Op::Open, Op::List, Op::CreateDir, Op::Rename, Op::HardLink, Op::RemoveFile, Op::RemoveDir, Op::SyncDir];
    for (error, op) in errors.iter().zip(ops) {
        assert_eq!(error.op(), op);
        assert!(error.path().starts_with(&no) && error.is_not_found(), "{error}");
    }
}

fn odd_paths_are_paths(vfs: &dyn Vfs, dir: &Path) {
    let name = "with space, \u{fc}ml\u{e4}ut and 'quotes'";
    create(vfs, &dir.join(".").join(name), b"bytes");
    assert_eq!(read(vfs, &dir.join("").join(name)), b"bytes");
    let listed = vfs.list(&dir.join(".")).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, name);
}

fn publication_and_durable_directories_work(vfs: &dyn Vfs, dir: &Path) {
    let deep = dir.join("a/b");
    assert!(create_dir_durable(vfs, &deep).unwrap());
    assert!(!create_dir_durable(vfs, &deep).unwrap());
    publish(vfs, &deep.join("file"), b"one").unwrap();
    publish(vfs, &deep.join("file"), &[2; 10_000]).unwrap();
    assert_eq!(read(vfs, &deep.join("file")), [2; 10_000]);
    assert_eq!(vfs.list(&deep).unwrap().len(), 1, "no temporary is left");
    assert!(create_dir_durable(vfs, &deep.join("file")).is_err());
    assert!(publish(vfs, &dir.join("no/file"), b"").is_err());
}

/// Only a real disk has these.
#[cfg(unix)]
mod unix {
    use super::*;

    #[test]
    fn links_to_directories_are_followed_and_pipes_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let (dir, vfs) = (scratch.path(), RealDisk::new());
        std::os::unix::fs::symlink(".", dir.join("link")).unwrap();
        assert_eq!(vfs.kind(&dir.join("link")).unwrap(), Some(Kind::Dir));
        assert!(create_dir_durable(&vfs, &dir.join("link/sub")).unwrap());
        assert_eq!(vfs.list(dir).unwrap()[0].kind, Kind::Other);
        let made = std::process::Command::new("mkfifo").arg(dir.join("pipe")).status();
        if made.is_ok_and(|status| status.success()) {
            assert_eq!(vfs.kind(&dir.join("pipe")).unwrap(), Some(Kind::Other));
            assert_eq!(failure(vfs.open(&dir.join("pipe"), OpenMode::Read)), ErrorKind::InvalidInput);
            assert_eq!(failure(vfs.lock(&dir.join("pipe"))), ErrorKind::InvalidInput);
        }
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the file is a few MiB long")]
    fn what_is_fetched_is_in_the_cache_also_where_more_is_asked_for_than_there_is() {
        let scratch = tempfile::tempdir().unwrap();
        let mut expected = vec![7; (5 << 20) + 100];
        let file = create(&RealDisk::new(), &scratch.path().join("file"), &expected);
        // With a hole at its end.
        expected.resize(9 << 20, 0);
        let len = expected.len() as u64;
        file.set_len(len).unwrap();
        file.sync_data().unwrap();
        let mut bytes = vec![0; expected.len()];
        if !file.read_cached_at(&mut bytes[..4096], 0) {
            println!("skipped: this file system can't tell what is in the cache");
            return;
        }
        let is_waiting = file.map(ReadMode::Mapped).unwrap().populate(0..1);
        for range in [0..len, 4097..len, 0..4 * len, len..2 * len, 1..2] {
            file.evict(0..len);
            file.prefetch(range.clone());
            let end = len.min(range.end);
            let part = &mut bytes[range.start.min(end) as usize..end as usize];
            // Where it only begins to read, that takes a while.
            let tries = if is_waiting { 1 } else { 2000 };
            let is_there = (0..tries).any(|_| {
                let is_there = file.read_cached_at(part, range.start);
                if !is_there {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                is_there
            });
            assert!(is_there && *part == expected[range.start.min(end) as usize..end as usize], "{range:?}");
        }
        assert_eq!(file.len().unwrap(), len);
    }

    #[test]
    fn an_absurd_length_is_an_error_and_not_an_abort() {
        let scratch = tempfile::tempdir().unwrap();
        let file = create(&RealDisk::new(), &scratch.path().join("file"), b"x");
        // Some file systems have no files this long.
        if file.set_len(1 << 43).is_ok() {
            assert_eq!(failure(file.map(ReadMode::Owned)), ErrorKind::OutOfMemory);
        }
    }
}
