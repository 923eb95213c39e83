//! Finds a key in a run: by hash for one key, by order for the start of a range.

use super::Found;
use super::file::RunFile;
use super::way::Way;
use crate::Result;
use crate::filter;
use crate::format::bytes::{count32, index32};
use crate::format::run::{Chapter, HEADS_PER_BLOCK, LINES_PER_BLOCK};
use crate::hash::{LINE, line_of, matches};
use crate::key::Key;
use crate::report::Part;

/// A place between entries: chapter, first unit of a data block, number of the entry in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) chapter: usize,
    pub(super) unit: u32,
    pub(super) entry: usize,
}

/// Where to look for a key: its chapter, and the bucket where it belongs, if that is at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    at: usize,
    pub(super) way: &'a Way,
    pub(super) bucket: Option<&'a [u8; LINE]>,
}

impl Start<'_> {
    /// Has the line fetched that a look-up from here waits for.
    #[inline(always)]
    pub(crate) fn fetch(self) {
        if let Some([first, ..]) = self.bucket {
            std::hint::black_box(*first);
        }
    }
}

/// Where `sought` would be among `heads` if they were spread evenly.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is a guess"
)]
fn place_of(heads: &[[u8; 8]], sought: u64) -> usize {
    let (Some(first), Some(last)) = (heads.first(), heads.last()) else { return 0 };
    let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    let (above, span) = (sought.saturating_sub(first), last.saturating_sub(first));
    ((above as f64 / (span as f64).max(1.0) * heads.len() as f64) as usize).min(heads.len() - 1)
}

/// Heads in a line of memory.
const HEADS_PER_LINE: usize = LINE / 8;

/// As `partition_point` of the `heads`, from a guess on by longer and longer steps: where the guess is good, few lines of memory are looked at.
fn partition_from(heads: &[[u8; 8]], guess: usize, is_before: impl Fn(&[u8; 8]) -> bool) -> usize {
    let lies_before = |at: usize| heads.get(at).is_some_and(&is_before);
    let mut step = HEADS_PER_LINE;
    let (mut low, mut high) = (guess, guess);
    if lies_before(guess) {
        high += step;
        while lies_before(high) {
            step *= 2;
            (low, high) = (high, high + step);
        }
    } else {
        low = low.saturating_sub(step);
        while low > 0 && !lies_before(low) {
            step *= 2;
            (low, high) = (low.saturating_sub(step), low);
        }
    }
    let between = heads.get(low..high.min(heads.len())).unwrap_or_default();
    low + between.partition_point(is_before)
}

impl<'a> From<Option<&'a [u8]>> for Found<'a> {
    fn from(value: Option<&'a [u8]>) -> Self {
        value.map_or(Found::Tombstone, Found::Value)
    }
}

impl RunFile {
    /// What the run holds for `key`.
    #[inline(always)]
    pub(crate) fn get(&self, hash: u64, key: Key<'_>) -> Result<Option<Found<'_>>> {
        let Some((at, way)) = self.way_to(key) else { return Ok(None) };
        if !self.filter_allows(at, way, hash) {
            return Ok(None);
        }
        if let Some(found) = self.find_from(self.start_at(at, way, hash), hash, key) {
            return Ok(found);
        }
        let (space, name) = key.into_parts();
        self.get_in(at, hash, space, name)
    }

    /// What the run holds for `key`, looked for from here. In a run that nothing lies below: the index tells all that a filter could.
    #[inline(always)]
    pub(crate) fn get_from(&self, start: Start<'_>, hash: u64, key: Key<'_>) -> Result<Option<Found<'_>>> {
        if let Some(found) = self.find_from(start, hash, key) {
            return Ok(found);
        }
        let (space, name) = key.into_parts();
        self.get_first(start.at, start.way, hash, space, name)
    }

