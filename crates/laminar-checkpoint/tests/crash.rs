//! Power cuts at every change that making, merging and removing checkpoints makes to a simulated disk: what opens
//! afterwards is one of the checkpoints that were published, whole, never older than the last that was acknowledged; and
//! errors of every call: typed, nothing half done, and the next try works.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failing test says where"
)]

#[path = "support/scratch.rs"]
mod scratch;

use std::collections::BTreeMap;

use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions, Create, Error, Meta, Verify};
use laminar_vfs::Op;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use scratch::{Map, contents, key, value};

const DIR: &str = "state/checkpoints";

fn manager(disk: &SimDisk) -> CheckpointManager {
    CheckpointManager::open(DIR, CheckpointOptions::new().env(disk.env()).hash_seed(7).part_bytes(1)).unwrap()
}

/// The changes of step `at`: two keys set and one deleted, of a few.
fn changes(at: u64) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let bytes = if at % 4 == 3 { 6000 } else { 20 };
    BTreeMap::from([
        (key(at % 5), Some(value(at, bytes))),
        (key(at + 7), Some(value(at, 9))),
        (key((at + 2) % 5), None),
    ])
}

/// The state after each step, by position.
fn models(steps: u64) -> BTreeMap<u64, Map> {
    let mut model = Map::new();
    let mut models = BTreeMap::from([(0, model.clone())]);
    for at in 1..=steps {
        for (key, value) in changes(at) {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        models.insert(at * 10, model.clone());
    }
    models
}

/// One step: an incremental checkpoint (the first is full), with what goes with it.
fn step(manager: &CheckpointManager, at: u64, base: Option<&Checkpoint>) -> Result<Checkpoint, Error> {
    let mut create = Create::new(at * 10).entries(changes(at)).section("step", &at).source_offset("source", at);
    if let Some(base) = base {
        create = create.base(base);
    }
    manager.create(create)
}

/// A merge by hand, published at the same position.
fn merge(manager: &CheckpointManager, base: &Checkpoint) -> Result<Checkpoint, Error> {
    let plan = manager.plan_full_merge(base).unwrap();
    let mut draft = manager.draft()?;
    draft.adopt(manager.merge(plan, Box::new(|_| true))?.finish()?)?;
    let step = base.source_offsets()["source"];
    draft.section("step", &step)?;
    draft.publish(Meta::new(base.wal_position()).source_offset("source", step))
}

/// The newest valid checkpoint, compared with the model of its position; returns the position.
fn check(disk: &SimDisk, models: &BTreeMap<u64, Map>, what: &dyn Fn() -> String) -> u64 {
    let options = CheckpointOptions::new().env(disk.env()).verify(Verify::All);
    let opened = CheckpointManager::open(DIR, options).unwrap().open_newest_valid().unwrap();
    assert!(opened.passed_over.is_empty(), "{}: {:?}", what(), opened.passed_over);
    assert!(opened.healed.is_empty(), "{}: {:?}", what(), opened.healed);
    let Some(checkpoint) = opened.checkpoint else { return 0 };
    let position = checkpoint.wal_position();
    assert_eq!(&contents(&checkpoint).unwrap(), &models[&position], "{}", what());
    assert_eq!(checkpoint.section::<u64>("step").unwrap().to_native() * 10, position, "{}", what());
    assert_eq!(checkpoint.source_offsets()["source"] * 10, position, "{}", what());
    assert!(checkpoint.is_verified());
    position
}

#[test]
fn every_crash_point_leaves_the_old_or_the_new() {
    let steps = 7;
    let models = models(steps);
    let disk = SimDisk::new(1);
    disk.start_history();
    // How many changes the disk had seen when a position was acknowledged.
    let mut acknowledged = vec![(0, 0)];
    let owner = manager(&disk);
    let mut last = None;
    for at in 1..=steps {
        let mut newest = step(&owner, at, last.as_ref()).unwrap();
        acknowledged.push((disk.changes(), at * 10));
        if at == 4 {
            newest = merge(&owner, &newest).unwrap();
        }
        if at % 3 == 0 {
            drop(last.take());
            owner.cleanup_old(1 + at as usize % 2).unwrap();
        }
        last = Some(newest);
    }
    let history = disk.take_history();
    let mut images = 0;
    for (changes, before) in history.iter().enumerate() {
        let acked = acknowledged.iter().rev().find(|(at, _)| *at <= changes as u64).unwrap().1;
        let choices = before.choices();
        // All subsets of what is pending where these are few, else a sample.
        let tries = if choices <= 6 { 1u64 << choices } else { 48 };
        for seed in 0..tries {
            let sample = changes as u64 * tries + seed;
            let after = if choices <= 6 { before.crash_mask(seed) } else { before.crash(sample) };
            images += 1;
            let what = || format!("change {changes}, {} {seed}", if choices <= 6 { "mask" } else { "seed" });
            let position = check(&after, &models, &what);
            assert!(position >= acked && position <= acked + 10, "{}: {position} of {acked}", what());
            // Where there are many, other masks at every change.
            if tries < 8 || (seed * 7 + changes as u64).is_multiple_of(8) {
                goes_on(&after, &models, position, &what);
            }
        }
    }
    assert!(images > 3000, "{images} crash images");
}

/// After a crash: leftovers go, the next checkpoint builds on what is there, and it has a new id.
fn goes_on(disk: &SimDisk, models: &BTreeMap<u64, Map>, position: u64, what: &dyn Fn() -> String) {
    let manager = manager(disk);
    let latest = manager.latest_checkpoint().unwrap();
    assert_eq!(latest.as_ref().map_or(0, Checkpoint::wal_position), position);
    if position == models.keys().copied().max().unwrap() {
        return;
    }
    let next = step(&manager, position / 10 + 1, latest.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", what()));
    assert!(latest.is_none_or(|latest| latest.id() < next.id()), "{}", what());
    drop(next);
    manager.cleanup_old(1).unwrap();
    assert_eq!(check(&disk.crash_lose_all(), models, what), position + 10, "{}", what());
    let left = disk.files().iter().filter(|path| path.to_string_lossy().contains(".tmp")).count();
    assert_eq!(left, 0, "{}", what());
}

#[test]
fn an_error_of_any_call_discards_the_draft_and_nothing_else() {
    let models = models(4);
    let disk = SimDisk::new(2);
    let first = {
        let manager = manager(&disk);
        let first = step(&manager, 1, None).unwrap();
        step(&manager, 2, Some(&first)).unwrap().id()
    };
    let calls = {
        let disk = disk.fork();
        let manager = manager(&disk);
        let base = manager.get(first).unwrap();
        let before = disk.operations();
        let merged = merge(&manager, &base).unwrap();
        step(&manager, 3, Some(&merged)).unwrap();
        disk.operations() - before
    };
    let mut late = 0;
    for kind in [
        FaultKind::Io,
        FaultKind::NoSpace,
        FaultKind::Quota,
        FaultKind::ManyFiles,
        FaultKind::Denied,
        FaultKind::Short,
        FaultKind::Interrupted,
    ] {
        for sticky in [false, true] {
            for call in 0..calls {
                let disk = disk.fork();
                let manager = manager(&disk);
                let base = manager.get(first).unwrap();
                disk.fail_nth(call, kind, sticky);
                let what = || format!("{kind:?} at call {call}, sticky {sticky}");
                let result = merge(&manager, &base).and_then(|merged| step(&manager, 3, Some(&merged)));
                let harmless = matches!(kind, FaultKind::Short | FaultKind::Interrupted);
                assert!(!harmless || result.is_ok(), "{}: {:?}", what(), result.err());
                if let Err(error) = &result {
                    let is_typed = matches!(
                        error,
                        Error::Io(_) | Error::Corrupt { .. } | Error::Missing { .. } | Error::Locked { .. }
                    );
                    assert!(is_typed, "{}: {error:?}", what());
                    assert_eq!(
                        error.is_no_space(),
                        matches!(kind, FaultKind::NoSpace | FaultKind::Quota),
                        "{}: {error}",
                        what()
                    );
                }
                let is_ok = result.is_ok();
                drop((result, base));
                disk.clear_faults();
                // In this process, and after a power cut, the same is there; and the next try works. An error may also
                // come of opening what was published, and if all fails then what was renamed can't be renamed back.
                let position = check(&disk, &models, &what);
                assert!(position == 30 || !is_ok, "{}", what());
                let lost = check(&disk.crash_lose_all(), &models, &what);
                assert!(lost == position || !is_ok, "{}: {lost}", what());
                if position == 30 {
                    late += u64::from(!is_ok);
                } else {
                    let base = manager.latest_checkpoint().unwrap().unwrap();
                    drop(step(&manager, 3, Some(&base)).unwrap_or_else(|error| panic!("{}: {error}", what())));
                    manager.sweep().unwrap();
                    assert_eq!(check(&disk.crash_lose_all(), &models, &what), 30, "{}", what());
                }
            }
        }
    }
    assert!(late < calls * 2, "{late} errors after publication in {calls} calls and 10 ways to fail");
}

#[test]
fn what_a_disk_forgets_is_found_out_before_it_is_published() {
    let models = models(3);
    let disk = SimDisk::new(3);
    let first = {
        let manager = manager(&disk);
        let first = step(&manager, 1, None).unwrap();
        step(&manager, 2, Some(&first)).unwrap().id()
    };
    let mut found_out = 0;
    for kind in [FaultKind::Phantom, FaultKind::Misdirected] {
        for op in [Op::Write, Op::SyncData] {
            for call in 0..12 {
                let disk = disk.fork();
                let manager = manager(&disk);
                let base = manager.get(first).unwrap();
                disk.fail(Fault::new(kind).on(op).after(call));
                let result = step(&manager, 3, Some(&base));
                let struck = disk.faults_struck() > 0;
                disk.clear_faults();
                disk.drop_caches();
                let what = || format!("{kind:?} of {op:?} number {call}");
                found_out += u64::from(result.is_err());
                assert!(result.is_ok() || struck, "{}", what());
                let position = if result.is_ok() { 30 } else { 20 };
                drop(result);
                assert_eq!(check(&disk.crash_lose_all(), &models, &what), position, "{}", what());
            }
        }
    }
    assert!(found_out > 6, "{found_out} lies were found out");
}

#[test]
fn a_full_disk_keeps_what_is_there_and_works_again() {
    let models = models(3);
    let disk = SimDisk::new(4);
    let owner = manager(&disk);
    let first = step(&owner, 1, None).unwrap();
    let base = step(&owner, 2, Some(&first)).unwrap();
    let used = disk.used_bytes();
    for room in 0..30 {
        disk.set_space(Some(used + room * 4096));
        let what = || format!("{room} pages of room");
        match step(&owner, 3, Some(&base)) {
            Ok(_) => {
                assert!(room > 4, "{}", what());
                assert_eq!(check(&disk, &models, &what), 30);
                return;
            }
            Err(error) => assert!(error.is_no_space(), "{}: {error}", what()),
        }
        assert_eq!(disk.used_bytes(), used, "{}", what());
        assert_eq!(check(&disk, &models, &what), 20, "{}", what());
    }
    panic!("it never worked again");
}
