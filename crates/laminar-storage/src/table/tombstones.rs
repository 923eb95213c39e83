//! The tombstones, in the order in which they were written: whoever drops them comes to each, and looks at nothing else.

use std::collections::VecDeque;

use super::Table;
use super::arena::Slot;

/// Tombstones of one piece of memory: a queue that grows longer copies nothing.
const PIECE: usize = 1024;

/// Tombstones whose line of the index is on its way into the cache while others are looked at, and those whose entry is.
const LOOK_AHEAD: usize = 4;
const LOOK_AT: usize = 2;

/// What becomes of a tombstone that [`Table::sweep_tombstones`] comes to.
///
/// ```
/// use laminar_storage::table::{Table, Verdict};
///
/// let mut table = Table::new(7);
/// for (name, mark) in [(b"UA", 1), (b"DL", 2), (b"AA", 3)] {
///     table.insert(&table.key(*b"carr", name), mark, None)?;
/// }
/// // Of three deletes the first one is final, the last one is not committed.
/// let verdict = &mut |_: &[u8], mark| if mark < 2 { Verdict::Drop } else { Verdict::Wait };
/// assert_eq!(table.sweep_tombstones(10, verdict), 1);
/// assert_eq!((table.len(), table.queued_tombstones()), (2, 2));
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth way")]
pub enum Verdict {
    /// It is removed.
    Drop,
    /// It stays, until [`Table::requeue_tombstones`] at least.
    Keep,
    /// It stays, and this sweep ends with it. If it was written again since it was queued, it goes to the end of the queue instead.
    Wait,
}

/// A tombstone by the hash of its key. The entry may have got a value since, or be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queued {
    hash: u64,
    /// What the tombstone was marked with when it was queued.
    mark: u32,
}

/// A queue of tombstones.
#[derive(Debug)]
pub(super) struct Tombstones {
    pieces: VecDeque<Vec<Queued>>,
    /// How many of the first piece are gone.
    gone: usize,
    len: usize,
    /// An empty piece, so that a queue of a steady length asks for no memory.
    spare: Vec<Queued>,
}

impl Tombstones {
    pub(super) const fn new() -> Self {
        Self { pieces: VecDeque::new(), gone: 0, len: 0, spare: Vec::new() }
    }

    fn len(&self) -> usize {
        self.len
    }

    /// The one that came first, but for `ahead` of them; perhaps nothing near the end of a piece.
    #[inline]
    fn peek(&self, ahead: usize) -> Option<Queued> {
        self.pieces.front()?.get(self.gone + ahead).copied()
    }

    fn push(&mut self, queued: Queued) {
        self.len += 1;
        match self.pieces.back_mut() {
            Some(last) if last.len() < PIECE => last.push(queued),
            _ => {
                let mut piece = std::mem::take(&mut self.spare);
                piece.push(queued);
                self.pieces.push_back(piece);
            }
        }
    }

    fn pop(&mut self) -> Option<Queued> {
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
        self.spare = other.spare;
    }

    pub(super) fn resident_bytes(&self) -> usize {
        let pieces = self.pieces.iter().chain([&self.spare]);
        pieces.map(|piece| piece.capacity() * size_of::<Queued>()).sum()
    }
}

impl Table {
    /// Looks at up to `steps` tombstones, those first that were written first, and does as `verdict` says of their keys and marks. Returns how many it
    /// has come past; fewer than `steps` where one has to wait, or there are no more.
    ///
    /// A few steps with each change drop all tombstones that may go, and look at nothing else.
    pub fn sweep_tombstones(&mut self, steps: usize, verdict: &mut dyn FnMut(&[u8], u32) -> Verdict) -> usize {
        self.heed_ranges();
        for step in 0..steps {
            let Some(queued) = self.queued.peek(0) else { return step };
            self.fetch_queued();
            let Some((slot, mark)) = self.tombstone_of(queued) else {
                self.queued.pop();
                continue;
            };
            let verdict = verdict(self.arena.key(slot), mark);
            if verdict == Verdict::Wait && mark == queued.mark {
                return step;
            }
            self.queued.pop();
            match verdict {
                Verdict::Drop => self.remove_slot(queued.hash, slot),
                Verdict::Keep => self.kept.push(Queued { mark, ..queued }),
                Verdict::Wait => self.queued.push(Queued { mark, ..queued }),
            }
        }
        steps
    }

    /// Has the tombstones that were to be kept looked at again, before all others.
    pub fn requeue_tombstones(&mut self) {
        let mut all = std::mem::replace(&mut self.kept, Tombstones::new());
        all.append(std::mem::replace(&mut self.queued, Tombstones::new()));
        self.queued = all;
    }

    /// How many [`sweep_tombstones`](Self::sweep_tombstones) would look at, one by one: tombstones, and some that have got a value since or are gone.
    /// Not those that are kept, nor the last few changes.
    #[inline]
    pub fn queued_tombstones(&self) -> usize {
        self.queued.len()
    }

    /// The slot and the mark of a tombstone; `None` if the entry is gone, or has a value, and then it is queued no more.
    fn tombstone_of(&mut self, queued: Queued) -> Option<(Slot, u32)> {
        let (arena, hasher) = (&self.arena, self.index.hasher());
        let is_queued = |&slot: &Slot| {
            let block = arena.block(slot);
            block.is_queued() && hasher.hash_whole(block.key()) == queued.hash
        };
        let slot = self.index.slots(queued.hash).find(is_queued)?;
        let block = arena.block(slot);
        if block.is_tombstone() {
            return Some((slot, block.mark()));
        }
        self.arena.set_queued(slot, false);
        None
    }

    /// Has the ones that come soon on their way into the cache.
    fn fetch_queued(&self) {
        if let Some(later) = self.queued.peek(LOOK_AHEAD) {
            self.index.prefetch(later.hash);
        }
        if let Some(soon) = self.queued.peek(LOOK_AT) {
            self.index.prefetch_entry(&self.arena, soon.hash);
        }
    }

    /// Queues the tombstone at `slot`, unless it is.
    #[inline]
    pub(super) fn queue_tombstone(&mut self, hash: u64, slot: Slot, mark: u32) {
        if !self.arena.block(slot).is_queued() {
            self.arena.set_queued(slot, true);
            self.queued.push(Queued { hash, mark });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_out_as_they_went_in() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut queue, mut model) = (Tombstones::new(), VecDeque::new());
        let push = |random: &mut fastrand::Rng, queue: &mut Tombstones, model: &mut VecDeque<Queued>| {
            for _ in 0..random.usize(..PIECE * 2) {
                let queued = Queued { hash: random.u64(..), mark: random.u32(..) };
                queue.push(queued);
                model.push_back(queued);
            }
        };
        for _ in 0..300 {
            push(&mut random, &mut queue, &mut model);
            if random.u8(..4) == 0 {
                let mut first = (Tombstones::new(), VecDeque::new());
                push(&mut random, &mut first.0, &mut first.1);
                first.0.append(queue);
                first.1.append(&mut model);
                (queue, model) = first;
            }
            assert!(queue.resident_bytes() >= queue.len() * size_of::<Queued>());
            for _ in 0..random.usize(..PIECE * 3) {
                let ahead = random.usize(..4);
                assert!(queue.peek(ahead).is_none_or(|found| Some(&found) == model.get(ahead)));
                assert_eq!(queue.pop(), model.pop_front());
            }
            assert_eq!((queue.len(), queue.peek(0)), (model.len(), model.front().copied()));
        }
        while queue.pop().is_some() {}
        assert_eq!(queue.resident_bytes(), PIECE * size_of::<Queued>(), "but for a spare piece");
    }
}
