//! Merges neighbouring runs into one, in steps, beside whatever else goes on.

use std::fmt;
use std::ops::{Bound, Range};
use std::path::Path;

use laminar_vfs::planted;

use crate::checkpoint::Checkpoint;
use crate::checkpoints::{Busy, CheckpointManager, Owner, Shared};
use crate::draft::random_seed;
use crate::format::manifest::RunRecord;
use crate::format::run::Identity;
use crate::name::merge_name;
use crate::run::{Run, RunWriter};
use crate::scan::Newest;
use crate::sync::Arc;
use crate::verify::Progress;
use crate::{Error, Result};

mod policy;

/// A step merges about so many entries, or as many as make [`STEP_BYTES`].
const STEP_ENTRIES: usize = 4096;
const STEP_BYTES: u64 = 1 << 20;

/// Says which keys a merge keeps.
pub type Keep = Box<dyn Fn(&[u8]) -> bool + Send>;

/// Neighbouring runs that are worth merging.
#[derive(Debug, Clone)]
pub struct MergePlan {
    /// Oldest first; at least two.
    runs: Vec<Run>,
    /// Nothing lies below the oldest.
    is_base: bool,
}

impl MergePlan {
    /// The first position that the merged run will cover.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.runs.first().map_or(0, Run::from)
    }

    /// The position just past what the merged run will cover.
    #[must_use]
    pub fn to(&self) -> u64 {
        self.runs.last().map_or(0, Run::to)
    }

    /// The number of runs that become one.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.runs.len()
    }

    /// The bytes of the files that are read.
    #[must_use]
    pub fn input_bytes(&self) -> u64 {
        self.runs.iter().map(Run::bytes).sum()
    }
}

impl CheckpointManager {
    /// What to merge so that the next checkpoint has at most 16 runs; nothing if there is no need. The rule is that of
    /// [FORMAT.md](crate::format), section "Merging".
    #[must_use]
    pub fn plan_merge(&self, checkpoint: &Checkpoint) -> Option<MergePlan> {
        plan(checkpoint, policy::window)
    }

    /// What to merge before the next checkpoint is made, which would else have more than 16 runs: because the process that
    /// planned a merge ended before it was done. The cheapest merge that will do, which leaves the oldest run alone; nothing if there is room.
    #[must_use]
    pub fn plan_room(&self, checkpoint: &Checkpoint) -> Option<MergePlan> {
        plan(checkpoint, policy::window_for_room)
    }

    /// A plan that merges all runs into one, whatever it costs; nothing if there are fewer than two.
    #[must_use]
    pub fn plan_full_merge(&self, checkpoint: &Checkpoint) -> Option<MergePlan> {
        let runs = checkpoint.runs().to_vec();
        (runs.len() > 1).then_some(MergePlan { runs, is_base: true })
    }

    /// Begins a merge. Keys that `keep` refuses are left out, whatever they held, and must never be asked for again: an
    /// older run may still hold them. Where the plan begins at the oldest run, tombstones are left out.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::InvalidOption`] where the same merge is under way, and those of the disk.
    pub fn merge(&self, plan: MergePlan, keep: Keep) -> Result<MergeJob> {
        let shared = &self.shared;
        let owner = shared.own()?;
        let path = shared.dir.join(merge_name(plan.from(), plan.to()));
        let busy = shared.begin(path).ok_or(Error::InvalidOption { name: "plan", why: "this merge is under way" })?;
        crate::retain::remove_tree(shared.vfs(), &busy.path)?;
        let options = &shared.options;
        let hash_seed = plan.runs.first().map_or_else(|| random_seed(options.env.random.id()), Run::hash_seed);
        let (from, to) = (plan.from(), plan.to());
        let identity = Identity { run_id: options.env.random.id(), from, to, hash_seed, is_base: plan.is_base };
        let writer = RunWriter::create(&options.env, &busy.path, identity, options.read_back)?;
        let place = Place { shared: Arc::clone(shared), _owner: owner, busy };
        Ok(MergeJob { writer, place, plan, keep, done: Bound::Unbounded, read: 0, is_done: false })
    }
}

fn plan(checkpoint: &Checkpoint, rule: impl Fn(&[u64]) -> Option<Range<usize>>) -> Option<MergePlan> {
    let sizes: Vec<u64> = checkpoint.runs().iter().map(Run::bytes).collect();
    let window = rule(&sizes)?;
    let is_base = window.start == 0 || planted("merge-drops-tombstones");
    let runs = checkpoint.runs().get(window)?.to_vec();
    Some(MergePlan { runs, is_base })
}

/// Where the merged run is written, and the right to do so.
struct Place {
    shared: Arc<Shared>,
    _owner: Owner,
    busy: Busy,
}

