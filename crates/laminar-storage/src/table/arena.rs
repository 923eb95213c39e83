//! Memory for entries: chunks of 16-byte cells, handed out in blocks and taken back into free lists by size. Owns the
//! bytes of all entries; knows neither their order nor their hashes.
//!
//! A block is named by a [`Slot`]: chunk and first cell in 32 bits, which reaches 64 GiB. Free blocks are linked through
//! their own first cell, so that no list ever has to grow, and a chunk whose last block is freed goes back to the
//! system. Nothing here takes time in proportion to the whole: the dearest step is to let go of one chunk.

use laminar_vfs::{PageSource, Pages, prefetch};

use super::arriving::ARRIVALS;
use super::block::{self, Block, CELL_BYTES, FREE, Layout, MAX_BYTES, NOT_AN_ENTRY, SHIFT};
use super::key::Key;
use crate::{Error, Result};

mod class;
mod room;
mod walk;

use class::{CLASSES, LARGEST, class_at_most, class_of};
use room::Room;

/// Names a block: the chunk in the high bits, the first cell within it in the low ones.
pub(super) type Slot = u32;

/// The bits of a slot that name a cell; a chunk has this many bits of cells, 2 MiB.
const CELL_BITS: u32 = 17;
const CHUNK_BYTES: usize = CELL_BYTES << CELL_BITS;
/// Cells of a chunk: the last one would end behind it.
const CHUNK_CELLS: usize = cells_in(CHUNK_BYTES);
/// The first piece of memory, and by what it grows until it is as long as the others. Growing copies it, which takes the time of
/// the first touch of a few hundred pages at the worst.
pub(super) const FIRST_BYTES: usize = 16 << 10;
pub(super) const GROWTH: usize = 4;
/// As many as 32 bits can name.
const CHUNKS: usize = 1 << (32 - CELL_BITS);
/// A key and a value below it make an entry that certainly fits into a block of a class.
const SHORT_BYTES: usize = LARGEST * CELL_BYTES / 4;
/// Names no chunk: not the first one either, which may be that of a single large block.
const NONE_OPEN: usize = usize::MAX;
/// The end of a free list.
const NO_SLOT: Slot = Slot::MAX;
/// Where a free block keeps how many cells it has, the previous one and the next one.
const CELLS: usize = 4;
const PREVIOUS: usize = 8;
const NEXT: usize = 12;

const _: () = assert!(CHUNK_BYTES == PageSource::BYTES);

#[derive(Debug, Default)]
struct Chunk {
    /// No bytes where the chunk was let go. A chunk of one large block may be longer than the others.
    pages: Pages,
    /// Cells handed out so far; blocks lie end to end below.
    used: usize,
    /// Cells in blocks that are not free.
    taken: usize,
}

/// Chunks and free lists.
#[derive(Debug)]
pub(super) struct Arena {
    /// Where memory comes from, also that of index and order.
    source: PageSource,
    chunks: Vec<Chunk>,
    /// Chunks that were let go and whose numbers can be used again.
    vacant: Vec<usize>,
    /// The chunk that new blocks are cut from; [`NONE_OPEN`] at first.
    open: usize,
    /// The first free block of each class.
    free: [Slot; CLASSES],
    /// The memory of the chunk last let go, kept so that a size near a boundary does not ask the system each time.
    spare: Option<Pages>,
    resident_cells: usize,
    /// Chunk and cell where [`Arena::walk`] goes on: the start of a block.
    hand: (usize, usize),
    room: Room,
    in_bulk: bool,
}

#[expect(clippy::indexing_slicing, reason = "slots are made here, and name cells of chunks that exist")]
impl Arena {
    pub(super) const fn new(source: PageSource) -> Self {
        Self {
            source,
            chunks: Vec::new(),
            vacant: Vec::new(),
            open: NONE_OPEN,
            free: [NO_SLOT; CLASSES],
            spare: None,
            resident_cells: 0,
            hand: (0, 0),
            room: Room::new(),
            in_bulk: false,
        }
    }

    /// More memory of the table. The `first` is small, for its owner to grow: a small table costs little, also to make.
    pub(super) fn pages(&self, is_first: bool) -> Pages {
        match (self.in_bulk, is_first) {
            (true, _) => self.source.take_huge(),
            (false, true) => Pages::small(FIRST_BYTES),
            (false, false) => self.source.take(),
        }
    }

