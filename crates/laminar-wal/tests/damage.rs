//! Every bit flipped, every sector zeroed, swapped or stale, every file cut, gone or a directory: a log either opens
//! with everything, or says with a typed error what is wrong and changes nothing. The one exception is the last group before
//! an unclean stop, where its sectors read as zero; the report says so. And the way out: `RecoverTo::LastGood`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
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

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
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
            let (hash, again) = (damaged.hash(), damaged.fork());
            if let Err(error) = Wal::open("log", options().env(damaged.env())) {
                assert!(error.to_string().contains(name), "{error}");
                assert_eq!(damaged.hash(), hash);
            } else {
                let what = || format!("{} a directory", file.display());
                let opened = reference.judge(&again, Allowed::Nothing, &what);
                assert!(!(opened && needed), "{left:?}: {}", what());
            }
        }
    }
}

/// Segments of three pages for records.
fn roomy() -> WalOptions {
    options().segment_bytes(20 << 10)
}

/// Two lives of a segment: one that recovery cut and wrote anew, and what stands there now, of the same lengths, so that even the seals
/// may stand in one place. Returns the disk, what was appended, and the disk as the first life left it.
fn two_lives(sealed: bool) -> (SimDisk, Model, SimDisk) {
    let mut disk = SimDisk::new(8);
    let mut model = Model::default();
    let append = |wal: &Wal, model: &mut Model, payload: Vec<u8>| {
        let lsn = wal.append(&payload).unwrap();
        model.records.push(Appended { lsn, payload, more: false });
    };
    let wal = Wal::open("log", roomy().env(disk.env())).unwrap().0;
    for fill in 0..4 {
        append(&wal, &mut model, vec![fill; 1900]);
        wal.sync().unwrap();
    }
    wal.append(b"lost").unwrap();
    wal.commit().unwrap();
    if sealed {
        // Handed over with its seal, none of it synced.
        disk.fail(laminar_vfs::sim::Fault::new(laminar_vfs::sim::FaultKind::Io).on(laminar_vfs::Op::SyncData).sticky());
        drop(wal.append(&[9; 3900]).and_then(|_| wal.commit()));
    }
    let older = disk.fork();
    older.clear_faults();
    drop(wal);
    disk = disk.crash_lose_all();
    let wal = Wal::open("log", roomy().env(disk.env())).unwrap().0;
    append(&wal, &mut model, b"kept".to_vec());
    wal.sync().unwrap();
    for fill in 4..10 {
        append(&wal, &mut model, vec![fill; 3900]);
        wal.sync().unwrap();
    }
    wal.close().unwrap();
    (disk, model, older)
}

#[test]
fn a_segment_from_before_a_recovery_shows_no_record() {
    for sealed in [false, true] {
        let (disk, model, older) = two_lives(sealed);
        let stale = model.records.iter().find(|record| record.payload == b"kept").unwrap().lsn;
        let firsts = disk.files().into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "wal"));
        let file = firsts.filter(|file| first_of(file) <= stale.get()).max().unwrap();
        assert!(first_of(&file) > 0, "records of another segment come before it");
        let damaged = disk.fork();
        damaged.copy_file(&older, &file).unwrap();
        assert_ne!(damaged.read_file(&file).unwrap(), disk.read_file(&file).unwrap());
        let names_it = |error: &Error| match error {
            Error::Corrupt { path, from, .. } => {
                assert!(file.ends_with(path) && from.get() == first_of(&file), "{error}")
            }
            other => panic!("{other:?}"),
        };
        let wal = Wal::open("log", roomy().env(damaged.env())).unwrap().0;
        let end = wal.end_lsn();
        // Up to it everything is shown, and of it nothing.
        let before = model.records.iter().take_while(|record| record.lsn.get() < first_of(&file));
        let mut replayed = wal.replay(wal.start_lsn()).unwrap();
        let mut followed = wal.follow(wal.start_lsn()).unwrap();
        for record in before {
            assert!(replayed.next().unwrap().unwrap().payload == record.payload);
            assert!(followed.try_next().unwrap().unwrap().payload == record.payload);
        }
        names_it(&replayed.next().unwrap_err());
        names_it(&followed.try_next().unwrap_err());
        names_it(&wal.replay(stale).unwrap_err());
        names_it(&wal.view(wal.start_lsn()..end).unwrap_err());
        // What comes after it is as good as ever.
        let after = model.records.iter().find(|record| record.lsn.get() > first_of(&file) + (20 << 10)).unwrap();
        assert!(wal.replay(after.lsn).unwrap().next().unwrap().unwrap().payload == after.payload);
        assert_eq!(wal.view(after.lsn..end).unwrap().record_at(after.lsn).unwrap(), after.payload);
        drop((wal, replayed, followed));
        // On request, the log ends before it.
        let options = roomy().recover_to(RecoverTo::LastGood);
        let (wal, report) = Wal::open("log", options.env(damaged.env())).unwrap();
        assert!(report.given_up.unwrap().from.get() <= first_of(&file));
        let kept = model.check(&wal, 1, &|| "given up".to_owned());
        assert_eq!(kept, model.records.iter().take_while(|record| record.lsn.get() < first_of(&file)).count());
    }
}

