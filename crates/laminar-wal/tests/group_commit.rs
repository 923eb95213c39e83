//! Many who wait share a sync, blocking or not, with a runtime or none; followers see what is durable and nothing more;
//! and what a call costs, counted: system calls, syncs, allocations. On the real disk, with threads.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "threads of the user, not of the log")]

use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use laminar_vfs::sim::SimDisk;
use laminar_vfs::{DirEntry, Env, Kind, Lock, OpenMode, ReadMode, Region, Result as VfsResult, Vfs, VfsFile};
use laminar_wal::{BatchPart, Error, Lsn, SyncPolicy, Wal, WalOptions};

/// The allocations that this thread makes in `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

/// Calls that reached the disk.
#[derive(Debug, Default)]
struct Calls {
    writes: AtomicU64,
    syncs: AtomicU64,
    all: AtomicU64,
    /// Bytes that the thread for segments to come has read ahead.
    fetched: AtomicU64,
    /// From now on a sync by the log's own thread panics.
    bomb: AtomicBool,
    /// The same of a sync by any other thread.
    bomb_of_callers: AtomicBool,
}

#[derive(Debug)]
struct CountingVfs {
    vfs: Arc<dyn Vfs>,
    calls: Arc<Calls>,
    /// How long a sync takes longer than it does.
    slow: Duration,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn VfsFile>,
    calls: Arc<Calls>,
    slow: Duration,
}

impl CountingVfs {
    fn call(&self) -> &dyn Vfs {
        self.calls.all.fetch_add(1, Ordering::Relaxed);
        &*self.vfs
    }
}