    /// Whether much memory is going to be taken in a row, and nobody minds a wait.
    pub(super) fn set_in_bulk(&mut self, in_bulk: bool) {
        self.in_bulk = in_bulk;
    }

    /// Bounds the memory of entries to about so many bytes, a chunk at least; never above what slots can name.
    pub(super) fn set_limit(&mut self, bytes: u64) {
        self.room.set_limit(bytes);
    }

    /// Whether there is a chunk to spare, and an entry certainly needs none of its own: then it finds room.
    #[inline]
    pub(super) fn has_room_for_short(&self, key_bytes: usize, value_bytes: usize) -> bool {
        self.room.left() >= CHUNK_BYTES as u64 && (key_bytes | value_bytes) < SHORT_BYTES
    }

    /// Succeeds exactly if [`insert`](Self::insert) would find room for an entry now, and fails as that would.
    pub(super) fn check_room(&self, key_bytes: usize, value_bytes: usize) -> Result<()> {
        let cells = Layout::new(key_bytes, value_bytes).cells();
        if self.has_room(class_of(cells)) { Ok(()) } else { Err(self.full(cells)) }
    }

    fn has_room(&self, class: class::Class) -> bool {
        if class.cells > LARGEST {
            return chunk_bytes(class.cells) as u64 <= self.room.left();
        }
        // The open chunk may still be short, but can grow to the length of all.
        let open = self.chunks.get(self.open).map_or(0, |open| CHUNK_CELLS - open.used);
        self.room.left() >= CHUNK_BYTES as u64 || self.free[class.index] != NO_SLOT || open >= class.cells
    }

    /// Whether a few short entries find room, whatever else there is.
    #[inline]
    pub(super) fn has_plenty(&self) -> bool {
        self.room.left() > (ARRIVALS * CHUNK_BYTES) as u64
    }

    /// Bytes of blocks, free ones between them included.
    #[inline]
    pub(super) fn entry_bytes(&self) -> u64 {
        (self.resident_cells * CELL_BYTES) as u64
    }

    fn full(&self, cells: usize) -> Error {
        let limit = self.room.limit();
        Error::TableFull { bytes: (cells * CELL_BYTES) as u64, limit }
    }

    /// Bytes in use: cells handed out at least once in chunks that are kept.
    pub(super) fn resident_bytes(&self) -> usize {
        self.resident_cells * CELL_BYTES + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// The block at `slot`.
    #[inline]
    pub(super) fn block(&self, slot: Slot) -> Block<'_> {
        let (chunk, cell) = place(slot);
        Block::new(&self.chunks[chunk].bytes()[start_of(cell)..])
    }

    /// The key of the block at `slot`.
    #[inline]
    pub(super) fn key(&self, slot: Slot) -> &[u8] {
        self.block(slot).key()
    }

    /// Has the key of the block at `slot`, if it is not long, on its way into the cache.
    #[inline]
    pub(super) fn prefetch_key(&self, slot: Slot) {
        self.prefetch(slot, 2);
    }

    /// Has the block at `slot`, as far as entries mostly are long, on its way into the cache.
    #[inline]
    pub(super) fn prefetch_entry(&self, slot: Slot) {
        self.prefetch(slot, 8);
    }

    #[inline]
    fn prefetch(&self, slot: Slot, cells: usize) {
        let (chunk, cell) = place(slot);
        let bytes = &self.chunks[chunk].bytes()[start_of(cell)..];
        prefetch(bytes.get(..cells * CELL_BYTES).unwrap_or(bytes));
    }

    /// Has the blocks at these slots on their way into the cache, at the same time.
    pub(super) fn fetch(&self, slots: &[Slot]) {
        let ends = slots.iter().fold(0, |all, &slot| all ^ self.block(slot).touch());
        std::hint::black_box(ends);
    }

    fn bytes_mut(&mut self, slot: Slot) -> &mut [u8] {
        let (chunk, cell) = place(slot);
        &mut self.chunks[chunk].bytes_mut()[start_of(cell)..]
    }

    /// Stores a new entry.
    ///
    /// # Errors
    /// `TooLarge` where key or value exceed 32 MiB, `TableFull` where the arena is full.
    pub(super) fn insert(&mut self, mark: u32, key: &Key<'_>, value: Option<&[u8]>) -> Result<Slot> {
        let value_bytes = value.map_or(0, <[u8]>::len);
        let longest = key.len().max(value_bytes);
        if longest > MAX_BYTES {
            return Err(Error::TooLarge { what: "key or value", bytes: longest as u64, limit: MAX_BYTES as u64 });
        }
        let layout = Layout::new(key.len(), value_bytes);
        let slot = self.allocate(layout.cells()).ok_or_else(|| self.full(layout.cells()))?;
        block::write(self.bytes_mut(slot), layout, mark, &[&key.space, key.name], value);
        Ok(slot)
    }

