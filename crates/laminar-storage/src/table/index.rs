//! From hash to slot: an extendible hash of tagged buckets. Owns where each hash is found; keys stay in the arena.
//!
//! A directory, indexed by the first bits of the hash, names segments of 128 buckets. A bucket is one cache line with
//! twelve slots and a byte of the hash for each, so that a lookup costs one line for a missing key, and one line and
//! the entry for one that is there. A full segment splits in two, alone: no insert pays for the size of the table.
//!
//! Source: Fagin, Nievergelt, Pippenger, Strong, "Extendible hashing" (1979); tags in the bucket as in Swiss tables.

use super::arena::{Arena, Slot};
use super::key::{Hasher, Key, SPACE_BYTES};
use super::pool::Pool;

mod bucket;
mod segment;

use segment::{LANES, Segment};

/// How far a segment may be deeper than an even spread of the keys asks for. Hashes that agree in more bits than this
/// are not chance but malice, and go to a list instead, so that they cannot blow up the directory.
const EXCESS_DEPTH: u32 = 6;

#[derive(Debug)]
pub(super) struct Index {
    seed: u64,
    /// Always the same but for tests, which want bad ones.
    hasher: Hasher,
    /// Segment numbers by the first `bits` bits of the hash.
    directory: Vec<u32>,
    bits: u32,
    segments: Pool<Segment>,
    /// What is needed to decide on a split, apart from the segments so that it stays in the cache.
    shapes: Vec<Shape>,
    /// Slots whose segment is full and must not split; empty but under attack.
    spilled: Vec<Slot>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    len: u32,
    /// Entries at which the segment splits. Staggered: segments that fill evenly would otherwise split in one wave.
    limit: u32,
    /// Bits of the hash that all its entries share.
    depth: u32,
}

#[expect(clippy::indexing_slicing, reason = "the directory has 2^bits entries, each the number of a segment")]
impl Index {
    pub(super) const fn new(seed: u64, hasher: Hasher) -> Self {
        Self {
            seed,
            hasher,
            directory: Vec::new(),
            bits: 0,
            segments: Pool::new(),
            shapes: Vec::new(),
            spilled: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn hash(&self, space: [u8; SPACE_BYTES], name: &[u8]) -> u64 {
        (self.hasher)(self.seed, space, name)
    }

    /// The hash of a key as the arena holds it.
    pub(super) fn hash_whole(&self, key: &[u8]) -> u64 {
        let Some((space, name)) = key.split_first_chunk() else { unreachable!("keys start with a key space") };
        self.hash(*space, name)
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.segments.resident_bytes()
            + self.directory.capacity() * size_of::<u32>()
            + self.shapes.capacity() * size_of::<Shape>()
    }

    /// The slot of `key`.
    #[inline]
    pub(super) fn find(&self, arena: &Arena, key: &Key<'_>) -> Option<Slot> {
        let segment = *self.directory.get(prefix(key.hash, self.bits))?;
        let found = self.segments.get(segment).find(key.hash, |slot| key.is(arena.key(slot)));
        if found.is_none() && !self.spilled.is_empty() {
            return self.spilled.iter().copied().find(|&slot| key.is(arena.key(slot)));
        }
        found
    }

    /// Adds the slot of a key that is not there.
    pub(super) fn insert(&mut self, arena: &Arena, hash: u64, slot: Slot) {
        if self.directory.is_empty() {
            self.directory.push(self.segments.push(Segment::EMPTY));
            self.shapes.push(Shape { len: 0, limit: limit(0, 0), depth: 0 });
        }
        self.len += 1;
        loop {
            let number = self.directory[prefix(hash, self.bits)];
            let shape = &mut self.shapes[number as usize];
            if shape.len < shape.limit {
                shape.len += 1;
                self.segments.get_mut(number).insert(hash, slot);
                return;
            }
            if shape.depth >= self.depth_limit() {
                self.spilled.push(slot);
                return;
            }
            self.split(arena, hash);
        }
    }

    /// Points the entry of `hash` that was at `old` to `new`.
    pub(super) fn replace(&mut self, hash: u64, old: Slot, new: Slot) {
        let segment = self.directory[prefix(hash, self.bits)];
        if !self.segments.get_mut(segment).replace(hash, old, new) {
            for slot in self.spilled.iter_mut().filter(|slot| **slot == old) {
                *slot = new;
            }
        }
    }

    /// Forgets the entry of `hash` at `slot`, which is there.
    pub(super) fn remove(&mut self, hash: u64, slot: Slot) {
        self.len -= 1;
        let number = self.directory[prefix(hash, self.bits)];
        if self.segments.get_mut(number).remove(hash, slot) {
            self.shapes[number as usize].len -= 1;
        } else {
            self.spilled.retain(|&spilled| spilled != slot);
        }
    }

    fn depth_limit(&self) -> u32 {
        (self.len / (LANES as usize / 2)).max(1).ilog2() + EXCESS_DEPTH
    }

    /// Splits the segment of `hash` by the next bit of its entries' hashes.
    fn split(&mut self, arena: &Arena, hash: u64) {
        let old = self.directory[prefix(hash, self.bits)];
        let depth = self.shapes[old as usize].depth;
        if depth == self.bits {
            self.directory = self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
            self.bits += 1;
        }
        let new = self.segments.push(Segment::EMPTY);
        // The names of the old segment lie side by side; the second half of them goes to the new one.
        let names = 1 << (self.bits - depth);
        let first = prefix(hash, depth) * names;
        self.directory[first + names / 2..first + names].fill(new);

        let entries = std::mem::replace(self.segments.get_mut(old), Segment::EMPTY);
        // First all hashes, so that the reads of their keys overlap.
        let slots: Vec<Slot> = entries.slots().collect();
        let hashes: Vec<u64> = slots.iter().map(|&slot| self.hash_whole(arena.key(slot))).collect();
        let mut lens = [0, 0];
        for (&slot, &hash) in slots.iter().zip(&hashes) {
            let second = prefix(hash, depth + 1) & 1;
            lens[second] += 1;
            self.segments.get_mut([old, new][second]).insert(hash, slot);
        }
        let depth = depth + 1;
        self.shapes[old as usize] = Shape { len: lens[0], limit: limit(old, depth), depth };
        self.shapes.push(Shape { len: lens[1], limit: limit(new, depth), depth });
    }
}

/// The first `bits` bits of a hash.
#[inline]
fn prefix(hash: u64, bits: u32) -> usize {
    // Two shifts: one by 64, for no bits at all, would be none.
    (hash >> 1 >> (63 - bits)) as usize
}

/// Between 3/4 and 7/8 of the lanes, by chance.
fn limit(segment: u32, depth: u32) -> u32 {
    LANES * 3 / 4 + (segment ^ (depth << 16)).wrapping_mul(0x9E37_79B9) % (LANES / 8)
}
