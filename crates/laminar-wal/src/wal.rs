//! The handle: what a user of a log calls.

use std::ops::Range;
use std::path::Path;

use laminar_vfs::planted;

use crate::commit::DurableWait;
use crate::follow::Follower;
use crate::format::FRAMING;
use crate::log::Log;
use crate::records::Records;
use crate::sync::{Arc, Ordering};
use crate::view::LogView;
use crate::{Error, LogId, Lsn, Result, SyncPolicy, TailReport, Truncated, WalOptions, open};

/// Whether a batch goes on after a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a batch goes on or it ends")]
pub enum BatchPart {
    /// The next record belongs to the same batch. For a log with one writer: records of others would be drawn in.
    More,
    /// The batch ends here.
    Last,
}

/// Counters since the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Records appended.
    pub records: u64,
    /// Groups handed to the operating system, each with one write.
    pub groups: u64,
    /// Bytes of these groups, padding included.
    pub bytes_written: u64,
    /// Syncs of segment files.
    pub syncs: u64,
    /// Waits for durability that these syncs ended: with [`syncs`](Self::syncs), how well the group commit groups.
    pub waits_served: u64,
    /// Segments left for the next.
    pub rotations: u64,
    /// Marks written while at rest.
    pub marks: u64,
}

/// An open log.
///
/// All methods take `&self` and may be called from many threads; a clone is another handle of the same log. When the
/// last is dropped the log is released as it is: what was not committed is gone, and the next opening recovers. End
/// it with [`close`](Self::close) instead.
///
/// | after | a record survives |
/// |---|---|
/// | [`append`](Self::append) | nothing: it is in this process's memory |
/// | [`commit`](Self::commit) | the death of the process |
/// | [`sync`](Self::sync), [`wait_durable`](Self::wait_durable), [`durable`](Self::durable) | power loss |
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// use laminar_wal::{Wal, WalOptions};
/// let (wal, _) = Wal::open(scratch.path(), WalOptions::new())?;
/// wal.append_batch(&[b"debit", b"credit"])?;
/// wal.sync()?;
/// drop(wal);
///
/// let (wal, report) = Wal::open(scratch.path(), WalOptions::new())?;
/// assert!(report.cut.is_none());
/// let mut records = wal.replay(wal.start_lsn())?;
/// assert_eq!(records.next()?.unwrap().payload, b"debit");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Wal {
    pub(crate) log: Arc<Log>,
    #[expect(dead_code, reason = "held for its Drop")]
    handles: Arc<Handles>,
}

/// What all handles of a log share and its readers do not: the log is released with the last of them.
#[derive(Debug)]
struct Handles(Arc<Log>);

impl Drop for Handles {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Wal {
    /// Opens the log in `dir`, or creates one where there is nothing, and recovers it. When this returns, all that the
    /// log holds is durable, and it ends with a whole batch.
    ///
    /// # Errors
    /// `Locked`, `Foreign`, `Version`, `Missing` and `Corrupt` by what stands there: no segment is changed then, though unfinished files may be
    /// gone, and a damaged copy of the log's identity is written anew; `NothingThere` and `AlreadyThere` by [`CreateMode`](crate::CreateMode); `InvalidOption`; `NoSpace`; `Io`.
    pub fn open(dir: impl AsRef<Path>, options: WalOptions) -> Result<(Self, TailReport)> {
        let (log, report) = open::open(dir.as_ref(), &options)?;
        Ok((Self { handles: Arc::new(Handles(Arc::clone(&log))), log }, report))
    }

    /// Appends one record, a batch of its own, to the buffer. Returns its position.
    ///
    /// Costs a copy and a checksum; a system call only where the buffer is full.
    ///
    /// # Errors
    /// `TooLarge`, `NoSpace`, `Poisoned`, `Closed`, `Io`. After an error nothing was appended.
    #[inline]
    pub fn append(&self, payload: &[u8]) -> Result<Lsn> {
        let range = self.append_with(payload.len(), BatchPart::Last, |into| into.copy_from_slice(payload))?;
        Ok(range.start)
    }

