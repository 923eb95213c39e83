//! Scans a run's log from its end, segment by segment, on a spare thread, towards whoever scans it from its beginning.
//!
//! That one waits for nothing but a lock that is held for moments: where both come to a segment, it scans it itself, and the tail's work on
//! it is void.

use std::collections::BTreeMap;
use std::sync::Arc;

use laminar_wal::{LogView, Lsn};

use super::found::{Found, PIECE};
use super::order::Slot;
use super::spare::Work;
use crate::Result;
use crate::sync::Mutex;

/// So few segments are not worth a thread.
const FEWEST: usize = 4;

/// With more sources in one segment the tail stops: each segment has offsets of its own until both meet, and the memory of a checkpoint is
/// promised.
const MOST_SOURCES: usize = 1000;

/// After so many records the tail looks whether the segment is still its own.
const RECORDS_AT_ONCE: usize = 4096;

/// No record begins here.
const NOWHERE: Lsn = Lsn::new(u64::MAX);

/// What a segment holds, perhaps nothing.
#[derive(Debug)]
struct Part {
    pieces: Vec<Vec<Slot>>,
    /// Those that its commits set; none are removed.
    offsets: BTreeMap<String, u64>,
}

impl Part {
    fn found(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }
}

/// Whoever scans from the beginning.
#[derive(Debug)]
pub(super) struct Front {
    tail: Option<Arc<Tail>>,
    /// From here on the tail is asked first.
    until: Lsn,
}

impl Default for Front {
    fn default() -> Self {
        Self { tail: None, until: NOWHERE }
    }
}

impl Front {
    /// Leaves the segments of the view that begin behind `cursor` to a tail, if there is none yet and they are many.
    pub(super) fn split(&mut self, view: &LogView, cursor: Lsn, most: usize) -> Option<Arc<Tail>> {
        if self.tail.is_some() {
            return None;
        }
        let tail = Arc::new(Tail::new(view.clone(), cursor, most)?);
        self.until = tail.bound(0);
        Some(Arc::clone(self.tail.insert(tail)))
    }

    #[inline]
    pub(super) fn is_at(&self, lsn: Lsn) -> bool {
        lsn >= self.until
    }

    /// Whoever comes to the record at `lsn`, the first where the tail [is asked](Self::is_at), takes over this and all that is behind it, if the
    /// tail has come here; if not, the segment is not the tail's any more.
    #[cold]
    pub(super) fn meet(&mut self, lsn: Lsn, found: &mut Found, offsets: &mut BTreeMap<String, u64>) -> bool {
        let Some(tail) = &self.tail else { return false };
        // A segment may hold no record at all: then the first behind it is in the next one.
        while self.is_at(lsn) {
            match tail.meet(found.len()) {
                Next::Scan(until) => self.until = until,
                Next::Rest(parts) => {
                    // The last segment is the first.
                    for part in parts.into_iter().rev() {
                        found.append(part.pieces);
                        offsets.extend(part.offsets);
                    }
                    return true;
                }
            }
        }
        false
    }
}

impl Drop for Front {
    /// Nobody will ask for what the tail finds.
    fn drop(&mut self) {
        if let Some(tail) = &self.tail {
            tail.progress.lock().is_over = true;
        }
    }
}

/// What follows for whoever has scanned everything before the tail.
#[derive(Debug)]
enum Next {
    /// To scan on, up to here.
    Scan(Lsn),
    /// Nothing: this is all the rest, its end first.
    Rest(Vec<Part>),
}

#[derive(Debug)]
pub(super) struct Tail {
    view: LogView,
    /// Records that are found at most, here and by whoever scans from the beginning together; what that one finds in a segment comes on top.
    most: usize,
    /// Where the segments begin, ascending, and where the last of them ends.
    bounds: Vec<Lsn>,
    progress: Mutex<Progress>,
}

/// Locked only to take a number or a piece in or out.
#[derive(Debug)]
struct Progress {
    /// Segments below this number are scanned from the beginning.
    front: usize,
    /// Segments from this number on are the tail's; but for one that it may be in all are scanned.
    back: usize,
    /// These, the last first.
    parts: Vec<Part>,
    /// Records in these, and in what was scanned from the beginning when it came to a segment last.
    found: usize,
    found_in_front: usize,
    is_over: bool,
}

impl Tail {
    /// The segments of the view that begin behind `cursor`; nothing if these are few.
    fn new(view: LogView, cursor: Lsn, most: usize) -> Option<Self> {
        let starts = view.segments().filter(|start| *start > cursor);
        let bounds: Vec<Lsn> = starts.chain([view.to()]).collect();
        let segments = bounds.len() - 1;
        let (parts, found, found_in_front, is_over) = (Vec::new(), 0, 0, false);
        let progress = Progress { front: 0, back: segments, parts, found, found_in_front, is_over };
        (segments >= FEWEST).then(|| Self { view, most, bounds, progress: Mutex::new(progress) })
    }

