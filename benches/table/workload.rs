//! Keys, values and the orders in which they are asked for: made once, before anything is timed.

use laminar_benches::workload::POOL_BYTES;

pub(crate) type Key = [u8; 16];

pub(crate) const VALUE_BYTES: usize = 100;

pub(crate) struct Workload {
    /// All keys, each once.
    pub(crate) keys: Vec<Key>,
    pub(crate) hits: Vec<Key>,
    pub(crate) misses: Vec<Key>,
    /// Keys by a zipf distribution with exponent 0.99, the frequent ones scattered over the key space.
    pub(crate) zipf: Vec<Key>,
    /// All keys in another order; at most five million of them.
    pub(crate) deletes: Vec<Key>,
    /// As many keys, in groups of ten that share the first eight bytes, shuffled.
    pub(crate) grouped: Vec<Key>,
    /// The first eight bytes of groups.
    pub(crate) groups: Vec<[u8; 8]>,
    random: Vec<u8>,
}

impl Workload {
    pub(crate) fn new(count: u32, ops: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut random = vec![0; POOL_BYTES + VALUE_BYTES];
        rng.fill(&mut random);
        let keys: Vec<Key> = (0..count).map(|_| rng.u128(..).to_le_bytes()).collect();
        let mut deletes = keys.clone();
        rng.shuffle(&mut deletes);
        deletes.truncate(5_000_000);
        let ids: Vec<[u8; 8]> = (0..count / 10).map(|_| rng.u64(..).to_le_bytes()).collect();
        let group = |id: &[u8; 8]| {
            let id = *id;
            (0..10_u64).map(move |n| u128::from_le_bytes(join(id, n.swap_bytes().to_le_bytes())).to_le_bytes())
        };
        let mut grouped: Vec<Key> = ids.iter().flat_map(group).collect();
        rng.shuffle(&mut grouped);
        let zipf = zipf(count, ops, &mut rng).map(|rank| keys[rank]).collect();
        Self {
            hits: (0..ops).map(|_| keys[rng.usize(..keys.len())]).collect(),
            misses: (0..ops).map(|_| rng.u128(..).to_le_bytes()).collect(),
            groups: (0..ops / 4).map(|_| ids[rng.usize(..ids.len())]).collect(),
            keys,
            zipf,
            deletes,
            grouped,
            random,
        }
    }

    /// A value for a key: a slice of random bytes, so that there is nothing to compress.
    pub(crate) fn value(&self, key: &Key) -> &[u8] {
        let at = (usize::from(key[1]) << 12 | usize::from(key[2]) << 4) % POOL_BYTES;
        &self.random[at..at + VALUE_BYTES]
    }
}

fn join(first: [u8; 8], second: [u8; 8]) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first);
    key[8..].copy_from_slice(&second);
    key
}

/// Ranks below `count`, the first the most frequent. Source: Gray et al., "Quickly generating billion-record synthetic
/// databases" (1994), as YCSB does it.
fn zipf(count: u32, ops: usize, rng: &mut fastrand::Rng) -> impl Iterator<Item = usize> {
    const THETA: f64 = 0.99;
    let zeta = |n: u32| (1..=n).map(|rank| f64::from(rank).powf(-THETA)).sum::<f64>();
    let total = if ops == 0 { 1.0 } else { zeta(count) };
    let n = f64::from(count);
    let eta = (1.0 - (2.0 / n).powf(1.0 - THETA)) / (1.0 - zeta(2) / total);
    (0..ops).map(move |_| {
        let u = rng.f64();
        let rank = match u * total {
            sum if sum < 1.0 => 0.0,
            sum if sum < 1.0 + 0.5_f64.powf(THETA) => 1.0,
            _ => n * (eta * u - eta + 1.0).powf(1.0 / (1.0 - THETA)),
        };
        #[expect(clippy::cast_possible_truncation, reason = "ranks are below `count`")]
        let rank = rank as usize;
        rank.min(count as usize - 1)
    })
}
