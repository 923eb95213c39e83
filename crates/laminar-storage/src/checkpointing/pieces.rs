//! Sorted pieces of what was found become one order, a bucket of neighbouring keys after the other.
//!
//! Whoever finds a piece sorts it, so two who scan sort at the same time. A bucket is merged when it is written, so the first is there
//! soon; and it is taken out of the pieces, because the memory of a checkpoint is promised by the record.

use laminar_wal::LogView;

use super::collect::Sorted;
use super::order::{Slot, keep_newest, sort_ascending};
use crate::Result;

/// Slots of a bucket, more or less.
pub(super) const BUCKET: usize = 1 << 17;

/// One of so many slots of a piece is looked at to tell where buckets end.
const SAMPLE: usize = 256;

#[derive(Debug)]
pub(super) struct Pieces {
    view: LogView,
    /// Each in descending order: buckets are taken from the ends.
    pieces: Vec<Vec<Slot>>,
    /// The heads before which buckets end, descending; the last bucket has no such.
    bounds: Vec<[u64; 2]>,
    bucket: usize,
}

impl Pieces {
    /// Of pieces in descending order, in buckets of about so many slots.
    pub(super) fn new(view: LogView, pieces: Vec<Vec<Slot>>, bucket: usize) -> Self {
        let bounds = bounds(&pieces, bucket);
        Self { view, pieces, bounds, bucket }
    }

    /// Slots that are left: as many changes, or fewer.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// The next bucket, with the newest record of each key; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Sorted>> {
        while !self.pieces.is_empty() {
            let bound = self.bounds.pop();
            let mut slots = self.take_below(bound);
            if !slots.is_empty() {
                sort_ascending(&mut slots, self.bucket);
                keep_newest(&self.view, &mut slots)?;
                return Ok(Some(Sorted::new(self.view.clone(), slots)));
            }
        }
        Ok(None)
    }

    /// The slots whose heads are below a bound, or all of them: of each piece those in ascending order.
    fn take_below(&mut self, bound: Option<[u64; 2]>) -> Vec<Slot> {
        let kept = |piece: &Vec<Slot>| bound.map_or(0, |bound| piece.partition_point(|slot| slot.head >= bound));
        let kept: Vec<usize> = self.pieces.iter().map(kept).collect();
        let all = self.len() - kept.iter().sum::<usize>();
        let mut slots = Vec::with_capacity(all);
        for (piece, kept) in self.pieces.iter_mut().zip(kept) {
            slots.extend(piece.drain(kept..).rev());
            // At once where it is much: the bucket has it now.
            if all > 2 * self.bucket || piece.len() <= piece.capacity() / 2 {
                piece.shrink_to_fit();
            }
        }
        self.pieces.retain(|piece| !piece.is_empty());
        slots
    }
}

