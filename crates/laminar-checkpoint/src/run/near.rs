//! The short way from a hash to an entry: in a chapter without filter and without wide blocks, through blocks that were verified
//! before. Whoever is sent back goes the long way, which has the same answer.
//!
//! How many look-ups wait for memory at the same time is bounded by how many instructions each of them has, so this is
//! worth a second way: it has about half of them.

use super::Found;
use super::file::RunFile;
use crate::format::PAGE;
use crate::format::block::{CELL, TRAILER, entry_at, prefetch_entry};
use crate::format::bytes::{index, index32};
use crate::format::run::{Chapter, LINES_PER_BLOCK};
use crate::hash::{LINE, line_of, matches};
use crate::key::Key;

/// What the short way needs to know of a chapter, side by side in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    /// Where its first data block and its first hash block lie.
    data: usize,
    index: usize,
    /// Buckets of the index; 0 where there is no short way.
    buckets: u32,
    /// Bytes of a data block, a power of two.
    unit: u32,
}

impl Near {
    pub(super) fn of(chapter: &Chapter) -> Self {
        let is_plain = chapter.lines == 0 && chapter.wide.is_empty() && chapter.buckets > 0;
        Self {
            data: index(chapter.offset),
            index: index(chapter.hash_block(0).offset),
            buckets: if is_plain { chapter.buckets } else { 0 },
            unit: chapter.unit,
        }
    }
}

impl RunFile {
    /// What chapter number `at` holds for `key`; the outer `None` where only the long way tells.
    #[inline(always)]
    pub(super) fn get_near(&self, at: usize, hash: u64, key: Key<'_>) -> Option<Option<Found<'_>>> {
        let near = self.near.get(at).filter(|near| near.buckets > 0)?;
        let region: &[u8] = &self.region;
        let line = index32(line_of(hash, near.buckets));
        let offset = near.index + line / LINES_PER_BLOCK * PAGE + line % LINES_PER_BLOCK * LINE;
        if !self.is_verified_at(offset) {
            return None;
        }
        let bucket = region.get(offset..)?.first_chunk()?;
        let mut found = matches(bucket, hash);
        while let Some(cell) = found.next_cell(bucket) {
            let block_bytes = index32(near.unit);
            let within = (cell * CELL) & (block_bytes - 1);
            let start = near.data + cell * CELL - within;
            if !self.is_verified_at(start) {
                return None;
            }
            let payload = region.get(start..start + block_bytes - TRAILER)?;
            prefetch_entry(payload, within / CELL);
            let entry = entry_at(payload, within / CELL)?;
            if key.is(entry.key) {
                return Some(Some(Found::from(entry.value)));
            }
        }
        // A full bucket may go on in the next.
        if found.is_full { None } else { Some(None) }
    }
}
