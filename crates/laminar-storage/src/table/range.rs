//! Ascending walks: the order's leaves, without what is gone, merged with the keys that still wait for the order, and with the
//! changes that are still arriving.

use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds};

use laminar_checkpoint::KeyBuf;
use laminar_vfs::planted;

use super::arena::Slot;
use super::demand::Scope;
use super::order::{Cursor, Order};
use super::{Entry, Table};

/// Entries fetched from memory at once: those of a short scan. They lie anywhere, and each takes a few cache lines.
const FETCHED: usize = 12;

/// An iterator over the entries of a [`Table`] between two bounds: key and entry, ascending by key.
#[derive(Debug)]
pub struct TableRange<'a> {
    table: &'a Table,
    order: &'a Order,
    /// Slots of the current leaf whose entries were fetched.
    fetched: std::slice::Iter<'a, Slot>,
    /// What is left of the current leaf.
    row: &'a [Slot],
    cursor: Cursor,
    upper: Bound<KeyBuf>,
    /// Waiting entries within the bounds, descending: the next one is last.
    waiting: Vec<Slot>,
    /// Changes within the bounds that have not come to their entries, descending too.
    arriving: Vec<(&'a [u8], Entry<'a>)>,
}

impl<'a> TableRange<'a> {
    pub(super) fn new(table: &'a Table, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Self {
        let order = table.demand.seek(&table.arena, Scope::of(lower, upper)).unwrap_or(&table.order);
        let key_of = |slot: Slot| table.arena.key(slot);
        let is_inside = |key: &[u8]| RangeBounds::<[u8]>::contains(&(lower, upper), key);
        let mut arriving: Vec<_> = table
            .arriving
            .newest()
            .filter(|(key, _)| is_inside(key) && !planted("scan-passes-over-arrivals"))
            .collect();
        arriving.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        let mut waiting: Vec<Slot> = order.waiting().filter(|&slot| is_inside(key_of(slot))).collect();
        waiting.sort_unstable_by(|&one, &other| key_of(other).cmp(key_of(one)));
        let (row, cursor) = order.first_row(&table.arena, lower, upper);
        Self { table, order, fetched: [].iter(), row, cursor, upper: upper.map(KeyBuf::from), waiting, arriving }
    }

    /// The next slot of the order that is still an entry.
    #[inline]
    fn peek(&mut self) -> Option<Slot> {
        loop {
            match self.fetched.as_slice().first() {
                Some(&slot) if self.table.arena.block(slot).is_entry() => return Some(slot),
                Some(_) => drop(self.fetched.next()),
                None => self.fetch()?,
            }
        }
    }

    /// Goes on to the next slots. `None` at the end.
    fn fetch(&mut self) -> Option<()> {
        let arena = &self.table.arena;
        while self.row.is_empty() {
            self.row = self.order.next_row(arena, &mut self.cursor, self.upper.as_ref().map(|key| &**key))?;
        }
        let (fetched, row) = self.row.split_at(FETCHED.min(self.row.len()));
        arena.fetch(fetched);
        (self.fetched, self.row) = (fetched.iter(), row);
        Some(())
    }
}

impl<'a> Iterator for TableRange<'a> {
    type Item = (&'a [u8], Entry<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let arena = &self.table.arena;
        let (ordered, waiting) = (self.peek(), self.waiting.last().copied());
        let is_ordered = match (ordered, waiting) {
            (Some(ordered), Some(waiting)) => arena.key(ordered) < arena.key(waiting),
            (ordered, _) => ordered.is_some(),
        };
        let slot = if is_ordered { ordered } else { waiting };
        let arrived =
            self.arriving.last().map(|(key, _)| slot.map_or(Ordering::Greater, |slot| arena.key(slot).cmp(key)));
        if arrived != Some(Ordering::Greater) {
            if is_ordered {
                self.fetched.next();
            } else {
                self.waiting.pop();
            }
        }
        if arrived.is_some_and(Ordering::is_ge) {
            return self.arriving.pop();
        }
        let block = arena.block(slot?);
        let key = block.key();
        Some((key, Entry::of(block, key.len())))
    }
}
