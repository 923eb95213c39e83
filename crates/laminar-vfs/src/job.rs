//! Background work as jobs that are stepped: by a thread of their own in production, inline in a simulation.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::thread::{self, JoinHandle, Thread};
use crate::sync::{AtomicBool, Mutex, Ordering, park_timeout};
use crate::{Error, Op, Result};

/// What a job wants after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// It did something: to be stepped again at once.
    Again,
    /// It found nothing to do: to be stepped when woken, or after this time if one is given, and at times for no reason.
    Wait(Option<Duration>),
    /// Never to be stepped again.
    Done,
}

/// Work in pieces. A step does one bounded piece (a group written, a block merged) and holds no lock when it returns.
pub trait Job: Send {
    /// Does the next piece of work, if there is one.
    fn step(&mut self) -> Step;

    /// Whether the job is to have only what nobody else wants of the processors: a thread of its own has the lowest priority then, where the
    /// system has one for a single thread. As that may mean never, its end is not waited for: a step may still run, and the job be dropped,
    /// after its worker was stopped. By default it is not.
    fn is_spare(&self) -> bool {
        false
    }

    /// A step has panicked with this message, on a thread of the job's own: the job tells those who wait for it, and says whether it goes
    /// on to be stepped. By default it does not, and is dropped. Where it has no thread, the panic is its driver's instead.
    fn panicked(&mut self, message: &str) -> bool {
        let _ = message;
        false
    }
}

/// The handle of a running job. Dropping it stops the job as [`stop`](Self::stop) does.
pub trait Worker: Send + Sync + fmt::Debug {
    /// Tells the job that there is work: it is stepped soon, also if it is in the middle of a step just now.
    fn wake(&self);

    /// Steps the job here and now until it waits, if it has no thread of its own; returns whether it did anything.
    /// Whoever is about to block on a job's result calls this first, holding no lock.
    fn drive(&self) -> bool;

    /// Whether the job has a thread of its own, so that blocking on its result makes sense.
    fn is_thread(&self) -> bool;

    /// Ends the job after the step it is in: when this returns, it is dropped and no step runs any more. From within
    /// the job's own step it returns at once, and the job ends with that step; so does a [spare](Job::is_spare) one.
    fn stop(&self);
}

/// Starts workers.
pub trait Spawn: Send + Sync + fmt::Debug {
    /// Starts a worker for `job`. `name` (at most 15 bytes are shown by most systems) is for people.
    ///
    /// # Errors
    /// Where no thread can be had.
    fn spawn(&self, name: &str, job: Box<dyn Job>) -> Result<Arc<dyn Worker>>;
}

/// A thread a worker.
///
/// ```
/// use laminar_vfs::{Job, Spawn, Step, Threads, completion, Completer};
/// struct Once(Option<Completer<u32>>);
/// impl Job for Once {
///     fn step(&mut self) -> Step {
///         if let Some(completer) = self.0.take() { completer.complete(42) }
///         Step::Done
///     }
/// }
/// let (completer, completion) = completion();
/// let worker = Threads::new().spawn("answer", Box::new(Once(Some(completer)))).unwrap();
/// assert_eq!(completion.wait(Some(&*worker)), Some(42));
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Threads;

impl Threads {
    /// Workers that are threads.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// What the thread of a job is told. No lock: whoever wakes it would wait for a thread that holds one and has lost its processor.
#[derive(Default)]
struct Control {
    woken: AtomicBool,
    stopped: AtomicBool,
}

impl Control {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Blocks the job's thread until it is woken or stopped, or for this time if one is given, perhaps for less.
    fn wait(&self, limit: Option<Duration>) {
        // The flag says what to do; the token of a parked thread only that one may have changed since it was looked at.
        while !self.woken.swap(false, Ordering::AcqRel) && !self.is_stopped() {
            match limit {
                None => thread::park(),
                Some(limit) => return park_timeout(limit),
            }
        }
    }
}

/// What a panic said, from what [`catch_unwind`] caught.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

struct ThreadWorker {
    control: Arc<Control>,
    parked: Thread,
    is_spare: bool,
    /// Taken by the first who waits for its end, and locked until it has ended.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Spawn for Threads {
    fn spawn(&self, name: &str, job: Box<dyn Job>) -> Result<Arc<dyn Worker>> {
        let (control, is_spare) = (Arc::new(Control::default()), job.is_spare());
        let for_thread = Arc::clone(&control);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(job, is_spare, &for_thread))
            .map_err(|source| Error::new(Op::Spawn, name.as_ref(), source))?;
        let parked = thread.thread().clone();
        Ok(Arc::new(ThreadWorker { control, parked, is_spare, thread: Mutex::new(Some(thread)) }))
    }
}

