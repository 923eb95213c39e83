//! The oldest run in parts: merged by halves, read as one, and nothing is lost between.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failing test says where"
)]

#[path = "support/scratch.rs"]
mod scratch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions, Create, Error, Meta, Run};
use laminar_vfs::Op;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use scratch::{Map, all, contents, key, numbered, value};

const DIR: &str = "checkpoints";

fn on(disk: &SimDisk) -> CheckpointManager {
    let options = CheckpointOptions::new().env(disk.env()).hash_seed(7).read_back(false).part_bytes(1);
    CheckpointManager::open(DIR, options).unwrap()
}

/// A checkpoint at position 1 whose one run lies in four parts.
fn in_four(manager: &CheckpointManager, model: &Map) -> Checkpoint {
    let mut draft = manager.draft().unwrap();
    let entries = all(model);
    for part in entries.chunks(entries.len().div_ceil(4)) {
        let mut writer = draft.run_writer(0, 1, false).unwrap();
        for (key, value) in part {
            writer.push(key, value.as_deref()).unwrap();
        }
        draft.add_run(writer.finish().unwrap()).unwrap();
    }
    draft.publish(Meta::new(1)).unwrap()
}

/// The positions at which the parts of the oldest run end.
fn part_ends(checkpoint: &Checkpoint) -> Vec<u64> {
    let first = checkpoint.runs()[0].from();
    checkpoint.runs().iter().take_while(|run| run.from() == first).map(Run::to).collect()
}

fn assert_holds(checkpoint: &Checkpoint, model: &Map, what: &str) {
    assert_eq!(&contents(checkpoint).unwrap(), model, "{what}");
    assert_eq!(checkpoint.len().unwrap(), model.len() as u64, "{what}");
    for (key, value) in model {
        assert_eq!(checkpoint.get(key).unwrap(), Some(value.as_slice()), "{what}: {key:?}");
    }
    for run in checkpoint.runs() {
        // Between the parts, and at their ends.
        for edge in [run.first_key().unwrap_or_default(), run.last_key().unwrap_or_default()] {
            let behind = [edge, &[0]].concat();
            assert_eq!(checkpoint.get(&behind).unwrap(), model.get(&behind).map(Vec::as_slice), "{what}");
            let from: Vec<&[u8]> = checkpoint.range(edge..).take(3).map(|entry| entry.unwrap().0).collect();
            let expected: Vec<&[u8]> = model.range(edge.to_vec()..).take(3).map(|(key, _)| key.as_slice()).collect();
            assert_eq!(from, expected, "{what}");
        }
    }
}

#[test]
fn the_oldest_run_is_merged_by_halves_and_nothing_is_lost_between() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let mut model = numbered(4000, 2, 40);
    let mut newest = in_four(&manager, &model);
    assert_eq!((newest.runs().len(), newest.depth()), (4, 1));
    assert_holds(&newest, &model, "in four");
    let mut random = fastrand::Rng::with_seed(5);
    let mut seen = BTreeSet::new();
    for at in 2..80 {
        for _ in 0..150 {
            let changed = random.u64(0..8200);
            if random.u8(0..5) == 0 {
                model.remove(&key(changed));
            } else {
                model.insert(key(changed), value(changed + at, 40));
            }
        }
        let before = contents(&newest).unwrap();
        let changes = before.keys().filter(|key| !model.contains_key(*key)).map(|key| (key.clone(), None));
        let changes = changes.chain(all(&model).into_iter().filter(|(key, value)| before.get(key) != value.as_ref()));
        let changes: BTreeMap<_, _> = changes.collect();
        newest = manager.create(Create::new(at).base(&newest).entries(changes)).unwrap();
        assert!(!newest.stats().merge_failed && newest.depth() <= 16);
        assert_holds(&newest, &model, &format!("checkpoint {at}"));
        let ends = part_ends(&newest);
        let (lowest, highest) = (*ends.iter().min().unwrap(), *ends.iter().max().unwrap());
        assert!((2..=8).contains(&ends.len()) && ends.iter().all(|end| [lowest, highest].contains(end)), "{ends:?}");
        seen.insert(if lowest == highest { "level" } else { "between two halves" });
        if at % 7 == 0 {
            // Another process goes on where this one was.
            newest = on(&disk).open_newest_valid().unwrap().checkpoint.unwrap();
            assert_holds(&newest, &model, "opened");
        }
        manager.cleanup_old(2).unwrap();
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(manager.verify(newest.id(), &mut |_| {}).unwrap().is_whole());
}

