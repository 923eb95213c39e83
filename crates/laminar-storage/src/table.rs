//! The in-memory table: from key to the newest value, with a mark of the caller's that says when it was written. Owns what a
//! store holds in memory; knows neither log nor checkpoints.
//!
//! Five parts share the work. The *arena* holds the entries, the *index* finds an entry by the hash of its key, the
//! *order* knows which key follows which, the last few changes are still *arriving* at these, if the table is not small, and the *tombstones* are queued for whoever drops them.
//! Point operations ask the arriving changes, if there are any, and the index. The order keeps the key spaces that ranges
//! have asked for. It is told of a key of these only when it is new or gone. Where that is a descent, it shows the key a few changes later, so that nobody waits
//! for the cache misses; until then [`Table::range`] merges the waiting keys in.

use std::ops::Bound;

use laminar_vfs::{PageSource, planted};

use crate::Result;

mod arena;
mod arriving;
mod block;
mod demand;
mod index;
mod key;
mod order;
mod pool;
mod range;
#[cfg(test)]
mod tests;
mod tombstones;

use arena::{Arena, Slot};
pub(crate) use arriving::SMALL_BYTES;
use arriving::{ARRIVALS, Arriving};
use block::Block;
pub(crate) use block::MARK_LIMIT;
use demand::{Demand, Scope, Sought};
use index::Index;
use key::Hasher;
pub use key::{Key, SPACE_BYTES};
use order::Order;
pub use range::TableRange;
use tombstones::Tombstones;
pub use tombstones::Verdict;

/// A map from key to entry, ordered, for one owner.
///
/// A key is four bytes that name a key space, and a name in it; it sorts as the two in a row. Names and values are byte
/// strings of up to 32 MiB. Entries may take up to 63 GiB.
///
/// No operation takes time in proportion to the size of the table: it grows by small pieces, and gives memory back in pieces. One
/// is excepted, the first [`range`](Self::range) of a key space: it sorts what is there, and from then on the keys of this space are
/// kept in order, which new and gone ones of them pay for. Whoever will ask for ranges asks for one while there is little.
///
/// ```
/// use laminar_storage::table::{Change, Table};
///
/// let mut table = Table::new(7);
/// let key = table.key(*b"carr", b"UA");
/// assert_eq!(table.insert(&key, 1, Some(b"12"))?, Change::New);
/// let entry = table.get(&key).unwrap();
/// assert_eq!((entry.mark, entry.value), (1, Some(&b"12"[..])));
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug)]
pub struct Table {
    arena: Arena,
    index: Index,
    order: Order,
    /// What the order has, and what it is going to have.
    demand: Demand,
    /// Changes that the parts above are told of with one of the next ones.
    arriving: Arriving,
    /// Tombstones that are to be looked at, and those that were looked at and stay until they are asked for again.
    queued: Tombstones,
    kept: Tombstones,
    bytes: u64,
    /// Below so many bytes of entries changes take their places at once.
    small_bytes: u64,
}

/// What a table says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// What the last write was marked with.
    pub mark: u32,
    /// The value, at an address that is a multiple of 16; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// What [`Table::insert`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The key was not there.
    New,
    /// The key was there, with this mark, and a value of this many bytes or a tombstone.
    Replaced {
        /// The mark of the entry that was replaced.
        mark: u32,
        /// The length of its value in bytes; `None` for a tombstone.
        value_bytes: Option<usize>,
    },
}

/// Whether a sweep keeps an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Keep {
    /// The entry stays.
    Yes,
    /// The entry is removed.
    No,
}

/// What [`Table::sweep`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Entries removed.
    pub removed: usize,
    /// Whether the hand came to the end of the table, and stands at its start again.
    pub came_round: bool,
}

impl Table {
    /// An empty table, which takes no memory yet. The seed goes into the hashes.
    pub const fn new(hash_seed: u64) -> Self {
        Self::with_memory(hash_seed, PageSource::new())
    }

    /// An empty table whose memory, beyond the first few MiB, comes from `source`.
    pub const fn with_memory(hash_seed: u64, source: PageSource) -> Self {
        Self::with_hasher(Hasher::new(hash_seed), source)
    }

    const fn with_hasher(hasher: Hasher, source: PageSource) -> Self {
        Self {
            arena: Arena::new(source),
            index: Index::new(hasher),
            order: Order::new(),
            demand: Demand::new(),
            arriving: Arriving::new(),
            queued: Tombstones::new(),
            kept: Tombstones::new(),
            bytes: 0,
            small_bytes: SMALL_BYTES,
        }
    }

