//! The durable store: what a change, a commit and a read do.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::Duration;

use laminar_checkpoint::{Checkpoint, CheckpointManager, Run};
use laminar_vfs::{Env, Lock, planted};
use laminar_wal::{BatchPart, Lsn, Wal};

use crate::catalogue::{CATALOGUE, Catalogue, DEFAULT_OPERATOR};
use crate::checkpointing::{Checkpointing, Periodic};
use crate::error::check;
use crate::format::{self, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_VALUE_BYTES};
use crate::keyspace::Namespace;
use crate::mark::Marks;
use crate::read::Layers;
use crate::state::{Scan, StateStore};
use crate::sync::OnceLock;
use crate::table::Table;
use crate::{CheckpointTicket, CommitTicket, Error, Operator, OperatorId, OperatorView, Result};

mod offsets;
mod staged;
mod sweep;

pub(crate) use offsets::Offsets;
pub(crate) use staged::Staged;
pub(crate) use sweep::Sweeping;

/// A keyed state store whose every change is in a write-ahead log. See the [crate] for what survives what.
///
/// There is one owner: changes take `&mut self`. The [`StateStore`] methods of the store itself work on the key space of the
/// operator with the empty name; [`operator`](Self::operator) gives others.
///
/// Dropping a store without [`close`](Self::close) loses nothing that was committed, and drops what was not; the next opening takes
/// longer.
///
/// ```
/// use laminar_storage::{StateStore, StoreOptions, WalStateStore};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let dir = scratch.path().join("state");
/// let (mut store, _) = WalStateStore::open(&dir, StoreOptions::new())?;
/// store.put(b"seen", b"1")?;
/// store.set_source_offset("orders", 17)?;
/// store.commit()?.wait()?; // now it survives a power cut, state and offset together
/// drop(store);
///
/// let (store, report) = WalStateStore::open(&dir, StoreOptions::new())?;
/// assert_eq!(store.get(b"seen")?, Some(&b"1"[..]));
/// assert_eq!(report.source_offsets["orders"], 17);
/// # Ok::<(), laminar_storage::Error>(())
/// ```
pub struct WalStateStore {
    pub(crate) dir: PathBuf,
    pub(crate) env: Env,
    pub(crate) hash_seed: u64,
    pub(crate) wal: Wal,
    pub(crate) manager: CheckpointManager,
    pub(crate) table: Table,
    pub(crate) attached: Option<Checkpoint>,
    pub(crate) checkpointing: Checkpointing,
    pub(crate) periodic: Option<Periodic>,
    pub(crate) checkpoint_log_bytes: u64,
    pub(crate) catalogue: Catalogue,
    /// Set where the store's own key space was scanned before there was one.
    pub(crate) scanned_early: OnceLock<()>,
    pub(crate) offsets: Offsets,
    /// What the log has not been given yet; all of it comes after the last commit.
    pub(crate) staged: Staged,
    /// The first change since the last commit, if the log has it.
    pub(crate) first_change: Option<Lsn>,
    /// Just past the last commit record.
    pub(crate) committed: Lsn,
    /// What the entries of the table are marked with.
    pub(crate) marks: Marks,
    /// The last commit record is in the log's buffer, and the operating system had no space for it yet.
    pub(crate) refused: bool,
    pub(crate) sweeping: Sweeping,
    pub(crate) memory_budget: Option<u64>,
    pub(crate) scratch: Vec<u8>,
    pub(crate) closed: bool,
    /// Released last.
    #[expect(dead_code, reason = "held for its Drop")]
    pub(crate) lock: Lock,
}

