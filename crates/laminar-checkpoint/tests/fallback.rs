//! A newest checkpoint that is not whole: each file of it removed, cut, zeroed, replaced. An older one is opened, and the
//! reason is told. And what is not ours, or not of our time, is refused.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failing test says where"
)]

#[path = "support/scratch.rs"]
mod scratch;

use std::path::{Path, PathBuf};

use laminar_checkpoint::{
    Checkpoint, CheckpointManager, CheckpointOptions, Create, Error, Opened, Part, Reason, Verify,
};
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use laminar_vfs::{Op, OpenMode};
use scratch::{Map, Scratch, all, contents, numbered};

const DIR: &str = "checkpoints";

fn manager(disk: &SimDisk) -> CheckpointManager {
    CheckpointManager::open(DIR, CheckpointOptions::new().env(disk.env()).hash_seed(7).lineage(5)).unwrap()
}

/// Two checkpoints that share no file, and what each holds.
fn prepared() -> (SimDisk, Map, Map) {
    let disk = SimDisk::new(3);
    let manager = manager(&disk);
    let (older, newer) = (numbered(40, 2, 10), numbered(40, 3, 11));
    manager.create(Create::new(10).entries(all(&older))).unwrap();
    manager.create(Create::new(20).entries(all(&newer)).section("s", &vec![1u64; 20])).unwrap();
    (disk, older, newer)
}

fn newest_files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.to_string_lossy().contains("00000002/")).collect()
}

/// The newest valid checkpoint is either the newest, whole, or the older one and a reason; returns the reason.
fn check(disk: &SimDisk, models: (&Map, &Map), what: &str) -> Option<Error> {
    let Opened { checkpoint, mut passed_over, healed, .. } = manager(disk).open_newest_valid().unwrap();
    let checkpoint = checkpoint.unwrap_or_else(|| panic!("{what}: {passed_over:?}"));
    if passed_over.is_empty() {
        assert_eq!((checkpoint.id(), &contents(&checkpoint).unwrap()), (2, models.1), "{what}");
        assert_eq!(checkpoint.section::<Vec<u64>>("s").unwrap().len(), 20, "{what}");
        return None;
    }
    assert_eq!((checkpoint.id(), &contents(&checkpoint).unwrap()), (1, models.0), "{what}");
    assert!(healed.is_empty(), "{what}");
    let passed = passed_over.remove(0);
    assert_eq!(passed.id, 2);
    assert!(passed.path.ends_with("checkpoint-00000000000000000002"), "{what}");
    assert!(passed.reason.to_string().contains("checkpoint-00000000000000000002"), "{what}: {}", passed.reason);
    Some(passed.reason)
}

#[test]
fn any_one_file_removed_or_replaced() {
    let (disk, older, newer) = prepared();
    let files = newest_files(&disk);
    assert_eq!(files.len(), 3);
    for path in files {
        let what = path.display().to_string();
        let removed = disk.fork();
        removed.remove(&path).unwrap();
        let reason = check(&removed, (&older, &newer), &what).unwrap();
        assert!(matches!(&reason, Error::Missing { path: at } if at.file_name() == path.file_name()), "{reason}");
        assert!(manager(&removed).latest_checkpoint().is_err(), "the latest one is not valid, and that is said");

        let replaced = disk.fork();
        replaced.replace_with_dir(&path).unwrap();
        assert!(check(&replaced, (&older, &newer), &what).is_some());

        let zeroed = disk.fork();
        let len = zeroed.read_file(&path).unwrap().len();
        zeroed.write_file(&path, &vec![0; len]).unwrap();
        let reason = check(&zeroed, (&older, &newer), &what).unwrap();
        assert!(matches!(reason, Error::Corrupt { .. } | Error::Foreign { .. }), "{reason}");

        let other = disk.fork();
        other.write_file(&path, b"not a file of ours").unwrap();
        assert!(check(&other, (&older, &newer), &what).is_some());
    }
    let no_dir = disk.fork();
    no_dir.remove(Path::new(DIR).join("checkpoint-00000000000000000002")).unwrap();
    no_dir.write_file(Path::new(DIR).join("checkpoint-00000000000000000002"), b"file").unwrap();
    assert!(matches!(check(&no_dir, (&older, &newer), "a file as directory"), Some(Error::Foreign { .. })));
}

