//! Publication: a file with given bytes appears under its name whole, or not at all.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use crate::{Error, Kind, Op, OpenMode, Result, Vfs, planted};

/// What the name of every unfinished file or directory ends with. Whoever opens a directory of ours may remove them.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// The name under which `name` is prepared.
#[must_use]
pub fn temporary_name(name: &OsStr) -> OsString {
    let mut temporary = name.to_owned();
    temporary.push(TEMPORARY_SUFFIX);
    temporary
}

/// Whether a name is that of something unfinished.
#[must_use]
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(TEMPORARY_SUFFIX.as_bytes())
}

/// Writes `bytes` to a temporary file beside `path`, syncs it, renames it to `path` (replacing a file there) and
/// syncs the directory. When this returns, the file survives a power cut; before, the old state does.
///
/// # Errors
/// Those of the five operations. The temporary file is removed if that can be done.
pub fn publish(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Result<()> {
    let (dir, name) = parts(path)?;
    let temporary = dir.join(temporary_name(name));
    let written = write_and_rename(vfs, &temporary, path, bytes);
    if written.is_err() {
        // What is left is only a temporary: the next opening removes it if this can't.
        drop(vfs.remove_file(&temporary));
    }
    written?;
    if planted("publish-name-not-synced") { Ok(()) } else { vfs.sync_dir(dir) }
}

fn write_and_rename(vfs: &dyn Vfs, temporary: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    match vfs.remove_file(temporary) {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    let file = vfs.open(temporary, OpenMode::CreateNew)?;
    file.write_all_at(bytes, 0)?;
    if planted("publish-renamed-before-synced") {
        return vfs.rename(temporary, path).and_then(|()| file.sync_data());
    }
    if !planted("publish-bytes-not-synced") {
        file.sync_data()?;
    }
    vfs.rename(temporary, path)
}

fn parts(path: &Path) -> Result<(&Path, &OsStr)> {
    match path.file_name() {
        Some(name) => Ok((dir_of(path), name)),
        None => Err(Error::new(Op::Open, path, io::ErrorKind::InvalidInput.into())),
    }
}

/// The directory that a name is in.
fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Creates `dir` and whichever of its parents are missing, and makes each new name durable. What exists stays.
/// Returns whether anything was created.
///
/// The name of the lowest directory that exists already is made durable as well: a process that was killed may
/// have created it and not come so far. Call this when something is created in `dir`, not each time it is opened.
///
/// # Errors
/// `NotADirectory` where a file stands in the way. A directory whose name could not be made durable is removed
/// again if that can be done.
pub fn create_dir_durable(vfs: &dyn Vfs, dir: &Path) -> Result<bool> {
    match vfs.kind(dir)? {
        Some(Kind::Dir) => return keep_dir(vfs, dir).map(|()| false),
        Some(_) => return Err(Error::new(Op::CreateDir, dir, io::ErrorKind::NotADirectory.into())),
        None => {}
    }
    let parent = dir_of(dir);
    create_dir_durable(vfs, parent)?;
    match vfs.create_dir(dir) {
        Err(error) if error.is_already_there() && vfs.kind(dir)? == Some(Kind::Dir) => {
            return keep_dir(vfs, dir).map(|()| false);
        }
        created => created?,
    }
    let synced = if planted("new-directory-not-synced") { Ok(()) } else { vfs.sync_dir(parent) };
    if synced.is_err() {
        // Another sync of the same name would prove nothing, so the next attempt must find none.
        drop(vfs.remove_dir(dir));
    }
    synced.map(|()| true)
}

/// Makes the name of a directory durable that somebody created.
fn keep_dir(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    if dir.file_name().is_none() {
        return Ok(());
    }
    match vfs.sync_dir(dir_of(dir)) {
        // What we may not even read, we did not write to either: it is not from a dead process of ours.
        Err(error) if error.io().kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests;
