//! What an operator codes against: the trait of all stores, and the iterator of their scans.

use std::ops::Bound;

use laminar_checkpoint::KeyBuf;

use crate::Result;
use crate::keyspace;
use crate::read::Overlay;
use crate::table::TableRange;

mod batch;

use batch::KeyBatch;

/// Keyed state, ordered by key. Keys and values are byte strings; the empty ones are as good as any.
///
/// It can be a trait object: whoever is generic over it says `S: StateStore + ?Sized`, and takes a `&mut dyn StateStore` too.
///
/// ```
/// use laminar_storage::{MemoryStateStore, StateStore};
///
/// fn count(state: &mut impl StateStore, carrier: &[u8]) -> laminar_storage::Result<()> {
///     let seen = state.get(carrier)?.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
///     state.put(carrier, &(seen + 1).to_le_bytes())
/// }
///
/// let mut state = MemoryStateStore::new();
/// count(&mut state, b"UA")?;
/// count(&mut state, b"UA")?;
/// assert_eq!(state.get(b"UA")?, Some(&2_u64.to_le_bytes()[..]));
/// # Ok::<(), laminar_storage::Error>(())
/// ```
pub trait StateStore {
    /// The value of `key`. It begins on a multiple of 16 bytes, or of what [`StoreOptions::value_alignment`](crate::StoreOptions::value_alignment) says, as values
    /// of scans do.
    ///
    /// # Errors
    /// Where the store cannot read it.
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>>;

    /// Says that these keys are going to be looked up soon, or read and changed: the memory that tells where their entries are, and the entries,
    /// is fetched into the processor's cache, for sixteen keys at the same time. A look-up by itself waits for memory two or three times in a row.
    ///
    /// Worth it for whoever gets events in batches and has more state than the processor's cache holds: then look-ups of a batch that was told
    /// before take a third to two thirds of the time. 16 to 32 keys at a time are enough; of hundreds the first may have left the cache again before they are asked for.
    /// Not worth it for a single key, for keys that are asked for all the time, and for changes without a look-up, which wait for nothing. It costs
    /// as many instructions as the look-ups.
    ///
    /// A hint, which changes no answer: any key will do. It makes no call and no allocation; what was never read of a checkpoint is left alone, and a page of it that
    /// the system has dropped from memory may be waited for, as the look-up would. Of a long entry the first 128 bytes are fetched, in a checkpoint 192.
    /// Does nothing unless a store says otherwise; one that wraps another passes it on.
    ///
    /// ```
    /// use laminar_storage::{MemoryStateStore, StateStore};
    ///
    /// let mut state = MemoryStateStore::new();
    /// let batch = ["UA", "DL", "UA"];
    /// state.prefetch(&batch.map(str::as_bytes));
    /// for carrier in batch {
    ///     let seen = state.get(carrier.as_bytes())?.map_or(0, |bytes| bytes[0]);
    ///     state.put(carrier.as_bytes(), &[seen + 1])?;
    /// }
    /// assert_eq!(state.get(b"UA")?, Some(&[2][..]));
    /// # Ok::<(), laminar_storage::Error>(())
    /// ```
    fn prefetch(&self, keys: &[&[u8]]) {
        let _ = keys;
    }

    /// Sets the value of `key`.
    ///
    /// # Errors
    /// [`TooLarge`](crate::Error::TooLarge) for a key or value over 16 MiB, [`TableFull`](crate::Error::TableFull), and where the store cannot write. Nothing changed.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Removes `key`; one that is not there is no error.
    ///
    /// # Errors
    /// As [`put`](Self::put): what a checkpoint holds is hidden by an entry in memory. Nothing changed.
    fn delete(&mut self, key: &[u8]) -> Result<()>;

    /// Removes all keys that start with `prefix`, a window that has passed say, and says how many there were.
    ///
    /// As a [scan](Self::prefix_scan) and a [`delete`](Self::delete) of each key: each is a change of its own in the log, and takes memory until a checkpoint
    /// has it. Keys are taken out of the store some 64 KiB at a time. Whoever removes all keys rather [clears](Self::clear).
    ///
    /// ```
    /// use laminar_storage::{MemoryStateStore, StateStore};
    ///
    /// let mut state = MemoryStateStore::new();
    /// for key in ["06-30/ORD", "07-01/LAX", "07-01/ORD", "07-02/ORD"] {
    ///     state.put(key.as_bytes(), b"1")?;
    /// }
    /// assert_eq!(state.delete_prefix(b"07-01/")?, 2);
    /// let left = state.prefix_scan(b"")?.map(|entry| Ok(entry?.0)).collect::<laminar_storage::Result<Vec<_>>>()?;
    /// assert_eq!(left, [b"06-30/ORD", b"07-02/ORD"]);
    /// # Ok::<(), laminar_storage::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where the store cannot read, or cannot write. Then the keys that come first may be deleted, and go with the next commit; called again, it goes on.
    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<u64> {
        let above = KeyBuf::above(prefix);
        let upper = above.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut batch = KeyBatch::default();
        let mut lower = Bound::Included(prefix.to_vec());
        let mut deleted = 0;
        loop {
            let are_more = batch.fill(self.range_scan((lower.as_ref().map(Vec::as_slice), upper))?)?;
            for key in batch.keys() {
                self.delete(key)?;
                deleted += 1;
            }
            match batch.keys().last() {
                Some(last) if are_more => lower = Bound::Excluded(last.to_vec()),
                _ => return Ok(deleted),
            }
        }
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// All keys that start with `prefix` and their values, ascending by key.
    ///
    /// What is in memory is kept in order for those who scan: from the first scan of an operator on, which sorts what is there, in 0.2
    /// to 0.3 us a key. From then on new and deleted keys of this operator cost more, up to twice as much. Whoever can't wait then scans
    /// while there is little. A range scan, `len` and `is_empty` count as scans; reopening starts anew.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn prefix_scan<'a>(&'a self, prefix: &[u8]) -> Result<Scan<'a>>;

    /// All keys between two bounds and their values, ascending by key. Bounds that hold nothing between them give nothing.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn range_scan<'a>(&'a self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<Scan<'a>>;

    /// The number of keys, exactly. May count them one by one, by a scan.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn len(&self) -> Result<u64> {
        self.range_scan((Bound::Unbounded, Bound::Unbounded))?.try_fold(0, |count, entry| entry.map(|_| count + 1))
    }

