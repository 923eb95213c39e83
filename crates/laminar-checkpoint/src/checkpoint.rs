//! An open checkpoint: immutable, consistent, read in place.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};

use laminar_vfs::{Env, OpenMode, ReadMode, Vfs};

use crate::archive::FromArchive;
use crate::catalog::check_as_told;
use crate::error::{Reason, missing};
use crate::format::bytes::index;
use crate::format::manifest::{MANIFEST_MAGIC, MAX_MANIFEST_BYTES, Manifest, RunRecord};
use crate::format::twin;
use crate::key::KeyBuf;
use crate::name::MANIFEST_NAME;
use crate::report::{Healed, Part};
use crate::run::{Parts, Run, RunFile, VerifyAhead, open_exact};
use crate::scan::Scan;
use crate::section::SectionFile;
use crate::sync::{Arc, Mutex, Weak};
use crate::{CheckpointOptions, Error, Result};

mod lookup;

/// What making a checkpoint cost. All zero where it was opened rather than made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CheckpointStats {
    /// Bytes written to new files, the MANIFEST among them.
    pub bytes_written: u64,
    /// Entries in new runs, tombstones among them.
    pub entries_written: u64,
    /// Files of runs shared with other checkpoints by hard link.
    pub linked: u64,
    /// Files of runs copied, because the file system has no hard links.
    pub copied: u64,
    /// Files of runs that were merged, in whole or in part.
    pub merged: u64,
    /// A merge was due and failed; its runs were taken over as they are.
    pub merge_failed: bool,
}

/// A checkpoint; a cheap clone shares it. All its files are open, and as long as a clone lives,
/// [`CheckpointManager::cleanup_old`](crate::CheckpointManager::cleanup_old) leaves its directory alone.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create};
/// # let scratch = tempfile::tempdir()?;
/// let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let counts = vec![("apples".to_owned(), 3u64), ("pears".to_owned(), 5)];
/// let checkpoint = manager.create(Create::new(0).section("counts", &counts))?;
/// let read = checkpoint.section::<Vec<(String, u64)>>("counts")?;
/// assert_eq!(read[1].1.to_native(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Checkpoint(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    dir: PathBuf,
    pub(crate) manifest: Manifest,
    runs: Vec<Run>,
    parts: Parts,
    /// There is one run, and its hash is that of `hash_seed`.
    is_plain: bool,
    sections: Vec<SectionFile>,
    healed: Option<Healed>,
    manifest_bytes: u64,
    hash_seed: u64,
    pub(crate) stats: CheckpointStats,
}

/// Runs that are open in this process, so that checkpoints share what was verified and rebuilt of them.
#[derive(Debug)]
pub(crate) struct Registry {
    runs: Mutex<HashMap<u128, Weak<RunFile>>>,
    verify_ahead: Arc<VerifyAhead>,
}

impl Registry {
    pub(crate) fn new(env: &Env) -> Self {
        Self { runs: Mutex::default(), verify_ahead: Arc::new(VerifyAhead::new(&env.spawn)) }
    }

    fn open(&self, vfs: &dyn Vfs, path: &Path, record: &RunRecord, mode: ReadMode) -> Result<Arc<RunFile>> {
        let known = self.runs.lock().get(&record.run_id).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.record.footer_crc == record.footer_crc) {
            // The same run under another name; that name must be there all the same.
            open_exact(vfs, path, record.file_bytes)?;
            return Ok(known);
        }
        let opened = RunFile::open(vfs, path, record, mode)?.verified_ahead(&self.verify_ahead);
        let mut runs = self.runs.lock();
        runs.retain(|_, run| run.strong_count() > 0);
        runs.insert(record.run_id, Arc::downgrade(&opened));
        Ok(opened)
    }
}

/// A MANIFEST, how long its file is, and the copy of it that was damaged.
pub(crate) struct ReadManifest {
    pub(crate) manifest: Manifest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) healed: Option<Healed>,
}

/// Reads the MANIFEST of the checkpoint in `dir`.
pub(crate) fn read_manifest(vfs: &dyn Vfs, dir: &Path) -> Result<ReadManifest> {
    let path = dir.join(MANIFEST_NAME);
    let file = vfs.open(&path, OpenMode::Read).map_err(missing)?;
    let len = file.len()?;
    if len > MAX_MANIFEST_BYTES {
        return Err(Error::corrupt(&path, 0, Reason::Length, "a manifest of believable length"));
    }
    let mut bytes = vec![0; index(len)];
    if let Err(error) = file.read_exact_at(&mut bytes, 0) {
        // One copy may be readable still; what is not stays zero, which is no valid copy.
        bytes.fill(0);
        let (first, second) = bytes.split_at_mut(index(len / 2));
        if file.read_exact_at(first, 0).is_err() && file.read_exact_at(second, len / 2).is_err() {
            return Err(error.into());
        }
    }
    let (manifest, healed) = {
        let twin = twin::either(MANIFEST_MAGIC, &bytes).map_err(|fault| Error::fault(&path, 0, fault))?;
        let manifest = Manifest::decode(twin.body).map_err(|fault| Error::fault(&path, 0, fault))?;
        let healed =
            twin.healed.map(|offset| Healed { path: path.clone(), offset, bytes: len / 2, part: Part::Manifest });
        (manifest, healed)
    };
    Ok(ReadManifest { manifest, bytes, healed })
}

