//! The header and the footer of a run, and the geometry of its chapters.

use std::ops::Range;

use super::block::{Kind, TRAILER};
use super::bytes::{Decoder, Encode, count32, index, index32, is_zero, put_at};
use super::fixed::Shape;
use super::{FILE_HEADER, FILE_HEADER_CRC_AT, Fault, PAGE, SETTINGS, VERSION, checked_magic};
use crate::error::Reason;
use crate::hash::{LINE, MAX_CELLS};

pub(crate) const RUN_MAGIC: &[u8; 8] = b"laminRUN";
pub(crate) const FOOTER_MAGIC: &[u8; 8] = b"laminFTR";

/// Flag of a run that has nothing below it, and so no tombstones and no filters.
const FLAG_BASE: u32 = 1;

/// Lines of 64 bytes in a block of the hash index or of the filter; such blocks are always one page.
pub(crate) const LINES_PER_BLOCK: usize = (PAGE - TRAILER) / LINE;
/// Heads in a block of heads.
pub(crate) const HEADS_PER_BLOCK: usize = (PAGE - TRAILER) / 8;
/// A chapter has at most so many entries.
pub(crate) const MAX_CHAPTER_ENTRIES: usize = 1 << 16;
/// Data blocks of a chapter with more than one block take at most so many bytes: what a slot of the index can name.
pub(crate) const MAX_CHAPTER_DATA: usize = MAX_CELLS * super::block::CELL;
/// The bit of a chapter's unit that says that it has fixed blocks.
const HAS_FIXED: u32 = 1;
/// The sizes that a chapter's data blocks can have.
pub(crate) const BLOCK_SIZES: [u32; 3] = [4096, 8192, 16384];

/// The `usual` number of lines; where fewer blocks hold the `least` that will do, all lines of these. At least one.
pub(crate) fn lines_in_blocks(usual: usize, least: usize) -> usize {
    usual.min(least.div_ceil(LINES_PER_BLOCK) * LINES_PER_BLOCK).max(1)
}

/// What tells a run from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) run_id: u128,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) hash_seed: u64,
    /// Nothing lies below this run.
    pub(crate) is_base: bool,
}

impl Identity {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u128(self.run_id);
        out.put_u64(self.from);
        out.put_u64(self.to);
        out.put_u64(self.hash_seed);
        out.put_u32(if self.is_base { FLAG_BASE } else { 0 });
    }

    fn decode(fields: &mut Decoder<'_>) -> Option<Self> {
        let (run_id, from, to, hash_seed) = (fields.u128()?, fields.u64()?, fields.u64()?, fields.u64()?);
        let flags = fields.u32()?;
        (from < to && flags & !FLAG_BASE == 0).then_some(Self {
            run_id,
            from,
            to,
            hash_seed,
            is_base: flags == FLAG_BASE,
        })
    }
}

/// The first page of a run.
pub(crate) fn encode_header(identity: &Identity) -> Vec<u8> {
    let mut out = Vec::with_capacity(PAGE);
    out.extend_from_slice(RUN_MAGIC);
    out.put_u32(VERSION);
    out.put_u32(SETTINGS);
    identity.encode(&mut out);
    out.resize(PAGE, 0);
    let crc = crc32c::crc32c(out.get(..FILE_HEADER_CRC_AT).unwrap_or_default());
    put_at(&mut out, FILE_HEADER_CRC_AT, &crc.to_le_bytes());
    out
}

/// Reads the first 512 bytes of a run.
pub(crate) fn decode_header(bytes: &[u8]) -> Result<Identity, Fault> {
    let header = bytes.get(..FILE_HEADER).ok_or(Fault::Damage(Reason::Length, "a header"))?;
    checked_magic(RUN_MAGIC, header, FILE_HEADER_CRC_AT)?;
    let structure = Fault::Damage(Reason::Structure, "a header");
    let mut fields = Decoder::new(header);
    let _checked = fields.take(12).ok_or(structure)?;
    if fields.u32() != Some(SETTINGS) {
        return Err(Fault::Settings);
    }
    let identity = Identity::decode(&mut fields).ok_or(structure)?;
    let rest = fields.take(fields.remaining() - 4).ok_or(structure)?;
    if is_zero(rest) { Ok(identity) } else { Err(Fault::Damage(Reason::Reserved, "zero")) }
}

