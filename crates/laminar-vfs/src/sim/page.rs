//! The bytes of one file: pages of 4 KiB, of sectors that copies share until one of them is written.
#![expect(clippy::indexing_slicing, reason = "places within a page are bounded by the loops that make them")]

use crate::Region;
use crate::sync::{AtomicU64, Ordering};
use std::io::{Error as IoError, ErrorKind};
use std::sync::{Arc, OnceLock};

use xxhash_rust::xxh3::xxh3_64;

use super::random::mix;

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
/// What space is given out in, and what copies of a disk share.
pub const PAGE_BYTES: usize = 4096;
const SECTORS: usize = PAGE_BYTES / SECTOR_BYTES;
const _: () = assert!(SECTORS == u8::BITS as usize, "a mask of sectors is a byte");

static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
static ZERO_SECTOR: Sector = [0; SECTOR_BYTES];
static HOLE: Slot = Slot::Hole;

type Sector = [u8; SECTOR_BYTES];

/// Space is given out in pages; memory in sectors, of which a small log writes few.
#[derive(Default)]
pub(super) struct Page {
    /// Nothing stands for zeros.
    sectors: [Option<Arc<Sector>>; SECTORS],
    /// The hash of the bytes once someone asked for it, else 0.
    hash: AtomicU64,
}

impl Clone for Page {
    fn clone(&self) -> Self {
        Self { sectors: self.sectors.clone(), hash: AtomicU64::new(0) }
    }
}

impl Page {
    fn sector(&self, sector: usize) -> &Sector {
        self.sectors[sector].as_deref().unwrap_or(&ZERO_SECTOR)
    }

    fn put(&mut self, at: usize, data: &[u8]) {
        self.hash = AtomicU64::new(0);
        let mut rest = data;
        for SectorPiece { sector, at, len } in sector_pieces(at, data.len()) {
            let (chunk, after) = rest.split_at(len);
            rest = after;
            let place = &mut self.sectors[sector];
            match (place.as_mut(), chunk.first_chunk::<SECTOR_BYTES>()) {
                (_, Some(whole)) if *whole == ZERO_SECTOR => *place = None,
                (_, Some(whole)) => *place = Some(Arc::new(*whole)),
                (Some(old), None) => Arc::make_mut(old)[at..at + len].copy_from_slice(chunk),
                (None, None) if *chunk == ZERO_SECTOR[..len] => {}
                (None, None) => {
                    let mut bytes = ZERO_SECTOR;
                    bytes[at..at + len].copy_from_slice(chunk);
                    *place = Some(Arc::new(bytes));
                }
            }
        }
    }
}

/// One page of a file.
#[derive(Clone, Default)]
pub(super) enum Slot {
    /// Reads as zero and takes no space.
    #[default]
    Hole,
    /// Zeros that were written: they take space on the disk, and none in memory.
    Zero,
    Data(Arc<Page>),
}

impl Slot {
    pub(super) fn hash(&self) -> u64 {
        let Self::Data(page) = self else { return 0 };
        // The hash depends on nothing but the bytes, so two threads that race here store the same value.
        let known = page.hash.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        // A sector of zeros must hash alike, whether it was written or never was.
        let written = page.sectors.iter().enumerate().filter_map(|(place, bytes)| Some((place, bytes.as_deref()?)));
        let hashes = written.filter(|(_, bytes)| **bytes != ZERO_SECTOR);
        let hash = hashes.fold(0, |sum, (place, bytes)| sum ^ mix(xxh3_64(bytes) ^ mix(place as u64)).max(1));
        page.hash.store(hash, Ordering::Relaxed);
        hash
    }

    /// A page with `bytes` in sector `sector` and zeros elsewhere.
    pub(super) fn of_sector(sector: usize, bytes: &[u8]) -> Self {
        let mut body = Body::default();
        body.put(0, sector * SECTOR_BYTES, bytes);
        body.slot(0).clone()
    }

    pub(super) fn sector(&self, sector: usize) -> &Sector {
        match self {
            Self::Data(page) => page.sector(sector),
            Self::Hole | Self::Zero => &ZERO_SECTOR,
        }
    }

    fn read(&self, at: usize, into: &mut [u8]) {
        let Self::Data(page) = self else { return into.fill(0) };
        let mut rest = into;
        for SectorPiece { sector, at, len } in sector_pieces(at, rest.len()) {
            let (chunk, after) = rest.split_at_mut(len);
            rest = after;
            match &page.sectors[sector] {
                Some(bytes) => chunk.copy_from_slice(&bytes[at..at + len]),
                None => chunk.fill(0),
            }
        }
    }

    /// Whether nothing but zeros stands from `at` on.
    fn is_zero_from(&self, at: usize) -> bool {
        let Self::Data(page) = self else { return true };
        sector_pieces(at, PAGE_BYTES - at).all(|SectorPiece { sector, at, len }| {
            page.sectors[sector].as_ref().is_none_or(|bytes| bytes[at..at + len] == ZERO_SECTOR[..len])
        })
    }
}

