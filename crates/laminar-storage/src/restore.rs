//! A store from a checkpoint: a backup, a savepoint, a look back in time.

use std::path::Path;

use laminar_checkpoint::{Checkpoint, CheckpointManager, Meta, Run, Verify};
use laminar_vfs::OpenMode;
use laminar_wal::{CreateMode, Lsn, RecoverTo, Wal};

use crate::format::Identity;
use crate::identity::{self, Place};
use crate::name::{CHECKPOINTS_DIR, WAL_DIR};
use crate::recover::{checkpoint_options, fresh_identity, log_options, open_checkpoints};
use crate::{Error, Result, StoreOptions, WalStateStore};

/// Makes a new store in `new_dir` out of the checkpoint in the directory `checkpoint`, which is read and checked whole first and
/// stays as it is. The new store has an identity and a log of its own, which begins at the checkpoint's position. Open it with
/// [`WalStateStore::open`](crate::WalStateStore::open).
///
/// Runs are hard-linked where both lie on one file system, and copied otherwise.
///
/// # Errors
/// [`Error::Foreign`] where there is something in `new_dir` already, other than just what this restore makes; damage of the checkpoint; what
/// writing can fail with. A restore that failed or was cut off is to be repeated; once its marker is durable, the directory
/// opens either with all of the checkpoint's state, or as [`Error::RestoreInterrupted`].
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
    let is_there = identity::survey(&*env.vfs, dir)? == Place::Store;
    let mut identity = fresh_identity(&options);
    let source = Checkpoint::open(source, &checkpoint_options(&options, identity).lineage(0).verify(Verify::All))?;
    if is_there {
        return end_again(&source, dir, options);
    }
    if let Some(run) = source.runs().first() {
        // Runs keep the hash they were written with, and a store has one for all.
        identity = Identity { hash_seed: run.hash_seed(), ..identity };
    }
    let _lock = identity::begin_restore(&env, dir)?;
    let position = Lsn::new(source.wal_position());
    let (wal, _) = Wal::open(dir.join(WAL_DIR), log_options(&options, identity, CreateMode::Only).start(position))?;
    drop(wal);
    let manager = CheckpointManager::open(dir.join(CHECKPOINTS_DIR), checkpoint_options(&options, identity))?;
    let mut draft = manager.draft()?;
    for run in source.runs() {
        draft.link_run(run)?;
        // Whoever brought the files here may not have waited for the disk.
        env.vfs.open(run.path(), OpenMode::Read)?.sync_data()?;
    }
    draft.publish(Meta::new(position.get()).source_offsets(source.source_offsets().clone()))?;
    identity::end_creation(&*env.vfs, dir, identity)
}

/// Ends a restore that was cut off after it had published the identity. Whether its marker is still there does not tell: it may be gone
/// already, or have come back to a store that is in use. So the store has to be just what the checkpoint says, and is opened: that makes
/// what it shows durable. It may be in use all the same, its newest checkpoint still the restored one: it is opened as the store that it
/// is, nothing of its log is given up, and all of the copy is read.
fn end_again(source: &Checkpoint, dir: &Path, options: StoreOptions) -> Result<()> {
    let there_already = || Error::Foreign { path: dir.to_owned(), why: "there is a store already" };
    let (identity, _) = identity::read(&*options.env.vfs, dir)?;
    let newest = open_checkpoints(dir, &options, identity)?.open_newest_valid()?.checkpoint;
    // Before the store is opened, so that one with another checkpoint is not even touched.
    if !newest.is_some_and(|newest| is_same(source, &newest)) {
        return Err(there_already());
    }
    let options = StoreOptions { memory_budget: None, ..options.recover_to(RecoverTo::Whole).verify(Verify::All) };
    let (store, _) = WalStateStore::open(dir, options)?;
    let is_unused = store.committed.get() == source.wal_position();
    if is_unused && store.attached.as_ref().is_some_and(|attached| is_same(source, attached)) {
        Ok(())
    } else {
        Err(there_already())
    }
}

/// Whether a checkpoint is a restored copy of `source`: the ids of runs are random, and copied along.
fn is_same(source: &Checkpoint, copy: &Checkpoint) -> bool {
    copy.wal_position() == source.wal_position()
        && copy.source_offsets() == source.source_offsets()
        && copy.runs().iter().map(Run::id).eq(source.runs().iter().map(Run::id))
}
