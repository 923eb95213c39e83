//! The open group in memory: where records are encoded, and at which positions.
//!
//! Positions are given out here, so everything that decides them is here too: where the open group starts, how much
//! room its segment has, and whether the group before it was closed in order to sync. No input or output.

use laminar_vfs::planted;

use crate::Lsn;
use crate::format::{
    FRAMING, GROUP_HEADER, GROUP_TRAILER, GroupHeader, GroupKind, PAGE, SECTOR_LEN, group_trailer, in_memory,
    seal_frame,
};
use crate::segment::Segment;

/// The first storage of a buffer; it doubles as it fills.
const FIRST_STORAGE: usize = 8 << 10;

/// What an append of some bytes needs before it can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Nothing.
    Now,
    /// This much storage.
    Grow(usize),
    /// The open group must be handed over.
    HandOver,
    /// The segment has no room: the next one must be entered.
    Rotate,
}

/// A group that was closed and swapped out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closed {
    /// Its position.
    pub(crate) at: u64,
    /// Bytes to write: whole sectors.
    pub(crate) padded: usize,
    /// The position just past its last record.
    pub(crate) end: u64,
    /// Whether it holds records.
    pub(crate) records: bool,
}

/// The open group.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Initialised storage, a multiple of a sector. The group's header is written when the group is closed.
    bytes: Vec<u8>,
    /// Bytes of the open group, 0 if none is open.
    used: usize,
    /// How far `used` may go, the group's end mark left out; 0 while the log takes no records.
    limit: usize,
    /// The storage that a buffer grows to.
    largest: usize,
    frozen: bool,
    seed: u32,
    /// The position of the open or the next group.
    group: u64,
    /// Bytes from `group` to where groups end in this segment.
    room: usize,
    prev_end: u64,
    batch_end_before: u64,
    batch_end: u64,
    end: u64,
    records: u64,
}

/// Where a buffer starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resume {
    /// The position of the next group, on a page.
    pub(crate) group: u64,
    /// The end of the last group.
    pub(crate) prev_end: u64,
    /// The end of the last record, which is that of a batch.
    pub(crate) end: u64,
}

impl Buffer {
    pub(crate) fn new(segment: &Segment, resume: Resume, largest: usize) -> Self {
        Self {
            bytes: Vec::new(),
            used: 0,
            limit: 0,
            largest: largest.next_multiple_of(SECTOR_LEN),
            frozen: false,
            seed: segment.seed,
            group: resume.group,
            room: in_memory(segment.data_end() - resume.group),
            prev_end: resume.prev_end,
            batch_end_before: resume.end,
            batch_end: resume.end,
            end: resume.end,
            records: 0,
        }
    }

