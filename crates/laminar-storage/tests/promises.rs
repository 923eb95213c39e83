//! One test and more for each promise of ARCHITECTURE.md, P1 to P10, on the simulated disk; each fails when its promise is broken.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_lossless,
    clippy::big_endian_bytes,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test stops at what it does not expect, makes its keys by hand, and prepares directories"
)]

use std::time::Duration;

use laminar_storage::{
    Env, Error, RecoverTo, RecoveryReport, StateStore, StoreOptions, Verify, WalStateStore, restore,
};
use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
use laminar_vfs::{Clock, Op};

const DIR: &str = "/store";

fn options(env: Env) -> StoreOptions {
    StoreOptions::new().env(env).segment_bytes(16 << 10).buffer_bytes(4 << 10)
}

fn open(disk: &SimDisk) -> (WalStateStore, RecoveryReport) {
    try_open(disk).unwrap()
}

fn try_open(disk: &SimDisk) -> laminar_storage::Result<(WalStateStore, RecoveryReport)> {
    WalStateStore::open(DIR, options(disk.env()))
}

fn verified(disk: &SimDisk) -> laminar_storage::Result<(WalStateStore, RecoveryReport)> {
    WalStateStore::open(DIR, options(disk.env()).verify(Verify::All))
}

/// Commit number `n`: three keys and the source offset say `n`.
fn commit(store: &mut WalStateStore, n: u64) -> laminar_storage::Result<laminar_storage::CommitTicket> {
    for key in [&b"a"[..], b"b", &n.to_le_bytes()] {
        store.put(key, &n.to_le_bytes())?;
    }
    store.set_source_offset("source", n)?;
    store.commit()
}

/// The number of the commit that a store is at, after checking that all of it is there and nothing of another.
fn number(store: &WalStateStore) -> u64 {
    let n = store.source_offset("source").unwrap_or(0);
    let expected = (n > 0).then(|| n.to_le_bytes());
    for key in [&b"a"[..], b"b", &n.to_le_bytes()] {
        assert_eq!(store.get(key).unwrap(), expected.as_ref().map(|value| &value[..]), "half of commit {n}");
    }
    for earlier in 1..=n {
        assert_eq!(store.get(&earlier.to_le_bytes()).unwrap(), Some(&earlier.to_le_bytes()[..]), "a hole before {n}");
    }
    assert_eq!(store.get(&(n + 1).to_le_bytes()).unwrap(), None, "more than commit {n}");
    n
}

/// The disk after a power cut: with all lost, with all kept, and with `count` subsets that differ from place to place.
fn power_cuts(disk: &SimDisk, place: u64, count: u64) -> impl Iterator<Item = SimDisk> {
    let subsets = (0..count).map(move |cut| disk.crash(place * count + cut));
    [disk.crash_lose_all(), disk.crash_keep_all()].into_iter().chain(subsets)
}

/// A store with commits 1 to `commits`, all durable.
fn durable_commits(commits: u64) -> (SimDisk, WalStateStore) {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    for n in 1..=commits {
        commit(&mut store, n).unwrap().wait().unwrap();
    }
    (disk, store)
}

/// Two checkpoints, of commits 1 to 20 and 1 to 40, and commits up to 50 behind them, closed.
fn two_checkpoints() -> SimDisk {
    let (disk, mut store) = durable_commits(0);
    for n in 1..=50 {
        commit(&mut store, n).unwrap();
        if n == 20 || n == 40 {
            store.checkpoint().unwrap().wait().unwrap();
        }
    }
    store.close().unwrap();
    disk
}

#[test]
fn p1_a_durable_commit_survives_a_power_cut_and_a_handed_over_one_a_kill() {
    let (disk, mut store) = durable_commits(5);
    assert_eq!(number(&open(&disk.crash_lose_all()).0), 5);
    for n in 6..=9 {
        commit(&mut store, n).unwrap();
    }
    for seed in 0..200 {
        let n = number(&open(&disk.crash(seed)).0);
        assert!((5..=9).contains(&n), "seed {seed} recovers to {n}");
    }
    disk.kill();
    drop(store);
    assert_eq!(number(&open(&disk).0), 9);
}

