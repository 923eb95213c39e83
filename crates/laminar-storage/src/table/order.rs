//! The order of the keys: a B+-tree of slots. Owns which key follows which; point operations never come here, and it is
//! told of new and gone keys in groups, whose cache misses overlap.
//!
//! Separators are keys of their own in the arena, cut as short as they can be: the entries around them come and go.
//!
//! Sources: Graefe, "Modern B-Tree Techniques" (2011), for fences, prefix truncation and heads ("poor man's normalised
//! keys"); Bayer and Unterauer, "Prefix B-trees" (1977), for short separators.

use std::ops::Bound;

use bytemuck::{Pod, Zeroable};

use super::GROUP;
use super::arena::{Arena, Slot};
use super::pool::Pool;

mod build;
mod merge;
mod node;
mod split;

use node::{Node, WIDTH};
pub(super) use node::{head, shared};

/// Separators of an inner node, which has one child more than those.
const SEPARATORS: usize = WIDTH - 1;

/// No leaf.
const END: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Leaf {
    node: Node,
    /// The leaf after this one.
    next: u32,
    unused: u32,
}

/// A node whose slots are separators, at most [`SEPARATORS`]: child `i` holds the keys from separator `i - 1` on, below separator `i`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Inner {
    node: Node,
    children: [u32; WIDTH],
}

#[derive(Debug)]
pub(super) struct Order {
    leaves: Pool<Leaf>,
    inners: Pool<Inner>,
    root: u32,
    /// Levels of inner nodes above the leaves.
    height: u32,
}

/// The leaf where a walk goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor(u32);

#[expect(clippy::indexing_slicing, reason = "an inner node has one child more than separators")]
impl Order {
    pub(super) const fn new() -> Self {
        Self { leaves: Pool::new(), inners: Pool::new(), root: 0, height: 0 }
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.leaves.resident_bytes() + self.inners.resident_bytes()
    }

    /// Bytes in nodes that are in use.
    #[cfg(test)]
    pub(super) fn resident_in_use(&self) -> usize {
        self.leaves.bytes_in_use() + self.inners.bytes_in_use()
    }

    /// Adds the slots of new keys, at most `GROUP`.
    pub(super) fn insert(&mut self, arena: &mut Arena, slots: &[Slot]) {
        if self.leaves.is_empty() && !slots.is_empty() {
            self.root = self.leaves.push(arena, Leaf { node: Node::EMPTY, next: END, unused: 0 });
        }
        let found = self.locate(arena, slots);
        // Leaves that lost keys since.
        let mut changed = Vec::new();
        for (&slot, &(mut leaf)) in slots.iter().zip(&found) {
            if changed.contains(&leaf) {
                leaf = self.leaf_of(arena, arena.key(slot));
            }
            if self.leaves.get(leaf).node.is_full() {
                changed.push(leaf);
                self.make_room(arena, slot);
                leaf = self.leaf_of(arena, arena.key(slot));
            }
            let key = arena.key(slot);
            let node = &mut self.leaves.get_mut(leaf).node;
            let at = node.count_below(arena, key);
            node.insert(at, key, slot);
        }
    }

    /// Takes out the slots of gone keys, at most `GROUP`; their keys can still be read.
    pub(super) fn remove(&mut self, arena: &mut Arena, slots: &[Slot]) {
        let found = self.locate(arena, slots);
        let mut merged = false;
        for (&slot, &(mut leaf)) in slots.iter().zip(&found) {
            let key = arena.key(slot);
            if merged {
                leaf = self.leaf_of(arena, key);
            }
            let node = &mut self.leaves.get_mut(leaf).node;
            let Some(at) = node.position(key, slot) else { unreachable!("a key that went was in the order") };
            node.remove(at);
            if merge::is_due(node.len()) {
                merged = true;
                self.merge(arena, slot);
            }
        }
    }

    /// The slots between two bounds of the leaf where the first of them are, perhaps none, and where the next ones follow.
    pub(super) fn first_row(&self, arena: &Arena, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> (&[Slot], Cursor) {
        if self.leaves.is_empty() {
            return (&[], Cursor(END));
        }
        let (key, is_excluded) = match lower {
            Bound::Included(key) => (key, false),
            Bound::Excluded(key) => (key, true),
            Bound::Unbounded => (&[][..], false),
        };
        let leaf = self.leaf_of(arena, key);
        let node = &self.leaves.get(leaf).node;
        std::hint::black_box(node.touch());
        let at = if is_excluded { node.count_to(arena, key) } else { node.count_below(arena, key) };
        self.row(arena, leaf, at, key, upper)
    }

    /// The slots below a bound of the leaf at the cursor, which goes on. `None` at the end of the order.
    pub(super) fn next_row(&self, arena: &Arena, cursor: &mut Cursor, upper: Bound<&[u8]>) -> Option<&[Slot]> {
        let Cursor(leaf) = *cursor;
        if leaf == END {
            return None;
        }
        let Leaf { node, next, .. } = self.leaves.get(leaf);
        let Some(&first) = node.slots().first() else {
            *cursor = Cursor(*next);
            return Some(&[]);
        };
        let (row, next) = self.row(arena, leaf, 0, arena.key(first), upper);
        *cursor = next;
        Some(row)
    }

    /// The slots of a leaf from `start` to a bound; `inside` is any key that belongs into the leaf.
    fn row(&self, arena: &Arena, leaf: u32, start: usize, inside: &[u8], upper: Bound<&[u8]>) -> (&[Slot], Cursor) {
        let leaf = self.leaves.get(leaf);
        let end = leaf.node.count_within(arena, inside, upper);
        let next = if end == leaf.node.len() { leaf.next } else { END };
        (leaf.node.slots().get(start..end).unwrap_or_default(), Cursor(next))
    }

    fn leaf_of(&self, arena: &Arena, key: &[u8]) -> u32 {
        (0..self.height).fold(self.root, |number, _| {
            let inner = self.inners.get(number);
            inner.children[inner.node.count_to(arena, key)]
        })
    }

    /// The leaves of some keys. The keys descend together, level by level, so that their cache misses overlap.
    fn locate(&self, arena: &Arena, slots: &[Slot]) -> [u32; GROUP] {
        let mut found = [self.root; GROUP];
        let mut keys = [&[][..]; GROUP];
        keys.iter_mut().zip(slots).for_each(|(key, &slot)| *key = arena.key(slot));
        for _ in 0..self.height {
            for (number, key) in found.iter_mut().zip(&keys[..slots.len()]) {
                let inner = self.inners.get(*number);
                *number = inner.children[inner.node.count_to(arena, key)];
            }
        }
        let touched = found.iter().zip(slots).fold(0, |all, (&leaf, _)| all ^ self.leaves.get(leaf).node.touch());
        std::hint::black_box(touched);
        found
    }
}
