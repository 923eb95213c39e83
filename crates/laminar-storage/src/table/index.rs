//! From hash to slot: an extendible hash of tagged buckets. Owns where each hash is found; keys stay in the arena.
//!
//! A directory, indexed by the first bits of the hash, names segments of 128 buckets. A bucket is one cache line with
//! ten slots and two bytes of the hash for each, so that a lookup costs one line for a missing key, and one line and
//! the entry for one that is there. A full segment splits in two, alone: no insert pays for the size of the table.
//!
//! Source: Fagin, Nievergelt, Pippenger, Strong, "Extendible hashing" (1979); tags in the bucket as in Swiss tables.

use super::arena::{Arena, Slot};
use super::block::Block;
use super::key::{Hasher, Key};
use super::pool::Pool;

mod bucket;
mod segment;

use segment::{LANES, Segment};

/// How far a segment may be deeper than an even spread of the keys asks for. Hashes that agree in more bits than this
/// are not chance but malice, and go to a list instead, so that they cannot blow up the directory.
const EXCESS_DEPTH: u32 = 6;

/// Keys of a segment that splits which are on their way into the cache while one is hashed: more than the processor would see by itself.
const LOOK_AHEAD: usize = 16;

#[derive(Debug)]
pub(super) struct Index {
    hasher: Hasher,
    /// Segment numbers by the first bits of the hash: as many as it takes, at least one.
    directory: Vec<u32>,
    /// What is shifted out of a hash to have those bits.
    shift: u32,
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
    pub(super) const fn new(hasher: Hasher) -> Self {
        Self {
            hasher,
            directory: Vec::new(),
            shift: u64::BITS - 1,
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
    pub(super) fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.segments.resident_bytes()
            + self.directory.capacity() * size_of::<u32>()
            + self.shapes.capacity() * size_of::<Shape>()
    }

    /// The slot of `key`, and its block.
    // Short, without a loop, and inlined into whoever asks: how many look-ups wait for the memory at a time is decided by how few
    // instructions each of them has.
    #[inline(always)]
    pub(super) fn find<'a>(&self, arena: &'a Arena, key: &Key<'_>) -> Option<(Slot, Block<'a>)> {
        let segment = self.segment_of(key.hash)?;
        match segment.nearest(key.hash) {
            Some(slot) => {
                let block = arena.block(slot);
                if block.is(key) {
                    return Some((slot, block));
                }
            }
            None if !segment.is_crowded(key.hash) && self.spilled.is_empty() => return None,
            None => {}
        }
        self.find_on(arena, *key)
    }

