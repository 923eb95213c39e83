//! Reading behind the writer, and waiting there for more.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use crate::log::Log;
use crate::records::{Reader, Record};
use crate::sync::{Arc, Ordering};
use crate::{Lsn, Result};

/// A reader that waits at the end of the log for what comes, from [`Wal::follow`](crate::Wal::follow).
///
/// It never shows a record that a power cut could take back, unless told to. It holds no segment back: one that
/// [`truncate_below`](crate::Wal::truncate_below) overtakes gets [`BadPosition`](crate::Error::BadPosition).
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// use laminar_wal::{Wal, WalOptions};
/// let (wal, _) = Wal::open(scratch.path(), WalOptions::new())?;
/// let mut follower = wal.follow(wal.start_lsn())?;
/// wal.append(b"news")?;
/// wal.sync()?;
/// assert_eq!(follower.next()?.unwrap().payload, b"news");
/// wal.close()?;
/// assert_eq!(follower.next()?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Follower {
    log: Arc<Log>,
    reader: Reader,
    unsynced: bool,
    watching: Option<u64>,
}

impl Follower {
    pub(crate) fn new(log: Arc<Log>, from: Lsn) -> Result<Self> {
        // From where records come that are not durable too; which of them are shown is decided later.
        let written = log.written.load(Ordering::Acquire);
        let reader = Reader::new(Arc::clone(&log), from, written)?;
        Ok(Self { log, reader, unsynced: false, watching: None })
    }

    /// Shows records as soon as the operating system has them, though a power cut may take them back.
    #[must_use]
    pub fn include_unsynced(mut self) -> Self {
        if !std::mem::replace(&mut self.unsynced, true) {
            self.log.eager_followers.fetch_add(1, Ordering::AcqRel);
        }
        self
    }

    fn limit(&self) -> u64 {
        limit(&self.log, self.unsynced)
    }

    /// The next record; blocks until there is one. `None` when the log has been closed and everything was shown.
    /// It does not sync: that is for those who append.
    ///
    /// # Errors
    /// As [`Records::next`](crate::Records::next), and `Poisoned` when no more records can come.
    #[expect(clippy::should_implement_trait, reason = "a record borrows from the reader, which no iterator's item can")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        loop {
            let limit = self.limit();
            self.reader.extend(limit);
            if let Some(spot) = self.reader.advance(limit)? {
                return self.reader.record(spot).map(Some);
            }
            let (log, unsynced) = (&self.log, self.unsynced);
            if !log.wait_for_more(limit, || self::limit(log, unsynced))? {
                return Ok(None);
            }
        }
    }

    /// The next record, if there is one already.
    ///
    /// # Errors
    /// As [`Records::next`](crate::Records::next).
    pub fn try_next(&mut self) -> Result<Option<Record<'_>>> {
        let limit = self.limit();
        self.reader.extend(limit);
        match self.reader.advance(limit)? {
            Some(spot) => self.reader.record(spot).map(Some),
            None => Ok(None),
        }
    }

    /// The same as [`next`](Self::next) without blocking, on any runtime. What is read was written lately, so that it
    /// comes from the operating system's cache. Of its waker the same is asked as by a [`DurableWait`](crate::DurableWait).
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_async(&mut self) -> Result<Option<Record<'_>>> {
        loop {
            let limit = self.limit();
            self.reader.extend(limit);
            if let Some(spot) = self.reader.advance(limit)? {
                return self.reader.record(spot).map(Some);
            }
            let (log, unsynced, watching) = (&self.log, self.unsynced, &mut self.watching);
            let more = poll_fn(|context| {
                let now = || self::limit(log, unsynced);
                match log.poll_for_more(limit, now, watching, context.waker()) {
                    Ok(None) => Poll::Pending,
                    Ok(Some(more)) => Poll::Ready(Ok(more)),
                    Err(error) => Poll::Ready(Err(error)),
                }
            });
            if !more.await? {
                return Ok(None);
            }
        }
    }
}

fn limit(log: &Log, unsynced: bool) -> u64 {
    if unsynced { log.written.load(Ordering::Acquire) } else { log.durable.load(Ordering::Acquire) }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.unsynced {
            self.log.eager_followers.fetch_sub(1, Ordering::AcqRel);
        }
        if let Some(id) = self.watching {
            self.log.stop_watching(id);
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("limit", &self.limit()).field("unsynced", &self.unsynced).finish()
    }
}
