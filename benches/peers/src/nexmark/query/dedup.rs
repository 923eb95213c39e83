//! Passes on what has not come before, out of millions of keys.

use laminar_benches::workload::Key;

use super::{Event, Kinds, Query, Results, bytes, key};
use crate::backend::{Backend, Outcome};
use crate::measure::BATCH;

const IDS: u8 = 1;

/// Keeps every number that it has seen.
pub(crate) struct Dedup {
    scratch: Vec<u8>,
}

impl Dedup {
    /// Takes the first `count` numbers, with commits in between; in the order of their keys, which takes trees the least time and
    /// leaves them the densest.
    pub(crate) fn prepare<B: Backend>(store: &mut B, count: u64) -> Outcome {
        let mut scratch = Vec::new();
        let mut ids: Vec<u64> = (0..count).collect();
        ids.sort_unstable_by_key(|id| Self::key(*id));
        for batch in ids.chunks(BATCH) {
            for id in batch {
                store.put(&Self::key(*id), bytes([*id], &mut scratch))?;
            }
            store.commit()?;
        }
        Ok(())
    }

    /// Scattered, as the hash of an event's identity is.
    fn key(id: u64) -> Key {
        let mixed = (id ^ (id >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        key(IDS, mixed >> 8, id)
    }
}

impl Query for Dedup {
    /// None of the generator's kinds: its input is [`seen`](crate::nexmark::event::seen).
    const KINDS: Kinds = Kinds { persons: false, auctions: false, bids: false };
    const TELLS: bool = true;

    fn restore(_: u64) -> Self {
        Self { scratch: Vec::new() }
    }

    fn told(event: &Event) -> Option<Key> {
        if let Event::Seen { id } = event { Some(Self::key(*id)) } else { None }
    }

    fn apply<B: Backend>(&mut self, store: &mut B, event: Event, results: &mut Results) -> Outcome {
        let Event::Seen { id } = event else { return Ok(()) };
        let key = Self::key(id);
        if store.get(&key, |_| ())?.is_none() {
            store.put(&key, bytes([id], &mut self.scratch))?;
            results.emit(&[id]);
        }
        Ok(())
    }
}
