//! Opens a directory that may hold anything, and reads all that it gives.

use std::ops::Bound;

use laminar_checkpoint::{Checkpoint, CheckpointManager, Verify};
use laminar_storage::{StateStore, SyncPolicy, WalStateStore};
use laminar_vfs::sim::SimDisk;
use laminar_wal::{Lsn, RecoverTo, Wal};

use super::Met;
use crate::Violation;
use crate::damage::{DIR, checkpoint_options, log_options, store_options};
use crate::driver::operator_name;
use crate::op::OPERATORS;

/// What reading gives, in records or entries, is never more than the files have bytes: what gives more has no end.
fn bounded(disk: &SimDisk, count: u64) -> Result<(), Violation> {
    let lengths = disk.files().into_iter().filter_map(|path| disk.read_file(path).ok()).map(|bytes| bytes.len() as u64);
    let bytes: u64 = lengths.sum();
    if count > bytes { Err(Violation::new(format!("{count} records or entries in {bytes} bytes"))) } else { Ok(()) }
}

/// Whether everything could be read, from what failed.
fn met(errors: usize) -> Met {
    if errors == 0 { Met::Read } else { Met::Partly }
}

pub(super) fn log(disk: &SimDisk) -> Result<Met, Violation> {
    let Ok((wal, report)) = Wal::open(DIR, log_options(disk.env())) else { return Ok(Met::Refused) };
    let mut errors = 0;
    let mut seen: Vec<Lsn> = Vec::new();
    match wal.replay(wal.start_lsn()) {
        Ok(mut records) => loop {
            match records.next() {
                Ok(Some(record)) => seen.push(record.lsn),
                Ok(None) => break,
                Err(_) => {
                    errors += 1;
                    break;
                }
            }
            if seen.len().is_multiple_of(4096) {
                bounded(disk, seen.len() as u64)?;
            }
        },
        Err(_) => errors += 1,
    }
    match wal.view(wal.start_lsn()..wal.durable_lsn()) {
        Ok(view) => {
            errors += seen.iter().filter(|lsn| view.record_at(**lsn).is_err()).count();
            errors += view.records().map_or(1, |records| records.filter(Result::is_err).count());
        }
        Err(_) => errors += 1,
    }
    // What opened goes on, and what is appended is found again.
    if let Ok(lsn) = wal.append(b"afterwards")
        && wal.sync().is_ok()
    {
        drop(wal);
        // Rubbish in the unused rest of a segment that was closed is come across only now. It is refused like any damage, and what was
        // acknowledged meanwhile is not lost with it.
        let again = Wal::open(DIR, log_options(disk.crash_lose_all().env())).or_else(|error| {
            let last_good = log_options(disk.crash_lose_all().env()).recover_to(RecoverTo::LastGood);
            if error.is_corrupt() { Wal::open(DIR, last_good) } else { Err(error) }
        });
        let (wal, _) =
            again.map_err(|error| Violation::new(format!("it opened ({report:?}), and not again: {error}")))?;
        let found = wal.replay(lsn).and_then(|mut records| Ok(records.next()?.map(|record| record.payload.to_vec())));
        if !matches!(&found, Ok(Some(payload)) if payload == b"afterwards") {
            return Err(Violation::new(format!("what was appended is not there: {found:?}")));
        }
    }
    Ok(met(errors))
}

pub(super) fn checkpoints(disk: &SimDisk) -> Result<Met, Violation> {
    let mut whole = Met::Refused;
    for verify in [Verify::Footers, Verify::All] {
        let Ok(manager) = CheckpointManager::open(DIR, checkpoint_options(disk.env()).verify(verify)) else { continue };
        drop(manager.list().map(|all| {
            all.iter().for_each(|info| drop(manager.verify(info.id, &mut |_| ())));
        }));
        let Ok(opened) = manager.open_newest_valid() else { continue };
        let Some(checkpoint) = opened.checkpoint else { continue };
        let errors = read_checkpoint(disk, &checkpoint)?;
        whole = if opened.passed_over.is_empty() { met(errors) } else { Met::Partly };
        // It is written out once more, entry by entry.
        if let Some(plan) = manager.plan_merge(&checkpoint)
            && let Ok(mut merge) = manager.merge(plan, Box::new(|_| true))
        {
            while matches!(merge.step(), Ok(false)) {}
            drop(merge.finish());
        }
    }
    Ok(whole)
}

fn read_checkpoint(disk: &SimDisk, checkpoint: &Checkpoint) -> Result<usize, Violation> {
    let mut errors = 0;
    let mut keys = Vec::new();
    // Key by key first: an index that lies is met before the blocks were looked at.
    for number in 0..400_u32 {
        errors += usize::from(checkpoint.get(format!("key {number:05}").as_bytes()).is_err());
    }
    for entry in checkpoint.range(..) {
        match entry {
            Ok((key, _)) => keys.push(key.to_vec()),
            Err(_) => errors += 1,
        }
        if keys.len().is_multiple_of(4096) || errors > 4096 {
            bounded(disk, keys.len() as u64 + errors as u64)?;
        }
    }
    for key in &keys {
        errors += usize::from(checkpoint.get(key).is_err());
        errors += usize::from(checkpoint.range(&key[..]..).take(2).any(|entry| entry.is_err()));
    }
    errors += usize::from(checkpoint.len().is_err());
    for name in checkpoint.section_names() {
        errors += usize::from(checkpoint.section_bytes(name).is_err());
        errors += usize::from(checkpoint.section::<Vec<u64>>(name).is_err());
    }
    Ok(errors)
}

pub(super) fn store(disk: &SimDisk) -> Result<Met, Violation> {
    let options = store_options(disk.env(), SyncPolicy::Manual);
    let Ok((mut store, _)) = WalStateStore::open(DIR, options) else { return Ok(Met::Refused) };
    let mut errors = 0;
    for operator in 0..OPERATORS {
        let Some(view) = store.operator_view(&operator_name(operator)) else { continue };
        let mut keys = Vec::new();
        for entry in view.range_scan((Bound::Unbounded, Bound::Unbounded)) {
            match entry {
                Ok((key, _)) => keys.push(key.to_vec()),
                Err(_) => errors += 1,
            }
        }
        bounded(disk, keys.len() as u64)?;
        errors += keys.iter().filter(|key| view.get(key).is_err()).count();
        errors += usize::from(view.len().is_err());
    }
    errors += store.verify(&mut |_| ()).map_or(1, |report| report.damaged.len());
    let went_on = store.put(b"afterwards", b"1").is_ok()
        && store.commit().and_then(|ticket| ticket.wait()).is_ok()
        && store.checkpoint().and_then(|ticket| ticket.wait()).is_ok();
    drop(store);
    if went_on {
        let options = || store_options(disk.crash_lose_all().env(), SyncPolicy::Manual);
        let again = WalStateStore::open(DIR, options()).or_else(|error| {
            let last_good = options().recover_to(RecoverTo::LastGood);
            if error.is_corrupt() { WalStateStore::open(DIR, last_good) } else { Err(error) }
        });
        let (store, _) = again
            .map_err(|error| Violation::new(format!("it opened and went on, and does not open again: {error}")))?;
        match store.get(b"afterwards") {
            Ok(Some(b"1")) => {}
            found => return Err(Violation::new(format!("what was put is not there: {found:?}"))),
        }
    }
    Ok(met(errors))
}
