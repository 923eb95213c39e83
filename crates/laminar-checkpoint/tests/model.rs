//! Checkpoints equal a map: random batches written as full and incremental checkpoints, merged or not, are compared
//! with a `BTreeMap` by point lookups, prefixes, ranges and counts.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failing test says where"
)]

#[path = "support/scratch.rs"]
mod scratch;

use std::collections::BTreeMap;
use std::ops::Bound;

use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions, Create, Error, Found, ReadMode, hash_key};
use proptest::prelude::*;
use scratch::{Map, Scratch, all, contents, key, numbered, value};

/// Short keys over few letters, so that they collide and share prefixes; some long ones with a common start.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let letters = prop::sample::select(vec![0u8, b'a', b'b', 0xff]);
    prop_oneof![
        8 => prop::collection::vec(letters.clone(), 0..6),
        1 => prop::collection::vec(letters, 9..12).prop_map(|tail| [vec![b'a'; 300], tail].concat()),
    ]
}

fn values() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        2 => Just(None),
        6 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Some),
        1 => (any::<u8>(), 1000..9000usize).prop_map(|(byte, len)| Some(vec![byte; len])),
        1 => (any::<u8>(), 20_000..70_000usize).prop_map(|(byte, len)| Some(vec![byte; len])),
    ]
}

fn like_values() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        1 => values(),
        50 => any::<u8>().prop_map(|byte| Some(vec![byte; 200])),
    ]
}

#[derive(Debug, Clone)]
struct Batch {
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    merge: bool,
    full: bool,
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let entries = prop_oneof![
        3 => prop::collection::btree_map(keys(), values(), 0..60),
        // Mostly of the same lengths, so that some blocks are fixed.
        1 => prop::collection::btree_map(prop::collection::vec(b'a'..=b'd', 5), like_values(), 0..200),
    ];
    let batch = (entries, any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(entries, merge, full)| Batch {
        entries,
        merge,
        full,
    });
    prop::collection::vec(batch, 1..8)
}

