//! Which entries a merge keeps: those of operators that still have their namespace.

use std::collections::HashSet;
use std::ops::Bound;

use laminar_checkpoint::Checkpoint;

use crate::Result;
use crate::catalogue::CATALOGUE_ID;
use crate::keyspace::{namespace_of, namespace_range};

/// The namespaces that a checkpoint's own catalogue names. Decided by the checkpoint alone, so that a clear which
/// is not in it, and might yet be lost, drops nothing.
#[derive(Debug)]
pub(crate) struct LiveKeys(HashSet<u32>);

impl LiveKeys {
    pub(crate) fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let (lower, upper) = namespace_range(CATALOGUE_ID, Bound::Unbounded, Bound::Unbounded);
        let mut live = HashSet::from([CATALOGUE_ID]);
        for entry in checkpoint.range(crate::read::as_slice(&lower), crate::read::as_slice(&upper)) {
            let (_, value) = entry?;
            if let Ok(namespace) = value.try_into() {
                live.insert(u32::from_le_bytes(namespace));
            }
        }
        Ok(Self(live))
    }

    /// Whether the entry under a full key is part of the state.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        namespace_of(key).is_some_and(|namespace| self.0.contains(&namespace))
    }
}
