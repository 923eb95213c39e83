//! Which chapter of a run a key belongs to: by the heads of the chapters' first keys, which are guessed at rather than searched.
//!
//! A binary search among the heads of a large run is many instructions, and the number of these decides how many look-ups wait for memory
//! at a time. So the range of the heads is cut into equal cells, more than there are heads, and each cell knows how many lie below
//! it: where keys are spread evenly, hardly any has two, and one comparison tells. Where a cell has more, those are searched.

use std::ops::Range;

use crate::format::bytes::{count32, index, index32};

/// Cells for each head.
const CELLS_PER_HEAD: u64 = 8;

/// The heads of a run's chapters, ascending.
#[derive(Debug)]
pub(super) struct Guide {
    heads: Vec<u64>,
    /// The first of them, or anything where there is none.
    first: u64,
    /// How many heads lie below each cell. The last has none: all lie below it.
    cells: Vec<u32>,
    last_cell: usize,
    /// Bits of a head, less the first, that do not tell the cell.
    shift: u32,
}

impl Guide {
    pub(super) fn of(heads: Vec<u64>) -> Self {
        let (first, last) = (heads.first().copied().unwrap_or(0), heads.last().copied().unwrap_or(0));
        let wanted = CELLS_PER_HEAD * heads.len() as u64;
        let shift = (0..u64::BITS - 1).find(|shift| (last - first) >> shift < wanted).unwrap_or(u64::BITS - 1);
        let mut cells = Vec::new();
        for (below, &head) in (0..).zip(&heads) {
            let cell = index((head - first) >> shift);
            // Nothing to do for the second of a cell.
            cells.resize(cells.len().max(cell + 1), below);
        }
        cells.push(count32(heads.len()));
        let last_cell = cells.len() - 1;
        Self { heads, first, cells, last_cell, shift }
    }

    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// How many heads lie below `sought`, and whether the next one is equal to it.
    #[inline(always)]
    pub(super) fn below(&self, sought: u64) -> (usize, bool) {
        let cell = index(sought.saturating_sub(self.first) >> self.shift).min(self.last_cell);
        let below = |cell: usize| self.cells.get(cell).map(|&below| index32(below));
        let low = below(cell).unwrap_or(0);
        let high = below(cell + 1).unwrap_or(low);
        if high > low + 1 {
            return self.search(low..high, sought);
        }
        // That of the cell, or else of a later one: then it is above.
        let head = self.heads.get(low).copied().unwrap_or(u64::MAX);
        (low + usize::from(head < sought), head == sought)
    }

    #[inline(never)]
    fn search(&self, among: Range<usize>, sought: u64) -> (usize, bool) {
        let low = among.start;
        let below = low + self.heads.get(among).unwrap_or_default().partition_point(|&head| head < sought);
        (below, self.heads.get(below) == Some(&sought))
    }

    /// How many heads from number `below` on are equal to `sought`.
    pub(super) fn equal(&self, below: usize, sought: u64) -> usize {
        self.heads.get(below..).unwrap_or_default().iter().take_while(|&&head| head == sought).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds what a search does, for each head and its neighbours; returns in how many cells it has to search.
    fn expect_right(heads: Vec<u64>) -> usize {
        let guide = Guide::of(heads.clone());
        let around = heads.iter().flat_map(|head| [head.wrapping_sub(1), *head, head.wrapping_add(1)]);
        for sought in around.chain([0, u64::MAX]) {
            let below = heads.partition_point(|&head| head < sought);
            assert_eq!(guide.below(sought).0, below, "{sought} among {heads:?}");
            let is_equal = heads.contains(&sought);
            let (below, is_tied) = guide.below(sought);
            // Behind them all the greatest key may pass for tied: with none.
            assert!(is_tied == is_equal || (is_tied && sought == u64::MAX), "{sought} among {heads:?}");
            assert_eq!(guide.equal(below, sought), heads.iter().filter(|&&head| head == sought).count());
        }
        assert!(guide.cells.len() <= 8 * heads.len() + 1);
        guide.cells.windows(2).filter(|cells| cells[1] > cells[0] + 1).count()
    }

    #[test]
    fn a_guess_is_what_a_search_finds() {
        for heads in [vec![], vec![0], vec![u64::MAX], vec![7; 9], vec![0, u64::MAX], vec![0, 0, 1, u64::MAX]] {
            expect_right(heads);
        }
        let mut rng = fastrand::Rng::with_seed(3);
        for count in 1..200 {
            let bits = rng.u32(0..64);
            let mut heads: Vec<u64> = (0..count).map(|_| rng.u64(..) >> bits).collect();
            heads.sort_unstable();
            expect_right(heads);
        }
    }

    #[test]
    fn evenly_spread_heads_are_not_searched() {
        for count in [1, 2, 9, 81, 1000] {
            assert_eq!(expect_right((0..count).map(|number| number * (u64::MAX / 1000) + number % 7).collect()), 0);
        }
    }
}
