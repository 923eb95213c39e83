//! Blocks: the trailer that every one ends with, and the entries of a data block.

use laminar_vfs::planted;

use super::PAGE;
use super::bytes::{count32, index, put_at, u32_at};
use super::fixed::Shape;
use super::run::head;
use crate::archive::ROOT;
use crate::hash::LINE;
use crate::key::Key;

/// Bytes at the end of every block that vouch for the rest.
pub(crate) const TRAILER: usize = 16;
/// The unit in which entries are placed.
pub(crate) const CELL: usize = 16;
/// Bytes of an entry's header: length of the key, length of the value.
pub(crate) const ENTRY_HEADER: usize = 8;
/// The bit of the value's length that marks a tombstone.
const TOMBSTONE: u32 = 1 << 31;

/// What a block holds. A block that is looked for as one of data may be fixed as well: what it is stands in its trailer alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Data = 1,
    Wide = 2,
    Hash = 3,
    Heads = 4,
    Filter = 5,
    Parity = 6,
    Fixed = 7,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Data | Self::Wide | Self::Fixed => "data",
            Self::Hash => "hash",
            Self::Heads => "heads",
            Self::Filter => "filter",
            Self::Parity => "parity",
        }
    }
}

/// The part of a block's checksum that is the same in all blocks of a run.
pub(crate) fn run_seed(run_id: u128) -> u32 {
    crc32c::crc32c(&run_id.to_le_bytes())
}

fn crc(seed: u32, offset: u64, payload: &[u8], tail: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(seed, &offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, payload), tail)
}

/// Writes the trailer of a block that lies at `offset` in the file; returns its checksum.
pub(crate) fn seal(block: &mut [u8], kind: Kind, seed: u32, offset: u64, word: u32) -> u32 {
    let payload_len = block.len() - TRAILER;
    let mut tail = [0; TRAILER - 4];
    put_at(&mut tail, 0, &[kind as u8]);
    put_at(&mut tail, 4, &count32(block.len()).to_le_bytes());
    put_at(&mut tail, 8, &word.to_le_bytes());
    let (payload, _) = block.split_at(payload_len);
    let crc = crc(seed, offset, payload, &tail);
    put_at(block, payload_len, &crc.to_le_bytes());
    put_at(block, payload_len + 4, &tail);
    crc
}

/// The payload of a block that verifies as this kind, at this offset, of this run.
pub(crate) fn checked(block: &[u8], kind: Kind, seed: u32, offset: u64) -> Option<&[u8]> {
    let (payload, trailer) = block.split_at_checked(block.len().checked_sub(TRAILER)?)?;
    let (stated, tail) = trailer.split_first_chunk::<4>()?;
    let intact = crc(seed, offset, payload, tail) == u32::from_le_bytes(*stated);
    let kind = if kind == Kind::Data && is_fixed(block) { Kind::Fixed } else { kind };
    let mut expected = [0; 8];
    put_at(&mut expected, 0, &[kind as u8]);
    put_at(&mut expected, 4, &u32::try_from(block.len()).ok()?.to_le_bytes());
    let word_is_due = kind == Kind::Parity || trailer.ends_with(&[0; 4]);
    (intact && tail.starts_with(&expected) && word_is_due).then_some(payload)
}

/// Whether a block's trailer says that it is fixed.
pub(crate) fn is_fixed(block: &[u8]) -> bool {
    block.len().checked_sub(TRAILER - 4).and_then(|at| block.get(at)) == Some(&(Kind::Fixed as u8))
}

/// The checksum in a block's trailer.
pub(crate) fn stated_crc(block: &[u8]) -> Option<u32> {
    u32_at(block, block.len().checked_sub(TRAILER)?)
}

/// The last word of a block's trailer: of a parity block, the other blocks' checksums combined.
pub(crate) fn stated_word(block: &[u8]) -> Option<u32> {
    u32_at(block, block.len().checked_sub(4)?)
}

/// An entry where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a [u8],
    /// Nothing if the entry is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
}

/// A block without its trailer.
#[inline]
fn payload(block: &[u8]) -> Option<&[u8]> {
    block.get(..block.len().checked_sub(TRAILER)?)
}

