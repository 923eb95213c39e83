//! Ascending walks: the order's leaves, without what is gone, merged with the keys that still wait for the order.

use std::ops::Bound;

use laminar_checkpoint::KeyBuf;

use super::arena::Slot;
use super::order::Cursor;
use super::{Entry, Table};

/// An iterator over the entries of a [`Table`] between two bounds: key and entry, ascending by key.
#[derive(Debug)]
pub struct TableRange<'a> {
    table: &'a Table,
    /// What is left of the current leaf.
    row: &'a [Slot],
    cursor: Cursor,
    upper: Bound<KeyBuf>,
    /// Waiting entries within the bounds, descending: the next one is last.
    waiting: Vec<Slot>,
}

impl<'a> TableRange<'a> {
    pub(super) fn new(table: &'a Table, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Self {
        let key_of = |slot: &Slot| table.arena.key(*slot);
        let above = |key: &[u8]| match lower {
            Bound::Included(lower) => key >= lower,
            Bound::Excluded(lower) => key > lower,
            Bound::Unbounded => true,
        };
        let upper = upper.map(KeyBuf::from);
        let inside = |key: &[u8]| above(key) && is_below(key, &upper);
        let mut waiting: Vec<Slot> = table.added.iter().copied().filter(|slot| inside(key_of(slot))).collect();
        waiting.sort_unstable_by(|one, other| key_of(other).cmp(key_of(one)));
        let mut cursor = table.order.seek(
            &table.arena,
            match lower {
                Bound::Included(key) | Bound::Excluded(key) => key,
                Bound::Unbounded => &[],
            },
        );
        let row = table.order.row(&mut cursor).unwrap_or_default();
        // Only the first key can be the excluded one.
        let skip = row.first().is_some_and(|slot| !above(key_of(slot)));
        let row = row.get(usize::from(skip)..).unwrap_or_default();
        Self { table, row, cursor, upper, waiting }
    }

    /// The next entry of the order, before it is known whether it lies within the bounds.
    fn peek(&mut self) -> Option<Slot> {
        loop {
            match self.row.split_first() {
                Some((&slot, _)) if self.table.arena.block(slot).is_entry() => return Some(slot),
                Some((_, rest)) => self.row = rest,
                None => self.row = self.table.order.row(&mut self.cursor)?,
            }
        }
    }
}

impl<'a> Iterator for TableRange<'a> {
    type Item = (&'a [u8], Entry<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let arena = &self.table.arena;
        let ordered = self.peek().filter(|&slot| is_below(arena.key(slot), &self.upper));
        let waiting = self.waiting.last().copied();
        let slot = match (ordered, waiting) {
            (Some(ordered), Some(waiting)) if arena.key(waiting) < arena.key(ordered) => self.waiting.pop()?,
            (Some(ordered), _) => {
                self.row = self.row.get(1..).unwrap_or_default();
                ordered
            }
            (None, _) => self.waiting.pop()?,
        };
        let block = arena.block(slot);
        let key = block.key();
        Some((key, Entry::of(block, key.len())))
    }
}

fn is_below(key: &[u8], upper: &Bound<KeyBuf>) -> bool {
    match upper {
        Bound::Included(upper) => *key <= **upper,
        Bound::Excluded(upper) => *key < **upper,
        Bound::Unbounded => true,
    }
}
