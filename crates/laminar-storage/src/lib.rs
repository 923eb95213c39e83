//! Under construction in the commits that follow.

#![forbid(unsafe_code)]

mod error;
mod keyspace;
mod memory;
mod state;
pub mod table;

pub use error::{Error, Result};
pub use memory::MemoryStateStore;
pub use state::{Scan, StateStore};