fn run(mut job: Box<dyn Job>, is_spare: bool, control: &Control) {
    if is_spare {
        crate::real::yield_to_all_others();
    }
    loop {
        if control.is_stopped() {
            return;
        }
        let step = catch_unwind(AssertUnwindSafe(|| job.step()))
            .unwrap_or_else(|panic| if job.panicked(panic_message(&*panic)) { Step::Again } else { Step::Done });
        match step {
            // Whoever has been waiting for this processor need not wait until the system takes it away.
            Step::Again if is_spare => thread::yield_now(),
            Step::Again => {}
            Step::Done => return,
            Step::Wait(limit) => control.wait(limit),
        }
    }
}

impl Worker for ThreadWorker {
    fn wake(&self) {
        if !self.control.woken.swap(true, Ordering::AcqRel) {
            self.parked.unpark();
        }
    }

    fn drive(&self) -> bool {
        false
    }

    fn is_thread(&self) -> bool {
        true
    }

    fn stop(&self) {
        self.control.stopped.store(true, Ordering::Release);
        self.parked.unpark();
        // The last handle of a store may be dropped by its own worker: a thread can't wait for itself.
        if self.is_spare || thread::current().id() == self.parked.id() {
            return;
        }
        let mut thread = self.thread.lock();
        if let Some(thread) = thread.take() {
            // A job that panicked has told its waiters by dropping what they wait for.
            drop(thread.join());
        }
    }
}

impl Drop for ThreadWorker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for ThreadWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThreadWorker")
    }
}

/// Workers without threads, for simulations: a job is stepped only by [`Worker::drive`] of whoever waits for it, or
/// by [`Inline::drive_all`]. Everything happens on the caller's thread, in an order that repeats.
#[derive(Debug, Clone, Default)]
pub struct Inline {
    workers: Arc<Mutex<Vec<Weak<InlineWorker>>>>,
}

impl Inline {
    /// No workers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Steps every job once, in the order they were spawned; returns whether any wanted to be stepped again at once.
    #[must_use]
    pub fn step_all(&self) -> bool {
        let workers: Vec<_> = self.workers.lock().iter().filter_map(Weak::upgrade).collect();
        let busy = workers.iter().filter(|worker| worker.step_once() == Some(Step::Again)).count();
        busy > 0
    }

    /// Steps every job until all of them wait.
    pub fn drive_all(&self) {
        while self.step_all() {}
    }
}

impl Spawn for Inline {
    fn spawn(&self, _name: &str, job: Box<dyn Job>) -> Result<Arc<dyn Worker>> {
        let worker = Arc::new(InlineWorker { job: Mutex::new(Some(job)), stopped: AtomicBool::new(false) });
        let mut workers = self.workers.lock();
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(&worker));
        Ok(worker)
    }
}

struct InlineWorker {
    job: Mutex<Option<Box<dyn Job>>>,
    /// Set by a stop from within a step, which can't drop the job under its own feet.
    stopped: AtomicBool,
}

impl InlineWorker {
    /// One step, unless the job is gone or is being stepped further up on this very stack.
    fn step_once(&self) -> Option<Step> {
        let mut job = self.job.try_lock()?;
        let step = job.as_mut()?.step();
        if step == Step::Done || self.stopped.load(Ordering::Relaxed) {
            *job = None;
            return Some(Step::Done);
        }
        Some(step)
    }
}

impl Worker for InlineWorker {
    fn wake(&self) {}

    fn drive(&self) -> bool {
        let mut busy = false;
        loop {
            match self.step_once() {
                Some(Step::Again) => busy = true,
                Some(Step::Done) => return true,
                Some(Step::Wait(_)) | None => return busy,
            }
        }
    }

    fn is_thread(&self) -> bool {
        false
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(mut job) = self.job.try_lock() {
            *job = None;
        }
    }
}

impl fmt::Debug for InlineWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InlineWorker")
    }
}

#[cfg(test)]
mod tests;
