//! Keys, values and the orders in which they are asked for: seeded, made before anything is timed, and never zero bytes, which
//! disks and hosts elide.

use fastrand::Rng;

/// A key: 16 random bytes, or a group's 8 and 8 of a count.
pub type Key = [u8; 16];

/// The first half of the keys of a group.
pub type Prefix = [u8; 8];

/// Bytes of a value.
pub const VALUE_BYTES: usize = 100;

/// Keys that a store is told together, where it can be told what will be asked for.
pub const BATCH_KEYS: usize = 32;

/// Keys of a group, see [`grouped`].
pub const GROUP_KEYS: usize = 10;

/// Random bytes that values are cut from. So few that they stay in the processor's second cache, as a value does that a caller has just made: cut from
/// a megabyte, the misses of the bench itself were a fifth of a put, by a profile. So many that two values of a block hardly have bytes in common.
const POOL_BYTES: usize = 128 << 10;

const KEYS_SEED: u64 = 1;
const MISSES_SEED: u64 = 2;
const GROUPS_SEED: u64 = 3;
const VALUES_SEED: u64 = 4;

/// `count` different random keys; the same ones in every call.
#[must_use]
pub fn keys(count: u32) -> Vec<Key> {
    random_keys(KEYS_SEED, count as usize)
}

/// `count` random keys that are not among [`keys`].
#[must_use]
pub fn misses(count: usize) -> Vec<Key> {
    random_keys(MISSES_SEED, count)
}

fn random_keys(seed: u64, count: usize) -> Vec<Key> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(|_| rng.u128(..).to_le_bytes()).collect()
}

/// `count` of `keys` at random, with repetition.
///
/// # Panics
/// If there are no keys.
#[must_use]
pub fn picks<T: Copy>(keys: &[T], count: usize, seed: u64) -> Vec<T> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(|_| pick(keys, rng.usize(..keys.len()))).collect()
}

/// All of `keys` in another order, or the first `limit` of that order.
#[must_use]
pub fn shuffled<T: Copy>(keys: &[T], limit: usize, seed: u64) -> Vec<T> {
    let mut shuffled = keys.to_vec();
    Rng::with_seed(seed).shuffle(&mut shuffled);
    shuffled.truncate(limit);
    shuffled
}

/// Every `step`th key: the ones that change between two checkpoints, spread over the key space as the keys are.
#[must_use]
pub fn every(keys: &[Key], step: usize) -> Vec<Key> {
    keys.iter().step_by(step).copied().collect()
}

/// About `count` keys in groups of [`GROUP_KEYS`] that share their first 8 bytes, shuffled; and the prefixes of the groups.
#[must_use]
pub fn grouped(count: u32) -> (Vec<Key>, Vec<Prefix>) {
    let mut rng = Rng::with_seed(GROUPS_SEED);
    let prefixes: Vec<Prefix> = (0..count as usize / GROUP_KEYS).map(|_| rng.u64(..).to_le_bytes()).collect();
    let mut keys = Vec::with_capacity(prefixes.len() * GROUP_KEYS);
    for prefix in &prefixes {
        for number in 1..=GROUP_KEYS as u64 {
            let mut key = [0; 16];
            let (first, second) = key.split_at_mut(8);
            first.copy_from_slice(prefix);
            // Ascending as bytes too.
            second.copy_from_slice(&number.swap_bytes().to_le_bytes());
            keys.push(key);
        }
    }
    rng.shuffle(&mut keys);
    (keys, prefixes)
}

/// `count` of `keys` by a zipf distribution with exponent 0.99, the frequent ones scattered over the key space. Source: Gray et
/// al., "Quickly generating billion-record synthetic databases" (1994), as YCSB does it.
///
/// # Panics
/// If there are no keys.
#[must_use]
pub fn zipf(keys: &[Key], count: usize, seed: u64) -> Vec<Key> {
    const THETA: f64 = 0.99;
    let n = keys.len() as f64;
    let zeta = |n: usize| (1..=n).map(|rank| (rank as f64).powf(-THETA)).sum::<f64>();
    let total = zeta(keys.len());
    let eta = (1.0 - (2.0 / n).powf(1.0 - THETA)) / (1.0 - zeta(2) / total);
    let mut rng = Rng::with_seed(seed);
    let mut rank = || {
        let u = rng.f64();
        match u * total {
            sum if sum < 1.0 => 0.0,
            sum if sum < 1.0 + 0.5_f64.powf(THETA) => 1.0,
            _ => n * (eta * u - eta + 1.0).powf(1.0 / (1.0 - THETA)),
        }
    };
    #[expect(clippy::cast_possible_truncation, reason = "ranks are below the number of keys")]
    let picked = (0..count).map(|_| pick(keys, (rank() as usize).min(keys.len() - 1))).collect();
    picked
}

