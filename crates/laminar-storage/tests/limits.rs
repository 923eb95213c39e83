//! Limits that are noticed in time: what is refused was not logged, so that log and table never disagree.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_lossless,
    clippy::big_endian_bytes,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test stops at what it does not expect, makes its keys by hand, and prepares directories"
)]

use laminar_storage::{Error, StateStore, StoreOptions, WalStateStore, format};
use laminar_vfs::sim::SimDisk;

fn open(disk: &SimDisk, options: StoreOptions) -> WalStateStore {
    WalStateStore::open("/store", options.env(disk.env()).segment_bytes(1 << 20)).unwrap().0
}

fn small_table() -> StoreOptions {
    StoreOptions::new().table_limit_bytes(8 << 20)
}

/// Puts until the table is full, and returns how many there was room for.
fn fill(store: &mut WalStateStore) -> u64 {
    for n in 0..1_000_000_u64 {
        match store.put(&n.to_be_bytes(), &[n as u8; 500]) {
            Ok(()) => {}
            Err(Error::TableFull { limit: 8_388_608, .. }) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the table is never full");
}

#[test]
fn a_full_table_refuses_before_it_logs() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk, small_table());
    let count = fill(&mut store);
    assert!(count > 10, "{count}");
    // Neither has it happened here, nor is it in the log.
    assert_eq!(store.get(&count.to_be_bytes()).unwrap(), None);
    assert_eq!(store.len().unwrap(), count);
    store.commit().unwrap().wait().unwrap();
    drop(store);
    let store = open(&disk.crash_lose_all(), StoreOptions::new());
    assert_eq!(store.len().unwrap(), count, "what was refused is in the log");
    assert_eq!(store.get(&count.to_be_bytes()).unwrap(), None);
}

