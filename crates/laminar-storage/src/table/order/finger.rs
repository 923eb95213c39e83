//! Leaves that keys have just come to: those that come in a row, or go in a row, find theirs without a descent. State that is kept by time is like
//! that: new keys at one end, and at the other those that are over.
//!
//! Source: Guibas, McCreight, Plass, Roberts, "A new representation for linear lists" (1977), for fingers; which one gives way is told by a
//! bit and a hand, as pages do in Corbato, "A paging experiment with the Multics system" (1969).

use super::END;
use super::node::{Fences, head};
use super::separator::{Keys, Separators};

/// Streams of keys that find their leaves at the same time, each a place of its own. Keys that come without any order pay for each with a
/// comparison of two numbers.
const FINGERS: usize = 3;

/// A leaf, and the separators that its keys lie between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) node: u32,
    pub(super) fences: Fences,
}

impl Place {
    /// Whether a key belongs there.
    fn has(&self, separators: &Separators, key: &[u8]) -> bool {
        self.fences.below.is_none_or(|below| separators.key(below) <= key)
            && self.fences.above.is_none_or(|above| key < separators.key(above))
    }
}

#[derive(Debug, Clone, Copy)]
struct Finger {
    place: Place,
    /// The heads of the fences, which tell most strangers.
    lowest: u64,
    highest: u64,
    /// Whether a key has found its leaf here since the hand passed.
    is_used: bool,
}

impl Finger {
    const NONE: Self = Self {
        place: Place { node: END, fences: Fences { below: None, above: None } },
        lowest: u64::MAX,
        highest: 0,
        is_used: false,
    };
}

#[derive(Debug)]
pub(super) struct Fingers {
    fingers: [Finger; FINGERS],
    hand: usize,
}

#[expect(clippy::indexing_slicing, reason = "the hand is below FINGERS")]
impl Fingers {
    pub(super) const fn new() -> Self {
        Self { fingers: [Finger::NONE; FINGERS], hand: 0 }
    }

    /// The leaf of a key, if one of these.
    #[inline]
    pub(super) fn find(&mut self, separators: &Separators, key: &[u8]) -> Option<u32> {
        let head = head(key, 0);
        let mut near = self.fingers.iter_mut().filter(|finger| finger.lowest <= head && head <= finger.highest);
        let found = near.find(|finger| finger.place.has(separators, key))?;
        found.is_used = true;
        Some(found.place.node)
    }

    /// Points at a leaf that a key has come to.
    pub(super) fn point(&mut self, separators: &Separators, place: Place) {
        if self.fingers.iter().any(|finger| finger.place.node == place.node) {
            return;
        }
        while std::mem::take(&mut self.fingers[self.hand].is_used) {
            self.hand = (self.hand + 1) % FINGERS;
        }
        let Fences { below, above } = place.fences;
        let lowest = below.map_or(0, |below| head(separators.key(below), 0));
        let highest = above.map_or(u64::MAX, |above| head(separators.key(above), 0));
        self.fingers[self.hand] = Finger { place, lowest, highest, is_used: false };
        self.hand = (self.hand + 1) % FINGERS;
    }

    /// Points at this leaf no longer: it is not what it was, or one of its fences goes.
    pub(super) fn leave(&mut self, leaf: u32) {
        let gone = self.fingers.iter_mut().filter(|finger| finger.place.node == leaf);
        gone.for_each(|finger| *finger = Finger::NONE);
    }
}