impl Vfs for CountingVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> VfsResult<Arc<dyn VfsFile>> {
        let file = self.call().open(path, mode)?;
        Ok(Arc::new(CountingFile { file, calls: Arc::clone(&self.calls), slow: self.slow }))
    }
    fn kind(&self, path: &Path) -> VfsResult<Option<Kind>> {
        self.call().kind(path)
    }
    fn list(&self, dir: &Path) -> VfsResult<Vec<DirEntry>> {
        self.call().list(dir)
    }
    fn create_dir(&self, path: &Path) -> VfsResult<()> {
        self.call().create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> VfsResult<()> {
        self.call().rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> VfsResult<()> {
        self.call().hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> VfsResult<()> {
        self.call().remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> VfsResult<()> {
        self.call().remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> VfsResult<()> {
        self.call().sync_dir(path)
    }
    fn lock(&self, path: &Path) -> VfsResult<Lock> {
        self.call().lock(path)
    }
}

impl CountingFile {
    fn call(&self) -> &dyn VfsFile {
        self.calls.all.fetch_add(1, Ordering::Relaxed);
        &*self.file
    }
}

impl VfsFile for CountingFile {
    fn path(&self) -> &Path {
        self.file.path()
    }
    fn len(&self) -> VfsResult<u64> {
        self.call().len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> VfsResult<usize> {
        self.call().read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> VfsResult<usize> {
        self.calls.writes.fetch_add(1, Ordering::Relaxed);
        self.call().write_at(buf, offset)
    }
    fn sync_data(&self) -> VfsResult<()> {
        self.calls.syncs.fetch_add(1, Ordering::Relaxed);
        thread::sleep(self.slow);
        let is_worker = thread::current().name() == Some("laminar-wal");
        let bomb = if is_worker { &self.calls.bomb } else { &self.calls.bomb_of_callers };
        assert!(!bomb.load(Ordering::SeqCst), "a planted panic");
        self.call().sync_data()
    }
    fn set_len(&self, len: u64) -> VfsResult<()> {
        self.call().set_len(len)
    }
    fn allocate(&self, range: Range<u64>) -> VfsResult<()> {
        self.call().allocate(range)
    }
    fn map_start(&self, len: u64, mode: ReadMode) -> VfsResult<Region> {
        self.call().map_start(len, mode)
    }
    fn evict(&self, range: Range<u64>) {
        self.file.evict(range);
    }
    fn prefetch(&self, range: Range<u64>) {
        if thread::current().name() == Some("laminar-coming") {
            self.calls.fetched.fetch_add(range.end - range.start, Ordering::Relaxed);
        }
        self.file.prefetch(range);
    }
}

fn counted(slow: Duration) -> (Env, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let mut env = Env::real();
    env.vfs = Arc::new(CountingVfs { vfs: Arc::clone(&env.vfs), calls: Arc::clone(&calls), slow });
    (env, calls)
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
fn an_append_costs_no_system_call_and_no_allocation() {
    let dir = tempfile::tempdir().unwrap();
    let (env, calls) = counted(Duration::ZERO);
    let wal = Wal::open(dir.path(), WalOptions::new().env(env).idle_seal(None)).unwrap().0;
    let payload = [7; 100];
    // Both buffers have grown to their size after two hand-overs.
    for _ in 0..30_000 {
        wal.append(&payload).unwrap();
    }
    wal.sync().unwrap();
    // The log's own thread may be making the reserve longer: it is no append that pays for that.
    let mut calls_before = u64::MAX;
    while calls_before != calls.all.load(Ordering::Relaxed) {
        calls_before = calls.all.load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(100));
    }
    let allocated = allocations(|| {
        for _ in 0..2000 {
            wal.append(&payload).unwrap();
            wal.append_with(100, BatchPart::Last, |into| into.fill(9)).unwrap();
            wal.append_batch(&[&payload, &payload]).unwrap();
        }
    });
    assert_eq!(allocated, 0, "allocations");
    assert_eq!(calls.all.load(Ordering::Relaxed) - calls_before, 0, "system calls");
    // And a hand-over is one write for all of them.
    assert_eq!(allocations(|| assert!(wal.commit().is_ok())), 0, "allocations");
    assert_eq!(calls.all.load(Ordering::Relaxed) - calls_before, 1);
    // Reading back: no allocation per record either.
    let mut records = wal.replay(wal.start_lsn()).unwrap();
    records.next().unwrap().unwrap();
    let mut count = 1;
    let allocated = allocations(|| {
        while records.next().unwrap().is_some() {
            count += 1;
        }
    });
    assert_eq!(count, 38_000);
    assert!(allocated < 20, "{allocated} allocations");
}

#[test]
fn a_durable_append_is_one_write_and_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    for policy in [SyncPolicy::Manual, SyncPolicy::EveryCommit] {
        let (env, calls) = counted(Duration::ZERO);
        let options = WalOptions::new().env(env).idle_seal(None).sync_policy(policy);
        let wal = Wal::open(dir.path().join(format!("{policy:?}")), options).unwrap().0;
        wal.append(b"the first makes the reserve").unwrap();
        wal.sync().unwrap();
        let before = [&calls.writes, &calls.syncs, &calls.all].map(|calls| calls.load(Ordering::Relaxed));
        for _ in 0..10 {
            wal.append(&[1; 256]).unwrap();
            if policy == SyncPolicy::EveryCommit {
                wal.commit().unwrap()
            } else {
                wal.sync().unwrap()
            };
        }
        let after = [&calls.writes, &calls.syncs, &calls.all].map(|calls| calls.load(Ordering::Relaxed));
        assert_eq!([after[0] - before[0], after[1] - before[1], after[2] - before[2]], [10, 10, 20], "{policy:?}");
    }
}

#[test]
fn writers_that_wait_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    // Slow enough that what is counted does not depend on the machine.
    let (env, calls) = counted(Duration::from_millis(4));
    let wal = Wal::open(dir.path(), WalOptions::new().env(env).idle_seal(None)).unwrap().0;
    wal.append(b"the first makes the reserve").unwrap();
    wal.sync().unwrap();
    let before = calls.syncs.load(Ordering::Relaxed);
    let (threads, each) = (8, 40);
    thread::scope(|scope| {
        for number in 0..threads {
            let wal = wal.clone();
            scope.spawn(move || {
                for count in 0..each {
                    let lsn = wal.append(format!("{number} {count}").as_bytes()).unwrap();
                    wal.wait_durable(lsn).unwrap();
                    assert!(wal.durable_lsn() > lsn);
                }
            });
        }
    });
    let syncs = calls.syncs.load(Ordering::Relaxed) - before;
    let records = threads * each;
    assert!(syncs * threads / 2 < records, "{records} records in {syncs} syncs: writers are in two camps");
    assert_eq!(payloads(&wal, wal.start_lsn()).len() as u64, records + 1);
    let stats = wal.stats();
    assert_eq!(stats.records, records + 1);
    assert!(stats.waits_served >= records, "{stats:?}");
}

/// Runs a future on nothing but this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_durable_wait_needs_no_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), WalOptions::new()).unwrap().0;
    for count in 0..20u8 {
        let lsn = wal.append(&[count]).unwrap();
        block_on(wal.durable(lsn)).unwrap();
        assert!(wal.durable_lsn() > lsn);
    }
    // One that is dropped, or for something durable already, or for what was never appended.
    drop(wal.durable(wal.end_lsn()));
    block_on(wal.durable(Lsn::ZERO)).unwrap();
    block_on(wal.durable(Lsn::new(u64::MAX))).unwrap();
    let lsn = wal.append(b"never synced").unwrap();
    let waiting = wal.durable(lsn);
    wal.close().unwrap();
    block_on(waiting).unwrap();
}

#[test]
fn a_wait_ends_when_the_log_does() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), WalOptions::new()).unwrap().0;
    let lsn = wal.append(b"dropped").unwrap();
    let waiting = wal.durable(lsn);
    let mut follower = wal.follow(wal.start_lsn()).unwrap();
    let following = thread::spawn(move || follower.next().map(|record| record.is_some()));
    drop(wal);
    assert!(matches!(block_on(waiting), Err(Error::Closed)));
    assert!(!following.join().unwrap().unwrap());
}

