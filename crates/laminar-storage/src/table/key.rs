//! Keys as a caller hands them in: in two pieces, with their hash.
//!
//! The pieces are never joined on the way to an entry. Bytes that were just written next to each other can't be read across
//! the seam before both writes have left the processor's store buffer, which waits for everything before them; so a hash
//! over a key that was put together a moment ago keeps the cache misses of successive operations from overlapping. That
//! costs half the throughput.

use std::hash::Hasher as _;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

pub use laminar_checkpoint::SPACE_BYTES;

/// A key to ask one [`Table`](super::Table) for, made by [`Table::key`](super::Table::key).
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    pub(super) space: [u8; SPACE_BYTES],
    pub(super) name: &'a [u8],
    pub(super) hash: u64,
    seed: u64,
}

impl Key<'_> {
    /// The hash by which runs with this table's seed find the key; computed now. The table's own hash is another one, which
    /// is never on disk and takes a third of the time.
    #[inline]
    pub fn hash(&self) -> u64 {
        laminar_checkpoint::hash_parts(self.seed, self.space, self.name)
    }

    /// The key as checkpoints are asked for it.
    #[inline]
    pub fn below(&self) -> laminar_checkpoint::Key<'_> {
        laminar_checkpoint::Key::of_parts(self.space, self.name)
    }

    /// Bytes of key space and name.
    #[inline]
    pub(super) fn len(&self) -> usize {
        SPACE_BYTES + self.name.len()
    }
}

/// Whether two byte strings are equal. Short ones, as most names are, are compared without a call.
#[inline]
pub(super) fn is_equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if one.len() < 8 || one.len() > 16 {
        return one == other;
    }
    one.first_chunk::<8>() == other.first_chunk() && one.last_chunk::<8>() == other.last_chunk()
}

/// Hashes keys, in the same way as long as the process runs.
#[derive(Debug)]
pub(super) struct Hasher {
    seed: u64,
    spread: SharedSeed,
    /// What tests leave of each hash, to see what collisions do.
    #[cfg(test)]
    pub(super) mask: u64,
}

impl Hasher {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            seed,
            spread: SharedSeed::from_u64(seed),
            #[cfg(test)]
            mask: u64::MAX,
        }
    }

    #[inline]
    pub(super) fn key<'k>(&self, space: [u8; SPACE_BYTES], name: &'k [u8]) -> Key<'k> {
        Key { space, name, hash: self.hash(space, name), seed: self.seed }
    }

    /// The key that is written in a row, whose hash is known.
    pub(super) fn known<'k>(&self, key: &'k [u8], hash: u64) -> Option<Key<'k>> {
        key.split_first_chunk().map(|(&space, name)| Key { space, name, hash, seed: self.seed })
    }

    #[inline]
    fn hash(&self, space: [u8; SPACE_BYTES], name: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(u64::from(u32::from_le_bytes(space)), &self.spread);
        hasher.write(name);
        #[cfg(test)]
        return hasher.finish() & self.mask;
        #[cfg(not(test))]
        hasher.finish()
    }

    /// The hash of a key that is written in a row.
    pub(super) fn hash_whole(&self, key: &[u8]) -> u64 {
        let Some((space, name)) = key.split_first_chunk() else { unreachable!("keys start with a key space") };
        self.hash(*space, name)
    }
}
