//! Power cuts: what is left to chance, and the disk that comes of it.

use super::SimDisk;
use super::file::WHOLE;
use super::page::SECTOR_BYTES;
use super::random::{mix, nth};
use super::state::{Node, State};

/// What a power cut at this moment would decide: the changes that are not durable.
///
/// ```
/// use laminar_vfs::{OpenMode, sim::SimDisk};
/// let disk = SimDisk::new(1);
/// let file = disk.env().vfs.open("a".as_ref(), OpenMode::CreateNew).unwrap();
/// file.write_all_at(&[1; 1024], 0).unwrap();
/// let pending = disk.pending();
/// // The name, two sectors, the length: 16 states at most.
/// assert_eq!(pending.choices(), 4);
/// let all: Vec<_> = (0..1 << pending.choices()).map(|mask: u64| disk.crash_mask(mask)).collect();
/// assert_eq!(all.iter().filter(|disk| disk.read_file("a").is_ok()).count(), 8);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pending {
    descriptions: Vec<String>,
}

impl Pending {
    /// How many independent choices there are.
    #[must_use]
    pub fn choices(&self) -> usize {
        self.descriptions.len()
    }

    /// What each choice is about, for people.
    #[must_use]
    pub fn descriptions(&self) -> &[String] {
        &self.descriptions
    }
}

impl SimDisk {
    /// The changes that a power cut may lose.
    #[must_use]
    pub fn pending(&self) -> Pending {
        let machine = self.shared.machine.lock();
        let mut descriptions: Vec<_> = machine.state.describe_names().collect();
        for (ino, choices) in machine.state.choices_of_files().enumerate().filter(|(_, choices)| *choices > 0) {
            if let Node::File(file) = machine.state.node(ino) {
                let path = machine.state.path_of(ino);
                descriptions.extend((0..choices).map(|nth| format!("{path}: {}", file.describe(nth))));
            }
        }
        Pending { descriptions }
    }

    /// How many independent choices a power cut has now; the same as [`pending`](Self::pending) says, at no cost.
    #[must_use]
    pub fn choices(&self) -> usize {
        self.shared.machine.lock().state.choices()
    }

    /// The disk after a power cut now, in the state that `seed` picks of those that are legal: often all or nothing,
    /// else each change with a probability that the seed picks too.
    ///
    /// This disk and its processes go on in a world of their own.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let kept_of_8 = mix(seed) % 9;
        self.crash_with(&|choice| nth(seed, choice as u64) % 8 < kept_of_8)
    }

    /// As [`crash`](Self::crash) on a disk that does not even write sectors whole: some of those that are kept have
    /// only their first bytes new. Disks promise better; code that tells such damage from good bytes needs no promise.
    #[must_use]
    pub fn crash_torn(&self, seed: u64) -> Self {
        let kept_of_8 = mix(seed) % 9;
        let state = self.shared.machine.lock().state.after_crash(&|choice| {
            let number = nth(seed, choice as u64);
            let bytes = (number >> 8) % (2 * SECTOR_BYTES as u64);
            if number % 8 < kept_of_8 { usize::try_from(bytes).unwrap_or(WHOLE).clamp(1, WHOLE) } else { 0 }
        });
        Self::with(state, self.shared.clock.copy())
    }

    /// The disk after a power cut that loses nothing of what can be kept. What a failed sync dropped is lost
    /// nevertheless.
    #[must_use]
    pub fn crash_keep_all(&self) -> Self {
        self.crash_with(&|_| true)
    }

    /// The disk after a power cut that loses all that was not synced.
    #[must_use]
    pub fn crash_lose_all(&self) -> Self {
        self.crash_with(&|_| false)
    }

    /// The disk after a power cut that keeps the choices whose bit is set; those beyond the 64th are lost.
    #[must_use]
    pub fn crash_mask(&self, mask: u64) -> Self {
        self.crash_with(&|choice| choice < 64 && mask & (1 << choice) != 0)
    }

    /// The disk after a power cut that keeps the changes for which `chosen` is true; they are numbered as in
    /// [`pending`](Self::pending). It is asked more than once for some, and must answer alike.
    #[must_use]
    pub fn crash_with(&self, chosen: &dyn Fn(usize) -> bool) -> Self {
        let kept = |choice| if chosen(choice) { WHOLE } else { 0 };
        let state = self.shared.machine.lock().state.after_crash(&kept);
        Self::with(state, self.shared.clock.copy())
    }

    /// From now on remembers the disk as it is before each change ([`changes`](Self::changes)).
    pub fn start_history(&self) {
        self.shared.machine.lock().history = Some(Vec::new());
    }

    /// The disk as it was before each change since [`start_history`](Self::start_history), in order, and as it is now;
    /// stops remembering. So every crash point of a workload costs one run of it.
    #[must_use]
    pub fn take_history(&self) -> Vec<Self> {
        let mut machine = self.shared.machine.lock();
        let mut states = machine.history.take().unwrap_or_default();
        states.push(machine.state.clone());
        drop(machine);
        let forked = |mut state: State| {
            state.close_all();
            Self::with(state, self.shared.clock.copy())
        };
        states.into_iter().map(forked).collect()
    }
}

impl State {
    pub(super) fn choices(&self) -> usize {
        self.names.len() + self.choices_of_files().sum::<usize>()
    }
}
