//! The table against a `BTreeMap`, and its parts where they are hard to reach through it.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

mod memory;
mod rows;
mod tombstones;

/// Mark and value.
type Known = (u32, Option<Vec<u8>>);
type Model = BTreeMap<Vec<u8>, Known>;

#[derive(Debug, Clone)]
enum Op {
    Insert(Vec<u8>, Option<Vec<u8>>),
    Write(Vec<u8>, Option<Vec<u8>>),
    Get(Vec<u8>),
    Remove(Vec<u8>),
    Range(Bound<Vec<u8>>, Bound<Vec<u8>>),
    Space(u8),
    Follow(u8),
    Sweep(usize, u32),
    SweepTombstones(usize, u32),
    RequeueTombstones,
    Settle,
}

/// Keys that collide often: few of them, some with long shared prefixes, some prefixes of others, some ending in zeros.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 4..10),
        4 => (0_u8..3, 0_u16..400).prop_map(|(space, key)| [&[0, 0, 0, space][..], b"a/long/shared/prefix", &key.to_le_bytes()].concat()),
        2 => (0_u64..2000).prop_map(|key| (key.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_le_bytes().to_vec()),
        1 => (0_u8..20, 30_usize..100).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        1 => Just(None),
        4 => (any::<u8>(), prop_oneof![4 => 0_usize..40, 1 => 0_usize..3000]).prop_map(|(byte, len)| Some(vec![byte; len])),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![1 => Just(Bound::Unbounded), 3 => key().prop_map(Bound::Included), 3 => key().prop_map(Bound::Excluded)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => (key(), value()).prop_map(|(key, value)| Op::Insert(key, value)),
        90 => (key(), value()).prop_map(|(key, value)| Op::Write(key, value)),
        20 => key().prop_map(Op::Get),
        30 => key().prop_map(Op::Remove),
        1 => (bound(), bound()).prop_map(|(lower, upper)| Op::Range(lower, upper)),
        2 => (0_u8..4).prop_map(Op::Space),
        1 => (0_u8..4).prop_map(Op::Follow),
        5 => Just(Op::Settle),
        3 => (0_usize..200, 2_u32..20).prop_map(|(steps, every)| Op::Sweep(steps, every)),
        10 => (0_usize..50, 2_u32..20).prop_map(|(steps, every)| Op::SweepTombstones(steps, every)),
        1 => Just(Op::RequeueTombstones),
    ]
}

/// Changes are put down first, always, or from some size on, or never.
fn small_bytes() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(0), 1 => Just(40_000), 1 => Just(u64::MAX)]
}

/// A table whose changes are put down first.
fn with_hash_mask(mask: u64) -> Table {
    let mut hasher = Hasher::new(3);
    hasher.mask = mask;
    let mut table = Table::with_hasher(hasher, PageSource::new());
    table.set_small_bytes(0);
    table
}

/// The key that is written in a row.
fn whole<'k>(table: &Table, key: &'k [u8]) -> Key<'k> {
    table.whole_key(key).expect("the keys of these tests start with a key space")
}

fn slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

fn is_inside(key: &[u8], lower: &Bound<Vec<u8>>, upper: &Bound<Vec<u8>>) -> bool {
    use std::ops::RangeBounds;
    RangeBounds::<[u8]>::contains(&(slice(lower), slice(upper)), key)
}

fn check_sizes(table: &Table, model: &Model) {
    assert_eq!((table.len(), table.is_empty()), (model.len(), model.is_empty()));
    let bytes = |(key, (_, value)): (&Vec<u8>, &(u32, Option<Vec<u8>>))| key.len() + value.as_ref().map_or(0, Vec::len);
    assert_eq!(table.bytes(), model.iter().map(bytes).sum::<usize>() as u64);
}

fn check_all(table: &Table, model: &Model) {
    check_sizes(table, model);
    let all = table.range(Bound::Unbounded, Bound::Unbounded);
    assert!(all.map(|(key, entry)| (key, entry.mark, entry.value)).eq(model.iter().map(|(key, (mark, value))| (
        key.as_slice(),
        *mark,
        value.as_deref()
    ))));
}

