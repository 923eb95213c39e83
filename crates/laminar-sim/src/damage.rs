//! Damage at rest: a reference directory, one thing in it broken, and what opening and reading it comes to.
//!
//! Every bit flipped, every sector zeroed, exchanged with its neighbour or stale, every file cut at every length, stale, gone or a
//! directory. The outcome must be the acknowledged history, whole, or a typed error that names a path and has changed nothing.
//! Damage to a checkpoint must not even be an error: it heals, or an older checkpoint and the log stand in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use laminar_vfs::sim::SimDisk;

use crate::Violation;
use crate::seeds::caught;

mod reference;
mod subject;

pub(crate) use reference::{DIR, checkpoint_options, log_options, store_options};
use reference::{Left, Subject};

/// The reference directories, by name.
pub const REFERENCES: [&str; 8] = [
    "store-closed",
    "store-busy",
    "store-at-rest",
    "store-every-commit",
    "log-closed",
    "log-busy",
    "log-at-rest",
    "checkpoints",
];

/// Of bits that are flipped in another reference too, one in so many is flipped; and after one in so many it is tried how things go on.
const OTHERS_BIT_STEP: usize = 61;
/// Bytes of a sector.
const SECTOR: u64 = 512;

/// How something is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum Break {
    /// The bit of this number is turned over.
    Flip(u64),
    /// The sector of this number reads as zero.
    Zero(u64),
    /// The sector of this number and the next one have changed places.
    Swap(u64),
    /// The sector of the second number is that of the older disk of the first number.
    Stale(u64, u64),
    /// The whole file is that of the older disk of this number.
    StaleFile(u64),
    /// The file ends after this many bytes.
    Cut(u64),
    /// The file or directory is gone.
    Remove,
    /// The file has become an empty directory.
    Directory,
}

/// One damage to one file of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file or directory.
    pub path: PathBuf,
    /// What happens to it.
    pub how: Break,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, at) = match self.how {
            Break::Flip(bit) => ("flip", bit.to_string()),
            Break::Zero(sector) => ("zero", sector.to_string()),
            Break::Swap(sector) => ("swap", sector.to_string()),
            Break::Stale(older, sector) => ("stale", format!("{older}.{sector}")),
            Break::StaleFile(older) => ("stale-file", older.to_string()),
            Break::Cut(len) => ("cut", len.to_string()),
            Break::Remove => ("remove", "0".to_owned()),
            Break::Directory => ("directory", "0".to_owned()),
        };
        write!(f, "{}:{kind}:{at}", self.path.display())
    }
}

impl FromStr for Damage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let (path, kind, at) = (parts.next(), parts.next(), parts.next());
        let (Some(path), Some(kind), Some(at)) = (path, kind, at) else {
            return Err(format!("`{text}` is not PATH:KIND:AT"));
        };
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
        let how = match kind {
            "flip" => Break::Flip(number(at)?),
            "zero" => Break::Zero(number(at)?),
            "swap" => Break::Swap(number(at)?),
            "stale" => {
                let (older, sector) = at.split_once('.').ok_or_else(|| format!("`{at}` is not OLDER.SECTOR"))?;
                Break::Stale(number(older)?, number(sector)?)
            }
            "stale-file" => Break::StaleFile(number(at)?),
            "cut" => Break::Cut(number(at)?),
            "remove" => Break::Remove,
            "directory" => Break::Directory,
            _ => return Err(format!("`{kind}` is no kind of damage")),
        };
        Ok(Self { path: PathBuf::from(path), how })
    }
}

/// What may become of a damaged reference, besides the whole history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowed {
    /// A typed error that has changed nothing.
    error: bool,
    /// The loss of what was acknowledged last, if it is reported as possible.
    last_group: bool,
}

/// What an opening is held to.
struct Rules<'a> {
    /// Everything is verified first.
    all: bool,
    /// What opened is written to, and opened again.
    go_on: bool,
    allowed: Allowed,
    /// Undoes the damage.
    mend: &'a dyn Fn(&SimDisk) -> Result<(), Violation>,
}

/// A directory that was written, acknowledged, and left; and copies of its disk from before.
pub struct Reference {
    name: &'static str,
    disk: SimDisk,
    /// From before the last acknowledgement, and from longer ago.
    older: Vec<SimDisk>,
    subject: Subject,
    files: Files,
    /// The hash of the disk.
    hash: u64,
    /// How a log was left: whether something behind the last group vouches for it.
    left: Left,
}

