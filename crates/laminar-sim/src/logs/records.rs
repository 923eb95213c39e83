//! What a log was given, and what of it must be there.

use laminar_wal::{Lsn, Wal};

use crate::Violation;

/// A record that was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Appended {
    pub(super) lsn: Lsn,
    pub(super) payload: Vec<u8>,
    /// Whether its batch goes on.
    pub(super) more: bool,
}

impl Appended {
    /// The position just past it.
    fn end(&self) -> Lsn {
        Lsn::new(self.lsn.get() + 8 + self.payload.len() as u64)
    }
}

/// How many records, counted from the first that was ever appended, must survive a power cut, and the death of the process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floor {
    pub(super) durable: usize,
    pub(super) committed: usize,
}

/// Every record of a log, those that were truncated too.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    all: Vec<Appended>,
    pub(super) floor: Floor,
    /// The log may begin at any position up to here.
    truncated: Lsn,
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn push(&mut self, lsn: Lsn, payload: Vec<u8>, more: bool) -> Lsn {
        let record = Appended { lsn, payload, more };
        let end = record.end();
        self.all.push(record);
        end
    }

    /// Where the record stands that is `part` 256ths into the log.
    pub(super) fn part(&self, part: u8) -> Option<Lsn> {
        Some(self.all.get(self.all.len() * usize::from(part) / 256)?.lsn)
    }

    pub(super) fn may_truncate(&mut self, below: Lsn) {
        self.truncated = self.truncated.max(below);
    }

    /// What the log itself says is handed over and durable counts as acknowledged.
    pub(super) fn note(&mut self, wal: &Wal) {
        let below = |end: Lsn| self.all.partition_point(|record| record.lsn < end);
        let (durable, committed) = (below(wal.durable_lsn()), below(wal.written_lsn()));
        let Floor { durable: known, committed: handed } = self.floor;
        self.floor = Floor { durable: durable.max(known), committed: committed.max(handed) };
    }

    /// The floor in whole batches, which is what recovery keeps.
    pub(super) fn whole_floor(&self) -> Floor {
        let whole = |count: usize| self.all[..count].iter().rposition(|record| !record.more).map_or(0, |at| at + 1);
        Floor { durable: whole(self.floor.durable), committed: whole(self.floor.committed) }
    }

    /// From here on the first `count` are all there is, and all of it durable.
    pub(super) fn recover(&mut self, count: usize) {
        self.all.truncate(count);
        self.floor = Floor { durable: count, committed: count };
    }

    /// Holds a log that was just opened against this: the first of its records, in whole batches, at least so many. Returns how many.
    pub(super) fn compare(&self, wal: &Wal, least: usize) -> Result<usize, Violation> {
        let count = self.replay(wal)?;
        if count < least {
            return Err(Violation::new(format!("silent loss: {count} records where {least} were acknowledged")));
        }
        let start = wal.start_lsn();
        let last = self.all[..count].last().filter(|last| last.lsn >= start);
        if last.is_some_and(|last| last.more) {
            return Err(Violation::new(format!("half a batch, {count} records")));
        }
        let end = last.map_or(wal.end_lsn(), Appended::end);
        if wal.end_lsn() != end || wal.durable_lsn() != end {
            let (says, durable) = (wal.end_lsn(), wal.durable_lsn());
            return Err(Violation::new(format!("the log ends at {says}, durable to {durable}, its records at {end}")));
        }
        Ok(count)
    }

    /// Reads what was handed over; says how many records from the first that was ever appended.
    pub(super) fn replay(&self, wal: &Wal) -> Result<usize, Violation> {
        let start = wal.start_lsn();
        if start > self.truncated {
            return Err(Violation::new(format!("the log begins at {start}, truncated was to {}", self.truncated)));
        }
        let mut count = self.all.partition_point(|record| record.lsn < start);
        let failed = |error: laminar_wal::Error| Violation::new(format!("reading failed: {error}"));
        let mut records = wal.replay(start).map_err(failed)?;
        while let Some(record) = records.next().map_err(failed)? {
            self.compare_one(count, &record)?;
            count += 1;
        }
        Ok(count)
    }

    /// The same by a view of what is durable.
    pub(super) fn view(&self, wal: &Wal) -> Result<(), Violation> {
        let (start, end) = (wal.start_lsn(), wal.durable_lsn());
        if end < start {
            // All that is durable was truncated.
            return Ok(());
        }
        let failed = |error: laminar_wal::Error| Violation::new(format!("viewing failed: {error}"));
        let view = wal.view(start..end).map_err(failed)?;
        let mut at = self.all.partition_point(|record| record.lsn < start);
        for record in view.records().map_err(failed)? {
            let record = record.map_err(failed)?;
            self.compare_one(at, &record)?;
            if view.record_at(record.lsn).map_err(failed)? != record.payload {
                return Err(Violation::new(format!("record {at} is another one by its position")));
            }
            at += 1;
        }
        let expected = self.all.partition_point(|record| record.lsn < end);
        if at == expected { Ok(()) } else { Err(Violation::new(format!("a view of {at} records, not {expected}"))) }
    }

    fn compare_one(&self, at: usize, record: &laminar_wal::Record<'_>) -> Result<(), Violation> {
        let Some(expected) = self.all.get(at) else {
            return Err(Violation::new(format!("a record that nobody wrote, or that was gone: {record:?}")));
        };
        let same = record.lsn == expected.lsn && record.more == expected.more && record.end == expected.end();
        if !same || record.payload != expected.payload {
            let Appended { lsn, payload, more } = expected;
            let what = format!("wrong data: {record:?} instead of {} bytes at {lsn}, more: {more}", payload.len());
            return Err(Violation::new(what));
        }
        Ok(())
    }
}
