//! What the benches ask of a store, and the stores that answer: ours, its peers, and two maps without durability as the floor.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use laminar_benches::names;
use laminar_benches::workload::Key;
use laminar_storage::CheckpointTicket;

mod fjall;
mod laminar;
mod lmdb;
mod map;
mod pending;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(test)]
mod tests;

/// What a bench returns: whatever a store of others fails with ends the run.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// What survives a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The death of the process: handed to the operating system.
    Process,
    /// A power cut: synced.
    Power,
}

/// How a store is opened for a bench.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// What a commit promises.
    pub(crate) durability: Durability,
    /// What a cache may hold, in bytes. All of the data.
    pub(crate) cache_bytes: usize,
    /// What our table may hold, in bytes. Peers have no such table; their pages are left to the system, all of them.
    pub(crate) memory_budget: Option<u64>,
}

impl Setup {
    /// Commits that survive the process, and a cache for `keys` entries of any bench, twice.
    pub(crate) fn for_keys(keys: usize) -> Self {
        Self { durability: Durability::Process, cache_bytes: (keys * 400).max(1 << 30), memory_budget: None }
    }

    /// With less memory than the state needs.
    pub(crate) fn memory_budget(self, bytes: u64) -> Self {
        Self { memory_budget: Some(bytes), ..self }
    }

    /// With another promise.
    pub(crate) fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }
}

/// A store under measurement. Its settings stand in `README.md`.
pub(crate) trait Backend: Sized {
    /// Whether a new process finds what was committed.
    const IS_DURABLE: bool = true;
    /// Whether keys have an order.
    const IS_ORDERED: bool = true;
    /// Whether it can be told which keys will be asked for. Of these stores only ours can; what RocksDB and LMDB have for several keys are gets,
    /// which see nothing of the changes between them.
    const CAN_BE_TOLD: bool = false;

    /// Opens the store in `dir`, or creates it there.
    fn open(dir: &Path, setup: Setup) -> Outcome<Self>;

    /// Sets a value; seen by reads at once.
    fn put(&mut self, key: &Key, value: &[u8]) -> Outcome;

    /// Removes a key.
    fn delete(&mut self, key: &Key) -> Outcome;

    /// Hands the value of a key to `read`, from where it lies.
    fn get<R>(&mut self, key: &Key, read: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>>;

    /// Says which keys will be asked for.
    #[inline]
    fn prefetch(&mut self, _: &[Key]) {}

    /// Hands all entries whose keys begin with `prefix` to `each`, ascending.
    fn scan(&mut self, prefix: &[u8], each: impl FnMut(&Key, &[u8])) -> Outcome;

    /// Ends a batch: all changes since the last commit, or none of them, are found after a crash.
    fn commit(&mut self) -> Outcome;

    /// Lets a store finish what it does in the background behind a load, in the way that its reads like best. Not timed.
    fn rest(&mut self) -> Outcome {
        Ok(())
    }

    /// Brings everything committed into the files that a store opened afresh reads from, and waits for it.
    fn settle(&mut self) -> Outcome;

    /// Starts a checkpoint of what is committed: a state of its own that stays as it is while the store goes on. Stores that do
    /// not choose the place themselves put it into `dir`, which does not exist yet.
    fn checkpoint(&mut self, dir: &Path) -> Outcome<Checkpoint>;

    /// Closes the store as its users do.
    fn close(self) -> Outcome;
}

/// A checkpoint being made.
#[derive(Debug)]
pub(crate) enum Checkpoint {
    /// By our own thread; all checkpoints of the store stand below the path.
    Ours(CheckpointTicket, PathBuf),
    /// By a thread that calls what the peer offers for it, into the path.
    Peers(JoinHandle<Outcome>, PathBuf),
}

impl Checkpoint {
    /// Runs what makes the checkpoint at `dir` in a thread.
    fn spawn(dir: &Path, make: impl FnOnce(&Path) -> Outcome + Send + 'static) -> Self {
        let path = dir.to_path_buf();
        let dir = path.clone();
        Self::Peers(std::thread::spawn(move || make(&dir)), path)
    }

