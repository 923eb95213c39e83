//! Opening is recovery: the newest checkpoint that verifies, then the log from its position, then the report.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Opened};
use laminar_vfs::{Env, PageSource, planted};
use laminar_wal::{CreateMode, LogId, Lsn, RecoverTo, TailReport, Wal, WalOptions};

use crate::catalogue::{CATALOGUE, Catalogue};
use crate::checkpointing::{Checkpointing, Periodic, RunLimits};
use crate::format::{Identity, Record};
use crate::identity::{self, Place};
use crate::keyspace::Namespace;
use crate::mark::{Marks, RECOVERED};
use crate::name::{CHECKPOINTS_DIR, WAL_DIR};
use crate::operator::OperatorView;
use crate::read::Layers;
use crate::store::{Offsets, Staged, Sweeping};
use crate::sync::OnceLock;
use crate::table::Table;
use crate::{Error, RecoveryReport, Result, StoreOptions, WalStateStore};

mod commits;
mod given_up;

pub(crate) use commits::Commits;

impl WalStateStore {
    /// Opens the store in `dir`: recovers to the last commit, or creates a store where there is nothing.
    ///
    /// Everything that is returned is on disk before it is returned. The time depends on the log behind the newest checkpoint, not on
    /// the size of the state.
    ///
    /// # Errors
    /// [`Error::Locked`] while another handle has it open; [`Error::Foreign`] for a directory with other files;
    /// [`Error::RestoreInterrupted`] where a [`restore`](crate::restore()) did not end; [`Error::Missing`] where the identity is gone; [`Error::Version`]; [`is_corrupt`](Error::is_corrupt) where acknowledged bytes are
    /// damaged beyond repair (see [`StoreOptions::recover_to`]). After an error nothing that was there has been overwritten or deleted.
    pub fn open(dir: impl AsRef<Path>, options: StoreOptions) -> Result<(Self, RecoveryReport)> {
        options.check()?;
        let dir = dir.as_ref();
        match identity::survey(&*options.env.vfs, dir)? {
            Place::Restoring => Err(identity::unfinished_restore(&*options.env.vfs, dir)),
            Place::Store if options.recover_to == RecoverTo::LastGood => {
                // Damage that recovery does not come to, below the checkpoint, costs nothing: only what can't be had whole is given up.
                let whole = options.clone().recover_to(RecoverTo::Whole);
                recover(dir, whole).or_else(|error| if is_damage(&error) { recover(dir, options) } else { Err(error) })
            }
            Place::Store => recover(dir, options),
            Place::Empty | Place::Unfinished if options.create => create(dir, options),
            Place::Empty | Place::Unfinished => Err(Error::Foreign { path: dir.to_owned(), why: "there is no store" }),
        }
    }
}

/// Whether an error says that bytes are gone. In a store that is ours, a file that begins as no file of ours does is one that was damaged.
fn is_damage(error: &Error) -> bool {
    error.is_corrupt() || matches!(error, Error::Log(laminar_wal::Error::Foreign { .. }))
}

fn create(dir: &Path, options: StoreOptions) -> Result<(WalStateStore, RecoveryReport)> {
    let env = options.env.clone();
    let begun = env.clock.now();
    let lock = identity::begin_creation(&env, dir)?;
    let identity = fresh_identity(&options);
    let (wal, tail) = Wal::open(dir.join(WAL_DIR), log_options(&options, identity, CreateMode::Only))?;
    let manager = CheckpointManager::open(dir.join(CHECKPOINTS_DIR), checkpoint_options(&options, identity))?;
    identity::end_creation(&*env.vfs, dir, identity)?;
    let mut report = RecoveryReport::new(tail, wal.start_lsn());
    report.created = true;
    report.duration = env.clock.now().saturating_sub(begun);
    let recovered = Replayed::new(identity.hash_seed, &options, 0, BTreeMap::new());
    let limits = run_limits(&options);
    let checkpointing = Checkpointing::new(env, wal.clone(), manager.clone(), limits, options.max_retained);
    let parts = Parts { wal, manager, checkpointing, attached: None, recovered };
    Ok((assemble(dir, options, identity, lock, parts)?, report))
}

