//! Finds a key in a run: by hash for one key, by order for the start of a range.

use super::Found;
use super::file::RunFile;
use crate::Result;
use crate::filter;
use crate::format::bytes::{count32, index32};
use crate::format::run::{Chapter, HEADS_PER_BLOCK, LINES_PER_BLOCK, head};
use crate::hash::{LINE, line_of, matches};
use crate::report::Part;

/// A place between entries: chapter, first unit of a data block, number of the entry in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) chapter: usize,
    pub(super) unit: u32,
    pub(super) entry: usize,
}

impl<'a> From<Option<&'a [u8]>> for Found<'a> {
    fn from(value: Option<&'a [u8]>) -> Self {
        value.map_or(Found::Tombstone, Found::Value)
    }
}

impl RunFile {
    /// What the run holds for `key`.
    #[inline]
    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Result<Option<Found<'_>>> {
        let Some((at, chapter)) = self.chapter_with(key) else { return Ok(None) };
        if !self.filter_allows(at, chapter, hash) {
            return Ok(None);
        }
        if chapter.buckets > 0
            && let Some(answer) = self.probe(at, chapter, hash, key)
        {
            return Ok(answer);
        }
        self.get_by_order(at, key)
    }

    /// Whether the run may hold something for `key`.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64, key: &[u8]) -> bool {
        self.chapter_with(key).is_some_and(|(at, chapter)| self.filter_allows(at, chapter, hash))
    }

    /// The chapter between whose first and last key `key` lies.
    #[inline]
    fn chapter_with(&self, key: &[u8]) -> Option<(usize, &Chapter)> {
        let at = self.chapters_from(key).checked_sub(1)?;
        let chapter = self.chapter(at)?;
        (key <= self.footer.key(&chapter.last_key)).then_some((at, chapter))
    }

    /// The number of chapters whose first key is at most `key`.
    #[inline]
    fn chapters_from(&self, key: &[u8]) -> usize {
        let first_of_all = self.footer.first_key().unwrap_or_default();
        match (key.get(..self.prefix), first_of_all.get(..self.prefix)) {
            (Some(ours), Some(theirs)) if ours == theirs => {}
            // Outside of what all keys begin with: before all of them or behind.
            _ => return if key < first_of_all { 0 } else { self.heads.len() },
        }
        let sought = head(key, self.prefix);
        let below = self.heads.partition_point(|&head| head < sought);
        let level = self.heads.get(below..).unwrap_or_default().iter().take_while(|&&head| head == sought).count();
        // Heads that are equal decide nothing: the keys do.
        let tied = self.footer.chapters.get(below..below + level).unwrap_or_default();
        below + tied.partition_point(|chapter| self.footer.key(&chapter.first_key) <= key)
    }

    #[inline]
    fn filter_allows(&self, at: usize, chapter: &Chapter, hash: u64) -> bool {
        if chapter.lines == 0 {
            return true;
        }
        let line = index32(line_of(hash, chapter.lines));
        let block = chapter.filter_block(line / LINES_PER_BLOCK);
        match self.block(at, block) {
            Ok(payload) => line_in(payload, line % LINES_PER_BLOCK).is_none_or(|line| filter::allows(line, hash)),
            Err(_) => {
                // A filter only spares work: without it the entries are asked.
                self.report(block, Part::Index);
                true
            }
        }
    }

    /// Looks for a key by its hash; nothing where the index, or a block that it points into, can't be read.
    #[inline]
    fn probe(&self, at: usize, chapter: &Chapter, hash: u64, key: &[u8]) -> Option<Option<Found<'_>>> {
        let mut number = index32(line_of(hash, chapter.buckets));
        for _ in 0..chapter.buckets {
            let block = chapter.hash_block(number / LINES_PER_BLOCK);
            let Ok(payload) = self.block(at, block) else {
                self.report(block, Part::Index);
                return None;
            };
            let bucket = line_in(payload, number % LINES_PER_BLOCK)?;
            let mut found = matches(bucket, hash);
            while let Some(cell) = found.next_cell(bucket) {
                // A lost block is only an error for its own keys, and this may be another key with the same tag: the
                // order of the keys tells.
                let entry = self.entry(at, chapter, cell).ok()?;
                if entry.key == key {
                    return Some(Some(Found::from(entry.value)));
                }
            }
            if !found.is_full {
                return Some(None);
            }
            number += 1;
            if number == index32(chapter.buckets) {
                number = 0;
            }
        }
        Some(None)
    }

    /// Looks for a key by order, within its chapter.
    fn get_by_order(&self, at: usize, key: &[u8]) -> Result<Option<Found<'_>>> {
        let spot = self.seek_in(at, key)?;
        let Some(chapter) = self.chapter(spot.chapter).filter(|chapter| spot.unit < chapter.units) else {
            return Ok(None);
        };
        let data = self.data(spot.chapter, chapter.data_block(spot.unit).1)?;
        let entry = data.entry(spot.entry).filter(|entry| entry.key == key);
        Ok(entry.map(|entry| Found::from(entry.value)))
    }

    /// The place of the first entry at or above `key`; behind the last chapter if there is none.
    pub(super) fn seek(&self, key: &[u8]) -> Result<Spot> {
        let from = self.chapters_from(key);
        match from.checked_sub(1).and_then(|at| Some((at, self.chapter(at)?))) {
            None => Ok(Spot { chapter: 0, unit: 0, entry: 0 }),
            Some((_, chapter)) if key > self.footer.key(&chapter.last_key) => {
                Ok(Spot { chapter: from, unit: 0, entry: 0 })
            }
            Some((at, _)) => self.seek_in(at, key),
        }
    }

    /// The place of the first entry at or above `key` in chapter number `at`, where `key` is not above the last.
    fn seek_in(&self, at: usize, key: &[u8]) -> Result<Spot> {
        let behind = Spot { chapter: at + 1, unit: 0, entry: 0 };
        let Some(chapter) = self.chapter(at) else { return Ok(behind) };
        let unit = match self.unit_of(at, chapter, key) {
            Some(unit) => unit,
            None => self.unit_without_heads(at, chapter, key)?,
        };
        let (unit, block) = chapter.data_block(unit);
        let data = self.data(at, block)?;
        let entry = data.lower_bound(key).ok_or_else(|| self.nonsense(block))?;
        if entry < data.len() {
            return Ok(Spot { chapter: at, unit, entry });
        }
        let next = unit + chapter.block_units(block);
        Ok(if next < chapter.units { Spot { chapter: at, unit: next, entry: 0 } } else { behind })
    }

    /// The last block that begins at or below `key` (else the first), by the heads of the blocks; nothing where they, or
    /// blocks that they leave undecided, can't be read.
    fn unit_of(&self, at: usize, chapter: &Chapter, key: &[u8]) -> Option<u32> {
        if chapter.blocks() <= 1 || key <= self.footer.key(&chapter.first_key) {
            return Some(0);
        }
        // Between the first and the last key of the chapter, so it begins with what they have in common.
        let sought = head(key, chapter.prefix);
        let below = self.count_heads(at, chapter, 0, chapter.units, |head| head < sought)?;
        // Mostly the next is above already, and nothing has to be searched.
        let next = chapter.units.min(below + 1);
        let mut not_above = self.count_heads(at, chapter, below, next, |head| head <= sought)?;
        if not_above == next {
            not_above = self.count_heads(at, chapter, next, chapter.units, |head| head <= sought)?;
        }
        // Of those whose heads are equal to the key's, the first keys decide.
        let (mut low, mut high) = (below, not_above);
        while low < high {
            let middle = low.midpoint(high);
            let (_, block) = chapter.data_block(middle);
            let data = self.data(at, block).ok()?;
            if data.entry(0)?.key <= key { low = middle + 1 } else { high = middle }
        }
        Some(low.saturating_sub(1))
    }

    /// The unit between `low` and `high` up to which `is_before` holds for the heads.
    fn count_heads(
        &self,
        at: usize,
        chapter: &Chapter,
        mut low: u32,
        mut high: u32,
        is_before: impl Fn(u64) -> bool,
    ) -> Option<u32> {
        while low < high {
            let middle = low.midpoint(high);
            let unit = index32(middle);
            let block = chapter.heads_block(unit / HEADS_PER_BLOCK);
            let Ok(payload) = self.block(at, block) else {
                self.report(block, Part::Index);
                return None;
            };
            let head = payload.as_chunks::<8>().0.get(unit % HEADS_PER_BLOCK)?;
            if is_before(u64::from_le_bytes(*head)) { low = middle + 1 } else { high = middle }
        }
        Some(low)
    }

    /// As [`unit_of`](Self::unit_of), by a look at every block. A block that can't be read is an error if the key could
    /// lie in it.
    #[cold]
    fn unit_without_heads(&self, at: usize, chapter: &Chapter, key: &[u8]) -> Result<u32> {
        let (mut candidate, mut unreadable) = (0, None);
        for block in chapter.data_blocks() {
            let unit = count32(crate::format::bytes::index((block.offset - chapter.offset) / u64::from(chapter.unit)));
            match self.data(at, block) {
                Ok(data) if data.entry(0).is_some_and(|entry| entry.key > key) => break,
                Ok(_) => (candidate, unreadable) = (unit, None),
                Err(error) => unreadable = unreadable.or(Some(error)),
            }
        }
        let Some(error) = unreadable else { return Ok(candidate) };
        // A lost block lies between the candidate and the first block above: the key may still be in the candidate.
        let data = self.data(at, chapter.data_block(candidate).1)?;
        if data.lower_bound(key).is_some_and(|entry| entry < data.len()) { Ok(candidate) } else { Err(error) }
    }
}

/// A line of an index block.
#[inline]
fn line_in(payload: &[u8], number: usize) -> Option<&[u8; LINE]> {
    payload.as_chunks::<LINE>().0.get(number)
}
