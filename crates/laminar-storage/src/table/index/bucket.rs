//! One cache line of the index: twelve slots, and for each a byte of its hash that tells most strangers apart.

use super::super::arena::Slot;

/// Slots of a bucket.
pub(super) const BUCKET_LANES: usize = 12;

const ONES: u128 = 0x0101_0101_0101_0101_0101_0101;
const TOPS: u128 = ONES << 7;
const LOWS: u128 = TOPS - ONES;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    /// 0 marks a lane without a slot.
    tags: [u8; BUCKET_LANES],
    /// How many buckets further the entries that belong here may lie, while `away` is not 0.
    pub(super) reach: u16,
    /// Entries that belong here and lie in a later bucket; sticks at its maximum.
    pub(super) away: u16,
    slots: [Slot; BUCKET_LANES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

#[expect(clippy::indexing_slicing, reason = "lanes are below BUCKET_LANES")]
impl Bucket {
    pub(super) const EMPTY: Self = Self { tags: [0; BUCKET_LANES], reach: 0, away: 0, slots: [0; BUCKET_LANES] };

    /// The lanes whose tag is `tag`.
    #[inline]
    fn lanes(&self, tag: u8) -> Lanes {
        let mut tags = [0; 16];
        tags[..BUCKET_LANES].copy_from_slice(&self.tags);
        // Mycroft's test for a zero byte in the form without carries: a false hit would show the slot of an empty lane.
        let differing = u128::from_le_bytes(tags) ^ (ONES * u128::from(tag));
        Lanes(!(((differing & LOWS) + LOWS) | differing) & TOPS)
    }

    /// The slots whose tag is `tag`, with their lanes.
    #[inline]
    pub(super) fn matches(&self, tag: u8) -> impl Iterator<Item = (usize, Slot)> + '_ {
        self.lanes(tag).map(|lane| (lane, self.slots[lane]))
    }

    /// Puts `slot` into the first empty lane; false if there is none.
    #[inline]
    pub(super) fn insert(&mut self, tag: u8, slot: Slot) -> bool {
        let Some(lane) = self.lanes(0).next() else { return false };
        self.tags[lane] = tag;
        self.slots[lane] = slot;
        true
    }

    pub(super) fn replace(&mut self, lane: usize, slot: Slot) {
        self.slots[lane] = slot;
    }

    pub(super) fn remove(&mut self, lane: usize) {
        self.tags[lane] = 0;
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.tags.iter().zip(self.slots).filter(|(tag, _)| **tag != 0).map(|(_, slot)| slot)
    }
}

/// One top bit for each lane.
struct Lanes(u128);

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let lane = (self.0 != 0).then(|| self.0.trailing_zeros() as usize / 8);
        self.0 &= self.0.wrapping_sub(1);
        lane
    }
}
