//! The bytes of one entry in the arena: header, key, value. Owns their layout and nothing else.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | mark; the top bit says that the block is not an entry, the one below it, of an entry, that it is queued as a tombstone |
//! | 4 | 4 | bits 0-24: bytes set aside for the value; bit 25: tombstone; bits 26-31: key length, 63 = see next |
//! | 8 | 0 or 4 | key length, where it is 63 or more |
//! | 8 or 12 | key length | key |
//! | next multiple of 16, less 4 | value length | value |
//!
//! Blocks begin four bytes behind a multiple of 16, so that values are aligned. Header and key are together, with the first of the value
//! behind them: a lookup reads one cache line to compare the key, and a value can be overwritten without moving it. With a
//! four-byte namespace, a sixteen-byte key and a hundred bytes of value an entry is 128 bytes, without padding. A tombstone keeps the
//! value length it replaced: the block stays as large as it was, and the key's next value usually fits.

use super::key::{Key, is_equal};

/// Bytes of a cell, the unit in which blocks are measured and aligned.
pub(super) const CELL_BYTES: usize = 16;

/// The longest key and the longest value, in bytes: what 25 bits can say.
pub(super) const MAX_BYTES: usize = (1 << VALUE_BITS) - 1;

/// How many bytes behind a multiple of [`CELL_BYTES`] blocks begin.
pub(super) const SHIFT: usize = 4;

/// Set in the mark of blocks that are not entries: free ones, and removed entries that the order still refers to.
pub(super) const NOT_AN_ENTRY: u32 = 1 << 31;

/// The mark of free blocks: what follows it, to the end of the first cell, belongs to whoever links them.
pub(super) const FREE: u32 = 0b11 << 30;

/// Set in the mark of an entry that is in a queue of tombstones. It stays when the entry gets a value again.
const QUEUED: u32 = 1 << 30;

/// What marks of entries are below.
pub(crate) const MARK_LIMIT: u32 = 1 << 30;

const VALUE_BITS: u32 = 25;
const TOMBSTONE: u32 = 1 << VALUE_BITS;
const KEY_SHIFT: u32 = VALUE_BITS + 1;
const LONG_KEY: u32 = u32::MAX >> KEY_SHIFT;
const LENGTHS: usize = 4;
const SHORT_HEAD: usize = 8;
const LONG_HEAD: usize = 12;

/// Where the parts of a block are; all in bytes from its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    key_start: usize,
    key_end: usize,
    value_start: usize,
    value_end: usize,
}

impl Layout {
    /// The layout of an entry with these lengths.
    pub(super) const fn new(key_bytes: usize, value_bytes: usize) -> Self {
        let key_start = if key_bytes < LONG_KEY as usize { SHORT_HEAD } else { LONG_HEAD };
        let key_end = key_start + key_bytes;
        // Said with a mask: `next_multiple_of` is more instructions, and every lookup comes here.
        let value_start = ((key_end + SHIFT + CELL_BYTES - 1) & !(CELL_BYTES - 1)) - SHIFT;
        Self { key_start, key_end, value_start, value_end: value_start + value_bytes }
    }

    /// Cells that the block takes.
    pub(super) const fn cells(self) -> usize {
        self.value_end.div_ceil(CELL_BYTES)
    }
}

/// A block read from its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
    meta: u32,
}

