//! Space, and what a test does to a disk at rest.

use super::*;
use crate::{Kind, ReadMode};

const PAGE: u64 = PAGE_BYTES as u64;

#[test]
fn a_full_disk_writes_what_fits_and_then_refuses() {
    let (disk, vfs) = fresh();
    disk.set_space(Some(2 * PAGE + 4095));
    let file = create(&*vfs, "a", b"");
    assert_eq!(file.write_at(&[1; 10_000], 100).unwrap(), 8092, "as far as there are pages");
    assert!(file.write_at(b"x", 8192).unwrap_err().is_no_space());
    assert_eq!(file.len().unwrap(), 8192);
    assert_eq!(disk.used_bytes(), 2 * PAGE);
    file.write_all_at(&[2; 8192], 0).expect("what is there may be overwritten");
    create(&*vfs, "b", b"");
    disk.set_space(None);
    file.write_all_at(&[1; 10_000], 100).unwrap();
}

#[test]
fn freed_space_comes_back() {
    let (disk, vfs) = fresh();
    disk.set_space(Some(3 * PAGE));
    let file = create(&*vfs, "a", &[1; 12_288]);
    file.set_len(PAGE + 1).unwrap();
    assert_eq!(disk.used_bytes(), 2 * PAGE);
    vfs.hard_link("a".as_ref(), "b".as_ref()).unwrap();
    assert_eq!(disk.used_bytes(), 2 * PAGE, "two names, one file");
    vfs.remove_file("a".as_ref()).unwrap();
    vfs.remove_file("b".as_ref()).unwrap();
    assert_eq!(disk.used_bytes(), 2 * PAGE, "it is open still");
    drop(file);
    assert_eq!(disk.used_bytes(), 0);
    let file = create(&*vfs, "c", &[1; 12_288]);
    create(&*vfs, "d", b"");
    vfs.rename("d".as_ref(), "c".as_ref()).unwrap();
    drop(file);
    assert_eq!(disk.used_bytes(), 0, "a replaced file is freed as well");
}

#[test]
fn open_files_are_counted() {
    let (disk, vfs) = fresh();
    assert_eq!(disk.open_files_most(), 0);
    let (one, other) = (create(&*vfs, "a", b"1"), create(&*vfs, "b", b""));
    drop(other);
    let region = one.map(ReadMode::Mapped).unwrap();
    drop(one);
    assert_eq!((&region[..], disk.open_files_most()), (&b"1"[..], 2), "a mapping is no open file");
    let lock = vfs.lock("c".as_ref()).unwrap();
    let file = vfs.open("a".as_ref(), OpenMode::Read).unwrap();
    let again = vfs.open("a".as_ref(), OpenMode::Read).unwrap();
    assert_eq!(disk.open_files_most(), 3);
    disk.kill();
    drop((lock, file, again));
    let vfs = disk.env().vfs;
    let open: Vec<_> = (0..3).map(|_| vfs.open("a".as_ref(), OpenMode::Read).unwrap()).collect();
    assert_eq!(disk.open_files_most(), 3, "the killed have none open");
    assert_eq!(disk.fork().open_files_most(), 0);
    drop(open);
}

#[test]
fn holes_are_free_and_zeros_are_not() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", b"");
    file.set_len(10 * PAGE).unwrap();
    assert_eq!(disk.used_bytes(), 0);
    file.write_all_at(&[0; 4096], 4 * PAGE).unwrap();
    file.write_all_at(&[0; 1], 0).unwrap();
    assert_eq!(disk.used_bytes(), 2 * PAGE);
    disk.set_space(Some(2 * PAGE));
    file.write_all_at(&[1; 4096], 4 * PAGE).expect("its place was taken by the zeros");
    assert!(file.write_at(&[1; 1], PAGE).unwrap_err().is_no_space());
    file.sync_data().unwrap();
    vfs.sync_dir("/".as_ref()).unwrap();
    let after = disk.crash_lose_all();
    assert_eq!(after.used_bytes(), 2 * PAGE, "the disk has the place, and its size, after a power cut too");
    assert!(after.env().vfs.open("a".as_ref(), OpenMode::Write).unwrap().write_at(&[1; 1], PAGE).is_err());
}