/// The bytes and the length of a file in one of its two views. Bytes beyond the length are zero, except while
/// pending changes are laid over it; [`trim`](Self::trim) mends that.
#[derive(Clone, Default)]
pub(super) struct Body {
    len: u64,
    slots: Arc<Vec<Slot>>,
    allocated: u64,
    derived: Derived,
}

/// What follows from the bytes of a file, once someone has asked for it. Copies of a disk share it: most files are the same in
/// thousands of them, and are opened in each.
#[derive(Default)]
struct Derived {
    /// The hash of length and bytes, else 0.
    hash: AtomicU64,
    /// The bytes in one piece.
    region: OnceLock<Arc<Region>>,
}

impl Clone for Derived {
    fn clone(&self) -> Self {
        Self { hash: AtomicU64::new(self.hash.load(Ordering::Relaxed)), region: self.region.clone() }
    }
}

impl Body {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// How many pages take space.
    pub(super) fn allocated(&self) -> u64 {
        self.allocated
    }

    pub(super) fn slot(&self, page: usize) -> &Slot {
        self.slots.get(page).unwrap_or(&HOLE)
    }

    pub(super) fn is_hole(&self, page: usize) -> bool {
        matches!(self.slot(page), Slot::Hole)
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let len = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let mut filled = 0;
        for piece in pieces(offset, len) {
            self.slot(piece.page).read(piece.at, &mut buf[filled..][..piece.len]);
            filled += piece.len;
        }
        len
    }

    /// The first `len` bytes; where these are all, in memory that is shared with whoever asks before they change.
    pub(super) fn region(&self, len: u64) -> Result<Region, IoError> {
        if len > self.len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(region) = self.derived.region.get().filter(|_| len == self.len) {
            return Ok(Region::showing(region));
        }
        let bytes = usize::try_from(len).map_err(|_| ErrorKind::OutOfMemory)?;
        Region::expect_room(bytes)?;
        let region = Region::filled_by(bytes, |into| {
            self.copy_onto_zeros(into);
            Ok::<(), IoError>(())
        })?;
        if len < self.len {
            return Ok(region);
        }
        Ok(Region::showing(self.derived.region.get_or_init(|| Arc::new(region))))
    }

    /// All bytes, into memory of the same length that is zero already.
    fn copy_onto_zeros(&self, into: &mut [u8]) {
        for (slot, into) in self.slots.iter().zip(into.chunks_mut(PAGE_BYTES)) {
            if let Slot::Data(page) = slot {
                for (sector, into) in page.sectors.iter().zip(into.chunks_mut(SECTOR_BYTES)) {
                    if let Some(bytes) = sector {
                        into.copy_from_slice(&bytes[..into.len()]);
                    }
                }
            }
        }
    }

    /// The slot of a page, which takes space from here on.
    fn take_slot(&mut self, page: usize) -> &mut Slot {
        self.derived = Derived::default();
        let slots = Arc::make_mut(&mut self.slots);
        if slots.len() <= page {
            slots.resize(page + 1, Slot::Hole);
        }
        let slot = &mut slots[page];
        if matches!(slot, Slot::Hole) {
            self.allocated += 1;
            *slot = Slot::Zero;
        }
        slot
    }

    /// Puts `data` at `at` within a page; the length stays.
    pub(super) fn put(&mut self, page: usize, at: usize, data: &[u8]) {
        let slot = self.take_slot(page);
        match slot {
            Slot::Data(page) if data.len() < PAGE_BYTES => Arc::make_mut(page).put(at, data),
            _ if *data == ZEROS[..data.len()] => *slot = Slot::Zero,
            _ => {
                let mut page = Page::default();
                page.put(at, data);
                *slot = Slot::Data(Arc::new(page));
            }
        }
    }

    /// Takes the sectors of `mask` from `from`.
    pub(super) fn put_sectors(&mut self, page: usize, mask: u8, from: &Slot) {
        let slot = self.take_slot(page);
        if mask == u8::MAX {
            *slot = if let Slot::Data(_) = from { from.clone() } else { Slot::Zero };
            return;
        }
        let of = |sector: usize| if let Slot::Data(page) = from { page.sectors[sector].clone() } else { None };
        if let Slot::Zero = slot {
            *slot = Slot::Data(Arc::default());
        }
        if let Slot::Data(page) = slot {
            let page = Arc::make_mut(page);
            page.hash = AtomicU64::new(0);
            sectors(mask).for_each(|sector| page.sectors[sector] = of(sector));
        }
    }

    /// The sectors of a page that `data` at `at` would change.
    pub(super) fn changed(&self, page: usize, at: usize, data: &[u8]) -> u8 {
        let old = self.slot(page);
        let mut rest = data;
        let mut mask = 0;
        for SectorPiece { sector, at, len } in sector_pieces(at, data.len()) {
            let (chunk, after) = rest.split_at(len);
            rest = after;
            if old.sector(sector)[at..at + len] != *chunk {
                mask |= 1 << sector;
            }
        }
        mask
    }

