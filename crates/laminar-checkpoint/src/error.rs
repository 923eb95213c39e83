//! The one error of this crate.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::format::Fault;

/// What a call returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, with the path it went wrong on.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Error};
/// # let scratch = tempfile::tempdir()?;
/// let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// assert!(matches!(manager.cleanup_old(0), Err(Error::InvalidOption { name: "keep", .. })));
/// assert!(manager.get(7).unwrap_err().to_string().contains("checkpoint 7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk, or the system, said no.
    #[error(transparent)]
    Io(#[from] laminar_vfs::Error),
    /// Bytes on disk are not what was written there.
    #[error("{path} is damaged at offset {offset}: {detail}{}", Range(block.as_deref()))]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What kind of damage.
        reason: Reason,
        /// What was expected there.
        detail: &'static str,
        /// Which entries are lost, where the damage is a block of a run.
        block: Option<Box<LostBlock>>,
    },
    /// A file that must be there is not.
    #[error("{path} is missing")]
    Missing {
        /// The missing file.
        path: PathBuf,
    },
    /// A file that is not ours, or not of this store.
    #[error("{path} is foreign: {why}")]
    Foreign {
        /// The file or directory.
        path: PathBuf,
        /// How that shows.
        why: &'static str,
    },
    /// A file of a version that this program does not know.
    #[error("{path} has format version {found}, this program reads up to {supported}")]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it states.
        found: u32,
        /// The newest version that can be read.
        supported: u32,
    },
    /// Somebody else is creating or cleaning in this directory.
    #[error("{path} is locked by another owner")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Entries were not given in strictly ascending order of their keys.
    #[error("entries must ascend strictly by key: {key} after {previous}")]
    Unsorted {
        /// The start of the key before, in hexadecimal.
        previous: String,
        /// The start of the key that is not above it, in hexadecimal.
        key: String,
    },
    /// Something is bigger than the format allows.
    #[error("{what} of {bytes} bytes is larger than {limit_bytes}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        limit_bytes: u64,
    },
    /// An argument or a setting that makes no sense here.
    #[error("`{name}` can't be used so: {why}")]
    InvalidOption {
        /// Which one.
        name: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// There is no checkpoint, or no section, of that name.
    #[error("there is no {what} in {path}")]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
        /// What was looked for.
        what: String,
    },
    /// Bytes are not a valid archive of the type asked for.
    #[error("not an archive of `{type_name}`: {detail}")]
    WrongType {
        /// The type asked for.
        type_name: &'static str,
        /// What does not fit.
        detail: String,
    },
    /// The worker that should have done it is gone.
    #[error("the work was abandoned before it was done")]
    Abandoned,
}

/// What kind of damage was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A checksum does not match.
    Checksum,
    /// A file or a field is longer or shorter than it must be.
    Length,
    /// Bytes that must be zero are not.
    Reserved,
    /// The checksum matches, but what it covers makes no sense.
    Structure,
    /// Two files, or two parts of one, contradict each other.
    Mismatch,
    /// A block of a run, beyond what its chapter's parity can rebuild.
    Block,
}

/// A block of a run that can't be read and can't be rebuilt. Entries outside of its keys stay readable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostBlock {
    /// The position at which the run begins.
    pub run_from: u64,
    /// The position just past the run.
    pub run_to: u64,
    /// The block's length in bytes.
    pub bytes: u64,
    /// What the block holds: `data`, `hash`, `heads`, `filter` or `parity`.
    pub kind: &'static str,
    /// No entry below this key is in the block.
    pub first_key: Vec<u8>,
    /// No entry above this key is in the block.
    pub last_key: Vec<u8>,
}

/// How much of a key an error message shows.
const SHOWN_KEY_BYTES: usize = 32;

/// The start of a key in hexadecimal.
pub(crate) fn shown(key: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in key.iter().take(SHOWN_KEY_BYTES) {
        text.push_str(&format!("{byte:02x}"));
    }
    if key.len() > SHOWN_KEY_BYTES {
        text.push_str("...");
    }
    text
}

struct Range<'a>(Option<&'a LostBlock>);

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(lost) => write!(
                f,
                " (a {} block of {} bytes in run {}-{}, keys {} to {})",
                lost.kind,
                lost.bytes,
                lost.run_from,
                lost.run_to,
                shown(&lost.first_key),
                shown(&lost.last_key)
            ),
        }
    }
}

impl Error {
    pub(crate) fn corrupt(path: &Path, offset: u64, reason: Reason, detail: &'static str) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, reason, detail, block: None }
    }

    /// The error for a decoding fault found at `offset` of `path`.
    pub(crate) fn fault(path: &Path, offset: u64, fault: Fault) -> Self {
        match fault {
            Fault::Foreign => Self::Foreign { path: path.to_owned(), why: "it does not begin as a file of ours does" },
            Fault::Settings => Self::Foreign {
                path: path.to_owned(),
                why: "it was written with other rkyv settings than this program's",
            },
            Fault::Version(found) => Self::Version { path: path.to_owned(), found, supported: crate::format::VERSION },
            Fault::Damage(reason, detail) => Self::corrupt(path, offset, reason, detail),
        }
    }

    /// Whether bytes on disk are damaged or missing, as opposed to a refusal or a mistake of the caller.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Missing { .. })
    }

    /// Whether another owner is at work in the directory.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    /// Whether space ran out: nothing was published, and the call can be made again once space returns.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io(error) if error.is_no_space())
    }
}

/// Turns "nothing there" into [`Error::Missing`].
pub(crate) fn missing(error: laminar_vfs::Error) -> Error {
    if error.is_not_found() { Error::Missing { path: error.path().to_owned() } } else { Error::Io(error) }
}
