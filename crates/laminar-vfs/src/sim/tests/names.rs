//! Names.

use super::*;

/// Which of the files there are.
fn names(disk: &SimDisk) -> Vec<String> {
    disk.files().iter().map(|file| file.display().to_string()).collect()
}

fn owned(sets: &[&[&str]]) -> BTreeSet<Vec<String>> {
    sets.iter().map(|set| set.iter().map(|&name| name.to_owned()).collect()).collect()
}

/// A disk with these empty files and directories (with a slash at the end), all durable.
fn with(paths: &[&str]) -> (SimDisk, Arc<dyn Vfs>) {
    let (disk, vfs) = fresh();
    for path in paths {
        match path.strip_suffix('/') {
            Some(dir) => vfs.create_dir(dir.as_ref()).unwrap(),
            None => disk.write_file(path, path.as_bytes()).unwrap(),
        }
        vfs.sync_dir("/".as_ref()).unwrap();
    }
    assert_eq!(disk.choices(), 0);
    (disk, vfs)
}

#[test]
fn different_names_are_lost_independently() {
    let (disk, vfs) = with(&["c"]);
    create(&*vfs, "a", b"");
    create(&*vfs, "b", b"");
    vfs.remove_file("c".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, names).len(), 8);
    vfs.sync_dir("/".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, names), owned(&[&["/a", "/b"]]));
}

#[test]
fn changes_of_one_name_keep_their_order() {
    let (disk, vfs) = fresh();
    create(&*vfs, "a", b"");
    vfs.remove_file("a".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, names), owned(&[&[], &["/a"]]));
    vfs.sync_dir("/".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, names), owned(&[&[]]));
}

#[test]
fn a_rename_leaves_the_old_name_or_the_new_one() {
    let (disk, vfs) = with(&["new"]);
    disk.write_file("old", b"new bytes").unwrap();
    vfs.rename("old".as_ref(), "new".as_ref()).unwrap();
    let seen = outcomes(&disk, |disk| (names(disk), disk.read_file("new").unwrap()));
    let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(seen, [(names(&["/new", "/old"]), b"new".to_vec()), (names(&["/new"]), b"new bytes".to_vec())].into());
}

#[test]
fn a_link_may_be_lost_although_a_later_removal_is_kept() {
    let (disk, vfs) = with(&["a"]);
    vfs.hard_link("a".as_ref(), "b".as_ref()).unwrap();
    vfs.remove_file("a".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, names), owned(&[&["/a"], &["/a", "/b"], &["/b"], &[]]));
}

#[test]
fn links_share_their_bytes_after_a_crash() {
    let (disk, vfs) = with(&["a"]);
    vfs.hard_link("a".as_ref(), "b".as_ref()).unwrap();
    vfs.sync_dir("/".as_ref()).unwrap();
    let after = disk.crash_lose_all();
    let vfs = after.env().vfs;
    vfs.open("a".as_ref(), OpenMode::Write).unwrap().write_all_at(b"seen by both", 0).unwrap();
    assert_eq!(after.read_file("b").unwrap(), b"seen by both");
}

#[test]
fn a_directory_takes_what_is_in_it_along() {
    let (disk, vfs) = fresh();
    vfs.create_dir("d".as_ref()).unwrap();
    create(&*vfs, "d/a", b"");
    vfs.sync_dir("d".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, names), owned(&[&[], &["/d/a"]]));
    vfs.rename("d".as_ref(), "e".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, names), owned(&[&[], &["/d/a"], &["/e/a"]]));
    vfs.sync_dir("/".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, names), owned(&[&["/e/a"]]));
}

#[test]
fn a_move_is_durable_when_both_directories_are_synced() {
    let both = |first: &str, second: &str| {
        let (disk, vfs) = with(&["d/", "e/"]);
        disk.write_file("d/a", b"").unwrap();
        vfs.rename("d/a".as_ref(), "e/b".as_ref()).unwrap();
        let before = outcomes(&disk, names);
        vfs.sync_dir(first.as_ref()).unwrap();
        let between = outcomes(&disk, names);
        vfs.sync_dir(second.as_ref()).unwrap();
        (before, between, outcomes(&disk, names))
    };
    let (before, between, after) = both("d", "e");
    assert_eq!(before, owned(&[&["/d/a"], &["/e/b"]]));
    assert_eq!(between, owned(&[&["/d/a"], &["/e/b"]]), "the target was not synced");
    assert_eq!(after, owned(&[&["/e/b"]]));
    let (_, between, after) = both("e", "d");
    assert_eq!(between, owned(&[&["/d/a", "/e/b"], &["/e/b"]]), "the source was not synced");
    assert_eq!(after, owned(&[&["/e/b"]]));
}

