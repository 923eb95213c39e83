//! The two traits of the seam, and for each method what survives a crash after it returned.

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::{Error, Op, ReadMode, Region, Result};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, for reading and writing; an error where the name is taken.
    CreateNew,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Anything else.
    Other,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirEntry {
    /// The last component of the path.
    pub name: OsString,
    /// What it names; a symbolic link is [`Kind::Other`], wherever it leads.
    pub kind: Kind,
}

impl DirEntry {
    /// An entry, for implementations of [`Vfs::list`].
    #[must_use]
    pub fn new(name: OsString, kind: Kind) -> Self {
        Self { name, kind }
    }
}

/// An advisory lock, released when it is dropped or when the process ends.
pub struct Lock(#[expect(dead_code, reason = "held for its Drop")] Box<dyn Any + Send + Sync>);

impl Lock {
    /// Wraps what releases the lock when dropped.
    #[must_use]
    pub fn new(held: Box<dyn Any + Send + Sync>) -> Self {
        Self(held)
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// A file system: names, and how they become durable.
///
/// Every change of a name (create, rename, link, remove) is seen at once by everyone on this machine, and survives
/// the death of the process. It survives a power cut only after [`sync_dir`](Self::sync_dir) on the directory (for a
/// rename between directories, on both); before that, each change may or may not have happened, in any order.
///
/// Errors of all methods carry the operation and the path.
pub trait Vfs: Send + Sync + fmt::Debug {
    /// Opens or creates a file. A created file is empty, and its name is not durable yet.
    ///
    /// # Errors
    /// What the operating system says; `NotFound` or `AlreadyExists` by [`OpenMode`]; `IsADirectory` or
    /// `InvalidInput` where something else than a regular file has the name, and never a wait for a pipe's other end.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>>;

    /// What stands at `path`, or nothing. Symbolic links are followed, as by [`open`](Self::open).
    ///
    /// # Errors
    /// What the operating system says, except that nothing there is `Ok(None)`.
    fn kind(&self, path: &Path) -> Result<Option<Kind>>;

    /// The entries of a directory, in the order of their names.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>>;

    /// Creates one directory. Its name is not durable yet.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is taken.
    fn create_dir(&self, path: &Path) -> Result<()>;

    /// Gives a file or directory a new name, atomically; a file replaces a file of that name.
    /// After a power cut the old or the new state is there, never neither.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Gives the file `from` the further name `to`.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is taken; `Unsupported` or `CrossesDevices` where links can't be had
    /// ([`Error::is_unsupported`]).
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file's name. Its bytes go with its last name and its last open handle.
    ///
    /// # Errors
    /// `NotFound` where there is nothing.
    fn remove_file(&self, path: &Path) -> Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `DirectoryNotEmpty`, `NotFound`.
    fn remove_dir(&self, path: &Path) -> Result<()>;

    /// Makes the names in a directory durable: what they are, not the bytes of the files.
    ///
    /// # Errors
    /// After an error nothing is known of changes since the last success, and a later success does not mend that.
    fn sync_dir(&self, path: &Path) -> Result<()>;

    /// Takes the exclusive advisory lock of `path` without waiting; creates an empty file there if there is none.
    ///
    /// # Errors
    /// [`Error::is_locked`] where another handle, of this process or another, holds it.
    fn lock(&self, path: &Path) -> Result<Lock>;
}

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// An open file. Handles are shared freely; reads and writes name their offset.
///
/// Written bytes are seen at once by every reader on this machine and survive the death of the process. They survive
/// a power cut only after [`sync_data`](Self::sync_data); before that, each 512-byte sector holds its old or its new
/// bytes, in any combination.
pub trait VfsFile: Send + Sync + fmt::Debug {
    /// The path that the file was opened at; it may have been renamed since.
    fn path(&self) -> &Path;

    /// The length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads up to `buf.len()` bytes at `offset`; returns how many, 0 only at the end of the file or for an empty
    /// buffer. An interrupted call is made again.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes up to `buf.len()` bytes at `offset`; returns how many, which may be fewer. The file grows as needed, a
    /// gap reads as zero. An interrupted call is made again.
    ///
    /// # Errors
    /// [`Error::is_no_space`] where space ran out.
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize>;

    /// Makes the bytes and the length of the file durable, not its name.
    ///
    /// # Errors
    /// Final for everything written since the last success: the operating system may already have forgotten which
    /// bytes it failed to write, so a second call that succeeds proves nothing.
    fn sync_data(&self) -> Result<()>;

    /// Cuts or extends the file to `len` bytes; what is added reads as zero and occupies no space.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Has space on the disk for a range of bytes, so that writing them later does not run out of it; the file is then at least as long.
    /// What they are means nothing. The space is certain only after [`sync_data`](Self::sync_data).
    ///
    /// # Errors
    /// [`Error::is_no_space`] where there is not so much; part of it may have been had by then.
    fn allocate(&self, range: Range<u64>) -> Result<()> {
        self.write_zeros(range)
    }

    /// The first `len` bytes of the file, read-only and aligned to 16 at least: mapped, or read into memory.
    /// The caller promises that these bytes are neither written nor cut as long as the region lives.
    ///
    /// # Errors
    /// Where the file is shorter, and what the operating system says.
    fn map_start(&self, len: u64, mode: ReadMode) -> Result<Region>;

    /// The whole file, as [`map_start`](Self::map_start) gives it.
    ///
    /// # Errors
    /// As [`map_start`](Self::map_start).
    fn map(&self, mode: ReadMode) -> Result<Region> {
        self.map_start(self.len()?, mode)
    }

    /// Asks the operating system to hold these bytes on disk rather than in its cache: pages that are not on disk yet begin to be
    /// written, those that are there are forgotten, so that the next read asks the disk. A hint: it may do nothing, or more
    /// than was asked for.
    fn evict(&self, range: Range<u64>);

    /// Asks the operating system to read these bytes into its cache, in as large pages as it has: whoever maps them or writes there has to do with fewer then.
    /// So the ranges of several calls best meet on multiples of 2 MiB. May wait for the disk, or only begin to read. A hint, as [`evict`](Self::evict).
    fn prefetch(&self, range: Range<u64>);

    /// Fills `buf` from `offset` if that takes no wait for a disk, because the operating system's cache has these bytes; else says no, and
    /// `buf` may hold anything. The system may begin to read a little of what is not there. By default, and where a system can't tell, it is
    /// always no.
    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> bool {
        let _ = (buf, offset);
        false
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let read = self.read_at(buf, offset)?;
            if read == 0 {
                let end = io::Error::new(io::ErrorKind::UnexpectedEof, format!("the file ends at {offset}"));
                return Err(Error::new(Op::Read, self.path(), end));
            }
            offset += read as u64;
            buf = buf.split_at_mut(read).1;
        }
        Ok(())
    }

    /// Writes zeros, in pieces of 64 KiB.
    ///
    /// # Errors
    /// As [`write_all_at`](Self::write_all_at).
    fn write_zeros(&self, range: Range<u64>) -> Result<()> {
        let Range { mut start, end } = range;
        while start < end {
            let piece = usize::try_from(end - start).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.write_all_at(ZEROS.split_at(piece).0, start)?;
            start += piece as u64;
        }
        Ok(())
    }

    /// Writes all of `buf` at `offset`, in as many calls as it takes.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at); some of the bytes may have been written by then.
    fn write_all_at(&self, mut buf: &[u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let written = self.write_at(buf, offset)?;
            if written == 0 {
                return Err(Error::new(Op::Write, self.path(), io::ErrorKind::WriteZero.into()));
            }
            offset += written as u64;
            buf = buf.split_at(written).1;
        }
        Ok(())
    }
}
