//! Leaving a store: in order, or on request with everything looked at.

use std::collections::BTreeMap;
use std::path::Path;

use laminar_checkpoint::{Checkpoint, CheckpointManager, Meta, Progress, VerifyReport};
use laminar_wal::Lsn;

use crate::checkpointing::MOST_PARTS;
use crate::recover::{Commits, checkpoint_options};
use crate::{Error, Result, StoreOptions, WalStateStore, identity};

impl WalStateStore {
    /// Closes the store: waits for a checkpoint that is running, makes every commit durable and seals the log, so that
    /// the next opening has nothing to scan, unless changes that were never committed have reached the log. These are dropped. Every later call that
    /// would change anything is [`Error::Closed`].
    ///
    /// # Errors
    /// [`is_no_space`](Error::is_no_space): the store goes on, and it can be called again; unless only the log's file `CLOSED` was refused:
    /// then the store is closed and whole, and the next opening looks at the log's end. Those of the log's last sync; the store is
    /// closed all the same.
    pub fn close(&mut self) -> Result<()> {
        self.check_open()?;
        if let Some(running) = self.checkpointing.running() {
            // Its own failure is told by its ticket and does not concern the log.
            drop(running.wait());
        }
        self.checkpointing.stop();
        let closed = self.wal.close();
        self.closed = self.wal.is_closed() || !closed.as_ref().is_err_and(laminar_wal::Error::is_no_space);
        Ok(closed?)
    }

    /// Whether the store was closed: every later change is [`Error::Closed`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Reads and checks everything that is on disk: the identity, every byte of every checkpoint, and the log from its beginning to
    /// the last commit, record by record: each must be one of a store's, and each batch a whole commit.
    /// Changes nothing.
    ///
    /// # Errors
    /// Only where the check itself can't be made; what is damaged is in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<StoreVerifyReport> {
        self.check_open()?;
        let mut report = StoreVerifyReport::default();
        match identity::read(&*self.env.vfs, &self.dir) {
            Ok((_, degraded)) => report.identity_degraded = degraded,
            Err(error) => report.damaged.push(error),
        }
        for info in self.manager.list()? {
            let lost: Vec<Error> = match self.manager.verify(info.id, progress) {
                Ok(verified) if verified.is_readable() => {
                    report.checkpoints.push((info.id, verified));
                    continue;
                }
                Ok(verified) => {
                    let lost = verified.damage.into_iter().filter(|damage| !damage.is_healed);
                    lost.map(|damage| damage.error.into()).collect()
                }
                Err(error) => vec![error.into()],
            };
            // What is retired in the background while it is being read is no damage; its name is the first that goes.
            if self.manager.list()?.iter().any(|listed| listed.id == info.id) {
                report.damaged.extend(lost);
            }
        }
        loop {
            let start = self.wal.start_lsn();
            match self.verify_log(start, &mut report) {
                // Truncated in the background meanwhile: what is left is read again.
                Err(_) if self.wal.start_lsn() > start => {}
                Err(error) => break report.damaged.push(error),
                Ok(()) => break,
            }
        }
        Ok(report)
    }

    fn verify_log(&self, start: Lsn, report: &mut StoreVerifyReport) -> Result<()> {
        report.log_records = 0;
        let mut records = self.wal.replay(start)?;
        let mut commits = Commits::beginning_anywhere(&self.dir);
        let mut offsets = BTreeMap::new();
        while let Some(record) = records.next()? {
            commits.next(&record, &mut offsets)?;
            report.log_records += 1;
            report.log_end = record.end;
        }
        Ok(())
    }

    /// Writes a full checkpoint of everything committed so far into `dir`, which is created if it is not there, and
    /// returns it: one run, in parts where it is large, no links to this store, a backup that can be copied and [`restore`](crate::restore)d. Waits for a checkpoint of the
    /// store itself first.
    ///
    /// # Errors
    /// Those of the checkpoint, and of writing to `dir`.
    pub fn export(&mut self, dir: impl AsRef<Path>) -> Result<Checkpoint> {
        let newest = self.checkpoint_all()?;
        let options = StoreOptions::new().env(self.env.clone()).value_alignment(self.manager.value_alignment());
        let identity = crate::format::Identity { log_id: newest.lineage(), hash_seed: self.hash_seed };
        let manager = CheckpointManager::open(dir, checkpoint_options(&options, identity).hold_lock(true))?;
        let mut draft = manager.draft()?;
        let position = newest.wal_position();
        if position > 0 {
            let part_entries = newest.entries_upper_bound().div_ceil(MOST_PARTS as u64);
            let (mut run, mut entries) = (draft.run_writer(0, position, false)?, 0);
            for entry in newest.range(..) {
                let (key, value) = entry?;
                if entries >= part_entries && run.bytes() >= self.manager.part_bytes() {
                    draft.add_run(run.finish()?)?;
                    (run, entries) = (draft.run_writer(0, position, false)?, 0);
                }
                run.push(key, Some(value))?;
                entries += 1;
            }
            draft.add_run(run.finish()?)?;
        }
        Ok(draft.publish(Meta::new(position).source_offsets(newest.source_offsets().clone()))?)
    }
}

/// What [`WalStateStore::verify`] found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct StoreVerifyReport {
    /// Whether one of the two copies of the store's identity is damaged.
    pub identity_degraded: bool,
    /// What was read of each checkpoint that is whole, or healed itself.
    pub checkpoints: Vec<(u64, VerifyReport)>,
    /// Records of the log that were read and are whole.
    pub log_records: u64,
    /// How far the log was read.
    pub log_end: Lsn,
    /// Everything that is damaged beyond repair.
    pub damaged: Vec<Error>,
}

impl StoreVerifyReport {
    /// Whether nothing is damaged beyond repair.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty()
    }
}
