//! What a simulated process sees of the disk: the seam's traits.

use std::fmt;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{Call, FaultKind};
use super::file::{FileNode, Landing};
use super::page::{PAGE_BYTES, pieces};
use super::random::nth;
use super::state::Node;
use super::tree::Ino;
use super::{Machine, Shared};
use crate::{DirEntry, Error, Kind, Lock, Op, OpenMode, ReadMode, Region, Result, Vfs, VfsFile};

/// The longest file, in bytes. Beyond it a write is refused as too large.
pub const MAX_FILE_BYTES: u64 = 1 << 36;

/// The disk as one process has it; dead once the process is killed.
pub(super) struct Process {
    pub(super) shared: Arc<Shared>,
    pub(super) life: u64,
}

impl Process {
    /// Makes a call: counts it, lets a fault strike, and otherwise does it.
    fn call<T>(
        &self,
        op: Op,
        path: &Path,
        changes: impl FnOnce(&Machine) -> bool,
        act: impl FnOnce(&mut Machine, Option<FaultKind>) -> std::result::Result<T, IoError>,
    ) -> Result<T> {
        let mut machine = self.shared.machine.lock();
        let changes = changes(&machine);
        let call = Call { op, path, range: 0..0, changes };
        let result = machine.begin(self.life, &call).and_then(|fault| act(&mut machine, fault));
        machine.trace_result(result.is_ok());
        result.map_err(|error| Error::new(op, path, error))
    }
}

fn kind_of(node: &Node) -> Kind {
    match node {
        Node::Dir(_) => Kind::Dir,
        Node::File(_) => Kind::File,
        Node::Free => Kind::Other,
    }
}

fn new_file() -> Node {
    Node::File(Arc::new(FileNode::default()))
}

