//! This machine's disk, clock and randomness.
#![expect(clippy::disallowed_methods, reason = "this file is what the ban points to")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::{Clock, DirEntry, Error, Kind, Lock, Op, OpenMode, Random, ReadMode, Region, Result, Vfs, VfsFile};

mod sys;

pub(crate) use sys::yield_to_all_others;

/// The file systems of this machine.
///
/// Durability is as good as theirs: `sync_data` is `fdatasync`, `sync_dir` an `fsync` of the directory.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct RealDisk;

impl RealDisk {
    /// The file systems of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// Adds operation and path to an error of the operating system.
fn at<T>(op: Op, path: &Path, result: io::Result<T>) -> Result<T> {
    result.map_err(|source| Error::new(op, path, source))
}

/// Makes a call again while a signal interrupts it.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Opens a regular file, and nothing else: a directory can be opened on some systems and then not read, and a pipe
/// would wait for its other end.
fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    sys::without_waiting(options);
    let file = uninterrupted(|| options.open(path))?;
    match kind_of(file.metadata()?.file_type()) {
        Kind::File => Ok(file),
        Kind::Dir => Err(io::ErrorKind::IsADirectory.into()),
        Kind::Other => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

fn kind_of(kind: fs::FileType) -> Kind {
    if kind.is_file() {
        Kind::File
    } else if kind.is_dir() {
        Kind::Dir
    } else {
        Kind::Other
    }
}

impl Vfs for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).create_new(mode == OpenMode::CreateNew);
        let file = at(Op::Open, path, open_regular(&mut options, path))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn kind(&self, path: &Path) -> Result<Option<Kind>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(kind_of(metadata.file_type()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::new(Op::Kind, path, error)),
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in at(Op::List, dir, fs::read_dir(dir))? {
            let entry = at(Op::List, dir, entry)?;
            let kind = at(Op::List, dir, entry.file_type())?;
            entries.push(DirEntry::new(entry.file_name(), kind_of(kind)));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        at(Op::CreateDir, path, fs::create_dir(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        at(Op::Rename, from, fs::rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        at(Op::HardLink, from, fs::hard_link(from, to))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        at(Op::RemoveFile, path, fs::remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        at(Op::RemoveDir, path, fs::remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        at(Op::SyncDir, path, uninterrupted(|| sys::sync_dir(path)))
    }

    fn lock(&self, path: &Path) -> Result<Lock> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = at(Op::Lock, path, open_regular(&mut options, path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock::new(Box::new(file))),
            Err(TryLockError::WouldBlock) => Err(Error::new(Op::Lock, path, io::ErrorKind::WouldBlock.into())),
            Err(TryLockError::Error(error)) => Err(Error::new(Op::Lock, path, error)),
        }
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
}

impl VfsFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        Ok(at(Op::Len, &self.path, self.file.metadata())?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        at(Op::Read, &self.path, uninterrupted(|| sys::read_at(&self.file, buf, offset)))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        at(Op::Write, &self.path, uninterrupted(|| sys::write_at(&self.file, buf, offset)))
    }

    fn sync_data(&self) -> Result<()> {
        at(Op::SyncData, &self.path, uninterrupted(|| self.file.sync_data()))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        at(Op::SetLen, &self.path, uninterrupted(|| self.file.set_len(len)))
    }

    fn allocate(&self, range: Range<u64>) -> Result<()> {
        match uninterrupted(|| sys::allocate(&self.file, &range)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.write_zeros(range),
            allocated => at(Op::Allocate, &self.path, allocated),
        }
    }

    fn map_start(&self, len: u64, mode: ReadMode) -> Result<Region> {
        let failed = |kind: io::ErrorKind| Error::new(Op::Map, &self.path, kind.into());
        // A touch of what is mapped behind the end of the file is a signal, not an error.
        if len > self.len()? {
            return Err(failed(io::ErrorKind::UnexpectedEof));
        }
        let len = usize::try_from(len).map_err(|_| failed(io::ErrorKind::OutOfMemory))?;
        if mode == ReadMode::Mapped && len > 0 {
            return at(Op::Map, &self.path, sys::map_start(&self.file, len)).map(Region::mapped);
        }
        at(Op::Map, &self.path, Region::expect_room(len))?;
        Region::filled_by(len, |bytes| self.read_exact_at(bytes, 0))
    }

    fn evict(&self, range: Range<u64>) {
        sys::evict(&self.file, range);
    }

    fn prefetch(&self, range: Range<u64>) {
        sys::prefetch(&self.file, range);
    }

    fn read_cached_at(&self, mut buf: &mut [u8], mut offset: u64) -> bool {
        while !buf.is_empty() {
            match sys::read_cached_at(&self.file, buf, offset) {
                Ok(read) if read > 0 => {
                    buf = buf.split_at_mut(read).1;
                    offset += read as u64;
                }
                _ => return false,
            }
        }
        true
    }
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// A clock whose [`now`](Clock::now) begins at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Ids from the operating system's source of randomness.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct RealRandom;

impl RealRandom {
    /// The operating system's source.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Random for RealRandom {
    /// # Panics
    /// Where the operating system has no randomness to give, which no supported system does after boot.
    fn id(&self) -> u128 {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        u128::from_le_bytes(bytes).max(1)
    }
}
