//! What a simulated process sees of an open file.

use std::fmt;
use std::io::{Error as IoError, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Machine;
use super::fault::FaultKind;
use super::file::{FileNode, Landing, WHOLE};
use super::page::{PAGE_BYTES, pieces};
use super::process::{Process, Scope};
use super::random::nth;
use super::tree::Ino;
use crate::{Op, ReadMode, Region, Result, VfsFile};

type IoResult<T> = std::result::Result<T, IoError>;

/// The longest file, in bytes. Beyond it a write is refused as too large.
pub const MAX_FILE_BYTES: u64 = 1 << 36;

pub(super) struct SimFile {
    process: Process,
    ino: Ino,
    path: PathBuf,
    writes: bool,
}

impl SimFile {
    pub(super) fn new(process: Process, ino: Ino, path: &Path, writes: bool) -> Self {
        Self { process, ino, path: path.to_owned(), writes }
    }

    fn call<T>(
        &self,
        op: Op,
        look: impl FnOnce(&Machine) -> Scope,
        act: impl FnOnce(&mut Machine, Option<FaultKind>) -> IoResult<T>,
    ) -> Result<T> {
        self.process.call(op, &self.path, look, act)
    }

    /// A call that moves bytes, or after a fault only the first half of them.
    fn transfer(
        &self,
        op: Op,
        offset: u64,
        len: usize,
        act: impl FnOnce(&mut Machine, usize, Option<FaultKind>) -> IoResult<usize>,
    ) -> Result<usize> {
        let range = offset..offset.saturating_add(len as u64);
        let changes = op == Op::Write && len > 0;
        self.call(
            op,
            |_| Scope { changes, range },
            |machine, fault| {
                let halved = matches!(fault, Some(FaultKind::Short | FaultKind::Interrupted | FaultKind::Torn));
                let done = act(machine, if halved { len.div_ceil(2) } else { len }, fault)?;
                fault.and_then(FaultKind::error).map_or(Ok(done), Err)
            },
        )
    }

    fn expect_writable(&self) -> IoResult<()> {
        if self.writes { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
    }

    /// How many of `len` bytes at `offset` there is space for, before the first page that can't be had.
    fn room(&self, machine: &Machine, len: usize, offset: u64) -> IoResult<usize> {
        if offset.checked_add(len as u64).is_none_or(|end| end > MAX_FILE_BYTES) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let mut free = machine.state.free_pages();
        if free > (len / PAGE_BYTES + 1) as u64 {
            return Ok(len);
        }
        let bytes = &machine.state.file(self.ino)?.cache;
        let mut room = 0;
        for piece in pieces(offset, len) {
            if bytes.is_hole(piece.page) {
                if free == 0 {
                    return if room > 0 { Ok(room) } else { Err(ErrorKind::StorageFull.into()) };
                }
                free -= 1;
            }
            room += piece.len;
        }
        Ok(room)
    }
}

impl VfsFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        let len = |machine: &mut Machine, _| Ok(machine.state.file(self.ino)?.cache.len());
        self.call(Op::Len, |_| Scope::changes(false), len)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.transfer(Op::Read, offset, buf.len(), |machine, len, _| {
            Ok(machine.state.file(self.ino)?.cache.read(buf.split_at_mut(len).0, offset))
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        self.transfer(Op::Write, offset, buf.len(), |machine, len, fault| {
            self.expect_writable()?;
            machine.trace_bytes(buf);
            let room = self.room(machine, len, offset)?;
            let landing = match fault {
                Some(FaultKind::Phantom) => Landing::Lost,
                Some(FaultKind::Misdirected) => Landing::Shifted(machine.faults_seed()),
                _ => Landing::Right,
            };
            machine.state.change_file(self.ino, |file| file.write(buf.split_at(room).0, offset, landing))?;
            Ok(room)
        })
    }

    fn sync_data(&self) -> Result<()> {
        let look = |machine: &Machine| Scope::changes(machine.state.file(self.ino).is_ok_and(FileNode::has_pending));
        self.call(Op::SyncData, look, |machine, fault| {
            let seed = if fault == Some(FaultKind::IoPartly) { machine.faults_seed() } else { 0 };
            let file = machine.state.file_mut(self.ino)?;
            match fault {
                None => file.sync(),
                Some(FaultKind::IoPartly) => {
                    file.fail_sync(&|choice| if nth(seed, choice as u64) & 1 == 0 { WHOLE } else { 0 });
                }
                Some(_) => file.fail_sync(&|_| 0),
            }
            fault.and_then(FaultKind::error).map_or(Ok(()), Err)
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let set = |machine: &mut Machine, _| {
            self.expect_writable()?;
            if len > MAX_FILE_BYTES {
                return Err(ErrorKind::FileTooLarge.into());
            }
            machine.trace_bytes(&len.to_le_bytes());
            machine.state.change_file(self.ino, |file| file.set_len(len))
        };
        self.call(Op::SetLen, |_| Scope::changes(true), set)
    }

    fn map_start(&self, len: u64, _mode: ReadMode) -> Result<Region> {
        let look = |_: &Machine| Scope { changes: false, range: 0..len };
        self.call(Op::Map, look, |machine, _| machine.state.file(self.ino)?.cache.region(len))
    }

    /// The whole file: more than was asked for is allowed.
    fn evict(&self, _range: Range<u64>) {
        let mut machine = self.process.shared.machine.lock();
        if machine.life == self.process.life {
            // The file of an open handle is a file: there is no error to report.
            drop(machine.state.change_file(self.ino, FileNode::evict));
        }
    }

    fn prefetch(&self, _range: Range<u64>) {}
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut machine = self.process.shared.machine.lock();
        if machine.life == self.process.life {
            machine.closed(self.ino);
        }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("path", &self.path).finish_non_exhaustive()
    }
}
