//! Ways past all blocks, as they lie in memory.

use super::{Arena, Slot, slot_of};

impl Arena {
    /// The slots of all entries, as they lie in memory.
    pub(in super::super) fn entries(&self) -> impl Iterator<Item = Slot> {
        let blocks = self.chunks.iter().enumerate().flat_map(move |(number, chunk)| {
            let mut cell = 0;
            std::iter::from_fn(move || {
                let slot = (cell < chunk.used).then(|| slot_of(number, cell))?;
                cell += self.cells_of(slot);
                Some(slot)
            })
        });
        blocks.filter(move |&slot| self.block(slot).is_entry())
    }

    /// The next entry under the hand, which goes round all blocks in the order of their memory. Each block looked at
    /// costs one of `steps`. `None` once they are spent, or, with steps left, once the hand has come round.
    pub(in super::super) fn walk(&mut self, steps: &mut usize) -> Option<Slot> {
        let (mut chunk, mut cell) = self.hand;
        while let Some(here) = self.chunks.get(chunk) {
            if cell >= here.used {
                (chunk, cell) = (chunk + 1, 0);
                continue;
            }
            if *steps == 0 {
                self.hand = (chunk, cell);
                return None;
            }
            *steps -= 1;
            let slot = slot_of(chunk, cell);
            cell += self.cells_of(slot);
            if self.block(slot).is_entry() {
                self.hand = (chunk, cell);
                return Some(slot);
            }
        }
        self.hand = if *steps > 0 { (0, 0) } else { (chunk, cell) };
        None
    }
}