/// A merge under way. Dropped before it is done, it leaves nothing behind.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create, Meta};
/// # let scratch = tempfile::tempdir()?;
/// # let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let first = manager.create(Create::new(1).entries([("a", Some("1"))]))?;
/// let second = manager.create(Create::new(2).base(&first).entries([("b", Some("2"))]))?;
/// let mut job = manager.merge(manager.plan_full_merge(&second).unwrap(), Box::new(|_| true))?;
/// while !job.step()? {}
/// let mut draft = manager.draft()?;
/// draft.adopt(job.finish()?)?;
/// let third = draft.publish(Meta::new(2))?;
/// assert_eq!((third.runs().len(), third.len()?), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MergeJob {
    /// Dropped before the right to its file.
    writer: RunWriter,
    place: Place,
    plan: MergePlan,
    keep: Keep,
    /// The lower bound of what is left: just above the last key that was merged.
    done: Bound<Vec<u8>>,
    /// Entries merged so far.
    read: u64,
    is_done: bool,
}

impl MergeJob {
    /// Merges a bounded number of entries; says whether there are none left, so that it can be [finished](Self::finish).
    ///
    /// # Errors
    /// [`Error::Corrupt`] where an input is damaged beyond repair, and those of the disk. The merge is of no more use.
    pub fn step(&mut self) -> Result<bool> {
        let lower = self.done.as_ref().map(Vec::as_slice);
        let limit = self.writer.bytes() + STEP_BYTES;
        let mut last = None;
        let backwards: Vec<Run>;
        let mut runs = &self.plan.runs;
        if planted("merge-takes-older-value") {
            backwards = runs.iter().rev().cloned().collect();
            runs = &backwards;
        }
        let mut entries = Newest::new(runs, lower, Bound::Unbounded);
        for _ in 0..STEP_ENTRIES {
            if self.is_done || self.writer.bytes() >= limit {
                break;
            }
            let Some(entry) = entries.next() else {
                self.is_done = true;
                break;
            };
            let (key, value) = entry?;
            if (self.keep)(key) {
                self.writer.push(key, value)?;
            }
            self.read += 1;
            last = Some(key);
        }
        if let Some(last) = last {
            self.done = Bound::Excluded(last.to_vec());
        }
        Ok(self.is_done)
    }

    /// Merges what is left, syncs the merged run and reads it back from disk.
    ///
    /// # Errors
    /// Those of [`step`](Self::step). Nothing is left behind.
    pub fn finish(mut self) -> Result<MergedRun> {
        while !self.step()? {}
        let inputs = self.plan.runs.iter().map(|run| run.file.record.run_id).collect();
        let mut finished = self.writer.finish()?;
        let merged = MergedRun { record: finished.record.clone(), place: self.place, inputs, is_moved: false };
        // In this order also after an error: the file is closed before it is removed and the right to it goes.
        let synced = finished.sync();
        synced.and_then(|()| finished.verify())?;
        Ok(merged)
    }

    /// How far it has come, with the entries of the inputs taken as all of one size. Entries that hide older ones count
    /// once, so it may end before it has come to the full.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let total_bytes = self.plan.input_bytes();
        let entries: u64 = self.plan.runs.iter().map(Run::entries).sum();
        let done = if self.is_done { entries } else { self.read.min(entries) };
        let done_bytes = u128::from(total_bytes) * u128::from(done) / u128::from(entries.max(1));
        let done_bytes = if entries == 0 { total_bytes } else { u64::try_from(done_bytes).unwrap_or(total_bytes) };
        Progress { done_bytes, total_bytes }
    }
}

impl fmt::Debug for MergeJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergeJob").field("plan", &self.plan).field("progress", &self.progress()).finish_non_exhaustive()
    }
}

/// A merged run that waits for the next checkpoint to [adopt](crate::Draft::adopt) it. Dropped before that, it goes away.
pub struct MergedRun {
    place: Place,
    record: RunRecord,
    /// The ids of the runs that it was made of, oldest first.
    inputs: Vec<u128>,
    is_moved: bool,
}

impl MergedRun {
    /// The first position that it covers.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.record().from
    }

    /// The position just past what it covers.
    #[must_use]
    pub fn to(&self) -> u64 {
        self.record().to
    }

    /// The number of runs that it was made of.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Whether the runs that it was made of are still neighbours in `checkpoint`, so that it can stand in for them there.
    #[must_use]
    pub fn replaces(&self, checkpoint: &Checkpoint) -> bool {
        let ids: Vec<u128> = checkpoint.runs().iter().map(Run::id).collect();
        ids.windows(self.inputs.len()).any(|window| window == self.inputs)
    }

    /// The file's length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.record.file_bytes
    }

    pub(crate) fn record(&self) -> &RunRecord {
        &self.record
    }

    pub(crate) fn move_to(mut self, path: &Path) -> Result<()> {
        self.place.shared.vfs().rename(&self.place.busy.path, path)?;
        self.is_moved = true;
        Ok(())
    }
}

impl Drop for MergedRun {
    fn drop(&mut self) {
        if !self.is_moved {
            // Best effort: it is a temporary, and the next sweep removes it if this can't.
            drop(self.place.shared.vfs().remove_file(&self.place.busy.path));
        }
    }
}

impl fmt::Debug for MergedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedRun").field("from", &self.from()).field("to", &self.to()).finish_non_exhaustive()
    }
}