impl Checkpoint {
    /// Opens the checkpoint in `dir`, wherever that is: a copy in a backup will do. Takes no lock and writes nothing. Of
    /// `options`, the environment, the read mode, the lineage, and how much is to be verified matter.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Corrupt`], [`Error::Foreign`], [`Error::Version`], and those of the disk. With
    /// [`Verify::All`](crate::Verify::All) also the first damage, in whatever file, that can't be made good.
    pub fn open(dir: impl AsRef<Path>, options: &CheckpointOptions) -> Result<Self> {
        let dir = dir.as_ref();
        let checkpoint = Self::load(dir, options, &Registry::new(&options.env), CheckpointStats::default())?;
        check_as_told(dir, options)?;
        Ok(checkpoint)
    }

    pub(crate) fn load(
        dir: &Path,
        options: &CheckpointOptions,
        registry: &Registry,
        stats: CheckpointStats,
    ) -> Result<Self> {
        let vfs = &*options.env.vfs;
        let ReadManifest { manifest, bytes, healed } = read_manifest(vfs, dir)?;
        if options.lineage != 0 && manifest.lineage != options.lineage {
            return Err(Error::Foreign { path: dir.join(MANIFEST_NAME), why: "it is of another lineage" });
        }
        let mut runs = Vec::with_capacity(manifest.runs.len());
        for (record, name) in manifest.runs.iter().zip(manifest.run_names()) {
            let path = dir.join(name);
            runs.push(Run::new(registry.open(vfs, &path, record, options.read_mode)?, &path));
        }
        let parts = runs.get(..manifest.parts()).unwrap_or_default();
        if !parts.windows(2).all(|pair| matches!(pair, [a, b] if a.last_key() < b.first_key())) {
            let path = dir.join(MANIFEST_NAME);
            return Err(Error::corrupt(&path, 0, Reason::Mismatch, "parts of a run in the order of their keys"));
        }
        let hash_seed = options.hash_seed.or_else(|| runs.last().map(Run::hash_seed)).unwrap_or(0);
        let parts = Parts::of(parts);
        let is_plain = parts.count() == runs.len() && parts.hash_seed() == Some(hash_seed);
        let mut sections = Vec::with_capacity(manifest.sections.len());
        for record in &manifest.sections {
            sections.push(SectionFile::open(vfs, dir, record, options.read_mode)?);
        }
        let manifest_bytes = bytes.len() as u64;
        let dir = dir.to_owned();
        Ok(Self(Arc::new(Inner {
            dir,
            manifest,
            runs,
            parts,
            is_plain,
            sections,
            healed,
            manifest_bytes,
            hash_seed,
            stats,
        })))
    }

