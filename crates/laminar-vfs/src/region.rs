//! Read-only bytes of a file from its start, aligned, mapped or owned.

use std::fmt;
use std::io;
use std::ops::{Deref, Range};
#[cfg(feature = "sim")]
use std::sync::Arc;

/// How the bytes of a file get into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum ReadMode {
    /// The file is mapped: nothing is copied, and the operating system's cache holds the pages. A page that can't be
    /// read later kills the process.
    #[default]
    Mapped,
    /// The file is read into memory of its own: costs its size, and a disk error is only an error.
    Owned,
}

/// Read-only bytes whose first byte lies on a 16-byte boundary at least.
///
/// ```
/// use laminar_vfs::Region;
/// let region = Region::copy_of(b"abc");
/// assert_eq!(&*region, b"abc");
/// assert_eq!(region.as_ptr() as usize % 16, 0);
/// ```
pub struct Region(Inner);

enum Inner {
    Mapped(memmap2::Mmap),
    Owned {
        cells: Vec<u128>,
        len: usize,
    },
    /// Bytes that several regions show; on the simulated disk alone.
    #[cfg(feature = "sim")]
    Shared(Arc<Region>),
}

impl Region {
    pub(crate) fn mapped(map: memmap2::Mmap) -> Self {
        Self(Inner::Mapped(map))
    }

    /// A zero-filled region of `len` bytes, filled in by `fill` before anyone sees it.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn filled_by<E>(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut cells = vec![0u128; len.div_ceil(size_of::<u128>())];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut cells);
        fill(bytes.split_at_mut(len).0)?;
        Ok(Self(Inner::Owned { cells, len }))
    }

    /// Refuses a length that there is no memory for, which `filled_by` would die of. The length of a file is the file
    /// system's word, and a sparse file of any length costs an attacker nothing.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn expect_room(len: usize) -> io::Result<()> {
        Vec::<u8>::new().try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory.into())
    }

    /// A region of its own with the same bytes.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let filled = Self::filled_by(bytes.len(), |into| {
            into.copy_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
        match filled {
            Ok(region) => region,
            Err(never) => match never {},
        }
    }

    /// Another region that shows the same bytes.
    #[cfg(feature = "sim")]
    pub(crate) fn showing(bytes: &Arc<Self>) -> Self {
        Self(Inner::Shared(Arc::clone(bytes)))
    }

    /// Whether the bytes are a mapping of the file, rather than memory of their own.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Inner::Mapped(_))
    }

    /// Reads a range of a mapped file into memory, and maps its pages at once. Where this says yes, all of it could be read, and is at
    /// hand now. It says no where a page can't be read, where the system can't do this (Linux can from 5.14 on), and of bytes that
    /// are no mapping: then a call that reads tells more.
    ///
    /// ```
    /// let region = laminar_vfs::Region::copy_of(b"abc");
    /// assert!(!region.populate(0..3), "nothing to map");
    /// ```
    #[must_use]
    pub fn populate(&self, range: Range<usize>) -> bool {
        match &self.0 {
            Inner::Mapped(map) if range.start < range.end && range.end <= map.len() => populate(map, range),
            _ => false,
        }
    }
}

#[cfg(target_os = "linux")]
fn populate(map: &memmap2::Mmap, range: Range<usize>) -> bool {
    map.advise_range(memmap2::Advice::PopulateRead, range.start, range.len()).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn populate(_map: &memmap2::Mmap, _range: Range<usize>) -> bool {
    false
}

impl Deref for Region {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Mapped(map) => map,
            Inner::Owned { cells, len } => bytemuck::cast_slice(cells).split_at(*len).0,
            #[cfg(feature = "sim")]
            Inner::Shared(region) => region,
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("len", &self.len()).field("mapped", &self.is_mapped()).finish()
    }
}
