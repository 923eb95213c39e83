//! Merges runs, in steps, beside whatever else goes on.

use std::fmt;
use std::ops::{Bound, Deref, Range};
use std::path::Path;

use laminar_vfs::{planted, remove_tree};

use crate::checkpoint::Checkpoint;
use crate::checkpoints::{Busy, CheckpointManager, Owner, Shared};
use crate::draft::random_seed;
use crate::format::manifest::RunRecord;
use crate::format::run::Identity;
use crate::key::KeyBuf;
use crate::merge::policy::{Inputs, Span};
use crate::name::merge_name;
use crate::run::{FinishedRun, Run, RunWriter};
use crate::scan::{Newest, chains};
use crate::sync::Arc;
use crate::verify::Progress;
use crate::{Error, Result};

mod policy;

/// A step merges about so many entries, or as many as make [`STEP_BYTES`].
const STEP_ENTRIES: usize = 4096;
const STEP_BYTES: u64 = 1 << 20;

/// Says which keys a merge keeps.
pub type Keep = Box<dyn Fn(&[u8]) -> bool + Send>;

/// Runs that are worth merging: neighbours, or the oldest, in whole or in part, and those that follow it.
#[derive(Debug, Clone)]
pub struct MergePlan {
    /// The parts of the oldest run that are merged, neighbours in the order of their keys; none if it is left alone.
    parts: Vec<Run>,
    /// The later runs, oldest first.
    later: Vec<Run>,
    /// The keys that are merged: all, unless other parts of the oldest run lie before or behind.
    range: (Bound<KeyBuf>, Bound<KeyBuf>),
    /// The id of the part behind, with whose first key the range ends.
    next_part: Option<u128>,
    input_bytes: u64,
    /// What is merged ends a part with about so many bytes, and goes on in another.
    part_bytes: u64,
    /// Nothing lies below the oldest.
    is_base: bool,
    runs_beside: usize,
}

impl MergePlan {
    /// Merges these parts of the oldest run with so many of the later ones.
    fn of_oldest(checkpoint: &Checkpoint, parts: Range<usize>, later: usize, part_bytes: u64) -> Option<Self> {
        let (all, all_later) = checkpoint.layers();
        let first_key = |part: &Run| part.first_key().unwrap_or_default().into();
        let lower = if parts.start == 0 { Bound::Unbounded } else { Bound::Included(first_key(all.get(parts.start)?)) };
        let next = all.get(parts.end);
        let upper = next.map_or(Bound::Unbounded, |next| Bound::Excluded(first_key(next)));
        let next_part = next.map(Run::id);
        let (parts, later) = (all.get(parts)?, all_later.get(..later)?);
        // Of the later runs only what lies in the range is read: about as much as of the oldest.
        let share = u128::from(bytes(later)) * u128::from(bytes(parts)) / u128::from(bytes(all).max(1));
        Some(Self {
            input_bytes: bytes(parts) + u64::try_from(share).unwrap_or(u64::MAX),
            // An eighth more, so that no short one is left over where it has not grown.
            part_bytes: (bytes(all).max(bytes(all_later)) / 32 * 9).max(part_bytes),
            parts: parts.to_vec(),
            later: later.to_vec(),
            range: (lower, upper),
            next_part,
            is_base: true,
            runs_beside: 0,
        })
    }

    /// Merges these later runs.
    fn of_later(checkpoint: &Checkpoint, window: Range<usize>) -> Option<Self> {
        let (_, later) = checkpoint.layers();
        let later = later.get(window)?.to_vec();
        let (input_bytes, is_base) = (bytes(&later), planted("merge-drops-tombstones"));
        Some(Self {
            parts: Vec::new(),
            later,
            range: (Bound::Unbounded, Bound::Unbounded),
            next_part: None,
            input_bytes,
            part_bytes: u64::MAX,
            is_base,
            runs_beside: 0,
        })
    }

