//! The usual way to a checkpoint, blocking or `async`: merge if it is time, link what is there, write what is new.

use std::collections::BTreeMap;
use std::fmt;

use laminar_vfs::{Completer, Completion, Job, Step, Worker, completion};

use crate::archive::ToSection;
use crate::checkpoint::Checkpoint;
use crate::checkpoints::CheckpointManager;
use crate::draft::{Draft, Meta};
use crate::merge::{MergeJob, MergedRun};
use crate::run::RunWriter;
use crate::section::NewSection;
use crate::sync::Arc;
use crate::{Error, Result};

/// A step writes about so many entries.
const STEP_ENTRIES: usize = 1024;

/// Writes up to so many entries; says whether there are more.
type Feed<'a> = Box<dyn FnMut(&mut RunWriter, usize) -> Result<bool> + Send + 'a>;

/// What a new checkpoint is to hold.
///
/// Without a base it is a full one. With a base it adds one run, of what changed since, and shares all that the base has;
/// it also does the merging that is due, unless told not to. Sections belong to their checkpoint alone: they are never
/// taken over.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create};
/// # let scratch = tempfile::tempdir()?;
/// # let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let create = Create::new(100).entries([("k", Some("v"))]).section("version", &7u32).source_offset("orders", 41);
/// let checkpoint = manager.create(create)?;
/// assert_eq!(checkpoint.source_offsets()["orders"], 41);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Create<'a> {
    base: Option<Checkpoint>,
    feed: Option<Feed<'a>>,
    sections: Vec<Result<NewSection>>,
    merges: bool,
    meta: Meta,
}

impl<'a> Create<'a> {
    /// A checkpoint of what was written up to `wal_position`. Any number that never goes back will do as a position; it
    /// must be above 0 where there are entries, and above that of the base.
    #[must_use]
    pub fn new(wal_position: u64) -> Self {
        Self { base: None, feed: None, sections: Vec::new(), merges: true, meta: Meta::new(wal_position) }
    }

    /// The checkpoint to build upon.
    #[must_use]
    pub fn base(mut self, base: &Checkpoint) -> Self {
        self.base = Some(base.clone());
        self
    }

    /// The entries that are new since the base, or with no base all there are: in strictly ascending order of the keys,
    /// with no value for a key that was deleted.
    #[must_use]
    pub fn entries<I, K, V>(mut self, entries: I) -> Self
    where
        I: IntoIterator<Item = (K, Option<V>)>,
        I::IntoIter: Send + 'a,
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut entries = entries.into_iter();
        self.feed = Some(Box::new(move |writer, limit| {
            for _ in 0..limit {
                let Some((key, value)) = entries.next() else { return Ok(false) };
                writer.push(key.as_ref(), value.as_ref().map(AsRef::as_ref))?;
            }
            Ok(true)
        }));
        self
    }

    /// A section: the archive of `value`, made now, under a name, which may be any text.
    #[must_use]
    pub fn section<T: ToSection>(self, name: &str, value: &T) -> Self {
        self.tagged_section(name, value, 0)
    }

    /// As [`section`](Self::section), with a number to tell types and versions by.
    #[must_use]
    pub fn tagged_section<T: ToSection>(mut self, name: &str, value: &T, tag: u64) -> Self {
        self.sections.push(NewSection::new(name, value, tag));
        self
    }

    /// How far a source had been read at the position.
    #[must_use]
    pub fn source_offset(mut self, name: impl Into<String>, offset: u64) -> Self {
        self.meta = self.meta.source_offset(name, offset);
        self
    }

    /// How far each source had been read; replaces what was given before.
    #[must_use]
    pub fn source_offsets(mut self, offsets: BTreeMap<String, u64>) -> Self {
        self.meta = self.meta.source_offsets(offsets);
        self
    }

    /// The time it is made, in milliseconds since 1970-01-01 UTC. Default: the clock's.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: u64) -> Self {
        self.meta = self.meta.timestamp_ms(timestamp_ms);
        self
    }

    /// Whether runs of the base are merged first where that is due. Default: yes.
    #[must_use]
    pub fn merge(mut self, merge: bool) -> Self {
        self.merges = merge;
        self
    }

    /// The positions that the new run covers, if there is to be one, and whether nothing lies below it.
    fn new_run(&self) -> Result<Option<(u64, u64, bool)>> {
        let to = self.meta.wal_position;
        let (from, is_lowest) =
            self.base.as_ref().map_or((0, true), |base| (base.wal_position(), base.runs().is_empty()));
        let invalid = |why| Err(Error::InvalidOption { name: "wal_position", why });
        match (&self.feed, from.cmp(&to)) {
            (_, std::cmp::Ordering::Greater) => invalid("it lies below that of the base"),
            (Some(_), std::cmp::Ordering::Equal) => invalid("new entries need a position above the one before"),
            (None, std::cmp::Ordering::Equal) => Ok(None),
            // Without entries the positions must be covered all the same, unless there are no runs at all.
            (None, _) if is_lowest => Ok(None),
            _ => Ok(Some((from, to, is_lowest))),
        }
    }
}

impl fmt::Debug for Create<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Create").field("meta", &self.meta).field("base", &self.base).finish_non_exhaustive()
    }
}

