//! What is kept and what goes: retention, handles in use, strays, files that are not ours, shared runs, and how often
//! merging writes a byte again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failing test says where"
)]

#[path = "support/scratch.rs"]
mod scratch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions, Create, Error, Meta, Verify};
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use laminar_vfs::{DirEntry, Kind, Lock, Op, OpenMode, Result, Vfs, VfsFile};
use scratch::{Map, Scratch, all, contents, key, numbered, value};

const DIR: &str = "checkpoints";

fn on(disk: &SimDisk) -> CheckpointManager {
    CheckpointManager::open(DIR, CheckpointOptions::new().env(disk.env()).hash_seed(7)).unwrap()
}

fn ids(manager: &CheckpointManager) -> Vec<u64> {
    manager.list().unwrap().iter().map(|info| info.id).collect()
}

/// So many checkpoints, each with one run more; only the newest is in use.
fn chain(manager: &CheckpointManager, count: u64) -> Checkpoint {
    let mut newest: Option<Checkpoint> = None;
    for at in 1..=count {
        let mut create = Create::new(at).merge(false).entries([(key(at), Some(value(at, 30)))]);
        if let Some(base) = &newest {
            create = create.base(base);
        }
        newest = Some(manager.create(create).unwrap());
    }
    newest.unwrap()
}

#[test]
fn the_newest_are_kept_and_links_keep_their_runs() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let newest = chain(&manager, 6);
    let expected = contents(&newest).unwrap();
    drop(newest);
    let all_bytes = disk.used_bytes();
    assert!(matches!(manager.cleanup_old(0), Err(Error::InvalidOption { name: "keep", .. })));
    assert_eq!(manager.cleanup_old(9).unwrap().removed, [0; 0]);
    let cleanup = manager.cleanup_old(2).unwrap();
    assert_eq!((cleanup.removed, cleanup.kept_in_use, cleanup.strays), (vec![1, 2, 3, 4], vec![], 0));
    assert_eq!(ids(&manager), [5, 6]);
    assert_eq!(cleanup.bytes, all_bytes - disk.used_bytes(), "only what nobody shares is freed");
    let newest = manager.latest_checkpoint().unwrap().unwrap();
    assert_eq!(contents(&newest).unwrap(), expected);
    assert_eq!(newest.runs().len(), 6);
    // A run that was first opened through a checkpoint that is gone can still be linked.
    let next = manager.create(Create::new(7).base(&newest).merge(false).entries([("x", Some("y"))])).unwrap();
    assert_eq!((next.stats().linked, next.id()), (6, 7));
    drop((newest, next));
    assert_eq!(manager.cleanup_old(1).unwrap().removed, [5, 6]);
    assert_eq!(manager.latest_checkpoint().unwrap().unwrap().len().unwrap(), 7);
}

#[test]
fn what_a_handle_uses_stays() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    drop(chain(&manager, 4));
    let old = manager.get(2).unwrap();
    let again = old.clone();
    drop(old);
    let cleanup = manager.cleanup_old(1).unwrap();
    assert_eq!((cleanup.removed, cleanup.kept_in_use), (vec![1, 3], vec![2]));
    assert_eq!(contents(&again).unwrap().len(), 2);
    drop(again);
    assert_eq!(manager.cleanup_old(1).unwrap().removed, [2]);
    assert_eq!(ids(&manager), [4]);
}

#[test]
fn damage_is_told_of_a_file_that_is_there() {
    for damaged in [1, 3] {
        let disk = SimDisk::new(1);
        let manager = on(&disk);
        let first = manager.create(Create::new(1).entries(all(&numbered(400, 2, 70)))).unwrap();
        let change = [(key(1), Some(value(1, 30)))];
        let second = manager.create(Create::new(2).base(&first).merge(false).entries(change.clone())).unwrap();
        let third = manager.create(Create::new(3).base(&second).merge(false).entries(change)).unwrap();
        // The run was opened by the name in the first, and that in the third is the last it was given.
        drop((first, third));
        assert_eq!(manager.cleanup_old(1).unwrap().removed, [1]);
        manager.create(Create::new(4)).unwrap();
        assert_eq!(manager.cleanup_old(1).unwrap().removed, [3]);
        let run = second.runs()[0].path().to_owned();
        disk.overwrite(&run, 4096, &vec![0x5a; damaged * 4096]).unwrap();
        let error = second.range(..).find_map(std::result::Result::err);
        if damaged == 1 {
            assert!(error.is_none() && second.healed()[0].path == run, "{error:?}");
        } else {
            assert!(matches!(&error, Some(Error::Corrupt { path, .. }) if *path == run), "{error:?}");
        }
    }
}

