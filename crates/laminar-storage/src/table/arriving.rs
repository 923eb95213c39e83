//! Changes on their way to the entries: the newest few. What a put waits for longest is the cache line of the index where its key belongs;
//! while a change stands here, its line is fetched, and the writer goes on with the next ones.

use super::key::{Hasher, Key};
use super::{Entry, SPACE_BYTES};

/// Changes that stand here at most. With 8, in turns at 10 M keys, a put took the same, and where every other call is a get both took a
/// tenth to a fifth more.
pub(super) const ARRIVALS: usize = 4;

/// So many bytes of entries the processor's caches mostly have, with their places in the index: then there is nothing to wait for, and a change is not copied
/// twice. Nexmark's q5 takes 0.82 of the instructions so, q8 0.91. At three times as much, deletes take longer.
pub(crate) const SMALL_BYTES: u64 = 4 << 20;

/// The longest key and value that are put down here, in bytes. To copy longer ones twice costs more than there is to gain.
const KEY_BYTES: usize = 64;
const VALUE_BYTES: usize = 512;

/// A change.
#[derive(Debug, Clone)]
#[repr(C, align(16))]
struct Arrival {
    /// First, so that it is aligned as values are.
    value: [u8; VALUE_BYTES],
    key: [u8; KEY_BYTES],
    mark: u32,
    key_bytes: usize,
    /// `None` for a tombstone.
    value_bytes: Option<usize>,
}

impl Arrival {
    const EMPTY: Self = Self { value: [0; VALUE_BYTES], key: [0; KEY_BYTES], mark: 0, key_bytes: 0, value_bytes: None };

    #[expect(clippy::indexing_slicing, reason = "lengths are those of what was copied here")]
    fn key(&self) -> &[u8] {
        &self.key[..self.key_bytes]
    }

    #[expect(clippy::indexing_slicing, reason = "lengths are those of what was copied here")]
    fn entry(&self) -> Entry<'_> {
        Entry { mark: self.mark, value: self.value_bytes.map(|bytes| &self.value[..bytes]) }
    }
}

/// The places of changes.
#[derive(Debug)]
pub(super) struct Ring(Box<[Arrival; ARRIVALS]>);

/// A few changes, in the order in which they came.
#[derive(Debug)]
pub(super) struct Arriving {
    /// Made when it is first needed.
    ring: Option<Ring>,
    /// The hashes of the keys in the ring, apart so that a look-up is told at once that its key is not here. Those of changes that have left
    /// stay until others come.
    hashes: [u64; ARRIVALS],
    first: usize,
    len: usize,
}

impl Arriving {
    pub(super) const fn new() -> Self {
        Self { ring: None, hashes: [0; ARRIVALS], first: 0, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len == ARRIVALS
    }

    /// Whether a change is short enough to stand here.
    #[inline]
    pub(super) fn takes(key: &Key<'_>, value: Option<&[u8]>) -> bool {
        key.len() <= KEY_BYTES && value.is_none_or(|value| value.len() <= VALUE_BYTES)
    }

    /// Adds a change that [`takes`](Self::takes) allows. It is not full.
    #[expect(clippy::indexing_slicing, reason = "the ring is asked modulo its length, and keys and values are short")]
    pub(super) fn push(&mut self, key: &Key<'_>, mark: u32, value: Option<&[u8]>) {
        let Ring(ring) = self.ring.get_or_insert_with(|| Ring(Box::new([Arrival::EMPTY; ARRIVALS])));
        let at = (self.first + self.len) % ARRIVALS;
        let arrival = &mut ring[at];
        self.hashes[at] = key.hash;
        self.len += 1;
        arrival.key[..SPACE_BYTES].copy_from_slice(&key.space);
        arrival.key[SPACE_BYTES..key.len()].copy_from_slice(key.name);
        if let Some(value) = value {
            arrival.value[..value.len()].copy_from_slice(value);
        }
        (arrival.mark, arrival.key_bytes, arrival.value_bytes) = (mark, key.len(), value.map(<[u8]>::len));
    }

    /// The hash of the change that has come half way: the line of its bucket is there.
    #[inline]
    pub(super) fn middle_hash(&self) -> Option<u64> {
        let middle = (self.first + self.len).checked_sub(ARRIVALS / 2).filter(|_| self.len >= ARRIVALS / 2)?;
        self.hashes.get(middle % ARRIVALS).copied()
    }

    /// Lends the ring to whoever changes the table by what stands there. Only the ring: a hash that was stored a moment ago can't be read
    /// together with its neighbours before it has left the processor's store buffer.
    pub(super) fn lend(&mut self) -> Option<Ring> {
        self.ring.take()
    }

    pub(super) fn give_back(&mut self, ring: Ring) {
        self.ring = Some(ring);
    }

    /// The change in the `ring` that came first: its key, and what it sets.
    pub(super) fn oldest<'r>(&self, Ring(ring): &'r Ring, hasher: &Hasher) -> Option<(Key<'r>, Entry<'r>)> {
        let (hash, oldest) = (self.hashes.get(self.first)?, ring.get(self.first)?);
        Some((hasher.known(oldest.key(), *hash)?, oldest.entry()))
    }

    /// Drops the change that came first.
    pub(super) fn drop_oldest(&mut self) {
        self.first = (self.first + 1) % ARRIVALS;
        self.len -= 1;
    }

    /// Whether a change of a key with this hash may stand here. `false` is certain.
    #[inline]
    #[expect(clippy::manual_contains, reason = "that compares several together")]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        // One by one, for the reason that `lend` tells.
        self.len > 0 && self.hashes.iter().any(|&other| other == hash)
    }

    /// What the newest change of `key` sets, if any stands here.
    // By value: whatever a reference is given for lies in memory from the start, also on the way that does not come here.
    #[inline(never)]
    pub(super) fn find(&self, key: Key<'_>) -> Option<Entry<'_>> {
        let same = |arrival: &&Arrival| {
            let parts = arrival.key().split_first_chunk();
            parts.is_some_and(|(space, name)| *space == key.space && name == key.name)
        };
        self.iter().rev().find(same).map(Arrival::entry)
    }

    /// The key and the entry of each change that is the newest of its key.
    pub(super) fn newest(&self) -> impl Iterator<Item = (&[u8], Entry<'_>)> {
        let is_last = |at: usize, arrival: &Arrival| self.iter().skip(at + 1).all(|later| later.key() != arrival.key());
        let newest = self.iter().enumerate().filter(move |&(at, arrival)| is_last(at, arrival));
        newest.map(|(_, arrival)| (arrival.key(), arrival.entry()))
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.ring.as_ref().map_or(0, |Ring(ring)| size_of_val(&**ring))
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &Arrival> {
        let ring = self.ring.iter().map(|Ring(ring)| ring);
        let (first, len) = (self.first, self.len);
        ring.flat_map(move |ring| (first..first + len).filter_map(|at| ring.get(at % ARRIVALS)))
    }
}
