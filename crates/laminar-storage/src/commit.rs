//! The ticket of a commit: how to wait until it survives a power cut.

use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll};

use laminar_wal::{DurableWait, Lsn, Wal};

use crate::Result;

/// A commit that was handed to the operating system: it survives the death of the process. Wait on the ticket, blocking or
/// with `.await`, and it survives a power cut too. Waiting for one commit waits for all before it; many waiters share one sync.
///
/// Dropping a ticket takes nothing back.
///
/// ```
/// use laminar_storage::{StateStore, StoreOptions, WalStateStore};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let dir = scratch.path().join("state");
/// let (mut store, _) = WalStateStore::open(dir, StoreOptions::new())?;
/// store.put(b"key", b"value")?;
/// store.commit()?.wait()?;
/// # Ok::<(), laminar_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CommitTicket {
    wal: Wal,
    end: Lsn,
}

impl CommitTicket {
    pub(crate) fn new(wal: Wal, end: Lsn) -> Self {
        Self { wal, end }
    }

    /// The position in the log just past this commit.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.end
    }

    /// Whether the commit is durable already.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.wal.durable_lsn() >= self.end
    }

    /// Blocks until the commit is durable; this thread does the sync if nobody else is at it.
    ///
    /// # Errors
    /// [`is_poisoned`](crate::Error::is_poisoned) after a failed sync, [`Closed`](crate::Error::Closed) where the store was dropped before the commit was durable: whether it is on
    /// disk is then decided by the next opening.
    pub fn wait(&self) -> Result<()> {
        Ok(self.wal.wait_durable(self.end)?)
    }
}

impl IntoFuture for CommitTicket {
    type Output = Result<()>;
    type IntoFuture = CommitFuture;

    fn into_future(self) -> CommitFuture {
        CommitFuture(self.wal.durable(self.end))
    }
}

/// A commit's ticket being awaited; needs no particular runtime.
#[derive(Debug)]
pub struct CommitFuture(DurableWait);

impl Future for CommitFuture {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll(context).map_err(Into::into)
    }
}