fn check(checkpoint: &Checkpoint, model: &Map, asked: &[Vec<u8>]) {
    assert_eq!(&contents(checkpoint).unwrap(), model);
    assert_eq!(checkpoint.len().unwrap(), model.len() as u64);
    assert_eq!(checkpoint.is_empty().unwrap(), model.is_empty());
    assert!(checkpoint.entries_upper_bound() >= model.len() as u64);
    for key in asked {
        assert_eq!(checkpoint.get(key).unwrap(), model.get(key).map(Vec::as_slice), "{key:?}");
        let found: Map =
            checkpoint.prefix(key).map(|entry| entry.unwrap()).map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        let expected: Map =
            model.iter().filter(|(k, _)| k.starts_with(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(found, expected, "prefix {key:?}");
    }
    for pair in asked.windows(2) {
        let (low, high) = (&pair[0], &pair[1]);
        for bounds in [
            (Bound::Included(low.as_slice()), Bound::Excluded(high.as_slice())),
            (Bound::Excluded(low.as_slice()), Bound::Included(high.as_slice())),
            (Bound::Excluded(low.as_slice()), Bound::Unbounded),
            (Bound::Unbounded, Bound::Included(low.as_slice())),
        ] {
            let found: Vec<Vec<u8>> = checkpoint.range(bounds).map(|entry| entry.unwrap().0.to_vec()).collect();
            let within = |key: &Vec<u8>| std::ops::RangeBounds::<&[u8]>::contains(&bounds, &key.as_slice());
            let expected: Vec<Vec<u8>> = model.keys().filter(|key| within(key)).cloned().collect();
            assert_eq!(found, expected, "{bounds:?}");
        }
    }
}

fn run(batches: Vec<Batch>, mode: ReadMode, part_bytes: u64) {
    let scratch = Scratch::new();
    let alignment = if part_bytes == 1 { 1 } else { 16 };
    let options = scratch.options().read_mode(mode).part_bytes(part_bytes).value_alignment(alignment);
    let manager = CheckpointManager::open(&scratch.path, options).unwrap();
    let (mut model, mut base): (Map, Option<Checkpoint>) = (Map::new(), None);
    let mut asked: Vec<Vec<u8>> = vec![b"".to_vec(), b"a".to_vec(), b"\xff".to_vec(), b"zz".to_vec(), vec![b'a'; 300]];
    for (at, batch) in batches.into_iter().enumerate() {
        let mut create = Create::new(at as u64 + 1).merge(batch.merge);
        match &base {
            Some(base) if !batch.full => create = create.base(base),
            _ => model.clear(),
        }
        for (key, value) in &batch.entries {
            match value {
                Some(value) => model.insert(key.clone(), value.clone()),
                None => model.remove(key),
            };
            asked.push(key.clone());
        }
        asked.truncate(120);
        let checkpoint = manager.create(create.entries(batch.entries)).unwrap();
        check(&checkpoint, &model, &asked);
        base = Some(checkpoint);
    }
    let base = base.unwrap();
    if let Some(plan) = manager.plan_full_merge(&base) {
        let merged = manager.merge(plan, Box::new(|_| true)).unwrap().finish().unwrap();
        let mut draft = manager.draft().unwrap();
        draft.adopt(merged).unwrap();
        let checkpoint = draft.publish(laminar_checkpoint::Meta::new(base.wal_position())).unwrap();
        let tombstones: u64 = checkpoint.runs().iter().map(|run| run.tombstones()).sum();
        assert_eq!((checkpoint.depth(), tombstones), (1, 0));
        check(&checkpoint, &model, &asked);
    }
    let reopened = Checkpoint::open(base.state_path(), &scratch.options()).unwrap();
    check(&reopened, &model, &asked);
    assert!(manager.verify(base.id(), &mut |_| {}).unwrap().is_whole());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_equal_a_map(batches in batches()) {
        run(batches, ReadMode::Mapped, u64::MAX);
    }

    #[test]
    fn batches_equal_a_map_in_parts(batches in batches()) {
        run(batches, ReadMode::Mapped, 1);
    }

    #[test]
    fn batches_equal_a_map_without_a_mapping(batches in batches()) {
        run(batches, ReadMode::Owned, u64::MAX);
    }
}

#[test]
fn a_run_of_several_chapters_finds_every_key_and_no_other() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let model = numbered(150_000, 2, 100);
    let full = manager.create(Create::new(1).entries(all(&model))).unwrap();
    let changes: BTreeMap<_, _> = (0..70_000u64).map(|i| (key(i * 3), (i % 4 != 0).then(|| value(i, 90)))).collect();
    let both = manager.create(Create::new(2).base(&full).merge(false).entries(changes.clone())).unwrap();
    assert_eq!(both.runs().len(), 2);
    let mut changed = model.clone();
    for (key, value) in changes {
        match value {
            Some(value) => changed.insert(key, value),
            None => changed.remove(&key),
        };
    }
    for (checkpoint, model) in [(&full, &model), (&both, &changed)] {
        for i in 0..300_010 {
            let key = key(i);
            assert_eq!(checkpoint.get(&key).unwrap(), model.get(&key).map(Vec::as_slice), "{i}");
        }
        for i in (0..300_010).step_by(997) {
            let from = key(i);
            let found: Vec<_> =
                checkpoint.range(from.as_slice()..).take(40).map(|entry| entry.unwrap().0.to_vec()).collect();
            let expected: Vec<_> = model.range(from..).take(40).map(|entry| entry.0.clone()).collect();
            assert_eq!(found, expected);
        }
        assert_eq!(&contents(checkpoint).unwrap(), model);
        assert_eq!(checkpoint.len().unwrap(), model.len() as u64);
    }
    assert!(manager.verify(both.id(), &mut |_| {}).unwrap().is_whole());
}

#[test]
fn entries_of_every_size_are_found_and_little_is_wasted() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    for bytes in [0, 40, 100, 470, 700, 1500, 3000, 5300, 7000, 20_000, 66_000] {
        let model = numbered(if bytes < 10_000 { 3000 } else { 600 }, 3, bytes);
        let checkpoint = manager.create(Create::new(1).entries(all(&model))).unwrap();
        let (payload, file) = (checkpoint.runs()[0].payload_bytes(), checkpoint.bytes());
        // The smallest entries pay for their index; from 100 bytes on everything together stays within the budget.
        let budget = if bytes < 100 { payload * 3 } else { payload * 135 / 100 };
        assert!(file < budget + (64 << 10), "{file} bytes for {payload} in entries of {bytes}");
        for (key, value) in &model {
            assert_eq!(checkpoint.get(key).unwrap(), Some(value.as_slice()));
        }
        assert_eq!(checkpoint.get(&key(1)).unwrap(), None);
        assert!(contents(&checkpoint).unwrap() == model, "{bytes}");
        assert!(manager.verify(checkpoint.id(), &mut |_| {}).unwrap().is_whole());
        manager.cleanup_old(1).unwrap();
    }
}