/// What a damage came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// The disk was the same afterwards: no damage.
    Nothing,
    /// The acknowledged history, whole.
    Whole,
    /// A typed error.
    Refused,
    /// What was acknowledged last is gone, and is reported as possibly acknowledged.
    LastLost,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "changed nothing",
            Self::Whole => "left the history whole",
            Self::Refused => "were refused with a typed error",
            Self::LastLost => "took the last group, and it was reported",
        })
    }
}

/// Files and what is in them.
pub(crate) type Files = Vec<(PathBuf, Vec<u8>)>;

/// The disk of a reference, and its files.
pub(crate) fn contents(name: &str) -> Result<(SimDisk, Files), Violation> {
    let reference = Reference::new(name)?;
    Ok((reference.disk, reference.files))
}

impl Reference {
    /// Writes the reference of a name of [`REFERENCES`].
    ///
    /// # Errors
    /// Where there is none of this name, or it can't be written.
    pub fn new(name: &str) -> Result<Self, Violation> {
        let known = REFERENCES.into_iter().find(|known| *known == name);
        let name = known.ok_or_else(|| Violation::new(format!("there is no reference `{name}`: {REFERENCES:?}")))?;
        let written = reference::write(name)?;
        let disk = written.disk;
        let mut files = Vec::new();
        for path in disk.files() {
            let bytes = disk.read_file(&path).map_err(|error| Violation::new(error.to_string()))?;
            files.push((path, bytes));
        }
        let hash = disk.hash();
        let left = written.left;
        Ok(Self { name, disk, older: written.older, subject: written.subject, files, hash, left })
    }

    /// Bytes of all files, those with several names once a name.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Every damage; or a sample of them: of the flipped bits every `step`-th, of sectors and of lengths that a file is cut to as
    /// many as the root of that leaves. Whatever happens to a whole file is always among them.
    #[must_use]
    pub fn damages(&self, step: usize) -> Vec<Damage> {
        let (bit_step, sector_step) = (step, step.isqrt());
        let mut all = Vec::new();
        let mut dirs: Vec<&Path> = Vec::new();
        for (path, bytes) in &self.files {
            let (len, sectors) = (bytes.len() as u64, (bytes.len() as u64).div_ceil(SECTOR));
            let older = 0..self.older.len() as u64;
            let mut add = |how| all.push(Damage { path: path.clone(), how });
            let step = if self.is_in_another(path) { OTHERS_BIT_STEP } else { 1 } * bit_step;
            (0..len * 8).step_by(step).for_each(|bit| add(Break::Flip(bit)));
            (0..sectors).step_by(sector_step).for_each(|sector| add(Break::Zero(sector)));
            (1..len / SECTOR).step_by(sector_step).for_each(|sector| add(Break::Swap(sector - 1)));
            for older in older {
                (0..sectors).step_by(sector_step).for_each(|sector| add(Break::Stale(older, sector)));
                add(Break::StaleFile(older));
            }
            // Every length; of bytes that are tried elsewhere, those around a sector's end.
            let near_sector = |cut: &u64| step == 1 || matches!(cut % SECTOR, 0 | 1 | 511);
            (0..len).filter(near_sector).step_by(sector_step).for_each(|cut| add(Break::Cut(cut)));
            add(Break::Cut(len + 1));
            add(Break::Remove);
            add(Break::Directory);
            // The directory itself is left: where nothing is, nothing can tell that there was something.
            let above =
                path.ancestors().skip(1).filter(|dir| dir.parent().is_some_and(|above| above.parent().is_some()));
            dirs.extend(above);
        }
        dirs.sort_unstable();
        dirs.dedup();
        all.extend(dirs.iter().map(|dir| Damage { path: dir.to_path_buf(), how: Break::Remove }));
        all
    }

    /// Whether every bit of these bytes is flipped elsewhere: those of a shared run under its other name, and those of checkpoints in
    /// a store that was closed and maps its runs, and in one that reads them into memory.
    fn is_in_another(&self, path: &Path) -> bool {
        let in_store = matches!(self.name, "store-busy" | "store-at-rest") && is_in_checkpoint(path);
        let first = self.files.iter().find(|(other, _)| other.file_name() == path.file_name()).map(|(other, _)| other);
        let is_run = path.extension().is_some_and(|extension| extension == "run");
        in_store || is_run && first.is_some_and(|first| first != path)
    }

    /// Does a damage, opens in every way and reads everything.
    ///
    /// # Errors
    /// An outcome that must not be; a panic is one.
    pub fn check(&self, damage: &Damage) -> Result<Outcome, Violation> {
        let replay = || format!("replay: cargo xtask fault --reference {} --damage {damage}", self.name);
        caught(|| self.judge(damage)).map_err(|violation| violation.with(&replay()))
    }

