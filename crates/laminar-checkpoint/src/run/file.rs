//! An open run file. Owns: which blocks were verified, and what stands in for those that were not whole.

use std::convert::Infallible;
use std::path::Path;

use laminar_vfs::{Op, OpenMode, ReadMode, Region, Vfs, VfsFile, planted};

use super::ahead::{Touches, VerifyAhead};
use super::guide::Guide;
use super::heal::Rebuilt;
use super::way::{Pages, Way};
use crate::error::{Reason, missing};
use crate::format::block::{CELL, Data, Entry, checked, entry_in_place, is_fixed, prefetch_block, run_seed};
use crate::format::bytes::{count32, index, index32};
use crate::format::manifest::RunRecord;
use crate::format::run::{BlockRef, Chapter, FOOTER_MAGIC, Footer, LINES_PER_BLOCK, decode_header, head};
use crate::format::{FILE_HEADER, Fault, PAGE, twin};
use crate::hash::LINE;
use crate::report::{Healed, Part};
use crate::sync::{Arc, Mutex, OnceLock, Weak};
use crate::{Error, Result};

/// Blocks up to this size are verified in a buffer on the stack: the usual ones, so that a lookup allocates nothing.
const STACK_BYTES: usize = PAGE;

/// About so many bytes around a block that is touched first are mapped with it, or read: a call costs more than a checksum. It is as much as
/// Linux reads around a fault where nobody has set its read-ahead.
pub(super) const STRETCH_BYTES: usize = 128 << 10;

/// The open file of a run, shared by all checkpoints that refer to it.
#[derive(Debug)]
pub(crate) struct RunFile {
    /// The name that it was opened by.
    path: Arc<Path>,
    /// The names that checkpoints have for it, as long as these are in use: that of the first may go before those of the others.
    names: Mutex<Vec<Weak<Path>>>,
    pub(crate) record: RunRecord,
    pub(super) file: Arc<dyn VfsFile>,
    pub(super) pages: Pages,
    mode: ReadMode,
    pub(crate) footer: Footer,
    /// The part of every block's checksum that names this run.
    pub(super) seed: u32,
    /// How many bytes all keys of the run begin with in common, and for each chapter the head of its first key after
    /// them: a chapter is found among thousands without a look at a key.
    pub(super) prefix: usize,
    pub(super) guide: Guide,
    /// The short way to each chapter's entries.
    pub(super) ways: Vec<Way>,
    /// For each chapter, the blocks of it that were rebuilt.
    pub(super) rebuilt: Vec<OnceLock<Box<Rebuilt>>>,
    /// Held while a block is rebuilt, so that it is done once.
    pub(super) healing: Mutex<()>,
    healed: Mutex<Vec<Healed>>,
    /// Nothing where blocks are not verified ahead.
    pub(super) touches: Option<Touches>,
}

impl RunFile {
    /// Opens the run that `record` describes, and reads its header and footer.
    pub(crate) fn open(vfs: &dyn Vfs, path: &Path, record: &RunRecord, mode: ReadMode) -> Result<Self> {
        let file = open_exact(vfs, path, record.file_bytes)?;
        let mut healed = Vec::new();
        let footer = read_footer(&*file, path, record, &mut healed)?;
        let mut header = [0; FILE_HEADER];
        let read = file.read_exact_at(&mut header, 0);
        match decode_header(&header) {
            Ok(identity) if identity == footer.identity => {}
            Err(fault @ Fault::Version(_)) if read.is_ok() => return Err(Error::fault(path, 0, fault)),
            // The footer says all that the header does, and it was found to be the one that the manifest means.
            _ => healed.push(Healed { path: path.to_owned(), offset: 0, bytes: PAGE as u64, part: Part::RunHeader }),
        }
        let region = if mode == ReadMode::Owned { owned(&*file, record.file_bytes)? } else { file.map(mode)? };
        if region.len() as u64 != record.file_bytes {
            return Err(Error::corrupt(path, 0, Reason::Length, "a file that keeps its length"));
        }
        let (first, last) = (footer.first_key().unwrap_or_default(), footer.last_key().unwrap_or_default());
        let prefix = crate::format::run::common_prefix(first, last);
        Ok(Self {
            path: path.into(),
            names: Mutex::default(),
            record: record.clone(),
            file,
            seed: run_seed(record.run_id),
            prefix,
            guide: Guide::of(
                footer.chapters.iter().map(|chapter| head(footer.key(&chapter.first_key), prefix)).collect(),
            ),
            ways: footer.chapters.iter().map(Way::to).collect(),
            rebuilt: footer.chapters.iter().map(|_| OnceLock::new()).collect(),
            pages: Pages::new(region),
            mode,
            footer,
            healing: Mutex::new(()),
            healed: Mutex::new(healed),
            touches: None,
        })
    }

