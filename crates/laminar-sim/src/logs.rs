//! A log alone, without a store on it: random runs with crashes and failing calls, where everything that was acknowledged must come back,
//! in order, at its place, batches whole.
//!
//! Besides the crashes that are operations of their own, the power is cut before every change of the disk that an operation makes, on a copy
//! of the disk; what such a copy recovers is compared, written to, and recovered once more.

use std::fmt;

use fastrand::Rng;

use crate::seeds::caught;
use crate::{Violation, shrink};

mod driver;
mod records;

use driver::LogDriver;

/// What is appended: its length, and whether it is all zeros, so that whole sectors of it read as never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payload {
    /// Tells it from others.
    pub number: u32,
    /// Bytes.
    pub len: u16,
    /// Nothing but zeros, but for the number in front.
    pub zeros: bool,
}

impl Payload {
    fn random(rng: &mut Rng) -> Self {
        let len = match rng.u8(..10) {
            0 => 0,
            1..6 => rng.u16(1..120),
            6..9 => rng.u16(120..1500),
            _ => rng.u16(1500..9000),
        };
        Self { number: rng.u32(..), len, zeros: rng.u8(..4) == 0 }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; usize::from(self.len)];
        if !self.zeros {
            Rng::with_seed(u64::from(self.number)).fill(&mut bytes);
        }
        bytes.iter_mut().zip(self.number.to_le_bytes()).for_each(|(into, byte)| *into = byte);
        bytes
    }
}

/// The calls that a fault may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum Struck {
    /// Any.
    Any,
    /// Syncs of a directory.
    SyncDir,
    /// Syncs of a file.
    SyncData,
}

/// One operation on a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum LogOp {
    /// Appends a record that ends its batch.
    Append(Payload),
    /// Appends a batch at once.
    Batch(Vec<Payload>),
    /// Appends a record whose batch goes on with whatever is appended next.
    Half(Payload),
    /// Hands everything over to the operating system.
    Commit,
    /// Makes everything durable.
    Sync,
    /// Removes segments below the record that is this many 256ths into the log.
    Truncate(u8),
    /// Lets the log's own job do up to this many steps.
    Background(u8),
    /// Lets time pass, in milliseconds, and the job do what comes due.
    Wait(u16),
    /// Reads everything that was handed over, in every way.
    Read,
    /// Closes and opens.
    Reopen,
    /// The process dies between two operations; what it wrote stays.
    Kill,
    /// The power goes between two operations; this seed decides what of the unsynced stays.
    PowerCut(u64),
    /// From now on, the process dies before the disk operation of this number; then the power goes if a seed is given.
    DieAt(u16, Option<u64>),
    /// The next opening dies at its disk operation of this number, by a power cut with this seed.
    DieInRecovery(u16, u64),
    /// After so many more calls of a kind, one fails in the way of this number, or all from there on.
    Fail(Struck, u16, u8, bool),
    /// While the next operation is done, the disk is full: all its writes but the first so many are refused. Then there is space again.
    Full(u8),
    /// No call fails any more.
    Clear,
}

impl LogOp {
    /// A random operation.
    fn random(rng: &mut Rng) -> Self {
        match rng.u8(..100) {
            0..25 => Self::Append(Payload::random(rng)),
            25..28 => Self::Full(rng.u8(..3)),
            28..34 => Self::Batch((0..rng.u8(2..5)).map(|_| Payload::random(rng)).collect()),
            34..37 => Self::Half(Payload::random(rng)),
            37..50 => Self::Commit,
            50..60 => Self::Sync,
            60..63 => Self::Truncate(rng.u8(..)),
            63..69 => Self::Background(rng.u8(1..8)),
            69..72 => Self::Wait(rng.u16(1..200)),
            72..74 => Self::Read,
            74..82 => Self::Reopen,
            82..84 => Self::Kill,
            84..88 => Self::PowerCut(rng.u64(..)),
            88..91 => Self::DieAt(rng.u16(..40), rng.bool().then(|| rng.u64(..))),
            91..93 => Self::DieInRecovery(rng.u16(..40), rng.u64(..)),
            93..98 => Self::fault(rng),
            _ => Self::Clear,
        }
    }

