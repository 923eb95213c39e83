//! Every lock, atomic and shared pointer of this crate is imported from here, so that a model checker can replace them.

pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, OnceLock, Weak};

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
