//! Damage at rest: every block of a run, every bit of a checkpoint, pages of a section. What is read afterwards is what
//! was written, or the checkpoint before it, or a typed error where more is damaged than parity can rebuild.
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
    Checkpoint, CheckpointManager, CheckpointOptions, Create, Error, Opened, Part, ReadMode, Reason, Verify,
};
use laminar_vfs::Op;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use scratch::{Map, all, contents, key, numbered, value};

const DIR: &str = "checkpoints";
const PAGE: u64 = 4096;

fn options(disk: &SimDisk) -> CheckpointOptions {
    CheckpointOptions::new().env(disk.env()).hash_seed(7)
}

fn manager(disk: &SimDisk) -> CheckpointManager {
    CheckpointManager::open(DIR, options(disk)).unwrap()
}

/// What two checkpoints hold, the older first.
struct Models {
    older: Map,
    newer: Map,
}

/// Two checkpoints that share a run, the newer with a run and a section of its own. With `small`, each chapter has one
/// data block; else several, and all kinds of index blocks.
fn prepared(small: bool) -> (SimDisk, Models) {
    let disk = SimDisk::new(3);
    let manager = manager(&disk);
    let (count, changed) = if small { (12, 6) } else { (400, 200) };
    let older = numbered(count, 2, 70);
    let mut newer = older.clone();
    let mut changes: Vec<_> = all(&numbered(changed, 3, 50));
    newer.extend(numbered(changed, 3, 50));
    changes.push((key(9_000_000), None));
    let first = manager.create(Create::new(10).entries(all(&older))).unwrap();
    let section = vec![5u64; if small { 3 } else { 5000 }];
    let create = Create::new(20).base(&first).merge(false).entries(changes).section("numbers", &section);
    let second = manager.create(create).unwrap();
    assert_eq!(second.runs().len(), 2);
    (disk, Models { older, newer })
}

fn newest_files(disk: &SimDisk) -> Vec<PathBuf> {
    let files = disk.files().into_iter().filter(|path| path.to_string_lossy().contains("00000002/"));
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 4, "{files:?}");
    files
}

