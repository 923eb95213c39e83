//! The background job: a checkpoint is a replay of the log into a run. Between checkpoints it merges runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use laminar_checkpoint::{Checkpoint, CheckpointManager, Draft, MergeJob, MergePlan, MergedRun, Meta, RunWriter};
use laminar_vfs::{Completer, Env, Job, Step, planted};
use laminar_wal::{LogView, Lsn, Wal};

use super::ahead::{self, Reading};
use super::collect::Collector;
use super::pieces::Pieces;
use super::retain::retire;
use super::spare::{Spare, Work};
use super::ticket::{CheckpointInfo, Counter, Phase};
use super::{MOST_PARTS, Mailbox, Request, RunLimits};
use crate::merging::LiveKeys;
use crate::sync::Mutex;
use crate::{Error, Result};

/// Records scanned in one step, and batches of entries written: a few milliseconds of work, as it is to sort a piece or to merge a bucket.
const STEP_RECORDS: usize = 16 << 10;
const STEP_BATCHES: usize = STEP_RECORDS / ahead::BATCH;

/// With this many runs, those counted that a merge under way lets come before others go, that merge comes before the next checkpoint; with so
/// many already, one is begun if there is none: else, where
/// checkpoints follow one another without a pause, or processes that die soon, it would never end, and every read would pay for
/// it. As in the rule of merging of `laminar-checkpoint`.
const MANY_RUNS: usize = 16;

pub(super) struct CheckpointJob {
    wal: Wal,
    manager: CheckpointManager,
    env: Env,
    limits: RunLimits,
    mailbox: Arc<Mutex<Mailbox>>,
    current: Option<Making>,
    /// Who waits for the checkpoint that is being made. Apart from it, so that it outlives a panic in its making.
    waiting: Option<Completer<Result<CheckpointInfo>>>,
    merging: Option<MergeJob>,
    merged: Option<MergedRun>,
    spare: Spare,
    /// The id of the checkpoint for which room was made, or could not be.
    room_made_for: Option<u64>,
    /// A step has panicked: what this job holds is not to be relied on, and every request fails with this.
    broken: Option<Error>,
}

impl CheckpointJob {
    pub(super) fn new(
        wal: Wal,
        manager: CheckpointManager,
        env: Env,
        limits: RunLimits,
        mailbox: Arc<Mutex<Mailbox>>,
    ) -> Self {
        Self {
            wal,
            manager,
            env,
            limits,
            mailbox,
            current: None,
            waiting: None,
            merging: None,
            merged: None,
            spare: Spare::default(),
            room_made_for: None,
            broken: None,
        }
    }

    /// Ends the checkpoint that was being made: tells the writer, then whoever waits, then cleans up behind it.
    fn finish(&mut self, result: Result<(Checkpoint, CheckpointInfo)>) {
        self.spare.end();
        {
            let mut mailbox = self.mailbox.lock();
            if let Err(error) = &result {
                // A periodic checkpoint has nobody who waits for it.
                mailbox.upkeep_error = Some(error.clone());
            }
            mailbox.finished = Some(result.clone().ok());
        }
        let newest = result.as_ref().ok().map(|(checkpoint, _)| checkpoint.clone());
        if let Some(waiting) = self.waiting.take() {
            waiting.complete(result.map(|(_, info)| info));
        }
        if let Some(newest) = newest {
            let upkeep = self.clean_up(&newest);
            if let Err(error) = upkeep {
                self.mailbox.lock().upkeep_error = Some(error);
            }
        }
    }

    fn clean_up(&mut self, newest: &Checkpoint) -> Result<()> {
        let keep = self.mailbox.lock().max_retained;
        retire(&self.manager, &self.wal, keep)?;
        if self.merging.is_none()
            && self.merged.is_none()
            && let Some(plan) = self.manager.plan_merge(newest)
        {
            self.begin_merge(plan, newest)?;
        }
        Ok(())
    }

    fn begin_merge(&mut self, plan: MergePlan, newest: &Checkpoint) -> Result<()> {
        let live = LiveKeys::of(newest)?;
        self.merging = Some(self.manager.merge(plan, Box::new(move |key| live.contains(key)))?);
        Ok(())
    }

