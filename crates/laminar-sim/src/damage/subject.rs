//! Opens what was damaged, reads everything, and says what it came to.

use std::collections::BTreeMap;
use std::fmt::Display;

use laminar_checkpoint::{Checkpoint, CheckpointManager, Create, Verify};
use laminar_storage::{SyncPolicy, WalStateStore};
use laminar_vfs::sim::SimDisk;
use laminar_wal::{Lsn, Wal};

use crate::Violation;
use crate::driver::{difference, operator_name, read_all, with_operator};
use crate::op::OPERATORS;
use crate::oracle::Model;

use super::reference::{DIR, SOURCE, Subject, checkpoint_options, log_options, store_options};
use super::{Outcome, Rules};

/// Entries of a checkpoint.
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store, with the state as of its last commit and the one before.
pub(super) struct StoreSubject {
    pub(super) policy: SyncPolicy,
    pub(super) last: (u64, Model),
    pub(super) before_last: (u64, Model),
}

/// A log: its records, and how many of them came before the last sync.
pub(super) struct LogSubject {
    pub(super) records: Vec<(Lsn, Vec<u8>)>,
    pub(super) before_last: usize,
}

/// Checkpoints: position, entries and section of each, the oldest first.
pub(super) struct CheckpointsSubject {
    pub(super) models: Vec<(u64, Entries, Vec<u64>)>,
}

impl Subject {
    /// Opens and reads everything.
    pub(super) fn judge(&self, disk: &SimDisk, rules: &Rules<'_>) -> Result<Outcome, Violation> {
        match self {
            Self::Store(store) => store.judge(disk, rules),
            Self::Log(log) => log.judge(disk, rules),
            Self::Checkpoints(checkpoints) => checkpoints.judge(disk, rules),
        }
    }
}

/// An error is an outcome where it is allowed and names a path.
fn refused(error: &dyn Display, rules: &Rules<'_>) -> Result<Outcome, Violation> {
    let text = error.to_string();
    if !rules.allowed.error {
        return Err(Violation::new(format!("damage to a checkpoint is an error: {text}")));
    }
    if !text.contains(DIR) {
        return Err(Violation::new(format!("an error that names no path: {text}")));
    }
    Ok(Outcome::Refused)
}

/// After a failed opening, either the disk is as before, or only the log's tail was made durable: then undoing the damage brings
/// everything back.
fn nothing_is_destroyed(
    disk: &SimDisk,
    before: u64,
    rules: &Rules<'_>,
    reopen: impl FnOnce() -> Result<Outcome, Violation>,
) -> Result<(), Violation> {
    if disk.hash() == before {
        return Ok(());
    }
    (rules.mend)(disk)?;
    match reopen()
        .map_err(|violation| violation.with("an error has changed the directory, and the damage was undone"))?
    {
        Outcome::Whole => Ok(()),
        outcome => Err(Violation::new(format!("an error, and the damage undone: the directory would be {outcome}"))),
    }
}

/// The errors of the operating system are for a disk that does not work, not for what stands on it.
fn is_plain_io(error: &laminar_vfs::Error) -> bool {
    !matches!(error.io().kind(), std::io::ErrorKind::IsADirectory | std::io::ErrorKind::NotADirectory)
}

fn untyped(error: &dyn Display) -> Violation {
    Violation::new(format!("damage passes for a failure of the disk: {error}"))
}

