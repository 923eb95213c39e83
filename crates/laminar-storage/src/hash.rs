//! The hash of keys, one for table and runs.

/// The 64-bit XXH3 of `key`.
#[inline]
pub(crate) fn hash_key(seed: u64, key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, seed)
}
