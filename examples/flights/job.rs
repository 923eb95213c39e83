//! The job itself, as it runs in the child process: rows in, state and source offset committed together.
//!
//! It says on its standard output what it has done, one line each, so that the driver can choose when to kill it.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use laminar_storage::{CheckpointTicket, StoreOptions, WalStateStore};

use crate::Result;
use crate::input::Flights;
use crate::operators::{Carriers, Fleet, Operator, Routes, apply};

/// The source whose offset is the number of rows read.
pub(crate) const SOURCE: &str = "flights";

/// Rows in a commit.
const BATCH_ROWS: usize = 500;

/// Short, since the whole job takes seconds.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(50);

const RETAINED_CHECKPOINTS: usize = 2;

/// What the job tells the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// The store is open, and this is what recovery did.
    Opened { row: u64, records_replayed: u64, bytes_cut: u64 },
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
            Self::Opened { row, records_replayed, bytes_cut } => {
                write!(f, "opened {row} {records_replayed} {bytes_cut}")
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
            ["opened", row, records, bytes] => {
                Self::Opened { row: row.parse()?, records_replayed: records.parse()?, bytes_cut: bytes.parse()? }
            }
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

/// Runs the job from where its state stands to the end of the input.
pub(crate) fn run(dir: &Path) -> Result<()> {
    let (mut store, report) = WalStateStore::open(dir, StoreOptions::new())?;
    store.enable_checkpointing(CHECKPOINT_INTERVAL, RETAINED_CHECKPOINTS)?;
    let mut row = store.source_offset(SOURCE).unwrap_or(0);
    tell(Message::Opened { row, records_replayed: report.records_replayed, bytes_cut: report.bytes_cut() })?;

    let mut flights = Flights::open()?;
    flights.skip(row)?;
    let mut running: Option<CheckpointTicket> = None;
    loop {
        let batch = flights.batch(BATCH_ROWS)?;
        if batch.is_empty() {
            break;
        }
        apply::<Carriers>(&mut store.operator(Carriers::NAME)?, &batch)?;
        apply::<Routes>(&mut store.operator(Routes::NAME)?, &batch)?;
        apply::<Fleet>(&mut store.operator(Fleet::NAME)?, &batch)?;
        row += u64::try_from(batch.len())?;
        store.set_source_offset(SOURCE, row)?;

        // The changes of the batch and the offset behind it: both or neither.
        let due = store.should_checkpoint();
        store.commit()?;
        tell(Message::Committed { row })?;
        if due {
            // The commit has begun it; asked for one while it runs, the store gives that one's ticket.
            running = Some(store.checkpoint()?);
            tell(Message::CheckpointBegins)?;
        }
        if let Some(ticket) = running.take_if(|ticket| ticket.is_done()) {
            ticket.wait()?;
            tell(Message::CheckpointEnds)?;
        }
    }
    tell(Message::CheckpointBegins)?;
    store.checkpoint()?.wait()?;
    tell(Message::CheckpointEnds)?;
    store.close()?;
    tell(Message::Done)
}
