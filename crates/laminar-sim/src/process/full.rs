//! A file system that is full, a real one or a simulated one: what is refused, what goes on, and what is there afterwards.

use std::io;
use std::path::Path;

use fastrand::Rng;
use laminar_storage::{Env, StoreOptions, SyncPolicy, WalStateStore};
use laminar_vfs::sim::SimDisk;

use super::history::{changes, generator};
use super::work::{SOURCE, options, options_without_checkpoints, unexplained};
use crate::driver::{difference, read_all};
use crate::{Model, Violation};

/// How often a disk is filled and freed in one run.
const FILLINGS: usize = 4;
/// Checkpoints that are quick enough give back what the log takes, so that a disk may never get full; after so many commits
/// there are no more of them.
const COMMITS_WITH_CHECKPOINTS: u64 = 256;
/// A simulated disk has up to so much space left when it is filled.
const MOST_LEFT_BYTES: u64 = 1 << 20;
/// More commits than any disk that this is meant for has room for.
const MOST_COMMITS: u64 = 1 << 16;

/// What a run on a full disk did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FullDisk {
    /// Commits that were acknowledged.
    pub commits: u64,
    /// Changes and commits that were refused for want of space.
    pub refusals: u64,
    /// Openings on the full disk, each compared whole.
    pub openings: u64,
}

/// The machine that the disk belongs to.
pub trait FullMachine {
    /// What the next process gets: the real machine, unless it is another.
    fn env(&self) -> Env {
        Env::default()
    }

    /// Takes all but a little space away, or gives it back: several times as much as what was left, so that a checkpoint of all that
    /// was logged there has room.
    ///
    /// # Errors
    /// Where that can't be done.
    fn squeeze(&mut self, is_full: bool) -> io::Result<()>;

    /// Cuts the power, so that what is not durable may be lost; `false` where the machine can't do that.
    fn cut_power(&mut self, seed: u64) -> bool {
        _ = seed;
        false
    }
}

/// A machine with a simulated disk.
#[derive(Debug)]
pub struct SimMachine {
    disk: SimDisk,
    rng: Rng,
}

impl SimMachine {
    /// With an empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { disk: SimDisk::new(seed), rng: Rng::with_seed(seed ^ 0xf011) }
    }
}

impl FullMachine for SimMachine {
    fn env(&self) -> Env {
        self.disk.env()
    }

    fn squeeze(&mut self, is_full: bool) -> io::Result<()> {
        let left = self.rng.u64(..MOST_LEFT_BYTES);
        self.disk.set_space(is_full.then(|| self.disk.used_bytes() + left));
        Ok(())
    }

    fn cut_power(&mut self, seed: u64) -> bool {
        self.disk = self.disk.crash(seed);
        true
    }
}

struct Run<'a, M> {
    dir: &'a Path,
    seed: u64,
    machine: M,
    rng: Rng,
    store: Option<WalStateStore>,
    policy: SyncPolicy,
    /// The state after the last commit, and with what is pending.
    committed: Model,
    now: Model,
    number: u64,
    /// The last commit that is known to be durable.
    durable: u64,
    /// How many changes of the next commit were made.
    pending: usize,
    /// All changes of the next commit were made, and it was refused.
    is_refused: bool,
    summary: FullDisk,
}

/// Fills the machine's disk, that `dir` is on, with commits, again and again.
///
/// # Errors
/// What the store did that it must not, and errors of the machine.
pub fn fill_disk(dir: &Path, seed: u64, machine: impl FullMachine) -> Result<FullDisk, Violation> {
    let mut run = Run {
        dir,
        seed,
        machine,
        rng: generator(seed, 0, 0),
        store: None,
        policy: SyncPolicy::Manual,
        committed: Model::new(),
        now: Model::new(),
        number: 0,
        durable: 0,
        pending: 0,
        is_refused: false,
        summary: FullDisk::default(),
    };
    run.open()?;
    for _ in 0..FILLINGS {
        run.squeeze(true)?;
        run.fill()?;
        run.compare("on the full disk")?;
        for _ in 0..run.rng.u8(..3) {
            // The process ends while the disk is full, perhaps with all others, and another opens on the full disk.
            let has_power = run.rng.bool();
            run.end(has_power);
            run.open().map_err(|violation| violation.with("on the full disk"))?;
            run.summary.openings += 1;
        }
        run.squeeze(false)?;
        run.go_on()?;
    }
    run.end(true);
    run.open()?;
    Ok(run.summary)
}

/// The state after a commit.
fn state_after(seed: u64, commit: u64) -> Model {
    let mut model = Model::new();
    for number in 1..=commit {
        changes(seed, 0, number).iter().for_each(|change| change.apply_to_model(&mut model));
    }
    model
}

