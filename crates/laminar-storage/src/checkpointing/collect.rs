//! What a stretch of the log changed: the newest record of each key, in the order of the keys. Keeps a key's first 16 bytes and
//! the record's position, 24 bytes a record; everything else stays in the log.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use laminar_vfs::planted;
use laminar_wal::{LogView, Lsn};

use super::RunLimits;
use crate::format::Record;
use crate::{Error, Result};

/// A record by the head of its key.
#[derive(Clone, Copy)]
struct Slot {
    head: [u64; 2],
    lsn: u64,
}

const _: () = assert!(size_of::<Slot>() == 24, "the memory of a checkpoint is promised by the record");

/// A change, read from the log.
pub(crate) struct Change<'a> {
    pub(crate) key: &'a [u8],
    /// `None` for a delete.
    pub(crate) value: Option<&'a [u8]>,
}

/// One run's worth of log.
pub(crate) struct Collector {
    view: LogView,
    limits: RunLimits,
    from: Lsn,
    /// Everything before it was scanned.
    cursor: Lsn,
    cut: Lsn,
    slots: Vec<Slot>,
    /// Where the run ends, once that is known: always just past a commit.
    end: Option<Lsn>,
}

impl Collector {
    /// Collects from `from`, at most up to `cut`; `view` covers both, and both lie just past a commit.
    pub(crate) fn new(view: LogView, from: Lsn, cut: Lsn, limits: RunLimits) -> Self {
        Self { view, limits, from, cursor: from, cut, slots: Vec::new(), end: None }
    }

    /// The position that the scan has reached.
    pub(crate) fn cursor(&self) -> Lsn {
        self.cursor
    }

    /// Where the run begins.
    pub(crate) fn from(&self) -> Lsn {
        self.from
    }

    /// Where the run ends, once it is scanned.
    pub(crate) fn end(&self) -> Option<Lsn> {
        self.end
    }

    /// Scans up to `records` records further; adds the source offsets of the commits it passes.
    pub(crate) fn scan(&mut self, records: usize, offsets: &mut BTreeMap<String, u64>) -> Result<()> {
        let mut log = self.view.records_from(self.cursor)?;
        for _ in 0..records {
            let Some(record) = log.next().transpose()? else {
                self.end = Some(self.cut);
                return Ok(());
            };
            self.cursor = record.end;
            match Record::decode(record.payload) {
                Some(Record::Put { key, .. } | Record::Delete { key }) => {
                    self.slots.push(Slot { head: head(key), lsn: record.lsn.get() });
                }
                Some(Record::Commit(commit)) => {
                    commit.apply(offsets).ok_or_else(|| not_ours(&self.view, record.lsn))?;
                    let log_bytes = record.end.get() - self.from.get();
                    if log_bytes >= self.limits.log_bytes || self.slots.len() >= self.limits.records {
                        self.end = Some(record.end);
                        return Ok(());
                    }
                }
                None => return Err(not_ours(&self.view, record.lsn)),
            }
        }
        Ok(())
    }

    /// Sorts what was scanned, keeps the newest record of each key, and returns how many there are.
    pub(crate) fn sort(&mut self) -> Result<usize> {
        // A comparison can't fail, so the first error is kept beside the sort and returned after it. A record that can't be read
        // has no key and sorts before those that have one: an order all the same, as sorting demands.
        let mut failed = None;
        let view = &self.view;
        let mut key = |slot: &Slot| match change_at(view, slot.lsn) {
            Ok(change) => Some(change.key),
            Err(error) => {
                failed.get_or_insert(error);
                None
            }
        };
        self.slots.sort_unstable_by(|a, b| {
            a.head.cmp(&b.head).then_with(|| key(a).cmp(&key(b)).then(newest_first(a.lsn, b.lsn)))
        });
        // The newest of a key comes first, so it is the one kept.
        self.slots.dedup_by(|later, kept| later.head == kept.head && key(later) == key(kept));
        match failed {
            Some(error) => Err(error),
            None => Ok(self.slots.len()),
        }
    }

    /// Fetches sorted changes that will be asked for soon: they lie all over the log.
    pub(crate) fn prefetch(&self, indices: Range<usize>) {
        let end = indices.end.min(self.slots.len());
        let slots = self.slots.get(indices.start.min(end)..end).unwrap_or_default();
        self.view.prefetch(slots.iter().map(|slot| Lsn::new(slot.lsn)));
    }

    /// The change at `index` of the sorted ones.
    pub(crate) fn change(&self, index: usize) -> Result<Option<Change<'_>>> {
        self.slots.get(index).map(|slot| change_at(&self.view, slot.lsn)).transpose()
    }
}

/// The first 16 bytes of a key, so that their order as numbers is the order of the bytes: the first byte counts most.
fn head(key: &[u8]) -> [u64; 2] {
    let number = |bytes: &[u8]| (0..8).fold(0, |sum, at| sum << 8 | u64::from(bytes.get(at).copied().unwrap_or(0)));
    [number(key), number(key.get(8..).unwrap_or_default())]
}

fn newest_first(a: u64, b: u64) -> Ordering {
    if planted("checkpoint-keeps-oldest") { a.cmp(&b) } else { b.cmp(&a) }
}

fn change_at(view: &LogView, lsn: u64) -> Result<Change<'_>> {
    let lsn = Lsn::new(lsn);
    match Record::decode(view.record_at(lsn)?) {
        Some(Record::Put { key, value }) => Ok(Change { key, value: Some(value) }),
        Some(Record::Delete { key }) => Ok(Change { key, value: None }),
        _ => Err(not_ours(view, lsn)),
    }
}

fn not_ours(view: &LogView, lsn: Lsn) -> Error {
    Error::Corrupt {
        path: view.dir().to_owned(),
        offset: lsn.get(),
        reason: "a record of the log is none of a store's",
    }
}
