//! A new file on its way to the disk, and back from there to be compared with what was written.
//!
//! A long file is synced and read back piece by piece behind whoever writes it: the disk then works while the next piece is made, and at the
//! end little is left to wait for.

use std::ops::Range;
use std::path::Path;

use laminar_vfs::{OpenMode, Vfs, VfsFile};

use crate::error::Reason;
use crate::format::bytes::index;
use crate::sync::Arc;
use crate::{Error, Result};

mod behind;

pub(crate) use behind::WriteBehind;

/// Bytes of a piece: long enough that its sync costs little beside it, short enough that the last one is soon on disk and read back.
const PIECE_BYTES: u64 = 8 << 20;

/// Bytes that are fetched at a time to be read back: a huge page, of which the system's cache makes one where it can. Whoever reads the file then through a
/// mapping finds huge pages there: look-ups take 0.7 to 0.9 of the time.
const FETCH_BYTES: u64 = 2 << 20;

const _: () = assert!(PIECE_BYTES.is_multiple_of(FETCH_BYTES), "no page is of two pieces");

/// A file that is written from its start to its end, once. Pieces begin on multiples of their length.
#[derive(Debug)]
pub(crate) struct Output {
    file: Arc<dyn VfsFile>,
    read_back: bool,
    piece_bytes: u64,
    /// What was written since the last sync.
    open: Piece,
    /// What was synced last, and is on its way back into the cache or was read back already.
    synced: Piece,
    read: Piece,
    buffer: Vec<u8>,
    /// What went wrong: the file is of no use any more.
    failure: Option<Error>,
}

#[derive(Debug, Default)]
struct Piece {
    range: Range<u64>,
    crc: u32,
}

impl Output {
    /// Creates the file.
    pub(crate) fn create(vfs: &dyn Vfs, path: &Path, read_back: bool) -> Result<Self> {
        Self::in_pieces(vfs, path, read_back, PIECE_BYTES)
    }

    /// Creates a file that `fill` writes, and makes it durable; returns its length. Where that fails nothing is left of it, so that it can
    /// be tried again under the same name.
    pub(crate) fn whole(
        vfs: &dyn Vfs,
        path: &Path,
        read_back: bool,
        fill: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<u64> {
        let mut file = Self::create(vfs, path, read_back)?;
        let written = fill(&mut file).and_then(|()| file.sync()).and_then(|()| {
            let bytes = file.bytes();
            file.verify()?;
            Ok(bytes)
        });
        if written.is_err() {
            // Best effort: it lies in a temporary directory, which goes as a whole.
            drop(vfs.remove_file(path));
        }
        written
    }

    fn in_pieces(vfs: &dyn Vfs, path: &Path, read_back: bool, piece_bytes: u64) -> Result<Self> {
        let file = vfs.open(path, OpenMode::CreateNew)?;
        let none = Piece::default;
        let (open, synced, read) = (none(), none(), none());
        Ok(Self { file, read_back, piece_bytes, open, synced, read, buffer: Vec::new(), failure: None })
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.open.range.end
    }

    /// Appends bytes, and has the disk begin with them. An error is final: every later call gives it again.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.check()?;
        let written = self.append(bytes);
        self.keep_failure(written)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let start = self.bytes();
        self.file.write_all_at(bytes, start)?;
        self.file.evict(start..start + bytes.len() as u64);
        self.read_some(bytes.len() as u64)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = if self.read_back { self.open.range.start + self.piece_bytes - self.bytes() } else { u64::MAX };
            let (part, behind) = rest.split_at(rest.len().min(index(room)));
            self.open.range.end += part.len() as u64;
            self.open.crc = crc32c::crc32c_append(self.open.crc, part);
            if part.len() as u64 == room {
                self.end_piece()?;
            }
            rest = behind;
        }
        Ok(())
    }

    /// Makes what was written durable. An error is final, as that of a write.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.check()?;
        let synced = self.end_piece();
        self.keep_failure(synced)
    }

    fn keep_failure(&mut self, result: Result<()>) -> Result<()> {
        self.failure = result.as_ref().err().cloned();
        result
    }

    fn check(&self) -> Result<()> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn end_piece(&mut self) -> Result<()> {
        self.file.sync_data()?;
        if self.read_back {
            self.compare()?;
            let end = self.bytes();
            self.synced = std::mem::replace(&mut self.open, Piece { range: end..end, crc: 0 });
            let start = self.synced.range.start;
            self.read = Piece { range: start..start, crc: 0 };
            self.file.evict(self.synced.range.clone());
        }
        Ok(())
    }

    /// Compares what was synced, and not compared yet, with what the disk has of it.
    fn compare(&mut self) -> Result<()> {
        self.read_some(u64::MAX)?;
        let (synced, read) = (std::mem::take(&mut self.synced), std::mem::take(&mut self.read));
        if synced.crc == read.crc { Ok(()) } else { Err(self.not_as_written(synced.range.start)) }
    }

    /// Reads so many bytes back of what was synced.
    fn read_some(&mut self, bytes: u64) -> Result<()> {
        let Piece { range, crc } = &mut self.read;
        let end = self.synced.range.end;
        let until = end.min(range.end.saturating_add(bytes));
        while range.end < until {
            let fetched = range.end % FETCH_BYTES;
            if fetched == 0 {
                self.file.prefetch(range.end..end.min(range.end + FETCH_BYTES));
            }
            let len = index((FETCH_BYTES - fetched).min(until - range.end));
            self.buffer.resize(self.buffer.len().max(len), 0);
            let (part, _) = self.buffer.split_at_mut(len);
            self.file.read_exact_at(part, range.end)?;
            *crc = crc32c::crc32c_append(*crc, part);
            range.end += len as u64;
        }
        Ok(())
    }

    /// Reads back what is still to be compared; says at last whether all that was written is on the disk.
    pub(crate) fn verify(mut self) -> Result<()> {
        self.check()?;
        self.compare()?;
        if !self.read_back || self.file.len()? == self.bytes() { Ok(()) } else { Err(self.not_as_written(0)) }
    }

    fn not_as_written(&self, offset: u64) -> Error {
        Error::corrupt(self.file.path(), offset, Reason::Checksum, "what was written there a moment ago")
    }
}

