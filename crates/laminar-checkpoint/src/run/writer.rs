//! Writes a run in one pass. In memory are some MiB of output that wait to be written, the index of one chapter, and the list of the chapters
//! before it, which grows with the run: about its first and last key for each.

use std::path::{Path, PathBuf};

use laminar_vfs::{Vfs, planted};

use crate::error::shown;
use crate::format::block::{BlockBuilder, Kind, TRAILER, entry_bytes, lone_block_bytes, run_seed, seal};
use crate::format::bytes::{count32, index32};
use crate::format::fixed::Shape;
use crate::format::manifest::{RunRecord, shown_key};
use crate::format::run::{
    Chapter, Counts, FOOTER_MAGIC, HEADS_PER_BLOCK, Identity, LINES_PER_BLOCK, MAX_CHAPTER_DATA, MAX_CHAPTER_ENTRIES,
    encode_chapter, encode_footer_start, encode_header, lanes,
};
use crate::format::{MAX_KEY_BYTES, MAX_VALUE_BYTES, PAGE, twin};
use crate::hash::{self, LINE, hash_key};
use crate::key::KeyBuf;
use crate::output::{Output, WriteBehind};
use crate::sync::Arc;
use crate::{CheckpointOptions, Error, Result, filter};

mod chapter;

use chapter::OpenChapter;

/// Output goes to the file in pieces of about this many bytes.
const FLUSH_BYTES: usize = 1 << 20;

/// Writes sorted entries to a new run.
///
/// Made by [`Draft::run_writer`](crate::Draft::run_writer). Keys must come in strictly ascending order, keys up to 16 MiB
/// and 64 bytes, values up to 16 MiB; both may be empty. Nothing is durable before the checkpoint is published; a writer
/// dropped before [`finish`](Self::finish) removes its file.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Meta};
/// # let scratch = tempfile::tempdir()?;
/// let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let mut draft = manager.draft()?;
/// let mut writer = draft.run_writer(0, 10, false)?;
/// writer.push(b"a", Some(b"1"))?;
/// writer.push(b"b", Some(b"2"))?;
/// draft.add_run(writer.finish()?)?;
/// let checkpoint = draft.publish(Meta::new(10))?;
/// assert_eq!(checkpoint.get(b"b")?, Some(&b"2"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RunWriter {
    identity: Identity,
    seed: u32,
    read_back: bool,
    /// Bytes that are not in the file yet.
    out: Vec<u8>,
    output: WriteBehind,
    unfinished: Unfinished,
    /// The open data block, if it has entries and is not fixed.
    block: BlockBuilder,
    /// The open data block, if its entries are of one shape so far.
    fixed: Option<OpenFixed>,
    /// What values begin on multiples of.
    value_alignment: usize,
    /// Of a fixed block that can't be one: its entries, and their hashes.
    taken_back: (Vec<u8>, Vec<u64>),
    open_chapter: OpenChapter,
    /// The encoded list of the chapters that are done.
    chapters: Vec<u8>,
    chapter_count: usize,
    counts: Counts,
    content: u32,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
}

/// Removes the file of a run that was not finished.
#[derive(Debug)]
struct Unfinished {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    is_finished: bool,
}

/// A block that is fixed if enough entries of its shape come: where it begins in the output, and how many it has.
#[derive(Debug, Clone, Copy)]
struct OpenFixed {
    shape: Shape,
    start: usize,
    entries: usize,
}

/// A run that is written, and that no checkpoint refers to yet. Publishing the checkpoint makes it durable, and reads it back before.
#[derive(Debug)]
pub struct FinishedRun {
    pub(crate) record: RunRecord,
    pub(crate) path: PathBuf,
    /// The first and the last key; empty if there are none.
    pub(crate) ends: [KeyBuf; 2],
    output: Output,
}

impl FinishedRun {
    /// Makes it durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if planted("run-not-synced") { Ok(()) } else { self.output.sync() }
    }

    /// Sees to it that the disk has what was written and [synced](Self::sync).
    pub(crate) fn verify(self) -> Result<()> {
        self.output.verify()
    }

    /// The run's length on disk in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.record.file_bytes
    }

    /// The number of entries, tombstones among them.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.record.entries
    }
}

/// The size of a chapter's blocks for entries of this mean size.
///
/// What does not fit at the end of a block is lost, half an entry on average; so larger entries get larger blocks.
/// Beyond a third of the largest block, an entry does better in a block of its own, a multiple of the smallest.
fn unit_for(mean: u64) -> usize {
    match mean {
        0..=512 => 4096,
        513..=1024 => 8192,
        1025..=5400 => 16384,
        _ => 4096,
    }
}

