//! Who deletes: old checkpoints first, then the log that no retained checkpoint needs.

use laminar_checkpoint::CheckpointManager;
use laminar_vfs::planted;
use laminar_wal::{Lsn, Wal};

use crate::Result;

/// Removes all but the `keep` newest checkpoints, then the log below the oldest of those. Called only after this process
/// has published a checkpoint with every sync successful.
///
/// As long as there are fewer than `keep`, the log is kept whole: its beginning stands in for the checkpoint that is missing,
/// so that damage to the newest is never the end.
pub(crate) fn retire(manager: &CheckpointManager, wal: &Wal, keep: usize) -> Result<()> {
    manager.cleanup_old(keep)?;
    let mut positions: Vec<u64> = Vec::new();
    for info in manager.list()? {
        // One that can't be read protects nothing, and is not counted as one of those kept; nor is one that the opening of the
        // store passed over, which can look whole from here.
        if !manager.is_condemned(info.id)
            && let Ok(checkpoint) = manager.get(info.id)
        {
            positions.push(checkpoint.wal_position());
        }
    }
    positions.sort_unstable_by(|a, b| b.cmp(a));
    if let Some(&oldest) = positions.get(if planted("log-trimmed-to-newest") { 0 } else { keep - 1 }) {
        wal.truncate_below(Lsn::new(oldest))?;
    }
    Ok(())
}
