//! Separators: keys between two nodes, cut as short as they can be. They are the order's own, since the entries around them come and go.

use super::super::arena::{Arena, Slot};

/// Where nodes find the keys of their slots.
pub(super) trait Keys {
    /// The key that a slot names.
    fn key(&self, slot: Slot) -> &[u8];
}

impl Keys for Arena {
    #[inline]
    fn key(&self, slot: Slot) -> &[u8] {
        Self::key(self, slot)
    }
}

/// The separators of an order. A slot is a number here, and has nothing to do with those of entries.
#[derive(Debug)]
pub(super) struct Separators {
    keys: Vec<Box<[u8]>>,
    /// Numbers that were given back.
    free: Vec<Slot>,
}

#[expect(clippy::indexing_slicing, reason = "numbers are those that were given out")]
impl Separators {
    pub(super) const fn new() -> Self {
        Self { keys: Vec::new(), free: Vec::new() }
    }

    /// Keeps a key, and gives its number.
    pub(super) fn push(&mut self, key: &[u8]) -> Slot {
        if let Some(number) = self.free.pop() {
            self.keys[number as usize] = key.into();
            return number;
        }
        self.keys.push(key.into());
        #[expect(clippy::cast_possible_truncation, reason = "separators are fewer than the slots between them")]
        let number = (self.keys.len() - 1) as Slot;
        number
    }

    /// Lets go of a key.
    pub(super) fn free(&mut self, number: Slot) {
        self.keys[number as usize] = Box::default();
        self.free.push(number);
    }

    /// About what they take: a few bytes each, behind a pointer and a length.
    pub(super) fn resident_bytes(&self) -> usize {
        const EACH: usize = size_of::<Box<[u8]>>() + 16;
        self.keys.capacity() * EACH
    }
}

impl Keys for Separators {
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "numbers are those that were given out")]
    fn key(&self, slot: Slot) -> &[u8] {
        &self.keys[slot as usize]
    }
}