#[test]
fn p1_awaited_commits_and_clean_closes_are_durable() {
    let (disk, mut store) = durable_commits(1);
    let ticket = commit(&mut store, 2).unwrap();
    assert!(!ticket.is_durable());
    store.close().unwrap();
    assert!(ticket.is_durable());
    drop(store);
    let (store, report) = open(&disk.crash_lose_all());
    assert!(report.tail.clean, "{report:?}");
    assert_eq!(number(&store), 2);
}

#[test]
fn p2_commits_and_their_offsets_are_atomic_at_every_disk_operation() {
    for at in 0.. {
        let (disk, mut store) = durable_commits(2);
        disk.stop_at(at);
        let mut acknowledged = 2;
        let mut submitted = 2;
        for n in 3..=8 {
            submitted = n;
            match commit(&mut store, n).and_then(|ticket| ticket.wait()) {
                Ok(()) => acknowledged = n,
                Err(_) => break,
            }
        }
        for (cut, crashed) in power_cuts(&disk, at, 8).enumerate() {
            let n = number(&open(&crashed).0);
            assert!((acknowledged..=submitted).contains(&n), "stopped at {at}, cut {cut}: recovered to {n}");
        }
        if acknowledged == 8 {
            break;
        }
    }
}

#[test]
fn p2_what_was_not_committed_is_gone() {
    let (disk, mut store) = durable_commits(3);
    // Enough to be handed over before its commit.
    for n in 0..200_u32 {
        store.put(&n.to_be_bytes(), &[7; 100]).unwrap();
    }
    store.set_source_offset("source", 99).unwrap();
    disk.kill();
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!(number(&store), 3);
    assert_eq!(store.len().unwrap(), 5);
    assert!(report.bytes_cut() > 0, "{report:?}");
    let kept = report.cut_kept_at().unwrap();
    assert!(!disk.read_file(kept).unwrap().is_empty(), "what was cut is kept");
}

#[test]
fn p3_what_is_recovered_is_durable() {
    let (disk, mut store) = durable_commits(2);
    for n in 3..=6 {
        commit(&mut store, n).unwrap();
    }
    disk.kill();
    drop(store);
    let (store, _) = open(&disk);
    assert_eq!(number(&store), 6);
    // Nothing has been synced since but by the recovery.
    assert_eq!(number(&open(&disk.crash_lose_all()).0), 6);
}

#[test]
fn p3_after_a_failed_sync_nothing_is_served_that_is_not_on_disk() {
    let (disk, mut store) = durable_commits(2);
    let ticket = commit(&mut store, 3).unwrap();
    disk.fail(Fault::new(FaultKind::Io).on(Op::SyncData));
    assert!(ticket.wait().unwrap_err().is_poisoned());
    disk.kill();
    drop(store);
    // The same boot: the cache still shows what the disk never got.
    let (store, _) = open(&disk);
    let served = number(&store);
    assert!(served >= 2);
    disk.drop_caches();
    assert_eq!(number(&open(&disk.crash_lose_all()).0), served);
}

#[test]
fn p4_damage_to_durable_bytes_is_an_error_and_nothing_is_overwritten() {
    let (disk, mut store) = durable_commits(6);
    store.close().unwrap();
    drop(store);
    let segment = "/store/wal/00000000000000000000.wal";
    let before = disk.read_file(segment).unwrap();
    // The third commit's page, well before the last.
    let at = before.iter().skip(4096 * 3).position(|&byte| byte != 0).unwrap() + 4096 * 3;
    disk.flip_bit(segment, at as u64 * 8).unwrap();
    disk.remove("/store/wal/CLOSED").unwrap();
    let image = disk.fork();
    let error = try_open(&disk).unwrap_err();
    assert!(error.is_corrupt(), "{error}");
    assert!(error.to_string().contains(segment), "{error}");
    assert_eq!(disk.read_file(segment).unwrap(), image.read_file(segment).unwrap(), "a damaged log was changed");

    let last_good = options(disk.env()).recover_to(RecoverTo::LastGood);
    let (store, report) = WalStateStore::open(DIR, last_good).unwrap();
    assert!(number(&store) < 6);
    assert!(report.is_degraded() && report.tail.given_up.is_some(), "{report:?}");
}

