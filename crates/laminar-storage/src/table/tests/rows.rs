//! Keys that come and go in a row, and leaves that are split and merged meanwhile.

use super::*;

/// As state that is kept by time does: several runs of ascending keys at once, dropped in the same order, some written again with a value of
/// another size while they leave.
#[test]
fn keys_that_come_and_go_in_a_row_keep_their_order() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut table = ordered();
    let mut model = Model::new();
    let key = |stream: u8, n: u64| [&[0, 0, 0, 1, stream], &n.swap_bytes().to_le_bytes()[..]].concat();
    let mut ends = [(0_u64, 0_u64); 4];
    for step in 0..60_000_u32 {
        let stream = random.u8(..4);
        let (first, next) = &mut ends[usize::from(stream)];
        // It grows, and then shrinks, to nothing at times.
        let grows = random.u32(..100) < if step / 5000 % 2 == 0 { 70 } else { 20 };
        if grows {
            *next += random.u64(1..3);
            let key = key(stream, *next);
            let value = vec![stream; random.usize(..60)];
            table.write(&whole(&table, &key), step, Some(&value)).unwrap();
            model.insert(key, (step, Some(value)));
        } else if first < next {
            *first += 1;
            let key = key(stream, *first);
            assert_eq!(table.remove(&whole(&table, &key)), model.remove(&key).is_some());
            if random.u8(..8) == 0 {
                let value = vec![9; random.usize(..200)];
                table.write(&whole(&table, &key), step, Some(&value)).unwrap();
                model.insert(key.clone(), (step, Some(value)));
                if random.bool() {
                    table.remove(&whole(&table, &key));
                    model.remove(&key);
                }
            }
        }
        if step % 500 == 0 {
            check_all(&table, &model);
        }
    }
    check_all(&table, &model);
}

/// Leaves that are merged, and separators that are used again, while keys go on coming to where they came.
#[test]
fn keys_that_come_back_to_merged_leaves_keep_their_order() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut table = ordered();
    let mut model = Model::new();
    let key = |n: u64| [&[0, 0, 0, 1], &n.swap_bytes().to_le_bytes()[..]].concat();
    let mut next = 0;
    let mut append = |table: &mut Table, model: &mut Model, count| {
        for n in next..next + count {
            table.insert(&whole(table, &key(n)), 1, Some(b"new")).unwrap();
            model.insert(key(n), (1, Some(b"new".to_vec())));
        }
        next += count;
        next
    };
    for _ in 0..400 {
        let end = append(&mut table, &mut model, 70);
        let start = random.u64(..end);
        let gone = start..end.min(start + random.u64(..160));
        for n in gone.clone() {
            table.remove(&whole(&table, &key(n)));
            model.remove(&key(n));
        }
        append(&mut table, &mut model, random.u64(..130));
        for n in gone.filter(|_| random.u8(..4) > 0) {
            table.insert(&whole(&table, &key(n)), 2, None).unwrap();
            model.insert(key(n), (2, None));
        }
        check_all(&table, &model);
    }
}

/// A key that comes again before it has left is in the order once, wherever its leaf is split then.
#[test]
fn a_key_that_comes_back_waits_until_it_has_left() {
    let far = |n: u32| [&[0, 0, 0, 2], &n.wrapping_mul(0x9E37_79B9).to_le_bytes()[..]].concat();
    let near = |n: u8| vec![0, 0, 0, 1, n];
    let insert = |table: &mut Table, key: &[u8]| {
        table.insert(&whole(table, key), 1, Some(b"value")).unwrap();
    };
    for (count, at) in (30..66).flat_map(|count| (0..count - 1).map(move |at| (count, at))) {
        let mut table = ordered();
        (0..count).for_each(|n| insert(&mut table, &near(n)));
        (0..600).for_each(|n| insert(&mut table, &far(n)));
        // Two keys of one leaf leave. The next change has the first of them arrive there, and the second left behind.
        for n in [at + 1, at] {
            table.remove(&whole(&table, &near(n)));
        }
        insert(&mut table, &far(600));
        insert(&mut table, &near(at));
        // Not ascending: then leaves are split in their middle.
        (count..200).rev().for_each(|n| insert(&mut table, &near(n)));
        let found = table.range(Bound::Included(&near(0)), Bound::Included(&near(255)));
        let expected = (0..200).filter(|&n| n != at + 1).map(near);
        assert!(found.map(|(key, _)| key.to_vec()).eq(expected), "{at} of {count}");
    }
}

/// They find their leaf without a descent, and so are in the order at once.
#[test]
fn keys_in_a_row_do_not_wait_for_their_place() {
    let mut table = ordered();
    let key = |stream: u8, n: u32| [&[0, 0, 0, 1, stream], &n.swap_bytes().to_le_bytes()[..]].concat();
    let mut waited = 0;
    for n in 0..10_000 {
        for stream in 0..3 {
            table.insert(&whole(&table, &key(stream, n)), 1, Some(b"value")).unwrap();
            waited += table.order.waiting().filter(|&slot| table.arena.key(slot) == key(stream, n)).count();
        }
    }
    assert!(waited < 300, "{waited} of 30,000");
    for n in 0..9_900 {
        assert!(table.remove(&whole(&table, &key(1, n))));
        waited += table.order.leaving().filter(|&slot| table.arena.key(slot) == key(1, n)).count();
    }
    assert!(waited < 600, "{waited} of 39,900");
}
