//! The names: which paths there are, and how a path is found.

use std::ffi::OsStr;
use std::io::{Error as IoError, ErrorKind};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::file::FileNode;
use super::names::{NameOp, Placing};
use super::state::{Inode, Node, State};

/// The number of a file or directory.
pub(super) type Ino = usize;
/// The directory that every path starts from, also a relative one.
pub(super) const ROOT: Ino = 0;

/// So many names are searched one by one.
const FEW_NAMES: usize = 16;

/// A name in a directory. Its hash is made once, since fingerprints ask for those of all names.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Name {
    hash: u64,
    text: Arc<OsStr>,
}

impl Name {
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }
}

impl From<&OsStr> for Name {
    fn from(text: &OsStr) -> Self {
        Self { hash: xxh3_64(text.as_encoded_bytes()), text: text.into() }
    }
}

impl Deref for Name {
    type Target = OsStr;

    fn deref(&self) -> &OsStr {
        &self.text
    }
}

/// What a name in a directory stands for.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) ino: Ino,
}

/// The names of a directory in order, in its two views.
#[derive(Clone, Default)]
pub(super) struct DirNode {
    /// What processes see.
    pub(super) cache: Entries,
    /// What is durable.
    pub(super) disk: Entries,
    /// Whether the cache holds names that neither are on the disk nor will be.
    pub(super) diverged: bool,
}

/// Names in order, shared between copies until one is changed.
#[derive(Clone, Default)]
pub(super) struct Entries(Arc<Vec<Entry>>);

impl Entries {
    pub(super) fn get(&self, name: &[u8]) -> Option<Ino> {
        // Of a few names, the length tells most apart without a look at their bytes.
        if self.0.len() <= FEW_NAMES {
            let is_it = |entry: &&Entry| entry.name.len() == name.len() && entry.name.as_encoded_bytes() == name;
            return self.0.iter().find(is_it).map(|entry| entry.ino);
        }
        let found = self.search(name).ok()?;
        self.0.get(found).map(|entry| entry.ino)
    }

    /// Lets `name` stand for `to`; returns what it stood for.
    pub(super) fn set(&mut self, name: &Name, to: Option<Ino>) -> Option<Ino> {
        match (self.search(name.as_encoded_bytes()), to) {
            (Ok(at), None) => Some(Arc::make_mut(&mut self.0).remove(at).ino),
            (Ok(at), Some(ino)) => {
                let entry = Arc::make_mut(&mut self.0).get_mut(at)?;
                Some(std::mem::replace(&mut entry.ino, ino))
            }
            (Err(at), Some(ino)) => {
                Arc::make_mut(&mut self.0).insert(at, Entry { name: name.clone(), ino });
                None
            }
            (Err(_), None) => None,
        }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are one copy.
    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn search(&self, name: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|entry| entry.name.as_encoded_bytes().cmp(name))
    }
}

/// The components of a path; a leading separator and `.` mean nothing here.
fn components(path: &Path) -> impl DoubleEndedIterator<Item = &[u8]> {
    let separates = |byte: &u8| *byte == b'/' || (cfg!(windows) && *byte == b'\\');
    path.as_os_str().as_encoded_bytes().split(separates).filter(|part| !part.is_empty() && *part != b".")
}

/// A name that is about to change, and the directory it is in.
pub(super) struct Spot<'a> {
    pub(super) dir: Ino,
    pub(super) name: &'a OsStr,
    pub(super) ino: Option<Ino>,
}

impl State {
    fn step(&self, at: Ino, name: &[u8]) -> Result<Option<Ino>, IoError> {
        match self.node(at) {
            Node::Dir(_) if name == b".." => Err(ErrorKind::InvalidInput.into()),
            Node::Dir(dir) => Ok(dir.cache.get(name)),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// What stands at a path.
    pub(super) fn find(&self, path: &Path) -> Result<Ino, IoError> {
        components(path).try_fold(ROOT, |at, name| self.step(at, name)?.ok_or_else(|| ErrorKind::NotFound.into()))
    }

    /// Where a name stands, or would.
    fn spot<'a>(&self, path: &'a Path) -> Result<Spot<'a>, IoError> {
        let mut parents = components(path);
        let Some(last) = parents.next_back() else { return Err(ErrorKind::InvalidInput.into()) };
        // A path's own search for its last name is a slow one.
        let name = match std::str::from_utf8(last) {
            Ok("..") => return Err(ErrorKind::InvalidInput.into()),
            Ok(name) => OsStr::new(name),
            Err(_) => path.file_name().ok_or(ErrorKind::InvalidInput)?,
        };
        let mut dir = ROOT;
        for parent in parents {
            dir = self.step(dir, parent)?.ok_or(ErrorKind::NotFound)?;
        }
        let ino = self.step(dir, last)?;
        Ok(Spot { dir, name, ino })
    }