/// The entry at this place in a data block, as a slot of the index names it: its cell, or its number in a fixed block.
#[inline]
pub(crate) fn entry_in_place(block: &[u8], shape: Option<Shape>, place: usize) -> Option<Entry<'_>> {
    let payload = payload(block)?;
    if is_fixed(block) { shape?.entry(payload, place) } else { entry_at(payload, place) }
}

/// The entry whose header lies in cell number `cell` of `area`.
#[inline]
fn entry_at(area: &[u8], cell: usize) -> Option<Entry<'_>> {
    entry_in(area.get(cell * CELL + CELL - ENTRY_HEADER..)?)
}

/// The entry whose header `area` begins with.
#[inline]
pub(crate) fn entry_in(area: &[u8]) -> Option<Entry<'_>> {
    let (header, rest) = area.split_first_chunk::<ENTRY_HEADER>()?;
    let header = u64::from_le_bytes(*header);
    let (key_len, word) = (header & u64::from(u32::MAX), header >> 32);
    let (value, rest) = rest.split_at_checked(index(word & !u64::from(TOMBSTONE)))?;
    let key = rest.get(..index(key_len))?;
    Some(Entry { key, value: (word & u64::from(TOMBSTONE) == 0).then_some(value) })
}

/// Has the processor fetch the lines of memory that the entry at the start of `area` lies in, as far as it is not longer than a
/// hundred bytes or so: the key lies behind the value, and how long that is stands at the start, so they would be waited for
/// one after the other.
#[inline]
pub(crate) fn prefetch_entry(area: &[u8]) {
    let line = |ahead| area.get(ENTRY_HEADER + ahead * LINE).copied().unwrap_or_default();
    std::hint::black_box(line(1) ^ line(2));
}

/// The same for all of `block`.
pub(crate) fn prefetch_block(block: &[u8]) {
    let four = block.as_chunks::<{ 4 * LINE }>().0.iter();
    std::hint::black_box(four.fold(0, |sum, four| sum ^ four[0] ^ four[LINE] ^ four[2 * LINE] ^ four[3 * LINE]));
}

/// A data block, read in place.
///
/// One that is not fixed is an rkyv archive, and its two vectors are found here as rkyv finds them: each is where its place plus a
/// distance says, and as long as it says. rkyv's own checked access visits every item of a vector, also where there is
/// nothing to check, which costs more than the lookup it is for; here only the bounds are checked, and entries when they
/// are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data<'a> {
    /// Where the entries lie.
    area: &'a [u8],
    places: Places<'a>,
}

/// How an entry's place follows from its number.
#[derive(Debug, Clone, Copy)]
enum Places<'a> {
    /// The cell of each.
    Cells(&'a [[u8; 2]]),
    /// So many of this shape.
    Fixed(Shape, usize),
}

impl<'a> Data<'a> {
    /// No entries.
    pub(crate) const NONE: Self = Self { area: &[], places: Places::Cells(&[]) };

    /// Reads a data block in place, of a chapter whose fixed blocks have this shape. Constant time.
    #[inline]
    pub(crate) fn new(block: &'a [u8], shape: Option<Shape>) -> Option<Self> {
        let payload = payload(block)?;
        if is_fixed(block) {
            let shape = shape?;
            let count = shape.per_block(block.len()) - usize::from(planted("fixed-block-without-last-entry"));
            return Some(Self { area: payload, places: Places::Fixed(shape, count) });
        }
        Self::archived(payload)
    }

    #[inline]
    fn archived(payload: &'a [u8]) -> Option<Self> {
        let (before, root) = payload.split_last_chunk::<ROOT>()?;
        let [cells_back, cells, entries_back, entries] = root.as_chunks::<4>().0 else { return None };
        let number = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
        let back = |bytes: &[u8; 4]| usize::try_from(i32::from_le_bytes(*bytes).checked_neg()?).ok();
        // The index counts cells from the start of the block, so they must begin there.
        let cells_at = before.len().checked_sub(back(cells_back)?)?;
        let area = before.get(..number(cells)?.checked_mul(CELL)?).filter(|_| cells_at == 0)?;
        let entries_at = (before.len() + ROOT / 2).checked_sub(back(entries_back)?)?;
        let entries = before.get(entries_at..)?.as_chunks::<2>().0.get(..number(entries)?)?;
        (!entries.is_empty()).then_some(Self { area, places: Places::Cells(entries) })
    }

    pub(crate) fn len(&self) -> usize {
        match self.places {
            Places::Cells(cells) => cells.len(),
            Places::Fixed(_, count) => count,
        }
    }

