//! Waiting for a value, in every way there is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;
use crate::{Inline, Job, Spawn, Step};

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn poll<T: Clone>(completion: &mut Completion<T>, count: &Arc<Count>) -> Poll<Option<T>> {
    let waker = Waker::from(Arc::clone(count));
    Pin::new(completion).poll(&mut Context::from_waker(&waker))
}

#[test]
fn every_waiter_gets_the_value() {
    let (completer, completion) = completion::<String>();
    let threads: Vec<_> = (0..4)
        .map(|_| completion.clone())
        .map(|completion| {
            #[expect(clippy::disallowed_methods, reason = "a test that blocks on purpose")]
            std::thread::spawn(move || completion.wait(None))
        })
        .collect();
    assert!(!completion.is_settled());
    completer.complete("value".to_owned());
    for thread in threads {
        assert_eq!(thread.join().unwrap().as_deref(), Some("value"));
    }
    assert!(completion.is_settled());
    assert_eq!(completion.wait(None).as_deref(), Some("value"), "and again");
}

#[test]
fn a_future_is_woken_once_and_by_its_last_waker() {
    let (completer, mut one) = completion::<u32>();
    let mut other = one.clone();
    let [first, second, third] = std::array::from_fn(|_| Arc::new(Count::default()));
    assert!(poll(&mut one, &first).is_pending());
    assert!(poll(&mut one, &second).is_pending());
    assert!(poll(&mut other, &third).is_pending());
    completer.complete(1);
    assert_eq!([first.get(), second.get(), third.get()], [0, 1, 1]);
    assert_eq!(poll(&mut one, &first), Poll::Ready(Some(1)));
    assert_eq!(poll(&mut other, &first), Poll::Ready(Some(1)));
}

#[test]
fn a_dropped_future_leaves_no_waker_behind() {
    let (completer, mut kept) = completion::<u32>();
    let count = Arc::new(Count::default());
    for _ in 0..100 {
        assert!(poll(&mut kept.clone(), &count).is_pending());
    }
    assert!(poll(&mut kept, &count).is_pending());
    assert_eq!(Arc::strong_count(&count), 2, "only the future that is left holds one");
    completer.complete(1);
    assert_eq!(count.get(), 1);
}

#[test]
fn abandoned_waiters_are_told() {
    let (completer, mut completion) = completion::<u32>();
    let count = Arc::new(Count::default());
    assert!(poll(&mut completion, &count).is_pending());
    drop(completer);
    assert_eq!(count.get(), 1);
    assert_eq!(poll(&mut completion, &count), Poll::Ready(None));
    assert_eq!(completion.wait(None), None);
    assert!(completion.is_settled());
    assert_eq!(completion.poll_now(), None);
}

struct Countdown(u32, Option<Completer<u32>>);

impl Job for Countdown {
    fn step(&mut self) -> Step {
        match (self.0, self.1.take()) {
            (0, Some(completer)) => completer.complete(7),
            (0, None) => return Step::Wait(None),
            (_, completer) => (self.0, self.1) = (self.0 - 1, completer),
        }
        Step::Again
    }
}

#[test]
fn waiting_drives_a_worker_without_a_thread() {
    let (completer, completion) = completion();
    let worker = Inline::new().spawn("countdown", Box::new(Countdown(5, Some(completer)))).unwrap();
    assert_eq!(completion.poll_now(), None);
    assert_eq!(completion.wait(Some(&*worker)), Some(7));
}

#[test]
#[should_panic(expected = "waiting for work that its worker does not have")]
fn waiting_for_what_never_comes_is_a_panic_and_no_hang() {
    let (_completer, completion) = completion::<u32>();
    let worker = Inline::new().spawn("idle", Box::new(Countdown(0, None))).unwrap();
    let _ = completion.wait(Some(&*worker));
}