/// A checkpoint being made, step by step.
struct Creation<'a> {
    manager: CheckpointManager,
    create: Create<'a>,
    /// Dropped before the right to its file, which is the draft's.
    writer: Option<RunWriter>,
    draft: Option<Draft>,
    merge: Option<Box<MergeJob>>,
    merged: Option<MergedRun>,
    /// The base whose runs are still to be taken over.
    base: Option<Checkpoint>,
    new_run: Option<(u64, u64, bool)>,
}

impl<'a> Creation<'a> {
    fn new(manager: &CheckpointManager, create: Create<'a>) -> Self {
        let manager = manager.clone();
        Self { manager, create, writer: None, draft: None, merge: None, merged: None, base: None, new_run: None }
    }

    /// Does the next piece; returns the checkpoint once it is published.
    fn step(&mut self) -> Result<Option<Checkpoint>> {
        let Some(draft) = &mut self.draft else { return self.begin().map(|()| None) };
        if let Some(job) = self.merge.take() {
            match merge_some(job) {
                Ok(Merging::On(job)) => self.merge = Some(job),
                Ok(Merging::Done(merged)) => self.merged = Some(*merged),
                // A merge only saves work later. Without it, also where a run is damaged, the checkpoint can be made.
                Err(_) => draft.note_failed_merge(),
            }
            return Ok(None);
        }
        if let Some(base) = self.base.take() {
            draft.take_over(&base, self.merged.take())?;
        }
        if let Some((from, to, is_lowest)) = self.new_run.take() {
            self.writer = Some(draft.run_writer(from, to, !is_lowest)?);
        }
        if let Some(writer) = &mut self.writer {
            let has_more = self.create.feed.as_mut().map_or(Ok(false), |feed| feed(writer, STEP_ENTRIES))?;
            if has_more {
                return Ok(None);
            }
        }
        if let Some(writer) = self.writer.take() {
            draft.add_run(writer.finish()?)?;
        }
        for section in self.create.sections.drain(..) {
            draft.add_section(&section?)?;
        }
        let draft = self.draft.take().ok_or(Error::Abandoned)?;
        draft.publish(std::mem::take(&mut self.create.meta)).map(Some)
    }

    fn begin(&mut self) -> Result<()> {
        // What the caller got wrong is told before the disk is touched.
        self.new_run = self.create.new_run()?;
        if let Some(section) = self.create.sections.iter().position(Result::is_err) {
            self.create.sections.swap_remove(section)?;
        }
        let mut draft = self.manager.draft()?;
        if let Some(base) = &self.create.base {
            self.base = Some(base.clone());
            if let Some(plan) = self.manager.plan_merge(base).filter(|_| self.create.merges) {
                match self.manager.merge(plan, Box::new(|_| true)) {
                    Ok(job) => self.merge = Some(Box::new(job)),
                    Err(_) => draft.note_failed_merge(),
                }
            }
        }
        self.draft = Some(draft);
        Ok(())
    }
}

/// What a step of a merge leads to.
enum Merging {
    On(Box<MergeJob>),
    Done(Box<MergedRun>),
}

fn merge_some(mut job: Box<MergeJob>) -> Result<Merging> {
    if job.step()? { Ok(Merging::Done(Box::new(job.finish()?))) } else { Ok(Merging::On(job)) }
}

/// A call that a worker is busy with.
pub(crate) struct Pending {
    result: Completion<Result<Checkpoint>>,
    _worker: Arc<dyn Worker>,
}

/// The job of one `async` call.
struct CreateJob {
    creation: Option<Creation<'static>>,
    completer: Option<Completer<Result<Checkpoint>>>,
}

impl Job for CreateJob {
    fn step(&mut self) -> Step {
        let Some(creation) = &mut self.creation else { return Step::Done };
        let result = match creation.step() {
            Ok(None) => return Step::Again,
            Ok(Some(checkpoint)) => Ok(checkpoint),
            Err(error) => Err(error),
        };
        // Files are discarded and the lock is released before the caller hears of it.
        self.creation = None;
        if let Some(completer) = self.completer.take() {
            completer.complete(result);
        }
        Step::Done
    }
}

impl CheckpointManager {
    /// Makes a checkpoint: when this returns, it is there whole and survives a power cut; if it fails, nothing is there.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a position that does not fit, [`Error::Unsorted`], [`Error::TooLarge`],
    /// [`Error::Locked`], and those of the disk.
    pub fn create(&self, create: Create<'_>) -> Result<Checkpoint> {
        let mut creation = Creation::new(self, create);
        loop {
            if let Some(checkpoint) = creation.step()? {
                return Ok(checkpoint);
            }
        }
    }

    /// As [`create`](Self::create), on a worker of its own: the future needs no particular runtime and never blocks its
    /// thread. Dropping it cancels nothing.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and [`Error::Abandoned`] where the worker is gone.
    pub async fn create_checkpoint(&self, create: Create<'static>) -> Result<Checkpoint> {
        let (completer, result) = completion();
        let creation = Some(Creation::new(self, create));
        let job = CreateJob { creation, completer: Some(completer) };
        let worker = self.shared.options.env.spawn.spawn("laminar-create", Box::new(job))?;
        if !worker.is_thread() {
            // A simulation steps jobs only where somebody waits for them, which is here.
            worker.drive();
        }
        {
            let mut pending = self.shared.pending.lock();
            // Workers that are done have nothing to be waited for.
            pending.retain(|call| !call.result.is_settled());
            pending.push(Pending { result: result.clone(), _worker: worker });
        }
        result.await.unwrap_or(Err(Error::Abandoned))
    }
}