#[test]
fn damaged_checkpoints_do_not_count_as_kept() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    drop(chain(&manager, 5));
    for id in [5, 3] {
        disk.remove(format!("{DIR}/checkpoint-{id:020}/MANIFEST")).unwrap();
    }
    let cleanup = manager.cleanup_old(2).unwrap();
    assert_eq!(cleanup.removed, [1], "2 and 4 are valid");
    assert_eq!(ids(&manager), [2, 3, 4, 5], "what is not valid waits for newer ones that are");
    let base = manager.get(4).unwrap();
    let next = manager.create(Create::new(9).base(&base)).unwrap();
    assert_eq!(next.id(), 6, "above every id that was ever seen");
    drop((base, next));
    assert_eq!(manager.cleanup_old(1).unwrap().removed, [2, 3, 4, 5]);
}

#[test]
fn what_an_opening_passed_over_does_not_count_as_kept() {
    let disk = SimDisk::new(1);
    let options = CheckpointOptions::new().env(disk.env()).hash_seed(7).verify(Verify::All);
    let base = on(&disk).create(Create::new(1).entries([(key(1), Some(value(1, 30)))])).unwrap();
    // Each has a run of its own: damage to one is no damage to the others.
    let many = || numbered(400, 2, 70);
    on(&disk).create(Create::new(2).base(&base).merge(false).entries(all(&many()))).unwrap();
    let ruined = format!("{DIR}/checkpoint-{:020}/{:020}-{:020}.run", 2, 1, 2);
    disk.overwrite(&ruined, 4096, &[0x5a; 3 * 4096]).unwrap();
    drop(base);

    let manager = CheckpointManager::open(DIR, options).unwrap();
    let opened = manager.open_newest_valid().unwrap();
    assert_eq!((opened.checkpoint.as_ref().map(Checkpoint::id), opened.passed_over.len()), (Some(1), 1));
    assert!(manager.is_condemned(2) && !manager.is_condemned(1));
    let next = Create::new(3).base(opened.checkpoint.as_ref().unwrap()).merge(false);
    let newest = manager.create(next.entries(all(&many()))).unwrap();
    assert_eq!(newest.id(), 3);
    drop((opened, newest));
    assert_eq!(manager.cleanup_old(2).unwrap().removed, [0; 0], "1 and 3 are valid");
    assert_eq!(ids(&manager), [1, 2, 3]);
    assert_eq!(manager.cleanup_old(1).unwrap().removed, [1, 2]);

    // What could not be read once is valid again when it can be.
    disk.fail(Fault::new(FaultKind::Io).on(Op::Open).path(|path| path.ends_with("MANIFEST")).sticky());
    assert!(manager.open_newest_valid().unwrap().checkpoint.is_none() && manager.is_condemned(3));
    disk.clear_faults();
    assert!(manager.open_newest_valid().unwrap().checkpoint.is_some() && !manager.is_condemned(3));
}

#[test]
fn an_unreadable_disk_removes_nothing() {
    let disk = SimDisk::new(1);
    drop(chain(&on(&disk), 4));
    for op in [Op::Open, Op::Read, Op::Len, Op::List, Op::Map] {
        let calls = 20;
        let mut refused = 0;
        for call in 0..calls {
            let disk = disk.fork();
            let manager = on(&disk);
            disk.fail(Fault::new(FaultKind::Io).on(op).after(call));
            let result = manager.cleanup_old(1);
            let struck = disk.faults_struck() > 0;
            disk.clear_faults();
            assert!(result.is_ok() || struck, "{op:?} {call}");
            let left = ids(&manager);
            assert!(left == [1, 2, 3, 4] || left == [4], "{op:?} {call}: {left:?}");
            assert!(result.is_err() || left == [4], "{op:?} {call}: {left:?}");
            refused += u64::from(left != [4]);
            assert_eq!(contents(&manager.latest_checkpoint().unwrap().unwrap()).unwrap().len(), 4);
        }
        // What is read once in vain is had from its copy.
        assert!(refused > 0 || op == Op::Read, "no error of {op:?} kept a checkpoint");
    }
}