fn pick<T: Copy>(keys: &[T], index: usize) -> T {
    *keys.get(index).expect("an index below the number of keys")
}

/// Values: slices of random bytes, so that there is nothing to compress.
#[derive(Debug)]
pub struct Values(Vec<u8>);

impl Values {
    /// Random bytes to cut values from.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = vec![0; POOL_BYTES + VALUE_BYTES + 256];
        Rng::with_seed(VALUES_SEED).fill(&mut bytes);
        Self(bytes)
    }

    /// The value of a key; another one for another version of it.
    ///
    /// # Panics
    /// Never: there are bytes for every place that a key can ask for.
    #[must_use]
    #[inline]
    pub fn of(&self, key: &Key, version: u8) -> &[u8] {
        // Keys that are neighbours, which a store puts into one block, have values from anywhere: there is nothing to compress.
        let [first, second] =
            [key.first_chunk(), key.last_chunk()].map(|half| half.map_or(0, |half| u64::from_le_bytes(*half)));
        let mixed = (first ^ second.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let place = usize::try_from(mixed >> 51).expect("13 bits") * (POOL_BYTES >> 13);
        let at = place + usize::from(version);
        self.0.get(at..at + VALUE_BYTES).expect("the bytes reach past the last place")
    }

    /// The `index`th record of `len` bytes, one after the other and round again: what is read in sequence is in the cache.
    ///
    /// # Panics
    /// If a record is longer than [`VALUE_BYTES`].
    #[must_use]
    #[inline]
    pub fn nth(&self, index: usize, len: usize) -> &[u8] {
        assert!(len <= VALUE_BYTES, "there are no bytes behind the last place");
        let at = (index * len) % POOL_BYTES;
        self.0.get(at..at + len).expect("the bytes reach past the last place")
    }
}

impl Default for Values {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads every byte of a value, as whoever asks for one does: a store that only says where it lies has not fetched it.
#[must_use]
#[inline]
pub fn read(value: &[u8]) -> u64 {
    let (words, rest) = value.as_chunks::<8>();
    let sum = words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_differ_and_misses_miss() {
        let all: BTreeSet<Key> = keys(10_000).into_iter().chain(misses(10_000)).collect();
        assert_eq!(all.len(), 20_000);
        assert_eq!(keys(10), keys(10_000)[..10]);
    }

    #[test]
    fn groups_hold_ten_keys_in_order() {
        let (mut keys, prefixes) = grouped(1_000);
        keys.sort_unstable();
        assert_eq!(keys.len(), prefixes.len() * GROUP_KEYS);
        for prefix in prefixes {
            let last_bytes: Vec<u8> = keys.iter().filter(|key| key.starts_with(&prefix)).map(|key| key[15]).collect();
            assert_eq!(last_bytes, (1..=10).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn zipf_prefers_the_first_keys() {
        let keys = keys(1_000);
        let picked = zipf(&keys, 100_000, 7);
        let count = |key: &Key| picked.iter().filter(|picked| *picked == key).count();
        // The share of rank 1 of a thousand is 1 / 7.8.
        assert!((11_000..15_000).contains(&count(&keys[0])), "{}", count(&keys[0]));
        assert!(count(&keys[0]) > count(&keys[1]) && count(&keys[1]) > count(&keys[500]));
    }

    #[test]
    fn values_differ_by_version_and_are_not_zero() {
        let values = Values::new();
        let key = [0xff; 16];
        assert_ne!(values.of(&key, 0), values.of(&key, 255));
        assert_ne!(read(values.of(&key, 0)), 0);
        assert_eq!(read(&[1, 2, 3]), 6);
    }
}
