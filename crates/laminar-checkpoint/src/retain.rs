//! Removes checkpoints that are no longer wanted, and what unfinished work left behind.

use std::collections::HashMap;
use std::path::PathBuf;

use laminar_vfs::{planted, remove_tree};

use crate::catalog::{CheckpointInfo, condemns};
use crate::checkpoint::{CheckpointStats, read_manifest};
use crate::checkpoints::{CheckpointManager, Shared};
use crate::format::manifest::Manifest;
use crate::name::{Name, parse, removed_name};
use crate::{Error, Result};

/// What a cleanup did.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create};
/// # let scratch = tempfile::tempdir()?;
/// # let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// for position in 1..=4 {
///     manager.create(Create::new(position).entries([("a", Some("1"))]))?;
/// }
/// let in_use = manager.get(1)?;
/// let cleanup = manager.cleanup_old(2)?;
/// assert_eq!((cleanup.removed, cleanup.kept_in_use), (vec![2], vec![in_use.id()]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cleanup {
    /// Checkpoints that are gone, by id.
    pub removed: Vec<u64>,
    /// Checkpoints that would be gone if no handle used them.
    pub kept_in_use: Vec<u64>,
    /// Leftovers of unfinished work that are gone.
    pub strays: u64,
    /// Bytes of files that no other checkpoint shares, as far as the removed ones could be read.
    pub bytes: u64,
}

impl CheckpointManager {
    /// Removes all checkpoints older than the `keep` newest valid ones, and what unfinished work left behind.
    ///
    /// What a handle of this manager uses stays. A checkpoint that is not valid, or that an opening by this manager has
    /// passed over, does not count as kept; it stays, for whoever wants to look into it, until `keep` newer ones are valid.
    /// Names that are not ours are left alone. Every other checkpoint is looked at before any is removed: if one
    /// can't be read, for a reason that says nothing about its validity, nothing is removed.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a `keep` of 0, [`Error::Locked`], and those of the disk.
    pub fn cleanup_old(&self, keep: usize) -> Result<Cleanup> {
        if keep == 0 {
            return Err(Error::InvalidOption { name: "keep", why: "at least one checkpoint must be kept" });
        }
        let shared = &self.shared;
        let _owner = shared.own()?;
        let _one_at_a_time = shared.removing.lock();
        let mut cleanup = Cleanup::default();
        let (mut wanted, mut doomed) = (Vec::new(), Vec::new());
        let mut valid = 0;
        let mut listed = shared.list()?;
        if planted("cleanup-removes-newest") {
            listed.reverse();
        }
        for info in listed.into_iter().rev() {
            if valid >= keep {
                doomed.push(info);
                continue;
            }
            if shared.is_condemned(info.id) {
                // Less is looked at here than by the opening that passed it over.
                continue;
            }
            match shared.load(info.id, &info.path, CheckpointStats::default()) {
                Ok(checkpoint) => {
                    valid += 1;
                    wanted.push(checkpoint.0.manifest.clone());
                }
                Err(error) if condemns(&error) && !matches!(error, Error::Io(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // Until the last is renamed: what is opened from now on is not there any more.
        let live = shared.live.lock();
        for (id, handle) in live.iter() {
            let Some(handle) = handle.upgrade() else { continue };
            if let Some(at) = doomed.iter().position(|info| info.id == *id) {
                cleanup.kept_in_use.push(doomed.remove(at).id);
            }
            wanted.push(handle.manifest.clone());
        }
        cleanup.bytes = shared.freed_bytes(&doomed, &wanted);
        // All that could be in the way goes before the first is renamed: where that can't be done, nothing is removed.
        for info in &doomed {
            remove_tree(shared.vfs(), &shared.removed_path(info))?;
        }
        for info in &doomed {
            // Takes it out of the list, by its name. Its files go once that is durable.
            shared.vfs().rename(&info.path, &shared.removed_path(info))?;
            cleanup.removed.push(info.id);
        }
        drop(live);
        if !doomed.is_empty() {
            shared.vfs().sync_dir(&shared.dir)?;
        }
        cleanup.removed.sort_unstable();
        cleanup.kept_in_use.sort_unstable();
        // What was renamed just now is a stray of the expected number.
        cleanup.strays = shared.sweep()?.saturating_sub(doomed.len() as u64);
        Ok(cleanup)
    }

    /// Removes what unfinished work left behind, and nothing else; returns how many files or directories that was.
    ///
    /// # Errors
    /// [`Error::Locked`], and those of the disk.
    pub fn sweep(&self) -> Result<u64> {
        let _owner = self.shared.own()?;
        let _one_at_a_time = self.shared.removing.lock();
        self.shared.sweep()
    }
}

impl Shared {
    fn removed_path(&self, info: &CheckpointInfo) -> PathBuf {
        self.dir.join(removed_name(info.id))
    }

    fn sweep(&self) -> Result<u64> {
        let mut strays = 0;
        for entry in self.vfs().list(&self.dir)? {
            let path = self.dir.join(&entry.name);
            let is_stray = matches!(parse(&entry.name), Some(Name::Draft(_) | Name::Removed(_) | Name::Merge));
            if is_stray && !self.is_busy(&path) {
                remove_tree(self.vfs(), &path)?;
                strays += 1;
            }
        }
        Ok(strays)
    }

    /// Bytes of the files of `doomed` that none of `wanted` shares.
    fn freed_bytes(&self, doomed: &[CheckpointInfo], wanted: &[Manifest]) -> u64 {
        let mut runs = HashMap::new();
        let mut bytes = 0;
        for info in doomed {
            // Only a figure: what can't be read is left out of it.
            let Ok(read) = read_manifest(self.vfs(), &info.path) else { continue };
            let sections = read.manifest.sections.iter().map(|section| section.file_bytes).sum::<u64>();
            bytes = sections.saturating_add(read.bytes.len() as u64).saturating_add(bytes);
            runs.extend(read.manifest.runs.iter().map(|run| (run.run_id, run.file_bytes)));
        }
        for shared in wanted.iter().flat_map(|manifest| &manifest.runs) {
            runs.remove(&shared.run_id);
        }
        runs.into_values().fold(bytes, u64::saturating_add)
    }
}
