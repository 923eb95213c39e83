//! Walking through the bytes of one segment: group by group, frame by frame, every gap and checksum checked.
//!
//! The walk says what stands at the next place, and where and how it is wrong; what that means (the end, a tear,
//! damage) is judged by whoever walks.

use laminar_vfs::{VfsFile, planted};

use crate::format::{
    FRAMING, GROUP_HEADER, GROUP_TRAILER, GroupHeader, GroupKind, PAGE, SECTOR, frame_verifies, frame_word,
    group_trailer, in_memory, is_zero, round_up, stops_in_header, stops_in_trailer,
};
use crate::segment::Segment;
use crate::sync::Arc;
use crate::{Error, Lsn, Result, name};

/// How much is read at a time.
const WINDOW: u64 = 1 << 20;

/// Bytes of one segment file by offset.
pub(crate) trait Bytes {
    /// Exactly the bytes from `offset` on, as many as `len`; the caller keeps within [`limit`](Self::limit).
    fn at(&mut self, offset: u64, len: usize) -> Result<&[u8]>;

    /// The offset up to which bytes may be asked for.
    fn limit(&self) -> u64;
}

/// A segment in memory, from its first byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapped<'a>(pub(crate) &'a [u8]);

impl Bytes for Mapped<'_> {
    #[inline]
    fn at(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let start = in_memory(offset);
        // The caller keeps within the limit: an empty answer would only fail its checks.
        Ok(self.0.get(start..start.saturating_add(len)).unwrap_or_default())
    }

    fn limit(&self) -> u64 {
        self.0.len() as u64
    }
}

/// A piece of a segment file in memory, which moves along.
#[derive(Debug)]
pub(crate) struct Window {
    file: Arc<dyn VfsFile>,
    limit: u64,
    start: u64,
    filled: usize,
    bytes: Vec<u8>,
}

impl Window {
    /// Nothing at or past `limit` is read.
    pub(crate) fn new(file: Arc<dyn VfsFile>, limit: u64) -> Self {
        Self { file, limit, start: 0, filled: 0, bytes: Vec::new() }
    }

    /// Over another file, unless it is that one already: then the bytes that were read are not read again.
    pub(crate) fn show(&mut self, file: &Arc<dyn VfsFile>, limit: u64) {
        if !Arc::ptr_eq(&self.file, file) || self.limit != limit {
            self.move_to(Arc::clone(file), limit);
        }
    }

    /// The same memory over another file.
    pub(crate) fn move_to(&mut self, file: Arc<dyn VfsFile>, limit: u64) {
        (self.file, self.limit, self.start, self.filled) = (file, limit, 0, 0);
    }

    /// More of the file may be read now.
    pub(crate) fn extend(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    #[cold]
    fn refill(&mut self, offset: u64, len: usize) -> Result<()> {
        let wanted = in_memory(WINDOW.min(self.limit - offset)).max(len);
        if self.bytes.len() < wanted {
            self.bytes = vec![0; wanted];
        }
        self.filled = 0;
        self.file.read_exact_at(self.bytes.split_at_mut(wanted).0, offset)?;
        (self.start, self.filled) = (offset, wanted);
        Ok(())
    }
}

impl Bytes for Window {
    #[inline]
    fn at(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let inside = offset >= self.start && offset - self.start + len as u64 <= self.filled as u64;
        if !inside {
            self.refill(offset, len)?;
        }
        let start = in_memory(offset - self.start);
        Ok(self.bytes.get(start..start + len).unwrap_or_default())
    }

    fn limit(&self) -> u64 {
        self.limit
    }
}

/// What stands at the next place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item {
    /// A group begins; its frames follow.
    Group(GroupHeader),
    /// A record. `offset` is that of its frame in the file.
    Frame { offset: u64, len: usize, more: bool },
    /// A place where a group would be holds a sector of zeros, or lies past the limit.
    Absent,
    /// Something that is not what was written there.
    Bad(Bad),
}

/// What is wrong, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bad {
    /// Offset in the file.
    pub(crate) offset: u64,
    pub(crate) reason: &'static str,
    /// Whether a sector of zeros explains it, one that was never written, or a group that ends in zeros.
    pub(crate) torn: bool,
    /// If anything says that this position was durable, it is damage nevertheless.
    pub(crate) proven_by: u64,
}

impl Bad {
    pub(crate) fn error(&self, dir: &std::path::Path, segment: &Segment, to: u64) -> Error {
        Error::Corrupt {
            path: name::segment(dir, segment.first()),
            offset: self.offset,
            from: Lsn::new(segment.first() + self.offset),
            to: Lsn::new(to.max(segment.first() + self.offset)),
            reason: self.reason,
        }
    }
}