/// The heads before which buckets of about so many slots end, by a sample; descending.
fn bounds(pieces: &[Vec<Slot>], bucket: usize) -> Vec<[u64; 2]> {
    let buckets = pieces.iter().map(Vec::len).sum::<usize>() / bucket;
    // Not at the same places of all pieces: short ones would have the same few heads looked at.
    let samples = pieces.iter().enumerate().map(|(n, piece)| piece.iter().skip(n * 37 % SAMPLE).step_by(SAMPLE));
    let mut sample: Vec<_> = samples.flatten().map(|slot| slot.head).collect();
    sample.sort_unstable();
    let mut bounds: Vec<_> =
        (1..buckets).rev().filter_map(|number| sample.get(number * sample.len() / buckets).copied()).collect();
    bounds.dedup();
    bounds
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use laminar_vfs::sim::SimDisk;
    use laminar_wal::Lsn;

    use super::super::RunLimits;
    use super::super::collect::Collector;
    use super::super::found::Found;
    use super::*;
    use crate::{StateStore, StoreOptions, WalStateStore};

    const RECORDS: usize = 20_000;

    /// What a log says, found in pieces of `longest` slots, and what it says in order: of each key its newest value.
    fn found(longest: usize, bucket: usize, key: impl Fn(u32) -> Vec<u8>) -> (Pieces, Vec<(Vec<u8>, u32)>) {
        let disk = SimDisk::new(1);
        let (mut store, _) = WalStateStore::open("/store", StoreOptions::new().env(disk.env())).unwrap();
        let mut rng = fastrand::Rng::with_seed(8);
        let mut newest = BTreeMap::new();
        let mut operator = store.operator("o").unwrap();
        for version in 0..u32::try_from(RECORDS).unwrap() {
            let key = key(rng.u32(..8000));
            operator.put(&key, &version.to_le_bytes()).unwrap();
            newest.insert(key, version);
        }
        store.commit().unwrap().wait().unwrap();
        let cut = store.wal.durable_lsn();
        let view = store.wal.view(Lsn::ZERO..cut).unwrap();
        let limits = RunLimits { log_bytes: u64::MAX, records: 1 << 20, part_bytes: u64::MAX };
        let mut collector = Collector::new(view.clone(), Lsn::ZERO, cut, limits);
        // Little is recent, so that pieces have keys in common.
        collector.found = Found::new(1, longest);
        while collector.end().is_none() {
            collector.scan(1000, &mut BTreeMap::new()).unwrap();
        }
        assert_eq!(collector.end(), Some(cut));
        let pieces = collector.found.into_pieces();
        assert!(pieces.iter().all(|piece| piece.len() <= longest && piece.is_sorted_by(|a, b| a.head >= b.head)));
        (Pieces::new(view, pieces, bucket), newest.into_iter().collect())
    }

    /// All buckets, one behind the other, and the length of each.
    fn merged(mut pieces: Pieces) -> (Vec<(Vec<u8>, u32)>, Vec<usize>) {
        let (mut all, mut lengths) = (Vec::new(), Vec::new());
        loop {
            let before = pieces.len();
            let Some(sorted) = pieces.next().unwrap() else { break };
            assert!(before - pieces.len() >= sorted.len() && sorted.len() > 0);
            lengths.push(sorted.len());
            for change in sorted.changes(0..sorted.len()).map(Result::unwrap) {
                // The store's own entry, the name of the operator, is in the first space.
                if let Some((_, key)) = change.key.split_first_chunk::<4>().filter(|(space, _)| **space != [0; 4]) {
                    all.push((key.to_vec(), u32::from_le_bytes(*change.value.unwrap().first_chunk().unwrap())));
                }
            }
        }
        assert_eq!(pieces.len(), 0);
        (all, lengths)
    }

    #[test]
    fn buckets_are_in_order_and_hold_the_newest() {
        let spread = |number: u32| number.wrapping_mul(0x9E37_79B9).to_le_bytes().to_vec();
        for (longest, bucket) in [(700, 500), (5000, 1000), (10 * RECORDS, 300), (100, 10 * RECORDS)] {
            let (pieces, expected) = found(longest, bucket, spread);
            let (all, lengths) = merged(pieces);
            assert!(all == expected, "{longest}, {bucket}: {} of {}", all.len(), expected.len());
            assert!(lengths.len() >= (RECORDS / bucket / 2).max(1), "{lengths:?} for buckets of {bucket}");
            assert!(bucket < RECORDS || lengths.len() == 1, "{lengths:?} for buckets of {bucket}");
            assert!(lengths.iter().all(|length| *length <= 3 * bucket), "{lengths:?} for buckets of {bucket}");
        }
    }

    #[test]
    fn keys_that_begin_alike_are_in_one_bucket() {
        let alike = |number: u32| [b"they all begin like this ".as_slice(), &number.to_le_bytes()].concat();
        let (pieces, expected) = found(700, 500, alike);
        let (all, lengths) = merged(pieces);
        assert!(all == expected, "{} of {}", all.len(), expected.len());
        assert!(lengths.contains(&expected.len()), "{lengths:?} for {} keys", expected.len());
    }
}