#[test]
fn p4_a_torn_tail_is_cut_kept_and_reported() {
    let (disk, mut store) = durable_commits(3);
    for n in 4..=6 {
        commit(&mut store, n).unwrap();
    }
    let mut cut = 0;
    for seed in 0..100 {
        let torn = disk.crash(seed);
        let (store, report) = open(&torn);
        assert!((3..=6).contains(&number(&store)));
        if let Some(kept) = report.cut_kept_at() {
            cut += 1;
            assert!(torn.read_file(kept).is_ok(), "{report:?}");
        }
    }
    assert!(cut > 0, "no crash tore the tail");
}

#[test]
fn p5_without_any_one_file_of_the_newest_checkpoint_nothing_is_lost() {
    let disk = two_checkpoints();
    let newest: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|path| path.to_str().unwrap().contains("checkpoint-00000000000000000002/"))
        .collect();
    assert!(newest.len() >= 2, "a manifest and a run at least: {newest:?}");
    for path in newest {
        let damaged = disk.fork();
        damaged.remove(&path).unwrap();
        let (store, report) = verified(&damaged).unwrap();
        assert_eq!(number(&store), 50, "without {}", path.display());
        assert_eq!(report.checkpoint, Some(1), "without {}", path.display());
        assert_eq!(report.passed_over.len(), 1);
        assert_eq!(report.passed_over[0].id, 2);
        assert!(report.is_degraded());
    }
}

#[test]
fn p5_with_any_one_block_of_the_newest_checkpoint_damaged_nothing_is_lost() {
    let disk = two_checkpoints();
    let (mut healed, mut passed_over) = (0, 0);
    for path in disk.files() {
        if !path.to_str().unwrap().contains("checkpoint-00000000000000000002/") {
            continue;
        }
        let sectors = disk.read_file(&path).unwrap().len().div_ceil(512);
        for sector in 0..sectors as u64 {
            let damaged = disk.fork();
            damaged.flip_bit(&path, (sector * 512 + 100) * 8).unwrap_or_default();
            let (store, report) = verified(&damaged).unwrap();
            assert_eq!(number(&store), 50, "{} sector {sector}", path.display());
            healed += report.healed.len();
            passed_over += report.passed_over.len();
        }
    }
    assert!(healed > 0, "no block was ever rebuilt from parity");
    println!("{healed} healed, {passed_over} passed over");
}

#[test]
fn p5_the_log_reaches_back_to_the_older_retained_checkpoint() {
    let disk = two_checkpoints();
    for file in disk.files() {
        if file.to_str().unwrap().contains("checkpoint-00000000000000000002/") {
            disk.remove(&file).unwrap();
        }
    }
    let (store, report) = open(&disk);
    assert_eq!((number(&store), report.checkpoint), (50, Some(1)));
    assert!(report.commits_replayed >= 30);
}

#[test]
fn p6_a_checkpoint_is_all_or_nothing_at_every_disk_operation() {
    for at in 0.. {
        let (disk, mut store) = durable_commits(4);
        store.checkpoint().unwrap().wait().unwrap();
        for n in 5..=8 {
            commit(&mut store, n).unwrap();
        }
        disk.stop_at(at);
        let made = store.checkpoint().unwrap().wait();
        for (cut, crashed) in power_cuts(&disk, at, 6).enumerate() {
            let (store, report) = verified(&crashed).unwrap();
            let n = number(&store);
            assert!((4..=8).contains(&n), "stopped at {at}, cut {cut}: {n}");
            assert!(!report.is_degraded(), "half a checkpoint passes for one: {report:?}");
            if made.is_ok() {
                assert_eq!((n, report.checkpoint), (8, Some(2)), "stopped at {at}, cut {cut}");
            }
        }
        if made.is_ok() && disk.operations() > 0 && at > 500 {
            break;
        }
        if at > 2_000 {
            panic!("the checkpoint never ended");
        }
    }
}

#[test]
fn p6_a_checkpoint_is_never_ahead_of_the_durable_log() {
    let (disk, mut store) = durable_commits(1);
    commit(&mut store, 2).unwrap();
    disk.fail(Fault::new(FaultKind::Io).on(Op::SyncData).sticky());
    let error = store.checkpoint().unwrap().wait().unwrap_err();
    assert!(error.is_poisoned(), "{error}");
    assert!(!disk.files().iter().any(|path| path.to_str().unwrap().contains("checkpoints/")), "{:?}", disk.files());
}

