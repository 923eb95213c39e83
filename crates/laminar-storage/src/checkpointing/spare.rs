//! A thread for work of a checkpoint that nobody waits for: it has only what nobody else wants of the processors, and may stand still for as
//! long as they are busy.

use std::sync::Arc;

use laminar_vfs::{Job, Spawn, Step, Worker};

use crate::sync::Mutex;

/// Work in pieces, which end soon where nobody wants them any more.
pub(super) trait Work: Send + Sync {
    /// Does the next piece, and says whether there was one.
    fn next(&self) -> bool;
}

/// The thread, from the side of whoever has work for it. Begun with the first.
#[derive(Default)]
pub(super) struct Spare {
    now: Arc<Mutex<Option<Arc<dyn Work>>>>,
    worker: Option<Arc<dyn Worker>>,
}

impl Spare {
    /// Has this work done from now on, and no other. Where no thread can be had, none is.
    pub(super) fn begin(&mut self, spawn: &dyn Spawn, work: Arc<dyn Work>) {
        self.exchange(Some(work));
        if self.worker.is_none() {
            self.worker = spawn.spawn("log-reader", Box::new(Hand { now: Arc::clone(&self.now) })).ok();
        }
        // One that has no thread would only be stepped by who waits for it, and nobody does.
        self.wake();
    }

    /// Says that there may be more to do.
    pub(super) fn wake(&self) {
        self.worker.iter().for_each(|worker| worker.wake());
    }

    /// Nothing more is to be done.
    pub(super) fn end(&self) {
        self.exchange(None);
    }

    fn exchange(&self, work: Option<Arc<dyn Work>>) {
        // What there was goes without the lock, which the thread may want.
        let before = std::mem::replace(&mut *self.now.lock(), work);
        drop(before);
    }
}

impl Drop for Spare {
    /// The end of a spare thread is not waited for, and what it would work on is much memory.
    fn drop(&mut self) {
        self.end();
    }
}

struct Hand {
    now: Arc<Mutex<Option<Arc<dyn Work>>>>,
}

impl Job for Hand {
    fn step(&mut self) -> Step {
        let now = self.now.lock().clone();
        if now.is_some_and(|work| work.next()) { Step::Again } else { Step::Wait(None) }
    }

    fn is_spare(&self) -> bool {
        true
    }
}