    /// Overwrites the value of an entry where it is. False, and nothing changed, if its block is of the wrong size.
    pub(super) fn overwrite(&mut self, slot: Slot, mark: u32, value: Option<&[u8]>) -> bool {
        let block = self.block(slot);
        let layout = match value {
            // Mostly it is as long as the one before.
            Some(value) if value.len() != block.value_space() => {
                if !self.fits_in_place(slot, Some(value.len())) {
                    return false;
                }
                Layout::new(block.key().len(), value.len())
            }
            _ => block.layout(),
        };
        block::write_value(self.bytes_mut(slot), layout, mark, value);
        true
    }

    /// Says whether an entry is queued as a tombstone.
    pub(super) fn set_queued(&mut self, slot: Slot, is_queued: bool) {
        block::put_queued(self.bytes_mut(slot), is_queued);
    }

    /// Whether an entry's block is of the right size for a value of so many bytes; a tombstone keeps the block of what it buries.
    pub(super) fn fits_in_place(&self, slot: Slot, value_bytes: Option<usize>) -> bool {
        let Some(bytes) = value_bytes else { return true };
        let block = self.block(slot);
        let cells = || Layout::new(block.key().len(), bytes).cells();
        bytes <= MAX_BYTES && class_of(cells()) == class_of(block.layout().cells())
    }

    /// Turns an entry into a mere key, which the order may still refer to.
    pub(super) fn detach(&mut self, slot: Slot) {
        block::put_mark(self.bytes_mut(slot), NOT_AN_ENTRY);
    }

    /// Takes a block back.
    pub(super) fn free(&mut self, slot: Slot) {
        let class = class_of(self.block(slot).layout().cells());
        let (chunk, _) = place(slot);
        self.chunks[chunk].taken -= class.cells;
        if class.cells > LARGEST {
            self.let_go(chunk);
            return;
        }
        self.link(slot, class);
        if self.chunks[chunk].taken == 0 && self.open != chunk {
            self.unlink_all(chunk);
            self.let_go(chunk);
        }
    }

    /// A block of at least `cells` cells.
    fn allocate(&mut self, cells: usize) -> Option<Slot> {
        let class = class_of(cells);
        if class.cells > LARGEST {
            let chunk = self.add_chunk(class.cells, false)?;
            self.chunks[chunk].used = class.cells;
            self.chunks[chunk].taken = class.cells;
            self.resident_cells += class.cells;
            return Some(slot_of(chunk, 0));
        }
        let head = self.free[class.index];
        if head != NO_SLOT {
            self.unlink(head, class.index);
            self.chunks[place(head).0].taken += class.cells;
            return Some(head);
        }
        let room = self.open_cells(class.cells);
        if room < class.cells {
            let next = self.add_chunk(CHUNK_CELLS, self.open == NONE_OPEN)?;
            self.close(room);
            self.open = next;
            // The first chunk is a short one, and the first entry may be long.
            self.open_cells(class.cells);
        }
        let number = self.open;
        let open = &mut self.chunks[number];
        let slot = slot_of(number, open.used);
        open.used += class.cells;
        open.taken += class.cells;
        self.resident_cells += class.cells;
        Some(slot)
    }

    /// Cells left in the open chunk, which is grown to have `wanted` of them if it can be.
    fn open_cells(&mut self, wanted: usize) -> usize {
        let Some(open) = self.chunks.get_mut(self.open) else { return 0 };
        let used = open.used;
        while open.cells() < CHUNK_CELLS && open.cells() - used < wanted {
            let bytes = (open.pages.len() * GROWTH).clamp(FIRST_BYTES, CHUNK_BYTES);
            open.pages.grow(bytes);
        }
        open.cells() - used
    }

    /// Gives what is left of the open chunk to the free lists, up to the few cells that fit no class.
    fn close(&mut self, mut room: usize) {
        let closed = std::mem::replace(&mut self.open, NONE_OPEN);
        while let Some(class) = class_at_most(room) {
            let slot = slot_of(closed, self.chunks[closed].used);
            self.chunks[closed].used += class.cells;
            self.resident_cells += class.cells;
            self.link(slot, class);
            room -= class.cells;
        }
        // The chunk is no longer an open one: if nothing in it is taken, it goes.
        if self.chunks.get(closed).is_some_and(|chunk| chunk.taken == 0 && chunk.used > 0) {
            self.unlink_all(closed);
            self.let_go(closed);
        }
    }