#[test]
fn a_panic_of_the_logs_own_thread_is_an_error_for_everyone_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (env, calls) = counted(Duration::from_millis(50));
    let wal = Wal::open(dir.path(), WalOptions::new().env(env)).unwrap().0;
    let kept = wal.append(b"kept").unwrap();
    block_on(wal.durable(kept)).unwrap();
    let durable = wal.durable_lsn();
    calls.bomb.store(true, Ordering::SeqCst);
    let before = calls.syncs.load(Ordering::Relaxed);
    let lsn = wal.append(b"lost").unwrap();
    let is_panic = |error: &Error| match error {
        Error::Poisoned { cause } => cause.to_string().contains("a planted panic"),
        _ => false,
    };
    // On threads of their own, so that one that hangs fails the test: futures now, threads that wait for the same sync, a follower, and
    // futures later.
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut follower = wal.follow(durable).unwrap();
    let following = sender.clone();
    thread::spawn(move || following.send(follower.next().map(drop)));
    for round in 0..2 {
        for number in 0..4 {
            let (wal, sender, calls) = (wal.clone(), sender.clone(), Arc::clone(&calls));
            thread::spawn(move || match number {
                0 => {
                    // Not the leader: the log's own thread is in its sync by then, or has been.
                    while calls.syncs.load(Ordering::Relaxed) == before {
                        thread::yield_now();
                    }
                    sender.send(wal.wait_durable(lsn))
                }
                _ => sender.send(block_on(wal.durable(lsn))),
            });
        }
        for _ in 0..4 + (1 - round) {
            let told = receiver.recv_timeout(Duration::from_secs(60)).expect("somebody waits for ever");
            assert!(is_panic(&told.unwrap_err()));
        }
        assert_eq!(wal.durable_lsn(), durable);
    }
    assert!(is_panic(&wal.append(b"more").unwrap_err()) && is_panic(&wal.commit().unwrap_err()));
    assert!(is_panic(&wal.sync().unwrap_err()) && is_panic(&wal.close().unwrap_err()));
    block_on(wal.durable(kept)).unwrap();
    // Not dropped: the threads may still hold it.
    wal.release();
    let (wal, _) = Wal::open(dir.path(), WalOptions::new()).unwrap();
    assert_eq!(payloads(&wal, wal.start_lsn()).first().map(Vec::as_slice), Some(&b"kept"[..]));
}

#[test]
fn a_panic_of_a_caller_in_its_sync_is_an_error_for_the_others_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (env, calls) = counted(Duration::from_millis(50));
    let wal = Wal::open(dir.path(), WalOptions::new().env(env)).unwrap().0;
    let lsn = wal.append(b"lost").unwrap();
    calls.bomb_of_callers.store(true, Ordering::SeqCst);
    let before = calls.syncs.load(Ordering::Relaxed);
    let leader = wal.clone();
    let leader = thread::spawn(move || leader.sync());
    while calls.syncs.load(Ordering::Relaxed) == before {
        thread::yield_now();
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    for number in 0..4 {
        let (wal, sender) = (wal.clone(), sender.clone());
        thread::spawn(move || {
            sender.send(if number % 2 == 0 { wal.wait_durable(lsn) } else { block_on(wal.durable(lsn)) })
        });
    }
    for _ in 0..4 {
        match receiver.recv_timeout(Duration::from_secs(60)).expect("somebody waits for ever") {
            Err(Error::Poisoned { cause }) => assert!(cause.to_string().contains("a planted panic"), "{cause}"),
            told => panic!("{told:?}"),
        }
    }
    leader.join().unwrap_err();
    wal.append(b"more").unwrap_err();
}

