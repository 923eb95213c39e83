//! The segment that will be written soon is brought into memory. A write to bytes that the system's cache does not have takes memory for
//! them first, which on a virtual machine may cost ten times what the copy does: so what is still a hole is read before.
//!
//! That keeps a processor busy for a good part of the time. Done by the log's own thread, it took the writer's place for as long as the
//! system lets a thread run, milliseconds at a time. So it has a thread that is given only what nobody else wants.

use std::ops::Range;

use laminar_vfs::{Job, Spawn, Step, VfsFile, Worker};

use crate::segment::Segment;
use crate::sync::{Arc, Mutex};

/// Bytes that are read at a time: a huge page, of which the system's cache makes one where it can. A write then finds one page where it would find many,
/// and takes two thirds of the time, as does a sync.
const STEP: u64 = 2 << 20;
/// A shorter segment is not worth it.
const SHORTEST: u64 = 1 << 20;

/// What of a segment is still to be read.
#[derive(Debug)]
pub(crate) struct Coming {
    file: Arc<dyn VfsFile>,
    rest: Range<u64>,
}

impl Coming {
    /// `None` for a segment of which everything is in memory, since it was written, and for one that is not worth it.
    pub(crate) fn of(file: Arc<dyn VfsFile>, segment: &Segment) -> Option<Self> {
        let header = &segment.header;
        (!header.zero_filled && header.length > SHORTEST).then_some(Self { file, rest: 0..header.length })
    }

    /// Reads the next bytes. `None` where these were the last.
    fn step(self) -> Option<Self> {
        let Self { file, rest } = self;
        let middle = rest.end.min(rest.start + STEP);
        file.prefetch(rest.start..middle);
        (middle < rest.end).then_some(Self { file, rest: middle..rest.end })
    }
}

/// Has segments read. Dropping it ends that.
#[derive(Debug, Default)]
pub(crate) struct Fetcher {
    next: Arc<Mutex<Option<Coming>>>,
    worker: Option<Arc<dyn Worker>>,
}

impl Fetcher {
    /// Has this segment read from now on, and no other. Where no thread can be had, nothing is read.
    pub(crate) fn fetch(&mut self, spawn: &dyn Spawn, coming: Coming) {
        *self.next.lock() = Some(coming);
        if self.worker.is_none() {
            self.worker =
                spawn.spawn("laminar-coming", Box::new(Fetch { next: Arc::clone(&self.next), now: None })).ok();
        }
        if let Some(worker) = &self.worker {
            worker.wake();
        }
    }
}

struct Fetch {
    next: Arc<Mutex<Option<Coming>>>,
    now: Option<Coming>,
}

impl Job for Fetch {
    fn step(&mut self) -> Step {
        let next = self.next.lock().take();
        self.now = next.or(self.now.take()).and_then(Coming::step);
        if self.now.is_some() { Step::Again } else { Step::Wait(None) }
    }

    fn is_spare(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use laminar_vfs::{Env, OpenMode};

    use super::*;

    #[test]
    fn a_segment_that_comes_is_read_whole_in_steps() {
        let dir = tempfile::tempdir().unwrap();
        let file = Env::real().vfs.open(&dir.path().join("coming"), OpenMode::CreateNew).unwrap();
        let length = 2 * STEP + 4096;
        file.set_len(length).unwrap();
        let next = Arc::new(Mutex::new(None));
        let mut fetch = Fetch { next: Arc::clone(&next), now: None };
        assert_eq!(fetch.step(), Step::Wait(None), "nothing comes");
        *next.lock() = Some(Coming { file: Arc::clone(&file), rest: 0..length });
        let rest = |fetch: &Fetch| fetch.now.as_ref().map(|coming| coming.rest.clone());
        assert_eq!((fetch.step(), rest(&fetch)), (Step::Again, Some(STEP..length)));
        assert_eq!((fetch.step(), rest(&fetch)), (Step::Again, Some(2 * STEP..length)));
        // Another takes its place.
        *next.lock() = Some(Coming { file, rest: 0..STEP + 1 });
        assert_eq!((fetch.step(), rest(&fetch)), (Step::Again, Some(STEP..STEP + 1)));
        assert_eq!((fetch.step(), rest(&fetch)), (Step::Wait(None), None));
    }
}
