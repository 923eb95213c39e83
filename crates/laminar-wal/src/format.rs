#![doc = include_str!("../FORMAT.md")]
#![expect(clippy::indexing_slicing, reason = "offsets are constants, tied to the sizes of blocks by const assertions")]

use crate::{LogId, Lsn};

/// The unit that a disk writes whole or not at all: a group starts on one.
pub(crate) const SECTOR: u64 = 512;
/// The unit that the operating system writes: the first group after a sync starts on one.
pub(crate) const PAGE: u64 = 4096;
/// Both as lengths in memory.
pub(crate) const SECTOR_LEN: usize = 512;
pub(crate) const PAGE_LEN: usize = 4096;
/// The newest version that this build reads, and the one it writes.
pub(crate) const VERSION: u32 = 1;
/// Length of every header block.
pub(crate) const BLOCK: usize = 512;
/// Length of a group's header.
pub(crate) const GROUP_HEADER: usize = 48;
/// Length of the mark at a group's end.
pub(crate) const GROUP_TRAILER: usize = 8;
/// What a record costs beside its payload.
pub(crate) const FRAMING: usize = 8;
/// The longest payload of a record, and of a batch with the framing of all records but one.
pub(crate) const MAX_PAYLOAD: usize = (1 << 30) - FRAMING;
/// Where the second copy stands in the identity file.
pub(crate) const IDENTITY_COPY: usize = 4096;
/// Length of the identity file.
pub(crate) const IDENTITY_BYTES: usize = IDENTITY_COPY + BLOCK;

const IDENTITY_MAGIC: [u8; 8] = *b"laminLOG";
const SEGMENT_MAGIC: [u8; 8] = *b"laminWAL";
const CLOSED_MAGIC: [u8; 8] = *b"laminEND";
const CRC_AT: usize = 508;
const FLAG_ZERO_FILLED: u32 = 1;
const FLAG_CUT: u32 = 2;
const GROUP_FLAG_PAGE: u8 = 1;
const MORE: u32 = 1 << 31;
/// Told apart from each other, so that a frame never passes for a group or the other way round.
const GROUP_SALT: u32 = 0x6772_6f75;
const FRAME_SALT: u32 = 0x6672_616d;
const TRAILER_SALT: u32 = 0x656e_6421;
const GROUP_CRC_AT: usize = 44;

const _: () = assert!(SECTOR_LEN as u64 == SECTOR && PAGE_LEN as u64 == PAGE);
const _: () = assert!(GROUP_CRC_AT + 4 == GROUP_HEADER);
const _: () = assert!(CRC_AT + 4 == BLOCK && IDENTITY_COPY >= BLOCK && GROUP_HEADER <= BLOCK);

/// Why a block can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadBlock {
    Foreign,
    Corrupt(&'static str),
    Version(u32),
}

/// Rounds up to a multiple of `unit`, a power of two.
pub(crate) const fn round_up(offset: u64, unit: u64) -> u64 {
    (offset + unit - 1) & !(unit - 1)
}

/// A length in memory: on a machine too small for it, more than any buffer has.
pub(crate) fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    bytes[at..].first_chunk().map_or(0, |word| u128::from_le_bytes(*word))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Whether there is nothing but zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // A loop without a way out in the middle is one that the compiler makes wide instructions of.
    let any = |bytes: &[u8]| bytes.iter().fold(0, |any, byte| any | byte);
    let (pieces, rest) = bytes.as_chunks::<256>();
    pieces.iter().all(|piece| any(piece) == 0) && any(rest) == 0
}

fn start_block(magic: [u8; 8], flags: u32, log_id: LogId) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, &magic);
    put(&mut block, 8, &VERSION.to_le_bytes());
    put(&mut block, 12, &flags.to_le_bytes());
    put(&mut block, 16, &log_id.get().to_le_bytes());
    block
}

fn finish_block(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    let crc = crc32c::crc32c(&block[..CRC_AT]);
    put(&mut block, CRC_AT, &crc.to_le_bytes());
    block
}

