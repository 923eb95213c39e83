//! Writes a long file behind whoever makes its bytes, on a thread that has only what nobody else wants of the processors.
//!
//! To hand bytes to the system, to sync them and to read them back is a third of the work of a run. A thread of the lowest priority may
//! stand still for as long as the processors are busy, so nobody relies on it: whoever has the file writes what is next, and the maker
//! of the bytes does that too, where too much is waiting. It waits for no more than the one write that the thread may be in the middle of, and
//! where that was long, goes on without the thread.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use laminar_vfs::{Clock, Env, Job, Spawn, Step, Worker};

use super::Output;
use crate::sync::{Arc, Mutex};
use crate::{Error, Result};

/// A file that stays shorter is not worth a thread.
const SHORT_BYTES: u64 = 4 << 20;

/// So many bytes wait to be written at most, and the buffer that makes them more: about as much as is made while a piece is synced.
const MOST_WAITING: usize = 8 << 20;

/// The memory of a longer buffer is not used again.
const LONG_BYTES: usize = 2 << 20;

/// Who has waited so long for a write of the thread's does better alone. A disk that needs this for a sync is no reason for a thread either.
const PATIENCE: Duration = Duration::from_millis(100);

/// A new file that is written in buffers, from its start to its end.
#[derive(Debug)]
pub(crate) struct WriteBehind {
    file: Arc<Shared>,
    spawn: Arc<dyn Spawn>,
    clock: Arc<dyn Clock>,
    worker: Option<Arc<dyn Worker>>,
    /// No thread could be had, or it was no good.
    is_alone: bool,
    bytes: u64,
}

/// The file, and what is to be written to it.
#[derive(Debug)]
struct Shared {
    /// Locked by whoever writes, and gone while that goes on: a write that ended in a panic leaves no file to go on with.
    output: Mutex<Option<Output>>,
    buffers: Mutex<Buffers>,
}

#[derive(Debug, Default)]
struct Buffers {
    waiting: VecDeque<Vec<u8>>,
    /// The bytes of these.
    bytes: usize,
    /// Whose memory is used again.
    written: Vec<Vec<u8>>,
}

impl Buffers {
    fn next(&mut self) -> Option<Vec<u8>> {
        let next = self.waiting.pop_front();
        self.bytes -= next.as_ref().map_or(0, Vec::len);
        next
    }

    /// Takes a buffer to be used again, or gives it back if it is too long for that.
    fn use_again(&mut self, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
        if buffer.capacity() > LONG_BYTES {
            return Some(buffer);
        }
        buffer.clear();
        self.written.push(buffer);
        None
    }
}

impl Shared {
    /// Writes the buffer that is next to the file, which the caller has locked; says whether there was one.
    fn write_next(&self, file: &mut Option<Output>) -> Result<bool> {
        let Some(buffer) = self.buffers.lock().next() else { return Ok(false) };
        let mut output = file.take().ok_or(Error::Abandoned)?;
        let written = output.write(&buffer);
        *file = Some(output);
        // To free much memory takes a call, which nobody should wait for at the lock.
        let long = self.buffers.lock().use_again(buffer);
        drop(long);
        written.map(|()| true)
    }

    fn waiting(&self) -> usize {
        self.buffers.lock().bytes
    }
}

impl WriteBehind {
    /// Creates the file.
    pub(crate) fn create(env: &Env, path: &Path, read_back: bool) -> Result<Self> {
        let output = Output::create(&*env.vfs, path, read_back)?;
        let file = Arc::new(Shared { output: Mutex::new(Some(output)), buffers: Mutex::default() });
        let (spawn, clock) = (Arc::clone(&env.spawn), Arc::clone(&env.clock));
        Ok(Self { file, spawn, clock, worker: None, is_alone: false, bytes: 0 })
    }

    /// Bytes written so far, or waiting to be.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends the bytes of the buffer, and leaves an empty one in its place. What goes wrong may be told by a later call; it is final.
    pub(crate) fn write(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        self.bytes += buffer.len() as u64;
        let waiting = {
            let mut buffers = self.file.buffers.lock();
            let next = buffers.written.pop().unwrap_or_default();
            buffers.bytes += buffer.len();
            buffers.waiting.push_back(std::mem::replace(buffer, next));
            buffers.bytes
        };
        let most = if self.wake() { MOST_WAITING } else { 0 };
        if waiting > most { self.write_until(most / 2) } else { Ok(()) }
    }

    /// Writes what has waited longest, until no more than so many bytes do.
    fn write_until(&mut self, most: usize) -> Result<()> {
        let begun = self.worker.is_some().then(|| self.clock.now());
        let mut file = self.file.output.lock();
        let is_slow = begun.is_some_and(|begun| self.clock.now() - begun > PATIENCE);
        while self.file.waiting() > most {
            self.file.write_next(&mut file)?;
        }
        drop(file);
        if is_slow {
            (self.worker, self.is_alone) = (None, true);
        }
        Ok(())
    }

