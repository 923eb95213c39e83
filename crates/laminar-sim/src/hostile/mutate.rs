//! Mutations by seed: few, and where it hurts: numbers that are too large, lengths that are off by one, pieces that are elsewhere.

use super::{Target, edit};

/// Values that bounds are wrong at.
const NUMBERS: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 62,
    i64::MAX as u64,
    u64::MAX,
];

/// Changes `bytes` in one to four ways that the seed chooses.
pub(super) fn mutate(target: Target, bytes: &mut Vec<u8>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..random.usize(1..=4) {
        if target == Target::Directory {
            let mut head = [random.u8(..), random.u8(..), 0, 0, 0, 0, random.u8(..16)];
            head[2..6].copy_from_slice(&offset_for(&mut random).to_le_bytes());
            let payload = NUMBERS[random.usize(..NUMBERS.len())].to_le_bytes();
            bytes.extend(head);
            bytes.extend(payload.iter().cycle().take(usize::from(head[edit::HEAD - 1])));
        } else {
            mutate_once(bytes, &mut random);
        }
    }
}

/// Offsets near the beginning of a page mean most.
fn offset_for(random: &mut fastrand::Rng) -> u32 {
    let page = random.u32(..16) * 4096;
    let near = [64, 512, 4096][random.usize(..3)];
    page + random.u32(..near)
}

/// A place whose byte means something: not one of the zeros that fill up pages, if that can be helped.
fn place(bytes: &[u8], random: &mut fastrand::Rng) -> usize {
    let tries: Vec<usize> = (0..12).map(|_| random.usize(..bytes.len())).collect();
    tries.iter().copied().find(|at| bytes[*at] != 0).unwrap_or(tries[0])
}

fn mutate_once(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    if bytes.is_empty() {
        bytes.push(random.u8(..));
        return;
    }
    let at = place(bytes, random);
    match random.u8(..12) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes[at] = random.u8(..),
        2 => bytes.truncate(at),
        3 => bytes.resize(bytes.len() + random.usize(1..9000), 0),
        4 => {
            // Over another place, or a sector over another.
            let (step, most) = if random.bool() { (512, 512) } else { (1, 64) };
            let from = random.usize(..bytes.len()) / step * step;
            let len = most.min(bytes.len() - from);
            let to = (at / step * step).min(bytes.len() - len);
            bytes.copy_within(from..from + len, to);
        }
        5 => {
            let end = bytes.len().min(at + random.usize(1..600));
            bytes[at..end].fill(0);
        }
        // A number a little larger or smaller.
        6 | 7 => {
            let by = random.u8(1..4);
            bytes[at] = if random.bool() { bytes[at].wrapping_add(by) } else { bytes[at].wrapping_sub(by) };
        }
        _ => {
            let width = [2, 4, 4, 8][random.usize(..4)];
            let number = if random.u8(..4) == 0 { bytes.len() as u64 } else { NUMBERS[random.usize(..NUMBERS.len())] };
            let start = at / width * width;
            let encoded = number.to_le_bytes();
            bytes.iter_mut().skip(start).zip(&encoded[..width]).for_each(|(to, from)| *to = *from);
        }
    }
}
