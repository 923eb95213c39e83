//! `RecoverTo::LastGood` where the log ends before the checkpoint: the log is moved aside, and a new one begins where the
//! checkpoint ends.

use std::path::{Path, PathBuf};

use laminar_vfs::{Vfs, remove_tree};
use laminar_wal::{CreateMode, Lsn, Wal};

use super::log_options;
use crate::format::Identity;
use crate::name::{FRESH_WAL_DIR, WAL_DIR, given_up_wal, is_given_up_wal};
use crate::{Error, Result, StoreOptions};

/// Moves `DIR/wal` to the first free `DIR/wal-given-up-N` and creates a log at `position`. Returns it and where the old one is.
pub(super) fn replace_log(
    dir: &Path,
    old: Wal,
    options: &StoreOptions,
    identity: Identity,
    position: Lsn,
) -> Result<(Wal, PathBuf)> {
    drop(old);
    let vfs = &*options.env.vfs;
    let (_, aside) = places(vfs, dir)?;
    // The new log is complete under a name of its own before the old one goes, so that a crash leaves one of the two, and
    // `finish` mends a crash between the two renames.
    let fresh = dir.join(FRESH_WAL_DIR);
    remove_tree(vfs, &fresh)?;
    let (wal, _) = Wal::open(&fresh, log_options(options, identity, CreateMode::Only).start(position))?;
    drop(wal);
    vfs.sync_dir(dir)?;
    vfs.rename(&dir.join(WAL_DIR), &aside)?;
    vfs.sync_dir(dir)?;
    finish(vfs, dir)?;
    let (wal, _) = Wal::open(dir.join(WAL_DIR), log_options(options, identity, CreateMode::Never))?;
    Ok((wal, aside))
}

/// Where the log is that was moved aside last, if one was, and where the next one goes.
fn places(vfs: &dyn Vfs, dir: &Path) -> Result<(Option<PathBuf>, PathBuf)> {
    let mut last = None;
    for number in 1_u64.. {
        let aside = dir.join(given_up_wal(number));
        if vfs.kind(&aside)?.is_none() {
            return Ok((last, aside));
        }
        last = Some(aside);
    }
    unreachable!("no directory has so many entries")
}

/// The logs that were given up and are still there.
pub(super) fn remaining(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = vfs.list(dir)?.into_iter().filter(is_given_up_wal);
    Ok(entries.map(|entry| dir.join(entry.name)).collect())
}

/// Puts a complete new log in the place of the one that was moved aside, if a crash came in between; one that came before leaves a
/// new log that nobody needs, and it is removed. Returns where the old log is, if nobody was told yet.
///
/// # Errors
/// `Missing` where there is neither.
pub(super) fn finish(vfs: &dyn Vfs, dir: &Path) -> Result<Option<PathBuf>> {
    let (fresh, wal) = (dir.join(FRESH_WAL_DIR), dir.join(WAL_DIR));
    match (vfs.kind(&wal)?.is_some(), vfs.kind(&fresh)?.is_some()) {
        (true, false) => Ok(None),
        (true, true) => {
            remove_tree(vfs, &fresh)?;
            Ok(None)
        }
        (false, true) => {
            vfs.rename(&fresh, &wal)?;
            vfs.sync_dir(dir)?;
            Ok(places(vfs, dir)?.0)
        }
        (false, false) => Err(Error::Missing { path: wal }),
    }
}