#[test]
#[cfg(unix)]
fn a_symbolic_link_that_leads_nowhere_is_passed_over() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    drop(manager.create(Create::new(1).entries([("a", Some("1"))])).unwrap());
    let link = scratch.path.join(format!("checkpoint-{:020}", 2));
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    let opened = manager.open_newest_valid().unwrap();
    assert_eq!(opened.checkpoint.unwrap().id(), 1);
    assert!(matches!(&opened.passed_over[0].reason, Error::Missing { path } if path.starts_with(&link)));
    assert!(matches!(manager.latest_checkpoint(), Err(Error::Missing { .. })));
    assert!(matches!(manager.get(2), Err(Error::Missing { .. })));
    assert!(matches!(manager.verify(2, &mut |_| {}), Err(Error::Missing { .. })));
    assert!(matches!(manager.get(3), Err(Error::NotFound { .. })));
    assert!(matches!(manager.verify(3, &mut |_| {}), Err(Error::NotFound { .. })));
}

#[test]
fn any_one_file_cut_at_every_length() {
    let (disk, older, newer) = prepared();
    for path in newest_files(&disk) {
        let len = disk.read_file(&path).unwrap().len() as u64;
        let is_manifest = path.ends_with("MANIFEST");
        for cut in 0..len {
            // Every length near a boundary, and of the rest every seventh.
            if cut % 512 > 70 && cut % 7 > 0 {
                continue;
            }
            let disk = disk.fork();
            disk.truncate(&path, cut).unwrap();
            let reason = check(&disk, (&older, &newer), &format!("{} cut to {cut}", path.display()));
            // The first copy of a MANIFEST is enough; every other file must have its length.
            let healed = is_manifest && cut >= len / 2;
            assert_eq!(reason.is_none(), healed, "{} cut to {cut}: {reason:?}", path.display());
        }
        let longer = disk.fork();
        longer.truncate(&path, len + 1).unwrap();
        assert_eq!(check(&longer, (&older, &newer), "longer").is_none(), is_manifest);
    }
}

#[test]
fn both_copies_of_what_is_stored_twice() {
    let (disk, older, newer) = prepared();
    for path in newest_files(&disk) {
        let disk = disk.fork();
        let bytes = disk.read_file(&path).unwrap();
        let (first, second) = match path.to_string_lossy() {
            name if name.ends_with("MANIFEST") => (0, bytes.len() / 2),
            name if name.ends_with(".run") => (bytes.len() - 8192, bytes.len() - 4096),
            _ => (0, bytes.len() - 4096),
        };
        for at in [first, second] {
            disk.overwrite(&path, at as u64 + 20, &[0xaa; 100]).unwrap();
        }
        let reason = check(&disk, (&older, &newer), &path.display().to_string()).unwrap();
        assert!(matches!(reason, Error::Corrupt { reason: Reason::Checksum, .. }), "{reason}");
        // One of the two alone is made good.
        disk.overwrite(&path, first as u64, &bytes[first..first + 4096]).unwrap();
        assert!(check(&disk, (&older, &newer), "the second copy").is_none());
        disk.write_file(&path, &bytes).unwrap();
        disk.overwrite(&path, first as u64 + 20, &[0xaa; 100]).unwrap();
        assert!(check(&disk, (&older, &newer), "the first copy").is_none());
        let healed = manager(&disk).open_newest_valid().unwrap().healed;
        assert!(matches!(healed[0].part, Part::Manifest | Part::RunFooter | Part::SectionHeader), "{healed:?}");
    }
}

