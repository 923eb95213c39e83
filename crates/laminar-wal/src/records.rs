//! Reading records in order, across segments and past what recovery cut.

use std::fmt;

use laminar_vfs::{OpenMode, VfsFile};

use crate::format::{FRAMING, GROUP_HEADER, GroupKind};
use crate::log::Log;
use crate::scan::{Bad, Bytes, Item, Walk, Window};
use crate::segment::Segment;
use crate::sync::{Arc, Ordering};
use crate::{Error, Lsn, Result, name};

/// One record, borrowed from its reader or its view.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Its position.
    pub lsn: Lsn,
    /// The position just past it.
    pub end: Lsn,
    /// What was appended, byte for byte.
    pub payload: &'a [u8],
    /// Whether the next record belongs to the same batch.
    pub more: bool,
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lsn, end, payload, more } = self;
        write!(f, "Record({lsn}..{end}, {} bytes, more: {more})", payload.len())
    }
}

/// Where a record stands in the current segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) lsn: u64,
    /// Offset of its payload in the file.
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) more: bool,
}

impl Spot {
    pub(crate) fn record<'a>(&self, payload: &'a [u8]) -> Record<'a> {
        let end = self.lsn + (FRAMING + self.len) as u64;
        Record { lsn: Lsn::new(self.lsn), end: Lsn::new(end), payload, more: self.more }
    }
}

/// What a step along the log came to.
#[derive(Debug)]
pub(crate) enum Stop {
    Record(Spot),
    /// The limit.
    End,
    /// The segment that starts here is next; the walk that leads into it.
    Enter(u64, Option<(u64, u64)>),
}

/// A walk through segments, one after the other; opening them is the caller's.
#[derive(Debug)]
pub(crate) struct Trail {
    pub(crate) walk: Walk,
    /// The next place where records are passed over, and where they go on.
    cut: Option<(u64, u64)>,
}

impl Trail {
    /// At the start of a segment. `chain`: what its first group must say of the end of the last group and batch.
    pub(crate) fn new(segment: Segment, cut: Option<(u64, u64)>, chain: Option<(u64, u64)>) -> Self {
        Self { walk: Walk::new(segment, chain.map(|chain| chain.0), chain.map(|chain| chain.1)), cut }
    }

    fn position(&self) -> u64 {
        self.walk.frame_position()
    }

    /// The next record that starts before `limit`.
    #[inline]
    pub(crate) fn advance(
        &mut self,
        bytes: &mut impl Bytes,
        limit: u64,
        damaged: &dyn Fn(Bad) -> Error,
    ) -> Result<Stop> {
        loop {
            let position = self.position();
            if let Some((_, target)) = self.cut.filter(|cut| cut.0 <= position) {
                return Ok(if limit <= target { Stop::End } else { Stop::Enter(target, None) });
            }
            if position >= limit {
                return Ok(Stop::End);
            }
            match self.walk.step(bytes)? {
                Item::Frame { offset, len, more } => {
                    let spot = Spot { lsn: position, offset: offset + FRAMING as u64, len, more };
                    return Ok(Stop::Record(spot));
                }
                Item::Group(header) if header.kind == GroupKind::Seal => {
                    let seal_end = self.walk.next_position() + GROUP_HEADER as u64;
                    return Ok(Stop::Enter(header.successor, Some((seal_end, header.batch_end))));
                }
                Item::Group(_) => {}
                Item::Absent => {
                    let offset = self.walk.segment.offset(self.walk.next_position());
                    return Err(damaged(Bad {
                        offset,
                        reason: "records that were written are not there",
                        torn: true,
                        proven_by: 0,
                    }));
                }
                Item::Bad(bad) => return Err(damaged(bad)),
            }
        }
    }

    /// Goes to the first record at or past `from`. `false`: `from` is inside a record.
    pub(crate) fn seek(
        &mut self,
        bytes: &mut impl Bytes,
        from: u64,
        limit: u64,
        damaged: &dyn Fn(Bad) -> Error,
    ) -> Result<bool> {
        while self.walk.next_position() < from.min(limit) && self.walk.position() < limit {
            match self.walk.step(bytes)? {
                Item::Group(header) if header.kind == GroupKind::Seal => return Ok(true),
                Item::Group(_) if self.walk.position() <= from => self.walk.skip_group(),
                Item::Group(_) => break,
                Item::Frame { .. } => {}
                Item::Absent => return Ok(true),
                Item::Bad(bad) => return Err(damaged(bad)),
            }
        }
        while self.position() < from && self.position() < self.walk.position() {
            match self.walk.step(bytes)? {
                Item::Bad(bad) => return Err(damaged(bad)),
                _ if self.position() > from => return Ok(false),
                _ => {}
            }
        }
        Ok(true)
    }
}

/// Reads records from the files of a log.
pub(crate) struct Reader {
    log: Arc<Log>,
    window: Window,
    trail: Trail,
}

