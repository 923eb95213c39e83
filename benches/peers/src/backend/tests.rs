//! What the benches rely on, held against `BTreeMap` for every store: a faster answer that is wrong would win every table.

use std::collections::BTreeMap;

use super::{Backend, Checkpoint, Job, Key, Outcome, Setup, Store};

const CHANGES: usize = 20_000;
const BATCH: usize = 700;

/// Keys with many in few groups, so that changes meet each other and scans find something.
fn key(rng: &mut fastrand::Rng) -> Key {
    let mut key = [7; 16];
    key[7] = rng.u8(..40);
    key[15] = rng.u8(..50);
    key
}

struct Contract<'a>(&'a std::path::Path);

impl Job for Contract<'_> {
    type Output = ();

    fn run<B: Backend>(self) -> Outcome {
        let setup = Setup::for_keys(2_000);
        let mut store = B::open(self.0, setup)?;
        let mut model: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
        let mut rng = fastrand::Rng::with_seed(1);
        for number in 0..CHANGES {
            let changed = key(&mut rng);
            if rng.u8(..4) == 0 {
                store.delete(&changed)?;
                model.remove(&changed);
            } else {
                let value: Vec<u8> = (0..rng.usize(..200)).map(|_| rng.u8(1..)).collect();
                store.put(&changed, &value)?;
                model.insert(changed, value);
            }
            if number % 7 == 0 {
                compare(&mut store, &model, &mut rng)?;
            }
            if number % BATCH == 0 {
                store.commit()?;
                compare(&mut store, &model, &mut rng)?;
            }
        }
        store.commit()?;
        store.settle()?;
        compare_all(&mut store, &model)?;
        if B::IS_DURABLE {
            let checkpoint = store.checkpoint(&self.0.with_extension("checkpoint"))?;
            // What follows must not show in it.
            let place = checkpoint.wait()?;
            assert!(place.is_dir(), "{} is no directory", place.display());
        }
        store.close()
    }
}

fn compare<B: Backend>(store: &mut B, model: &BTreeMap<Key, Vec<u8>>, rng: &mut fastrand::Rng) -> Outcome {
    let asked = key(rng);
    assert_eq!(store.get(&asked, <[u8]>::to_vec)?.as_ref(), model.get(&asked));
    if B::IS_ORDERED {
        let prefix = &asked[..8];
        let mut found = Vec::new();
        store.scan(prefix, |key, value| found.push((*key, value.to_vec())))?;
        let expected: Vec<_> = model.iter().filter(|(key, _)| key.starts_with(prefix)).collect();
        assert!(found.iter().map(|(key, value)| (key, value)).eq(expected), "a scan differs");
    }
    Ok(())
}

fn compare_all<B: Backend>(store: &mut B, model: &BTreeMap<Key, Vec<u8>>) -> Outcome {
    for (key, value) in model {
        assert_eq!(store.get(key, <[u8]>::to_vec)?.as_ref(), Some(value));
    }
    if B::IS_ORDERED {
        let mut count = 0;
        store.scan(&[], |_, _| count += 1)?;
        assert_eq!(count, model.len());
    }
    Ok(())
}

fn holds(store: Store) {
    let dir = tempfile::tempdir().unwrap();
    store.run(Contract(&dir.path().join("store"))).unwrap();
}

#[test]
fn ours() {
    holds(Store::Laminar);
}

#[cfg(feature = "rocksdb")]
#[test]
fn rocksdb() {
    holds(Store::Rocksdb);
}

#[test]
fn lmdb() {
    holds(Store::Lmdb);
}

#[test]
fn redb() {
    holds(Store::Redb);
}

#[test]
fn fjall() {
    holds(Store::Fjall);
}

#[test]
fn maps() {
    holds(Store::Hashmap);
    holds(Store::Btreemap);
}

/// What was put between the start of a checkpoint and its end belongs to the next one.
#[test]
fn a_checkpoint_says_when_it_is_done() {
    struct Makes<'a>(&'a std::path::Path);
    impl Job for Makes<'_> {
        type Output = ();
        fn run<B: Backend>(self) -> Outcome {
            let mut store = B::open(&self.0.join("store"), Setup::for_keys(1))?;
            store.put(&[1; 16], b"a")?;
            store.commit()?;
            let checkpoint: Checkpoint = store.checkpoint(&self.0.join("checkpoint"))?;
            while !checkpoint.is_done() {
                std::thread::yield_now();
            }
            assert!(std::fs::read_dir(checkpoint.wait()?)?.next().is_some());
            Ok(())
        }
    }
    for store in [Store::Laminar, Store::Lmdb, Store::Redb, Store::Fjall] {
        let dir = tempfile::tempdir().unwrap();
        store.run(Makes(dir.path())).unwrap();
    }
}
