//! What a test does to a disk at rest, and what it looks at, past all counting and all faults.

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SimDisk;
use super::file::FileNode;
use super::page::{Body, SECTOR_BYTES, pieces};
use super::random::mix;
use super::state::{Node, State};
use super::tree::{Entries, Ino, ROOT};
use crate::{Error, Op, Result};

/// Looking at the disk and damaging it. Damage is in both views: it is seen at once, and it survives a power cut.
/// The paths that errors name are the ones given.
impl SimDisk {
    fn with_state<T>(
        &self,
        op: Op,
        path: &Path,
        act: impl FnOnce(&mut State) -> std::result::Result<T, IoError>,
    ) -> Result<T> {
        act(&mut self.shared.machine.lock().state).map_err(|error| Error::new(op, path, error))
    }

    /// The bytes of a file, as processes see them.
    ///
    /// # Errors
    /// Where there is no such file.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        let path = path.as_ref();
        self.with_state(Op::Read, path, |state| {
            let body = &state.file(state.find(path)?)?.cache;
            let mut bytes = vec![0; usize::try_from(body.len()).map_err(|_| ErrorKind::OutOfMemory)?];
            body.read(&mut bytes, 0);
            Ok(bytes)
        })
    }

    /// Gives a file these bytes, durably, its name as well; creates it where nothing is.
    ///
    /// # Errors
    /// Where the directory is missing, or a directory has the name.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        let path = path.as_ref();
        self.with_state(Op::Write, path, |state| {
            let ino = match state.find(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let ino = state.create(path, Node::File(Arc::default()))?;
                    state.persist_names();
                    ino
                }
                found => found?,
            };
            state.change_file(ino, |file| *file = FileNode::clean(body_of(bytes)))
        })
    }

    /// Every file, by its path from the root, in order.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        self.shared.machine.lock().state.collect(ROOT, Path::new("/"), &mut files);
        files
    }

    /// Turns one bit over; bit 0 is the lowest of the first byte.
    ///
    /// # Errors
    /// Where there is no such file; `UnexpectedEof` where it is shorter.
    pub fn flip_bit(&self, path: impl AsRef<Path>, bit: u64) -> Result<()> {
        self.damage(path.as_ref(), bit / 8, 1, |bytes| {
            bytes.iter_mut().for_each(|byte| *byte ^= 1 << (bit % 8));
        })
    }

    /// Zeroes one sector of 512 bytes, or what there is of it.
    ///
    /// # Errors
    /// Where there is no such file; `UnexpectedEof` where it is shorter.
    pub fn zero_sector(&self, path: impl AsRef<Path>, sector: u64) -> Result<()> {
        self.damage(path.as_ref(), sector * SECTOR_BYTES as u64, SECTOR_BYTES, |bytes| bytes.fill(0))
    }

    /// Puts these bytes at an offset within a file.
    ///
    /// # Errors
    /// Where there is no such file; `UnexpectedEof` where it ends before the offset.
    pub fn overwrite(&self, path: impl AsRef<Path>, offset: u64, bytes: &[u8]) -> Result<()> {
        self.damage(path.as_ref(), offset, bytes.len(), |into| {
            into.iter_mut().zip(bytes).for_each(|(into, byte)| *into = *byte);
        })
    }

    /// Exchanges two sectors of 512 bytes of a file.
    ///
    /// # Errors
    /// Where there is no such file; `UnexpectedEof` where it has not got both sectors.
    pub fn swap_sectors(&self, path: impl AsRef<Path>, one: u64, other: u64) -> Result<()> {
        let path = path.as_ref();
        let one_bytes = self.sector(path, one)?;
        let other_bytes = self.sector(path, other)?;
        self.overwrite(path, one * SECTOR_BYTES as u64, &other_bytes)?;
        self.overwrite(path, other * SECTOR_BYTES as u64, &one_bytes)
    }

    /// Gives one sector of a file the bytes it has on another disk: an older copy of this one, for a stale sector.
    ///
    /// # Errors
    /// Where one of the disks has no such file or sector.
    pub fn copy_sector(&self, from: &Self, path: impl AsRef<Path>, sector: u64) -> Result<()> {
        let bytes = from.sector(path.as_ref(), sector)?;
        self.overwrite(path, sector * SECTOR_BYTES as u64, &bytes)
    }

    /// Gives a file the bytes it has on another disk: an older copy of this one, for a stale file.
    ///
    /// # Errors
    /// Where the other disk has no such file, or this one no directory for it.
    pub fn copy_file(&self, from: &Self, path: impl AsRef<Path>) -> Result<()> {
        let bytes = from.read_file(path.as_ref())?;
        self.write_file(path, &bytes)
    }

    /// Cuts or extends a file, durably.
    ///
    /// # Errors
    /// Where there is no such file.
    pub fn truncate(&self, path: impl AsRef<Path>, len: u64) -> Result<()> {
        let path = path.as_ref();
        self.with_state(Op::SetLen, path, |state| {
            let ino = state.find(path)?;
            state.change_file(ino, |file| file.damage(|body| body.set_len(len)))
        })
    }

    /// Removes a file, or a directory with all that is in it, durably.
    ///
    /// # Errors
    /// Where there is nothing.
    pub fn remove(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.with_state(Op::RemoveFile, path, |state| {
            state.remove_tree(path)?;
            state.persist_names();
            Ok(())
        })
    }

    /// Puts an empty directory where a file was.
    ///
    /// # Errors
    /// Where there is nothing.
    pub fn replace_with_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.remove(path)?;
        self.with_state(Op::CreateDir, path, |state| {
            state.create(path, Node::Dir(Arc::default()))?;
            state.persist_names();
            Ok(())
        })
    }

    /// A hash of all that is on the disk: names and bytes as processes see them, and what is pending. Disks in equal
    /// states have equal hashes. Pages that were hashed before are not looked at again.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let machine = self.shared.machine.lock();
        machine.state.hash()
    }

    fn sector(&self, path: &Path, sector: u64) -> Result<Vec<u8>> {
        let bytes = self.read_file(path)?;
        let found = usize::try_from(sector).ok().and_then(|sector| bytes.chunks(SECTOR_BYTES).nth(sector));
        found.map(<[u8]>::to_vec).ok_or_else(|| Error::new(Op::Read, path, ErrorKind::UnexpectedEof.into()))
    }

    fn damage(&self, path: &Path, offset: u64, len: usize, change: impl Fn(&mut [u8])) -> Result<()> {
        self.with_state(Op::Write, path, |state| {
            let ino = state.find(path)?;
            let left = state.file(ino)?.cache.len().saturating_sub(offset);
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(len);
            if len == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            state.change_file(ino, |file| {
                file.damage(|body| {
                    let mut bytes = vec![0; len];
                    body.read(&mut bytes, offset);
                    change(&mut bytes);
                    let mut rest = &*bytes;
                    for piece in pieces(offset, len) {
                        let (chunk, after) = rest.split_at(piece.len);
                        body.put(piece.page, piece.at, chunk);
                        rest = after;
                    }
                    body.trim();
                });
            })
        })
    }
}