fn first_of(file: &Path) -> u64 {
    file.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn is_needed(reference: &Reference, file: &Path) -> bool {
    reference.model.records.iter().any(|record| record.lsn.get() > first_of(file))
}

/// What happens to a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    Sector(u64),
    Gone,
    /// All but the header reads as zeros, as a segment does that was never entered.
    Zeros,
}

fn is_segment(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "wal")
}

#[test]
fn damage_can_be_given_up_on_request() {
    for left in ALL {
        let reference = reference(left);
        for (file, bytes) in reference.files() {
            if !is_segment(&file) {
                continue;
            }
            // Where another one follows, its absence can't be the end of the log.
            let next =
                reference.files().into_iter().map(|(next, _)| next).find(|next| is_segment(next) && *next > file);
            let zeros = next.is_some_and(|next| is_needed(&reference, &next)).then_some(Harm::Zeros);
            let harms = (0..bytes.len() as u64 / 512).map(Harm::Sector).chain([Harm::Gone]).chain(zeros);
            for harm in harms {
                let damaged = reference.disk.fork();
                match harm {
                    Harm::Sector(sector) => damaged.overwrite(&file, sector * 512, &[0xa5; 512]).unwrap(),
                    Harm::Gone => damaged.remove(&file).unwrap(),
                    Harm::Zeros => damaged.overwrite(&file, 4096, &vec![0; bytes.len() - 4096]).unwrap(),
                }
                let what = || format!("{left:?}: {harm:?} of {}", file.display());
                let contents = |path: &Path| damaged.read_file(path).unwrap();
                let before: Vec<_> = damaged.files().iter().map(|path| contents(path)).collect();
                let options = options().recover_to(RecoverTo::LastGood);
                let (wal, report) =
                    Wal::open("log", options.env(damaged.env())).unwrap_or_else(|e| panic!("{e}: {}", what()));
                let said = || format!("{} {report:?}", what());
                let found = reference.model.check(&wal, 0, &said);
                if found < reference.model.records.len() {
                    let given_up = report.given_up.as_ref().unwrap_or_else(|| panic!("silent: {}", said()));
                    assert_eq!(given_up.from, wal.end_lsn(), "{}", said());
                    let lost = &reference.model.records[found];
                    assert!(lost.lsn >= given_up.from && (lost.lsn < given_up.to || harm == Harm::Gone), "{}", said());
                    // Moved, not removed: as many files, and what is aside is what was there.
                    assert!(damaged.files().len() + 1 >= before.len(), "{}", said());
                    assert!(harm == Harm::Gone || !given_up.files.is_empty(), "{}", said());
                    for kept in &given_up.files {
                        assert!(before.contains(&contents(kept)), "{}: {}", kept.display(), said());
                    }
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

#[test]
fn what_was_given_up_is_told_until_it_is_removed() {
    let reference = reference(Left::Busy);
    let first = reference.files().into_iter().map(|(file, _)| file).find(|file| is_segment(file)).unwrap();
    let damaged = reference.disk.fork();
    damaged.overwrite(&first, 5000, &[0xa5; 512]).unwrap();
    let (mut before, mut told) = (0, 0);
    for at in 0.. {
        let killed = damaged.fork();
        killed.stop_at(at);
        let is_open = Wal::open("log", options().recover_to(RecoverTo::LastGood).env(killed.env())).is_ok();
        let again = killed.fork();
        let is_lost = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lost-"));
        let lost: Vec<PathBuf> = again.files().into_iter().filter(is_lost).collect();
        match Wal::open("log", options().env(again.env())) {
            Err(error) => assert!(error.is_corrupt(), "stopped at {at}: {error:?}"),
            Ok((wal, report)) => {
                drop(wal);
                assert_eq!(report.given_up_before.len(), lost.len(), "stopped at {at}: {report:?}");
                assert!(report.given_up_before.iter().all(|told| lost.iter().any(|lost| lost.ends_with(told))));
                report.given_up_before.iter().for_each(|file| again.remove(file).unwrap());
                let report = Wal::open("log", options().env(again.env())).unwrap().1;
                assert!(report.given_up_before.is_empty(), "{report:?}");
                *(if lost.is_empty() { &mut before } else { &mut told }) += 1;
            }
        }
        if is_open {
            break;
        }
    }
    assert!(before > 5 && told > 1, "{before} {told}");
}

/// Every bit takes a minute: by default every third, where anything is written.
fn bit_step() -> usize {
    std::env::var("LAMINAR_BIT_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(3)
}