    /// Whether the way to a name leads through `dir`.
    fn passes(&self, path: &Path, dir: Ino) -> bool {
        let mut parents = components(path);
        parents.next_back();
        let mut at = Some(ROOT);
        let mut step = || {
            let here = at?;
            at = parents.next().and_then(|name| self.step(here, name).ok().flatten());
            Some(here)
        };
        std::iter::from_fn(&mut step).any(|here| here == dir)
    }

    pub(super) fn create(&mut self, path: &Path, node: Node) -> Result<Ino, IoError> {
        let spot = self.spot(path)?;
        if spot.ino.is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let placing = if matches!(node, Node::Dir(_)) { Placing::Directory } else { Placing::File };
        let ino = self.add(Inode { node, links: 0, handles: 0 });
        self.apply(NameOp::place(spot.dir, spot.name, ino, placing));
        Ok(ino)
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: &Path) -> Result<(), IoError> {
        let ino = self.find(from)?;
        let spot = self.spot(to)?;
        if spot.ino.is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !matches!(self.node(ino), Node::File(_)) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.apply(NameOp::place(spot.dir, spot.name, ino, Placing::File));
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> Result<(), IoError> {
        let spot = self.spot(path)?;
        let ino = spot.ino.ok_or(ErrorKind::NotFound)?;
        if matches!(self.node(ino), Node::Dir(_)) {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.apply(NameOp::remove(spot.dir, spot.name, None));
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> Result<(), IoError> {
        let spot = self.spot(path)?;
        let ino = spot.ino.ok_or(ErrorKind::NotFound)?;
        self.expect_empty(ino)?;
        self.apply(NameOp::remove(spot.dir, spot.name, Some(ino)));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), IoError> {
        let source = self.spot(from)?;
        let target = self.spot(to)?;
        let ino = source.ino.ok_or(ErrorKind::NotFound)?;
        let is_dir = matches!(self.node(ino), Node::Dir(_));
        if self.passes(to, ino) {
            return Err(ErrorKind::InvalidInput.into());
        }
        if target.ino.is_some_and(|there| self.passes(from, there)) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        match target.ino {
            // Two names of one file: the standard says that nothing happens.
            Some(there) if there == ino => return Ok(()),
            Some(there) if is_dir => self.expect_empty(there)?,
            Some(there) if matches!(self.node(there), Node::Dir(_)) => return Err(ErrorKind::IsADirectory.into()),
            _ => {}
        }
        let placing = if is_dir { Placing::Directory } else { Placing::File };
        let emptied = target.ino.filter(|_| is_dir);
        self.apply(NameOp::rename((source.dir, source.name), (target.dir, target.name), ino, placing, emptied));
        Ok(())
    }

    fn expect_empty(&self, ino: Ino) -> Result<(), IoError> {
        match self.node(ino) {
            Node::Dir(dir) if dir.cache.is_empty() => Ok(()),
            Node::Dir(_) => Err(ErrorKind::DirectoryNotEmpty.into()),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn dir(&self, ino: Ino) -> Result<&DirNode, IoError> {
        match self.node(ino) {
            Node::Dir(dir) => Ok(dir),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&self, ino: Ino) -> Result<&FileNode, IoError> {
        match self.node(ino) {
            Node::File(file) => Ok(file),
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn file_mut(&mut self, ino: Ino) -> Result<&mut FileNode, IoError> {
        match self.node_mut(ino) {
            Some(Node::File(file)) => Ok(Arc::make_mut(file)),
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }
}