#[test]
fn chapters_end_where_their_index_could_not_reach() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let sizes = [10, 300, 70_000, 3000, 400_000];
    let model: Map = (0..400u64).map(|i| (key(i), value(i, sizes[i as usize % sizes.len()]))).collect();
    let base = manager.create(Create::new(1).entries([("", Some(""))])).unwrap();
    let checkpoint = manager.create(Create::new(2).base(&base).merge(false).entries(all(&model))).unwrap();
    assert!(checkpoint.runs()[1].bytes() > 2 << 24, "more than two chapters of 16 MiB");
    for (key, value) in &model {
        assert!(checkpoint.get(key).unwrap() == Some(value.as_slice()));
    }
    for i in 0..400 {
        let from = key(i);
        let next = checkpoint.range(&from[..]..).next().unwrap().unwrap();
        assert!(next == (&from[..], model[&from].as_slice()));
    }
    assert!(manager.verify(checkpoint.id(), &mut |_| {}).unwrap().is_whole());
}

#[test]
fn runs_of_different_seeds_are_read_as_one() {
    let scratch = Scratch::new();
    let mut model = numbered(5000, 1, 20);
    let base = scratch.manager().create(Create::new(1).entries(all(&model))).unwrap();
    let changes: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
        (0..5000).step_by(7).map(|i| (key(i), (i % 2 == 0).then(|| value(i, 30)))).collect();
    for (key, value) in &changes {
        match value {
            Some(value) => drop(model.insert(key.clone(), value.clone())),
            None => drop(model.remove(key)),
        }
    }
    let manager = CheckpointManager::open(&scratch.path, scratch.options().hash_seed(8)).unwrap();
    let base = manager.get(base.id()).unwrap();
    let entries = changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
    let checkpoint = manager.create(Create::new(2).base(&base).merge(false).entries(entries)).unwrap();
    let seeds: Vec<u64> = checkpoint.runs().iter().map(|run| run.hash_seed()).collect();
    assert_eq!(seeds, [7, 8]);
    // The first round verifies what the second finds in place.
    for _ in 0..2 {
        check(&checkpoint, &model, &(0..6000).map(key).collect::<Vec<_>>());
    }
}

#[test]
fn a_filter_denies_most_keys_that_are_not_there() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let base = manager.create(Create::new(1).entries([("", Some(""))])).unwrap();
    let next = manager.create(Create::new(2).base(&base).merge(false).entries(all(&numbered(50_000, 2, 20)))).unwrap();
    let run = &next.runs()[1];
    let allowed = |i: u64| run.may_contain(run.hash(&key(i)), &key(i));
    assert!((0..50_000).all(|i| allowed(i * 2)));
    let wrong = (0..50_000).filter(|i| allowed(i * 2 + 1)).count();
    assert!(wrong < 1000, "{wrong} of 50,000");
    assert_eq!(run.hash(b"x"), hash_key(run.hash_seed(), b"x"));
}

#[test]
fn values_and_archives_in_them_lie_on_16_bytes() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let model: Map = (0..2000u64).map(|i| (value(i, (i % 30) as usize + 2), value(i, (i % 77) as usize))).collect();
    for mode in [ReadMode::Mapped, ReadMode::Owned] {
        let id = manager.create(Create::new(1).entries(all(&model))).unwrap().id();
        let manager = CheckpointManager::open(&scratch.path, scratch.options().read_mode(mode)).unwrap();
        for entry in manager.get(id).unwrap().range(..) {
            assert_eq!(entry.unwrap().1.as_ptr() as usize % 16, 0);
        }
    }
}

#[test]
fn the_largest_keys_and_values_are_kept_and_larger_ones_refused() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let most = 16 << 20;
    let (long_key, long_value) = (vec![b'k'; most + 64], vec![b'v'; most]);
    let entries = [
        (b"a".to_vec(), Some(b"1".to_vec())),
        (long_key.clone(), Some(long_value.clone())),
        (b"z".to_vec(), Some(vec![])),
    ];
    let checkpoint = manager.create(Create::new(1).entries(entries)).unwrap();
    assert_eq!(checkpoint.get(&long_key).unwrap(), Some(long_value.as_slice()));
    assert_eq!(checkpoint.get(b"z").unwrap(), Some(&b""[..]));
    assert_eq!(checkpoint.get(b"zz").unwrap(), None);
    assert_eq!(checkpoint.prefix(b"k").count(), 1);

    let too_long_key = Create::new(1).entries([(vec![0; most + 65], Some(vec![]))]);
    assert!(matches!(manager.create(too_long_key), Err(Error::TooLarge { what: "a key", .. })));
    let too_long_value = Create::new(1).entries([(vec![], Some(vec![0; most + 1]))]);
    assert!(matches!(manager.create(too_long_value), Err(Error::TooLarge { what: "a value", .. })));
    assert_eq!(manager.list().unwrap().len(), 1, "nothing is left of what failed");
}