#[test]
fn blocks_lost_for_good_are_passed_over_where_every_byte_is_checked() {
    let (disk, older, _) = prepared();
    let run = newest_files(&disk).into_iter().find(|path| path.to_string_lossy().ends_with(".run")).unwrap();
    // Two neighbours can be rebuilt, three can't.
    disk.overwrite(&run, 4096, &[1; 3 * 4096]).unwrap();
    let newest = manager(&disk).open_newest_valid().unwrap().checkpoint.unwrap();
    assert_eq!(newest.id(), 2, "headers and footers are whole");
    assert!(contents(&newest).is_err());
    let options = CheckpointOptions::new().env(disk.env()).verify(Verify::All);
    let opened = CheckpointManager::open(DIR, options).unwrap().open_newest_valid().unwrap();
    assert!(matches!(opened.passed_over[0].reason, Error::Corrupt { reason: Reason::Block, block: Some(_), .. }));
    assert_eq!(contents(&opened.checkpoint.unwrap()).unwrap(), older);
}

#[test]
fn nothing_valid_is_nothing_and_says_why() {
    let (disk, _, _) = prepared();
    for path in disk.files().into_iter().filter(|path| path.ends_with("MANIFEST")) {
        disk.remove(path).unwrap();
    }
    let opened = manager(&disk).open_newest_valid().unwrap();
    assert!(opened.checkpoint.is_none());
    let ids: Vec<u64> = opened.passed_over.iter().map(|passed| passed.id).collect();
    assert_eq!(ids, [2, 1]);
    let empty = CheckpointManager::open("empty", CheckpointOptions::new().env(disk.env())).unwrap();
    assert!(empty.open_newest_valid().unwrap().checkpoint.is_none());
    assert!(empty.latest_checkpoint().unwrap().is_none());
}

#[test]
fn what_says_nothing_about_the_checkpoint_is_an_error() {
    let (disk, older, newer) = prepared();
    disk.fail(Fault::new(FaultKind::Denied).on(Op::Open).path(|path| path.ends_with("MANIFEST")));
    assert!(matches!(manager(&disk).open_newest_valid(), Err(Error::Io(error)) if error.op() == Op::Open));
    disk.fail(Fault::new(FaultKind::Io).on(Op::Read).path(|path| path.ends_with("MANIFEST")).sticky());
    assert!(manager(&disk).open_newest_valid().unwrap().checkpoint.is_none());
    disk.clear_faults();
    assert!(check(&disk, (&older, &newer), "readable again").is_none());
}

#[test]
fn another_lineage_is_foreign() {
    let (disk, _, newer) = prepared();
    let options = |lineage| CheckpointOptions::new().env(disk.env()).lineage(lineage);
    let dir = manager(&disk).get(2).unwrap().state_path().to_owned();
    let error = Checkpoint::open(&dir, &options(6)).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!(Checkpoint::open(&dir, &options(5)).unwrap().lineage(), 5);
    let copied = Path::new("backup");
    let vfs = disk.env().vfs;
    vfs.create_dir(copied).unwrap();
    for path in newest_files(&disk) {
        disk.write_file(copied.join(path.file_name().unwrap()), &disk.read_file(&path).unwrap()).unwrap();
    }
    let copy = Checkpoint::open(copied, &options(0)).unwrap();
    assert_eq!(contents(&copy).unwrap(), newer, "a copied directory is a backup");
}

#[test]
fn a_directory_that_is_no_directory() {
    let scratch = Scratch::new();
    scratch.put(&scratch.path, b"a file");
    let error = CheckpointManager::open(&scratch.path, scratch.options()).unwrap_err();
    assert!(matches!(&error, Error::Io(error) if error.op() == Op::CreateDir), "{error}");
    assert_eq!(scratch.read(&scratch.path), b"a file");
}

#[test]
fn a_real_mapping_stays_readable_when_its_file_is_gone() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let model = numbered(3000, 1, 100);
    let checkpoint = manager.create(Create::new(1).entries(all(&model))).unwrap();
    for name in scratch.names(checkpoint.state_path()) {
        scratch.env.vfs.remove_file(&checkpoint.state_path().join(name)).unwrap();
    }
    assert_eq!(contents(&checkpoint).unwrap(), model);
    assert!(scratch.env.vfs.open(&checkpoint.state_path().join("MANIFEST"), OpenMode::Read).is_err());
}