    /// The end of the last record.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn batch_end(&self) -> u64 {
        self.batch_end
    }

    pub(crate) fn prev_end(&self) -> u64 {
        self.prev_end
    }

    /// The position of the open or the next group.
    pub(crate) fn group(&self) -> u64 {
        self.group
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether the next group starts on a page, whose sectors are all unwritten.
    pub(crate) fn is_on_page(&self) -> bool {
        self.group.is_multiple_of(PAGE)
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    fn next_at(&self) -> usize {
        self.used.max(GROUP_HEADER)
    }

    /// Where the next record goes, if it fits.
    pub(crate) fn next_lsn(&self) -> Lsn {
        Lsn::new(self.group + self.next_at() as u64)
    }

    /// Whether `bytes` with framing fit here and now: the one question of the hot path.
    #[inline]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.limit.saturating_sub(self.next_at())
    }

    /// What `bytes` with framing need.
    pub(crate) fn fit(&self, bytes: usize) -> Fit {
        let wanted = self.next_at() + bytes + GROUP_TRAILER;
        if self.has_room(bytes) {
            Fit::Now
        } else if wanted <= self.room.min(self.largest) {
            Fit::Grow(wanted)
        } else if wanted > self.room {
            Fit::Rotate
        } else if self.used > 0 {
            Fit::HandOver
        } else {
            Fit::Grow(wanted)
        }
    }

    /// Makes storage for `wanted` bytes: doubling, so that a log that is written little stays small; beyond the
    /// largest only for a record or batch that needs it.
    pub(crate) fn grow(&mut self, wanted: usize) {
        let doubled = (2 * self.bytes.len()).max(FIRST_STORAGE).min(self.largest).min(self.room);
        self.bytes.resize(wanted.max(doubled).next_multiple_of(SECTOR_LEN), 0);
        self.refit();
    }

    fn refit(&mut self) {
        self.limit = if self.frozen { 0 } else { self.bytes.len().min(self.room).saturating_sub(GROUP_TRAILER) };
    }

    /// Takes no record any more.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
        self.refit();
    }

    /// Encodes one record, whose payload of `len` bytes `fill` writes; there must be room. Returns its position and
    /// its end.
    #[inline]
    pub(crate) fn push(&mut self, len: usize, more: bool, fill: impl FnOnce(&mut [u8])) -> (Lsn, Lsn) {
        let start = self.next_at();
        let at = self.group + start as u64;
        let Some(frame) = self.bytes.get_mut(start..start + FRAMING + len) else { unreachable!("room was checked") };
        fill(frame.split_at_mut(FRAMING).1);
        seal_frame(frame, self.seed, at, more && !planted("log-forgets-batches"));
        self.used = start + FRAMING + len;
        self.end = self.group + self.used as u64;
        if !more {
            self.batch_end = self.end;
        }
        self.records += 1;
        (Lsn::new(at), Lsn::new(self.end))
    }

    /// Closes the open group and swaps its bytes for `back`. In order to sync (`for_sync`), the group says that the next
    /// one starts on a page; if no group is open and the next one would not, one without records is made that says so.
    pub(crate) fn take(&mut self, back: &mut Vec<u8>, durable: u64, for_sync: bool) -> Option<Closed> {
        if self.used > 0 {
            return Some(self.close_group(GroupKind::Records, back, durable, for_sync));
        }
        (for_sync && !self.is_on_page()).then(|| self.mark(back, durable, true))
    }

    /// A group without records, which says what is durable. No group may be open.
    pub(crate) fn mark(&mut self, back: &mut Vec<u8>, durable: u64, for_sync: bool) -> Closed {
        if self.bytes.len() < SECTOR_LEN {
            self.bytes.resize(SECTOR_LEN, 0);
        }
        self.used = GROUP_HEADER;
        self.close_group(GroupKind::Mark, back, durable, for_sync)
    }

    /// Whether a mark fits before the page that is kept for the seal.
    pub(crate) fn has_room_for_mark(&self) -> bool {
        self.room >= SECTOR_LEN
    }

    fn close_group(&mut self, kind: GroupKind, back: &mut Vec<u8>, durable: u64, then_page: bool) -> Closed {
        let header = GroupHeader {
            kind,
            len: u32::try_from(self.used).unwrap_or(u32::MAX),
            durable: if planted("log-claims-more-is-durable") { self.prev_end } else { durable },
            prev_end: self.prev_end,
            batch_end: self.batch_end_before,
            successor: 0,
            then_page,
        };
        let padded = (self.used + GROUP_TRAILER).next_multiple_of(SECTOR_LEN);
        let encoded = header.encode(self.seed, self.group);
        let (group, rest) = self.bytes.split_at_mut(self.used);
        group.split_at_mut(GROUP_HEADER).0.copy_from_slice(&encoded);
        let (trailer, rest) = rest.split_at_mut(GROUP_TRAILER);
        trailer.copy_from_slice(&group_trailer(&encoded));
        // What an earlier group left there must not be written: gaps are zero.
        if !planted("log-padding-not-zeroed") {
            rest.split_at_mut(padded - self.used - GROUP_TRAILER).0.fill(0);
        }
        std::mem::swap(&mut self.bytes, back);
        if self.bytes.len() > self.largest {
            // The storage of one outsized record is not kept.
            self.bytes = Vec::new();
        }
        let end = self.group + self.used as u64;
        let closed = Closed { at: self.group, padded, end, records: kind == GroupKind::Records };
        let next = header.next_group(end);
        self.room = self.room.saturating_sub(in_memory(next - self.group));
        self.group = next;
        self.prev_end = end;
        self.batch_end_before = self.batch_end;
        self.used = 0;
        self.refit();
        closed
    }

    /// Goes on in another segment, behind a seal that ends at `seal_end`. No group may be open.
    pub(crate) fn enter(&mut self, segment: &Segment, seal_end: u64) {
        self.seed = segment.seed;
        self.group = segment.data();
        self.room = in_memory(segment.data_end() - segment.data());
        self.prev_end = seal_end;
        self.refit();
    }
}
