//! A real file system that is full: what is refused, what goes on, and what is there afterwards.

use std::io;
use std::path::Path;

use fastrand::Rng;
use laminar_storage::{Error, WalStateStore};

use super::history::{changes, generator};
use super::work::{SOURCE, options};
use crate::driver::{difference, read_all};
use crate::{Model, Violation};

/// How often a disk is filled and freed in one run.
const FILLINGS: usize = 4;
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

struct Run<'a> {
    dir: &'a Path,
    seed: u64,
    rng: Rng,
    store: Option<WalStateStore>,
    /// The state after the last commit, and with what is pending.
    committed: Model,
    now: Model,
    number: u64,
    /// How many changes of the next commit were made.
    pending: usize,
    /// All changes of the next commit were made, and it was refused.
    is_refused: bool,
    summary: FullDisk,
}

/// Fills the disk that `dir` is on with commits, again and again. `ballast` takes space away, or
/// gives it back: several times what is left without it, so that a checkpoint of all that was logged there must have room.
///
/// # Errors
/// What the store did that it must not, and errors of `ballast`.
pub fn fill_disk(
    dir: &Path,
    seed: u64,
    mut ballast: impl FnMut(bool) -> io::Result<()>,
) -> Result<FullDisk, Violation> {
    let (committed, now) = (Model::new(), Model::new());
    let rng = generator(seed, 0, 0);
    let summary = FullDisk::default();
    let mut run =
        Run { dir, seed, rng, store: None, committed, now, number: 0, pending: 0, is_refused: false, summary };
    let mut move_ballast = |is_there: bool| {
        ballast(is_there).map_err(|error| Violation::new(format!("the ballast can't be moved: {error}")))
    };
    for _ in 0..FILLINGS {
        move_ballast(true)?;
        run.open()?;
        run.fill()?;
        run.compare("on the full disk")?;
        if run.rng.bool() {
            // The process ends while the disk is full, and another opens on the full disk.
            run.store = None;
            run.open()?;
            run.summary.openings += 1;
        }
        move_ballast(false)?;
        run.go_on()?;
    }
    run.store = None;
    run.open()?;
    Ok(run.summary)
}

fn unexplained(error: &Error) -> Violation {
    Violation::new(format!("an error that nothing explains: {error}"))
}

impl Run<'_> {
    /// Opens if nothing is open; what was acknowledged has to be there, and nothing else.
    fn open(&mut self) -> Result<(), Violation> {
        if self.store.is_some() {
            return Ok(());
        }
        let opened = WalStateStore::open(self.dir, options(&mut self.rng));
        let (store, report) = opened.map_err(|error| unexplained(&error).with("opening"))?;
        let found = report.source_offsets.get(SOURCE).copied().unwrap_or(0);
        if found == self.number + 1 && self.is_refused {
            // A commit that was refused has been submitted all the same: the process that ended may have left it whole.
            self.number = found;
            self.committed.clone_from(&self.now);
        } else if found != self.number || report.is_degraded() {
            return Err(Violation::new(format!("commit {} was acknowledged: {report:?}", self.number)));
        }
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
        for _ in 0..MOST_COMMITS {
            let is_done = self.commit()?;
            if self.rng.u8(..100) < 5 {
                self.checkpoint(false)?;
            }
            if !is_done && self.summary.refusals >= refusals + 2 {
                return Ok(());
            }
        }
        Err(Violation::new("the disk does not get full"))
    }

    /// There is space again: what was refused goes through, on the same handle if it is still there.
    fn go_on(&mut self) -> Result<(), Violation> {
        // The file that was too large for the disk may be asked for first; one try gives its error, the next must go through.
        if !self.commit()? && !self.commit()? {
            return Err(Violation::new("refused, and there is space"));
        }
        self.compare("with space again")?;
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        let ticket = store.commit().map_err(|error| unexplained(&error).with("with space again"))?;
        ticket.wait().map_err(|error| unexplained(&error).with("with space again"))?;
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