    /// The open run, of which blocks are verified ahead of those who look them up.
    pub(crate) fn verified_ahead(self, verify_ahead: &Arc<VerifyAhead>) -> Arc<Self> {
        // Memory of its own was read already, and is on a simulated disk.
        if !self.region().is_mapped() {
            return Arc::new(self);
        }
        Arc::new_cyclic(|run| Self { touches: Some(Touches::new(run, verify_ahead)), ..self })
    }

    /// The name that it was given last of those in use.
    pub(crate) fn path(&self) -> Arc<Path> {
        let newest = self.names.lock().iter().rev().find_map(Weak::upgrade);
        newest.unwrap_or_else(|| Arc::clone(&self.path))
    }

    /// Notes another name of the file, for as long as that is in use.
    pub(super) fn add_name(&self, path: &Arc<Path>) {
        let mut names = self.names.lock();
        names.retain(|name| name.strong_count() > 0);
        names.push(Arc::downgrade(path));
    }

    /// What was damaged and made good so far, in the file by the name that it was opened by.
    pub(crate) fn healed(&self) -> Vec<Healed> {
        self.healed.lock().clone()
    }

    pub(super) fn report(&self, block: BlockRef, part: Part) {
        let report = Healed { path: self.path.to_path_buf(), offset: block.offset, bytes: block.bytes as u64, part };
        let mut healed = self.healed.lock();
        if !healed.contains(&report) {
            healed.push(report);
        }
    }

    pub(super) fn chapter(&self, at: usize) -> Option<&Chapter> {
        self.footer.chapters.get(at)
    }

    /// A block of chapter number `at`, its trailer with it: verified at the first touch, in place ever after.
    #[inline]
    pub(super) fn block(&self, at: usize, block: BlockRef) -> Result<&[u8]> {
        if self.is_verified(block) { Ok(self.bytes_of(block)) } else { self.first_touch(at, block) }
    }

    /// A line of an index block; nothing, and a report, where the block can't be read.
    pub(super) fn line(&self, at: usize, block: BlockRef, number: usize) -> Option<&[u8; LINE]> {
        match self.block(at, block) {
            Ok(block) => block.as_chunks().0.get(number).filter(|_| number < LINES_PER_BLOCK),
            Err(_) => {
                self.report(block, Part::Index);
                None
            }
        }
    }

    /// The bytes of the file, verified or not.
    pub(crate) fn region(&self) -> &Region {
        &self.pages.region
    }

    #[inline]
    pub(super) fn is_verified(&self, block: BlockRef) -> bool {
        self.pages.is_verified(index(block.offset / PAGE as u64))
    }

    /// All bytes of a block as they are in the file, verified or not.
    #[inline]
    fn bytes_of(&self, block: BlockRef) -> &[u8] {
        let start = index(block.offset);
        self.region().get(start..start + block.bytes).unwrap_or_default()
    }

    #[cold]
    fn first_touch(&self, at: usize, block: BlockRef) -> Result<&[u8]> {
        if let Some(rebuilt) = self.rebuilt(at, block) {
            return Ok(rebuilt);
        }
        if let Some(touches) = &self.touches {
            touches.count();
        }
        if self.verify_stretch(at, block) {
            return Ok(self.bytes_of(block));
        }
        let mut on_stack = [0; STACK_BYTES];
        let mut on_heap = Vec::new();
        let buffer = if block.bytes <= STACK_BYTES {
            on_stack.split_at_mut(block.bytes).0
        } else {
            on_heap.resize(block.bytes, 0);
            on_heap.as_mut_slice()
        };
        match self.read_checked(block, buffer) {
            Ok(true) => {}
            Ok(false) => return self.rebuild(at, block, None),
            Err(error) => return self.rebuild(at, block, Some(error)),
        }
        self.mark_verified(block, buffer);
        Ok(self.bytes_of(block))
    }

    /// Takes a block for whole that was found to be these bytes.
    fn mark_verified(&self, block: BlockRef, bytes: &[u8]) {
        self.pages.mark_verified(index(block.offset / PAGE as u64), is_fixed(bytes));
    }