    /// Bounds the memory of entries to about so many bytes, if that is less than the 63 GiB that they may take anyway. What is there stays.
    pub fn set_limit(&mut self, bytes: u64) {
        self.settle();
        self.arena.set_limit(bytes);
    }

    /// Has a [`write`](Self::write) be an insert as long as the entries take less than so many bytes: 4 MiB, unless this says otherwise.
    pub fn set_small_bytes(&mut self, bytes: u64) {
        self.small_bytes = bytes;
    }

    /// Whether much is going to be inserted in a row, and nobody minds a wait: memory is then taken in huge pages.
    pub fn set_in_bulk(&mut self, in_bulk: bool) {
        self.arena.set_in_bulk(in_bulk);
    }

    /// Succeeds exactly if an [`insert`](Self::insert) of this key with a value of so many bytes, or a tombstone, finds room now: room of its own,
    /// or that of the entry which it replaces.
    ///
    /// # Errors
    /// `TooLarge` or `TableFull`, as the insert would say it.
    #[inline]
    pub fn check_room(&mut self, key: &Key<'_>, value_bytes: Option<usize>) -> Result<()> {
        if self.arena.has_room_for_short(key.len(), value_bytes.unwrap_or(0)) {
            return Ok(());
        }
        self.check_last_room(key, value_bytes)
    }

    #[cold]
    fn check_last_room(&mut self, key: &Key<'_>, value_bytes: Option<usize>) -> Result<()> {
        // What is arriving takes its room before, and that can be a chunk of the last ones.
        self.settle();
        self.arena.check_room(key.len(), value_bytes.unwrap_or(0)).or_else(|full| {
            let found = self.index.find(&self.arena, key);
            if found.is_some_and(|(slot, _)| self.arena.fits_in_place(slot, value_bytes)) { Ok(()) } else { Err(full) }
        })
    }

    /// Gives back the room of all entries that are gone. Otherwise that of the last few waits until the order has let go of them.
    pub fn release(&mut self) {
        self.settle();
        self.order.settle(&mut self.arena);
    }