impl Vfs for Process {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let creates = mode == OpenMode::CreateNew;
        let ino = self.call(
            Op::Open,
            path,
            |_| creates,
            |machine, _| {
                let ino = if creates { machine.state.create(path, new_file())? } else { machine.state.find(path)? };
                machine.state.file(ino)?;
                machine.state.opened(ino);
                Ok(ino)
            },
        )?;
        let process = Self { shared: Arc::clone(&self.shared), life: self.life };
        Ok(Arc::new(SimFile { process, ino, path: path.to_owned(), writes: mode != OpenMode::Read }))
    }

    fn kind(&self, path: &Path) -> Result<Option<Kind>> {
        let look = |machine: &mut Machine, _| match machine.state.find(path) {
            Ok(ino) => Ok(Some(kind_of(machine.state.node(ino)))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        self.call(Op::Kind, path, |_| false, look)
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        let list = |machine: &mut Machine, _| {
            let state = &machine.state;
            let entries = state.dir(state.find(dir)?)?.cache.iter();
            let entries = entries.map(|entry| DirEntry::new((*entry.name).to_owned(), kind_of(state.node(entry.ino))));
            Ok(entries.collect())
        };
        self.call(Op::List, dir, |_| false, list)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let create = |machine: &mut Machine, _| machine.state.create(path, Node::Dir(Arc::default())).map(drop);
        self.call(Op::CreateDir, path, |_| true, create)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(Op::Rename, from, |_| true, |machine, _| machine.state.rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(Op::HardLink, from, |_| true, |machine, _| machine.state.hard_link(from, to))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.call(Op::RemoveFile, path, |_| true, |machine, _| machine.state.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.call(Op::RemoveDir, path, |_| true, |machine, _| machine.state.remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let sync = |machine: &mut Machine, fault: Option<FaultKind>| {
            let dir = machine.state.find(path)?;
            machine.state.dir(dir)?;
            match fault {
                None => machine.state.sync_dir(dir),
                Some(_) => machine.state.fail_sync_dir(dir),
            }
            fault.and_then(FaultKind::error).map_or(Ok(()), Err)
        };
        self.call(Op::SyncDir, path, |machine| !machine.state.names.is_empty(), sync)
    }

    fn lock(&self, path: &Path) -> Result<Lock> {
        let lock = |machine: &mut Machine, _| {
            let ino = match machine.state.find(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => machine.state.create(path, new_file())?,
                found => found?,
            };
            machine.state.file(ino)?;
            if machine.locked.contains(&ino) {
                return Err(ErrorKind::WouldBlock.into());
            }
            machine.state.opened(ino);
            machine.locked.push(ino);
            Ok(ino)
        };
        let missing = |machine: &Machine| machine.state.find(path).is_err();
        let ino = self.call(Op::Lock, path, missing, lock)?;
        Ok(Lock::new(Box::new(SimLock { shared: Arc::clone(&self.shared), life: self.life, ino })))
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimProcess")
    }
}

struct SimLock {
    shared: Arc<Shared>,
    life: u64,
    ino: Ino,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut machine = self.shared.machine.lock();
        if machine.life == self.life {
            machine.locked.retain(|ino| *ino != self.ino);
            machine.state.closed(self.ino);
        }
    }
}

/// An open file of a process.
struct SimFile {
    process: Process,
    ino: Ino,
    path: PathBuf,
    writes: bool,
}

impl SimFile {
    fn call<T>(
        &self,
        op: Op,
        changes: impl FnOnce(&Machine) -> bool,
        act: impl FnOnce(&mut Machine, Option<FaultKind>) -> std::result::Result<T, IoError>,
    ) -> Result<T> {
        self.process.call(op, &self.path, changes, act)
    }

    /// As [`call`](Self::call), for a call that moves `len` bytes at `offset`.
    fn transfer(
        &self,
        op: Op,
        offset: u64,
        len: usize,
        act: impl FnOnce(&mut Machine, usize, Option<FaultKind>) -> std::result::Result<usize, IoError>,
    ) -> Result<usize> {
        let mut machine = self.process.shared.machine.lock();
        let range = offset..offset.saturating_add(len as u64);
        let call = Call { op, path: &self.path, range, changes: op == Op::Write && len > 0 };
        let result = machine.begin(self.process.life, &call).and_then(|fault| {
            let halved = matches!(fault, Some(FaultKind::Short | FaultKind::Interrupted | FaultKind::Torn));
            let done = act(&mut machine, if halved { len.div_ceil(2) } else { len }, fault)?;
            fault.and_then(FaultKind::error).map_or(Ok(done), Err)
        });
        machine.trace_result(result.is_ok());
        result.map_err(|error| Error::new(op, &self.path, error))
    }

    fn expect_writable(&self) -> std::result::Result<(), IoError> {
        if self.writes { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
    }
}

impl VfsFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        self.call(Op::Len, |_| false, |machine, _| Ok(machine.state.file(self.ino)?.cache.len()))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let len = buf.len();
        self.transfer(Op::Read, offset, len, |machine, len, _| {
            Ok(machine.state.file(self.ino)?.cache.read(buf.split_at_mut(len).0, offset))
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        self.transfer(Op::Write, offset, buf.len(), |machine, len, fault| {
            self.expect_writable()?;
            machine.trace_bytes(buf);
            let data = buf.split_at(len).0;
            let room = machine.room(self.ino, data.len(), offset)?;
            let landing = match fault {
                Some(FaultKind::Phantom) => Landing::Lost,
                Some(FaultKind::Misdirected) => Landing::Shifted(machine.faults_seed()),
                _ => Landing::Right,
            };
            machine.state.change_file(self.ino, |file| file.write(data.split_at(room).0, offset, landing))?;
            Ok(room)
        })
    }

    fn sync_data(&self) -> Result<()> {
        let pending = |machine: &Machine| machine.state.file(self.ino).is_ok_and(FileNode::has_pending);
        self.call(Op::SyncData, pending, |machine, fault| {
            let seed = if fault == Some(FaultKind::IoPartly) { machine.faults_seed() } else { 0 };
            let file = machine.state.file_mut(self.ino)?;
            match fault {
                None => file.sync(),
                Some(FaultKind::IoPartly) => file.fail_sync(&|choice| nth(seed, choice as u64) & 1 == 0),
                Some(_) => file.fail_sync(&|_| false),
            }
            fault.and_then(FaultKind::error).map_or(Ok(()), Err)
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.call(
            Op::SetLen,
            |_| true,
            |machine, _| {
                self.expect_writable()?;
                if len > MAX_FILE_BYTES {
                    return Err(ErrorKind::FileTooLarge.into());
                }
                machine.state.change_file(self.ino, |file| file.set_len(len))
            },
        )
    }

    fn map(&self, _mode: ReadMode) -> Result<Region> {
        self.call(
            Op::Map,
            |_| false,
            |machine, _| {
                let bytes = &machine.state.file(self.ino)?.cache;
                let len = usize::try_from(bytes.len()).map_err(|_| ErrorKind::OutOfMemory)?;
                Region::filled_by(len, |into| {
                    bytes.read(into, 0);
                    Ok(())
                })
            },
        )
    }

    fn evict(&self) {
        let mut machine = self.process.shared.machine.lock();
        if machine.life == self.process.life {
            // The file of an open handle is a file: there is no error to report.
            drop(machine.state.change_file(self.ino, FileNode::evict));
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut machine = self.process.shared.machine.lock();
        if machine.life == self.process.life {
            machine.state.closed(self.ino);
        }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Machine {
    /// How many of `len` bytes at `offset` there is space for, before the first page that can't be had.
    fn room(&self, ino: Ino, len: usize, offset: u64) -> std::result::Result<usize, IoError> {
        if offset.checked_add(len as u64).is_none_or(|end| end > MAX_FILE_BYTES) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let mut free = self.state.free_pages();
        if free > (len / PAGE_BYTES + 1) as u64 {
            return Ok(len);
        }
        let bytes = &self.state.file(ino)?.cache;
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
