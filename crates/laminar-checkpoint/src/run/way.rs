//! The short way to an entry, by hash: where the index of a chapter and its entries lie, worked out when the run is opened.
//!
//! Look-ups one after the other wait for memory at the same time as far as the processor sees ahead, which is some five
//! hundred instructions. So a look-up in blocks that were verified before, of a chapter without wide blocks, has to be short; every other
//! takes the way over the chapter, which ends in the same place.

use std::ops::Range;

use laminar_vfs::Region;

use crate::format::PAGE;
use crate::format::block::{CELL, ENTRY_HEADER, Entry, TRAILER, entry_in, prefetch_entry};
use crate::format::bytes::{index, index32};
use crate::format::fixed::Shape;
use crate::format::run::{BlockRef, Chapter, LINES_PER_BLOCK};
use crate::hash::{LINE, Matches, line_of, matches};
use crate::key::Key;
use crate::sync::{AtomicU64, Ordering};

/// A chapter, for look-ups by hash. Small, so that what looks a chapter up finds it in one line of memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// Where its first block begins.
    data: usize,
    /// The pages where its hash blocks and its filter blocks begin.
    hash_page: u32,
    filter_page: u32,
    /// 0 where the index is not asked, or not here.
    buckets: u32,
    pub(super) lines: u32,
    /// The bits of a cell's number that say where in its block it lies: blocks have a power of two of them.
    in_block: u16,
    /// Bytes of a data block without its trailer.
    payload: u16,
    shape: Shape,
}

/// What is fetched of an entry ahead of its look-up: more than most have, and not so much that a long one drives the others out of the cache.
const AHEAD_BYTES: usize = 3 * LINE;

/// That of a chapter without fixed blocks: no item has room for such an entry.
const NO_SHAPE: Shape = Shape { stride: 0, key_bytes: 0, value_bytes: u16::MAX };

impl Way {
    pub(super) fn to(chapter: &Chapter) -> Self {
        let page = |offset: u64| u32::try_from(offset / PAGE as u64);
        // A run of 16 TiB has more pages than are counted here: what lies behind goes the other way, and its filters are not asked.
        let is_counted = page(chapter.end()).is_ok();
        let page = |block: BlockRef| page(block.offset).unwrap_or_default();
        let short = |bytes: usize| u16::try_from(bytes).expect("a block has at most 16 KiB");
        Self {
            data: index(chapter.offset),
            hash_page: page(chapter.hash_block(0)),
            filter_page: page(chapter.filter_block(0)),
            buckets: if is_counted && chapter.wide.is_empty() { chapter.buckets } else { 0 },
            lines: if is_counted { chapter.lines } else { 0 },
            in_block: short(index32(chapter.unit) / CELL - 1),
            payload: short(index32(chapter.unit) - TRAILER),
            shape: chapter.shape.unwrap_or(NO_SHAPE),
        }
    }
}

/// The bytes of a run, and what is known of each of its pages.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) region: Region,
    /// Two bits a page: [`VERIFIED`] and [`FIXED`].
    blocks: Vec<AtomicU64>,
    /// A bit for each page where a stretch begins that was mapped with one call.
    populated: Vec<AtomicU64>,
}

/// A block begins here that was verified and is served from here.
const VERIFIED: u64 = 1;
/// It is a fixed one.
const FIXED: u64 = 2;
/// Pages whose blocks a word tells of.
const BLOCKS_PER_WORD: usize = 32;

impl Pages {
    pub(super) fn new(region: Region) -> Self {
        let none = |pages| (0..region.len().div_ceil(PAGE * pages)).map(|_| AtomicU64::new(0)).collect();
        Self { blocks: none(BLOCKS_PER_WORD), populated: none(64), region }
    }

    /// Maps a stretch of the file, unless it was mapped before. False where that can't be done.
    pub(super) fn populate(&self, stretch: Range<usize>) -> bool {
        let page = stretch.start / PAGE;
        let is_populated = is_set(&self.populated, page) || self.region.populate(stretch);
        if is_populated {
            set(&self.populated, page);
        }
        is_populated
    }

    /// Maps a stretch of the file that was read a moment ago, by looking at a byte of each page.
    pub(super) fn touch(&self, stretch: Range<usize>) {
        let page = stretch.start / PAGE;
        if !is_set(&self.populated, page) {
            let bytes = stretch.step_by(PAGE).filter_map(|at| self.region.get(at));
            std::hint::black_box(bytes.fold(0, |sum, byte| sum ^ byte));
            set(&self.populated, page);
        }
    }

    #[inline(always)]
    pub(super) fn is_verified(&self, page: usize) -> bool {
        known(&self.blocks, page) & VERIFIED != 0
    }

    pub(super) fn mark_verified(&self, page: usize, is_fixed: bool) {
        let bits = if is_fixed { VERIFIED | FIXED } else { VERIFIED };
        if let Some(word) = self.blocks.get(page / BLOCKS_PER_WORD) {
            word.fetch_or(bits << (2 * (page % BLOCKS_PER_WORD)), Ordering::Release);
        }
    }

    /// What is whole of them.
    #[inline(always)]
    pub(super) fn whole(&self) -> Whole<'_> {
        Whole { bytes: &self.region, blocks: &self.blocks }
    }
}

fn set(bits: &[AtomicU64], page: usize) {
    if let Some(bits) = bits.get(page / 64) {
        bits.fetch_or(1 << (page % 64), Ordering::Release);
    }
}

