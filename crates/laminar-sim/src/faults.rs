//! Every call to the disk fails: in each way, once or from there on, at each index of a workload.
//!
//! Errors must be typed and reads go on; what was acknowledged is kept. A full disk, too many open files and the like refuse, and the
//! same call goes through once the cause is gone; a failed sync of the log poisons for ever. Then the process is killed and the store opened in
//! the same boot: what it serves is still there after the cache is dropped and the power cut.

use std::fmt;
use std::str::FromStr;

use laminar_storage::{Error, ReadMode, StateStore, StoreOptions, SyncPolicy, WalStateStore};
use laminar_vfs::Op as DiskOp;
use laminar_vfs::sim::{FaultKind, SimDisk};

use crate::Violation;
use crate::driver::{difference, read_all, with_operator};
use crate::op::{Key, Value};
use crate::oracle::{Crash, Model, Oracle};
use crate::seeds::caught;

const DIR: &str = "/store";
const SOURCE: &str = "commit";

/// The ways in which a call fails, by name.
pub(crate) const KINDS: [(&str, FaultKind); 8] = [
    ("io", FaultKind::Io),
    ("io-partly", FaultKind::IoPartly),
    ("torn", FaultKind::Torn),
    ("no-space", FaultKind::NoSpace),
    ("quota", FaultKind::Quota),
    ("many-files", FaultKind::ManyFiles),
    ("interrupted", FaultKind::Interrupted),
    ("short", FaultKind::Short),
];

/// How many workloads there are.
pub const FAULT_WORKLOADS: u64 = 4;

/// One fault in one workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCase {
    /// Which workload, below [`FAULT_WORKLOADS`].
    pub workload: u64,
    /// The index of the call that fails.
    pub call: u64,
    /// Which way, an index of the list of kinds.
    kind: usize,
    /// Whether all later calls fail too, until the fault is cleared.
    pub sticky: bool,
}

impl fmt::Display for FaultCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.sticky { "sticky" } else { "once" };
        write!(f, "{}:{}:{}:{how}", self.workload, self.call, KINDS[self.kind].0)
    }
}

impl FromStr for FaultCase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [workload, call, kind, how] = parts[..] else {
            return Err(format!("`{text}` is not WORKLOAD:CALL:KIND:once|sticky"));
        };
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
        let known = KINDS.iter().position(|(name, _)| *name == kind);
        let kind = known.ok_or_else(|| format!("`{kind}` is no kind of fault"))?;
        let sticky = match how {
            "once" => false,
            "sticky" => true,
            _ => return Err(format!("`{how}` is neither `once` nor `sticky`")),
        };
        Ok(Self { workload: number(workload)? % FAULT_WORKLOADS, call: number(call)?, kind, sticky })
    }
}

/// Every fault of every workload; of the calls every `call_step`-th.
///
/// # Errors
/// Where a workload does not go through without faults.
pub fn fault_cases(call_step: usize) -> Result<Vec<FaultCase>, Violation> {
    let mut all = Vec::new();
    for workload in 0..FAULT_WORKLOADS {
        let mut run = Run::new(workload);
        run.work(None)?;
        for call in (0..run.disk.operations()).step_by(call_step) {
            for kind in 0..KINDS.len() {
                all.extend([false, true].map(|sticky| FaultCase { workload, call, kind, sticky }));
            }
        }
    }
    Ok(all)
}

/// Runs a workload into a fault and beyond. Returns how many disks were recovered and compared whole.
///
/// # Errors
/// What the store did that it must not; a panic is one.
pub fn check_fault(case: FaultCase) -> Result<u64, Violation> {
    caught(|| judge(case)).map_err(|violation| violation.with(&format!("replay: cargo xtask fault --case {case}")))
}

/// What a workload does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Puts a value of so many bytes under the key of this number.
    Put(u8, u16),
    Delete(u8),
    Commit,
    Durable,
    Checkpoint,
    Reopen,
}

