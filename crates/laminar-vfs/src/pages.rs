//! Zeroed memory in large pieces, and a helper that prepares the next one.
//!
//! A table of gigabytes in pages of 4 KiB misses the processor's address cache with nearly every access, and each first
//! touch of a page costs microseconds. Huge pages end the first; on a virtual machine they make the second worse: the first
//! touch of one takes up to several milliseconds. So a worker touches the next piece before it is asked for.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::sync::Mutex;
use crate::{Job, Spawn, Step, Worker};

/// Bytes of a huge page on the systems that most of us use.
const HUGE_BYTES: usize = 2 << 20;

/// A cache line, so that memory of the allocator is aligned as a mapping is.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes for one owner, zero at first, that begin on a boundary of 64 at least. They take memory when they are touched.
///
/// ```
/// use laminar_vfs::Pages;
/// let mut pages = Pages::zeroed(100);
/// pages[7] = 1;
/// assert_eq!((pages.len(), pages[6], pages[7]), (100, 0, 1));
/// ```
pub struct Pages {
    inner: Inner,
    /// Where the bytes begin in `inner`.
    start: usize,
    len: usize,
}

enum Inner {
    Mapped(memmap2::MmapMut),
    /// Where there is no mapping to be had.
    Owned(Box<[Line]>),
}

impl Pages {
    /// Bytes in ordinary pages.
    #[must_use]
    pub fn zeroed(bytes: usize) -> Self {
        let inner = memmap2::MmapMut::map_anon(bytes.max(1)).map_or_else(|_| owned(bytes), Inner::Mapped);
        Self { inner, start: 0, len: bytes }
    }

    /// Bytes in huge pages, where the system has them: they begin on a boundary of 2 MiB, and a touch takes as much.
    #[must_use]
    pub fn huge(bytes: usize) -> Self {
        let mut pages = Self::zeroed(bytes);
        if !pages.is_aligned() {
            // Addresses that are not touched cost nothing.
            pages = Self::zeroed(bytes + HUGE_BYTES);
            let address = pages.as_ptr().addr();
            pages.start = address.next_multiple_of(HUGE_BYTES) - address;
            pages.len = bytes;
        }
        pages.advise_huge();
        pages
    }

    /// Few bytes, from the allocator: no call of the system for what is soon given back. See [`grow`](Self::grow).
    #[must_use]
    pub fn small(bytes: usize) -> Self {
        Self { inner: owned(bytes), start: 0, len: bytes }
    }

    /// Becomes longer, in ordinary pages from [`PageSource::BYTES`] on, and keeps its bytes, at another address. At least as long as now.
    pub fn grow(&mut self, bytes: usize) {
        let mut grown = if bytes < PageSource::BYTES { Self::small(bytes) } else { Self::zeroed(bytes) };
        grown.split_at_mut(self.len).0.copy_from_slice(self);
        *self = grown;
    }

    /// Touches all bytes.
    pub fn touch(&mut self) {
        if !self.populate() {
            self.iter_mut().step_by(4096).for_each(|byte| *byte = std::hint::black_box(0));
        }
    }

    fn is_aligned(&self) -> bool {
        self.as_ptr().addr().is_multiple_of(HUGE_BYTES)
    }

    #[cfg(target_os = "linux")]
    fn advise_huge(&self) {
        if let Inner::Mapped(map) = &self.inner {
            // A hint: where it fails, the pages are small ones.
            let _ = map.advise_range(memmap2::Advice::HugePage, self.start, self.len);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn advise_huge(&self) {}

    /// One call for all pages, which spares an exception for each of them.
    #[cfg(target_os = "linux")]
    fn populate(&self) -> bool {
        let Inner::Mapped(map) = &self.inner else { return false };
        map.advise_range(memmap2::Advice::PopulateWrite, self.start, self.len).is_ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn populate(&self) -> bool {
        false
    }
}

fn owned(bytes: usize) -> Inner {
    Inner::Owned(vec![Line([0; 64]); bytes.div_ceil(size_of::<Line>())].into_boxed_slice())
}

impl Deref for Pages {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let bytes: &[u8] = match &self.inner {
            Inner::Mapped(map) => map,
            Inner::Owned(lines) => bytemuck::cast_slice(lines),
        };
        bytes.split_at(self.start).1.split_at(self.len).0
    }
}

impl DerefMut for Pages {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let bytes: &mut [u8] = match &mut self.inner {
            Inner::Mapped(map) => map,
            Inner::Owned(lines) => bytemuck::cast_slice_mut(lines),
        };
        bytes.split_at_mut(self.start).1.split_at_mut(self.len).0
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapped = matches!(self.inner, Inner::Mapped(_));
        f.debug_struct("Pages").field("len", &self.len).field("mapped", &mapped).finish_non_exhaustive()
    }
}

/// Gives out [`Pages`] of one size, and has a worker touch the next ones ahead.
///
/// The worker is started with the first pages. Where it has none ready, because it is slow to start or the processors are
/// busy, ordinary pages are given out: the owner's longest wait is then the first touch of 4 KiB, not of 2 MiB.
///
/// ```
/// use std::sync::Arc;
/// use laminar_vfs::{PageSource, Threads};
/// let source = PageSource::with_worker(Arc::new(Threads::new()));
/// assert_eq!(source.take().len(), PageSource::BYTES);
/// ```
#[derive(Debug)]
pub struct PageSource {
    ahead: Option<Ahead>,
}

#[derive(Debug)]
struct Ahead {
    spawn: Arc<dyn Spawn>,
    ready: Arc<Mutex<Option<Pages>>>,
    worker: Mutex<Option<Arc<dyn Worker>>>,
}

impl PageSource {
    /// Bytes of all pages given out: those of a huge page.
    pub const BYTES: usize = HUGE_BYTES;

