//! Shrinking of the order: sparse nodes on the way to a key are merged with a neighbour, from the root down.

use super::super::arena::{Arena, Slot};
use super::finger::Fenced;
use super::node::{Fences, WIDTH};
use super::separator::Keys;
use super::{Inner, Order};

/// Nodes with fewer slots look for a neighbour to merge with.
const SPARSE: usize = WIDTH / 4;
/// Merged nodes have room for some inserts before they split again.
const MERGED: usize = WIDTH * 3 / 4;

/// Whether a leaf that shrank to `len` slots should look for a neighbour: when it gets sparse, and again now and then.
pub(super) fn is_due(len: usize) -> bool {
    len < SPARSE && len.is_multiple_of(4)
}

#[expect(clippy::indexing_slicing, reason = "an inner node has one child more than separators")]
impl Order {
    /// Merges the sparse nodes on the way to the key of `gone` with a neighbour where one has room.
    pub(super) fn merge(&mut self, arena: &Arena, gone: Slot) {
        self.shape = self.shape.wrapping_add(1);
        while self.height > 0 && self.inners.get(self.root).node.len() == 0 {
            let old = self.root;
            self.root = self.inners.get(old).children[0];
            self.height -= 1;
            self.inners.free(old);
        }
        let (mut parent, mut level, mut fences) = (self.root, self.height, Fences::default());
        while level > 0 {
            let inner = self.inners.get(parent);
            let at = inner.node.count_to(&self.separators, arena.key(gone));
            if level == 1 {
                self.merge_leaf(arena, parent, fences, at);
                return;
            }
            let (child, child_fences) = (inner.children[at], fences.of_child(&inner.node, at));
            if self.inners.get(child).node.len() < SPARSE && self.merge_inner(parent, fences, at) {
                continue;
            }
            (parent, level, fences) = (child, level - 1, child_fences);
        }
    }

    /// Merges leaf `at` of `parent` with a neighbour, if one has room.
    fn merge_leaf(&mut self, arena: &Arena, parent: u32, fences: Fences, at: usize) {
        let inner = self.inners.get(parent);
        let len = |child: usize| self.leaves.get(inner.children[child]).node.len();
        // An empty leaf fits anywhere.
        let fits = |left: usize| {
            left < inner.node.len() && (len(left) + len(left + 1) <= MERGED || len(left) == 0 || len(left + 1) == 0)
        };
        let Some(left) = [at, at.wrapping_sub(1)].into_iter().find(|&left| fits(left)) else { return };
        let fences = merged_fences(fences, inner, left);
        let (left_leaf, right_leaf) = (inner.children[left], inner.children[left + 1]);
        let is_pointed_at = self.fingers.leave(left_leaf) | self.fingers.leave(right_leaf);
        let separator = self.inners.get_mut(parent).remove(left);

        let mut right = self.leaves.get(right_leaf).node;
        let next = self.leaves.get(right_leaf).next;
        self.leaves.free(right_leaf);
        let fenced = fences.shared(&self.separators);
        right.set_fenced(arena, fenced);
        let leaf = self.leaves.get_mut(left_leaf);
        leaf.node.set_fenced(arena, fenced);
        leaf.node.append(right);
        leaf.next = next;
        self.separators.free(separator);
        if is_pointed_at {
            self.fingers.point(&self.separators, Fenced { node: left_leaf, fences });
        }
    }

    /// Merges inner node `at` of `parent` with a neighbour, if one has room.
    fn merge_inner(&mut self, parent: u32, fences: Fences, at: usize) -> bool {
        let inner = self.inners.get(parent);
        let len = |child: usize| self.inners.get(inner.children[child]).node.len();
        let fits = |left: usize| left < inner.node.len() && len(left) + len(left + 1) < MERGED;
        let Some(left) = [at, at.wrapping_sub(1)].into_iter().find(|&left| fits(left)) else { return false };
        let fences = merged_fences(fences, inner, left);
        let (left_inner, right_inner) = (inner.children[left], inner.children[left + 1]);
        let separator = self.inners.get_mut(parent).remove(left);

        let right = self.inners.get(right_inner);
        let (mut right_node, right_children) = (right.node, right.children);
        self.inners.free(right_inner);
        let separators = &self.separators;
        let fenced = fences.shared(separators);
        right_node.set_fenced(separators, fenced);
        let inner = self.inners.get_mut(left_inner);
        inner.node.set_fenced(separators, fenced);
        let len = inner.node.len();
        inner.node.insert(len, separators.key(separator), separator);
        inner.children[len + 1..=len + 1 + right_node.len()].copy_from_slice(&right_children[..=right_node.len()]);
        inner.node.append(right_node);
        true
    }
}

/// The fences of children `left` and `left + 1` of a node, taken together.
fn merged_fences(fences: Fences, inner: &Inner, left: usize) -> Fences {
    Fences { below: fences.of_child(&inner.node, left).below, above: fences.of_child(&inner.node, left + 1).above }
}

impl Inner {
    /// Takes out the separator at `at` and the child that it begins.
    fn remove(&mut self, at: usize) -> Slot {
        let children = self.node.len() + 1;
        self.children.copy_within(at + 2..children, at + 1);
        self.node.remove(at)
    }
}
