//! Writes the references: small directories with everything in them that a format knows.

use std::time::Duration;

use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create};
use laminar_storage::{Env, ReadMode, StoreOptions, SyncPolicy, WalStateStore};
use laminar_vfs::Inline;
use laminar_vfs::sim::SimDisk;
use laminar_wal::{Wal, WalOptions};

use crate::Violation;
use crate::op::{Key, OPERATORS, Value};
use crate::oracle::Model;

use super::subject::{CheckpointsSubject, Entries, LogSubject, StoreSubject};

/// What was written.
pub(super) struct Written {
    pub(super) disk: SimDisk,
    pub(super) older: Vec<SimDisk>,
    pub(super) subject: Subject,
    pub(super) left: Left,
}

/// What a reference is one of.
pub(super) enum Subject {
    Store(StoreSubject),
    Log(LogSubject),
    Checkpoints(CheckpointsSubject),
}

/// How a store or log is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// By `close`.
    Closed,
    /// Right after a sync.
    Busy,
    /// With a mark behind the last group, which the idle log wrote.
    AtRest,
}

pub(crate) const DIR: &str = "/reference";
pub(super) const SOURCE: &str = "commit";

pub(super) fn write(name: &'static str) -> Result<Written, Violation> {
    match name {
        "store-closed" => store(Left::Closed, SyncPolicy::Manual),
        "store-busy" => store(Left::Busy, SyncPolicy::Manual),
        "store-at-rest" => store(Left::AtRest, SyncPolicy::Manual),
        "store-every-commit" => store(Left::Busy, SyncPolicy::EveryCommit),
        "log-closed" => log(Left::Closed),
        "log-busy" => log(Left::Busy),
        "log-at-rest" => log(Left::AtRest),
        _ => checkpoints(),
    }
}

fn failed(error: impl std::fmt::Display) -> Violation {
    Violation::new(format!("writing the reference failed: {error}"))
}

pub(crate) fn store_options(env: Env, policy: SyncPolicy) -> StoreOptions {
    // Both ways to read, so that both check what they read.
    let read_mode = if policy == SyncPolicy::EveryCommit { ReadMode::Owned } else { ReadMode::Mapped };
    StoreOptions::new()
        .env(env)
        .segment_bytes(SEGMENT_BYTES)
        .buffer_bytes(8192)
        .sync_policy(policy)
        .read_mode(read_mode)
        // In parts wherever there is something to part.
        .part_bytes(1)
}

pub(super) const SEGMENT_BYTES: u64 = 16 << 10;

/// A store that is being written.
struct Writing {
    store: WalStateStore,
    model: Model,
    commits: u64,
    numbers: u32,
}

impl Writing {
    fn open(disk: &SimDisk, policy: SyncPolicy, before: Option<Self>) -> Result<(Self, Inline), Violation> {
        let (env, workers) = disk.env_and_workers();
        let (model, commits, numbers) =
            before.map_or_else(Default::default, |before| (before.model, before.commits, before.numbers));
        let (store, _) = WalStateStore::open(DIR, store_options(env, policy)).map_err(failed)?;
        Ok((Self { store, model, commits, numbers }, workers))
    }

    fn put(&mut self, operator: u8, key: Vec<u8>, len: u16) -> Result<(), Violation> {
        self.numbers += 1;
        let value = Value { number: self.numbers, len }.bytes();
        crate::driver::with_operator(&mut self.store, operator, |state| state.put(&key, &value)).map_err(failed)?;
        self.model.insert((operator, key), value);
        Ok(())
    }