impl Reader {
    /// A reader whose next record is the first at or past `from`; nothing past `limit` is looked at.
    pub(crate) fn new(log: Arc<Log>, from: Lsn, limit: u64) -> Result<Self> {
        let start = log.start_lsn();
        // All that was handed over may have been truncated: then nothing is read, from the start on.
        let end = Lsn::new(limit).max(start);
        let misplaced = Error::BadPosition { lsn: from, start, end };
        if from < start || from > end {
            return Err(misplaced);
        }
        let segment = match log.segment_at(from.get()) {
            Some(segment) => segment,
            None => log.segments.lock().first().copied().ok_or_else(|| misplaced.clone())?,
        };
        log.check_link(&segment)?;
        let file = open_segment(&log, &segment, from)?;
        let cut = log.cut_after(segment.first()).map(|(from, to)| (from, to.first()));
        let window = Window::new(file, in_segment(&log, &segment, limit));
        let mut reader = Self { trail: Trail::new(segment, cut, None), window, log };
        let Self { log, window, trail } = &mut reader;
        let corrupt = |bad: Bad| bad.error(&log.dir.path, &segment, limit.min(segment.end()));
        if trail.seek(window, from.get(), limit, &corrupt)? { Ok(reader) } else { Err(misplaced) }
    }

    /// The next record that starts before `limit`.
    #[inline]
    pub(crate) fn advance(&mut self, limit: u64) -> Result<Option<Spot>> {
        loop {
            let Self { log, window, trail } = self;
            let segment = trail.walk.segment;
            let corrupt = |bad: Bad| bad.error(&log.dir.path, &segment, limit.min(segment.end()));
            let stop = trail.advance(window, limit, &corrupt).map_err(|found| log.unless_ended(found))?;
            match stop {
                Stop::Record(spot) => return Ok(Some(spot)),
                Stop::End => return Ok(None),
                Stop::Enter(first, chain) => {
                    self.enter(first, chain, limit).map_err(|found| self.log.unless_ended(found))?;
                }
            }
        }
    }

    pub(crate) fn extend(&mut self, limit: u64) {
        self.window.extend(in_segment(&self.log, &self.trail.walk.segment, limit));
    }

    fn enter(&mut self, first: u64, chain: Option<(u64, u64)>, limit: u64) -> Result<()> {
        let lsn = Lsn::new(first);
        let segment = self.log.segment_at(first).filter(|segment| segment.first() == first);
        let segment = segment.ok_or_else(|| truncated(&self.log, lsn))?;
        self.log.check_link(&segment)?;
        let file = open_segment(&self.log, &segment, lsn)?;
        let cut = self.log.cut_after(first).map(|(from, to)| (from, to.first()));
        self.window.move_to(file, in_segment(&self.log, &segment, limit));
        self.trail = Trail::new(segment, cut, chain);
        Ok(())
    }

    #[inline]
    pub(crate) fn record(&mut self, spot: Spot) -> Result<Record<'_>> {
        Ok(spot.record(self.window.at(spot.offset, spot.len)?))
    }
}

/// The file of a segment, to be read from `lsn` on.
fn open_segment(log: &Log, segment: &Segment, lsn: Lsn) -> Result<Arc<dyn VfsFile>> {
    match log.dir.vfs().open(&name::segment(&log.dir.path, segment.first()), OpenMode::Read) {
        Err(error) if error.is_not_found() && log.start_lsn().get() > segment.first() => Err(truncated(log, lsn)),
        opened => Ok(opened?),
    }
}

/// The error for a position that a truncation has overtaken.
fn truncated(log: &Log, lsn: Lsn) -> Error {
    let end = Lsn::new(log.written.load(Ordering::Acquire));
    Error::BadPosition { lsn, start: log.start_lsn(), end }
}

/// How far the file of `segment` may be read: one that was left has all its bytes, of the last one only those up to
/// `limit` are known to be written.
fn in_segment(log: &Log, segment: &Segment, limit: u64) -> u64 {
    if log.segments.lock().last().is_some_and(|last| last.first() > segment.first()) {
        return segment.header.length;
    }
    limit.saturating_sub(segment.first()).min(segment.header.length)
}

/// The records of a log in order, from [`Wal::replay`](crate::Wal::replay).
///
/// A record is borrowed until the next call: `while let Some(record) = records.next()?`. Reads about 1 MiB at a time;
/// nothing is allocated per record. What was truncated away meanwhile ends it with
/// [`BadPosition`](crate::Error::BadPosition).
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// use laminar_wal::{Wal, WalOptions};
/// let (wal, _) = Wal::open(scratch.path(), WalOptions::new())?;
/// wal.append(b"one")?;
/// wal.append(b"two")?;
/// wal.commit()?;
/// let mut records = wal.replay(wal.start_lsn())?;
/// let mut seen = Vec::new();
/// while let Some(record) = records.next()? {
///     seen.push(record.payload.to_vec());
/// }
/// assert_eq!(seen, [b"one", b"two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Records {
    reader: Reader,
    limit: u64,
}

impl Records {
    pub(crate) fn new(log: Arc<Log>, from: Lsn) -> Result<Self> {
        let limit = log.written.load(Ordering::Acquire);
        Ok(Self { reader: Reader::new(log, from, limit)?, limit })
    }

    /// The next record, or `None` at what was the end when the replay was started.
    ///
    /// # Errors
    /// `Corrupt` where what stands on disk is not what was written; `BadPosition` where it was truncated meanwhile;
    /// `Closed` where the log has ended since, and its next owner has truncated it or written it anew; `Io`.
    #[expect(clippy::should_implement_trait, reason = "a record borrows from the reader, which no iterator's item can")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        match self.reader.advance(self.limit)? {
            Some(spot) => self.reader.record(spot).map(Some),
            None => Ok(None),
        }
    }

    /// Where the replay ends: the end of the last record that was committed when it was started.
    #[must_use]
    pub fn end(&self) -> Lsn {
        Lsn::new(self.limit)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("at", &self.reader.trail.position()).field("end", &self.limit).finish()
    }
}
