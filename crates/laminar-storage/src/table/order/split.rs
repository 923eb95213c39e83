//! Growth of the order: full nodes on the way to a key are split, from the root down, so that a parent always has room.

use super::super::arena::{Arena, Slot};
use super::finger::Fenced;
use super::node::{Fences, Node, WIDTH, shared};
use super::separator::{Keys, Separators};
use super::{Inner, Leaf, Order, SEPARATORS};

#[expect(clippy::indexing_slicing, reason = "an inner node has one child more than separators")]
impl Order {
    /// Splits the leaf that the key of `new` belongs to, and each full inner node above it.
    pub(super) fn make_room(&mut self, arena: &Arena, new: Slot) {
        self.shape = self.shape.wrapping_add(1);
        if self.height == 0 || self.inners.get(self.root).is_full() {
            let mut children = [0; WIDTH];
            children[0] = self.root;
            self.root = self.inners.push(arena, Inner { node: Node::EMPTY, children });
            self.height += 1;
        }
        let (mut parent, mut level, mut fences) = (self.root, self.height, Fences::default());
        loop {
            let inner = self.inners.get(parent);
            let at = inner.node.count_to(&self.separators, arena.key(new));
            let (child, child_fences) = (inner.children[at], fences.of_child(&inner.node, at));
            if level == 1 {
                let (separator, right) = self.split_leaf(arena, child, child_fences, new);
                self.inners.get_mut(parent).insert(&self.separators, at, separator, right);
                return;
            }
            if self.inners.get(child).is_full() {
                let (separator, right) = self.split_inner(arena, child, child_fences);
                self.inners.get_mut(parent).insert(&self.separators, at, separator, right);
                continue;
            }
            (parent, level, fences) = (child, level - 1, child_fences);
        }
    }

    fn split_leaf(&mut self, arena: &Arena, number: u32, fences: Fences, new: Slot) -> (Slot, u32) {
        let is_pointed_at = self.fingers.leave(number);
        let leaf = self.leaves.get(number);
        let at = leaf.node.count_below(arena, arena.key(new));
        // Keys that come in ascending order leave full leaves behind.
        let middle = if at > WIDTH / 2 && leaf.node.ascends(at) { at } else { WIDTH / 2 };
        let (last, first) = (leaf.node.slots()[middle - 1], leaf.node.slots().get(middle).copied().unwrap_or(new));
        let separator = self.separate(arena, last, first);

        let below = Fenced { node: number, fences: Fences { above: Some(separator), ..fences } };
        let leaf = self.leaves.get_mut(number);
        let mut right = leaf.node.split_off(middle);
        leaf.node.set_fenced(arena, below.fences.shared(&self.separators));
        let fences = Fences { below: Some(separator), ..fences };
        right.set_fenced(arena, fences.shared(&self.separators));
        let next = leaf.next;
        let right = self.leaves.push(arena, Leaf { node: right, next, unused: 0 });
        self.leaves.get_mut(number).next = right;
        if is_pointed_at {
            let above = Fenced { node: right, fences };
            let half = if arena.key(new) < self.separators.key(separator) { below } else { above };
            self.fingers.point(&self.separators, half);
        }
        (separator, right)
    }

    fn split_inner(&mut self, arena: &Arena, number: u32, fences: Fences) -> (Slot, u32) {
        const MIDDLE: usize = SEPARATORS / 2;
        let left = self.inners.get_mut(number);
        let mut children = [0; WIDTH];
        children[..SEPARATORS - MIDDLE].copy_from_slice(&left.children[MIDDLE + 1..]);
        let mut right = left.node.split_off(MIDDLE + 1);
        let separator = left.node.remove(MIDDLE);
        let separators = &self.separators;
        left.node.set_fenced(separators, Fences { above: Some(separator), ..fences }.shared(separators));
        right.set_fenced(separators, Fences { below: Some(separator), ..fences }.shared(separators));
        (separator, self.inners.push(arena, Inner { node: right, children }))
    }

    /// A new separator: the shortest key above that of `last` and at or below that of `first`.
    pub(super) fn separate(&mut self, arena: &Arena, last: Slot, first: Slot) -> Slot {
        let (last, first) = (arena.key(last), arena.key(first));
        // A key above another is longer than what they share.
        self.separators.push(&first[..=shared(last, first)])
    }
}

#[expect(clippy::indexing_slicing, reason = "there is room: full inner nodes were split on the way down")]
impl Inner {
    fn is_full(&self) -> bool {
        self.node.len() == SEPARATORS
    }

    /// Puts a separator at `at` and the child that it begins after it.
    fn insert(&mut self, separators: &Separators, at: usize, separator: Slot, child: u32) {
        let children = self.node.len() + 1;
        self.children.copy_within(at + 1..children, at + 2);
        self.children[at + 1] = child;
        self.node.insert(at, separators.key(separator), separator);
    }
}
