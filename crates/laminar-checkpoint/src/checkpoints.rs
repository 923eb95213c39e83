//! The manager of a directory of checkpoints. Owns: the directory's lock, ids, and what of it this process uses.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use laminar_vfs::{Lock, Op, Vfs, create_dir_durable};

use crate::checkpoint::{Checkpoint, CheckpointStats, Inner, Registry};
use crate::create::Pending;
use crate::name::{LOCK_NAME, Name, parse};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, Weak};
use crate::{CheckpointOptions, Error, Result};

/// Makes, finds and removes the checkpoints of one directory; a cheap clone shares it.
///
/// Used alone it takes the directory's lock while a checkpoint is being made and while old ones are removed; within one
/// manager these may overlap. Readers need no lock.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create};
/// # let scratch = tempfile::tempdir()?;
/// let manager = CheckpointManager::open(scratch.path().join("checkpoints"), CheckpointOptions::new())?;
/// let first = manager.create(Create::new(10).entries([("a", Some("1")), ("b", Some("2"))]))?;
/// let second = manager.create(Create::new(20).base(&first).entries([("a", None), ("c", Some("3"))]))?;
/// assert_eq!((second.get(b"a")?, second.get(b"b")?), (None, Some(&b"2"[..])));
/// assert_eq!(manager.latest_checkpoint()?.unwrap().id(), second.id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CheckpointManager {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) options: CheckpointOptions,
    pub(crate) registry: Registry,
    /// Checkpoints that were handed out, by id. While it is locked, none begins to be in use.
    pub(crate) live: Mutex<Vec<(u64, Weak<Inner>)>>,
    /// Temporaries that are being written: not strays.
    busy: Mutex<HashSet<PathBuf>>,
    /// Ids that an opening has passed over: how much is looked at differs, and what was found out once stays known.
    condemned: Mutex<BTreeSet<u64>>,
    /// The highest id that was given out.
    last_id: AtomicU64,
    held: Arc<Mutex<Held>>,
    /// `retain.rs`: one removal of checkpoints or leftovers at a time.
    pub(crate) removing: Mutex<()>,
    /// Workers of calls that are under way.
    pub(crate) pending: Mutex<Vec<Pending>>,
}

/// The right to write in the directory, shared by all work of one manager.
#[derive(Debug)]
pub(crate) struct Owner(Option<Arc<Mutex<Held>>>);

/// The directory's lock, and how much work shares it: there is one as long as there is the other.
#[derive(Debug, Default)]
struct Held {
    owners: usize,
    lock: Option<Lock>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(held) = &self.0 {
            let mut held = held.lock();
            held.owners -= 1;
            if held.owners == 0 {
                // Before anybody else of this manager asks for it, who would find it taken.
                held.lock = None;
            }
        }
    }
}

/// A temporary file or directory that is being written.
pub(crate) struct Busy {
    shared: Arc<Shared>,
    pub(crate) path: PathBuf,
}

impl Busy {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.busy.lock().remove(&self.path);
    }
}

impl CheckpointManager {
    /// Opens a directory of checkpoints, and creates it if nothing is there. Nothing else is read or written.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], and those of the disk: `NotADirectory` where a file is in the way.
    pub fn open(dir: impl AsRef<Path>, options: CheckpointOptions) -> Result<Self> {
        options.check()?;
        create_dir_durable(&*options.env.vfs, dir.as_ref())?;
        Self::open_existing(dir, options)
    }

    /// Opens a directory of checkpoints that is there, and whose name is known to be durable: an owner above that has published
    /// something since it was created spares the sync that [`open`](Self::open) makes to be sure. Nothing is read or written.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn open_existing(dir: impl AsRef<Path>, options: CheckpointOptions) -> Result<Self> {
        options.check()?;
        let shared = Shared {
            dir: dir.as_ref().to_owned(),
            registry: Registry::new(&options.env),
            options,
            live: Mutex::default(),
            busy: Mutex::default(),
            condemned: Mutex::default(),
            last_id: AtomicU64::new(0),
            held: Arc::default(),
            removing: Mutex::default(),
            pending: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How often a checkpoint is wanted.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.shared.options.interval
    }