/// A place in a segment, from which the walk goes on.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    pub(crate) segment: Segment,
    /// Offset just past the last group; until there is one, of the first.
    after: u64,
    /// Offset of the next group.
    next: u64,
    /// Offsets of the next frame and the end of the current group.
    frame: u64,
    group_end: u64,
    /// What the next group must say about the end of the one before, where that is known.
    prev_end: Option<u64>,
    /// What the next group must say about the end of the last batch, where that is known.
    batch_end: Option<u64>,
    /// What must stand behind the current group.
    trailer: Option<[u8; GROUP_TRAILER]>,
}

impl Walk {
    /// From the start of a segment.
    pub(crate) fn new(segment: Segment, prev_end: Option<u64>, batch_end: Option<u64>) -> Self {
        // Where recovery passed over an open batch, it said itself where the last whole one ends.
        let batch_end = segment.header.cut_from.or(batch_end);
        Self { segment, after: PAGE, next: PAGE, frame: PAGE, group_end: PAGE, prev_end, batch_end, trailer: None }
    }

    /// The position where the current group ends, the last one if it has been walked through.
    pub(crate) fn position(&self) -> u64 {
        self.segment.first() + self.group_end
    }

    /// The position of the next frame of the current group, or where it ends.
    pub(crate) fn frame_position(&self) -> u64 {
        self.segment.first() + self.frame
    }

    /// The position of the group that comes next.
    pub(crate) fn next_position(&self) -> u64 {
        self.segment.first() + self.next
    }

    /// Where the last batch ended, if the walk has seen it or was told.
    pub(crate) fn batch_end(&self) -> Option<u64> {
        self.batch_end
    }

    /// Goes to the end of the current group without looking at the rest of it.
    pub(crate) fn skip_group(&mut self) {
        self.frame = self.group_end;
        // The records that were skipped may have ended batches.
        self.batch_end = None;
    }

    /// What stands at the next place. After `Absent`, `Bad` or a seal the walk is where it was before.
    #[inline]
    pub(crate) fn step(&mut self, bytes: &mut impl Bytes) -> Result<Item> {
        if self.frame < self.group_end { self.step_frame(bytes) } else { self.step_group(bytes) }
    }

    #[inline]
    fn step_frame(&mut self, bytes: &mut impl Bytes) -> Result<Item> {
        let room = in_memory(self.group_end - self.frame);
        let start = if room < FRAMING { None } else { bytes.at(self.frame, FRAMING)?.first_chunk().copied() };
        let Some(start) = start else { return self.bad_frame(bytes, room) };
        let (len, more) = frame_word(start);
        if len > room - FRAMING {
            return self.bad_frame(bytes, room);
        }
        let position = self.segment.first() + self.frame;
        let verifies = frame_verifies(bytes.at(self.frame, FRAMING + len)?, self.segment.seed, position);
        if !verifies && !planted("log-checksum-not-checked") {
            return self.bad_frame(bytes, FRAMING + len);
        }
        let item = Item::Frame { offset: self.frame, len, more };
        self.frame += (FRAMING + len) as u64;
        if !more {
            self.batch_end = Some(self.segment.first() + self.frame);
        }
        Ok(item)
    }

    #[cold]
    fn bad_frame(&self, bytes: &mut impl Bytes, extent: usize) -> Result<Item> {
        let end = round_up(self.frame + extent as u64, SECTOR);
        let mut sector = self.frame / SECTOR * SECTOR;
        let mut torn = planted("log-takes-damage-for-tear");
        while sector < end.min(bytes.limit()) {
            let len = in_memory((bytes.limit() - sector).min(SECTOR));
            torn |= is_zero(bytes.at(sector, len)?);
            sector += SECTOR;
        }
        let end_mark = bytes.limit().saturating_sub(self.group_end).min(GROUP_TRAILER as u64);
        torn |= is_zero(bytes.at(self.group_end, in_memory(end_mark))?);
        let proven_by = self.frame_position() + 1;
        Ok(Item::Bad(Bad { offset: self.frame, reason: "the checksum of a record does not match", torn, proven_by }))
    }

    /// Checks what stands behind the current group, up to the next.
    fn check_group_end(&self, bytes: &mut impl Bytes) -> Result<Option<Bad>> {
        let limit = bytes.limit();
        let mut from = self.after;
        let mut bad = Bad { offset: from, reason: "", torn: false, proven_by: self.position() };
        if let Some(trailer) = &self.trailer {
            let stored = bytes.at(from, in_memory((limit - from).min(GROUP_TRAILER as u64)))?;
            if stored != trailer {
                bad.reason = "the end mark of a group does not match";
                bad.torn = stops_in_trailer(stored, trailer);
                // It may begin in a sector that was never written, and end in one that was.
                let sector = from / SECTOR * SECTOR;
                bad.torn |= is_zero(bytes.at(sector, in_memory((limit - sector).min(SECTOR)))?);
                return Ok(Some(bad));
            }
            from += GROUP_TRAILER as u64;
        }
        let gap = in_memory(self.next.min(limit).saturating_sub(from));
        if gap > 0 && !is_zero(bytes.at(from, gap)?) {
            bad.reason = "there are bytes between two groups";
            return Ok(Some(bad));
        }
        Ok(None)
    }