#[test]
fn strays_go_and_foreign_files_stay() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    drop(chain(&manager, 2));
    let vfs = disk.env().vfs;
    let strays = ["checkpoint-00000000000000000009.tmp", "removed-00000000000000000001.tmp"];
    for dir in strays {
        vfs.create_dir(format!("{DIR}/{dir}").as_ref()).unwrap();
        disk.write_file(format!("{DIR}/{dir}/MANIFEST"), b"x").unwrap();
        vfs.create_dir(format!("{DIR}/{dir}/deeper").as_ref()).unwrap();
    }
    disk.write_file(format!("{DIR}/merge-00000000000000000000-00000000000000000002.run.tmp"), b"x").unwrap();
    let foreign =
        ["notes.txt", "notes.tmp", "checkpoint-7", "checkpoint-00000000000000000009.bak", "merge-0-1.run.tmp"];
    for name in foreign {
        disk.write_file(format!("{DIR}/{name}"), b"mine").unwrap();
    }
    assert_eq!(manager.cleanup_old(2).unwrap().strays, 3);
    assert_eq!(manager.sweep().unwrap(), 0);
    let names: Vec<_> =
        vfs.list(DIR.as_ref()).unwrap().into_iter().map(|entry| entry.name.into_string().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| foreign.contains(&name.as_str())).count(), foreign.len());
    assert_eq!(names.len(), foreign.len() + 3, "two checkpoints and the lock: {names:?}");
}

#[test]
fn what_is_being_written_is_no_stray() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let newest = chain(&manager, 3);
    let mut draft = manager.draft().unwrap();
    let mut writer = draft.run_writer(3, 4, true).unwrap();
    writer.push(b"k", Some(b"v")).unwrap();
    let mut job = manager.merge(manager.plan_full_merge(&newest).unwrap(), Box::new(|_| true)).unwrap();
    assert_eq!(manager.cleanup_old(1).unwrap().strays, 0);
    let plan = manager.plan_full_merge(&newest).unwrap();
    assert!(matches!(manager.merge(plan, Box::new(|_| true)), Err(Error::InvalidOption { name: "plan", .. })));
    while !job.step().unwrap() {}
    let merged = job.finish().unwrap();
    assert_eq!((merged.from(), merged.to(), merged.inputs()), (0, 3, 3));
    assert!(merged.replaces(&newest));
    assert_eq!(manager.sweep().unwrap(), 0);
    draft.adopt(merged).unwrap();
    draft.add_run(writer.finish().unwrap()).unwrap();
    let checkpoint = draft.publish(Meta::new(4)).unwrap();
    assert_eq!((checkpoint.runs().len(), checkpoint.len().unwrap()), (2, 4));
}

#[test]
fn what_is_dropped_leaves_nothing() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let newest = chain(&manager, 3);
    let before = disk.files();
    drop(manager.draft().unwrap());
    let mut draft = manager.draft().unwrap();
    draft.link_run(&newest.runs()[0]).unwrap();
    draft.section("s", &1u8).unwrap();
    let mut writer = draft.run_writer(1, 2, true).unwrap();
    writer.push(b"k", None).unwrap();
    drop(draft);
    assert!(writer.finish().is_err() || disk.files() == before, "its directory is gone");
    let plan = || manager.plan_full_merge(&newest).unwrap();
    drop(manager.merge(plan(), Box::new(|_| true)).unwrap());
    drop(manager.merge(plan(), Box::new(|_| true)).unwrap().finish().unwrap());
    assert_eq!(disk.files(), before);
}

#[test]
#[cfg(unix)]
fn a_symbolic_link_of_our_name_goes_and_what_it_leads_to_stays() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    drop(chain(&manager, 2));
    let other = tempfile::tempdir().unwrap();
    let kept = other.path().join("kept");
    scratch.put(&kept, b"not ours");
    let removed = |id: u64| format!("removed-{id:020}.tmp");
    let links = [removed(1), removed(7), format!("checkpoint-{:020}.tmp", 8)];
    for link in &links {
        std::os::unix::fs::symlink(other.path(), scratch.path.join(link)).unwrap();
    }
    let nowhere = removed(9);
    std::os::unix::fs::symlink("nowhere", scratch.path.join(&nowhere)).unwrap();
    // One of them is in the way of the checkpoint that goes.
    let cleanup = manager.cleanup_old(1).unwrap();
    assert_eq!((cleanup.removed, cleanup.strays), (vec![1], 3));
    let names = scratch.names(&scratch.path);
    assert!(!names.iter().any(|name| links.contains(name) || *name == nowhere), "{names:?}");
    assert_eq!(scratch.read(&kept), b"not ours");
    std::os::unix::fs::symlink(other.path(), scratch.path.join(removed(5))).unwrap();
    assert_eq!((manager.sweep().unwrap(), manager.sweep().unwrap()), (1, 0));
    assert_eq!(scratch.read(&kept), b"not ours");
}

