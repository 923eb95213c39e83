//! How much memory the chunks of an arena may still take.

use super::{CHUNK_BYTES, CHUNKS};

const CHUNK: u64 = CHUNK_BYTES as u64;
/// As much as slots can name, in chunks of the usual length.
const ALL: u64 = CHUNKS as u64 * CHUNK;

/// The bytes of chunks against their limit, and their numbers against what slots can name.
#[derive(Debug)]
pub(super) struct Room {
    /// Bytes that chunks may take.
    limit: u64,
    /// Bytes that they take.
    taken: u64,
    /// How many there are.
    chunks: u64,
    /// What is left for more of them: asked with every change, so it is worked out only when a chunk comes or goes.
    left: u64,
}

impl Room {
    /// Room for all that slots can name.
    pub(super) const fn new() -> Self {
        Self { limit: ALL, taken: 0, chunks: 0, left: ALL }
    }

    /// Bounds the bytes of chunks; never below one chunk, nor above what slots can name.
    pub(super) fn set_limit(&mut self, bytes: u64) {
        self.limit = bytes.clamp(CHUNK, ALL);
        self.update();
    }

    /// Bytes that chunks may take.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that further chunks may take. At so many there is a number for a chunk of them, whatever their length.
    #[inline]
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Takes the room of one more chunk. False, and nothing changed, if there is none.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        if bytes as u64 > self.left {
            return false;
        }
        self.taken += bytes as u64;
        self.chunks += 1;
        self.update();
        true
    }

    /// Gives back the room of a chunk.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.taken -= bytes as u64;
        self.chunks -= 1;
        self.update();
    }

    fn update(&mut self) {
        // Where numbers become few, each counts for a chunk of the usual length: one compare tells about both.
        self.left = self.limit.saturating_sub(self.taken).min(ALL - self.chunks * CHUNK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_numbers_are_both_bounds() {
        let mut room = Room::new();
        room.set_limit(7 << 20);
        assert_eq!((room.limit(), room.left()), (7 << 20, 7 << 20));
        assert!(room.take(CHUNK_BYTES) && !room.take(6 << 20) && room.take(5 << 20));
        assert_eq!(room.left(), 0);
        // What was taken stays where the limit falls below it.
        room.set_limit(0);
        assert_eq!((room.limit(), room.left()), (CHUNK, 0));
        room.give_back(5 << 20);
        assert!(!room.take(1));
        room.give_back(CHUNK_BYTES);
        assert_eq!(room.left(), CHUNK);

        room.set_limit(u64::MAX);
        assert_eq!(room.left(), ALL);
        // Chunks of half the length: their numbers are used up before the bytes are.
        for _ in 0..CHUNKS {
            assert!(room.take(CHUNK_BYTES / 2));
        }
        assert!(!room.take(1));
        room.give_back(CHUNK_BYTES / 2);
        assert!(room.take(CHUNK_BYTES));
    }
}
