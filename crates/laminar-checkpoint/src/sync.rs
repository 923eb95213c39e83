//! The locks and atomics of this crate, from one place, so that a model checker can stand in for them.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, OnceLock, Weak};
