//! A checkpoint in the making: a temporary directory that becomes a checkpoint all at once, or goes away.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use laminar_vfs::{OpenMode, planted, remove_tree};

use crate::archive::ToSection;
use crate::checkpoint::{Checkpoint, CheckpointStats};
use crate::checkpoints::{Busy, CheckpointManager, Owner, Shared};
use crate::format::manifest::{MAX_MANIFEST_BYTES, Manifest, RunRecord, SectionRecord, run_file_name};
use crate::format::run::Identity;
use crate::key::KeyBuf;
use crate::merge::MergedRun;
use crate::name::{MANIFEST_NAME, checkpoint_name, draft_name, removed_name};
use crate::output::Output;
use crate::run::{FinishedRun, Run, RunWriter};
use crate::section::NewSection;
use crate::sync::Arc;
use crate::{Error, Result};

/// What a checkpoint says about itself, besides its files.
///
/// ```
/// use laminar_checkpoint::Meta;
/// let meta = Meta::new(4096).source_offset("flights", 17).source_offset("weather", 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    pub(crate) wal_position: u64,
    pub(crate) source_offsets: BTreeMap<String, u64>,
    pub(crate) timestamp_ms: Option<u64>,
}

impl Meta {
    /// A checkpoint of what was written up to `wal_position`.
    #[must_use]
    pub fn new(wal_position: u64) -> Self {
        Self { wal_position, ..Self::default() }
    }

    /// How far a source had been read at that position.
    #[must_use]
    pub fn source_offset(mut self, name: impl Into<String>, offset: u64) -> Self {
        self.source_offsets.insert(name.into(), offset);
        self
    }

    /// How far each source had been read; replaces what was given before.
    #[must_use]
    pub fn source_offsets(mut self, offsets: BTreeMap<String, u64>) -> Self {
        self.source_offsets = offsets;
        self
    }

    /// The time it is made, in milliseconds since 1970-01-01 UTC. Default: the clock's when it is published.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: u64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }
}

/// A checkpoint in the making. Dropped before it is published, it leaves nothing behind.
///
/// [`CheckpointManager::create`] does the usual things with it; here is every part in the hand of the caller.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create, Meta};
/// # let scratch = tempfile::tempdir()?;
/// # let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let base = manager.create(Create::new(10).entries([("a", Some("1"))]))?;
/// let mut draft = manager.draft()?;
/// for run in base.runs() {
///     draft.link_run(run)?;
/// }
/// let mut writer = draft.run_writer(10, 20, true)?;
/// writer.push(b"a", None)?;
/// draft.add_run(writer.finish()?)?;
/// draft.section("note", &"a is gone".to_owned())?;
/// let checkpoint = draft.publish(Meta::new(20))?;
/// assert!(!checkpoint.contains(b"a")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Draft {
    shared: Arc<Shared>,
    _owner: Owner,
    busy: Busy,
    id: u64,
    runs: Vec<RunRecord>,
    /// The first and the last key of each.
    ends: Vec<[KeyBuf; 2]>,
    sections: Vec<SectionRecord>,
    /// Those of the runs that were written for it, and are not durable yet.
    written: Vec<FinishedRun>,
    hash_seed: Option<u64>,
    stats: CheckpointStats,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In its temporary directory.
    Draft,
    /// Under its final name, which is not known to be durable.
    Renamed,
    Published,
}

impl CheckpointManager {
    /// Begins a checkpoint.
    ///
    /// # Errors
    /// [`Error::Locked`], and those of the disk.
    pub fn draft(&self) -> Result<Draft> {
        let owner = self.shared.own()?;
        let id = self.shared.next_id()?;
        let dir = self.shared.dir.join(draft_name(id));
        let busy = self.shared.begin(dir.clone()).ok_or(Error::Abandoned)?;
        self.shared.vfs().create_dir(&dir)?;
        Ok(Draft {
            shared: Arc::clone(&self.shared),
            _owner: owner,
            busy,
            id,
            runs: Vec::new(),
            ends: Vec::new(),
            sections: Vec::new(),
            written: Vec::new(),
            hash_seed: self.shared.options.hash_seed,
            stats: CheckpointStats::default(),
            state: State::Draft,
        })
    }
}

