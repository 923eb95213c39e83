//! What commit n changes, and the state after it.

use fastrand::Rng;

use laminar_storage::{Error, WalStateStore};

use crate::driver::with_operator;
use crate::op::OPERATORS;
use crate::{Model, Value};

/// How many keys each operator has: enough for runs of several blocks, few enough that they are written again and again.
const KEYS: u32 = 60;
/// The most changes of a commit.
const MOST_CHANGES: usize = 10;

/// One change of a commit.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Put(u8, Vec<u8>, Vec<u8>),
    Delete(u8, Vec<u8>),
    Clear(u8),
}

impl Change {
    fn random(rng: &mut Rng) -> Self {
        let operator = rng.u8(..OPERATORS);
        let key = format!("key {}", rng.u32(..KEYS)).into_bytes();
        let len = match rng.u8(..100) {
            0..2 => rng.u16(3000..9000),
            2..5 => 0,
            5..20 => rng.u16(300..900),
            _ => rng.u16(1..60),
        };
        match rng.u16(..1000) {
            0 => Self::Clear(operator),
            1..150 => Self::Delete(operator, key),
            _ => Self::Put(operator, key, Value { number: rng.u32(..), len }.bytes()),
        }
    }

    pub(super) fn apply(&self, store: &mut WalStateStore) -> Result<(), Error> {
        match self {
            Self::Put(operator, key, value) => with_operator(store, *operator, |state| state.put(key, value)),
            Self::Delete(operator, key) => with_operator(store, *operator, |state| state.delete(key)),
            Self::Clear(operator) => with_operator(store, *operator, |state| state.clear()),
        }
    }

    pub(super) fn apply_to_model(&self, model: &mut Model) {
        match self {
            Self::Put(operator, key, value) => drop(model.insert((*operator, key.clone()), value.clone())),
            Self::Delete(operator, key) => drop(model.remove(&(*operator, key.clone()))),
            Self::Clear(operator) => model.retain(|(of, _), _| of != operator),
        }
    }
}

/// A generator that depends on all three numbers, and on nothing else.
pub(super) fn generator(seed: u64, round: u64, number: u64) -> Rng {
    let mut mixed = Rng::with_seed(seed);
    for part in [round, number] {
        mixed = Rng::with_seed(mixed.u64(..) ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    mixed
}

/// What commit `number` changes if it is made in `round`: another round makes another commit of the same number, so that one that was
/// lost and made again is not taken for the first.
pub(super) fn changes(seed: u64, round: u64, number: u64) -> Vec<Change> {
    let mut rng = generator(seed, round, number);
    (0..rng.usize(1..=MOST_CHANGES)).map(|_| Change::random(&mut rng)).collect()
}
