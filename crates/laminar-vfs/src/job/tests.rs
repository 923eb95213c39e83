//! Workers with threads and without.

use std::sync::atomic::{AtomicU32, Ordering as AtomicOrdering};

use super::*;
use crate::{Completer, Completion, completion};

/// A job made of a closure, that says when it is dropped.
struct Steps<F> {
    step: F,
    _dropped: Option<Completer<()>>,
}

impl<F: FnMut() -> Step + Send> Job for Steps<F> {
    fn step(&mut self) -> Step {
        (self.step)()
    }
}

fn job(step: impl FnMut() -> Step + Send + 'static) -> Box<dyn Job> {
    Box::new(Steps { step, _dropped: None })
}

/// A job that waits for a signal and counts its steps.
fn counter(wait: Option<Duration>) -> (Arc<AtomicU32>, Box<dyn Job>) {
    let steps = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&steps);
    let step = move || {
        counted.fetch_add(1, AtomicOrdering::SeqCst);
        Step::Wait(wait)
    };
    (steps, job(step))
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn a_thread_steps_when_woken_and_only_then() {
    let (steps, job) = counter(None);
    let worker = Threads::new().spawn("counter", job).unwrap();
    for expected in 1..10 {
        until(|| steps.load(AtomicOrdering::SeqCst) >= expected);
        worker.wake();
    }
    until(|| steps.load(AtomicOrdering::SeqCst) == 10);
    worker.stop();
    worker.wake();
    assert_eq!(steps.load(AtomicOrdering::SeqCst), 10);
    assert!(worker.is_thread() && !worker.drive());
}

#[test]
fn a_wake_in_the_middle_of_a_step_is_not_lost() {
    let (entered, in_step) = completion::<()>();
    let (woken, was_woken) = completion::<()>();
    let (done, is_done) = completion::<()>();
    let (mut entered, mut done) = (Some(entered), Some(done));
    let step = move || {
        if let Some(entered) = entered.take() {
            entered.complete(());
            let _ = was_woken.wait(None);
            return Step::Wait(None);
        }
        done.take().into_iter().for_each(|done| done.complete(()));
        Step::Done
    };
    let worker = Threads::new().spawn("woken", job(step)).unwrap();
    let _ = in_step.wait(None);
    worker.wake();
    woken.complete(());
    assert_eq!(is_done.wait(Some(&*worker)), Some(()));
}

#[test]
fn a_thread_steps_again_after_the_time_it_asked_for() {
    let (steps, job) = counter(Some(Duration::from_millis(1)));
    let worker = Threads::new().spawn("timer", job).unwrap();
    until(|| steps.load(AtomicOrdering::SeqCst) >= 3);
    drop(worker);
}

#[test]
fn stopping_drops_the_job_before_it_returns_to_anyone() {
    let (dropped, is_dropped) = completion::<()>();
    let step = || {
        thread::sleep(Duration::from_millis(2));
        Step::Again
    };
    let worker = Threads::new().spawn("busy", Box::new(Steps { step, _dropped: Some(dropped) })).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                worker.stop();
                assert!(is_dropped.is_settled());
            });
        }
    });
}

/// A job that stops its own worker in its first step.
fn stops_itself(spawn: &dyn Spawn) -> (Arc<dyn Worker>, Completion<()>, Arc<AtomicU32>) {
    let own: Arc<Mutex<Option<Arc<dyn Worker>>>> = Arc::default();
    let steps = Arc::new(AtomicU32::new(0));
    let (handle, counted) = (Arc::clone(&own), Arc::clone(&steps));
    let (returned, has_returned) = completion();
    let mut returned = Some(returned);
    let step = move || match handle.lock().take() {
        Some(worker) => {
            worker.stop();
            counted.fetch_add(1, AtomicOrdering::SeqCst);
            returned.take().into_iter().for_each(|returned| returned.complete(()));
            Step::Again
        }
        None => {
            counted.fetch_add(100 * counted.load(AtomicOrdering::SeqCst), AtomicOrdering::SeqCst);
            Step::Wait(None)
        }
    };
    let worker = spawn.spawn("suicide", job(step)).unwrap();
    *own.lock() = Some(Arc::clone(&worker));
    worker.wake();
    (worker, has_returned, steps)
}

#[test]
fn a_job_may_stop_itself() {
    let (worker, returned, steps) = stops_itself(&Threads::new());
    assert_eq!(returned.wait(None), Some(()));
    worker.stop();
    assert_eq!(steps.load(AtomicOrdering::SeqCst), 1);

    let inline = Inline::new();
    let (worker, _, steps) = stops_itself(&inline);
    assert!(worker.drive());
    assert!(!worker.drive());
    assert!(!inline.step_all());
    assert_eq!(steps.load(AtomicOrdering::SeqCst), 1);
}

#[test]
fn a_panicking_job_tells_its_waiters() {
    let (completer, completion) = completion::<u32>();
    let mut held = Some(completer);
    let step = move || {
        let _held = held.take();
        panic!("on purpose");
    };
    let worker = Threads::new().spawn("panics", job(step)).unwrap();
    assert_eq!(completion.wait(Some(&*worker)), None);
    worker.stop();
}

#[test]
fn inline_jobs_run_only_when_driven() {
    let inline = Inline::new();
    let (steps, first) = counter(None);
    let worker = inline.spawn("first", first).unwrap();
    let mut left = 3;
    let second = job(move || {
        left -= 1;
        if left > 0 { Step::Again } else { Step::Done }
    });
    let other = inline.spawn("second", second).unwrap();
    worker.wake();
    assert_eq!(steps.load(AtomicOrdering::SeqCst), 0);
    assert!(!worker.is_thread());
    assert!(inline.step_all(), "the second wants more");
    inline.drive_all();
    assert_eq!(steps.load(AtomicOrdering::SeqCst), 3, "stepped beside the second until that was done");
    assert!(!other.drive(), "it is done");
    worker.stop();
    assert!(!worker.drive());
    assert_eq!(steps.load(AtomicOrdering::SeqCst), 3);
}

#[test]
fn dropping_an_inline_worker_drops_its_job() {
    let (dropped, is_dropped) = completion::<()>();
    let inline = Inline::new();
    let step = || Step::Wait(None);
    let worker = inline.spawn("dropped", Box::new(Steps { step, _dropped: Some(dropped) })).unwrap();
    drop(worker);
    assert!(is_dropped.is_settled());
    assert!(!inline.step_all());
}

/// A job that has only what nobody else wants: its thread has the lowest priority, and nobody waits for its end.
#[test]
#[cfg(target_os = "linux")]
fn a_spare_job_gives_way() {
    struct Spare(Completer<i32>, Completion<()>);
    impl Job for Spare {
        fn step(&mut self) -> Step {
            let priority = rustix::process::getpriority_process(None).unwrap();
            std::mem::replace(&mut self.0, completion().0).complete(priority);
            // In the middle of a step as long as the other side wants.
            _ = self.1.wait(None);
            Step::Done
        }

        fn is_spare(&self) -> bool {
            true
        }
    }
    let ((tell, told), (go_on, until)) = (completion(), completion());
    let worker = Threads::new().spawn("spare", Box::new(Spare(tell, until))).unwrap();
    assert_eq!(told.wait(Some(&*worker)), Some(19));
    assert_ne!(rustix::process::getpriority_process(None).unwrap(), 19, "of that thread alone");
    // Returns, though the step has not ended.
    worker.stop();
    drop(worker);
    go_on.complete(());
}
