//! From the buffer to the file: handing groups over, sealing a segment, entering the next.
//!
//! A group that was taken from the buffer is written exactly as it is, at its place, however often that has to be
//! tried; what comes after it waits. A segment is left in three steps that can each be taken up again: its last group
//! is written, its seal is written, the file is synced; only then is anything written to the next.

use std::io::ErrorKind;

use laminar_vfs::{Op, OpenMode, VfsFile, planted};

use crate::buffer::{Buffer, Closed, Fit};
use crate::format::{
    GROUP_HEADER, GROUP_TRAILER, GroupHeader, GroupKind, MAX_PAYLOAD, SECTOR, SECTOR_LEN, group_trailer, in_memory,
    round_up,
};
use crate::log::{Log, count};
use crate::segment::{Segment, length_for};
use crate::sync::{Arc, MutexGuard, Ordering};
use crate::{Error, Result, SyncPolicy, name};

/// The part of a segment that may be left to sync when the writer leaves it, as a fraction.
const LAST_PART: u64 = 8;

/// The file that groups go to, and what is on its way.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) segment: Segment,
    pub(crate) file: Arc<dyn VfsFile>,
    /// The buffer's other storage; the bytes of `outgoing` while there is one.
    back: Vec<u8>,
    outgoing: Option<Closed>,
    /// The end of a sector that a call left half written, in the file: nothing is written behind it before it is whole and synced.
    ragged: Option<u64>,
    leaving: Option<Leaving>,
    begun: Begun,
    pub(crate) closed: bool,
    asked_ahead: bool,
    /// What was durable when the last mark was written.
    pub(crate) marked: u64,
    /// A mark was written last: no record behind it waits for a sync, and so nobody may have synced it.
    pub(crate) ends_with_mark: bool,
}

/// What must be so before the first byte is written after opening.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    /// Whether something says that the log ends where it was closed.
    pub(crate) close_mark: CloseMarkFile,
    /// The name of the log's identity is durable.
    pub(crate) identity_is_proven: bool,
}

/// What is known of the mark of a clean close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseMarkFile {
    There,
    /// It was removed, and the sync of the directory failed, or may have: it can be back after a power cut, whatever a second sync says.
    Doubtful,
    Gone,
}

/// The buffer is in the next segment already, the file not yet.
#[derive(Debug)]
struct Leaving {
    seal_at: u64,
    prev_end: u64,
    batch_end: u64,
    next: Segment,
    next_file: Arc<dyn VfsFile>,
}

impl Leaving {
    fn seal_end(&self) -> u64 {
        self.seal_at + GROUP_HEADER as u64
    }
}

impl Writer {
    pub(crate) fn new(segment: Segment, file: Arc<dyn VfsFile>, durable: u64, begun: Begun) -> Self {
        Self {
            segment,
            file,
            back: Vec::new(),
            outgoing: None,
            ragged: None,
            leaving: None,
            begun,
            closed: false,
            asked_ahead: false,
            marked: durable,
            ends_with_mark: false,
        }
    }

    /// Whether anything may have been written since the log was opened.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.close_mark == CloseMarkFile::Gone && self.begun.identity_is_proven
    }

    /// Whether a group or a seal waits to be written.
    pub(crate) fn is_behind(&self) -> bool {
        self.outgoing.is_some() || self.leaving.is_some()
    }
}

impl Log {
    fn check_open(&self, writer: &Writer) -> Result<()> {
        self.check_poison()?;
        if writer.closed { Err(Error::Closed) } else { Ok(()) }
    }

