//! The auctions with the most bids in the last ten seconds, every two seconds.

use std::collections::BTreeMap;

use super::{Event, Kinds, Query, Results, bytes, delete_prefix, key, prefix, second, words};
use crate::backend::{Backend, Outcome};

const COUNTS: u8 = 1;
const PANE_MILLIS: u64 = 2_000;
const PANES: u64 = 5;

/// Counts the bids of each auction in panes of two seconds; a window is five of them.
pub(crate) struct Q5 {
    /// The pane that time is in.
    pane: u64,
    scratch: Vec<u8>,
}

impl Q5 {
    /// Tells the result of the window that ends with the pane, and forgets the pane that no later window has.
    fn close<B: Backend>(&self, store: &mut B, results: &mut Results) -> Outcome {
        let first = self.pane.saturating_sub(PANES - 1);
        let mut counts = BTreeMap::<u64, u64>::new();
        for pane in first..=self.pane {
            store.scan(&prefix(COUNTS, pane), |key, value| {
                let [count] = words(value);
                *counts.entry(second(key)).or_default() += count;
            })?;
        }
        // Of equal ones the lowest.
        let hottest = counts.iter().max_by_key(|(auction, count)| (**count, u64::MAX - **auction));
        if let Some((auction, count)) = hottest {
            results.emit(&[self.pane, *auction, *count]);
        }
        delete_prefix(store, prefix(COUNTS, first))
    }
}

impl Query for Q5 {
    const KINDS: Kinds = Kinds { persons: false, auctions: false, bids: true };

    fn restore(word: u64) -> Self {
        Self { pane: word, scratch: Vec::new() }
    }

    fn save(&self) -> u64 {
        self.pane
    }

    fn apply<B: Backend>(&mut self, store: &mut B, event: Event, results: &mut Results) -> Outcome {
        let Event::Bid { auction, time, .. } = event else { return Ok(()) };
        let pane = time / PANE_MILLIS;
        if pane > self.pane {
            if self.pane > 0 {
                self.close(store, results)?;
            }
            self.pane = pane;
        }
        let key = key(COUNTS, pane, auction);
        let [count] = store.get(&key, words)?.unwrap_or_default();
        store.put(&key, bytes([count + 1], &mut self.scratch))
    }
}