#[expect(clippy::indexing_slicing, reason = "offsets come from headers that only this module writes")]
impl<'a> Block<'a> {
    /// Reads the header at the start of `bytes`, which may run on past the block.
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, meta: word(bytes, LENGTHS) }
    }

    /// What an entry is marked with.
    #[inline]
    pub(super) fn mark(self) -> u32 {
        word(self.bytes, 0) & !QUEUED
    }

    /// False of a block that is free, or was an entry and is only a key that the order refers to.
    #[inline]
    pub(super) fn is_entry(self) -> bool {
        word(self.bytes, 0) & NOT_AN_ENTRY == 0
    }

    #[inline]
    pub(super) fn is_free(self) -> bool {
        word(self.bytes, 0) & FREE == FREE
    }

    /// Whether an entry is queued as a tombstone.
    #[inline]
    pub(super) fn is_queued(self) -> bool {
        word(self.bytes, 0) & QUEUED != 0
    }

    /// A new mark for the entry, which stays queued if it is.
    #[inline]
    pub(super) fn remarked(self, mark: u32) -> u32 {
        word(self.bytes, 0) & QUEUED | mark
    }

    #[inline]
    pub(super) fn is_tombstone(self) -> bool {
        self.meta & TOMBSTONE != 0
    }

    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        let short = self.meta >> KEY_SHIFT;
        if short == LONG_KEY {
            return &self.bytes[LONG_HEAD..LONG_HEAD + word(self.bytes, SHORT_HEAD) as usize];
        }
        &self.bytes[SHORT_HEAD..SHORT_HEAD + short as usize]
    }

    /// Whether this is the block of `key`.
    #[inline(always)]
    pub(super) fn is(self, key: &Key<'_>) -> bool {
        let len = key.len();
        let (short, start) = if len < LONG_KEY as usize { (len, SHORT_HEAD) } else { (LONG_KEY as usize, LONG_HEAD) };
        if (self.meta >> KEY_SHIFT) as usize != short || (start == LONG_HEAD && self.key().len() != len) {
            return false;
        }
        let Some((space, name)) = self.bytes[start..start + len].split_first_chunk() else { return false };
        *space == key.space && is_equal(name, key.name)
    }

    #[inline]
    pub(super) fn layout(self) -> Layout {
        let short = self.meta >> KEY_SHIFT;
        let key_bytes = if short == LONG_KEY { word(self.bytes, SHORT_HEAD) } else { short };
        Layout::new(key_bytes as usize, self.value_space())
    }

    /// The value, or `None` of a tombstone, of a block whose key has so many bytes.
    #[inline]
    pub(super) fn value(self, key_bytes: usize) -> Option<&'a [u8]> {
        if self.is_tombstone() {
            return None;
        }
        let layout = Layout::new(key_bytes, self.value_space());
        Some(&self.bytes[layout.value_start..layout.value_end])
    }

    /// Bytes of the value, or `None` of a tombstone.
    #[inline]
    pub(super) fn value_bytes(self) -> Option<usize> {
        (!self.is_tombstone()).then_some(self.value_space())
    }

    /// A byte of each cache line of the block, of the first few: read early, they are on their way into the cache. Which ones is foreseen
    /// by how many the blocks before had, so that the reads need not wait for the header, as that of the last byte has to.
    #[inline]
    pub(super) fn touch(self) -> u8 {
        const LINE: usize = 64;
        const LINES: usize = 4;
        let end = self.layout().value_end;
        let lines = (0..LINES).map(|line| line * LINE).take_while(|&at| at < end + SHIFT);
        let touched = lines.fold(0, |all, at| all ^ self.bytes.get(at).copied().unwrap_or_default());
        touched ^ self.bytes[end - 1]
    }

    /// The 32-bit number at this place of a free block.
    pub(super) fn word(self, at: usize) -> u32 {
        word(self.bytes, at)
    }

    /// Bytes set aside for the value.
    #[inline]
    pub(super) fn value_space(self) -> usize {
        (self.meta & (TOMBSTONE - 1)) as usize
    }
}

/// Writes a whole entry at the start of `bytes`, its key in pieces.
#[expect(clippy::indexing_slicing, reason = "the caller hands in a block of `layout.cells()` cells")]
pub(super) fn write(bytes: &mut [u8], layout: Layout, mark: u32, key: &[&[u8]], value: Option<&[u8]>) {
    if layout.key_start == LONG_HEAD {
        put_word(bytes, SHORT_HEAD, word_of(layout.key_end - layout.key_start));
    }
    let mut to = layout.key_start;
    for piece in key {
        bytes[to..to + piece.len()].copy_from_slice(piece);
        to += piece.len();
    }
    write_value(bytes, layout, mark, value);
}

/// Writes mark and value of an entry whose key is in place; the mark says whether it is queued. A tombstone keeps the value length of `layout`.
#[expect(clippy::indexing_slicing, reason = "the caller hands in a block of `layout.cells()` cells")]
pub(super) fn write_value(bytes: &mut [u8], layout: Layout, mark: u32, value: Option<&[u8]>) {
    let short_key = word_of(layout.key_end - layout.key_start).min(LONG_KEY);
    let value_bytes = word_of(layout.value_end - layout.value_start);
    let tombstone = if value.is_none() { TOMBSTONE } else { 0 };
    put_mark(bytes, mark);
    put_word(bytes, LENGTHS, value_bytes | tombstone | short_key << KEY_SHIFT);
    if let Some(value) = value {
        bytes[layout.value_start..layout.value_end].copy_from_slice(value);
    }
}

/// Says whether an entry is queued as a tombstone.
pub(super) fn put_queued(bytes: &mut [u8], is_queued: bool) {
    let mark = word(bytes, 0) & !QUEUED;
    put_mark(bytes, if is_queued { mark | QUEUED } else { mark });
}

/// Overwrites the mark.
pub(super) fn put_mark(bytes: &mut [u8], mark: u32) {
    put_word(bytes, 0, mark);
}

/// The 32-bit number at `at`.
#[inline]
#[expect(clippy::indexing_slicing, reason = "every block holds a cell, and headers are read within it")]
fn word(bytes: &[u8], at: usize) -> u32 {
    let Some(word) = bytes[at..].first_chunk() else { unreachable!("a block holds at least a cell") };
    u32::from_le_bytes(*word)
}

/// Stores a 32-bit number at `at`.
#[inline]
#[expect(clippy::indexing_slicing, reason = "every block holds a cell, and headers are written within it")]
pub(super) fn put_word(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

#[expect(clippy::cast_possible_truncation, reason = "lengths are up to 25 bits")]
fn word_of(length: usize) -> u32 {
    length as u32
}
