//! Where this crate's locks and atomics come from, so that a model checker can take their place.

#[cfg(feature = "sim")]
pub(crate) use std::sync::atomic::AtomicU64;
pub(crate) use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use parking_lot::{Condvar, Mutex};
