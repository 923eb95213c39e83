//! The last bid of every bidder for every auction.

use laminar_benches::workload::Values;

use super::{Event, Kinds, Query, Results, key, words};
use crate::backend::{Backend, Outcome};

const BIDS: u8 = 1;

/// Keeps the whole bid. The columns of text are stood in for by as many random bytes.
pub(crate) struct Q18 {
    texts: Values,
    scratch: Vec<u8>,
}

impl Query for Q18 {
    const KINDS: Kinds = Kinds { persons: false, auctions: false, bids: true };

    fn restore(_: u64) -> Self {
        Self { texts: Values::new(), scratch: Vec::new() }
    }

    fn apply<B: Backend>(&mut self, store: &mut B, event: Event, results: &mut Results) -> Outcome {
        let Event::Bid { auction, bidder, price, time } = event else { return Ok(()) };
        let key = key(BIDS, bidder, auction);
        let [before, _] = store.get(&key, words)?.unwrap_or_default();
        let text = self.texts.of(&[key[14], key[15], key[7], key[6], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0);
        self.scratch.clear();
        self.scratch.extend_from_slice(&time.to_le_bytes());
        self.scratch.extend_from_slice(&price.to_le_bytes());
        self.scratch.extend_from_slice(text);
        store.put(&key, &self.scratch)?;
        results.emit(&[bidder, auction, before, time, price]);
        Ok(())
    }
}