/// A new store's identity.
pub(crate) fn fresh_identity(options: &StoreOptions) -> Identity {
    let random = &options.env.random;
    let (low, high) = halves(random.id());
    Identity { log_id: random.id(), hash_seed: low ^ high }
}

fn halves(id: u128) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, high @ ..] = id.to_le_bytes();
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes(high))
}

pub(crate) fn log_options(options: &StoreOptions, identity: Identity, create: CreateMode) -> WalOptions {
    WalOptions::on(options.env.clone())
        .segment_bytes(options.segment_bytes)
        .buffer_bytes(options.buffer_bytes)
        .sync_policy(options.sync_policy)
        .recover_to(options.recover_to)
        .log_id(LogId::new(identity.log_id))
        .create(create)
}

pub(crate) fn checkpoint_options(options: &StoreOptions, identity: Identity) -> CheckpointOptions {
    CheckpointOptions::on(options.env.clone())
        .max_retained(options.max_retained)
        .lineage(identity.log_id)
        .hash_seed(identity.hash_seed)
        .read_mode(options.read_mode)
        .verify(options.verify)
        .part_bytes(options.part_bytes)
        .value_alignment(options.value_alignment)
        .hold_lock(false)
}

/// The checkpoints of a store that is there: `STORE` was published after their directory.
pub(crate) fn open_checkpoints(dir: &Path, options: &StoreOptions, identity: Identity) -> Result<CheckpointManager> {
    Ok(CheckpointManager::open_existing(dir.join(CHECKPOINTS_DIR), checkpoint_options(options, identity))?)
}

fn recover(dir: &Path, options: StoreOptions) -> Result<(WalStateStore, RecoveryReport)> {
    let env = options.env.clone();
    let begun = env.clock.now();
    let (identity, identity_degraded) = identity::read(&*env.vfs, dir)?;
    let lock = identity::lock(&*env.vfs, dir)?;
    // The parts were made before `STORE` was published: one that is not there now was lost.
    let given_up = given_up::finish(&*env.vfs, dir)?;
    let mut given_up_before = given_up::remaining(&*env.vfs, dir)?;
    given_up_before.retain(|before| Some(before) != given_up.as_ref());
    let checkpoints = dir.join(CHECKPOINTS_DIR);
    if env.vfs.kind(&checkpoints)?.is_none() {
        return Err(Error::Missing { path: checkpoints });
    }
    let mut for_log = log_options(&options, identity, CreateMode::Never);
    if options.recover_to == RecoverTo::LastGood {
        // Damage to the log below the newest checkpoint costs nothing that is not in the checkpoint.
        let newest = open_checkpoints(dir, &options, identity)?.open_newest_valid()?.checkpoint;
        for_log = for_log.needed_from(Lsn::new(newest.map_or(0, |checkpoint| checkpoint.wal_position())));
    }
    let (mut wal, tail) = Wal::open(dir.join(WAL_DIR), for_log)?;
    identity::settle(&*env.vfs, dir, identity)?;
    let manager = open_checkpoints(dir, &options, identity)?;
    manager.sweep()?;
    let opened = manager.open_newest_valid()?;

    let mut report = RecoveryReport::new(tail, wal.start_lsn());
    report.identity_degraded = identity_degraded;
    report.log_given_up = given_up;
    report.log_given_up_before = given_up_before;
    let from = position_to_replay_from(dir, &wal, &opened)?;
    if from > wal.end_lsn() {
        if options.recover_to != RecoverTo::LastGood {
            return Err(log_ends_too_early(dir, wal.end_lsn()));
        }
        let (fresh, moved) = given_up::replace_log(dir, wal, &options, identity, from)?;
        wal = fresh;
        report.log_given_up = Some(moved);
    }
    report.passed_over = opened.passed_over;
    let limits = run_limits(&options);
    let mut checkpointing = Checkpointing::new(env.clone(), wal.clone(), manager.clone(), limits, options.max_retained);
    let mut attached = opened.checkpoint;
    if options.memory_budget.is_some_and(|budget| wal.end_lsn().get() - from.get() > budget) {
        // More than fits goes into runs first; then there is nothing left to replay. Where that fails the log is whole all the same,
        // and a full disk opens: the tail is held in memory, as without a budget, until a checkpoint succeeds.
        drop(checkpointing.start(attached.clone(), wal.end_lsn())?.wait());
        attached = checkpointing.take_finished().flatten().or(attached);
    }
    let from = attached.as_ref().map_or(from, |checkpoint| Lsn::new(checkpoint.wal_position()));
    let offsets = attached
        .as_ref()
        .filter(|_| !planted("recovery-forgets-offsets"))
        .map(|checkpoint| checkpoint.source_offsets().clone())
        .unwrap_or_default();
    let bytes = wal.end_lsn().get() - from.get();
    let mut recovered = Replayed::new(identity.hash_seed, &options, bytes, offsets);
    recovered.replay(&wal, from, dir)?;

    report.checkpoint = attached.as_ref().map(laminar_checkpoint::Checkpoint::id);
    report.healed = attached.as_ref().map(laminar_checkpoint::Checkpoint::healed).unwrap_or_default();
    report.replayed_from = from;
    report.records_replayed = recovered.records;
    report.commits_replayed = recovered.commits;
    report.source_offsets = recovered.offsets.clone();
    let parts = Parts { wal, manager, checkpointing, attached, recovered };
    let store = assemble(dir, options, identity, lock, parts)?;
    report.duration = env.clock.now().saturating_sub(begun);
    Ok((store, report))
}