    fn bound(&self, number: usize) -> Lsn {
        self.bounds.get(number).copied().unwrap_or(NOWHERE)
    }

    fn segments(&self) -> usize {
        self.bounds.len() - 1
    }

    /// What follows for whoever has come to the end of what it was to scan, and has found so many records in all.
    fn meet(&self, found: usize) -> Next {
        let mut progress = self.progress.lock();
        progress.found_in_front = found;
        if found + progress.found > self.most {
            // The run ends at a commit that only who scans in order finds.
            progress.is_over = true;
            let parts = std::mem::take(&mut progress.parts);
            drop(progress);
            drop(parts);
            return Next::Scan(NOWHERE);
        }
        if progress.front == progress.back {
            if progress.parts.len() == self.segments() - progress.back {
                return Next::Rest(std::mem::take(&mut progress.parts));
            }
            progress.back += 1;
        }
        progress.front += 1;
        Next::Scan(self.bound(progress.front))
    }

    fn is_still_at(&self, number: usize) -> bool {
        let progress = self.progress.lock();
        progress.back == number && !progress.is_over
    }

    /// The segment that is the tail's next.
    fn claim(&self) -> Option<usize> {
        let mut progress = self.progress.lock();
        if progress.is_over || progress.front == progress.back {
            return None;
        }
        progress.back -= 1;
        Some(progress.back)
    }

    /// What a segment holds; nothing if that can't be told on its own, because source offsets are removed in it or many, or nobody wants it
    /// any more.
    fn scan(&self, number: usize) -> Result<Option<Part>> {
        let (mut found, mut offsets) = (Found::new(self.most, PIECE), BTreeMap::new());
        for (count, record) in self.view.records_from(self.bound(number))?.enumerate() {
            let record = record?;
            // It was read to verify that it follows.
            if record.lsn >= self.bound(number + 1) {
                break;
            }
            if count % RECORDS_AT_ONCE == RECORDS_AT_ONCE - 1 && !self.is_still_at(number) {
                return Ok(None);
            }
            let Some(commit) = found.take(&self.view, &record)? else { continue };
            if commit.is_removing || commit.apply(&mut offsets).is_none() || offsets.len() > MOST_SOURCES {
                return Ok(None);
            }
        }
        Ok(Some(Part { pieces: found.into_pieces(), offsets }))
    }

    /// Hands over a segment, or that it can't be; says whether to go on.
    fn hand_over(&self, number: usize, part: Option<Part>) -> bool {
        let found = part.as_ref().map_or(0, Part::found);
        let mut progress = self.progress.lock();
        let is_wanted = progress.back == number
            && !progress.is_over
            && progress.found_in_front + progress.found + found <= self.most;
        match part {
            Some(part) if is_wanted => {
                progress.found += found;
                progress.parts.push(part);
                true
            }
            part => {
                progress.is_over = true;
                drop(progress);
                drop(part);
                false
            }
        }
    }
}

impl Work for Tail {
    /// Scans the next segment from the end.
    fn next(&self) -> bool {
        self.claim().is_some_and(|number| self.hand_over(number, self.scan(number).ok().flatten()))
    }
}

#[cfg(test)]
mod tests {
    use laminar_vfs::Env;
    use laminar_vfs::sim::SimDisk;

    use super::super::RunLimits;
    use super::super::collect::Collector;
    use super::super::spare::Spare;
    use super::*;
    use crate::{StateStore, StoreOptions, WalStateStore};

    const LIMITS: RunLimits = RunLimits { log_bytes: u64::MAX, records: 1 << 20, part_bytes: u64::MAX };
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

    /// A log of many segments, in which keys come again, are deleted, and sources get offsets; with `removing`, they lose them too, but for the
    /// last third. Recovery has passed over what was never committed.
    fn log(removing: bool) -> WalStateStore {
        log_on(removing).1
    }

