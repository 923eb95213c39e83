//! What an operation costs, in what can be counted: calls to the operating system, bytes, allocations, threads.
//!
//! Method: the real disk behind a `Vfs` that notes every call with the thread that made it, and allocations counted
//! for each thread.
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

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

use laminar_storage::{Env, ReadMode, RecoveryReport, StateStore, StoreOptions, SyncPolicy, WalStateStore};
use laminar_vfs::{DirEntry, Job, Kind, Lock, Op, OpenMode, Region, Result, Spawn, Vfs, VfsFile, Worker};

/// The allocations that this thread makes in `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[derive(Debug, Clone)]
struct Call {
    thread: ThreadId,
    op: Op,
    path: PathBuf,
    bytes: u64,
}

impl Call {
    /// A write into a segment of the log.
    fn is_log(&self, op: Op) -> bool {
        self.op == op && self.path.extension().is_some_and(|extension| extension == "wal")
    }
}

/// Every call since the last look.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    fn note(&self, op: Op, path: &Path, bytes: usize) {
        let call = Call { thread: std::thread::current().id(), op, path: path.to_owned(), bytes: bytes as u64 };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those of this thread.
    fn take_own(&self) -> Vec<Call> {
        let own = std::thread::current().id();
        self.take().into_iter().filter(|call| call.thread == own).collect()
    }
}

#[derive(Debug)]
struct CountingDisk(Arc<dyn Vfs>, Calls);

impl Vfs for CountingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        self.1.note(Op::Open, path, 0);
        Ok(Arc::new(CountingFile(self.0.open(path, mode)?, self.1.clone())))
    }
    fn kind(&self, path: &Path) -> Result<Option<Kind>> {
        self.1.note(Op::Kind, path, 0);
        self.0.kind(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        self.1.note(Op::List, dir, 0);
        self.0.list(dir)
    }
    fn create_dir(&self, path: &Path) -> Result<()> {
        self.1.note(Op::CreateDir, path, 0);
        self.0.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.1.note(Op::Rename, to, 0);
        self.0.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.1.note(Op::HardLink, to, 0);
        self.0.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.1.note(Op::RemoveFile, path, 0);
        self.0.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.1.note(Op::RemoveDir, path, 0);
        self.0.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.1.note(Op::SyncDir, path, 0);
        self.0.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Lock> {
        self.1.note(Op::Lock, path, 0);
        self.0.lock(path)
    }
}

#[derive(Debug)]
struct CountingFile(Arc<dyn VfsFile>, Calls);

impl CountingFile {
    fn note(&self, op: Op, bytes: usize) {
        self.1.note(op, self.0.path(), bytes);
    }
}

impl VfsFile for CountingFile {
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn len(&self) -> Result<u64> {
        self.note(Op::Len, 0);
        self.0.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.note(Op::Read, buf.len());
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        self.note(Op::Write, buf.len());
        self.0.write_at(buf, offset)
    }
    fn sync_data(&self) -> Result<()> {
        self.note(Op::SyncData, 0);
        self.0.sync_data()
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.note(Op::SetLen, 0);
        self.0.set_len(len)
    }
    fn allocate(&self, range: Range<u64>) -> Result<()> {
        self.note(Op::Allocate, 0);
        self.0.allocate(range)
    }
    fn map_start(&self, len: u64, mode: ReadMode) -> Result<Region> {
        self.note(Op::Map, 0);
        self.0.map_start(len, mode)
    }
    fn evict(&self, range: Range<u64>) {
        self.note(Op::Read, 0);
        self.0.evict(range);
    }
    fn prefetch(&self, range: Range<u64>) {
        self.note(Op::Read, 0);
        self.0.prefetch(range);
    }
}

/// Starts workers on threads, and counts them among the calls.
#[derive(Debug)]
struct CountingSpawn(Arc<dyn Spawn>, Calls);

impl Spawn for CountingSpawn {
    fn spawn(&self, name: &str, job: Box<dyn Job>) -> Result<Arc<dyn Worker>> {
        self.1.note(Op::Spawn, Path::new(name), 0);
        self.0.spawn(name, job)
    }
}

fn counting() -> (Env, Calls) {
    let calls = Calls::default();
    let mut env = Env::real();
    env.vfs = Arc::new(CountingDisk(env.vfs, calls.clone()));
    env.spawn = Arc::new(CountingSpawn(env.spawn, calls.clone()));
    (env, calls)
}

fn key(n: u32) -> [u8; 16] {
    u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_le_bytes()
}

/// A store with `keys` keys of 16 bytes and values of `value_bytes` bytes, committed and durable.
fn filled(root: &tempfile::TempDir, keys: u32, value_bytes: usize) -> (WalStateStore, Calls) {
    let (env, calls) = counting();
    let (mut store, _) = WalStateStore::open(root.path().join("store"), StoreOptions::new().env(env)).unwrap();
    let value = vec![1; value_bytes];
    for n in 0..keys {
        store.put(&key(n), &value).unwrap();
    }
    store.commit().unwrap().wait().unwrap();
    (store, calls)
}

/// A store that was opened on a checkpoint of so many keys with values of 100 bytes, and an empty log behind it.
fn opened(root: &tempfile::TempDir, keys: u32) -> (WalStateStore, RecoveryReport, Calls) {
    let (mut store, _) = filled(root, keys, 100);
    store.checkpoint().unwrap().wait().unwrap();
    store.close().unwrap();
    drop(store);
    let (env, calls) = counting();
    let (store, report) = WalStateStore::open(root.path().join("store"), StoreOptions::new().env(env)).unwrap();
    (store, report, calls)
}

#[test]
fn a_put_makes_no_system_call_and_no_allocation() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, calls) = filled(&root, 1000, 100);
    let mut value = [2; 100];
    // The steady state: both buffers of the log have grown to what is put between commits. A commit swaps them; one that is waited for does
    // so twice, and always fills the same, until the log's own thread swaps them once more when nothing came for a while.
    for round in 0..5 {
        value[0] = round;
        (0..2500).for_each(|n| store.put(&key(n % 1000), &value).unwrap());
        store.commit().unwrap();
    }
    store.commit().unwrap().wait().unwrap();
    calls.take();
    let allocated = allocations(|| {
        // A third of the buffer.
        for n in 0..2500 {
            store.put(&key(n % 1000), &value).unwrap();
        }
    });
    assert_eq!(allocated, 0, "allocations in 2,500 puts");
    let made = calls.take_own();
    assert!(made.is_empty(), "system calls in 2,500 puts: {made:?}");
    let allocated = allocations(|| {
        for n in 0..2500 {
            assert_eq!(store.get(&key(n % 1000)).unwrap().map(<[u8]>::len), Some(100));
        }
    });
    assert_eq!((allocated, calls.take_own().len()), (0, 0), "in 2,500 gets");
    // Deleting and putting again takes no memory either, once the table has been through it.
    let churn = |store: &mut WalStateStore| {
        for n in 0..200 {
            store.delete(&key(n)).unwrap();
            store.put(&key(n), &value).unwrap();
        }
    };
    churn(&mut store);
    assert_eq!(allocations(|| churn(&mut store)), 0, "allocations in 200 deletes and puts");
    store.commit().unwrap();
}