impl WalStateStore {
    /// The key space of an operator, created with the next commit if there is none of this name. A name holds any UTF-8.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a name over 4 KiB; what a put can fail with, if the operator is new.
    pub fn operator(&mut self, name: &str) -> Result<Operator<'_>> {
        let id = self.operator_id(name)?;
        Ok(Operator::new(self, id))
    }

    /// The handle of an operator, which spares the search for its name; created as by [`operator`](Self::operator).
    ///
    /// # Errors
    /// As [`operator`](Self::operator).
    pub fn operator_id(&mut self, name: &str) -> Result<OperatorId> {
        match self.catalogue.find(name) {
            Some(id) => Ok(id),
            None => self.enter(name),
        }
    }

    /// The operator of a handle that this store gave out.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a handle of another store, or of an earlier opening of this one.
    pub fn operator_by_id(&mut self, id: OperatorId) -> Result<Operator<'_>> {
        // Handles come in here and nowhere else: whatever takes one further on has it from this store.
        if self.catalogue.gave_out(id) { Ok(Operator::new(self, id)) } else { Err(not_ours()) }
    }

    /// The reading side of an operator; `None` if there is none of this name.
    #[must_use]
    pub fn operator_view(&self, name: &str) -> Option<OperatorView<'_>> {
        self.view(self.catalogue.find(name)?).ok()
    }

    /// The names of all operators, in their order.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.catalogue.names()
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes everything since the last commit one atomic step: the changes of all operators, and the source offsets that were set or removed.
    /// When this returns, the commit is with the operating system and survives the death of the process; the ticket tells when it
    /// survives a power cut. With nothing to commit, it is the ticket of the last commit.
    ///
    /// A periodic checkpoint that is due begins here, and one that is finished is taken into use here. Far above the
    /// [`memory_budget`](crate::StoreOptions::memory_budget) the one that is being made is waited for.
    ///
    /// # Errors
    /// [`is_no_space`](Error::is_no_space): the commit is refused, its changes stay pending, and it can be called again once
    /// space returns. [`is_poisoned`](Error::is_poisoned): a sync has failed, this store acknowledges nothing any more.
    pub fn commit(&mut self) -> Result<CommitTicket> {
        self.check_open()?;
        self.table.settle();
        self.adopt_finished();
        self.log_staged()?;
        if self.first_change.is_some() || !self.offsets.fresh().is_empty() {
            if planted("store-forgets-offsets") {
                self.offsets.commit();
            }
            format::encode_commit(&mut self.scratch, self.first_change, self.offsets.fresh());
            let record = &self.scratch;
            let written = self.wal.append_with(record.len(), BatchPart::Last, |into| into.copy_from_slice(record))?;
            self.committed = written.end;
            self.marks.commit();
            self.sweeping.commit();
            self.first_change = None;
            self.offsets.commit();
            self.refused = true;
        }
        if self.refused {
            self.refused = !planted("store-forgets-refused-commit");
            self.wal.commit()?;
            self.refused = false;
        }
        if self.should_checkpoint() {
            // Whatever makes it fail is told by its ticket, or by the next one; the commit stands.
            drop(self.checkpoint());
        }
        self.relieve();
        Ok(CommitTicket::new(self.wal.clone(), self.committed))
    }

    /// Checkpoints from now on, from within [`commit`](Self::commit): every `interval`, or after
    /// [`checkpoint_log_bytes`](crate::StoreOptions::checkpoint_log_bytes) of log, whichever comes first. The `max_retained` newest are kept.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for an interval of zero, or `max_retained` below 2; [`Error::Closed`].
    pub fn enable_checkpointing(&mut self, interval: Duration, max_retained: usize) -> Result<()> {
        self.check_open()?;
        if interval.is_zero() {
            return Err(Error::InvalidOption { name: "interval", why: "above zero" });
        }
        if max_retained < 2 {
            return Err(Error::InvalidOption { name: "max_retained", why: "at least 2" });
        }
        self.checkpointing.set_max_retained(max_retained);
        self.periodic = Some(Periodic::new(interval, self.env.clock.now()));
        Ok(())
    }

    /// Whether a periodic checkpoint is due: something was committed since the last one, none is running, and the
    /// interval or the bytes of log have been reached. After a checkpoint that failed, bytes of log don't count: it is tried
    /// again when the interval has passed.
    #[must_use]
    pub fn should_checkpoint(&self) -> bool {
        let Some(periodic) = self.periodic else { return false };
        let behind = self.committed.get().saturating_sub(self.base_position().get());
        if behind == 0 || self.checkpointing.running().is_some() {
            return false;
        }
        let log_bytes = self.memory_budget.map_or(u64::MAX, |budget| budget / 4).min(self.checkpoint_log_bytes);
        (behind >= log_bytes && !periodic.failed)
            || self.env.clock.now().saturating_sub(periodic.last) >= periodic.interval
    }

    /// Begins a checkpoint of everything committed so far, and returns at once; the work is done in the background while
    /// this store goes on. While one is running, it is that one's ticket, which does not tell of later commits: who wants these in a checkpoint, waits
    /// for it and begins another, as [`checkpoint_all`](Self::checkpoint_all) does. Changes that are not committed are not in it.
    ///
    /// # Errors
    /// Where no worker can be started, or the store is closed. What goes wrong later is told by the ticket.
    pub fn checkpoint(&mut self) -> Result<CheckpointTicket> {
        self.check_open()?;
        self.adopt_finished();
        if let Some(running) = self.checkpointing.running() {
            return Ok(running.clone());
        }
        if let Some(periodic) = &mut self.periodic {
            periodic.last = self.env.clock.now();
        }
        let cut = if planted("checkpoint-cut-past-commit") { self.wal.end_lsn() } else { self.committed };
        let ticket = self.checkpointing.start(self.attached.clone(), cut)?;
        let is_pending = self.first_change.is_some() || !self.staged.is_empty();
        self.marks.cut(is_pending);
        Ok(ticket)
    }

    /// Waits until a checkpoint has everything committed so far, as a job does that ends, and returns it. Makes one if the last one does not, after one that is
    /// running perhaps.
    ///
    /// ```
    /// use laminar_storage::{StateStore, StoreOptions, WalStateStore};
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let dir = scratch.path().join("state");
    /// let (mut store, _) = WalStateStore::open(&dir, StoreOptions::new())?;
    /// store.put(b"UA", b"58665")?;
    /// let end = store.commit()?.lsn();
    /// assert_eq!(store.checkpoint_all()?.wal_position(), end.get());
    /// # drop(store);
    /// let (_, report) = WalStateStore::open(&dir, StoreOptions::new())?;
    /// assert_eq!(report.records_replayed, 0);
    /// # Ok::<(), laminar_storage::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`checkpoint`](Self::checkpoint) and of its ticket.
    pub fn checkpoint_all(&mut self) -> Result<Checkpoint> {
        self.check_open()?;
        self.adopt_finished();
        loop {
            if let Some(newest) = self.attached.as_ref().filter(|newest| newest.wal_position() >= self.committed.get())
            {
                return Ok(newest.clone());
            }
            self.checkpoint()?.wait()?;
            self.adopt_finished();
        }
    }

    /// The last failure of work in the background that perhaps nobody waits for: making checkpoints, removing old ones and their
    /// log, merging runs. Such a failure endangers nothing; the next checkpoint tries again.
    #[must_use]
    pub fn take_upkeep_error(&self) -> Option<Error> {
        self.checkpointing.take_upkeep_error()
    }

    /// The ticket of the checkpoint that was begun last, until a commit, or the next checkpoint, takes its result into use.
    #[must_use]
    pub fn running_checkpoint(&self) -> Option<CheckpointTicket> {
        self.checkpointing.running().cloned()
    }

    /// The checkpoint that reads fall through to, once one has been made or recovered.
    #[must_use]
    pub fn attached_checkpoint(&self) -> Option<&Checkpoint> {
        self.attached.as_ref()
    }

    /// Bytes of log behind the attached checkpoint: what a recovery would have to replay now.
    #[must_use]
    pub fn log_bytes_behind(&self) -> u64 {
        self.committed.get().saturating_sub(self.base_position().get())
    }

    fn base_position(&self) -> Lsn {
        self.attached.as_ref().map_or_else(|| self.wal.start_lsn(), |checkpoint| Lsn::new(checkpoint.wal_position()))
    }

    /// Takes a finished checkpoint into use. Only ever called with `&mut self`, so nothing moves under a borrowed value.
    pub(crate) fn adopt_finished(&mut self) {
        let Some(finished) = self.checkpointing.take_finished() else { return };
        if let Some(periodic) = &mut self.periodic {
            periodic.failed = finished.is_none();
        }
        let is_new = finished.is_some();
        self.marks.end_cut(is_new);
        if let Some(checkpoint) = finished {
            self.attached = Some(checkpoint);
        }
        self.sweep_after_checkpoint(is_new);
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    #[inline]
    pub(crate) fn layers(&self) -> Layers<'_> {
        Layers { table: &self.table, attached: self.attached.as_ref() }
    }

    #[inline]
    fn namespace(&self, id: OperatorId) -> Result<Namespace> {
        match self.catalogue.namespace(id) {
            Some(namespace) => Ok(namespace),
            None => Err(not_ours()),
        }
    }

    #[inline]
    pub(crate) fn view(&self, id: OperatorId) -> Result<OperatorView<'_>> {
        Ok(OperatorView::new(self.layers(), self.namespace(id)?))
    }

    /// Gives `name` a fresh namespace, as part of the next commit.
    fn enter(&mut self, name: &str) -> Result<OperatorId> {
        check("name", name.len(), MAX_NAME_BYTES)?;
        let namespace = self.catalogue.fresh_namespace().ok_or(Error::NamespacesUsedUp)?;
        self.write(CATALOGUE, name.as_bytes(), Some(&namespace.0.to_le_bytes()))?;
        Ok(self.catalogue.set(name, namespace))
    }

    pub(crate) fn put_in(&mut self, id: OperatorId, key: &[u8], value: &[u8]) -> Result<()> {
        check("key", key.len(), MAX_KEY_BYTES)?;
        check("value", value.len(), MAX_VALUE_BYTES)?;
        let namespace = self.namespace(id)?;
        self.write(namespace, key, Some(value))
    }

    pub(crate) fn delete_in(&mut self, id: OperatorId, key: &[u8]) -> Result<()> {
        check("key", key.len(), MAX_KEY_BYTES)?;
        let namespace = self.namespace(id)?;
        self.write(namespace, key, None)
    }

    pub(crate) fn clear_in(&mut self, id: OperatorId) -> Result<()> {
        self.check_open()?;
        if let Some(name) = self.catalogue.name(id).map(str::to_owned) {
            let old = self.namespace(id)?;
            self.enter(&name)?;
            self.table.follow(old.id(), self.namespace(id)?.id());
            self.sweeping.want();
        }
        Ok(())
    }

    /// Logs a change, then makes it in the table: if either has no room for it, it has not happened.
    fn write(&mut self, namespace: Namespace, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.check_open()?;
        let space = namespace.id();
        let (keyed, value_bytes) = (self.table.key(space, key), value.map(<[u8]>::len));
        if self.table.check_room(&keyed, value_bytes).is_err() {
            // What a checkpoint covers may go, and then there may be room.
            self.make_room();
            while self.table.check_room(&keyed, value_bytes).is_err() && self.evict() {}
            self.table.check_room(&keyed, value_bytes)?;
        }
        if planted("store-changes-before-logging") {
            self.table.insert(&keyed, self.marks.now(), value)?;
        }
        match value {
            Some(value) => {
                self.log(format::put_len(key, value), |into| format::encode_put(into, space, key, value))?;
            }
            // Also of a key that is not there: to find out would be most of what a delete costs.
            None => self.log(format::delete_len(key), |into| format::encode_delete(into, space, key))?,
        }
        self.table.write(&keyed, self.marks.now(), value)?;
        self.sweep();
        Ok(())
    }

    #[inline(always)]
    fn default_namespace(&self) -> Option<Namespace> {
        self.catalogue.default_operator().and_then(|id| self.catalogue.namespace(id))
    }

    fn default_view(&self) -> Option<OperatorView<'_>> {
        let id = self.catalogue.default_operator().or_else(|| {
            self.scanned_early.get_or_init(|| ());
            None
        });
        self.view(id?).ok()
    }

    /// The operator that the store's own methods use, for a change that is not refused for its size: such a one makes none.
    fn default_operator(&mut self, key: &[u8], value: &[u8]) -> Result<OperatorId> {
        match self.catalogue.default_operator() {
            Some(id) => Ok(id),
            None => {
                check("key", key.len(), MAX_KEY_BYTES)?;
                check("value", value.len(), MAX_VALUE_BYTES)?;
                let id = self.enter(DEFAULT_OPERATOR)?;
                if self.scanned_early.take().is_some() {
                    // As if it had been there: it is kept in order from the start.
                    drop(self.view(id)?.prefix_scan(&[]));
                }
                Ok(id)
            }
        }
    }
}