    /// Whether waiting takes no time.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Ours(ticket, _) => ticket.is_done(),
            Self::Peers(thread, _) => thread.is_finished(),
        }
    }

    /// Waits, and tells where the checkpoint is.
    pub(crate) fn wait(self) -> Outcome<PathBuf> {
        match self {
            Self::Ours(ticket, parent) => Ok(parent.join(format!("checkpoint-{:020}", ticket.wait()?.id))),
            Self::Peers(thread, path) => {
                thread.join().map_err(|_| "the thread that made a checkpoint panicked")??;
                Ok(path)
            }
        }
    }
}

/// The first and the last key that begin with `prefix`.
fn bounds(prefix: &[u8]) -> (Key, Key) {
    let (mut first, mut last) = ([0; 16], [0xFF; 16]);
    for ((first, last), byte) in first.iter_mut().zip(&mut last).zip(prefix) {
        *first = *byte;
        *last = *byte;
    }
    (first, last)
}

/// Something to do with one store, whichever it is.
pub(crate) trait Job {
    /// What it returns.
    type Output;

    /// Does it.
    fn run<B: Backend>(self) -> Outcome<Self::Output>;
}

/// The stores, in the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// Ours.
    Laminar,
    /// RocksDB.
    #[cfg(feature = "rocksdb")]
    Rocksdb,
    /// LMDB.
    Lmdb,
    /// redb.
    Redb,
    /// fjall.
    Fjall,
    /// `hashbrown::HashMap`, without durability.
    Hashmap,
    /// `BTreeMap`, without durability.
    Btreemap,
}

impl Store {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::Laminar,
        #[cfg(feature = "rocksdb")]
        Self::Rocksdb,
        Self::Lmdb,
        Self::Redb,
        Self::Fjall,
        Self::Hashmap,
        Self::Btreemap,
    ];

    /// The one of this name.
    pub(crate) fn find(name: &str) -> Outcome<Self> {
        let found = Self::ALL.iter().copied().find(|store| store.name() == name);
        found.ok_or_else(|| format!("no store is called {name}").into())
    }

    /// As it is called in tables and rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Laminar => names::LAMINAR,
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => names::ROCKSDB,
            Self::Lmdb => names::LMDB,
            Self::Redb => names::REDB,
            Self::Fjall => names::FJALL,
            Self::Hashmap => names::HASHBROWN,
            Self::Btreemap => names::BTREEMAP,
        }
    }

    /// Whether a new process finds what was committed.
    pub(crate) fn is_durable(self) -> bool {
        self.run(Facts).is_ok_and(|(is_durable, _)| is_durable)
    }

    /// Whether keys have an order.
    pub(crate) fn is_ordered(self) -> bool {
        self.run(Facts).is_ok_and(|(_, is_ordered)| is_ordered)
    }

    /// Does the job with this store.
    pub(crate) fn run<J: Job>(self, job: J) -> Outcome<J::Output> {
        match self {
            Self::Laminar => job.run::<laminar::Laminar>(),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => job.run::<rocksdb::RocksDb>(),
            Self::Lmdb => job.run::<lmdb::Lmdb>(),
            Self::Redb => job.run::<redb::Redb>(),
            Self::Fjall => job.run::<fjall::Fjall>(),
            Self::Hashmap => job.run::<map::Hash>(),
            Self::Btreemap => job.run::<map::BTree>(),
        }
    }
}

/// What a store says about itself.
struct Facts;

impl Job for Facts {
    type Output = (bool, bool);

    fn run<B: Backend>(self) -> Outcome<(bool, bool)> {
        Ok((B::IS_DURABLE, B::IS_ORDERED))
    }
}
