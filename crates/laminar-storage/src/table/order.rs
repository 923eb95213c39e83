//! The order of the keys: a B+-tree of slots. Owns which key follows which; point operations never come here, and new and
//! gone keys take some steps to arrive, so that nobody waits for their cache misses. Those that come or go in a row find their leaf without.
//!
//! Sources: Graefe, "Modern B-Tree Techniques" (2011), for fences, prefix truncation and heads ("poor man's normalised
//! keys"); Bayer and Unterauer, "Prefix B-trees" (1977), for short separators.

use std::collections::VecDeque;
use std::ops::Bound;

use bytemuck::{Pod, Zeroable};

use super::arena::{Arena, Slot};
use super::pool::Pool;

mod build;
mod finger;
mod merge;
mod node;
mod prefix;
mod separator;
mod split;
mod waiting;

use finger::{Fenced, Fingers};
use node::{Fences, Node, WIDTH};
pub(super) use node::{head, shared};
use separator::Separators;
use waiting::Waiting;

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

/// A node whose slots are [`Separators`], at most [`SEPARATORS`]: child `i` holds the keys from separator `i - 1` on, below separator `i`.
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
    separators: Separators,
    root: u32,
    /// Levels of inner nodes above the leaves.
    height: u32,
    /// How often nodes were split or merged: whoever remembers a node looks at it.
    shape: u32,
    waiting: VecDeque<Waiting>,
    fingers: Fingers,
}

/// The leaf where a walk goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor(u32);

#[expect(clippy::indexing_slicing, reason = "an inner node has one child more than separators")]
impl Order {
    pub(super) const fn new() -> Self {
        Self {
            leaves: Pool::new(),
            inners: Pool::new(),
            separators: Separators::new(),
            root: 0,
            height: 0,
            shape: 0,
            waiting: VecDeque::new(),
            fingers: Fingers::new(),
        }
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.leaves.resident_bytes() + self.inners.resident_bytes() + self.separators.resident_bytes()
    }

    /// Bytes in nodes that are in use.
    #[cfg(test)]
    pub(super) fn resident_in_use(&self) -> usize {
        self.leaves.in_use() * size_of::<Leaf>() + self.inners.in_use() * size_of::<Inner>()
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
        let leaf = self.leaf_of(key);
        self.leaves.prefetch(leaf);
        let node = &self.leaves.get(leaf).node;
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

    fn leaf_of(&self, key: &[u8]) -> u32 {
        self.descend(key, self.height).node
    }

    /// Goes down so many levels to where a key belongs.
    fn descend(&self, key: &[u8], levels: u32) -> Fenced {
        let root = Fenced { node: self.root, fences: Fences::default() };
        (0..levels).fold(root, |node, _| self.child(node, key))
    }

    /// The child of an inner node where a key belongs.
    fn child(&self, parent: Fenced, key: &[u8]) -> Fenced {
        let inner = self.inners.get(parent.node);
        let at = inner.node.count_to(&self.separators, key);
        Fenced { node: inner.children[at], fences: parent.fences.of_child(&inner.node, at) }
    }
}
