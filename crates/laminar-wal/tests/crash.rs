//! Power fails, or the process dies, before every single change to the disk: what is recovered is a prefix of what was
//! appended, in whole batches, with everything that was acknowledged; and recovering can itself be interrupted
//! anywhere. On the simulated disk.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use laminar_vfs::Op;
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use laminar_wal::{Error, Wal, WalOptions};

#[path = "support/model.rs"]
mod model;

use model::{Driver, Model, options, whole};

/// Runs a random workload and returns the disk before each change. If `halves`, every write does half of what it
/// should, and is then made again for the rest.
fn history(seed: u64, steps: usize, options: &WalOptions, halves: bool) -> (Vec<SimDisk>, Model, u64) {
    let disk = SimDisk::new(seed);
    if halves {
        disk.fail(Fault::new(FaultKind::Short).on(Op::Write).sticky());
    }
    disk.start_history();
    let before = disk.changes();
    let mut model = Model::default();
    let (mut driver, report) = Driver::open(&disk, options, seed).unwrap();
    assert!(report.created);
    model.note(&disk);
    for _ in 0..steps {
        driver.step(&mut model).unwrap();
        if driver.random.u8(..40) == 0 {
            if driver.random.bool() {
                driver.wal.close().unwrap();
                (model.durable, model.committed) = (model.records.len(), model.records.len());
            }
            model.note(&disk);
            let seed = driver.random.u64(..);
            drop(driver);
            let (again, report) = Driver::open(&disk, options, seed).unwrap();
            driver = again;
            let found = model.check(&driver.wal, whole(&model, model.committed), &|| format!("{report:?}"));
            model.records.truncate(found);
            (model.durable, model.committed) = (found, found);
            model.note(&disk);
        }
    }
    drop(driver);
    (disk.take_history(), model, before)
}

fn open(disk: &SimDisk, options: &WalOptions) -> Result<(Wal, laminar_wal::TailReport), Error> {
    Wal::open("log", options.clone().env(disk.env()))
}

/// Recovers a disk after a crash, checks it, goes on writing, and recovers that.
fn recovers(disk: &SimDisk, options: &WalOptions, model: &Model, least: usize, what: &dyn Fn() -> String) -> usize {
    let (wal, report) = open(disk, options).unwrap_or_else(|error| panic!("{error}: {}", what()));
    let said = || format!("{} {report:?}", what());
    let found = model.check(&wal, least, &said);
    if let Some(kept) = report.cut.as_ref().and_then(|cut| cut.kept_at.as_ref()) {
        assert!(disk.read_file(kept).is_ok(), "what was cut is not kept: {}", said());
    }
    let end = wal.end_lsn();
    drop(wal);
    let (wal, _) = open(disk, options).unwrap_or_else(|error| panic!("again: {error}: {}", said()));
    assert_eq!(model.check(&wal, found, &said), found, "a second recovery finds something else: {}", said());
    assert_eq!(wal.end_lsn(), end, "{}", said());
    let lsn = wal.append(b"goes on").unwrap();
    wal.sync().unwrap();
    assert_eq!(wal.replay(lsn).unwrap().next().unwrap().unwrap().payload, b"goes on");
    drop(wal);
    let disk = disk.crash_lose_all();
    let (wal, _) = open(&disk, options).unwrap_or_else(|error| panic!("after going on: {error}: {}", said()));
    assert_eq!(wal.replay(lsn).unwrap().next().unwrap().unwrap().payload, b"goes on", "{}", said());
    found
}

#[test]
fn what_was_acknowledged_survives_power_loss_at_every_change() {
    for seed in 0..crash_seeds() {
        let options = options(&mut fastrand::Rng::with_seed(seed));
        let (disks, model, before) = history(seed, 60, &options, false);
        for (changes, disk) in (before..).zip(&disks) {
            let (durable, committed) = model.at(changes);
            let killed = disk.fork();
            let what = || format!("seed {seed}, change {changes}, killed");
            recovers(&killed, &options, &model, committed, &what);
            for crash in 0..4 {
                let what = || format!("seed {seed}, change {changes}, crash {crash}");
                recovers(&disk.crash(place(seed, changes) * 4 + crash), &options, &model, durable, &what);
            }
            let what = || format!("seed {seed}, change {changes}, everything unsynced lost");
            recovers(&disk.crash_lose_all(), &options, &model, durable, &what);
        }
    }
}

