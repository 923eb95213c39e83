//! What differs between systems, and the one call that is `unsafe`: mapping a file.

use std::fs::{File, OpenOptions};
use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::Path;

/// Has this thread run where no other wants to. Elsewhere a priority is one of the whole process.
#[cfg(target_os = "linux")]
pub(crate) fn yield_to_all_others() {
    const LOWEST: i32 = 19;
    // Where it is refused the thread is one as all others.
    let _ = rustix::process::setpriority_process(None, LOWEST);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn yield_to_all_others() {}

/// Lets opening a pipe return at once; regular files don't know the difference.
#[cfg(unix)]
pub(super) fn without_waiting(options: &mut OpenOptions) {
    flag(options, rustix::fs::OFlags::NONBLOCK);
}

#[cfg(unix)]
fn flag(options: &mut OpenOptions, flag: rustix::fs::OFlags) {
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, flag.bits().cast_signed());
}

#[cfg(not(unix))]
pub(super) fn without_waiting(_options: &mut OpenOptions) {}

#[cfg(unix)]
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(unix)]
pub(super) fn write_at(file: &File, buf: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, buf, offset)
}

#[cfg(windows)]
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    match std::os::windows::fs::FileExt::seek_read(file, buf, offset) {
        // Reading beyond the end is an error on this system; the seam says 0.
        Err(error) if error.raw_os_error() == Some(38) => Ok(0),
        result => result,
    }
}

#[cfg(windows)]
pub(super) fn write_at(file: &File, buf: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, buf, offset)
}

#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "the directory is opened to be synced, by the seam itself")]
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // Syncing a file through its name is not what was asked for, and a pipe would wait for its other end.
    flag(options.read(true), rustix::fs::OFlags::DIRECTORY);
    options.open(path)?.sync_all()
}

/// NTFS journals its names and offers no call to sync a directory.
#[cfg(windows)]
pub(super) fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Extents without content, which cost a file system that has them no more than a note. `Unsupported` where it has none.
#[cfg(target_os = "linux")]
pub(super) fn allocate(file: &File, range: &Range<u64>) -> io::Result<()> {
    let len = range.end.saturating_sub(range.start);
    if len == 0 {
        return Ok(());
    }
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), range.start, len)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn allocate(_file: &File, _range: &Range<u64>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Linux begins to write what is dirty of the range, and drops what is clean.
#[cfg(target_os = "linux")]
pub(super) fn evict(file: &File, range: Range<u64>) {
    advise(file, range, rustix::fs::Advice::DontNeed);
}

/// Where the file system has large folios (ext4 since Linux 6.16, XFS since 5.18), what is read for a mapping in huge pages comes into the
/// cache in as large ones, of up to 2 MiB; what is asked for by `POSIX_FADV_WILLNEED`, in pages of 4 KiB each.
#[cfg(target_os = "linux")]
pub(super) fn prefetch(file: &File, range: Range<u64>) {
    /// Linux reads no more than its read-ahead for a call, which is this much where nobody has set it.
    const CALL: u64 = 128 << 10;
    if range.is_empty() || populate(file, &range).is_ok() {
        return;
    }
    let starts = std::iter::successors(Some(range.start), |start| Some(start + CALL));
    starts
        .take_while(|start| *start < range.end)
        .for_each(|start| advise(file, start..range.end.min(start + CALL), rustix::fs::Advice::WillNeed));
}

/// Reads through a mapping that is gone afterwards; an error where the bytes can't be read, and before Linux 5.14.
#[cfg(target_os = "linux")]
fn populate(file: &File, range: &Range<u64>) -> io::Result<()> {
    let len = usize::try_from(range.end - range.start).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let map = memmap2::MmapOptions::new().offset(range.start).len(len).map_raw_read_only(file)?;
    // Refused by a kernel that has no huge pages: then those that come are small.
    let _ = map.advise(memmap2::Advice::HugePage);
    map.advise(memmap2::Advice::PopulateRead)
}

/// Reads what the cache has. An error where that begins later than at `offset`, or can't be told.
#[cfg(target_os = "linux")]
pub(super) fn read_cached_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::preadv2(file, &mut [io::IoSliceMut::new(buf)], offset, rustix::io::ReadWriteFlags::NOWAIT)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_cached_at(_file: &File, _buf: &mut [u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn advise(file: &File, range: Range<u64>, advice: rustix::fs::Advice) {
    // No length would mean everything up to the end.
    if let Some(len) = NonZeroU64::new(range.end.saturating_sub(range.start)) {
        // A hint: where it fails, reads and writes are what they would be without it.
        let _ = rustix::fs::fadvise(file, range.start, Some(len), advice);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn evict(_file: &File, _range: Range<u64>) {}

#[cfg(not(target_os = "linux"))]
pub(super) fn prefetch(_file: &File, _range: Range<u64>) {}

#[expect(unsafe_code, reason = "a mapping can't be had without it")]
pub(super) fn map_start(file: &File, len: usize) -> io::Result<memmap2::Mmap> {
    // SAFETY: the bytes of a mapping must not change under a `&[u8]`. Files are mapped only after they were published whole,
    // and of one that is still appended to only a beginning that was synced; no code of ours writes to such bytes again, or
    // cuts them off: a file is unlinked, which keeps the mapping's bytes.
    // `VfsFile::map_start` hands the same promise to other callers. Another program that edits our files while they are
    // mapped is outside of what any mapping can guard against, and is excluded in ARCHITECTURE.md.
    unsafe { memmap2::MmapOptions::new().len(len).map(file) }
}
