//! The two numbers that name things here: a position in a log, and a log.

use std::fmt;

/// A position in a log: monotone, not dense.
///
/// A record's position is that of its first byte on disk; positions just past a record (an *end*) are positions too.
/// Between the end of one record and the start of the next there may be a gap. "Durable up to `p`" means that every
/// record which starts before `p` is durable.
///
/// ```
/// use laminar_wal::Lsn;
/// assert!(Lsn::new(4144) < Lsn::new(4200));
/// assert_eq!(Lsn::new(4144).to_string(), "4144");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(u64);

impl Lsn {
    /// The position before everything.
    pub const ZERO: Self = Self(0);

    /// The position with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of this position.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Lsn {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<Lsn> for u64 {
    fn from(lsn: Lsn) -> Self {
        lsn.0
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What tells one log from every other: drawn at random when the log is created, and in every file of it.
///
/// ```
/// use laminar_wal::LogId;
/// assert_eq!(LogId::new(255).to_string(), "000000000000000000000000000000ff");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(u128);

impl LogId {
    /// The id with this number.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// The number of this id.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
