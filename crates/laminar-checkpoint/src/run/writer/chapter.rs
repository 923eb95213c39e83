//! What is gathered about a chapter while its blocks are written: its index, and its parity.

use laminar_vfs::planted;

use crate::format::block::CELL;
use crate::format::bytes::{Encode, count32, index32};
use crate::format::fixed::Shape;
use crate::format::run::{Wide, common_prefix, head};

/// What is gathered about a chapter while its blocks are written.
#[derive(Debug, Default)]
pub(super) struct OpenChapter {
    pub(super) offset: u64,
    pub(super) unit: usize,
    pub(super) units: u32,
    /// That of its fixed blocks, once it has one.
    pub(super) shape: Option<Shape>,
    pub(super) wide: Vec<Wide>,
    /// Of each entry, its hash and its place: its cell, or in a fixed block the block's first cell plus its number there.
    pub(super) slots: Vec<(u64, u32)>,
    /// The first key of each data block, back to back, and for each where it ends and how many units the block has.
    pub(super) first_keys: Vec<u8>,
    pub(super) first_key_ends: Vec<(usize, u32)>,
    /// That of the next block, and that of the one after.
    pub(super) lanes: [Lane; 2],
}

/// What is gathered about every other block of a chapter.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) parity: Vec<u8>,
    /// The checksums of the lane's blocks, combined by exclusive or.
    pub(super) crcs: u32,
}

impl Lane {
    pub(super) fn add(&mut self, payload: &[u8], crc: u32) {
        self.crcs ^= crc;
        let payload = if planted("parity-leaves-out-end") { payload.split_at(payload.len() / 2).0 } else { payload };
        if self.parity.len() < payload.len() {
            self.parity.resize(payload.len(), 0);
        }
        self.parity.iter_mut().zip(payload).for_each(|(sum, byte)| *sum ^= byte);
    }
}

impl OpenChapter {
    /// Opens a data block of so many units that begins with this key.
    pub(super) fn begin_block(&mut self, key: &[u8], units: u32) {
        self.first_keys.extend_from_slice(key);
        if units > 1 {
            self.wide.push(Wide { first: self.units, units });
        }
        self.first_key_ends.push((self.first_keys.len(), units));
    }

    /// Takes back the open data block, which is one unit and has so many entries; appends their hashes.
    pub(super) fn take_back_block(&mut self, entries: usize, hashes: &mut Vec<u64>) {
        hashes.extend(self.slots.drain(self.slots.len() - entries..).map(|(hash, _)| hash));
        self.first_key_ends.pop();
        self.first_keys.truncate(self.first_key_ends.last().map_or(0, |&(end, _)| end));
    }

    /// Notes the entry with this hash, at this place in the open block.
    pub(super) fn add_slot(&mut self, hash: u64, place: u32) {
        let first_cell = index32(self.units) * (self.unit / CELL);
        self.slots.push((hash, count32(first_cell) + place));
    }

    /// Units of the open data block.
    pub(super) fn open_units(&self) -> u32 {
        self.first_key_ends.last().map_or(1, |&(_, units)| units)
    }

    /// Bytes of the data blocks that are complete.
    pub(super) fn data_bytes(&self) -> usize {
        index32(self.units) * self.unit
    }

    /// For each unit of the chapter, which ends with `last_key`, the head of its block's first key.
    pub(super) fn heads(&self, last_key: &[u8]) -> Vec<u8> {
        let mut heads = Vec::with_capacity(index32(self.units) * 8);
        let (mut start, mut prefix) = (0, 0);
        for &(end, units) in &self.first_key_ends {
            let key = self.first_keys.get(start..end).unwrap_or_default();
            if start == 0 && heads.is_empty() {
                prefix = common_prefix(key, last_key);
            }
            (0..units).for_each(|_| heads.put_u64(head(key, prefix)));
            start = end;
        }
        heads
    }
}