fn body_of(bytes: &[u8]) -> Body {
    let mut body = Body::default();
    let mut rest = bytes;
    for piece in pieces(0, bytes.len()) {
        let (chunk, after) = rest.split_at(piece.len);
        body.put(piece.page, piece.at, chunk);
        rest = after;
    }
    body.grow(bytes.len() as u64);
    body
}

fn hash_names(entries: &Entries) -> u64 {
    entries.iter().fold(1, |sum, entry| mix(sum ^ entry.name.hash() ^ mix(entry.ino as u64)))
}

impl State {
    fn collect(&self, dir: Ino, path: &Path, files: &mut Vec<PathBuf>) {
        for entry in self.dir(dir).into_iter().flat_map(|dir| dir.cache.iter()) {
            let path = path.join(&*entry.name);
            match self.node(entry.ino) {
                Node::Dir(_) => self.collect(entry.ino, &path, files),
                _ => files.push(path),
            }
        }
    }

    /// A path that processes see something at, for people.
    pub(super) fn path_of(&self, ino: Ino) -> String {
        let mut found = vec![(ROOT, PathBuf::from("/"))];
        while let Some((at, path)) = found.pop() {
            if at == ino {
                return path.display().to_string();
            }
            let entries = self.dir(at).into_iter().flat_map(|dir| dir.cache.iter());
            found.extend(entries.map(|entry| (entry.ino, path.join(&*entry.name))));
        }
        format!("nameless file {ino}")
    }

    fn remove_tree(&mut self, path: &Path) -> std::result::Result<(), IoError> {
        let ino = self.find(path)?;
        let Ok(dir) = self.dir(ino) else { return self.remove_file(path) };
        let names: Vec<_> = dir.cache.iter().map(|entry| entry.name.clone()).collect();
        for name in names {
            self.remove_tree(&path.join(&*name))?;
        }
        self.remove_dir(path)
    }

    /// Makes all names durable that are seen.
    fn persist_names(&mut self) {
        self.names.clear();
        self.harden_names();
        self.sweep();
    }

    fn hash(&self) -> u64 {
        let names = self.names.iter().fold(0, |sum, op| mix(sum ^ op.hash()));
        self.hash_dir(ROOT) ^ mix(names)
    }

    fn hash_dir(&self, ino: Ino) -> u64 {
        let Ok(dir) = self.dir(ino) else { return 0 };
        let differ = !dir.cache.same(&dir.disk) && hash_names(&dir.cache) != hash_names(&dir.disk);
        let lost = if differ { hash_names(&dir.disk) } else { 0 };
        dir.cache.iter().fold(lost, |sum, entry| {
            let name = entry.name.hash() | 1;
            let links = self.links(entry.ino);
            let content = match self.node(entry.ino) {
                Node::Dir(_) => self.hash_dir(entry.ino),
                Node::File(file) => mix(file.hash() ^ u64::from(links)),
                Node::Free => 0,
            };
            mix(sum ^ name).wrapping_add(mix(content))
        })
    }
}
