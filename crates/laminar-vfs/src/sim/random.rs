//! Numbers from a seed. The generator is our own few lines, because a seed that once failed must fail in every later
//! version too.

use std::fmt;
use std::sync::Arc;

use super::Shared;
use crate::Random;

/// Spreads every bit of `value` over all bits of the result; one to one.
///
/// Source: the finalizer of SplitMix64, G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
/// generators", 2014.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Sequence(u64);

impl Sequence {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// The n-th number of a seed, without those before it.
pub(super) fn nth(seed: u64, n: u64) -> u64 {
    Sequence(seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).next()
}

/// Ids from the seed of a [`SimDisk`](super::SimDisk). A copy of a disk goes on with the same ids as the original.
#[derive(Clone)]
pub struct SimRandom {
    shared: Arc<Shared>,
}

impl SimRandom {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Random for SimRandom {
    fn id(&self) -> u128 {
        let mut machine = self.shared.machine.lock();
        let sequence = &mut machine.state.ids;
        let id = u128::from(sequence.next()) << 64 | u128::from(sequence.next());
        id.max(1)
    }
}

impl fmt::Debug for SimRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimRandom")
    }
}