impl Draft {
    /// The id that the checkpoint will have.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether the draft has no runs yet, so that nothing lies below the next.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn dir(&self) -> &Path {
        &self.busy.path
    }

    /// Takes over a run of an earlier checkpoint: as a hard link, or as a copy where there are none. The checkpoint that
    /// `run` was reached through must still be there; holding its handle sees to that.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn link_run(&mut self, run: &Run) -> Result<()> {
        let to = self.path_of(run.from(), run.to());
        let mut record = run.file.record.clone();
        match self.shared.vfs().hard_link(run.path(), &to) {
            Ok(()) => self.stats.linked += 1,
            Err(error) if error.is_unsupported() => {
                self.stats.bytes_written += self.copy(run.path(), &to)?;
                self.stats.copied += 1;
                record.is_verified &= self.shared.options.read_back;
            }
            Err(error) => return Err(error.into()),
        }
        self.hash_seed = self.hash_seed.or(Some(run.hash_seed()));
        self.runs.push(record);
        self.ends.push([run.first_key(), run.last_key()].map(|key| key.unwrap_or_default().into()));
        Ok(())
    }

    /// Where the file of the next run goes, if it is one of these positions.
    fn path_of(&self, from: u64, to: u64) -> PathBuf {
        self.dir().join(run_file_name(&self.runs, from, to))
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<u64> {
        let vfs = self.shared.vfs();
        let source = vfs.open(from, OpenMode::Read)?;
        let mut buffer = vec![0; 1 << 20];
        Output::whole(vfs, to, self.shared.options.read_back, |target| {
            loop {
                let read = source.read_at(&mut buffer, target.bytes())?;
                if read == 0 {
                    return Ok(());
                }
                target.write(buffer.split_at(read).0)?;
            }
        })
    }

    fn create_file(&self, path: &Path) -> Result<Output> {
        Output::create(self.shared.vfs(), path, self.shared.options.read_back)
    }

    /// Begins a new run for the positions from `from` up to `to`. Without `tombstones` nothing may lie below it: deleted
    /// keys are then left out, and no filter is written. What it writes counts once it is
    /// [added](Self::add_run).
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for an empty range of positions, and those of the disk.
    pub fn run_writer(&mut self, from: u64, to: u64, tombstones: bool) -> Result<RunWriter> {
        if from >= to {
            return Err(Error::InvalidOption { name: "to", why: "a run must cover at least one position" });
        }
        let options = &self.shared.options;
        let hash_seed = *self.hash_seed.get_or_insert_with(|| random_seed(options.env.random.id()));
        let identity = Identity { run_id: options.env.random.id(), from, to, hash_seed, is_base: !tombstones };
        RunWriter::create(options, &self.path_of(from, to), identity)
    }

    /// Adds a run that was written for this draft. Of two of the same positions, which are parts of one, the first is added before the
    /// second is begun.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where it was written for another, or where another of its positions was taken over meanwhile.
    pub fn add_run(&mut self, run: FinishedRun) -> Result<()> {
        if run.path != self.path_of(run.record.from, run.record.to) {
            return Err(Error::InvalidOption { name: "run", why: "it was written for another draft, or place in it" });
        }
        self.stats.bytes_written += run.bytes();
        self.stats.entries_written += run.entries();
        self.runs.push(RunRecord { first_checkpoint: self.id, ..run.record.clone() });
        self.ends.push(run.ends.clone());
        self.written.push(run);
        Ok(())
    }

    /// Takes over a merged run in place of the runs it was made of, which are then not linked. Where it stands for some parts of the oldest
    /// run, the others are linked before and behind it, in the order of their keys, and all later runs that one of them does not hold.
    /// [`take_over`](Self::take_over) sees to all that.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn adopt(&mut self, mut merged: MergedRun) -> Result<()> {
        self.stats.merged += merged.inputs() as u64;
        for piece in &mut merged.pieces {
            let record = RunRecord { first_checkpoint: self.id, ..piece.record.clone() };
            piece.move_to(&self.path_of(record.from, record.to))?;
            self.stats.bytes_written += record.file_bytes;
            self.stats.entries_written += record.entries;
            self.runs.push(record);
            self.ends.push(piece.ends.clone());
        }
        Ok(())
    }

    /// Takes over all runs of `base`, with `merged` in place of what it was made of, if that is still there. Returns how many bytes of it
    /// were taken.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn take_over(&mut self, base: &Checkpoint, merged: Option<MergedRun>) -> Result<u64> {
        let mut merged = merged.filter(|merged| merged.replaces(base));
        let (parts, later) = base.layers();
        let replaced: Vec<bool> =
            base.runs().iter().map(|run| merged.as_ref().is_some_and(|merged| merged.stands_for(run))).collect();
        let merged_to = merged.as_ref().map_or(0, MergedRun::to);
        // What all parts of the oldest run hold by now does not lie behind it any more.
        let ends =
            parts.iter().zip(&replaced).map(|(part, &is_replaced)| if is_replaced { merged_to } else { part.to() });
        let end = ends.min().unwrap_or(0);
        let mut bytes = 0;
        for (number, (run, is_replaced)) in parts.iter().chain(later).zip(replaced).enumerate() {
            if !is_replaced && (number < parts.len() || run.to() > end) {
                self.link_run(run)?;
            } else if is_replaced && let Some(merged) = merged.take() {
                bytes = merged.bytes();
                self.adopt(merged)?;
            }
        }
        Ok(bytes)
    }

    pub(crate) fn note_failed_merge(&mut self) {
        self.stats.merge_failed = true;
    }

    /// Writes a section: the archive of `value` under a name, which may be any text.
    ///
    /// # Errors
    /// [`Error::WrongType`] where the value can't be archived, [`Error::InvalidOption`] where the name is taken, and
    /// those of the disk.
    pub fn section<T: ToSection>(&mut self, name: &str, value: &T) -> Result<()> {
        self.tagged_section(name, value, 0)
    }

    /// As [`section`](Self::section), with a number to tell types and versions by.
    ///
    /// # Errors
    /// As [`section`](Self::section).
    pub fn tagged_section<T: ToSection>(&mut self, name: &str, value: &T, tag: u64) -> Result<()> {
        self.add_section(&NewSection::new(name, value, tag)?)
    }

    pub(crate) fn add_section(&mut self, section: &NewSection) -> Result<()> {
        if self.sections.iter().any(|other| other.name == section.name) {
            return Err(Error::InvalidOption { name: "section", why: "two sections can't have one name" });
        }
        let options = &self.shared.options;
        let record = section.write(&options.env, self.dir(), options.read_back)?;
        self.stats.bytes_written += record.file_bytes;
        self.sections.push(record);
        Ok(())
    }

    /// Publishes the checkpoint: when this returns, it is there whole and survives a power cut; if it fails, nothing is
    /// there, unless all that failed was to open it again after it was there. The runs must cover the positions up to
    /// that of `meta` without gap or overlap. Several that begin where the oldest does are its parts: they were added in the order of
    /// their keys, and none is empty.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where the runs do not fit together, and those of the disk.
    pub fn publish(mut self, meta: Meta) -> Result<Checkpoint> {
        let are_parts_ascending = self.are_parts_ascending();
        let manifest = self.manifest(meta);
        if !manifest.is_tiling() || !are_parts_ascending {
            let why = "they must follow one another without gap or overlap, in positions or, as parts of the oldest, in keys, \
                       up to the checkpoint's position";
            return Err(Error::InvalidOption { name: "runs", why });
        }
        self.stats.bytes_written += self.write_manifest(&manifest)?;
        let published = self.published_dir();
        self.shared.vfs().rename(self.dir(), &published)?;
        self.state = State::Renamed;
        if !planted("checkpoint-own-name-not-synced") {
            self.shared.vfs().sync_dir(&self.shared.dir)?;
        }
        self.state = State::Published;
        self.shared.load(self.id, &published, self.stats)
    }

    /// Whether the parts of the oldest run were added in the order of their keys. The MANIFEST shows only the beginning of a key.
    fn are_parts_ascending(&self) -> bool {
        let oldest = self.runs.iter().map(|run| run.from).min();
        let parts = self.runs.iter().zip(&self.ends).filter(|(run, _)| Some(run.from) == oldest).map(|(_, ends)| ends);
        let parts: Vec<_> = parts.collect();
        parts.windows(2).all(|pair| matches!(pair, [[_, last], [first, _]] if **last < **first))
    }

    /// Writes the MANIFEST, and makes all that is in the draft durable; returns the MANIFEST's length.
    ///
    /// It is written before the runs are synced, and they are read back after the directory is synced: one commit of the file
    /// system's journal can serve all of these syncs, and the disk reads meanwhile.
    fn write_manifest(&mut self, manifest: &Manifest) -> Result<u64> {
        let encoded = manifest.encode();
        if encoded.len() as u64 > MAX_MANIFEST_BYTES {
            let why = "with its source offsets and sections the MANIFEST would be longer than 1 GiB, which no reader believes";
            return Err(Error::InvalidOption { name: "meta", why });
        }
        let mut file = self.create_file(&self.dir().join(MANIFEST_NAME))?;
        file.write(&encoded)?;
        let bytes = file.bytes();
        let mut written = std::mem::take(&mut self.written);
        written.iter_mut().try_for_each(FinishedRun::sync)?;
        if !planted("manifest-not-synced") {
            file.sync()?;
        }
        if !planted("checkpoint-names-not-synced") {
            self.shared.vfs().sync_dir(self.dir())?;
        }
        written.into_iter().try_for_each(FinishedRun::verify)?;
        file.verify()?;
        Ok(bytes)
    }

    fn published_dir(&self) -> PathBuf {
        self.shared.dir.join(checkpoint_name(self.id))
    }

    fn manifest(&mut self, meta: Meta) -> Manifest {
        let options = &self.shared.options;
        let mut runs = std::mem::take(&mut self.runs);
        runs.sort_by_key(|run| run.from);
        let mut sections = std::mem::take(&mut self.sections);
        sections.sort_by(|a, b| a.name.cmp(&b.name));
        Manifest {
            id: self.id,
            lineage: options.lineage,
            timestamp_ms: meta.timestamp_ms.unwrap_or_else(|| options.env.clock.unix_ms()),
            wal_position: meta.wal_position,
            is_verified: options.read_back && runs.iter().all(|run| run.is_verified),
            source_offsets: meta.source_offsets,
            runs,
            sections,
        }
    }
}

/// 64 bits of a random id.
pub(crate) fn random_seed(id: u128) -> u64 {
    u64::try_from(id >> 64).unwrap_or_default()
}

impl Drop for Draft {
    /// Discards what was not published. Best effort: what is left has a temporary name, and the next sweep removes it.
    fn drop(&mut self) {
        // Closed before they are removed.
        self.written.clear();
        let vfs = self.shared.vfs();
        match self.state {
            State::Published => {}
            State::Draft => drop(remove_tree(vfs, self.dir())),
            State::Renamed => {
                let removed = self.shared.dir.join(removed_name(self.id));
                if vfs.rename(&self.published_dir(), &removed).is_ok() {
                    drop(remove_tree(vfs, &removed));
                }
            }
        }
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("id", &self.id).field("runs", &self.runs.len()).finish_non_exhaustive()
    }
}
