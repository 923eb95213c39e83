//! A disk that says OK and has written nothing, or has written it elsewhere: each write of a workload in turn. What was acknowledged is
//! there, or an error says where it is not, or the loss of the last commit is reported as possible. Never wrong data, never a silent loss.
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use laminar_storage::{Error, RecoveryReport, StateStore, StoreOptions, WalStateStore};
use laminar_vfs::Op;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};

const DIR: &str = "/store";
const COMMITS: u8 = 40;

fn open(disk: &SimDisk) -> Result<(WalStateStore, RecoveryReport), Error> {
    WalStateStore::open(DIR, StoreOptions::new().env(disk.env()).segment_bytes(16 << 10).buffer_bytes(4 << 10))
}

/// Commits over several segments, each waited for, with two checkpoints and an opening in between; `acknowledged` counts them.
fn work(disk: &SimDisk, close: bool, acknowledged: &mut u8) -> Result<(), Error> {
    let (mut store, _) = open(disk)?;
    for n in 1..=COMMITS {
        store.put(&[n], &[n; 700])?;
        store.set_source_offset("n", u64::from(n))?;
        store.commit()?.wait()?;
        *acknowledged = n;
        if n == 12 || n == 26 {
            store.checkpoint()?.wait()?;
        }
        if n == 20 {
            store.close()?;
            store = open(disk)?.0;
        }
    }
    if close { store.close() } else { Ok(()) }
}

/// What a store holds that has been opened: the number of its commit, after a look at every key.
fn read(store: &WalStateStore) -> Result<u8, Error> {
    let found = u8::try_from(store.source_offset("n").unwrap_or(0)).unwrap();
    for n in 1..=COMMITS {
        let value = store.get(&[n])?.map(<[u8]>::to_vec);
        assert_eq!(value, (n <= found).then(|| vec![n; 700]), "wrong data for {n} at commit {found}");
    }
    Ok(found)
}

/// One write is a lie. Returns whether there was such a write, and whether anything showed of it.
fn tell_a_lie(kind: FaultKind, nth: u64, close: bool) -> (bool, bool) {
    let disk = SimDisk::new(nth);
    disk.fail(Fault::new(kind).on(Op::Write).after(nth));
    let mut acknowledged = 0;
    let worked = work(&disk, close, &mut acknowledged);
    let what = format!("{kind:?} of write {nth}, closed: {close}: {worked:?}");
    if disk.faults_struck() == 0 {
        return (false, false);
    }
    // What the cache still hides is seen by nobody who opens the store after a power cut.
    let after = disk.crash_keep_all();
    let names_a_path = |error: &Error| assert!(error.to_string().contains(DIR), "{what}: {error}");
    match open(&after).and_then(|(store, report)| Ok((read(&store)?, report))) {
        Err(error) => {
            names_a_path(&error);
            (true, true)
        }
        Ok((found, report)) => {
            let is_told = report.tail.possibly_acknowledged && found + 1 == acknowledged;
            assert!(found >= acknowledged || is_told, "{what}: commit {found} instead of {acknowledged}: {report:?}");
            (true, found < acknowledged || report.is_degraded())
        }
    }
}

#[test]
fn a_write_that_is_lost_or_lands_elsewhere_is_never_a_silent_loss() {
    for kind in [FaultKind::Phantom, FaultKind::Misdirected] {
        for close in [false, true] {
            let told = (0..).map(|nth| tell_a_lie(kind, nth, close)).take_while(|(struck, _)| *struck);
            let (writes, shown) =
                told.fold((0, 0), |(writes, shown), (_, showed)| (writes + 1, shown + i32::from(showed)));
            assert!(writes > 60 && shown > 20, "{kind:?}: {shown} of {writes} lies showed");
        }
    }
}
