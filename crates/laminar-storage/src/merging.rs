//! Which entries a merge keeps: those of operators that still have their namespace.

use std::collections::HashSet;
use std::ops::Bound;

use laminar_checkpoint::Checkpoint;
use laminar_vfs::planted;

use crate::Result;
use crate::catalogue::CATALOGUE;
use crate::keyspace::Namespace;
use crate::read::as_slice;

/// The namespaces that a checkpoint's own catalogue names. Decided by the checkpoint alone, so that a clear which
/// is not in it, and might yet be lost, drops nothing.
#[derive(Debug)]
pub(crate) struct LiveKeys(HashSet<Namespace>);

impl LiveKeys {
    pub(crate) fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let (lower, upper) = CATALOGUE.range((Bound::Unbounded, Bound::Unbounded));
        let mut live = HashSet::from([CATALOGUE]);
        for entry in checkpoint.range((as_slice(&lower), as_slice(&upper))) {
            let (_, value) = entry?;
            if let Ok(namespace) = value.try_into() {
                live.insert(Namespace(u32::from_le_bytes(namespace)));
            }
        }
        Ok(Self(live))
    }

    /// Whether the entry under a full key is part of the state.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let is_live =
            |namespace| self.0.contains(&namespace) && (namespace != CATALOGUE || !planted("merge-drops-catalogue"));
        Namespace::of(key).is_some_and(is_live)
    }
}
