//! Real threads on the real disk: a writer, checkpoints and merges behind it, readers beside it, and openings after a store was
//! dropped in the middle of all that. Whatever the schedule, the state is that of the model.
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

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use laminar_checkpoint::CheckpointOptions;
use laminar_storage::{Checkpoint, Env, Error, StateStore, StoreOptions, WalStateStore};
use laminar_vfs::Kind;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn options() -> StoreOptions {
    StoreOptions::new().segment_bytes(128 << 10).buffer_bytes(16 << 10).checkpoint_log_bytes(64 << 10)
}

fn open(dir: &Path) -> WalStateStore {
    WalStateStore::open(dir, options()).unwrap().0
}

fn assert_holds(store: &WalStateStore, model: &Model) {
    let mut expected = model.iter();
    for entry in store.range_scan((Bound::Unbounded, Bound::Unbounded)).unwrap() {
        let (key, value) = entry.unwrap();
        let (expected_key, expected_value) = expected.next().expect("an entry too many");
        assert!(key == expected_key && value == expected_value, "{key:?} where {expected_key:?} belongs");
    }
    assert_eq!(expected.next(), None);
    for (key, value) in model {
        assert_eq!(store.get(key).unwrap(), Some(value.as_slice()));
    }
}

/// A random change, to store and model alike.
fn change(store: &mut WalStateStore, model: &mut Model, rng: &mut fastrand::Rng) {
    let key = format!("key-{:04}", rng.u32(..2000)).into_bytes();
    if rng.u8(..5) == 0 {
        store.delete(&key).unwrap();
        model.remove(&key);
    } else {
        let value = vec![rng.u8(..); rng.usize(..300)];
        store.put(&key, &value).unwrap();
        model.insert(key, value);
    }
}

/// Commit number `n`: every key says `n`, so that a reader sees at a glance whether it has all of one commit.
fn commit_all(store: &mut WalStateStore, n: u64) {
    for key in 0..50_u8 {
        store.put(&[key], &n.to_le_bytes()).unwrap();
    }
    store.set_source_offset("n", n).unwrap();
    store.commit().unwrap();
}

fn checkpoint_dirs(dir: &Path) -> Vec<PathBuf> {
    let entries = Env::real().vfs.list(dir).unwrap_or_default();
    let is_checkpoint = |name: &str| name.starts_with("checkpoint-") && !name.ends_with(".tmp");
    let dirs =
        entries.into_iter().filter(|entry| entry.kind == Kind::Dir && is_checkpoint(entry.name.to_str().unwrap()));
    dirs.map(|entry| dir.join(entry.name)).collect()
}

#[test]
fn readers_of_checkpoints_see_whole_commits_while_the_writer_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let mut store = open(&dir);
    store.enable_checkpointing(Duration::from_millis(1), 2).unwrap();
    let ended = AtomicBool::new(false);
    let read_once = |newest: &mut u64| {
        let mut opened = 0;
        for path in checkpoint_dirs(&dir.join("checkpoints")) {
            let checkpoint = match Checkpoint::open(&path, &CheckpointOptions::new()) {
                Ok(checkpoint) => checkpoint,
                // Retired between the listing and the opening.
                Err(laminar_checkpoint::Error::Missing { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            opened += 1;
            let n = checkpoint.source_offsets()["n"];
            for key in 0..50_u8 {
                let value = checkpoint.get(&[0, 0, 0, 1, key]).unwrap().unwrap();
                assert_eq!(value, n.to_le_bytes(), "a checkpoint holds half of commit {n}");
            }
            assert_eq!(checkpoint.prefix(&[0, 0, 0, 1]).count(), 50);
            *newest = n.max(*newest);
        }
        opened
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut newest, mut opened) = (0, 0);
                    while !ended.load(Ordering::Relaxed) {
                        opened += read_once(&mut newest);
                    }
                    (newest, opened)
                })
            })
            .collect();
        // As long as it takes, which depends on the disk and on who else uses it.
        for n in 1..=50_000 {
            commit_all(&mut store, n);
            if n % 10 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            if n >= 500 && store.attached_checkpoint().is_some_and(|checkpoint| checkpoint.id() > 8) {
                break;
            }
        }
        ended.store(true, Ordering::Relaxed);
        for reader in readers {
            let (newest, opened) = reader.join().unwrap();
            assert!(newest > 0 && opened > 10, "a reader got to see {opened} checkpoints up to commit {newest}");
        }
    });
    assert!(store.attached_checkpoint().is_some_and(|checkpoint| checkpoint.id() > 8), "few checkpoints were made");
    if let Some(error) = store.take_upkeep_error() {
        panic!("{error}");
    }
}

