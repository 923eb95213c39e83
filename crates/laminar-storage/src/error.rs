//! What can go wrong with a store.

use std::path::PathBuf;

/// What a call returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call on a store. Cheap to clone, since everyone who waits for the same commit or checkpoint gets it.
///
/// What to do next: see the predicates. After [`is_poisoned`](Self::is_poisoned) drop the store and open it again; after
/// [`is_no_space`](Self::is_no_space) free space and call again; after [`is_corrupt`](Self::is_corrupt) restore a backup,
/// or open with `RecoverTo::LastGood`.
///
/// ```
/// use laminar_storage::{StateStore, StoreOptions, WalStateStore};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let dir = scratch.path();
/// let (_owner, _) = WalStateStore::open(dir.join("state"), StoreOptions::new()).unwrap();
/// let error = WalStateStore::open(dir.join("state"), StoreOptions::new()).unwrap_err();
/// assert!(error.is_locked());
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk refused an operation.
    #[error(transparent)]
    Io(#[from] laminar_vfs::Error),
    /// The log. That it is closed, or of a later version, is [`Closed`](Self::Closed) and [`Version`](Self::Version).
    #[error(transparent)]
    Log(laminar_wal::Error),
    /// A checkpoint. That it is of a later version is [`Version`](Self::Version).
    #[error(transparent)]
    Checkpoint(laminar_checkpoint::Error),
    /// Bytes that are not what was written.
    #[error("{} is corrupt at {offset}: {reason}", path.display())]
    Corrupt {
        /// The damaged file, or the log's directory.
        path: PathBuf,
        /// Offset in the file, or LSN in the log.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A directory that is no store of ours. Nothing in it was changed.
    #[error("{} is not a store: {why}", path.display())]
    Foreign {
        /// The directory or file.
        path: PathBuf,
        /// What was found instead.
        why: &'static str,
    },
    /// A store whose identity or directory is gone while other parts are there. Nothing was changed.
    #[error("{} is missing, though other files of the store are there", path.display())]
    Missing {
        /// What is missing.
        path: PathBuf,
    },
    /// A directory that a [`restore`](crate::restore()) was making when it failed or was cut off: repeat the restore.
    #[error("the restore into {} was interrupted: repeat it", path.display())]
    RestoreInterrupted {
        /// The directory.
        path: PathBuf,
    },
    /// A file of a later version of this library. Nothing was changed.
    #[error("{} has format version {found}, this library reads up to {supported}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that can be read.
        supported: u32,
    },
    /// Another handle, in this process or another, has the store open.
    #[error("the store {} is open elsewhere", path.display())]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// No checkpoint can be used and the log does not reach back to the beginning.
    #[error("no usable checkpoint in {}, and the log begins at {log_start}: {reasons}", path.display())]
    NoCheckpoint {
        /// The directory of the checkpoints.
        path: PathBuf,
        /// The first LSN of the log.
        log_start: u64,
        /// Why each checkpoint was passed over.
        reasons: String,
    },
    /// A key, value or name beyond its limit. Nothing changed.
    #[error("a {what} of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// `key`, `value`, `name`, `key or value`, or `set of source offsets`.
        what: &'static str,
        /// Its size in bytes.
        bytes: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// The table would grow beyond its limit. Nothing changed. Where there is a [memory budget](crate::StoreOptions::memory_budget), commit, wait for a
    /// [checkpoint](crate::WalStateStore::checkpoint), commit, and make the call again; else there are more keys than the [limit](crate::StoreOptions::table_limit_bytes) has room for.
    #[error("no room for {bytes} bytes more in a table of at most {limit}")]
    TableFull {
        /// What it takes.
        bytes: u64,
        /// The most that all entries may take.
        limit: u64,
    },
    /// All of the four billion key spaces have been given out, one for each operator and each clear: there can be no more of either. Nothing changed.
    #[error("no key space is left for an operator or a clear")]
    NamespacesUsedUp,
    /// An option out of its range.
    #[error("the option {name} is invalid: {why}")]
    InvalidOption {
        /// The option.
        name: &'static str,
        /// Its range.
        why: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The store was closed or dropped before the work was done.
    #[error("the store was closed before the checkpoint was done")]
    Abandoned,
    /// The making of checkpoints has panicked: a bug. This store makes no more of them, and merges nothing; commits and reads go on.
    /// Opened again it tries again.
    #[error("the making of checkpoints has panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

impl From<laminar_wal::Error> for Error {
    fn from(error: laminar_wal::Error) -> Self {
        match error {
            laminar_wal::Error::Closed => Self::Closed,
            laminar_wal::Error::Version { path, found, supported } => Self::Version { path, found, supported },
            error => Self::Log(error),
        }
    }
}

impl From<laminar_checkpoint::Error> for Error {
    fn from(error: laminar_checkpoint::Error) -> Self {
        match error {
            laminar_checkpoint::Error::Version { path, found, supported } => Self::Version { path, found, supported },
            error => Self::Checkpoint(error),
        }
    }
}

/// Refuses what is larger than its limit.
pub(crate) fn check(what: &'static str, bytes: usize, limit_bytes: usize) -> Result<()> {
    let (bytes, limit) = (bytes as u64, limit_bytes as u64);
    if bytes > limit { Err(Error::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

impl Error {
    /// Whether a failed sync has ended this handle for good: drop it and open the store again.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        matches!(self, Self::Log(error) if error.is_poisoned())
    }

    /// Whether space ran out: nothing was acknowledged, nothing is lost, the call can be made again.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Io(error) => error.is_no_space(),
            Self::Log(error) => error.is_no_space(),
            Self::Checkpoint(error) => error.is_no_space(),
            _ => false,
        }
    }

    /// Whether somebody else has the store open.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(
            self,
            Self::Locked { .. }
                | Self::Log(laminar_wal::Error::Locked { .. })
                | Self::Checkpoint(laminar_checkpoint::Error::Locked { .. })
        )
    }

    /// Whether bytes on disk are not what was written, or are gone.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Missing { .. } | Self::NoCheckpoint { .. } => true,
            Self::Log(error) => error.is_corrupt(),
            Self::Checkpoint(error) => error.is_damage(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_asks_for_has_one_name_whichever_layer_says_it() {
        let path = PathBuf::from("file");
        let log = laminar_wal::Error::Version { path: path.clone(), found: 2, supported: 1 };
        let checkpoint = laminar_checkpoint::Error::Version { path, found: 2, supported: 1 };
        for error in [Error::from(log), Error::from(checkpoint)] {
            assert!(
                matches!(&error, Error::Version { path, found: 2, supported: 1 } if path.ends_with("file")),
                "{error}"
            );
        }
        assert!(matches!(Error::from(laminar_wal::Error::Closed), Error::Closed));
    }
}