/// A block of an entry too large for the chapter's size: several units long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wide {
    pub(crate) first: u32,
    pub(crate) units: u32,
}

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRef {
    pub(crate) kind: Kind,
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
}

/// A stretch of a run with an index, a filter and a parity of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chapter {
    pub(crate) offset: u64,
    /// Bytes of a data block that is not wide.
    pub(crate) unit: u32,
    /// The length of the data blocks in units.
    pub(crate) units: u32,
    /// Buckets of the hash index; 0 where there is only one block to look into.
    pub(crate) buckets: u32,
    /// Lines of the filter; 0 in a base run, and where there is only one block to look into.
    pub(crate) lines: u32,
    pub(crate) entries: u32,
    pub(crate) parity_bytes: u32,
    /// What the entries of its fixed blocks are like, if it has any.
    pub(crate) shape: Option<Shape>,
    pub(crate) wide: Box<[Wide]>,
    /// Where the first key lies in the footer's body.
    pub(crate) first_key: Range<usize>,
    /// Where the last key lies in the footer's body.
    pub(crate) last_key: Range<usize>,
    /// How many bytes all keys of the chapter begin with in common. Not stored: it follows from the first and last.
    pub(crate) prefix: usize,
}

/// How many bytes two keys begin with in common.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The eight bytes of `key` after its first `prefix`, as a number that orders as they do. Shorter keys order as if
/// zeros followed, so equal heads decide nothing.
#[inline]
pub(crate) fn head(key: &[u8], prefix: usize) -> u64 {
    let rest = key.get(prefix..).unwrap_or_default();
    let bytes = rest.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        bytes
    });
    u64::from_le_bytes(bytes).swap_bytes()
}

/// How many lanes the blocks of a chapter are dealt out to, in turn, each with a parity block: two, so that two neighbours can be
/// damaged; with wide blocks, which make parity long, one.
pub(crate) fn lanes(is_narrow: bool) -> usize {
    if is_narrow { 2 } else { 1 }
}

impl Chapter {
    /// Data blocks.
    pub(crate) fn blocks(&self) -> u32 {
        self.wide.iter().fold(self.units, |left, wide| left - (wide.units - 1))
    }

    fn hash_blocks(&self) -> usize {
        index32(self.buckets).div_ceil(LINES_PER_BLOCK)
    }

    fn filter_blocks(&self) -> usize {
        index32(self.lines).div_ceil(LINES_PER_BLOCK)
    }

    pub(crate) fn heads_blocks(&self) -> usize {
        if self.blocks() > 1 { index32(self.units).div_ceil(HEADS_PER_BLOCK) } else { 0 }
    }

    pub(crate) fn data_bytes(&self) -> u64 {
        u64::from(self.units) * u64::from(self.unit)
    }

    fn index_offset(&self) -> u64 {
        self.offset + self.data_bytes()
    }

    fn index_block(&self, kind: Kind, number: usize) -> BlockRef {
        BlockRef { kind, offset: self.index_offset() + (number * PAGE) as u64, bytes: PAGE }
    }

    pub(crate) fn hash_block(&self, number: usize) -> BlockRef {
        self.index_block(Kind::Hash, number)
    }

    pub(crate) fn heads_block(&self, number: usize) -> BlockRef {
        self.index_block(Kind::Heads, self.hash_blocks() + number)
    }

    pub(crate) fn filter_block(&self, number: usize) -> BlockRef {
        self.index_block(Kind::Filter, self.hash_blocks() + self.heads_blocks() + number)
    }

