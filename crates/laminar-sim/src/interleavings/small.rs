//! The hand-over of a value and the signal of a worker, so small that all schedules can be run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use laminar_vfs::{Completer, Job, Spawn, Step, Threads, completion};
use shuttle::{future, thread};

/// One sets a value, one blocks, one awaits: both get it.
pub(super) fn hand_over() {
    let (completer, completion) = completion::<u32>();
    let (blocking, awaiting) = (completion.clone(), completion);
    let threads = [
        thread::spawn(move || assert_eq!(blocking.wait(None), Some(7))),
        thread::spawn(move || assert_eq!(future::block_on(awaiting), Some(7))),
    ];
    completer.complete(7);
    for thread in threads {
        thread.join().expect("a waiter");
    }
}

/// Takes note of what is wanted, and says so the first time that it is anything.
struct Look {
    wanted: Arc<AtomicU32>,
    seen: Arc<AtomicU32>,
    told: Option<Completer<()>>,
}

impl Job for Look {
    fn step(&mut self) -> Step {
        let wanted = self.wanted.load(Ordering::SeqCst);
        self.seen.store(wanted, Ordering::SeqCst);
        if wanted > 0 {
            self.told.take().into_iter().for_each(|told| told.complete(()));
        }
        Step::Wait(None)
    }
}

/// Someone wants something and wakes the worker, at any moment of its step; it sees it. Then it is stopped and steps no more.
pub(super) fn worker() {
    let (wanted, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (told, is_told) = completion::<()>();
    let look = Look { wanted: Arc::clone(&wanted), seen: Arc::clone(&seen), told: Some(told) };
    let worker = Threads::new().spawn("model", Box::new(look)).expect("a thread");
    wanted.store(1, Ordering::SeqCst);
    worker.wake();
    // Never, if the wake is lost: the model checker tells.
    assert_eq!(is_told.wait(Some(&*worker)), Some(()));
    worker.stop();
    wanted.store(2, Ordering::SeqCst);
    worker.wake();
    assert_eq!(seen.load(Ordering::SeqCst), 1, "a stopped worker steps no more");
}