    /// The key of `name` in a key space, to ask this table for: its hash is computed here, once.
    #[inline]
    pub fn key<'k>(&self, space: [u8; SPACE_BYTES], name: &'k [u8]) -> Key<'k> {
        self.index.hasher().key(space, name)
    }

    /// The key that is written in a row, key space and name; `None` where there are too few bytes for a key space.
    #[inline]
    pub fn whole_key<'k>(&self, key: &'k [u8]) -> Option<Key<'k>> {
        key.split_first_chunk().map(|(space, name)| self.key(*space, name))
    }

    /// The entry of `key`, perhaps a tombstone.
    #[inline(always)]
    pub fn get(&self, key: &Key<'_>) -> Option<Entry<'_>> {
        if self.arriving.may_have(key.hash)
            && !planted("get-passes-over-arrivals")
            && let Some(entry) = self.arriving.find(*key)
        {
            return Some(entry);
        }
        self.index.find(&self.arena, key).map(|(_, block)| Entry::of(block, key.len()))
    }

    /// Has the line where the index tells of `key` on its way into the cache: the first of two steps, before [`prefetch_entry`](Self::prefetch_entry).
    #[inline]
    pub(crate) fn prefetch(&self, key: &Key<'_>) {
        self.index.prefetch(key.hash);
    }

    /// Has the entry of `key` on its way into the cache, if there seems to be one, and says so.
    #[inline]
    pub(crate) fn prefetch_entry(&self, key: &Key<'_>) -> bool {
        self.index.prefetch_entry(&self.arena, key.hash)
    }

    /// Sets the entry of `key`: a value, or a tombstone, and what it is marked with: any number below 2^30.
    ///
    /// A value that fits into the space of the one it replaces is written over it. A tombstone is queued for [`sweep_tombstones`](Self::sweep_tombstones), which takes 16
    /// bytes until that has come to it.
    ///
    /// # Errors
    /// `TooLarge` where key or value are, `TableFull` where the table would become so. Nothing changed.
    ///
    /// # Panics
    /// If `mark` is 2^30 or more.
    pub fn insert(&mut self, key: &Key<'_>, mark: u32, value: Option<&[u8]>) -> Result<Change> {
        assert!(mark < MARK_LIMIT, "marks are below 2^30");
        self.settle();
        self.place(key, mark, value)
    }

    /// Sets the entry of `key` as an [`insert`](Self::insert) does, and does not say what was there. So nobody has to wait until it is
    /// found: the memory where it belongs is fetched while the next few are made. The change is seen at once, and copied twice. A table so small
    /// that the processor's caches have it has nothing to wait for.
    ///
    /// # Errors
    /// As of an insert.
    ///
    /// # Panics
    /// As an insert.
    pub fn write(&mut self, key: &Key<'_>, mark: u32, value: Option<&[u8]>) -> Result<()> {
        let is_small = self.arena.entry_bytes() < self.small_bytes;
        if is_small || !Arriving::takes(key, value) || !self.arena.has_plenty() {
            return self.insert(key, mark, value).map(|_| ());
        }
        assert!(mark < MARK_LIMIT, "marks are below 2^30");
        self.heed_ranges();
        self.index.prefetch(key.hash);
        if let Some(hash) = self.arriving.middle_hash() {
            self.index.prefetch_entry(&self.arena, hash);
        }
        if self.arriving.is_full() {
            self.settle_to(ARRIVALS - 1);
        }
        self.arriving.push(key, mark, value);
        Ok(())
    }

    /// Has the entries of all that was [written](Self::write) take their places, which the next look-ups need not ask for then.
    pub fn settle(&mut self) {
        self.heed_ranges();
        if !self.arriving.is_empty() {
            self.settle_to(0);
        }
    }

    /// As [`settle`](Self::settle), up to so many of the newest changes.
    fn settle_to(&mut self, left: usize) {
        let Some(ring) = self.arriving.lend() else { return };
        while self.arriving.len() > left {
            let oldest = self.arriving.oldest(&ring, self.index.hasher());
            let Some((key, entry)) = oldest else { unreachable!("as many as it says") };
            if let Err(error) = self.place(&key, entry.mark, entry.value) {
                unreachable!("short entries come here while there is plenty of room: {error}");
            }
            self.arriving.drop_oldest();
        }
        self.arriving.give_back(ring);
    }

    /// Sets an entry where it belongs.
    fn place(&mut self, key: &Key<'_>, mark: u32, value: Option<&[u8]>) -> Result<Change> {
        let new_bytes = value.map_or(0, <[u8]>::len) as u64;
        let Some((slot, old)) = self.index.find(&self.arena, key) else {
            let slot = self.arena.insert(mark, key, value)?;
            self.index.insert(&self.arena, key.hash, slot);
            self.add(key.space, slot);
            self.bytes += key.len() as u64 + new_bytes;
            if value.is_none() {
                self.queue_tombstone(key.hash, slot, mark);
            }
            return Ok(Change::New);
        };
        let (old_mark, old_bytes, remarked) = (old.mark(), old.value_bytes(), old.remarked(mark));
        if self.arena.overwrite(slot, remarked, value) {
            if value.is_none() {
                self.queue_tombstone(key.hash, slot, mark);
            }
        } else {
            let moved = self.arena.insert(remarked, key, value)?;
            self.index.replace(key.hash, slot, moved);
            self.drop_slot(slot);
            self.add(key.space, moved);
        }
        self.bytes = self.bytes + new_bytes - old_bytes.unwrap_or(0) as u64;
        Ok(Change::Replaced { mark: old_mark, value_bytes: old_bytes })
    }

    /// Removes the entry of `key`, tombstone or not. False if there was none.
    pub fn remove(&mut self, key: &Key<'_>) -> bool {
        self.settle();
        let Some((slot, _)) = self.index.find(&self.arena, key) else { return false };
        self.remove_slot(key.hash, slot);
        true
    }

    /// The entries between two bounds of keys written in a row, ascending, with tombstones.
    ///
    /// Bounds that hold nothing between them give nothing, also where the lower is above the upper. The first range of a key space takes
    /// time in proportion to the table, 0.2 to 0.3 us for each entry of the space and a few ns for every other; the change after it puts the spaces that are in
    /// order together, in less. Bounds in two spaces ask for all.
    pub fn range(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> TableRange<'_> {
        TableRange::new(self, lower, upper)
    }

    /// Has what is between two bounds kept in order, as a [`range`](Self::range) does.
    pub fn ask(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) {
        self.demand.seek(&self.arena, Scope::of(lower, upper));
    }

    /// Has the keys of `new`, of which there are none yet, kept in order if those of `old` are: an operator goes on in another key space.
    pub(crate) fn follow(&mut self, old: [u8; SPACE_BYTES], new: [u8; SPACE_BYTES]) {
        self.settle();
        self.demand.follow(old, new);
    }

    /// Goes on round the table for `steps` blocks of memory, about as many entries, and removes those that `keep` gives up.
    ///
    /// A few steps with each insert pass over everything in the end, at no one's expense: the hand follows the order of
    /// the memory, which costs few cache misses. An entry that stays where it is, is seen once a round; one that moves
    /// because its value changes size may be seen twice or, in that round, not at all. One whose next change is still arriving is seen
    /// as it was; the change comes to its place also where the entry was given up.
    pub fn sweep(&mut self, mut steps: usize, keep: &mut dyn FnMut(&[u8], &Entry<'_>) -> Keep) -> Swept {
        self.heed_ranges();
        let mut swept = Swept::default();
        while let Some(slot) = self.arena.walk(&mut steps) {
            let block = self.arena.block(slot);
            if keep(block.key(), &Entry::of(block, block.key().len())) == Keep::No {
                let hash = self.index.hasher().hash_whole(block.key());
                self.remove_slot(hash, slot);
                swept.removed += 1;
            }
        }
        swept.came_round = steps > 0;
        swept
    }

    /// Entries, tombstones included.
    pub fn len(&self) -> usize {
        let is_new = |key: &[u8]| self.below_arriving(key).is_none();
        self.index.len() + self.arriving.newest().filter(|(key, _)| is_new(key)).count()
    }

    /// Whether there is no entry, not even a tombstone.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0 && self.arriving.is_empty()
    }

    /// Bytes of all keys and values; a tombstone counts its key.
    pub fn bytes(&self) -> u64 {
        let bytes = |key: &[u8], entry: Entry<'_>| (key.len() + entry.value.map_or(0, <[u8]>::len)) as u64;
        self.arriving.newest().fold(self.bytes, |all, (key, entry)| {
            all + bytes(key, entry) - self.below_arriving(key).map_or(0, |below| bytes(key, below))
        })
    }

    /// Entries and their bytes, without the last few changes: what [`len`](Self::len) and [`bytes`](Self::bytes) look up for these, is
    /// not worth it where only the magnitude is asked for.
    pub(crate) fn about(&self) -> (usize, u64) {
        (self.index.len(), self.bytes)
    }

    /// What there is of a key whose change is still arriving.
    fn below_arriving(&self, key: &[u8]) -> Option<Entry<'_>> {
        let key = self.whole_key(key)?;
        self.index.find(&self.arena, &key).map(|(_, block)| Entry::of(block, key.len()))
    }

    /// Bytes of memory that the table uses.
    pub fn resident_bytes(&self) -> u64 {
        (self.arena.resident_bytes()
            + self.index.resident_bytes()
            + self.order.resident_bytes()
            + self.demand.resident_bytes()
            + self.arriving.resident_bytes()
            + self.queued.resident_bytes()
            + self.kept.resident_bytes()) as u64
    }

    fn remove_slot(&mut self, hash: u64, slot: Slot) {
        let block = self.arena.block(slot);
        self.bytes -= (block.key().len() + block.value(block.key().len()).map_or(0, <[u8]>::len)) as u64;
        self.index.remove(hash, slot);
        self.drop_slot(slot);
    }

    fn add(&mut self, space: [u8; SPACE_BYTES], slot: Slot) {
        if self.demand.add(space) {
            self.order.add(&mut self.arena, slot);
        }
    }

    /// Gives the order what was built for ranges since the last change; every change begins with it.
    #[inline]
    fn heed_ranges(&mut self) {
        if self.demand.is_waiting() && !planted("scan-from-an-order-of-before") {
            self.take_sought();
        }
    }

    #[cold]
    fn take_sought(&mut self) {
        for Sought { scope, order, .. } in self.demand.take() {
            match scope {
                Scope::Space(_) => self.order.absorb(&mut self.arena, order),
                Scope::All => self.order.give_way(&mut self.arena, order),
            }
        }
    }

    /// Gives an entry's block back, once the order no longer refers to it.
    fn drop_slot(&mut self, slot: Slot) {
        let is_ordered = self.arena.key(slot).first_chunk().is_some_and(|&space| self.demand.remove(space));
        if !is_ordered || self.order.forget(slot) {
            self.arena.free(slot);
        } else {
            self.arena.detach(slot);
            self.order.remove(&mut self.arena, slot);
        }
    }
}

impl<'a> Entry<'a> {
    #[inline]
    fn of(block: Block<'a>, key_bytes: usize) -> Self {
        Self { mark: block.mark(), value: block.value(key_bytes) }
    }
}
