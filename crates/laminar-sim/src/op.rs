//! The operations of a run, and how a seed becomes a list of them.

use fastrand::Rng;

/// How many operators a run has; the first is the store's own key space.
pub(crate) const OPERATORS: u8 = 3;
/// How many keys a run has: few, so that they meet.
const KEYS: u8 = 12;

/// Keys from this number on have the same length.
const LIKE_KEYS: u8 = 128;

/// Of a tiered run, so many operations fill the first run of its checkpoints.
const FIRST_RUN: usize = 24;

/// What the run of a seed is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Small values: most runs.
    Light,
    /// Large values, and a memory budget that they exceed.
    Heavy,
    /// A large first run, and checkpoints upon it until some of the runs behind it are merged.
    Tiered,
    /// Two keys that come and go while checkpoints are made.
    Narrow,
    /// Small values, on a disk whose calls fail.
    Failing,
    /// Nearly all entries have the same lengths.
    Alike,
}

impl Profile {
    pub(crate) fn of(seed: u64) -> Self {
        match seed % 32 {
            7 => Self::Heavy,
            15 => Self::Tiered,
            3 | 11 | 19 | 27 => Self::Narrow,
            5 | 13 | 21 | 29 => Self::Failing,
            1 | 17 => Self::Alike,
            _ => Self::Light,
        }
    }
}

/// A key by its number. Some are empty, some share prefixes, one is long; half of the numbers are of keys of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "made by hand in tests")]
pub struct Key(pub u8);

impl Key {
    /// The bytes of the key.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        if self.0 >= LIKE_KEYS {
            return format!("like {:02}", self.0 % KEYS).into_bytes();
        }
        match self.0 % KEYS {
            0 => Vec::new(),
            1 => vec![0],
            2 => vec![0xff; 3],
            3 => vec![b'k'; 300],
            n => format!("k{}{}", n % 3, "x".repeat(usize::from(n))).into_bytes(),
        }
    }
}

/// A value by number and length; the bytes follow from both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "made by hand in tests")]
pub struct Value {
    /// Which one.
    pub number: u32,
    /// Its length in bytes.
    pub len: u16,
}

impl Value {
    /// The bytes of the value: never all zero for a length above 0.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let mut rng = Rng::with_seed(u64::from(self.number) | 1 << 40);
        (0..self.len).map(|_| rng.u8(1..)).collect()
    }
}

/// One thing that a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum Op {
    /// Puts a value, in the operator of this number.
    Put(u8, Key, Value),
    /// Deletes a key.
    Delete(u8, Key),
    /// Deletes all keys that start with this one.
    DeletePrefix(u8, Key),
    /// Clears an operator.
    Clear(u8),
    /// Commits: handed to the operating system.
    Commit,
    /// Commits, and waits until it is durable.
    CommitDurable,
    /// Begins a checkpoint and lets it be.
    BeginCheckpoint,
    /// Makes a checkpoint and waits for it.
    Checkpoint,
    /// Lets background work do up to this many steps.
    Background(u8),
    /// Lets time pass, in milliseconds, so that what is periodic comes due.
    Wait(u16),
    /// Reads everything and compares it; no call fails any more.
    Compare,
    /// Closes and opens.
    Reopen,
    /// The process dies between two operations; what it wrote stays.
    Kill,
    /// The power goes between two operations; this seed decides what of the unsynced stays.
    PowerCut(u64),
    /// From now on, the process dies before the disk operation of this number; then the power goes if a seed is given.
    DieAt(u16, Option<u64>),
    /// The next opening dies at its disk operation of this number, by a power cut with this seed.
    DieInRecovery(u16, u64),
    /// After so many more calls to the disk, one fails in the way of this number, or all from there on.
    Fail(u16, u8, bool),
    /// While the next operation is done, the disk is full: all its writes but the first so many are refused. Then there is space again.
    Full(u8),
    /// No call fails any more.
    Mend,
}

