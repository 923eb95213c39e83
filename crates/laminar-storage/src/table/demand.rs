//! Which key spaces are kept in order: each from the first range on that asks for it. Who never asks does not pay for the order, which
//! is two fifths of what a new key costs that comes in no order.
//!
//! A range only borrows the table. So the first one builds an order of its own of the entries that it may meet, ranges are answered from
//! this until the next change, and the change makes it the table's, or a part of it, before it does anything else.

use std::ops::Bound;

use laminar_checkpoint::KeyBuf;

use super::SPACE_BYTES;
use super::arena::{Arena, Slot};
use super::order::{Order, head, shared};
use crate::sync::OnceLock;

/// Key spaces that are kept one by one, about; whoever asks for another one gets all. Each costs a comparison for every new key, and a walk
/// through the memory of all entries when it is asked for.
const KEPT: usize = 16;

/// Orders that can be built between two changes: of a few key spaces, and then of everything.
const SOUGHT: usize = 4;

/// Heads of a key that are sorted by: enough for keys that are not made to be hard, few enough for any stack.
const HEADS: usize = 8;

/// Entries of which there is an order, or ought to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Space([u8; SPACE_BYTES]),
    All,
}

impl Scope {
    /// What a range may meet.
    pub(super) fn of(lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Self {
        let (Bound::Included(lower) | Bound::Excluded(lower)) = lower else { return Self::All };
        let Some(&space) = lower.first_chunk() else { return Self::All };
        let Some(above) = KeyBuf::above(&space) else { return Self::Space(space) };
        let ends_inside = match upper {
            Bound::Included(upper) => *upper < *above,
            Bound::Excluded(upper) => *upper <= *above,
            Bound::Unbounded => false,
        };
        if ends_inside { Self::Space(space) } else { Self::All }
    }

    fn holds(self, other: Self) -> bool {
        self == Self::All || self == other
    }

    fn has(self, key: &[u8]) -> bool {
        match self {
            Self::Space(space) => key.starts_with(&space),
            Self::All => true,
        }
    }
}

/// An order that was built because a range asked for it.
#[derive(Debug)]
pub(super) struct Sought {
    pub(super) scope: Scope,
    pub(super) order: Order,
    entries: usize,
}

impl Sought {
    fn new(arena: &Arena, scope: Scope) -> Self {
        let slots = sorted(arena, scope);
        Self { scope, order: Order::of_sorted(arena, &slots), entries: slots.len() }
    }
}

/// What the order has.
#[derive(Debug)]
struct Kept {
    scope: Scope,
    /// How many there are.
    entries: usize,
    /// Nothing new comes: once the last entry has gone, it is forgotten.
    is_left: bool,
}

/// What was asked for.
#[derive(Debug)]
pub(super) struct Demand {
    kept: Vec<Kept>,
    sought: [OnceLock<Sought>; SOUGHT],
}

impl Demand {
    pub(super) const fn new() -> Self {
        Self { kept: Vec::new(), sought: [const { OnceLock::new() }; SOUGHT] }
    }

    /// An order that has these entries, until the next change; `None` where the table's own has them.
    pub(super) fn seek(&self, arena: &Arena, scope: Scope) -> Option<&Order> {
        if self.kept.iter().any(|kept| kept.scope.holds(scope)) {
            return None;
        }
        let is_full = self.kept.iter().filter(|kept| !kept.is_left).count() >= KEPT;
        let wanted = if is_full { Scope::All } else { scope };
        let wanted = (1..SOUGHT).map(|_| wanted).chain([Scope::All]);
        let sought =
            self.sought.iter().zip(wanted).map(|(sought, wanted)| sought.get_or_init(|| Sought::new(arena, wanted)));
        sought.into_iter().find(|sought| sought.scope.holds(scope)).map(|sought| &sought.order)
    }

    /// Whether any range has asked since the last change for what is not kept.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        let [first, ..] = &self.sought;
        first.get().is_some()
    }

    /// What ranges have asked for since the last change; from now on it is kept.
    pub(super) fn take(&mut self) -> Vec<Sought> {
        let mut sought: Vec<_> = self.sought.iter_mut().filter_map(OnceLock::take).collect();
        if let Some(all) = sought.iter().position(|sought| sought.scope == Scope::All) {
            sought = vec![sought.swap_remove(all)];
            self.kept.clear();
        }
        let kept = |sought: &Sought| Kept { scope: sought.scope, entries: sought.entries, is_left: false };
        self.kept.extend(sought.iter().map(kept));
        sought
    }