    fn fault(rng: &mut Rng) -> Self {
        let struck = [Struck::Any, Struck::SyncDir, Struck::SyncDir, Struck::SyncData][rng.usize(..4)];
        let after = if struck == Struck::Any { rng.u16(..40) } else { rng.u16(..3) };
        Self::Fail(struck, after, rng.u8(..), rng.u8(..4) == 0)
    }

    /// The operations of the run of this seed. In some, calls fail or the process dies while the log is created.
    fn run(seed: u64, steps: usize) -> Vec<Self> {
        let mut rng = Rng::with_seed(seed);
        let first = match rng.u8(..4) {
            0 => Some(Self::fault(&mut rng)),
            1 => Some(Self::DieInRecovery(rng.u16(..30), rng.u64(..))),
            _ => None,
        };
        first.into_iter().chain((0..steps).map(|_| Self::random(&mut rng))).collect()
    }
}

/// What a run on a log did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSummary {
    /// Kills and power cuts, those on copies of the disk among them.
    pub crashes: u64,
    /// Openings whose every record was compared.
    pub recoveries: u64,
    /// Calls that failed on request.
    pub faults: u64,
    /// A hash over every call to the disk of the run itself: equal runs have equal ones, on every machine.
    pub trace_hash: u64,
}

/// A run on a log that went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogFailure {
    /// The seed of the run.
    pub seed: u64,
    /// How many operations it had.
    pub steps: usize,
    /// What went wrong in the shortest run that still fails.
    pub violation: Violation,
    /// The operations of that run.
    pub shrunk: Vec<LogOp>,
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "log, seed {}: {}", self.seed, self.violation)?;
        writeln!(f, "replay: cargo xtask fault --logs 1 --seed {} --steps {}", self.seed, self.steps)?;
        writeln!(f, "the shortest run that fails has {} operations:", self.shrunk.len())?;
        self.shrunk.iter().try_for_each(|op| writeln!(f, "  {op:?}"))
    }
}

impl std::error::Error for LogFailure {}

/// Runs `steps` random operations from `seed` on a log.
///
/// # Errors
/// What the log did that it must not, with the operations shrunk.
pub fn run_log(seed: u64, steps: usize) -> Result<LogSummary, Box<LogFailure>> {
    let ops = LogOp::run(seed, steps);
    run_log_ops(seed, &ops).map_err(|violation| {
        let (shrunk, violation) = shrink(ops, violation, |fewer| run_log_ops(seed, fewer).map(drop));
        Box::new(LogFailure { seed, steps, violation, shrunk })
    })
}

/// The run of a seed, not shortened where it fails.
#[cfg(feature = "planted")]
pub(crate) fn run_log_once(seed: u64, steps: usize) -> Result<LogSummary, Violation> {
    run_log_ops(seed, &LogOp::run(seed, steps))
}

/// Runs a list of operations on a fresh log; a panic is a violation.
fn run_log_ops(seed: u64, ops: &[LogOp]) -> Result<LogSummary, Violation> {
    caught(|| {
        let mut driver = LogDriver::new(seed)?;
        for (number, op) in ops.iter().enumerate() {
            driver.apply(op).map_err(|violation| violation.with(&format!("operation {number}, {op:?}")))?;
        }
        driver.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_repeats_itself() {
        for seed in 0..6 {
            let first = run_log(seed, 60).unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(run_log(seed, 60).ok(), Some(first), "seed {seed}");
            assert!(first.recoveries > 20, "{first:?}");
        }
    }

    #[test]
    fn a_payload_of_zeros_has_sectors_of_zeros() {
        let payload = Payload { number: 77, len: 2000, zeros: true };
        assert!(payload.bytes()[4..].iter().all(|byte| *byte == 0));
        assert_ne!(payload.bytes(), Payload { number: 78, ..payload }.bytes());
        assert_eq!(Payload { zeros: false, len: 3, ..payload }.bytes().len(), 3);
    }
}