    /// The first position that what is merged will cover.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.runs().next().map_or(0, Run::from)
    }

    /// The position just past what it will cover.
    #[must_use]
    pub fn to(&self) -> u64 {
        self.runs().last().map_or(0, Run::to)
    }

    /// The number of files that are read, in whole or in part.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.runs().count()
    }

    /// The bytes that are read, about.
    #[must_use]
    pub fn input_bytes(&self) -> u64 {
        self.input_bytes
    }

    fn runs(&self) -> impl Iterator<Item = &Run> {
        self.parts.iter().chain(&self.later)
    }

    /// Whether a part is as long as it should be. One entry there is at least.
    fn ends_part(&self, writer: &RunWriter) -> bool {
        writer.bytes() >= self.part_bytes && !writer.is_empty()
    }

    /// Whether all keys are merged, so that something has to stand for them even if none is left.
    fn is_whole(&self) -> bool {
        matches!(self.range, (Bound::Unbounded, Bound::Unbounded))
    }

    /// A file for what is merged, or for the next part of it.
    fn create(&self, shared: &Arc<Shared>, part: usize) -> Result<OpenPart> {
        let path = shared.dir.join(merge_name(self.from(), self.to(), part));
        let busy = shared.begin(path).ok_or(Error::InvalidOption { name: "plan", why: "this merge is under way" })?;
        remove_tree(shared.vfs(), &busy.path)?;
        let options = &shared.options;
        let hash_seed = self.runs().next().map_or_else(|| random_seed(options.env.random.id()), Run::hash_seed);
        let (from, to, is_base) = (self.from(), self.to(), self.is_base);
        let identity = Identity { run_id: options.env.random.id(), from, to, hash_seed, is_base };
        Ok(OpenPart { writer: RunWriter::create(options, &busy.path, identity)?, busy })
    }
}

fn bytes(runs: &[Run]) -> u64 {
    runs.iter().map(Run::bytes).sum()
}

impl CheckpointManager {
    /// What to merge so that the next checkpoint has at most 16 runs, the parts of the oldest counted as one; nothing if there is no need.
    /// The rule is that of [FORMAT.md](crate::format), section "Merging".
    #[must_use]
    pub fn plan_merge(&self, checkpoint: &Checkpoint) -> Option<MergePlan> {
        let (parts, later) = spans(checkpoint);
        let choice = policy::choose(&parts, &later)?;
        let plan = match choice.inputs {
            Inputs::Oldest { parts, later } => {
                MergePlan::of_oldest(checkpoint, parts, later, self.shared.options.part_bytes)
            }
            Inputs::Later(window) => MergePlan::of_later(checkpoint, window),
        };
        Some(MergePlan { runs_beside: choice.runs_beside, ..plan? })
    }

    /// What to merge before the next checkpoint is made, which would else have more than 16 runs: because the process that
    /// planned a merge ended before it was done. The cheapest merge that will do, which leaves the oldest run alone; nothing if there is room.
    #[must_use]
    pub fn plan_room(&self, checkpoint: &Checkpoint) -> Option<MergePlan> {
        let (parts, later) = spans(checkpoint);
        MergePlan::of_later(checkpoint, policy::window_for_room(&parts, &later)?)
    }

    /// A plan that merges all runs into one, in parts where it is long, whatever it costs; nothing if there are fewer than two.
    #[must_use]
    pub fn plan_full_merge(&self, checkpoint: &Checkpoint) -> Option<MergePlan> {
        let (parts, later) = checkpoint.layers();
        if later.is_empty() {
            return None;
        }
        MergePlan::of_oldest(checkpoint, 0..parts.len(), later.len(), self.shared.options.part_bytes)
    }

