//! Keys, values and the orders in which they are asked for: made once, before anything is timed.

use laminar_benches::workload::{self, Prefix, Values};

pub(crate) use laminar_benches::workload::{Key, VALUE_BYTES, read};

pub(crate) struct Workload {
    /// All keys, each once.
    pub(crate) keys: Vec<Key>,
    pub(crate) hits: Vec<Key>,
    pub(crate) misses: Vec<Key>,
    pub(crate) zipf: Vec<Key>,
    /// All keys in another order; at most five million of them.
    pub(crate) deletes: Vec<Key>,
    /// As many keys, in groups of ten that share the first eight bytes, shuffled.
    pub(crate) grouped: Vec<Key>,
    /// The first eight bytes of groups.
    pub(crate) groups: Vec<Prefix>,
    values: Values,
}

impl Workload {
    pub(crate) fn new(count: u32, ops: usize) -> Self {
        let keys = workload::keys(count);
        let (grouped, prefixes) = workload::grouped(count);
        Self {
            hits: workload::picks(&keys, ops, 11),
            misses: workload::misses(ops),
            zipf: workload::zipf(&keys, ops, 12),
            deletes: workload::shuffled(&keys, 5_000_000, 13),
            groups: workload::picks(&prefixes, ops / 4, 14),
            grouped,
            keys,
            values: Values::new(),
        }
    }

    pub(crate) fn value(&self, key: &Key) -> &[u8] {
        self.values.of(key, 0)
    }
}
