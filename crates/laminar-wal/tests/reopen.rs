//! What was committed is there after reopening: random operations on a log equal a vector of records.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use laminar_vfs::Env;
use laminar_vfs::sim::SimDisk;
use laminar_wal::{BatchPart, Error, LogId, LogView, Lsn, Records, RecoverTo, SyncPolicy, Wal, WalOptions};
use proptest::prelude::*;

fn small() -> WalOptions {
    WalOptions::new().segment_bytes(16 << 10).buffer_bytes(4 << 10)
}

#[derive(Debug, Clone)]
enum Op {
    Append(usize),
    Batch(Vec<usize>),
    Open(Vec<usize>),
    Commit,
    Sync,
    Truncate,
    Close,
    Drop,
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![4 => 0usize..200, 2 => 400usize..5000, 1 => 5000usize..40000];
    prop_oneof![
        8 => len.clone().prop_map(Op::Append),
        3 => prop::collection::vec(len.clone(), 0..5).prop_map(Op::Batch),
        2 => prop::collection::vec(len, 1..5).prop_map(Op::Open),
        4 => Just(Op::Commit),
        3 => Just(Op::Sync),
        1 => Just(Op::Truncate),
        1 => Just(Op::Close),
        1 => Just(Op::Drop),
    ]
}

fn payload(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((number * 31 + at * 7) % 251).unwrap()).collect()
}

/// The records of a view, each segment of it read on its own.
fn by_segments(view: &LogView) -> Vec<Lsn> {
    let starts: Vec<_> = std::iter::once(view.from()).chain(view.segments()).chain([view.to()]).collect();
    assert!(starts.is_sorted());
    let of = |(from, to): (&Lsn, &Lsn)| {
        let records = view.records_from(*from).unwrap().map(|record| record.unwrap().lsn);
        records.take_while(|lsn| lsn < to).collect::<Vec<_>>()
    };
    starts.iter().zip(starts.iter().skip(1)).flat_map(of).collect()
}

struct Model {
    records: Vec<(Lsn, Vec<u8>, bool)>,
    committed: usize,
    count: usize,
}

impl Model {
    fn check(&self, wal: &Wal, upto: usize) {
        let start = wal.start_lsn();
        let expected: Vec<_> = self.records.iter().take(upto).filter(|record| record.0 >= start).collect();
        let mut records = wal.replay(start).unwrap();
        for (lsn, payload, more) in &expected {
            let record = records.next().unwrap().expect("a record is missing");
            assert_eq!((record.lsn, record.payload, record.more), (*lsn, payload.as_slice(), *more));
        }
        assert!(records.next().unwrap().is_none());
        // From the middle, at a record's start and at its end.
        if let Some((lsn, payload, _)) = expected.get(expected.len() / 2) {
            let mut records = wal.replay(*lsn).unwrap();
            let record = records.next().unwrap().unwrap();
            assert_eq!(record.payload, payload.as_slice());
            let end = record.end;
            let next = wal.replay(end).unwrap().next().unwrap().map(|record| record.lsn);
            assert_eq!(next, expected.get(expected.len() / 2 + 1).map(|record| record.0));
        }
        if upto == self.records.len() && wal.durable_lsn() == wal.end_lsn() {
            let view = wal.view(start..wal.durable_lsn()).unwrap();
            let seen: Vec<_> = view.records().unwrap().map(|record| record.unwrap().lsn).collect();
            assert_eq!(seen, expected.iter().map(|record| record.0).collect::<Vec<_>>());
            for (lsn, payload, _) in &expected {
                assert_eq!(view.record_at(*lsn).unwrap(), payload.as_slice());
            }
            assert_eq!(by_segments(&view), seen);
        }
    }

    fn append(&mut self, wal: &Wal, lens: &[usize], open: bool) {
        let payloads: Vec<_> = lens.iter().map(|len| payload(self.count, *len)).collect();
        self.count += 1;
        let mut at = if open {
            let mut first = None;
            for (index, payload) in payloads.iter().enumerate() {
                let part = if index + 1 < payloads.len() { BatchPart::More } else { BatchPart::Last };
                let range = wal.append_with(payload.len(), part, |into| into.copy_from_slice(payload)).unwrap();
                self.records.push((range.start, payload.clone(), part == BatchPart::More));
                first.get_or_insert(range.start);
            }
            return;
        } else {
            let slices: Vec<_> = payloads.iter().map(Vec::as_slice).collect();
            wal.append_batch(&slices).unwrap().start.get()
        };
        let count = payloads.len();
        for (index, payload) in payloads.into_iter().enumerate() {
            let len = payload.len() as u64;
            self.records.push((Lsn::new(at), payload, index + 1 < count));
            at += 8 + len;
        }
    }
}

