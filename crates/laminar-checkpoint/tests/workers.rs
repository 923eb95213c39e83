//! `async` creation: on a runtime of one thread, which goes on meanwhile, on none at all, and on workers without threads.
#![allow(clippy::unwrap_used, reason = "a failing test says where")]

#[path = "support/scratch.rs"]
mod scratch;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions, Create, Error, Run};
use laminar_vfs::sim::SimDisk;
use scratch::{Scratch, all, contents, key, numbered};

/// Entries that come slowly, so that a blocked runtime would show.
fn slowly(release: &Arc<AtomicBool>) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + Send + 'static {
    let release = Arc::clone(release);
    (0..10).map(move |i| {
        while !release.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        (key(i), Some(vec![1; 10]))
    })
}

#[test]
fn a_runtime_of_one_thread_goes_on_meanwhile() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let release = Arc::new(AtomicBool::new(false));
    let checkpoint = runtime.block_on(async {
        let making = {
            let (manager, create) = (manager.clone(), Create::new(1).entries(slowly(&release)));
            tokio::spawn(async move { manager.create_checkpoint(create).await })
        };
        // The entries only come once this very thread, which polls the future too, has had its turn.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(!making.is_finished());
        release.store(true, Ordering::Release);
        making.await.unwrap().unwrap()
    });
    assert_eq!(checkpoint.len().unwrap(), 10);
    assert_eq!(manager.latest_checkpoint().unwrap().unwrap().id(), checkpoint.id());
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What goes from thread to thread, a future on a runtime of several among it.
#[test]
fn handles_may_be_sent_and_shared() {
    fn is_shared<T: Send + Sync + 'static>() {}
    fn is_sent<T: Send>(_: &T) {}
    is_shared::<CheckpointManager>();
    is_shared::<Checkpoint>();
    is_shared::<Run>();
    let scratch = Scratch::new();
    is_sent(&scratch.manager().create_checkpoint(Create::new(0)));
    is_sent(&scratch.manager().draft().unwrap());
}

/// The smallest runtime there is.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn no_runtime_is_needed_and_errors_come_through() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let model = numbered(5000, 1, 40);
    let checkpoint = block_on(manager.create_checkpoint(Create::new(1).entries(all(&model)))).unwrap();
    assert_eq!(contents(&checkpoint).unwrap(), model);
    let unsorted = Create::new(2).base(&checkpoint).entries([("b", Some("")), ("a", Some(""))]);
    assert!(matches!(block_on(manager.create_checkpoint(unsorted)), Err(Error::Unsorted { .. })));
    assert_eq!(manager.list().unwrap().len(), 1);
}

#[test]
fn a_future_that_is_dropped_cancels_nothing() {
    let scratch = Scratch::new();
    let manager = scratch.manager();
    let release = Arc::new(AtomicBool::new(false));
    {
        let mut future = pin!(manager.create_checkpoint(Create::new(1).entries(slowly(&release))));
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    release.store(true, Ordering::Release);
    while manager.list().unwrap().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(manager.get(1).unwrap().len().unwrap(), 10);
}

#[test]
fn work_outlives_the_manager_that_began_it() {
    let scratch = Scratch::new();
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    let manager = scratch.manager();
    let entries = (0..3000).map(move |i| {
        counter.fetch_add(1, Ordering::AcqRel);
        (key(i), Some(vec![1; 10]))
    });
    {
        let mut future = pin!(manager.create_checkpoint(Create::new(1).entries(entries)));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(manager);
    let reader = scratch.manager();
    while reader.list().unwrap().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!((taken.load(Ordering::Acquire), reader.get(1).unwrap().len().unwrap()), (3000, 3000));
}

#[test]
fn workers_without_threads_are_driven_where_the_result_is_awaited() {
    let disk = SimDisk::new(1);
    let manager = CheckpointManager::open("dir", CheckpointOptions::new().env(disk.env())).unwrap();
    let checkpoint = block_on(manager.create_checkpoint(Create::new(1).entries(all(&numbered(5000, 1, 10))))).unwrap();
    assert_eq!(checkpoint.len().unwrap(), 5000);
}