    /// The checkpoint to be made next; nothing so long as a merge comes first.
    fn next_request(&mut self) -> Option<Request> {
        let base = self.mailbox.lock().request.as_ref()?.base.clone();
        let beside = self.merging.as_ref().map_or(0, MergeJob::runs_beside);
        if let Some(base) = base.filter(|base| base.depth() + beside >= MANY_RUNS) {
            if self.merging.is_none()
                && self.merged.is_none()
                && self.room_made_for.replace(base.id()) != Some(base.id())
                && let Some(plan) = self.manager.plan_room(&base)
                && let Err(error) = self.begin_merge(plan, &base)
            {
                self.mailbox.lock().upkeep_error = Some(error);
            }
            if self.merging.is_some() {
                return None;
            }
        }
        self.mailbox.lock().request.take()
    }

    /// One step of a merge. A failed merge is given up; the next checkpoint plans a new one.
    fn merge(&mut self, mut merging: MergeJob) {
        match merging.step() {
            Ok(false) => self.merging = Some(merging),
            Ok(true) => match merging.finish() {
                Ok(merged) => self.merged = Some(merged),
                Err(error) => self.mailbox.lock().upkeep_error = Some(error.into()),
            },
            Err(error) => self.mailbox.lock().upkeep_error = Some(error.into()),
        }
    }
}

impl Job for CheckpointJob {
    fn step(&mut self) -> Step {
        if let Some(error) = &self.broken {
            let Some(request) = self.mailbox.lock().request.take() else { return Step::Wait(None) };
            request.completer.complete(Err(error.clone()));
            return Step::Again;
        }
        if let Some(mut making) = self.current.take() {
            match making.step(self) {
                Ok(None) => self.current = Some(making),
                Ok(Some(done)) => self.finish(Ok(done)),
                Err(error) => {
                    // What it had written goes before anyone learns of the failure.
                    drop(making);
                    self.finish(Err(error));
                }
            }
            return Step::Again;
        }
        if let Some(Request { base, cut, begun, completer, progress }) = self.next_request() {
            self.waiting = Some(completer);
            self.current = Some(Making::new(base, cut, progress, begun));
            return Step::Again;
        }
        if let Some(merging) = self.merging.take() {
            self.merge(merging);
            return Step::Again;
        }
        Step::Wait(None)
    }

    /// A bug in the making of a checkpoint does not take the store down with it, nor leave anyone waiting for ever.
    fn panicked(&mut self, message: &str) -> bool {
        let error = Error::Panicked { message: message.to_owned() };
        self.broken = Some(error.clone());
        (self.current, self.merging, self.merged) = (None, None, None);
        self.spare.end();
        self.mailbox.lock().upkeep_error = Some(error.clone());
        if let Some(waiting) = self.waiting.take() {
            waiting.complete(Err(error));
        }
        true
    }
}

/// A checkpoint being made.
struct Making {
    base: Option<Checkpoint>,
    cut: Lsn,
    progress: Arc<Counter>,
    begun: Duration,
    stage: Stage,
    offsets: BTreeMap<String, u64>,
    bytes_merged: u64,
}

#[expect(clippy::large_enum_variant, reason = "there is one of it per store")]
enum Stage {
    /// Nothing done yet.
    Begin,
    /// Reading a stretch of the log.
    Scan { draft: Draft, collector: Collector },
    /// Writing it as a run. The writer is dropped before the right to its file, which is the draft's.
    Write { writer: RunWriter, draft: Draft, writing: Writing },
    /// Everything is written.
    Publish { draft: Draft },
    /// Over, whichever way.
    Ended,
}

/// A run being written.
struct Writing {
    /// What is left of it.
    pieces: Pieces,
    /// The bucket that is written, its next batch, and how many records were found of its keys.
    now: Option<(Arc<Reading>, usize, usize)>,
    written: usize,
    from: u64,
    end: Lsn,
    /// So many of the records that were found make a part, unless that is smaller than parts are to be.
    part_records: usize,
    /// Those of the part that is written, about.
    in_part: usize,
}

