//! Names as their directory lists them, and the removal of all that is below one.

use std::path::Path;

use crate::{Kind, Result, Vfs};

/// What a path is itself, as its directory lists it: a symbolic link is one, wherever it leads, and nothing else.
///
/// # Errors
/// Where the directory can't be listed.
pub fn kind_of_name(vfs: &dyn Vfs, path: &Path) -> Result<Option<Kind>> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return vfs.kind(path) };
    match vfs.list(dir) {
        Ok(listed) => Ok(listed.into_iter().find(|entry| entry.name == name).map(|entry| entry.kind)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file, or a directory with all that is in it; nothing there is fine. A symbolic link is removed, not what it leads to.
///
/// ```
/// use laminar_vfs::{OpenMode, remove_tree, sim::SimDisk};
/// let vfs = SimDisk::new(1).env().vfs;
/// vfs.create_dir("unfinished".as_ref())?;
/// vfs.open("unfinished/part".as_ref(), OpenMode::CreateNew)?;
/// remove_tree(&*vfs, "unfinished".as_ref())?;
/// assert_eq!(vfs.kind("unfinished".as_ref())?, None);
/// # Ok::<(), laminar_vfs::Error>(())
/// ```
///
/// # Errors
/// The first that the disk refuses; what was removed before is gone.
pub fn remove_tree(vfs: &dyn Vfs, path: &Path) -> Result<()> {
    kind_of_name(vfs, path)?.map_or(Ok(()), |kind| remove_listed(vfs, path, kind))
}

fn remove_listed(vfs: &dyn Vfs, path: &Path, kind: Kind) -> Result<()> {
    let removed = if kind == Kind::Dir {
        for entry in vfs.list(path)? {
            remove_listed(vfs, &path.join(&entry.name), entry.kind)?;
        }
        vfs.remove_dir(path)
    } else {
        vfs.remove_file(path)
    };
    match removed {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
