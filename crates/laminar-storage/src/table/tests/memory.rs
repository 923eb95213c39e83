//! What memory a table takes, and gives back.

use super::*;

#[test]
fn memory_goes_back_when_entries_go() {
    let mut table = ordered();
    let key = |n: u32| n.to_le_bytes();
    for n in 0..300_000_u32 {
        table.insert(&whole(&table, &key(n)), 1, Some(&[1; 100])).unwrap();
    }
    let full = table.arena.resident_bytes();
    for n in 0..300_000_u32 {
        table.remove(&whole(&table, &key(n)));
    }
    assert!(table.is_empty() && table.bytes() == 0);
    assert!(table.arena.resident_bytes() < full / 5, "{} of {full}", table.arena.resident_bytes());
}

#[test]
fn overwriting_takes_no_more_memory() {
    let mut table = Table::new(1);
    let mut insert = |round: u32, n: u32, value: Option<&[u8]>| {
        table.insert(&whole(&table, &n.to_le_bytes()), round, value).unwrap();
        table.arena.resident_bytes()
    };
    for n in 0..1000 {
        insert(0, n, Some(&[1; 100]));
    }
    let first = insert(0, 0, Some(&[1; 100]));
    for round in 1..20 {
        for n in 0..1000 {
            let value = (round + n) % 3 > 0;
            insert(round, n, value.then_some(&[2; 100]));
        }
    }
    assert_eq!(insert(20, 0, None), first);
}

#[test]
fn large_entries_have_chunks_of_their_own_and_give_them_back() {
    let mut table = Table::new(1);
    let large = vec![9; 16 << 20];
    for round in 0..3 {
        for n in 0..4_u8 {
            table.insert(&whole(&table, &[0, 0, 0, n]), round, Some(&large)).unwrap();
        }
        table.insert(&whole(&table, &large), round, None).unwrap();
        assert_eq!(table.get(&whole(&table, &[0, 0, 0, 3])).unwrap().value, Some(large.as_slice()));
        assert_eq!(table.range(Bound::Excluded(&[0, 0, 0, 3]), Bound::Unbounded).next().unwrap().0, large);
        assert!(table.resident_bytes() > 80 << 20);
        for n in 0..4_u8 {
            assert!(table.remove(&whole(&table, &[0, 0, 0, n])));
        }
        assert!(table.remove(&whole(&table, &large)));
        table.release();
        assert!(table.resident_bytes() < 1 << 20, "{}", table.resident_bytes());
    }
    let too_large = vec![0; block::MAX_BYTES + 1];
    for (key, value) in [(&[0; 4][..], Some(too_large.as_slice())), (&too_large, None)] {
        let error = table.insert(&whole(&table, key), 1, value).unwrap_err();
        assert!(matches!(error, crate::Error::TooLarge { limit, .. } if limit == block::MAX_BYTES as u64));
    }
    assert!(table.is_empty());
}

#[test]
fn what_was_written_has_room_also_where_the_limit_comes_near() {
    const LIMIT: u64 = 16 << 20;
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..3 {
        let (mut table, mut model) = (Table::new(1), BTreeMap::new());
        table.set_limit(LIMIT);
        loop {
            let key = rng.u32(..100_000).to_le_bytes().repeat(2);
            let bytes = if rng.u32(..500) == 0 { rng.usize(..3 << 20) } else { rng.usize(..600) };
            let value = vec![1; bytes];
            if table.check_room(&whole(&table, &key), Some(bytes)).is_err() {
                table.write(&whole(&table, &key), 1, Some(&value)).expect_err("there was none");
                break;
            }
            table.write(&whole(&table, &key), 1, Some(&value)).expect("there was room");
            model.insert(key, bytes);
        }
        assert_eq!(table.len(), model.len());
        let bytes_of = |key: &[u8]| table.get(&whole(&table, key)).and_then(|entry| entry.value).map(<[u8]>::len);
        assert!(model.iter().all(|(key, bytes)| bytes_of(key) == Some(*bytes)));
        assert!(table.resident_bytes() > LIMIT / 2);
    }
}

