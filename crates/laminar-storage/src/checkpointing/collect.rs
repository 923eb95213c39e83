//! What a stretch of the log changed: the newest record of each key, in the order of the keys.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use laminar_wal::{LogView, Lsn};

use super::RunLimits;
use super::found::{Found, PIECE};
use super::order::Slot;
use super::pieces::{BUCKET, Pieces};
use super::tail::{Front, Tail};
use crate::format::Record;
use crate::{Error, Result};

/// So many records are fetched at once ahead of those that are read: as many as a processor can wait for together.
const LOOK_AHEAD: usize = 32;

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
    /// The view has no record behind the cursor. Where it ends is no position to go on from: that may be within what recovery cut.
    is_exhausted: bool,
    cut: Lsn,
    pub(super) found: Found,
    pub(super) front: Front,
    /// Where the run ends, once that is known: always just past a commit.
    end: Option<Lsn>,
}

impl Collector {
    /// Collects from `from`, at most up to `cut`, both of which lie just past a commit. `view` covers a stretch from `from` on: where it
    /// turns out to end before the run does, it [`wants_more`](Self::wants_more).
    pub(crate) fn new(view: LogView, from: Lsn, cut: Lsn, limits: RunLimits) -> Self {
        let found = Found::new(limits.records, PIECE);
        let front = Front::default();
        Self { view, limits, from, cursor: from, is_exhausted: false, cut, found, front, end: None }
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

    /// Whether the view was scanned to its end and the run goes on behind it: a commit is never split.
    pub(crate) fn wants_more(&self) -> bool {
        let is_scanned = self.is_exhausted || self.cursor >= self.view.to();
        self.end.is_none() && self.view.to() < self.cut && is_scanned
    }

    /// How many bytes of log from the run's beginning the view covers, or the scan has come to: the last record may begin in the view and
    /// end far behind it.
    pub(crate) fn reach(&self) -> u64 {
        self.view.to().max(self.cursor).get() - self.from.get()
    }

    /// Goes on in `view`, which covers what the one before did and more.
    pub(crate) fn lengthen(&mut self, view: LogView) {
        self.view = view;
        self.is_exhausted = false;
    }

    /// Leaves what is still far away to somebody else, if that is much and all of it belongs to the run, as far as can be told from what was
    /// scanned. Once at most.
    pub(super) fn split(&mut self) -> Option<Arc<Tail>> {
        let (scanned, all) = (self.cursor.get() - self.from.get(), self.cut.get() - self.from.get());
        let expected = self.found.len() as u128 * u128::from(all) / u128::from(scanned.max(1));
        let is_one_run = all < self.limits.log_bytes && expected < self.limits.records as u128;
        if self.end.is_some() || self.view.to() < self.cut || !is_one_run {
            return None;
        }
        self.front.split(&self.view, self.cursor, self.limits.records)
    }

    /// Scans up to `records` records further; adds the source offsets of the commits it passes.
    pub(crate) fn scan(&mut self, records: usize, offsets: &mut BTreeMap<String, u64>) -> Result<()> {
        let mut log = self.view.records_from(self.cursor)?;
        for _ in 0..records {
            let Some(record) = log.next().transpose()? else {
                self.is_exhausted = true;
                self.end = (self.view.to() >= self.cut).then_some(self.cut);
                return Ok(());
            };
            // It is known to follow what was scanned: that is verified as it is read.
            if self.front.is_at(record.lsn) && self.front.meet(record.lsn, &mut self.found, offsets) {
                (self.cursor, self.end) = (self.cut, Some(self.cut));
                return Ok(());
            }
            self.cursor = record.end;
            if let Some(commit) = self.found.take(&self.view, &record)? {
                commit.apply(offsets).ok_or_else(|| not_ours(&self.view, record.lsn))?;
                let log_bytes = record.end.get() - self.from.get();
                if log_bytes >= self.limits.log_bytes || self.found.len() >= self.limits.records {
                    self.end = Some(record.end);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What was found.
    pub(super) fn into_pieces(self) -> Pieces {
        Pieces::new(self.view, self.found.into_pieces(), BUCKET)
    }
}

/// What a stretch of a run will hold: the newest change of each key, still in the log.
#[derive(Debug)]
pub(crate) struct Sorted {
    view: LogView,
    slots: Vec<Slot>,
}

impl Sorted {
    /// Of slots in the order of their keys, one a key.
    pub(super) fn new(view: LogView, slots: Vec<Slot>) -> Self {
        Self { view, slots }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The changes at these places, in the order of their keys.
    pub(crate) fn changes(&self, range: Range<usize>) -> impl Iterator<Item = Result<Change<'_>>> {
        let slots = self.slots.get(range).unwrap_or_default();
        self.view.prefetch(slots.iter().take(LOOK_AHEAD).map(|slot| Lsn::new(slot.lsn)));
        slots.iter().enumerate().map(|(index, slot)| {
            prefetch(&self.view, slots, index);
            change_at(&self.view, slot.lsn)
        })
    }
}

/// Fetches what will be read soon by someone who reads the records of `slots` in turn: they lie all over the log.
pub(super) fn prefetch(view: &LogView, slots: &[Slot], index: usize) {
    if index.is_multiple_of(LOOK_AHEAD) {
        let soon = slots.iter().skip(index + LOOK_AHEAD).take(LOOK_AHEAD);
        view.prefetch(soon.map(|slot| Lsn::new(slot.lsn)));
    }
}

pub(super) fn change_at(view: &LogView, lsn: u64) -> Result<Change<'_>> {
    let lsn = Lsn::new(lsn);
    match Record::decode(view.record_at(lsn)?) {
        Some(Record::Put { key, value }) => Ok(Change { key, value: Some(value) }),
        Some(Record::Delete { key }) => Ok(Change { key, value: None }),
        _ => Err(not_ours(view, lsn)),
    }
}

pub(super) fn not_ours(view: &LogView, lsn: Lsn) -> Error {
    Error::Corrupt {
        path: view.dir().to_owned(),
        offset: lsn.get(),
        reason: "a record of the log is none of a store's",
    }
}