/// Checks what all blocks have in common, in the order: whose is it, is it intact, can we read it.
fn check_block(block: &[u8; BLOCK], magic: [u8; 8], known_flags: u32, used: usize) -> Result<(), BadBlock> {
    if is_zero(block) {
        return Err(BadBlock::Corrupt("the header is all zeros"));
    }
    if block[..8] != magic {
        return Err(BadBlock::Foreign);
    }
    if crc32c::crc32c(&block[..CRC_AT]) != u32_at(block, CRC_AT) {
        return Err(BadBlock::Corrupt("the header's checksum does not match"));
    }
    match u32_at(block, 8) {
        VERSION => {}
        version => return Err(BadBlock::Version(version)),
    }
    if u32_at(block, 12) & !known_flags != 0 || !is_zero(&block[used..CRC_AT]) {
        return Err(BadBlock::Corrupt("reserved bytes of the header are not zero"));
    }
    Ok(())
}

/// The identity of a log: one of the two copies in `LOG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) log_id: LogId,
    pub(crate) stride: u64,
    /// Records below it are gone on purpose.
    pub(crate) start: u64,
    /// The first position of the first segment.
    pub(crate) first_segment: u64,
    /// One more with every publication.
    pub(crate) epoch: u64,
}

impl Identity {
    pub(crate) fn encode(&self) -> [u8; BLOCK] {
        let mut block = start_block(IDENTITY_MAGIC, 0, self.log_id);
        put(&mut block, 32, &self.stride.to_le_bytes());
        put(&mut block, 40, &self.start.to_le_bytes());
        put(&mut block, 48, &self.first_segment.to_le_bytes());
        put(&mut block, 56, &self.epoch.to_le_bytes());
        finish_block(block)
    }

    pub(crate) fn decode(block: &[u8; BLOCK]) -> Result<Self, BadBlock> {
        check_block(block, IDENTITY_MAGIC, 0, 64)?;
        let identity = Self {
            log_id: LogId::new(u128_at(block, 16)),
            stride: u64_at(block, 32),
            start: u64_at(block, 40),
            first_segment: u64_at(block, 48),
            epoch: u64_at(block, 56),
        };
        let whole = identity.stride.is_multiple_of(PAGE)
            && (3 * PAGE..=1 << 30).contains(&identity.stride)
            && identity.first_segment.is_multiple_of(identity.stride)
            && identity.first_segment < 1 << 63
            && identity.start <= identity.first_segment;
        if whole { Ok(identity) } else { Err(BadBlock::Corrupt("the fields contradict each other")) }
    }

    /// The whole file: both copies and the zeros between.
    pub(crate) fn file(&self) -> [u8; IDENTITY_BYTES] {
        let mut file = [0; IDENTITY_BYTES];
        put(&mut file, 0, &self.encode());
        put(&mut file, IDENTITY_COPY, &self.encode());
        file
    }
}

/// The header of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) log_id: LogId,
    pub(crate) first: u64,
    pub(crate) length: u64,
    pub(crate) stride: u64,
    pub(crate) generation: u64,
    /// Not 0: recovery wrote this file, and everything before this position in it was synced before it was published.
    pub(crate) proven_to: u64,
    /// Records from here to the start of this segment belong to a batch that never ended: they are passed over.
    pub(crate) cut_from: Option<u64>,
    /// The generation of the segment before, 0 where there is none: of that file under another generation nothing counts.
    pub(crate) before: u64,
    pub(crate) zero_filled: bool,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; BLOCK] {
        let mut flags = if self.zero_filled { FLAG_ZERO_FILLED } else { 0 };
        flags |= if self.cut_from.is_some() { FLAG_CUT } else { 0 };
        let mut block = start_block(SEGMENT_MAGIC, flags, self.log_id);
        put(&mut block, 32, &self.first.to_le_bytes());
        put(&mut block, 40, &self.length.to_le_bytes());
        put(&mut block, 48, &self.stride.to_le_bytes());
        put(&mut block, 56, &self.generation.to_le_bytes());
        put(&mut block, 64, &self.proven_to.to_le_bytes());
        put(&mut block, 72, &self.cut_from.unwrap_or(0).to_le_bytes());
        put(&mut block, 80, &self.before.to_le_bytes());
        finish_block(block)
    }

    pub(crate) fn decode(block: &[u8; BLOCK]) -> Result<Self, BadBlock> {
        check_block(block, SEGMENT_MAGIC, FLAG_ZERO_FILLED | FLAG_CUT, 88)?;
        let flags = u32_at(block, 12);
        let cut = u64_at(block, 72);
        let header = Self {
            log_id: LogId::new(u128_at(block, 16)),
            first: u64_at(block, 32),
            length: u64_at(block, 40),
            stride: u64_at(block, 48),
            generation: u64_at(block, 56),
            proven_to: u64_at(block, 64),
            cut_from: (flags & FLAG_CUT != 0).then_some(cut),
            before: u64_at(block, 80),
            zero_filled: flags & FLAG_ZERO_FILLED != 0,
        };
        let whole = header.stride >= 3 * PAGE
            && header.length >= header.stride
            && header.length.is_multiple_of(header.stride)
            && header.first.is_multiple_of(header.stride)
            && header.first < 1 << 63
            && header.length <= 1 << 32
            && header.generation != 0
            && cut <= header.first;
        if whole { Ok(header) } else { Err(BadBlock::Corrupt("the fields contradict each other")) }
    }

    /// What every checksum in this file starts from.
    pub(crate) fn seed(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.log_id.get().to_le_bytes()), &self.generation.to_le_bytes())
    }
}

