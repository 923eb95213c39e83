//! The average of the highest bids in each category, renewed with every bid that is the highest of its auction.

use super::{Event, Kinds, Query, Results, bytes, key, words};
use crate::backend::{Backend, Outcome};

const AUCTIONS: u8 = 1;
const CATEGORIES: u8 = 2;

/// Keeps for each auction its category, when it is open, and the highest bid; for each category a sum and a count.
pub(crate) struct Q4 {
    scratch: Vec<u8>,
}

impl Query for Q4 {
    const KINDS: Kinds = Kinds { persons: false, auctions: true, bids: true };

    fn restore(_: u64) -> Self {
        Self { scratch: Vec::new() }
    }

    fn apply<B: Backend>(&mut self, store: &mut B, event: Event, results: &mut Results) -> Outcome {
        match event {
            Event::Auction { id, category, time, expires, .. } => {
                store.put(&key(AUCTIONS, 0, id), bytes([category, time, expires, 0], &mut self.scratch))
            }
            Event::Bid { auction, price, time, .. } => {
                let auction = key(AUCTIONS, 0, auction);
                // A bid for an auction that is still to come is dropped, as is one that is too late.
                let Some([category, opens, expires, highest]) = store.get(&auction, words)? else { return Ok(()) };
                if time < opens || time > expires || price <= highest {
                    return Ok(());
                }
                store.put(&auction, bytes([category, opens, expires, price], &mut self.scratch))?;
                let group = key(CATEGORIES, 0, category);
                let [sum, count] = store.get(&group, words)?.unwrap_or_default();
                let (sum, count) = (sum + price - highest, count + u64::from(highest == 0));
                store.put(&group, bytes([sum, count], &mut self.scratch))?;
                results.emit(&[category, sum / count]);
                Ok(())
            }
            Event::Person { .. } | Event::Seen { .. } => Ok(()),
        }
    }
}
