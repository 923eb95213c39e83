//! What goes wrong on request: which call, how, and whether once or from then on.

use std::fmt;
use std::io::{Error as IoError, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::{Error, Op};

/// How a call fails, or how the disk lies about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// An input/output error (EIO). A failed sync does what the kernel does then: none of the pending changes became
    /// durable, all of them count as written, reads show them until the cache is dropped, and a second sync says OK.
    Io,
    /// As [`Io`](Self::Io), but of the changes that a sync was to write, some had reached the disk; the seed says
    /// which.
    IoPartly,
    /// No space (ENOSPC).
    NoSpace,
    /// The quota is used up (EDQUOT).
    Quota,
    /// Too many open files (EMFILE).
    ManyFiles,
    /// Permission denied (EACCES).
    Denied,
    /// Not supported here (EOPNOTSUPP), as hard links are on some file systems.
    Unsupported,
    /// A signal interrupts the call (EINTR): a read or write stops half way and says how far it came; any other call
    /// is made again, as the seam promises, so nothing is seen of it.
    Interrupted,
    /// A read or write does only half of what was asked, and says so.
    Short,
    /// A write puts half of its bytes and then fails with an input/output error.
    Torn,
    /// The disk says OK and forgets: the bytes of a write, or what a sync was to make durable, are seen until the
    /// cache is dropped, and never reach the disk, which keeps its stale bytes or names.
    Phantom,
    /// The disk puts the sectors of a write elsewhere in the file; the seed says where. Reads show them in the right
    /// place until the cache is dropped.
    Misdirected,
}

impl FaultKind {
    /// Whether such a call can go wrong in this way.
    pub(super) fn applies_to(self, op: Op) -> bool {
        let syncs = matches!(op, Op::SyncData | Op::SyncDir);
        match self {
            Self::Interrupted | Self::Short => matches!(op, Op::Read | Op::Write),
            Self::Torn | Self::Misdirected => op == Op::Write,
            Self::Phantom => op == Op::Write || syncs,
            _ => true,
        }
    }

    /// The error that a call returns, unless this is no error.
    pub(super) fn error(self) -> Option<IoError> {
        Some(match self {
            Self::Io | Self::IoPartly | Self::Torn => IoError::other("input/output error (simulated)"),
            Self::NoSpace => ErrorKind::StorageFull.into(),
            Self::Quota => ErrorKind::QuotaExceeded.into(),
            Self::ManyFiles => IoError::other("too many open files (simulated)"),
            Self::Denied => ErrorKind::PermissionDenied.into(),
            Self::Unsupported => ErrorKind::Unsupported.into(),
            Self::Interrupted | Self::Short | Self::Phantom | Self::Misdirected => return None,
        })
    }
}

type OnPath = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// A fault to come. Without filters it strikes the very next call, once.
///
/// ```
/// use laminar_vfs::{Op, OpenMode, sim::{Fault, FaultKind, SimDisk}};
/// let disk = SimDisk::new(1);
/// let vfs = disk.env().vfs;
/// disk.fail(Fault::new(FaultKind::Io).on(Op::SyncData).path(|path| path.ends_with("log")));
/// let file = vfs.open("log".as_ref(), OpenMode::CreateNew).unwrap();
/// file.write_all_at(b"abc", 0).unwrap();
/// assert!(file.sync_data().is_err());
/// assert!(file.sync_data().is_ok(), "the second sync says OK");
/// assert_eq!(disk.crash_keep_all().read_file("log").unwrap().len(), 0, "and has saved nothing");
/// ```
#[derive(Clone)]
pub struct Fault {
    kind: FaultKind,
    op: Option<Op>,
    path: Option<OnPath>,
    range: Option<Range<u64>>,
    skip: u64,
    sticky: bool,
}

impl Fault {
    /// A fault that strikes the next call.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, op: None, path: None, range: None, skip: 0, sticky: false }
    }

    /// Only calls of this operation.
    #[must_use]
    pub fn on(self, op: Op) -> Self {
        Self { op: Some(op), ..self }
    }

    /// Only calls on these paths; of a rename or a link it is the old path.
    #[must_use]
    pub fn path(self, on: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        Self { path: Some(Arc::new(on)), ..self }
    }

    /// Only calls that read or write any of these bytes of the file. A file is mapped as a whole.
    #[must_use]
    pub fn bytes(self, range: Range<u64>) -> Self {
        Self { range: Some(range), ..self }
    }

    /// Lets this many such calls pass first. Default 0.
    #[must_use]
    pub fn after(self, calls: u64) -> Self {
        Self { skip: calls, ..self }
    }

    /// Strikes every such call from then on, not just one.
    #[must_use]
    pub fn sticky(self) -> Self {
        Self { sticky: true, ..self }
    }

    fn strikes(&mut self, call: &Call<'_>) -> bool {
        let meant = self.op.is_none_or(|op| op == call.op)
            && self.range.as_ref().is_none_or(|range| call.range.start < range.end && range.start < call.range.end)
            && self.path.as_ref().is_none_or(|on| on(call.path));
        if meant && self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        meant
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("kind", &self.kind)
            .field("op", &self.op)
            .field("after", &self.skip)
            .field("sticky", &self.sticky)
            .finish_non_exhaustive()
    }
}

/// A call that a process makes.
pub(super) struct Call<'a> {
    pub(super) op: Op,
    pub(super) path: &'a Path,
    /// The bytes it reads or writes; empty for other calls.
    pub(super) range: Range<u64>,
    /// Whether it changes what is on the disk, or what would survive a power cut.
    pub(super) changes: bool,
}

/// The faults of a disk.
#[derive(Default)]
pub(super) struct Faults {
    armed: Vec<Fault>,
    pub(super) struck: u64,
}

impl Faults {
    pub(super) fn arm(&mut self, fault: Fault) {
        self.armed.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// The fault that strikes a call, if one does. A fault that can't apply to the call it was meant for is spent.
    pub(super) fn strike(&mut self, call: &Call<'_>) -> Option<FaultKind> {
        if self.armed.is_empty() {
            return None;
        }
        let nth = self.armed.iter_mut().position(|fault| fault.strikes(call))?;
        let fault = self.armed.get(nth)?;
        let kind = fault.kind;
        if !fault.sticky {
            self.armed.remove(nth);
        }
        kind.applies_to(call.op).then(|| {
            self.struck += 1;
            kind
        })
    }
}

/// Whether an error says that the simulated process is gone: killed, or stopped before this call.
#[must_use]
pub fn is_gone(error: &Error) -> bool {
    error.io().kind() == ErrorKind::ConnectionAborted
}

pub(super) fn gone() -> IoError {
    IoError::new(ErrorKind::ConnectionAborted, "the simulated process is gone")
}