    fn index_blocks(&self) -> usize {
        self.hash_blocks() + self.heads_blocks() + self.filter_blocks()
    }

    /// How many lanes the blocks are dealt out to.
    pub(crate) fn lanes(&self) -> usize {
        lanes(self.wide.is_empty())
    }

    fn parity(&self, number: usize) -> BlockRef {
        let block = self.index_block(Kind::Parity, self.index_blocks());
        let bytes = index32(self.parity_bytes);
        BlockRef { offset: block.offset + (number * bytes) as u64, bytes, ..block }
    }

    /// Just past the chapter.
    pub(crate) fn end(&self) -> u64 {
        self.parity(self.lanes()).offset
    }

    /// The data block that holds unit number `unit`, and the number of its first unit.
    #[inline]
    pub(crate) fn data_block(&self, unit: u32) -> (u32, BlockRef) {
        let bytes = index32(self.unit);
        if self.wide.is_empty() {
            let offset = self.offset + u64::from(unit) * u64::from(self.unit);
            return (unit, BlockRef { kind: Kind::Data, offset, bytes });
        }
        let at = self.wide.partition_point(|wide| wide.first <= unit);
        let wide = at.checked_sub(1).and_then(|at| self.wide.get(at)).filter(|wide| unit - wide.first < wide.units);
        let (first, units, kind) = wide.map_or((unit, 1, Kind::Data), |wide| (wide.first, wide.units, Kind::Wide));
        let offset = self.offset + u64::from(first) * u64::from(self.unit);
        (first, BlockRef { kind, offset, bytes: index32(units) * bytes })
    }

    /// The number of units of the data block that begins at unit number `first`.
    pub(crate) fn block_units(&self, block: BlockRef) -> u32 {
        count32(block.bytes / index32(self.unit))
    }

    /// The blocks of one kind, which lie back to back: the first, and how many they are. Nothing where they differ in length, or are of no
    /// kind that is looked up one by one.
    fn row(&self, kind: Kind) -> Option<(BlockRef, usize)> {
        match kind {
            Kind::Data if self.wide.is_empty() => Some((self.data_block(0).1, index32(self.units))),
            Kind::Hash => Some((self.hash_block(0), self.hash_blocks())),
            Kind::Heads => Some((self.heads_block(0), self.heads_blocks())),
            Kind::Filter => Some((self.filter_block(0), self.filter_blocks())),
            Kind::Data | Kind::Fixed | Kind::Wide | Kind::Parity => None,
        }
    }

    /// The stretch of about `bytes` that a block lies in, the same for each that does: where it begins, and how many blocks it has. Nothing
    /// where its kind has no [`row`](Self::row).
    pub(crate) fn stretch(&self, block: BlockRef, bytes: usize) -> Option<(u64, usize)> {
        let (start, count) = self.row(block.kind)?;
        let per_stretch = (bytes / block.bytes).max(1);
        let number = index(block.offset.checked_sub(start.offset)?) / block.bytes;
        let first = number / per_stretch * per_stretch;
        let end = count.min(first + per_stretch);
        (number < end).then(|| (start.offset + (first * block.bytes) as u64, end - first))
    }

