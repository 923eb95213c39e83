//! What tells two disks apart for whoever opens them next.

use super::SimDisk;
use super::random::mix;
use super::state::{Node, State};
use super::tree::{Ino, ROOT};

impl SimDisk {
    /// A hash of all that a process that starts now can find: names, which of them are links to one file, lengths and bytes. Disks that are
    /// equal in this way have equal fingerprints; others differ in it but for a chance of 2^-64. What only a power cut would show is not part of it, so it says
    /// all about a disk that a crash has just left. Nor are the ids that the disk will give out next.
    ///
    /// ```
    /// use laminar_vfs::{OpenMode, sim::SimDisk};
    /// let disk = SimDisk::new(1);
    /// let file = disk.env().vfs.open("a".as_ref(), OpenMode::CreateNew).unwrap();
    /// file.write_all_at(b"bytes", 0).unwrap();
    /// // The file without its name is no file at all, whatever became of its bytes.
    /// assert_eq!(disk.crash_mask(0).fingerprint(), disk.crash_mask(0b110).fingerprint());
    /// assert_ne!(disk.crash_mask(0).fingerprint(), disk.crash_mask(0b111).fingerprint());
    /// ```
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.shared.machine.lock().state.fingerprint()
    }
}

impl State {
    fn fingerprint(&self) -> u64 {
        let mut seen = Vec::new();
        self.fingerprint_of(ROOT, &mut seen)
    }

    /// The fingerprint of a file or of a directory with all below it; of one that has been met before, where that was.
    fn fingerprint_of(&self, ino: Ino, seen: &mut Vec<Ino>) -> u64 {
        // Only what has two names can be met twice.
        if self.links(ino) > 1 {
            if let Some(place) = seen.iter().position(|met| *met == ino) {
                return mix(place as u64 + 1);
            }
            seen.push(ino);
        }
        match self.node(ino) {
            Node::Free => 0,
            Node::File(file) => file.cache.hash(),
            Node::Dir(dir) => dir
                .cache
                .iter()
                .fold(1, |hash, entry| mix(mix(hash ^ entry.name.hash()) ^ self.fingerprint_of(entry.ino, seen))),
        }
    }
}