impl StoreSubject {
    fn judge(&self, disk: &SimDisk, rules: &Rules<'_>) -> Result<Outcome, Violation> {
        let hash = disk.hash();
        let verify = if rules.all { Verify::All } else { Verify::Footers };
        let options = store_options(disk.env(), self.policy).verify(verify);
        let (store, report) = match WalStateStore::open(DIR, options.create(true)) {
            Ok(opened) => opened,
            Err(error) => {
                if let laminar_storage::Error::Io(error)
                | laminar_storage::Error::Log(laminar_wal::Error::Io(error))
                | laminar_storage::Error::Checkpoint(laminar_checkpoint::Error::Io(error)) = &error
                    && is_plain_io(error)
                {
                    return Err(untyped(error));
                }
                nothing_is_destroyed(disk, hash, rules, || self.judge(disk, rules))?;
                return refused(&error, rules);
            }
        };
        let found = store.source_offset(SOURCE).unwrap_or(0);
        let (expected, outcome) = if found == self.last.0 {
            (&self.last.1, Outcome::Whole)
        } else if rules.allowed.last_group && found == self.before_last.0 && report.tail.possibly_acknowledged {
            (&self.before_last.1, Outcome::LastLost)
        } else {
            return Err(Violation::new(format!("silent loss: commit {found} instead of {}: {report:?}", self.last.0)));
        };
        // A store that was not verified is read key by key first, so that either way of reading meets the damage unprepared.
        if !rules.all
            && let Err(error) = holds_each(&store, expected)?
        {
            return refused(&error, rules);
        }
        match holds_exactly(&store, expected) {
            Ok(true) => {}
            Err(error) => return refused(&error, rules),
            Ok(false) => {
                let found = read_all(&store)?;
                return Err(Violation::new(difference(expected, &found)));
            }
        }
        if rules.all
            && let Err(error) = holds_each(&store, expected)?
        {
            return refused(&error, rules);
        }
        if rules.go_on {
            self.go_on(store, disk, found, expected.clone(), rules)?;
        }
        Ok(outcome)
    }

    /// A store that opened goes on: a commit, a checkpoint, a power cut, and all is there again.
    fn go_on(
        &self,
        mut store: WalStateStore,
        disk: &SimDisk,
        found: u64,
        mut model: Model,
        rules: &Rules<'_>,
    ) -> Result<(), Violation> {
        let failed = |doing: &str, error: &dyn Display| Violation::new(format!("{doing} afterwards failed: {error}"));
        let (key, value) = (b"afterwards".to_vec(), b"value".to_vec());
        with_operator(&mut store, 0, |state| state.put(&key, &value)).map_err(|error| failed("a put", &error))?;
        model.insert((0, key), value);
        store.set_source_offset(SOURCE, found + 1).map_err(|error| failed("an offset", &error))?;
        let committed = store.commit().and_then(|ticket| ticket.wait());
        match committed {
            Ok(()) => {}
            // Such as a directory where the log wants to put a file.
            Err(error) if rules.allowed.error => return refused(&error, rules).map(drop),
            Err(error) => return Err(failed("a commit", &error)),
        }
        match store.checkpoint().and_then(|ticket| ticket.wait()) {
            Err(error) if !rules.allowed.error => return Err(failed("a checkpoint", &error)),
            _ => {}
        }
        drop(store);
        let after = disk.crash_lose_all();
        let opened = WalStateStore::open(DIR, store_options(after.env(), self.policy).verify(Verify::All));
        let store = match opened {
            Ok((store, _)) => store,
            Err(error) if rules.allowed.error => return refused(&error, rules).map(drop),
            Err(error) => return Err(failed("opening", &error)),
        };
        let again = store.source_offset(SOURCE).unwrap_or(0);
        if again != found + 1 {
            return Err(Violation::new(format!("silent loss afterwards: commit {again} instead of {}", found + 1)));
        }
        match read_all(&store) {
            Ok(read) if read == model => {}
            Ok(read) => return Err(Violation::new(difference(&model, &read)).with("afterwards")),
            Err(error) => return refused(&error, rules).map(drop),
        }
        if rules.allowed.error { Ok(()) } else { self.without_newest(&after.fork(), &model) }
    }

