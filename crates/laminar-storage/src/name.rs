//! The names in a store's directory. The names inside `wal/` and `checkpoints/` belong to the layers below.

use std::ffi::OsStr;

use laminar_vfs::{DirEntry, Kind, temporary_name};

/// The identity, published last when a store is created.
pub(crate) const STORE: &str = "STORE";
/// The advisory lock of the owner.
pub(crate) const LOCK: &str = "LOCK";
/// Marks a creation that has not ended.
pub(crate) const CREATING: &str = "CREATING.tmp";
/// Marks a restore that has not ended.
pub(crate) const RESTORING: &str = "RESTORING.tmp";
/// The log.
pub(crate) const WAL_DIR: &str = "wal";
/// The checkpoints.
pub(crate) const CHECKPOINTS_DIR: &str = "checkpoints";
/// A log that is about to take the place of one that was given up.
pub(crate) const FRESH_WAL_DIR: &str = "wal-fresh";

const GIVEN_UP_PREFIX: &str = "wal-given-up-";

/// A log that was given up, counted from 1.
pub(crate) fn given_up_wal(number: u64) -> String {
    format!("{GIVEN_UP_PREFIX}{number}")
}

/// Whether an entry is a log that was given up.
pub(crate) fn is_given_up_wal(entry: &DirEntry) -> bool {
    entry.kind == Kind::Dir && entry.name.to_str().is_some_and(|name| name.starts_with(GIVEN_UP_PREFIX))
}

/// Whether a name is that of a marker.
pub(crate) fn is_marker(name: &OsStr) -> bool {
    name == CREATING || name == RESTORING
}

/// Whether an entry is one of the files that a store leaves unfinished. Others may end in `.tmp` too, and are not ours to remove.
pub(crate) fn is_unfinished(entry: &DirEntry) -> bool {
    let prepared = [STORE, CREATING, RESTORING].map(|name| temporary_name(OsStr::new(name)));
    entry.kind == Kind::File && (is_marker(&entry.name) || prepared.contains(&entry.name))
}