    fn judge(&self, damage: &Damage) -> Result<Outcome, Violation> {
        let damaged = self.disk.fork();
        if self.apply(&damaged, damage).is_err() || damaged.hash() == self.hash {
            return Ok(Outcome::Nothing);
        }
        let allowed = self.allowed(damage);
        let mend = |disk: &SimDisk| self.mend(disk, damage);
        let flipped = if let Break::Flip(bit) = damage.how { Some(bit) } else { None };
        let go_on = flipped.is_none_or(|bit| bit.is_multiple_of(OTHERS_BIT_STEP as u64));
        let judge =
            |disk: &SimDisk, all| self.subject.judge(disk, &Rules { all, go_on: go_on && !all, allowed, mend: &mend });
        if flipped.is_some() && !is_in_checkpoint(&damage.path) {
            // What is verified first is in checkpoints.
            return judge(&damaged, false);
        }
        let all = judge(&damaged.fork(), true).map_err(|violation| violation.with("all verified"))?;
        let plain = judge(&damaged, false)?;
        // What holds when all is verified first may show later otherwise, but what opens there opens here.
        Ok(if all == Outcome::Refused { plain } else { all })
    }

    /// Damages the disk; an error where there is nothing to damage.
    fn apply(&self, disk: &SimDisk, damage: &Damage) -> laminar_vfs::Result<()> {
        let path = &damage.path;
        let older = |number: u64| self.older.get(usize::try_from(number).unwrap_or(usize::MAX)).unwrap_or(&self.disk);
        match damage.how {
            Break::Flip(bit) => disk.flip_bit(path, bit),
            Break::Zero(sector) => disk.zero_sector(path, sector),
            Break::Swap(sector) => disk.swap_sectors(path, sector, sector + 1),
            Break::Stale(number, sector) => disk.copy_sector(older(number), path, sector),
            Break::StaleFile(number) => disk.copy_file(older(number), path),
            Break::Cut(len) => disk.truncate(path, len),
            Break::Remove => disk.remove(path),
            Break::Directory => disk.replace_with_dir(path),
        }
    }

    /// Undoes the damage on a disk that a failed opening has changed; an error where it has changed what was damaged.
    fn mend(&self, disk: &SimDisk, damage: &Damage) -> Result<(), Violation> {
        let same = self.disk.fork();
        let damaged = self.apply(&same, damage).and_then(|()| same.read_file(&damage.path));
        if disk.read_file(&damage.path).ok() != damaged.ok() {
            return Err(Violation::new("an error, and what is damaged was changed"));
        }
        drop(disk.remove(&damage.path));
        for (path, bytes) in self.files.iter().filter(|(path, _)| path.starts_with(&damage.path)) {
            disk.write_file(path, bytes).map_err(|error| Violation::new(format!("mending failed: {error}")))?;
        }
        Ok(())
    }

    /// How many checkpoints have the run in this file.
    fn runs_like(&self, path: &Path) -> usize {
        let id = self.files.iter().find(|(other, _)| other.as_path() == path).and_then(|(_, bytes)| run_id(bytes));
        let runs = self.files.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "run"));
        runs.filter(|(_, bytes)| run_id(bytes) == id).count()
    }

    fn allowed(&self, damage: &Damage) -> Allowed {
        let name = damage.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let in_checkpoint = is_in_checkpoint(&damage.path);
        // A run that checkpoints share exists once; parity makes up for a block of it, not for more.
        let is_shared = name.ends_with(".run") && self.runs_like(&damage.path) > 1;
        let more_than_a_block = matches!(damage.how, Break::Cut(_));
        let reads_as_zero = match damage.how {
            Break::Zero(_) | Break::Swap(_) | Break::Stale(..) => self.left == Left::Busy,
            // The mark behind the last group goes with it.
            Break::StaleFile(_) => self.left != Left::Closed,
            _ => false,
        };
        Allowed {
            error: !in_checkpoint || (is_shared && more_than_a_block),
            last_group: reads_as_zero && name.ends_with(".wal"),
        }
    }
}

/// The random id in the header of a run: a part of one has another name in each checkpoint.
fn run_id(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(16..32)
}

/// Whether a path is that of a checkpoint or of a file in one.
fn is_in_checkpoint(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"checkpoint-"))
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reference").field("name", &self.name).field("files", &self.files.len()).finish_non_exhaustive()
    }
}