/// A view and what it showed at first: what happens to the log later, also to the segment that is being written, must not show in it.
struct Held {
    view: LogView,
    payloads: Vec<Vec<u8>>,
}

impl Held {
    fn of(wal: &Wal) -> Self {
        let view = wal.view(wal.start_lsn()..wal.durable_lsn()).unwrap();
        let payloads = Self::read(&view);
        Self { view, payloads }
    }

    fn read(view: &LogView) -> Vec<Vec<u8>> {
        view.records().unwrap().map(|record| record.unwrap().payload.to_vec()).collect()
    }

    fn check(&self) {
        assert_eq!(Self::read(&self.view), self.payloads);
    }
}

fn run(env: &Env, dir: &str, ops: &[Op]) {
    let small = || small().env(env.clone());
    let mut wal = Wal::open(dir, small()).unwrap().0;
    let mut model = Model { records: Vec::new(), committed: 0, count: 0 };
    let mut held: Vec<Held> = Vec::new();
    for op in ops {
        match op {
            Op::Append(len) => {
                let payload = payload(model.count, *len);
                model.count += 1;
                let lsn = wal.append(&payload).unwrap();
                model.records.push((lsn, payload, false));
            }
            Op::Batch(lens) => model.append(&wal, lens, false),
            Op::Open(lens) => model.append(&wal, lens, true),
            Op::Commit => {
                wal.commit().unwrap();
                model.committed = model.records.len();
                model.check(&wal, model.committed);
            }
            Op::Sync => {
                assert_eq!(wal.sync().unwrap(), wal.durable_lsn());
                model.committed = model.records.len();
                held.push(Held::of(&wal));
            }
            Op::Truncate => {
                if let Some((lsn, ..)) = model.records.get(model.records.len() / 2) {
                    let before = wal.start_lsn();
                    wal.truncate_below(*lsn).unwrap();
                    assert!(before <= wal.start_lsn() && wal.start_lsn() <= before.max(*lsn));
                }
            }
            Op::Close => {
                wal.close().unwrap();
                model.committed = model.records.len();
                let (opened, report) = Wal::open(dir, small()).unwrap();
                assert!(report.clean, "{report:?}");
                wal = opened;
                model.check(&wal, model.committed);
            }
            Op::Drop => {
                // What dropping does first: from here on nobody writes, and a full buffer that was on its way has arrived or never will.
                wal.release();
                let written = wal.written_lsn();
                drop(wal);
                let (opened, report) = Wal::open(dir, small()).unwrap();
                wal = opened;
                // What was handed over is there, up to the last whole batch.
                let kept = model.records.iter().rposition(|record| record.0 < written && !record.2);
                let kept = kept.map_or(0, |at| at + 1);
                assert!(kept >= model.committed, "{report:?}");
                model.records.truncate(kept);
                model.committed = kept;
                assert_eq!(wal.durable_lsn(), wal.end_lsn());
                model.check(&wal, kept);
            }
        }
        held.iter().for_each(Held::check);
    }
    wal.sync().unwrap();
    model.check(&wal, model.records.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_equal_a_vector_of_records(ops in prop::collection::vec(op(), 1..40)) {
        run(&SimDisk::new(1).env(), "log", &ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_on_the_real_disk_too(ops in prop::collection::vec(op(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        run(&Env::real(), dir.path().to_str().unwrap(), &ops);
    }
}

fn payloads(wal: &Wal, from: Lsn) -> Vec<Vec<u8>> {
    let mut records = wal.replay(from).unwrap();
    let mut all = Vec::new();
    while let Some(record) = records.next().unwrap() {
        all.push(record.payload.to_vec());
    }
    all
}

#[test]
fn a_record_larger_than_segments_and_buffers_takes_several_strides() {
    for policy in [SyncPolicy::Manual, SyncPolicy::EveryCommit] {
        let disk = SimDisk::new(1);
        let options = || small().env(disk.env()).sync_policy(policy);
        let wal = Wal::open("log", options()).unwrap().0;
        let large = payload(3, 1 << 20);
        wal.append(b"before").unwrap();
        let lsn = wal.append(&large).unwrap();
        wal.append(b"behind").unwrap();
        wal.sync().unwrap();
        drop(wal);
        let disk = disk.crash_lose_all();
        let options = || small().env(disk.env()).sync_policy(policy);
        let wal = Wal::open("log", options()).unwrap().0;
        assert_eq!(payloads(&wal, Lsn::ZERO), [b"before".to_vec(), large.clone(), b"behind".to_vec()]);
        let view = wal.view(Lsn::ZERO..wal.end_lsn()).unwrap();
        assert_eq!(view.record_at(lsn).unwrap(), large);
        // Segments of the usual length follow, and the long one goes like any other.
        for _ in 0..20 {
            wal.append(&[1; 3000]).unwrap();
        }
        let end = wal.sync().unwrap();
        let truncated = wal.truncate_below(end).unwrap();
        assert!(truncated.segments > 3 && truncated.bytes > 1 << 20, "{truncated:?}");
        assert!(matches!(wal.replay(lsn), Err(Error::BadPosition { .. })));
        assert_eq!(view.record_at(lsn).unwrap(), large, "a view outlives truncation");
    }
}

#[test]
fn a_log_may_start_at_any_position() {
    for start in [0, 1, 12_345, 16 << 10, (1 << 40) + 7] {
        let disk = SimDisk::new(1);
        let options = || small().env(disk.env()).start(Lsn::new(start)).log_id(LogId::new(9));
        let (wal, report) = Wal::open("log", options()).unwrap();
        assert!(report.created && report.clean);
        assert_eq!((wal.start_lsn().get(), wal.end_lsn().get(), wal.log_id()), (start, start, LogId::new(9)));
        assert_eq!(payloads(&wal, Lsn::new(start)), Vec::<Vec<u8>>::new());
        assert!(wal.view(Lsn::new(start)..Lsn::new(start)).unwrap().records().unwrap().next().is_none());
        drop(wal);
        // Without a record in it, too.
        let (wal, report) = Wal::open("log", options()).unwrap();
        assert_eq!((report.end.get(), report.cut), (start, None));
        let lsn = wal.append(b"x").unwrap();
        assert!(lsn.get() > start);
        wal.sync().unwrap();
        drop(wal);
        let wal = Wal::open("log", options()).unwrap().0;
        assert_eq!(payloads(&wal, Lsn::new(start)), [b"x"]);
        assert_eq!(wal.view(Lsn::new(start)..wal.end_lsn()).unwrap().records().unwrap().count(), 1);
    }
}

#[test]
fn positions_outside_the_log_or_inside_a_record_are_refused() {
    let disk = SimDisk::new(1);
    let wal = Wal::open("log", small().env(disk.env()).start(Lsn::new(5000))).unwrap().0;
    let range = wal.append_batch(&[b"a record"]).unwrap();
    wal.append(b"behind").unwrap();
    let end = wal.sync().unwrap();
    let inside = Lsn::new(range.start.get() + 1);
    for lsn in [Lsn::ZERO, Lsn::new(4999), inside, Lsn::new(end.get() + 1), Lsn::new(u64::MAX)] {
        assert!(matches!(wal.replay(lsn), Err(Error::BadPosition { .. })), "{lsn}");
        assert!(matches!(wal.follow(lsn), Err(Error::BadPosition { .. })), "{lsn}");
    }
    for lsn in 5000..=range.start.get() {
        assert_eq!(payloads(&wal, Lsn::new(lsn)).len(), 2, "{lsn}");
    }
    assert!(matches!(wal.view(Lsn::ZERO..end), Err(Error::BadPosition { .. })));
    assert!(matches!(wal.view(range.start..Lsn::new(end.get() + 1)), Err(Error::BadPosition { .. })));
    assert!(wal.view(inside..end).unwrap().records().is_err());
    let view = wal.view(range.start..range.end).unwrap();
    assert_eq!(view.records().unwrap().count(), 1, "a view ends where it was told to");
    assert!(matches!(view.record_at(range.end), Err(Error::BadPosition { .. })));
    assert!(matches!(view.record_at(inside), Err(Error::Corrupt { .. })));
}

#[test]
fn a_replay_that_a_truncation_overtakes_ends_with_an_error() {
    let disk = SimDisk::new(1);
    let wal = Wal::open("log", small().env(disk.env())).unwrap().0;
    for _ in 0..100 {
        wal.append(&[7; 1000]).unwrap();
    }
    let end = wal.sync().unwrap();
    let view = wal.view(Lsn::ZERO..end).unwrap();
    let mut records = wal.replay(Lsn::ZERO).unwrap();
    records.next().unwrap().unwrap();
    wal.truncate_below(end).unwrap();
    let mut more = 0;
    let error = loop {
        match records.next() {
            Ok(record) => {
                more += usize::from(record.expect("it does not end as if that were all").payload == [7; 1000])
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::BadPosition { start, .. } if start == wal.start_lsn()), "{error}");
    assert!(more < 20, "{more} records behind the first, of one segment");
    assert_eq!(view.records().unwrap().filter(Result::is_ok).count(), 100, "a view stays whole");
}

#[test]
fn what_is_not_committed_is_in_memory_only() {
    let disk = SimDisk::new(1);
    let wal = Wal::open("log", small().env(disk.env())).unwrap().0;
    let changes = disk.changes();
    wal.append(b"never handed over").unwrap();
    assert_eq!(disk.changes(), changes);
    drop(wal);
    let (wal, report) = Wal::open("log", small().env(disk.env())).unwrap();
    assert_eq!((payloads(&wal, Lsn::ZERO).len(), report.cut), (0, None));
    // A batch that was left open is cut, however often it was synced.
    wal.append(b"whole").unwrap();
    let end = wal.end_lsn();
    for _ in 0..20 {
        wal.append_with(2000, BatchPart::More, |into| into.fill(7)).unwrap();
    }
    wal.sync().unwrap();
    wal.close().unwrap();
    for _ in 0..2 {
        let (wal, report) = Wal::open("log", small().env(disk.env())).unwrap();
        assert_eq!(payloads(&wal, Lsn::ZERO), [b"whole"], "{report:?}");
        assert_eq!((wal.end_lsn(), report.clean), (end, false));
    }
    let wal = Wal::open("log", small().env(disk.env())).unwrap().0;
    let lsn = wal.append(b"behind the cut").unwrap();
    wal.close().unwrap();
    let (wal, report) = Wal::open("log", small().env(disk.env())).unwrap();
    assert!(report.clean);
    assert_eq!(payloads(&wal, Lsn::ZERO), [b"whole".to_vec(), b"behind the cut".to_vec()]);
    let view = wal.view(Lsn::ZERO..wal.end_lsn()).unwrap();
    assert_eq!(view.records().unwrap().map(|record| record.unwrap().lsn).collect::<Vec<_>>()[1..], [lsn]);
}

#[test]
fn a_clean_open_changes_nothing_and_reads_little() {
    let disk = SimDisk::new(1);
    let wal = Wal::open("log", WalOptions::new().env(disk.env())).unwrap().0;
    for _ in 0..5000 {
        wal.append(&[3; 1000]).unwrap();
    }
    wal.close().unwrap();
    let (hash, operations) = (disk.hash(), disk.operations());
    let (wal, report) = Wal::open("log", WalOptions::new().env(disk.env())).unwrap();
    assert!(report.clean && report.rewritten_bytes == 0, "{report:?}");
    drop(wal);
    assert_eq!(disk.hash(), hash);
    assert!(disk.operations() - operations < 24, "{} calls", disk.operations() - operations);
    // The mark of the clean end goes before anything is written.
    let wal = Wal::open("log", WalOptions::new().env(disk.env())).unwrap().0;
    assert!(disk.read_file("log/CLOSED").is_ok());
    wal.append(b"x").unwrap();
    wal.commit().unwrap();
    assert!(disk.read_file("log/CLOSED").is_err());
}

#[test]
fn a_recovery_opens_no_more_files_at_once_for_a_longer_log() {
    let most = |count: usize, recover_to: RecoverTo, closes: bool| {
        let disk = SimDisk::new(1);
        let (wal, _) = Wal::open("log", small().env(disk.env())).unwrap();
        for number in 0..count {
            wal.append(&payload(number, 5000)).unwrap();
            wal.commit().unwrap();
        }
        if closes {
            wal.close().unwrap();
        }
        disk.kill();
        let disk = disk.fork();
        let (wal, report) = Wal::open("log", small().env(disk.env()).recover_to(recover_to)).unwrap();
        assert!(report.segments >= count, "{report:?}");
        let mut records = wal.replay(Lsn::ZERO).unwrap();
        for number in 0..count {
            assert_eq!(records.next().unwrap().unwrap().payload, payload(number, 5000));
        }
        disk.open_files_most()
    };
    for recover_to in [RecoverTo::Whole, RecoverTo::LastGood] {
        for closes in [true, false] {
            let (short, long) = (most(5, recover_to, closes), most(100, recover_to, closes));
            assert!(short <= 8 && long == short, "{recover_to:?}, closed: {closes}: {short}, {long}");
        }
    }
}

#[test]
fn what_was_cut_goes_with_its_segment() {
    let disk = SimDisk::new(1);
    let aside =
        || disk.files().into_iter().filter(|path| path.extension().is_some_and(|found| found == "aside")).collect();
    disk.env().vfs.create_dir("/log".as_ref()).unwrap();
    let lost = "/log/lost-00000000000000000000-0000000000000001.aside";
    let mut most = 0;
    for round in 0..60 {
        let (wal, report) = Wal::open("/log", small().env(disk.env())).unwrap();
        if round == 0 {
            disk.write_file(lost, b"given up on request").unwrap();
        } else {
            let kept_at = report.cut.unwrap().kept_at.unwrap();
            assert!(disk.read_file(&kept_at).is_ok());
            wal.truncate_below(wal.end_lsn()).unwrap();
            assert!(disk.read_file(&kept_at).is_ok(), "the log still has its segment");
        }
        wal.append(&[1; 3000]).unwrap();
        wal.sync().unwrap();
        // An open batch, which the next opening cuts.
        wal.append_with(100, BatchPart::More, |into| into.fill(7)).unwrap();
        wal.sync().unwrap();
        drop(wal);
        let kept: Vec<_> = aside();
        most = most.max(kept.len());
    }
    assert!(most < 8, "{most} files");
    assert!(disk.read_file(lost).is_ok());
}

#[test]
fn a_log_that_was_released_takes_nothing_more() {
    let disk = SimDisk::new(1);
    let wal = Wal::open("log", small().env(disk.env())).unwrap().0;
    wal.append(b"before").unwrap();
    wal.commit().unwrap();
    let other = wal.clone();
    wal.release();
    assert!(other.is_closed());
    assert!(matches!(other.append(b"after"), Err(Error::Closed)));
    assert!(matches!(other.append_batch(&[b"after", b"after"]), Err(Error::Closed)));
    assert!(matches!(other.commit(), Err(Error::Closed)));
}

/// Why a reader ended before the end of the log.
fn why_it_ended(mut records: Records) -> Option<Error> {
    loop {
        match records.next() {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

#[test]
fn a_reader_that_outlives_its_log_takes_the_next_owners_files_for_no_damage() {
    let disk = SimDisk::new(1);
    let wal = Wal::open("log", small().env(disk.env())).unwrap().0;
    let mut firsts = Vec::new();
    while firsts.len() < 3 {
        wal.append(&[7; 500]).unwrap();
        wal.sync().unwrap();
        firsts = wal.view(wal.start_lsn()..wal.durable_lsn()).unwrap().segments().map(Lsn::get).collect();
    }
    let begun = || {
        let mut records = wal.replay(wal.start_lsn()).unwrap();
        records.next().unwrap().unwrap();
        records
    };
    let [before, rewritten, removed] = [begun(), begun(), begun()];
    let third = format!("log/{:020}.wal", firsts[1]);
    let len = disk.read_file(&third).unwrap().len();
    disk.write_file(&third, &vec![0; len]).unwrap();
    assert!(why_it_ended(before).unwrap().is_corrupt(), "the log is still this one's");
    wal.release();
    assert!(matches!(why_it_ended(rewritten), Some(Error::Closed)));
    disk.remove(&third).unwrap();
    assert!(matches!(why_it_ended(removed), Some(Error::Closed)));
}

#[test]
fn a_follower_begins_where_records_are_not_durable_yet() {
    let disk = SimDisk::new(1);
    let wal = Wal::open("log", small().env(disk.env())).unwrap().0;
    wal.append(b"before").unwrap();
    wal.commit().unwrap();
    let end = wal.written_lsn();
    assert!(wal.durable_lsn() < end);
    let mut follower = wal.follow(end).unwrap();
    let mut eager = wal.follow(end).unwrap().include_unsynced();
    assert!(follower.try_next().unwrap().is_none() && eager.try_next().unwrap().is_none());
    wal.append(b"after").unwrap();
    assert!(matches!(wal.follow(wal.end_lsn()), Err(Error::BadPosition { .. })), "that is in memory only");
    wal.commit().unwrap();
    assert_eq!(eager.try_next().unwrap().unwrap().payload, b"after");
    assert!(follower.try_next().unwrap().is_none());
    wal.sync().unwrap();
    assert_eq!(follower.try_next().unwrap().unwrap().payload, b"after");
    assert!(follower.try_next().unwrap().is_none());
}