    fn log_on(removing: bool) -> (SimDisk, WalStateStore) {
        let disk = SimDisk::new(1);
        let options = || StoreOptions::new().env(disk.env()).segment_bytes(16 << 10).buffer_bytes(4 << 10);
        let mut rng = fastrand::Rng::with_seed(6);
        for round in 0..3 {
            // Twice what was never committed: the segment that the first recovery begins with stays without a record.
            for _ in 0..2 {
                let (mut store, _) = WalStateStore::open("/store", options()).unwrap();
                (0..400).for_each(|_| store.put(b"never committed", &[0; 100]).unwrap());
            }
            let (mut store, _) = WalStateStore::open("/store", options()).unwrap();
            for commit in 0..200u64 {
                for _ in 0..rng.usize(..40) {
                    let key = rng.u16(..3000).to_le_bytes().repeat(1 + rng.usize(..10));
                    let value = vec![7; rng.usize(..200)];
                    if rng.u8(..5) == 0 { store.delete(&key).unwrap() } else { store.put(&key, &value).unwrap() }
                }
                let source = rng.u8(..9).to_string();
                if removing && round < 2 && rng.u8(..30) == 0 {
                    store.remove_source_offset(&source).unwrap();
                } else {
                    store.set_source_offset(&source, round * 1000 + commit).unwrap();
                }
                store.commit().unwrap();
            }
            store.commit().unwrap().wait().unwrap();
            if round == 2 {
                return (disk, store);
            }
        }
        unreachable!("it returned in the last round")
    }

    type Collected = (Vec<(Vec<u8>, Option<Vec<u8>>)>, BTreeMap<String, u64>, Lsn);

    fn collector(store: &WalStateStore, limits: RunLimits) -> Collector {
        let cut = store.wal.durable_lsn();
        Collector::new(store.wal.view(Lsn::ZERO..cut).unwrap(), Lsn::ZERO, cut, limits)
    }

    /// What a collector comes to in small steps, while `between` is told of the tail, once there is one.
    fn collect(collector: Collector, between: impl FnMut(Option<&Arc<Tail>>)) -> Collected {
        collect_on(collector, BTreeMap::new(), between)
    }

    fn collect_on(
        mut collector: Collector,
        mut offsets: BTreeMap<String, u64>,
        mut between: impl FnMut(Option<&Arc<Tail>>),
    ) -> Collected {
        let mut tail = None;
        let end = loop {
            collector.scan(20, &mut offsets).unwrap();
            if let Some(end) = collector.end() {
                break end;
            }
            tail = tail.or(collector.split());
            between(tail.as_ref());
        };
        let mut pieces = collector.into_pieces();
        let sorted = pieces.next().unwrap().unwrap();
        assert!(pieces.next().unwrap().is_none());
        let owned = sorted.changes(0..sorted.len()).map(|change| {
            let change = change.unwrap();
            (change.key.to_vec(), change.value.map(<[u8]>::to_vec))
        });
        (owned.collect(), offsets, end)
    }

    #[test]
    fn the_same_is_collected_wherever_the_two_meet() {
        for removing in [false, true] {
            let store = log(removing);
            let expected = collect(collector(&store, LIMITS), |_| {});
            assert!(expected.0.len() > 1000 && expected.1.len() > 4);
            let mut rng = fastrand::Rng::with_seed(7);
            for most in [1, 2, 20, 200] {
                let (mut scanned, mut is_over) = (0, false);
                let found = collect(collector(&store, LIMITS), |tail| {
                    let steps = if rng.usize(..20) == 0 { rng.usize(..=most) } else { 0 };
                    scanned += tail.map_or(0, |tail| (0..steps).filter(|_| tail.next()).count());
                    is_over |= tail.is_some_and(|tail| tail.progress.lock().is_over);
                });
                assert!(found == expected, "at most {most} at a time");
                assert!(scanned > 0, "at most {most} at a time");
                assert!(most < 200 || is_over == removing, "it stops where a source is removed");
            }
        }
    }

    #[test]
    fn they_meet_at_every_segment_also_at_one_without_a_record() {
        let store = log(false);
        let view = store.wal.view(Lsn::ZERO..store.wal.durable_lsn()).unwrap();
        let starts: Vec<Lsn> = view.segments().collect();
        let first_from = |start: Lsn| view.records_from(start).unwrap().next().map(|record| record.unwrap().lsn);
        let empty =
            starts.iter().zip(starts.iter().skip(1)).filter(|(start, next)| first_from(**start) >= Some(**next));
        assert!(empty.count() >= 2, "the recoveries have left some");
        let expected = collect(collector(&store, LIMITS), |_| {});
        for steps in 0..=starts.len() {
            let mut left = steps;
            let found = collect(collector(&store, LIMITS), |tail| {
                let scanned = tail.map_or(0, |tail| (0..left).filter(|_| tail.next()).count());
                left -= scanned.min(left);
            });
            assert!(found == expected, "the tail scanned {steps} segments");
        }
    }