/// Puts, deletes, commits, checkpoints that merge and retire, a rotation, and a reopening in the middle.
fn steps(workload: u64) -> Vec<Step> {
    use Step::{Checkpoint, Commit, Delete, Durable, Put, Reopen};
    match workload {
        0 => vec![Put(4, 20), Commit, Put(5, 30), Durable, Delete(4), Put(6, 9), Commit, Put(7, 2), Durable],
        1 => vec![
            Put(4, 20),
            Durable,
            Checkpoint,
            Put(5, 900),
            Commit,
            Checkpoint,
            Delete(4),
            Durable,
            Checkpoint,
            Put(6, 5),
            Durable,
        ],
        2 => vec![
            Put(4, 6000),
            Commit,
            Put(5, 6000),
            Durable,
            Put(6, 6000),
            Commit,
            Put(4, 6000),
            Durable,
            Put(7, 1),
            Commit,
        ],
        _ => vec![
            Put(4, 6000),
            Durable,
            Checkpoint,
            Reopen,
            Put(5, 6000),
            Commit,
            Put(6, 6000),
            Delete(4),
            Durable,
            Checkpoint,
            Put(7, 30),
            Commit,
            Reopen,
            Put(8, 6000),
            Put(9, 50),
            Durable,
            Checkpoint,
            Put(4, 3),
            Durable,
        ],
    }
}

/// A workload under way.
struct Run {
    disk: SimDisk,
    options: StoreOptions,
    store: Option<WalStateStore>,
    steps: Vec<Step>,
    oracle: Oracle,
    is_poisoned: bool,
    /// Of the last commit that went through.
    committed: laminar_storage::Lsn,
}

/// How the errors of a run are judged.
#[derive(Debug, Clone, Copy)]
struct Expected {
    kind: FaultKind,
    sticky: bool,
}

impl Expected {
    /// Whether this fault only refuses: nothing may be poisoned, save by a sync that failed.
    fn refuses(self) -> bool {
        matches!(self.kind, FaultKind::NoSpace | FaultKind::Quota | FaultKind::ManyFiles)
    }

    /// Whether nobody may see anything of this fault.
    fn is_hidden(self) -> bool {
        matches!(self.kind, FaultKind::Interrupted | FaultKind::Short) && !self.sticky
    }
}

/// The error of the disk behind an error.
pub(crate) fn cause(error: &Error) -> Option<&laminar_vfs::Error> {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    match error {
        Error::Io(error) | Error::Log(laminar_wal::Error::Io(error)) => return Some(error),
        Error::Checkpoint(laminar_checkpoint::Error::Io(error)) => return Some(error),
        Error::Log(laminar_wal::Error::Poisoned { cause }) => return Some(cause),
        Error::Log(laminar_wal::Error::NoSpace { cause }) => return Some(cause),
        _ => {}
    }
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        at = error.source();
    }
    None
}

impl Run {
    fn new(workload: u64) -> Self {
        let disk = SimDisk::new(workload + 1);
        let read_mode = if workload.is_multiple_of(2) { ReadMode::Owned } else { ReadMode::Mapped };
        let policy = if workload == 2 { SyncPolicy::EveryCommit } else { SyncPolicy::Manual };
        let options =
            StoreOptions::new().segment_bytes(16 << 10).buffer_bytes(4096).read_mode(read_mode).sync_policy(policy);
        let options = options.part_bytes(1);
        let (steps, oracle) = (steps(workload), Oracle::new());
        Self { disk, options, store: None, steps, oracle, is_poisoned: false, committed: laminar_storage::Lsn::ZERO }
    }

    fn open_on(&self, disk: &SimDisk) -> Result<(WalStateStore, u64), Error> {
        let (store, report) = WalStateStore::open(DIR, self.options.clone().env(disk.env()))?;
        Ok((store, report.source_offsets.get(SOURCE).copied().unwrap_or(0)))
    }

    /// Opens after the process died, or for the first time.
    fn open(&mut self, expected: Option<Expected>) -> Result<bool, Violation> {
        match self.open_on(&self.disk) {
            Ok((store, found)) => {
                self.store = Some(store);
                self.is_poisoned = false;
                self.committed = laminar_storage::Lsn::ZERO;
                self.oracle.recover(found, Crash::Killed).map_err(Violation::new)?;
                Ok(true)
            }
            Err(error) => {
                self.may_fail(&error, expected, "opening")?;
                Ok(false)
            }
        }
    }