#[test]
fn one_owner_at_a_time() {
    let scratch = Scratch::new();
    let (one, other) = (scratch.manager(), scratch.manager());
    let draft = one.draft().unwrap();
    let _second = one.draft().unwrap();
    for error in [other.draft().err(), other.cleanup_old(1).err(), other.sweep().err()] {
        assert!(error.is_some_and(|error| error.is_locked()));
    }
    assert!(other.latest_checkpoint().unwrap().is_none(), "readers need no lock");
    let unlocked = CheckpointManager::open(&scratch.path, scratch.options().hold_lock(false)).unwrap();
    unlocked.draft().unwrap();
    drop((draft, _second));
    drop(other.draft().unwrap());
}

#[test]
fn without_hard_links_runs_are_copied_and_that_is_said() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let base = chain(&manager, 2);
    disk.fail(Fault::new(FaultKind::Unsupported).on(Op::HardLink).sticky());
    let next = manager.create(Create::new(3).base(&base).entries([("k", Some("v"))]).merge(false)).unwrap();
    assert_eq!((next.stats().linked, next.stats().copied), (0, 2));
    assert!(next.stats().bytes_written > base.bytes());
    let expected = contents(&next).unwrap();
    assert_eq!(expected.len(), 3);
    drop((base, next));
    manager.cleanup_old(1).unwrap();
    assert_eq!(contents(&manager.latest_checkpoint().unwrap().unwrap()).unwrap(), expected);
}

#[test]
fn what_a_draft_could_not_write_is_written_when_there_is_space_again() {
    for op in [Op::Write, Op::SyncData, Op::Read] {
        let disk = SimDisk::new(1);
        let manager = on(&disk);
        let base = chain(&manager, 1);
        let mut draft = manager.draft().unwrap();
        let in_draft = |path: &Path| path.to_string_lossy().contains(".tmp");
        disk.fail(Fault::new(FaultKind::Unsupported).on(Op::HardLink).sticky());
        disk.fail(Fault::new(FaultKind::NoSpace).on(op).path(in_draft));
        assert!(draft.section("numbers", &vec![7u64; 2000]).unwrap_err().is_no_space(), "{op:?}");
        draft.section("numbers", &vec![7u64; 2000]).unwrap();
        disk.fail(Fault::new(FaultKind::NoSpace).on(op).path(in_draft));
        assert!(draft.link_run(&base.runs()[0]).unwrap_err().is_no_space(), "{op:?}");
        draft.link_run(&base.runs()[0]).unwrap();
        let checkpoint = draft.publish(Meta::new(1)).unwrap();
        assert_eq!(contents(&checkpoint).unwrap(), contents(&base).unwrap());
        assert_eq!(checkpoint.section::<Vec<u64>>("numbers").unwrap().len(), 2000);
        assert_eq!(checkpoint.stats().copied, 1);
    }
}

#[test]
fn a_merge_leaves_out_what_it_is_told_to() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let base = manager.create(Create::new(1).entries(all(&numbered(100, 1, 20)))).unwrap();
    let changes = (0..50).map(|i| (key(i * 2), (i % 2 == 0).then(|| value(i, 5))));
    let next = manager.create(Create::new(2).base(&base).merge(false).entries(changes)).unwrap();
    let keep = |key: &[u8]| key.ends_with(b"0");
    let expected: Map = contents(&next).unwrap().into_iter().filter(|(key, _)| keep(key)).collect();
    assert!(expected.len() > 4);
    let merged = manager.merge(manager.plan_full_merge(&next).unwrap(), Box::new(keep)).unwrap();
    let mut draft = manager.draft().unwrap();
    draft.adopt(merged.finish().unwrap()).unwrap();
    let checkpoint = draft.publish(Meta::new(2)).unwrap();
    assert_eq!(contents(&checkpoint).unwrap(), expected);
    assert_eq!(checkpoint.runs()[0].tombstones(), 0);
}

