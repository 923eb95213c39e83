//! A stretch of durable log in memory: random access and sequential scan over the same bytes.

use std::fmt;
use std::ops::Range;

use laminar_vfs::{OpenMode, ReadMode, Region};

use crate::format::{FRAMING, frame_verifies, frame_word, in_memory};
use crate::log::Log;
use crate::records::{Record, Stop, Trail};
use crate::scan::{Bad, Mapped};
use crate::segment::Segment;
use crate::sync::{Arc, Ordering};
use crate::{Error, Lsn, Result, name};

/// Durable records of a log in memory, from [`Wal::view`](crate::Wal::view).
///
/// Segments are mapped, the one being written up to what is durable. A view is independent of the log: it stays
/// whole when the log is truncated or closed, and costs address space, not memory. A mapped page
/// that can't be read kills the process.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// use laminar_wal::{Wal, WalOptions};
/// let (wal, _) = Wal::open(scratch.path(), WalOptions::new())?;
/// let lsn = wal.append(b"a record")?;
/// let end = wal.sync()?;
/// let view = wal.view(wal.start_lsn()..end)?;
/// assert_eq!(view.record_at(lsn)?, b"a record");
/// assert_eq!(view.records()?.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LogView {
    shared: Arc<Shared>,
}

struct Shared {
    from: u64,
    to: u64,
    dir: std::path::PathBuf,
    parts: Vec<Part>,
}

struct Part {
    segment: Segment,
    bytes: Region,
    /// Where records are passed over next, and the segment where they go on.
    cut: Option<(u64, u64)>,
}

impl Part {
    fn corrupt(&self, shared: &Shared, bad: Bad) -> Error {
        bad.error(&shared.dir, &self.segment, shared.to.min(self.segment.end()))
    }
}

impl Shared {
    /// The part that begins at a position.
    fn part_from(&self, first: u64) -> Option<&Part> {
        let at = self.parts.binary_search_by_key(&first, |part| part.segment.first()).ok()?;
        self.parts.get(at)
    }

    /// The part that holds a position, and the offset in its file.
    #[inline]
    fn place(&self, position: u64) -> Option<(&Part, u64)> {
        let after = self.parts.partition_point(|part| part.segment.first() <= position);
        let part = self.parts.get(after.checked_sub(1)?)?;
        Some((part, part.segment.offset(position)))
    }
}

impl LogView {
    pub(crate) fn new(log: &Log, range: &Range<Lsn>) -> Result<Self> {
        let (from, to) = (range.start.get(), range.end.get());
        let (start, end) = (log.start_lsn(), log.durable_lsn());
        if range.start < start || range.end > end || from > to {
            let lsn = if range.start < start { range.start } else { range.end };
            return Err(Error::BadPosition { lsn, start, end });
        }
        let (segments, last) = {
            let segments = log.segments.lock();
            let wanted = segments.iter().filter(|segment| segment.first() < to && segment.end() > from);
            (wanted.copied().collect::<Vec<_>>(), segments.last().map(Segment::first))
        };
        let durable = log.durable.load(Ordering::Acquire);
        let mut parts = Vec::with_capacity(segments.len());
        for segment in segments {
            log.check_link(&segment)?;
            let path = name::segment(&log.dir.path, segment.first());
            let file = match log.dir.vfs().open(&path, OpenMode::Read) {
                Err(error) if error.is_not_found() && log.start_lsn().get() > segment.first() => {
                    return Err(Error::BadPosition { lsn: range.start, start: log.start_lsn(), end });
                }
                opened => opened?,
            };
            let bytes = if Some(segment.first()) == last {
                // It is being written, behind what is durable: those bytes hold still.
                let durable = segment.offset(durable.clamp(segment.first(), segment.end()));
                file.map_start(durable, ReadMode::Mapped)?
            } else {
                file.map(ReadMode::Mapped)?
            };
            let cut = log.cut_after(segment.first()).map(|(from, to)| (from, to.first()));
            parts.push(Part { segment, bytes, cut });
        }
        Ok(Self { shared: Arc::new(Shared { from, to, dir: log.dir.path.clone(), parts }) })
    }