impl Writing {
    /// Whether another part begins. No part is without entries, as one would be whose records are all tombstones.
    fn is_part_full(&self, writer: &RunWriter, part_bytes: u64) -> bool {
        self.in_part >= self.part_records && writer.bytes() >= part_bytes && !writer.is_empty()
    }

    /// Whether what is written goes away, because there are parts before it and nothing is in it.
    fn is_part_void(&self, writer: &RunWriter, draft: &Draft) -> bool {
        self.part_records < usize::MAX && writer.is_empty() && !draft.is_empty()
    }

    /// Records that are left to write, or fewer.
    fn left(&self) -> usize {
        let in_bucket = self.now.as_ref().map_or(0, |(reading, next, _)| {
            let records = reading.sorted.len();
            records - ahead::range_of(*next, records).start
        });
        in_bucket + self.pieces.len()
    }
}

impl Making {
    fn new(base: Option<Checkpoint>, cut: Lsn, progress: Arc<Counter>, begun: Duration) -> Self {
        Self { base, cut, progress, begun, stage: Stage::Begin, offsets: BTreeMap::new(), bytes_merged: 0 }
    }

    /// The next piece of work. After an error the stage is `Ended`, and the draft is gone with its files.
    fn step(&mut self, job: &mut CheckpointJob) -> Result<Option<(Checkpoint, CheckpointInfo)>> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Begin => self.begin(job)?,
            Stage::Scan { draft, collector } => self.scan(job, draft, collector)?,
            Stage::Write { writer, draft, writing } => self.write(job, draft, writer, writing)?,
            Stage::Publish { draft } => return self.publish(job, draft).map(Some),
            Stage::Ended => unreachable!("a checkpoint that ended is not stepped"),
        }
        Ok(None)
    }

    fn progress(&self) -> &Counter {
        &self.progress
    }

    /// A checkpoint is never ahead of the durable log; then the runs of the base are taken over, and the log behind it is read.
    fn begin(&mut self, job: &mut CheckpointJob) -> Result<()> {
        if !planted("checkpoint-ahead-of-log") {
            job.wal.wait_durable(self.cut)?;
        }
        let mut draft = job.manager.draft()?;
        let mut from = job.wal.start_lsn();
        if let Some(base) = &self.base {
            if !planted("checkpoint-forgets-older-offsets") {
                self.offsets = base.source_offsets().clone();
            }
            from = Lsn::new(base.wal_position());
            self.bytes_merged = draft.take_over(base, job.merged.take())?;
        }
        self.stage = self.next_stretch(job, draft, from)?;
        Ok(())
    }

    /// The scan of what is left behind `from`, or the publication if nothing is.
    fn next_stretch(&self, job: &CheckpointJob, draft: Draft, from: Lsn) -> Result<Stage> {
        let cut = self.cut;
        if from >= cut {
            return Ok(Stage::Publish { draft });
        }
        // A run takes in the commit that reaches its limit: mostly that ends soon behind it.
        let view = self.view(job, from, job.limits.log_bytes.saturating_add(job.limits.log_bytes / 8))?;
        Ok(Stage::Scan { draft, collector: Collector::new(view, from, cut, job.limits) })
    }

    /// The `reach` bytes of log from `from` on, or those up to the cut. Each segment is a mapping, and a process may have only so
    /// many: where checkpoints have failed for long, the log behind `from` is many times what one run takes in.
    fn view(&self, job: &CheckpointJob, from: Lsn, reach: u64) -> Result<LogView> {
        let to = self.cut.get().min(from.get().saturating_add(reach));
        Ok(job.wal.view(from..Lsn::new(to))?)
    }

    fn scan(&mut self, job: &mut CheckpointJob, mut draft: Draft, mut collector: Collector) -> Result<()> {
        collector.scan(STEP_RECORDS, &mut self.offsets)?;
        if collector.wants_more() {
            collector.lengthen(self.view(job, collector.from(), collector.reach().saturating_mul(2))?);
        }
        let done = collector.cursor().get() - collector.from().get();
        self.progress().set(Phase::Scanning, done, self.cut.get() - collector.from().get());
        let Some(end) = collector.end() else {
            if let Some(tail) = collector.split() {
                job.spare.begin(&*job.env.spawn, tail);
            }
            self.stage = Stage::Scan { draft, collector };
            return Ok(());
        };
        job.spare.end();
        // The oldest run has nothing below it that a tombstone could hide.
        let is_oldest = draft.is_empty() || planted("run-drops-tombstones");
        let position = if draft.is_empty() { 0 } else { collector.from().get() };
        let writer = draft.run_writer(position, end.get(), !is_oldest)?;
        let pieces = collector.into_pieces();
        let part_records = if draft.is_empty() { pieces.len().div_ceil(MOST_PARTS) } else { usize::MAX };
        let writing = Writing { pieces, now: None, written: 0, from: position, end, part_records, in_part: 0 };
        self.stage = Stage::Write { writer, draft, writing };
        debug_assert!(job.wal.durable_lsn() >= end, "a run is never ahead of the durable log");
        Ok(())
    }

    /// Writes the next few batches, of the next bucket if that before is written.
    fn write(
        &mut self,
        job: &mut CheckpointJob,
        mut draft: Draft,
        mut writer: RunWriter,
        mut writing: Writing,
    ) -> Result<()> {
        let found = writing.pieces.len();
        if writing.now.is_none()
            && let Some(sorted) = writing.pieces.next()?
        {
            let reading = Arc::new(Reading::new(sorted));
            if reading.is_worth_a_thread() {
                job.spare.begin(&*job.env.spawn, Arc::clone(&reading) as Arc<dyn Work>);
            }
            writing.now = Some((reading, 0, found - writing.pieces.len()));
        }
        if let Some((reading, mut next, found)) = writing.now.take() {
            let until = (next + STEP_BATCHES).min(reading.batches());
            while next < until && !writing.is_part_full(&writer, job.limits.part_bytes) {
                if reading.is_worth_a_wake() {
                    job.spare.wake();
                }
                ahead::for_each(&reading, next, |change| Ok(writer.push(change.key, change.value)?))?;
                let written = ahead::range_of(next, reading.sorted.len()).len();
                writing.written += written;
                writing.in_part += written * found / reading.sorted.len();
                next += 1;
            }
            if next < reading.batches() {
                writing.now = Some((reading, next, found));
            } else {
                job.spare.end();
            }
        }
        self.progress().set(Phase::Writing, writing.written as u64, (writing.written + writing.left()) as u64);
        if writing.left() == 0 {
            if writing.is_part_void(&writer, &draft) {
                drop(writer);
            } else {
                draft.add_run(writer.finish()?)?;
            }
            self.stage = self.next_stretch(job, draft, writing.end)?;
            return Ok(());
        }
        if writing.is_part_full(&writer, job.limits.part_bytes) {
            draft.add_run(writer.finish()?)?;
            writer = draft.run_writer(writing.from, writing.end.get(), false)?;
            writing.in_part = 0;
        }
        self.stage = Stage::Write { writer, draft, writing };
        Ok(())
    }

    fn publish(&mut self, job: &CheckpointJob, draft: Draft) -> Result<(Checkpoint, CheckpointInfo)> {
        self.progress().set(Phase::Publishing, 0, 1);
        let meta = Meta::new(self.cut.get()).source_offsets(std::mem::take(&mut self.offsets));
        if planted("log-trimmed-before-checkpoint") {
            job.wal.truncate_below(self.cut)?;
        }
        let checkpoint = draft.publish(meta)?;
        let info = CheckpointInfo {
            id: checkpoint.id(),
            wal_position: self.cut,
            runs: checkpoint.depth(),
            entries_written: checkpoint.stats().entries_written,
            bytes_written: checkpoint.stats().bytes_written - self.bytes_merged,
            bytes_merged: self.bytes_merged,
            duration: job.env.clock.now().saturating_sub(self.begun),
        };
        Ok((checkpoint, info))
    }
}