/// Opens the newest valid checkpoint and compares all that it holds. Damage in one place never loses anything.
fn check(disk: &SimDisk, models: &Models, what: &str) -> Opened {
    let opened = manager(disk).open_newest_valid().unwrap_or_else(|error| panic!("{what}: {error}"));
    let checkpoint = opened.checkpoint.as_ref().unwrap_or_else(|| panic!("{what}: {:?}", opened.passed_over));
    let model = if checkpoint.wal_position() == 20 { &models.newer } else { &models.older };
    assert_eq!(opened.passed_over.len(), usize::from(checkpoint.wal_position() == 10), "{what}");
    for i in 0..30 {
        let found = checkpoint.get(&key(i)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(found, model.get(&key(i)).map(Vec::as_slice), "{what}");
    }
    let found = contents(checkpoint).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(&found == model, "{what}");
    if checkpoint.wal_position() == 20 {
        let section = checkpoint.section::<Vec<u64>>("numbers").unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(section.iter().all(|number| number.to_native() == 5), "{what}");
    }
    opened
}

#[test]
fn every_damaged_block_is_made_good_and_reported() {
    let (disk, models) = prepared(false);
    for path in newest_files(&disk) {
        let bytes = disk.read_file(&path).unwrap();
        for page in 0..bytes.len() as u64 / PAGE {
            for (how, at) in [("first byte", 0), ("last byte", PAGE - 1), ("middle", 2000), ("whole page", 0)] {
                let damaged = disk.fork();
                let offset = page * PAGE + at;
                if how == "whole page" {
                    damaged.overwrite(&path, offset, &[0x5a; PAGE as usize]).unwrap();
                } else {
                    damaged.flip_bit(&path, offset * 8 + 3).unwrap();
                }
                let what = format!("{how} of page {page} of {}", path.display());
                let opened = check(&damaged, &models, &what);
                assert!(opened.passed_over.is_empty(), "{what}: nothing is lost");
                let report = manager(&damaged).verify(2, &mut |_| {}).unwrap();
                assert!(!report.is_whole() && report.is_readable(), "{what}: {report:?}");
                assert!(report.damage.iter().all(|damage| damage.path.ends_with(path.file_name().unwrap())), "{what}");
                assert!(report.damage[0].offset / PAGE <= page, "{what}: {:?}", report.damage);
            }
        }
    }
}

#[test]
fn reading_a_damaged_block_is_reported_once() {
    let (disk, models) = prepared(false);
    let run = newest_files(&disk).into_iter().find(|path| path.to_string_lossy().ends_with("10.run")).unwrap();
    disk.flip_bit(&run, PAGE * 8 + 99).unwrap();
    let newer = manager(&disk).get(2).unwrap();
    assert!(newer.healed().is_empty(), "nothing was read yet");
    assert_eq!(contents(&newer).unwrap(), models.newer);
    assert_eq!(contents(&newer).unwrap(), models.newer);
    let healed = newer.healed();
    assert_eq!(healed.len(), 1);
    assert_eq!((healed[0].part, healed[0].offset, healed[0].bytes), (Part::Block, PAGE, PAGE));
    assert!(healed[0].path.starts_with(newer.state_path()));
}

#[test]
fn no_flipped_bit_of_a_small_checkpoint_loses_anything() {
    let (disk, models) = prepared(true);
    let (mut flipped, mut passed_over) = (0, 0);
    for path in newest_files(&disk) {
        for (at, byte) in disk.read_file(&path).unwrap().into_iter().enumerate() {
            // Of the bytes of padding one bit each will do.
            let bits: Vec<u64> = if byte == 0 {
                vec![at as u64 * 8 + at as u64 % 8]
            } else {
                (0..8).map(|bit| at as u64 * 8 + bit).collect()
            };
            for bit in bits {
                disk.flip_bit(&path, bit).unwrap();
                let opened = check(&disk, &models, &format!("bit {bit} of {}", path.display()));
                disk.flip_bit(&path, bit).unwrap();
                flipped += 1;
                passed_over += opened.passed_over.len();
            }
        }
    }
    assert!(flipped > 70_000, "{flipped}");
    assert_eq!(passed_over, 0, "every single bit is made good");
}

/// Where the blocks of the one chapter of a run with these entries lie: data blocks, then the others.
fn base_run(disk: &SimDisk) -> PathBuf {
    newest_files(disk).into_iter().find(|path| path.to_string_lossy().ends_with("10.run")).unwrap()
}

#[test]
fn two_damaged_blocks_are_an_error_that_names_them_and_nothing_else_is_lost() {
    let (disk, models) = prepared(false);
    let run = base_run(&disk);
    for mode in [ReadMode::Mapped, ReadMode::Owned] {
        let disk = disk.fork();
        disk.flip_bit(&run, PAGE * 3 * 8).unwrap();
        disk.flip_bit(&run, PAGE * 5 * 8).unwrap();
        let manager = CheckpointManager::open(DIR, options(&disk).read_mode(mode)).unwrap();
        let older = manager.get(1).unwrap();
        let (mut lost, mut read) = (0, 0);
        for (key, value) in &models.older {
            match older.get(key) {
                Ok(found) => {
                    assert_eq!(found, Some(value.as_slice()));
                    read += 1;
                }
                Err(Error::Corrupt { path, offset, reason: Reason::Block, block: Some(block), .. }) => {
                    assert!(path.ends_with(run.file_name().unwrap()));
                    assert!(offset == PAGE * 3 || offset == PAGE * 5);
                    assert_eq!((block.run_from, block.run_to, block.bytes, block.kind), (0, 10, PAGE, "data"));
                    assert!(block.first_key <= *key && *key <= block.last_key);
                    assert!(
                        block.last_key < models.older.keys().last().unwrap().clone()
                            && block.first_key > scratch::key(0)
                    );
                    lost += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(lost, 2 * 42, "the entries of two blocks");
        assert_eq!(read + lost, models.older.len());
        // A scan ends there, and can be taken up behind.
        let error = older.range(..).find_map(Result::err).unwrap();
        let Error::Corrupt { block: Some(block), .. } = &error else { panic!("{error}") };
        assert!(older.range(&block.last_key[..]..).next().unwrap().is_ok());
        assert!(error.to_string().contains("a data block of 4096 bytes in run 0-10, keys 0x6b6579"), "{error}");
        // An iteration of the run itself goes on behind each.
        assert_eq!(older.runs()[0].iter().filter(Result::is_err).count(), 2);
        assert_eq!(older.runs()[0].iter().filter(Result::is_ok).count(), read);
        let report = manager.verify(1, &mut |_| {}).unwrap();
        assert_eq!(report.damage.iter().filter(|damage| !damage.is_healed).count(), 2);
        // A checkpoint can be made upon it all the same; that the merge which was due failed is said.
        let base = manager.get(2).unwrap();
        let next = manager.create(Create::new(30).base(&base).entries([(key(1), Some(vec![1]))])).unwrap();
        assert!(next.stats().merge_failed && next.stats().merged == 0);
        assert_eq!((next.runs().len(), next.get(&key(1)).unwrap()), (3, Some(&[1][..])));
        // Nothing comes out of a merge of what is lost.
        let merged = manager.merge(manager.plan_full_merge(&manager.get(2).unwrap()).unwrap(), Box::new(|_| true));
        assert!(matches!(merged.unwrap().finish(), Err(Error::Corrupt { .. })));
    }
}

#[test]
fn a_checkpoint_that_is_to_be_read_whole_is_not_opened_with_damage_beyond_parity() {
    let (disk, _) = prepared(false);
    let run = base_run(&disk);
    let open =
        |verify| Checkpoint::open(manager(&disk).list().unwrap()[1].path.as_path(), &options(&disk).verify(verify));
    disk.overwrite(&run, PAGE, &[0x5a; PAGE as usize]).unwrap();
    open(Verify::All).unwrap();
    disk.overwrite(&run, PAGE, &[0x5a; 3 * PAGE as usize]).unwrap();
    open(Verify::Footers).unwrap();
    let error = open(Verify::All).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path, .. } if path.file_name() == run.file_name()), "{error}");
}

#[test]
fn a_lost_index_is_done_without() {
    let (disk, models) = prepared(false);
    // Every pair of blocks of the chapter of the newer run: whatever is left of the index, entries of whole blocks
    // are found, and none is wrong.
    let run = newest_files(&disk).into_iter().find(|path| path.to_string_lossy().ends_with("20.run")).unwrap();
    let pages = disk.read_file(&run).unwrap().len() as u64 / PAGE;
    for one in 1..pages - 2 {
        for other in one + 1..pages - 2 {
            let disk = disk.fork();
            disk.flip_bit(&run, one * PAGE * 8 + 77).unwrap();
            disk.flip_bit(&run, other * PAGE * 8 + 78).unwrap();
            let newer = manager(&disk).get(2).unwrap();
            let mut errors = 0;
            for i in 0..1300 {
                match newer.get(&key(i)) {
                    Ok(found) => assert_eq!(found, models.newer.get(&key(i)).map(Vec::as_slice), "{one} {other} {i}"),
                    Err(Error::Corrupt { reason: Reason::Block, .. }) => errors += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            let data_blocks = [one, other].into_iter().filter(|page| *page <= 5).count();
            assert!(errors <= data_blocks * 140, "{one} {other}: {errors}");
            match contents(&newer) {
                Ok(found) => assert!(found == models.newer, "{one} {other}"),
                Err(Error::Corrupt { reason: Reason::Block, .. }) => {
                    assert!(data_blocks > 0 && other > one + 1, "{one} {other}: a scan ends");
                }
                Err(error) => panic!("{one} {other}: {error}"),
            }
        }
    }
}

#[test]
fn a_block_that_the_disk_cannot_read_is_made_good() {
    let (disk, models) = prepared(false);
    let pages = disk.read_file(base_run(&disk)).unwrap().len() as u64 / PAGE;
    let on_run = |path: &Path| path.to_string_lossy().ends_with("10.run");
    for mode in [ReadMode::Mapped, ReadMode::Owned] {
        let open =
            |disk: &SimDisk| CheckpointManager::open(DIR, options(disk).read_mode(mode)).unwrap().get(1).unwrap();
        for page in 0..pages {
            let disk = disk.fork();
            let bad = page * PAGE + 100..page * PAGE + 101;
            disk.fail(Fault::new(FaultKind::Io).on(Op::Read).path(on_run).bytes(bad).sticky());
            let older = open(&disk);
            assert_eq!(contents(&older).unwrap(), models.older, "page {page}");
            for (key, value) in &models.older {
                assert_eq!(older.get(key).unwrap(), Some(value.as_slice()), "page {page}");
            }
            assert!(older.healed_count() <= 1 && (older.healed_count() == 1 || page + 5 >= pages), "page {page}");
        }
        let disk = disk.fork();
        disk.fail(Fault::new(FaultKind::Io).on(Op::Read).path(on_run).bytes(2 * PAGE..5 * PAGE).sticky());
        assert!(matches!(contents(&open(&disk)), Err(Error::Io(error)) if error.op() == Op::Read), "{mode:?}");
    }
}

#[test]
fn every_chapter_heals_for_itself_and_once_for_all_threads() {
    let disk = SimDisk::new(8);
    let model = numbered(70_000, 1, 8);
    manager(&disk).create(Create::new(1).entries(all(&model))).unwrap();
    let run = disk.files().into_iter().find(|path| path.to_string_lossy().ends_with(".run")).unwrap();
    let len = disk.read_file(&run).unwrap().len() as u64;
    // A block in the first chapter and one in the second, which is the shorter one at the end.
    for offset in [PAGE * 100, len - PAGE * 20] {
        disk.overwrite(&run, offset + 7, &[0xff; 3000]).unwrap();
    }
    let checkpoint = manager(&disk).get(1).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(contents(&checkpoint).unwrap() == model));
        }
    });
    assert_eq!(checkpoint.healed_count(), 2);
    assert!(manager(&disk).verify(1, &mut |_| {}).unwrap().is_readable());
}

