//! Hostile bytes: whatever stands in a file, opening and reading it gives an answer or a typed error. No panic, no memory or
//! time beyond what the file's length explains.
//!
//! Each [`Target`] takes any bytes in the place of one file of a small directory that is otherwise whole, or as a list of edits of a
//! whole directory. With `mend` all checksums are computed anew before, so that what is behind them is reached. The same code runs over
//! checked-in cases in `cargo test`, over mutations by seed in `cargo xtask fault`, and under `cargo fuzz`.

use std::cell::OnceCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use laminar_vfs::sim::SimDisk;

use crate::Violation;
use crate::damage::{Files, contents};

mod edit;
mod mend;
mod mutate;
mod read;

use mutate::mutate;

/// What is hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum Target {
    /// A segment of a log.
    Segment,
    /// A run of a checkpoint.
    Run,
    /// The MANIFEST of a checkpoint.
    Manifest,
    /// A section of a checkpoint.
    Section,
    /// A store: the bytes are edits of its files.
    Directory,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Segment, Self::Run, Self::Manifest, Self::Section, Self::Directory];

    fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Run => "run",
            Self::Manifest => "manifest",
            Self::Section => "section",
            Self::Directory => "directory",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|target| target.name() == text);
        found.ok_or_else(|| format!("`{text}` is no target: segment, run, manifest, section or directory"))
    }
}

/// How hostile bytes were met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum Met {
    /// Opening gave an error.
    Refused,
    /// It opened, and some reading gave an error.
    Partly,
    /// Everything could be read.
    Read,
}

/// A directory, and the file in it that hostile bytes take the place of.
struct Base {
    disk: SimDisk,
    files: Files,
    /// The file of each target but the last.
    path: PathBuf,
}

thread_local! {
    static BASES: [OnceCell<Base>; 5] = const { [const { OnceCell::new() }; 5] };
}

impl Base {
    fn new(target: Target) -> Result<Self, Violation> {
        let (reference, ending) = match target {
            Target::Segment => ("log-busy", ".wal"),
            // The one below the others, with blocks of either kind and an index.
            Target::Run => ("checkpoints", "10.run"),
            Target::Manifest => ("checkpoints", "MANIFEST"),
            Target::Section => ("checkpoints", ".section"),
            Target::Directory => ("store-closed", ""),
        };
        let (disk, files) = contents(reference)?;
        // The last in the order of their names: of segments the one that was written last but for a spare, of checkpoints the newest's.
        let is_in_use = |bytes: &[u8]| target != Target::Segment || bytes[4096..].iter().any(|byte| *byte != 0);
        let fits = |(path, bytes): &&(PathBuf, Vec<u8>)| path.to_string_lossy().ends_with(ending) && is_in_use(bytes);
        let found = files.iter().rfind(fits).map(|(path, _)| path.clone());
        let path = found.filter(|_| target != Target::Directory).unwrap_or_default();
        Ok(Self { disk, files, path })
    }

    fn file(&self, path: &Path) -> &[u8] {
        self.files.iter().find(|(other, _)| other == path).map_or(&[], |(_, bytes)| bytes)
    }
}

fn with_base<T>(target: Target, work: impl FnOnce(&Base) -> Result<T, Violation>) -> Result<T, Violation> {
    BASES.with(|bases| {
        let cell = &bases[target as usize];
        if cell.get().is_none() {
            drop(cell.set(Base::new(target)?));
        }
        cell.get().map_or_else(|| Err(Violation::new("no base")), work)
    })
}

/// Bytes that are not hostile: those of the file, or no edits.
///
/// # Errors
/// Where the directory can't be written.
pub fn honest(target: Target) -> Result<Vec<u8>, Violation> {
    with_base(target, |base| Ok(base.file(&base.path).to_vec()))
}

/// Opens and reads hostile bytes; with `mend` after computing their checksums anew.
///
/// # Errors
/// Where more came out than can be in there, or an error that is not one.
///
/// # Panics
/// Where the crates under test do: that is what it looks for.
pub fn meet(target: Target, bytes: &[u8], mend: bool) -> Result<Met, Violation> {
    with_base(target, |base| {
        let disk = base.disk.fork();
        let failed = |error: laminar_vfs::Error| Violation::new(format!("writing failed: {error}"));
        if target == Target::Directory {
            for (path, bytes) in edit::edited(&base.files, bytes) {
                disk.write_file(path, &bytes).map_err(failed)?;
            }
        } else {
            disk.write_file(&base.path, bytes).map_err(failed)?;
        }
        if mend {
            mend::mend(&disk, target != Target::Manifest).map_err(failed)?;
        }
        match target {
            Target::Segment => read::log(&disk),
            Target::Run | Target::Manifest | Target::Section => read::checkpoints(&disk),
            Target::Directory => read::store(&disk),
        }
    })
}

/// Whether computing the checksums of the honest directory anew changes none of its bytes.
///
/// # Errors
/// Where the directory can't be written.
pub fn mending_changes_nothing(target: Target) -> Result<bool, Violation> {
    with_base(target, |base| {
        let disk = base.disk.fork();
        mend::mend(&disk, true).map_err(|error| Violation::new(error.to_string()))?;
        Ok(base.files.iter().all(|(path, bytes)| disk.read_file(path).is_ok_and(|mended| mended == *bytes)))
    })
}

/// A mutation of honest bytes, by its number.
///
/// # Errors
/// Where the directory can't be written.
pub fn mutation(target: Target, seed: u64) -> Result<Vec<u8>, Violation> {
    let mut bytes = honest(target)?;
    mutate(target, &mut bytes, seed);
    Ok(bytes)
}

/// Meets one mutation of honest bytes, by its number.
///
/// # Errors
/// As [`meet`], with the replay command.
pub fn meet_mutation(target: Target, mend: bool, seed: u64) -> Result<Met, Violation> {
    let bytes = mutation(target, seed)?;
    let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meet(target, &bytes, mend)));
    let verdict = verdict.unwrap_or_else(|_| Err(Violation::new("a panic, see above")));
    let how = if mend { "mended" } else { "raw" };
    verdict.map_err(|violation| violation.with(&format!("replay: cargo xtask fault --hostile {target}:{how}:{seed}")))
}
