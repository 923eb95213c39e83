//! The job itself, as it runs in the child process: rows in, state and source offset committed together.
//!
//! It says on its standard output what it has done, one line each, so that the driver can choose when to kill it, and it is never
//! more than a few commits ahead of what the driver has read: for each of them it gets a byte on its standard input.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use laminar_storage::{CheckpointTicket, StoreOptions, WalStateStore};

use crate::Result;
use crate::input::Flights;
use crate::operators::{Carriers, Fleet, Operator, Routes, apply};
use crate::windows;

/// The source whose offset is the number of rows read.
pub(crate) const SOURCE: &str = "flights";

/// Rows in a commit.
const BATCH_ROWS: usize = 500;

/// Commits that the job may be ahead of the driver.
const WINDOW: usize = 4;

/// Short, since the whole job takes seconds.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(50);

/// Rows that the job may read while one checkpoint is written; then it waits, so that a recovery never has much more than
/// this to replay. A job that reads from a network would not get that far ahead of its disk.
const ROWS_PER_CHECKPOINT: u64 = 20_000;

const RETAINED_CHECKPOINTS: usize = 2;

/// What an opening of the store did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Where the job goes on.
    pub(crate) row: u64,
    /// The checkpoint it began with, by its number; 0 where there was none yet.
    pub(crate) checkpoint: u64,
    /// Changes taken from the log behind it.
    pub(crate) records_replayed: u64,
    /// Bytes of the log's torn end that were cut.
    pub(crate) bytes_cut: u64,
}

/// What the job tells the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// The store is open.
    Opened(Recovery),
    /// A commit has returned; the state stands at this row.
    Committed { row: u64 },
    /// A checkpoint is being written in the background.
    CheckpointBegins,
    /// It is published.
    CheckpointEnds,
    /// Every row is in, and the store is closed.
    Done,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(Recovery { row, checkpoint, records_replayed, bytes_cut }) => {
                write!(f, "opened {row} {checkpoint} {records_replayed} {bytes_cut}")
            }
            Self::Committed { row } => write!(f, "row {row}"),
            Self::CheckpointBegins => write!(f, "checkpoint begins"),
            Self::CheckpointEnds => write!(f, "checkpoint ends"),
            Self::Done => write!(f, "done"),
        }
    }
}

impl FromStr for Message {
    type Err = Box<dyn std::error::Error>;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Ok(match *words {
            ["opened", row, checkpoint, records, bytes] => Self::Opened(Recovery {
                row: row.parse()?,
                checkpoint: checkpoint.parse()?,
                records_replayed: records.parse()?,
                bytes_cut: bytes.parse()?,
            }),
            ["row", row] => Self::Committed { row: row.parse()? },
            ["checkpoint", "begins"] => Self::CheckpointBegins,
            ["checkpoint", "ends"] => Self::CheckpointEnds,
            ["done"] => Self::Done,
            _ => return Err(format!("the job said {line:?}").into()),
        })
    }
}

/// Prints at once: the pipe outlives this process.
fn tell(message: Message) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{message}")?;
    Ok(out.flush()?)
}

/// Waits until the driver has read of an earlier commit. An end of the input means that the driver is gone.
fn follow_driver() -> Result<()> {
    Ok(std::io::stdin().lock().read_exact(&mut [0])?)
}

/// How the state is opened, by everyone who may write to it.
pub(crate) fn options() -> StoreOptions {
    // No operator has a number of 128 bits in its state.
    StoreOptions::new().value_alignment(8)
}

/// Runs the job from where its state stands to the end of the input.
pub(crate) fn run(dir: &Path) -> Result<()> {
    let (mut store, report) = WalStateStore::open(dir, options())?;
    store.enable_checkpointing(CHECKPOINT_INTERVAL, RETAINED_CHECKPOINTS)?;
    let mut row = store.source_offset(SOURCE).unwrap_or(0);
    tell(Message::Opened(Recovery {
        row,
        checkpoint: report.checkpoint.unwrap_or(0),
        records_replayed: report.records_replayed,
        bytes_cut: report.bytes_cut(),
    }))?;

    let mut flights = Flights::open()?;
    flights.skip(row)?;
    let mut running: Option<CheckpointTicket> = None;
    let mut begun_at = row;
    for commit in 0.. {
        if commit >= WINDOW {
            follow_driver()?;
        }
        let batch = flights.batch(BATCH_ROWS)?;
        if batch.is_empty() {
            break;
        }
        apply::<Carriers>(&mut store.operator(Carriers::NAME)?, &batch)?;
        apply::<Routes>(&mut store.operator(Routes::NAME)?, &batch)?;
        apply::<Fleet>(&mut store.operator(Fleet::NAME)?, &batch)?;
        windows::apply_by_day(&mut store, &batch)?;
        row += u64::try_from(batch.len())?;
        store.set_source_offset(SOURCE, row)?;

        // The changes of the batch and the offset behind it: both or neither.
        store.commit()?;
        tell(Message::Committed { row })?;
        let is_late = row >= begun_at + ROWS_PER_CHECKPOINT;
        if let Some(ticket) = running.take_if(|ticket| ticket.is_done() || is_late) {
            ticket.wait()?;
            tell(Message::CheckpointEnds)?;
        }
        // A commit that finds one due has begun it.
        if running.is_none() {
            running = store.running_checkpoint().filter(|ticket| !ticket.is_done());
            if running.is_some() {
                begun_at = row;
                tell(Message::CheckpointBegins)?;
            }
        }
    }
    // No flight comes that would.
    windows::close_day(&mut store)?;
    store.commit()?;
    if let Some(ticket) = running {
        ticket.wait()?;
        tell(Message::CheckpointEnds)?;
    }
    tell(Message::CheckpointBegins)?;
    store.checkpoint_all()?;
    tell(Message::CheckpointEnds)?;
    store.close()?;
    tell(Message::Done)
}