#[test]
fn misplaced_and_stale_blocks_are_noticed() {
    let (disk, models) = prepared(false);
    let run = base_run(&disk);
    let bytes = disk.read_file(&run).unwrap();
    let pages = bytes.len() / PAGE as usize;
    let page = |at: usize| &bytes[at * PAGE as usize..(at + 1) * PAGE as usize];
    // The same entries written again: the same bytes but for the id of the run.
    let again = SimDisk::new(4);
    manager(&again).create(Create::new(10).entries(all(&models.older))).unwrap();
    let stale = again
        .read_file(again.files().into_iter().find(|path| path.to_string_lossy().ends_with(".run")).unwrap())
        .unwrap();
    assert_eq!(stale.len(), bytes.len());
    let replace = |at: usize, other: &[u8]| {
        let disk = disk.fork();
        disk.overwrite(&run, at as u64 * PAGE, other).unwrap();
        assert!(check(&disk, &models, &format!("page {at}")).passed_over.is_empty());
        manager(&disk).verify(2, &mut |_| {}).unwrap()
    };
    let of_stale = |at: usize| &stale[at * PAGE as usize..(at + 1) * PAGE as usize];
    for at in 1..pages - 2 {
        let neighbour = if at + 1 < pages - 2 { at + 1 } else { 1 };
        for other in [page(neighbour), of_stale(at), &[0; PAGE as usize]] {
            assert!(!replace(at, other).is_whole(), "page {at}");
        }
    }
    // The header, and either copy of the footer: each is whole, and of another run.
    for (at, part) in [(0, Part::RunHeader), (pages - 2, Part::RunFooter), (pages - 1, Part::RunFooter)] {
        let report = replace(at, of_stale(at));
        let damage: Vec<_> = report.damage.iter().map(|damage| (damage.part, damage.offset)).collect();
        assert_eq!(damage, [(part, at as u64 * PAGE)]);
        assert!(report.is_readable());
    }
}

