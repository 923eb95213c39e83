//! Floors: what the machine needs for the same bytes, without any of our code.
#![expect(
    clippy::disallowed_methods,
    reason = "a floor is what the machine does without the seam that stores go through"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use laminar_vfs::Pages;

use crate::workload::Values;
use crate::{Latency, time};

/// [`F_CPU`](crate::names::F_CPU): copies records of `record_bytes` one after the other into a buffer of 1 MiB, with CRC32C of
/// each, and returns nanoseconds a record.
///
/// # Panics
/// If a record is longer than a value.
#[must_use]
pub fn cpu(values: &Values, record_bytes: usize, records: usize) -> f64 {
    let mut buffer = vec![1u8; 1 << 20];
    let mut at = 0;
    time::nanos_per(records, || {
        for index in 0..records {
            if at + record_bytes > buffer.len() {
                at = 0;
            }
            let into = buffer.get_mut(at..at + record_bytes).expect("a record of less than a megabyte");
            into.copy_from_slice(values.nth(index, record_bytes));
            black_box(crc32c::crc32c(into));
            at += record_bytes;
        }
        black_box(&buffer);
    })
}

/// Where a floor's syncs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a file grows or it does not")]
pub enum Layout {
    /// Into a file that was filled with zeros and synced before, as [`F_SYNC`](crate::names::F_SYNC).
    Prepared,
    /// To the end of a file, as [`F_SYNC_GROWING`](crate::names::F_SYNC_GROWING).
    Growing,
}

/// A file that is written and synced again and again.
#[derive(Debug)]
pub struct SyncFile {
    file: File,
    offset: u64,
    bytes: Vec<u8>,
}

impl SyncFile {
    /// Makes the file in `dir`, with room for `writes` of `bytes` each.
    ///
    /// # Panics
    /// If the disk refuses.
    #[must_use]
    pub fn create(dir: &Path, layout: Layout, bytes: usize, writes: usize) -> Self {
        let path = dir.join(format!("{layout:?}"));
        let mut file = File::options();
        let mut file = file.read(true).write(true).create(true).truncate(true).open(path).expect("a file can be made");
        if layout == Layout::Prepared {
            let zeros = vec![0u8; 1 << 20];
            for _ in 0..(bytes * writes).div_ceil(zeros.len()) {
                file.write_all(&zeros).expect("there is space");
            }
        }
        file.sync_all().expect("a file can be synced");
        Self { file, offset: 0, bytes: random_bytes(bytes) }
    }

    /// `writes` times `pwrite` and `fdatasync`, each noted.
    ///
    /// # Panics
    /// If the disk refuses.
    pub fn write(&mut self, writes: usize, latency: &mut Latency) {
        for _ in 0..writes {
            let start = time::now();
            self.file.write_all_at(&self.bytes, self.offset).expect("there is space");
            self.file.sync_data().expect("a file can be synced");
            latency.record_since(start);
            self.offset += self.bytes.len() as u64;
        }
    }
}

/// [`F_BW`](crate::names::F_BW): writes so many random bytes in sequence to a new file, and syncs it.
///
/// # Panics
/// If the disk refuses.
#[must_use]
pub fn bandwidth(dir: &Path, bytes: u64) -> Duration {
    let piece = random_bytes(1 << 20);
    let path = dir.join("bandwidth");
    let ((), elapsed) = time::of(|| {
        let mut file = File::create(&path).expect("a file can be made");
        let mut left = bytes;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(piece.len()).min(piece.len());
            file.write_all(piece.split_at(now).0).expect("there is space");
            left -= now as u64;
        }
        file.sync_data().expect("a file can be synced");
    });
    std::fs::remove_file(&path).expect("a file can be removed");
    elapsed
}

/// [`F_MEM`](crate::names::F_MEM): touches so many bytes of memory, and as many again when they were given back; nanoseconds for each 4 KiB.
#[must_use]
pub fn touches(bytes: usize) -> [f64; 2] {
    [(); 2].map(|()| {
        let mut pages = Pages::huge(bytes);
        time::nanos_per(bytes / 4096, || pages.touch())
    })
}

fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    fastrand::Rng::with_seed(5).fill(&mut bytes);
    bytes
}
