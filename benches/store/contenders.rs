//! What is compared, each used as its users would.

use std::collections::BTreeMap;

use laminar_benches::workload::{BATCH_KEYS, Key, Prefix, read};
use laminar_benches::{directory, loaded, time};
use laminar_storage::{StateStore, WalStateStore};

/// Changes in a commit.
const COMMIT_CHANGES: u32 = 1_000;

pub(crate) trait Contender {
    /// A put, and the commit that is due with it.
    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) {
        self.put_alone(key, value);
        self.commit_if_due();
    }

    fn put_alone(&mut self, key: &Key, value: &[u8]);

    /// Hands a commit over, if this contender has such a thing and there were enough changes.
    #[inline]
    fn commit_if_due(&mut self) {}

    /// Waits until what was handed over is on disk, if this contender has such a thing: what the system still writes would slow down what is
    /// timed next.
    fn settle(&mut self) {}

    /// The value, read; nothing if the key is not there.
    fn get(&self, key: &Key) -> Option<u64>;
    /// The values of a batch of keys that are there, which it was told before, read; nothing of a contender that can't be told.
    fn batch(&self, _: &[Key]) -> Option<u64> {
        None
    }
    fn delete(&mut self, key: &Key);
    /// The entries whose key starts with `prefix`, their values read; nothing of a contender without order.
    fn scan(&self, prefix: &Prefix) -> Option<(usize, u64)>;
}

/// Gets of keys that are there, in batches that it is told before: ops/s. Nothing of a contender that can't be told.
pub(crate) fn batch_rate(store: &impl Contender, keys: &[Key]) -> Option<f64> {
    store.batch(&[])?;
    let batches: Vec<&[Key]> = keys.chunks(BATCH_KEYS).collect();
    let batches_a_second = time::rate(&batches, |batch| store.batch(batch));
    Some(batches_a_second * keys.len() as f64 / batches.len() as f64)
}

/// The store, in a directory of its own.
pub(crate) struct Laminar {
    pub(crate) store: WalStateStore,
    changes: u32,
    #[expect(dead_code, reason = "held for its Drop")]
    dir: Option<tempfile::TempDir>,
}

impl Laminar {
    pub(crate) fn new() -> Self {
        let dir = directory::scratch();
        let (store, _) = WalStateStore::open(dir.path(), loaded::options()).expect("a store can be made");
        Self { store, changes: 0, dir: Some(dir) }
    }

    pub(crate) fn of(store: WalStateStore) -> Self {
        Self { store, changes: 0, dir: None }
    }
}

impl Contender for Laminar {
    #[inline]
    fn put_alone(&mut self, key: &Key, value: &[u8]) {
        self.store.put(key, value).expect("there is room");
    }

    #[inline]
    fn commit_if_due(&mut self) {
        self.changes += 1;
        if self.changes == COMMIT_CHANGES {
            self.changes = 0;
            drop(self.store.commit().expect("there is space"));
        }
    }

    fn settle(&mut self) {
        let committed = self.store.commit().expect("there is space");
        committed.wait().expect("the disk is whole");
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<u64> {
        self.store.get(key).expect("the store is whole").map(read)
    }

    #[inline]
    fn batch(&self, keys: &[Key]) -> Option<u64> {
        loaded::tell(&self.store, keys);
        Some(keys.iter().fold(0, |sum, key| sum ^ self.get(key).expect("it was put")))
    }

    #[inline]
    fn delete(&mut self, key: &Key) {
        self.store.delete(key).expect("there is room");
        self.commit_if_due();
    }

    fn scan(&self, prefix: &Prefix) -> Option<(usize, u64)> {
        let entries = self.store.prefix_scan(prefix).expect("the store is whole");
        Some(entries.fold((0, 0), |(count, sum), entry| {
            let (_, value) = entry.expect("the store is whole");
            (count + 1, sum ^ read(value))
        }))
    }
}

/// The general hash map: no order, and it stops to grow.
#[derive(Default)]
pub(crate) struct Hash(hashbrown::HashMap<Key, Box<[u8]>>);

impl Contender for Hash {
    #[inline]
    fn put_alone(&mut self, key: &Key, value: &[u8]) {
        self.0.insert(*key, value.into());
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|value| read(value))
    }

    #[inline]
    fn delete(&mut self, key: &Key) {
        self.0.remove(key);
    }

    fn scan(&self, _: &Prefix) -> Option<(usize, u64)> {
        None
    }
}

/// The sorted map of the standard library.
#[derive(Default)]
pub(crate) struct Tree(BTreeMap<Key, Box<[u8]>>);

impl Contender for Tree {
    #[inline]
    fn put_alone(&mut self, key: &Key, value: &[u8]) {
        self.0.insert(*key, value.into());
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|value| read(value))
    }

    #[inline]
    fn delete(&mut self, key: &Key) {
        self.0.remove(key);
    }

    fn scan(&self, prefix: &Prefix) -> Option<(usize, u64)> {
        let mut lower = [0; 16];
        let (first, _) = lower.split_at_mut(prefix.len());
        first.copy_from_slice(prefix);
        let entries = self.0.range(lower..).take_while(|(key, _)| key.starts_with(prefix));
        Some(entries.fold((0, 0), |(count, sum), (_, value)| (count + 1, sum ^ read(value))))
    }
}
