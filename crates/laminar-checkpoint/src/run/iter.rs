//! Walks a run in order.

use std::ops::Bound;

use super::file::RunFile;
use crate::format::block::Data;
use crate::format::run::{Chapter, head};
use crate::key::{Key, KeyBuf};
use crate::{Error, Result};

/// The entries of a run in ascending order of their keys, tombstones (no value) among them.
///
/// Keys and values lie where they are in the file. A block that is lost gives one error, which names its keys; the next
/// call goes on behind it, unless it was the block that the lower bound lies in: that error is the last item.
#[derive(Debug)]
pub struct RunIter<'a> {
    run: &'a RunFile,
    /// The current block.
    data: Data<'a>,
    /// The next entry of `data`.
    entry: usize,
    chapter: usize,
    /// The unit at which the next block begins.
    unit: u32,
    upper: Upper,
    /// Why the place of the lower bound can't be found: the only item. Apart, so that an iterator is small.
    lost: Option<Box<Error>>,
    is_done: bool,
}

/// A key, and its value or a tombstone.
pub(crate) type KeyValue<'a> = (&'a [u8], Option<&'a [u8]>);

/// The end of a range, and how it is seen in the current chapter.
#[derive(Debug)]
struct Upper {
    bound: Bound<KeyBuf>,
    /// Whether entries must be compared with it.
    is_near: bool,
    /// How many bytes the bound and all keys of the chapter begin with in common, at least, and the head of the bound after them: it
    /// decides nearly always, without a look at the rest of the key.
    prefix: usize,
    head: u64,
}

impl Upper {
    fn new(bound: Bound<KeyBuf>) -> Self {
        Self { bound, is_near: false, prefix: 0, head: 0 }
    }

    /// Whether it lies below `key`.
    #[inline]
    fn ends_before(&self, key: &[u8]) -> bool {
        match &self.bound {
            Bound::Unbounded => false,
            Bound::Included(last) => **last < *key,
            Bound::Excluded(end) => **end <= *key,
        }
    }

    /// As [`ends_before`](Self::ends_before), for a key of the current chapter.
    #[inline]
    fn ends_before_entry(&self, key: &[u8]) -> bool {
        if !self.is_near {
            return false;
        }
        let head = head(key, self.prefix);
        if head == self.head { self.ends_before(key) } else { self.head < head }
    }

    /// Comes to another chapter with this first and last key.
    fn enter(&mut self, chapter: &Chapter, first: &[u8], last: &[u8]) {
        self.is_near = self.ends_before(last);
        if let (true, Bound::Included(key) | Bound::Excluded(key)) = (self.is_near, &self.bound) {
            let common = first.get(..chapter.prefix).unwrap_or_default();
            self.prefix = if key.starts_with(common) { chapter.prefix } else { 0 };
            self.head = head(key, self.prefix);
        }
    }
}

impl<'a> RunIter<'a> {
    pub(super) fn new(run: &'a RunFile, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Self {
        let mut iter = Self::at_start(run, Upper::new(upper.map(KeyBuf::from)));
        if let Bound::Included(key) | Bound::Excluded(key) = lower {
            iter.lost = iter.begin(key, matches!(lower, Bound::Excluded(_))).err().map(Box::new);
        } else {
            iter.enter_chapter();
        }
        iter
    }

    /// The entries of another run up to the same bound.
    pub(crate) fn go_on_in(&mut self, run: &'a RunFile) {
        let upper = std::mem::replace(&mut self.upper.bound, Bound::Unbounded);
        *self = Self::at_start(run, Upper::new(upper));
        self.enter_chapter();
    }

    fn at_start(run: &'a RunFile, upper: Upper) -> Self {
        Self { run, data: Data::NONE, entry: 0, chapter: 0, unit: 0, upper, lost: None, is_done: false }
    }

    /// Goes to the first entry at or above `key`, or above it.
    fn begin(&mut self, key: &[u8], is_excluded: bool) -> Result<()> {
        let spot = self.run.seek(Key::from(key))?;
        (self.chapter, self.unit) = (spot.chapter, spot.unit);
        self.enter_chapter();
        if self.load()? {
            self.entry = spot.entry;
            let found = self.data.entry(spot.entry);
            self.entry += usize::from(is_excluded && found.is_some_and(|entry| entry.key == key));
        }
        Ok(())
    }

    fn enter_chapter(&mut self) {
        if let Some(chapter) = self.run.chapter(self.chapter) {
            let key = |place| self.run.footer.key(place);
            self.upper.enter(chapter, key(&chapter.first_key), key(&chapter.last_key));
        }
    }

    /// Makes the next block the current one; says whether there is one.
    fn load(&mut self) -> Result<bool> {
        (self.data, self.entry) = (Data::NONE, 0);
        let Some(mut chapter) = self.run.chapter(self.chapter) else { return Ok(false) };
        if self.unit >= chapter.units {
            (self.chapter, self.unit) = (self.chapter + 1, 0);
            let Some(next) = self.run.chapter(self.chapter) else { return Ok(false) };
            chapter = next;
            self.enter_chapter();
        }
        if self.unit == 0 && self.upper.ends_before(self.run.footer.key(&chapter.first_key)) {
            return Ok(false);
        }
        let (_, block) = chapter.data_block(self.unit);
        // Moved on before the block is read: should it be lost, the next call begins behind it.
        self.unit += chapter.block_units(block);
        self.data = self.run.data(self.chapter, block)?;
        Ok(true)
    }

    /// Goes on with the next block; says whether there is one. Apart from `next`, whose answer then never goes through memory.
    #[inline(never)]
    fn step_over(&mut self) -> std::result::Result<bool, Box<Error>> {
        if let Some(error) = self.lost.take() {
            // Where the start is lost, where to go on is for the caller to say.
            self.is_done = true;
            return Err(error);
        }
        let is_loaded = !self.is_done && self.load()?;
        self.is_done |= !is_loaded;
        Ok(is_loaded)
    }
}

impl<'a> Iterator for RunIter<'a> {
    type Item = Result<(&'a [u8], Option<&'a [u8]>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.data.entry(self.entry) {
                self.entry += 1;
                if !self.upper.ends_before_entry(entry.key) {
                    return Some(Ok((entry.key, entry.value)));
                }
                (self.data, self.is_done) = (Data::NONE, true);
            }
            match self.step_over() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(*error)),
            }
        }
    }
}
