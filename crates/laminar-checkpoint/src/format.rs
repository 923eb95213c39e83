#![doc = include_str!("../FORMAT.md")]
//!
//! This module is pure: it encodes to and decodes from byte slices, and touches no file.

use crate::error::Reason;

pub(crate) mod block;
pub(crate) mod bytes;
pub(crate) mod fixed;
pub(crate) mod manifest;
pub(crate) mod run;
pub(crate) mod section;
pub(crate) mod twin;

/// The version that is written, and the newest that is read.
pub(crate) const VERSION: u32 = 1;

/// The unit of placement: blocks, chapters and copies begin at multiples of it.
pub(crate) const PAGE: usize = 4096;

/// Bytes of the header of a run or of a section.
pub(crate) const FILE_HEADER: usize = 512;
pub(crate) const FILE_HEADER_CRC_AT: usize = FILE_HEADER - 4;

/// Keys and values may be this long; keys a little longer, so that a layer above can put a prefix before them.
pub(crate) const MAX_VALUE_BYTES: usize = 16 << 20;
pub(crate) const MAX_KEY_BYTES: usize = MAX_VALUE_BYTES + 64;

/// How rkyv was configured, as a word: little-endian (1), aligned (1), pointers of 4 bytes, archives of rkyv 0.8.
pub(crate) const SETTINGS: u32 = 0x0804_0101;

// Another crate of a build can turn on features of rkyv that change its bytes: then this crate does not compile.
const _: fn(rkyv::primitive::ArchivedU32) -> rkyv::rend::u32_le = |same| same;
const _: () = assert!(size_of::<rkyv::primitive::ArchivedUsize>() == 4);
const _: () = assert!(align_of::<rkyv::primitive::ArchivedU64>() == 8);

/// Why bytes could not be decoded; the caller adds path and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The magic is another one.
    Foreign,
    /// The rkyv settings are others.
    Settings,
    /// Whole, and of a version that is not known.
    Version(u32),
    /// Damaged: how, and what was expected there.
    Damage(Reason, &'static str),
}

/// `value` rounded up to whole pages; saturates far above every file.
pub(crate) fn page_ceil(value: u64) -> u64 {
    value.saturating_add(PAGE as u64 - 1) & !(PAGE as u64 - 1)
}

/// Checks what every header begins with: magic, version, and a checksum over all before `crc_at`.
/// The checksum is judged before the version, so that damage never passes for a file of the future.
pub(crate) fn checked_magic(magic: &[u8; 8], header: &[u8], crc_at: usize) -> Result<(), Fault> {
    let short = Fault::Damage(Reason::Length, "a header");
    let covered = header.get(..crc_at).ok_or(short)?;
    let crc = bytes::u32_at(header, crc_at).ok_or(short)?;
    if !covered.starts_with(magic) {
        return Err(Fault::Foreign);
    }
    if crc32c::crc32c(covered) != crc {
        return Err(Fault::Damage(Reason::Checksum, "a header that matches its checksum"));
    }
    match bytes::u32_at(header, 8) {
        Some(VERSION) => Ok(()),
        found => Err(Fault::Version(found.unwrap_or(0))),
    }
}