    /// Appends records that are recovered together or not at all. Returns the position of the first and the end of
    /// the last. Nothing of other threads gets between them. A batch of no records is nothing.
    ///
    /// # Errors
    /// As [`append`](Self::append); `TooLarge` where all of them with 8 bytes each exceed 1 GiB.
    pub fn append_batch(&self, payloads: &[&[u8]]) -> Result<Range<Lsn>> {
        self.append_row(payloads.iter().copied(), BatchPart::Last)
    }

    /// Appends records as [`append_batch`](Self::append_batch) does, and with [`BatchPart::More`] the batch goes on behind them: for a log
    /// with one writer that has many small records. One by one, each takes a lock, and that waits until all that the thread wrote before
    /// has left the processor.
    ///
    /// # Errors
    /// As [`append_batch`](Self::append_batch).
    pub fn append_row<'a>(
        &self,
        payloads: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        part: BatchPart,
    ) -> Result<Range<Lsn>> {
        let bytes = payloads.clone().fold(0usize, |sum, payload| sum.saturating_add(FRAMING + payload.len()));
        let mut left = payloads.len();
        if left == 0 {
            let end = self.end_lsn();
            return Ok(end..end);
        }
        let mut buffer = self.log.buffer.lock();
        if !buffer.has_room(bytes) {
            drop(buffer);
            buffer = self.log.room_for(bytes)?;
        }
        let start = buffer.next_lsn();
        let mut end = start;
        for payload in payloads {
            left -= 1;
            let more = left > 0 || part == BatchPart::More;
            (_, end) = buffer.push(payload.len(), more, |into| into.copy_from_slice(payload));
        }
        Ok(start..end)
    }

    /// Appends one record of `len` bytes that `fill` encodes straight into the buffer, which holds arbitrary bytes
    /// before: all of them are to be written. With [`BatchPart::More`] the record belongs to one batch with the next,
    /// which may be any number of records and larger than memory; such open batches are for a log with one writer.
    ///
    /// # Errors
    /// As [`append`](Self::append), and `fill` has not been called then.
    #[inline]
    pub fn append_with(&self, len: usize, part: BatchPart, fill: impl FnOnce(&mut [u8])) -> Result<Range<Lsn>> {
        let bytes = len.saturating_add(FRAMING);
        let mut buffer = self.log.buffer.lock();
        if !buffer.has_room(bytes) {
            drop(buffer);
            buffer = self.log.room_for(bytes)?;
        }
        let (lsn, end) = buffer.push(len, part == BatchPart::More, fill);
        Ok(lsn..end)
    }

    /// Hands everything appended so far to the operating system, so that it survives the death of the process; with
    /// [`SyncPolicy::EveryCommit`] also makes it durable. Returns the end of what was handed over.
    ///
    /// # Errors
    /// `NoSpace`: nothing is lost, call again. `Poisoned`, `Closed`, `Io`.
    pub fn commit(&self) -> Result<Lsn> {
        if self.log.choices.sync_policy == SyncPolicy::EveryCommit && !planted("log-policy-ignored") {
            return self.sync();
        }
        let mut writer = self.log.writer.lock();
        self.log.hand_over(&mut writer, false)?;
        Ok(self.written_lsn())
    }