#[test]
fn recovery_can_be_interrupted_at_every_change() {
    for seed in 100..100 + crash_seeds() / 4 {
        let options = options(&mut fastrand::Rng::with_seed(seed));
        let (disks, model, before) = history(seed, 40, &options, false);
        for (changes, disk) in (before..).zip(&disks).step_by(3) {
            let (durable, _) = model.at(changes);
            let crashed = disk.crash(seed ^ changes);
            crashed.start_history();
            let opened = open(&crashed, &options).unwrap();
            let found = model.check(&opened.0, durable, &|| format!("seed {seed}, change {changes}"));
            opened.0.append(b"x").unwrap();
            let lsn = opened.0.end_lsn();
            drop(opened);
            assert!(lsn.get() > 0);
            for (nested, disk) in crashed.take_history().iter().enumerate() {
                for crash in 0..3 {
                    let what = || format!("seed {seed}, change {changes}, in recovery {nested}, crash {crash}");
                    let number = (place(seed, changes) * 64 + nested as u64) * 3 + crash;
                    recovers(&disk.crash(number), &options, &model, durable, &what);
                }
                let what = || format!("seed {seed}, change {changes}, in recovery {nested}, everything unsynced lost");
                recovers(&disk.crash_lose_all(), &options, &model, durable, &what);
                // The process was only killed: what recovery had found is found again.
                let what = || format!("seed {seed}, change {changes}, in recovery {nested}, killed");
                recovers(disk, &options, &model, found, &what);
            }
        }
    }
}

/// A process that dies within a write leaves some of it, to any byte.
#[test]
fn a_process_may_die_in_the_middle_of_a_write() {
    for seed in 200..200 + crash_seeds() / 4 {
        let options = options(&mut fastrand::Rng::with_seed(seed));
        let (disks, model, before) = history(seed, 40, &options, true);
        for (changes, disk) in (before..).zip(&disks) {
            let (_, committed) = model.at(changes);
            let what = || format!("seed {seed}, change {changes}, killed");
            recovers(disk, &options, &model, committed, &what);
        }
    }
}

/// Disks promise to write a sector whole. On one that does not, a log opens with everything, or says what is wrong.
#[test]
fn a_torn_sector_is_never_a_silent_loss() {
    // Of the same four subsets everywhere, and of others at each place, which more often keep a torn sector among whole ones.
    let (mut opened, mut refused) = ([0, 0], [0, 0]);
    for seed in 300..300 + crash_seeds() / 2 {
        let options = options(&mut fastrand::Rng::with_seed(seed));
        let (disks, model, before) = history(seed, 40, &options, false);
        for (changes, disk) in (before..).zip(&disks) {
            let (durable, _) = model.at(changes);
            for (kind, number) in (0..4).flat_map(|crash| [(0, crash), (1, place(seed, changes) * 4 + crash)]) {
                let torn = disk.crash_torn(number);
                let what = || format!("seed {seed}, change {changes}, torn {number}");
                match open(&torn, &options) {
                    Ok((wal, report)) => {
                        model.check(&wal, durable, &|| format!("{} {report:?}", what()));
                        opened[kind] += 1;
                    }
                    Err(error) => {
                        assert!(error.is_corrupt() || matches!(error, Error::Foreign { .. }), "{error}: {}", what());
                        refused[kind] += 1;
                    }
                }
            }
        }
    }
    assert!(opened[0] > 50 * refused[0] && opened[1] > 30 * refused[1], "{opened:?} opened, {refused:?} refused");
}

/// A number for a place in a history. A power cut with the same number keeps the same choices everywhere.
fn place(seed: u64, changes: u64) -> u64 {
    (seed << 20) + changes
}

fn crash_seeds() -> u64 {
    std::env::var("LAMINAR_CRASH_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(24)
}
