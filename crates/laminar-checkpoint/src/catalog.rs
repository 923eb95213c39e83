//! Finds checkpoints: lists them, opens one, falls back past those that are not valid.

use std::path::{Path, PathBuf};

use laminar_vfs::{Kind, kind_of_name, planted};

use crate::checkpoint::{Checkpoint, CheckpointStats, Registry, read_manifest};
use crate::checkpoints::{CheckpointManager, Shared};
use crate::format::manifest::MANIFEST_MAGIC;
use crate::format::twin;
use crate::name::{MANIFEST_NAME, Name, checkpoint_name, parse};
use crate::options::Verify;
use crate::report::{Healed, Part};
use crate::verify::{Findings, Progress, VerifyReport};
use crate::{CheckpointOptions, Error, Result, run};

/// A checkpoint by name; whether it is valid shows when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// Its number.
    pub id: u64,
    /// Its directory.
    pub path: PathBuf,
}

/// What [`CheckpointManager::open_newest_valid`] found.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create, Env};
/// # let scratch = tempfile::tempdir()?;
/// # let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let older = manager.create(Create::new(1).entries([("a", Some("1"))]))?;
/// let newer = manager.create(Create::new(2).base(&older).entries([("b", Some("2"))]))?;
/// Env::real().vfs.remove_file(&newer.state_path().join("MANIFEST"))?;
/// let opened = manager.open_newest_valid()?;
/// assert_eq!(opened.checkpoint.map(|checkpoint| checkpoint.id()), Some(older.id()));
/// assert!(opened.passed_over[0].reason.to_string().ends_with("MANIFEST is missing"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The newest valid checkpoint; nothing if there is none.
    pub checkpoint: Option<Checkpoint>,
    /// Newer checkpoints that are not valid, newest first, and why.
    pub passed_over: Vec<PassedOver>,
    /// What was damaged in the opened checkpoint and made good.
    pub healed: Vec<Healed>,
}

/// A checkpoint that is not valid.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PassedOver {
    /// Its number.
    pub id: u64,
    /// Its directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Error,
}

/// Whether an error says that this checkpoint is bad, rather than that nothing can be opened just now, or that the
/// program is too old for it.
pub(crate) fn condemns(error: &Error) -> bool {
    match error {
        Error::Corrupt { .. } | Error::Missing { .. } | Error::Foreign { .. } => true,
        Error::Io(error) => {
            let exhausted = matches!(error.io().raw_os_error(), Some(23 | 24));
            let refused =
                matches!(error.io().kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::OutOfMemory);
            !exhausted && !refused
        }
        _ => false,
    }
}

