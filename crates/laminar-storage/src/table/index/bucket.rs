//! One cache line of the index: ten slots, and for each a byte of its hash that tells most strangers apart, and another that says where it
//! goes when the segment splits.

use bytemuck::{Pod, Zeroable};
use wide::i8x16;

use super::super::arena::Slot;

/// Slots of a bucket.
pub(super) const BUCKET_LANES: usize = 10;

/// A slot with what a bucket knows of its hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    /// Never 0.
    pub(super) tag: u8,
    /// The bits by which the segment splits next, and [`AWAY`].
    pub(super) bits: u8,
    pub(super) slot: Slot,
}

/// Set in the bits of a slot that belongs to another bucket, which was full.
pub(super) const AWAY: u8 = 1;

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    /// A tag for each lane, 0 where it has no slot; then the bits of each.
    head: [u8; 2 * BUCKET_LANES],
    slots: [Slot; BUCKET_LANES],
    /// Of the entries that belong here and lie further on: how many buckets further at most,
    reach: u8,
    /// how many they are, where the number sticks at its maximum,
    away: u8,
    /// and a bit for each of their marks.
    marks: u16,
}

const _: () = assert!(size_of::<Bucket>() == 64);

#[expect(clippy::indexing_slicing, reason = "lanes are below BUCKET_LANES")]
impl Bucket {
    pub(super) const EMPTY: Self =
        Self { head: [0; 2 * BUCKET_LANES], slots: [0; BUCKET_LANES], reach: 0, away: 0, marks: 0 };

    /// The first slot whose tag is `tag`.
    #[inline]
    pub(super) fn first(&self, tag: u8) -> Option<Slot> {
        self.lanes(tag).next().map(|lane| self.slots[lane])
    }

    /// The slots whose tag is `tag`, with their lanes.
    pub(super) fn matches(&self, tag: u8) -> impl Iterator<Item = (usize, Slot)> + '_ {
        self.lanes(tag).map(|lane| (lane, self.slots[lane]))
    }

    /// How many buckets further an entry with this tag may lie that belongs here.
    #[inline]
    pub(super) fn reach(&self, tag: u8) -> usize {
        if self.marks & mark(tag) == 0 { 0 } else { usize::from(self.reach) }
    }

    /// Puts a slot into the first empty lane; false if there is none.
    #[inline]
    pub(super) fn insert(&mut self, lane: Lane) -> bool {
        let Some(empty) = self.lanes(0).next() else { return false };
        self.put(empty, lane);
        true
    }

    /// Puts a slot into a lane.
    #[inline]
    pub(super) fn put(&mut self, at: usize, Lane { tag, bits, slot }: Lane) {
        self.head[at] = tag;
        self.head[BUCKET_LANES + at] = bits;
        self.slots[at] = slot;
    }

    pub(super) fn replace(&mut self, lane: usize, slot: Slot) {
        self.slots[lane] = slot;
    }

    pub(super) fn remove(&mut self, lane: usize) {
        self.head[lane] = 0;
    }

    /// Notes that an entry with this tag that belongs here lies so many buckets further.
    pub(super) fn send_away(&mut self, tag: u8, reach: u8) {
        self.marks |= mark(tag);
        self.reach = self.reach.max(reach);
        self.away = self.away.saturating_add(1);
    }

    /// Notes that an entry that belongs here and lay further on is gone.
    pub(super) fn lose_one_away(&mut self) {
        match self.away {
            u8::MAX => {}
            1 => (self.reach, self.away, self.marks) = (0, 0, 0),
            _ => self.away -= 1,
        }
    }

    pub(super) fn taken(&self) -> impl Iterator<Item = Lane> {
        let (tags, bits) = self.head.split_at(BUCKET_LANES);
        let lanes = tags.iter().zip(bits).zip(&self.slots).filter(|((tag, _), _)| **tag != 0);
        lanes.map(|((&tag, &bits), &slot)| Lane { tag, bits, slot })
    }

    #[inline]
    fn lanes(&self, tag: u8) -> Lanes {
        let [tags @ .., _, _, _, _] = self.head;
        let equal = i8x16::new(bytemuck::cast(tags)).simd_eq(i8x16::splat(tag.cast_signed()));
        Lanes(equal.to_bitmask() & ((1 << BUCKET_LANES) - 1))
    }
}

/// One of sixteen bits.
#[inline]
fn mark(tag: u8) -> u16 {
    1 << (tag % 16)
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
