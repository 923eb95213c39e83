//! Durable keyed state for stream processors, embedded in the process that owns it.
//!
//! **The log is the truth. A checkpoint is the log, compacted. Memory is a cache of both.** Every change goes into a write-ahead log
//! and into a table in memory; [`commit`](WalStateStore::commit) makes all changes since the last one, and the source offsets
//! that go with them, one atomic step; a [`checkpoint`](WalStateStore::checkpoint) is written in the background from the log, in proportion to what
//! changed; [`open`](WalStateStore::open) maps the newest valid checkpoint and replays the log behind it.
//!
//! | operation | process killed | power cut |
//! |---|---|---|
//! | `put`, `delete`, `delete_prefix`, `clear`, `set_source_offset`, `remove_source_offset` | gone without a commit | gone without a commit |
//! | `commit()` returned | survives | whole or not at all |
//! | `commit()?.wait()` or `.await` returned | survives | survives |
//! | `checkpoint()?.wait()` or `.await` returned | what was committed when it began survives | the same |
//! | `checkpoint_all()` returned | what was committed survives | the same |
//!
//! ```
//! use laminar_storage::{StateStore, StoreOptions, WalStateStore};
//! # let scratch = tempfile::tempdir().unwrap();
//! # let dir = scratch.path().join("state");
//! let (mut store, report) = WalStateStore::open(&dir, StoreOptions::new())?;
//! let resume_at = report.source_offsets.get("orders").copied().unwrap_or(0);
//! # assert_eq!(resume_at, 0);
//! for order in resume_at..resume_at + 10 {
//!     let mut counts = store.operator("orders by customer")?;
//!     let customer = (order % 3).to_le_bytes();
//!     let count = counts.get(&customer)?.map_or(0, |bytes| bytes[0]) + 1;
//!     counts.put(&customer, &[count])?;
//!     store.set_source_offset("orders", order + 1)?;
//! }
//! store.commit()?.wait()?;
//! # Ok::<(), laminar_storage::Error>(())
//! ```
#![forbid(unsafe_code)]

mod catalogue;
mod checkpointing;
mod close;
mod commit;
mod error;
pub mod format;
mod identity;
mod keyspace;
mod mark;
mod memory;
mod merging;
mod name;
mod operator;
mod options;
mod read;
mod recover;
mod report;
mod restore;
mod state;
mod stats;
mod store;
mod sync;
pub mod table;
mod view;

pub use catalogue::OperatorId;
pub use checkpointing::{CheckpointInfo, CheckpointProgress, CheckpointTicket, Phase};
pub use close::StoreVerifyReport;
pub use commit::{CommitFuture, CommitTicket};
pub use error::{Error, Result};
pub use laminar_checkpoint::{Checkpoint, Healed, PassedOver, Progress, Verify};
pub use laminar_vfs::{Env, ReadMode};
pub use laminar_wal::{Lsn, RecoverTo, Stats as LogStats, SyncPolicy, TailReport};
pub use memory::MemoryStateStore;
pub use operator::{Operator, OperatorView};
pub use options::StoreOptions;
pub use report::RecoveryReport;
pub use restore::restore;
pub use state::{Scan, StateStore};
pub use stats::StoreStats;
pub use store::WalStateStore;
pub use view::CheckpointView;