    fn delete(&mut self, operator: u8, key: Vec<u8>) -> Result<(), Violation> {
        crate::driver::with_operator(&mut self.store, operator, |state| state.delete(&key)).map_err(failed)?;
        self.model.remove(&(operator, key));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Violation> {
        self.commits += 1;
        self.store.set_source_offset(SOURCE, self.commits).map_err(failed)?;
        self.store.commit().and_then(|ticket| ticket.wait()).map_err(failed)
    }

    /// Puts `keys` keys in commits of ten, and deletes a few of what is there.
    fn fill(&mut self, keys: u32) -> Result<(), Violation> {
        for number in 0..keys {
            let operator = u8::try_from(number % u32::from(OPERATORS)).unwrap_or(0);
            let key = format!("key {:04}", (number * 37 + self.numbers) % 150).into_bytes();
            // The values of one operator have the same length, so that its entries need no headers.
            let len = if operator == 0 { 150 } else { 20 + number * 13 % 180 };
            self.put(operator, key, u16::try_from(len).unwrap_or(20))?;
            if number % 11 == 10 {
                self.delete(operator, format!("key {:04}", number * 3 % 150).into_bytes())?;
            }
            if number % 10 == 9 {
                self.commit()?;
            }
        }
        self.commit()
    }
}

/// Checkpoints that share a run, commits behind them, and the log in between.
fn store(left: Left, policy: SyncPolicy) -> Result<Written, Violation> {
    let disk = SimDisk::new(11);
    let mut older = Vec::new();
    let (mut writing, _) = Writing::open(&disk, policy, None)?;
    for number in 0..OPERATORS {
        writing.put(number, Key(number).bytes(), 30)?;
    }
    writing.fill(150)?;
    writing.store.checkpoint().and_then(|ticket| ticket.wait()).map_err(failed)?;
    writing.store.close().map_err(failed)?;
    older.push(disk.fork());
    let (mut writing, _) = Writing::open(&disk, policy, Some(writing))?;
    writing.fill(30)?;
    writing.store.checkpoint().and_then(|ticket| ticket.wait()).map_err(failed)?;
    writing.fill(25)?;
    older.push(disk.fork());
    writing.store.checkpoint().and_then(|ticket| ticket.wait()).map_err(failed)?;
    writing.fill(20)?;
    writing.store.close().map_err(failed)?;
    let (mut writing, workers) = Writing::open(&disk, policy, Some(writing))?;
    writing.fill(12)?;
    let before_last = (writing.commits, writing.model.clone());
    older.push(disk.fork());
    writing.put(1, b"last".to_vec(), 700)?;
    writing.commit()?;
    if left == Left::Closed {
        writing.store.close().map_err(failed)?;
    }
    if left == Left::AtRest {
        disk.clock().advance(Duration::from_secs(1));
        workers.drive_all();
    }
    let state = (writing.commits, writing.model.clone());
    drop(writing);
    let subject = StoreSubject { policy, last: state, before_last };
    Ok(Written { disk: disk.fork(), older, subject: Subject::Store(subject), left })
}

/// Before this round the power is cut.
const LOST_ROUND: usize = 6;

pub(crate) fn log_options(env: Env) -> WalOptions {
    WalOptions::new().env(env).segment_bytes(SEGMENT_BYTES).buffer_bytes(4096)
}

/// A log of several segments, one of which was written again after a power cut. Some payloads hold whole sectors of zeros.
fn log(left: Left) -> Result<Written, Violation> {
    let mut disk = SimDisk::new(12);
    let mut random = fastrand::Rng::with_seed(5);
    let mut older = Vec::new();
    let mut records = Vec::new();
    let mut before_last = 0;
    let (mut env, mut workers) = disk.env_and_workers();
    let mut wal = Wal::open(DIR, log_options(env)).map_err(failed)?.0;
    for round in 0..14usize {
        if round == LOST_ROUND {
            // Lost by a power cut, and something else is written in its place: the older disk still has it.
            wal.append(b"lost").map_err(failed)?;
            wal.commit().map_err(failed)?;
            older.push(disk.fork());
            disk = disk.crash_lose_all();
            (env, workers) = disk.env_and_workers();
            wal = Wal::open(DIR, log_options(env)).map_err(failed)?.0;
            records.push((wal.append(b"in its place").map_err(failed)?, b"in its place".to_vec()));
            wal.sync().map_err(failed)?;
        }
        if matches!(round, 4 | 9 | 13) {
            older.push(disk.fork());
        }
        before_last = records.len();
        for _ in 0..random.usize(1..4) {
            let mut payload: Vec<u8> = (0..random.usize(0..1500)).map(|_| random.u8(..)).collect();
            if round % 4 == 3 {
                payload.resize(2600, 0);
            }
            let lsn = wal.append(&payload).map_err(failed)?;
            records.push((lsn, payload));
        }
        wal.sync().map_err(failed)?;
        if round % 3 == 0 && round != 13 {
            disk.clock().advance(Duration::from_secs(1));
            workers.drive_all();
        }
        if round == 8 {
            let to = records.get(2).map_or(laminar_wal::Lsn::ZERO, |(lsn, _)| *lsn);
            wal.truncate_below(to).map_err(failed)?;
        }
    }
    if left == Left::Closed {
        wal.close().map_err(failed)?;
    }
    if left == Left::AtRest {
        disk.clock().advance(Duration::from_secs(1));
        workers.drive_all();
    }
    let gone = records.iter().take_while(|(lsn, _)| *lsn < wal.start_lsn()).count();
    records.drain(..gone);
    drop(wal);
    let subject = LogSubject { records, before_last: before_last - gone };
    Ok(Written { disk: disk.fork(), older, subject: Subject::Log(subject), left })
}

pub(crate) fn checkpoint_options(env: Env) -> CheckpointOptions {
    CheckpointOptions::new().env(env).hash_seed(7)
}

/// Three checkpoints that share a run; each with a section, small in the first and of many pages in the others.
fn checkpoints() -> Result<Written, Violation> {
    let disk = SimDisk::new(13);
    let manager = CheckpointManager::open(DIR, checkpoint_options(disk.env())).map_err(failed)?;
    let mut models: Vec<(u64, Entries, Vec<u64>)> = Vec::new();
    let mut older = Vec::new();
    let mut base = None;
    let mut model = Entries::new();
    drop(manager.create(Create::new(5).entries([("retired", Some("before it is damaged"))])).map_err(failed)?);
    for round in 0..3u32 {
        let mut changes = Vec::new();
        for number in 0..[300, 60, 40][round as usize] {
            let key = format!("key {:05}", number * (round + 1)).into_bytes();
            // Entries of the same lengths, and others.
            let len = if number < 150 { 70 } else { number % 90 };
            let value = Value { number: number + round * 1000, len: u16::try_from(len).unwrap_or(0) }.bytes();
            let value = (round == 0 || number % 7 != 6).then_some(value);
            match &value {
                Some(value) => drop(model.insert(key.clone(), value.clone())),
                None => drop(model.remove(&key)),
            }
            changes.push((key, value));
        }
        let section: Vec<u64> = (0..[5, 3000, 4000][round as usize]).map(|at| at * 3 + u64::from(round)).collect();
        let mut create =
            Create::new(u64::from(round + 1) * 10).merge(false).entries(changes).section("numbers", &section);
        if let Some(base) = &base {
            create = create.base(base);
        }
        base = Some(manager.create(create).map_err(failed)?);
        models.push((u64::from(round + 1) * 10, model.clone(), section));
        older.push(disk.fork());
    }
    older.pop();
    drop(base);
    manager.cleanup_old(models.len()).map_err(failed)?;
    let subject = Subject::Checkpoints(CheckpointsSubject { models });
    Ok(Written { disk: disk.fork(), older, subject, left: Left::Closed })
}
