//! The process that is going to be killed: it works on a store on the real disk, and tells of everything it does.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use laminar_storage::{Error, ReadMode, StoreOptions, SyncPolicy, WalStateStore};

use super::history::{changes, generator};
use crate::driver::read_all;
use crate::{Event, Violation};

/// The source whose offset is the number of the commit.
pub(super) const SOURCE: &str = "commit";

/// Why the work ended.
enum End {
    /// Nobody listens any more.
    Unheard(io::Error),
    /// The store did what it must not.
    Violation(Violation),
    /// Somebody else has it.
    Locked,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Unheard(error)
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        if error.is_locked() {
            return Self::Locked;
        }
        Self::Violation(unexplained(&error))
    }
}

/// An error for which there is no reason, with its source.
pub(super) fn unexplained(error: &Error) -> Violation {
    let violation = Violation::new(format!("an error that nothing explains: {error}"));
    match std::error::Error::source(error) {
        Some(source) => violation.with(&source.to_string()),
        None => violation,
    }
}

/// Opens the store in `dir` and works on it until the process is killed, telling of everything on `out`. What it does follows
/// from the seed and the round. With `stays` it never lets go of the store.
///
/// # Errors
/// Where `out` can't be written: nobody is there any more.
pub fn work(dir: &Path, seed: u64, round: u64, stays: bool, out: impl Write) -> io::Result<()> {
    let rng = generator(seed, round, 0);
    let mut worker = Worker { dir: dir.to_owned(), seed, round, stays, rng, out, has_checkpoint: false };
    match worker.run() {
        Ok(()) => Ok(()),
        Err(End::Unheard(error)) => Err(error),
        Err(End::Locked) => worker.tell(&Event::Locked),
        Err(End::Violation(violation)) => worker.tell(&Event::Violation(violation.to_string())),
    }
}

struct Worker<W> {
    dir: PathBuf,
    seed: u64,
    round: u64,
    stays: bool,
    rng: Rng,
    out: W,
    has_checkpoint: bool,
}

/// The sizes that a round works with: small, so that segments are left, checkpoints made and runs merged all the time.
pub(super) fn options(rng: &mut Rng) -> StoreOptions {
    let options = options_without_checkpoints(rng);
    if rng.bool() { options.checkpoint_interval(Duration::from_millis(rng.u64(2..50))) } else { options }
}

/// Options with which no checkpoint is made but those that are asked for.
pub(super) fn options_without_checkpoints(rng: &mut Rng) -> StoreOptions {
    let policies = [SyncPolicy::Manual, SyncPolicy::EveryCommit, SyncPolicy::Interval(Duration::from_millis(2))];
    StoreOptions::new()
        .segment_bytes(16 << 10)
        .buffer_bytes(4096 << rng.u32(0..3))
        .checkpoint_log_bytes(8192 << rng.u32(0..4))
        .max_retained(rng.usize(2..4))
        .run_limits(1 << rng.u32(12..20), rng.usize(20..2000))
        .read_mode(if rng.bool() { ReadMode::Mapped } else { ReadMode::Owned })
        .sync_policy(policies[rng.usize(..policies.len())])
        .part_bytes(1 << rng.u32(0..20))
}

impl<W: Write> Worker<W> {
    fn tell(&mut self, event: &Event) -> io::Result<()> {
        // In one write, so that a line is told whole or not at all.
        self.out.write_all(format!("{event}\n").as_bytes())?;
        self.out.flush()
    }

    fn run(&mut self) -> Result<(), End> {
        loop {
            let (mut store, mut number) = self.open()?;
            // Until it is killed, or lets go of the store itself.
            while !self.turn(&mut store, &mut number)? {}
            drop(store);
            self.tell(&Event::Gone)?;
        }
    }

    fn open(&mut self) -> Result<(WalStateStore, u64), End> {
        let options = options(&mut self.rng);
        self.tell(&Event::Opening)?;
        let (store, report) = WalStateStore::open(&self.dir, options)?;
        if report.is_degraded() {
            return Err(Violation::new(format!("a crash passes for damage: {report:?}")).into());
        }
        let number = report.source_offsets.get(SOURCE).copied().unwrap_or(0);
        self.tell_all(&store, number)?;
        self.has_checkpoint = false;
        Ok((store, number))
    }

    /// Tells the whole state, which is that after commit `number`.
    fn tell_all(&mut self, store: &WalStateStore, number: u64) -> Result<(), End> {
        let mut text = format!("{}\n", Event::Found(number));
        for ((operator, key), value) in read_all(store)? {
            text += &format!("{}\n", Event::Entry(operator, key, value));
        }
        text += &format!("{}\n", Event::Whole);
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// A commit, and what comes after it; says whether the store is to be let go.
    fn turn(&mut self, store: &mut WalStateStore, number: &mut u64) -> Result<bool, End> {
        *number += 1;
        for change in changes(self.seed, self.round, *number) {
            change.apply(store)?;
        }
        store.set_source_offset(SOURCE, *number)?;
        self.tell(&Event::Submitted(*number))?;
        let ticket = store.commit()?;
        self.tell(&Event::Handed(*number))?;
        self.tell_of_checkpoint(store)?;
        match self.rng.u8(..100) {
            0..15 => {
                self.tell(&Event::Waiting(*number))?;
                ticket.wait()?;
                self.tell(&Event::Durable(*number))?;
            }
            15..20 => {
                drop(store.checkpoint()?);
                self.tell_of_checkpoint(store)?;
            }
            20..24 => {
                let running = store.checkpoint()?;
                self.tell_of_checkpoint(store)?;
                self.tell(&Event::Awaited)?;
                running.wait()?;
                self.has_checkpoint = false;
                self.tell(&Event::Ended)?;
            }
            24 => self.tell_all(store, *number)?,
            25..28 if !self.stays => {
                self.tell(&Event::Closing)?;
                store.close()?;
                return Ok(true);
            }
            28 if !self.stays => {
                // What is not committed goes with the store.
                for change in changes(self.seed, !self.round, *number) {
                    change.apply(store)?;
                }
                self.tell(&Event::Dropping)?;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    /// Tells whether a checkpoint is running, where that has changed: periodic ones begin by themselves.
    fn tell_of_checkpoint(&mut self, store: &WalStateStore) -> Result<(), End> {
        if let Some(error) = store.take_upkeep_error() {
            return Err(error.into());
        }
        let runs = store.running_checkpoint().is_some_and(|running| !running.is_done());
        if runs != self.has_checkpoint {
            self.has_checkpoint = runs;
            self.tell(if runs { &Event::Begun } else { &Event::Ended })?;
        }
        Ok(())
    }
}