    /// The buffer with room for a record or batch of `bytes` bytes with framing, handing over a group or entering
    /// the next segment where it takes that. After an error the log is as it was.
    pub(crate) fn room_for(&self, bytes: usize) -> Result<MutexGuard<'_, Buffer>> {
        let limit = (MAX_PAYLOAD + crate::format::FRAMING) as u64;
        if bytes as u64 > limit {
            return Err(Error::TooLarge { bytes: bytes as u64, limit });
        }
        if matches!(self.choices.sync_policy, SyncPolicy::Interval(_)) {
            self.wake_lazily();
        }
        let mut writer = self.writer.lock();
        loop {
            self.check_open(&writer)?;
            let mut buffer = self.buffer.lock();
            match buffer.fit(bytes) {
                Fit::Now => return Ok(buffer),
                Fit::Grow(wanted) => buffer.grow(wanted),
                Fit::HandOver => {
                    drop(buffer);
                    self.hand_on(&mut writer)?;
                }
                Fit::Rotate => {
                    drop(buffer);
                    self.rotate(&mut writer, bytes)?;
                }
            }
        }
    }

    /// Makes room in the buffer: the full group goes to the worker, which writes it while the caller fills the other storage. Where the
    /// worker has not come to the group before, that one is written first, here: never more than one is on its way.
    fn hand_on(&self, writer: &mut Writer) -> Result<()> {
        // Without a thread of its own the worker would write only when somebody waits for it.
        if !self.worker().is_ok_and(|worker| worker.is_thread()) {
            return self.hand_over(writer, false);
        }
        self.finish(writer)?;
        writer.outgoing = self.buffer.lock().take(&mut writer.back, self.durable.load(Ordering::Acquire), false);
        self.wake_urgently();
        Ok(())
    }

    /// Hands everything that was appended to the operating system, in order to sync it or not.
    pub(crate) fn hand_over(&self, writer: &mut Writer, for_sync: bool) -> Result<()> {
        self.check_open(writer)?;
        self.finish(writer)?;
        writer.outgoing = self.buffer.lock().take(&mut writer.back, self.durable.load(Ordering::Acquire), for_sync);
        self.finish(writer)
    }

    /// Writes what is on its way, the seal of a segment that is being left included.
    pub(crate) fn finish(&self, writer: &mut Writer) -> Result<()> {
        self.write_outgoing(writer)?;
        self.leave(writer)
    }

    fn write_outgoing(&self, writer: &mut Writer) -> Result<()> {
        let Some(group) = writer.outgoing else { return Ok(()) };
        self.check_poison()?;
        let offset = writer.segment.offset(group.at);
        self.before_write(writer, offset + group.padded as u64)?;
        let written = self.write_group(writer, offset, offset + group.padded as u64);
        if planted("log-drops-refused-group") {
            writer.outgoing = None;
        }
        written?;
        writer.outgoing = None;
        count(&self.counters.groups, 1);
        count(&self.counters.bytes_written, group.padded as u64);
        writer.ends_with_mark = !group.records;
        if group.records {
            self.written.store(group.end, Ordering::Release);
            self.note_written();
        }
        self.ask_ahead(writer, offset);
        Ok(())
    }

    /// Writes what is on its way, from offset `start` to `end`.
    ///
    /// A call that does less than it was asked may end within a sector. That sector is then written in two, and a power cut can leave it
    /// as it was in between, beside later ones that are whole, which would pass for damage. So it is completed and synced before
    /// anything behind it is written, however many calls and refusals that takes.
    fn write_group(&self, writer: &mut Writer, start: u64, end: u64) -> Result<()> {
        let mut at = start;
        while at < end {
            let until = writer.ragged.filter(|_| !planted("log-goes-on-behind-half-a-sector")).unwrap_or(end);
            let bytes = writer.back.get(in_memory(at - start)..in_memory(until - start)).unwrap_or_default();
            let written = writer.file.write_at(bytes, at);
            let nothing = || laminar_vfs::Error::new(Op::Write, writer.file.path(), ErrorKind::WriteZero.into());
            let written = written.and_then(|written| if written == 0 { Err(nothing()) } else { Ok(written as u64) });
            at += self.written_or_poisoned(written)?;
            let sector_end = round_up(at, SECTOR);
            if writer.ragged == Some(at) {
                self.sync_file(&*writer.file, self.written.load(Ordering::Acquire))?;
                writer.ragged = None;
            } else if writer.ragged.is_none() && at < sector_end && sector_end < end {
                writer.ragged = Some(sector_end);
            }
        }
        Ok(())
    }

    /// Wakes the worker when there is much to sync, or more of the reserve or the next segment will be needed soon.
    fn ask_ahead(&self, writer: &mut Writer, offset: u64) {
        let length = writer.segment.header.length;
        if self.is_sync_due(offset, length) || self.is_reserve_short(offset, length) {
            self.wake_urgently();
        } else if !writer.asked_ahead && offset > writer.segment.header.length / 2 {
            writer.asked_ahead = true;
            self.wake_urgently();
        }
    }

    /// Whether the worker should sync behind the writer, who has come to `offset` of a segment of `length` bytes. Towards the end of a
    /// segment it does so sooner: nothing is written to the next one before this one is synced, and whoever commits then waits for what is left.
    pub(crate) fn is_sync_due(&self, offset: u64, length: u64) -> bool {
        let behind = self.written.load(Ordering::Acquire).saturating_sub(self.durable.load(Ordering::Acquire));
        let last = length / LAST_PART;
        behind >= self.choices.sync_behind_bytes
            || (offset >= length - last && behind >= last && self.choices.sync_behind_bytes <= length)
    }

    /// What must be so before a byte of the log is written: recovery could write the segment again if the disk were
    /// full, and nothing says that the log ends where it was closed.
    fn before_write(&self, writer: &mut Writer, reserve_bytes: u64) -> Result<()> {
        // Before anything else of a log is there: beside a segment alone, a missing identity is that of a creation that was not finished.
        self.prove_identity(writer)?;
        if self.reserve_bytes.load(Ordering::Acquire) < reserve_bytes {
            self.extend_reserve(reserve_bytes, writer.segment.header.length)?;
        }
        // Only then: without the mark a full disk needs the reserve to open.
        self.begin(writer)
    }

    /// Makes sure of the identity, where it is not known that its name is durable.
    pub(crate) fn prove_identity(&self, writer: &mut Writer) -> Result<()> {
        if !writer.begun.identity_is_proven {
            self.republish_identity()?;
            writer.begun.identity_is_proven = true;
        }
        Ok(())
    }

    /// Takes back the mark of a clean close, before anything changes that it vouches for: the end of the log, and that
    /// the names of its segments are durable. Before that, makes sure of the identity.
    pub(crate) fn begin(&self, writer: &mut Writer) -> Result<()> {
        self.prove_identity(writer)?;
        if writer.begun.close_mark != CloseMarkFile::Gone {
            let path = self.dir.join(name::CLOSED);
            let _naming = self.dir.naming();
            if writer.begun.close_mark == CloseMarkFile::Doubtful && !planted("log-trusts-second-sync-of-directory") {
                // Made anew, so that there is something to remove, and a sync of the directory has that to make durable.
                drop(self.dir.create_over(&path)?);
            }
            if !planted("log-close-mark-kept") {
                self.dir.remove_if_there(&path)?;
            }
            writer.begun.close_mark = CloseMarkFile::Doubtful;
            if !planted("log-close-mark-removal-not-synced") {
                self.dir.vfs().sync_dir(&self.dir.path)?;
            }
            writer.begun.close_mark = CloseMarkFile::Gone;
        }
        Ok(())
    }

    fn written_or_poisoned<T>(&self, written: laminar_vfs::Result<T>) -> Result<T> {
        written.map_err(|error| {
            if error.is_no_space() && !planted("log-full-disk-poisons") {
                error.into()
            } else {
                self.poison_with(error)
            }
        })
    }

    /// Lets the buffer go on in the next segment, which has room for `bytes`. The file follows when the old segment is
    /// sealed and synced: by the worker, or by whoever writes next.
    pub(crate) fn rotate(&self, writer: &mut Writer, bytes: usize) -> Result<()> {
        self.finish(writer)?;
        self.begin(writer)?;
        let length = length_for(writer.segment.header.stride, bytes);
        let next = self.take_next(&writer.segment, length)?;
        let path = name::segment(&self.dir.path, next.first());
        let next_file = match self.dir.vfs().open(&path, OpenMode::Write) {
            Ok(file) => file,
            Err(error) => {
                self.put_back(next);
                return Err(error.into());
            }
        };
        {
            let mut buffer = self.buffer.lock();
            writer.outgoing = buffer.take(&mut writer.back, self.durable.load(Ordering::Acquire), false);
            let leaving = Leaving {
                seal_at: buffer.group(),
                prev_end: buffer.prev_end(),
                batch_end: buffer.batch_end(),
                next,
                next_file,
            };
            buffer.enter(&next, leaving.seal_end());
            writer.leaving = Some(leaving);
        }
        match self.write_outgoing(writer) {
            // The record that asked for room gets it in memory; what is on its way is tried again by the next call.
            Err(error) if !error.is_poisoned() => {}
            written => written?,
        }
        self.wake_urgently();
        Ok(())
    }

    fn leave(&self, writer: &mut Writer) -> Result<()> {
        let Some(leaving) = &writer.leaving else { return Ok(()) };
        let (seal_at, seal_end) = (leaving.seal_at, leaving.seal_end());
        let header = GroupHeader {
            kind: GroupKind::Seal,
            len: u32::try_from(GROUP_HEADER).unwrap_or(u32::MAX),
            durable: self.durable.load(Ordering::Acquire).min(leaving.prev_end),
            prev_end: leaving.prev_end,
            batch_end: leaving.batch_end,
            successor: leaving.next.first(),
            then_page: false,
        };
        let seal = header.encode(writer.segment.seed, seal_at);
        let mut sector = [0; SECTOR_LEN];
        let (head, rest) = sector.split_at_mut(GROUP_HEADER);
        head.copy_from_slice(&seal);
        rest.split_at_mut(GROUP_TRAILER).0.copy_from_slice(&group_trailer(&seal));
        let offset = writer.segment.offset(seal_at);
        self.before_write(writer, offset + SECTOR)?;
        if !planted("log-leaves-without-seal") {
            self.written_or_poisoned(writer.file.write_all_at(&sector, offset))?;
        }
        if !planted("log-enters-next-before-seal-synced") {
            self.sync_file(&*writer.file, self.written.load(Ordering::Acquire))?;
        }
        let Some(leaving) = writer.leaving.take() else { return Ok(()) };
        debug_assert_eq!(leaving.seal_end(), seal_end, "the seal is where the next group will say it is");
        self.segments.lock().push(leaving.next);
        writer.segment = leaving.next;
        writer.file = leaving.next_file;
        writer.asked_ahead = false;
        count(&self.counters.rotations, 1);
        Ok(())
    }

    /// Writes a mark if the log is at rest and has none yet. Returns whether it did anything.
    pub(crate) fn write_mark(&self) -> Result<bool> {
        let mut writer = self.writer.lock();
        let durable = self.durable.load(Ordering::Acquire);
        if writer.closed || !writer.has_begun() || writer.is_behind() || writer.marked == durable {
            return Ok(false);
        }
        {
            let mut buffer = self.buffer.lock();
            if !buffer.is_empty() || buffer.end() > durable {
                return Ok(false);
            }
            if buffer.has_room_for_mark() {
                let mark = buffer.mark(&mut writer.back, durable, false);
                writer.outgoing = Some(mark);
            }
        }
        writer.marked = durable;
        if writer.outgoing.is_none() {
            // The segment is full: its seal says the same, and more.
            self.rotate(&mut writer, 1)?;
        }
        self.finish(&mut writer)?;
        count(&self.counters.marks, 1);
        Ok(true)
    }
}