#[test]
fn between_two_halves_there_is_a_checkpoint_without() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let mut model = numbered(4000, 1, 1000);
    let mut newest = in_four(&manager, &model);
    let state = newest.bytes();
    let (mut steps, mut most) = (Vec::new(), 0);
    for at in 2..50 {
        let changes: Map = (0..80).map(|i| (key((i * 50 + at) % 4000), value(at, 1000))).collect();
        model.extend(changes.clone());
        let before = part_ends(&newest);
        newest = manager.create(Create::new(at).base(&newest).entries(all(&changes))).unwrap();
        if part_ends(&newest) != before {
            steps.push(at);
        }
        // Before the oldest that is not wanted any more goes. Linked runs count once.
        let there: Vec<_> = manager.list().unwrap().iter().map(|info| manager.get(info.id).unwrap()).collect();
        let runs: BTreeMap<_, _> = there.iter().flat_map(Checkpoint::runs).map(|run| (run.id(), run.bytes())).collect();
        most = most.max(runs.values().sum());
        drop(there);
        manager.cleanup_old(2).unwrap();
        assert_holds(&newest, &model, &format!("checkpoint {at}"));
    }
    assert!(matches!(steps[..], [first, second, ..] if second == first + 2), "{steps:?}");
    // The later runs, and half of the state, are there besides: all of it twice would be more than two times and a half.
    let share = most as f64 / state as f64;
    assert!((2.0..2.4).contains(&share), "{share:.2} times the state at most");
}

#[test]
fn where_all_keys_of_a_range_are_gone_its_parts_go() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let model = numbered(4000, 1, 40);
    let mut newest = in_four(&manager, &model);
    for (at, gone, left) in [(2, 1000..2000, 3000), (10, 0..1000, 2000), (20, 3000..4000, 1000), (30, 2000..3000, 0)] {
        let deletes = gone.map(|i| (key(i), None::<Vec<u8>>));
        newest = manager.create(Create::new(at).base(&newest).entries(deletes)).unwrap();
        // Changes enough that they are merged.
        for more in 1..8 {
            let changes = all(&contents(&newest).unwrap()).into_iter().take(400);
            newest = manager.create(Create::new(at + more).base(&newest).entries(changes)).unwrap();
            assert_eq!(newest.len().unwrap(), left);
        }
        let merged = manager.merge(manager.plan_full_merge(&newest).unwrap(), Box::new(|_| true)).unwrap();
        let mut draft = manager.draft().unwrap();
        draft.take_over(&newest, Some(merged.finish().unwrap())).unwrap();
        newest = draft.publish(Meta::new(at + 7)).unwrap();
        assert!(newest.runs().iter().all(|run| run.entries() > 0 || newest.runs().len() == 1));
        assert_eq!((newest.depth(), newest.len().unwrap()), (1, left));
    }
    let newest = manager.create(Create::new(50).base(&newest).entries([("a", Some("1"))])).unwrap();
    assert_eq!(newest.get(b"a").unwrap(), Some(&b"1"[..]));
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let refused = |runs: &[(u64, u64, &[&[u8]])], to: u64| {
        let mut draft = manager.draft().unwrap();
        for (from, to, keys) in runs {
            let mut writer = draft.run_writer(*from, *to, *from > 0).unwrap();
            keys.iter().for_each(|key| writer.push(key, Some(b"v")).unwrap());
            draft.add_run(writer.finish().unwrap()).unwrap();
        }
        match draft.publish(Meta::new(to)) {
            Ok(checkpoint) => {
                assert_eq!(checkpoint.runs().len(), runs.len());
                false
            }
            Err(error) => {
                assert!(matches!(error, Error::InvalidOption { name: "runs", .. }), "{error}");
                true
            }
        }
    };
    let [a, b, c]: [&[&[u8]]; 3] = [&[b"a", b"b"], &[b"c"], &[b"d"]];
    assert!(!refused(&[(0, 4, a), (0, 4, b), (0, 4, c)], 4));
    assert!(!refused(&[(0, 2, a), (0, 4, b), (2, 4, c), (4, 6, a)], 6), "one part is further");
    assert!(refused(&[(0, 4, b), (0, 4, a)], 4), "in the wrong order");
    assert!(refused(&[(0, 4, a), (0, 4, &[b"aa"])], 4), "one within the other");
    assert!(refused(&[(0, 4, a), (0, 4, &[])], 4), "one without keys");
    assert!(refused(&[(0, 2, a), (0, 3, b), (2, 4, c)], 4), "one ends where no run begins");
    assert!(refused(&[(0, 2, a), (0, 4, b)], 4), "nothing covers the rest of the first");
    assert!(refused(&[(0, 2, a), (0, 6, b), (2, 4, c)], 4), "one is further than the checkpoint");
    assert!(refused(&[(0, 2, a), (0, 2, b), (3, 4, c)], 4), "a gap");
    // Keys that look alike in the MANIFEST are told apart all the same, and nothing is left behind.
    let long = |last: u8| [vec![b'x'; 80], vec![last]].concat();
    let files = disk.files();
    let mut draft = manager.draft().unwrap();
    for key in [long(2), long(1)] {
        let mut writer = draft.run_writer(0, 4, false).unwrap();
        writer.push(&key, Some(b"v")).unwrap();
        draft.add_run(writer.finish().unwrap()).unwrap();
    }
    assert!(matches!(draft.publish(Meta::new(4)), Err(Error::InvalidOption { name: "runs", .. })));
    assert_eq!(disk.files(), files);
}

