//! The filter that lets a lookup skip a run: a Bloom filter in lines of 64 bytes, one line a key.
//!
//! Source: F. Putze, P. Sanders, J. Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007 (blocked filters).

use crate::format::bytes::{count32, index32};
use crate::format::run::lines_in_blocks;
use crate::hash::{LINE, line_of};

/// Bits of the filter for five entries: usually, and at least where that saves a block.
const BITS_PER_FIVE: usize = 50;
const LEAST_BITS_PER_FIVE: usize = 48;
const PROBES: u32 = 6;
/// An odd number near the golden ratio of 2^64: spreads the bits of the hash that the choice of the line left alone.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Lines for so many entries.
pub(crate) fn lines_for(entries: usize) -> usize {
    let lines = |bits_per_five: usize| (entries * bits_per_five).div_ceil(LINE * 8 * 5);
    lines_in_blocks(lines(BITS_PER_FIVE), lines(LEAST_BITS_PER_FIVE))
}

/// The numbers of the bits of a line that a hash sets.
#[inline]
fn probes(hash: u64) -> impl Iterator<Item = usize> {
    let spread = (hash ^ hash >> 32).wrapping_mul(SPREAD);
    (0..PROBES).map(move |probe| (spread >> (64 - 9 * (probe + 1)) & 511) as usize)
}

/// The filter of these hashes.
pub(crate) fn build(hashes: impl ExactSizeIterator<Item = u64>) -> Vec<[u8; LINE]> {
    let count = lines_for(hashes.len());
    let mut lines = vec![[0; LINE]; count];
    for hash in hashes {
        if let Some(line) = lines.get_mut(index32(line_of(hash, count32(count)))) {
            for bit in probes(hash) {
                line.get_mut(bit / 8).into_iter().for_each(|byte| *byte |= 1 << (bit % 8));
            }
        }
    }
    lines
}

/// Whether the line allows that a key with this hash is there. All bits are looked at before anything is decided: each is set as often as
/// not, so a processor that guesses at one after the other is mostly wrong.
#[inline]
pub(crate) fn allows(line: &[u8; LINE], hash: u64) -> bool {
    let words = line.as_chunks::<8>().0;
    let word = |bit: usize| u64::from_le_bytes(words.get(bit / 64).copied().unwrap_or_default());
    probes(hash).fold(1, |all, bit| all & word(bit) >> (bit % 64)) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_key;

    #[test]
    fn a_block_is_saved_where_slightly_fewer_bits_will_do() {
        use crate::format::run::LINES_PER_BLOCK;
        assert_eq!((lines_for(0), lines_for(60), lines_for(9_000)), (1, 2, 176));
        // Three blocks for four.
        assert_eq!(lines_for(10_000), 3 * LINES_PER_BLOCK);
        for entries in (0..=1 << 16).step_by(7) {
            let bits = lines_for(entries) * LINE * 8;
            assert!(bits * 10 >= entries * 96, "{bits} bits for {entries} entries");
        }
    }

    #[test]
    fn nothing_that_is_there_is_denied_and_most_else_is() {
        let hashes: Vec<u64> = (0..60_000u32).map(|i| hash_key(1, &i.to_le_bytes())).collect();
        let lines = build(hashes.iter().copied());
        let allowed = |hash: u64| allows(&lines[index32(line_of(hash, count32(lines.len())))], hash);
        assert!(hashes.iter().all(|&hash| allowed(hash)));
        let wrong = (0..60_000u32).filter(|i| allowed(hash_key(2, &i.to_le_bytes()))).count();
        assert!(wrong < 1_500, "{wrong} of 60,000");
    }
}