    #[test]
    fn damage_is_told_as_if_there_were_no_tail() {
        let (disk, store) = log_on(false);
        let view = store.wal.view(Lsn::ZERO..store.wal.durable_lsn()).unwrap();
        let starts: Vec<Lsn> = view.segments().collect();
        let (start, next) = (starts[starts.len() - 4], starts[starts.len() - 3]);
        let records = view.records_from(start).unwrap().map(|record| record.unwrap());
        let records = records.take_while(|record| record.lsn < next);
        let ends: Vec<u64> = records.map(|record| record.end.get() - start.get()).collect();
        let name = format!("{:020}.wal", start.get());
        let path = format!("/store/wal/{name}");
        // The header of the first group, a record, the mark behind the last group.
        for byte in [4096 + 1, ends[ends.len() / 2] - 1, *ends.last().unwrap()] {
            let bit = byte * 8;
            disk.flip_bit(&path, bit).unwrap();
            let outcome = |steps: usize| {
                let (mut collector, mut offsets) = (collector(&store, LIMITS), BTreeMap::new());
                loop {
                    if let Err(error) = collector.scan(20, &mut offsets) {
                        return error.to_string();
                    }
                    assert_eq!(collector.end(), None, "damage was passed over");
                    if let Some(tail) = collector.split() {
                        assert!((0..steps).filter(|_| tail.next()).count() <= 3, "it has scanned what is damaged");
                    }
                }
            };
            let expected = outcome(0);
            assert!(expected.contains(&name), "{expected}");
            (1..8).for_each(|steps| assert_eq!(outcome(steps), expected));
            disk.flip_bit(&path, bit).unwrap();
        }
    }

    #[test]
    fn nobody_waits_for_a_segment_that_the_tail_is_in() {
        let store = log(false);
        let expected = collect(collector(&store, LIMITS), |_| {});
        for before in [0, 3, 30] {
            let mut late = None;
            let mut the_tail = None;
            let found = collect(collector(&store, LIMITS), |tail| {
                if let Some(tail) = tail.filter(|_| late.is_none()) {
                    (0..before).for_each(|_| assert!(tail.next()));
                    late = tail.claim();
                    the_tail = Some(Arc::clone(tail));
                }
            });
            assert_eq!(found, expected);
            let (tail, late) = (the_tail.unwrap(), late.unwrap());
            let part = tail.scan(late).unwrap();
            assert!(part.is_some() && !tail.hand_over(late, part), "it comes too late");
            assert!(tail.progress.lock().parts.is_empty() && !tail.next());
        }
    }

    #[test]
    fn a_limit_of_records_holds_for_both_together() {
        let store = log(false);
        for records in [500, 2000, 8000] {
            let limits = RunLimits { records, ..LIMITS };
            let expected = collect(collector(&store, limits), |_| {});
            // As if the records had been expected to be fewer.
            let (mut collector, mut offsets) = (collector(&store, limits), BTreeMap::new());
            collector.scan(20, &mut offsets).unwrap();
            let cursor = collector.cursor();
            let view = store.wal.view(Lsn::ZERO..store.wal.durable_lsn()).unwrap();
            let tail = collector.front.split(&view, cursor, records).unwrap();
            while tail.next() {}
            let held = {
                let progress = tail.progress.lock();
                progress.found + progress.found_in_front
            };
            assert!(held <= records && !tail.next());
            assert_eq!(collect_on(collector, offsets, |_| {}), expected, "at most {records} records");
        }
    }

    #[test]
    fn a_short_log_is_not_split() {
        let store = log(false);
        let cut = store.wal.durable_lsn();
        let view = store.wal.view(Lsn::ZERO..cut).unwrap();
        let starts: Vec<Lsn> = view.segments().collect();
        let behind = |left: usize| Front::default().split(&view, starts[starts.len() - left - 1], 1 << 20).is_some();
        assert!(behind(FEWEST) && !behind(FEWEST - 1));
        // Nor one that becomes several runs.
        for limits in [RunLimits { log_bytes: cut.get(), ..LIMITS }, RunLimits { records: 20, ..LIMITS }] {
            collect(collector(&store, limits), |tail| assert!(tail.is_none()));
        }
    }

    #[test]
    fn a_thread_scans_from_the_end() {
        let store = log(false);
        let expected = collect(collector(&store, LIMITS), |_| {});
        let Env { clock, spawn, .. } = Env::real();
        let mut spare = Spare::default();
        let mut is_begun = false;
        let found = collect(collector(&store, LIMITS), |tail| {
            let Some(tail) = tail else { return };
            if !is_begun {
                spare.begin(&*spawn, Arc::clone(tail) as Arc<dyn Work>);
                is_begun = true;
            }
            // With the lowest priority it may take its time, but nothing else is to be done here.
            let begun = clock.now();
            while tail.progress.lock().parts.len() < 3 && clock.now() - begun < PATIENCE {
                std::thread::yield_now();
            }
            assert!(tail.progress.lock().parts.len() >= 3);
        });
        assert_eq!(found, expected);
    }
}
