//! Every lock and atomic of this crate comes from here, so that a model checker can take their place.

#[cfg(laminar_model)]
pub(crate) use laminar_vfs::sync::{AtomicU8, AtomicU64, Mutex, Ordering};
#[cfg(not(laminar_model))]
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

pub(crate) use std::sync::OnceLock;

#[cfg(not(laminar_model))]
pub(crate) use parking_lot::Mutex;