#[test]
fn wide_blocks_are_made_good_too() {
    let disk = SimDisk::new(5);
    let model: Map = (0..12).map(|i| (key(i), value(i, if i % 4 == 1 { 30_000 } else { 600 }))).collect();
    manager(&disk).create(Create::new(1).entries(all(&model))).unwrap();
    let run = disk.files().into_iter().find(|path| path.to_string_lossy().ends_with(".run")).unwrap();
    let pages = disk.read_file(&run).unwrap().len() as u64 / PAGE;
    for page in 0..pages {
        for verify in [Verify::Footers, Verify::All] {
            let disk = disk.fork();
            disk.overwrite(&run, page * PAGE + 1000, &[0xee; 2000]).unwrap();
            let manager = CheckpointManager::open(DIR, options(&disk).verify(verify)).unwrap();
            let opened = manager.open_newest_valid().unwrap();
            let checkpoint = opened.checkpoint.unwrap();
            assert_eq!(contents(&checkpoint).unwrap(), model, "page {page}");
            for (key, value) in &model {
                assert_eq!(checkpoint.get(key).unwrap(), Some(value.as_slice()));
            }
        }
    }
}

#[test]
fn a_section_heals_one_page_in_each_group() {
    let disk = SimDisk::new(6);
    // 300 pages, with the eight bytes of the root: two groups, the even pages and the odd. Behind them two of parity, the table, the header.
    let numbers: Vec<u64> = (0..300 * 512 - 1).collect();
    manager(&disk).create(Create::new(0).section("numbers", &numbers)).unwrap();
    let path = disk.files().into_iter().find(|path| path.to_string_lossy().ends_with(".section")).unwrap();
    let whole = |checkpoint: &Checkpoint| {
        let section = checkpoint.section::<Vec<u64>>("numbers")?;
        assert!(section.len() == numbers.len() && section.iter().zip(&numbers).all(|(a, b)| a.to_native() == *b));
        Ok::<_, Error>(())
    };
    for (pages, healed) in [
        (vec![1], 1),
        (vec![7, 290], 2),
        (vec![1, 2], 2),
        (vec![300, 301], 2),
        (vec![300], 1),
        (vec![1, 302], 2),
        (vec![302], 0),
        (vec![0], 1),
        (vec![303], 0),
        (vec![304], 0),
    ] {
        let disk = disk.fork();
        for page in &pages {
            disk.flip_bit(&path, page * PAGE * 8 + 5).unwrap();
        }
        let checkpoint = manager(&disk).get(1).unwrap();
        whole(&checkpoint).unwrap_or_else(|error| panic!("{pages:?}: {error}"));
        whole(&checkpoint).unwrap();
        assert_eq!(checkpoint.healed_count(), healed, "{pages:?}");
        let report = manager(&disk).verify(1, &mut |_| {}).unwrap();
        assert!(!report.is_whole() && report.is_readable(), "{pages:?}");
    }
    for pages in [[1, 3], [7, 301], [1, 303]] {
        let disk = disk.fork();
        for page in pages {
            disk.flip_bit(&path, page * PAGE * 8 + 5).unwrap();
        }
        let checkpoint = manager(&disk).get(1).unwrap();
        assert!(matches!(whole(&checkpoint), Err(Error::Corrupt { reason: Reason::Checksum, .. })), "{pages:?}");
        assert!(!manager(&disk).verify(1, &mut |_| {}).unwrap().is_readable());
    }
}

