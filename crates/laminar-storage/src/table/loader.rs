//! Filling a table before anybody asks for its order: what a recovery does. The order is then built at once, from sorted keys, which
//! takes a quarter of the time.

use laminar_vfs::PageSource;

use super::arena::{Arena, Slot};
use super::order::{Order, head, shared};
use super::{Change, Key, Table};
use crate::Result;

/// A table that is being filled. It takes no less memory than the table that it becomes; for the moment of
/// [`finish`](Self::finish) 20 bytes more an entry.
///
/// ```
/// use laminar_storage::table::Loader;
/// use laminar_vfs::PageSource;
///
/// let mut loader = Loader::new(7, PageSource::new(), 1000);
/// for name in [b"UA", b"AA"] {
///     let key = loader.key(*b"carr", name);
///     loader.insert(&key, 1, Some(b"12"))?;
/// }
/// let table = loader.finish();
/// let keys = table.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).map(|(key, _)| key);
/// assert!(keys.eq([b"carrAA", b"carrUA"]));
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug)]
pub struct Loader(Table);

impl Loader {
    /// As [`Table::with_memory`], for keys and values of about so many bytes.
    #[must_use]
    pub fn new(hash_seed: u64, source: PageSource, bytes: u64) -> Self {
        let mut table = Table::with_memory(hash_seed, source);
        table.is_loading = true;
        table.arena.set_in_bulk(bytes > PageSource::BYTES as u64);
        Self(table)
    }

    /// As [`Table::set_limit`].
    pub fn set_limit(&mut self, bytes: u64) {
        self.0.set_limit(bytes);
    }

    /// As [`Table::key`].
    #[inline]
    pub fn key<'k>(&self, space: [u8; super::SPACE_BYTES], name: &'k [u8]) -> Key<'k> {
        self.0.key(space, name)
    }

    /// As [`Table::whole_key`].
    #[inline]
    pub fn whole_key<'k>(&self, key: &'k [u8]) -> Option<Key<'k>> {
        self.0.whole_key(key)
    }

    /// As [`Table::insert`].
    ///
    /// # Errors
    /// As [`Table::insert`].
    ///
    /// # Panics
    /// As [`Table::insert`].
    pub fn insert(&mut self, key: &Key<'_>, mark: u32, value: Option<&[u8]>) -> Result<Change> {
        self.0.insert(key, mark, value)
    }

    /// The table, with all that was inserted.
    #[must_use]
    pub fn finish(self) -> Table {
        let Self(mut table) = self;
        let slots = sorted(&mut table.arena);
        table.order = Order::of_sorted(&mut table.arena, &slots);
        table.arena.set_in_bulk(false);
        table.is_loading = false;
        table
    }
}

/// The slots of all entries, ascending by key.
#[expect(clippy::indexing_slicing, reason = "a prefix is not longer than the keys that share it")]
fn sorted(arena: &mut Arena) -> Vec<Slot> {
    let mut steps = usize::MAX;
    // As they lie in memory, so that their keys are read in a row; the hand is back at the start afterwards.
    let mut slots: Vec<Slot> = std::iter::from_fn(|| arena.walk(&mut steps)).collect();
    let key = |slot: Slot| arena.key(slot);
    let Some(&first) = slots.first() else { return slots };
    let prefix = slots.iter().fold(key(first), |prefix, &slot| &prefix[..shared(prefix, key(slot))]).len();
    let mut headed: Vec<(u64, Slot)> = slots.iter().map(|&slot| (head(key(slot), prefix), slot)).collect();
    headed.sort_unstable_by_key(|&(head, _)| head);
    // Heads that are equal decide nothing: the keys do.
    for tied in headed.chunk_by_mut(|(one, _), (other, _)| one == other).filter(|tied| tied.len() > 1) {
        tied.sort_unstable_by(|&(_, one), &(_, other)| key(one).cmp(key(other)));
    }
    slots.clear();
    slots.extend(headed.iter().map(|&(_, slot)| slot));
    slots
}