#[cold]
fn not_ours() -> Error {
    Error::InvalidOption { name: "operator", why: "a handle that this store gave out since it was opened" }
}

impl StateStore for WalStateStore {
    #[inline(always)]
    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        match self.default_namespace() {
            Some(namespace) => self.layers().get(namespace, key),
            None => Ok(None),
        }
    }

    fn prefetch(&self, keys: &[&[u8]]) {
        if let Some(namespace) = self.default_namespace() {
            self.layers().prefetch(namespace, keys);
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let id = self.default_operator(key, value)?;
        self.put_in(id, key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        let id = self.default_operator(key, &[])?;
        self.delete_in(id, key)
    }

    fn prefix_scan<'a>(&'a self, prefix: &[u8]) -> Result<Scan<'a>> {
        Ok(self.default_view().map_or_else(Scan::of_nothing, |view| view.prefix_scan(prefix)))
    }

    fn range_scan<'a>(&'a self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<Scan<'a>> {
        Ok(self.default_view().map_or_else(Scan::of_nothing, |view| view.range_scan(range)))
    }

    /// An estimate: the bytes of keys and values in the table and in each run of the attached checkpoint. What is in several of them
    /// counts several times.
    fn size_bytes(&self) -> u64 {
        let runs = self.attached.as_ref().map(Checkpoint::runs).unwrap_or_default();
        runs.iter().map(Run::payload_bytes).fold(self.table.bytes(), u64::saturating_add)
    }

    fn clear(&mut self) -> Result<()> {
        let id = self.default_operator(&[], &[])?;
        self.clear_in(id)
    }
}

impl Drop for WalStateStore {
    /// Tickets hold the log too, and may outlive the store: they must not keep the next owner out.
    fn drop(&mut self) {
        self.checkpointing.stop();
        self.wal.release();
    }
}

impl std::fmt::Debug for WalStateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WalStateStore")
            .field("dir", &self.dir)
            .field("committed", &self.committed)
            .field("checkpoint", &self.attached.as_ref().map(Checkpoint::id))
            .finish_non_exhaustive()
    }
}
