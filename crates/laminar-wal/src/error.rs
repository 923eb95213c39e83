//! The one error of this crate, by what the caller does next.

use std::path::{Path, PathBuf};

use crate::Lsn;
use crate::sync::Arc;

/// What a call returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call on a log failed. A torn tail is not among the reasons: it is part of the [`TailReport`](crate::TailReport).
///
/// Cloned freely, since everyone who waits for one sync gets the same answer.
///
/// ```
/// use laminar_wal::{Error, Wal, WalOptions};
/// # let scratch = tempfile::tempdir().unwrap();
/// let too_small = WalOptions::new().segment_bytes(100);
/// match Wal::open(scratch.path(), too_small) {
///     Err(Error::InvalidOption { name, .. }) => assert_eq!(name, "segment_bytes"),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on the disk failed. The log goes on; the call can be made again.
    #[error(transparent)]
    Io(laminar_vfs::Error),

    /// Space ran out. Nothing that was accepted is lost: the call can be made again once space returns.
    #[error("no space left for the log")]
    NoSpace {
        /// What was tried, and what the operating system said.
        #[source]
        cause: laminar_vfs::Error,
    },

    /// A write or a sync of the log failed, or its own thread has panicked, now or earlier: nothing is acknowledged any
    /// more. Drop this log and open it again; what was acknowledged before is all there.
    #[error("the log is poisoned by an earlier failure")]
    Poisoned {
        /// The failure.
        #[source]
        cause: Arc<laminar_vfs::Error>,
    },

    /// Bytes that are known to have been durable are not what was written.
    #[error("{} is damaged at offset {offset} (log positions {from} to {to}): {reason}", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it the damage was seen, in bytes.
        offset: u64,
        /// Everything before this position is intact.
        from: Lsn,
        /// Up to here the damage may reach.
        to: Lsn,
        /// What is wrong.
        reason: &'static str,
    },

    /// A file that must exist does not.
    #[error("{} is missing (log positions {from} to {to})", path.display())]
    Missing {
        /// The missing file.
        path: PathBuf,
        /// The first position that it held.
        from: Lsn,
        /// The position where what is still there goes on, or `from` where that is not known.
        to: Lsn,
    },

    /// Something stands there that this crate did not write, or that belongs to another log.
    #[error("{} is not this log's: {why}", path.display())]
    Foreign {
        /// What stands there.
        path: PathBuf,
        /// How that shows.
        why: &'static str,
    },

    /// A file of a version that this build does not know.
    #[error("{} has format version {found}, this build reads up to {supported}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        supported: u32,
    },

    /// Another handle, in this process or another, has the log open.
    #[error("the log is open elsewhere: {} is locked", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },

    /// There is no log to open, and [`CreateMode::Never`](crate::CreateMode::Never) was asked for.
    #[error("there is no log in {}", path.display())]
    NothingThere {
        /// The directory.
        path: PathBuf,
    },

    /// There is a log already, and [`CreateMode::Only`](crate::CreateMode::Only) was asked for.
    #[error("there is a log in {} already", path.display())]
    AlreadyThere {
        /// The directory.
        path: PathBuf,
    },

    /// A record or a batch is too long.
    #[error("{bytes} bytes are too many for one record or batch, the limit is {limit}")]
    TooLarge {
        /// How long it is, with framing.
        bytes: u64,
        /// How long it may be.
        limit: u64,
    },

    /// An option is out of its range.
    #[error("option {name}: {why}")]
    InvalidOption {
        /// The setter's name.
        name: &'static str,
        /// What it must be.
        why: &'static str,
    },

    /// A position at which this log has nothing to say: below its start, past its end, or inside a record.
    #[error("position {lsn} is not in the log from {start} to {end}, or not where a record starts or ends")]
    BadPosition {
        /// The position asked for.
        lsn: Lsn,
        /// The first position that the log still holds.
        start: Lsn,
        /// The last position that may be asked for.
        end: Lsn,
    },

    /// The log was closed by [`Wal::close`](crate::Wal::close).
    #[error("the log is closed")]
    Closed,
}

impl Error {
    /// Whether the log acknowledges nothing any more and must be opened again.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        matches!(self, Self::Poisoned { .. })
    }

    /// Whether the same call can succeed once space returns.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    /// Whether durable bytes are damaged or gone: [`RecoverTo::LastGood`](crate::RecoverTo::LastGood) is the way out.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Missing { .. })
    }

    pub(crate) fn poisoned(cause: &Arc<laminar_vfs::Error>) -> Self {
        Self::Poisoned { cause: Arc::clone(cause) }
    }

    pub(crate) fn foreign(path: &Path, why: &'static str) -> Self {
        Self::Foreign { path: path.to_owned(), why }
    }
}

impl From<laminar_vfs::Error> for Error {
    fn from(error: laminar_vfs::Error) -> Self {
        if error.is_no_space() {
            Self::NoSpace { cause: error }
        } else if error.is_locked() {
            Self::Locked { path: error.path().to_owned() }
        } else {
            Self::Io(error)
        }
    }
}
