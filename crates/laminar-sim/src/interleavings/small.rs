//! The hand-over of a value and the signal of a worker, so small that all schedules can be run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use laminar_vfs::{Job, Spawn, Step, Threads, completion};
use shuttle::{future, thread};

/// One sets a value, one blocks, one awaits: both get it.
pub(super) fn completion() {
    let (completer, completion_of) = completion::<u32>();
    let (blocking, awaiting) = (completion_of.clone(), completion_of);
    let threads = [
        thread::spawn(move || assert_eq!(blocking.wait(None), Some(7))),
        thread::spawn(move || assert_eq!(future::block_on(awaiting), Some(7))),
    ];
    completer.complete(7);
    for thread in threads {
        thread.join().expect("a waiter");
    }
}

struct Count {
    wanted: Arc<AtomicU32>,
    seen: Arc<AtomicU32>,
}

impl Job for Count {
    fn step(&mut self) -> Step {
        self.seen.store(self.wanted.load(Ordering::SeqCst), Ordering::SeqCst);
        Step::Wait(None)
    }
}

/// Someone wants something and wakes the worker, at any moment of its step; it sees it. Then it is stopped and steps no more.
pub(super) fn worker() {
    let (wanted, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (told, tell) = completion::<()>();
    struct Told(Count, Option<laminar_vfs::Completer<()>>);
    impl Job for Told {
        fn step(&mut self) -> Step {
            let step = self.0.step();
            if self.0.seen.load(Ordering::SeqCst) == 1 {
                self.1.take().into_iter().for_each(|told| told.complete(()));
            }
            step
        }
    }
    let count = Count { wanted: Arc::clone(&wanted), seen: Arc::clone(&seen) };
    let worker = Threads::new().spawn("model", Box::new(Told(count, Some(told)))).expect("a thread");
    wanted.store(1, Ordering::SeqCst);
    worker.wake();
    // Never, if the wake is lost: the model checker tells.
    assert_eq!(tell.wait(Some(&*worker)), Some(()));
    worker.stop();
    wanted.store(2, Ordering::SeqCst);
    worker.wake();
    assert_eq!(seen.load(Ordering::SeqCst), 1, "a stopped worker steps no more");
}