fn check_space(table: &Table, model: &Model, space: u8) {
    let (lower, upper) = ([0, 0, 0, space], [0, 0, 0, space + 1]);
    let found = table.range(Bound::Included(&lower), Bound::Excluded(&upper));
    let expected = model.range(lower.to_vec()..upper.to_vec());
    assert!(found.map(|(key, _)| key).eq(expected.map(|(key, _)| key)));
}

/// A table that keeps all keys in order from the start, and puts changes down first.
fn ordered() -> Table {
    let mut table = Table::new(1);
    table.set_small_bytes(0);
    assert_eq!(table.range(Bound::Unbounded, Bound::Unbounded).next(), None);
    table
}

fn sweep(table: &mut Table, model: &mut Model, steps: usize, every: u32) {
    let mut removed = Vec::new();
    let swept = table.sweep(steps, &mut |key, entry| {
        if entry.mark % every != 0 {
            return Keep::Yes;
        }
        removed.push((key.to_vec(), (entry.mark, entry.value.map(<[u8]>::to_vec))));
        Keep::No
    });
    assert_eq!(swept.removed, removed.len());
    take_out(model, removed);
}

/// Drops a few tombstones, keeps others, and has the rest wait.
fn sweep_tombstones(table: &mut Table, model: &mut Model, steps: usize, every: u32) {
    let mut removed = Vec::new();
    let looked_at = table.sweep_tombstones(steps, &mut |key, mark| match mark % every {
        0 => Verdict::Wait,
        1 => Verdict::Keep,
        _ => {
            removed.push((key.to_vec(), (mark, None)));
            Verdict::Drop
        }
    });
    assert!(looked_at <= steps && removed.len() <= looked_at);
    take_out(model, removed);
}

fn take_out(model: &mut Model, removed: Vec<(Vec<u8>, Known)>) {
    for (key, entry) in removed {
        // Or a change was on its way to it, which is not gone.
        let now = model.get(&key).expect("a sweep makes nothing up");
        assert!(*now == entry || now.0 > entry.0, "{now:?} {entry:?}");
        if *now == entry {
            model.remove(&key);
        }
    }
}

fn run(mut table: Table, ops: Vec<Op>) {
    let mut model = Model::new();
    // Where the first four key spaces have gone on.
    let (mut spaces, mut fresh) = ([0, 1, 2, 3], 4..250);
    let moved = |spaces: &[u8; 4], mut key: Vec<u8>| {
        if let [0, 0, 0, space @ 0..4, ..] = &mut *key {
            *space = spaces[usize::from(*space)];
        }
        key
    };
    for (mark, op) in (0_u32..).zip(ops) {
        match op {
            Op::Insert(key, value) => {
                let key = moved(&spaces, key);
                let change = table.insert(&whole(&table, &key), mark, value.as_deref()).unwrap();
                let old = model.insert(key, (mark, value));
                let expected = old.map_or(Change::New, |(mark, value)| Change::Replaced {
                    mark,
                    value_bytes: value.map(|value| value.len()),
                });
                assert_eq!(change, expected);
            }
            Op::Write(key, value) => {
                let key = moved(&spaces, key);
                table.write(&whole(&table, &key), mark, value.as_deref()).unwrap();
                model.insert(key, (mark, value));
                if mark % 5 == 0 {
                    check_sizes(&table, &model);
                }
            }
            Op::Get(key) => {
                let key = moved(&spaces, key);
                let entry = table.get(&whole(&table, &key));
                assert!(
                    entry.and_then(|entry| entry.value).is_none_or(|value| value.as_ptr().addr().is_multiple_of(16))
                );
                let entry = entry.map(|entry| (entry.mark, entry.value.map(<[u8]>::to_vec)));
                assert_eq!(entry.as_ref(), model.get(&key));
            }
            Op::Remove(key) => {
                let key = moved(&spaces, key);
                assert_eq!(table.remove(&whole(&table, &key)), model.remove(&key).is_some());
                assert_eq!(table.get(&whole(&table, &key)), None);
            }
            Op::Settle => table.settle(),
            Op::Range(lower, upper) => {
                let found: Vec<_> = table.range(slice(&lower), slice(&upper)).map(|(key, _)| key.to_vec()).collect();
                let expected: Vec<_> = model.keys().filter(|key| is_inside(key, &lower, &upper)).cloned().collect();
                assert_eq!(found, expected);
            }
            Op::Space(space) => check_space(&table, &model, spaces[usize::from(space)]),
            Op::Follow(space) => {
                let space = &mut spaces[usize::from(space)];
                let old = std::mem::replace(space, fresh.next().unwrap_or(*space));
                table.follow([0, 0, 0, old], [0, 0, 0, *space]);
            }
            Op::Sweep(steps, every) => sweep(&mut table, &mut model, steps, every),
            Op::SweepTombstones(steps, every) => sweep_tombstones(&mut table, &mut model, steps, every),
            Op::RequeueTombstones => table.requeue_tombstones(),
        }
    }
    for (key, (mark, value)) in &model {
        let entry = table.get(&whole(&table, key)).unwrap();
        assert_eq!((entry.mark, entry.value), (*mark, value.as_deref()));
        assert!(entry.value.is_none_or(|value| value.as_ptr().addr().is_multiple_of(16)));
    }
    check_all(&table, &model);
    drop_all_tombstones(&mut table, &mut model);
    check_all(&table, &model);
}

