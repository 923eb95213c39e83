//! Atomic, incremental, zero-copy checkpoints of sorted state and of rkyv archives.
//!
//! A checkpoint is a directory that is there whole or not at all. It holds sorted entries (byte strings, key and value) in
//! *runs*, and any [`rkyv::Archive`] values as named *sections*; both are read in place, out of a mapped file. A new
//! checkpoint writes what changed since the last one and shares the rest with it by hard link.
//!
//! What is promised:
//! - **All or nothing**, at every crash point: a directory of checkpoints holds the old ones, or the old ones and the new.
//! - **Opening costs the same at any size**: a MANIFEST, and a header and footer a run.
//! - **No byte is served unverified.** Blocks carry checksums that name their place; each is checked when it is touched first.
//! - **One damaged block is made good** from parity, and reported; what is more than that is a typed error which
//!   names the keys, and all others stay readable. A checkpoint that does not verify is passed over for an older one.
//! - **Nothing in use goes away**: cleaning up leaves alone what a handle uses, and counts only valid checkpoints as kept.
//!
//! ```
//! use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let dir = scratch.path();
//! let manager = CheckpointManager::open(dir, CheckpointOptions::new())?;
//! let monday = manager.create(Create::new(100).entries([("apples", Some("3")), ("pears", Some("5"))]))?;
//! let tuesday = manager.create(Create::new(200).base(&monday).entries([("apples", None), ("plums", Some("9"))]))?;
//! assert_eq!(tuesday.get(b"plums")?, Some(&b"9"[..]));
//! assert_eq!(tuesday.get(b"pears")?, Some(&b"5"[..]));
//! assert_eq!(tuesday.get(b"apples")?, None);
//! assert_eq!(monday.get(b"apples")?, Some(&b"3"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! What this crate leaves out on purpose: logs (a position is any number that never goes back), types of keys and
//! values, and the decision when to make a checkpoint.
#![forbid(unsafe_code)]

mod archive;
mod catalog;
mod checkpoint;
mod checkpoints;
mod create;
mod draft;
mod error;
mod filter;
pub mod format;
mod hash;
mod merge;
mod name;
mod options;
mod output;
mod report;
mod retain;
mod run;
mod scan;
mod section;
mod sync;
mod verify;

pub use archive::{FromArchive, ToSection, archived};
pub use catalog::{CheckpointInfo, Opened, PassedOver};
pub use checkpoint::{Checkpoint, CheckpointStats};
pub use checkpoints::CheckpointManager;
pub use create::Create;
pub use draft::{Draft, Meta};
pub use error::{Error, LostBlock, Reason, Result};
pub use hash::{SPACE_BYTES, hash_key, hash_parts};
pub use laminar_vfs::{Env, ReadMode};
pub use merge::{Keep, MergeJob, MergePlan, MergedRun};
pub use options::{CheckpointOptions, Verify};
pub use report::{Healed, Part};
pub use retain::Cleanup;
pub use run::{FinishedRun, Found, Run, RunIter, RunWriter};
pub use scan::Scan;
pub use verify::{Damage, Progress, VerifyReport};