    /// Without a worker: huge pages, which cost their owner the first touch.
    #[must_use]
    pub const fn new() -> Self {
        Self { ahead: None }
    }

    /// With a worker that has the next huge page touched before it is asked for.
    #[must_use]
    pub fn with_worker(spawn: Arc<dyn Spawn>) -> Self {
        Self { ahead: Some(Ahead { spawn, ready: Arc::default(), worker: Mutex::new(None) }) }
    }

    /// Zeroed pages.
    #[must_use]
    pub fn take(&self) -> Pages {
        let Some(ahead) = &self.ahead else { return Pages::huge(Self::BYTES) };
        let ready = ahead.ready.lock().take();
        ahead.wake();
        ready.unwrap_or_else(|| Pages::zeroed(Self::BYTES))
    }
}

impl Default for PageSource {
    fn default() -> Self {
        Self::new()
    }
}

impl Ahead {
    /// Wakes the worker, or starts it. Without one, and with one that has no thread, pages are made when they are asked for.
    fn wake(&self) {
        let mut worker = self.worker.lock();
        if worker.is_none() {
            *worker = self.spawn.spawn("pages", Box::new(Prepare { ready: Arc::clone(&self.ready) })).ok();
        }
        if let Some(worker) = &*worker {
            worker.wake();
        }
    }
}

/// Has one piece ready.
struct Prepare {
    ready: Arc<Mutex<Option<Pages>>>,
}

impl Job for Prepare {
    fn step(&mut self) -> Step {
        if self.ready.lock().is_none() {
            let mut pages = Pages::huge(PageSource::BYTES);
            pages.touch();
            *self.ready.lock() = Some(pages);
        }
        Step::Wait(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Inline, Threads};

    #[test]
    fn bytes_are_zero_aligned_and_of_their_own() {
        for make in [Pages::zeroed, Pages::huge] {
            for len in [0, 1, 4096, HUGE_BYTES - 1, 2 * HUGE_BYTES + 5] {
                let (mut one, mut other) = (make(len), make(len));
                one.touch();
                other.fill(7);
                assert!(one.len() == len && one.iter().all(|&byte| byte == 0) && other.iter().all(|&byte| byte == 7));
                assert!(one.as_ptr().addr().is_multiple_of(64));
            }
        }
        assert!(Pages::huge(HUGE_BYTES).is_aligned());
        let owned = Pages { inner: owned(100), start: 64, len: 36 };
        assert!(owned.len() == 36 && owned.as_ptr().addr().is_multiple_of(64));
    }

    #[test]
    fn what_grows_keeps_its_bytes() {
        let mut pages = Pages::small(4096);
        pages.fill(3);
        for len in [4096, 10_000, HUGE_BYTES] {
            pages.grow(len);
            let (kept, added) = pages.split_at(4096);
            assert!(pages.len() == len && kept.iter().all(|&byte| byte == 3) && added.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_source_never_gives_the_same_bytes_twice() {
        let sources = [
            PageSource::new(),
            PageSource::with_worker(Arc::new(Threads::new())),
            PageSource::with_worker(Arc::new(Inline::new())),
        ];
        for source in sources {
            let mut all: Vec<Pages> = Vec::new();
            for _ in 0..20 {
                let mut pages = source.take();
                assert!(pages.len() == PageSource::BYTES && pages.iter().step_by(999).all(|&byte| byte == 0));
                pages.fill(1);
                all.push(pages);
            }
            let starts: std::collections::BTreeSet<_> = all.iter().map(|pages| pages.as_ptr()).collect();
            assert_eq!(starts.len(), all.len());
        }
    }

    #[test]
    fn a_worker_prepares_the_next_pages() {
        let inline = Inline::new();
        let source = PageSource::with_worker(Arc::new(inline.clone()));
        drop(source.take());
        let is_ready = || source.ahead.as_ref().is_some_and(|ahead| ahead.ready.lock().is_some());
        assert!(!is_ready());
        inline.drive_all();
        assert!(is_ready());
        let pages = source.take();
        assert!(pages.is_aligned() && pages.iter().all(|&byte| byte == 0) && !is_ready());
    }
}