#[test]
fn many_puts_share_one_write() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, calls) = filled(&root, 1000, 100);
    calls.take();
    // About 14 MB of log through a buffer of 1 MiB.
    for n in 0..100_000 {
        store.put(&key(n % 1000), &[3; 100]).unwrap();
    }
    store.commit().unwrap();
    let writes: Vec<_> = calls.take().into_iter().filter(|call| call.is_log(Op::Write)).collect();
    assert!(writes.len() <= 100_000 / 1000, "{} writes for 100,000 puts", writes.len());
    let bytes: u64 = writes.iter().map(|call| call.bytes).sum();
    let logged = 100_000 * (100 + 16);
    assert!(bytes <= logged * 13 / 10, "{bytes} bytes of log for {logged} of keys and values");
}

/// What 100 durable commits of one change do: the calls that they make, each commit by `commit`.
fn durable_commits(options: StoreOptions, commit: fn(&mut WalStateStore)) -> Vec<Call> {
    let root = tempfile::tempdir().unwrap();
    let (env, calls) = counting();
    let (mut store, _) = WalStateStore::open(root.path().join("store"), options.env(env)).unwrap();
    let mut change = |n: u32| {
        store.put(&key(n % 100), &[4; 100]).unwrap();
        store.set_source_offset("source", u64::from(n)).unwrap();
        commit(&mut store);
    };
    (0..20).for_each(&mut change);
    // Whatever else the log's own thread is at.
    std::thread::sleep(std::time::Duration::from_millis(50));
    calls.take();
    (0..100).for_each(&mut change);
    let made = calls.take();
    let own = std::thread::current().id();
    let is_log = |call: &Call| call.is_log(Op::Write) || call.is_log(Op::SyncData);
    // The reserve doubles as the log grows; where the log's own thread is late with it, the writer does it, once per doubling.
    let is_reserve = |call: &Call| call.path.ends_with("RESERVE");
    let others: Vec<_> = made.iter().filter(|call| call.thread == own && !is_log(call) && !is_reserve(call)).collect();
    assert!(others.is_empty(), "{others:?}");
    let bytes: u64 = made.iter().filter(|call| call.is_log(Op::Write)).map(|call| call.bytes).sum();
    assert!(bytes <= 100 * 4096, "a lone durable commit costs 4 KiB of log, not {}", bytes / 100);
    made
}

