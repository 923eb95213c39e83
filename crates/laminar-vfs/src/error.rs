//! The one error of the seam: what was tried, on which path, and what the operating system said.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What a call returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The operation that failed, as the seam names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Opening or creating a file.
    Open,
    /// Asking what a path is.
    Kind,
    /// Listing a directory.
    List,
    /// Creating a directory.
    CreateDir,
    /// Renaming a file or a directory.
    Rename,
    /// Giving a file a second name.
    HardLink,
    /// Removing a file's name.
    RemoveFile,
    /// Removing an empty directory.
    RemoveDir,
    /// Making a directory's entries durable.
    SyncDir,
    /// Taking an advisory lock.
    Lock,
    /// Asking a file's length.
    Len,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Making a file's bytes durable.
    SyncData,
    /// Changing a file's length.
    SetLen,
    /// Having space for a file.
    Allocate,
    /// Mapping a file.
    Map,
    /// Starting a background worker.
    Spawn,
    /// A step of a background worker, which has panicked.
    Background,
}

impl Op {
    fn verb(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Kind => "look up",
            Self::List => "list",
            Self::CreateDir => "create the directory",
            Self::Rename => "rename",
            Self::HardLink => "link",
            Self::RemoveFile => "remove",
            Self::RemoveDir => "remove the directory",
            Self::SyncDir => "sync the directory",
            Self::Lock => "lock",
            Self::Len => "measure",
            Self::Read => "read",
            Self::Write => "write",
            Self::SyncData => "sync",
            Self::SetLen => "resize",
            Self::Allocate => "allocate space for",
            Self::Map => "map",
            Self::Spawn => "start a worker for",
            Self::Background => "work in the background on",
        }
    }
}

/// A failed operation on the disk.
///
/// ```
/// use laminar_vfs::{Env, Op, OpenMode};
/// let error = Env::real().vfs.open("/no/such/file".as_ref(), OpenMode::Read).unwrap_err();
/// assert_eq!(error.op(), Op::Open);
/// assert!(error.is_not_found());
/// assert!(error.to_string().starts_with("could not open /no/such/file: "));
/// ```
#[derive(Debug)]
pub struct Error {
    op: Op,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    /// An error of the operation `op` on `path`.
    pub fn new(op: Op, path: &Path, source: io::Error) -> Self {
        Self { op, path: path.to_owned(), source }
    }

    /// What was tried.
    #[must_use]
    pub fn op(&self) -> Op {
        self.op
    }

    /// On which path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the operating system said.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        &self.source
    }

    /// Whether there is nothing at the path.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether there is something at the path already.
    #[must_use]
    pub fn is_already_there(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether somebody else holds the lock.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.op == Op::Lock && self.source.kind() == io::ErrorKind::WouldBlock
    }

    /// Whether space ran out: the disk is full, a quota is used up, or the file system refuses a file of this size.
    /// The call can be made again once space returns.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    /// Whether the operation can't be done here at all, such as a hard link on a file system without them.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices)
            || (self.op == Op::HardLink
                && matches!(self.source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::TooManyLinks))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} {}: {}", self.op.verb(), self.path.display(), self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Clone for Error {
    /// A copy with the same kind and, where there is one, the same code of the operating system.
    fn clone(&self) -> Self {
        let source = match self.source.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.source.kind(), self.source.to_string()),
        };
        Self { op: self.op, path: self.path.clone(), source }
    }
}
