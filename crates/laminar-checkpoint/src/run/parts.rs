//! Where a key belongs in the oldest run: in the last part that begins at or below it, and there in the last such chapter.
//!
//! The chapters of all parts are told apart at once, as those of one file are. To look for the part first, and then for the chapter in it, took
//! 1.8 times as long a get where look-ups follow one another: so many more instructions that fewer of them wait for memory together.

use std::ops::Bound;

use laminar_vfs::planted;

use super::Run;
use super::file::RunFile;
use super::find::Start;
use super::guide::Guide;
use super::way::Way;
use crate::format::bytes::{count32, index32};
use crate::format::run::{common_prefix, head};
use crate::key::Key;
use crate::sync::Arc;

/// The parts of a checkpoint's oldest run, in the order of their keys, as one.
#[derive(Debug)]
pub(crate) struct Parts {
    count: usize,
    /// How many bytes all keys begin with in common.
    prefix: usize,
    /// The heads, after them, of the first keys of all chapters.
    guide: Guide,
    chapters: Vec<Place>,
    /// That of all parts, if they have the same.
    hash_seed: Option<u64>,
}

/// A chapter: the part where it is, which of its chapters, and the short way to its entries. In one line of memory.
#[derive(Debug)]
#[repr(align(64))]
struct Place {
    file: Arc<RunFile>,
    at: u32,
    way: Way,
}

const _: () = assert!(size_of::<Place>() == 64);

impl Parts {
    pub(crate) fn of(parts: &[Run]) -> Self {
        let first = parts.first().and_then(Run::first_key).unwrap_or_default();
        let last = parts.last().and_then(Run::last_key).unwrap_or_default();
        let prefix = common_prefix(first, last);
        let (mut heads, mut chapters) = (Vec::new(), Vec::new());
        for run in parts {
            for (at, chapter) in run.file.footer.chapters.iter().enumerate() {
                heads.push(head(run.file.footer.key(&chapter.first_key), prefix));
                chapters.push(Place { file: Arc::clone(&run.file), at: count32(at), way: Way::to(chapter) });
            }
        }
        let hash_seed = parts.first().map(Run::hash_seed);
        let hash_seed = hash_seed.filter(|&seed| parts.iter().all(|part| part.hash_seed() == seed));
        Self { count: parts.len(), prefix, guide: Guide::of(heads), chapters, hash_seed }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The seed of the hash of all parts; nothing where they differ, as in runs that came from elsewhere.
    pub(crate) fn hash_seed(&self) -> Option<u64> {
        self.hash_seed
    }

    /// Where to look for `key`. One that lies in no part may be looked for in any: it is not there either.
    #[inline(always)]
    pub(crate) fn start(&self, hash: u64, key: Key<'_>) -> Option<(&RunFile, Start<'_>)> {
        let place = self.place_of(key)?;
        Some((&place.file, place.file.start_at(index32(place.at), &place.way, hash)))
    }

    /// The part where `key` may lie.
    pub(crate) fn for_key(&self, key: Key<'_>) -> Option<&RunFile> {
        self.place_of(key).map(|place| &*place.file)
    }

    #[inline(always)]
    fn place_of(&self, key: Key<'_>) -> Option<&Place> {
        let sought = key.head(self.prefix);
        let (below, is_tied) = self.guide.below(sought);
        if planted("key-looked-for-in-first-part") {
            return self.chapters.first();
        }
        if !is_tied {
            return self.chapters.get(below.checked_sub(1)?);
        }
        let (space, name) = key.into_parts();
        self.tied(below, sought, space, name)
    }

    /// The same among the chapters that begin with this head, behind the first `below`: which decides nothing, the keys do.
    #[cold]
    #[inline(never)]
    fn tied(&self, below: usize, sought: u64, space: u64, name: &[u8]) -> Option<&Place> {
        let key = Key::from_parts((space, name));
        let begins_below = |place: &&Place| {
            let chapter = place.file.chapter(index32(place.at));
            chapter.is_some_and(|chapter| key.cmp(place.file.footer.key(&chapter.first_key)).is_ge())
        };
        let tied = self.chapters.iter().skip(below).take(self.guide.equal(below, sought));
        self.chapters.get((below + tied.take_while(begins_below).count()).checked_sub(1)?)
    }
}

/// Those of `parts` in which keys at or above a bound may lie.
pub(crate) fn parts_from<'a>(parts: &'a [Run], lower: Bound<&[u8]>) -> &'a [Run] {
    let (Bound::Included(key) | Bound::Excluded(key)) = lower else { return parts };
    let begin_below = parts.partition_point(|part| part.first_key().is_none_or(|first| first <= key));
    parts.get(begin_below.saturating_sub(1)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use laminar_vfs::sim::SimDisk;

    use crate::format::manifest::{MANIFEST_MAGIC, Manifest};
    use crate::format::twin;
    use crate::{Checkpoint, CheckpointManager, CheckpointOptions, Error, Meta, Reason};

    #[test]
    fn parts_that_only_look_as_if_they_ascended_are_refused() {
        let disk = SimDisk::new(1);
        let options = CheckpointOptions::new().env(disk.env()).hash_seed(7);
        let manager = CheckpointManager::open("checkpoints", options.clone()).unwrap();
        let mut draft = manager.draft().unwrap();
        // The MANIFEST shows 64 bytes of a key, which are the same in all of these.
        let keys = [1, 2].map(|last| [vec![b'x'; 80], vec![last]].concat());
        for key in &keys {
            let mut writer = draft.run_writer(0, 4, false).unwrap();
            writer.push(key, Some(b"v")).unwrap();
            draft.add_run(writer.finish().unwrap()).unwrap();
        }
        let checkpoint = draft.publish(Meta::new(4)).unwrap();
        keys.iter().for_each(|key| assert_eq!(checkpoint.get(key).unwrap(), Some(&b"v"[..])));
        let dir = checkpoint.state_path();
        // Both the other way round, as files too.
        let bytes = disk.read_file(dir.join("MANIFEST")).unwrap();
        let mut manifest =
            Manifest::decode(twin::decode(MANIFEST_MAGIC, 0, &bytes[..bytes.len() / 2]).unwrap()).unwrap();
        manifest.runs.swap(0, 1);
        disk.write_file(dir.join("MANIFEST"), &manifest.encode()).unwrap();
        let files: Vec<_> = checkpoint.runs().iter().map(|run| disk.read_file(run.path()).unwrap()).collect();
        disk.write_file(checkpoint.runs()[0].path(), &files[1]).unwrap();
        disk.write_file(checkpoint.runs()[1].path(), &files[0]).unwrap();
        let error = Checkpoint::open(dir, &options).unwrap_err();
        assert!(matches!(error, Error::Corrupt { reason: Reason::Mismatch, .. }), "{error}");
        assert!(error.to_string().contains("parts of a run"), "{error}");
    }
}