#[test]
fn what_is_still_arriving_counts() {
    let (mut taken, mut refused) = (0, 0);
    // One of these numbers of entries fills a chunk, and a few of them have not come to their places when the large one is put.
    for count in 3632..3652_u64 {
        let disk = SimDisk::new(1);
        let options = || StoreOptions::new().table_limit_bytes(16 << 20).small_table_bytes(0);
        let mut store = open(&disk, options());
        for n in 0..count {
            store.put(&n.to_be_bytes(), &[n as u8; 500]).unwrap();
        }
        let large = vec![5; 13 << 20];
        let is_taken = match store.put(b"large", &large) {
            Ok(()) => true,
            Err(Error::TableFull { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        if is_taken {
            taken += 1
        } else {
            refused += 1
        }
        assert_eq!(store.contains(b"large").unwrap(), is_taken);
        store.commit().unwrap().wait().unwrap();
        drop(store);
        let store = open(&disk.crash_lose_all(), StoreOptions::new());
        assert_eq!(store.contains(b"large").unwrap(), is_taken, "what was refused is in the log: {count} before");
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}

#[test]
fn a_full_table_takes_what_has_room_already() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk, small_table());
    let count = fill(&mut store);
    store.put(&0_u64.to_be_bytes(), &[9; 500]).unwrap();
    assert!(matches!(store.put(&1_u64.to_be_bytes(), &[9; 5000]), Err(Error::TableFull { .. })));
    store.delete(&2_u64.to_be_bytes()).unwrap();
    let check = |store: &WalStateStore| {
        assert_eq!(store.get(&0_u64.to_be_bytes()).unwrap(), Some(&[9; 500][..]));
        assert_eq!(store.get(&1_u64.to_be_bytes()).unwrap(), Some(&[1; 500][..]));
        assert_eq!(store.get(&2_u64.to_be_bytes()).unwrap(), None);
        assert_eq!(store.len().unwrap(), count - 1);
    };
    check(&store);
    store.commit().unwrap().wait().unwrap();
    drop(store);
    // A recovery within the same limit finds the same room.
    check(&open(&disk.crash_lose_all(), small_table()));
}

/// A memory budget that is never reached does not keep what a checkpoint holds: the table is full all the same.
#[test]
fn a_full_table_lets_go_of_what_a_checkpoint_holds() {
    for budget in [1 << 20, 64 << 20, u64::MAX] {
        let disk = SimDisk::new(1);
        let mut store = open(&disk, small_table().memory_budget(budget).checkpoint_log_bytes(u64::MAX));
        let count = fill(&mut store);
        store.commit().unwrap();
        store.checkpoint().unwrap().wait().unwrap();
        store.commit().unwrap();
        // Of another size, so that the room of one that is gone does not do.
        for n in count..count + 1000 {
            store.put(&n.to_be_bytes(), &[n as u8; 600]).unwrap();
        }
        let is_there = |n: u64| store.get(&n.to_be_bytes()).unwrap().is_some_and(|value| value[0] == n as u8);
        assert!((0..count + 1000).all(is_there));
        // Nothing of these is in a checkpoint: at some time there is no more to be had, and no change is half made.
        let more =
            (count + 1000..1_000_000).take_while(|n| store.put(&n.to_be_bytes(), &[0; 600]).is_ok()).count() as u64;
        assert!(more < 20_000, "{more}");
        assert_eq!(store.len().unwrap(), count + 1000 + more);
    }
}

#[test]
fn large_values_count_by_their_bytes() {
    for (bytes, fit) in [(16 << 20, 0..=0), (5 << 20, 1..=1), ((1 << 20) + 1, 4..=7)] {
        let disk = SimDisk::new(1);
        let mut store = open(&disk, small_table());
        let value = vec![7; bytes];
        let count = (0..100_u64).take_while(|n| match store.put(&n.to_be_bytes(), &value) {
            Ok(()) => true,
            Err(Error::TableFull { limit: 8_388_608, .. }) => false,
            Err(error) => panic!("{error}"),
        });
        let count = count.count() as u64;
        assert!(fit.contains(&count), "{count} values of {bytes} bytes");
        store.commit().unwrap().wait().unwrap();
        drop(store);
        // What was accepted is replayed within the same limit.
        let store = open(&disk.crash_lose_all(), small_table());
        assert_eq!(store.len().unwrap(), count);
        assert!((0..count).all(|n| store.get(&n.to_be_bytes()).unwrap() == Some(&value[..])));
    }
}

#[test]
fn a_full_table_opens_again_and_takes_what_fits() {
    for deleted in [100, 1] {
        let disk = SimDisk::new(1);
        let mut store = open(&disk, small_table());
        let count = fill(&mut store);
        store.commit().unwrap().wait().unwrap();
        drop(store);
        let mut store = open(&disk, small_table());
        assert_eq!(store.len().unwrap(), count);
        // A deleted entry's space is there again for one of its size, once the deletion is committed and swept.
        for n in 0..deleted {
            store.delete(&u64::to_be_bytes(n)).unwrap();
        }
        store.commit().unwrap().wait().unwrap();
        for n in count..count + deleted {
            // Tombstones are looked at with every change, also with one that is refused.
            let mut tries = 0..count;
            let has_room = |error: Option<Error>| match error {
                None => true,
                Some(Error::TableFull { .. }) => false,
                Some(error) => panic!("{error}"),
            };
            let put = tries.any(|_| has_room(store.put(&n.to_be_bytes(), &[7; 500]).err()));
            assert!(put, "{deleted} deleted entries make no room for another {}", n - count + 1);
        }
        assert_eq!(store.len().unwrap(), count);
        store.commit().unwrap().wait().unwrap();
        drop(store);
        // A recovery replays all of it before anything is swept, and needs a higher limit.
        let store = open(&disk.crash_lose_all(), StoreOptions::new());
        assert_eq!(store.len().unwrap(), count);
        assert_eq!(store.get(&0_u64.to_be_bytes()).unwrap(), None);
        assert_eq!(store.get(&count.to_be_bytes()).unwrap(), Some(&[7; 500][..]));
    }
}

#[test]
fn source_offsets_are_bounded_by_bytes_so_that_every_commit_fits_into_a_record() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk, StoreOptions::new());
    let name = |n: u64| format!("{n:08}{}", "x".repeat(format::MAX_NAME_BYTES - 8));
    let mut set = 0;
    let refused = loop {
        match store.set_source_offset(&name(set), set) {
            Ok(()) => set += 1,
            Err(error) => break error,
        }
        // Bounded over commits too: all of them go into every manifest.
        if set == 5000 {
            store.commit().unwrap();
        }
        assert!(set < 100_000, "the names are never too many");
    };
    assert!(matches!(refused, Error::TooLarge { what: "set of source offsets", limit: 67_108_864, .. }), "{refused}");
    assert_eq!(store.source_offset(&name(set)), None);
    // What is known can be set on, and all of it is committed.
    for n in (7..set).step_by(100) {
        store.set_source_offset(&name(n), n + 1).unwrap();
    }
    store.commit().unwrap().wait().unwrap();
    drop(store);
    let store = open(&disk.crash_lose_all(), StoreOptions::new());
    assert_eq!(store.source_offsets().len() as u64, set);
    assert_eq!(store.source_offset(&name(7)), Some(8));
}

#[test]
fn a_removed_source_makes_room_for_another_with_its_commit() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk, StoreOptions::new());
    let name = |n: u64| format!("{n:08}{}", "x".repeat(format::MAX_NAME_BYTES - 8));
    let count = (0..100_000).take_while(|&n| store.set_source_offset(&name(n), n).is_ok()).count() as u64;
    let is_full = |error: Error| matches!(error, Error::TooLarge { what: "set of source offsets", .. });
    store.commit().unwrap();
    // Files that are rotated for ever: each name comes once.
    for n in 0..100 {
        assert!(store.remove_source_offset(&name(n)).unwrap());
        assert!(is_full(store.set_source_offset(&name(count + n), 0).unwrap_err()), "the record has to hold both");
        store.commit().unwrap();
        store.set_source_offset(&name(count + n), n).unwrap();
        assert!(is_full(store.set_source_offset(&name(count + n + 1), 0).unwrap_err()));
    }
    store.commit().unwrap().wait().unwrap();
    drop(store);
    let mut store = open(&disk.crash_lose_all(), StoreOptions::new());
    assert_eq!(store.source_offsets().len() as u64, count);
    assert_eq!((store.source_offset(&name(99)), store.source_offset(&name(count + 99))), (None, Some(99)));
    assert!(
        is_full(store.set_source_offset(&name(99), 0).unwrap_err()),
        "what was removed does not count, all else does"
    );
    // Removed and set again it counts once.
    for n in 100..200 {
        store.remove_source_offset(&name(n)).unwrap();
        store.set_source_offset(&name(n), 1).unwrap();
    }
    store.commit().unwrap();
    assert!(is_full(store.set_source_offset(&name(99), 0).unwrap_err()));
}