    /// The directory of the checkpoints.
    #[must_use]
    pub fn checkpoint_dir(&self) -> &Path {
        &self.shared.dir
    }

    /// The least size of a part of the oldest run, see [`CheckpointOptions::part_bytes`].
    #[must_use]
    pub fn part_bytes(&self) -> u64 {
        self.shared.options.part_bytes
    }

    /// What values in new runs begin on multiples of, see [`CheckpointOptions::value_alignment`].
    #[must_use]
    pub fn value_alignment(&self) -> usize {
        self.shared.options.value_alignment
    }

    /// How many checkpoints are to be kept.
    #[must_use]
    pub fn max_retained(&self) -> usize {
        self.shared.options.max_retained
    }
}

impl Shared {
    pub(crate) fn vfs(&self) -> &dyn Vfs {
        &*self.options.env.vfs
    }

    /// Takes the directory's lock, or shares it with other work of this manager.
    pub(crate) fn own(&self) -> Result<Owner> {
        if !self.options.hold_lock {
            return Ok(Owner(None));
        }
        let mut held = self.held.lock();
        if held.lock.is_none() {
            let path = self.dir.join(LOCK_NAME);
            let lock = self.vfs().lock(&path).map_err(|error| match error.is_locked() {
                true => Error::Locked { path: path.clone() },
                false => Error::Io(error),
            })?;
            held.lock = Some(lock);
        }
        held.owners += 1;
        Ok(Owner(Some(Arc::clone(&self.held))))
    }

    /// Marks a temporary as being written; nothing if it is already.
    pub(crate) fn begin(self: &Arc<Self>, path: PathBuf) -> Option<Busy> {
        self.busy.lock().insert(path.clone()).then(|| Busy { shared: Arc::clone(self), path })
    }

    pub(crate) fn is_busy(&self, path: &Path) -> bool {
        self.busy.lock().contains(path)
    }

    /// Notes what an opening has found out about a checkpoint. A read that failed may succeed another time.
    pub(crate) fn judge(&self, id: u64, is_valid: bool) {
        let mut condemned = self.condemned.lock();
        if is_valid {
            condemned.remove(&id)
        } else {
            condemned.insert(id)
        };
    }

    pub(crate) fn is_condemned(&self, id: u64) -> bool {
        self.condemned.lock().contains(&id)
    }

    /// An id above every id that was ever seen in the directory.
    pub(crate) fn next_id(&self) -> Result<u64> {
        let mut highest = self.condemned.lock().last().copied().unwrap_or(0);
        for entry in self.vfs().list(&self.dir)? {
            if let Some(Name::Checkpoint(id) | Name::Draft(id) | Name::Removed(id)) = parse(&entry.name) {
                highest = highest.max(id);
            }
        }
        let full = Error::InvalidOption { name: "id", why: "a checkpoint with the highest id there can be exists" };
        let mut last = self.last_id.load(Ordering::Acquire);
        loop {
            let next = last.max(highest).checked_add(1).ok_or_else(|| full.clone())?;
            match self.last_id.compare_exchange(last, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(next),
                Err(seen) => last = seen,
            }
        }
    }

    /// Opens the checkpoint in `dir`, which must be number `id`, and remembers that it is in use.
    pub(crate) fn load(&self, id: u64, dir: &Path, stats: CheckpointStats) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::load(dir, &self.options, &self.registry, stats)?;
        if checkpoint.id() != id {
            let path = dir.join(crate::name::MANIFEST_NAME);
            return Err(Error::corrupt(&path, 0, crate::Reason::Mismatch, "the id that the directory is named by"));
        }
        let mut live = self.live.lock();
        // A removal that has not seen this one in use has renamed it by now.
        if self.vfs().kind(dir)?.is_none() {
            return Err(Error::Io(laminar_vfs::Error::new(Op::Open, dir, ErrorKind::NotFound.into())));
        }
        live.retain(|(_, handle)| handle.strong_count() > 0);
        live.push((id, Arc::downgrade(&checkpoint.0)));
        Ok(checkpoint)
    }
}

impl fmt::Debug for CheckpointManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointManager").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}
