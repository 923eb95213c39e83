//! The hash of keys, and the buckets by which a chapter finds an entry in a constant number of steps.

use wide::u32x4;

use crate::format::bytes::{count32, index32, u32_at};
use crate::format::run::lines_in_blocks;
use crate::key::Key;

/// Bytes of a bucket, and of a line of the filter: what a processor fetches at once.
pub(crate) const LINE: usize = 64;
const SLOTS: usize = LINE / 4;
const CELL_BITS: u32 = 20;
const CELL_MASK: u32 = (1 << CELL_BITS) - 1;
/// Cells that a slot can name.
pub(crate) const MAX_CELLS: usize = 1 << CELL_BITS;

/// Bytes at the head of a key that go into the seed of its hash.
pub const SPACE_BYTES: usize = 4;

/// The hash by which runs made with `seed` find `key`: that of [`hash_parts`] for its first four bytes and the rest, and
/// XXH3 of the whole for a shorter key.
///
/// A caller that holds several runs with one seed hashes once for all of them.
///
/// ```
/// assert_ne!(laminar_checkpoint::hash_key(1, b"key"), laminar_checkpoint::hash_key(2, b"key"));
/// assert_eq!(laminar_checkpoint::hash_key(1, b"fourmore"), laminar_checkpoint::hash_parts(1, *b"four", b"more"));
/// ```
#[must_use]
#[inline]
pub fn hash_key(seed: u64, key: &[u8]) -> u64 {
    Key::from(key).hash(seed)
}

/// The hash of a key that comes in two parts: XXH3, 64 bits, of the second, with a seed that differs for each first. So a
/// caller whose keys share a short head need not join the parts, whose bytes could not be read again before the
/// processor has written them.
#[must_use]
#[inline]
pub fn hash_parts(seed: u64, space: [u8; SPACE_BYTES], name: &[u8]) -> u64 {
    /// 2^64 over the golden ratio: spreads small numbers over all bits. Source: Knuth, The Art of Computer
    /// Programming, volume 3, section 6.4.
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let space = u64::from(u32::from_le_bytes(space));
    xxhash_rust::xxh3::xxh3_64_with_seed(name, seed ^ space.wrapping_mul(SPREAD))
}

/// The upper 12 bits of the hash, never 0: that is an empty slot.
#[inline]
fn tag(hash: u64) -> u32 {
    ((hash >> 52) as u32).max(1)
}

/// Which of `count` lines belongs to the hash: its lower 32 bits, scaled.
#[inline]
pub(crate) fn line_of(hash: u64, count: u32) -> u32 {
    (((hash & 0xffff_ffff) * u64::from(count)) >> 32) as u32
}

/// Buckets for so many entries: filled to four fifths, or to five sixths at most where that saves a block.
pub(crate) fn buckets_for(entries: usize) -> usize {
    lines_in_blocks((entries * 5).div_ceil(SLOTS * 4), (entries * 6).div_ceil(SLOTS * 5))
}

/// The buckets that find each `(hash, cell)`.
pub(crate) fn build(slots: &[(u64, u32)]) -> Vec<[u8; LINE]> {
    let count = buckets_for(slots.len());
    let mut buckets = vec![[0; LINE]; count];
    for &(hash, cell) in slots {
        let word = tag(hash) << CELL_BITS | (cell & CELL_MASK);
        let start = index32(line_of(hash, count32(count)));
        let (before, from) = buckets.split_at_mut(start);
        let free =
            from.iter_mut().chain(before).find_map(|bucket| bucket.chunks_exact_mut(4).find(|slot| **slot == [0; 4]));
        if let Some(slot) = free {
            slot.copy_from_slice(&word.to_le_bytes());
        }
    }
    buckets
}

/// What a bucket says about a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matches {
    /// Bit n is set if slot n has the tag of the hash.
    slots: u32,
    /// No slot is empty, so the search goes on in the next bucket.
    pub(crate) is_full: bool,
}

/// Looks for the tag of `hash` in a bucket. Four slots are compared by one instruction: in other ways this takes longer than all the rest
/// of a look-up, and the number of instructions bounds how many look-ups wait for memory at a time.
#[inline]
pub(crate) fn matches(bucket: &[u8; LINE], hash: u64) -> Matches {
    let (tag, is_tag) = (u32x4::splat(tag(hash) << CELL_BITS), u32x4::splat(!CELL_MASK));
    let mut slots = 0;
    for (at, four) in bucket.as_chunks::<4>().0.as_chunks::<4>().0.iter().enumerate() {
        let words = u32x4::new(four.map(u32::from_le_bytes));
        slots |= (words & is_tag).simd_eq(tag).to_bitmask() << (4 * at);
    }
    // Slots are filled from the first on.
    Matches { slots, is_full: u32_at(bucket, LINE - 4) != Some(0) }
}

impl Matches {
    /// The next cell that may hold the entry.
    #[inline]
    pub(crate) fn next_cell(&mut self, bucket: &[u8; LINE]) -> Option<usize> {
        if self.slots == 0 {
            return None;
        }
        let at = index32(self.slots.trailing_zeros());
        self.slots &= self.slots - 1;
        u32_at(bucket, at * 4).map(|word| index32(word & CELL_MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(buckets: &[[u8; LINE]], hash: u64) -> Vec<usize> {
        let count = buckets.len();
        let start = index32(line_of(hash, count32(count)));
        let mut found = Vec::new();
        for step in 0..count {
            let bucket = &buckets[(start + step) % count];
            let mut matches = matches(bucket, hash);
            while let Some(cell) = matches.next_cell(bucket) {
                found.push(cell);
            }
            if !matches.is_full {
                break;
            }
        }
        found
    }

    #[test]
    fn every_key_is_found_and_few_others_are_looked_at() {
        let slots: Vec<(u64, u32)> = (0..50_000u32).map(|i| (hash_key(3, &i.to_le_bytes()), i)).collect();
        let buckets = build(&slots);
        let mut looked_at = 0;
        for &(hash, cell) in &slots {
            let cells = cells(&buckets, hash);
            assert!(cells.contains(&index32(cell)));
            looked_at += cells.len();
        }
        assert!(looked_at < 50_500, "{looked_at}");
        let misses: usize = (0..50_000u32).map(|i| cells(&buckets, hash_key(4, &i.to_le_bytes())).len()).sum();
        assert!(misses < 500, "{misses}");
    }

    #[test]
    fn a_block_is_saved_where_slightly_fuller_buckets_will_do() {
        use crate::format::run::LINES_PER_BLOCK;
        // As four fifths ask for: in as many blocks as five sixths would need.
        assert_eq!((buckets_for(0), buckets_for(60), buckets_for(12_000)), (1, 5, 938));
        // Twelve blocks for thirteen: all their buckets are used.
        assert_eq!(buckets_for(10_000), 12 * LINES_PER_BLOCK);
        for entries in (0..=1 << 16).step_by(7) {
            let slots = buckets_for(entries) * SLOTS;
            assert!(entries * 6 <= slots * 5, "{entries} entries in {slots} slots");
        }
    }

    #[test]
    fn equal_hashes_spill_over() {
        let slots: Vec<(u64, u32)> = (0..100).map(|cell| (u64::MAX, cell)).collect();
        assert_eq!(cells(&build(&slots), u64::MAX).len(), 100);
        assert_eq!(cells(&build(&[(0, 5)]), 0), [5]);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash_key(0, b""), 0x2d06_8005_38d3_94c2);
    }
}
