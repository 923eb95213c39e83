//! Where this crate's locks, atomics and threads come from, so that a model checker can take their place: with `--cfg laminar_model`
//! in `RUSTFLAGS` they are those of `shuttle`, here and in the crates above (see `laminar-sim`'s `interleavings`).

#[cfg(laminar_model)]
mod model;
#[cfg(laminar_model)]
pub use model::*;

#[cfg(all(feature = "sim", not(laminar_model)))]
pub(crate) use std::sync::atomic::AtomicU64;
#[cfg(not(laminar_model))]
pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(laminar_model))]
pub(crate) use std::thread::{self, park_timeout};

#[cfg(not(laminar_model))]
pub(crate) use parking_lot::{Condvar, Mutex};
