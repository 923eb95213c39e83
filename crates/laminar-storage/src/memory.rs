//! A store without durability: the table alone.

use std::ops::Bound;

use laminar_checkpoint::KeyBuf;

use crate::Result;
use crate::error::check;
use crate::format::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::keyspace::Namespace;
use crate::read::{Layers, as_slice};
use crate::state::{Scan, StateStore};
use crate::table::{SPACE_BYTES, Table};

/// Where all keys of this store live; it has no operators of its own.
const NAMESPACE: Namespace = Namespace(1);

/// A [`StateStore`] in memory: for tests, for state that can be computed again, and to compare with.
///
/// ```
/// use laminar_storage::{MemoryStateStore, StateStore};
///
/// let mut state = MemoryStateStore::new();
/// state.put(b"N14228", b"ORD")?;
/// assert_eq!(state.get(b"N14228")?, Some(&b"ORD"[..]));
/// state.delete(b"N14228")?;
/// assert!(state.is_empty()?);
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryStateStore {
    table: Table,
    seed: u64,
}

impl MemoryStateStore {
    /// An empty store. Its hashes have a fixed seed: where keys come from strangers, use [`MemoryStateStore::with_seed`].
    pub const fn new() -> Self {
        Self::with_seed(0)
    }

    /// An empty store whose hashes no one can foresee who does not know the seed.
    pub const fn with_seed(seed: u64) -> Self {
        Self { table: Table::new(seed), seed }
    }
}

impl Default for MemoryStateStore {
    fn default() -> Self {
        Self::new()
    }
}

impl StateStore for MemoryStateStore {
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        Ok(self.table.get(&self.table.key(NAMESPACE.id(), key)).and_then(|entry| entry.value))
    }

    fn prefetch(&self, keys: &[&[u8]]) {
        Layers { table: &self.table, attached: None }.prefetch(NAMESPACE, keys);
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check("key", key.len(), MAX_KEY_BYTES)?;
        check("value", value.len(), MAX_VALUE_BYTES)?;
        self.table.insert(&self.table.key(NAMESPACE.id(), key), 0, Some(value)).map(|_| ())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        check("key", key.len(), MAX_KEY_BYTES)?;
        self.table.remove(&self.table.key(NAMESPACE.id(), key));
        Ok(())
    }

    fn prefix_scan<'a>(&'a self, prefix: &[u8]) -> Result<Scan<'a>> {
        let (lower, upper) = NAMESPACE.prefix(prefix);
        Ok(self.scan(Bound::Included(lower), upper))
    }

    fn range_scan<'a>(&'a self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<Scan<'a>> {
        let (lower, upper) = NAMESPACE.range(range);
        Ok(self.scan(lower, upper))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.table.len() as u64)
    }

    fn is_empty(&self) -> Result<bool> {
        Ok(self.table.is_empty())
    }

    /// Exactly the bytes of keys and values.
    fn size_bytes(&self) -> u64 {
        self.table.bytes() - (self.table.len() * SPACE_BYTES) as u64
    }

    fn clear(&mut self) -> Result<()> {
        self.table = Table::new(self.seed);
        Ok(())
    }
}

impl MemoryStateStore {
    fn scan(&self, lower: Bound<KeyBuf>, upper: Bound<KeyBuf>) -> Scan<'_> {
        Scan::of_table(self.table.range(as_slice(&lower), as_slice(&upper)))
    }
}