    /// Says whether a block is whole, by a look at it in the mapping, and marks it. Its stretch is mapped with one call before, which fails
    /// where a page can't be read, and then none of the others costs a fault. Where that can't be done the stretch is read with one
    /// call, and all that is whole in it is marked; what is not is left for when it is touched itself.
    fn verify_stretch(&self, at: usize, block: BlockRef) -> bool {
        // In memory of its own there are no calls to spare; and beside damage each block is looked at by itself.
        let is_damaged = self.rebuilt.get(at).is_none_or(|rebuilt| rebuilt.get().is_some());
        let Some(chapter) = self.chapter(at).filter(|_| self.mode == ReadMode::Mapped && !is_damaged) else {
            return false;
        };
        let Some((offset, count)) = chapter.stretch(block, STRETCH_BYTES) else { return false };
        let range = index(offset)..index(offset) + count * block.bytes;
        if self.pages.populate(range.clone()) {
            // A checksum alone waits for one line of memory after the other.
            let bytes = self.bytes_of(block);
            prefetch_block(bytes);
            return self.mark_whole(block, block.offset, bytes);
        }
        let mut buffer = vec![0; range.len()];
        self.file.read_exact_at(&mut buffer, offset).is_ok() && self.mark_whole(block, offset, &buffer)
    }

    /// Marks the whole ones of the blocks like `block` that these bytes from `offset` on are; says whether it is one of them.
    pub(super) fn mark_whole(&self, block: BlockRef, offset: u64, stretch: &[u8]) -> bool {
        let mut is_whole = false;
        for (number, bytes) in stretch.chunks_exact(block.bytes).enumerate() {
            let other = BlockRef { offset: offset + (number * block.bytes) as u64, ..block };
            // What was verified before stays as it was found then: these bytes may have been read once more.
            if !self.is_verified(other) && self.is_whole(other, bytes) {
                self.mark_verified(other, bytes);
            }
            is_whole |= other.offset == block.offset && self.is_verified(other);
        }
        is_whole
    }

    /// Whether the bytes of a mapped block are what was written there.
    fn is_whole(&self, block: BlockRef, bytes: &[u8]) -> bool {
        checked(bytes, block.kind, self.seed, block.offset).is_some() || planted("mapped-block-not-checked")
    }

    /// Reads a block and says whether it is whole. Mapped files are read by a call, because a page of a mapping that
    /// can't be read is a signal, not an error; the call leaves the page in the cache that the mapping shows.
    pub(super) fn read_checked(&self, block: BlockRef, buffer: &mut [u8]) -> Result<bool> {
        if self.mode == ReadMode::Owned {
            let bytes = self.bytes_of(block);
            buffer.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
            if checked(buffer, block.kind, self.seed, block.offset).is_some() || planted("copied-block-not-checked") {
                return Ok(true);
            }
            // Asked again only for what it says: what could not be read is zero in the region.
            self.file.read_exact_at(buffer, block.offset)?;
            return Ok(false);
        }
        self.file.read_exact_at(buffer, block.offset)?;
        Ok(self.is_whole(block, buffer))
    }

    /// A data block of chapter number `at`.
    pub(super) fn data(&self, at: usize, block: BlockRef) -> Result<Data<'_>> {
        self.data_in(at, block, self.block(at, block)?)
    }

    /// As [`data`](Self::data), of a block that is going to be searched: all of it is fetched at the same time, because the steps of a
    /// search go from one end to the other. To fetch only what its first three steps look at took 1.3 times as long a scan of ten entries.
    pub(super) fn data_to_search(&self, at: usize, block: BlockRef) -> Result<Data<'_>> {
        let bytes = self.block(at, block)?;
        prefetch_block(bytes);
        self.data_in(at, block, bytes)
    }

    fn data_in<'a>(&self, at: usize, block: BlockRef, bytes: &'a [u8]) -> Result<Data<'a>> {
        let shape = self.chapter(at).and_then(|chapter| chapter.shape);
        Data::new(bytes, shape).ok_or_else(|| self.nonsense(block))
    }

    /// The entry in cell number `cell` of chapter number `at`; in a fixed block, the entry of this number.
    #[inline]
    pub(super) fn entry(&self, at: usize, chapter: &Chapter, cell: usize) -> Result<Entry<'_>> {
        // Sizes of blocks are powers of two: shifts, because a division would cost as much as the rest of this.
        let cells_log2 = chapter.unit.trailing_zeros() - CELL.trailing_zeros();
        let (first, block) = chapter.data_block(count32(cell >> cells_log2));
        if first >= chapter.units {
            return Err(self.nonsense(block));
        }
        let bytes = self.block(at, block)?;
        let place = cell - (index32(first) << cells_log2);
        entry_in_place(bytes, chapter.shape, place).ok_or_else(|| self.nonsense(block))
    }

    /// The error for a block whose checksum matches and whose content can't be: our own bug, or forged.
    pub(super) fn nonsense(&self, block: BlockRef) -> Error {
        Error::corrupt(&self.path(), block.offset, Reason::Structure, "a block of entries")
    }
}

