//! One cache line of the index: twelve slots, and for each a byte of its hash that tells most strangers apart.

use bytemuck::{Pod, Zeroable};
use wide::i8x16;

use super::super::arena::Slot;

/// Slots of a bucket.
pub(super) const BUCKET_LANES: usize = 12;

/// Where the head has, of the entries that belong here and lie further on: how many buckets further at most; how many they are,
/// where the number sticks at its maximum; and a bit for each of their marks.
const REACH: usize = BUCKET_LANES;
const AWAY: usize = BUCKET_LANES + 1;
const MARKS: usize = BUCKET_LANES + 2;

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    /// A tag for each lane, 0 where it has no slot; then the four bytes below.
    head: [u8; 16],
    slots: [Slot; BUCKET_LANES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

#[expect(clippy::indexing_slicing, reason = "lanes are below BUCKET_LANES")]
impl Bucket {
    pub(super) const EMPTY: Self = Self { head: [0; 16], slots: [0; BUCKET_LANES] };

    /// The slots whose tag is `tag`, with their lanes.
    #[inline]
    pub(super) fn matches(&self, tag: u8) -> impl Iterator<Item = (usize, Slot)> + '_ {
        self.lanes(tag).map(|lane| (lane, self.slots[lane]))
    }

    /// How many buckets further an entry with this mark may lie that belongs here.
    #[inline]
    pub(super) fn reach(&self, mark: u16) -> usize {
        if self.marks() & mark == 0 { 0 } else { usize::from(self.head[REACH]) }
    }

    /// Puts `slot` into the first empty lane; false if there is none.
    #[inline]
    pub(super) fn insert(&mut self, tag: u8, slot: Slot) -> bool {
        let Some(lane) = self.lanes(0).next() else { return false };
        self.head[lane] = tag;
        self.slots[lane] = slot;
        true
    }

    pub(super) fn replace(&mut self, lane: usize, slot: Slot) {
        self.slots[lane] = slot;
    }

    pub(super) fn remove(&mut self, lane: usize) {
        self.head[lane] = 0;
    }

    /// Notes that an entry with this mark that belongs here lies so many buckets further.
    pub(super) fn send_away(&mut self, mark: u16, reach: u8) {
        let marks = (self.marks() | mark).to_le_bytes();
        self.head[MARKS..].copy_from_slice(&marks);
        self.head[REACH] = self.head[REACH].max(reach);
        self.head[AWAY] = self.head[AWAY].saturating_add(1);
    }

    /// Notes that an entry that belongs here and lay further on is gone.
    pub(super) fn lose_one_away(&mut self) {
        match self.head[AWAY] {
            u8::MAX => {}
            1 => self.head[REACH..].fill(0),
            _ => self.head[AWAY] -= 1,
        }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.head.iter().zip(self.slots).filter(|(tag, _)| **tag != 0).map(|(_, slot)| slot)
    }

    #[inline]
    fn lanes(&self, tag: u8) -> Lanes {
        let equal = i8x16::new(bytemuck::cast(self.head)).simd_eq(i8x16::splat(tag.cast_signed()));
        Lanes(equal.to_bitmask() & ((1 << BUCKET_LANES) - 1))
    }

    #[inline]
    fn marks(&self) -> u16 {
        u16::from_le_bytes([self.head[MARKS], self.head[MARKS + 1]])
    }
}

/// A bit for each lane.
struct Lanes(u32);

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let lane = (self.0 != 0).then(|| self.0.trailing_zeros() as usize);
        self.0 &= self.0.wrapping_sub(1);
        lane
    }
}