/// None is forgotten: then every entry has a value.
fn drop_all_tombstones(table: &mut Table, model: &mut Model) {
    table.settle();
    table.requeue_tombstones();
    table.sweep_tombstones(usize::MAX, &mut |_, _| Verdict::Drop);
    assert_eq!(table.queued_tombstones(), 0);
    model.retain(|_, (_, value)| value.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn is_a_sorted_map(small in small_bytes(), ops in vec(op(), 0..3000)) {
        let mut table = Table::new(3);
        table.set_small_bytes(small);
        run(table, ops);
    }

    #[test]
    fn bears_bad_hashes(ops in vec(op(), 0..3000)) {
        run(with_hash_mask(0xFFFF), ops);
    }
}

/// Keys of one hash overflow their segment, and the directory stays small nevertheless.
#[test]
fn one_hash_for_all_keys_is_slow_and_right() {
    let mut table = with_hash_mask(0);
    for key in 0..3000_u32 {
        table.insert(&whole(&table, &key.to_le_bytes()), 1, Some(&key.to_le_bytes())).unwrap();
    }
    assert!(table.resident_bytes() < 1 << 20, "{}", table.resident_bytes());
    for key in (0..3000_u32).step_by(2) {
        assert!(table.remove(&whole(&table, &key.to_le_bytes())));
    }
    for key in 0..3000_u32 {
        let value = table.get(&whole(&table, &key.to_le_bytes())).map(|entry| entry.value.unwrap().to_vec());
        assert_eq!(value, (key % 2 == 1).then(|| key.to_le_bytes().to_vec()));
    }
}

/// Every size from none to two levels of full nodes, and some beyond; also into an order that has other keys, few or many.
#[test]
fn an_order_that_is_asked_for_late_takes_further_keys() {
    let key = |space: u8, n: u32| [&[0, 0, 0, space], &n.wrapping_mul(0x9E37_79B9).to_le_bytes()[..]].concat();
    let range = |table: &Table, space: u8| {
        let bounds = ([0, 0, 0, space], [0, 0, 0, space + 1]);
        let range = table.range(Bound::Included(&bounds.0), Bound::Excluded(&bounds.1));
        range.map(|(key, _)| key.to_vec()).collect::<Vec<_>>()
    };
    for (count, others) in (0..200).map(|n| (n, 0)).chain([(2304, 10), (2305, 200), (3000, 3000), (120_000, 300)]) {
        let mut table = Table::new(1);
        assert_eq!(range(&table, 2), Vec::<Vec<u8>>::new());
        let insert = |table: &mut Table, space, n| {
            table.insert(&whole(table, &key(space, n)), 1, Some(b"value")).unwrap();
        };
        (0..others).for_each(|n| insert(&mut table, 2, n));
        (0..count).for_each(|n| insert(&mut table, 1, n));
        let sorted = |keys: std::ops::Range<u32>, space, is_left: fn(&u32) -> bool| {
            let mut keys: Vec<_> = keys.filter(is_left).map(|n| key(space, n)).collect();
            keys.sort();
            keys
        };
        // Twice: from what was sorted for the first.
        assert_eq!(range(&table, 1), sorted(0..count, 1, |_| true), "{count} beside {others}");
        assert_eq!(range(&table, 1), sorted(0..count, 1, |_| true), "{count} beside {others}");
        assert_eq!(range(&table, 2), sorted(0..others, 2, |_| true), "{count} beside {others}");
        (count..count + 300).for_each(|n| insert(&mut table, 1, n));
        for n in (0..count + 300).step_by(3) {
            assert!(table.remove(&whole(&table, &key(1, n))));
        }
        assert_eq!(range(&table, 1), sorted(0..count + 300, 1, |n| n % 3 > 0), "{count} beside {others}");
        assert_eq!(range(&table, 2), sorted(0..others, 2, |_| true), "{count} beside {others}");
    }
}

/// Keys that many heads don't tell apart, and keys that are the beginning of others.
#[test]
fn keys_that_begin_alike_are_sorted() {
    let mut table = Table::new(1);
    let mut keys: Vec<Vec<u8>> = (4..300).map(|len| vec![7; len]).collect();
    keys.extend((0..200_u8).map(|n| [&[7; 90][..], &[n], &[7; 30]].concat()));
    keys.extend((0..200_u8).map(|n| [&[7; 11][..], &[0, n]].concat()));
    for key in &keys {
        table.insert(&whole(&table, key), 1, None).unwrap();
    }
    keys.sort();
    keys.dedup();
    assert!(table.range(Bound::Included(&[7; 4]), Bound::Included(&[8])).map(|(key, _)| key).eq(keys));
}

/// Whoever asks for many key spaces gets all of them kept.
#[test]
fn ranges_of_many_key_spaces_are_right_between_two_changes_and_after() {
    let mut table = Table::new(1);
    let key = |space: u8, n: u8| [0, 0, 0, space, n];
    for n in 0..10 {
        for space in 0..100 {
            table.insert(&whole(&table, &key(space, n)), 1, None).unwrap();
        }
        for space in 0..n * 10 {
            let range = table.range(Bound::Included(&key(space, 0)), Bound::Included(&key(space, 255)));
            assert!(range.map(|(key, _)| key.to_vec()).eq((0..=n).map(|n| key(space, n).to_vec())), "{space} at {n}");
        }
    }
}

/// What nobody asks for takes no memory and no time of the order.
#[test]
fn only_key_spaces_that_ranges_asked_for_are_in_the_order() {
    let mut table = Table::new(1);
    let insert = |table: &mut Table, space: u8, n: u32| {
        let name = n.to_le_bytes();
        table.insert(&table.key([0, 0, 0, space], &name), 1, None).unwrap();
    };
    (0..10_000).for_each(|n| insert(&mut table, 1, n));
    assert_eq!(table.order.resident_bytes(), 0);
    assert_eq!(table.range(Bound::Included(&[0, 0, 0, 2]), Bound::Excluded(&[0, 0, 0, 3])).count(), 0);
    (0..10_000).for_each(|n| insert(&mut table, 1, n + 10_000));
    assert_eq!(table.order.resident_bytes(), 0);
    (0..10_000).for_each(|n| insert(&mut table, 2, n));
    assert!(table.order.resident_bytes() > 100_000);
    table.follow([0, 0, 0, 2], [0, 0, 0, 3]);
    let before = table.order.resident_bytes();
    (0..10_000).for_each(|n| insert(&mut table, 3, n));
    assert!(table.order.resident_bytes() > before + 100_000);
}

/// A larger table, so that the order has several levels and every segment has split; loaded and emptied in several ways.
#[test]
fn grows_and_shrinks() {
    const COUNT: u64 = 50_000;
    let ascending = |n: u64| n;
    let descending = |n: u64| COUNT - n;
    let random = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let ways: [fn(u64) -> u64; 3] = [ascending, descending, random];
    for load in ways {
        for empty in ways {
            let mut table = ordered();
            let key = |n: u64| [&[0, 0, 0, 1], &load(n).swap_bytes().to_le_bytes()[..]].concat();
            for n in 0..COUNT {
                let key = key(n);
                table.insert(&whole(&table, &key), 1, Some(&[7; 20])).unwrap();
            }
            assert!(table.resident_bytes() < COUNT * (64 + 40), "{}", table.resident_bytes() / COUNT);
            let mut order: Vec<u64> = (0..COUNT).collect();
            order.sort_unstable_by_key(|&n| empty(n));
            let keep = order.split_off(order.len() - 100);
            for n in order {
                let key = key(n);
                assert!(table.remove(&whole(&table, &key)));
            }
            let mut left: Vec<_> = keep.into_iter().map(key).collect();
            left.sort();
            assert!(table.range(Bound::Unbounded, Bound::Unbounded).map(|(key, _)| key).eq(left));
            assert!(table.order.resident_in_use() < 20 << 10, "{}", table.order.resident_in_use());
        }
    }
}

/// Every entry that is there all the time is seen in every round, however small the steps.
#[test]
fn a_sweep_sees_everything() {
    let mut table = Table::new(1);
    for n in 0..10_000_u32 {
        table.insert(&whole(&table, &n.to_le_bytes()), n, Some(&vec![0; n as usize % 300])).unwrap();
    }
    for steps in [1, 7, 1000] {
        let mut seen = 0;
        let mut sum = 0;
        while !table
            .sweep(steps, &mut |_, entry| {
                seen += 1;
                sum += entry.mark;
                Keep::Yes
            })
            .came_round
        {}
        assert_eq!((seen, sum), (10_000, 9_999 * 5_000));
    }
    let swept = table.sweep(usize::MAX, &mut |_, entry| if entry.mark < 9000 { Keep::No } else { Keep::Yes });
    assert_eq!(swept, Swept { removed: 9000, came_round: true });
    assert_eq!(table.len(), 1000);
}

/// Keys and values about every length at which the layout of a block changes, each overwritten by each other length.
#[test]
fn every_layout_keeps_key_and_value() {
    const LARGE: usize = 1 << 20;
    let mut table = Table::new(1);
    let key_lengths = [4, 5, 61, 62, 63, 64, 1000, LARGE - 200, LARGE + 1];
    let value_lengths =
        [0, 1, 15, 16, 17, 100, 3000, LARGE - 1200, LARGE - 70, LARGE - 12, LARGE, LARGE + 1, 2 * LARGE];
    for (number, key_len) in (0_u8..).zip(key_lengths) {
        let key = vec![number; key_len];
        for (round, first) in (0_u8..).zip(value_lengths) {
            for then in value_lengths {
                let lengths = [Some(first), None, Some(then), Some(first)];
                for (mark, len) in (0..).zip(lengths) {
                    let value = len.map(|len| vec![round; len]);
                    table.insert(&whole(&table, &key), mark, value.as_deref()).unwrap();
                    let entry = table.get(&whole(&table, &key)).unwrap();
                    assert!((entry.mark, entry.value) == (mark, value.as_deref()), "{key_len} {first} {then}");
                    assert!(entry.value.is_none_or(|value| value.as_ptr().addr().is_multiple_of(16)));
                }
            }
        }
    }
    let keys = table.range(Bound::Unbounded, Bound::Unbounded).map(|(key, _)| key.len());
    assert!(keys.eq(key_lengths));
}

#[test]
fn what_is_there_is_fetched_ahead_and_hardly_anything_else() {
    let key = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    let mut table = Table::new(5);
    assert!(!table.prefetch_entry(&whole(&table, &key(1))), "a table without memory has nothing");
    for n in 0..2000 {
        let key = key(n);
        let whole = whole(&table, &key);
        table.insert(&whole, 0, Some(b"value")).unwrap();
    }
    let seem_there =
        |numbers: std::ops::Range<u64>| numbers.filter(|&n| table.prefetch_entry(&whole(&table, &key(n)))).count();
    // An entry lies elsewhere where its bucket was full, and a stranger may have the tag.
    let (there, others) = (seem_there(0..2000), seem_there(2000..4000));
    assert!(there > 1800 && others < 200, "{there} of 2,000, and {others} that are not there");
}
