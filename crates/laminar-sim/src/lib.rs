//! What the crash tests of laminar share: operations, an oracle that knows what may and what must survive, and a driver that runs
//! the operations on a simulated disk and holds the store against the oracle after every crash.
//!
//! One seed is one run: the same operations, the same faults, the same verdict. [`run_seed`] is what tests and
//! `cargo xtask fault` call; a [`Failure`] prints the command that replays it, and the shortest list of operations that still fails.
#![forbid(unsafe_code)]
#![expect(clippy::indexing_slicing, reason = "this crate is a test, and its indices come from its own small tables")]

mod damage;
mod driver;
mod enumerate;
mod failing;
mod faults;
mod hostile;
#[cfg(laminar_model)]
pub mod interleavings;
mod logs;
mod op;
mod oracle;
#[cfg(feature = "planted")]
mod planted;
mod process;
mod seeds;
mod shrink;
mod sources;
mod violation;

pub use damage::{Break, Damage, Outcome, REFERENCES, Reference};
pub use driver::{Driver, Summary};
pub use enumerate::{Counts, SmallFailure, SmallOp, enumerate, enumerate_number, workload, workload_number, workloads};
pub use faults::{FAULT_WORKLOADS, FaultCase, check_fault, fault_cases};
pub use hostile::{Met, Target, honest, meet, meet_mutation, mending_changes_nothing, mutation};
pub use logs::{LogFailure, LogOp, LogSummary, Payload, Struck, run_log};
pub use op::{Key, Op, Value};
pub use oracle::{Model, Oracle};
#[cfg(feature = "planted")]
pub use planted::{Caught, Hunt, PLANTED, Planted, find_planted, hunt, plant};
pub use process::{Event, FullDisk, FullMachine, Ledger, Place, SimMachine, fill_disk, work};
pub use seeds::{Failure, run_ops, run_seed};
pub use shrink::shrink;
pub use violation::Violation;