impl Op {
    /// The operations of the run of this seed.
    pub(crate) fn run(seed: u64, steps: usize) -> Vec<Self> {
        let mut rng = Rng::with_seed(seed);
        let profile = Profile::of(seed);
        let large = |rng: &mut Rng| Self::Put(rng.u8(..OPERATORS), Key(rng.u8(..KEYS)), large_value(rng));
        let random = |at: usize| match profile {
            Profile::Light => Self::random(&mut rng),
            Profile::Heavy if rng.u8(..5) < 4 => large(&mut rng),
            Profile::Heavy => Self::random(&mut rng),
            Profile::Tiered if at < FIRST_RUN => large(&mut rng),
            Profile::Tiered => match (at - FIRST_RUN) % 4 {
                0 if rng.bool() => Self::Delete(rng.u8(..OPERATORS), Key(rng.u8(..KEYS))),
                0 | 1 => Self::random(&mut rng),
                2 => Self::Commit,
                _ => Self::Checkpoint,
            },
            Profile::Narrow => Self::narrow(&mut rng),
            Profile::Alike => Self::alike(&mut rng),
            Profile::Failing => Self::failing(&mut rng),
        };
        (0..steps).map(random).collect()
    }

    /// A random operation; nearly all keys and values have one length each, so that three neighbours in a run make a block without headers.
    fn alike(rng: &mut Rng) -> Self {
        let like = |key: Key| Key(key.0 + LIKE_KEYS);
        match Self::random(rng) {
            Self::Put(operator, key, value) if !value.number.is_multiple_of(16) => {
                Self::Put(operator, like(key), Value { len: 5000, ..value })
            }
            Self::Delete(operator, key) => Self::Delete(operator, like(key)),
            op => op,
        }
    }

    /// An operation on one of two keys, or one that decides what becomes of deleted ones.
    fn narrow(rng: &mut Rng) -> Self {
        let key = Key(rng.u8(4..6));
        match rng.u8(..12) {
            0..3 => Self::Put(0, key, random_value(rng)),
            3..6 => Self::Delete(0, key),
            6 => Self::Commit,
            7 => Self::BeginCheckpoint,
            8 => Self::Background(rng.u8(1..20)),
            9 | 10 => Self::Compare,
            _ => Self::random(rng),
        }
    }

    /// A random operation, or a call that fails.
    fn failing(rng: &mut Rng) -> Self {
        match rng.u8(..32) {
            0 => Self::Fail(rng.u16(..60), rng.u8(..), rng.u8(..4) == 0),
            1 | 2 => Self::Full(rng.u8(..4)),
            3 => Self::Mend,
            _ => Self::random(rng),
        }
    }

    /// A random operation.
    pub fn random(rng: &mut Rng) -> Self {
        let operator = rng.u8(..OPERATORS);
        let key = Key(rng.u8(..KEYS));
        match rng.u8(..100) {
            0..40 => Self::Put(operator, key, random_value(rng)),
            40..49 => Self::Delete(operator, key),
            49 => Self::DeletePrefix(operator, key),
            50 => Self::Clear(operator),
            51..63 => Self::Commit,
            63..69 => Self::CommitDurable,
            69..72 => Self::BeginCheckpoint,
            72..76 => Self::Checkpoint,
            76..82 => Self::Background(rng.u8(1..20)),
            82..84 => Self::Wait(rng.u16(1..300)),
            84..86 => Self::Compare,
            86..88 => Self::Reopen,
            88..90 => Self::Kill,
            90..94 => Self::PowerCut(rng.u64(..)),
            94..98 => Self::DieAt(rng.u16(..40), rng.bool().then(|| rng.u64(..))),
            _ => Self::DieInRecovery(rng.u16(..60), rng.u64(..)),
        }
    }
}

fn large_value(rng: &mut Rng) -> Value {
    Value { number: rng.u32(..), len: rng.u16(55_000..) }
}

fn random_value(rng: &mut Rng) -> Value {
    let len = match rng.u8(..20) {
        0 => 0,
        1 => rng.u16(3000..9000),
        2..5 => rng.u16(400..1200),
        _ => rng.u16(1..60),
    };
    Value { number: rng.u32(..), len }
}