    /// All [stretches](Self::stretch) in the order in which they lie in the file: the first block of each, and how many it has.
    pub(crate) fn stretches(&self, bytes: usize) -> impl Iterator<Item = (BlockRef, usize)> + '_ {
        let rows = [Kind::Data, Kind::Hash, Kind::Heads, Kind::Filter].into_iter().filter_map(|kind| self.row(kind));
        rows.flat_map(move |(start, count)| {
            let per_stretch = (bytes / start.bytes).max(1);
            (0..count).step_by(per_stretch).map(move |first| {
                let offset = start.offset + (first * start.bytes) as u64;
                (BlockRef { offset, ..start }, per_stretch.min(count - first))
            })
        })
    }

    /// All data blocks in order.
    pub(crate) fn data_blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let (_, block) = (next < self.units).then(|| self.data_block(next))?;
            next += self.block_units(block);
            Some(block)
        })
    }

    /// All blocks in the order in which they lie in the file, the parity last.
    pub(crate) fn all_blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        let hash = (0..self.hash_blocks()).map(|number| self.hash_block(number));
        let heads = (0..self.heads_blocks()).map(|number| self.heads_block(number));
        let filter = (0..self.filter_blocks()).map(|number| self.filter_block(number));
        self.data_blocks()
            .chain(hash)
            .chain(heads)
            .chain(filter)
            .chain((0..self.lanes()).map(|number| self.parity(number)))
    }

    /// Bytes of the longest block; no block of the index is longer than one of data.
    fn longest_block(&self) -> usize {
        index32(self.unit) * index32(self.wide.iter().map(|wide| wide.units).max().unwrap_or(1))
    }

    fn decode(fields: &mut Decoder<'_>, body_len: usize, is_base: bool) -> Option<Self> {
        let offset = fields.u64()?;
        let (unit, units, buckets, lines) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
        let (entries, parity_bytes) = (fields.u32()?, fields.u32()?);
        let (has_fixed, unit) = (unit & HAS_FIXED != 0, unit & !HAS_FIXED);
        if !BLOCK_SIZES.contains(&unit) {
            return None;
        }
        let shape = if has_fixed { Some(Shape::decode(fields, unit)?) } else { None };
        let mut wide = Vec::with_capacity(fields.count(8)?);
        let mut next_free = 0;
        for _ in 0..wide.capacity() {
            let item = Wide { first: fields.u32()?, units: fields.u32()? };
            if item.units < 2 || item.first < next_free {
                return None;
            }
            next_free = item.first.checked_add(item.units)?;
            wide.push(item);
        }
        let first_key = blob_range(fields, body_len)?;
        let last_key = blob_range(fields, body_len)?;
        let wide = wide.into_boxed_slice();
        let chapter = Self {
            offset,
            unit,
            units,
            buckets,
            lines,
            entries,
            parity_bytes,
            shape,
            wide,
            first_key,
            last_key,
            prefix: 0,
        };
        (next_free <= units && chapter.is_sound(is_base)).then_some(chapter)
    }

    /// Whether the numbers fit together, so that nothing derived from them overflows or lies outside of the chapter.
    fn is_sound(&self, is_base: bool) -> bool {
        let most = MAX_CHAPTER_ENTRIES;
        let sizes = self.units > 0 && self.offset < 1 << 62;
        let counts =
            (1..=most).contains(&index32(self.entries)) && index32(self.buckets) <= most && index32(self.lines) <= most;
        // One block may be as long as its entry; several lie within what the index can name.
        let (first, _) = (sizes && counts).then(|| self.data_block(0)).unzip();
        first == Some(0)
            && (self.blocks() == 1 && self.data_bytes() < 1 << 31 || self.data_bytes() <= MAX_CHAPTER_DATA as u64)
            && (self.buckets == 0) == (self.blocks() == 1)
            && (self.lines == 0) == (is_base || self.blocks() == 1)
            && self.longest_block() == index32(self.parity_bytes)
    }
}

/// A blob's place in the body of which `fields` is the rest.
fn blob_range(fields: &mut Decoder<'_>, body_len: usize) -> Option<Range<usize>> {
    let len = fields.blob()?.len();
    let end = body_len - fields.remaining();
    Some(end - len..end)
}

/// Sums over a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Entries, tombstones among them.
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    pub(crate) key_bytes: u64,
    pub(crate) value_bytes: u64,
}

/// What a run says about itself, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) identity: Identity,
    pub(crate) counts: Counts,
    /// CRC32C of the checksums of all blocks in order.
    pub(crate) content: u32,
    pub(crate) chapters: Vec<Chapter>,
    body: Box<[u8]>,
}

