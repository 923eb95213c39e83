//! Fixed blocks: data blocks whose entries all have the same lengths, which stand in the chapter's record and not with each
//! entry. Where an entry lies follows from its number alone.

use super::block::{CELL, Entry, TRAILER};
use super::bytes::{Decoder, Encode, index32, is_zero};
use crate::hash::LINE;

/// What every entry of a chapter's fixed blocks is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes from the start of one entry to that of the next.
    pub(crate) stride: u16,
    pub(crate) key_bytes: u16,
    pub(crate) value_bytes: u16,
}

impl Shape {
    /// The shape of blocks of `unit` bytes with such entries, whose values begin on multiples of `alignment`. Nothing where a block has no room for two.
    pub(crate) fn of(unit: usize, key_bytes: usize, value_bytes: usize, alignment: usize) -> Option<Self> {
        let stride = (key_bytes + value_bytes).next_multiple_of(alignment);
        let short = |bytes: usize| u16::try_from(bytes).ok();
        // An entry takes a cell at least, so that a slot of the index can name the last one too.
        let shape =
            Self { stride: short(stride.max(CELL))?, key_bytes: short(key_bytes)?, value_bytes: short(value_bytes)? };
        shape.is_sound(unit).then_some(shape)
    }

    fn is_sound(self, unit: usize) -> bool {
        let stride = usize::from(self.stride);
        stride >= CELL
            && usize::from(self.key_bytes) + usize::from(self.value_bytes) <= stride
            && self.per_block(unit) >= 2
    }

    /// Entries of a block of `unit` bytes: it is always full.
    pub(crate) fn per_block(self, unit: usize) -> usize {
        (unit - TRAILER) / usize::from(self.stride)
    }

    /// Whether an entry is of this shape.
    pub(crate) fn is_of(self, key: &[u8], value: Option<&[u8]>) -> bool {
        key.len() == usize::from(self.key_bytes)
            && value.is_some_and(|value| value.len() == usize::from(self.value_bytes))
    }

    /// Entry number `at` of the block that `payload` is.
    #[inline]
    pub(crate) fn entry(self, payload: &[u8], at: usize) -> Option<Entry<'_>> {
        let start = at * usize::from(self.stride);
        self.entry_in(payload.get(start..start + usize::from(self.stride))?)
    }

    /// The entry that this item is.
    #[inline]
    pub(crate) fn entry_in(self, item: &[u8]) -> Option<Entry<'_>> {
        let (value, rest) = item.split_at_checked(self.value_bytes.into())?;
        Some(Entry { key: rest.get(..self.key_bytes.into())?, value: Some(value) })
    }

    /// Has the processor fetch the lines of memory that an item lies in, as far as it is not longer than a hundred bytes or so.
    #[inline(always)]
    pub(crate) fn prefetch(item: &[u8]) {
        let line = |number: usize| item.get(number * LINE).copied().unwrap_or_default();
        std::hint::black_box(line(0) ^ line(1));
    }

    /// Whether all that is no entry in the block that `payload` is was written as zero.
    pub(crate) fn is_padded(self, payload: &[u8]) -> bool {
        let entry = usize::from(self.key_bytes) + usize::from(self.value_bytes);
        let mut items = payload.chunks_exact(self.stride.into());
        items.by_ref().all(|item| is_zero(item.get(entry..).unwrap_or_default())) && is_zero(items.remainder())
    }

    /// Appends an entry of this shape.
    pub(crate) fn put(self, out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
        out.extend_from_slice(value);
        out.extend_from_slice(key);
        out.resize(out.len() + usize::from(self.stride) - value.len() - key.len(), 0);
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        [self.stride, self.key_bytes, self.value_bytes].into_iter().for_each(|field| out.put_u32(field.into()));
    }

    pub(super) fn decode(fields: &mut Decoder<'_>, unit: u32) -> Option<Self> {
        let mut short = || u16::try_from(fields.u32()?).ok();
        let shape = Self { stride: short()?, key_bytes: short()?, value_bytes: short()? };
        shape.is_sound(index32(unit)).then_some(shape)
    }
}
