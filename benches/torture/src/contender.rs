//! Who is tortured: the traits an adapter implements, and the list of all adapters.

use std::error::Error;
use std::path::Path;

use crate::oracle::Oracle;

#[cfg(feature = "peers")]
mod fjall;
mod laminar_storage;
mod laminar_wal;
#[cfg(feature = "peers")]
mod okaywal;
#[cfg(feature = "peers")]
mod raft_engine;
#[cfg(feature = "peers")]
mod redb;
#[cfg(feature = "peers")]
mod sled;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "peers")]
mod wal_db;
#[cfg(feature = "peers")]
mod walogs;
#[cfg(feature = "peers")]
mod walrus;
#[cfg(feature = "peers")]
mod writeahead;

/// What an adapter returns. Every error counts as refusal; its text is shown, not judged.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A log or a store, opened the way its documentation shows it, with every commit durable. Options are left at their
/// defaults, except that a log's segments are made small, so that a thousand records fill several.
pub(crate) trait Contender: Sync {
    /// Opens what is in `dir`, or starts there.
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>>;

    /// Whether a second opening shows again what the first one has shown.
    fn shows_again(&self) -> bool {
        true
    }
}

/// One that is open. Torture never drops it: a process that ends takes it along.
pub(crate) trait Handle: Send + Sync {
    /// Adds record `number`; `Ok` means it is durable.
    fn commit(&self, number: u64, content: &[u8]) -> Outcome;

    /// Shows every record to the oracle: in order, or those below `count` by name.
    fn read_back(&self, count: u64, oracle: &mut Oracle) -> Outcome;

    /// What opening reported through the API to have cut or given up. A line in a logger is none: a program can't act on it.
    fn report(&self) -> Option<String> {
        None
    }
}

/// The two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 1,000 records of 1 KiB, each synced.
    Log,
    /// 60 keys of 100 bytes, each in a durable commit of its own.
    Store,
}

impl Kind {
    /// How many records are committed.
    pub(crate) fn records(self) -> u64 {
        match self {
            Self::Log => 1_000,
            Self::Store => 60,
        }
    }

    /// Bytes of each.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Log => 1_024,
            Self::Store => 100,
        }
    }
}

/// A row of a table.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The package, for its version.
    pub(crate) package: &'static str,
    pub(crate) kind: Kind,
    pub(crate) contender: &'static dyn Contender,
}

const fn entry(name: &'static str, package: &'static str, kind: Kind, contender: &'static dyn Contender) -> Entry {
    Entry { name, package, kind, contender }
}

/// Everybody, in the order of the tables.
pub(crate) const ALL: &[Entry] = &[
    entry("laminar-wal", "laminar-wal", Kind::Log, &laminar_wal::LaminarWal),
    #[cfg(feature = "peers")]
    entry("wal-db", "wal-db", Kind::Log, &wal_db::WalDb { strict: false }),
    #[cfg(feature = "peers")]
    entry("wal-db strict", "wal-db", Kind::Log, &wal_db::WalDb { strict: true }),
    #[cfg(feature = "peers")]
    entry("walogs", "walogs", Kind::Log, &walogs::Walogs),
    #[cfg(feature = "peers")]
    entry("raft-engine", "raft-engine", Kind::Log, &raft_engine::RaftEngine),
    #[cfg(feature = "peers")]
    entry("writeahead", "writeahead", Kind::Log, &writeahead::Writeahead),
    #[cfg(feature = "peers")]
    entry("okaywal", "okaywal", Kind::Log, &okaywal::Okaywal),
    #[cfg(feature = "peers")]
    entry("fjall journal", "fjall", Kind::Log, &fjall::Fjall),
    #[cfg(feature = "peers")]
    entry("walrus", "walrus-rust", Kind::Log, &walrus::Walrus),
    entry("laminar-storage", "laminar-storage", Kind::Store, &laminar_storage::LaminarStorage { checkpoints: false }),
    entry(
        "laminar-storage, checkpoints",
        "laminar-storage",
        Kind::Store,
        &laminar_storage::LaminarStorage { checkpoints: true },
    ),
    #[cfg(feature = "peers")]
    entry("redb", "redb", Kind::Store, &redb::Redb),
    #[cfg(feature = "peers")]
    entry("fjall", "fjall", Kind::Store, &fjall::Fjall),
    #[cfg(feature = "peers")]
    entry("sled", "sled", Kind::Store, &sled::Sled),
    #[cfg(feature = "sqlite")]
    entry("SQLite WAL FULL", "rusqlite", Kind::Store, &sqlite::Sqlite),
];

/// The entry with this name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}