/// A file in memory of its own. Pages that can't be read are zero, which no block verifies as: parity makes them good.
pub(super) fn owned(file: &dyn VfsFile, len: u64) -> Result<Region> {
    let len = room(file, len)?;
    let fill = |bytes: &mut [u8]| {
        if file.read_exact_at(bytes, 0).is_err() {
            for (page, bytes) in bytes.chunks_mut(PAGE).enumerate() {
                if file.read_exact_at(bytes, (page * PAGE) as u64).is_err() {
                    bytes.fill(0);
                }
            }
        }
        Ok::<(), Infallible>(())
    };
    Ok(Region::filled_by(len, fill).unwrap_or_else(|never| match never {}))
}

/// Refuses to hold more of a file in memory than there is room for.
pub(crate) fn room(file: &dyn VfsFile, len: u64) -> Result<usize> {
    let no_room = |error| laminar_vfs::Error::new(Op::Map, file.path(), error);
    let len = usize::try_from(len).map_err(|_| no_room(std::io::ErrorKind::OutOfMemory.into()))?;
    Region::expect_room(len).map_err(no_room)?;
    Ok(len)
}

/// Opens an existing file of exactly this length.
pub(crate) fn open_exact(vfs: &dyn Vfs, path: &Path, bytes: u64) -> Result<Arc<dyn VfsFile>> {
    let file = vfs.open(path, OpenMode::Read).map_err(missing)?;
    let found = file.len()?;
    if found == bytes || planted("length-of-file-not-checked") {
        return Ok(file);
    }
    Err(Error::corrupt(path, found.min(bytes), Reason::Length, "a file of the length that the manifest states"))
}

fn read_footer(file: &dyn VfsFile, path: &Path, record: &RunRecord, healed: &mut Vec<Healed>) -> Result<Footer> {
    let copy_bytes = twin::copy_bytes(record.footer_bytes);
    // The manifest was found to match its checksum, and the file to have the length it states: this is bounded by it.
    let mut bytes = vec![0; index(copy_bytes)];
    let mut first_error = None;
    // If neither is whole, one that is but for its padding will do.
    for (copy, decode) in
        [(0, twin::decode as Decode), (1, twin::decode), (0, twin::decode_unpadded), (1, twin::decode_unpadded)]
    {
        if planted("run-second-footer-ignored") && copy > 0 {
            continue;
        }
        let offset = record.footer_offset + u64::from(copy) * copy_bytes;
        let decoded = match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => decode_footer(decode, &bytes, copy, path, offset, record),
            Err(error) => Err(Error::Io(error)),
        };
        match (decoded, &first_error) {
            (Ok(footer), None) => return Ok(footer),
            (Ok(footer), Some(_)) => {
                let offset = record.footer_offset;
                healed.push(Healed { path: path.to_owned(), offset, bytes: copy_bytes, part: Part::RunFooter });
                return Ok(footer);
            }
            (Err(error @ Error::Version { .. }), _) => return Err(error),
            (Err(error), None) => first_error = Some(error),
            (Err(_), Some(_)) => {}
        }
    }
    Err(first_error.unwrap_or(Error::Abandoned))
}

/// A way to find the body of a copy.
type Decode = for<'a> fn(&[u8; 8], u32, &'a [u8]) -> std::result::Result<&'a [u8], Fault>;

fn decode_footer(
    decode: Decode,
    bytes: &[u8],
    copy: u32,
    path: &Path,
    offset: u64,
    record: &RunRecord,
) -> Result<Footer> {
    let fault = |fault| Error::fault(path, offset, fault);
    let body = decode(FOOTER_MAGIC, copy, bytes).map_err(fault)?;
    let footer = Footer::decode(body, record.footer_offset).map_err(fault)?;
    let identity = &footer.identity;
    let agrees = twin::body_crc(body) == record.footer_crc
        && (identity.run_id, identity.from, identity.to) == (record.run_id, record.from, record.to)
        && (footer.counts.entries, footer.counts.tombstones) == (record.entries, record.tombstones);
    if agrees {
        Ok(footer)
    } else {
        Err(Error::corrupt(path, offset, Reason::Mismatch, "the run that the manifest means"))
    }
}