impl<M: FullMachine> Run<'_, M> {
    fn squeeze(&mut self, is_full: bool) -> Result<(), Violation> {
        let squeezed = self.machine.squeeze(is_full);
        squeezed.map_err(|error| Violation::new(format!("the space can't be taken or given: {error}")))
    }

    /// The process ends; without power, what was not durable may be gone.
    fn end(&mut self, has_power: bool) {
        if !has_power && self.machine.cut_power(self.rng.u64(..)) {
            // Afterwards, so that nothing which a dropped store does reaches the disk that goes on.
            self.store = None;
        } else {
            self.store = None;
            // Another process finds it, so a commit before that may no longer be lost: the opening makes it durable.
            self.durable = self.number;
        }
    }

    /// Opens if nothing is open; what was acknowledged has to be there, and nothing else.
    fn open(&mut self) -> Result<(), Violation> {
        if self.store.is_some() {
            return Ok(());
        }
        let options = options(&mut self.rng);
        self.open_with(options)
    }

    fn open_with(&mut self, options: StoreOptions) -> Result<(), Violation> {
        let policies = [SyncPolicy::Manual, SyncPolicy::EveryCommit];
        self.policy = policies[self.rng.usize(..policies.len())];
        let options = options
            .env(self.machine.env())
            .sync_policy(self.policy)
            // A run takes some blocks whatever is in it: many short ones could need more than what is given back.
            .run_limits(1 << self.rng.u32(16..20), self.rng.usize(200..2000));
        let (store, report) =
            WalStateStore::open(self.dir, options).map_err(|error| unexplained(&error).with("opening"))?;
        let found = report.source_offsets.get(SOURCE).copied().unwrap_or(0);
        // A commit that was refused has been submitted all the same: the process that ended may have left it whole.
        let submitted = self.number + u64::from(self.is_refused);
        if !(self.durable..=submitted).contains(&found) || report.is_degraded() {
            return Err(Violation::new(format!("commit {} was durable: {report:?}", self.durable)));
        }
        if found != self.number {
            self.number = found;
            self.committed = state_after(self.seed, found);
        }
        self.durable = found;
        self.is_refused = false;
        self.store = Some(store);
        self.pending = 0;
        self.now.clone_from(&self.committed);
        self.compare("after opening")
    }

    fn compare(&self, place: &str) -> Result<(), Violation> {
        let Some(store) = &self.store else { return Ok(()) };
        let found = read_all(store)?;
        if found == self.now { Ok(()) } else { Err(Violation::new(difference(&self.now, &found)).with(place)) }
    }

    /// Commits until the disk refuses; and then once more, which has to be refused or done whole.
    fn fill(&mut self) -> Result<(), Violation> {
        let refusals = self.summary.refusals;
        for count in 0..MOST_COMMITS {
            if count == COMMITS_WITH_CHECKPOINTS {
                self.end(true);
                let options = options_without_checkpoints(&mut self.rng);
                self.open_with(options)?;
            }
            let mut is_done = self.commit()?;
            if is_done && self.rng.u8(..100) < 10 {
                is_done = self.harden()?;
            }
            if count < COMMITS_WITH_CHECKPOINTS && self.rng.u8(..100) < 5 {
                self.checkpoint(false)?;
            }
            if !is_done && self.summary.refusals >= refusals + 2 {
                return Ok(());
            }
        }
        Err(Violation::new("the disk does not get full"))
    }

    /// Waits until the last commit is durable; says whether it is.
    fn harden(&mut self) -> Result<bool, Violation> {
        let Some(store) = self.store.as_mut() else { return Ok(false) };
        match store.commit().and_then(|ticket| ticket.wait()) {
            Ok(_) => {
                self.durable = self.number;
                Ok(true)
            }
            Err(error) if error.is_no_space() => {
                self.summary.refusals += 1;
                Ok(false)
            }
            Err(error) => Err(unexplained(&error).with("a sync")),
        }
    }

    /// There is space again: what was refused goes through, on the same handle if it is still there.
    fn go_on(&mut self) -> Result<(), Violation> {
        // The file that was too large for the disk may be asked for first; one try gives its error, the next must go through.
        if !self.commit()? && !self.commit()? {
            return Err(Violation::new("refused, and there is space"));
        }
        self.compare("with space again")?;
        if !self.harden()? {
            return Err(Violation::new("not durable, and there is space"));
        }
        // The first may be the one that was begun on the full disk. Two more, so that the log behind the older one goes.
        self.checkpoint(false)?;
        self.checkpoint(true)?;
        if !self.commit()? {
            return Err(Violation::new("refused after a checkpoint, and there is space"));
        }
        self.checkpoint(true)
    }

    fn checkpoint(&mut self, must: bool) -> Result<(), Violation> {
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        match store.checkpoint().and_then(|ticket| ticket.wait()) {
            Ok(_) => Ok(()),
            Err(error) if error.is_no_space() && !must => {
                self.summary.refusals += 1;
                drop(store.take_upkeep_error());
                Ok(())
            }
            Err(error) => Err(unexplained(&error).with("a checkpoint")),
        }
    }

    /// Goes on with the commit that is pending, or with the next; says whether it went through.
    fn commit(&mut self) -> Result<bool, Violation> {
        let Some(store) = self.store.as_mut() else { return Ok(false) };
        let next = self.number + 1;
        let all = changes(self.seed, 0, next);
        let submitted = all.iter().skip(self.pending).try_for_each(|change| {
            change.apply(store)?;
            change.apply_to_model(&mut self.now);
            self.pending += 1;
            Ok(())
        });
        let submitted = submitted.and_then(|()| store.set_source_offset(SOURCE, next));
        self.is_refused = submitted.is_ok();
        match submitted.and_then(|()| store.commit()) {
            Ok(_) => {
                self.is_refused = false;
                self.number = next;
                self.pending = 0;
                self.committed.clone_from(&self.now);
                if self.policy == SyncPolicy::EveryCommit {
                    self.durable = next;
                }
                self.summary.commits += 1;
                Ok(true)
            }
            Err(error) if error.is_no_space() => {
                self.summary.refusals += 1;
                Ok(false)
            }
            Err(error) => Err(unexplained(&error).with("a commit")),
        }
    }
}
