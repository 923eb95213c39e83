//! What the records of a store's log must look like one after another: commits, whole.

use std::collections::BTreeMap;
use std::path::Path;

use laminar_wal::Lsn;

use crate::format::Record;
use crate::name::WAL_DIR;
use crate::{Error, Result};

/// Reads records and holds them to the format: each batch is some changes and the commit that names the first of them.
pub(crate) struct Commits<'a> {
    dir: &'a Path,
    first_change: Option<Lsn>,
    /// Where reading begins in the middle of a commit, its first change is not known.
    is_cut: bool,
}

impl<'a> Commits<'a> {
    /// Of a log that is read from the end of a commit on.
    pub(crate) fn beginning(dir: &'a Path) -> Self {
        Self { dir, first_change: None, is_cut: false }
    }

    /// Of a log that is read from its start on, which after a truncation may be in the middle of a commit.
    pub(crate) fn beginning_anywhere(dir: &'a Path) -> Self {
        Self { is_cut: true, ..Self::beginning(dir) }
    }

    /// The next record; the source offsets of a commit go into `offsets`.
    pub(crate) fn next<'r>(
        &mut self,
        record: &laminar_wal::Record<'r>,
        offsets: &mut BTreeMap<String, u64>,
    ) -> Result<Record<'r>> {
        let decoded = Record::decode(record.payload);
        if let Some(Record::Commit(commit)) = &decoded {
            if record.more {
                return Err(self.corrupt(record.lsn, "a batch of the log does not end with its commit"));
            }
            let cut_off =
                self.is_cut && commit.first.is_some_and(|first| first < self.first_change.unwrap_or(record.lsn));
            if commit.first != self.first_change && !cut_off {
                return Err(self.corrupt(record.lsn, "a commit does not name its first change"));
            }
            let applied = commit.apply(offsets);
            applied.ok_or_else(|| self.corrupt(record.lsn, "the source offsets of a commit can't be read"))?;
            self.first_change = None;
            self.is_cut = false;
        } else if !record.more {
            return Err(self.corrupt(record.lsn, "a batch of the log does not end with its commit"));
        } else {
            self.first_change.get_or_insert(record.lsn);
        }
        decoded.ok_or_else(|| self.corrupt(record.lsn, "a record of the log is none of a store's"))
    }

    /// After the last record.
    pub(crate) fn end(&self) -> Result<()> {
        match self.first_change {
            Some(lsn) => Err(self.corrupt(lsn, "the log ends with changes that have no commit")),
            None => Ok(()),
        }
    }

    fn corrupt(&self, lsn: Lsn, reason: &'static str) -> Error {
        Error::Corrupt { path: self.dir.join(WAL_DIR), offset: lsn.get(), reason }
    }
}