    /// The number of the checkpoint: above that of every checkpoint made before it in the same directory.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.manifest.id
    }

    /// When it was made: milliseconds since 1970-01-01 UTC by the clock of the machine.
    #[must_use]
    pub fn timestamp_ms(&self) -> u64 {
        self.0.manifest.timestamp_ms
    }

    /// The position up to which the checkpoint holds what was written.
    #[must_use]
    pub fn wal_position(&self) -> u64 {
        self.0.manifest.wal_position
    }

    /// How far each source had been read at that position.
    #[must_use]
    pub fn source_offsets(&self) -> &BTreeMap<String, u64> {
        &self.0.manifest.source_offsets
    }

    /// The directory that the checkpoint lies in, complete in itself.
    #[must_use]
    pub fn state_path(&self) -> &Path {
        &self.0.dir
    }

    /// What the checkpoint belongs to, see [`CheckpointOptions::lineage`].
    #[must_use]
    pub fn lineage(&self) -> u128 {
        self.0.manifest.lineage
    }

    /// Whether every file was read back from disk after it was synced.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.0.manifest.is_verified
    }

    /// What making it cost.
    #[must_use]
    pub fn stats(&self) -> CheckpointStats {
        self.0.stats
    }

    /// The files of the runs, oldest run first. The oldest may lie in several *parts*, files of its keys one behind the other, which
    /// [begin](Run::from) at the same position; all others lie in one.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.0.runs
    }

    /// How many runs there are, with all parts of the oldest as one: so many a look-up has to ask at most.
    #[must_use]
    pub fn depth(&self) -> usize {
        let (parts, later) = self.layers();
        later.len() + usize::from(!parts.is_empty())
    }

    /// The parts of the oldest run, in the order of their keys, and the later runs, oldest first.
    #[inline]
    pub(crate) fn layers(&self) -> (&[Run], &[Run]) {
        self.0.runs.split_at(self.0.parts.count())
    }

    /// The seed of the hash that [`get_hashed`](Self::get_hashed) asks for: that of the options, else of the newest run.
    #[must_use]
    pub fn hash_seed(&self) -> u64 {
        self.0.hash_seed
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// The entries whose keys begin with `prefix`, in ascending order.
    #[must_use]
    pub fn prefix(&self, prefix: &[u8]) -> Scan<'_> {
        let end = KeyBuf::above(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.range((Bound::Included(prefix), upper))
    }

    /// The entries within `bounds`, in ascending order: `range(..)` for all, `range(&b"a"[..]..)` from a key on. Bounds
    /// that cross give none.
    #[must_use]
    pub fn range<'k>(&self, bounds: impl RangeBounds<&'k [u8]>) -> Scan<'_> {
        let (parts, later) = self.layers();
        Scan::new(parts, later, bounds.start_bound().cloned(), bounds.end_bound().cloned())
    }

    /// The number of keys that have a value. Counts by scanning, unless there is only one run.
    ///
    /// # Errors
    /// As a scan.
    pub fn len(&self) -> Result<u64> {
        if self.depth() <= 1 {
            return Ok(self.entries_upper_bound());
        }
        let mut count = 0;
        for entry in self.range(..) {
            entry?;
            count += 1;
        }
        Ok(count)
    }

    /// Whether no key has a value.
    ///
    /// # Errors
    /// As a scan.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.range(..).next().transpose()?.is_none())
    }

    /// The entries of all runs together, at no cost: a key that several runs have counts several times.
    #[must_use]
    pub fn entries_upper_bound(&self) -> u64 {
        self.0.runs.iter().map(|run| run.entries() - run.tombstones()).sum()
    }

    /// The bytes of all files, also of those shared with other checkpoints.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let runs: u64 = self.0.runs.iter().map(Run::bytes).sum();
        let sections: u64 = self.0.manifest.sections.iter().map(|section| section.file_bytes).sum();
        runs + sections + self.0.manifest_bytes
    }

    /// The value of a section, in place, after a check of its structure; its checksum is checked at the first access.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such section, [`Error::WrongType`] where it holds something else,
    /// [`Error::Corrupt`] where it is damaged beyond what its parity can rebuild, and those of the disk.
    pub fn section<T: FromArchive>(&self, name: &str) -> Result<&T::Archived> {
        self.find_section(name)?.get::<T>()
    }

    /// The bytes of a section: an archive that ends with its root.
    ///
    /// # Errors
    /// As [`section`](Self::section).
    pub fn section_bytes(&self, name: &str) -> Result<&[u8]> {
        self.find_section(name)?.bytes()
    }

    /// The number that was given with the section, for the caller to tell types and versions by.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn section_tag(&self, name: &str) -> Result<u64> {
        Ok(self.find_section(name)?.record.tag)
    }

    /// The names of the sections, in ascending order.
    pub fn section_names(&self) -> impl Iterator<Item = &str> {
        self.0.manifest.sections.iter().map(|section| section.name.as_str())
    }

    fn find_section(&self, name: &str) -> Result<&SectionFile> {
        let at = self.0.sections.binary_search_by(|section| section.record.name.as_str().cmp(name));
        let section = at.ok().and_then(|at| self.0.sections.get(at));
        section.ok_or_else(|| Error::NotFound { path: self.0.dir.clone(), what: format!("section {name:?}") })
    }

    pub(crate) fn sections(&self) -> &[SectionFile] {
        &self.0.sections
    }

    /// How many parts were damaged and made good, up to now.
    #[must_use]
    pub fn healed_count(&self) -> u64 {
        self.healed().len() as u64
    }

    /// What was damaged and made good, up to now: blocks are verified when they are touched first.
    #[must_use]
    pub fn healed(&self) -> Vec<Healed> {
        let runs = self.0.runs.iter().flat_map(Run::healed);
        let sections = self.0.sections.iter().flat_map(SectionFile::healed);
        self.0.healed.iter().cloned().chain(runs).chain(sections).collect()
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manifest = &self.0.manifest;
        f.debug_struct("Checkpoint")
            .field("id", &manifest.id)
            .field("wal_position", &manifest.wal_position)
            .field("runs", &manifest.runs.len())
            .field("sections", &manifest.sections.len())
            .finish_non_exhaustive()
    }
}
