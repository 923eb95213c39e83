//! A value that one side sets once and the other waits for, blocking or `async`, on any runtime.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::Worker;
use crate::sync::{Condvar, Mutex};

struct State<T> {
    value: Option<T>,
    abandoned: bool,
    /// Who is to be woken, by the number that each future got when it was first polled.
    wakers: Vec<(u64, Waker)>,
    next: u64,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    settled: Condvar,
}

/// The side that sets the value. Dropped without having done so, it tells the waiters that none will come.
pub struct Completer<T> {
    shared: Arc<Shared<T>>,
}

/// The side that waits; cloned freely, every clone gets the value.
///
/// ```
/// let (completer, completion) = laminar_vfs::completion::<u32>();
/// assert_eq!(completion.poll_now(), None);
/// completer.complete(7);
/// assert_eq!(completion.wait(None), Some(7));
/// ```
pub struct Completion<T> {
    shared: Arc<Shared<T>>,
    number: Option<u64>,
}

/// A connected pair.
#[must_use]
pub fn completion<T: Clone>() -> (Completer<T>, Completion<T>) {
    let state = State { value: None, abandoned: false, wakers: Vec::new(), next: 0 };
    let shared = Arc::new(Shared { state: Mutex::new(state), settled: Condvar::new() });
    (Completer { shared: Arc::clone(&shared) }, Completion { shared, number: None })
}

impl<T> Completer<T> {
    /// Sets the value and wakes everyone who waits.
    pub fn complete(self, value: T) {
        self.shared.state.lock().value = Some(value);
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        let wakers = {
            let mut state = self.shared.state.lock();
            state.abandoned = true;
            std::mem::take(&mut state.wakers)
        };
        self.shared.settled.notify_all();
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl<T: Clone> Completion<T> {
    /// Blocks until there is a value; `None` if the other side is gone without one. Where the work is done by a
    /// worker that only runs when driven ([`Inline`](crate::Inline)), name it, and it is driven meanwhile.
    ///
    /// # Panics
    /// Where a worker without a thread has nothing to do and the value is still missing: a deadlock otherwise.
    #[must_use]
    pub fn wait(&self, worker: Option<&dyn Worker>) -> Option<T> {
        loop {
            {
                let mut state = self.shared.state.lock();
                if worker.is_none_or(Worker::is_thread) {
                    self.shared.settled.wait_while(&mut state, |state| state.value.is_none() && !state.abandoned);
                }
                if state.value.is_some() || state.abandoned {
                    return state.value.clone();
                }
            }
            let stepped = worker.is_some_and(Worker::drive);
            assert!(stepped, "waiting for work that its worker does not have");
        }
    }

    /// The value, if it is there already.
    #[must_use]
    pub fn poll_now(&self) -> Option<T> {
        self.shared.state.lock().value.clone()
    }

    /// Whether waiting would return at once.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let state = self.shared.state.lock();
        state.value.is_some() || state.abandoned
    }
}

impl<T: Clone> Future for Completion<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        let mut state = this.shared.state.lock();
        if state.value.is_some() || state.abandoned {
            return Poll::Ready(state.value.clone());
        }
        let number = *this.number.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        // Only the waker of the last poll counts, so a future that moves between tasks leaves none behind.
        match state.wakers.iter_mut().find(|(of, _)| *of == number) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => state.wakers.push((number, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = {
                let mut state = self.shared.state.lock();
                let found = state.wakers.iter().position(|(of, _)| *of == number);
                found.map(|found| state.wakers.swap_remove(found))
            };
            // Outside of the lock: dropping a waker runs code of the executor.
            drop(waker);
        }
    }
}

impl<T> Clone for Completion<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), number: None }
    }
}

impl<T> fmt::Debug for Completer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completer")
    }
}

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completion")
    }
}

#[cfg(test)]
mod tests;