    /// Looks everywhere where an entry may be: one in twenty look-ups meets a stranger with its tag, or lies where there was room.
    // By value: whatever a reference is given for lies in memory from the start, also on the way that does not come here.
    #[cold]
    #[inline(never)]
    fn find_on<'a>(&self, arena: &'a Arena, key: Key<'_>) -> Option<(Slot, Block<'a>)> {
        self.slots(key.hash).map(|slot| (slot, arena.block(slot))).find(|(_, block)| block.is(&key))
    }

    /// Adds the slot of a key that is not there.
    pub(super) fn insert(&mut self, arena: &Arena, hash: u64, slot: Slot) {
        if self.directory.is_empty() {
            self.directory.extend([0, 0]);
            self.segments.push(arena, Segment::EMPTY);
            self.shapes.push(Shape { len: 0, limit: limit(0, 0), depth: 0 });
        }
        self.len += 1;
        loop {
            let number = self.directory[at(hash, self.shift)];
            let shape = &mut self.shapes[number as usize];
            if shape.len < shape.limit {
                shape.len += 1;
                let depth = shape.depth;
                self.segments.get_mut(number).insert(hash, slot, depth);
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
        let segment = self.directory[at(hash, self.shift)];
        if !self.segments.get_mut(segment).replace(hash, old, new) {
            for slot in self.spilled.iter_mut().filter(|slot| **slot == old) {
                *slot = new;
            }
        }
    }

    /// Forgets the entry of `hash` at `slot`, which is there.
    pub(super) fn remove(&mut self, hash: u64, slot: Slot) {
        self.len -= 1;
        let number = self.directory[at(hash, self.shift)];
        if self.segments.get_mut(number).remove(hash, slot) {
            self.shapes[number as usize].len -= 1;
        } else {
            self.spilled.retain(|&spilled| spilled != slot);
        }
    }

    /// The slots that may have this hash.
    pub(super) fn slots(&self, hash: u64) -> impl Iterator<Item = Slot> + '_ {
        let segment = self.segment_of(hash);
        segment.into_iter().flat_map(move |segment| segment.matches(hash)).chain(self.spilled.iter().copied())
    }

    /// Has the bucket of a hash on its way into the cache.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if let Some(segment) = self.segment_of(hash) {
            segment.prefetch(hash);
        }
    }

    /// Has the entry of a hash whose bucket is there, if there seems to be one, on its way into the cache, and says so.
    #[inline]
    pub(super) fn prefetch_entry(&self, arena: &Arena, hash: u64) -> bool {
        let nearest = self.segment_of(hash).and_then(|segment| segment.nearest(hash));
        nearest.inspect(|&slot| arena.prefetch_entry(slot)).is_some()
    }

    /// The segment that a hash belongs to; none of an index that has had no entry.
    #[inline(always)]
    fn segment_of(&self, hash: u64) -> Option<&Segment> {
        self.directory.get(at(hash, self.shift)).map(|&number| self.segments.get(number))
    }

    fn depth_limit(&self) -> u32 {
        (self.len / (LANES as usize / 2)).max(1).ilog2() + EXCESS_DEPTH
    }

    /// Splits the segment of `hash` by the next bit of its entries' hashes.
    fn split(&mut self, arena: &Arena, hash: u64) {
        let old = self.directory[at(hash, self.shift)];
        let depth = self.shapes[old as usize].depth;
        if depth == u64::BITS - self.shift {
            self.directory = self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
            self.shift -= 1;
        }
        let mut second = Segment::EMPTY;
        let first = self.segments.get_mut(old);
        let (mut moved, untold) = first.split(depth, &mut second);
        let mut ahead = untold.iter().skip(LOOK_AHEAD);
        untold.iter().take(LOOK_AHEAD).for_each(|&slot| arena.prefetch_key(slot));
        for &slot in &untold {
            ahead.next().into_iter().for_each(|&slot| arena.prefetch_key(slot));
            let hash = self.hasher.hash_whole(arena.key(slot));
            let goes = at(hash, u64::BITS - 1 - depth) & 1 == 1;
            moved += u32::from(goes);
            let half = if goes { &mut second } else { &mut *first };
            half.insert(hash, slot, depth + 1);
        }
        let new = self.segments.push(arena, second);
        // The names of the old segment lie side by side; the second half of them goes to the new one.
        let names = 1 << (u64::BITS - self.shift - depth);
        let start = at(hash, self.shift) & !(names - 1);
        self.directory[start + names / 2..start + names].fill(new);
        let (depth, stayed) = (depth + 1, self.shapes[old as usize].len - moved);
        self.shapes[old as usize] = Shape { len: stayed, limit: limit(old, depth), depth };
        self.shapes.push(Shape { len: moved, limit: limit(new, depth), depth });
    }
}

/// The first bits of a hash, without those that are shifted out.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the directory has far less than 2^32 entries")]
fn at(hash: u64, shift: u32) -> usize {
    (hash >> shift) as usize
}

/// Between 3/4 and 7/8 of the lanes, by chance.
fn limit(segment: u32, depth: u32) -> u32 {
    LANES * 3 / 4 + (segment ^ (depth << 16)).wrapping_mul(0x9E37_79B9) % (LANES / 8)
}