    #[cold]
    fn step_group(&mut self, bytes: &mut impl Bytes) -> Result<Item> {
        let proven_by = self.position() + 1;
        let bad = |offset, reason| Ok(Item::Bad(Bad { offset, reason, torn: false, proven_by }));
        let limit = bytes.limit();
        if let Some(bad) = self.check_group_end(bytes)? {
            return Ok(Item::Bad(bad));
        }
        if self.next + GROUP_HEADER as u64 > limit {
            return Ok(Item::Absent);
        }
        let position = self.segment.first() + self.next;
        let head = bytes.at(self.next, GROUP_HEADER)?.first_chunk().copied().unwrap_or([0; GROUP_HEADER]);
        let Some(header) = GroupHeader::decode(&head, self.segment.seed, position) else {
            let sector = bytes.at(self.next, in_memory((limit - self.next).min(SECTOR)))?;
            if is_zero(sector) {
                return Ok(Item::Absent);
            }
            let torn = stops_in_header(sector);
            let reason = "a group starts with bytes that are not a group's";
            return Ok(Item::Bad(Bad { offset: self.next, reason, torn, proven_by }));
        };
        let end = self.next + u64::from(header.len);
        // The last page is for the seal.
        let for_seal = if header.kind == GroupKind::Seal { 0 } else { PAGE };
        let fits = end + GROUP_TRAILER as u64 + for_seal <= self.segment.header.length
            && (header.kind != GroupKind::Records || end <= limit);
        if !fits || header.kind == GroupKind::Seal && header.successor != self.segment.end() {
            return bad(self.next, "a group's header contradicts its segment");
        }
        let chained = self.prev_end.is_none_or(|end| end == header.prev_end)
            && self.batch_end.is_none_or(|end| end == header.batch_end);
        if !chained {
            return bad(self.next, "a group does not follow the one before it");
        }
        if header.kind != GroupKind::Seal {
            self.frame = self.next + GROUP_HEADER as u64;
            self.group_end = end;
            self.after = end;
            self.next = header.next_group(end);
            self.prev_end = Some(self.segment.first() + end);
            self.batch_end = Some(header.batch_end);
            self.trailer = Some(group_trailer(&head));
        }
        Ok(Item::Group(header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogId;
    use crate::format::{SegmentHeader, group_trailer, seal_frame};

    const LENGTH: u64 = 4 * PAGE;

    /// A segment with one group of one record, which ends at this offset. Everything about it is right but perhaps that.
    fn ending_at(end: u64) -> (Segment, Vec<u8>) {
        let segment = Segment::new(SegmentHeader {
            log_id: LogId::new(7),
            first: 0,
            length: LENGTH,
            stride: LENGTH,
            generation: 3,
            proven_to: 0,
            cut_from: None,
            before: 0,
            zero_filled: false,
        });
        let group = GroupHeader {
            kind: GroupKind::Records,
            len: u32::try_from(end - PAGE).unwrap(),
            durable: 0,
            prev_end: 0,
            batch_end: 0,
            successor: 0,
            then_page: false,
        };
        let header = group.encode(segment.seed, PAGE);
        let mut bytes = vec![0; in_memory(LENGTH)];
        let (from, to) = (in_memory(PAGE), in_memory(end));
        bytes[from..from + GROUP_HEADER].copy_from_slice(&header);
        seal_frame(&mut bytes[from + GROUP_HEADER..to], segment.seed, PAGE + GROUP_HEADER as u64, false);
        bytes[to..to + GROUP_TRAILER].copy_from_slice(&group_trailer(&header));
        (segment, bytes)
    }

    #[test]
    fn no_group_of_records_reaches_into_the_page_of_the_seal() {
        let last = LENGTH - PAGE - GROUP_TRAILER as u64;
        for (end, is_one) in [(last - 1, true), (last, true), (last + 1, false), (LENGTH - GROUP_TRAILER as u64, false)]
        {
            let (segment, bytes) = ending_at(end);
            let mut walk = Walk::new(segment, None, None);
            let found = walk.step(&mut Mapped(&bytes)).unwrap();
            assert_eq!(matches!(found, Item::Group(_)), is_one, "{end}");
            assert_eq!(matches!(found, Item::Bad(Bad { torn: false, .. })), !is_one, "{end}");
            if is_one {
                assert!(matches!(walk.step(&mut Mapped(&bytes)).unwrap(), Item::Frame { .. }));
                assert!(matches!(walk.step(&mut Mapped(&bytes)).unwrap(), Item::Absent));
            }
        }
    }
}
