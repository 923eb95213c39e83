//! Verifies the blocks of a run ahead of the look-ups, on a thread that has only what nobody else wants of the processors.
//!
//! After an opening nearly every look-up in a large run meets a block for the first time, maps it and computes its checksum, twenty times the work of
//! the look-up itself. What the system's cache holds of the run can be made ready beside that: mapped, as look-ups would have it in the end, and verified. No disk is
//! waited for: a chapter is left at the first stretch that is not in the cache, and the run after some chapters in a row (by then the system may have read a MiB of it ahead).
//! Chapters with wide blocks have their index verified alone. Nobody waits for the thread, and what is not whole it leaves to who asks for it.

use std::collections::VecDeque;

use laminar_vfs::{Job, Spawn, Step, Worker};

use super::file::{RunFile, STRETCH_BYTES};
use crate::format::bytes::index;
use crate::format::run::BlockRef;
use crate::sync::{Arc, AtomicU64, Mutex, OnceLock, Ordering, Weak};

/// So many blocks are touched by look-ups before a run is worth the work: who wants a few keys gets no thread.
const WORTH_IT: u64 = 256;

/// After so many chapters in a row that are not in the cache, the others are not tried.
const MOST_MISSED: usize = 8;

type Queue = Arc<Mutex<VecDeque<Weak<RunFile>>>>;

/// The thread, and the runs it is to verify.
#[derive(Debug)]
pub(crate) struct VerifyAhead {
    spawn: Arc<dyn Spawn>,
    queue: Queue,
    /// Started with the first run; nothing where no thread could be had.
    worker: OnceLock<Option<Arc<dyn Worker>>>,
}

impl VerifyAhead {
    pub(crate) fn new(spawn: &Arc<dyn Spawn>) -> Self {
        Self { spawn: Arc::clone(spawn), queue: Queue::default(), worker: OnceLock::new() }
    }

    /// Has a run verified. Says no where that would have to wait for the thread.
    fn add(&self, run: &Weak<RunFile>) -> bool {
        let Some(mut queue) = self.queue.try_lock() else { return false };
        queue.push_back(Weak::clone(run));
        drop(queue);
        let start = || {
            let verifier = Verifier { queue: Arc::clone(&self.queue), walk: None, buffer: Vec::new() };
            // One that has no thread would only be stepped by who waits for it, and nobody does.
            self.spawn.spawn("verify-ahead", Box::new(verifier)).ok().filter(|worker| worker.is_thread())
        };
        match self.worker.get_or_init(start) {
            Some(worker) => worker.wake(),
            None => self.queue.lock().clear(),
        }
        true
    }
}

/// Counts the blocks of a run that look-ups have touched first.
#[derive(Debug)]
pub(super) struct Touches {
    count: AtomicU64,
    run: Weak<RunFile>,
    verify_ahead: Arc<VerifyAhead>,
}

impl Touches {
    pub(super) fn new(run: &Weak<RunFile>, verify_ahead: &Arc<VerifyAhead>) -> Self {
        Self { count: AtomicU64::new(0), run: Weak::clone(run), verify_ahead: Arc::clone(verify_ahead) }
    }

    /// Another block was touched first.
    pub(super) fn count(&self) {
        let is_worth_it = self.count.fetch_add(1, Ordering::Relaxed) + 1 == WORTH_IT;
        if is_worth_it && !self.verify_ahead.add(&self.run) {
            self.count.store(0, Ordering::Relaxed);
        }
    }
}

/// A run that is being verified, and how far that is.
struct Walk {
    run: Weak<RunFile>,
    chapter: usize,
    stretch: usize,
    /// Chapters in a row of which something is not in the cache.
    missed: usize,
}

struct Verifier {
    queue: Queue,
    walk: Option<Walk>,
    /// Memory that is used for one stretch after the other.
    buffer: Vec<u8>,
}

impl Job for Verifier {
    fn step(&mut self) -> Step {
        let next = || self.queue.lock().pop_front().map(|run| Walk { run, chapter: 0, stretch: 0, missed: 0 });
        let Some(mut walk) = self.walk.take().or_else(next) else { return Step::Wait(None) };
        self.walk = walk.step(&mut self.buffer).then_some(walk);
        Step::Again
    }