    /// Does everything, each step again where it failed and may go through.
    fn work(&mut self, expected: Option<Expected>) -> Result<(), Violation> {
        for at in 0..self.steps.len() {
            let step = self.steps[at];
            let place = |violation: Violation| violation.with(&format!("step {at}, {step:?}"));
            for again in 0..2 {
                if self.store.is_none() && !self.open(expected).map_err(place)? {
                    continue;
                }
                match self.step(step) {
                    Ok(()) => break,
                    Err(error) => {
                        self.may_fail(&error, expected, "a step").map_err(place)?;
                        let refuses = expected.is_some_and(|expected| expected.refuses() && !expected.sticky);
                        if again == 1 && refuses && !self.is_poisoned {
                            return Err(place(Violation::new(format!("refused again without a cause: {error}"))));
                        }
                        if expected.is_some_and(|expected| !expected.sticky) {
                            self.compare().map_err(place)?;
                        }
                        if self.store.is_none() {
                            break;
                        }
                    }
                }
            }
            self.poison_stays().map_err(place)?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), Error> {
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        match step {
            Step::Put(key, len) => {
                let value = Value { number: u32::from(key) + u32::from(len), len }.bytes();
                let (operator, key) = (key % 2, Key(key).bytes());
                with_operator(store, operator, |state| state.put(&key, &value))?;
                self.oracle.change(|model| drop(model.insert((operator, key), value)));
            }
            Step::Delete(key) => {
                let (operator, key) = (key % 2, Key(key).bytes());
                with_operator(store, operator, |state| state.delete(&key))?;
                self.oracle.change(|model| drop(model.remove(&(operator, key))));
            }
            Step::Commit => drop(self.commit()?),
            Step::Durable => {
                self.commit()?.map_or(Ok(()), |ticket| ticket.wait())?;
                self.oracle.harden();
            }
            Step::Checkpoint => {
                let info = store.checkpoint()?.wait()?;
                // What goes wrong with retiring and merging is told apart and endangers nothing.
                drop(store.take_upkeep_error());
                if info.wal_position >= self.committed {
                    self.oracle.harden();
                }
            }
            Step::Reopen => {
                match store.close() {
                    Err(error) if error.is_no_space() && !store.is_closed() => return Err(error),
                    Err(error) => {
                        // Only the mark of it is missing.
                        if error.is_no_space() {
                            self.oracle.harden();
                        }
                        self.store = None;
                        return Err(error);
                    }
                    Ok(()) => {}
                }
                self.oracle.harden();
                self.store = None;
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<Option<laminar_storage::CommitTicket>, Error> {
        let Some(store) = self.store.as_mut() else { return Ok(None) };
        if self.oracle.is_changed() {
            store.set_source_offset(SOURCE, self.oracle.next_commit())?;
            self.oracle.submit();
        }
        let ticket = store.commit()?;
        self.committed = ticket.lsn();
        self.oracle.hand_over();
        Ok(Some(ticket))
    }

    /// Whether an error is one that the fault explains.
    fn may_fail(&mut self, error: &Error, expected: Option<Expected>, doing: &str) -> Result<(), Violation> {
        let Some(expected) = expected else { return Err(Violation::new(format!("{doing} failed: {error}"))) };
        if expected.is_hidden() {
            return Err(Violation::new(format!("a {:?} call is seen: {error}", expected.kind)));
        }
        let cause = cause(error);
        let is_sync = cause.is_some_and(|cause| matches!(cause.op(), DiskOp::SyncData | DiskOp::SyncDir));
        if error.is_poisoned() {
            // Only what opens a file can run out of files; a write that does is a disk that does not work.
            let is_real = expected.kind != FaultKind::ManyFiles;
            if expected.refuses() && is_real && !is_sync {
                return Err(Violation::new(format!("{:?} poisons: {error}, {cause:?}", expected.kind)));
            }
            self.is_poisoned = true;
            return Ok(());
        }
        // An error of reading a checkpoint passes it over; with nothing to fall back on, that is the error.
        let is_reading = matches!(error, Error::NoCheckpoint { .. });
        if cause.is_none() && !is_reading {
            return Err(Violation::new(format!("an error that is not of the disk: {error:?}")));
        }
        if matches!(expected.kind, FaultKind::NoSpace | FaultKind::Quota) && !error.is_no_space() && !is_reading {
            return Err(Violation::new(format!("{:?} is not told as that: {error:?}", expected.kind)));
        }
        Ok(())
    }

    /// Once poisoned, nothing is acknowledged any more.
    fn poison_stays(&mut self) -> Result<(), Violation> {
        let Some(store) = self.store.as_mut().filter(|_| self.is_poisoned) else { return Ok(()) };
        let put = store.put(b"after the poison", b"");
        let commit = store.commit().and_then(|ticket| ticket.wait());
        for (what, result) in [("a put", put), ("a commit", commit)] {
            match result {
                Err(error) if error.is_poisoned() => {}
                Ok(()) if what == "a commit" && !self.oracle.is_changed() => {}
                other => return Err(Violation::new(format!("{what} on a poisoned store: {other:?}"))),
            }
        }
        Ok(())
    }

    /// Reads go on, whatever was refused.
    fn compare(&self) -> Result<(), Violation> {
        let Some(store) = &self.store else { return Ok(()) };
        let found = read_all(store)?;
        if found == *self.oracle.now() { Ok(()) } else { Err(Violation::new(difference(self.oracle.now(), &found))) }
    }
}

fn judge(case: FaultCase) -> Result<u64, Violation> {
    let kind = KINDS[case.kind].1;
    let expected = Expected { kind, sticky: case.sticky };
    let mut run = Run::new(case.workload);
    run.disk.fail_nth(case.call, kind, case.sticky);
    run.work(Some(expected))?;
    run.disk.clear_faults();
    // The cause is gone: the same handle goes on, if no sync has failed.
    if !run.is_poisoned && run.store.is_some() {
        let cleared = |violation: Violation| violation.with("after the fault was cleared");
        run.compare().map_err(cleared)?;
        if expected.refuses() || expected.is_hidden() {
            for step in [Step::Put(10, 40), Step::Durable, Step::Checkpoint] {
                let failed = |error: Error| {
                    Violation::new(format!("{step:?} failed: {error}")).with("after the fault was cleared")
                };
                run.step(step).map_err(failed)?;
            }
            run.compare().map_err(cleared)?;
        }
    }
    let mut recovered = 0;
    if expected.refuses() && run.store.is_some() {
        opens_when_full(&run)?;
    }
    // A power cut at once; and before it an opening in the same boot, whose every answer must then hold.
    let disks = [run.disk.fork(), run.disk.crash_lose_all(), run.disk.crash(case.call), run.disk.crash_torn(case.call)];
    for (number, disk) in disks.into_iter().enumerate() {
        let crash = if number == 0 { Crash::Killed } else { Crash::PowerCut };
        let place = ["killed", "power cut, all lost", "power cut", "power cut, torn"][number];
        let outcome = recover(&run, &disk, crash);
        // Of a disk that tears sectors, no more is promised than that it is told.
        if number == 3 && matches!(outcome, Ok(false)) {
            continue;
        }
        match outcome {
            Ok(true) => recovered += 3,
            Ok(false) => return Err(Violation::new("a power cut passes for damage").with(place)),
            Err(violation) => return Err(violation.with(place)),
        }
    }
    Ok(recovered)
}

/// The process dies, and there is no space left: what was handed over is served all the same.
fn opens_when_full(run: &Run) -> Result<(), Violation> {
    let full = run.disk.fork();
    full.set_space(Some(full.used_bytes()));
    let opened = run.open_on(&full).map_err(|error| Violation::new(format!("a full disk does not open: {error}")));
    let (store, found) = opened?;
    let violation = |what: String| Violation::new(what).with("on a full disk");
    let expected = run.oracle.may_be(found, Crash::Killed).map_err(violation)?;
    let served: Model = read_all(&store)?;
    if served == *expected { Ok(()) } else { Err(violation(difference(expected, &served))) }
}

/// Opens, and holds what is served against what may be; then that must outlive a dropped cache and a power cut. Says no where
/// something passes for damage.
fn recover(run: &Run, disk: &SimDisk, crash: Crash) -> Result<bool, Violation> {
    let failed = |error: Error| Violation::new(format!("recovery failed: {error}"));
    let (store, found) = match run.open_on(disk) {
        Err(error) if error.is_corrupt() && !matches!(error, Error::Missing { .. }) => return Ok(false),
        opened => opened.map_err(failed)?,
    };
    let served: Model = read_all(&store)?;
    let expected = run.oracle.may_be(found, crash).map_err(Violation::new)?;
    if served != *expected {
        return Err(Violation::new(difference(expected, &served)));
    }
    drop(store);
    disk.drop_caches();
    for after in [disk.crash_lose_all(), disk.crash_keep_all()] {
        let (store, again) = run.open_on(&after).map_err(failed)?;
        if again != found || read_all(&store)? != served {
            let what = format!("commit {found} was served, and after a power cut it is commit {again}");
            return Err(Violation::new(what));
        }
    }
    Ok(true)
}
