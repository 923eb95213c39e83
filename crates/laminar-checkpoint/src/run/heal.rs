//! Rebuilds a block from the others of its lane, the parity among them.

use laminar_vfs::{Region, planted};

use super::file::RunFile;
use crate::error::{LostBlock, Reason};
use crate::format::block::{Data, Kind, TRAILER, checked, seal, stated_crc, stated_word};
use crate::format::bytes::index32;
use crate::format::run::{BlockRef, Chapter};
use crate::report::Part;
use crate::sync::OnceLock;
use crate::{Error, Result};

/// A rebuilt block. Blocks are only ever added, so that what was handed out stays valid as long as the run.
#[derive(Debug)]
pub(super) struct Rebuilt {
    offset: u64,
    bytes: Region,
    next: OnceLock<Box<Rebuilt>>,
}

impl RunFile {
    /// A block that was rebuilt before, with its trailer.
    pub(super) fn rebuilt(&self, at: usize, block: BlockRef) -> Option<&[u8]> {
        let mut next = self.rebuilt.get(at)?.get();
        while let Some(rebuilt) = next {
            if (rebuilt.offset, rebuilt.bytes.len()) == (block.offset, block.bytes) {
                return Some(&rebuilt.bytes);
            }
            next = rebuilt.next.get();
        }
        None
    }

    /// Rebuilds a block that could not be read (`cause`) or is not whole, keeps and reports it, and returns it with its trailer.
    pub(super) fn rebuild(&self, at: usize, block: BlockRef, cause: Option<Error>) -> Result<&[u8]> {
        let _one_at_a_time = self.healing.lock();
        if let Some(rebuilt) = self.rebuilt(at, block) {
            return Ok(rebuilt);
        }
        let combined = self
            .chapter(at)
            .filter(|_| block.kind != Kind::Parity && !planted("damaged-block-not-healed"))
            .and_then(|chapter| self.combine(at, chapter, block));
        let whole = combined.filter(|bytes| checked(bytes, block.kind, self.seed, block.offset).is_some());
        let Some(bytes) = whole else {
            return Err(cause.unwrap_or_else(|| self.lost(at, block)));
        };
        let mut place = self.rebuilt.get(at);
        while let Some(taken) = place.and_then(OnceLock::get) {
            place = Some(&taken.next);
        }
        if let Some(free) = place {
            let rebuilt = Rebuilt { offset: block.offset, bytes: Region::copy_of(&bytes), next: OnceLock::new() };
            drop(free.set(Box::new(rebuilt)));
        }
        self.report(block, Part::Block);
        self.rebuilt(at, block).ok_or_else(|| self.lost(at, block))
    }

    /// The exclusive or of all other blocks of the lane; nothing where one of them is not whole.
    fn combine(&self, at: usize, chapter: &Chapter, wanted: BlockRef) -> Option<Vec<u8>> {
        let mut sum = vec![0; index32(chapter.parity_bytes)];
        let mut buffer = vec![0; sum.len()];
        let mut crc = 0;
        let lane = chapter.all_blocks().position(|block| block == wanted)? % chapter.lanes();
        let blocks = chapter.all_blocks().skip(lane).step_by(chapter.lanes());
        for block in blocks.filter(|block| block.offset != wanted.offset) {
            let (bytes, _) = buffer.split_at_mut(block.bytes);
            if let Some(rebuilt) = self.rebuilt(at, block) {
                bytes.copy_from_slice(rebuilt);
            } else if !matches!(self.read_checked(block, bytes), Ok(true)) {
                return None;
            }
            if planted("healing-combines-too-little") && block.kind != Kind::Parity {
                continue;
            }
            crc ^= if block.kind == Kind::Parity { stated_word(bytes)? } else { stated_crc(bytes)? };
            let (payload, _) = bytes.split_at(block.bytes - TRAILER);
            sum.iter_mut().zip(payload).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum.truncate(wanted.bytes);
        // The checksum that the block had is known from the others: what was combined must match it. What kind of data it held is not.
        let kinds = [wanted.kind, Kind::Fixed];
        let is_either = wanted.kind == Kind::Data && !planted("fixed-block-not-healed");
        let kinds = kinds.iter().take(if is_either { 2 } else { 1 });
        let mut made = kinds.map(|&kind| seal(&mut sum, kind, self.seed, wanted.offset, 0));
        made.any(|made| made == crc).then_some(sum)
    }

    /// The error for a block that is lost, with the keys that it can have held.
    #[cold]
    pub(super) fn lost(&self, at: usize, block: BlockRef) -> Error {
        let (first_key, last_key) =
            self.chapter(at).map_or_else(Default::default, |chapter| self.keys_of(chapter, block));
        let identity = &self.footer.identity;
        Error::Corrupt {
            path: self.path().to_path_buf(),
            offset: block.offset,
            reason: Reason::Block,
            detail: "more is damaged than parity can rebuild",
            block: Some(Box::new(LostBlock {
                run_from: identity.from,
                run_to: identity.to,
                bytes: block.bytes as u64,
                kind: block.kind.name(),
                first_key,
                last_key,
            })),
        }
    }

    /// The keys between which a block's entries lie: those of its whole neighbours, else those of its chapter.
    fn keys_of(&self, chapter: &Chapter, block: BlockRef) -> (Vec<u8>, Vec<u8>) {
        let mut first = self.footer.key(&chapter.first_key).to_vec();
        let mut last = self.footer.key(&chapter.last_key).to_vec();
        if matches!(block.kind, Kind::Data | Kind::Wide) {
            let blocks: Vec<BlockRef> = chapter.data_blocks().collect();
            let here = blocks.partition_point(|other| other.offset < block.offset);
            let before = here.checked_sub(1).and_then(|at| blocks.get(at));
            if let Some(key) = before.and_then(|block| self.key_in(chapter, *block, |data| data.len() - 1)) {
                first = key;
            }
            if let Some(key) = blocks.get(here + 1).and_then(|block| self.key_in(chapter, *block, |_| 0)) {
                last = key;
            }
        }
        (first, last)
    }

    /// A key of a data block, if the block is whole.
    fn key_in(&self, chapter: &Chapter, block: BlockRef, which: impl Fn(&Data<'_>) -> usize) -> Option<Vec<u8>> {
        let mut buffer = vec![0; block.bytes];
        self.read_checked(block, &mut buffer).ok().filter(|is_whole| *is_whole)?;
        let region = Region::copy_of(&buffer);
        let data = Data::new(&region, chapter.shape)?;
        data.entry(which(&data)).map(|entry| entry.key.to_vec())
    }
}
