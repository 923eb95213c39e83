//! A store from a checkpoint: a backup, a savepoint, a look back in time.

use std::path::Path;

use laminar_checkpoint::{Checkpoint, CheckpointManager, Meta, Verify};
use laminar_wal::{CreateMode, Lsn, Wal};

use crate::format::Identity;
use crate::identity::{self, Place};
use crate::name::{CHECKPOINTS_DIR, WAL_DIR};
use crate::recover::{checkpoint_options, fresh_identity, log_options};
use crate::{Error, Result, StoreOptions};

/// Makes a new store in `new_dir` out of the checkpoint in the directory `checkpoint`, which is read and checked whole first and
/// stays as it is. The new store has an identity and a log of its own, which begins at the checkpoint's position. Open it with
/// [`WalStateStore::open`](crate::WalStateStore::open).
///
/// Runs are hard-linked where both lie on one file system, and copied otherwise.
///
/// # Errors
/// [`Error::Foreign`] where there is something in `new_dir` already; damage of the checkpoint; what writing can fail with. A
/// restore that failed is begun again by the next one.
///
/// ```
/// use laminar_storage::{StateStore, StoreOptions, WalStateStore, restore};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let (dir, backup, again) = (scratch.path().join("a"), scratch.path().join("b"), scratch.path().join("c"));
/// let (mut store, _) = WalStateStore::open(&dir, StoreOptions::new())?;
/// store.put(b"key", b"value")?;
/// store.commit()?;
/// let checkpoint = store.export(&backup)?;
///
/// restore(checkpoint.state_path(), &again, StoreOptions::new())?;
/// let (restored, _) = WalStateStore::open(&again, StoreOptions::new())?;
/// assert_eq!(restored.get(b"key")?, Some(&b"value"[..]));
/// # Ok::<(), laminar_storage::Error>(())
/// ```
pub fn restore(checkpoint: impl AsRef<Path>, new_dir: impl AsRef<Path>, options: StoreOptions) -> Result<()> {
    options.check()?;
    let (source, dir) = (checkpoint.as_ref(), new_dir.as_ref());
    let env = options.env.clone();
    if identity::survey(&*env.vfs, dir)? == Place::Store {
        return Err(Error::Foreign { path: dir.to_owned(), why: "there is a store already" });
    }
    let mut identity = fresh_identity(&options);
    let source = Checkpoint::open(source, &checkpoint_options(&options, identity).lineage(0).verify(Verify::All))?;
    if let Some(run) = source.runs().first() {
        // Runs keep the hash they were written with, and a store has one for all.
        identity = Identity { hash_seed: run.hash_seed(), ..identity };
    }
    let _lock = identity::begin_creation(&env, dir)?;
    let position = Lsn::new(source.wal_position());
    let (wal, _) = Wal::open(dir.join(WAL_DIR), log_options(&options, identity, CreateMode::Only).start(position))?;
    drop(wal);
    let manager = CheckpointManager::open(dir.join(CHECKPOINTS_DIR), checkpoint_options(&options, identity))?;
    let mut draft = manager.draft()?;
    for run in source.runs() {
        draft.link_run(run)?;
    }
    draft.publish(Meta::new(position.get()).source_offsets(source.source_offsets().clone()))?;
    identity::end_creation(&*env.vfs, dir, identity)
}
