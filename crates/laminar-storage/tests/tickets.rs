//! Tickets of commits and of checkpoints: waited for blocking and with `.await`, by hand and by a runtime, cloned, dropped, asked
//! for again, abandoned; and when a finished checkpoint is taken into use.
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

use std::future::IntoFuture;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use laminar_storage::{CheckpointTicket, Env, Error, StateStore, StoreOptions, WalStateStore};
use laminar_vfs::Clock;
use laminar_vfs::sim::SimDisk;

fn on_disk(root: &tempfile::TempDir) -> WalStateStore {
    let options = StoreOptions::new().segment_bytes(256 << 10).buffer_bytes(64 << 10);
    WalStateStore::open(root.path().join("store"), options).unwrap().0
}

fn simulated(disk: &SimDisk) -> WalStateStore {
    let options = StoreOptions::new().env(disk.env()).segment_bytes(64 << 10).buffer_bytes(4 << 10);
    WalStateStore::open("/store", options).unwrap().0
}

/// Wakes the thread that runs [`block_on`], and counts how often.
struct Unpark {
    thread: std::thread::Thread,
    wakes: AtomicU64,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// The least that an executor can be.
fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let unpark = Arc::new(Unpark { thread: std::thread::current(), wakes: AtomicU64::new(0) });
    let waker = Waker::from(Arc::clone(&unpark));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn is_static<T: Send + Sync + Clone + 'static>(_: &T) {}

#[test]
fn a_commit_is_waited_for_blocking() {
    let disk = SimDisk::new(1);
    let mut store = simulated(&disk);
    store.put(b"k", b"1").unwrap();
    let first = store.commit().unwrap();
    store.put(b"k", b"2").unwrap();
    let second = store.commit().unwrap();
    assert!(first.lsn() < second.lsn());
    assert!(!first.is_durable() && !second.is_durable(), "nothing has been synced");
    second.wait().unwrap();
    assert!(first.is_durable() && second.is_durable(), "one sync covers all before it");
    first.wait().unwrap();
    let nothing_new = store.commit().unwrap();
    assert_eq!(nothing_new.lsn(), second.lsn(), "with nothing to commit it is the last commit's ticket");
    assert!(nothing_new.is_durable());
}

#[test]
fn a_commit_is_awaited_on_a_runtime_and_by_hand() {
    let root = tempfile::tempdir().unwrap();
    let mut store = on_disk(&root);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for n in 0..10_u8 {
        store.put(&[n], &[n]).unwrap();
        let ticket = store.commit().unwrap();
        if n % 2 == 0 {
            runtime.block_on(async { ticket.clone().await }).unwrap();
        } else {
            block_on(ticket.clone()).unwrap();
        }
        assert!(ticket.is_durable());
        // Awaited once more, it is there at the first poll.
        assert!(matches!(poll_once(&mut ticket.into_future()), Poll::Ready(Ok(()))));
    }
}

#[test]
fn an_awaited_commit_is_pending_until_somebody_syncs() {
    let disk = SimDisk::new(1);
    let (env, workers) = disk.env_and_workers();
    let options = StoreOptions::new().env(env).segment_bytes(64 << 10).buffer_bytes(4 << 10);
    let (mut store, _) = WalStateStore::open("/store", options).unwrap();
    store.put(b"k", b"v").unwrap();
    let ticket = store.commit().unwrap();
    let mut awaited = ticket.clone().into_future();
    let unpark = Arc::new(Unpark { thread: std::thread::current(), wakes: AtomicU64::new(0) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    assert!(std::pin::Pin::new(&mut awaited).poll(&mut context).is_pending());
    assert!(!ticket.is_durable());
    assert_eq!(unpark.wakes.load(Ordering::SeqCst), 0);
    workers.drive_all();
    assert!(unpark.wakes.load(Ordering::SeqCst) >= 1, "nobody woke the task");
    assert!(ticket.is_durable());
    assert!(matches!(std::pin::Pin::new(&mut awaited).poll(&mut context), Poll::Ready(Ok(()))));
    // A wait that is dropped in the middle takes nothing with it.
    store.put(b"k", b"w").unwrap();
    let dropped = store.commit().unwrap();
    let mut awaited = dropped.clone().into_future();
    assert!(poll_once(&mut awaited).is_pending());
    drop(awaited);
    dropped.wait().unwrap();
}

#[test]
fn a_ticket_that_outlives_its_store_keeps_nobody_out() {
    let root = tempfile::tempdir().unwrap();
    let mut store = on_disk(&root);
    store.put(b"k", b"v").unwrap();
    let ticket = store.commit().unwrap();
    drop(store);
    let store = on_disk(&root);
    assert_eq!(store.get(b"k").unwrap(), Some(&b"v"[..]));
    // What it says does not matter, as long as it says something.
    drop(ticket.wait());
}

#[test]
fn a_checkpoint_that_runs_is_the_one_that_is_asked_for_again() {
    let disk = SimDisk::new(1);
    let mut store = simulated(&disk);
    store.put(b"k", b"1").unwrap();
    store.commit().unwrap();
    let ticket = store.checkpoint().unwrap();
    is_static(&ticket);
    store.put(b"k", b"2").unwrap();
    store.commit().unwrap();
    let same = store.checkpoint().unwrap();
    assert!(!ticket.is_done() && !same.is_done());
    assert_eq!(ticket.wait().unwrap(), same.wait().unwrap());
    assert!(ticket.is_done() && same.is_done());
    assert_eq!(ticket.clone().wait().unwrap().id, 1);
    // The second change was made after the cut of the first checkpoint.
    let second = store.checkpoint().unwrap().wait().unwrap();
    assert_eq!(second.id, 2);
    assert!(second.wal_position > ticket.wait().unwrap().wal_position);
}

#[test]
fn a_checkpoint_is_awaited_cloned_and_polled_before_it_is_done() {
    let disk = SimDisk::new(1);
    let (env, workers) = disk.env_and_workers();
    let options = StoreOptions::new().env(env).segment_bytes(64 << 10).buffer_bytes(4 << 10);
    let (mut store, _) = WalStateStore::open("/store", options).unwrap();
    store.put(b"k", b"v").unwrap();
    store.commit().unwrap();
    let mut ticket = store.checkpoint().unwrap();
    let mut clones: Vec<CheckpointTicket> = (0..5).map(|_| ticket.clone()).collect();
    assert!(poll_once(&mut ticket).is_pending());
    assert!(clones.iter_mut().all(|clone| poll_once(clone).is_pending()));
    clones.truncate(2);
    workers.drive_all();
    let Poll::Ready(Ok(info)) = poll_once(&mut ticket) else { panic!("it is done") };
    assert_eq!((info.id, info.entries_written), (1, 2), "the entry and the catalogue's");
    for clone in &mut clones {
        assert!(matches!(poll_once(clone), Poll::Ready(Ok(same)) if same == info));
    }
}

#[test]
fn a_checkpoint_is_awaited_on_the_real_disk() {
    let root = tempfile::tempdir().unwrap();
    let mut store = on_disk(&root);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    store.put(b"k", b"1").unwrap();
    store.commit().unwrap();
    let first = store.checkpoint().unwrap();
    assert_eq!(runtime.block_on(first).unwrap().id, 1);
    store.put(b"k", b"2").unwrap();
    store.commit().unwrap();
    assert_eq!(block_on(store.checkpoint().unwrap()).unwrap().id, 2);
    // On a thread of its own, while the store is used here.
    store.put(b"k", b"3").unwrap();
    store.commit().unwrap();
    let ticket = store.checkpoint().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| ticket.wait().unwrap().id);
        store.put(b"k", b"4").unwrap();
        assert_eq!(store.get(b"k").unwrap(), Some(&b"4"[..]));
        assert_eq!(waiter.join().unwrap(), 3);
    });
}

