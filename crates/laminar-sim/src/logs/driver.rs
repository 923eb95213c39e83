//! Runs operations against a log on a simulated disk, and compares after each crash.

use std::fmt;
use std::time::Duration;

use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use laminar_vfs::{Env, Inline, Op as DiskOp};
use laminar_wal::{BatchPart, Error, Lsn, SyncPolicy, TailReport, Wal, WalOptions};

use crate::Violation;
use crate::failing::Failing;

use super::records::{Floor, Records};
use super::{LogOp, LogSummary, Payload, Struck};

const DIR: &str = "/log";

/// The ways in which a call fails.
const KINDS: [FaultKind; 8] = [
    FaultKind::Io,
    FaultKind::IoPartly,
    FaultKind::Io,
    FaultKind::Torn,
    FaultKind::NoSpace,
    FaultKind::ManyFiles,
    FaultKind::Interrupted,
    FaultKind::Short,
];

/// Before each change of the disk the power is cut on so many copies.
const CUTS: u64 = 2;
/// And the process killed on one copy in so many.
const KILL_EVERY: u64 = 4;

/// How the process is going to die.
#[derive(Debug, Clone, Copy)]
struct Death {
    /// The disk operation that it dies before.
    at: u64,
    power_cut: Option<u64>,
}

/// An error of the log, or something that must not be.
enum Trouble {
    Error(Error),
    Violation(Violation),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Violation> for Trouble {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// One run.
pub(super) struct LogDriver {
    seed: u64,
    disk: SimDisk,
    env: Env,
    workers: Inline,
    options: WalOptions,
    /// None until the first operation, which may be one that spoils the creation.
    wal: Option<Wal>,
    records: Records,
    death: Option<Death>,
    recovery_death: Option<(u16, u64)>,
    failing: Failing,
    summary: LogSummary,
    /// Moments before which the power was cut on copies.
    moments: u64,
}

impl LogDriver {
    /// A fresh disk. The seed also decides the sizes that the log is run with.
    pub(super) fn new(seed: u64) -> Result<Self, Violation> {
        let disk = SimDisk::new(seed);
        let (env, workers) = disk.env_and_workers();
        // Whether the directory's own name is durable is not the log's to say.
        let made = env.vfs.create_dir(DIR.as_ref()).and_then(|()| env.vfs.sync_dir("/".as_ref()));
        made.map_err(|error| Violation::new(error.to_string()))?;
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x10_9000);
        let policies = [SyncPolicy::Manual, SyncPolicy::EveryCommit, SyncPolicy::Interval(Duration::from_millis(10))];
        let options = WalOptions::new()
            .segment_bytes(4096 * rng.u64(3..9))
            .buffer_bytes(4096 << rng.u32(0..3))
            .sync_policy(policies[rng.usize(..3)])
            .sync_behind_bytes(4096 << rng.u32(0..4));
        let (records, summary) = (Records::default(), LogSummary::default());
        let (wal, death, recovery_death) = (None, None, None);
        Ok(Self {
            seed,
            disk,
            env,
            workers,
            options,
            wal,
            records,
            death,
            recovery_death,
            failing: Failing::default(),
            summary,
            moments: 0,
        })
    }

    /// Does one operation, and cuts the power before each change that it made. Where the process dies in it, everything up to the
    /// next comparison is done too.
    pub(super) fn apply(&mut self, op: &LogOp) -> Result<(), Violation> {
        match op {
            LogOp::Fail(struck, after, kind, sticky) => {
                self.arm(*struck, *after, *kind, *sticky);
                return Ok(());
            }
            LogOp::Full(writes) => {
                self.failing.fill(&self.disk, *writes);
                return Ok(());
            }
            LogOp::Clear => {
                self.disk.clear_faults();
                return Ok(());
            }
            LogOp::DieInRecovery(operations, seed) => {
                self.recovery_death = Some((*operations, *seed));
                return Ok(());
            }
            _ => {}
        }
        if self.wal.is_none() {
            self.open(false)?;
        }
        match op {
            LogOp::Kill => return self.crash(None),
            LogOp::PowerCut(seed) => return self.crash(Some(*seed)),
            LogOp::DieAt(operations, power_cut) => {
                // One that is to die already is not given a longer life.
                if self.death.is_none() {
                    self.disk.stop_at(u64::from(*operations));
                    let at = self.disk.operations() + u64::from(*operations);
                    self.death = Some(Death { at, power_cut: *power_cut });
                }
                return Ok(());
            }
            _ => {}
        }
        let floor = self.records.whole_floor();
        self.disk.start_history();
        let result = self.step(op);
        let history = self.disk.take_history();
        self.failing.empty(&self.disk);
        if let Some(wal) = self.wal.as_ref().filter(|_| self.disk.operations() < self.dies_at()) {
            self.records.note(wal);
        }
        self.cut_everywhere(&history, floor)?;
        self.judge(result)
    }

    /// A last power cut and comparison, and one more opening, which must find the same.
    pub(super) fn finish(mut self) -> Result<LogSummary, Violation> {
        if self.wal.is_none() {
            self.open(false)?;
        }
        self.crash(Some(1))?;
        let found = self.records.len();
        self.crash(Some(2))?;
        if self.records.len() != found {
            return Err(Violation::new("a second recovery gives something else"));
        }
        self.note_trace();
        Ok(self.summary)
    }

    fn dies_at(&self) -> u64 {
        self.death.map_or(u64::MAX, |death| death.at)
    }

    fn arm(&mut self, struck: Struck, after: u16, kind: u8, sticky: bool) {
        let fault = Fault::new(KINDS[usize::from(kind) % KINDS.len()]).after(u64::from(after));
        let fault = match struck {
            Struck::Any => fault,
            Struck::SyncDir => fault.on(DiskOp::SyncDir),
            Struck::SyncData => fault.on(DiskOp::SyncData),
        };
        self.failing.fail(&self.disk, if sticky { fault.sticky() } else { fault });
    }

    /// Whether a call of this process has failed.
    fn is_struck(&self) -> bool {
        self.failing.is_struck(&self.disk)
    }

    fn judge(&mut self, result: Result<(), Trouble>) -> Result<(), Violation> {
        match (result, self.death) {
            (Ok(()), _) => Ok(()),
            // A process that is gone can't be held to anything.
            (Err(_), Some(death)) if self.disk.operations() >= death.at => self.crash(death.power_cut),
            (Err(Trouble::Violation(violation)), _) => Err(violation),
            (Err(Trouble::Error(error)), _) => self.may_fail(&error),
        }
    }

    /// Whether an error is one that a failed call explains. What is poisoned stays so.
    fn may_fail(&self, error: &Error) -> Result<(), Violation> {
        let is_typed = matches!(error, Error::Io(_) | Error::NoSpace { .. } | Error::Poisoned { .. });
        if !is_typed || !self.is_struck() {
            return Err(Violation::new(format!("an error that nothing explains: {error:?}")));
        }
        let Some(wal) = self.wal.as_ref().filter(|_| error.is_poisoned()) else { return Ok(()) };
        let durable = wal.durable_lsn();
        let refused = [wal.append(b"x").map(drop), wal.commit().map(drop), wal.sync().map(drop)];
        let stays = refused.iter().all(|refused| refused.as_ref().is_err_and(Error::is_poisoned));
        if stays && wal.durable_lsn() == durable { Ok(()) } else { Err(Violation::new("a poison that wears off")) }
    }

    fn step(&mut self, op: &LogOp) -> Result<(), Trouble> {
        let Some(wal) = &self.wal else { return Ok(()) };
        match op {
            LogOp::Append(payload) => self.append(*payload, false)?,
            LogOp::Half(payload) => self.append(*payload, true)?,
            LogOp::Batch(payloads) => {
                let payloads: Vec<_> = payloads.iter().map(|payload| payload.bytes()).collect();
                let slices: Vec<_> = payloads.iter().map(Vec::as_slice).collect();
                let mut lsn = wal.append_batch(&slices)?.start;
                let count = payloads.len();
                for (at, payload) in payloads.into_iter().enumerate() {
                    lsn = self.records.push(lsn, payload, at + 1 < count);
                }
            }
            LogOp::Commit => drop(wal.commit()?),
            LogOp::Sync => drop(wal.sync()?),
            LogOp::Truncate(part) => {
                if let Some(lsn) = self.records.part(*part) {
                    self.records.may_truncate(lsn);
                    wal.truncate_below(lsn)?;
                }
            }
            LogOp::Background(steps) => {
                let _ = (0..*steps).all(|_| self.workers.step_all());
            }
            LogOp::Wait(ms) => {
                self.disk.clock().advance(Duration::from_millis(u64::from(*ms)));
                let _ = self.workers.step_all();
            }
            LogOp::Read => {
                // What was written is read whatever has failed before; while a call fails, nothing can be asked of reading.
                self.disk.clear_faults();
                self.records.replay(wal)?;
                self.records.view(wal)?;
            }
            LogOp::Reopen => {
                match wal.close() {
                    Ok(()) => {}
                    Err(error) if self.disk.operations() >= self.dies_at() => return Err(error.into()),
                    // Only the mark of it could not be made: the log is whole, and at its end.
                    Err(error) if matches!(wal.commit(), Err(Error::Closed)) => self.may_fail(&error)?,
                    Err(error) => return Err(error.into()),
                }
                self.records.note(wal);
                self.wal = None;
                return Ok(self.open(true)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn append(&mut self, payload: Payload, more: bool) -> Result<(), Error> {
        let Some(wal) = &self.wal else { return Ok(()) };
        let bytes = payload.bytes();
        let part = if more { BatchPart::More } else { BatchPart::Last };
        let range = wal.append_with(bytes.len(), part, |into| into.copy_from_slice(&bytes))?;
        self.records.push(range.start, bytes, more);
        Ok(())
    }

    /// The process dies, by a power cut if there is a seed for it; then a new one opens the log.
    fn crash(&mut self, power_cut: Option<u64>) -> Result<(), Violation> {
        self.summary.crashes += 1;
        self.death = None;
        let was_struck = self.is_struck();
        self.disk.clear_faults();
        match power_cut {
            Some(seed) => self.lose_power(seed),
            None => self.disk.kill(),
        }
        self.failing = Failing::since(&self.disk);
        // Only now, so that nothing which a dropped log does reaches the disk that goes on.
        self.wal = None;
        (self.env, self.workers) = self.disk.env_and_workers();
        // After a failed call what was handed over may be gone without a power cut.
        self.open(power_cut.is_none() && !was_struck)
    }

    /// Goes on with the disk that a power cut leaves; its calls are counted from 0 again.
    fn lose_power(&mut self, seed: u64) {
        self.note_trace();
        self.disk = cut(&self.disk, seed);
        self.failing = Failing::since(&self.disk);
    }

    fn note_trace(&mut self) {
        self.summary.faults += self.disk.faults_struck();
        self.summary.trace_hash = self.summary.trace_hash.rotate_left(7) ^ self.disk.trace_hash();
    }

    /// Opens, dying or failing on the way if that was asked for, and compares what is recovered. `killed`: what was handed over must be
    /// there too.
    fn open(&mut self, killed: bool) -> Result<(), Violation> {
        let mut killed = killed;
        if let Some((operations, seed)) = self.recovery_death.take() {
            let last = self.disk.operations() + u64::from(operations);
            self.disk.stop_at(u64::from(operations));
            let opened = self.open_once();
            if let Err(error) = &opened
                && self.disk.operations() < last
            {
                self.may_fail(error).map_err(|violation| violation.with("recovery, about to die"))?;
            }
            self.summary.crashes += 1;
            self.lose_power(seed);
            drop(opened);
            (self.env, self.workers) = self.disk.env_and_workers();
            (self.death, killed) = (None, false);
        }
        let opened = match self.open_once() {
            Err(error) if self.is_struck() => {
                self.may_fail(&error).map_err(|violation| violation.with("recovery"))?;
                self.disk.clear_faults();
                self.open_once()
            }
            opened => opened,
        };
        let failed = |error: Error| Violation::new(format!("recovery failed: {error}"));
        let (wal, report) = match opened {
            // To die in a recovery may have been asked for long ago.
            Err(_) if self.disk.operations() >= self.dies_at() => {
                let power_cut = self.death.and_then(|death| death.power_cut);
                return self.crash(power_cut);
            }
            opened => opened.map_err(failed)?,
        };
        // A fault that has not struck yet would strike the comparing.
        self.disk.clear_faults();
        let floor = self.records.whole_floor();
        let least = if killed { floor.committed } else { floor.durable };
        let found = self.found(&self.disk, &wal, &report, least)?;
        self.records.recover(found);
        self.records.view(&wal)?;
        self.failing = Failing::since(&self.disk);
        self.wal = Some(wal);
        self.summary.recoveries += 1;
        Ok(())
    }

    fn open_once(&self) -> Result<(Wal, TailReport), Error> {
        Wal::open(DIR, self.options.clone().env(self.env.clone()))
    }

    /// Compares a log that was just opened, and what was said of it.
    fn found(&self, disk: &SimDisk, wal: &Wal, report: &TailReport, least: usize) -> Result<usize, Violation> {
        let said = |violation: Violation| violation.with(&format!("{report:?}"));
        if report.given_up.is_some() || report.end != wal.end_lsn() {
            return Err(said(Violation::new("a crash is reported as something else")));
        }
        let kept = report.cut.as_ref().and_then(|cut| cut.kept_at.as_ref());
        if kept.is_some_and(|kept| disk.read_file(kept).is_err()) {
            return Err(said(Violation::new("what was cut is not kept")));
        }
        self.records.compare(wal, least).map_err(said)
    }

    /// Crashes on copies of the disk as it was before each change.
    fn cut_everywhere(&mut self, history: &[SimDisk], floor: Floor) -> Result<(), Violation> {
        // After a failed call what was handed over may be gone without a power cut.
        let committed = if self.is_struck() { floor.durable } else { floor.committed };
        for (change, disk) in history.iter().enumerate() {
            let number = self.moments ^ self.seed.rotate_left(20);
            self.moments += 1;
            for seed in (0..CUTS).map(|nth| number.wrapping_mul(CUTS) + nth) {
                let place = |violation: Violation| violation.with(&format!("power cut before change {change}"));
                self.goes_on(&cut(disk, seed), floor.durable).map_err(place)?;
            }
            // Not where `cut` keeps all, which is the same.
            if (number + 2).is_multiple_of(KILL_EVERY) {
                let place = |violation: Violation| violation.with(&format!("killed before change {change}"));
                self.goes_on(disk, committed).map_err(place)?;
            }
        }
        Ok(())
    }

    /// Recovers a disk, compares, writes to it, and recovers it from a power cut.
    fn goes_on(&mut self, disk: &SimDisk, least: usize) -> Result<(), Violation> {
        let open = |disk: &SimDisk| {
            let opened = Wal::open(DIR, self.options.clone().env(disk.env()));
            opened.map_err(|error| Violation::new(format!("recovery failed: {error}")))
        };
        let (wal, report) = open(disk)?;
        let found = self.found(disk, &wal, &report, least)?;
        let mut records = self.records.clone();
        records.recover(found);
        let payload = b"goes on".to_vec();
        let appended = wal.append(&payload).and_then(|lsn| wal.sync().map(|_| lsn));
        let lsn: Lsn = appended.map_err(|error| Violation::new(format!("it does not go on: {error}")))?;
        records.push(lsn, payload, false);
        drop(wal);
        let (wal, report) = open(&disk.crash_lose_all()).map_err(|violation| violation.with("after it went on"))?;
        let said = |violation: Violation| violation.with(&format!("after it went on, {report:?}"));
        records.compare(&wal, found + 1).map_err(said)?;
        self.summary.crashes += 1;
        self.summary.recoveries += 2;
        Ok(())
    }
}

/// A power cut: one in four keeps or loses everything, the others what the seed says.
fn cut(disk: &SimDisk, seed: u64) -> SimDisk {
    match seed % 8 {
        0 => disk.crash_lose_all(),
        1 => disk.crash_keep_all(),
        _ => disk.crash(seed),
    }
}

impl fmt::Debug for LogDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogDriver").field("summary", &self.summary).finish_non_exhaustive()
    }
}
