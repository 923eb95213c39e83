//! One operator's key space within a store.

use std::ops::Bound;

use crate::keyspace::Namespace;
use crate::read::Layers;
use crate::state::{Scan, StateStore};
use crate::{OperatorId, Result, WalStateStore};

/// The state of one operator: a key space of its own within the store, read and written through [`StateStore`]. Its changes
/// belong to the store's next commit, together with those of all other operators.
///
/// ```
/// use laminar_storage::{StateStore, StoreOptions, WalStateStore};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let dir = scratch.path().join("state");
/// let (mut store, _) = WalStateStore::open(dir, StoreOptions::new())?;
/// store.operator("sums")?.put(b"a", b"1")?;
/// store.operator("counts")?.put(b"a", b"7")?;
/// store.commit()?;
/// assert_eq!(store.operator("sums")?.get(b"a")?, Some(&b"1"[..]));
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug)]
pub struct Operator<'a> {
    store: &'a mut WalStateStore,
    id: OperatorId,
}

impl<'a> Operator<'a> {
    pub(crate) fn new(store: &'a mut WalStateStore, id: OperatorId) -> Self {
        Self { store, id }
    }

    /// The handle by which the operator is found again without its name.
    #[must_use]
    pub fn id(&self) -> OperatorId {
        self.id
    }

    #[inline]
    fn view(&self) -> Result<OperatorView<'_>> {
        self.store.view(self.id)
    }
}

impl StateStore for Operator<'_> {
    #[inline]
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        self.view()?.get(key)
    }

    fn prefetch(&self, keys: &[&[u8]]) {
        if let Ok(view) = self.view() {
            view.prefetch(keys);
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.store.put_in(self.id, key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.store.delete_in(self.id, key)
    }

    fn prefix_scan<'b>(&'b self, prefix: &[u8]) -> Result<Scan<'b>> {
        Ok(self.view()?.prefix_scan(prefix))
    }

    fn range_scan<'b>(&'b self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<Scan<'b>> {
        Ok(self.view()?.range_scan(range))
    }

    /// An estimate for the whole store: bytes are not counted by operator.
    fn size_bytes(&self) -> u64 {
        self.store.size_bytes()
    }

    fn clear(&mut self) -> Result<()> {
        self.store.clear_in(self.id)
    }
}

/// The reading side of one operator; many can be had at once.
#[derive(Clone, Copy)]
pub struct OperatorView<'a> {
    layers: Layers<'a>,
    namespace: Namespace,
}

impl<'a> OperatorView<'a> {
    #[inline]
    pub(crate) fn new(layers: Layers<'a>, namespace: Namespace) -> Self {
        Self { layers, namespace }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// Damage beyond repair in the checkpoint below.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Result<Option<&'a [u8]>> {
        self.layers.get(self.namespace, key)
    }

    /// Has what will be looked at for these keys fetched into the processor's cache, see [`StateStore::prefetch`].
    pub fn prefetch(&self, keys: &[&[u8]]) {
        self.layers.prefetch(self.namespace, keys);
    }

    /// Whether there is a value under a key.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// The entries whose keys begin with `prefix`, ascending.
    #[must_use]
    pub fn prefix_scan(&self, prefix: &[u8]) -> Scan<'a> {
        let (first, upper) = self.namespace.prefix(prefix);
        self.layers.scan(Bound::Included(first), upper)
    }

    /// The entries whose keys lie within bounds, ascending.
    #[must_use]
    pub fn range_scan(&self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Scan<'a> {
        let (lower, upper) = self.namespace.range(range);
        self.layers.scan(lower, upper)
    }

    /// How many entries there are, by counting them.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn len(&self) -> Result<u64> {
        self.range_scan((Bound::Unbounded, Bound::Unbounded)).try_fold(0, |count, entry| entry.map(|_| count + 1))
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn is_empty(&self) -> Result<bool> {
        self.range_scan((Bound::Unbounded, Bound::Unbounded)).next().transpose().map(|first| first.is_none())
    }
}

impl std::fmt::Debug for OperatorView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorView").field("namespace", &self.namespace.0).finish_non_exhaustive()
    }
}