    /// The checkpoint that was made after the damage is damaged too: an older one stands in, which was not the damaged one.
    fn without_newest(&self, disk: &SimDisk, model: &Model) -> Result<(), Violation> {
        let newest = disk.files().into_iter().filter(|path| path.ends_with("MANIFEST")).max();
        newest.map_or(Ok(()), |path| disk.remove(path)).map_err(|error| Violation::new(error.to_string()))?;
        let failed = |what: String| Violation::new(what).with("the next checkpoint was damaged too");
        match WalStateStore::open(DIR, store_options(disk.env(), self.policy)) {
            Ok((store, _)) if read_all(&store)? == *model => Ok(()),
            Ok(_) => Err(failed("the state differs".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// Whether a scan of each operator, and its count, give what is expected and nothing else.
fn holds_exactly(store: &WalStateStore, expected: &Model) -> laminar_storage::Result<bool> {
    let mut rest = expected.iter().peekable();
    for operator in 0..OPERATORS {
        let Some(view) = store.operator_view(&operator_name(operator)) else { continue };
        let mut count = 0;
        for entry in view.prefix_scan(b"") {
            let (key, value) = entry?;
            let next = rest.next_if(|((of, known), held)| *of == operator && known == key && *held == value);
            if next.is_none() {
                return Ok(false);
            }
            count += 1;
        }
        if view.len()? != count {
            return Ok(false);
        }
    }
    Ok(rest.next().is_none())
}

/// Gets each entry by its key; the inner error is the store's.
fn holds_each(store: &WalStateStore, expected: &Model) -> Result<laminar_storage::Result<()>, Violation> {
    let views: Vec<_> = (0..OPERATORS).map(|operator| store.operator_view(&operator_name(operator))).collect();
    for ((operator, key), value) in expected {
        match views[usize::from(*operator)].as_ref().map(|view| view.get(key)) {
            Some(Ok(Some(found))) if found == value => {}
            Some(Err(error)) => return Ok(Err(error)),
            found => return Err(Violation::new(format!("get of {key:?} of {operator} gives {found:?}"))),
        }
    }
    Ok(Ok(()))
}

impl LogSubject {
    fn judge(&self, disk: &SimDisk, rules: &Rules<'_>) -> Result<Outcome, Violation> {
        let hash = disk.hash();
        let (wal, report) = match Wal::open(DIR, log_options(disk.env())) {
            Ok(opened) => opened,
            Err(laminar_wal::Error::Io(error)) if is_plain_io(&error) => return Err(untyped(&error)),
            Err(error) => {
                nothing_is_destroyed(disk, hash, rules, || self.judge(disk, rules))?;
                return refused(&error, rules);
            }
        };
        let mut records = match wal.replay(wal.start_lsn()) {
            Ok(records) => records,
            Err(error) => return refused(&error, rules),
        };
        for (at, (lsn, payload)) in self.records.iter().enumerate() {
            match records.next() {
                Ok(Some(record)) if record.lsn == *lsn && record.payload == payload => {}
                Ok(Some(record)) => {
                    return Err(Violation::new(format!("wrong data: {} instead of {lsn}: {report:?}", record.lsn)));
                }
                Ok(None) if rules.allowed.last_group && at >= self.before_last && report.possibly_acknowledged => {
                    return Ok(Outcome::LastLost);
                }
                Ok(None) => return Err(Violation::new(format!("silent loss: {at} records: {report:?}"))),
                Err(error) => return refused(&error, rules),
            }
        }
        match records.next() {
            Ok(None) if Wal::open(DIR, log_options(disk.env())).is_ok() => {
                Err(Violation::new("a second opener got in"))
            }
            Ok(None) => {
                drop(records);
                if rules.go_on {
                    self.go_on(wal, disk, rules)?;
                }
                Ok(Outcome::Whole)
            }
            Ok(Some(record)) => Err(Violation::new(format!("a record that nobody wrote, at {}", record.lsn))),
            Err(error) => refused(&error, rules),
        }
    }
}

impl LogSubject {
    /// A log that opened goes on: a record, a power cut, and all is there again.
    fn go_on(&self, wal: Wal, disk: &SimDisk, rules: &Rules<'_>) -> Result<(), Violation> {
        let refused = |error: laminar_wal::Error| refused(&error, rules).map(drop);
        let appended = wal.append(b"afterwards").and_then(|lsn| wal.sync().map(|_| lsn));
        let lsn = match appended {
            Ok(lsn) => lsn,
            // Such as a directory where the log wants to put a file.
            Err(error) => return refused(error),
        };
        drop(wal);
        let wal = match Wal::open(DIR, log_options(disk.crash_lose_all().env())) {
            Ok((wal, _)) => wal,
            Err(error) => return refused(error),
        };
        let mut records = match wal.replay(wal.start_lsn()) {
            Ok(records) => records,
            Err(error) => return refused(error),
        };
        let last = (lsn, b"afterwards".to_vec());
        for (lsn, payload) in self.records.iter().chain([&last]) {
            match records.next() {
                Ok(Some(record)) if record.lsn == *lsn && record.payload == payload => {}
                Ok(found) => {
                    let found = found.map(|record| record.lsn);
                    return Err(Violation::new(format!("{found:?} instead of {lsn}, afterwards")));
                }
                Err(error) => return refused(error),
            }
        }
        match records.next() {
            Ok(None) => Ok(()),
            Ok(Some(record)) => Err(Violation::new(format!("a record that nobody wrote, at {}", record.lsn))),
            Err(error) => refused(error),
        }
    }
}

impl CheckpointsSubject {
    fn judge(&self, disk: &SimDisk, rules: &Rules<'_>) -> Result<Outcome, Violation> {
        let verify = if rules.all { Verify::All } else { Verify::Footers };
        let failed = |error: laminar_checkpoint::Error| Violation::new(format!("damage is an error: {error}"));
        let options = checkpoint_options(disk.env()).verify(verify);
        let opened = CheckpointManager::open(DIR, options).and_then(|manager| {
            let opened = manager.open_newest_valid()?;
            Ok((manager, opened))
        });
        let (manager, opened) = match opened {
            Ok(opened) => opened,
            Err(error) => return refused(&error, rules),
        };
        let Some(checkpoint) = &opened.checkpoint else {
            let reasons: Vec<_> = opened.passed_over.iter().map(|passed| passed.reason.to_string()).collect();
            return refused(&format!("no valid checkpoint in {DIR}: {}", reasons.join("; ")), rules);
        };
        let position = checkpoint.wal_position();
        let model = self.models.iter().find(|(at, ..)| *at == position);
        let (_, entries, section) = model.ok_or_else(|| Violation::new(format!("a checkpoint at {position}")))?;
        let is_newest = self.models.last().is_some_and(|(at, ..)| *at == position);
        if !is_newest && opened.passed_over.is_empty() && disk.files().len() > 8 {
            return Err(Violation::new(format!("the checkpoint at {position} is not the newest, and nothing is said")));
        }
        // One that was not verified is read key by key first, so that either way of reading meets the damage unprepared.
        for get_first in [!rules.all, rules.all] {
            if get_first {
                for (key, value) in entries {
                    if checkpoint.get(key).map_err(failed)? != Some(&value[..]) {
                        return Err(Violation::new(format!("get of {key:?} gives another value")));
                    }
                }
            } else if !holds(checkpoint, entries, section).map_err(failed)? {
                return Err(Violation::new(format!("wrong data in the checkpoint at {position}")));
            }
        }
        if rules.go_on {
            Self::go_on(&manager, checkpoint, (entries, section), disk, rules)?;
        }
        Ok(Outcome::Whole)
    }

    /// The next checkpoint, on top of one that opened, holds all that this one does, also after a power cut.
    fn go_on(
        manager: &CheckpointManager,
        checkpoint: &Checkpoint,
        (entries, section): (&Entries, &Vec<u64>),
        disk: &SimDisk,
        rules: &Rules<'_>,
    ) -> Result<(), Violation> {
        let position = checkpoint.wal_position() + 1;
        let create = Create::new(position).base(checkpoint).entries([("afterwards", Some("value"))]);
        match manager.create(create.section("numbers", section)) {
            Ok(_) => {}
            // Such as a directory where a file is to be.
            Err(error) => return refused(&error, rules).map(drop),
        }
        let after = disk.crash_lose_all();
        let options = checkpoint_options(after.env()).verify(Verify::All);
        let opened = CheckpointManager::open(DIR, options).and_then(|manager| manager.open_newest_valid());
        let failed = |what: String| Violation::new(what).with("afterwards");
        let opened = opened.map_err(|error| failed(error.to_string()))?;
        let newest = opened.checkpoint.filter(|checkpoint| checkpoint.wal_position() == position);
        let newest = newest.ok_or_else(|| failed(format!("not the newest: {:?}", opened.passed_over)))?;
        let mut expected = entries.clone();
        expected.insert(b"afterwards".to_vec(), b"value".to_vec());
        match holds(&newest, &expected, section) {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed("wrong data".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// Whether a scan and the section give what is expected and nothing else.
fn holds(checkpoint: &Checkpoint, entries: &Entries, numbers: &[u64]) -> laminar_checkpoint::Result<bool> {
    let mut rest = entries.iter();
    for entry in checkpoint.range(..) {
        let (key, value) = entry?;
        if rest.next().is_none_or(|(known, held)| known != key || held != value) {
            return Ok(false);
        }
    }
    let section = checkpoint.section::<Vec<u64>>("numbers")?;
    Ok(rest.next().is_none() && section.iter().map(|number| number.to_native()).eq(numbers.iter().copied()))
}