    fn is_spare(&self) -> bool {
        true
    }
}

impl Walk {
    /// Verifies a stretch; says whether there may be more to do. No more at a time, because this thread mostly loses its processor between two
    /// steps: it has no hold on the run then, and whoever drops the last handle of it need not leave its end to a thread that stands still.
    fn step(&mut self, buffer: &mut Vec<u8>) -> bool {
        // Whoever had the run may have closed it.
        let Some(run) = self.run.upgrade() else { return false };
        let Some(chapter) = run.chapter(self.chapter) else { return false };
        match chapter.stretches(STRETCH_BYTES).nth(self.stretch) {
            Some((first, count)) if run.verify_ahead(first, count, buffer) => {
                self.stretch += 1;
                return true;
            }
            Some(_) => self.missed += 1,
            None if self.stretch > 0 => self.missed = 0,
            // Nothing of this chapter was looked for.
            None => {}
        }
        self.chapter += 1;
        self.stretch = 0;
        self.missed < MOST_MISSED
    }
}

impl RunFile {
    /// Verifies and maps so many blocks that lie back to back, as look-ups would. Says no where they do not lie in the system's cache.
    fn verify_ahead(&self, first: BlockRef, count: usize, buffer: &mut Vec<u8>) -> bool {
        let mut blocks =
            (0..count).map(|number| BlockRef { offset: first.offset + (number * first.bytes) as u64, ..first });
        if blocks.all(|block| self.is_verified(block)) {
            return true;
        }
        buffer.resize(buffer.len().max(count * first.bytes), 0);
        let (bytes, _) = buffer.split_at_mut(count * first.bytes);
        if !self.file.read_cached_at(bytes, first.offset) {
            return false;
        }
        // By a touch, and not by a call: that would hold the process's lock on addresses, and this thread may lose its processor.
        let start = index(first.offset);
        self.pages.touch(start..start + bytes.len());
        self.mark_whole(first, first.offset, bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use laminar_vfs::sim::SimDisk;
    use laminar_vfs::{Env, OpenMode, ReadMode};

    use super::super::{Run, RunWriter};
    use super::*;
    use crate::format::PAGE;
    use crate::format::block::Kind;
    use crate::format::run::{Identity, MAX_CHAPTER_ENTRIES};
    use crate::{Checkpoint, CheckpointManager, CheckpointOptions, Create};

    const KEYS: u32 = 30_000;
    const PATIENCE: Duration = Duration::from_secs(60);

    fn key(number: u32) -> [u8; 4] {
        number.swap_bytes().to_le_bytes()
    }

    /// A checkpoint on the disk of this machine, of some nine hundred blocks. Opened anew, so that nothing of it is verified.
    fn checkpoint(dir: &Path) -> Checkpoint {
        let manager = CheckpointManager::open(dir, CheckpointOptions::new()).unwrap();
        let entries = (0..KEYS).map(|number| (key(number), Some([7; 100])));
        let path = manager.create(Create::new(1).entries(entries)).unwrap().state_path().to_owned();
        Checkpoint::open(path, &CheckpointOptions::new()).unwrap()
    }

    fn run(checkpoint: &Checkpoint) -> &Run {
        checkpoint.runs().first().unwrap()
    }

    /// The blocks that are looked up, and whether they are verified.
    fn blocks(run: &Run) -> Vec<(BlockRef, bool)> {
        let blocks = run.file.footer.chapters.iter().flat_map(|chapter| chapter.all_blocks());
        blocks.filter(|block| block.kind != Kind::Parity).map(|block| (block, run.file.is_verified(block))).collect()
    }

    fn unverified(run: &Run) -> Vec<u64> {
        blocks(run).into_iter().filter(|(_, is_verified)| !is_verified).map(|(block, _)| block.offset).collect()
    }

    /// Has the whole file in the cache; says no where the system can't tell what is.
    fn cache(run: &Run) -> bool {
        let mut bytes = vec![0; index(run.bytes())];
        run.file.file.read_exact_at(&mut bytes, 0).unwrap();
        let is_told = run.file.file.read_cached_at(&mut bytes, 0);
        if !is_told {
            eprintln!("skipped: this system does not tell what it has in its cache");
        }
        is_told
    }

    /// Verifies all of a run.
    fn walk(run: &Run) {
        let mut walk = Walk { run: Arc::downgrade(&run.file), chapter: 0, stretch: 0, missed: 0 };
        while walk.step(&mut Vec::new()) {}
        assert_eq!((walk.chapter, walk.missed), (run.file.footer.chapters.len(), 0), "all of it is in the cache");
    }

    #[test]
    fn what_is_in_the_cache_is_verified() {
        let scratch = tempfile::tempdir().unwrap();
        let checkpoint = checkpoint(scratch.path());
        let run = run(&checkpoint);
        let count = blocks(run).len();
        assert!(count > 800 && unverified(run).len() == count, "{count} blocks, and none is verified yet");
        if cache(run) {
            walk(run);
            assert_eq!(unverified(run), [0u64; 0]);
        }
    }

    #[test]
    fn what_is_not_whole_is_left_for_who_asks_for_it() {
        let scratch = tempfile::tempdir().unwrap();
        let sound = checkpoint(scratch.path());
        let (damaged, _) = blocks(run(&sound))[500];
        let file = Env::real().vfs.open(run(&sound).path(), OpenMode::Write).unwrap();
        file.write_all_at(&[0xff; 4], damaged.offset + 50).unwrap();
        let checkpoint = Checkpoint::open(sound.state_path(), &CheckpointOptions::new()).unwrap();
        if cache(run(&checkpoint)) {
            walk(run(&checkpoint));
            assert_eq!(unverified(run(&checkpoint)), [damaged.offset]);
            assert!((0..KEYS).all(|number| checkpoint.get(&key(number)).unwrap() == Some(&[7; 100])));
            assert_eq!(run(&checkpoint).healed().len(), 1);
        }
    }

    #[test]
    fn look_ups_start_the_thread_and_it_verifies_the_rest() {
        let scratch = tempfile::tempdir().unwrap();
        let checkpoint = checkpoint(scratch.path());
        let run = run(&checkpoint);
        if !cache(run) {
            return;
        }
        if !run.file.region().populate(0..PAGE) {
            eprintln!(
                "skipped: where a stretch is mapped by no call, look-ups verify all of it, and are done before they are worth a thread"
            );
            return;
        }
        let touch = |number: u32| assert!(checkpoint.get(&key(number * 101 % KEYS)).unwrap().is_some());
        (0..100).for_each(touch);
        assert!(
            run.file.touches.as_ref().unwrap().verify_ahead.worker.get().is_none(),
            "who wants little gets no thread"
        );
        (100..400).for_each(touch);
        let clock = Env::real().clock;
        let begun = clock.now();
        while !unverified(run).is_empty() && clock.now() - begun < PATIENCE {
            std::thread::yield_now();
        }
        assert_eq!(unverified(run), [0u64; 0]);
    }

    #[test]
    fn a_run_that_is_not_in_the_cache_is_given_up() {
        // A simulated disk never says that it has something in its cache.
        let env = SimDisk::new(1).env();
        let identity = Identity { run_id: 77, from: 3, to: 9, hash_seed: 1, is_base: true };
        let options = CheckpointOptions::on(env.clone()).read_back(false);
        let mut writer = RunWriter::create(&options, Path::new("run"), identity).unwrap();
        for number in 0..15 * MAX_CHAPTER_ENTRIES {
            writer.push(&key(u32::try_from(number).unwrap()), Some(&[])).unwrap();
        }
        let record = writer.finish().unwrap().record;
        let run = Arc::new(RunFile::open(&*env.vfs, Path::new("run"), &record, ReadMode::Mapped).unwrap());
        assert_eq!(run.footer.chapters.len(), 15);
        let queue = Queue::default();
        queue.lock().extend([Weak::new(), Arc::downgrade(&run)]);
        let mut verifier = Verifier { queue, walk: None, buffer: Vec::new() };
        let steps = (0..100).take_while(|_| verifier.step() == Step::Again).count();
        assert_eq!(steps, 1 + MOST_MISSED, "and one for a run that was closed");
    }
}
