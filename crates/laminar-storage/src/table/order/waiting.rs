//! Keys on their way into the order, or out of it. Each that comes pushes the ones before it a step further: the first brings the node
//! above its leaf into the cache, the second the leaf, the third the keys there that begin like it, the fourth changes the leaf. So every change
//! costs the same, and nobody waits for memory: in between is the caller's own work. A key whose leaf others have just come to takes its place at once: that leaf is most
//! likely in the cache.

use super::super::arena::{Arena, Slot};
use super::finger::Fenced;
use super::node::Node;
use super::{END, Leaf, Order, merge};

/// Changes that wait at most: one for keys, behind it one for its leaf, and one for the node above its leaf.
const WAITING: usize = 3;

/// A change that the leaves do not show yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    slot: Slot,
    /// Whether the key leaves the order; else it is a new one.
    is_gone: bool,
    /// Whether `place` is the leaf; else it is the node above.
    is_at_leaf: bool,
    place: Fenced,
    /// The shape of the order for which `place` is right.
    shape: u32,
}

#[expect(clippy::indexing_slicing, reason = "as many wait as are counted")]
impl Order {
    /// Takes the slot of a new key.
    pub(in super::super) fn add(&mut self, arena: &mut Arena, slot: Slot) {
        if self.leaves.is_empty() {
            self.root = self.leaves.push(arena, Leaf { node: Node::EMPTY, next: END, unused: 0 });
        }
        let key = arena.key(slot);
        // Whatever had this key before has to go first.
        let is_awaited = |order: &Self| order.leaving().any(|gone| arena.key(gone) == key);
        match self.fingers.find(&self.separators, key) {
            Some(leaf) if !is_awaited(self) => self.insert_into(arena, leaf, slot),
            _ => self.enqueue(arena, slot, false),
        }
    }

    /// Takes out the slot of a key that is gone, in time. Its block is detached, so that the key can be read as long as the order refers to
    /// it, and is freed then.
    pub(in super::super) fn remove(&mut self, arena: &mut Arena, slot: Slot) {
        match self.fingers.find(&self.separators, arena.key(slot)) {
            Some(leaf) => self.remove_from(arena, leaf, slot),
            None => self.enqueue(arena, slot, true),
        }
    }

    /// Takes back a new key that still waits. False if it does not.
    pub(in super::super) fn forget(&mut self, slot: Slot) -> bool {
        let at = self.waiting.iter().position(|waiting| waiting.slot == slot && !waiting.is_gone);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }

    /// The slots of new keys that the leaves do not show yet.
    pub(in super::super) fn waiting(&self) -> impl Iterator<Item = Slot> {
        self.waiting.iter().filter(|waiting| !waiting.is_gone).map(|waiting| waiting.slot)
    }

    /// The slots of keys that are gone, and that the leaves still show.
    pub(in super::super) fn leaving(&self) -> impl Iterator<Item = Slot> {
        self.waiting.iter().filter(|waiting| waiting.is_gone).map(|waiting| waiting.slot)
    }

    /// Lets all that waits arrive.
    pub(in super::super) fn settle(&mut self, arena: &mut Arena) {
        while let Some(first) = self.waiting.pop_front() {
            self.arrive(arena, first);
        }
    }

    fn enqueue(&mut self, arena: &mut Arena, slot: Slot, is_gone: bool) {
        if self.waiting.len() == WAITING
            && let Some(first) = self.waiting.pop_front()
        {
            self.arrive(arena, first);
        }
        // The node above the leaf; where there is none, the leaf.
        let place = self.descend(arena.key(slot), self.height.saturating_sub(1));
        match self.height {
            0 => self.leaves.prefetch(place.node),
            _ => self.inners.prefetch(place.node),
        }
        let waiting = Waiting { slot, is_gone, is_at_leaf: self.height == 0, place, shape: self.shape };
        self.waiting.push_back(waiting);
        if let Some(second) = self.waiting.len().checked_sub(2) {
            let leaf = self.leaf_for(arena, &self.waiting[second]);
            self.leaves.prefetch(leaf.node);
            let waiting = &mut self.waiting[second];
            (waiting.place, waiting.is_at_leaf, waiting.shape) = (leaf, true, self.shape);
        }
        if let Some(third) = self.waiting.len().checked_sub(3) {
            self.fetch_tied(arena, &self.waiting[third]);
        }
    }

    /// Has the keys on their way into the cache that a new one is going to be compared with.
    fn fetch_tied(&self, arena: &Arena, waiting: &Waiting) {
        if waiting.is_at_leaf && !waiting.is_gone && waiting.shape == self.shape {
            let leaf = &self.leaves.get(waiting.place.node).node;
            leaf.tied(arena.key(waiting.slot)).iter().for_each(|&slot| arena.prefetch_key(slot));
        }
    }

    fn leaf_for(&self, arena: &Arena, waiting: &Waiting) -> Fenced {
        let key = arena.key(waiting.slot);
        if waiting.shape != self.shape {
            return self.descend(key, self.height);
        }
        if waiting.is_at_leaf { waiting.place } else { self.child(waiting.place, key) }
    }

    fn arrive(&mut self, arena: &mut Arena, waiting: Waiting) {
        let leaf = self.leaf_for(arena, &waiting);
        self.fingers.visit(&self.separators, leaf);
        if waiting.is_gone {
            self.remove_from(arena, leaf.node, waiting.slot);
        } else {
            self.insert_into(arena, leaf.node, waiting.slot);
        }
    }

    /// Puts a slot into the leaf that its key belongs to.
    pub(super) fn insert_into(&mut self, arena: &Arena, mut leaf: u32, slot: Slot) {
        if self.leaves.get(leaf).node.is_full() {
            self.make_room(arena, slot);
            leaf = self.leaf_of(arena.key(slot));
        }
        let key = arena.key(slot);
        let node = &mut self.leaves.get_mut(leaf).node;
        let at = node.count_below(arena, key);
        node.insert(at, key, slot);
    }

    /// Takes a slot out of its leaf, and gives it back.
    fn remove_from(&mut self, arena: &mut Arena, leaf: u32, slot: Slot) {
        let node = &mut self.leaves.get_mut(leaf).node;
        let Some(at) = node.position(arena.key(slot), slot) else { unreachable!("a key that went was in the order") };
        node.remove(at);
        if merge::is_due(node.len()) {
            self.merge(arena, slot);
        }
        arena.free(slot);
    }
}