    /// Begins a merge. Keys that `keep` refuses are left out, whatever they held, and must never be asked for again: an
    /// older run may still hold them. Where the plan has the oldest run, or parts of it, tombstones are left out.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::InvalidOption`] where the same positions are being merged, and those of the disk.
    pub fn merge(&self, plan: MergePlan, keep: Keep) -> Result<MergeJob> {
        let owner = self.shared.own()?;
        let open = Some(plan.create(&self.shared, 0)?);
        let (shared, lower) = (Arc::clone(&self.shared), plan.range.0.clone());
        let finished = Vec::new();
        Ok(MergeJob { open, finished, shared, owner, plan, keep, lower, read: 0, is_done: false })
    }
}

/// The parts of the oldest run, and the later runs, as the rules see them.
fn spans(checkpoint: &Checkpoint) -> (Vec<Span>, Vec<Span>) {
    let manifest = &checkpoint.0.manifest;
    let span =
        |run: &RunRecord| Span { bytes: run.file_bytes, to: run.to, is_new: run.first_checkpoint == manifest.id };
    let mut parts: Vec<Span> = manifest.runs.iter().map(span).collect();
    let later = parts.split_off(manifest.parts());
    (parts, later)
}

/// A part that is written. Dropped before the right to its file.
struct OpenPart {
    writer: RunWriter,
    busy: Busy,
}

impl OpenPart {
    /// Closes the file, which is then to be synced.
    fn finish(self) -> Result<(FinishedRun, Piece)> {
        let finished = self.writer.finish()?;
        let (record, ends) = (finished.record.clone(), finished.ends.clone());
        Ok((finished, Piece { record, ends, busy: self.busy, is_moved: false }))
    }
}

/// The file of a merged run, or of a part of it. It goes away if no checkpoint takes it up.
pub(crate) struct Piece {
    pub(crate) record: RunRecord,
    pub(crate) ends: [KeyBuf; 2],
    busy: Busy,
    is_moved: bool,
}

impl Piece {
    pub(crate) fn move_to(&mut self, path: &Path) -> Result<()> {
        self.busy.shared().vfs().rename(&self.busy.path, path)?;
        self.is_moved = true;
        Ok(())
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.is_moved {
            // Best effort: it is a temporary, and the next sweep removes it if this can't.
            drop(self.busy.shared().vfs().remove_file(&self.busy.path));
        }
    }
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
    /// Nothing after a part could not be ended, or another not be begun.
    open: Option<OpenPart>,
    /// The parts that are written, and closed before they are removed.
    finished: Vec<(FinishedRun, Piece)>,
    shared: Arc<Shared>,
    owner: Owner,
    plan: MergePlan,
    keep: Keep,
    /// The lower bound of what is left: just above the last key that was merged.
    lower: Bound<KeyBuf>,
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
        let Self { open, finished, shared, plan, keep, .. } = self;
        if !self.is_done && open.as_ref().is_some_and(|open| plan.ends_part(&open.writer)) {
            finished.extend(open.take().map(OpenPart::finish).transpose()?);
            *open = Some(plan.create(shared, finished.len())?);
        }
        let writer = &mut open.as_mut().ok_or(Error::Abandoned)?.writer;
        let limit = writer.bytes() + STEP_BYTES;
        let (lower, upper) = (self.lower.as_ref().map(Deref::deref), plan.range.1.as_ref().map(Deref::deref));
        let skipped = usize::from(!plan.is_whole() && planted("half-merged-without-a-run"));
        let runs = chains(&plan.parts, plan.later.get(skipped..).unwrap_or_default(), lower, upper);
        let mut entries = if planted("merge-takes-older-value") { Newest::of(runs.rev()) } else { Newest::of(runs) };
        let mut last = None;
        for _ in 0..STEP_ENTRIES {
            if self.is_done || plan.ends_part(writer) || writer.bytes() >= limit {
                break;
            }
            let Some(entry) = entries.next() else {
                self.is_done = true;
                break;
            };
            let (key, value) = entry?;
            if keep(key) {
                writer.push(key, value)?;
            }
            self.read += 1;
            last = Some(key);
        }
        if let Some(last) = last {
            self.lower = Bound::Excluded(last.into());
        }
        Ok(self.is_done)
    }

    /// Merges what is left, syncs the merged run and reads it back from disk.
    ///
    /// # Errors
    /// Those of [`step`](Self::step). Nothing is left behind.
    pub fn finish(mut self) -> Result<MergedRun> {
        while !self.step()? {}
        // In this order also after an error: files are closed before they are removed, and then the right to them goes.
        let Self { owner, plan, mut finished, open, .. } = self;
        // Where nothing is left in a range of keys, the parts before or behind it will do.
        let is_needed = finished.is_empty() && plan.is_whole();
        let last = open.filter(|open| is_needed || !open.writer.is_empty());
        finished.extend(last.map(OpenPart::finish).transpose()?);
        let (mut runs, pieces): (Vec<_>, Vec<_>) = finished.into_iter().unzip();
        let merged = MergedRun { pieces, _owner: owner, plan };
        let synced = runs.iter_mut().try_for_each(FinishedRun::sync);
        synced.and_then(|()| runs.into_iter().try_for_each(FinishedRun::verify))?;
        Ok(merged)
    }

    /// How many runs come once it is taken up, before others go away: it may be the first of two merges by which the oldest run takes in the
    /// later ones.
    #[must_use]
    pub fn runs_beside(&self) -> usize {
        self.plan.runs_beside
    }

    /// How far it has come, with the entries of the inputs taken as all of one size. Entries that hide older ones count
    /// once, so it may end before it has come to the full.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let total_bytes = self.plan.input_bytes();
        // Of the entries as many as of the bytes: where only some parts are merged, not all of the later runs.
        let of_all = |count: fn(&Run) -> u64| u128::from(self.plan.runs().map(count).sum::<u64>());
        let entries = of_all(Run::entries) * u128::from(total_bytes) / of_all(Run::bytes).max(1);
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
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

