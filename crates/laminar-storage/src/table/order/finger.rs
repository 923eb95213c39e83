//! Leaves that keys come to again and again: those that come in a row, or go in a row, find theirs without a descent. State that is kept by time
//! is like that: new keys at one end, and at the other those that are over.
//!
//! Source: Guibas, McCreight, Plass, Roberts, "A new representation for linear lists" (1977), for fingers; which one gives way is told by a
//! bit and a hand, as pages do in Corbato, "A paging experiment with the Multics system" (1969).

use super::END;
use super::node::{Fences, head};
use super::separator::{Keys, Separators};

/// Rows of keys that can come or go at the same time: new ones, those that are over, and one more.
const FINGERS: usize = 3;

/// Leaves that are remembered to see which one keys come to again.
const VISITED: usize = 4;

/// A node, and the separators that its keys lie between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fenced {
    pub(super) node: u32,
    pub(super) fences: Fences,
}

impl Fenced {
    /// Whether a key belongs there.
    fn has(&self, separators: &Separators, key: &[u8]) -> bool {
        self.fences.below.is_none_or(|below| separators.key(below) <= key)
            && self.fences.above.is_none_or(|above| key < separators.key(above))
    }
}

#[derive(Debug, Clone, Copy)]
struct Finger {
    leaf: Fenced,
    /// The heads of the fences. A key whose head lies outside is not compared with the fences: their first bytes, behind those of the key space, tell.
    lowest: u64,
    highest: u64,
    /// Whether a key has found its leaf here since the hand passed.
    is_used: bool,
}

impl Finger {
    const NONE: Self = Self {
        leaf: Fenced { node: END, fences: Fences { below: None, above: None } },
        lowest: u64::MAX,
        highest: 0,
        is_used: false,
    };
}

#[derive(Debug)]
pub(super) struct Fingers {
    fingers: [Finger; FINGERS],
    hand: usize,
    /// The leaves that keys came to last by a descent.
    visited: [u32; VISITED],
    visits: usize,
}

#[expect(clippy::indexing_slicing, reason = "the hand is below FINGERS, visits are counted modulo VISITED")]
impl Fingers {
    pub(super) const fn new() -> Self {
        Self { fingers: [Finger::NONE; FINGERS], hand: 0, visited: [END; VISITED], visits: 0 }
    }

    /// The leaf of a key, if one of these.
    #[inline]
    pub(super) fn find(&mut self, separators: &Separators, key: &[u8]) -> Option<u32> {
        let head = head(key, 0);
        let mut near = self.fingers.iter_mut().filter(|finger| finger.lowest <= head && head <= finger.highest);
        let found = near.find(|finger| finger.leaf.has(separators, key))?;
        found.is_used = true;
        Some(found.leaf.node)
    }

    /// A key has come to a leaf by a descent: the second one in a short time has it pointed at. To point at each would be to read separators that nobody
    /// asks for again.
    pub(super) fn visit(&mut self, separators: &Separators, leaf: Fenced) {
        if self.visited.contains(&leaf.node) {
            self.point(separators, leaf);
        } else {
            self.visited[self.visits % VISITED] = leaf.node;
            self.visits += 1;
        }
    }

    /// Points at a leaf, if it does not.
    pub(super) fn point(&mut self, separators: &Separators, leaf: Fenced) {
        if self.fingers.iter().any(|finger| finger.leaf.node == leaf.node) {
            return;
        }
        if let Some(idle) = self.fingers.iter().position(|finger| finger.leaf.node == END) {
            self.hand = idle;
        }
        while std::mem::take(&mut self.fingers[self.hand].is_used) {
            self.hand = (self.hand + 1) % FINGERS;
        }
        let Fences { below, above } = leaf.fences;
        let lowest = below.map_or(0, |below| head(separators.key(below), 0));
        let highest = above.map_or(u64::MAX, |above| head(separators.key(above), 0));
        self.fingers[self.hand] = Finger { leaf, lowest, highest, is_used: false };
        self.hand = (self.hand + 1) % FINGERS;
    }

    /// Points at this leaf no longer: it is not what it was, or one of its fences goes. Says whether it did.
    pub(super) fn leave(&mut self, leaf: u32) -> bool {
        let gone = self.fingers.iter_mut().find(|finger| finger.leaf.node == leaf);
        gone.map(|finger| *finger = Finger::NONE).is_some()
    }
}
