//! What a simulated process sees of the disk's names.

use std::fmt;
use std::io::{Error as IoError, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::fault::{Call, FaultKind};
use super::file::FileNode;
use super::handle::SimFile;
use super::state::Node;
use super::tree::Ino;
use super::{Machine, Shared};
use crate::{DirEntry, Error, Kind, Lock, Op, OpenMode, Result, Vfs, VfsFile};

/// The disk as one process has it; dead once the process is killed.
pub(super) struct Process {
    pub(super) shared: Arc<Shared>,
    pub(super) life: u64,
}

impl Process {
    /// Makes a call: counts it, and does it unless a fault strikes that is an error. Any other fault is `act`'s.
    pub(super) fn call<T>(
        &self,
        op: Op,
        path: &Path,
        look: impl FnOnce(&Machine) -> Scope,
        act: impl FnOnce(&mut Machine, Option<FaultKind>) -> std::result::Result<T, IoError>,
    ) -> Result<T> {
        let mut machine = self.shared.machine.lock();
        let Scope { changes, range } = look(&machine);
        let call = Call { op, path, range, changes };
        let result = machine.begin(self.life, &call).and_then(|fault| act(&mut machine, fault));
        machine.trace_result(result.is_ok());
        result.map_err(|error| Error::new(op, path, error))
    }

    /// A call that changes names.
    fn change(
        &self,
        op: Op,
        path: &Path,
        act: impl FnOnce(&mut Machine) -> std::result::Result<(), IoError>,
    ) -> Result<()> {
        self.call(op, path, |_| Scope::changes(true), |machine, _| act(machine))
    }
}

/// What a call is about.
pub(super) struct Scope {
    /// Whether it may change what is on the disk, or what would survive a power cut.
    pub(super) changes: bool,
    /// The bytes it moves.
    pub(super) range: std::ops::Range<u64>,
}

impl Scope {
    pub(super) fn changes(changes: bool) -> Self {
        Self { changes, range: 0..0 }
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
        let open = |machine: &mut Machine, _| {
            let state = &mut machine.state;
            let ino = if creates { state.create(path, new_file())? } else { state.find(path)? };
            state.file(ino)?;
            machine.opened(ino);
            Ok(ino)
        };
        let ino = self.call(Op::Open, path, |_| Scope::changes(creates), open)?;
        let process = Self { shared: Arc::clone(&self.shared), life: self.life };
        Ok(Arc::new(SimFile::new(process, ino, path, mode != OpenMode::Read)))
    }

    fn kind(&self, path: &Path) -> Result<Option<Kind>> {
        let look = |machine: &mut Machine, _| match machine.state.find(path) {
            Ok(ino) => Ok(Some(kind_of(machine.state.node(ino)))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        self.call(Op::Kind, path, |_| Scope::changes(false), look)
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        let list = |machine: &mut Machine, _| {
            let state = &machine.state;
            let entries = state.dir(state.find(dir)?)?.cache.iter();
            let entries = entries.map(|entry| DirEntry::new((*entry.name).to_owned(), kind_of(state.node(entry.ino))));
            Ok(entries.collect())
        };
        self.call(Op::List, dir, |_| Scope::changes(false), list)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.change(Op::CreateDir, path, |machine| {
            machine.state.create(path, Node::Dir(Arc::default()))?;
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.change(Op::Rename, from, |machine| {
            machine.trace_bytes(to.as_os_str().as_encoded_bytes());
            machine.state.rename(from, to)
        })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.change(Op::HardLink, from, |machine| {
            machine.trace_bytes(to.as_os_str().as_encoded_bytes());
            machine.state.hard_link(from, to)
        })
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.change(Op::RemoveFile, path, |machine| machine.state.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.change(Op::RemoveDir, path, |machine| machine.state.remove_dir(path))
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
        self.call(Op::SyncDir, path, |machine| Scope::changes(!machine.state.names.is_empty()), sync)
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
            machine.opened(ino);
            machine.locked.push(ino);
            Ok(ino)
        };
        let look = |machine: &Machine| Scope::changes(machine.state.find(path).is_err());
        let ino = self.call(Op::Lock, path, look, lock)?;
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
            machine.closed(self.ino);
        }
    }
}