#[test]
fn a_dead_process_frees_what_only_it_held() {
    let (disk, vfs) = fresh();
    let _file = create(&*vfs, "a", &[1; 100]);
    vfs.remove_file("a".as_ref()).unwrap();
    assert_eq!((disk.used_bytes(), disk.fork().used_bytes()), (PAGE, 0));
    disk.kill();
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn nobody_has_a_file_open_after_a_power_cut() {
    let (disk, vfs) = fresh();
    disk.write_file("a", &[1; 100]).unwrap();
    let _file = vfs.open("a".as_ref(), OpenMode::Read).unwrap();
    let after = disk.crash_keep_all();
    after.env().vfs.remove_file("a".as_ref()).unwrap();
    assert_eq!((after.used_bytes(), disk.used_bytes()), (0, PAGE));
}

#[test]
fn damage_is_seen_and_survives() {
    let (disk, vfs) = fresh();
    let old = { disk.write_file("d", &[1; 2000]).map(|()| disk.fork()).unwrap() };
    disk.write_file("d", &[2; 2000]).unwrap();
    let pending = vfs.open("d".as_ref(), OpenMode::Write).unwrap();
    pending.write_all_at(&[3; 8], 1990).unwrap();
    let damaged = |damage: &dyn Fn(&SimDisk)| {
        let disk = disk.fork();
        damage(&disk);
        let durable = disk.crash_lose_all().read_file("d").unwrap();
        let seen = disk.read_file("d").unwrap();
        assert_eq!(seen[..1536], durable[..seen.len().min(1536)]);
        seen
    };
    let flipped = damaged(&|disk| disk.flip_bit("d", 8 * 700 + 7).unwrap());
    assert_eq!((flipped[699], flipped[700], flipped[701]), (2, 0x82, 2));
    let zeroed = damaged(&|disk| disk.zero_sector("d", 1).unwrap());
    assert!(zeroed[511] == 2 && zeroed[512..1024] == [0; 512] && zeroed[1024] == 2);
    let swapped = damaged(&|disk| {
        disk.overwrite("d", 0, &[9; 512]).unwrap();
        disk.swap_sectors("d", 0, 2).unwrap();
    });
    assert!(swapped[..1024] == [2; 1024] && swapped[1024..1536] == [9; 512] && swapped[1536] == 2);
    let stale = damaged(&|disk| disk.copy_sector(&old, "d", 2).unwrap());
    assert!(stale[..1024] == [2; 1024] && stale[1024..1536] == [1; 512]);
    assert_eq!(damaged(&|disk| disk.copy_file(&old, "d").unwrap()), [1; 2000]);
    let cut = disk.fork();
    cut.truncate("d", 3).unwrap();
    assert_eq!((cut.read_file("d").unwrap(), cut.crash_lose_all().read_file("d").unwrap()), (vec![2; 3], vec![2; 3]));
    assert!(disk.flip_bit("d", 16_000).is_err() && disk.zero_sector("d", 4).is_err());
    assert!(disk.flip_bit("no", 0).is_err());
}

#[test]
fn damage_is_not_counted_and_meets_no_fault() {
    let (disk, _) = fresh();
    disk.fail_nth(0, FaultKind::Io, true);
    disk.write_file("a", b"bytes").unwrap();
    disk.flip_bit("a", 0).unwrap();
    disk.remove("a").unwrap();
    assert_eq!((disk.operations(), disk.trace_hash(), disk.faults_struck()), (0, 0, 0));
}

#[test]
fn files_and_directories_are_taken_away() {
    let (disk, vfs) = fresh();
    vfs.create_dir("d".as_ref()).unwrap();
    disk.write_file("d/a", b"1").unwrap();
    disk.write_file("d/b", b"2").unwrap();
    disk.replace_with_dir("d/a").unwrap();
    let after = disk.crash_lose_all();
    assert_eq!(after.env().vfs.kind("d/a".as_ref()).unwrap(), Some(Kind::Dir));
    disk.remove("d").unwrap();
    assert!(disk.crash_keep_all().files().is_empty() && disk.files().is_empty());
    assert_eq!(disk.used_bytes(), 0);
    assert!(disk.remove("d").is_err());
}

#[test]
fn hashes_tell_states_apart() {
    let (disk, vfs) = fresh();
    let mut seen = vec![disk.hash()];
    let mut add = |disk: &SimDisk| {
        assert!(!seen.contains(&disk.hash()), "state {} looks like an earlier one", seen.len());
        assert_eq!(disk.hash(), disk.fork().hash());
        seen.push(disk.hash());
    };
    let file = create(&*vfs, "a", b"");
    add(&disk);
    vfs.sync_dir("/".as_ref()).unwrap();
    add(&disk);
    file.write_all_at(b"x", 0).unwrap();
    add(&disk);
    file.sync_data().unwrap();
    add(&disk);
    let synced = disk.hash();
    vfs.rename("a".as_ref(), "b".as_ref()).unwrap();
    add(&disk);
    disk.fail_nth(0, FaultKind::Io, false);
    assert!(vfs.sync_dir("/".as_ref()).is_err());
    add(&disk);
    assert_eq!(disk.crash_lose_all().hash(), synced, "an equal state, come to in another way");
    file.set_len(2).unwrap();
    add(&disk);
    vfs.hard_link("b".as_ref(), "c".as_ref()).unwrap();
    add(&disk);
    assert_eq!(disk.crash_keep_all().hash(), disk.crash_keep_all().hash());
}

#[test]
fn a_file_as_long_as_can_be_is_mapped_only_if_there_is_memory() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", &[1; 5000]);
    file.set_len(1 << 20).unwrap();
    let region = file.map(ReadMode::Owned).unwrap();
    assert!(region[..5000] == [1; 5000] && region[5000..].iter().all(|byte| *byte == 0));
    assert_eq!(disk.used_bytes(), 2 * PAGE);
}
