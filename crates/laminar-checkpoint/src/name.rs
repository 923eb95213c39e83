//! Names of files and directories, in both directions.

use std::ffi::OsStr;

pub(crate) const MANIFEST_NAME: &str = "MANIFEST";
pub(crate) const LOCK_NAME: &str = "LOCK";
const CHECKPOINT: &str = "checkpoint-";
const REMOVED: &str = "removed-";
const MERGE: &str = "merge-";
const TEMPORARY: &str = laminar_vfs::TEMPORARY_SUFFIX;
const RUN: &str = ".run";
const SECTION: &str = ".section";
/// An escaped section name longer than this is replaced by its hash: most file systems end at 255.
const MAX_SECTION_NAME: usize = 200;

/// What a name in the directory of checkpoints says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// A published checkpoint.
    Checkpoint(u64),
    /// A checkpoint that is being made, or was when the process died.
    Draft(u64),
    /// A checkpoint that is being removed.
    Removed(u64),
    /// A merge that is being written.
    Merge,
}

pub(crate) fn checkpoint_name(id: u64) -> String {
    format!("{CHECKPOINT}{id:020}")
}

pub(crate) fn draft_name(id: u64) -> String {
    format!("{CHECKPOINT}{id:020}{TEMPORARY}")
}

pub(crate) fn removed_name(id: u64) -> String {
    format!("{REMOVED}{id:020}{TEMPORARY}")
}

pub(crate) fn merge_name(from: u64, to: u64, part: usize) -> String {
    format!("{MERGE}{}{TEMPORARY}", run_name(from, to, part))
}

/// The file of a run, or of a part of one: `part` says how many parts of the same positions lie before it.
pub(crate) fn run_name(from: u64, to: u64, part: usize) -> String {
    if part == 0 { format!("{from:020}-{to:020}{RUN}") } else { format!("{from:020}-{to:020}-{part:04}{RUN}") }
}

/// Reads a number of exactly twenty digits.
fn number(text: &str) -> Option<u64> {
    (text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// What the name is; nothing if it is not one of ours.
pub(crate) fn parse(name: &OsStr) -> Option<Name> {
    let name = name.to_str()?;
    let Some(temporary) = name.strip_suffix(TEMPORARY) else {
        return number(name.strip_prefix(CHECKPOINT)?).map(Name::Checkpoint);
    };
    if let Some(id) = temporary.strip_prefix(CHECKPOINT) {
        return number(id).map(Name::Draft);
    }
    if let Some(id) = temporary.strip_prefix(REMOVED) {
        return number(id).map(Name::Removed);
    }
    let (from, to) = temporary.strip_prefix(MERGE)?.strip_suffix(RUN)?.split_once('-')?;
    let (to, part) = to.split_once('-').unwrap_or((to, "0001"));
    let is_part = part.len() >= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    number(from).and(number(to)).filter(|_| is_part).map(|_| Name::Merge)
}

/// The file of a section. Everything but lower-case letters, digits, `_` and `-` is escaped, so that names that differ
/// stay different on file systems that ignore case; a long name is replaced by its hash, and stands in the MANIFEST.
pub(crate) fn section_name(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for &byte in name.as_bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02x}")),
        }
    }
    if escaped.len() > MAX_SECTION_NAME {
        escaped = format!("%%{:032x}", xxhash_rust::xxh3::xxh3_128(name.as_bytes()));
    }
    if escaped.is_empty() {
        escaped.push('%');
    }
    escaped + SECTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let parse = |name: String| parse(OsStr::new(&name));
        for id in [0, 42, u64::MAX] {
            assert_eq!(parse(checkpoint_name(id)), Some(Name::Checkpoint(id)));
            assert_eq!(parse(draft_name(id)), Some(Name::Draft(id)));
            assert_eq!(parse(removed_name(id)), Some(Name::Removed(id)));
            for part in [0, 1, 12_345] {
                assert_eq!(parse(merge_name(id, id, part)), Some(Name::Merge));
            }
        }
        for foreign in ["checkpoint-7", "checkpoint-7.tmp", "notes.tmp", "LOCK", "", "checkpoint-+0000000000000000001"]
        {
            assert_eq!(parse(foreign.to_owned()), None, "{foreign}");
        }
        let part = |part: &str| parse(merge_name(1, 2, 7).replace("-0007", part));
        assert_eq!(
            (part("-0007"), part("-7"), part("-000x"), part("-0007-0007")),
            (Some(Name::Merge), None, None, None)
        );
        assert_eq!(parse("checkpoint-99999999999999999999".to_owned()), None, "beyond 64 bits");
    }

    #[test]
    fn section_names_never_meet() {
        assert_eq!(section_name("counts_2-a"), "counts_2-a.section");
        assert_eq!(section_name("A/b"), "%41%2fb.section");
        assert_eq!(section_name(""), "%.section");
        assert_eq!(section_name("%"), "%25.section");
        let long = section_name(&"x".repeat(5000));
        assert!(long.len() < 255 && long != section_name(&"x".repeat(5001)));
        assert_eq!(section_name("../\u{fc}").chars().filter(|c| "./\\".contains(*c)).count(), 1);
    }
}
