//! The changes since the last commit, for stores whose batches cannot be read. The batch is built from it at the commit.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;

use super::{Key, bounds};

/// A change: its key, and where its value lies; `None` removes the key.
type Change = (Key, Option<(usize, usize)>);

/// Changes in their order, and once one is read between two commits, the newest of each key. Memory is used again after a commit.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    bytes: Vec<u8>,
    changes: Vec<Change>,
    newest: BTreeMap<Key, usize>,
    /// How many changes are in `newest`: a batch that nobody reads costs no index.
    indexed: usize,
}

impl Pending {
    /// Takes a change.
    pub(crate) fn push(&mut self, key: &Key, value: Option<&[u8]>) {
        let place = value.map(|value| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(value);
            (start, self.bytes.len())
        });
        self.changes.push((*key, place));
    }

    fn index(&mut self) {
        for (index, (key, _)) in self.changes.iter().enumerate().skip(self.indexed) {
            self.newest.insert(*key, index);
        }
        self.indexed = self.changes.len();
    }

    /// What stands for the key since the last commit: nothing, a removal or a value.
    pub(crate) fn get(&mut self, key: &Key) -> Option<Option<&[u8]>> {
        self.index();
        self.newest.get(key).map(|index| self.value(*index))
    }

    fn value(&self, index: usize) -> Option<&[u8]> {
        let (_, place) = self.changes.get(index)?;
        place.and_then(|(start, end)| self.bytes.get(start..end))
    }

    /// All changes, in their order.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&Key, Option<&[u8]>)> {
        self.changes.iter().map(|(key, place)| (key, place.and_then(|(start, end)| self.bytes.get(start..end))))
    }

    /// Forgets the changes, which are committed.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.changes.clear();
        self.newest.clear();
        self.indexed = 0;
    }

    /// A scan over what is committed and these changes above it.
    pub(crate) fn merge(&mut self, prefix: &[u8]) -> Merge<'_> {
        self.index();
        let (first, last) = bounds(prefix);
        Merge { pending: self, range: self.newest.range(first..=last).peekable() }
    }
}

/// A scan that meets the committed entries one after the other.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    pending: &'a Pending,
    range: Peekable<Range<'a, Key, usize>>,
}

impl Merge<'_> {
    /// Hands out what stands before `key`, and then `key`, unless a change hides it.
    pub(crate) fn meet(&mut self, key: &Key, value: &[u8], each: &mut impl FnMut(&Key, &[u8])) {
        let mut is_hidden = false;
        while let Some((newer, index)) = self.range.next_if(|(newer, _)| *newer <= key) {
            is_hidden |= newer == key;
            if let Some(value) = self.pending.value(*index) {
                each(newer, value);
            }
        }
        if !is_hidden {
            each(key, value);
        }
    }

    /// Hands out what stands behind all committed entries.
    pub(crate) fn finish(self, each: &mut impl FnMut(&Key, &[u8])) {
        for (newer, index) in self.range {
            if let Some(value) = self.pending.value(*index) {
                each(newer, value);
            }
        }
    }
}
