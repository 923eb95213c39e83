//! The log's directory and the machine it is on: what every part needs to touch a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use laminar_vfs::{Env, OpenMode, Vfs, VfsFile, publish};

use crate::format::Identity;
use crate::sync::{Arc, Mutex, MutexGuard};
use crate::{Result, name};

/// A log's directory.
#[derive(Debug, Clone)]
pub(crate) struct Dir {
    pub(crate) env: Env,
    pub(crate) path: PathBuf,
    /// Whether segments are filled with zeros when they are made.
    pub(crate) zero_filled: bool,
    naming: Arc<Mutex<()>>,
}

impl Dir {
    pub(crate) fn new(env: Env, path: PathBuf, zero_filled: bool) -> Self {
        Self { env, path, zero_filled, naming: Arc::default() }
    }

    /// To be held from before a name is changed until a sync of the directory has told whether that is durable: a sync that fails loses the changes of all threads, and
    /// another's that succeeds after it would vouch for them.
    pub(crate) fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock()
    }

    pub(crate) fn vfs(&self) -> &dyn Vfs {
        &*self.env.vfs
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        name::join(&self.path, name)
    }

    /// A generation: random, never 0.
    #[expect(clippy::cast_possible_truncation, reason = "64 of 128 random bits")]
    pub(crate) fn generation(&self) -> u64 {
        let id = self.env.random.id();
        ((id as u64) ^ ((id >> 64) as u64)).max(1)
    }

    /// An empty file at `path`, in place of one that may be there.
    pub(crate) fn create_over(&self, path: &Path) -> laminar_vfs::Result<Arc<dyn VfsFile>> {
        match self.vfs().open(path, OpenMode::CreateNew) {
            Err(error) if error.is_already_there() => {
                self.vfs().remove_file(path)?;
                self.vfs().open(path, OpenMode::CreateNew)
            }
            opened => opened,
        }
    }

    /// Removes a file that may have gone already; returns whether it was there.
    pub(crate) fn remove_if_there(&self, path: &Path) -> laminar_vfs::Result<bool> {
        match self.vfs().remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn publish_identity(&self, identity: &Identity) -> Result<()> {
        Ok(self.publish(name::IDENTITY, &identity.file())?)
    }

    /// Puts a small file in place of one that may be there; it is durable when this returns.
    pub(crate) fn publish(&self, name: &str, bytes: &[u8]) -> laminar_vfs::Result<()> {
        let _naming = self.naming();
        publish(self.vfs(), &self.join(name), bytes)
    }

    /// The names in the directory, in order.
    pub(crate) fn names(&self) -> laminar_vfs::Result<Vec<OsString>> {
        Ok(self.vfs().list(&self.path)?.into_iter().map(|entry| entry.name).collect())
    }
}