    #[inline]
    pub(crate) fn entry(&self, at: usize) -> Option<Entry<'a>> {
        match self.places {
            Places::Cells(cells) => entry_at(self.area, usize::from(u16::from_le_bytes(*cells.get(at)?))),
            Places::Fixed(shape, count) => shape.entry(self.area, Some(at).filter(|&at| at < count)?),
        }
    }

    /// The number of entries below `key`, which begins, as all entries do, with the same `prefix` bytes: the eight behind them decide
    /// nearly always, without a call.
    pub(crate) fn lower_bound(&self, key: Key<'_>, prefix: usize) -> Option<usize> {
        let sought = key.head(prefix);
        let is_first = key.is_first_of_head(prefix);
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.entry(middle)?.key;
            let head = head(entry, prefix);
            let is_below = if head == sought { !is_first && key.cmp(entry).is_gt() } else { head < sought };
            if is_below { low = middle + 1 } else { high = middle }
        }
        Some(low)
    }
}

/// Appends entries to a buffer as one data block, which begins where the buffer ended.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    start: usize,
    entries: Vec<u16>,
}

/// Where the header of the entry goes that comes after `end` bytes: eight bytes before a cell begins.
fn header_after(end: usize) -> usize {
    (end + ENTRY_HEADER - 1) / CELL * CELL + (CELL - ENTRY_HEADER)
}

/// Bytes of a block in which the entries end at `end`.
fn block_bytes(end: usize, entries: usize) -> usize {
    end.next_multiple_of(CELL) + (2 * entries).next_multiple_of(4) + ROOT + TRAILER
}

/// Bytes of the smallest block, a multiple of `unit`, that holds one entry of these lengths.
pub(crate) fn lone_block_bytes(unit: usize, key_bytes: usize, value_bytes: usize) -> usize {
    block_bytes(CELL + key_bytes + value_bytes, 1).next_multiple_of(unit)
}

/// Bytes that an entry takes among others.
pub(crate) fn entry_bytes(key_bytes: usize, value_bytes: usize) -> usize {
    header_after(ENTRY_HEADER + ENTRY_HEADER + key_bytes + value_bytes) - ENTRY_HEADER + 2
}

impl BlockBuilder {
    /// Begins a block at the end of `out`.
    pub(crate) fn begin(&mut self, out: &[u8]) {
        self.start = out.len();
        self.entries.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether an entry of these lengths still fits into a block of `size` bytes.
    pub(crate) fn fits(&self, out: &[u8], size: usize, key_bytes: usize, value_bytes: usize) -> bool {
        let end = header_after(out.len() - self.start) + ENTRY_HEADER + key_bytes + value_bytes;
        block_bytes(end, self.entries.len() + 1) <= size
    }

    /// Appends an entry; returns its cell, counted from the start of the block.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) -> u32 {
        let header = header_after(out.len() - self.start);
        out.resize(self.start + header, 0);
        let word = value.map_or(TOMBSTONE, |value| count32(value.len()));
        out.extend_from_slice(&count32(key.len()).to_le_bytes());
        out.extend_from_slice(&word.to_le_bytes());
        out.extend_from_slice(value.unwrap_or_default());
        out.extend_from_slice(key);
        let cell = header / CELL;
        self.entries.push(u16::try_from(cell).expect("a block with several entries has at most 1024 cells"));
        count32(cell)
    }

    /// Completes the block to `size` bytes, all but the trailer; returns where in `out` it begins.
    ///
    /// This writes what rkyv would: two vectors, each as the distance from its own place and the number of its items.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, size: usize) -> usize {
        let cells_end = (out.len() - self.start).next_multiple_of(CELL);
        out.resize(self.start + cells_end, 0);
        for entry in &self.entries {
            out.extend_from_slice(&entry.to_le_bytes());
        }
        let root = size - TRAILER - ROOT;
        out.resize(self.start + root, 0);
        let back =
            |from: usize, to: usize| (i32::try_from(from - to).expect("blocks are far below 2 GiB")).wrapping_neg();
        out.extend_from_slice(&back(root, 0).to_le_bytes());
        out.extend_from_slice(&count32(cells_end / CELL).to_le_bytes());
        out.extend_from_slice(&back(root + 8, cells_end).to_le_bytes());
        out.extend_from_slice(&count32(self.entries.len()).to_le_bytes());
        out.resize(self.start + size, 0);
        self.entries.clear();
        self.start
    }
}

