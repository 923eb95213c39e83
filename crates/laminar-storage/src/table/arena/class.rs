//! Size classes of blocks: every count of cells up to 16, then eight to each doubling, so that a block of a class
//! wastes at most an eighth of itself.

/// The largest block of a class, in cells (1 MiB). Larger ones get a chunk of their own.
pub(super) const LARGEST: usize = 1 << 16;

/// Number of classes.
pub(super) const CLASSES: usize = EXACT + (LARGEST.ilog2() as usize - EXACT.ilog2() as usize) * STEPS;

/// Up to here each count of cells is a class.
const EXACT: usize = 16;
/// Classes to each doubling beyond.
const STEPS: usize = 8;

/// A class: where its free list is, and the cells of its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) index: usize,
    pub(super) cells: usize,
}

/// The smallest class that holds `cells`. Beyond [`LARGEST`] there are none, and the size stays as it is.
#[inline]
pub(super) const fn class_of(cells: usize) -> Class {
    if cells <= EXACT {
        return Class { index: cells - 1, cells };
    }
    if cells > LARGEST {
        return Class { index: usize::MAX, cells };
    }
    let below = cells - 1;
    let doubling = below.ilog2() as usize;
    let shift = doubling - STEPS.ilog2() as usize;
    let step = below >> shift;
    let index = EXACT + (doubling - EXACT.ilog2() as usize) * STEPS + step - STEPS;
    Class { index, cells: (step + 1) << shift }
}

/// The largest class that fits into `cells`, if any does.
pub(super) const fn class_at_most(cells: usize) -> Option<Class> {
    if cells == 0 {
        return None;
    }
    let cells = if cells > LARGEST { LARGEST } else { cells };
    if cells <= EXACT {
        return Some(class_of(cells));
    }
    let shift = cells.ilog2() - STEPS.ilog2();
    Some(class_of(cells >> shift << shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_tightest_class() {
        let mut last = class_of(1);
        for cells in 1..=LARGEST {
            let class = class_of(cells);
            assert!(class.cells >= cells && class.cells - cells <= cells / 8, "{cells} {class:?}");
            assert_eq!(class, class_of(class.cells), "a class holds its own size");
            assert!(class.index < CLASSES);
            assert!(class.index == last.index || (class.index == last.index + 1 && cells == last.cells + 1));
            last = class;

            let below = class_at_most(cells).expect("one cell is a class");
            assert!(below.cells <= cells && (below.cells == cells || class.index == below.index + 1));
        }
        assert_eq!(last.index, CLASSES - 1);
        assert_eq!(class_at_most(0), None);
        assert_eq!(class_of(LARGEST + 1).cells, LARGEST + 1);
    }
}
