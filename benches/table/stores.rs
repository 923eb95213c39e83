//! The stores that are compared, each used as its users would.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use laminar_storage::table::Table;
use laminar_vfs::{PageSource, Threads};

use crate::workload::Key;

pub(crate) trait Store {
    const NAME: &str;
    const IS_ORDERED: bool;

    fn new_empty() -> Self;
    fn put(&mut self, key: &Key, value: &[u8]);
    fn get(&self, key: &Key) -> Option<&[u8]>;
    fn delete(&mut self, key: &Key);
    /// Visits the values of the keys that start with `prefix`.
    fn scan(&self, prefix: &[u8; 8], visit: &mut dyn FnMut(&[u8]));
    /// The store's own opinion of its memory, where it has one.
    fn counted_bytes(&self) -> u64 {
        0
    }
}

/// The table, with keys in a namespace as a store has them.
pub(crate) struct Laminar(Table);

impl Laminar {
    pub(crate) fn new() -> Self {
        Self(Table::with_memory(1, PageSource::with_worker(Arc::new(Threads::new()))))
    }
}

/// The key space of all keys.
const SPACE: [u8; 4] = [0, 0, 0, 1];

impl Store for Laminar {
    const NAME: &str = "table";
    const IS_ORDERED: bool = true;

    fn new_empty() -> Self {
        Self::new()
    }

    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) {
        self.0.insert(&self.0.key(SPACE, key), 1, Some(value)).expect("there is room");
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<&[u8]> {
        self.0.get(&self.0.key(SPACE, key))?.value
    }

    #[inline]
    fn delete(&mut self, key: &Key) {
        assert!(self.0.remove(&self.0.key(SPACE, key)));
    }

    fn scan(&self, prefix: &[u8; 8], visit: &mut dyn FnMut(&[u8])) {
        let mut lower = [0; 12];
        lower[..4].copy_from_slice(&SPACE);
        lower[4..].copy_from_slice(prefix);
        let mut upper = lower;
        let carry = upper.iter().rposition(|&byte| byte != u8::MAX).expect("the namespace is small");
        upper[carry] += 1;
        let range = self.0.range(Bound::Included(&lower), Bound::Excluded(&upper[..=carry]));
        range.filter_map(|(_, entry)| entry.value).for_each(visit);
    }

    fn counted_bytes(&self) -> u64 {
        self.0.resident_bytes()
    }
}

/// The general hash map: no order, no stable addresses, and it stops to grow.
#[derive(Default)]
pub(crate) struct Hash(hashbrown::HashMap<Key, Box<[u8]>>);

impl Store for Hash {
    const NAME: &str = "hashbrown";
    const IS_ORDERED: bool = false;

    fn new_empty() -> Self {
        Self::default()
    }

    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) {
        self.0.insert(*key, value.into());
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<&[u8]> {
        self.0.get(key).map(|value| &**value)
    }

    #[inline]
    fn delete(&mut self, key: &Key) {
        assert!(self.0.remove(key).is_some());
    }

    fn scan(&self, _: &[u8; 8], _: &mut dyn FnMut(&[u8])) {}
}

/// The sorted map of the standard library.
#[derive(Default)]
pub(crate) struct BTree(BTreeMap<Key, Box<[u8]>>);

impl Store for BTree {
    const NAME: &str = "BTreeMap";
    const IS_ORDERED: bool = true;

    fn new_empty() -> Self {
        Self::default()
    }

    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) {
        self.0.insert(*key, value.into());
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<&[u8]> {
        self.0.get(key).map(|value| &**value)
    }

    #[inline]
    fn delete(&mut self, key: &Key) {
        assert!(self.0.remove(key).is_some());
    }

    fn scan(&self, prefix: &[u8; 8], visit: &mut dyn FnMut(&[u8])) {
        let mut lower = [0; 16];
        lower[..8].copy_from_slice(prefix);
        let of_group = self.0.range(lower..).take_while(|(key, _)| key.starts_with(prefix));
        of_group.map(|(_, value)| &**value).for_each(visit);
    }
}