#[test]
fn keys_that_begin_alike_are_told_apart_at_the_borders_of_parts() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    // No eight bytes behind what all have in common tell these apart.
    let keys = (0..4000u64).map(|i| [&b"common, and then more of it, "[..], &[0; 12], &key(i)].concat());
    let model: Map = keys.map(|key| (key, b"v".to_vec())).collect();
    let checkpoint = in_four(&manager, &model);
    assert_eq!(checkpoint.runs().len(), 4);
    assert_holds(&checkpoint, &model, "alike");
    for missing in [&b""[..], b"c", b"common", b"d", &[0xff; 40]] {
        assert_eq!(checkpoint.get(missing).unwrap(), None);
    }
    let mut short: Map = [&b""[..], b"\0", b"\0\0", b"\0\0\0\0", b"\0\0\0\0\0", b"a", b"b", b"\xff"]
        .into_iter()
        .map(|key| (key.to_vec(), key.to_vec()))
        .collect();
    assert_holds(&in_four(&manager, &short), &short, "short");
    short.remove(&b""[..]);
    assert_holds(&in_four(&manager, &short), &short, "short");
}

#[test]
fn a_merge_whose_inputs_are_gone_is_not_taken() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let model = numbered(4000, 1, 40);
    let base = in_four(&manager, &model);
    let changed: Map = (0..4000).step_by(2).map(|i| (key(i), value(i + 9, 90))).collect();
    let next = manager.create(Create::new(2).base(&base).merge(false).entries(all(&changed))).unwrap();
    let merge_half = |checkpoint: &Checkpoint| {
        let plan = manager.plan_merge(checkpoint).unwrap();
        manager.merge(plan, Box::new(|_| true)).unwrap().finish().unwrap()
    };
    let half = merge_half(&next);
    assert!(half.replaces(&next) && !half.replaces(&base));
    let mut draft = manager.draft().unwrap();
    draft.take_over(&next, Some(half)).unwrap();
    let between = draft.publish(Meta::new(2)).unwrap();
    let expected: Map = model.iter().chain(&changed).map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_holds(&between, &expected, "half");
    assert!(part_ends(&between).contains(&1) && part_ends(&between).contains(&2));
    assert!(manager.plan_merge(&between).is_none(), "the checkpoint before has what was replaced");
    // The same half once more, planned for the one before.
    let stale = merge_half(&next);
    assert!(!stale.replaces(&between));
    let mut draft = manager.draft().unwrap();
    assert_eq!(draft.take_over(&between, Some(stale)).unwrap(), 0);
    assert_holds(&draft.publish(Meta::new(2)).unwrap(), &expected, "not taken");
}

#[test]
fn a_half_of_which_nothing_is_left_has_no_parts() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let mut model = numbered(4000, 1, 40);
    for (at, gone) in [(2, 0..2000), (20, 2000..4000)] {
        let mut newest = in_four(&manager, &model);
        let deletes = gone.clone().map(|i| (key(i), None::<Vec<u8>>));
        let mut left = model.clone();
        left.retain(|key, _| !gone.contains(&String::from_utf8_lossy(&key[3..]).parse().unwrap()));
        let big = (b"zz".to_vec(), Some(vec![7; 200_000]));
        left.insert(big.0.clone(), big.1.clone().unwrap());
        newest = manager.create(Create::new(at).base(&newest).entries(deletes.chain([big]))).unwrap();
        let mut seen = Vec::new();
        for more in 1..6 {
            let change = [(b"zzz".to_vec(), Some(vec![more as u8]))];
            left.insert(b"zzz".to_vec(), vec![more as u8]);
            newest = manager.create(Create::new(at + more).base(&newest).entries(change)).unwrap();
            assert_holds(&newest, &left, &format!("{gone:?}, {more} behind"));
            seen.push(part_ends(&newest).len());
        }
        assert!(seen.windows(2).any(|pair| pair[0] < pair[1]) || seen.contains(&2), "{gone:?}: {seen:?}");
        model = numbered(4000, 1, 40);
    }
}