#[test]
fn the_limit_counts_large_entries_by_their_bytes() {
    const LIMIT: usize = 8 << 20;
    for bytes in [300 << 10, (1 << 20) - 100, (1 << 20) + 1, 3 << 20, 5 << 20, 7 << 20, 9 << 20, 16 << 20] {
        let mut table = Table::new(1);
        table.set_limit(LIMIT as u64);
        let value = vec![1; bytes];
        let count = (0..100_u32).take_while(|n| {
            let name = n.to_le_bytes();
            let room = table.check_room(&table.key(*b"test", &name), Some(bytes)).is_ok();
            assert_eq!(table.insert(&table.key(*b"test", &name), 1, Some(&value)).is_ok(), room, "{bytes}: {n}");
            room
        });
        // Within 4 MiB, and up to an entry more that does not fit whole.
        let count = count.count();
        assert!(count * bytes <= LIMIT && (count + 1) * bytes + (4 << 20) > LIMIT, "{count} of {bytes}");
        // What is removed makes room again, for others too.
        for n in 0..u32::try_from(count).unwrap() {
            assert!(table.remove(&table.key(*b"test", &n.to_le_bytes())));
        }
        table.release();
        for n in 0..5_000_u32 {
            table.insert(&table.key(*b"test", &n.to_le_bytes()), 1, Some(&[1; 1000])).expect("5 MB of 8");
        }
    }
}

#[test]
fn a_large_entry_that_is_replaced_needs_room_for_both_at_once() {
    let mut table = Table::new(1);
    table.set_limit(16 << 20);
    let (key, larger) = (table.key(*b"test", b"k"), vec![1; 9 << 20]);
    table.insert(&key, 1, Some(&larger[1 << 20..])).unwrap();
    let error = table.insert(&key, 2, Some(&larger)).unwrap_err();
    assert!(matches!(error, crate::Error::TableFull { limit: 16_777_216, .. }), "{error}");
    assert_eq!(table.get(&key).unwrap().mark, 1);
    // As long as before, it is written over.
    table.insert(&key, 2, Some(&larger[1 << 20..])).unwrap();
    table.remove(&key);
    table.insert(&key, 3, Some(&larger)).unwrap();
}

#[test]
fn entries_of_sixteen_and_a_hundred_bytes_begin_with_a_cache_line() {
    assert_eq!(block::Layout::new(SPACE_BYTES + 16, 100).cells() * block::CELL_BYTES, 128);
    let mut table = Table::new(1);
    for n in 0..10_000_u64 {
        let name = [n.to_le_bytes(), [0; 8]].concat();
        table.insert(&table.key(*b"test", &name), 1, Some(&[7; 100])).unwrap();
        let value = table.get(&table.key(*b"test", &name)).unwrap().value.unwrap();
        assert_eq!(value.as_ptr().addr() % 64, 32, "four bytes, header and key are before it");
    }
}

#[test]
fn a_small_table_is_small() {
    let mut table = Table::new(1);
    assert_eq!(table.resident_bytes(), 0);
    table.insert(&whole(&table, b"space/k"), 1, Some(b"v")).unwrap();
    assert!(table.resident_bytes() < 16 << 10, "{}", table.resident_bytes());
}

#[test]
fn the_first_entry_may_be_of_any_size() {
    for len in [0, 1000, 20_000, 70_000, 900_000, 1_100_000, 3_000_000] {
        let mut table = Table::new(1);
        let value = vec![7; len];
        let key = table.key(*b"test", b"long");
        table.insert(&key, 1, Some(&value)).unwrap();
        for number in 0..2000u32 {
            let name = number.to_le_bytes();
            table.insert(&table.key(*b"test", &name), 2, Some(&[1; 300])).unwrap();
        }
        assert_eq!(table.get(&key).unwrap().value, Some(value.as_slice()));
        assert!(table.remove(&key));
        assert!((0..2000u32).all(|number| table.get(&table.key(*b"test", &number.to_le_bytes())).is_some()));
    }
}
