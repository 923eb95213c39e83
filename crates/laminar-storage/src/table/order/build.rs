//! An order of keys that are all there already: built from the leaves up, in a quarter of the time.

use super::super::arena::{Arena, Slot};
use super::node::{Fences, Node, WIDTH};
use super::{END, Inner, Leaf, Order};

/// Slots of a leaf, and children of an inner node, that are built at most: the others are room for what comes.
const FILLED: usize = WIDTH * 3 / 4;

/// The nodes of a level, and the separators between them: one less.
struct Level {
    nodes: Vec<u32>,
    separators: Vec<Slot>,
}

#[expect(clippy::indexing_slicing, reason = "ranges are shares of what they index")]
impl Order {
    /// The order of these slots, ascending by key.
    pub(in super::super) fn of_sorted(arena: &Arena, slots: &[Slot]) -> Self {
        let mut order = Self::new();
        if slots.is_empty() {
            return order;
        }
        let mut level = order.build_leaves(arena, slots);
        while level.nodes.len() > 1 {
            level = order.build_inners(arena, &level);
            order.height += 1;
        }
        order.root = level.nodes[0];
        order
    }

    /// Takes in all keys of another order, which has none of this one's.
    pub(in super::super) fn absorb(&mut self, arena: &mut Arena, mut other: Self) {
        self.settle(arena);
        if other.leaves.in_use() > self.leaves.in_use() {
            std::mem::swap(self, &mut other);
        }
        for slot in other.slots() {
            let leaf = self.leaf_of(arena.key(slot));
            self.insert_into(arena, leaf, slot);
        }
    }

    /// Makes way for an order that has all keys of this one.
    pub(in super::super) fn give_way(&mut self, arena: &mut Arena, other: Self) {
        self.settle(arena);
        *self = other;
    }

    /// The slots of the leaves, ascending.
    fn slots(&self) -> impl Iterator<Item = Slot> {
        let first = (!self.leaves.is_empty()).then(|| self.leaf_of(&[]));
        let leaves = std::iter::successors(first, |&leaf| Some(self.leaves.get(leaf).next).filter(|&next| next != END));
        leaves.flat_map(|leaf| self.leaves.get(leaf).node.slots()).copied()
    }

    fn build_leaves(&mut self, arena: &Arena, slots: &[Slot]) -> Level {
        let mut level = Level { nodes: Vec::new(), separators: Vec::new() };
        let mut below = None;
        for share in shares(slots.len()) {
            let above = slots.get(share.end).map(|&first| self.separate(arena, slots[share.end - 1], first));
            let fenced = Fences { below, above }.shared(&self.separators);
            let node = Node::of_sorted(arena, &slots[share], fenced);
            let leaf = self.leaves.push(arena, Leaf { node, next: END, unused: 0 });
            if let Some(&last) = level.nodes.last() {
                self.leaves.get_mut(last).next = leaf;
            }
            level.nodes.push(leaf);
            level.separators.extend(above);
            below = above;
        }
        level
    }

    /// The nodes above a level.
    fn build_inners(&mut self, arena: &Arena, below: &Level) -> Level {
        let mut level = Level { nodes: Vec::new(), separators: Vec::new() };
        for share in shares(below.nodes.len()) {
            let fences = Fences {
                below: share.start.checked_sub(1).map(|before| below.separators[before]),
                above: below.separators.get(share.end - 1).copied(),
            };
            let separators = &below.separators[share.start..share.end - 1];
            let node = Node::of_sorted(&self.separators, separators, fences.shared(&self.separators));
            let mut children = [0; WIDTH];
            children[..share.len()].copy_from_slice(&below.nodes[share]);
            level.nodes.push(self.inners.push(arena, Inner { node, children }));
            level.separators.extend(fences.above);
        }
        level
    }
}

/// `count` in equal shares of at most [`FILLED`].
fn shares(count: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let shares = count.div_ceil(FILLED);
    (0..shares).map(move |share| count * share / shares..count * (share + 1) / shares)
}
