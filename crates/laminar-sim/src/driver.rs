//! Runs operations against a store on a simulated disk, and compares with the oracle after each crash.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use laminar_storage::{
    Env, Error, Lsn, MemoryStateStore, RecoveryReport, StateStore, StoreOptions, SyncPolicy, WalStateStore,
};
use laminar_vfs::Inline;
use laminar_vfs::sim::{Fault, SimDisk};

use crate::failing::Failing;
use crate::faults::{KINDS, cause};
use crate::op::{OPERATORS, Op, Profile};
use crate::oracle::{Crash, Model, Oracle};
use crate::{Violation, sources};

mod prefix;

const DIR: &str = "/store";

/// The budget of a run with large values: the least that a store can have.
const BUDGET_BYTES: u64 = 1 << 20;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Operations that were applied.
    pub operations: u64,
    /// Commits that were submitted.
    pub commits: u64,
    /// Kills and power cuts, those inside a recovery among them.
    pub crashes: u64,
    /// Openings that recovered a state that was then compared whole.
    pub recoveries: u64,
    /// Checkpoints that were published while someone waited for them.
    pub checkpoints: u64,
    /// A hash over every call to the disk, in all lives of the process: equal runs have equal ones, on every machine.
    pub trace_hash: u64,
}

/// How the process is going to die.
#[derive(Debug, Clone, Copy)]
struct Death {
    /// The disk operation that it dies before.
    at: u64,
    power_cut: Option<u64>,
}

/// One run.
pub struct Driver {
    disk: SimDisk,
    env: Env,
    workers: Inline,
    options: StoreOptions,
    policy: SyncPolicy,
    store: Option<WalStateStore>,
    oracle: Oracle,
    /// Just past the last commit that was handed to the operating system.
    committed: Lsn,
    death: Option<Death>,
    recovery_death: Option<(u16, u64)>,
    failing: Failing,
    summary: Summary,
}

impl Driver {
    /// A fresh disk with an empty store on it. The seed also decides the sizes that the store is run with.
    ///
    /// # Errors
    /// Where the store can't be created.
    pub fn new(seed: u64) -> Result<Self, Violation> {
        let disk = SimDisk::new(seed);
        let (env, workers) = disk.env_and_workers();
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let policies = [SyncPolicy::Manual, SyncPolicy::EveryCommit, SyncPolicy::Interval(Duration::from_millis(50))];
        let policy = policies[rng.usize(..policies.len())];
        let options = StoreOptions::new()
            .segment_bytes(8192 << rng.u32(1..4))
            .buffer_bytes(4096 << rng.u32(0..3))
            .checkpoint_log_bytes(4096 << rng.u32(0..5))
            .checkpoint_interval(Duration::from_millis(rng.u64(50..500)))
            .max_retained(rng.usize(2..4))
            .run_limits(1 << rng.u32(10..20), rng.usize(2..200))
            .part_bytes(1 << fastrand::Rng::with_seed(seed ^ 0x9a27).u32(0..16))
            .value_alignment(1 << fastrand::Rng::with_seed(seed ^ 0x51ed).u32(0..5))
            .sync_policy(policy);
        let options = match Profile::of(seed) {
            Profile::Light | Profile::Alike | Profile::Narrow | Profile::Failing => options,
            // Checkpoints so seldom that entries pile up, and a table that has no room for them all.
            Profile::Heavy => options.checkpoint_log_bytes(1 << rng.u32(17..20)).memory_budget(BUDGET_BYTES),
            Profile::Tiered => options.checkpoint_log_bytes(1 << 20),
        };
        // In some tables the last few changes are still arriving; in the others each takes its place at once, and so soon may be swept: these
        // have little room, or are small, or are that until they have grown.
        let is_small = Profile::of(seed) == Profile::Narrow || rng.bool();
        let small_bytes = [0, 0, 0, 32 << 10, u64::MAX][fastrand::Rng::with_seed(seed ^ 0x57a1).usize(..5)];
        let options =
            if is_small { options.table_limit_bytes(8 << 20) } else { options.small_table_bytes(small_bytes) };
        let mut driver = Self {
            disk,
            env,
            workers,
            options,
            policy,
            store: None,
            oracle: Oracle::new(),
            committed: Lsn::ZERO,
            death: None,
            recovery_death: None,
            failing: Failing::default(),
            summary: Summary::default(),
        };
        driver.open(Crash::Killed)?;
        Ok(driver)
    }

