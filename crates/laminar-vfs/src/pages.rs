//! Zeroed memory in large pieces, and a helper that prepares the next few.
//!
//! A table of gigabytes in pages of 4 KiB misses the processor's address cache with nearly every access, and each first
//! touch of a page costs microseconds. Huge pages end the first; on a virtual machine they make the second worse: the first
//! touch of one takes up to several milliseconds. So a worker touches the next pieces before they are asked for.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::sync::Mutex;
use crate::{Job, Spawn, Step, Worker};

/// Bytes of a huge page on the systems that most of us use.
const HUGE_BYTES: usize = 2 << 20;

/// Huge pages that are ready at most: an owner takes a few at a time, one for each of its parts, and each takes a worker milliseconds.
const MOST_READY: usize = 4;

/// Ordinary pieces that are ready at most: more than an owner takes while a worker that lost its processor touches one huge page.
const PLAIN_READY: usize = 8;

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
    /// Where the bytes begin, in memory of `owner`.
    start: NonNull<u8>,
    len: usize,
    owner: Owner,
}

/// What gives the memory back when it is dropped. Not read through: a table looks into its pages several times a look-up, and to ask which of the
/// two it is each time is a third of that.
enum Owner {
    Mapped(memmap2::MmapMut),
    /// Where there is no mapping to be had, and for few bytes.
    Allocated {
        _lines: Vec<Line>,
    },
}

#[expect(unsafe_code, reason = "a pointer to memory that is owned beside it")]
// SAFETY: the memory belongs to this value alone, which hands out references to it only as borrows of itself.
unsafe impl Send for Pages {}
#[expect(unsafe_code, reason = "a pointer to memory that is owned beside it")]
// SAFETY: as above; through a shared reference the bytes are only read.
unsafe impl Sync for Pages {}

impl Pages {
    /// Bytes in ordinary pages.
    #[must_use]
    pub fn zeroed(bytes: usize) -> Self {
        Self::mapped(bytes, 0).unwrap_or_else(|| Self::small(bytes))
    }

    /// Bytes in huge pages, where the system has them: they begin on a boundary of 2 MiB, and a touch takes as much.
    #[must_use]
    pub fn huge(bytes: usize) -> Self {
        let mut pages = Self::zeroed(bytes);
        if !pages.is_aligned() {
            // Addresses that are not touched cost nothing.
            pages = Self::mapped(bytes, HUGE_BYTES).unwrap_or(pages);
        }
        pages.advise_huge();
        pages
    }

    /// A mapping, which begins on a boundary of so many bytes if that is not 0.
    fn mapped(bytes: usize, boundary: usize) -> Option<Self> {
        let mut map = memmap2::MmapMut::map_anon((bytes + boundary).max(1)).ok()?;
        let skipped =
            if boundary > 0 { map.as_ptr().addr().next_multiple_of(boundary) - map.as_ptr().addr() } else { 0 };
        let start = NonNull::from(map.get_mut(skipped..skipped + bytes)?).cast();
        Some(Self { start, len: bytes, owner: Owner::Mapped(map) })
    }

    /// Few bytes, from the allocator: no call of the system for what is soon given back. See [`grow`](Self::grow).
    #[must_use]
    pub fn small(bytes: usize) -> Self {
        let mut lines = vec![Line([0; 64]); bytes.div_ceil(size_of::<Line>())];
        let start = NonNull::from(lines.as_mut_slice()).cast();
        Self { start, len: bytes, owner: Owner::Allocated { _lines: lines } }
    }

    /// Becomes longer, in ordinary pages from [`PageSource::BYTES`] on, and keeps its bytes, at another address. At least as long as now.
    pub fn grow(&mut self, bytes: usize) {
        let mut grown = if bytes < PageSource::BYTES { Self::small(bytes) } else { Self::zeroed(bytes) };
        grown.split_at_mut(self.len).0.copy_from_slice(self);
        *self = grown;
    }

    /// Touches all bytes, and changes none, with one write a page: a single call for all of them would hold the lock on the process's
    /// addresses meanwhile, for which whoever maps or allocates memory waits.
    pub fn touch(&mut self) {
        self.iter_mut().step_by(4096).for_each(|byte| *byte = std::hint::black_box(*byte));
    }

    fn is_aligned(&self) -> bool {
        self.as_ptr().addr().is_multiple_of(HUGE_BYTES)
    }

    #[cfg(target_os = "linux")]
    fn advise_huge(&self) {
        if let Some((map, start)) = self.mapping() {
            // A hint: where it fails, the pages are small ones.
            let _ = map.advise_range(memmap2::Advice::HugePage, start, self.len);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn advise_huge(&self) {}

    /// The mapping, and where in it the bytes begin.
    #[cfg(target_os = "linux")]
    fn mapping(&self) -> Option<(&memmap2::MmapMut, usize)> {
        let Owner::Mapped(map) = &self.owner else { return None };
        Some((map, self.start.addr().get() - map.as_ptr().addr()))
    }
}

impl Default for Pages {
    /// No bytes.
    fn default() -> Self {
        Self::small(0)
    }
}

impl Deref for Pages {
    type Target = [u8];

    #[inline]
    #[expect(unsafe_code, reason = "a pointer to memory that is owned beside it")]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` and `len` were those of a slice of initialised bytes of `owner`, which is neither moved in memory nor given back
        // before `self` is gone, and is not read through otherwise. The result borrows `self`, so nobody writes meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Pages {
    #[inline]
    #[expect(unsafe_code, reason = "a pointer to memory that is owned beside it")]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the result borrows `self` for itself alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapped = matches!(self.owner, Owner::Mapped(_));
        f.debug_struct("Pages").field("len", &self.len).field("mapped", &mapped).finish_non_exhaustive()
    }
}

/// Gives out [`Pages`] of one size, and has a worker touch the next ones ahead.
///
/// The worker is started with the first pages. Where it has none ready, because it is slow to start or the processors are
/// busy, [`take`](Self::take) gives out ordinary pages: the owner's longest wait is then the first touch of 4 KiB, not of 2 MiB.
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
    stock: Arc<Mutex<Stock>>,
    worker: Mutex<Option<Arc<dyn Worker>>>,
}

