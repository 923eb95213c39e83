//! The persons who came and put something up for sale within the same ten seconds.

use super::{Event, Kinds, Query, Results, bytes, delete_prefix, key, prefix};
use crate::backend::{Backend, Outcome};

const PERSONS: u8 = 1;
const SELLERS: u8 = 2;
const WINDOW_MILLIS: u64 = 10_000;

/// Joins persons and sellers of a window; the state of a window goes with it.
pub(crate) struct Q8 {
    window: u64,
    scratch: Vec<u8>,
}

impl Query for Q8 {
    const KINDS: Kinds = Kinds { persons: true, auctions: true, bids: false };

    fn restore(word: u64) -> Self {
        Self { window: word, scratch: Vec::new() }
    }

    fn save(&self) -> u64 {
        self.window
    }

    fn apply<B: Backend>(&mut self, store: &mut B, event: Event, results: &mut Results) -> Outcome {
        let (mine, others, id, time) = match event {
            Event::Person { id, time } => (PERSONS, SELLERS, id, time),
            Event::Auction { seller, time, .. } => (SELLERS, PERSONS, seller, time),
            Event::Bid { .. } | Event::Seen { .. } => return Ok(()),
        };
        let window = time / WINDOW_MILLIS;
        if window > self.window {
            delete_prefix(store, prefix(PERSONS, self.window))?;
            delete_prefix(store, prefix(SELLERS, self.window))?;
            self.window = window;
        }
        let own = key(mine, window, id);
        // A seller with several auctions is told once.
        if store.get(&own, |_| ())?.is_some() {
            return Ok(());
        }
        store.put(&own, bytes([time], &mut self.scratch))?;
        if store.get(&key(others, window, id), |_| ())?.is_some() {
            results.emit(&[window, id]);
        }
        Ok(())
    }
}