#[test]
fn tasks_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let (env, calls) = counted(Duration::from_millis(4));
    let wal = Wal::open(dir.path(), WalOptions::new().env(env)).unwrap().0;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..32)
            .map(|number: u64| {
                let wal = wal.clone();
                tokio::spawn(async move {
                    for count in 0..10u64 {
                        let lsn = wal.append(&(number * 100 + count).to_le_bytes()).unwrap();
                        wal.durable(lsn).await.unwrap();
                        assert!(wal.durable_lsn() > lsn);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(wal.durable_lsn(), wal.end_lsn());
    let syncs = calls.syncs.load(Ordering::Relaxed);
    assert!(syncs < 100, "320 waits took {syncs} syncs");
}

#[test]
fn a_follower_sees_what_is_durable_and_waits_for_more() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions::new().segment_bytes(16 << 10).buffer_bytes(4 << 10);
    let wal = Wal::open(dir.path(), options).unwrap().0;
    let mut follower = wal.follow(wal.start_lsn()).unwrap();
    let mut eager = wal.follow(wal.start_lsn()).unwrap().include_unsynced();
    wal.append(b"committed").unwrap();
    assert!(eager.try_next().unwrap().is_none());
    wal.commit().unwrap();
    assert!(follower.try_next().unwrap().is_none(), "a power cut could take it back");
    assert_eq!(eager.next().unwrap().unwrap().payload, b"committed");
    wal.sync().unwrap();
    assert_eq!(follower.try_next().unwrap().unwrap().payload, b"committed");
    let count = 500u32;
    let blocking = thread::spawn(move || {
        let mut seen = Vec::new();
        while let Some(record) = follower.next().unwrap() {
            seen.push(u32::from_le_bytes(*record.payload.first_chunk().unwrap()));
        }
        seen
    });
    let polling = thread::spawn(move || {
        block_on(async {
            let mut seen = Vec::new();
            while let Some(record) = eager.next_async().await.unwrap() {
                seen.push(u32::from_le_bytes(*record.payload.first_chunk().unwrap()));
            }
            seen
        })
    });
    for number in 0..count {
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(4 + number as usize % 300, 1);
        wal.append(&payload).unwrap();
        match number % 7 {
            0 => drop(wal.sync().unwrap()),
            3 => drop(wal.commit().unwrap()),
            _ => {}
        }
    }
    wal.close().unwrap();
    let expected: Vec<u32> = (0..count).collect();
    assert_eq!(blocking.join().unwrap(), expected);
    assert_eq!(polling.join().unwrap(), expected);
}

#[test]
fn the_log_syncs_by_itself_where_it_was_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let policy = SyncPolicy::Interval(Duration::from_millis(2));
    let wal = Wal::open(dir.path(), WalOptions::new().sync_policy(policy)).unwrap().0;
    let mut follower = wal.follow(wal.start_lsn()).unwrap();
    for count in 0..5u8 {
        wal.append(&[count]).unwrap();
        assert_eq!(follower.next().unwrap().unwrap().payload, [count]);
    }
    // Behind a long run of writes, too.
    let wal = Wal::open(dir.path().join("behind"), WalOptions::new().sync_behind_bytes(1 << 20)).unwrap().0;
    let mut follower = wal.follow(wal.start_lsn()).unwrap();
    for _ in 0..4000 {
        wal.append(&[5; 1000]).unwrap();
    }
    assert_eq!(follower.next().unwrap().unwrap().payload, [5; 1000]);
    // And marks what is durable when at rest.
    wal.sync().unwrap();
    while wal.stats().marks == 0 {
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_interval_may_be_as_long_as_there_is() {
    let interval = SyncPolicy::Interval(Duration::MAX);
    for (policy, idle) in [(interval, None), (interval, Some(Duration::MAX)), (SyncPolicy::Manual, Some(Duration::MAX))]
    {
        let disk = SimDisk::new(1);
        let (env, workers) = disk.env_and_workers();
        let options = WalOptions::new().env(env).sync_policy(policy).idle_seal(idle);
        let wal = Wal::open("log", options).unwrap().0;
        // What is added to nothing can't overflow: some time has passed.
        disk.clock().advance(Duration::from_secs(1));
        for count in 0..3u8 {
            wal.append(&[count]).unwrap();
            wal.commit().unwrap();
            workers.drive_all();
            wal.sync().unwrap();
            workers.drive_all();
            disk.clock().advance(Duration::from_secs(1));
        }
        assert!(wal.poisoned().is_none() && wal.stats().marks == 0, "{policy:?} {idle:?}");
        wal.close().unwrap();
    }
}

#[test]
fn appenders_readers_truncation_and_rotation_get_along() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions::new().segment_bytes(64 << 10).buffer_bytes(16 << 10).sync_behind_bytes(64 << 10);
    let wal = Wal::open(dir.path(), options.clone()).unwrap().0;
    let (threads, each) = (4u32, 1500u32);
    thread::scope(|scope| {
        for number in 0..threads {
            let wal = wal.clone();
            scope.spawn(move || {
                for count in 0..each {
                    let mut payload = (number << 16 | count).to_le_bytes().to_vec();
                    payload.resize(4 + (count as usize * 7) % 200, 1);
                    let range = wal.append_batch(&[&payload, &payload]).unwrap();
                    if count % 100 == 0 {
                        wal.wait_durable(range.end).unwrap();
                    }
                }
            });
        }
        let reader = wal.clone();
        scope.spawn(move || {
            for _ in 0..30 {
                let mut records = reader.replay(reader.start_lsn()).unwrap();
                loop {
                    match records.next() {
                        Ok(Some(_)) => {}
                        Ok(None) | Err(Error::BadPosition { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                if let Ok(view) = reader.view(reader.start_lsn()..reader.durable_lsn()) {
                    reader.truncate_below(reader.durable_lsn()).unwrap();
                    // What is in view stays, though its files are gone.
                    let whole = view.records().unwrap().all(|record| record.is_ok());
                    assert!(whole);
                }
            }
        });
    });
    wal.sync().unwrap();
    let (start, seen) = (wal.start_lsn(), payloads(&wal, wal.start_lsn()));
    for pair in seen.chunks(2) {
        assert_eq!(pair[0], pair[1], "something got between the records of a batch");
    }
    drop(wal);
    let (wal, report) = Wal::open(dir.path(), options).unwrap();
    assert_eq!((wal.start_lsn(), payloads(&wal, start)), (start, seen), "{report:?}");
}

#[test]
fn the_log_leaves_no_file_behind_but_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions::new().segment_bytes(16 << 10).buffer_bytes(4 << 10);
    let wal = Wal::open(dir.path(), options).unwrap().0;
    for _ in 0..100 {
        wal.append(&[1; 2000]).unwrap();
    }
    wal.sync().unwrap();
    wal.truncate_below(wal.end_lsn()).unwrap();
    wal.close().unwrap();
    let names: Vec<_> = Env::real().vfs.list(dir.path()).unwrap().into_iter().map(|entry| entry.name).collect();
    let segments = names.iter().filter(|name| Path::new(name).extension() == Some(OsStr::new("wal"))).count();
    assert!(segments <= 2, "{names:?}");
    assert_eq!(names.len() - segments, 4, "{names:?}");
}

#[test]
fn the_next_segment_is_read_before_it_is_entered() {
    const SEGMENT: u64 = 2 << 20;
    let dir = tempfile::tempdir().unwrap();
    let (env, calls) = counted(Duration::ZERO);
    let options = WalOptions::new().env(env).segment_bytes(SEGMENT);
    let wal = Wal::open(dir.path(), options).unwrap().0;
    let append = |bytes: u64| {
        let end = wal.end_lsn().get() + bytes;
        while wal.end_lsn().get() < end {
            wal.append(&[1; 2000]).unwrap();
            wal.commit().unwrap();
        }
    };
    append(SEGMENT / 4);
    assert_eq!(calls.fetched.load(Ordering::Relaxed), 0, "of a segment that is still far");
    append(SEGMENT / 2);
    while calls.fetched.load(Ordering::Relaxed) < SEGMENT {
        thread::yield_now();
    }
    append(SEGMENT / 4);
    assert_eq!(calls.fetched.load(Ordering::Relaxed), SEGMENT, "once, and nothing else");
}