impl CheckpointManager {
    /// The published checkpoints, oldest first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn list(&self) -> Result<Vec<CheckpointInfo>> {
        self.shared.list()
    }

    /// Opens checkpoint number `id`. Whatever the options say, as much is checked as [`Verify::Footers`] does.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of [`Checkpoint::open`].
    pub fn get(&self, id: u64) -> Result<Checkpoint> {
        let path = self.shared.dir.join(checkpoint_name(id));
        match self.shared.load(id, &path, CheckpointStats::default()) {
            Err(_) if self.shared.is_gone(&path)? => {
                Err(Error::NotFound { path: self.shared.dir.clone(), what: format!("checkpoint {id}") })
            }
            opened => opened,
        }
    }

    /// Opens the newest checkpoint, as [`get`](Self::get) does; nothing if there is none. One that is not valid is an error: see
    /// [`open_newest_valid`](Self::open_newest_valid).
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`].
    pub fn latest_checkpoint(&self) -> Result<Option<Checkpoint>> {
        loop {
            let Some(newest) = self.list()?.pop() else { return Ok(None) };
            match self.get(newest.id) {
                // Removed by its owner while we looked: there is a newer one, or none.
                Err(Error::NotFound { .. }) => {}
                opened => return opened.map(Some),
            }
        }
    }

    /// Opens the newest checkpoint that is valid, and says why newer ones are not. How much is checked is for
    /// [`CheckpointOptions::verify`] to say.
    ///
    /// # Errors
    /// [`Error::Version`] where the newest is of a future version: that is not damage, and an older one not the answer.
    /// Those of the disk that say nothing about the checkpoint, such as too many open files.
    pub fn open_newest_valid(&self) -> Result<Opened> {
        'list: loop {
            let mut passed_over = Vec::new();
            let mut listed = self.list()?;
            if planted("recovery-prefers-older") {
                listed.reverse();
            }
            for CheckpointInfo { id, path } in listed.into_iter().rev() {
                match self.shared.open_checked(id, &path) {
                    Ok(checkpoint) => {
                        self.shared.judge(id, true);
                        let healed = checkpoint.healed();
                        return Ok(Opened { checkpoint: Some(checkpoint), passed_over, healed });
                    }
                    // Removed by its owner while we looked.
                    Err(_) if self.shared.is_gone(&path)? => continue 'list,
                    Err(reason) if condemns(&reason) && !planted("no-fallback-to-older") => {
                        self.shared.judge(id, false);
                        passed_over.push(PassedOver { id, path, reason });
                    }
                    Err(error) => return Err(error),
                }
            }
            return Ok(Opened { checkpoint: None, passed_over, healed: Vec::new() });
        }
    }

    /// Whether an opening by this manager, or a clone of it, has passed over checkpoint number `id`. One that
    /// [`Verify::All`] finds damaged may open all the same where less is looked at, and is not to be relied on.
    #[must_use]
    pub fn is_condemned(&self, id: u64) -> bool {
        self.shared.is_condemned(id)
    }

    /// Reads every byte of checkpoint number `id`: both copies of the MANIFEST, every block, parity and second copy.
    /// `progress` is called as it goes.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of [`Checkpoint::open`] where it can't be opened at all. Damage is not an error
    /// here: it is in the report.
    pub fn verify(&self, id: u64, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport> {
        let path = self.shared.dir.join(checkpoint_name(id));
        if self.shared.is_gone(&path)? {
            return Err(Error::NotFound { path: self.shared.dir.clone(), what: format!("checkpoint {id}") });
        }
        verify_checkpoint(&path, &self.shared.options, progress)
    }
}

impl Shared {
    pub(crate) fn list(&self) -> Result<Vec<CheckpointInfo>> {
        let entries = self.vfs().list(&self.dir)?;
        let mut found: Vec<_> = entries
            .iter()
            .filter_map(|entry| match parse(&entry.name)? {
                Name::Checkpoint(id) => Some(CheckpointInfo { id, path: self.dir.join(&entry.name) }),
                _ => None,
            })
            .collect();
        found.sort_by_key(|info| info.id);
        Ok(found)
    }

    /// Whether a checkpoint's name is gone from the directory. A symbolic link that leads nowhere is there, and not valid.
    fn is_gone(&self, path: &Path) -> Result<bool> {
        Ok(kind_of_name(self.vfs(), path)?.is_none())
    }

    fn open_checked(&self, id: u64, path: &Path) -> Result<Checkpoint> {
        if self.vfs().kind(path)?.is_some_and(|kind| kind != Kind::Dir) {
            return Err(Error::Foreign { path: path.to_owned(), why: "it is no directory" });
        }
        let checkpoint = self.load(id, path, CheckpointStats::default())?;
        check_as_told(path, &self.options)?;
        Ok(checkpoint)
    }
}

/// Reads the checkpoint in `dir` whole where the options say so: an error is the first damage that can't be made good.
pub(crate) fn check_as_told(dir: &Path, options: &CheckpointOptions) -> Result<()> {
    if options.verify == Verify::All {
        let report = verify_checkpoint(dir, options, &mut |_| {})?;
        if let Some(damage) = report.damage.into_iter().find(|damage| !damage.is_healed) {
            return Err(damage.error);
        }
    }
    Ok(())
}

/// Reads every byte of the checkpoint in `dir`, through files opened for that.
pub(crate) fn verify_checkpoint(
    dir: &Path,
    options: &CheckpointOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport> {
    let checkpoint = Checkpoint::load(dir, options, &Registry::new(&options.env), CheckpointStats::default())?;
    let mut findings = Findings::new(checkpoint.bytes(), progress);

    let path = dir.join(MANIFEST_NAME);
    findings.begin(&path);
    let bytes = read_manifest(&*options.env.vfs, dir)?.bytes;
    findings.read(bytes.len() as u64);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let body = |copy: u32| twin::decode(MANIFEST_MAGIC, copy, if copy == 0 { first } else { second });
    for copy in 0..2 {
        let offset = if copy == 0 { 0 } else { first.len() as u64 };
        if let Err(fault) = body(copy) {
            findings.damage(offset, first.len() as u64, Part::Manifest, true, Error::fault(&path, offset, fault));
        }
    }
    if matches!((body(0), body(1)), (Ok(first), Ok(second)) if first != second) {
        let error = Error::corrupt(&path, first.len() as u64, crate::Reason::Mismatch, "a copy of the first half");
        findings.damage(first.len() as u64, first.len() as u64, Part::Manifest, true, error);
    }
    for open in checkpoint.runs() {
        findings.begin(open.path());
        run::verify(&open.file, &mut findings);
    }
    for section in checkpoint.sections() {
        findings.begin(section.path());
        section.verify(&mut findings);
    }
    Ok(findings.report)
}
