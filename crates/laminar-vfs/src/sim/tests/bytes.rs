//! Bytes and lengths.

use super::*;

#[test]
fn synced_bytes_survive_and_their_name_need_not() {
    let (disk, vfs) = fresh();
    create(&*vfs, "a", &[7; 700]).sync_data().unwrap();
    assert_eq!(outcomes(&disk, |disk| disk.read_file("a").ok()), [None, Some(vec![7; 700])].into());
    vfs.sync_dir("/".as_ref()).unwrap();
    assert_eq!(disk.choices(), 0);
    assert_eq!(disk.crash_lose_all().read_file("a").unwrap(), [7; 700]);
}

#[test]
fn each_sector_is_lost_by_itself() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", &[1; 1536]);
    file.sync_data().unwrap();
    vfs.sync_dir("".as_ref()).unwrap();
    // From the middle of the first sector to the middle of the last.
    file.write_all_at(&[2; 1000], 256).unwrap();
    let sectors = |disk: &SimDisk| {
        let bytes = disk.read_file("a").unwrap();
        assert!(bytes[..256] == [1; 256] && bytes[1256..] == [1; 280]);
        for whole in [&bytes[256..512], &bytes[512..1024], &bytes[1024..1256]] {
            assert!(whole.iter().all(|byte| *byte == whole[0]), "a sector is torn");
        }
        [bytes[256], bytes[512], bytes[1024]]
    };
    let seen = outcomes(&disk, sectors);
    assert_eq!(seen.len(), 8, "every combination of old and new: {seen:?}");
}

#[test]
fn a_sector_written_twice_may_be_left_at_any_version() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", b"0");
    file.sync_data().unwrap();
    vfs.sync_dir("".as_ref()).unwrap();
    file.write_all_at(b"1", 0).unwrap();
    file.write_all_at(b"2", 0).unwrap();
    let seen = outcomes(&disk, |disk| disk.read_file("a").unwrap()[0]);
    assert_eq!(seen, [b'0', b'1', b'2'].into());
}

#[test]
fn lengths_and_bytes_are_lost_apart() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", b"");
    vfs.sync_dir("".as_ref()).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.write_all_at(b"y", 1).unwrap();
    let seen = outcomes(&disk, |disk| disk.read_file("a").unwrap());
    let expected: [&[u8]; 6] = [b"", b"\0", b"x", b"\0\0", b"x\0", b"xy"];
    assert_eq!(seen, expected.map(<[u8]>::to_vec).into());
}

#[test]
fn what_a_cut_took_does_not_come_back() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", &[1; 600]);
    file.sync_data().unwrap();
    vfs.sync_dir("".as_ref()).unwrap();
    file.set_len(100).unwrap();
    file.set_len(600).unwrap();
    let mut cut = vec![1; 100];
    let seen = outcomes(&disk, |disk| disk.read_file("a").unwrap());
    let short = cut.clone();
    cut.resize(600, 0);
    assert_eq!(seen, [vec![1; 600], short, cut.clone()].into());
    assert_eq!(disk.read_file("a").unwrap(), cut);
}

#[test]
fn zeros_written_where_zeros_were_are_no_choice() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", b"");
    vfs.sync_dir("".as_ref()).unwrap();
    file.write_all_at(&[0; 1 << 20], 0).unwrap();
    assert_eq!(disk.choices(), 1, "the length");
    assert_eq!(disk.used_bytes(), 1 << 20);
    file.sync_data().unwrap();
    file.write_all_at(b"x", 5000).unwrap();
    assert_eq!(disk.choices(), 1, "one sector");
}

#[test]
fn a_write_that_changes_nothing_is_durable_after_a_sync_all_the_same() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", b"same");
    vfs.sync_dir("".as_ref()).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"same", 0).unwrap();
    assert_eq!(disk.choices(), 0);
    assert_eq!(disk.crash_lose_all().read_file("a").unwrap(), b"same");
}

#[test]
fn descriptions_name_every_choice() {
    let (disk, vfs) = fresh();
    create(&*vfs, "a", &[1; 5000]);
    let pending = disk.pending();
    assert_eq!(pending.choices(), disk.choices());
    assert_eq!(pending.descriptions()[0], "name /a");
    assert_eq!(pending.descriptions()[10], "/a: sector at 4608");
    assert_eq!(pending.descriptions()[11], "/a: length 5000");
}

#[test]
fn a_far_write_is_refused_and_a_sparse_file_costs_nothing() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", b"");
    assert!(file.write_at(b"x", u64::MAX - 1).unwrap_err().is_no_space());
    file.set_len(MAX_FILE_BYTES).unwrap();
    assert!(file.set_len(MAX_FILE_BYTES + 1).is_err());
    assert_eq!(disk.used_bytes(), 0);
    assert_eq!(file.read_at(&mut [1; 9], MAX_FILE_BYTES - 5).unwrap(), 5);
}
