//! Every lock and atomic of this crate comes from here, so that a model checker can take their place.

pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

pub(crate) use parking_lot::Mutex;