#[test]
fn runs_with_other_hashes_and_copied_ones_are_parts_as_well() {
    let disk = SimDisk::new(1);
    let seeded = |seed| {
        let options = CheckpointOptions::new().env(disk.env()).hash_seed(seed).read_back(false).part_bytes(1);
        CheckpointManager::open(DIR, options).unwrap()
    };
    let mut model = numbered(4000, 1, 40);
    let mut newest = in_four(&seeded(1), &model);
    disk.fail(Fault::new(FaultKind::Unsupported).on(Op::HardLink).sticky());
    for at in 2..12 {
        let changes: Map = (0..400).map(|i| (key((i * 9 + at) % 4000), value(at, 40))).collect();
        model.extend(changes.clone());
        newest = seeded(at % 3).create(Create::new(at).base(&newest).entries(all(&changes))).unwrap();
        assert!(newest.stats().linked == 0 && newest.stats().copied > 0);
        assert_holds(&newest, &model, &format!("checkpoint {at}"));
    }
    let seeds: BTreeSet<u64> = newest.runs().iter().map(Run::hash_seed).collect();
    assert!(seeds.len() > 1 && newest.runs().len() > newest.depth());
}

#[test]
fn a_half_whose_files_can_not_be_made_or_moved_leaves_nothing() {
    let is_merge = |path: &Path| path.to_string_lossy().contains("merge-");
    for op in [Op::Open, Op::Rename, Op::SyncData] {
        for number in 0..4 {
            let disk = SimDisk::new(1);
            let manager = on(&disk);
            let base = in_four(&manager, &numbered(4000, 1, 40));
            let changed = all(&numbered(2000, 2, 90));
            let next = manager.create(Create::new(2).base(&base).merge(false).entries(changed)).unwrap();
            let (files, expected) = (disk.files(), contents(&next).unwrap());
            disk.fail(Fault::new(FaultKind::NoSpace).on(op).path(is_merge).after(number));
            let plan = manager.plan_merge(&next).unwrap();
            let merged = manager.merge(plan, Box::new(|_| true)).and_then(|job| job.finish());
            let taken = merged.and_then(|merged| {
                let mut draft = manager.draft()?;
                draft.take_over(&next, Some(merged))?;
                draft.publish(Meta::new(2))
            });
            match taken {
                Ok(checkpoint) => assert_holds(&checkpoint, &expected, &format!("{op:?} {number}")),
                Err(_) => assert_eq!(disk.files(), files, "{op:?} {number}"),
            }
        }
    }
}

#[test]
fn a_half_is_not_taken_where_the_part_behind_it_is_another() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let base = in_four(&manager, &numbered(4000, 1, 40));
    let changed = all(&numbered(2000, 2, 90));
    let next = manager.create(Create::new(2).base(&base).merge(false).entries(changed)).unwrap();
    let half = manager.merge(manager.plan_merge(&next).unwrap(), Box::new(|_| true)).unwrap().finish().unwrap();
    // The same two parts and the same later run, and behind the parts one that begins elsewhere.
    let mut draft = manager.draft().unwrap();
    next.runs()[..2].iter().for_each(|part| draft.link_run(part).unwrap());
    let mut writer = draft.run_writer(0, 1, false).unwrap();
    writer.push(&key(3000), Some(b"v")).unwrap();
    draft.add_run(writer.finish().unwrap()).unwrap();
    draft.link_run(next.runs().last().unwrap()).unwrap();
    let other = draft.publish(Meta::new(2)).unwrap();
    assert!(half.replaces(&next) && !half.replaces(&other), "nobody would hold what changed between");
}

#[test]
fn two_merges_of_the_same_positions_are_not_under_way_together() {
    let disk = SimDisk::new(1);
    let manager = on(&disk);
    let base = in_four(&manager, &numbered(4000, 1, 40));
    let changed = all(&numbered(2000, 2, 90));
    let next = manager.create(Create::new(2).base(&base).merge(false).entries(changed)).unwrap();
    let files = disk.files();
    let mut first = manager.merge(manager.plan_merge(&next).unwrap(), Box::new(|_| true)).unwrap();
    while !first.step().unwrap() {}
    let merges = |disk: &SimDisk| disk.files().iter().filter(|path| path.to_string_lossy().contains("merge-")).count();
    assert!(merges(&disk) > 1, "in parts");
    let second = manager.merge(manager.plan_full_merge(&next).unwrap(), Box::new(|_| true));
    assert!(matches!(second, Err(Error::InvalidOption { name: "plan", .. })));
    assert_eq!(manager.sweep().unwrap(), 0, "what is being written is no stray");
    drop(first.finish().unwrap());
    assert_eq!(disk.files(), files, "what nobody took is gone");
}
