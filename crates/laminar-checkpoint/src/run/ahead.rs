//! Verifies the blocks of a run ahead of the look-ups, on a thread that has only what nobody else wants of the processors.
//!
//! After an opening nearly every look-up in a large run meets a block for the first time, maps it and computes its checksum, twenty times the work of
//! the look-up itself. What the system's cache holds of the run can be made ready beside that. The disk is left alone: a state that is not in the cache is
//! read as it is asked for, and the thread gives up. Nobody waits for it, and what is not whole it leaves to who asks for it.

use std::collections::VecDeque;

use laminar_vfs::{Job, Spawn, Step, Worker};

use super::file::{RunFile, STRETCH_BYTES};
use crate::format::bytes::index;
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
            let verifier = Verifier { queue: Arc::clone(&self.queue), walk: None };
            self.spawn.spawn("verify-ahead", Box::new(verifier)).ok()
        };
        // One that has no thread would only be stepped by who waits for it, and nobody does.
        if let Some(worker) = self.worker.get_or_init(start) {
            worker.wake();
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

/// A run that is being verified.
struct Walk {
    run: Weak<RunFile>,
    chapter: usize,
    missed: usize,
}

struct Verifier {
    queue: Queue,
    walk: Option<Walk>,
}

impl Job for Verifier {
    fn step(&mut self) -> Step {
        let next = || self.queue.lock().pop_front().map(|run| Walk { run, chapter: 0, missed: 0 });
        let Some(mut walk) = self.walk.take().or_else(next) else { return Step::Wait(None) };
        self.walk = walk.step().then_some(walk);
        Step::Again
    }

    fn is_spare(&self) -> bool {
        true
    }
}

impl Walk {
    /// Verifies a chapter; says whether there may be more to do.
    fn step(&mut self) -> bool {
        // Whoever had the run may have closed it.
        let Some(run) = self.run.upgrade() else { return false };
        self.missed = if run.verify_ahead(self.chapter) { 0 } else { self.missed + 1 };
        self.chapter += 1;
        self.chapter < run.footer.chapters.len() && self.missed < MOST_MISSED
    }
}

impl RunFile {
    /// Verifies and maps those blocks of chapter number `at` that lie in the system's cache, as look-ups would. Says no at the first stretch
    /// that does not.
    pub(super) fn verify_ahead(&self, at: usize) -> bool {
        let Some(chapter) = self.chapter(at) else { return false };
        let (mut buffer, mut read) = (Vec::new(), 0..0);
        for block in chapter.all_blocks().filter(|block| !self.is_verified(*block)) {
            let Some((offset, count)) = chapter.stretch(block, STRETCH_BYTES) else { continue };
            let stretch = offset..offset + (count * block.bytes) as u64;
            if read != stretch {
                buffer.resize(count * block.bytes, 0);
                if !self.file.read_cached_at(&mut buffer, offset) {
                    return false;
                }
                // By a touch, and not by a call: that would hold the process's lock on addresses, and this thread may lose its processor.
                self.pages.touch(index(stretch.start)..index(stretch.end));
                read = stretch;
            }
            let start = index(block.offset - offset);
            let bytes = buffer.get(start..start + block.bytes).unwrap_or_default();
            if self.is_whole(block, bytes) {
                self.mark_verified(block);
            }
        }
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
    use crate::format::block::Kind;
    use crate::format::run::{BlockRef, Identity, MAX_CHAPTER_ENTRIES};
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

    #[test]
    fn what_is_in_the_cache_is_verified() {
        let scratch = tempfile::tempdir().unwrap();
        let checkpoint = checkpoint(scratch.path());
        let run = run(&checkpoint);
        let count = blocks(run).len();
        assert!(count > 800 && unverified(run).len() == count, "{count} blocks, and none is verified yet");
        if cache(run) {
            assert!((0..run.file.footer.chapters.len()).all(|at| run.file.verify_ahead(at)));
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
            assert!(run(&checkpoint).file.verify_ahead(0));
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
        let mut writer = RunWriter::create(&env, Path::new("run"), identity, false).unwrap();
        for number in 0..15 * MAX_CHAPTER_ENTRIES {
            writer.push(&key(u32::try_from(number).unwrap()), Some(&[])).unwrap();
        }
        let record = writer.finish().unwrap().record;
        let run = Arc::new(RunFile::open(&*env.vfs, Path::new("run"), &record, ReadMode::Mapped).unwrap());
        assert_eq!(run.footer.chapters.len(), 15);
        let queue = Queue::default();
        queue.lock().extend([Weak::new(), Arc::downgrade(&run)]);
        let mut verifier = Verifier { queue, walk: None };
        let steps = (0..100).take_while(|_| verifier.step() == Step::Again).count();
        assert_eq!(steps, 1 + MOST_MISSED, "and one for a run that was closed");
    }
}