    /// Cuts or extends; what is added is a hole.
    pub(super) fn set_len(&mut self, len: u64) {
        self.grow(len);
        self.trim();
    }

    /// Extends without looking at what lies beyond the length.
    pub(super) fn grow(&mut self, len: u64) {
        self.len = len;
        self.derived = Derived::default();
    }

    /// Zeroes and frees what lies beyond the length.
    pub(super) fn trim(&mut self) {
        let (pages, tail) = place(self.len);
        let kept = pages + usize::from(tail > 0);
        let tail_is_zero = tail == 0 || self.slot(pages).is_zero_from(tail);
        if self.slots.len() <= kept && tail_is_zero {
            return;
        }
        self.derived = Derived::default();
        let slots = Arc::make_mut(&mut self.slots);
        let gone = slots.iter().skip(kept).filter(|slot| !matches!(slot, Slot::Hole)).count();
        self.allocated -= gone as u64;
        slots.truncate(kept);
        if !tail_is_zero {
            self.put(pages, tail, &ZEROS[tail..]);
        }
    }

    /// Equal for equal lengths and bytes, whether zeros are written or holes.
    pub(super) fn hash(&self) -> u64 {
        // As with pages: whoever races here stores the same value.
        let known = self.derived.hash.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let pages = self.slots.iter().enumerate().map(|(page, slot)| (page as u64, slot.hash()));
        let pages = pages.filter(|(_, hash)| *hash != 0);
        let hash = pages.fold(mix(self.len), |sum, (page, hash)| sum ^ mix(hash ^ mix(page))).max(1);
        self.derived.hash.store(hash, Ordering::Relaxed);
        hash
    }
}

/// The part of a range that lies in one page.
pub(super) struct Piece {
    pub(super) page: usize,
    pub(super) at: usize,
    pub(super) len: usize,
}

/// A range of a file, page by page.
pub(super) fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let (mut page, mut at) = place(offset);
    let mut left = len;
    std::iter::from_fn(move || {
        let len = left.min(PAGE_BYTES - at);
        let piece = (len > 0).then_some(Piece { page, at, len });
        left -= len;
        page += 1;
        at = 0;
        piece
    })
}

/// The part of a range within a page that lies in one sector.
struct SectorPiece {
    sector: usize,
    at: usize,
    len: usize,
}

/// A range within a page, sector by sector.
fn sector_pieces(at: usize, len: usize) -> impl Iterator<Item = SectorPiece> {
    let (mut sector, mut at, mut left) = (at / SECTOR_BYTES, at % SECTOR_BYTES, len);
    std::iter::from_fn(move || {
        let len = left.min(SECTOR_BYTES - at);
        let piece = (len > 0).then_some(SectorPiece { sector, at, len });
        left -= len;
        sector += 1;
        at = 0;
        piece
    })
}

/// The page of an offset, and the place in it.
#[expect(clippy::cast_possible_truncation, reason = "files are bounded far below what a usize counts in pages")]
pub(super) fn place(offset: u64) -> (usize, usize) {
    ((offset / PAGE_BYTES as u64) as usize, (offset % PAGE_BYTES as u64) as usize)
}

/// The mask of the sectors that a range within a page touches.
pub(super) fn touched(at: usize, len: usize) -> u8 {
    let first = at / SECTOR_BYTES;
    let end = (at + len).div_ceil(SECTOR_BYTES);
    (first..end).fold(0, |mask, sector| mask | 1 << sector)
}

/// The numbers of the sectors in a mask.
pub(super) fn sectors(mask: u8) -> impl Iterator<Item = usize> {
    (0..SECTORS).filter(move |sector| mask & (1 << sector) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_have_equal_hashes_however_they_came_about() {
        let mut body = Body::default();
        body.put(3, 100, b"x");
        body.grow(20_000);
        let hash = body.hash();
        assert_eq!(hash, body.clone().hash());
        body.put(3, 100, b"y");
        assert_ne!(hash, body.hash(), "a hash that was kept is forgotten");
        body.put(3, 100, b"x");
        assert_eq!(hash, body.hash());
        let mut moved = Body::default();
        moved.put(2, 100, b"x");
        moved.grow(20_000);
        assert_ne!(hash, moved.hash());

        let mut sparse = Body::default();
        sparse.grow(20_000);
        body.put(3, 100, &[0]);
        assert_eq!(sparse.hash(), body.hash(), "zeros are zeros, written or not");
        sparse.set_len(19_999);
        assert_ne!(sparse.hash(), body.hash());
    }

    #[test]
    fn ranges_fall_into_pages_and_sectors() {
        let found: Vec<_> = pieces(4000, 4300).map(|piece| (piece.page, piece.at, piece.len)).collect();
        assert_eq!(found, [(0, 4000, 96), (1, 0, 4096), (2, 0, 108)]);
        assert_eq!(pieces(5, 0).count(), 0);
        assert_eq!((touched(0, 512), touched(511, 2), touched(4000, 96)), (1, 0b11, 0x80));
        assert_eq!(sectors(0b1000_0101).collect::<Vec<_>>(), [0, 2, 7]);
    }
}