    fn add_chunk(&mut self, cells: usize, is_first: bool) -> Option<usize> {
        if !self.room.take(chunk_bytes(cells)) {
            return None;
        }
        let pages = if cells == CHUNK_CELLS {
            self.spare.take().unwrap_or_else(|| self.pages(is_first))
        } else {
            Pages::huge(chunk_bytes(cells))
        };
        let chunk = Chunk { pages, used: 0, taken: 0 };
        if let Some(number) = self.vacant.pop() {
            self.chunks[number] = chunk;
            return Some(number);
        }
        self.chunks.push(chunk);
        Some(self.chunks.len() - 1)
    }

    fn let_go(&mut self, chunk: usize) {
        let gone = std::mem::take(&mut self.chunks[chunk]);
        self.resident_cells -= gone.used;
        // None goes before it has its full length.
        self.room.give_back(gone.pages.len());
        if self.hand.0 == chunk {
            // The number may come back with other blocks.
            self.hand.1 = 0;
        }
        self.spare = Some(gone.pages).filter(|pages| pages.len() == CHUNK_BYTES).or(self.spare.take());
        self.vacant.push(chunk);
    }

    fn unlink_all(&mut self, chunk: usize) {
        let mut cell = 0;
        while cell < self.chunks[chunk].used {
            let slot = slot_of(chunk, cell);
            let cells = self.cells_of(slot);
            self.unlink(slot, class_of(cells).index);
            cell += cells;
        }
    }

    /// The cells of any block, free or not.
    fn cells_of(&self, slot: Slot) -> usize {
        let block = self.block(slot);
        if block.is_free() {
            return block.word(CELLS) as usize;
        }
        class_of(block.layout().cells()).cells
    }

    /// Puts a block at the head of its free list.
    fn link(&mut self, slot: Slot, class: class::Class) {
        let next = self.free[class.index];
        let bytes = self.bytes_mut(slot);
        block::put_mark(bytes, FREE);
        block::put_word(bytes, CELLS, cells_word(class.cells));
        block::put_word(bytes, PREVIOUS, NO_SLOT);
        block::put_word(bytes, NEXT, next);
        if next != NO_SLOT {
            block::put_word(self.bytes_mut(next), PREVIOUS, slot);
        }
        self.free[class.index] = slot;
    }

    /// Takes a block out of its free list.
    fn unlink(&mut self, slot: Slot, class: usize) {
        let block = self.block(slot);
        let (previous, next) = (block.word(PREVIOUS), block.word(NEXT));
        if previous == NO_SLOT {
            self.free[class] = next;
        } else {
            block::put_word(self.bytes_mut(previous), NEXT, next);
        }
        if next != NO_SLOT {
            block::put_word(self.bytes_mut(next), PREVIOUS, previous);
        }
    }
}

impl Chunk {
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.pages
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.pages
    }

    fn cells(&self) -> usize {
        cells_in(self.bytes().len())
    }
}

/// The bytes of a chunk of so many cells; one that still has to grow counts as long as it may become.
const fn chunk_bytes(cells: usize) -> usize {
    if cells == CHUNK_CELLS { CHUNK_BYTES } else { start_of(cells) }
}

/// The whole cells in so many bytes.
const fn cells_in(bytes: usize) -> usize {
    bytes.saturating_sub(SHIFT) / CELL_BYTES
}

/// Where a cell begins.
#[inline]
const fn start_of(cell: usize) -> usize {
    cell * CELL_BYTES + SHIFT
}

#[inline]
fn place(slot: Slot) -> (usize, usize) {
    ((slot >> CELL_BITS) as usize, slot as usize & ((1 << CELL_BITS) - 1))
}

#[expect(clippy::cast_possible_truncation, reason = "chunks and cells are below their powers of two")]
fn slot_of(chunk: usize, cell: usize) -> Slot {
    debug_assert!(chunk < CHUNKS && cell < CHUNK_CELLS, "chunk {chunk}, cell {cell}");
    (chunk << CELL_BITS | cell) as Slot
}

#[expect(clippy::cast_possible_truncation, reason = "a free block has at most LARGEST cells")]
fn cells_word(cells: usize) -> u32 {
    cells as u32
}
