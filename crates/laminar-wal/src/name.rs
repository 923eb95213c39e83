//! The names of a log's files, in both directions.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use laminar_vfs::{TEMPORARY_SUFFIX, is_temporary};

/// The file that says which log this is.
pub(crate) const IDENTITY: &str = "LOG";
/// The advisory lock.
pub(crate) const LOCK: &str = "LOCK";
/// There only after a clean close.
pub(crate) const CLOSED: &str = "CLOSED";
/// Space that recovery may write into when the disk is full.
pub(crate) const RESERVE: &str = "RESERVE";

const SEGMENT_SUFFIX: &str = ".wal";
const ASIDE_SUFFIX: &str = ".aside";
const DIGITS: usize = 20;

/// What a name in a log's directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Identity,
    Lock,
    Closed,
    Reserve,
    /// A segment, by its first position.
    Segment(u64),
    /// An unfinished file of ours.
    Temporary,
    /// What recovery cut from the segment of this first position; kept for people as long as the log has that segment.
    Cut(u64),
    /// Kept for people, until they remove it.
    Aside,
    /// Not ours.
    Other,
}

/// The path of a file in a directory, made without a second allocation.
pub(crate) fn join(dir: &Path, name: &str) -> PathBuf {
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + 1 + name.len());
    path.push(dir);
    path.push(name);
    path
}

/// `00000000000000000000.wal`
pub(crate) fn segment(dir: &Path, first: u64) -> PathBuf {
    // By hand: a recovery makes many of these, and most of them only to look.
    let mut name = [b'0'; DIGITS + SEGMENT_SUFFIX.len()];
    let (digits, suffix) = name.split_at_mut(DIGITS);
    suffix.copy_from_slice(SEGMENT_SUFFIX.as_bytes());
    let mut rest = first;
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    join(dir, std::str::from_utf8(&name).unwrap_or_default())
}

/// Where the old last segment is kept when recovery cuts something from it.
pub(crate) fn cut_aside(dir: &Path, first: u64, generation: u64) -> PathBuf {
    dir.join(format!("cut-{first:020}-{generation:016x}{ASIDE_SUFFIX}"))
}

/// Where a segment is kept that was given up on request. `mark` tells apart several of one position.
pub(crate) fn lost_aside(dir: &Path, first: u64, mark: u64) -> PathBuf {
    dir.join(format!("lost-{first:020}-{mark:016x}{ASIDE_SUFFIX}"))
}

/// Where `path` is prepared.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::with_capacity(path.as_os_str().len() + TEMPORARY_SUFFIX.len());
    name.push(path);
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}

pub(crate) fn parse(name: &OsStr) -> Name {
    let Some(text) = name.to_str() else { return Name::Other };
    if is_temporary(name) {
        let target = text.strip_suffix(TEMPORARY_SUFFIX).map_or(Name::Other, |text| parse(text.as_ref()));
        return if matches!(target, Name::Other | Name::Temporary) { Name::Other } else { Name::Temporary };
    }
    match text {
        IDENTITY => return Name::Identity,
        LOCK => return Name::Lock,
        CLOSED => return Name::Closed,
        RESERVE => return Name::Reserve,
        _ => {}
    }
    if let Some(digits) = text.strip_suffix(SEGMENT_SUFFIX) {
        return position(digits).map_or(Name::Other, Name::Segment);
    }
    let Some(kept) = text.strip_suffix(ASIDE_SUFFIX) else { return Name::Other };
    match kept.strip_prefix("cut-") {
        Some(cut) => cut_from(cut).map_or(Name::Aside, Name::Cut),
        None if kept.starts_with("lost-") => Name::Aside,
        None => Name::Other,
    }
}

/// The position in `<first>-<generation>`, if both are written as [`cut_aside`] does.
fn cut_from(text: &str) -> Option<u64> {
    let (first, generation) = text.split_once('-')?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (generation.len() == 16 && generation.bytes().all(is_hex)).then(|| position(first))?
}

fn position(digits: &str) -> Option<u64> {
    let canonical = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if canonical { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let dir = Path::new("d");
        let read = |path: PathBuf| parse(path.file_name().unwrap());
        assert_eq!(read(segment(dir, 42)), Name::Segment(42));
        assert_eq!(read(segment(dir, u64::MAX)), Name::Segment(u64::MAX));
        assert_eq!(read(temporary(&segment(dir, 42))), Name::Temporary);
        assert_eq!(read(cut_aside(dir, 1, 2)), Name::Cut(1));
        assert_eq!(read(cut_aside(dir, u64::MAX, u64::MAX)), Name::Cut(u64::MAX));
        for kept in
            ["cut-1-2.aside", "cut-00000000000000000001.aside", "cut-00000000000000000001-000000000000000G.aside"]
        {
            assert_eq!(parse(kept.as_ref()), Name::Aside, "{kept}");
        }
        assert_eq!(read(lost_aside(dir, 1, 2)), Name::Aside);
        for other in ["42.wal", "0000000000000000004x.wal", "notes.tmp", "LOG.tmp.tmp", "log", "x.aside"] {
            assert_eq!(parse(other.as_ref()), Name::Other, "{other}");
        }
        assert_eq!(parse("LOG.tmp".as_ref()), Name::Temporary);
    }
}
