//! A segment of the index: buckets in which an entry lies where its hash says, or in the next ones where that is full.

use bytemuck::{Pod, Zeroable};
use laminar_vfs::prefetch;

use super::super::arena::Slot;
use super::bucket::{BUCKET_LANES, Bucket};

const BUCKETS: usize = 128;

/// Slots that fit into a segment.
pub(super) const LANES: u32 = 128 * 12;

const _: () = assert!(LANES as usize == BUCKETS * BUCKET_LANES);

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Segment {
    buckets: [Bucket; BUCKETS],
}

#[expect(clippy::indexing_slicing, reason = "bucket numbers are taken modulo BUCKETS")]
impl Segment {
    pub(super) const EMPTY: Self = Self { buckets: [Bucket::EMPTY; BUCKETS] };

    /// The slots in the bucket of this hash that may have it.
    #[inline]
    pub(super) fn near(&self, hash: u64) -> impl Iterator<Item = Slot> + '_ {
        let Place { home, tag, .. } = place(hash);
        self.buckets[home].matches(tag).map(|(_, slot)| slot)
    }

    /// Whether slots with this hash may be in later buckets too.
    #[inline]
    pub(super) fn is_crowded(&self, hash: u64) -> bool {
        let Place { home, mark, .. } = place(hash);
        self.buckets[home].reach(mark) > 0
    }

    /// The slots in later buckets that may have this hash.
    pub(super) fn far(&self, hash: u64) -> impl Iterator<Item = Slot> + '_ {
        let Place { home, tag, mark } = place(hash);
        let buckets = (1..=self.buckets[home].reach(mark)).map(move |reach| &self.buckets[(home + reach) % BUCKETS]);
        buckets.flat_map(move |bucket| bucket.matches(tag)).map(|(_, slot)| slot)
    }

    /// Has the bucket of this hash on its way into the cache.
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(bytemuck::bytes_of(&self.buckets[place(hash).home]));
    }

    /// Adds a slot; there is room.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot) {
        let Place { home, tag, mark } = place(hash);
        if self.buckets[home].insert(tag, slot) {
            return;
        }
        for reach in 1..BUCKETS {
            if self.buckets[(home + reach) % BUCKETS].insert(tag, slot) {
                #[expect(clippy::cast_possible_truncation, reason = "below the number of buckets")]
                self.buckets[home].send_away(mark, reach as u8);
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

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.buckets.iter().flat_map(Bucket::slots)
    }

    fn lane_of(&self, hash: u64, slot: Slot) -> Option<(usize, usize)> {
        let Place { home, tag, mark } = place(hash);
        (home..=home + self.buckets[home].reach(mark)).map(|bucket| bucket % BUCKETS).find_map(|bucket| {
            self.buckets[bucket].matches(tag).find(|&(_, at)| at == slot).map(|(lane, _)| (bucket, lane))
        })
    }
}

/// What a segment makes of a hash; of its low bits, as the directory takes the high ones.
struct Place {
    /// The bucket where the entry belongs.
    home: usize,
    tag: u8,
    /// A single bit.
    mark: u16,
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "single bits of the hash are taken")]
fn place(hash: u64) -> Place {
    Place { home: hash as usize % BUCKETS, tag: ((hash >> 8) as u8).max(1), mark: 1 << ((hash >> 16) % 16) }
}