#[test]
fn a_store_that_is_dropped_again_and_again_holds_what_was_committed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let mut rng = fastrand::Rng::with_seed(9);
    let mut committed = Model::new();
    let mut checkpoints = 0;
    for round in 0..25 {
        let (mut store, report) = WalStateStore::open(&dir, options()).unwrap();
        assert!(!report.is_degraded(), "{report:?}");
        checkpoints = report.checkpoint.unwrap_or(0);
        assert_holds(&store, &committed);
        store.enable_checkpointing(Duration::from_millis(1), 2).unwrap();
        let mut model = committed.clone();
        for _ in 0..rng.u32(1..30) {
            for _ in 0..rng.u32(1..100) {
                change(&mut store, &mut model, &mut rng);
            }
            if rng.bool() {
                store.commit().unwrap();
                committed.clone_from(&model);
            }
        }
        assert_holds(&store, &model);
        match round % 3 {
            0 => store.close().unwrap(),
            // In the middle of a checkpoint.
            1 => drop(store.checkpoint().unwrap()),
            _ => {}
        }
        drop(store);
    }
    assert!(checkpoints > 3, "{checkpoints} checkpoints were made");
    assert_holds(&open(&dir), &committed);
}

#[test]
fn the_writer_goes_on_while_checkpoints_are_made_merged_and_taken_into_use() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let mut store = open(&dir);
    store.enable_checkpointing(Duration::from_millis(5), 2).unwrap();
    let mut rng = fastrand::Rng::with_seed(10);
    let (mut model, mut adopted, mut most) = (Model::new(), 0, 0);
    // As long as it takes, which depends on the disk and on who else uses it.
    for round in 0..100_000 {
        if round > 500 && adopted > 12 {
            break;
        }
        for _ in 0..20 {
            change(&mut store, &mut model, &mut rng);
        }
        store.commit().unwrap();
        if round % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let attached = store.attached_checkpoint().map(|checkpoint| (checkpoint.id(), checkpoint.runs().len()));
        if let Some((id, runs)) = attached.filter(|(id, _)| *id != adopted) {
            adopted = id;
            most = runs.max(most);
        }
        if round % 100 == 0 {
            assert_holds(&store, &model);
        }
    }
    assert_holds(&store, &model);
    assert!(adopted > 12, "{adopted} checkpoints were taken into use");
    assert!(most <= 16, "{most} runs");
    assert!(store.take_upkeep_error().is_none());
    // Killed: what is with the operating system stays.
    drop(store);
    assert_holds(&open(&dir), &model);
    let wal: Vec<_> = Env::real().vfs.list(&dir.join("wal")).unwrap();
    let segments = wal.iter().filter(|entry| entry.name.to_str().unwrap().ends_with(".wal")).count();
    assert!(segments < 60, "{segments} segments of log are kept for two checkpoints");
}

#[test]
fn runs_stay_few_where_checkpoints_follow_one_another_without_a_pause() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(&root.path().join("store"));
    // A base that takes many steps to merge.
    for n in 0..60_000_u32 {
        store.put(&n.to_be_bytes(), &[1; 64]).unwrap();
    }
    store.commit().unwrap();
    let mut most = 0;
    for n in 0..60_u32 {
        for k in 0..600 {
            store.put(&(n * 600 + k).to_be_bytes(), &[2; 64]).unwrap();
        }
        store.commit().unwrap();
        most = most.max(store.checkpoint().unwrap().wait().unwrap().runs);
    }
    assert!(most <= 16, "{most} runs");
    assert_eq!(store.len().unwrap(), 60_000);
}

#[test]
fn one_store_passes_from_thread_to_thread() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let mut store = open(&dir);
    for n in 1..=8 {
        store = std::thread::scope(|scope| {
            let turn = scope.spawn(move || {
                commit_all(&mut store, n);
                store.checkpoint().unwrap().wait().unwrap();
                store
            });
            turn.join().unwrap()
        });
        assert_eq!(store.source_offset("n"), Some(n));
    }
    // Read by several at a time.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..50_u8 {
                    assert_eq!(store.get(&[key]).unwrap(), Some(&8_u64.to_le_bytes()[..]));
                }
                assert_eq!(store.len().unwrap(), 50);
            });
        }
    });
}

#[test]
fn of_many_who_open_one_directory_one_gets_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    for round in 1..=10_u64 {
        let opened: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| WalStateStore::open(&dir, options()))).collect();
            all.into_iter().map(|opener| opener.join().unwrap()).collect()
        });
        let mut owners = Vec::new();
        for result in opened {
            match result {
                Ok((store, _)) => owners.push(store),
                Err(error) => assert!(error.is_locked(), "{error}"),
            }
        }
        assert!(owners.len() <= 1, "{} owners", owners.len());
        let mut store = owners.pop().unwrap_or_else(|| open(&dir));
        assert_eq!(store.source_offset("n").unwrap_or(0), round - 1);
        commit_all(&mut store, round);
        assert!(matches!(WalStateStore::open(&dir, options()), Err(Error::Locked { .. })));
    }
}

#[test]
fn a_check_of_everything_takes_nothing_for_damage_that_is_retired_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(&root.path().join("store"));
    for n in 1..=60 {
        for _ in 0..5 {
            (0..50_u8).for_each(|key| store.put(&[key, key], &[key; 500]).unwrap());
            commit_all(&mut store, n);
        }
        drop(store.checkpoint().unwrap());
        let report = store.verify(&mut |_| {}).unwrap();
        assert!(report.is_whole(), "check {n}: {:?}", report.damaged);
    }
}