    /// Whether there is no key.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.range_scan((Bound::Unbounded, Bound::Unbounded))?.next().transpose()?.is_none())
    }

    /// About how many bytes keys and values have. Takes no time. Of an operator of a [`WalStateStore`](crate::WalStateStore) it is the whole store's: bytes are not counted by
    /// operator.
    fn size_bytes(&self) -> u64;

    /// Removes all keys.
    ///
    /// # Errors
    /// Where the store cannot write. Nothing changed.
    fn clear(&mut self) -> Result<()>;
}

/// An iterator over keys and values, ascending by key, that borrows them from the store.
///
/// Ends at the first error: nothing that follows it would be known to be whole.
///
/// ```
/// use laminar_storage::{MemoryStateStore, StateStore};
///
/// let mut state = MemoryStateStore::new();
/// state.put(b"route/EWR-ORD", b"3")?;
/// state.put(b"route/JFK-LAX", b"5")?;
/// state.put(b"tail/N14228", b"1")?;
/// let routes = state.prefix_scan(b"route/")?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(routes, [(&b"route/EWR-ORD"[..], &b"3"[..]), (b"route/JFK-LAX", b"5")]);
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug)]
pub struct Scan<'a> {
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    Nothing,
    Table(TableRange<'a>),
    Checkpoint(laminar_checkpoint::Scan<'a>),
    Layers(Box<Overlay<'a>>),
}

impl<'a> Scan<'a> {
    /// The live entries of a range of full keys, without their namespace.
    pub(crate) fn of_table(range: TableRange<'a>) -> Self {
        Self { source: Source::Table(range) }
    }

    /// The live entries of a range of a checkpoint, without their namespace.
    pub(crate) fn of_checkpoint(scan: laminar_checkpoint::Scan<'a>) -> Self {
        Self { source: Source::Checkpoint(scan) }
    }

    /// The live entries of the layers of a durable store.
    pub(crate) fn of_layers(overlay: Overlay<'a>) -> Self {
        Self { source: Source::Layers(Box::new(overlay)) }
    }

    /// No entries.
    pub(crate) fn of_nothing() -> Self {
        Self { source: Source::Nothing }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<(&'a [u8], &'a [u8])>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Nothing => None,
            Source::Table(range) => range.find_map(|(key, entry)| Some(Ok((keyspace::strip(key), entry.value?)))),
            Source::Checkpoint(scan) => match scan.next()? {
                Ok((key, value)) => Some(Ok((keyspace::strip(key), value))),
                Err(error) => Some(Err(error.into())),
            },
            Source::Layers(overlay) => overlay.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, MemoryStateStore};

    /// A store that takes some deletes, and then none.
    struct Full {
        state: MemoryStateStore,
        deletes: usize,
    }

    impl StateStore for Full {
        fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
            self.state.get(key)
        }

        fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
            self.state.put(key, value)
        }

        fn delete(&mut self, key: &[u8]) -> Result<()> {
            self.deletes = self.deletes.checked_sub(1).ok_or(Error::TableFull { bytes: 16, limit: 0 })?;
            self.state.delete(key)
        }

        fn prefix_scan<'a>(&'a self, prefix: &[u8]) -> Result<Scan<'a>> {
            self.state.prefix_scan(prefix)
        }

        fn range_scan<'a>(&'a self, (lower, upper): (Bound<&[u8]>, Bound<&[u8]>)) -> Result<Scan<'a>> {
            assert_eq!(upper, Bound::Excluded(&b"x\x01"[..]), "what is behind the prefix is not looked at");
            self.state.range_scan((lower, upper))
        }

        fn size_bytes(&self) -> u64 {
            self.state.size_bytes()
        }

        fn clear(&mut self) -> Result<()> {
            self.state.clear()
        }
    }

    /// Of keys that take four batches.
    #[test]
    fn a_prefix_that_was_not_deleted_whole_is_by_the_next_call() {
        const KEYS: u32 = 1000;
        let key = |n: u32| [&b"x\x00"[..], &[7; 250], format!("{n:04}").as_bytes()].concat();
        for fails_at in [0, 1, 255, 256, 257, KEYS - 1] {
            let mut state = Full { state: MemoryStateStore::new(), deletes: fails_at as usize };
            (0..KEYS).for_each(|n| state.put(&key(n), b"").unwrap());
            state.put(b"x", b"below").unwrap();
            state.put(b"x\x01", b"above").unwrap();
            assert!(matches!(state.delete_prefix(b"x\x00"), Err(Error::TableFull { .. })));
            let first_left = state.state.prefix_scan(b"x\x00").unwrap().next().unwrap().unwrap().0.to_vec();
            assert_eq!(first_left, key(fails_at));
            state.deletes = usize::MAX;
            assert_eq!(state.delete_prefix(b"x\x00").unwrap(), u64::from(KEYS - fails_at));
            assert_eq!((state.state.len().unwrap(), state.contains(b"x").unwrap()), (2, true));
        }
    }
}
