//! A run: sorted entries that cover the positions from one to another, in one immutable file.

use std::fmt;
use std::ops::Bound;
use std::path::Path;

use crate::Result;
use crate::hash::hash_key;
use crate::report::Healed;
use crate::sync::Arc;

mod ahead;
mod file;
mod find;
mod guide;
mod heal;
mod iter;
mod parts;
mod prefetch;
#[cfg(test)]
mod tests;
mod verify;
mod way;
mod writer;

pub(crate) use ahead::VerifyAhead;
pub(crate) use file::{RunFile, open_exact, room};
pub(crate) use iter::KeyValue;
pub use iter::RunIter;
pub(crate) use parts::{Parts, parts_from};
pub(crate) use verify::verify;
pub use writer::{FinishedRun, RunWriter};

/// An open run, or a part of the oldest; a cheap clone shares it.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create, Found};
/// # let scratch = tempfile::tempdir()?;
/// # let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let checkpoint = manager.create(Create::new(5).entries([("a", Some("1")), ("c", Some("3"))]))?;
/// let run = &checkpoint.runs()[0];
/// assert_eq!((run.from(), run.to(), run.entries()), (0, 5, 2));
/// assert_eq!(run.get(run.hash(b"c"), b"c")?, Some(Found::Value(b"3")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Run {
    pub(crate) file: Arc<RunFile>,
    /// The name that the run has in the checkpoint it was reached through; the shared file may have been opened by
    /// another, which is gone by now.
    path: Arc<Path>,
}

/// What a run holds for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an entry has a value or marks its absence; there is no third")]
pub enum Found<'a> {
    /// The key has this value. Where it begins, see [`CheckpointOptions::value_alignment`](crate::CheckpointOptions::value_alignment).
    Value(&'a [u8]),
    /// The key is gone, whatever older runs say.
    Tombstone,
}

impl<'a> Found<'a> {
    /// The value, or nothing for a tombstone.
    #[must_use]
    pub fn value(self) -> Option<&'a [u8]> {
        match self {
            Self::Value(value) => Some(value),
            Self::Tombstone => None,
        }
    }
}

impl Run {
    pub(crate) fn new(file: Arc<RunFile>, path: &Path) -> Self {
        let path = path.into();
        file.add_name(&path);
        Self { file, path }
    }

    /// The first position that the run covers.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.file.footer.identity.from
    }

    /// The position just past what the run covers.
    #[must_use]
    pub fn to(&self) -> u64 {
        self.file.footer.identity.to
    }

    /// The random id by which this run is told from all others.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.file.footer.identity.run_id
    }

    /// The number of entries, tombstones among them.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.file.footer.counts.entries
    }

    /// The number of tombstones.
    #[must_use]
    pub fn tombstones(&self) -> u64 {
        self.file.footer.counts.tombstones
    }

    /// The bytes of all keys and values.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        let counts = &self.file.footer.counts;
        counts.key_bytes.saturating_add(counts.value_bytes)
    }

    /// The file's length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.region().len() as u64
    }

    /// Whether nothing lies below this run, so that it has no tombstones.
    #[must_use]
    pub fn is_base(&self) -> bool {
        self.file.footer.identity.is_base
    }

    /// The file, in the checkpoint that the run was reached through.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lowest key; nothing if the run is empty.
    #[must_use]
    pub fn first_key(&self) -> Option<&[u8]> {
        self.file.footer.first_key()
    }

    /// The highest key; nothing if the run is empty.
    #[must_use]
    pub fn last_key(&self) -> Option<&[u8]> {
        self.file.footer.last_key()
    }

    /// The seed of the run's hash, see [`hash_key`].
    #[must_use]
    pub fn hash_seed(&self) -> u64 {
        self.file.footer.identity.hash_seed
    }

    /// The hash of `key` that [`get`](Self::get) and [`may_contain`](Self::may_contain) ask for.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash_key(self.hash_seed(), key)
    }

    /// What the run holds for `key`, read in place. `hash` must be the key's [`hash`](Self::hash).
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) where the block that holds the key, or would hold it, is lost; those of
    /// the disk.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Result<Option<Found<'_>>> {
        self.file.get(hash, key.into())
    }

    /// Whether the run may hold something for `key`. `false` is certain; `true` is wrong about once in a hundred
    /// times. Where the filter can't be read, or there is none, it is `true` for any key between the first and the last of a chapter: a base
    /// run has no filters, and neither has a chapter of a single block.
    #[must_use]
    #[inline]
    pub fn may_contain(&self, hash: u64, key: &[u8]) -> bool {
        self.file.may_contain(hash, key.into())
    }

    /// All entries in ascending order of their keys, tombstones among them.
    #[must_use]
    pub fn iter(&self) -> RunIter<'_> {
        self.range(Bound::Unbounded, Bound::Unbounded)
    }

    /// The entries between two bounds, tombstones among them.
    #[must_use]
    pub fn range(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> RunIter<'_> {
        RunIter::new(&self.file, lower, upper)
    }

    /// What was damaged and made good since the run was opened.
    #[must_use]
    pub fn healed(&self) -> Vec<Healed> {
        let mut healed = self.file.healed();
        healed.iter_mut().for_each(|healed| healed.path = self.path.to_path_buf());
        healed
    }
}

impl<'a> IntoIterator for &'a Run {
    type Item = Result<(&'a [u8], Option<&'a [u8]>)>;
    type IntoIter = RunIter<'a>;

    fn into_iter(self) -> RunIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("from", &self.from())
            .field("to", &self.to())
            .field("entries", &self.entries())
            .finish()
    }
}
