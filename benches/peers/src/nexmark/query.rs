//! The keyed operators: what they keep in the store, and how an event changes it. All their state is in the store, so that any
//! process can go on from a commit.

use super::event::{Event, Kinds};
use crate::backend::{Backend, Outcome};

mod dedup;
mod q18;
mod q4;
mod q5;
mod q8;

pub(crate) use dedup::Dedup;
pub(crate) use q4::Q4;
pub(crate) use q5::Q5;
pub(crate) use q8::Q8;
pub(crate) use q18::Q18;

use laminar_benches::workload::Key;

/// An operator.
pub(crate) trait Query {
    /// What it gets.
    const KINDS: Kinds;
    /// Whether its state is more than the processor's cache holds, so that a store that can be told is told which keys a few events will ask for.
    const TELLS: bool = false;

    /// With the word that it keeps across events: how far its time has come. 0 at the start.
    fn restore(word: u64) -> Self;

    /// The word.
    fn save(&self) -> u64 {
        0
    }

    /// The key that an event will ask for, of a query that tells.
    fn told(_: &Event) -> Option<Key> {
        None
    }

    /// Takes an event.
    fn apply<B: Backend>(&mut self, store: &mut B, event: Event, results: &mut Results) -> Outcome;
}

/// What came out of an operator: how many words, and a hash over them in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Results {
    /// Of all words.
    pub(crate) hash: u64,
    /// How many rows.
    pub(crate) count: u64,
}

impl Results {
    /// Takes a row.
    pub(crate) fn emit(&mut self, row: &[u64]) {
        for word in row {
            // Each word passes through a multiplication with an odd constant, so that no order of rows equals another by chance.
            self.hash = (self.hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        }
        self.count += 1;
    }
}

/// The key of a table's row: a byte for the table, seven of `first`, eight of `second`, ordered as the numbers are.
fn key(table: u8, first: u64, second: u64) -> Key {
    let mut key = [0; 16];
    let (high, low) = key.split_at_mut(8);
    high.copy_from_slice(&(u64::from(table) << 56 | first).to_be_bytes());
    low.copy_from_slice(&second.to_be_bytes());
    key
}

/// The second number of a key.
fn second(key: &Key) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *key;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The first half of the keys of a table with the same first number.
fn prefix(table: u8, first: u64) -> [u8; 8] {
    (u64::from(table) << 56 | first).to_be_bytes()
}

/// Reads a value of so many words.
fn words<const N: usize>(value: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(value.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// The bytes of words.
fn bytes<const N: usize>(words: [u64; N], into: &mut Vec<u8>) -> &[u8] {
    into.clear();
    for word in words {
        into.extend_from_slice(&word.to_le_bytes());
    }
    into
}

/// Removes all keys with a prefix.
fn delete_prefix<B: Backend>(store: &mut B, prefix: [u8; 8]) -> Outcome {
    let mut keys = Vec::new();
    store.scan(&prefix, |key, _| keys.push(*key))?;
    keys.iter().try_for_each(|key| store.delete(key))
}
