//! A segment of the index: buckets in which an entry lies where its hash says, or in the next ones where that is full.

use bytemuck::{Pod, Zeroable};
use laminar_vfs::prefetch;

use super::super::arena::Slot;
use super::bucket::{AWAY, BUCKET_LANES, Bucket, Lane};

const BUCKETS: usize = 128;

/// Slots that fit into a segment.
pub(super) const LANES: u32 = 128 * 10;

const _: () = assert!(LANES as usize == BUCKETS * BUCKET_LANES);

/// Splits from one that hashes the keys again to the next: lanes have the bits of the hash for those between, the first one highest.
const WINDOW: u32 = u8::BITS;

/// Splits that the first window lacks. So keys are hashed again when a table grows to 8 thousand and 2 million of them, and then 500 million.
const LACKING: u32 = 4;

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Segment {
    buckets: [Bucket; BUCKETS],
}

#[expect(clippy::indexing_slicing, reason = "bucket numbers are taken modulo BUCKETS")]
impl Segment {
    pub(super) const EMPTY: Self = Self { buckets: [Bucket::EMPTY; BUCKETS] };

    /// The first slot in the bucket of this hash that may have it.
    #[inline]
    pub(super) fn nearest(&self, hash: u64) -> Option<Slot> {
        let Place { home, tag } = place(hash);
        self.buckets[home].first(tag)
    }

    /// Whether slots with this hash may be in later buckets too.
    #[inline]
    pub(super) fn is_crowded(&self, hash: u64) -> bool {
        let Place { home, tag } = place(hash);
        self.buckets[home].reach(tag) > 0
    }

    /// The slots that may have this hash, in its bucket and in later ones.
    pub(super) fn matches(&self, hash: u64) -> impl Iterator<Item = Slot> + '_ {
        self.lanes(hash).map(|(_, _, slot)| slot)
    }

    /// Has the bucket of this hash on its way into the cache.
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(bytemuck::bytes_of(&self.buckets[place(hash).home]));
    }

    /// Adds a slot, of a segment whose entries share `depth` bits; there is room.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot, depth: u32) {
        let Place { home, tag } = place(hash);
        let lane = Lane { tag, bits: window(hash, depth), slot };
        if self.buckets[home].insert(lane) {
            return;
        }
        let lane = Lane { bits: lane.bits | AWAY, ..lane };
        for reach in 1..BUCKETS {
            if self.buckets[(home + reach) % BUCKETS].insert(lane) {
                #[expect(clippy::cast_possible_truncation, reason = "below the number of buckets")]
                self.buckets[home].send_away(tag, reach as u8);
                return;
            }
        }
        unreachable!("a segment splits before it is full");
    }

    /// Puts `new` where `old` is; false if it is not here.
    pub(super) fn replace(&mut self, hash: u64, old: Slot, new: Slot) -> bool {
        let Some((bucket, lane)) = self.lane_of(hash, old) else { return false };
        self.buckets[bucket].replace(lane, new);
        true
    }

    /// Removes `slot`; false if it is not here.
    pub(super) fn remove(&mut self, hash: u64, slot: Slot) -> bool {
        let Some((bucket, lane)) = self.lane_of(hash, slot) else { return false };
        self.buckets[bucket].remove(lane);
        let home = place(hash).home;
        if bucket != home {
            self.buckets[home].lose_one_away();
        }
        true
    }

    /// Moves the slots whose hashes have the next bit, behind `depth` ones that all share, to the segment `to`, which is empty. Gives their
    /// number, and the slots that are in neither now, since only the key tells where they go: they are to be inserted.
    pub(super) fn split(&mut self, depth: u32, to: &mut Self) -> (u32, Vec<Slot>) {
        let bit = next_bit(depth);
        let (mut moved, mut untold) = (0, Vec::new());
        for (here, there) in self.buckets.iter_mut().zip(&mut to.buckets) {
            let whole = std::mem::replace(here, Bucket::EMPTY);
            let mut lens = [0, 0];
            for lane in whole.taken() {
                let Some(bit) = bit.filter(|_| lane.bits & AWAY == 0) else {
                    untold.push(lane.slot);
                    continue;
                };
                let goes = usize::from(lane.bits >> bit & 1);
                let half = if goes == 0 { &mut *here } else { &mut *there };
                half.put(lens[goes], lane);
                lens[goes] += 1;
            }
            moved += lens[1];
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most all lanes")]
        let moved = moved as u32;
        (moved, untold)
    }

    /// Each slot that may have this hash, with its bucket and lane.
    fn lanes(&self, hash: u64) -> impl Iterator<Item = (usize, usize, Slot)> + '_ {
        let Place { home, tag } = place(hash);
        (home..=home + self.buckets[home].reach(tag))
            .map(|bucket| bucket % BUCKETS)
            .flat_map(move |bucket| self.buckets[bucket].matches(tag).map(move |(lane, slot)| (bucket, lane, slot)))
    }

    fn lane_of(&self, hash: u64, slot: Slot) -> Option<(usize, usize)> {
        self.lanes(hash).find(|&(_, _, at)| at == slot).map(|(bucket, lane, _)| (bucket, lane))
    }
}

/// What a segment makes of a hash; of its low bits, as the directory takes the high ones.
struct Place {
    /// The bucket where the entry belongs.
    home: usize,
    tag: u8,
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "single bits of the hash are taken")]
fn place(hash: u64) -> Place {
    Place { home: hash as usize % BUCKETS, tag: ((hash >> 8) as u8).max(1) }
}

/// Which bit of its lanes a segment splits by whose entries share `depth` bits; none where the place of that one is [`AWAY`]'s.
#[inline]
fn next_bit(depth: u32) -> Option<u32> {
    (WINDOW - 1).checked_sub((depth + LACKING) % WINDOW).filter(|&bit| bit > 0)
}

/// The bits of a hash that decide the next splits of a segment whose entries share `depth` of them.
#[inline]
fn window(hash: u64, depth: u32) -> u8 {
    (hash >> LACKING << ((depth + LACKING) / WINDOW * WINDOW) >> (u64::BITS - WINDOW)) as u8 & !AWAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_know_the_bit_that_a_split_asks_for_since_the_last_hashing() {
        let mut rng = fastrand::Rng::with_seed(1);
        for hash in std::iter::repeat_with(|| rng.u64(..)).take(100) {
            let mut bits = window(hash, 0);
            for depth in 0..40 {
                assert_eq!(bits & AWAY, 0);
                match next_bit(depth) {
                    Some(bit) => assert_eq!(u64::from(bits >> bit & 1), hash >> (63 - depth) & 1, "{hash:x} {depth}"),
                    None => bits = window(hash, depth + 1),
                }
                // Whoever comes to a segment of this depth later, has the same bits.
                assert_eq!(bits, window(hash, depth + 1));
            }
        }
    }
}
