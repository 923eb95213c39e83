//! `STORE`: who a store is; and what a directory is, decided before a byte in it changes.

use std::path::Path;

use laminar_vfs::{DirEntry, Env, Kind, Lock, OpenMode, Vfs, create_dir_durable, planted, publish, remove_tree};

use crate::format::{BadIdentity, IDENTITY_BYTES, Identity, SECOND_COPY_OFFSET, STORE_BYTES, VERSION};
use crate::name::{CHECKPOINTS_DIR, CREATING, LOCK, RESTORING, STORE, WAL_DIR, is_marker, is_unfinished};
use crate::{Error, Result};

/// What stands at the path of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing, or an empty directory.
    Empty,
    /// A creation that did not end.
    Unfinished,
    /// A restore that did not end, or has not ended yet.
    Restoring,
    /// A store.
    Store,
}

/// Decides what `dir` is. Reads names only, changes nothing.
pub(crate) fn survey(vfs: &dyn Vfs, dir: &Path) -> Result<Place> {
    match vfs.kind(dir)? {
        None => return Ok(Place::Empty),
        Some(Kind::Dir) => {}
        Some(_) => return Err(foreign(dir, "it is not a directory")),
    }
    let entries = vfs.list(dir)?;
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    if has(STORE) {
        return Ok(Place::Store);
    }
    // Also where a creation was cut off before it: what the marker of a restore stands for is never begun anew as an empty store.
    if has(RESTORING) {
        return Ok(Place::Restoring);
    }
    if has(CREATING) || has(WAL_DIR) && planted("store-created-over-another") {
        return Ok(Place::Unfinished);
    }
    if has(WAL_DIR) || has(CHECKPOINTS_DIR) {
        return Err(Error::Missing { path: dir.join(STORE) });
    }
    if entries.iter().any(|entry| entry.name != LOCK && !is_unfinished(entry)) {
        return Err(foreign(dir, "it holds other files"));
    }
    Ok(Place::Empty)
}

fn foreign(path: &Path, why: &'static str) -> Error {
    Error::Foreign { path: path.to_owned(), why }
}