    /// Does one operation. Where the process dies in it, everything up to the next comparison is done too.
    ///
    /// # Errors
    /// What the store did that it must not.
    pub fn apply(&mut self, op: &Op) -> Result<(), Violation> {
        self.summary.operations += 1;
        let result = match op {
            Op::Kill => return self.crash(None),
            Op::PowerCut(seed) => return self.crash(Some(*seed)),
            // One that is to die already is not given a longer life.
            Op::DieAt(..) if self.death.is_some() => Ok(()),
            Op::DieAt(operations, power_cut) => {
                self.disk.stop_at(u64::from(*operations));
                self.death = Some(Death { at: self.disk.operations() + u64::from(*operations), power_cut: *power_cut });
                Ok(())
            }
            Op::DieInRecovery(operations, seed) => {
                self.recovery_death = Some((*operations, *seed));
                Ok(())
            }
            Op::Fail(after, kind, sticky) => {
                let (_, kind) = KINDS[usize::from(*kind) % KINDS.len()];
                let fault = Fault::new(kind).after(u64::from(*after));
                self.failing.fail(&self.disk, if *sticky { fault.sticky() } else { fault });
                Ok(())
            }
            Op::Full(writes) => {
                self.failing.fill(&self.disk, *writes);
                Ok(())
            }
            Op::Mend => {
                self.disk.clear_faults();
                Ok(())
            }
            _ => {
                let result = self.apply_to_store(op);
                self.failing.empty(&self.disk);
                result
            }
        };
        match (result, self.death) {
            (Ok(()), _) => Ok(()),
            // A process that is gone can't be held to anything.
            (Err(_), Some(death)) if self.disk.operations() >= death.at => self.crash(death.power_cut),
            (Err(Trouble::Violation(violation)), _) => Err(violation),
            (Err(Trouble::Error(error)), _) => {
                self.may_fail(&error)?;
                // What could not be closed for want of space goes on, unless only the mark of it is missing.
                if self.store.as_ref().is_some_and(WalStateStore::is_closed) { self.crash(None) } else { Ok(()) }
            }
        }
    }

    /// A last power cut and comparison, and one more opening, which must find the same.
    ///
    /// # Errors
    /// What the store did that it must not.
    pub fn finish(mut self) -> Result<Summary, Violation> {
        self.crash(Some(1))?;
        self.intrude()?;
        let found = self.read_all()?;
        self.store = None;
        self.open(Crash::PowerCut)?;
        if self.read_all()? != found {
            return Err(Violation::new("a second recovery gives another state"));
        }
        self.summary.commits = self.oracle.commits() as u64;
        self.note_trace();
        Ok(self.summary)
    }

    /// Whether an error is one that a failed call explains. A full disk refuses, and no more.
    fn may_fail(&self, error: &Error) -> Result<(), Violation> {
        let is_typed = error.is_poisoned() || cause(error).is_some() || matches!(error, Error::NoCheckpoint { .. });
        if !is_typed || !self.failing.is_struck(&self.disk) {
            return Err(Violation::new(format!("an error that nothing explains: {error:?}")));
        }
        if !self.failing.not_only_full && !error.is_no_space() {
            return Err(Violation::new(format!("want of space is told as {error:?}")));
        }
        Ok(())
    }

    fn apply_to_store(&mut self, op: &Op) -> Result<(), Trouble> {
        let store = self.store.as_mut().ok_or_else(|| Violation::new("no store is open"))?;
        match op {
            Op::Put(operator, key, value) => {
                let (key, value) = (key.bytes(), value.bytes());
                with_operator(store, *operator, |state| state.put(&key, &value))?;
                self.oracle.change(|model| drop(model.insert((*operator, key), value)));
            }
            Op::Delete(operator, key) => {
                let key = key.bytes();
                with_operator(store, *operator, |state| state.delete(&key))?;
                self.oracle.change(|model| drop(model.remove(&(*operator, key))));
            }
            Op::DeletePrefix(operator, prefix) => self.delete_prefix(*operator, &prefix.bytes())?,
            Op::Clear(operator) => {
                with_operator(store, *operator, |state| state.clear())?;
                self.oracle.change(|model| model.retain(|(of, _), _| of != operator));
            }
            Op::Commit => self.commit(false)?,
            Op::CommitDurable => self.commit(true)?,
            Op::BeginCheckpoint => drop(store.checkpoint()?),
            Op::Checkpoint => self.checkpoint()?,
            Op::Background(steps) => {
                for _ in 0..*steps {
                    if !self.workers.step_all() {
                        break;
                    }
                }
            }
            Op::Wait(ms) => {
                self.disk.clock().advance(Duration::from_millis(u64::from(*ms)));
                let _ = self.workers.step_all();
            }
            Op::Compare => {
                // While a call fails, nothing can be asked of reading.
                self.disk.clear_faults();
                self.compare()?;
            }
            Op::Reopen => self.reopen()?,
            // What is no call to a store.
            _ => {}
        }
        Ok(())
    }

