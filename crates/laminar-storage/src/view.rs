//! Reading a checkpoint of a store by operator: from another thread, from another process, or back in time.

use std::path::{Path, PathBuf};

use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions};

use crate::catalogue::Catalogue;
use crate::identity::{self, Place};
use crate::name::CHECKPOINTS_DIR;
use crate::operator::OperatorView;
use crate::read::Layers;
use crate::recover::{open_checkpoints, read_catalogue};
use crate::table::Table;
use crate::{Error, Result, StoreOptions};

/// A checkpoint of a store, read in place by operator: immutable, consistent, and at no cost to the owner of the store.
///
/// It takes no lock and changes nothing, so it works beside the owner, in its process or in another. Every file is opened before
/// this returns: a checkpoint that the owner retires later stays readable here. It can be shared by threads.
///
/// ```
/// use laminar_storage::{CheckpointView, StateStore, StoreOptions, WalStateStore};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let dir = scratch.path().join("state");
/// let (mut store, _) = WalStateStore::open(&dir, StoreOptions::new())?;
/// store.operator("sums")?.put(b"a", b"1")?;
/// store.commit()?;
/// store.checkpoint()?.wait()?;
/// store.operator("sums")?.put(b"a", b"2")?;
///
/// let view = CheckpointView::newest(&dir, StoreOptions::new())?.unwrap();
/// let sums = view.operator("sums").unwrap();
/// assert_eq!(sums.get(b"a")?, Some(&b"1"[..]));
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug)]
pub struct CheckpointView {
    checkpoint: Checkpoint,
    catalogue: Catalogue,
    /// Always empty; the layer above the checkpoint that reads go through.
    table: Table,
}

impl CheckpointView {
    /// Opens the checkpoint in the directory `checkpoint`: one of a store's, an export, a copy. Of the options, the environment,
    /// [`read_mode`](StoreOptions::read_mode) and [`verify`](StoreOptions::verify) are used.
    ///
    /// # Errors
    /// Damage beyond repair, a checkpoint that is not a store's, or those of the disk.
    pub fn open(checkpoint: impl AsRef<Path>, options: StoreOptions) -> Result<Self> {
        options.check()?;
        // Neither lineage nor seed of the hash are asked for: the checkpoint tells both.
        let options = CheckpointOptions::new().env(options.env).read_mode(options.read_mode).verify(options.verify);
        Self::new(Checkpoint::open(checkpoint, &options)?)
    }

    /// Opens the newest valid checkpoint of the store in `dir`, which may be in use; `None` if it has made none yet. Options as
    /// for [`open`](Self::open).
    ///
    /// # Errors
    /// [`Error::Foreign`] where there is no store; [`Error::Missing`] where it has lost its checkpoints; what is wrong with the newest where none is
    /// valid; those of the disk.
    pub fn newest(dir: impl AsRef<Path>, options: StoreOptions) -> Result<Option<Self>> {
        let opened = Self::manager(dir.as_ref(), options)?.open_newest_valid()?;
        match (opened.checkpoint, opened.passed_over.into_iter().next()) {
            (Some(checkpoint), _) => Self::new(checkpoint).map(Some),
            (None, Some(passed_over)) => Err(passed_over.reason.into()),
            (None, None) => Ok(None),
        }
    }

    /// The directories of all checkpoints that the store in `dir` retains, which may be in use, in ascending order of their ids. Each
    /// can be opened with [`open`](Self::open), until the store retires it. Options as there.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    pub fn list(dir: impl AsRef<Path>, options: StoreOptions) -> Result<Vec<PathBuf>> {
        Ok(Self::manager(dir.as_ref(), options)?.list()?.into_iter().map(|found| found.path).collect())
    }

    fn manager(dir: &Path, options: StoreOptions) -> Result<CheckpointManager> {
        options.check()?;
        let vfs = &*options.env.vfs;
        if identity::survey(vfs, dir)? != Place::Store {
            return Err(Error::Foreign { path: dir.to_owned(), why: "there is no store" });
        }
        let (identity, _) = identity::read(vfs, dir)?;
        let path = dir.join(CHECKPOINTS_DIR);
        if vfs.kind(&path)?.is_none() {
            return Err(Error::Missing { path });
        }
        // A reader makes nothing, the directory least of all, and nothing durable: that is for the owner to do.
        open_checkpoints(dir, &options, identity)
    }

    fn new(checkpoint: Checkpoint) -> Result<Self> {
        let table = Table::new(checkpoint.hash_seed());
        let layers = Layers { table: &table, attached: Some(&checkpoint) };
        let catalogue = read_catalogue(checkpoint.state_path(), layers)?;
        Ok(Self { checkpoint, catalogue, table })
    }

    /// The state of an operator as of this checkpoint; `None` if it had none of this name. The store's own key space has the empty name.
    #[must_use]
    pub fn operator(&self, name: &str) -> Option<OperatorView<'_>> {
        let namespace = self.catalogue.namespace(self.catalogue.find(name)?)?;
        Some(OperatorView::new(Layers { table: &self.table, attached: Some(&self.checkpoint) }, namespace))
    }

    /// The names of all operators, in their order.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.catalogue.names()
    }

    /// The checkpoint itself: its id, source offsets, position in the log, files, and what was healed.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}
