//! The seam between laminar's storage crates and the operating system.
//!
//! Everything that a machine provides and that a test must be able to replace stands here: files and directories
//! ([`Vfs`], [`VfsFile`]), time ([`Clock`]), random ids ([`Random`]) and background work ([`Spawn`], [`Job`]).
//! An [`Env`] bundles one of each; [`Env::real`] is this machine. With the feature `sim`, `sim::SimDisk` is a
//! disk in memory that keeps what was synced apart from what was only written, crashes into any legal state from
//! a seed, and fails on request, so that you can crash-test your own code as we test ours.
//!
//! The traits are few and dynamic (`Arc<dyn Vfs>`): a virtual call costs about a nanosecond, the cheapest system
//! call behind it several hundred.
//!
//! ```
//! use laminar_vfs::{Env, OpenMode, publish};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let dir = scratch.path();
//! let env = Env::real();
//! // A file that is there whole, or not at all, whatever happens meanwhile.
//! publish(&*env.vfs, &dir.join("greeting"), b"hello")?;
//! let file = env.vfs.open(&dir.join("greeting"), OpenMode::Read)?;
//! assert_eq!(file.len()?, 5);
//! # Ok(())
//! # }
//! ```
//!
//! What this crate leaves out on purpose: any notion of what the bytes in a file mean, configuration, and executors; a
//! [`Completion`] can be awaited on any of them.

mod completion;
mod env;
mod error;
mod job;
mod pages;
mod planted;
mod prefetch;
mod publish;
mod real;
mod region;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(laminar_model)]
pub mod sync;
#[cfg(not(laminar_model))]
mod sync;
mod tree;
mod vfs;

pub use completion::{Completer, Completion, completion};
pub use env::{Clock, Env, Random};
pub use error::{Error, Op, Result};
pub use job::{Inline, Job, Spawn, Step, Threads, Worker, panic_message};
pub use pages::{PageSource, Pages};
#[cfg(feature = "planted")]
#[doc(hidden)]
pub use planted::plant;
#[doc(hidden)]
pub use planted::planted;
pub use prefetch::prefetch;
pub use publish::{TEMPORARY_SUFFIX, create_dir_durable, is_temporary, publish, temporary_name};
pub use real::{RealClock, RealDisk, RealRandom};
pub use region::{ReadMode, Region};
pub use tree::{kind_of_name, remove_tree};
pub use vfs::{DirEntry, Kind, Lock, OpenMode, Vfs, VfsFile};
