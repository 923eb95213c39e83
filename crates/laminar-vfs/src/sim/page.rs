//! The bytes of one file: 4 KiB pages that copies share until one of them is written.
#![expect(clippy::indexing_slicing, reason = "places within a page are bounded by the loops that make them")]

use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::random::mix;

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
/// What space is given out in, and what copies of a disk share.
pub const PAGE_BYTES: usize = 4096;
const SECTORS: usize = PAGE_BYTES / SECTOR_BYTES;
const _: () = assert!(SECTORS == u8::BITS as usize, "a mask of sectors is a byte");

static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
static HOLE: Slot = Slot::Hole;

pub(super) struct Page {
    bytes: [u8; PAGE_BYTES],
    /// The hash of the bytes once someone asked for it, else 0.
    hash: AtomicU64,
}

impl Clone for Page {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes, hash: AtomicU64::new(0) }
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
    fn bytes(&self) -> &[u8; PAGE_BYTES] {
        match self {
            Self::Data(page) => &page.bytes,
            Self::Hole | Self::Zero => &ZEROS,
        }
    }

    pub(super) fn hash(&self) -> u64 {
        let Self::Data(page) = self else { return 0 };
        // The hash depends on nothing but the bytes, so two threads that race here store the same value.
        let known = page.hash.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        // A page of zeros must hash alike, whether it was written or never was.
        let hash = if page.bytes == ZEROS { 0 } else { xxh3_64(&page.bytes).max(1) };
        page.hash.store(hash, Ordering::Relaxed);
        hash
    }

    /// A page with `bytes` in sector `sector` and zeros elsewhere.
    pub(super) fn of_sector(sector: usize, bytes: &[u8]) -> Self {
        let mut body = Body::default();
        body.put(0, sector * SECTOR_BYTES, bytes);
        body.slot(0).clone()
    }

    pub(super) fn sector(&self, sector: usize) -> &[u8] {
        &self.bytes()[sector * SECTOR_BYTES..][..SECTOR_BYTES]
    }
}

/// The bytes and the length of a file in one of its two views. Bytes beyond the length are zero, except while
/// pending changes are laid over it; [`trim`](Self::trim) mends that.
#[derive(Clone, Default)]
pub(super) struct Body {
    len: u64,
    slots: Arc<Vec<Slot>>,
    allocated: u64,
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
            let into = &mut buf[filled..][..piece.len];
            into.copy_from_slice(&self.slot(piece.page).bytes()[piece.at..][..piece.len]);
            filled += piece.len;
        }
        len
    }

    /// All bytes, into memory of the same length that is zero already.
    pub(super) fn copy_onto_zeros(&self, into: &mut [u8]) {
        for (slot, into) in self.slots.iter().zip(into.chunks_mut(PAGE_BYTES)) {
            if let Slot::Data(page) = slot {
                into.copy_from_slice(&page.bytes[..into.len()]);
            }
        }
    }

    /// Puts `data` at `at` within a page; the length stays.
    pub(super) fn put(&mut self, page: usize, at: usize, data: &[u8]) {
        let slots = Arc::make_mut(&mut self.slots);
        if slots.len() <= page {
            slots.resize(page + 1, Slot::Hole);
        }
        let slot = &mut slots[page];
        if matches!(slot, Slot::Hole) {
            self.allocated += 1;
        }
        let whole = data.len() == PAGE_BYTES;
        match slot {
            Slot::Data(page) if !whole => {
                let page = Arc::make_mut(page);
                page.bytes[at..][..data.len()].copy_from_slice(data);
                page.hash = AtomicU64::new(0);
            }
            _ if *data == ZEROS[..data.len()] => *slot = Slot::Zero,
            _ => {
                let mut page = Page { bytes: ZEROS, hash: AtomicU64::new(0) };
                page.bytes[at..][..data.len()].copy_from_slice(data);
                *slot = Slot::Data(Arc::new(page));
            }
        }
    }

    /// Takes the sectors of `mask` from `from`.
    pub(super) fn put_sectors(&mut self, page: usize, mask: u8, from: &Slot) {
        if mask == u8::MAX {
            let slots = Arc::make_mut(&mut self.slots);
            if slots.len() <= page {
                slots.resize(page + 1, Slot::Hole);
            }
            if matches!(slots[page], Slot::Hole) && !matches!(from, Slot::Hole) {
                self.allocated += 1;
            }
            slots[page] = from.clone();
            return;
        }
        for sector in sectors(mask) {
            self.put(page, sector * SECTOR_BYTES, from.sector(sector));
        }
    }

    /// The sectors of a page that `data` at `at` would change.
    pub(super) fn changed(&self, page: usize, at: usize, data: &[u8]) -> u8 {
        let old = self.slot(page).bytes();
        let touched = touched(at, data.len());
        sectors(touched)
            .filter(|sector| {
                let from = at.max(sector * SECTOR_BYTES);
                let to = (at + data.len()).min((sector + 1) * SECTOR_BYTES);
                old[from..to] != data[from - at..to - at]
            })
            .fold(0, |mask, sector| mask | 1 << sector)
    }

    /// Cuts or extends; what is added is a hole.
    pub(super) fn set_len(&mut self, len: u64) {
        self.len = len;
        self.trim();
    }

    /// Extends without looking at what lies beyond the length.
    pub(super) fn grow(&mut self, len: u64) {
        self.len = len;
    }

    /// Zeroes and frees what lies beyond the length.
    pub(super) fn trim(&mut self) {
        let (pages, tail) = place(self.len);
        let kept = pages + usize::from(tail > 0);
        let tail_is_zero = tail == 0 || self.slot(pages).bytes()[tail..] == ZEROS[tail..];
        if self.slots.len() <= kept && tail_is_zero {
            return;
        }
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
        let pages = self.slots.iter().enumerate().map(|(page, slot)| (page as u64, slot.hash()));
        pages.filter(|(_, hash)| *hash != 0).fold(mix(self.len), |sum, (page, hash)| sum ^ mix(hash ^ mix(page)))
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