    /// Whether a new entry of this space goes into the order; it is counted then.
    #[inline]
    pub(super) fn add(&mut self, space: [u8; SPACE_BYTES]) -> bool {
        let kept = self.kept.iter_mut().find(|kept| kept.scope.holds(Scope::Space(space)));
        kept.map(|kept| kept.entries += 1).is_some()
    }

    /// Whether an entry of this space that goes is in the order.
    #[inline]
    pub(super) fn remove(&mut self, space: [u8; SPACE_BYTES]) -> bool {
        let Some(at) = self.kept.iter().position(|kept| kept.scope.holds(Scope::Space(space))) else { return false };
        if let Some(kept) = self.kept.get_mut(at) {
            kept.entries -= 1;
        }
        self.forget_if_gone(at);
        true
    }

    /// Keeps `new`, of which there is nothing yet, if `old` is kept, of which nothing new comes.
    pub(super) fn follow(&mut self, old: [u8; SPACE_BYTES], new: [u8; SPACE_BYTES]) {
        let Some(at) = self.kept.iter().position(|kept| kept.scope == Scope::Space(old)) else { return };
        if let Some(kept) = self.kept.get_mut(at) {
            kept.is_left = true;
        }
        self.forget_if_gone(at);
        self.kept.push(Kept { scope: Scope::Space(new), entries: 0, is_left: false });
    }

    fn forget_if_gone(&mut self, at: usize) {
        if self.kept.get(at).is_some_and(|kept| kept.is_left && kept.entries == 0) {
            self.kept.swap_remove(at);
        }
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.sought.iter().filter_map(OnceLock::get).map(|sought| sought.order.resident_bytes()).sum()
    }
}

/// The slots of entries, ascending by key.
fn sorted(arena: &Arena, scope: Scope) -> Vec<Slot> {
    // As they lie in memory, so that their keys are read in a row.
    let entries = arena.entries().filter(|&slot| scope.has(arena.key(slot)));
    let mut headed: Vec<(u64, Slot)> = entries.map(|slot| (0, slot)).collect();
    sort(arena, &mut headed, HEADS);
    headed.iter().map(|&(_, slot)| slot).collect()
}

/// Sorts slots by their keys, each with a place for the head of its key: by what follows the bytes that all share, and where
/// that leaves a tie, the tied ones in the same way. So each key is read a few times, and not at every comparison. Keys whose order is
/// not found by so many heads are compared.
#[expect(clippy::indexing_slicing, reason = "a prefix is not longer than the keys that share it")]
fn sort(arena: &Arena, headed: &mut [(u64, Slot)], heads: usize) {
    let key = |slot: Slot| arena.key(slot);
    if heads == 0 {
        headed.sort_unstable_by(|&(_, one), &(_, other)| key(one).cmp(key(other)));
        return;
    }
    let Some(&(_, first)) = headed.first() else { return };
    let prefix = headed.iter().fold(key(first), |prefix, &(_, slot)| &prefix[..shared(prefix, key(slot))]).len();
    headed.iter_mut().for_each(|(to, slot)| *to = head(key(*slot), prefix));
    headed.sort_unstable_by_key(|&(head, _)| head);
    for tied in headed.chunk_by_mut(|(one, _), (other, _)| one == other).filter(|tied| tied.len() > 1) {
        tied.iter().for_each(|&(_, slot)| arena.prefetch_key(slot));
        sort(arena, tied, heads - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_asks_for_one_key_space_if_it_stays_inside() {
        use Bound::{Excluded, Included, Unbounded};
        let of = |lower, upper| match Scope::of(lower, upper) {
            Scope::Space(space) => Some(space),
            Scope::All => None,
        };
        let one = Some([0, 0, 0, 1]);
        assert_eq!(of(Included(b"\0\0\0\x01"), Excluded(b"\0\0\0\x02")), one);
        assert_eq!(of(Excluded(b"\0\0\0\x01ab"), Included(b"\0\0\0\x01\xFF\xFF")), one);
        assert_eq!(of(Included(b"\0\0\0\x01"), Included(b"\0\0\0\x02")), None);
        assert_eq!(of(Included(b"\0\0\0\x01"), Excluded(b"\0\0\0\x02\0")), None);
        assert_eq!(of(Included(b"\0\0\0\x01"), Unbounded), None);
        assert_eq!(of(Unbounded, Excluded(b"\0\0\0\x01")), None);
        assert_eq!(of(Included(b"\0\0\0"), Excluded(b"\0\0\0\x01")), None);
        assert_eq!(of(Included(b"\0\0\0\xFF"), Excluded(b"\0\0\x01")), Some([0, 0, 0, 255]));
        assert_eq!(of(Included(b"\xFF\xFF\xFF\xFFa"), Unbounded), Some([255; 4]));
    }
}
