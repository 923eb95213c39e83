//! Values of one type, named by number, in memory that grows by small pieces and never moves.

/// Bytes of a piece, about: small enough for one to cost no one a stall.
const PIECE_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Pool<T> {
    pieces: Vec<Vec<T>>,
    /// Numbers given back.
    free: Vec<u32>,
}

#[expect(clippy::indexing_slicing, reason = "numbers come from `push`")]
impl<T> Pool<T> {
    /// Values of a piece: a power of two, so that a number is taken apart by shifts.
    const PIECE: usize = 1 << (PIECE_BYTES / size_of::<T>()).ilog2();

    pub(super) const fn new() -> Self {
        Self { pieces: Vec::new(), free: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn resident_bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len() * size_of::<T>()).sum()
    }

    #[cfg(test)]
    pub(super) fn bytes_in_use(&self) -> usize {
        self.resident_bytes() - self.free.len() * size_of::<T>()
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &T {
        &self.pieces[number as usize / Self::PIECE][number as usize % Self::PIECE]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        &mut self.pieces[number as usize / Self::PIECE][number as usize % Self::PIECE]
    }

    /// Adds a value and gives its number, perhaps one that was given back.
    pub(super) fn push(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            *self.get_mut(number) = value;
            return number;
        }
        if self.pieces.last().is_none_or(|piece| piece.len() == Self::PIECE) {
            self.pieces.push(Vec::with_capacity(Self::PIECE));
        }
        let before = (self.pieces.len() - 1) * Self::PIECE;
        let last = &mut self.pieces[before / Self::PIECE];
        last.push(value);
        #[expect(clippy::cast_possible_truncation, reason = "values outnumber neither slots nor 32 bits")]
        let number = (before + last.len() - 1) as u32;
        number
    }

    /// Gives a number back.
    pub(super) fn free(&mut self, number: u32) {
        self.free.push(number);
    }
}