#[test]
fn a_moved_directory_never_has_two_names() {
    for order in [["d", "e"], ["e", "d"]] {
        let (disk, vfs) = with(&["d/", "e/"]);
        vfs.create_dir("d/m".as_ref()).unwrap();
        vfs.sync_dir("d".as_ref()).unwrap();
        disk.write_file("d/m/a", b"").unwrap();
        vfs.rename("d/m".as_ref(), "e/m".as_ref()).unwrap();
        let either = owned(&[&["/d/m/a"], &["/e/m/a"]]);
        assert_eq!(outcomes(&disk, names), either);
        vfs.sync_dir(order[0].as_ref()).unwrap();
        assert_eq!(outcomes(&disk, names), either);
        vfs.sync_dir(order[1].as_ref()).unwrap();
        assert_eq!(outcomes(&disk, names), owned(&[&["/e/m/a"]]));
    }
}

#[test]
fn a_failed_sync_leaves_a_directory_no_second_name() {
    let (disk, vfs) = with(&["d/", "e/", "f/"]);
    vfs.create_dir("d/m".as_ref()).unwrap();
    vfs.sync_dir("d".as_ref()).unwrap();
    disk.write_file("d/m/a", b"").unwrap();
    vfs.rename("d/m".as_ref(), "e/m".as_ref()).unwrap();
    disk.fail_nth(0, FaultKind::Io, false);
    assert!(vfs.sync_dir("d".as_ref()).is_err());
    vfs.rename("e/m".as_ref(), "f/m".as_ref()).unwrap();
    vfs.sync_dir("e".as_ref()).unwrap();
    vfs.sync_dir("f".as_ref()).unwrap();
    assert_eq!(disk.files(), ["/f/m/a"].map(Path::new));
    assert_eq!(names(&disk.crash_keep_all()).len(), 1);
}

#[test]
fn directories_moved_there_and_back_make_no_circle() {
    let (disk, vfs) = with(&["d/", "e/"]);
    disk.write_file("d/a", b"").unwrap();
    vfs.rename("d".as_ref(), "e/d".as_ref()).unwrap();
    vfs.sync_dir("e".as_ref()).unwrap();
    vfs.rename("e/d".as_ref(), "d".as_ref()).unwrap();
    vfs.sync_dir("/".as_ref()).unwrap();
    vfs.rename("e".as_ref(), "d/e".as_ref()).unwrap();
    for after in crashes(&disk) {
        assert_eq!(names(&after).len(), 1, "{:?}", names(&after));
    }
}

#[test]
fn a_moved_file_is_never_lost_with_a_new_directory() {
    let (disk, vfs) = with(&["a"]);
    vfs.create_dir("d".as_ref()).unwrap();
    vfs.rename("a".as_ref(), "d/a".as_ref()).unwrap();
    let expected = owned(&[&["/a"], &["/d/a"]]);
    assert_eq!(outcomes(&disk, names), expected);
    vfs.sync_dir("d".as_ref()).unwrap();
    let mut expected = expected;
    expected.insert(vec!["/a".to_owned(), "/d/a".to_owned()]);
    assert_eq!(outcomes(&disk, names), expected);
}

#[test]
fn removing_a_directory_needs_what_emptied_it() {
    let (disk, vfs) = with(&["d/"]);
    disk.write_file("d/a", b"").unwrap();
    vfs.rename("d/a".as_ref(), "b".as_ref()).unwrap();
    vfs.remove_dir("d".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, names), owned(&[&["/b"], &["/d/a"]]));
}

#[test]
fn a_replaced_file_that_was_created_and_moved_is_synced_in_order() {
    let (disk, vfs) = with(&["d/", "e/"]);
    disk.write_file("d/a", b"moved").unwrap();
    create(&*vfs, "e/a", b"replaced");
    vfs.rename("d/a".as_ref(), "e/a".as_ref()).unwrap();
    vfs.sync_dir("e".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, |disk| disk.read_file("e/a").unwrap()), [b"moved".to_vec()].into());
}

#[test]
fn directories_moved_into_each_other_make_no_circle() {
    let (disk, vfs) = with(&["a/"]);
    vfs.create_dir("a/b".as_ref()).unwrap();
    vfs.sync_dir("a".as_ref()).unwrap();
    disk.write_file("a/b/file", b"").unwrap();
    vfs.rename("a/b".as_ref(), "b".as_ref()).unwrap();
    vfs.rename("a".as_ref(), "b/a".as_ref()).unwrap();
    assert!(vfs.rename("b".as_ref(), "b/a/b".as_ref()).is_err());
    assert_eq!(outcomes(&disk, names), owned(&[&["/a/b/file"], &["/b/file"]]));
}

#[test]
fn nothing_is_lost_of_a_name_reused_after_a_sync() {
    let (disk, vfs) = with(&["a"]);
    vfs.remove_file("a".as_ref()).unwrap();
    create(&*vfs, "a", b"second").sync_data().unwrap();
    let seen = outcomes(&disk, |disk| disk.read_file("a").ok());
    assert_eq!(seen, [None, Some(b"a".to_vec()), Some(b"second".to_vec())].into());
}