#[test]
fn a_durable_commit_is_one_write_and_one_sync() {
    let made = durable_commits(StoreOptions::new().sync_policy(SyncPolicy::EveryCommit), |store| {
        assert!(store.commit().unwrap().is_durable());
    });
    let count = |op| made.iter().filter(|call| call.is_log(op)).count();
    assert_eq!((count(Op::Write), count(Op::SyncData)), (100, 100));
}

#[test]
fn a_commit_that_is_waited_for_later_is_one_sync_and_a_mark_besides_its_write() {
    let made = durable_commits(StoreOptions::new(), |store| store.commit().unwrap().wait().unwrap());
    let writes: Vec<_> = made.iter().filter(|call| call.is_log(Op::Write)).collect();
    // When it was handed over nobody knew of the sync; that the log goes on on a page of its own takes a sector.
    let marks = writes.iter().filter(|call| call.bytes == 512).count();
    assert!(
        writes.len() <= 200 && writes.len() - marks.min(100) <= 100,
        "{} writes, {marks} of a sector",
        writes.len()
    );
    assert_eq!(made.iter().filter(|call| call.is_log(Op::SyncData)).count(), 100);
}

#[test]
fn many_commits_share_one_sync() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, calls) = filled(&root, 100, 100);
    calls.take();
    let tickets: Vec<_> = (0..50)
        .map(|n| {
            store.put(&key(n), &[5; 100]).unwrap();
            store.commit().unwrap()
        })
        .collect();
    tickets.iter().for_each(|ticket| ticket.wait().unwrap());
    let made = calls.take();
    assert_eq!(made.iter().filter(|call| call.is_log(Op::SyncData)).count(), 1);
    let writes = made.iter().filter(|call| call.is_log(Op::Write)).count();
    assert!((50..=51).contains(&writes), "{writes} writes for 50 commits and a sync");
}

#[test]
fn a_checkpoint_writes_what_changed() {
    for value_bytes in [100, 1000] {
        let root = tempfile::tempdir().unwrap();
        let (mut store, calls) = filled(&root, 20_000, value_bytes);
        let full = store.checkpoint().unwrap().wait().unwrap();
        assert_eq!(full.entries_written, 20_001);
        for n in 0..200 {
            store.put(&key(n * 100), &vec![6; value_bytes]).unwrap();
        }
        store.commit().unwrap();
        // The first one may still be cleaning up.
        std::thread::sleep(std::time::Duration::from_millis(100));
        calls.take();
        let info = store.checkpoint().unwrap().wait().unwrap();
        let changed = 200 * (16 + value_bytes as u64);
        let limit = changed * 135 / 100 + (64 << 10);
        assert_eq!((info.entries_written, info.runs), (200, 2));
        assert!(info.bytes_written <= limit, "{} bytes for {changed} of changes", info.bytes_written);
        let into_checkpoints =
            |call: &Call| call.op == Op::Write && call.path.to_string_lossy().contains("/checkpoints/");
        let written: u64 = calls.take().iter().filter(|call| into_checkpoints(call)).map(|call| call.bytes).sum();
        assert_eq!(written, info.bytes_written, "what it says is what was written");
    }
}

#[test]
fn a_checkpoint_costs_the_writer_no_disk_operation() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, calls) = filled(&root, 20_000, 100);
    for round in 0..4_u32 {
        for n in 0..500 {
            store.put(&key(n + round), &[7; 100]).unwrap();
        }
        store.commit().unwrap().wait().unwrap();
        calls.take();
        let ticket = store.checkpoint().unwrap();
        let mut commits = 0;
        while !ticket.is_done() || commits < 3 {
            store.put(&key(commits), &[8; 100]).unwrap();
            store.commit().unwrap();
            commits += 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // This one takes it into use.
        store.put(&key(1), &[9; 100]).unwrap();
        store.commit().unwrap();
        assert!(store.attached_checkpoint().is_some_and(|checkpoint| checkpoint.id() == u64::from(round) + 1));
        let own = calls.take_own();
        let strange: Vec<_> = own.iter().filter(|call| !call.is_log(Op::Write) && call.op != Op::Spawn).collect();
        assert!(strange.is_empty(), "{strange:?}");
        assert_eq!(own.iter().filter(|call| call.is_log(Op::Write)).count(), commits as usize + 1);
    }
}

