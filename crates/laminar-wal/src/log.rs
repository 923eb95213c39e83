//! What all handles of an open log share. The mechanisms are in the files named beside each part.
//!
//! Locks are taken in this order: `writer`, then any of `buffer`, `retain`, `ahead`, `sync`, then `naming` (of the directory), and `turn` last. Under `buffer` nothing is read or written, so an append
//! waits for the disk only where a group or a segment is full.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use laminar_vfs::{Lock, Op, Worker, panic_message};

use crate::ahead::Ahead;
use crate::buffer::Buffer;
use crate::commit::Turn;
use crate::dir::Dir;
use crate::format::Identity;
use crate::segment::Segment;
use crate::sync::{Arc, AtomicU8, AtomicU64, AtomicUsize, Condvar, Mutex, OnceLock, Ordering, Weak};
use crate::worker::LogJob;
use crate::writer::Writer;
use crate::{Error, LogId, Lsn, Result, SyncPolicy};

/// The choices that outlive the opening.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choices {
    pub(crate) sync_policy: SyncPolicy,
    pub(crate) sync_behind_bytes: u64,
    pub(crate) idle_seal: Option<Duration>,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) groups: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) rotations: AtomicU64,
    pub(crate) marks: AtomicU64,
    pub(crate) waits_served: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) dir: Dir,
    pub(crate) log_id: LogId,
    pub(crate) choices: Choices,
    /// `buffer.rs`: the open group.
    pub(crate) buffer: Mutex<Buffer>,
    /// `writer.rs`: the file that groups go to.
    pub(crate) writer: Mutex<Writer>,
    /// `ahead.rs`: the next segment and the reserve.
    pub(crate) ahead: Mutex<Ahead>,
    /// How far the reserve reaches, in bytes; grows under `ahead`.
    pub(crate) reserve_bytes: AtomicU64,
    /// `commit.rs`: one sync at a time, until its result is known to all.
    pub(crate) sync: Mutex<()>,
    /// `commit.rs`: whose turn it is to sync, and who waits.
    pub(crate) turn: Mutex<Turn>,
    /// Signalled with `turn`: something became durable, or nothing will any more.
    pub(crate) progress: Condvar,
    /// Counts what is told to those who wait for durability, for those of them who wait awake; changes under `turn`.
    pub(crate) news: AtomicU64,
    /// Signalled with `turn`: one more waits, for a leader that holds for it.
    pub(crate) arrived: Condvar,
    /// `retain.rs`: the identity as it was last published.
    pub(crate) retain: Mutex<Identity>,
    /// Every segment that was entered and not truncated, in order. Held for lookups only.
    pub(crate) segments: Mutex<Vec<Segment>>,
    /// The end of the last record that the operating system has.
    pub(crate) written: AtomicU64,
    /// The end of the last record that is durable.
    pub(crate) durable: AtomicU64,
    pub(crate) start: AtomicU64,
    pub(crate) poison: OnceLock<Arc<laminar_vfs::Error>>,
    pub(crate) counters: Counters,
    /// How many followers want to know of bytes that are written but not durable.
    pub(crate) eager_followers: AtomicUsize,
    /// `worker.rs`: see there.
    pub(crate) doze: AtomicU8,
    pub(crate) worker: OnceLock<Arc<dyn Worker>>,
    pub(crate) starting_worker: Mutex<()>,
    pub(crate) me: Weak<Log>,
    /// Released by `close`, or with the last handle.
    pub(crate) lock: Mutex<Option<Lock>>,
}

impl Log {
    pub(crate) fn durable_lsn(&self) -> Lsn {
        Lsn::new(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn written_lsn(&self) -> Lsn {
        Lsn::new(self.written.load(Ordering::Acquire))
    }

    pub(crate) fn start_lsn(&self) -> Lsn {
        Lsn::new(self.start.load(Ordering::Acquire))
    }

    /// An error once a write or a sync of the log has failed.
    pub(crate) fn check_poison(&self) -> Result<()> {
        self.poison.get().map_or(Ok(()), |cause| Err(Error::poisoned(cause)))
    }

    /// What a reader is told that found this. Once the log has ended its files are the next owner's, who truncates them and writes them anew:
    /// what they lack then is no damage.
    #[cold]
    pub(crate) fn unless_ended(&self, found: Error) -> Error {
        let is_gone = match &found {
            Error::Io(error) => error.is_not_found(),
            found => found.is_corrupt(),
        };
        if is_gone && self.lock.lock().is_none() { Error::Closed } else { found }
    }

    /// Ends all acknowledging, and tells everyone who waits. The first failure is the one that is told.
    pub(crate) fn poison_with(&self, cause: laminar_vfs::Error) -> Error {
        let cause = Arc::clone(self.poison.get_or_init(|| Arc::new(cause)));
        self.buffer.lock().freeze();
        self.wake_everyone();
        Error::Poisoned { cause }
    }

    /// Does some work that others wait for. If it panics, on whatever thread, what it had in hand may be half done, and nobody would take
    /// it up: the log is poisoned, which tells all of them, now and later.
    pub(crate) fn unwinding_poisons<T>(&self, work: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let message = format!("a panic while the log was written or synced: {}", panic_message(&*panic));
            self.poison_with(laminar_vfs::Error::new(Op::SyncData, &self.dir.path, std::io::Error::other(message)));
            resume_unwind(panic)
        })
    }

    /// The segment that holds `position`, or the last one if it is past all.
    pub(crate) fn segment_at(&self, position: u64) -> Option<Segment> {
        let segments = self.segments.lock();
        let after = segments.partition_point(|segment| segment.first() <= position);
        segments.get(after.checked_sub(1)?).copied()
    }

    /// An error if `segment` is not the file that the segment behind it follows. To be asked before a record of it is
    /// shown; of the last one, recovery has asked more.
    pub(crate) fn check_link(&self, segment: &Segment) -> Result<()> {
        let next = {
            let segments = self.segments.lock();
            let after = segments.partition_point(|other| other.first() <= segment.first());
            segments.get(after).copied()
        };
        next.map_or(Ok(()), |next| segment.check_next(&next, &self.dir.path))
    }

    /// The first place at or after `position` where records are passed over: from where, and the segment where they
    /// go on.
    pub(crate) fn cut_after(&self, position: u64) -> Option<(u64, Segment)> {
        let segments = self.segments.lock();
        let after = segments.partition_point(|segment| segment.first() <= position);
        let (_, rest) = segments.split_at(after);
        rest.iter().find_map(|segment| Some((segment.header.cut_from?, *segment)))
    }

    /// The worker, started if it is not running yet.
    pub(crate) fn worker(&self) -> Result<&Arc<dyn Worker>> {
        if let Some(worker) = self.worker.get() {
            return Ok(worker);
        }
        let _one_at_a_time = self.starting_worker.lock();
        if let Some(worker) = self.worker.get() {
            return Ok(worker);
        }
        let worker = self.dir.env.spawn.spawn("laminar-wal", Box::new(LogJob::new(Weak::clone(&self.me))))?;
        Ok(self.worker.get_or_init(|| worker))
    }
}