    /// Makes everything appended so far durable. Threads that call this at one time share a sync. Returns the end of
    /// what this call made durable.
    ///
    /// Where the last sync took no more than 250 us, a thread waits awake for the sync of another: for four times that time at most, giving way to
    /// every thread that can run, and no longer where one has more to do. It is told sooner than a thread that sleeps can be woken.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn sync(&self) -> Result<Lsn> {
        // Also where there is nothing left to sync: a caller must learn that the log is at its end.
        self.log.check_poison()?;
        self.check_open()?;
        let end = self.end_lsn();
        self.log.wait_durable(end.get())?;
        Ok(end)
    }

    /// Blocks until the record at `lsn`, or everything before the end `lsn`, is durable, syncing itself where nobody
    /// else does. What is not appended yet is not waited for. Awake for a while, as [`sync`](Self::sync).
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        if lsn <= self.durable_lsn() {
            return Ok(());
        }
        self.log.wait_durable(lsn.min(self.end_lsn()).get())
    }

    /// The same as a future, which needs no runtime: the log's own thread syncs.
    pub fn durable(&self, lsn: Lsn) -> DurableWait {
        DurableWait::new(Arc::clone(&self.log), lsn.min(self.end_lsn()))
    }

    /// The first position that the log still holds. Moves with [`truncate_below`](Self::truncate_below).
    #[must_use]
    pub fn start_lsn(&self) -> Lsn {
        self.log.start_lsn()
    }

    /// The end of the last record appended.
    #[must_use]
    pub fn end_lsn(&self) -> Lsn {
        Lsn::new(self.log.buffer.lock().end())
    }

    /// The end of the last record that the operating system has.
    #[must_use]
    pub fn written_lsn(&self) -> Lsn {
        self.log.written_lsn()
    }

    /// The end of the last record that is durable.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.log.durable_lsn()
    }

    /// What tells this log from every other.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log.log_id
    }

    /// Counters since the log was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.log.counters;
        Stats {
            records: self.log.buffer.lock().records(),
            groups: counters.groups.load(Ordering::Relaxed),
            bytes_written: counters.bytes_written.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
            waits_served: counters.waits_served.load(Ordering::Relaxed),
            rotations: counters.rotations.load(Ordering::Relaxed),
            marks: counters.marks.load(Ordering::Relaxed),
        }
    }

    /// The failure that ended all acknowledging, if there was one.
    #[must_use]
    pub fn poisoned(&self) -> Option<Error> {
        self.log.check_poison().err()
    }

    /// Reads the records from `from` to the end of what has been committed by now. `from` may be where a record starts or
    /// ends, or any position between two records.
    ///
    /// # Errors
    /// `BadPosition` outside of the log or inside a record; `Corrupt`; `Closed`; `Io`.
    pub fn replay(&self, from: Lsn) -> Result<Records> {
        self.check_open()?;
        Records::new(Arc::clone(&self.log), from)
    }

    /// Brings a stretch of durable log into memory, for random access.
    ///
    /// # Errors
    /// `BadPosition` where the range is not between the log's start and its durable end; `Closed`; `Io`.
    pub fn view(&self, range: Range<Lsn>) -> Result<LogView> {
        self.check_open()?;
        LogView::new(&self.log, &range)
    }

    /// Reads the records from `from` on, up to what was handed to the operating system at the most, and waits for more. Shows nothing that is
    /// not durable.
    ///
    /// # Errors
    /// As [`replay`](Self::replay).
    pub fn follow(&self, from: Lsn) -> Result<Follower> {
        self.check_open()?;
        Follower::new(Arc::clone(&self.log), from)
    }

    /// Removes the segments that hold nothing at or past `lsn`, except the one being written, and what recoveries cut from them
    /// and kept aside. What is removed is gone; readers that need it get `BadPosition`. Appends go on meanwhile.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: the call can be made again. `Poisoned`, `Closed`.
    pub fn truncate_below(&self, lsn: Lsn) -> Result<Truncated> {
        self.log.truncate_below(lsn)
    }

    /// Makes everything durable and ends the log, so that the next opening has nothing to recover; all handles of it are
    /// closed then, and its lock is free. Closing again does nothing. A batch that was left open is not part of the log.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), and the log stays open then. An error about the file `CLOSED` itself means that
    /// the log is closed and whole, but that the next opening will look at its end.
    pub fn close(&self) -> Result<()> {
        self.log.close()
    }

    /// Ends the log as it is, as dropping the last handle does: for an owner whose handles others still hold. What was not
    /// committed is gone, waits end with `Closed`, and the lock is free. Nothing is synced.
    pub fn release(&self) {
        self.log.release();
    }

    /// Whether the log has ended, also by a [`close`](Self::close) that could not write `CLOSED`: every later change is refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.log.lock.lock().is_none()
    }

    fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }
}
