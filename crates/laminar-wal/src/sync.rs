//! Every lock, atomic and shared pointer of this crate is imported from here, so that a model checker can replace them.

#[cfg(laminar_model)]
pub(crate) use laminar_vfs::sync::{
    AtomicU8, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, thread::yield_now,
};
#[cfg(not(laminar_model))]
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, OnceLock, Weak};
#[cfg(not(laminar_model))]
pub(crate) use std::thread::yield_now;

#[cfg(not(laminar_model))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
