//! Keys as a caller hands them in: in two pieces, with their hash.
//!
//! The pieces are never joined on the way to an entry. Bytes that were just written next to each other can't be read across
//! the seam before both writes have left the processor's store buffer, which waits for everything before them; so a hash
//! over a key that was put together a moment ago keeps the cache misses of successive operations from overlapping. That
//! costs half the throughput.

pub use laminar_checkpoint::SPACE_BYTES;

/// A key to ask one [`Table`](super::Table) for, made by [`Table::key`](super::Table::key).
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    pub(super) space: [u8; SPACE_BYTES],
    pub(super) name: &'a [u8],
    pub(super) hash: u64,
}

impl Key<'_> {
    /// The hash, the same by which runs with this table's seed find the key.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Bytes of key space and name.
    #[inline]
    pub(super) fn len(&self) -> usize {
        SPACE_BYTES + self.name.len()
    }

    /// Whether `whole` is this key, written in a row.
    #[inline]
    pub(super) fn is(&self, whole: &[u8]) -> bool {
        whole.split_first_chunk().is_some_and(|(space, name)| *space == self.space && name == self.name)
    }
}

/// A function from seed, key space and name to a hash.
pub(super) type Hasher = fn(u64, [u8; SPACE_BYTES], &[u8]) -> u64;