/// The content of `CLOSED`: where a log that was closed cleanly ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CloseMark {
    pub(crate) log_id: LogId,
    /// The first position of the last segment that was entered.
    pub(crate) segment: u64,
    /// That segment's generation.
    pub(crate) generation: u64,
    /// The end of the last record.
    pub(crate) end: u64,
    /// Where the next group goes.
    pub(crate) next_group: u64,
    /// The end of the last group.
    pub(crate) prev_end: u64,
}

impl CloseMark {
    pub(crate) fn encode(&self) -> [u8; BLOCK] {
        let mut block = start_block(CLOSED_MAGIC, 0, self.log_id);
        put(&mut block, 32, &self.segment.to_le_bytes());
        put(&mut block, 40, &self.generation.to_le_bytes());
        put(&mut block, 48, &self.end.to_le_bytes());
        put(&mut block, 56, &self.next_group.to_le_bytes());
        put(&mut block, 64, &self.prev_end.to_le_bytes());
        finish_block(block)
    }

    pub(crate) fn decode(block: &[u8; BLOCK]) -> Result<Self, BadBlock> {
        check_block(block, CLOSED_MAGIC, 0, 72)?;
        Ok(Self {
            log_id: LogId::new(u128_at(block, 16)),
            segment: u64_at(block, 32),
            generation: u64_at(block, 40),
            end: u64_at(block, 48),
            next_group: u64_at(block, 56),
            prev_end: u64_at(block, 64),
        })
    }
}

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupKind {
    /// Holds records.
    Records,
    /// The last of its segment: names the next one.
    Seal,
    /// Holds nothing, but says what is durable.
    Mark,
}

/// The header of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub(crate) kind: GroupKind,
    /// Bytes of the group with this header, without padding.
    pub(crate) len: u32,
    /// What was durable when the group was closed.
    pub(crate) durable: u64,
    /// The end of the group before; of the log's first group: where the log starts.
    pub(crate) prev_end: u64,
    /// The end of the last whole batch before the group.
    pub(crate) batch_end: u64,
    /// Of a seal: the first position of the next segment; else 0.
    pub(crate) successor: u64,
    /// The next group starts on the next page, not on the next sector.
    pub(crate) then_page: bool,
}

/// Folds a position into a checksum's start, so that bytes that moved don't verify.
#[expect(clippy::cast_possible_truncation, reason = "both halves are kept, one over the other")]
const fn fold(position: u64) -> u32 {
    (position as u32) ^ ((position >> 32) as u32)
}

fn group_crc(header: &[u8; GROUP_HEADER], seed: u32, at: u64) -> u32 {
    crc32c::crc32c_append(seed ^ GROUP_SALT ^ fold(at), &header[..GROUP_CRC_AT])
}

/// What stands behind the last record of the group with this header. Never all zeros: a group whose writing stopped short
/// has zeros there.
pub(crate) fn group_trailer(header: &[u8; GROUP_HEADER]) -> [u8; GROUP_TRAILER] {
    let crc = crc32c::crc32c_append(TRAILER_SALT, header);
    let mut trailer = [0; GROUP_TRAILER];
    put(&mut trailer, 0, &crc.to_le_bytes());
    put(&mut trailer, 4, &(!crc).to_le_bytes());
    trailer
}