#[test]
fn a_section_does_without_what_the_disk_cannot_read() {
    let disk = SimDisk::new(6);
    let numbers: Vec<u64> = (0..20 * 512).collect();
    manager(&disk).create(Create::new(0).section("numbers", &numbers)).unwrap();
    let path = disk.files().into_iter().find(|path| path.to_string_lossy().ends_with(".section")).unwrap();
    let pages = disk.read_file(&path).unwrap().len() as u64 / PAGE;
    let on_section = |path: &Path| path.to_string_lossy().ends_with(".section");
    for mode in [ReadMode::Mapped, ReadMode::Owned] {
        for page in 0..pages {
            let disk = disk.fork();
            let bad = page * PAGE + 100..page * PAGE + 101;
            disk.fail(Fault::new(FaultKind::Io).on(Op::Read).path(on_section).bytes(bad.clone()).sticky());
            if mode == ReadMode::Owned {
                // A file that is read whole fails by one page of it.
                disk.fail(Fault::new(FaultKind::Io).on(Op::Map).path(on_section).bytes(bad).sticky());
            }
            let manager = CheckpointManager::open(DIR, options(&disk).read_mode(mode)).unwrap();
            let checkpoint = manager.get(1).unwrap();
            let section = checkpoint.section::<Vec<u64>>("numbers").unwrap_or_else(|error| panic!("{page}: {error}"));
            assert!(section.iter().zip(&numbers).all(|(a, b)| a.to_native() == *b));
            let report = manager.verify(1, &mut |_| {}).unwrap();
            assert!(!report.is_whole() && report.is_readable(), "{mode:?}, page {page}: {report:?}");
        }
    }
}

#[test]
fn a_section_in_memory_is_what_was_checked() {
    let disk = SimDisk::new(6);
    manager(&disk).create(Create::new(0).section("numbers", &vec![5u64; 2000])).unwrap();
    let checkpoint = CheckpointManager::open(DIR, options(&disk).read_mode(ReadMode::Owned)).unwrap().get(1).unwrap();
    // One read is all: a second one could find something else.
    let is_section = |path: &Path| path.to_string_lossy().ends_with(".section");
    disk.fail(Fault::new(FaultKind::Io).on(Op::Read).path(is_section).after(1).sticky());
    disk.fail(Fault::new(FaultKind::Io).on(Op::Map).path(is_section).sticky());
    assert_eq!(checkpoint.section::<Vec<u64>>("numbers").unwrap().len(), 2000);
    assert_eq!(disk.faults_struck(), 0);
}

#[test]
fn two_neighbours_that_are_damaged_are_made_good() {
    let (disk, models) = prepared(false);
    for path in newest_files(&disk) {
        let pages = disk.read_file(&path).unwrap().len() as u64 / PAGE;
        for page in 1..pages {
            for verify in [Verify::Footers, Verify::All] {
                let disk = disk.fork();
                let sector = page * PAGE / 512;
                disk.swap_sectors(&path, sector - 1, sector).unwrap();
                let manager = CheckpointManager::open(DIR, options(&disk).verify(verify)).unwrap();
                let opened = manager.open_newest_valid().unwrap();
                let what = format!("sector {sector} of {}, {verify:?}", path.display());
                assert!(opened.passed_over.is_empty(), "{what}: {:?}", opened.passed_over);
                check(&disk, &models, &what);
            }
        }
    }
}