#[inline(always)]
fn is_set(bits: &[AtomicU64], page: usize) -> bool {
    bits.get(page / 64).is_some_and(|bits| bits.load(Ordering::Acquire) >> (page % 64) & 1 == 1)
}

/// What is known of the block that begins at a page: [`VERIFIED`] and [`FIXED`], or nothing.
#[inline(always)]
fn known(blocks: &[AtomicU64], page: usize) -> u64 {
    let word = blocks.get(page / BLOCKS_PER_WORD).map_or(0, |word| word.load(Ordering::Acquire));
    word >> (2 * (page % BLOCKS_PER_WORD)) & (VERIFIED | FIXED)
}

/// The blocks of a run that were verified and are served from its region.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole<'a> {
    bytes: &'a [u8],
    blocks: &'a [AtomicU64],
}

impl<'a> Whole<'a> {
    /// The bucket where a hash belongs; nothing where its block is not among them.
    #[inline(always)]
    pub(super) fn bucket(self, way: &Way, hash: u64) -> Option<&'a [u8; LINE]> {
        if way.buckets == 0 {
            return None;
        }
        self.line(way.hash_page, index32(line_of(hash, way.buckets)))
    }

    /// The entry of `key`, as the `bucket` where it belongs tells, and where that is full, as those behind it do. `None` where they, or a
    /// block that they point into, are not among them.
    #[inline(always)]
    pub(super) fn find(self, way: &Way, bucket: &[u8; LINE], hash: u64, key: Key<'_>) -> Option<Option<Entry<'a>>> {
        let found = matches(bucket, hash);
        match self.find_in(way, bucket, found, key)? {
            None if found.is_full => {
                let (space, name) = key.into_parts();
                self.find_behind(way, hash, space, name)
            }
            entry => Some(entry),
        }
    }

    /// As [`find`](Self::find), in the buckets behind the one where the hash belongs. Every fifth bucket is full, so a search for a key
    /// that is not there comes here often, for one that is seldom.
    #[inline(never)]
    fn find_behind(self, way: &Way, hash: u64, space: u64, name: &[u8]) -> Option<Option<Entry<'a>>> {
        let key = Key::from_parts((space, name));
        let home = line_of(hash, way.buckets);
        let behind = (home + 1..way.buckets).chain(0..home);
        for number in behind {
            let bucket = self.line(way.hash_page, index32(number))?;
            let found = matches(bucket, hash);
            match self.find_in(way, bucket, found, key)? {
                None if found.is_full => {}
                entry => return Some(entry),
            }
        }
        Some(None)
    }

    #[inline(always)]
    fn find_in(self, way: &Way, bucket: &[u8; LINE], mut found: Matches, key: Key<'_>) -> Option<Option<Entry<'a>>> {
        while let Some(cell) = found.next_cell(bucket) {
            let entry = self.entry(way, cell)?;
            if key.is(entry.key) {
                return Some(Some(entry));
            }
        }
        Some(None)
    }

    /// The line of the filter of this number; nothing if its block is not among them.
    #[inline(always)]
    pub(super) fn filter_line(self, way: &Way, number: usize) -> Option<&'a [u8; LINE]> {
        self.line(way.filter_page, number)
    }

    #[inline(always)]
    fn line(self, first_page: u32, number: usize) -> Option<&'a [u8; LINE]> {
        let page = index32(first_page) + number / LINES_PER_BLOCK;
        if known(self.blocks, page) == 0 {
            return None;
        }
        self.bytes.as_chunks().0.get(page * (PAGE / LINE) + number % LINES_PER_BLOCK)
    }

    /// The memory of the entry in this cell, or of this number in a fixed block; of a long one [`AHEAD_BYTES`] with the key. None if its block is
    /// not among them.
    #[inline]
    pub(super) fn memory(self, way: &Way, cell: usize) -> &'a [u8] {
        let in_block = cell & usize::from(way.in_block);
        let start = way.data + (cell - in_block) * CELL;
        let end = start + usize::from(way.payload);
        let (at, bytes) = match known(self.blocks, start / PAGE) {
            0 => return &[],
            known if known & FIXED != 0 => {
                let stride = usize::from(way.shape.stride);
                // The key lies behind the value.
                let bytes = stride.min(AHEAD_BYTES);
                (start + (in_block + 1) * stride - bytes, bytes)
            }
            _ => (way.data + cell * CELL + (CELL - ENTRY_HEADER), AHEAD_BYTES),
        };
        // Nothing is known of what lies behind the block.
        self.bytes.get(at..(at + bytes).min(end)).unwrap_or_default()
    }

    /// The entry in this cell of the chapter, or of this number in a fixed block; nothing if its block is not among them, or can't be one.
    #[inline(always)]
    pub(super) fn entry(self, way: &Way, cell: usize) -> Option<Entry<'a>> {
        let in_block = cell & usize::from(way.in_block);
        let start = way.data + (cell - in_block) * CELL;
        let known = known(self.blocks, start / PAGE);
        let end = start + usize::from(way.payload);
        if known & FIXED != 0 {
            let stride = usize::from(way.shape.stride);
            let item = start + in_block * stride;
            let item = self.bytes.get(item..item + stride).filter(|_| item + stride <= end)?;
            Shape::prefetch(item);
            return way.shape.entry_in(item);
        }
        if known == 0 {
            return None;
        }
        let entry = self.bytes.get(way.data + cell * CELL + (CELL - ENTRY_HEADER)..end)?;
        prefetch_entry(entry);
        entry_in(entry)
    }
}