/// Where replay begins: at the checkpoint's position, or at the log's own beginning if that is the beginning of everything.
fn position_to_replay_from(dir: &Path, wal: &Wal, opened: &Opened) -> Result<Lsn> {
    let log_start = wal.start_lsn();
    let from = opened.checkpoint.as_ref().map_or(Lsn::ZERO, |checkpoint| Lsn::new(checkpoint.wal_position()));
    if from >= log_start {
        return Ok(from);
    }
    let reasons: Vec<_> =
        opened.passed_over.iter().map(|passed| format!("checkpoint {}: {}", passed.id, passed.reason)).collect();
    let reasons = if reasons.is_empty() { "there is none".to_owned() } else { reasons.join("; ") };
    Err(Error::NoCheckpoint { path: dir.join(CHECKPOINTS_DIR), log_start: log_start.get(), reasons })
}

fn log_ends_too_early(dir: &Path, end: Lsn) -> Error {
    Error::Corrupt { path: dir.join(WAL_DIR), offset: end.get(), reason: "the log ends before the checkpoint does" }
}

/// What replaying the log gave.
struct Replayed {
    table: Table,
    offsets: BTreeMap<String, u64>,
    records: u64,
    commits: u64,
    /// Just past the last commit.
    committed: Option<Lsn>,
}

impl Replayed {
    /// Nothing yet, of a log of about so many `bytes`.
    fn new(hash_seed: u64, options: &StoreOptions, bytes: u64, offsets: BTreeMap<String, u64>) -> Self {
        let source = PageSource::with_worker(Arc::clone(&options.env.spawn));
        let mut table = Table::with_memory(hash_seed, source);
        table.set_limit(options.table_limit_bytes);
        table.set_small_bytes(options.small_table_bytes);
        table.set_in_bulk(bytes > PageSource::BYTES as u64);
        Self { table, offsets, records: 0, commits: 0, committed: None }
    }

    /// Applies every record from `from` on. The log has been cut back to its last whole batch, and a batch is a commit, so
    /// a change without its commit can't come up.
    fn replay(&mut self, wal: &Wal, from: Lsn, dir: &Path) -> Result<()> {
        if from == wal.end_lsn() {
            // To find that nothing is there, a replay would walk to it from the start of its segment.
            return Ok(());
        }
        let mut records = wal.replay(from)?;
        let mut commits = Commits::beginning(dir);
        while let Some(record) = records.next()? {
            match commits.next(&record, &mut self.offsets)? {
                Record::Put { key, value } => self.change(key, Some(value))?,
                Record::Delete { key } => self.change(key, None)?,
                Record::Commit(_) => {
                    self.commits += 1;
                    self.committed = Some(record.end);
                }
            }
        }
        commits.end()
    }

