//! The locks and atomics of this crate, from one place, so that a model checker can stand in for them.

#[cfg(laminar_model)]
pub(crate) use laminar_vfs::sync::{AtomicU64, Mutex, Ordering};
#[cfg(not(laminar_model))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(laminar_model))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, OnceLock, Weak};