#[test]
fn reads_of_touched_blocks_make_no_call_and_hardly_an_allocation() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _, calls) = opened(&root, 20_000);
    assert_eq!(store.len().unwrap(), 20_000);
    let gets = |store: &WalStateStore| assert!((0..1000).all(|n| store.get(&key(n)).unwrap().is_some()));
    let scan = |store: &WalStateStore, prefix: &[u8]| store.prefix_scan(prefix).unwrap().count();
    let scans = |store: &WalStateStore| (0..=255).map(|byte| scan(store, &[byte])).sum::<usize>();
    // Touches the index.
    gets(&store);
    assert_eq!(scans(&store), 20_000);
    calls.take();
    assert_eq!(allocations(|| gets(&store)), 0, "allocations in 1,000 gets");
    assert_eq!(allocations(|| assert_eq!(scans(&store), 20_000)), 0, "allocations in scans of a checkpoint alone");
    store.put(&key(1), &[2; 100]).unwrap();
    let both = allocations(|| assert_eq!(scan(&store, &key(1)), 1));
    assert!(both <= 2, "{both} allocations in a scan of a checkpoint and of what was written since");
    let made = calls.take();
    assert!(made.iter().all(|call| call.op == Op::Spawn), "{made:?}");
}

/// A hint fetches what is known: it verifies nothing, reads nothing, and changes no answer.
#[test]
fn announcing_keys_makes_no_call_and_no_allocation() {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _, calls) = opened(&root, 20_000);
    let keys: Vec<[u8; 16]> = (19_000..21_000).map(key).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let announce = |store: &WalStateStore| {
        let view = store.operator_view("").unwrap();
        let allocated = allocations(|| keys.chunks(50).for_each(|keys| (store.prefetch(keys), view.prefetch(keys)).0));
        let made = calls.take_own();
        assert!(allocated == 0 && made.is_empty(), "{allocated} allocations, {made:?}");
    };
    let found = |store: &WalStateStore| keys.iter().filter(|key| store.get(key).unwrap().is_some()).count();
    // Nothing is known of any block.
    calls.take_own();
    announce(&store);
    assert_eq!(found(&store), 1000);
    assert!(!calls.take_own().is_empty(), "the first look-ups verify what they touch");
    announce(&store);
    assert_eq!(found(&store), 1000);
    for n in 19_500..20_500 {
        store.put(&key(n), &[2; 100]).unwrap();
    }
    calls.take_own();
    announce(&store);
    assert_eq!(found(&store), 1500);
    store.commit().unwrap();
    // Several runs.
    store.checkpoint().unwrap().wait().unwrap();
    store.commit().unwrap();
    assert_eq!((store.attached_checkpoint().unwrap().runs().len(), found(&store)), (2, 1500));
    calls.take_own();
    announce(&store);
    assert_eq!(found(&store), 1500);
}

/// Who scans while there is little finds the keys in order later; who does not waits for them to be sorted, once.
#[test]
fn what_was_scanned_when_it_was_empty_is_in_order_later() {
    for scans_early in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let (mut store, _) = WalStateStore::open(root.path().join("store"), StoreOptions::new()).unwrap();
        if scans_early {
            assert_eq!(store.prefix_scan(b"").unwrap().count(), 0);
            assert_eq!(store.operator("other").unwrap().prefix_scan(b"").unwrap().count(), 0);
        }
        for n in 0..20_000 {
            store.put(&key(n), &[1; 10]).unwrap();
            store.operator("other").unwrap().put(&key(n), &[1; 10]).unwrap();
        }
        let own = allocations(|| assert_eq!(store.prefix_scan(&key(7)).unwrap().count(), 1));
        let view = store.operator_view("other").unwrap();
        let others = allocations(|| assert_eq!(view.prefix_scan(&key(7)).count(), 1));
        assert_eq!((own <= 2, others <= 2), (scans_early, scans_early), "{own} and {others} allocations");
    }
}

#[test]
fn an_opening_starts_no_thread_and_takes_no_large_buffer() {
    let root = tempfile::tempdir().unwrap();
    let (store, report, calls) = opened(&root, 1000);
    assert_eq!((report.checkpoint, report.records_replayed), (Some(1), 0));
    let made = calls.take();
    assert!(!made.iter().any(|call| call.op == Op::Spawn));
    let read: u64 = made.iter().filter(|call| call.op == Op::Read).map(|call| call.bytes).sum();
    assert!(read < 256 << 10, "{read} bytes were read to open after a clean close");
    assert_eq!(store.len().unwrap(), 1000);
}
