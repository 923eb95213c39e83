//! A segment of the index: buckets in which an entry lies where its hash says, or in the next ones where that is full.

use super::super::arena::Slot;
use super::bucket::{BUCKET_LANES, Bucket};

const BUCKETS: usize = 128;

/// Slots that fit into a segment.
pub(super) const LANES: u32 = 128 * 12;

const _: () = assert!(LANES as usize == BUCKETS * BUCKET_LANES);

#[derive(Debug)]
pub(super) struct Segment {
    buckets: [Bucket; BUCKETS],
}

#[expect(clippy::indexing_slicing, reason = "bucket numbers are taken modulo BUCKETS")]
impl Segment {
    pub(super) const EMPTY: Self = Self { buckets: [Bucket::EMPTY; BUCKETS] };

    /// The slot with this hash that `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(Slot) -> bool) -> Option<Slot> {
        let (home, tag) = place(hash);
        let mut reach = 0;
        let bucket = &self.buckets[home];
        loop {
            let here = &self.buckets[(home + reach) % BUCKETS];
            if let Some((_, slot)) = here.matches(tag).find(|&(_, slot)| is_it(slot)) {
                return Some(slot);
            }
            if bucket.away == 0 || reach == usize::from(bucket.reach) {
                return None;
            }
            reach += 1;
        }
    }

    /// Adds a slot; there is room.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot) {
        let (home, tag) = place(hash);
        if self.buckets[home].insert(tag, slot) {
            return;
        }
        for reach in 1..BUCKETS {
            if self.buckets[(home + reach) % BUCKETS].insert(tag, slot) {
                let bucket = &mut self.buckets[home];
                #[expect(clippy::cast_possible_truncation, reason = "below the number of buckets")]
                let reach = reach as u16;
                bucket.reach = if bucket.away == 0 { reach } else { bucket.reach.max(reach) };
                bucket.away = bucket.away.saturating_add(1);
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
        let (home, _) = place(hash);
        let home = &mut self.buckets[home];
        if bucket != place(hash).0 && home.away != u16::MAX {
            home.away -= 1;
        }
        true
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.buckets.iter().flat_map(Bucket::slots)
    }

    fn lane_of(&self, hash: u64, slot: Slot) -> Option<(usize, usize)> {
        let (home, tag) = place(hash);
        let reach = if self.buckets[home].away == 0 { 0 } else { usize::from(self.buckets[home].reach) };
        (home..=home + reach).map(|bucket| bucket % BUCKETS).find_map(|bucket| {
            self.buckets[bucket].matches(tag).find(|&(_, at)| at == slot).map(|(lane, _)| (bucket, lane))
        })
    }
}

/// Bucket and tag of a hash: from its low bits, as the directory takes the high ones.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "single bits of the hash are taken")]
fn place(hash: u64) -> (usize, u8) {
    (hash as usize % BUCKETS, ((hash >> 16) as u8).max(1))
}