#[cfg(test)]
mod tests {
    use laminar_vfs::Op;
    use laminar_vfs::sim::{Fault, FaultKind, SimDisk};

    use super::*;

    /// Writes 64 parts of 100 bytes; a piece is ten of them.
    fn write(disk: &SimDisk) -> Result<()> {
        let vfs = disk.env().vfs;
        let mut output = Output::in_pieces(&*vfs, Path::new("file"), true, 1000)?;
        for part in 0..64 {
            output.write(&[part + 1; 100])?;
        }
        output.sync()?;
        output.verify()
    }

    #[test]
    fn every_piece_is_synced_and_read_back() {
        let disk = SimDisk::new(1);
        disk.start_history();
        write(&disk).unwrap();
        // The file, 64 writes, and a sync for each of six pieces and for the rest.
        assert_eq!(disk.changes(), 1 + 64 + 7);
        let expected: Vec<u8> = (1..=64).flat_map(|part| [part; 100]).collect();
        assert_eq!(disk.read_file("file").unwrap(), expected);
    }

    #[test]
    fn pieces_begin_on_multiples_of_their_length() {
        let disk = SimDisk::new(1);
        let mut output = Output::in_pieces(&*disk.env().vfs, Path::new("file"), true, 1000).unwrap();
        let (mut expected, mut ends) = (Vec::new(), std::collections::BTreeSet::new());
        for (byte, len) in (1..).zip([300, 300, 300, 300, 800, 1, 3500, 999, 1, 0, 700]) {
            let part = vec![byte; len];
            output.write(&part).unwrap();
            expected.extend_from_slice(&part);
            assert_eq!(output.bytes(), expected.len() as u64);
            let Range { start, end } = output.synced.range;
            assert!(start.is_multiple_of(1000) && end.is_multiple_of(1000) && end - start <= 1000, "{start}..{end}");
            ends.insert(end);
        }
        assert_eq!(ends, [0, 1000, 2000, 5000, 6000, 7000].into());
        output.sync().unwrap();
        output.verify().unwrap();
        assert_eq!(disk.read_file("file").unwrap(), expected);
    }

    #[test]
    fn a_write_that_the_disk_lost_is_found_in_any_piece() {
        for kind in [FaultKind::Phantom, FaultKind::Misdirected] {
            for nth in 0..64 {
                let disk = SimDisk::new(nth);
                disk.fail(Fault::new(kind).on(Op::Write).after(nth));
                // At the end of the file it shows by the length.
                assert!(matches!(write(&disk), Err(Error::Corrupt { .. } | Error::Io(_))), "{kind:?} of write {nth}");
            }
        }
    }

    #[test]
    fn a_sync_that_fails_is_an_error_in_any_piece() {
        for nth in 0..7 {
            let disk = SimDisk::new(nth);
            disk.fail(Fault::new(FaultKind::Io).on(Op::SyncData).after(nth));
            assert!(matches!(write(&disk), Err(Error::Io(_))), "sync {nth}");
        }
    }

    #[test]
    fn after_a_failed_write_nothing_succeeds() {
        let disk = SimDisk::new(1);
        let mut output = Output::create(&*disk.env().vfs, Path::new("file"), true).unwrap();
        disk.fail(Fault::new(FaultKind::NoSpace).on(Op::Write));
        assert!(output.write(b"bytes").is_err());
        assert!(output.write(b"bytes").is_err(), "there is room again, but nobody knows what the file holds");
        assert!(output.sync().is_err());
        assert!(output.verify().is_err());
    }

    #[test]
    fn after_a_failed_sync_nothing_succeeds() {
        let disk = SimDisk::new(1);
        let mut output = Output::create(&*disk.env().vfs, Path::new("file"), true).unwrap();
        output.write(b"bytes").unwrap();
        disk.fail(Fault::new(FaultKind::Io).on(Op::SyncData));
        assert!(output.sync().is_err());
        assert!(output.write(b"more").is_err());
        assert!(output.sync().is_err());
        assert!(output.verify().is_err());
    }
}