    fn change(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.records += 1;
        if planted("replay-skips-first-change") && self.records == 1 {
            return Ok(());
        }
        // A record too short for a key space was never written by a store.
        if let Some(key) = self.table.whole_key(key) {
            self.table.write(&key, RECOVERED, value)?;
        }
        Ok(())
    }
}

fn run_limits(options: &StoreOptions) -> RunLimits {
    RunLimits { log_bytes: options.run_log_bytes, records: options.run_records, part_bytes: options.part_bytes }
}

/// What a store is put together from.
struct Parts {
    wal: Wal,
    manager: CheckpointManager,
    checkpointing: Checkpointing,
    attached: Option<laminar_checkpoint::Checkpoint>,
    recovered: Replayed,
}

fn assemble(
    dir: &Path,
    options: StoreOptions,
    identity: Identity,
    lock: laminar_vfs::Lock,
    parts: Parts,
) -> Result<WalStateStore> {
    let Parts { wal, manager, checkpointing, attached, recovered } = parts;
    let mut table = recovered.table;
    table.settle();
    table.set_in_bulk(false);
    let layers = Layers { table: &table, attached: attached.as_ref() };
    let catalogue = read_into(Catalogue::tagged(fresh_tag(&options.env)), dir, layers)?;
    let position = attached.as_ref().map(|checkpoint| Lsn::new(checkpoint.wal_position()));
    let committed = recovered.committed.or(position).unwrap_or_else(|| wal.start_lsn());
    let env = options.env;
    let last = env.clock.now();
    Ok(WalStateStore {
        dir: dir.to_owned(),
        env,
        hash_seed: identity.hash_seed,
        wal,
        manager,
        table,
        attached,
        checkpointing,
        periodic: options.checkpoint_interval.map(|interval| Periodic::new(interval, last)),
        checkpoint_log_bytes: options.checkpoint_log_bytes,
        catalogue,
        offsets: Offsets::recovered(recovered.offsets),
        staged: Staged::new(options.buffer_bytes),
        first_change: None,
        committed,
        marks: Marks::new(),
        refused: false,
        scanned_early: OnceLock::new(),
        sweeping: Sweeping::new(),
        memory_budget: options.memory_budget,
        scratch: Vec::new(),
        closed: false,
        lock,
    })
}

/// What the handles of this opening are told by.
fn fresh_tag(env: &Env) -> u32 {
    let [a, b, c, d, ..] = env.random.id().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The catalogue of someone who gives out no handles.
pub(crate) fn read_catalogue(dir: &Path, layers: Layers<'_>) -> Result<Catalogue> {
    read_into(Catalogue::default(), dir, layers)
}

fn read_into(mut catalogue: Catalogue, dir: &Path, layers: Layers<'_>) -> Result<Catalogue> {
    let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    for entry in OperatorView::new(layers, CATALOGUE).range_scan(all) {
        let (name, value) = entry?;
        let namespace = value.try_into().map(u32::from_le_bytes).ok();
        match (std::str::from_utf8(name), namespace) {
            (Ok(name), Some(namespace)) if catalogue.can_have(Namespace(namespace)) => {
                catalogue.set(name, Namespace(namespace));
            }
            _ => {
                let reason = "an entry of the catalogue is not a name with a number of its own";
                return Err(Error::Corrupt { path: dir.to_owned(), offset: 0, reason });
            }
        }
    }
    Ok(catalogue)
}

impl RecoveryReport {
    fn new(tail: TailReport, from: Lsn) -> Self {
        Self {
            created: false,
            checkpoint: None,
            passed_over: Vec::new(),
            healed: Vec::new(),
            identity_degraded: false,
            tail,
            replayed_from: from,
            records_replayed: 0,
            commits_replayed: 0,
            source_offsets: BTreeMap::new(),
            log_given_up: None,
            log_given_up_before: Vec::new(),
            duration: std::time::Duration::ZERO,
        }
    }
}