impl GroupHeader {
    pub(crate) fn encode(&self, seed: u32, at: u64) -> [u8; GROUP_HEADER] {
        let mut header = [0; GROUP_HEADER];
        put(&mut header, 0, &self.durable.to_le_bytes());
        put(&mut header, 8, &self.prev_end.to_le_bytes());
        put(&mut header, 16, &self.batch_end.to_le_bytes());
        put(&mut header, 24, &self.successor.to_le_bytes());
        put(&mut header, 32, &self.len.to_le_bytes());
        header[36] = match self.kind {
            GroupKind::Records => 1,
            GroupKind::Seal => 2,
            GroupKind::Mark => 3,
        };
        header[37] = if self.then_page { GROUP_FLAG_PAGE } else { 0 };
        let crc = group_crc(&header, seed, at);
        put(&mut header, GROUP_CRC_AT, &crc.to_le_bytes());
        header
    }

    /// The header at the position `at`, if that is what stands there.
    pub(crate) fn decode(header: &[u8; GROUP_HEADER], seed: u32, at: u64) -> Option<Self> {
        if group_crc(header, seed, at) != u32_at(header, GROUP_CRC_AT) || !is_zero(&header[38..GROUP_CRC_AT]) {
            return None;
        }
        let kind = match header[36] {
            1 => GroupKind::Records,
            2 => GroupKind::Seal,
            3 => GroupKind::Mark,
            _ => return None,
        };
        let decoded = Self {
            kind,
            durable: u64_at(header, 0),
            prev_end: u64_at(header, 8),
            batch_end: u64_at(header, 16),
            successor: u64_at(header, 24),
            len: u32_at(header, 32),
            then_page: header[37] & GROUP_FLAG_PAGE != 0,
        };
        let len = decoded.len as usize;
        let whole = header[37] & !GROUP_FLAG_PAGE == 0
            && len >= GROUP_HEADER
            && (kind == GroupKind::Records || len == GROUP_HEADER)
            && decoded.prev_end <= at
            && decoded.durable <= decoded.prev_end
            && decoded.batch_end <= decoded.prev_end;
        whole.then_some(decoded)
    }

    /// Where the group after one whose last record ends at `end` starts. Positions and file offsets round alike, since
    /// segments start on pages.
    pub(crate) fn next_group(&self, end: u64) -> u64 {
        round_up(end + GROUP_TRAILER as u64, if self.then_page { PAGE } else { SECTOR })
    }
}

/// Whether the writing of a group may have stopped short within its header: the last byte is not there yet, and nothing
/// that follows in the sector. A whole group has its first record or its end mark there.
pub(crate) fn stops_in_header(sector: &[u8]) -> bool {
    sector.get(GROUP_HEADER - 1..).is_some_and(is_zero)
}

/// Whether the writing of a group stopped short before the end of its end mark.
pub(crate) fn stops_in_trailer(stored: &[u8], trailer: &[u8; GROUP_TRAILER]) -> bool {
    let there = stored.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    stored[..there] == trailer[..there]
}

fn frame_crc(seed: u32, at: u64, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(seed ^ FRAME_SALT ^ fold(at), rest)
}

/// Completes the frame at the position `at`, whose payload stands in `frame[8..]` already.
#[expect(clippy::cast_possible_truncation, reason = "payloads are at most MAX_PAYLOAD, far below 2^31")]
pub(crate) fn seal_frame(frame: &mut [u8], seed: u32, at: u64, more: bool) {
    let word = (frame.len() - FRAMING) as u32 | if more { MORE } else { 0 };
    put(frame, 4, &word.to_le_bytes());
    let crc = frame_crc(seed, at, &frame[4..]);
    put(frame, 0, &crc.to_le_bytes());
}

/// Length of the payload, and whether the batch goes on; unverified.
pub(crate) fn frame_word(start: [u8; FRAMING]) -> (usize, bool) {
    let word = u32_at(&start, 4);
    ((word & !MORE) as usize, word & MORE != 0)
}

/// Whether the whole frame (at least 8 bytes) verifies at the position `at`.
pub(crate) fn frame_verifies(frame: &[u8], seed: u32, at: u64) -> bool {
    frame_crc(seed, at, &frame[4..]) == u32_at(frame, 0)
}

impl Identity {
    pub(crate) fn start_lsn(&self) -> Lsn {
        Lsn::new(self.start)
    }
}

#[cfg(test)]
mod tests;