    /// The same by the short way; nothing where that does not tell.
    #[inline(always)]
    fn find_from(&self, start: Start<'_>, hash: u64, key: Key<'_>) -> Option<Option<Found<'_>>> {
        let found = self.pages.whole().find(start.way, start.bucket?, hash, key)?;
        Some(found.map(|entry| Found::from(entry.value)))
    }

    /// As [`get_in`](Self::get_in), but for a key that the filter denies, whose blocks are neither touched nor missed.
    #[cold]
    #[inline(never)]
    fn get_first(&self, at: usize, way: &Way, hash: u64, space: u64, name: &[u8]) -> Result<Option<Found<'_>>> {
        if self.filter_allows(at, way, hash) { self.get_in(at, hash, space, name) } else { Ok(None) }
    }

    /// The one chapter where the key may lie. A key that lies in none may be looked for in any: it is not there either.
    #[inline(always)]
    pub(super) fn way_to(&self, key: Key<'_>) -> Option<(usize, &Way)> {
        let at = self.chapters_from_head(key).checked_sub(1)?;
        Some((at, self.ways.get(at)?))
    }

    #[inline(always)]
    pub(super) fn start_at<'a>(&'a self, at: usize, way: &'a Way, hash: u64) -> Start<'a> {
        Start { at, way, bucket: self.pages.whole().bucket(way, hash) }
    }

    /// As [`get`](Self::get), in the one chapter where the key may lie, whatever its blocks are like.
    #[cold]
    #[inline(never)]
    pub(super) fn get_in(&self, at: usize, hash: u64, space: u64, name: &[u8]) -> Result<Option<Found<'_>>> {
        let key = Key::from_parts((space, name));
        let Some(chapter) = self.chapter(at) else { return Ok(None) };
        if chapter.buckets > 0
            && let Some(answer) = self.probe(at, chapter, hash, key)
        {
            return Ok(answer);
        }
        self.get_by_order(at, chapter, key)
    }

    /// Whether the run may hold something for `key`.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64, key: Key<'_>) -> bool {
        let found = self.numbered(self.chapters_from(key)).filter(|(_, chapter)| self.lies_in(chapter, key));
        found.is_some_and(|(at, _)| self.ways.get(at).is_some_and(|way| self.filter_allows(at, way, hash)))
    }

    /// The last of so many chapters, and its number.
    #[inline]
    fn numbered(&self, count: usize) -> Option<(usize, &Chapter)> {
        let at = count.checked_sub(1)?;
        Some((at, self.chapter(at)?))
    }

    /// Whether `key` lies between the chapter's first and last key.
    fn lies_in(&self, chapter: &Chapter, key: Key<'_>) -> bool {
        let (first, last) = (self.footer.key(&chapter.first_key), self.footer.key(&chapter.last_key));
        key.cmp(first).is_ge() && key.cmp(last).is_le()
    }

    /// The number of chapters whose first key is at most `key`.
    fn chapters_from(&self, key: Key<'_>) -> usize {
        let first_of_all = self.footer.first_key().unwrap_or_default();
        if key.starts_with(first_of_all.get(..self.prefix).unwrap_or_default()) {
            return self.chapters_from_head(key);
        }
        // Outside of what all keys begin with: before all of them or behind.
        if key.cmp(first_of_all).is_lt() { 0 } else { self.guide.len() }
    }

    /// The same for a key that begins as all keys of the run do; any number for another.
    #[inline(always)]
    pub(super) fn chapters_from_head(&self, key: Key<'_>) -> usize {
        let sought = key.head(self.prefix);
        let (below, is_tied) = self.guide.below(sought);
        if !is_tied {
            return below;
        }
        let (space, name) = key.into_parts();
        below + self.chapters_tied(below, sought, space, name)
    }

    /// The same among the chapters from number `below` on that begin with this head, which decides nothing: the keys do.
    #[cold]
    #[inline(never)]
    fn chapters_tied(&self, below: usize, sought: u64, space: u64, name: &[u8]) -> usize {
        let key = Key::from_parts((space, name));
        let tied = self.footer.chapters.get(below..below + self.guide.equal(below, sought)).unwrap_or_default();
        tied.partition_point(|chapter| key.cmp(self.footer.key(&chapter.first_key)).is_ge())
    }

    #[inline(always)]
    fn filter_allows(&self, at: usize, way: &Way, hash: u64) -> bool {
        if way.lines == 0 {
            return true;
        }
        let number = index32(line_of(hash, way.lines));
        let line = self.pages.whole().filter_line(way, number).or_else(|| self.first_filter_line(at, number));
        // A filter only spares work: without it the entries are asked.
        line.is_none_or(|line| filter::allows(line, hash))
    }

    #[cold]
    fn first_filter_line(&self, at: usize, number: usize) -> Option<&[u8; LINE]> {
        let block = self.chapter(at)?.filter_block(number / LINES_PER_BLOCK);
        self.line(at, block, number % LINES_PER_BLOCK)
    }

    /// Looks for a key by its hash; nothing where the index, or a block that it points into, can't be read.
    fn probe(&self, at: usize, chapter: &Chapter, hash: u64, key: Key<'_>) -> Option<Option<Found<'_>>> {
        let first = index32(line_of(hash, chapter.buckets));
        let mut number = first;
        loop {
            let bucket = self.line(at, chapter.hash_block(number / LINES_PER_BLOCK), number % LINES_PER_BLOCK)?;
            let mut found = matches(bucket, hash);
            while let Some(cell) = found.next_cell(bucket) {
                // A lost block is only an error for its own keys, and this may be another key with the same tag: the
                // order of the keys tells.
                let entry = self.entry(at, chapter, cell).ok()?;
                if key.is(entry.key) {
                    return Some(Some(Found::from(entry.value)));
                }
            }
            number += 1;
            if number == index32(chapter.buckets) {
                number = 0;
            }
            if !found.is_full || number == first {
                return Some(None);
            }
        }
    }

    /// Looks for a key by order, in the one chapter that it may lie in.
    fn get_by_order(&self, at: usize, chapter: &Chapter, key: Key<'_>) -> Result<Option<Found<'_>>> {
        if !self.lies_in(chapter, key) {
            return Ok(None);
        }
        let spot = self.seek_in(at, chapter, key)?;
        let Some(chapter) = self.chapter(spot.chapter).filter(|chapter| spot.unit < chapter.units) else {
            return Ok(None);
        };
        let data = self.data(spot.chapter, chapter.data_block(spot.unit).1)?;
        let entry = data.entry(spot.entry).filter(|entry| key.is(entry.key));
        Ok(entry.map(|entry| Found::from(entry.value)))
    }

    /// The place of the first entry at or above `key`; behind the last chapter if there is none.
    pub(super) fn seek(&self, key: Key<'_>) -> Result<Spot> {
        match self.numbered(self.chapters_from(key)) {
            None => Ok(Spot { chapter: 0, unit: 0, entry: 0 }),
            Some((at, chapter)) if self.lies_in(chapter, key) => self.seek_in(at, chapter, key),
            Some((at, _)) => Ok(Spot { chapter: at + 1, unit: 0, entry: 0 }),
        }
    }

    /// The place of the first entry at or above `key` in chapter number `at`, in which `key` lies.
    fn seek_in(&self, at: usize, chapter: &Chapter, key: Key<'_>) -> Result<Spot> {
        let is_first = key.is_first_of_head(chapter.prefix);
        match self.seek_from(at, chapter, key, is_first) {
            // It may lie at the start of the block behind the one that is lost.
            Err(_) if is_first => self.seek_from(at, chapter, key, false),
            found => found,
        }
    }

    /// As [`seek_in`](Self::seek_in). Of a key that `is_first` of its head no block with an equal head begins below, so none is looked at.
    fn seek_from(&self, at: usize, chapter: &Chapter, key: Key<'_>, is_first: bool) -> Result<Spot> {
        let unit = match self.unit_of(at, chapter, key, is_first) {
            Some(unit) => unit,
            None => self.unit_without_heads(at, chapter, key)?,
        };
        let (unit, block) = chapter.data_block(unit);
        let data = self.data_to_search(at, block)?;
        let entry = data.lower_bound(key, chapter.prefix).ok_or_else(|| self.nonsense(block))?;
        if entry < data.len() {
            return Ok(Spot { chapter: at, unit, entry });
        }
        let next = unit + chapter.block_units(block);
        let is_behind = next >= chapter.units;
        Ok(if is_behind {
            Spot { chapter: at + 1, unit: 0, entry: 0 }
        } else {
            Spot { chapter: at, unit: next, entry: 0 }
        })
    }

    /// The last block that begins at or below `key` (else the first), or the one before it where the key `is_first` of its head; by the
    /// heads of the blocks. Nothing where they, or blocks that they leave undecided, can't be read.
    fn unit_of(&self, at: usize, chapter: &Chapter, key: Key<'_>, is_first: bool) -> Option<u32> {
        if chapter.blocks() <= 1 {
            return Some(0);
        }
        // Between the first and the last key of the chapter, so it begins with what they have in common.
        let sought = key.head(chapter.prefix);
        let below = self.count_heads(at, chapter, sought, |head| head < sought)?;
        let number = index32(below);
        let next = self.heads_in(at, chapter, number / HEADS_PER_BLOCK)?.get(number % HEADS_PER_BLOCK);
        // Mostly the next is above already, and nothing has to be searched.
        let is_tied = !is_first && next.is_some_and(|head| u64::from_le_bytes(*head) == sought);
        let not_above = if is_tied { self.count_heads(at, chapter, sought, |head| head <= sought)? } else { below };
        // Of those whose heads are equal to the key's, the first keys decide.
        let (mut low, mut high) = (below, not_above);
        while low < high {
            let middle = low.midpoint(high);
            let (_, block) = chapter.data_block(middle);
            let data = self.data(at, block).ok()?;
            if key.cmp(data.entry(0)?.key).is_ge() { low = middle + 1 } else { high = middle }
        }
        Some(low.saturating_sub(1))
    }

    /// The number of units up to which `is_before` holds for the heads.
    fn count_heads(&self, at: usize, chapter: &Chapter, sought: u64, is_before: impl Fn(u64) -> bool) -> Option<u32> {
        let is_before = |head: &[u8; 8]| is_before(u64::from_le_bytes(*head));
        // The last block of heads that begins before, else the first.
        let (mut low, mut high) = (0, chapter.heads_blocks().saturating_sub(1));
        while low < high {
            let middle = high - (high - low) / 2;
            if is_before(self.heads_in(at, chapter, middle)?.first()?) { low = middle } else { high = middle - 1 }
        }
        let heads = self.heads_in(at, chapter, low)?;
        Some(count32(low * HEADS_PER_BLOCK + partition_from(heads, place_of(heads, sought), is_before)))
    }

    /// The heads in the chapter's heads block of this number; none behind the last.
    #[inline]
    fn heads_in(&self, at: usize, chapter: &Chapter, number: usize) -> Option<&[[u8; 8]]> {
        let count = index32(chapter.units).saturating_sub(number * HEADS_PER_BLOCK).min(HEADS_PER_BLOCK);
        if count == 0 {
            return Some(&[]);
        }
        let block = chapter.heads_block(number);
        let Ok(bytes) = self.block(at, block) else {
            self.report(block, Part::Index);
            return None;
        };
        bytes.as_chunks().0.get(..count)
    }

    /// As [`unit_of`](Self::unit_of), by a look at every block. A block that can't be read is an error if the key could
    /// lie in it.
    #[cold]
    fn unit_without_heads(&self, at: usize, chapter: &Chapter, key: Key<'_>) -> Result<u32> {
        let (mut candidate, mut unreadable) = (0, None);
        for block in chapter.data_blocks() {
            let unit = count32(crate::format::bytes::index((block.offset - chapter.offset) / u64::from(chapter.unit)));
            match self.data(at, block) {
                Ok(data) if data.entry(0).is_some_and(|entry| key.cmp(entry.key).is_lt()) => break,
                Ok(_) => (candidate, unreadable) = (unit, None),
                Err(error) => unreadable = unreadable.or(Some(error)),
            }
        }
        let Some(error) = unreadable else { return Ok(candidate) };
        // A lost block lies between the candidate and the first block above: the key may still be in the candidate.
        let data = self.data(at, chapter.data_block(candidate).1)?;
        if data.lower_bound(key, chapter.prefix).is_some_and(|entry| entry < data.len()) {
            Ok(candidate)
        } else {
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_alike_from_every_guess() {
        let mut random = fastrand::Rng::with_seed(1);
        for len in [0, 1, 2, 7, 8, 9, 63, 510] {
            for spread in [1, 5, 1000, u64::MAX] {
                let mut heads: Vec<u64> = (0..len).map(|_| random.u64(..spread)).collect();
                heads.sort_unstable();
                let heads: Vec<[u8; 8]> = heads.into_iter().map(u64::to_le_bytes).collect();
                for _ in 0..50 {
                    let picked = heads.get(random.usize(..len.max(1))).map_or(0, |head| u64::from_le_bytes(*head));
                    let sought = [picked, random.u64(..), 0, u64::MAX][random.usize(..4)];
                    let is_before = |head: &[u8; 8]| u64::from_le_bytes(*head) < sought;
                    let expected = heads.partition_point(is_before);
                    for guess in [0, len / 2, len.saturating_sub(1), place_of(&heads, sought)] {
                        assert_eq!(
                            partition_from(&heads, guess, is_before),
                            expected,
                            "{len} {spread} {sought} {guess}"
                        );
                    }
                    assert!(place_of(&heads, sought) < len.max(1));
                }
            }
        }
    }
}