impl RunWriter {
    /// Creates the file.
    pub(crate) fn create(options: &CheckpointOptions, path: &Path, identity: Identity) -> Result<Self> {
        let (env, read_back) = (&options.env, options.read_back);
        let output = WriteBehind::create(env, path, read_back)?;
        Ok(Self {
            seed: run_seed(identity.run_id),
            read_back,
            out: encode_header(&identity),
            output,
            unfinished: Unfinished { vfs: Arc::clone(&env.vfs), path: path.to_owned(), is_finished: false },
            identity,
            block: BlockBuilder::default(),
            fixed: None,
            value_alignment: options.value_alignment,
            taken_back: Default::default(),
            open_chapter: OpenChapter::default(),
            chapters: Vec::new(),
            chapter_count: 0,
            counts: Counts::default(),
            content: 0,
            first_key: Vec::new(),
            last_key: Vec::new(),
        })
    }

    /// Appends an entry, or with no value a tombstone: the key is gone, whatever older runs say. In a run with nothing
    /// below it tombstones are left out.
    ///
    /// # Errors
    /// [`Error::Unsorted`] where the key is not above the one before, [`Error::TooLarge`], and those of the disk. After
    /// an error of the disk the writer is of no more use.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.check(key, value)?;
        if value.is_none() && self.identity.is_base {
            return Ok(());
        }
        let value_bytes = value.map_or(0, <[u8]>::len);
        self.put(key, value, hash_key(self.identity.hash_seed, key), true)?;
        if self.counts.entries == 0 {
            self.first_key = key.to_vec();
        }
        self.counts.entries += 1;
        self.counts.tombstones += u64::from(value.is_none());
        self.counts.key_bytes += key.len() as u64;
        self.counts.value_bytes += value_bytes as u64;
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        Ok(())
    }

    /// Whether tombstones are kept: in a run with something below it.
    #[must_use]
    pub fn keeps_tombstones(&self) -> bool {
        !self.identity.is_base
    }

    /// Whether there are no entries so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.entries == 0
    }

    /// Bytes of output so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.output.bytes() + self.out.len() as u64
    }

    fn check(&self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let limits = [("a key", key.len(), MAX_KEY_BYTES), ("a value", value.map_or(0, <[u8]>::len), MAX_VALUE_BYTES)];
        if let Some((what, bytes, limit)) = limits.into_iter().find(|(_, bytes, limit)| bytes > limit) {
            return Err(Error::TooLarge { what, bytes: bytes as u64, limit_bytes: limit as u64 });
        }
        let is_first = self.last_key.is_empty() && self.counts.entries == 0;
        if !is_first && key <= self.last_key.as_slice() {
            return Err(Error::Unsorted { previous: shown(&self.last_key), key: shown(key) });
        }
        Ok(())
    }

    /// Puts the entry into a block, also a fixed one if it may.
    fn put(&mut self, key: &[u8], value: Option<&[u8]>, hash: u64, may_be_fixed: bool) -> Result<()> {
        self.make_room(key, value, may_be_fixed)?;
        let place = match &mut self.fixed {
            Some(fixed) => {
                fixed.shape.put(&mut self.out, key, value.unwrap_or_default());
                fixed.entries += 1;
                count32(fixed.entries - 1)
            }
            None => self.block.push(&mut self.out, key, value),
        };
        self.open_chapter.add_slot(hash, place);
        match self.fixed {
            Some(fixed) if fixed.entries == fixed.shape.per_block(self.open_chapter.unit) => self.seal_fixed(fixed),
            _ => Ok(()),
        }
    }

    /// Sees to it that a block is open into which the entry fits.
    fn make_room(&mut self, key: &[u8], value: Option<&[u8]>, may_be_fixed: bool) -> Result<()> {
        let value_bytes = value.map_or(0, <[u8]>::len);
        loop {
            if self.open_chapter.slots.is_empty() {
                self.begin_chapter(entry_bytes(key.len(), value_bytes) as u64);
            }
            let unit = self.open_chapter.unit;
            let is_full = self.open_chapter.slots.len() >= MAX_CHAPTER_ENTRIES;
            if let Some(fixed) = self.fixed {
                if !is_full && fixed.shape.is_of(key, value) {
                    return Ok(());
                }
                self.give_headers(fixed)?;
                continue;
            }
            if !self.block.is_empty() {
                if !is_full && self.block.fits(&self.out, unit, key.len(), value_bytes) {
                    return Ok(());
                }
                self.seal_data()?;
            }
            let shape = value.filter(|_| may_be_fixed).and_then(|value| self.shape_of(key, value));
            let size = if shape.is_some() { unit } else { lone_block_bytes(unit, key.len(), value_bytes) };
            let data_bytes = self.open_chapter.data_bytes();
            if is_full || data_bytes > 0 && data_bytes + size > MAX_CHAPTER_DATA {
                self.close_chapter()?;
                continue;
            }
            self.block.begin(&self.out);
            self.fixed = shape.map(|shape| OpenFixed { shape, start: self.out.len(), entries: 0 });
            self.open_chapter.begin_block(key, count32(size / unit));
            return Ok(());
        }
    }

    /// The shape of a fixed block that begins with this entry. The first in a chapter says of what shape the others are.
    fn shape_of(&self, key: &[u8], value: &[u8]) -> Option<Shape> {
        let OpenChapter { unit, shape, .. } = self.open_chapter;
        match shape {
            Some(shape) => Some(shape).filter(|shape| shape.is_of(key, Some(value))),
            None => Shape::of(unit, key.len(), value.len(), self.value_alignment),
        }
    }

    /// Puts the entries of a block that can't be fixed, because it is not full and what comes is not of its shape, down anew, with headers.
    fn give_headers(&mut self, fixed: OpenFixed) -> Result<()> {
        self.fixed = None;
        let (mut bytes, mut hashes) = std::mem::take(&mut self.taken_back);
        bytes.clear();
        bytes.extend_from_slice(self.out.get(fixed.start..).unwrap_or_default());
        self.out.truncate(fixed.start);
        hashes.clear();
        self.open_chapter.take_back_block(fixed.entries, &mut hashes);
        for (at, &hash) in hashes.iter().enumerate() {
            let entry = fixed.shape.entry(&bytes, at).expect("these are entries of this shape");
            self.put(entry.key, entry.value, hash, false)?;
            // Should the chapter end with it.
            self.last_key.clear();
            self.last_key.extend_from_slice(entry.key);
        }
        self.taken_back = (bytes, hashes);
        Ok(())
    }

    fn begin_chapter(&mut self, entry_bytes: u64) {
        // What came before is the best guess at what comes; at the start, the first entry is.
        let mean = match self.counts.entries {
            0 => entry_bytes,
            entries => (self.counts.key_bytes + self.counts.value_bytes) / entries + 12,
        };
        self.open_chapter.unit = unit_for(mean);
        self.open_chapter.offset = self.bytes();
    }

    /// Completes the open data block.
    fn seal_data(&mut self) -> Result<()> {
        let units = self.open_chapter.open_units();
        let start = self.block.finish(&mut self.out, self.open_chapter.unit * index32(units));
        self.open_chapter.units += units;
        self.seal_block(start, if units > 1 { Kind::Wide } else { Kind::Data });
        self.flush_if(FLUSH_BYTES)
    }

    /// Completes the open block, which is fixed.
    fn seal_fixed(&mut self, fixed: OpenFixed) -> Result<()> {
        self.fixed = None;
        self.out.resize(fixed.start + self.open_chapter.unit, 0);
        self.open_chapter.shape = Some(fixed.shape);
        self.open_chapter.units += 1;
        self.seal_block(fixed.start, Kind::Fixed);
        self.flush_if(FLUSH_BYTES)
    }

    /// Seals the block from `start` to the end of the output, and counts it into parity and content.
    fn seal_block(&mut self, start: usize, kind: Kind) {
        let chapter = &mut self.open_chapter;
        let (before, block) = self.out.split_at_mut(start);
        let [lane, _] = &mut chapter.lanes;
        let word = if kind == Kind::Parity { lane.crcs } else { 0 };
        let crc = seal(block, kind, self.seed, self.output.bytes() + before.len() as u64, word);
        self.content = crc32c::crc32c_append(self.content, &crc.to_le_bytes());
        if kind != Kind::Parity {
            let (payload, _) = block.split_at(block.len() - TRAILER);
            lane.add(payload, crc);
        }
        chapter.lanes.swap(0, 1);
    }

    fn close_chapter(&mut self) -> Result<()> {
        if let Some(fixed) = self.fixed {
            self.give_headers(fixed)?;
        }
        if !self.block.is_empty() {
            self.seal_data()?;
        }
        let slots = std::mem::take(&mut self.open_chapter.slots);
        if slots.is_empty() {
            return Ok(());
        }
        let (mut buckets, mut lines) = (Vec::new(), Vec::new());
        if self.open_chapter.first_key_ends.len() > 1 {
            buckets = hash::build(&slots);
            self.put_blocks(Kind::Hash, buckets.chunks(LINES_PER_BLOCK).map(<[[u8; LINE]]>::as_flattened));
            let heads = self.open_chapter.heads(&self.last_key);
            self.put_blocks(Kind::Heads, heads.chunks(HEADS_PER_BLOCK * 8));
            if !self.identity.is_base {
                lines = filter::build(slots.iter().map(|&(hash, _)| hash));
                self.put_blocks(Kind::Filter, lines.chunks(LINES_PER_BLOCK).map(<[[u8; LINE]]>::as_flattened));
            }
        }
        let parity_bytes = self.put_parity();
        let open = std::mem::take(&mut self.open_chapter);
        let first_key =
            open.first_key_ends.first().and_then(|&(end, _)| open.first_keys.get(..end)).unwrap_or_default();
        let chapter = Chapter {
            offset: open.offset,
            unit: count32(open.unit),
            units: open.units,
            buckets: count32(buckets.len()),
            lines: count32(lines.len()),
            entries: count32(slots.len()),
            parity_bytes: count32(parity_bytes),
            shape: open.shape,
            wide: open.wide.into_boxed_slice(),
            first_key: 0..0,
            last_key: 0..0,
            prefix: 0,
        };
        encode_chapter(&mut self.chapters, &chapter, first_key, &self.last_key);
        self.chapter_count += 1;
        // What the next chapter needs again is kept, so that it allocates nothing.
        self.open_chapter.slots = slots;
        self.open_chapter.slots.clear();
        self.flush_if(FLUSH_BYTES)
    }

    /// Writes the parity of each lane, as long as the longest block; of a chapter with wide blocks that of both together. Returns the
    /// length of one. The lanes go on in turn, so that a parity block's neighbour is not of its lane either.
    fn put_parity(&mut self) -> usize {
        let lanes = lanes(self.open_chapter.wide.is_empty());
        let [next, other] = &mut self.open_chapter.lanes;
        let longest = next.parity.len().max(other.parity.len());
        if lanes == 1 {
            next.add(&other.parity, other.crcs);
        }
        for _ in 0..lanes {
            let start = self.out.len();
            let [next, _] = &self.open_chapter.lanes;
            self.out.extend_from_slice(&next.parity);
            self.out.resize(start + longest + TRAILER, 0);
            self.seal_block(start, Kind::Parity);
        }
        longest + TRAILER
    }

    /// Writes each piece as a block of one page.
    fn put_blocks<'a>(&mut self, kind: Kind, pieces: impl Iterator<Item = &'a [u8]>) {
        for piece in pieces {
            let start = self.out.len();
            self.out.extend_from_slice(piece);
            self.out.resize(start + PAGE, 0);
            self.seal_block(start, kind);
        }
    }

    fn flush_if(&mut self, at_least: usize) -> Result<()> {
        if self.out.len() >= at_least {
            self.output.write(&mut self.out)?;
        }
        Ok(())
    }

    /// Writes what is left. The run is durable once its checkpoint is published.
    ///
    /// # Errors
    /// Those of the disk; [`Error::Corrupt`] where what was read back is not what was written. The file is removed.
    pub fn finish(mut self) -> Result<FinishedRun> {
        self.close_chapter()?;
        let footer_offset = self.bytes();
        let mut footer = encode_footer_start(&self.identity, &self.counts, self.content, self.chapter_count);
        footer.append(&mut self.chapters);
        self.out.extend_from_slice(&twin::encode(FOOTER_MAGIC, &footer));
        let file_bytes = self.bytes();
        self.flush_if(1)?;
        let is_empty = self.counts.entries == 0;
        let record = RunRecord {
            from: self.identity.from,
            to: self.identity.to,
            run_id: self.identity.run_id,
            file_bytes,
            footer_offset,
            footer_bytes: footer.len() as u64,
            footer_crc: twin::body_crc(&footer),
            entries: self.counts.entries,
            tombstones: self.counts.tombstones,
            first_checkpoint: 0,
            is_verified: self.read_back,
            first_key: shown_key(&self.first_key),
            last_key: shown_key(if is_empty { &[] } else { &self.last_key }),
        };
        let output = self.output.finish()?;
        self.unfinished.is_finished = true;
        let ends = [self.first_key.as_slice().into(), self.last_key.as_slice().into()];
        Ok(FinishedRun { record, path: self.unfinished.path.clone(), ends, output })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // Best effort: it is a temporary, and the next sweep removes it if this can't.
            drop(self.vfs.remove_file(&self.path));
        }
    }
}