/// A merged run, in one part or in several, that waits for the next checkpoint to [adopt](crate::Draft::adopt) it. Dropped before that, it
/// goes away.
pub struct MergedRun {
    pub(crate) pieces: Vec<Piece>,
    _owner: Owner,
    plan: MergePlan,
}

impl MergedRun {
    /// The first position that it covers.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.plan.from()
    }

    /// The position just past what it covers.
    #[must_use]
    pub fn to(&self) -> u64 {
        self.plan.to()
    }

    /// The number of files that it was made of.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.plan.inputs()
    }

    /// Whether what it was made of is still there in `checkpoint`, and nothing between, so that it can stand in for that.
    #[must_use]
    pub fn replaces(&self, checkpoint: &Checkpoint) -> bool {
        let (parts, later) = checkpoint.layers();
        let place_of = |runs: &[Run], inputs: &[Run]| {
            runs.windows(inputs.len().max(1))
                .position(|window| window.iter().map(Run::id).eq(inputs.iter().map(Run::id)))
        };
        if self.plan.parts.is_empty() {
            // A part that has come further since may end within.
            let is_whole = !parts.iter().any(|part| self.from() < part.to() && part.to() < self.to());
            return is_whole && place_of(later, &self.plan.later).is_some();
        }
        let Some(at) = place_of(parts, &self.plan.parts) else { return false };
        // Of a part behind that was merged since, the first key may be another: what lies before it would be nobody's.
        let next = parts.get(at + self.plan.parts.len()).map(Run::id);
        next == self.plan.next_part && place_of(later, &self.plan.later) == Some(0)
    }

    /// Whether `run` is one of the parts, or of the later runs if there are no parts, in whose place this one goes.
    pub(crate) fn stands_for(&self, run: &Run) -> bool {
        let replaced = if self.plan.parts.is_empty() { &self.plan.later } else { &self.plan.parts };
        replaced.iter().any(|input| input.id() == run.id())
    }

    /// The length of all its files in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.record.file_bytes).sum()
    }
}

impl fmt::Debug for MergedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedRun").field("from", &self.from()).field("to", &self.to()).finish_non_exhaustive()
    }
}
