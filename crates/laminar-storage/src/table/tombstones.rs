//! Where tombstones were put, in the order in which they were: whoever drops them comes to each, and looks at nothing else.

use std::collections::VecDeque;

use super::arena::Slot;
use super::{Entry, Table};

/// Places in one piece of memory, of pieces that are handed on and never copied.
const PIECE: usize = 1024;

/// Tombstones that are on their way into the cache while others are looked at.
const LOOK_AHEAD: usize = 4;

/// What becomes of a tombstone that [`Table::sweep_tombstones`] comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth way")]
pub enum Verdict {
    /// It is removed.
    Drop,
    /// It stays, until [`Table::requeue_tombstones`] at least.
    Keep,
    /// It stays until the next sweep, and those that were written after it, too.
    Wait,
}

/// A place where a tombstone was put. The entry may have got a value since, or be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grave {
    hash: u64,
    slot: Slot,
    /// What the tombstone was marked with when its place came here.
    mark: u32,
}

/// A queue of places.
#[derive(Debug)]
pub(super) struct Graves {
    pieces: VecDeque<Vec<Grave>>,
    /// How many of the first piece are gone.
    gone: usize,
    len: usize,
    /// An empty piece, so that a queue of a steady length asks for no memory.
    spare: Vec<Grave>,
}

impl Graves {
    pub(super) const fn new() -> Self {
        Self { pieces: VecDeque::new(), gone: 0, len: 0, spare: Vec::new() }
    }

    fn len(&self) -> usize {
        self.len
    }

    /// The one that came first, but for `ahead` of them; perhaps nothing near the end of a piece.
    #[inline]
    fn peek(&self, ahead: usize) -> Option<Grave> {
        self.pieces.front()?.get(self.gone + ahead).copied()
    }

    fn push(&mut self, grave: Grave) {
        self.len += 1;
        match self.pieces.back_mut() {
            Some(last) if last.len() < PIECE => last.push(grave),
            _ => {
                let mut piece = std::mem::take(&mut self.spare);
                piece.push(grave);
                self.pieces.push_back(piece);
            }
        }
    }

    fn pop(&mut self) -> Option<Grave> {
        let first = self.peek(0)?;
        (self.gone, self.len) = (self.gone + 1, self.len - 1);
        let is_over = self.pieces.front().is_some_and(|piece| piece.len() == self.gone);
        if is_over && let Some(mut piece) = self.pieces.pop_front() {
            piece.clear();
            (self.spare, self.gone) = (piece, 0);
        }
        Some(first)
    }

    /// Puts all of `other` behind these.
    fn append(&mut self, mut other: Self) {
        if let Some(first) = other.pieces.front_mut() {
            first.drain(..other.gone);
        }
        self.pieces.append(&mut other.pieces);
        self.len += other.len;
    }

    pub(super) fn resident_bytes(&self) -> usize {
        let pieces = self.pieces.iter().chain([&self.spare]);
        pieces.map(|piece| piece.capacity() * size_of::<Grave>()).sum()
    }
}

impl Table {
    /// Looks at up to `steps` tombstones, those first that were written first, and does as `verdict` says. Returns how many it has come
    /// past; fewer than `steps` where one has to wait, or there are no more.
    ///
    /// A few steps with each change drop all tombstones that may go, and look at nothing else. One that was written over another takes the other's
    /// turn; if it has to wait, it goes to the end.
    pub fn sweep_tombstones(&mut self, steps: usize, verdict: &mut dyn FnMut(&[u8], &Entry<'_>) -> Verdict) -> usize {
        self.heed_ranges();
        for step in 0..steps {
            let Some(grave) = self.buried.peek(0) else { return step };
            if let Some(soon) = self.buried.peek(LOOK_AHEAD) {
                self.index.prefetch(soon.hash);
                self.arena.prefetch_if_there(soon.slot);
            }
            let Some(mark) = self.tombstone_at(grave) else {
                self.buried.pop();
                continue;
            };
            let verdict = verdict(self.arena.key(grave.slot), &Entry { mark, value: None });
            if verdict == Verdict::Wait && mark == grave.mark {
                return step;
            }
            self.buried.pop();
            match verdict {
                Verdict::Drop => self.remove_slot(grave.hash, grave.slot),
                Verdict::Keep => self.kept.push(Grave { mark, ..grave }),
                Verdict::Wait => self.buried.push(Grave { mark, ..grave }),
            }
        }
        steps
    }

    /// Has the tombstones that were to be kept looked at again, before all others.
    pub fn requeue_tombstones(&mut self) {
        let mut kept = std::mem::replace(&mut self.kept, Graves::new());
        kept.append(std::mem::replace(&mut self.buried, Graves::new()));
        self.buried = kept;
    }

    /// Tombstones that [`sweep_tombstones`](Self::sweep_tombstones) has to look at; with those that have got a value since.
    #[inline]
    pub fn tombstones(&self) -> usize {
        self.buried.len()
    }

    /// The mark of the tombstone at this place; `None` if the entry is gone, or has a value, and then it is listed no more.
    fn tombstone_at(&mut self, grave: Grave) -> Option<u32> {
        // Whatever the index knows is an entry; if not the one that it was, then its key tells.
        let block = self.index.has(grave.hash, grave.slot).then(|| self.arena.block(grave.slot))?;
        if !block.is_listed() || self.index.hasher().hash_whole(block.key()) != grave.hash {
            return None;
        }
        if block.is_tombstone() {
            return Some(block.mark());
        }
        self.arena.set_listed(grave.slot, false);
        None
    }

    /// Has the entry at `slot` looked at by [`sweep_tombstones`](Self::sweep_tombstones) if it is a tombstone, and is not going to be.
    #[inline]
    pub(super) fn list_if_buried(&mut self, hash: u64, slot: Slot, mark: u32, value: Option<&[u8]>) {
        if value.is_none() && !self.arena.block(slot).is_listed() {
            self.arena.set_listed(slot, true);
            self.buried.push(Grave { hash, slot, mark });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_out_as_they_went_in() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut graves, mut model) = (Graves::new(), VecDeque::new());
        let mut grave = || Grave { hash: random.u64(..), slot: random.u32(..), mark: random.u32(..) };
        let mut random = fastrand::Rng::with_seed(2);
        let mut push = |graves: &mut Graves, model: &mut VecDeque<Grave>, count| {
            for grave in std::iter::repeat_with(&mut grave).take(count) {
                graves.push(grave);
                model.push_back(grave);
            }
        };
        for _ in 0..300 {
            push(&mut graves, &mut model, random.usize(..PIECE * 2));
            if random.u8(..4) == 0 {
                let mut first = (Graves::new(), VecDeque::new());
                push(&mut first.0, &mut first.1, random.usize(..PIECE * 2));
                first.0.append(graves);
                first.1.append(&mut model);
                (graves, model) = first;
            }
            for _ in 0..random.usize(..PIECE * 3) {
                let ahead = random.usize(..4);
                assert!(graves.peek(ahead).is_none_or(|found| Some(&found) == model.get(ahead)));
                assert_eq!(graves.pop(), model.pop_front());
            }
            assert_eq!((graves.len(), graves.peek(0)), (model.len(), model.front().copied()));
        }
        assert!(graves.resident_bytes() >= graves.len() * size_of::<Grave>());
    }
}
