//! Every bit flipped, every sector zeroed, swapped or stale, every file cut, gone or a directory: a log either opens
//! with everything, or says with a typed error what is wrong and changes nothing. The one exception is the last group before
//! an unclean stop, where its sectors read as zero; the report says so. And the way out: `RecoverTo::LastGood`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use laminar_vfs::sim::SimDisk;
use laminar_wal::{Error, RecoverTo, Wal, WalOptions};

#[path = "support/model.rs"]
mod model;

use model::{Appended, Model};

/// How the reference log was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// By `close`.
    Closed,
    /// At rest, with a mark at the end.
    AtRest,
    /// In the middle of things, right after a sync.
    Busy,
}

struct Reference {
    disk: SimDisk,
    /// The same disk before the last sync.
    older: SimDisk,
    model: Model,
    left: Left,
    /// How many records came before the last sync.
    before_last: usize,
}

fn options() -> WalOptions {
    WalOptions::new().segment_bytes(12 << 10).buffer_bytes(4 << 10)
}

/// A log of a few small segments, all of it acknowledged. Some payloads hold whole sectors of zeros.
fn reference(left: Left) -> Reference {
    let disk = SimDisk::new(3);
    let (env, workers) = disk.env_and_workers();
    let wal = Wal::open("log", options().env(env)).unwrap().0;
    let mut model = Model::default();
    let mut random = fastrand::Rng::with_seed(5);
    let mut older = disk.fork();
    let mut before_last = 0;
    for round in 0..9usize {
        (older, before_last) = (disk.fork(), model.records.len());
        for _ in 0..random.usize(1..4) {
            let mut payload: Vec<u8> = (0..random.usize(0..900)).map(|_| random.u8(..)).collect();
            if round == 3 {
                payload.resize(1600, 0);
            }
            let lsn = wal.append(&payload).unwrap();
            model.records.push(Appended { lsn, payload, more: false });
            if random.bool() {
                wal.commit().unwrap();
            }
        }
        wal.sync().unwrap();
        if round % 2 == 0 && !(round == 8 && left != Left::AtRest) {
            disk.clock().advance(Duration::from_secs(1));
            workers.drive_all();
        }
    }
    if left == Left::Closed {
        wal.close().unwrap();
    }
    drop(wal);
    Reference { disk: disk.crash_lose_all_or(left), older: older.fork(), model, left, before_last }
}

trait CrashOr {
    fn crash_lose_all_or(&self, left: Left) -> SimDisk;
}

impl CrashOr for SimDisk {
    /// A mark is not synced, so it is there only if the power stayed.
    fn crash_lose_all_or(&self, left: Left) -> SimDisk {
        if left == Left::AtRest { self.fork() } else { self.crash_lose_all() }
    }
}

fn is_typed(error: &Error) -> bool {
    let damage = matches!(error, Error::Corrupt { .. } | Error::Missing { .. } | Error::Foreign { .. });
    damage || matches!(error, Error::Version { .. })
}

/// What may become of a damaged log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// Everything, or a typed error.
    Nothing,
    /// Also the loss of what the last sync acknowledged, if that is said.
    LastGroup,
}

impl Reference {
    fn judge(&self, damaged: &SimDisk, allowed: Allowed, what: &dyn Fn() -> String) -> bool {
        let hash = damaged.hash();
        match Wal::open("log", options().env(damaged.env())) {
            Err(Error::Io(error)) => panic!("{error}: {}", what()),
            Err(error) => {
                assert!(is_typed(&error), "{error:?}: {}", what());
                assert_eq!(damaged.hash(), hash, "{error} has changed the disk: {}", what());
                false
            }
            Ok((wal, report)) => {
                let said = || format!("{:?} {} {report:?}", self.left, what());
                let mut records = wal.replay(wal.start_lsn()).unwrap();
                for (at, expected) in self.model.records.iter().enumerate() {
                    match records.next() {
                        Ok(Some(record)) => {
                            assert_eq!(record.lsn, expected.lsn, "{}", said());
                            assert!(record.payload == expected.payload, "{}", said());
                        }
                        Ok(None) => {
                            let last = allowed == Allowed::LastGroup && at >= self.before_last;
                            assert!(last && report.possibly_acknowledged, "silent loss after {at}: {}", said());
                            return true;
                        }
                        Err(error) => {
                            assert!(is_typed(&error), "{error:?}: {}", said());
                            return false;
                        }
                    }
                }
                assert!(records.next().unwrap().is_none(), "{}", said());
                true
            }
        }
    }

    fn files(&self) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let files = self.disk.files().into_iter();
        files.map(|file| (file.clone(), self.disk.read_file(&file).unwrap())).collect()
    }
}

const ALL: [Left; 3] = [Left::Closed, Left::AtRest, Left::Busy];

#[test]
fn a_flipped_bit_is_never_a_silent_loss() {
    for left in ALL {
        let reference = reference(left);
        let (mut opened, mut refused) = (0, 0);
        for (file, bytes) in reference.files() {
            for (sector, content) in bytes.chunks(512).enumerate() {
                let empty = content.iter().all(|byte| *byte == 0);
                let bits = content.len() as u64 * 8;
                for bit in (0..bits).step_by(if empty { 509 } else { bit_step() }) {
                    let bit = sector as u64 * 4096 + bit;
                    let damaged = reference.disk.fork();
                    damaged.flip_bit(&file, bit).unwrap();
                    let what = || format!("bit {bit} of {}", file.display());
                    *(if reference.judge(&damaged, Allowed::Nothing, &what) { &mut opened } else { &mut refused }) += 1;
                }
            }
        }
        assert!(opened > 0 && refused > opened, "{left:?}: {opened} opened, {refused} refused");
    }
}

