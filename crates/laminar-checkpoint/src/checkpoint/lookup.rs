//! Looks keys up in the runs of a checkpoint: the newest that has one tells.

use laminar_vfs::planted;

use super::Checkpoint;
use crate::Result;
use crate::key::Key;
use crate::run::{Found, RunFile};

/// Keys whose lines of memory are fetched at the same time: of each there are a few, and a processor has some dozens on their way at once.
const GROUP: usize = 16;

impl Checkpoint {
    /// The value of `key`, in place; where it begins, see [`value_alignment`](crate::CheckpointOptions::value_alignment).
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt) where the block that holds the key, or could, is lost; those of the disk.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        let key = Key::from(key);
        self.get_hashed(key, key.hash(self.0.hash_seed))
    }

    /// As [`get`](Self::get), for a caller that has the key's [hash](Key::hash) with this checkpoint's
    /// [`hash_seed`](Self::hash_seed) already.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    // A key in parts that goes through memory, as an argument of a call does, is what `Key` is there to avoid.
    #[inline(always)]
    pub fn get_hashed(&self, key: Key<'_>, hash: u64) -> Result<Option<&[u8]>> {
        if self.0.is_plain {
            let Some((file, start)) = self.0.parts.start(hash, key) else { return Ok(None) };
            return Ok(file.get_from(start, hash, key)?.and_then(Found::value));
        }
        let (space, name) = key.into_parts();
        self.get_in_several(hash, space, name)
    }

    /// As [`get_hashed`](Self::get_hashed), from several runs. A function of its own, so that what is shorter with one stays short.
    #[inline(never)]
    fn get_in_several(&self, hash: u64, space: u64, name: &[u8]) -> Result<Option<&[u8]>> {
        let key = Key::from_parts((space, name));
        let (_, later) = self.layers();
        // Most entries lie in the oldest. The first line of it is fetched while the filters of the others are asked, also for a key that
        // turns out to lie in one of these.
        let hash_for_oldest = self.hash_for_oldest(key, hash);
        let start = self.0.parts.start(hash_for_oldest, key);
        start.inspect(|(_, start)| start.fetch());
        for run in later.iter().rev() {
            if let Some(found) = run.file.get(self.hash_for(&run.file, key, hash), key)? {
                return Ok(found.value());
            }
        }
        let Some((file, start)) = start else { return Ok(None) };
        Ok(file.get_from(start, hash_for_oldest, key)?.and_then(Found::value))
    }

    /// Says that these keys are going to be looked up soon: the lines of memory that tell where they lie, and those where they do, are
    /// fetched into the processor's cache, for sixteen keys at the same time. Of a long entry 192 bytes are.
    ///
    /// A hint, which makes no call and verifies no block: what nobody has looked at since the checkpoint was opened is left alone. A page that the
    /// system has dropped from memory since then may be waited for, as the look-up would.
    ///
    /// ```
    /// # use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Key, Meta};
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let manager = CheckpointManager::open(scratch.path().join("checkpoints"), CheckpointOptions::new())?;
    /// # let mut draft = manager.draft()?;
    /// # let mut writer = draft.run_writer(0, 1, false)?;
    /// # writer.push(b"UA", Some(b"12"))?;
    /// # draft.add_run(writer.finish()?)?;
    /// # let checkpoint = draft.publish(Meta::new(1))?;
    /// let keys = [b"DL", b"UA"];
    /// checkpoint.prefetch(&keys.map(Key::from));
    /// assert_eq!(checkpoint.get(keys[1])?, Some(&b"12"[..]));
    /// # Ok::<(), laminar_checkpoint::Error>(())
    /// ```
    pub fn prefetch(&self, keys: &[Key<'_>]) {
        keys.chunks(GROUP).for_each(|group| self.prefetch_group(group));
    }

    fn prefetch_group(&self, group: &[Key<'_>]) {
        let (_, later) = self.layers();
        let (mut hashes, mut starts) = ([0; GROUP], [const { None }; GROUP]);
        for ((&key, hash), start) in group.iter().zip(&mut hashes).zip(&mut starts) {
            *hash = key.hash(self.0.hash_seed);
            for run in later {
                run.file.prefetch_filter(self.hash_for(&run.file, key, *hash), key);
            }
            let for_oldest = self.hash_for_oldest(key, *hash);
            *start = self.0.parts.start(for_oldest, key).map(|(file, start)| (file, start, for_oldest));
            start.iter().for_each(|(_, start, _)| start.prefetch());
        }
        for ((&key, &hash), start) in group.iter().zip(&hashes).zip(&mut starts) {
            let mut newer = later.iter().rev().map(|run| (&*run.file, self.hash_for(&run.file, key, hash)));
            let newer = newer.find_map(|(file, hash)| Some((file, file.start_if_allowed(hash, key)?, hash)));
            match (&newer, &start) {
                (Some((_, start, _)), _) => start.prefetch(),
                (None, Some((file, start, hash))) => file.prefetch_entry(start, *hash),
                (None, None) => {}
            }
            *start = newer;
        }
        // Of the newer runs the bucket is on its way only now.
        starts.iter().flatten().for_each(|(file, start, hash)| file.prefetch_entry(start, *hash));
    }

    /// Whether any run may hold something for `key`, a tombstone included; `hash` as in [`get_hashed`](Self::get_hashed).
    /// `false` is certain.
    #[must_use]
    pub fn may_contain(&self, key: Key<'_>, hash: u64) -> bool {
        let asked = if planted("filters-of-older-runs-ignored") { 1 } else { usize::MAX };
        let (_, later) = self.layers();
        let files = later.iter().rev().map(|run| &*run.file).chain(self.0.parts.for_key(key));
        files.take(asked).any(|file| file.may_contain(self.hash_for(file, key, hash), key))
    }

    /// One store has one seed, so one hash serves all runs; a run from elsewhere may differ.
    #[inline]
    fn hash_for(&self, file: &RunFile, key: Key<'_>, hash: u64) -> u64 {
        let seed = file.footer.identity.hash_seed;
        let (space, name) = key.into_parts();
        if seed == self.0.hash_seed { hash } else { other_hash(seed, space, name) }
    }

    /// The same for the part of the oldest run where the key may lie.
    #[inline(always)]
    fn hash_for_oldest(&self, key: Key<'_>, hash: u64) -> u64 {
        if self.0.parts.hash_seed() == Some(self.0.hash_seed) {
            return hash;
        }
        let (space, name) = key.into_parts();
        let part = self.0.parts.for_key(Key::from_parts((space, name)));
        part.map_or(hash, |part| other_hash(part.footer.identity.hash_seed, space, name))
    }
}

/// The hash for a run that came from elsewhere. Apart, so that nothing of it is done ahead for runs that did not.
#[cold]
#[inline(never)]
fn other_hash(seed: u64, space: u64, name: &[u8]) -> u64 {
    Key::from_parts((space, name)).hash(seed)
}
