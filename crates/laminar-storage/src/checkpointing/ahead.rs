//! Reads the changes of a run ahead of whoever writes them, on a spare thread.
//!
//! The records lie all over the log: to read one in the order of the keys waits for memory, and verifies a checksum, a third of the
//! work of a run. A thread of the lowest priority may stand still for as long as the processors are busy, so the writer of the run waits
//! for no batch: one that is not ready it reads itself, also one that the reader is in the middle of; and between the beginning and the
//! end of a bucket it never blocks on a lock that the reader may have.

use std::collections::VecDeque;

use super::collect::{Change, Sorted};
use super::spare::Work;
use crate::Result;
use crate::sync::Mutex;

/// Changes of a batch, the last but for what there is.
pub(super) const BATCH: usize = 512;

/// Batches that are ready at most.
const MOST_READY: usize = 8;

/// A batch that is longer is left to the writer: the memory of a checkpoint is promised. Those that are ready, one being read and one being
/// written take twice this each at most, as a vector grows.
const LONGEST: usize = 256 << 10;

/// So few batches are not worth a thread.
const FEWEST: usize = 16;

/// In the place of the length of a value: a delete.
const NO_VALUE: u32 = u32::MAX;

/// Changes in the order of their keys, copied out of the log.
#[derive(Debug, Default)]
struct Batch {
    number: usize,
    /// Of each change its key, then its value.
    bytes: Vec<u8>,
    /// The lengths of these.
    lengths: Vec<(u32, u32)>,
}

impl Batch {
    /// Copies the changes of a batch. Says no where that can't be done: the writer reads it, and learns why.
    fn fill(&mut self, sorted: &Sorted, number: usize) -> bool {
        self.number = number;
        self.bytes.clear();
        self.lengths.clear();
        sorted.changes(range_of(number, sorted.len())).all(|change| change.is_ok_and(|change| self.push(&change)))
    }

    fn push(&mut self, change: &Change<'_>) -> bool {
        let Change { key, value } = *change;
        let lengths = (u32::try_from(key.len()), value.map_or(Ok(NO_VALUE), |value| u32::try_from(value.len())));
        let (Ok(of_key), Ok(of_value)) = lengths else { return false };
        let value = value.unwrap_or_default();
        let fits = self.bytes.len() + key.len() + value.len() <= LONGEST;
        if fits {
            self.lengths.push((of_key, of_value));
            self.bytes.extend_from_slice(key);
            self.bytes.extend_from_slice(value);
        }
        fits
    }

    fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let mut rest = self.bytes.as_slice();
        self.lengths.iter().map_while(move |&(of_key, of_value)| {
            let (key, behind) = rest.split_at_checked(of_key as usize)?;
            let (value, behind) = match of_value {
                NO_VALUE => (None, behind),
                length => behind.split_at_checked(length as usize).map(|(value, behind)| (Some(value), behind))?,
            };
            rest = behind;
            Some(Change { key, value })
        })
    }
}

/// The places of the changes of a batch among so many.
pub(super) fn range_of(number: usize, of: usize) -> std::ops::Range<usize> {
    let start = (number * BATCH).min(of);
    start..(start + BATCH).min(of)
}

/// The changes of a bucket of a run, and what of them was read ahead.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) sorted: Sorted,
    progress: Mutex<Progress>,
}

/// Locked only to take a batch or a number in or out; and the writer goes on without, where the reader has lost its processor meanwhile. So
/// the numbers may be behind what is written.
#[derive(Debug, Default)]
struct Progress {
    /// The batch that is written next, and the one that is read next.
    written: usize,
    next: usize,
    ready: VecDeque<Batch>,
    /// Whose memory is used again.
    spent: Vec<Batch>,
}

impl Reading {
    pub(super) fn new(sorted: Sorted) -> Self {
        Self { sorted, progress: Mutex::default() }
    }

    pub(super) fn batches(&self) -> usize {
        self.sorted.len().div_ceil(BATCH)
    }

    /// The batch of this number, if it was read ahead. They are asked for in turn; one that is not there is the caller's to read.
    fn take(&self, number: usize) -> Option<Batch> {
        let mut progress = self.progress.try_lock()?;
        progress.next = progress.next.max(number + 1);
        // The reader may have come to the end of one while the writer read it too.
        while let Some(late) = progress.ready.pop_front_if(|batch| batch.number < number) {
            progress.spent.push(late);
        }
        progress.ready.pop_front_if(|batch| batch.number == number)
    }