    /// Tells the thread that there is something to write. Says no where there is none, or none yet.
    fn wake(&mut self) -> bool {
        if self.worker.is_none() && !self.is_alone && self.bytes > SHORT_BYTES {
            let writer = Box::new(Writer(Arc::clone(&self.file)));
            // One that has no thread would only be stepped by who waits for it, and nobody does.
            self.worker = self.spawn.spawn("write-behind", writer).ok().filter(|worker| worker.is_thread());
            self.is_alone = self.worker.is_none();
        }
        self.worker.as_ref().inspect(|worker| worker.wake()).is_some()
    }

    /// Writes what is still waiting, and hands out the file.
    pub(crate) fn finish(mut self) -> Result<Output> {
        self.write_until(0)?;
        let output = self.file.output.lock().take().ok_or(Error::Abandoned)?;
        output.check()?;
        assert_eq!(output.bytes(), self.bytes, "what was handed over was written");
        Ok(output)
    }
}

impl Drop for WriteBehind {
    /// Nothing is written any more, and the end of a spare thread is not waited for, but for the write it is in the middle of.
    fn drop(&mut self) {
        drop(self.file.output.lock().take());
        // The thread may stand still for long, and holds on to what is shared.
        *self.file.buffers.lock() = Buffers::default();
    }
}

struct Writer(Arc<Shared>);

impl Job for Writer {
    fn step(&mut self) -> Step {
        // The maker of the bytes meets the same failure.
        let mut file = self.0.output.lock();
        if matches!(self.0.write_next(&mut file), Ok(true)) { Step::Again } else { Step::Wait(None) }
    }

    fn is_spare(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use laminar_vfs::sim::{Fault, FaultKind, SimDisk};
    use laminar_vfs::{Op, Threads};

    use super::*;
    use crate::sync::{AtomicU64, Ordering};

    /// Keeps the job, so that a test steps it when it likes.
    #[derive(Default)]
    struct Held(Mutex<Option<Box<dyn Job>>>);

    impl std::fmt::Debug for Held {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Held")
        }
    }

    impl Held {
        fn step(&self) -> bool {
            self.0.lock().as_mut().is_some_and(|job| job.step() == Step::Again)
        }
    }

    impl Spawn for Held {
        fn spawn(&self, _name: &str, job: Box<dyn Job>) -> laminar_vfs::Result<Arc<dyn Worker>> {
            *self.0.lock() = Some(job);
            Ok(Arc::new(Handle))
        }
    }

    #[derive(Debug)]
    struct Handle;

    impl Worker for Handle {
        fn wake(&self) {}

        fn drive(&self) -> bool {
            false
        }

        fn is_thread(&self) -> bool {
            true
        }

        fn stop(&self) {}
    }

    const BUFFERS: usize = 40;

    fn buffer(number: usize) -> Vec<u8> {
        let byte = u8::try_from(number + 1).unwrap();
        vec![byte; 400_000 + number]
    }

    fn bytes() -> Vec<u8> {
        (0..BUFFERS).flat_map(buffer).collect()
    }

    fn create(disk: &SimDisk, spawn: Arc<dyn Spawn>) -> WriteBehind {
        WriteBehind::create(&Env { spawn, ..disk.env() }, Path::new("file"), true).unwrap()
    }

    /// Writes all buffers to a file of this disk.
    fn write(disk: &SimDisk, spawn: Arc<dyn Spawn>, mut between: impl FnMut(&WriteBehind)) -> Result<()> {
        let mut behind = create(disk, spawn);
        for number in 0..BUFFERS {
            let mut next = buffer(number);
            behind.write(&mut next)?;
            assert!(next.is_empty());
            between(&behind);
        }
        let mut output = behind.finish()?;
        output.sync()?;
        output.verify()
    }

    /// As [`write`], with so many steps of the thread at most behind each buffer.
    fn write_and_step(disk: &SimDisk, seed: u64, most: usize) -> Result<usize> {
        let (held, mut steps) = (Arc::new(Held::default()), 0);
        let mut rng = fastrand::Rng::with_seed(seed);
        let spawn: Arc<dyn Spawn> = Arc::clone(&held) as _;
        write(disk, spawn, |behind| {
            assert!(behind.file.waiting() <= MOST_WAITING && behind.file.buffers.lock().written.len() < 30);
            steps += (0..rng.usize(..=most)).filter(|_| held.step()).count();
        })?;
        assert!(!held.step(), "nothing is left to do, and there is no file to do it with");
        Ok(steps)
    }

    #[test]
    fn every_byte_is_written_once_and_in_order_whoever_writes() {
        for most in [0, 1, 2, 20] {
            let disk = SimDisk::new(1);
            let steps = write_and_step(&disk, 7, most).unwrap();
            assert_eq!(steps > 0, most > 0);
            assert!(disk.read_file("file").unwrap() == bytes(), "{most}");
        }
    }

