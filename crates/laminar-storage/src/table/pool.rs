//! Values of one type, named by number, in memory that grows by pieces and never moves.

use std::marker::PhantomData;

use bytemuck::Pod;
use laminar_vfs::{PageSource, Pages, prefetch};

use super::arena::{Arena, FIRST_BYTES, GROWTH};

#[derive(Debug)]
pub(super) struct Pool<T> {
    pieces: Vec<Pages>,
    /// Values so far, those that were given back included.
    len: usize,
    /// Numbers given back.
    free: Vec<u32>,
    values: PhantomData<T>,
}

#[expect(clippy::indexing_slicing, reason = "numbers come from `push`")]
impl<T: Pod> Pool<T> {
    /// Values of a piece.
    const PIECE: usize = {
        assert!(size_of::<T>() * (GROWTH - 1) <= FIRST_BYTES * (GROWTH - 1), "one step of growth has room for a value");
        PageSource::BYTES / size_of::<T>()
    };

    pub(super) const fn new() -> Self {
        Self { pieces: Vec::new(), len: 0, free: Vec::new(), values: PhantomData }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Values that were not given back.
    pub(super) fn in_use(&self) -> usize {
        self.len - self.free.len()
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &T {
        let at = number as usize % Self::PIECE * size_of::<T>();
        bytemuck::from_bytes(&self.pieces[number as usize / Self::PIECE][at..at + size_of::<T>()])
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        let at = number as usize % Self::PIECE * size_of::<T>();
        bytemuck::from_bytes_mut(&mut self.pieces[number as usize / Self::PIECE][at..at + size_of::<T>()])
    }

    /// Has a value on its way into the cache.
    #[inline]
    pub(super) fn prefetch(&self, number: u32) {
        prefetch(bytemuck::bytes_of(self.get(number)));
    }

    /// Adds a value and gives its number, perhaps one that was given back.
    pub(super) fn push(&mut self, arena: &Arena, value: T) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.make_room(arena);
            self.len += 1;
            #[expect(clippy::cast_possible_truncation, reason = "values outnumber neither slots nor 32 bits")]
            let number = (self.len - 1) as u32;
            number
        });
        *self.get_mut(number) = value;
        number
    }

    /// Makes room for one more value.
    fn make_room(&mut self, arena: &Arena) {
        let is_first_full = (self.len + 1) * size_of::<T>() > self.pieces.first().map_or(0, |first| first.len());
        if self.len == self.pieces.len() * Self::PIECE {
            self.pieces.push(arena.pages(self.pieces.is_empty()));
        } else if let [first] = self.pieces.as_mut_slice()
            && is_first_full
        {
            first.grow((first.len() * GROWTH).min(PageSource::BYTES));
        }
    }

    /// Gives a number back.
    pub(super) fn free(&mut self, number: u32) {
        self.free.push(number);
    }
}