/// A hundred checkpoints that each change one part in a hundred; returns bytes written over what they are without any
/// merging, and the mean size of the newest over that of the first.
fn hundred(same_keys: bool) -> (f64, f64) {
    let disk = SimDisk::new(1);
    let options = CheckpointOptions::new().env(disk.env()).hash_seed(7).read_back(false);
    let manager = CheckpointManager::open(DIR, options).unwrap();
    let (count, changed) = (40_000u64, 400u64);
    let mut model = numbered(count, 1, 100);
    let mut newest = manager.create(Create::new(1).entries(all(&model))).unwrap();
    let full = newest.bytes();
    let (mut written, mut space, mut one) = (0, 0, 0);
    let mut random = fastrand::Rng::with_seed(5);
    for at in 2..102 {
        let picked = (0..changed).map(|i| if same_keys { i * 100 } else { random.u64(0..count) });
        let changes: BTreeMap<_, _> = picked.map(|i| (key(i), Some(value(i + at, 100)))).collect();
        model.extend(changes.iter().map(|(key, value)| (key.clone(), value.clone().unwrap())));
        newest = manager.create(Create::new(at).base(&newest).entries(changes)).unwrap();
        assert!(newest.runs().len() <= 16, "{} runs", newest.runs().len());
        written += newest.stats().bytes_written;
        one = if one == 0 { written } else { one };
        space += newest.bytes();
        manager.cleanup_old(1).unwrap();
    }
    assert_eq!(contents(&newest).unwrap(), model);
    (written as f64 / (100 * one) as f64, space as f64 / (100 * full) as f64)
}

#[test]
fn a_hundred_increments_are_merged_at_a_bounded_price() {
    let (written, space) = hundred(true);
    assert!(written < 1.3 && space < 1.3, "the same keys: written {written:.2} times, {space:.2} times the state");
    let (written, space) = hundred(false);
    assert!(written < 2.8 && space < 1.3, "any keys: written {written:.2} times, {space:.2} times the state");
}

/// A disk on which the first checkpoint to be opened is removed by its owner at that very moment.
#[derive(Debug)]
struct Vanishing {
    disk: Arc<dyn Vfs>,
    vanished: AtomicBool,
}

impl Vfs for Vanishing {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        if path.ends_with("MANIFEST") && !self.vanished.swap(true, Ordering::AcqRel) {
            let dir = path.parent().unwrap();
            self.disk.rename(dir, &dir.with_file_name(format!("removed-{:020}.tmp", 3)))?;
        }
        self.disk.open(path, mode)
    }
    fn kind(&self, path: &Path) -> Result<Option<Kind>> {
        self.disk.kind(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }
    fn create_dir(&self, path: &Path) -> Result<()> {
        self.disk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Lock> {
        self.disk.lock(path)
    }
}

#[test]
fn a_reader_lists_again_when_its_checkpoint_goes() {
    let disk = SimDisk::new(1);
    drop(chain(&on(&disk), 3));
    let reader = |disk: &SimDisk| {
        let env = disk.env();
        let vfs = Vanishing { disk: Arc::clone(&env.vfs), vanished: AtomicBool::new(false) };
        let env = laminar_vfs::Env { vfs: Arc::new(vfs), ..env };
        CheckpointManager::open(DIR, CheckpointOptions::new().env(env)).unwrap()
    };
    let opened = reader(&disk.fork()).open_newest_valid().unwrap();
    assert!(opened.passed_over.is_empty(), "it was valid, and it is gone: that is no damage");
    assert_eq!(opened.checkpoint.unwrap().id(), 2);
    assert_eq!(reader(&disk.fork()).latest_checkpoint().unwrap().unwrap().id(), 2);
    assert!(matches!(reader(&disk.fork()).get(3), Err(Error::NotFound { .. })));
}

#[test]
fn calls_of_one_manager_may_overlap() {
    const ROUNDS: u64 = 60;
    let scratch = tempfile::tempdir().unwrap();
    let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new()).unwrap();
    manager.create(Create::new(1).entries([("a", Some("0"))])).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    manager.cleanup_old(1).unwrap();
                    manager.sweep().unwrap();
                }
            });
        }
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let newest = manager.latest_checkpoint().unwrap().unwrap();
                // Opened in time it is kept, also what is read of it only now.
                assert_eq!(contents(&newest).unwrap().len(), 1);
            }
        });
        for round in 2..ROUNDS {
            manager.create(Create::new(round).entries([("a", Some("1"))])).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    manager.cleanup_old(1).unwrap();
    assert_eq!(manager.list().unwrap().len(), 1);
}