#[test]
fn a_dropped_ticket_cancels_nothing() {
    let disk = SimDisk::new(1);
    let (env, workers) = disk.env_and_workers();
    let options = StoreOptions::new().env(env).segment_bytes(64 << 10).buffer_bytes(4 << 10);
    let (mut store, _) = WalStateStore::open("/store", options).unwrap();
    store.put(b"k", b"v").unwrap();
    drop(store.commit().unwrap());
    drop(store.checkpoint().unwrap());
    workers.drive_all();
    assert!(store.attached_checkpoint().is_none(), "nothing is taken into use outside of a commit");
    store.commit().unwrap();
    assert_eq!(store.attached_checkpoint().map(laminar_storage::Checkpoint::id), Some(1));
}

#[test]
fn a_finished_checkpoint_is_taken_into_use_by_a_commit_and_by_nothing_before_it() {
    let disk = SimDisk::new(1);
    let mut store = simulated(&disk);
    store.put(b"k", b"v").unwrap();
    store.commit().unwrap();
    let info = store.checkpoint().unwrap().wait().unwrap();
    assert!(store.attached_checkpoint().is_none());
    let behind = store.log_bytes_behind();
    assert!(behind > 0);
    store.put(b"j", b"v").unwrap();
    assert_eq!(store.get(b"k").unwrap(), Some(&b"v"[..]));
    assert!(store.attached_checkpoint().is_none(), "a put or a get moved what is below");
    store.commit().unwrap();
    let attached = store.attached_checkpoint().unwrap();
    assert_eq!((attached.id(), attached.wal_position()), (info.id, info.wal_position.get()));
    assert!(store.log_bytes_behind() > 0, "the second commit is not in it");
}

