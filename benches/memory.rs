//! What a process occupies and writes, as Linux counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Resident memory of this process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "read by the benches of this workspace alone")]
pub struct Resident {
    /// Memory of its own: what nothing but the process itself can give back.
    pub anonymous: u64,
    /// Pages of mapped files, which the system can take away.
    pub mapped: u64,
    /// The most that both together have been.
    pub peak: u64,
}

/// What this process occupies now. Exact: counts pages, which takes milliseconds for each gigabyte.
///
/// # Panics
/// Where there is no `/proc` as Linux has it.
#[must_use]
pub fn resident() -> Resident {
    let rollup = read("/proc/self/smaps_rollup");
    let (rss, anonymous) = (field(&rollup, "Rss:") << 10, field(&rollup, "Anonymous:") << 10);
    let peak = field(&read("/proc/self/status"), "VmHWM:") << 10;
    Resident { anonymous, mapped: rss.saturating_sub(anonymous), peak }
}

/// Bytes and calls of this process so far, by all its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "read by the benches of this workspace alone")]
pub struct Written {
    /// Bytes handed to the system by calls that write.
    pub bytes: u64,
    /// Calls that write.
    pub calls: u64,
    /// Calls that read.
    pub reads: u64,
}

impl Written {
    /// What was written since an earlier look.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { bytes: self.bytes - earlier.bytes, calls: self.calls - earlier.calls, reads: self.reads - earlier.reads }
    }
}

/// What this process has written until now. Looking is itself a read, and counts as one.
///
/// # Panics
/// Where there is no `/proc` as Linux has it.
#[must_use]
pub fn written() -> Written {
    let io = read("/proc/self/io");
    Written { bytes: field(&io, "wchar:"), calls: field(&io, "syscw:"), reads: field(&io, "syscr:") }
}

#[expect(clippy::disallowed_methods, reason = "the system tells it in files of its own")]
fn read(path: &str) -> String {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8_lossy(&text).into_owned()
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("the system does not tell {name}"))
}

/// Watches the anonymous memory of this process from a thread of its own, every millisecond.
#[derive(Debug)]
pub struct Watch {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins.
    ///
    /// # Panics
    /// Where no thread can be had.
    #[must_use]
    pub fn start() -> Self {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (into, until) = (Arc::clone(&peak), Arc::clone(&stop));
        let watch = move || {
            while !until.load(Ordering::Relaxed) {
                // The counter of the kernel, which is cheap, and off by less than a megabyte a thread.
                into.fetch_max(field(&read("/proc/self/status"), "RssAnon:") << 10, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(watch);
        Self { peak, stop, thread: Some(thread.expect("a thread can be had")) }
    }

    /// Ends, and tells the most that it has seen, in bytes.
    ///
    /// # Panics
    /// If the thread has panicked.
    #[must_use]
    pub fn finish(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the watch does not fail");
        }
        self.peak.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_and_touched_is_resident() {
        const BYTES: usize = 64 << 20;
        let before = resident();
        let watch = Watch::start();
        let held = std::hint::black_box(vec![1u8; BYTES]);
        std::thread::sleep(Duration::from_millis(20));
        let after = resident();
        assert!(after.anonymous - before.anonymous > BYTES as u64 * 9 / 10);
        assert!(watch.finish() > BYTES as u64 * 9 / 10);
        assert!(after.peak >= BYTES as u64);
        drop(held);
    }

    #[test]
    fn what_is_written_is_counted() {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        let before = written();
        file.write_all(&[1; 5000]).unwrap();
        let after = written().since(before);
        assert!(after.bytes >= 5000 && after.calls >= 1);
    }
}
