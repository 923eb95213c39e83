//! A history that goes on over the deaths of many processes: what each commit changes is a function of the seed, of the round in
//! which it was made and of its number, so that whoever knows these knows the whole state after any commit.
//!
//! [`work`] is the process that is going to be killed: it opens the store, tells what it found, goes on from there, and tells of each
//! thing that it does before and after. [`Ledger`] is the side that survives: it reads what was told, and holds the next
//! process's state against it. Starting and killing is left to the caller (`cargo xtask fault --kill`).

mod event;
mod full;
mod history;
mod ledger;
mod work;

pub use event::Event;
pub use full::{FullDisk, FullMachine, SimMachine, fill_disk};
pub use ledger::{Ledger, Place};
pub use work::work;