    fn commit(&mut self, durable: bool) -> Result<(), Trouble> {
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        if self.oracle.is_changed() {
            sources::set(store, self.oracle.next_commit())?;
            self.oracle.submit();
        }
        let ticket = store.commit()?;
        self.committed = ticket.lsn();
        self.oracle.hand_over();
        if durable {
            ticket.wait()?;
        }
        if durable || self.policy == SyncPolicy::EveryCommit {
            self.oracle.harden();
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Trouble> {
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        let info = store.checkpoint()?.wait()?;
        self.summary.checkpoints += 1;
        // One that was running already may have been cut before the last commit; the position tells.
        if info.wal_position >= self.committed {
            self.oracle.harden();
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Trouble> {
        if let Some(mut store) = self.store.take() {
            match store.close() {
                // A clean close makes every commit durable.
                Ok(()) => self.oracle.harden(),
                Err(error) => {
                    // Also one of which only the mark is missing.
                    if error.is_no_space() && store.is_closed() {
                        self.oracle.harden();
                    }
                    self.store = Some(store);
                    return Err(error.into());
                }
            }
        }
        Ok(self.open(Crash::Killed)?)
    }

    /// The process dies, by a power cut if there is a seed for it; then a new one opens the store.
    fn crash(&mut self, power_cut: Option<u64>) -> Result<(), Violation> {
        self.summary.crashes += 1;
        self.death = None;
        self.disk.clear_faults();
        match power_cut {
            Some(seed) => self.lose_power(seed),
            None => self.disk.kill(),
        }
        // Only now, so that nothing which a dropped store does reaches the disk that goes on.
        self.store = None;
        (self.env, self.workers) = self.disk.env_and_workers();
        // After a failed sync the cache is not to be relied on; a full disk only refuses.
        let is_whole = power_cut.is_none() && !(self.failing.not_only_full && self.failing.is_struck(&self.disk));
        self.failing = Failing::since(&self.disk);
        self.open(if is_whole { Crash::Killed } else { Crash::PowerCut })
    }

    /// Goes on with the disk that a power cut leaves; its calls are counted from 0 again.
    fn lose_power(&mut self, seed: u64) {
        self.note_trace();
        self.disk = self.disk.crash(seed);
    }

    fn note_trace(&mut self) {
        self.summary.trace_hash = self.summary.trace_hash.rotate_left(7) ^ self.disk.trace_hash();
    }

    /// Opens, dying on the way if that was asked for, and compares what is recovered.
    fn open(&mut self, crash: Crash) -> Result<(), Violation> {
        let mut crash = crash;
        if let Some((operations, seed)) = self.recovery_death.take() {
            let last = self.disk.operations() + u64::from(operations);
            self.disk.stop_at(u64::from(operations));
            let opened = self.open_once();
            if let Err(error) = &opened
                && self.disk.operations() < last
            {
                self.may_fail(error).map_err(|violation| violation.with("recovery, about to die"))?;
            }
            self.summary.crashes += 1;
            self.death = None;
            self.lose_power(seed);
            drop(opened);
            (self.env, self.workers) = self.disk.env_and_workers();
            crash = Crash::PowerCut;
            self.failing = Failing::since(&self.disk);
        }
        let (store, report) = match self.open_once() {
            Err(error) if self.failing.is_struck(&self.disk) => {
                self.may_fail(&error).map_err(|violation| violation.with("recovery"))?;
                self.disk.clear_faults();
                self.open_once()
            }
            opened => opened,
        }
        .map_err(|error| Violation::new(format!("recovery failed: {error}")))?;
        // One that has not struck yet would strike the comparing.
        self.disk.clear_faults();
        let found = sources::number(&report.source_offsets)?;
        self.committed = Lsn::ZERO;
        self.store = Some(store);
        self.oracle.recover(found, crash).map_err(Violation::new)?;
        if report.is_degraded() && !self.failing.is_struck(&self.disk) {
            return Err(Violation::new(format!("a crash passes for damage: {report:?}")));
        }
        if let Some(aside) = report.tail.cut.and_then(|cut| cut.kept_at)
            && self.disk.read_file(&aside).is_err()
        {
            return Err(Violation::new(format!("what was cut is not kept at {}", aside.display())));
        }
        self.summary.recoveries += 1;
        self.compare_all()
    }

    /// Somebody else opens the store that is open here.
    fn intrude(&self) -> Result<(), Violation> {
        match self.open_once() {
            Err(Error::Locked { .. }) => Ok(()),
            Err(error) => Err(Violation::new(format!("a second opener is told: {error}"))),
            Ok(_) => Err(Violation::new("a second opener got in")),
        }
    }

    fn open_once(&self) -> Result<(WalStateStore, RecoveryReport), Error> {
        WalStateStore::open(DIR, self.options.clone().env(self.env.clone()))
    }

    fn read_all(&self) -> Result<Model, Violation> {
        read_all(self.store.as_ref().ok_or_else(|| Violation::new("no store is open"))?)
    }

    fn compare_all(&self) -> Result<(), Violation> {
        let found = self.read_all()?;
        if found != *self.oracle.now() {
            return Err(Violation::new(difference(self.oracle.now(), &found)));
        }
        Ok(())
    }

    /// Scans and single reads against the oracle, and against the store without durability.
    fn compare(&self) -> Result<(), Trouble> {
        self.compare_all()?;
        let store = self.store.as_ref().ok_or_else(|| Violation::new("no store is open"))?;
        for operator in 0..OPERATORS {
            let mut memory = MemoryStateStore::new();
            for ((of, key), value) in self.oracle.now() {
                if *of == operator {
                    memory.put(key, value)?;
                }
            }
            let Some(view) = store.operator_view(&operator_name(operator)) else { continue };
            let keys: Vec<_> = (0..=u8::MAX).map(|number| (number, crate::Key(number).bytes())).collect();
            // A hint changes no answer.
            view.prefetch(&keys.iter().map(|(_, key)| &key[..]).collect::<Vec<_>>());
            for (number, key) in keys {
                if view.get(&key)? != memory.get(&key)? {
                    return Err(Violation::new(format!("get of key {number} of operator {operator} differs")).into());
                }
            }
            for prefix in [&b"k"[..], b"k1", &[0], &[0xff]] {
                let durable: Result<Vec<_>, Error> = view.prefix_scan(prefix).collect();
                let plain: Result<Vec<_>, Error> = memory.prefix_scan(prefix)?.collect();
                if durable? != plain? {
                    return Err(Violation::new(format!("a scan of prefix {prefix:?} differs")).into());
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// Why an operation did not go through.
enum Trouble {
    /// The store said so: right if the process has just died.
    Error(Error),
    Violation(Violation),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Violation> for Trouble {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// Everything that a store holds.
pub(crate) fn read_all(store: &WalStateStore) -> Result<Model, Violation> {
    let mut all = Model::new();
    for operator in 0..OPERATORS {
        let Some(view) = store.operator_view(&operator_name(operator)) else { continue };
        let mut count = 0;
        for entry in view.prefix_scan(b"") {
            let (key, value) = entry.map_err(|error| Violation::new(format!("a scan failed: {error}")))?;
            all.insert((operator, key.to_vec()), value.to_vec());
            count += 1;
        }
        let len = view.len().map_err(|error| Violation::new(format!("counting failed: {error}")))?;
        if len != count {
            return Err(Violation::new(format!("len() is {len}, a scan gives {count}")));
        }
    }
    Ok(all)
}

pub(crate) fn operator_name(operator: u8) -> String {
    if operator == 0 { String::new() } else { format!("operator {operator}") }
}

pub(crate) fn with_operator<T>(
    store: &mut WalStateStore,
    operator: u8,
    work: impl FnOnce(&mut dyn StateStore) -> Result<T, Error>,
) -> Result<T, Error> {
    if operator == 0 {
        return work(store);
    }
    work(&mut store.operator(&operator_name(operator))?)
}

pub(crate) fn difference(expected: &Model, found: &Model) -> String {
    let short = |model: &Model, other: &Model| {
        let differing = model.iter().filter(|&(key, value)| other.get(key) != Some(value));
        let listed: BTreeMap<_, _> =
            differing.map(|((of, key), value)| ((*of, key.len(), key.first()), value.len())).collect();
        format!("{listed:?}")
    };
    format!(
        "state differs; expected (operator, key length, first byte: value length) {}, found {}",
        short(expected, found),
        short(found, expected)
    )
}
