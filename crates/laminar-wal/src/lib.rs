//! A write-ahead log that loses nothing it has acknowledged.
//!
//! Records are bytes, appended from any number of threads to one order. Appending is a copy and a checksum; handing
//! over and syncing are done for many records at a time. What survives what is in the name of the call:
//! [`append`](Wal::append), [`commit`](Wal::commit), [`sync`](Wal::sync).
//!
//! ```
//! # let scratch = tempfile::tempdir()?;
//! # let dir = scratch.path();
//! use laminar_wal::{Wal, WalOptions};
//!
//! let (wal, _) = Wal::open(dir, WalOptions::new())?;
//! let lsn = wal.append(b"order 17")?;
//! wal.append_batch(&[b"debit 5", b"credit 5"])?; // both are recovered, or neither
//! wal.sync()?;                                   // on disk now
//! assert!(wal.durable_lsn() > lsn);
//!
//! let mut records = wal.replay(wal.start_lsn())?;
//! while let Some(record) = records.next()? {
//!     println!("{}: {} bytes", record.lsn, record.payload.len());
//! }
//! wal.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! - A record whose durable wait returned is there after power loss; one that was committed, after the process died.
//! - A batch is recovered whole or not at all, and a log always ends with a whole batch.
//! - What [`Wal::open`] returns is on disk, even if the process before saw a sync fail.
//! - Damage to bytes that were durable is [`Error::Corrupt`] or [`Error::Missing`], with file and position, and nothing
//!   is changed. A torn tail is cut, kept aside, and reported ([`TailReport`]); it never keeps a log from opening.
//! - After a failed sync or write nothing is acknowledged any more ([`Error::Poisoned`]), and nobody hangs.
//! - A full disk refuses ([`Error::NoSpace`]) before anything is acknowledged; the log goes on when space returns, and
//!   opens even if it does not.
//!
//! How that is done stands in [`format`](mod@format).
//!
//! # What it leaves out on purpose
//!
//! Keys, transactions of several writers, replication, compression; recycling of segments; cutting the log's end
//! on request.
#![forbid(unsafe_code)]

mod ahead;
mod awake;
mod buffer;
mod close;
mod coming;
mod commit;
mod dir;
mod error;
mod follow;
pub mod format;
mod log;
mod lsn;
mod name;
mod open;
mod options;
mod records;
mod recover;
mod report;
mod retain;
mod scan;
mod segment;
mod sync;
mod view;
mod wal;
mod worker;
mod writer;

pub use commit::DurableWait;
pub use error::{Error, Result};
pub use follow::Follower;
pub use lsn::{LogId, Lsn};
pub use options::{CreateMode, RecoverTo, SyncPolicy, WalOptions};
pub use records::{Record, Records};
pub use report::{Cut, GivenUp, TailReport};
pub use retain::Truncated;
pub use view::{LogView, ViewRecords};
pub use wal::{BatchPart, Stats, Wal};
