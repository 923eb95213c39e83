//! Where this crate's locks and atomics come from, so that a model checker can take their place.

pub(crate) use parking_lot::{Condvar, Mutex};
