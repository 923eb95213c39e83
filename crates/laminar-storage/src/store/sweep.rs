//! What leaves the table: a few entries are looked at with every change, so that nothing has to stop for it.

use laminar_checkpoint::hash_key;
use laminar_vfs::planted;

use super::WalStateStore;
use crate::keyspace::Namespace;
use crate::table::{Keep, Table};

/// Entries looked at per change. Above one, so that the walk gets around even while every change adds an entry.
const STEPS: usize = 2;

/// Entries looked at in one go where the writer has waited for room.
const RELIEF_STEPS: usize = 4096;

/// A walk begins once the tombstones that it may drop are more than this part of all entries: it looks at each of those.
const WORTH: usize = 4;

/// When the table is walked over. A walk begins where the hand rests, at the start of the table, and ends there: when enough was deleted,
/// and when a checkpoint has ended, which may let go what the last walk kept. In between it would find the same again. Above the memory
/// budget, with a checkpoint to read from, the hand goes on all the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweeping {
    walking: bool,
    /// Whether there is to be a walk, behind the one that is under way: what it is for may lie behind the hand.
    wanted: bool,
    /// Tombstones that the next walk may drop: written since the last one began, or left by it for want of a commit that has happened.
    owed: usize,
    /// Those that it left for want of their commit.
    pending: usize,
    /// Whether a walk has left tombstones that the end of a checkpoint may let go.
    kept: bool,
}

impl Sweeping {
    /// The table may hold anything: a walk is to come.
    pub(crate) const fn new() -> Self {
        Self { walking: false, wanted: true, owed: 0, pending: 0, kept: false }
    }

    /// A key space has gone.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// A tombstone was written.
    pub(super) fn owe(&mut self) {
        self.owed += 1;
    }

    /// What was pending is committed.
    pub(super) fn commit(&mut self) {
        self.owed += std::mem::take(&mut self.pending);
    }

    /// There is no room: nothing that may go stays until it is worth a walk.
    fn hurry(&mut self) {
        self.wanted |= self.owed > 0;
    }

    /// A checkpoint has ended.
    pub(super) fn end_checkpoint(&mut self) {
        self.wanted |= self.kept || self.owed > 0 || self.pending > 0;
    }

    fn is_due(&self, entries: usize, under_way: bool) -> bool {
        self.wanted || (self.owed * WORTH > entries && !under_way)
    }

    fn start(&mut self) {
        *self = Self { walking: true, wanted: false, owed: 0, pending: 0, kept: false };
    }
}

impl WalStateStore {
    /// Drops tombstones that hide nothing any more, entries of namespaces that were cleared, and, above the memory budget, entries
    /// that the attached checkpoint holds too.
    ///
    /// A tombstone is needed as long as the key may come back from below: while an attached run may hold it, or a checkpoint whose cut
    /// may lie between the put and the delete is being made or can still be begun. So one that is covered by the attached
    /// checkpoint can go; and one that is committed can, if no checkpoint is under way and the attached runs deny the key, since every
    /// later cut lies behind the delete.
    pub(super) fn sweep(&mut self) {
        self.sweep_by(STEPS);
    }

    /// Drops what a few steps find, and has the room of all that is gone given back.
    pub(super) fn make_room(&mut self) {
        self.sweeping.hurry();
        self.sweep();
        self.table.release();
    }

    /// Where the table takes half as much again as the memory budget, and a checkpoint is being made: waits for it, and drops all that
    /// it covers. Nothing else would slow down a writer that is faster than checkpoints, and the table would grow without bound.
    /// If the checkpoint fails, its ticket says so, and the table grows on.
    pub(super) fn relieve(&mut self) {
        let Some(budget) = self.memory_budget else { return };
        if occupied(&self.table) <= budget.saturating_add(budget / 2) {
            return;
        }
        let Some(running) = self.checkpointing.running().cloned() else { return };
        if running.wait().is_err() {
            return;
        }
        self.adopt_finished();
        // From wherever the hand stands to the end, and round once.
        for _ in 0..2 {
            while !self.sweep_by(RELIEF_STEPS) {}
        }
    }

    /// Looks at so many entries; `true` where the walk came round, or there is nothing to look for.
    fn sweep_by(&mut self, steps: usize) -> bool {
        // A budget may be passed at any time, also long after the walk that followed the last checkpoint has ended.
        let over_budget = self.memory_budget.is_some_and(|budget| occupied(&self.table) > budget);
        let evicting = over_budget && self.attached.is_some();
        let under_way = self.checkpointing.running().is_some() && !planted("tombstone-swept-during-checkpoint");
        if !self.sweeping.walking {
            if !evicting && !self.sweeping.is_due(self.table.about().0, under_way) {
                return true;
            }
            // What is still arriving might take its place behind the hand.
            self.table.settle();
            self.sweeping.start();
        }
        let (attached, catalogue, marks, seed) = (&self.attached, &self.catalogue, &self.marks, self.hash_seed);
        let (mut kept, mut pending) = (false, 0);
        let swept = self.table.sweep(steps, &mut |key, entry| {
            if Namespace::of(key).is_some_and(|namespace| !catalogue.is_live(namespace)) {
                return Keep::No;
            }
            if entry.value.is_some() {
                // What the attached checkpoint holds too is only cached here.
                return if over_budget && (marks.is_covered(entry.mark) || planted("eviction-of-what-is-not-covered")) {
                    Keep::No
                } else {
                    Keep::Yes
                };
            }
            let denied = || {
                planted("tombstone-swept-over-run")
                    || attached.as_ref().is_none_or(|below| !below.may_contain(key.into(), hash_key(seed, key)))
            };
            let is_committed = || marks.is_committed(entry.mark) || planted("tombstone-swept-before-commit");
            if marks.is_covered(entry.mark) {
                return Keep::No;
            }
            if !under_way && !is_committed() {
                pending += 1;
                return Keep::Yes;
            }
            if !under_way && denied() {
                return Keep::No;
            }
            kept = true;
            Keep::Yes
        });
        self.sweeping.pending += pending;
        self.sweeping.kept |= kept;
        self.sweeping.walking = !swept.came_round;
        swept.came_round
    }
}

/// About what the entries of a table take, not counting memory that it holds free for new ones: at most this for entries of the sizes that
/// `benches/table.rs` measures.
fn occupied(table: &Table) -> u64 {
    const PER_ENTRY: u64 = 64;
    let (entries, bytes) = table.about();
    bytes + entries as u64 * PER_ENTRY
}