    /// The directory of the log.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        &self.shared.dir
    }

    /// Where the view starts.
    #[must_use]
    pub fn from(&self) -> Lsn {
        Lsn::new(self.shared.from)
    }

    /// Where it ends: the position just past it.
    #[must_use]
    pub fn to(&self) -> Lsn {
        Lsn::new(self.shared.to)
    }

    /// The payload of the record at `lsn`, which must be one that a scan or a replay has named; its checksum is
    /// verified again.
    ///
    /// # Errors
    /// `BadPosition` outside of the view; `Corrupt` where no intact record starts there.
    pub fn record_at(&self, lsn: Lsn) -> Result<&[u8]> {
        let shared = &*self.shared;
        let position = lsn.get();
        let misplaced = || Error::BadPosition { lsn, start: self.from(), end: self.to() };
        if !(shared.from..shared.to).contains(&position) {
            return Err(misplaced());
        }
        let (part, offset) = shared.place(position).ok_or_else(misplaced)?;
        let corrupt =
            || part.corrupt(shared, Bad { offset, reason: "no intact record starts here", torn: false, proven_by: 0 });
        let rest = part.bytes.get(in_memory(offset)..).ok_or_else(corrupt)?;
        let (len, _) = frame_word(*rest.first_chunk().ok_or_else(corrupt)?);
        let frame = rest.get(..FRAMING.saturating_add(len)).ok_or_else(corrupt)?;
        if !frame_verifies(frame, part.segment.seed, position) {
            return Err(corrupt());
        }
        frame.get(FRAMING..).ok_or_else(corrupt)
    }

    /// Where reading in order enters a segment, ascending, behind where the view starts: the records from one of these to the next can be read
    /// on their own, if there are any. Only who reads one record further, too, verifies that nothing is missing between them.
    pub fn segments(&self) -> impl Iterator<Item = Lsn> {
        let shared = &*self.shared;
        let next = |part: &&Part| match part.cut {
            Some((from, target)) if from < part.segment.end() => shared.part_from(target),
            _ => shared.part_from(part.segment.end()),
        };
        std::iter::successors(shared.parts.first(), next).skip(1).map(|part| Lsn::new(part.segment.first()))
    }

    /// Fetches the first bytes of records into the processor's caches. Who reads records out of the order in which they lie waits
    /// for memory at each; here the waits of all the records that are named run side by side. Those outside of the view are
    /// passed over.
    pub fn prefetch(&self, records: impl IntoIterator<Item = Lsn>) {
        /// What a processor fetches at once.
        const LINE: usize = 64;
        /// A record of a hundred bytes or so lies in up to three lines.
        const LINES: usize = 3;
        /// Places are found first: between two loads there is then so little to do that a processor has many under way.
        const BATCH: usize = 32;
        let mut records = records.into_iter();
        loop {
            let mut batch: [&[u8]; BATCH] = [&[]; BATCH];
            let mut found = 0;
            for (start, lsn) in batch.iter_mut().zip(records.by_ref()) {
                found += 1;
                let Some((part, offset)) = self.shared.place(lsn.get()) else { continue };
                *start = part.bytes.get(in_memory(offset)..).unwrap_or_default();
            }
            let lines = (0..LINES).flat_map(|line| batch.iter().map(move |start| start.get(line * LINE)));
            std::hint::black_box(lines.flatten().fold(0, |sum, byte| sum ^ byte));
            if found < BATCH {
                return;
            }
        }
    }

    /// The records of the view in order, verified as they come.
    ///
    /// # Errors
    /// `BadPosition` where the view starts inside a record; `Corrupt`.
    pub fn records(&self) -> Result<ViewRecords<'_>> {
        self.records_from(self.from())
    }

    /// The records from `from` on, which lies in the view.
    ///
    /// # Errors
    /// `BadPosition` outside of the view or inside a record; `Corrupt`.
    pub fn records_from(&self, from: Lsn) -> Result<ViewRecords<'_>> {
        let shared = &*self.shared;
        let misplaced = || Error::BadPosition { lsn: from, start: self.from(), end: self.to() };
        if !(shared.from..=shared.to).contains(&from.get()) {
            return Err(misplaced());
        }
        let part = shared.parts.get(shared.parts.partition_point(|part| part.segment.end() <= from.get()));
        let trail = match part {
            None => None,
            Some(part) => {
                let mut trail = Trail::new(part.segment, part.cut, None);
                let (position, limit) = (from.get(), shared.to);
                if !trail.seek(&mut Mapped(&part.bytes), position, limit, &|bad| part.corrupt(shared, bad))? {
                    return Err(misplaced());
                }
                Some((part, trail))
            }
        };
        Ok(ViewRecords { shared, trail })
    }
}

impl fmt::Debug for LogView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { from, to, parts, .. } = &*self.shared;
        write!(f, "LogView({from}..{to}, {} segments)", parts.len())
    }
}

/// The records of a [`LogView`] in order, borrowed from it. After an error it ends.
pub struct ViewRecords<'a> {
    shared: &'a Shared,
    trail: Option<(&'a Part, Trail)>,
}

impl<'a> ViewRecords<'a> {
    fn advance(&mut self) -> Result<Option<Record<'a>>> {
        let shared = self.shared;
        loop {
            let Some((part, trail)) = &mut self.trail else { return Ok(None) };
            let part: &'a Part = part;
            match trail.advance(&mut Mapped(&part.bytes), shared.to, &|bad| part.corrupt(shared, bad))? {
                Stop::Record(spot) => {
                    let start = in_memory(spot.offset);
                    let payload = part.bytes.get(start..start + spot.len).unwrap_or_default();
                    return Ok(Some(spot.record(payload)));
                }
                Stop::End => return Ok(None),
                Stop::Enter(first, chain) => {
                    let next = shared.part_from(first);
                    self.trail = next.map(|part| (part, Trail::new(part.segment, part.cut, chain)));
                }
            }
        }
    }
}

impl<'a> Iterator for ViewRecords<'a> {
    type Item = Result<Record<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.trail = None;
        }
        next
    }
}

impl fmt::Debug for ViewRecords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViewRecords({}..{})", self.shared.from, self.shared.to)
    }
}