    #[test]
    fn a_thread_writes_behind() {
        let disk = SimDisk::new(1);
        let clock = Env::real().clock;
        let begun = clock.now();
        write(&disk, Arc::new(Threads::new()), |behind| {
            // With the lowest priority it may take its time.
            while behind.file.waiting() > 0 && clock.now() - begun < Duration::from_secs(60) {
                std::thread::yield_now();
            }
            assert_eq!(behind.file.waiting(), 0, "the owner writes nothing that waits so short");
            assert_eq!(behind.worker.is_some(), behind.bytes > SHORT_BYTES);
        })
        .unwrap();
        assert!(disk.read_file("file").unwrap() == bytes());
    }

    #[test]
    fn without_a_thread_bytes_are_written_at_once() {
        let disk = SimDisk::new(1);
        write(&disk, disk.env().spawn, |behind| assert_eq!(behind.file.waiting(), 0)).unwrap();
        assert!(disk.read_file("file").unwrap() == bytes());
    }

    #[test]
    fn a_short_file_gets_no_thread() {
        let (disk, held) = (SimDisk::new(1), Arc::new(Held::default()));
        let mut behind = create(&disk, Arc::clone(&held) as _);
        behind.write(&mut vec![1; 1 << 20]).unwrap();
        assert_eq!((behind.file.waiting(), held.0.lock().is_none()), (0, true));
    }

    #[test]
    fn what_went_wrong_is_told_whoever_met_it() {
        // The first 4 MiB are written by the owner. Of 16 MB, a piece of 8 MiB is synced where half of it is written.
        for (op, kind, nth) in
            [(Op::Write, FaultKind::Io, 3), (Op::Write, FaultKind::NoSpace, 25), (Op::SyncData, FaultKind::Io, 0)]
        {
            for (seed, most) in [(1, 0), (2, 3), (3, 20)] {
                let disk = SimDisk::new(seed);
                disk.fail(Fault::new(kind).on(op).after(nth));
                let result = write_and_step(&disk, seed, most);
                assert!(matches!(result, Err(Error::Io(_))), "{op:?} {nth} {most}: {result:?}");
            }
        }
    }

    #[test]
    fn a_write_of_the_thread_s_that_went_wrong_is_told_by_the_next_of_the_owner_s() {
        let (disk, held) = (SimDisk::new(1), Arc::new(Held::default()));
        let mut behind = create(&disk, Arc::clone(&held) as _);
        (0..12).for_each(|number| behind.write(&mut buffer(number)).unwrap());
        disk.fail(Fault::new(FaultKind::Io).on(Op::Write));
        assert!(behind.file.waiting() > 0 && !held.step(), "the thread stops");
        assert!(matches!(behind.finish(), Err(Error::Io(_))));
    }

    #[test]
    fn a_thread_that_stands_still_is_given_up() {
        let (disk, held) = (SimDisk::new(1), Arc::new(Held::default()));
        let env = Env { spawn: Arc::clone(&held) as _, clock: Arc::new(Hasty::default()), ..disk.env() };
        let mut behind = WriteBehind::create(&env, Path::new("file"), true).unwrap();
        (0..BUFFERS).for_each(|number| behind.write(&mut buffer(number)).unwrap());
        assert_eq!((behind.file.waiting(), behind.is_alone, behind.worker.is_none()), (0, true, true));
        behind.finish().unwrap();
        assert!(disk.read_file("file").unwrap() == bytes());
    }

    /// A second goes by between any two looks at it.
    #[derive(Debug, Default)]
    struct Hasty(AtomicU64);

    impl Clock for Hasty {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
        }

        fn unix_ms(&self) -> u64 {
            0
        }
    }

    #[test]
    fn the_memory_of_long_buffers_goes() {
        let (disk, held) = (SimDisk::new(1), Arc::new(Held::default()));
        let mut behind = create(&disk, Arc::clone(&held) as _);
        for _ in 0..10 {
            behind.write(&mut vec![1; 16 << 20]).unwrap();
            let buffers = behind.file.buffers.lock();
            assert!(buffers.waiting.len() <= 1 && buffers.written.is_empty());
        }
    }

    #[test]
    fn a_write_that_panicked_leaves_no_file_to_go_on_with() {
        let disk = SimDisk::new(1);
        let result = write(&disk, Arc::new(Held::default()), |behind| {
            if behind.file.waiting() > 0 {
                // What a panic leaves behind.
                behind.file.output.lock().take();
            }
        });
        assert!(matches!(result, Err(Error::Abandoned)), "{result:?}");
    }

    #[test]
    fn nothing_is_written_to_what_was_given_up() {
        let (disk, held) = (SimDisk::new(1), Arc::new(Held::default()));
        let mut behind = create(&disk, Arc::clone(&held) as _);
        (0..16).for_each(|number| behind.write(&mut buffer(number)).unwrap());
        assert!(behind.file.waiting() > 0);
        let before = disk.changes();
        drop(behind);
        assert!(!held.step());
        assert_eq!(disk.changes(), before);
    }
}