    /// A batch was written; its memory is used again.
    fn written(&self, number: usize, batch: Option<Batch>) {
        if let Some(mut progress) = self.progress.try_lock() {
            progress.written = number + 1;
            progress.spent.extend(batch);
        }
    }

    pub(super) fn is_worth_a_thread(&self) -> bool {
        self.batches() >= FEWEST
    }

    /// Whether the reader has something to do, and not just for one batch.
    pub(super) fn is_worth_a_wake(&self) -> bool {
        let is_worth_it =
            |progress: &Progress| progress.ready.len() <= MOST_READY / 2 && progress.next < self.batches();
        self.is_worth_a_thread() && self.progress.try_lock().is_some_and(|progress| is_worth_it(&progress))
    }
}

impl Work for Reading {
    /// Reads the next batch ahead.
    fn next(&self) -> bool {
        let (number, mut batch) = {
            let mut progress = self.progress.lock();
            let number = progress.next;
            if number >= self.batches() || number >= progress.written + MOST_READY {
                return false;
            }
            progress.next += 1;
            (number, progress.spent.pop().unwrap_or_default())
        };
        let is_whole = batch.fill(&self.sorted, number);
        let mut progress = self.progress.lock();
        if is_whole && number >= progress.written {
            progress.ready.push_back(batch);
        } else {
            progress.spent.push(batch);
        }
        true
    }
}