#[test]
fn mistakes_of_the_caller_are_errors_and_change_nothing() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    for entries in [vec!["b", "a"], vec!["a", "a"], vec!["", ""]] {
        let entries = entries.into_iter().map(|key| (key, Some("")));
        let error = manager.create(Create::new(1).entries(entries)).unwrap_err();
        assert!(matches!(error, Error::Unsorted { .. }), "{error}");
    }
    assert!(matches!(manager.create(Create::new(0).entries([("a", Some(""))])), Err(Error::InvalidOption { .. })));
    let base = manager.create(Create::new(5).entries([("a", Some("1"))])).unwrap();
    assert!(matches!(manager.create(Create::new(4).base(&base)), Err(Error::InvalidOption { .. })));
    assert!(matches!(
        manager.create(Create::new(5).base(&base).entries([("b", Some(""))])),
        Err(Error::InvalidOption { .. })
    ));
    let twice = Create::new(5).base(&base).section("s", &1u32).section("s", &2u32);
    assert!(matches!(manager.create(twice), Err(Error::InvalidOption { name: "section", .. })));
    assert!(matches!(base.section::<u32>("s"), Err(Error::NotFound { .. })));

    let mut draft = manager.draft().unwrap();
    assert!(matches!(draft.run_writer(3, 3, false), Err(Error::InvalidOption { .. })));
    for bytes in [0, 3, 32] {
        let refused = CheckpointManager::open(&scratch.path, scratch.options().value_alignment(bytes));
        assert!(matches!(refused, Err(Error::InvalidOption { name: "value_alignment", .. })), "{bytes}");
    }
    draft.link_run(&base.runs()[0]).unwrap();
    let mut writer = draft.run_writer(6, 7, true).unwrap();
    writer.push(b"k", None).unwrap();
    draft.add_run(writer.finish().unwrap()).unwrap();
    let gap = draft.publish(laminar_checkpoint::Meta::new(7)).unwrap_err();
    assert!(matches!(gap, Error::InvalidOption { name: "runs", .. }), "{gap}");
    assert_eq!(scratch.names(&scratch.path), ["LOCK".to_owned(), format!("checkpoint-{:020}", base.id())]);
}

#[test]
fn a_checkpoint_of_nothing_and_of_no_change() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let nothing = manager.create(Create::new(0)).unwrap();
    assert_eq!((nothing.runs().len(), nothing.len().unwrap(), nothing.wal_position()), (0, 0, 0));
    assert_eq!(nothing.get(b"").unwrap(), None);
    assert_eq!(nothing.range(..).count(), 0);
    let empty = Create::new(3).base(&nothing).entries(std::iter::empty::<(&str, Option<&str>)>());
    let empty = manager.create(empty).unwrap();
    assert_eq!((empty.runs().len(), empty.runs()[0].first_key(), empty.get(b"a").unwrap()), (1, None, None));
    let same = manager.create(Create::new(3).base(&empty)).unwrap();
    assert_eq!(same.stats().entries_written, 0);
    let later = manager.create(Create::new(9).base(&same).merge(false)).unwrap();
    assert_eq!((later.runs().len(), later.wal_position(), later.is_empty().unwrap()), (2, 9, true));
    assert_eq!(later.range(..).count(), 0);
    assert_eq!(later.runs()[1].get(1, b"a").unwrap(), None::<Found<'_>>);
    let ids: Vec<u64> = manager.list().unwrap().iter().map(|info| info.id).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let reader = Checkpoint::open(later.state_path(), &CheckpointOptions::new()).unwrap();
    assert_eq!(reader.timestamp_ms(), later.timestamp_ms());
}

#[test]
fn offsets_and_sections_come_back_under_any_name() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let names = ["", "a", "A", "\u{1f980}/..\\ \n", "%41", "con", &"x".repeat(3000), "LOCK"];
    let mut create = Create::new(0).timestamp_ms(77);
    for (at, name) in names.iter().enumerate() {
        create = create.source_offset(*name, at as u64).tagged_section(name, &vec![at as u64; at * 700], at as u64);
    }
    let id = manager.create(create).unwrap().id();
    let checkpoint = manager.get(id).unwrap();
    assert_eq!(checkpoint.timestamp_ms(), 77);
    assert_eq!(checkpoint.section_names().count(), names.len());
    for (at, name) in names.iter().enumerate() {
        assert_eq!(checkpoint.source_offsets()[*name], at as u64);
        assert_eq!(checkpoint.section_tag(name).unwrap(), at as u64);
        let numbers = checkpoint.section::<Vec<u64>>(name).unwrap();
        assert!(numbers.len() == at * 700 && numbers.iter().all(|number| number.to_native() == at as u64));
    }
    assert!(matches!(checkpoint.section::<u64>("a"), Err(Error::WrongType { .. })));
    assert!(matches!(checkpoint.section::<[u128; 4]>("a"), Err(Error::WrongType { .. })));
    assert!(manager.verify(id, &mut |_| {}).unwrap().is_whole());
}
