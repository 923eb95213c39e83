//! Access to rkyv archives. Owns: every access is checked, and what a block's archive looks like.

use rkyv::api::high::{HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::rend::u16_le;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::vec::ArchivedVec;
use rkyv::{Archive, Portable, Serialize};

use crate::{Error, Result};

/// Sixteen bytes on a boundary of sixteen, so that a value that begins with a cell can be an archive of its own.
#[derive(Debug, Clone, Copy, Portable, CheckBytes, bytemuck::Pod, bytemuck::Zeroable)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C, align(16))]
pub(crate) struct Cell([u8; 16]);

/// What a data block that is not fixed is an archive of.
#[derive(Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub(crate) struct ArchivedBlock {
    /// The entries, packed.
    pub(crate) cells: ArchivedVec<Cell>,
    /// For each entry, in order of the keys, the cell in which its header lies.
    pub(crate) entries: ArchivedVec<u16_le>,
}

/// Bytes of the root of a data block's archive.
pub(crate) const ROOT: usize = 16;
const _: () = assert!(size_of::<ArchivedBlock>() == ROOT && align_of::<ArchivedBlock>() <= 16);
const _: () = assert!(size_of::<Cell>() == 16 && align_of::<Cell>() == 16);

/// The archive whose root ends where `bytes` ends, checked by rkyv item by item.
pub(crate) fn block(bytes: &[u8]) -> Option<&ArchivedBlock> {
    rkyv::api::low::access::<ArchivedBlock, Failure>(bytes).ok()
}

/// A type whose values can become a section.
///
/// Implemented for everything that derives rkyv's `Archive` and `Serialize`.
pub trait ToSection: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, rkyv::rancor::Error>> {}

impl<T> ToSection for T where T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, rkyv::rancor::Error>> {}

/// A type whose archives can be read in place, after a check of their structure.
///
/// Implemented for everything that derives rkyv's `Archive`, as long as its archived form can be checked.
pub trait FromArchive:
    Archive<Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rkyv::rancor::Error>>>
{
}

impl<T> FromArchive for T where
    T: Archive<Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rkyv::rancor::Error>>>
{
}

/// Reads an archive of `T` in place: out of a value of an entry, for instance. Nothing is copied.
///
/// The root is where rkyv puts it, at the end of `bytes`; values begin on boundaries as
/// [`CheckpointOptions::value_alignment`](crate::CheckpointOptions::value_alignment) says. The structure is checked every time, which takes time in proportion to the pointers, strings and enums in it, and none for plain numbers.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create, archived};
/// # let scratch = tempfile::tempdir()?;
/// # let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let value = rkyv::to_bytes::<rkyv::rancor::Error>(&(7u64, 1.5f64))?;
/// let checkpoint = manager.create(Create::new(1).entries([(b"key".to_vec(), Some(value.to_vec()))]))?;
/// let found = checkpoint.get(b"key")?.unwrap();
/// let pair = archived::<(u64, f64)>(found)?;
/// assert_eq!(pair.0.to_native(), 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::WrongType`] where the bytes are no valid archive of `T`, or begin where none may.
pub fn archived<T: FromArchive>(bytes: &[u8]) -> Result<&T::Archived> {
    rkyv::access::<T::Archived, rkyv::rancor::Error>(bytes).map_err(|why| {
        let is_aligned = bytes.as_ptr().addr().is_multiple_of(16);
        let hint =
            if is_aligned { "" } else { "; it begins on no multiple of 16, see `value_alignment` of the options" };
        wrong_type::<T>(format!("{why}{hint}"))
    })
}

/// The archive of `value` as bytes.
pub(crate) fn to_bytes<T: ToSection>(value: &T) -> Result<AlignedVec> {
    rkyv::to_bytes::<rkyv::rancor::Error>(value).map_err(|why| wrong_type::<T>(why.to_string()))
}

pub(crate) fn wrong_type<T>(detail: String) -> Error {
    Error::WrongType { type_name: std::any::type_name::<T>(), detail }
}