const _: () = assert!(PAGE.is_multiple_of(CELL) && ROOT + TRAILER < PAGE);

#[cfg(test)]
mod tests {
    use rkyv::rancor::Error;

    use super::*;
    use crate::archive;

    fn sample() -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        (0..20u8)
            .map(|i| (vec![i; usize::from(i) % 7 + 1], (i % 5 != 0).then(|| vec![i; usize::from(i) * 3])))
            .collect()
    }

    fn built() -> Vec<u8> {
        let (mut out, mut builder) = (vec![9; 32], BlockBuilder::default());
        builder.begin(&out);
        for (key, value) in sample() {
            assert!(builder.fits(&out, PAGE, key.len(), value.as_ref().map_or(0, Vec::len)));
            builder.push(&mut out, &key, value.as_deref());
        }
        assert_eq!(builder.finish(&mut out, PAGE), 32);
        let mut block = out.split_off(32);
        assert_eq!(block.len(), PAGE);
        seal(&mut block, Kind::Data, 7, 4096, 0);
        block
    }

    /// Bytes on a boundary of 16, as blocks are in memory.
    fn aligned(bytes: &[u8]) -> laminar_vfs::Region {
        laminar_vfs::Region::copy_of(bytes)
    }

    #[test]
    fn entries_come_back_with_aligned_values() {
        let block = aligned(&built());
        assert!(checked(&block, Kind::Data, 7, 4096).is_some());
        let data = Data::new(&block, None).unwrap();
        assert_eq!(data.len(), sample().len());
        for (at, (key, value)) in sample().iter().enumerate() {
            let entry = data.entry(at).unwrap();
            assert_eq!((entry.key, entry.value), (key.as_slice(), value.as_deref()));
            assert_eq!(data.lower_bound(key.as_slice().into(), 0), Some(at));
            if let Some(value) = entry.value {
                assert_eq!(value.as_ptr() as usize % 16, 0);
            }
        }
    }

    #[test]
    fn a_block_verifies_nowhere_else() {
        let block = built();
        assert!(checked(&block, Kind::Data, 7, 8192).is_none(), "at another offset");
        assert!(checked(&block, Kind::Data, 8, 4096).is_none(), "in another run");
        assert!(checked(&block, Kind::Hash, 7, 4096).is_none(), "as another kind");
        assert!(checked(&block[..2048], Kind::Data, 7, 4096).is_none(), "cut short");
        assert!(checked(&[], Kind::Data, 7, 4096).is_none());
    }

    /// What is written by hand is what rkyv's own serializer makes of the same value, but for the place of the root.
    #[test]
    fn the_archive_is_rkyvs() {
        #[derive(rkyv::Archive, rkyv::Serialize)]
        struct Twin {
            cells: Vec<[u128; 1]>,
            entries: Vec<u16>,
        }
        let block = aligned(&built());
        let ours = archive::block(&block[..PAGE - TRAILER]).unwrap();
        let cells: &[u8] = bytemuck::cast_slice(ours.cells.as_slice());
        let cells = cells.chunks_exact(16).map(|cell| [u128::from_le_bytes(cell.try_into().unwrap())]).collect();
        let twin = Twin { cells, entries: ours.entries.iter().map(|cell| cell.to_native()).collect() };
        let theirs = rkyv::to_bytes::<Error>(&twin).unwrap();
        let theirs = archive::block(&theirs).unwrap();
        assert_eq!(
            bytemuck::cast_slice::<_, u8>(theirs.cells.as_slice()),
            bytemuck::cast_slice::<_, u8>(ours.cells.as_slice())
        );
        assert_eq!(theirs.entries.as_slice(), ours.entries.as_slice());
    }

    #[test]
    fn hostile_lengths_are_refused() {
        let mut area = vec![0; 64];
        put_at(&mut area, 8, &u32::MAX.to_le_bytes());
        assert_eq!(entry_at(&area, 0), None);
        put_at(&mut area, 8, &[0; 4]);
        put_at(&mut area, 12, &0x7fff_ffffu32.to_le_bytes());
        assert_eq!(entry_at(&area, 0), None);
        assert_eq!(entry_at(&area, usize::MAX / CELL - 1), None);
    }
}