#[test]
fn p7_a_failed_sync_of_the_log_is_final() {
    let (disk, mut store) = durable_commits(1);
    let first = commit(&mut store, 2).unwrap();
    let second = commit(&mut store, 3).unwrap();
    disk.fail(Fault::new(FaultKind::Io).on(Op::SyncData));
    for ticket in [&first, &second, &first] {
        assert!(ticket.wait().unwrap_err().is_poisoned());
        assert!(!ticket.is_durable());
    }
    assert!(commit(&mut store, 4).unwrap_err().is_poisoned());
    assert_eq!(store.get(b"a").unwrap(), Some(&3_u64.to_le_bytes()[..]), "reads go on");
    assert!(store.close().unwrap_err().is_poisoned());
    assert!(matches!(store.put(b"a", b"").unwrap_err(), Error::Closed));
}

#[test]
fn p7_a_failed_checkpoint_poisons_nothing_and_leaves_nothing() {
    let mut failed = 0;
    for at in 0..200 {
        let (disk, mut store) = durable_commits(3);
        let on_checkpoints = Fault::new(FaultKind::Io).path(|path| path.to_str().unwrap().contains("checkpoints"));
        disk.fail(on_checkpoints.after(at));
        let made = store.checkpoint().unwrap().wait();
        disk.clear_faults();
        if let Err(error) = &made {
            failed += 1;
            assert!(!error.is_poisoned(), "{error}");
        }
        commit(&mut store, 4).unwrap().wait().unwrap();
        store.checkpoint().unwrap().wait().unwrap();
        drop(store);
        let (store, report) = open(&disk.crash_lose_all());
        assert_eq!(number(&store), 4);
        assert!(report.checkpoint.is_some());
        if made.is_ok() && disk.faults_struck() == 0 {
            break;
        }
    }
    assert!(failed > 5, "only {failed} operations of a checkpoint can fail");
}

#[test]
fn p8_a_full_disk_refuses_before_it_acknowledges_and_goes_on_when_space_returns() {
    let disk = SimDisk::new(1);
    let (mut store, _) = open(&disk);
    disk.set_space(Some(disk.used_bytes() + (20 << 10)));
    let mut n = 0;
    let error = loop {
        n += 1;
        assert!(n < 10_000, "the disk never gets full");
        if let Err(error) = commit(&mut store, n).and_then(|ticket| ticket.wait()) {
            break error;
        }
    };
    assert!(error.is_no_space(), "{error}");
    assert!(!error.is_poisoned());
    // A full disk opens, and has everything that was acknowledged.
    let crashed = disk.crash_lose_all();
    crashed.set_space(Some(crashed.used_bytes()));
    let recovered = number(&open(&crashed).0);
    assert!(recovered == n - 1 || recovered == n, "recovered {recovered} of {}", n - 1);
    // Space returns: the commit that was refused is made again by the same store.
    disk.set_space(None);
    commit(&mut store, n).unwrap().wait().unwrap();
    assert_eq!(number(&store), n);
    disk.kill();
    drop(store);
    assert_eq!(number(&open(&disk).0), n);
}

#[test]
fn p9_there_is_one_owner_and_no_fresh_store_in_the_place_of_a_lost_one() {
    let (disk, store) = durable_commits(2);
    let error = try_open(&disk).unwrap_err();
    assert!(error.is_locked(), "{error}");
    drop(store);
    assert_eq!(number(&open(&disk).0), 2);
    disk.remove("/store/STORE").unwrap();
    assert!(matches!(try_open(&disk).unwrap_err(), Error::Missing { .. }));
}

#[test]
fn p9_a_creation_that_a_crash_ended_is_begun_again() {
    for at in 0.. {
        let disk = SimDisk::new(1);
        disk.stop_at(at);
        let created = try_open(&disk).is_ok();
        for (cut, crashed) in power_cuts(&disk, at, 10).enumerate() {
            let (mut store, _) = open(&crashed);
            assert_eq!(number(&store), 0, "stopped at {at}, cut {cut}");
            commit(&mut store, 1).unwrap().wait().unwrap();
            drop(store);
            assert_eq!(number(&open(&crashed.crash_lose_all()).0), 1);
        }
        if created {
            assert!(at > 10);
            break;
        }
    }
}