#[test]
fn a_checkpoint_holds_what_was_committed_and_nothing_else() {
    let disk = SimDisk::new(1);
    let mut store = simulated(&disk);
    store.put(b"committed", b"1").unwrap();
    store.commit().unwrap();
    store.put(b"committed", b"2").unwrap();
    store.put(b"not committed", b"1").unwrap();
    store.checkpoint().unwrap().wait().unwrap();
    disk.kill();
    drop(store);
    let store = simulated(&disk);
    assert!(store.attached_checkpoint().is_some());
    assert_eq!(store.get(b"committed").unwrap(), Some(&b"1"[..]));
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn a_store_that_is_dropped_abandons_the_checkpoint_that_is_not_done() {
    for round in 0..20_u32 {
        let root = tempfile::tempdir().unwrap();
        let mut store = on_disk(&root);
        for n in 0..2000_u32 {
            store.put(&n.to_be_bytes(), &[7; 100]).unwrap();
        }
        store.commit().unwrap();
        let ticket = store.checkpoint().unwrap();
        let elsewhere = ticket.clone();
        let waiter = std::thread::Builder::new().spawn(move || elsewhere.wait()).unwrap();
        if round % 2 == 0 {
            // Into the middle of the work, wherever that is by now.
            std::thread::sleep(Duration::from_micros(u64::from(round) * 300));
        }
        drop(store);
        let result = ticket.wait();
        assert!(matches!(result, Ok(_) | Err(Error::Abandoned)), "{result:?}");
        assert_eq!(waiter.join().unwrap().is_ok(), result.is_ok(), "clones are told the same");
        assert_eq!(block_on(ticket).is_ok(), result.is_ok());
        assert_eq!(on_disk(&root).len().unwrap(), 2000);
    }
}

#[test]
fn a_checkpoint_that_never_began_is_abandoned_with_its_store() {
    let disk = SimDisk::new(1);
    let mut store = simulated(&disk);
    store.put(b"k", b"v").unwrap();
    store.commit().unwrap();
    let ticket = store.checkpoint().unwrap();
    drop(store);
    assert!(matches!(ticket.wait(), Err(Error::Abandoned)));
    assert!(ticket.is_done());
}

#[test]
fn close_waits_for_the_checkpoint_that_runs() {
    let disk = SimDisk::new(1);
    let mut store = simulated(&disk);
    store.put(b"k", b"v").unwrap();
    store.commit().unwrap();
    let ticket = store.checkpoint().unwrap();
    assert!(!ticket.is_done());
    store.close().unwrap();
    assert_eq!(ticket.wait().unwrap().id, 1);
}

/// A clock that panics when the checkpoint job asks for the date, which goes into a manifest, once that is wanted.
#[derive(Debug)]
struct Bomb {
    clock: Arc<dyn Clock>,
    armed: AtomicBool,
}

impl Clock for Bomb {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn unix_ms(&self) -> u64 {
        let is_job = std::thread::current().name() == Some("checkpoints");
        assert!(!(is_job && self.armed.load(Ordering::SeqCst)), "a planted panic");
        self.clock.unix_ms()
    }
}

#[test]
fn a_panic_in_the_making_of_a_checkpoint_is_an_error_for_everyone_who_waits() {
    let root = tempfile::tempdir().unwrap();
    let mut env = Env::real();
    let bomb = Arc::new(Bomb { clock: Arc::clone(&env.clock), armed: AtomicBool::new(false) });
    env.clock = Arc::clone(&bomb) as Arc<dyn Clock>;
    let (mut store, _) = WalStateStore::open(root.path().join("store"), StoreOptions::new().env(env)).unwrap();
    store.put(b"k", b"1").unwrap();
    store.commit().unwrap();
    assert_eq!(store.checkpoint().unwrap().wait().unwrap().id, 1);
    store.put(b"k", b"2").unwrap();
    store.commit().unwrap();
    bomb.armed.store(true, Ordering::SeqCst);
    let is_panic = |error: &Error| matches!(error, Error::Panicked { message } if message.contains("a planted panic"));
    let ticket = store.checkpoint().unwrap();
    assert!(is_panic(&ticket.wait().unwrap_err()), "{:?}", ticket.wait());
    assert!(is_panic(&block_on(ticket).unwrap_err()));
    assert!(store.take_upkeep_error().is_some_and(|error| is_panic(&error)));
    // And later ones: on a thread of its own, so that one that hangs fails the test.
    store.commit().unwrap();
    for _ in 0..2 {
        let later = store.checkpoint().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::Builder::new().spawn(move || sender.send(later.wait())).unwrap();
        let told = receiver.recv_timeout(Duration::from_secs(60)).expect("the ticket waits for ever");
        assert!(is_panic(&told.unwrap_err()));
    }
    // The store itself goes on.
    store.put(b"k", b"3").unwrap();
    store.commit().unwrap().wait().unwrap();
    assert_eq!(store.get(b"k").unwrap(), Some(&b"3"[..]));
    store.close().unwrap();
    drop(store);
    let mut store = on_disk(&root);
    assert_eq!(store.get(b"k").unwrap(), Some(&b"3"[..]));
    assert_eq!(store.checkpoint().unwrap().wait().unwrap().id, 2);
}