/// Gives every change of the batch of this number to `write`, wherever it comes from.
pub(super) fn for_each(
    reading: &Reading,
    number: usize,
    mut write: impl FnMut(Change<'_>) -> Result<()>,
) -> Result<()> {
    let batch = reading.take(number);
    match &batch {
        Some(batch) => batch.changes().try_for_each(write)?,
        None => {
            let range = range_of(number, reading.sorted.len());
            reading.sorted.changes(range).try_for_each(|change| write(change?))?;
        }
    }
    reading.written(number, batch);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use laminar_vfs::Env;
    use laminar_vfs::sim::SimDisk;
    use laminar_wal::Lsn;

    use super::super::RunLimits;
    use super::super::collect::Collector;
    use super::super::spare::Spare;
    use super::*;
    use crate::{StateStore, StoreOptions, WalStateStore};

    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

    type Entries = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    /// The changes of so many keys, every seventh deleted, and one too long for a batch.
    fn reading(keys: u32) -> (Arc<Reading>, Entries) {
        let disk = SimDisk::new(1);
        let (mut store, _) = WalStateStore::open("/store", StoreOptions::new().env(disk.env())).unwrap();
        for key in 0..keys {
            let key_bytes = key.to_le_bytes();
            match key % 7 {
                0 => store.delete(&key_bytes).unwrap(),
                _ if key == keys / 2 => store.put(&key_bytes, &vec![3; LONGEST]).unwrap(),
                _ => store.put(&key_bytes, &key.to_le_bytes().repeat(key as usize % 5)).unwrap(),
            }
        }
        store.commit().unwrap().wait().unwrap();
        let cut = store.wal.durable_lsn();
        let view = store.wal.view(Lsn::new(0)..cut).unwrap();
        let mut collector = Collector::new(
            view,
            Lsn::new(0),
            cut,
            RunLimits { log_bytes: u64::MAX, records: 1 << 20, part_bytes: u64::MAX },
        );
        while collector.end().is_none() {
            collector.scan(1000, &mut BTreeMap::new()).unwrap();
        }
        let sorted = collector.into_pieces().next().unwrap().unwrap();
        let owned = |change: Change<'_>| (change.key.to_vec(), change.value.map(<[u8]>::to_vec));
        let expected = sorted.changes(0..sorted.len()).map(|change| owned(change.unwrap())).collect();
        (Arc::new(Reading::new(sorted)), expected)
    }

    fn written(reading: &Reading, mut before: impl FnMut(usize)) -> Entries {
        let mut all = Entries::new();
        for number in 0..reading.batches() {
            before(number);
            for_each(reading, number, |change| {
                all.push((change.key.to_vec(), change.value.map(<[u8]>::to_vec)));
                Ok(())
            })
            .unwrap();
        }
        all
    }

    #[test]
    fn every_change_is_written_once_wherever_the_reader_is() {
        let (_, expected) = reading(20_000);
        assert!(expected.len() > 20_000, "and the name of the operator");
        let mut rng = fastrand::Rng::with_seed(5);
        for most in [0, 1, 3, 20] {
            let (reading, _) = reading(20_000);
            let mut reads = 0;
            let all = written(&reading, |_| reads += (0..rng.usize(..=most)).filter(|_| reading.next()).count());
            assert_eq!(all, expected);
            assert_eq!(reads > 0, most > 0);
        }
    }

    #[test]
    fn the_reader_stays_a_few_batches_ahead() {
        let (reading, _) = reading(20_000);
        assert_eq!((0..100).filter(|_| reading.next()).count(), MOST_READY);
        assert!(reading.take(0).is_some() && !reading.next(), "the first is not written yet");
        reading.written(0, None);
        assert!(reading.next() && !reading.next());
        // What was passed over is not read any more, and what the writer passes over is no reason to stop.
        (1..20).for_each(|number| reading.written(number, reading.take(number)));
        assert!(reading.next() && reading.take(20).is_some());
    }

    #[test]
    fn a_batch_that_both_have_read_is_written_once() {
        let (reading, expected) = reading(20_000);
        let mut all = 0;
        for number in 0..reading.batches() {
            let mut is_first = true;
            for_each(&reading, number, |change| {
                assert_eq!((change.key, change.value), (&*expected[all].0, expected[all].1.as_deref()));
                all += 1;
                if std::mem::take(&mut is_first) {
                    // The reader had begun with it, and comes to its end now.
                    reading.progress.lock().next = number;
                    reading.next();
                }
                Ok(())
            })
            .unwrap();
            let ready = reading.progress.lock().ready.len();
            assert!(ready <= 1, "{ready} batches that nobody will take");
        }
        assert_eq!(all, expected.len());
    }

    #[test]
    fn the_writer_goes_on_where_the_reader_holds_the_lock() {
        let (reading, expected) = reading(20_000);
        let held = reading.progress.lock();
        assert_eq!(written(&reading, |_| {}), expected);
        drop(held);
        // What it reads now is too late, and is not taken for something else.
        assert!(reading.next() && reading.take(5).is_none());
        assert!(reading.progress.lock().ready.is_empty());
    }

    #[test]
    fn long_batches_take_no_memory() {
        let (reading, _) = reading(20_000);
        (0..reading.batches()).for_each(|number| {
            reading.next();
            reading.written(number, reading.take(number));
        });
        let progress = reading.progress.lock();
        let bytes: Vec<usize> = progress.spent.iter().map(|batch| batch.bytes.capacity()).collect();
        assert!(!bytes.is_empty() && bytes.iter().all(|&bytes| bytes <= 2 * LONGEST), "{bytes:?}");
    }

    #[test]
    fn a_thread_reads_ahead() {
        let (reading, expected) = reading(60_000);
        let Env { clock, spawn, .. } = Env::real();
        let mut spare = Spare::default();
        spare.begin(&*spawn, Arc::clone(&reading) as Arc<dyn Work>);
        let (mut all, mut taken) = (0, 0);
        for number in 0..reading.batches() {
            // With the lowest priority it may take its time, but nothing else is to be done here. It is woken for more than it had at first.
            let begun = clock.now();
            while reading.progress.lock().ready.front().is_none_or(|batch| batch.number < number)
                && taken <= MOST_READY
                && clock.now() - begun < PATIENCE
            {
                if reading.is_worth_a_wake() {
                    spare.wake();
                }
                std::thread::yield_now();
            }
            let batch = reading.take(number);
            taken += usize::from(batch.is_some());
            all += batch
                .as_ref()
                .map_or_else(|| range_of(number, reading.sorted.len()).len(), |batch| batch.lengths.len());
            reading.written(number, batch);
        }
        assert_eq!(all, expected.len());
        assert!(taken > MOST_READY, "{taken} batches were read ahead");
        drop(spare);
        // Soon the thread lets go of it too.
        let begun = clock.now();
        while Arc::strong_count(&reading) > 1 && clock.now() - begun < PATIENCE {
            std::thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&reading), 1);
    }
}