/// What the worker has made ahead. Has its memory from the start: nobody allocates while it is locked.
#[derive(Debug)]
struct Stock {
    /// Huge pages, touched.
    touched: Vec<Pages>,
    /// How many of them are to be ready: one more each time that there was none.
    wanted: usize,
    /// Ordinary pages, not touched, for when there is no huge one: they cost nothing yet, and whoever asked the system for them while the
    /// worker touches would wait for its lock on the process's addresses, for milliseconds.
    plain: Vec<Pages>,
}

impl PageSource {
    /// Bytes of all pages given out: those of a huge page.
    pub const BYTES: usize = HUGE_BYTES;

    /// Without a worker: huge pages, which cost their owner the first touch.
    #[must_use]
    pub const fn new() -> Self {
        Self { ahead: None }
    }

    /// With a worker that has the next huge pages touched before they are asked for: one, and one more each time that there is none, up to four.
    #[must_use]
    pub fn with_worker(spawn: Arc<dyn Spawn>) -> Self {
        Self { ahead: Some(Ahead { spawn, stock: Arc::new(Mutex::new(Stock::new())), worker: Mutex::new(None) }) }
    }

    /// Zeroed pages.
    #[must_use]
    pub fn take(&self) -> Pages {
        let Some(ahead) = &self.ahead else { return Pages::huge(Self::BYTES) };
        // The worker may have lost its processor while it held the lock.
        let ready = ahead.stock.try_lock().and_then(|mut stock| stock.take_touched().or_else(|| stock.plain.pop()));
        ahead.wake();
        ready.unwrap_or_else(|| Pages::zeroed(Self::BYTES))
    }

    /// A zeroed huge page, ready or not: for an owner whose longest wait does not matter.
    #[must_use]
    pub fn take_huge(&self) -> Pages {
        let Some(ahead) = &self.ahead else { return Pages::huge(Self::BYTES) };
        let touched = ahead.stock.lock().touched.pop();
        ahead.wake();
        touched.unwrap_or_else(|| Pages::huge(Self::BYTES))
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
            *worker = self.spawn.spawn("pages", Box::new(Prepare { stock: Arc::clone(&self.stock) })).ok();
        }
        if let Some(worker) = &*worker {
            worker.wake();
        }
    }
}

impl Stock {
    fn new() -> Self {
        Self { touched: Vec::with_capacity(MOST_READY), wanted: 0, plain: Vec::with_capacity(PLAIN_READY) }
    }

    fn take_touched(&mut self) -> Option<Pages> {
        let touched = self.touched.pop();
        if touched.is_none() {
            self.wanted = (self.wanted + 1).min(MOST_READY);
        }
        touched
    }

    fn is_short(&self) -> bool {
        self.touched.len() < self.wanted
    }
}

/// Has pieces of each kind ready.
struct Prepare {
    stock: Arc<Mutex<Stock>>,
}

impl Job for Prepare {
    fn step(&mut self) -> Step {
        let (needs_touched, plain_missing) = {
            let stock = self.stock.lock();
            (stock.is_short(), PLAIN_READY.saturating_sub(stock.plain.len()))
        };
        for _ in 0..plain_missing {
            let plain = Pages::zeroed(PageSource::BYTES);
            self.stock.lock().plain.push(plain);
        }
        if needs_touched {
            let mut touched = Pages::huge(PageSource::BYTES);
            touched.touch();
            self.stock.lock().touched.push(touched);
            return Step::Again;
        }
        Step::Wait(None)
    }

    /// On the owner's own processor it would take its place for as long as the system lets a thread run, twice the touch of a page.
    fn is_spare(&self) -> bool {
        true
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
        assert!(Pages::small(100).as_ptr().addr().is_multiple_of(64));
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
        let is_ready = || source.ahead.as_ref().is_some_and(|ahead| !ahead.stock.lock().touched.is_empty());
        assert!(!is_ready());
        inline.drive_all();
        assert!(is_ready());
        let pages = source.take();
        assert!(pages.is_aligned() && pages.iter().all(|&byte| byte == 0) && !is_ready());
        let plain =
            source.ahead.as_ref().and_then(|ahead| ahead.stock.lock().plain.last().map(|pages| pages.as_ptr().addr()));
        assert_eq!(plain, Some(source.take().as_ptr().addr()), "ordinary pages are there already");
        let pages = source.take_huge();
        assert!(pages.is_aligned() && pages.iter().all(|&byte| byte == 0), "also where none is ready");
    }
}
