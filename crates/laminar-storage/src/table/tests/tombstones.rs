//! Which tombstones a sweep comes to, and in which order.

use super::*;

/// In the order of the deletes; one that has to wait stops those behind it, unless it was written again since.
#[test]
fn tombstones_are_looked_at_in_their_order() {
    let mut table = Table::new(1);
    let key = |n: u8| [0, 0, 0, 1, n];
    let insert = |table: &mut Table, n, mark, value: Option<&[u8]>| {
        table.insert(&whole(table, &key(n)), mark, value).unwrap();
    };
    let sweep = |table: &mut Table, steps, verdict: &dyn Fn(u8, u32) -> Verdict| {
        let mut seen = Vec::new();
        let looked_at = table.sweep_tombstones(steps, &mut |key, mark| {
            seen.push((key[4], mark));
            verdict(key[4], mark)
        });
        (looked_at, seen)
    };
    for n in 0..6 {
        insert(&mut table, n, 1, Some(b"value"));
    }
    for n in [3, 1, 4, 0, 5] {
        insert(&mut table, n, 2, None);
    }
    assert_eq!(table.queued_tombstones(), 5);
    // Of the first, only the new mark is seen; the second has a value again, and the last is gone.
    insert(&mut table, 3, 7, None);
    insert(&mut table, 1, 7, Some(b"again"));
    table.remove(&whole(&table, &key(5)));
    let waits_if_new = |_, mark| if mark == 7 { Verdict::Wait } else { Verdict::Keep };
    assert_eq!(sweep(&mut table, 10, &waits_if_new), (5, vec![(3, 7), (4, 2), (0, 2), (3, 7)]));
    assert_eq!(sweep(&mut table, 10, &waits_if_new), (0, vec![(3, 7)]));
    assert_eq!((table.queued_tombstones(), table.len()), (1, 5));
    // A tombstone that was kept and gets a value is not asked for, until it is one again.
    insert(&mut table, 4, 8, Some(b"third"));
    table.requeue_tombstones();
    let (looked_at, seen) = sweep(&mut table, 2, &|_, _| Verdict::Drop);
    assert_eq!((looked_at, seen), (2, vec![(0, 2)]));
    insert(&mut table, 4, 9, None);
    assert_eq!(sweep(&mut table, 10, &|_, _| Verdict::Drop), (2, vec![(3, 7), (4, 9)]));
    assert_eq!((table.queued_tombstones(), table.len()), (0, 2));
}

/// A place that another entry has taken says nothing of that one, whatever their hashes are.
#[test]
fn a_tombstone_that_is_gone_is_not_taken_for_what_is_in_its_place() {
    const EACH: u32 = 900;
    for mask in [u64::MAX, 0xFF_FFFF, 0xFFFF, 0x1FF, 0] {
        let mut table = with_hash_mask(mask);
        let key = |n: u32| [[0, 0, 0, 1], n.to_le_bytes()].concat();
        for round in 0..4 {
            for n in 0..EACH {
                table.insert(&whole(&table, &key(n)), round, None).unwrap();
            }
            for n in 0..EACH {
                assert!(table.remove(&whole(&table, &key(n))));
            }
            // In their places every other is a tombstone again.
            for n in EACH..2 * EACH {
                table.insert(&whole(&table, &key(n)), round, (n % 2 == 0).then_some(&[])).unwrap();
            }
            table.sweep_tombstones(usize::MAX, &mut |key, _| {
                assert_eq!(key[4] % 2, 1, "a value was taken for a tombstone");
                Verdict::Drop
            });
            assert_eq!((table.len(), table.queued_tombstones()), (EACH as usize / 2, 0));
            for n in EACH..2 * EACH {
                assert_eq!(table.remove(&whole(&table, &key(n))), n % 2 == 0, "{n}, of hashes within {mask:x}");
            }
            assert!(table.is_empty());
        }
    }
}

/// However often a key is written and deleted, and moved because its value is longer, its tombstone is queued once.
#[test]
fn a_key_is_queued_once() {
    let mut table = Table::new(1);
    let key = |n: u32| [[0, 0, 0, 1], n.to_le_bytes()].concat();
    for (round, n) in (0..40_u32).flat_map(|round| (0..100).map(move |n| (round, n))) {
        let value = vec![1; round as usize % 7 * 40];
        table.insert(&whole(&table, &key(n)), round, Some(&value)).unwrap();
        table.insert(&whole(&table, &key(n)), round, None).unwrap();
        if n == 99 && round % 10 == 0 {
            table.sweep_tombstones(50, &mut |_, _| Verdict::Keep);
        }
    }
    // Those that are kept, too, once they are to be looked at again.
    table.requeue_tombstones();
    assert_eq!(table.queued_tombstones(), 100);
    assert_eq!(table.sweep_tombstones(1000, &mut |_, _| Verdict::Drop), 100);
    assert!(table.is_empty());
}

/// The queue is counted as memory of the table, and gives it back.
#[test]
fn queued_tombstones_take_memory_until_they_are_looked_at() {
    const COUNT: u32 = 100_000;
    let mut table = Table::new(1);
    let key = |n: u32| [[0, 0, 0, 1], n.to_le_bytes()].concat();
    for n in 0..COUNT {
        table.insert(&whole(&table, &key(n)), 1, Some(b"value")).unwrap();
    }
    let before = table.resident_bytes();
    for n in 0..COUNT {
        table.insert(&whole(&table, &key(n)), 2, None).unwrap();
    }
    let queued = table.resident_bytes() - before;
    assert!((u64::from(COUNT) * 16..u64::from(COUNT) * 17).contains(&queued), "{queued}");
    // Those that are kept are no fewer.
    table.sweep_tombstones(COUNT as usize, &mut |_, _| Verdict::Keep);
    assert!(table.resident_bytes() - before >= u64::from(COUNT) * 16);
    table.requeue_tombstones();
    table.sweep_tombstones(COUNT as usize - 1, &mut |_, _| Verdict::Drop);
    assert!(table.resident_bytes() < 2 << 20, "{}", table.resident_bytes());
}

/// Changes of a small table take their places at once; those of a larger one wait for the next few.
#[test]
fn changes_arrive_where_a_table_is_not_small() {
    let key = |n: u32| [[0, 0, 0, 1], n.to_le_bytes()].concat();
    for (small_bytes, arriving) in [(0, true), (u64::MAX, false), (10_000, true), (1 << 20, false)] {
        let mut table = Table::new(1);
        table.set_small_bytes(small_bytes);
        for n in 0..1000 {
            table.write(&whole(&table, &key(n)), 1, Some(b"value")).unwrap();
        }
        assert_eq!(!table.arriving.is_empty(), arriving, "{small_bytes}");
    }
}
