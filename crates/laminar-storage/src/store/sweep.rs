//! What leaves the table: a few entries are looked at with every change, so that nothing has to stop for it.

use laminar_checkpoint::hash_key;
use laminar_vfs::planted;

use super::WalStateStore;
use crate::keyspace::Namespace;
use crate::table::{Keep, Table, Verdict};

/// Tombstones, and entries of a walk, that are looked at per change. Above one, so that a walk gets around even while every change adds an entry.
const STEPS: usize = 2;

/// Tombstones that are looked at where a change finds no room.
const ROOM_STEPS: usize = 512;

/// Those, and entries, that are looked at in one go where the writer has waited for a checkpoint.
const RELIEF_STEPS: usize = 4096;

/// Tombstones are looked at once they are more than this part of all entries: until then, their keys may come back.
const WORTH: usize = 4;

/// What of the table is looked at.
///
/// Tombstones: once there are enough, once a checkpoint has ended, which may let them go, and above the memory budget.
///
/// All entries: once a key space has gone, in a walk that begins where the hand rests, at the start of the table, and ends there. Above the memory budget, with a
/// checkpoint to read from, the hand goes on all the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweeping {
    walking: bool,
    /// Whether there is to be a walk, behind the one that is under way: what it is for may lie behind the hand.
    wanted: bool,
    /// Tombstones that are to be looked at, however few there are.
    due: usize,
    /// Whether the next tombstone waits for a commit, or for the end of a checkpoint, or there is none.
    waits: bool,
    /// How often the hand came round while the table was full, with the checkpoint that is attached.
    rounds: u8,
}

impl Sweeping {
    /// The table may hold key spaces that are gone: a walk is to come.
    pub(crate) const fn new() -> Self {
        Self { walking: false, wanted: true, due: 0, waits: false, rounds: 0 }
    }

    /// A key space has gone.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// What was pending is committed.
    pub(super) fn commit(&mut self) {
        self.waits = false;
    }
}

impl WalStateStore {
    /// Drops tombstones that hide nothing any more, entries of namespaces that were cleared, and, above the memory budget, entries
    /// that the attached checkpoint holds too.
    #[inline]
    pub(super) fn sweep(&mut self) {
        let tombstones = self.table.queued_tombstones();
        if tombstones > 0 && !self.sweeping.waits {
            if self.sweeping.due == 0 && (tombstones * WORTH > self.table.about().0 || self.is_over_budget()) {
                self.sweeping.due = tombstones;
            }
            if self.sweeping.due > 0 {
                self.sweep_tombstones(STEPS);
            }
        }
        self.walk(STEPS, self.is_over_budget());
    }

    /// A checkpoint has ended: tombstones that waited for that are looked at, and, where there is a new one to ask, those that the one before made stay.
    pub(super) fn sweep_after_checkpoint(&mut self, is_new: bool) {
        if is_new {
            self.table.requeue_tombstones();
            self.sweeping.rounds = 0;
        }
        (self.sweeping.due, self.sweeping.waits) = (self.table.queued_tombstones(), false);
    }

    /// Drops what some steps find, and has the room of all that is gone given back.
    pub(super) fn make_room(&mut self) {
        self.sweep_tombstones(ROOM_STEPS);
        self.walk(STEPS, self.is_over_budget());
        self.table.release();
    }

    /// Drops some of what is only cached, of a table that is full below its memory budget, or sooner than the hand came by. `false` once all of it is gone: each
    /// checkpoint has the hand go to the end and round once, and no refused change after that looks for what is not there.
    pub(super) fn evict(&mut self) -> bool {
        const ROUNDS: u8 = 2;
        if self.memory_budget.is_none() || self.attached.is_none() || self.sweeping.rounds == ROUNDS {
            return false;
        }
        self.sweeping.rounds += u8::from(self.walk(RELIEF_STEPS, true));
        self.table.release();
        true
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
        while self.sweep_tombstones(RELIEF_STEPS) == RELIEF_STEPS {}
        // From wherever the hand stands to the end, and round once.
        for _ in 0..2 {
            while !self.walk(RELIEF_STEPS, self.is_over_budget()) {}
        }
    }

    fn is_over_budget(&self) -> bool {
        self.memory_budget.is_some_and(|budget| occupied(&self.table) > budget)
    }

    /// Looks at so many tombstones, and drops those that hide nothing. Returns how many it has come past.
    ///
    /// A tombstone is needed as long as the key may come back from below: while an attached run may hold it, or a checkpoint whose cut
    /// may lie between the put and the delete is being made or can still be begun. So one that is covered by the attached
    /// checkpoint can go; and one that is committed can, if no checkpoint is under way and the attached runs deny the key, since every
    /// later cut lies behind the delete. If they do not deny it, the next checkpoint is to be attached first.
    fn sweep_tombstones(&mut self, steps: usize) -> usize {
        let under_way = self.checkpointing.running().is_some() && !planted("tombstone-swept-during-checkpoint");
        let (attached, marks, seed) = (&self.attached, &self.marks, self.hash_seed);
        let done = self.table.sweep_tombstones(steps, &mut |key, mark| {
            let is_committed = || marks.is_committed(mark) || planted("tombstone-swept-before-commit");
            let may_be_below = || {
                !planted("tombstone-swept-over-run")
                    && attached.as_ref().is_some_and(|below| below.may_contain(key.into(), hash_key(seed, key)))
            };
            if marks.is_covered(mark) {
                Verdict::Drop
            } else if under_way || !is_committed() {
                Verdict::Wait
            } else if may_be_below() {
                Verdict::Keep
            } else {
                Verdict::Drop
            }
        });
        self.sweeping.due = self.sweeping.due.saturating_sub(done);
        self.sweeping.waits = done < steps;
        done
    }

    /// Looks at so many entries, also for what is only cached if that is to go; `true` where the walk came round, or there is nothing to look for.
    fn walk(&mut self, steps: usize, evicts: bool) -> bool {
        if !self.sweeping.walking {
            if !self.sweeping.wanted && (!evicts || self.attached.is_none()) {
                return true;
            }
            // What is still arriving might take its place behind the hand.
            self.table.settle();
            (self.sweeping.walking, self.sweeping.wanted) = (true, false);
        }
        let (catalogue, marks) = (&self.catalogue, &self.marks);
        let swept = self.table.sweep(steps, &mut |key, entry| {
            if Namespace::of(key).is_some_and(|namespace| !catalogue.is_live(namespace)) {
                return Keep::No;
            }
            // What the attached checkpoint holds too is only cached here.
            let is_covered = || marks.is_covered(entry.mark) || planted("eviction-of-what-is-not-covered");
            if evicts && entry.value.is_some() && is_covered() { Keep::No } else { Keep::Yes }
        });
        self.sweeping.walking = !swept.came_round;
        swept.came_round
    }
}

/// About what the entries of a table take, not counting memory that it holds free for new ones: at most this for entries of the sizes that
/// `benches/table` measures.
fn occupied(table: &Table) -> u64 {
    const PER_ENTRY: u64 = 64;
    let (entries, bytes) = table.about();
    bytes + entries as u64 * PER_ENTRY
}
