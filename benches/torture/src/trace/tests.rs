//! Traces of system calls are read as they are printed.

use super::*;

fn image(files: &[(&str, &[u8])]) -> Image {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(path), bytes).unwrap();
    }
    Image::load(dir.path()).unwrap()
}

/// A log of three pages whose last two changed before a sync of it failed.
fn lost_after(calls: &str) -> (Lost, Image, Image) {
    let before = image(&[("log", &[1; 12288]), ("other", &[1; 4096])]);
    let mut bytes = [2; 12288];
    bytes[..4096].fill(1);
    let after = image(&[("log", &bytes), ("other", &[2; 4096])]);
    let mut lost = Lost::new(Path::new("/s"), &after);
    let failure = "7 fdatasync(5</s/log>)      = -1 EIO (Input/output error) (INJECTED)\n";
    lost.follow(&format!("{failure}{calls}"), Some(Around { before: &before, after: &after }));
    (lost, before, after)
}

fn pages(calls: &str) -> Vec<u64> {
    lost_after(calls).0.files.values().flat_map(|lost| lost.pages.clone()).collect()
}

#[test]
fn a_failed_sync_loses_the_pages_of_its_file_alone() {
    let (lost, before, mut after) = lost_after("");
    assert_eq!((lost.count(), lost.failed_syncs(), lost.blind()), (2, 1, None));
    lost.drop_cache(&mut after, &before);
    assert_eq!(after.file(Path::new("log")), before.file(Path::new("log")));
    assert_ne!(after.file(Path::new("other")), before.file(Path::new("other")));
}

#[test]
fn pages_written_again_are_safe() {
    assert_eq!(pages(r#"7 pwrite64(5</s/log>, ""..., 10, 4090) = 10"#), [2]);
    assert_eq!(pages(r#"7 pwrite64(5</s/log>, ""..., 10, 4000) = 10"#), [1, 2]);
    assert_eq!(pages(r#"7 pwrite64(5</s/other>, ""..., 10, 4090) = 10"#), [1, 2]);
    assert_eq!(pages(r#"7 pwrite64(5</s/log>, ""..., 10, 4090) = -1 ENOSPC (No space left)"#), [1, 2]);
}

#[test]
fn positions_are_followed() {
    let open = "7 openat(AT_FDCWD</>, \"/s/log\", O_RDWR|O_CLOEXEC) = 6</s/log>\n";
    assert_eq!(
        pages(&format!("{open}7 lseek(6</s/log>, 4096, SEEK_SET) = 4096\n7 write(6</s/log>, \"\"..., 5) = 5")),
        [2]
    );
    assert_eq!(
        pages(&format!("{open}7 read(6</s/log>, \"\"..., 8192) = 8192\n7 write(6</s/log>, \"\"..., 5) = 5")),
        [1]
    );
    let append = open.replace("O_RDWR", "O_WRONLY|O_APPEND");
    assert_eq!(pages(&format!("{append}7 write(6</s/log>, \"\"..., 5) = 5")), [1, 2]);
    let write = "7 write(6</s/log>, \"\"..., 5 <unfinished ...>\n8 fsync(9</s/x>) = 0\n7 <... write resumed>) = 5";
    assert_eq!(pages(&format!("{open}7 lseek(6</s/log>, 8192, SEEK_SET) = 8192\n{write}")), [1]);
}

#[test]
fn pages_follow_their_file_and_end_with_it() {
    let (lost, ..) = lost_after("7 rename(\"/s/log\", \"/s/old\") = 0\n7 link(\"/s/old\", \"/s/older\") = 0");
    assert_eq!(lost.files.keys().collect::<Vec<_>>(), [Path::new("old"), Path::new("older")]);
    assert_eq!(pages("7 rename(\"/s/new\", \"/s/log\") = 0"), [0; 0]);
    assert_eq!(pages("7 renameat2(3</s>, \"log\", 3</s>, \"x\", 0) = 0\n7 unlinkat(3</s>, \"x\", 0) = 0"), [0; 0]);
    assert_eq!(pages("7 openat(AT_FDCWD</>, \"/s/log\", O_WRONLY|O_TRUNC) = 6</s/log>"), [0; 0]);
    assert_eq!(pages("7 ftruncate(5</s/log>, 8192) = 0"), [1]);
    assert_eq!(pages("7 fallocate(5</s/log>, FALLOC_FL_ZERO_RANGE, 4096, 4096) = 0"), [2]);
    assert_eq!(pages("7 fallocate(5</s/log>, FALLOC_FL_KEEP_SIZE, 4096, 4096) = 0"), [1, 2]);
}

#[test]
fn what_no_tracer_sees_is_said() {
    let (lost, ..) = lost_after("7 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 5</s/log>, 0) = 0x7f0000");
    assert!(lost.blind().is_some());
    assert_eq!(lost_after("7 mmap(NULL, 4096, PROT_READ, MAP_SHARED, 5</s/log>, 0) = 0x7f0000").0.blind(), None);
}