#[test]
fn p10_hostile_bytes_are_only_errors() {
    let disk = two_checkpoints();
    let mut rng = fastrand::Rng::with_seed(10);
    for path in disk.files() {
        let good = disk.read_file(&path).unwrap();
        for round in 0..60 {
            let mut bytes = good.clone();
            match round % 3 {
                0 => bytes.truncate(rng.usize(..=bytes.len())),
                1 => bytes = (0..rng.usize(..=good.len().min(9000))).map(|_| rng.u8(..)).collect(),
                _ if bytes.is_empty() => {}
                _ => (0..8).for_each(|_| {
                    let at = rng.usize(..bytes.len());
                    bytes[at] = rng.u8(..);
                }),
            }
            let hostile = disk.fork();
            hostile.write_file(&path, &bytes).unwrap();
            // Whatever it says, it neither panics nor serves anything but a commit that was made.
            if let Ok((store, _)) = verified(&hostile) {
                assert_eq!(number(&store), 50, "{} round {round}", path.display());
            }
        }
    }
}

#[test]
fn exports_restore_into_a_store_of_their_own() {
    let (disk, mut store) = durable_commits(9);
    store.operator("other").unwrap().put(b"k", b"v").unwrap();
    store.commit().unwrap();
    let exported = store.export("/backup").unwrap();
    commit(&mut store, 10).unwrap();
    drop(store);
    restore(exported.state_path(), "/again", options(disk.env())).unwrap();
    let (mut again, report) = WalStateStore::open("/again", options(disk.env())).unwrap();
    assert_eq!(number(&again), 9);
    assert_eq!(again.operator_view("other").unwrap().get(b"k").unwrap(), Some(&b"v"[..]));
    assert_eq!(report.records_replayed, 0);
    commit(&mut again, 10).unwrap().wait().unwrap();
    again.checkpoint().unwrap().wait().unwrap();
    drop(again);
    let (again, _) = WalStateStore::open("/again", options(disk.crash_lose_all().env())).unwrap();
    assert_eq!(number(&again), 10);
    let occupied = restore(exported.state_path(), DIR, options(disk.env())).unwrap_err();
    assert!(matches!(occupied, Error::Foreign { .. }), "{occupied}");
}

#[test]
fn periodic_checkpoints_come_from_commit_by_interval_and_by_bytes() {
    let disk = SimDisk::new(1);
    let (env, workers) = disk.env_and_workers();
    let (mut store, _) = WalStateStore::open(DIR, options(env).checkpoint_log_bytes(64 << 10)).unwrap();
    assert!(!store.should_checkpoint());
    store.enable_checkpointing(Duration::from_secs(10), 3).unwrap();
    commit(&mut store, 1).unwrap();
    assert!(!store.should_checkpoint(), "neither the interval nor the bytes are reached");
    disk.clock().advance(Duration::from_secs(10));
    assert!(disk.clock().now() >= Duration::from_secs(10));
    assert!(store.should_checkpoint());
    commit(&mut store, 2).unwrap();
    workers.drive_all();
    commit(&mut store, 3).unwrap();
    assert_eq!(store.attached_checkpoint().unwrap().id(), 1);
    // By bytes, without any time passing.
    let mut n = 3;
    while store.attached_checkpoint().unwrap().id() == 1 {
        n += 1;
        commit(&mut store, n).unwrap();
        workers.drive_all();
        assert!(n < 1000, "64 KiB of log never come due");
    }
    assert!(store.log_bytes_behind() < 64 << 10);
    assert_eq!(number(&store), n);
}

#[test]
fn p3_a_store_whose_creation_failed_at_a_sync_keeps_its_name() {
    for nth in 0..40 {
        let disk = SimDisk::new(1);
        disk.fail(Fault::new(FaultKind::Io).on(Op::SyncDir).after(nth));
        let first = try_open(&disk);
        disk.clear_faults();
        drop(first);
        // In the same boot the cache shows names that never reached the disk.
        let (mut store, _) = try_open(&disk).unwrap_or_else(|error| panic!("sync {nth}: {error}"));
        commit(&mut store, 1).unwrap().wait().unwrap();
        drop(store);
        disk.drop_caches();
        let after = disk.crash_lose_all();
        let opened = WalStateStore::open(DIR, options(after.env()).create(false));
        let (store, _) = opened.unwrap_or_else(|error| panic!("sync {nth}: {error}"));
        assert_eq!(number(&store), 1, "sync {nth}");
    }
}