/// The part of a footer's body before its chapters.
pub(crate) fn encode_footer_start(identity: &Identity, counts: &Counts, content: u32, chapters: usize) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32(SETTINGS);
    identity.encode(&mut out);
    out.put_u64(counts.entries);
    out.put_u64(counts.tombstones);
    out.put_u64(counts.key_bytes);
    out.put_u64(counts.value_bytes);
    out.put_u32(content);
    out.put_u32(count32(chapters));
    out
}

/// Appends a chapter to the list of chapters; the keys of `chapter` are given apart.
pub(crate) fn encode_chapter(out: &mut Vec<u8>, chapter: &Chapter, first_key: &[u8], last_key: &[u8]) {
    out.put_u64(chapter.offset);
    let unit = chapter.unit | if chapter.shape.is_some() { HAS_FIXED } else { 0 };
    for field in [unit, chapter.units, chapter.buckets, chapter.lines, chapter.entries, chapter.parity_bytes] {
        out.put_u32(field);
    }
    if let Some(shape) = chapter.shape {
        shape.encode(out);
    }
    out.put_u32(count32(chapter.wide.len()));
    for wide in &chapter.wide {
        out.put_u32(wide.first);
        out.put_u32(wide.units);
    }
    out.put_blob(first_key);
    out.put_blob(last_key);
}

impl Footer {
    /// Decodes the body of a footer that begins at `footer_offset` of its file.
    pub(crate) fn decode(body: &[u8], footer_offset: u64) -> Result<Self, Fault> {
        let mut fields = Decoder::new(body);
        if fields.u32() != Some(SETTINGS) {
            return Err(Fault::Settings);
        }
        Self::decode_fields(fields, body, footer_offset).ok_or(Fault::Damage(Reason::Structure, "a footer"))
    }

    fn decode_fields(mut fields: Decoder<'_>, body: &[u8], footer_offset: u64) -> Option<Self> {
        let identity = Identity::decode(&mut fields)?;
        let counts = Counts {
            entries: fields.u64()?,
            tombstones: fields.u64()?,
            key_bytes: fields.u64()?,
            value_bytes: fields.u64()?,
        };
        let content = fields.u32()?;
        let mut chapters: Vec<Chapter> = Vec::with_capacity(fields.count(44)?);
        let mut next = PAGE as u64;
        for _ in 0..chapters.capacity() {
            let mut chapter = Chapter::decode(&mut fields, body.len(), identity.is_base)?;
            let (first, last) = (body.get(chapter.first_key.clone())?, body.get(chapter.last_key.clone())?);
            chapter.prefix = common_prefix(first, last);
            let ascends = first <= last
                && chapters
                    .last()
                    .is_none_or(|before| body.get(before.last_key.clone()) < body.get(chapter.first_key.clone()));
            if chapter.offset != next || !ascends {
                return None;
            }
            next = chapter.end();
            chapters.push(chapter);
        }
        let entries: u64 = chapters.iter().map(|chapter| u64::from(chapter.entries)).sum();
        let agrees = next == footer_offset && entries == counts.entries && counts.tombstones <= entries;
        (agrees && fields.remaining() == 0).then(|| Self { identity, counts, content, chapters, body: body.into() })
    }

    /// The key at a place in the body.
    pub(crate) fn key(&self, place: &Range<usize>) -> &[u8] {
        self.body.get(place.clone()).unwrap_or_default()
    }

    /// The lowest key of the run; nothing if the run is empty.
    pub(crate) fn first_key(&self) -> Option<&[u8]> {
        self.chapters.first().map(|chapter| self.key(&chapter.first_key))
    }

    /// The highest key of the run; nothing if the run is empty.
    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        self.chapters.last().map(|chapter| self.key(&chapter.last_key))
    }
}

const _: () = assert!(LINES_PER_BLOCK == 63 && HEADS_PER_BLOCK == 510 && FILE_HEADER < PAGE);
