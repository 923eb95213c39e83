//! Walks a run in order.

use std::ops::Bound;

use super::file::RunFile;
use crate::Result;
use crate::format::block::Data;

/// The entries of a run in ascending order of their keys, tombstones (no value) among them.
///
/// Keys and values lie where they are in the file. A block that is lost gives one error, which names its keys; the next
/// call goes on behind it, unless it was the block that the lower bound lies in: that error is the last item.
#[derive(Debug)]
pub struct RunIter<'a> {
    run: &'a RunFile,
    chapter: usize,
    /// The unit at which the next block begins.
    unit: u32,
    data: Option<Data<'a>>,
    /// The next entry of `data`.
    entry: usize,
    upper: Bound<Vec<u8>>,
    /// Whether entries of the block must be compared with the upper bound.
    is_near_end: bool,
    /// Where to begin, as long as nothing was read.
    lower: Option<Bound<Vec<u8>>>,
    is_done: bool,
}

/// A key, and its value or a tombstone.
pub(crate) type KeyValue<'a> = (&'a [u8], Option<&'a [u8]>);

fn owned(bound: Bound<&[u8]>) -> Bound<Vec<u8>> {
    bound.map(<[u8]>::to_vec)
}

/// Whether `key` lies above an upper bound.
fn is_above(upper: &Bound<Vec<u8>>, key: &[u8]) -> bool {
    match upper {
        Bound::Unbounded => false,
        Bound::Included(last) => key > last.as_slice(),
        Bound::Excluded(end) => key >= end.as_slice(),
    }
}

impl<'a> RunIter<'a> {
    pub(super) fn new(run: &'a RunFile, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Self {
        let lower = Some(owned(lower));
        let upper = owned(upper);
        Self { run, chapter: 0, unit: 0, data: None, entry: 0, upper, is_near_end: false, lower, is_done: false }
    }

    /// Goes to the first entry within the bounds.
    fn begin(&mut self, lower: &Bound<Vec<u8>>) -> Result<()> {
        let (Bound::Included(key) | Bound::Excluded(key)) = lower else { return Ok(()) };
        let spot = self.run.seek(key)?;
        (self.chapter, self.unit) = (spot.chapter, spot.unit);
        if self.load()? {
            self.entry = spot.entry;
            let found = self.data.and_then(|data| data.entry(spot.entry));
            if matches!(lower, Bound::Excluded(_)) && found.is_some_and(|entry| entry.key == key.as_slice()) {
                self.entry += 1;
            }
        }
        Ok(())
    }

    /// Makes the next block the current one; says whether there is one.
    fn load(&mut self) -> Result<bool> {
        self.data = None;
        let Some(mut chapter) = self.run.chapter(self.chapter) else { return Ok(false) };
        if self.unit >= chapter.units {
            self.chapter += 1;
            self.unit = 0;
            let Some(next) = self.run.chapter(self.chapter) else { return Ok(false) };
            chapter = next;
        }
        if self.unit == 0 && is_above(&self.upper, self.run.footer.key(&chapter.first_key)) {
            return Ok(false);
        }
        self.is_near_end = is_above(&self.upper, self.run.footer.key(&chapter.last_key));
        let (_, block) = chapter.data_block(self.unit);
        // Moved on before the block is read: should it be lost, the next call begins behind it.
        self.unit += chapter.block_units(block);
        self.entry = 0;
        self.data = Some(self.run.data(self.chapter, block)?);
        Ok(true)
    }

    fn step(&mut self) -> Result<Option<KeyValue<'a>>> {
        if let Some(lower) = self.lower.take() {
            // Where the start is lost, where to go on is for the caller to say.
            self.begin(&lower).inspect_err(|_| self.is_done = true)?;
        }
        loop {
            if let Some(entry) = self.data.and_then(|data| data.entry(self.entry)) {
                self.entry += 1;
                let is_within = !self.is_near_end || !is_above(&self.upper, entry.key);
                return Ok(is_within.then_some((entry.key, entry.value)));
            }
            if !self.load()? {
                return Ok(None);
            }
        }
    }
}

impl<'a> Iterator for RunIter<'a> {
    type Item = Result<(&'a [u8], Option<&'a [u8]>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.step();
        self.is_done |= matches!(next, Ok(None));
        next.transpose()
    }
}