/// Reads `STORE`: the first copy that is valid. The second value tells whether the other copy is damaged.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<(Identity, bool)> {
    let path = dir.join(STORE);
    if vfs.kind(&path)? != Some(Kind::File) {
        return Err(foreign(&path, "it is not a file"));
    }
    let file = vfs.open(&path, OpenMode::Read)?;
    let mut bytes = [0; STORE_BYTES];
    let mut len = 0;
    while len < STORE_BYTES {
        match file.read_at(bytes.split_at_mut(len).1, len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    let bytes = bytes.split_at(len).0;
    let block = |from: usize| bytes.get(from..from + IDENTITY_BYTES).unwrap_or_default();
    let (one, other) = (block(0), block(SECOND_COPY_OFFSET));
    let first = Identity::decode(one);
    // What is the same twice need not be read twice.
    let second = if one == other { first } else { Identity::decode(other) };
    match (first, second) {
        (Ok(first), Ok(second)) if first == second => Ok((first, false)),
        (Ok(_), Ok(_)) => Err(Error::Corrupt { path, offset: 0, reason: "its two copies differ" }),
        (Ok(identity), Err(_)) | (Err(_), Ok(identity)) => Ok((identity, true)),
        (Err(BadIdentity::Version(found)), _) | (_, Err(BadIdentity::Version(found))) => {
            Err(Error::Version { path, found, supported: VERSION })
        }
        (Err(BadIdentity::Corrupt(reason)), _) | (_, Err(BadIdentity::Corrupt(reason))) => {
            Err(Error::Corrupt { path, offset: 0, reason })
        }
        (Err(BadIdentity::Foreign), Err(BadIdentity::Foreign)) => Err(foreign(&path, "the magic does not match")),
    }
}

/// Takes the lock of a store's directory.
pub(crate) fn lock(vfs: &dyn Vfs, dir: &Path) -> Result<Lock> {
    if planted("store-lock-not-taken") {
        return Ok(Lock::new(Box::new(())));
    }
    vfs.lock(&dir.join(LOCK)).map_err(|error| match error.is_locked() {
        true => Error::Locked { path: dir.to_owned() },
        false => error.into(),
    })
}

/// What to say of a restore that has not ended: whether somebody is still at it, or it must be repeated.
pub(crate) fn unfinished_restore(vfs: &dyn Vfs, dir: &Path) -> Error {
    match lock(vfs, dir) {
        Err(locked @ Error::Locked { .. }) => locked,
        // Also where no lock can be taken, as on a disk that is only read.
        _ => Error::RestoreInterrupted { path: dir.to_owned() },
    }
}

/// Begins a creation: the directory, the lock and the marker are there when this returns, and what an unfinished creation
/// left is gone.
pub(crate) fn begin_creation(env: &Env, dir: &Path) -> Result<Lock> {
    begin(env, dir, CREATING)
}

/// Begins a restore as [`begin_creation`] begins a creation, with a marker of its own; what an earlier restore made is gone too.
pub(crate) fn begin_restore(env: &Env, dir: &Path) -> Result<Lock> {
    begin(env, dir, RESTORING)
}

fn begin(env: &Env, dir: &Path, marker: &str) -> Result<Lock> {
    let vfs = &*env.vfs;
    create_dir_durable(vfs, dir)?;
    let lock = lock(vfs, dir)?;
    // Another process may have come between the survey and the lock.
    match survey(vfs, dir)? {
        Place::Store => return Err(Error::Locked { path: dir.to_owned() }),
        Place::Restoring if marker != RESTORING => return Err(Error::RestoreInterrupted { path: dir.to_owned() }),
        Place::Empty | Place::Unfinished | Place::Restoring => {}
    }
    // Also where the marker is there: the sync of its name may have failed, and another one would prove nothing.
    if !planted("store-creation-not-announced") {
        publish(vfs, &dir.join(marker), &[])?;
    }
    for part in [WAL_DIR, CHECKPOINTS_DIR].into_iter().filter(|_| !planted("store-creation-keeps-remains")) {
        remove_tree(vfs, &dir.join(part))?;
    }
    Ok(lock)
}

/// Ends a creation or a restore: from here on there is a store.
pub(crate) fn end_creation(vfs: &dyn Vfs, dir: &Path, identity: Identity) -> Result<()> {
    publish(vfs, &dir.join(STORE), &identity.encode())?;
    sweep(vfs, dir, &vfs.list(dir)?)
}

/// Removes temporaries of an existing store. Where the marker of its creation or restore is among them, nothing says that the name `STORE`
/// is durable: the sync of it may have failed, and the cache shows it all the same. So it is published again first.
pub(crate) fn settle(vfs: &dyn Vfs, dir: &Path, identity: Identity) -> Result<()> {
    let entries = vfs.list(dir)?;
    if entries.iter().any(|entry| is_marker(&entry.name)) && !planted("store-believes-its-name") {
        publish(vfs, &dir.join(STORE), &identity.encode())?;
    }
    sweep(vfs, dir, &entries)
}

/// Removes our own temporaries. The end of the marker is made durable: were it to come back and `STORE` to be lost, the store would pass
/// for an unfinished creation or restore.
fn sweep(vfs: &dyn Vfs, dir: &Path, entries: &[DirEntry]) -> Result<()> {
    let mut swept = false;
    for entry in entries.iter().filter(|entry| is_unfinished(entry)) {
        match vfs.remove_file(&dir.join(&entry.name)) {
            // The publication of `STORE` a moment ago has removed its own.
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => swept = true,
        }
    }
    if swept {
        vfs.sync_dir(dir)?;
    }
    Ok(())
}