#[test]
fn a_sector_that_is_zero_swapped_or_stale_is_never_a_silent_loss() {
    for left in ALL {
        let reference = reference(left);
        let allowed = if left == Left::Closed { Allowed::Nothing } else { Allowed::LastGroup };
        for (file, bytes) in reference.files() {
            let sectors = bytes.len() as u64 / 512;
            for sector in 0..sectors {
                let damaged = reference.disk.fork();
                damaged.zero_sector(&file, sector).unwrap();
                reference.judge(&damaged, allowed, &|| format!("sector {sector} of {} zeroed", file.display()));
                let damaged = reference.disk.fork();
                if damaged.copy_sector(&reference.older, &file, sector).is_ok() {
                    reference.judge(&damaged, allowed, &|| format!("sector {sector} of {} stale", file.display()));
                }
                let damaged = reference.disk.fork();
                let garbage: Vec<u8> = (0..=255u8).cycle().take(512).map(|at| at.wrapping_mul(37) | 1).collect();
                damaged.overwrite(&file, sector * 512, &garbage).unwrap();
                reference
                    .judge(&damaged, Allowed::Nothing, &|| format!("sector {sector} of {} garbage", file.display()));
                for other in sector + 1..sectors.min(sector + 12) {
                    let damaged = reference.disk.fork();
                    damaged.swap_sectors(&file, sector, other).unwrap();
                    let what = || format!("sectors {sector} and {other} of {} swapped", file.display());
                    reference.judge(&damaged, allowed, &what);
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_gone_or_a_directory_is_never_a_silent_loss() {
    for left in ALL {
        let reference = reference(left);
        for (file, bytes) in reference.files() {
            for len in (0..bytes.len() as u64).step_by(61).chain([511, 512, 513, 4095, 4096, 4097]) {
                let damaged = reference.disk.fork();
                damaged.truncate(&file, len).unwrap();
                reference.judge(&damaged, Allowed::Nothing, &|| format!("{} cut to {len}", file.display()));
            }
            let damaged = reference.disk.fork();
            damaged.remove(&file).unwrap();
            let opened = reference.judge(&damaged, Allowed::Nothing, &|| format!("{} gone", file.display()));
            let name = file.file_name().unwrap().to_str().unwrap();
            // A spare that was never entered may go as well.
            let needed = name == "LOG" || (name.ends_with(".wal") && is_needed(&reference, &file));
            assert!(!(opened && needed), "{left:?}: {} gone", file.display());
            assert!(opened || name.ends_with(".wal") || name == "LOG", "{left:?}: {} gone", file.display());
            let damaged = reference.disk.fork();
            damaged.replace_with_dir(&file).unwrap();
            let hash = damaged.hash();
            if let Err(error) = Wal::open("log", options().env(damaged.env())) {
                assert!(error.to_string().contains(name), "{error}");
                assert_eq!(damaged.hash(), hash);
            }
        }
    }
}

fn is_needed(reference: &Reference, file: &Path) -> bool {
    let first: u64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    reference.model.records.iter().any(|record| record.lsn.get() > first)
}

#[test]
fn damage_can_be_given_up_on_request() {
    for left in ALL {
        let reference = reference(left);
        for (file, bytes) in reference.files() {
            if file.extension().is_none_or(|extension| extension != "wal") {
                continue;
            }
            for sector in (0..bytes.len() as u64 / 512).map(Some).chain([None]) {
                let damaged = reference.disk.fork();
                match sector {
                    Some(sector) => damaged.overwrite(&file, sector * 512, &[0xa5; 512]).unwrap(),
                    None => damaged.remove(&file).unwrap(),
                }
                let what = || format!("{left:?}: {sector:?} of {}", file.display());
                let before: Vec<_> = damaged.files();
                let options = options().recover_to(RecoverTo::LastGood);
                let (wal, report) =
                    Wal::open("log", options.env(damaged.env())).unwrap_or_else(|e| panic!("{e}: {}", what()));
                let said = || format!("{} {report:?}", what());
                let found = reference.model.check(&wal, 0, &said);
                if found < reference.model.records.len() {
                    let given_up = report.given_up.as_ref().unwrap_or_else(|| panic!("silent: {}", said()));
                    assert_eq!(given_up.from, wal.end_lsn(), "{}", said());
                    let lost = &reference.model.records[found];
                    assert!(lost.lsn >= given_up.from && (lost.lsn < given_up.to || sector.is_none()), "{}", said());
                    assert!(given_up.files.iter().all(|kept| damaged.files().iter().any(|file| file.ends_with(kept))));
                    // Moved, not removed: as many files hold the same bytes.
                    assert!(damaged.files().len() + 1 >= before.len(), "{}", said());
                }
                let lsn = wal.append(b"goes on").unwrap();
                wal.sync().unwrap();
                drop(wal);
                let crashed = damaged.crash_lose_all();
                let wal = Wal::open("log", self::options().env(crashed.env()))
                    .unwrap_or_else(|e| panic!("{e}: {}", said()))
                    .0;
                let mut model = reference.model.clone();
                model.records.truncate(found);
                model.records.push(Appended { lsn, payload: b"goes on".to_vec(), more: false });
                assert_eq!(model.check(&wal, found + 1, &said), found + 1);
            }
        }
    }
}

/// Every bit takes a minute: by default every third, where anything is written.
fn bit_step() -> usize {
    std::env::var("LAMINAR_BIT_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(3)
}
