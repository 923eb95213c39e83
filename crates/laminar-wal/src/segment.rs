//! One segment: what is known of it, how its file is made, how its header is read and judged.

use std::path::Path;

use laminar_vfs::{OpenMode, VfsFile, planted};

use crate::dir::Dir;
use crate::format::{
    BLOCK, BadBlock, GROUP_HEADER, GROUP_TRAILER, Identity, PAGE, PAGE_LEN, SECTOR, SegmentHeader, VERSION, is_zero,
    round_up,
};
use crate::scan::Bad;
use crate::sync::Arc;
use crate::{Error, Lsn, Result, name};

/// A segment file, by its header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    /// What its checksums start from.
    pub(crate) seed: u32,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader) -> Self {
        let named = if planted("generation-ignored") { SegmentHeader { generation: 1, ..header } } else { header };
        Self { seed: named.seed(), header }
    }

    /// A segment that nothing has been written to, with a generation of its own. `before`: that of the segment before.
    pub(crate) fn fresh(dir: &Dir, identity: &Identity, first: u64, length: u64, before: u64) -> Self {
        Self::new(SegmentHeader {
            log_id: identity.log_id,
            first,
            length,
            stride: identity.stride,
            generation: dir.generation(),
            proven_to: 0,
            cut_from: None,
            before,
            zero_filled: dir.zero_filled,
        })
    }

    pub(crate) fn first(&self) -> u64 {
        self.header.first
    }

    /// The first position of the segment behind this one.
    pub(crate) fn end(&self) -> u64 {
        self.header.first + self.header.length
    }

    /// Where its first group stands.
    pub(crate) fn data(&self) -> u64 {
        self.header.first + PAGE
    }

    /// Up to here groups may go; the page behind is for the seal.
    pub(crate) fn data_end(&self) -> u64 {
        self.end() - PAGE
    }

    /// An error if `next`, the segment behind this one, follows another life of it: a file from before recovery wrote it
    /// anew verifies by itself, and may hold what was cut.
    pub(crate) fn check_next(&self, next: &Self, dir: &Path) -> Result<()> {
        if next.header.before == self.header.generation || planted("log-other-life-accepted") {
            return Ok(());
        }
        let reason = "it and the next segment do not belong together: one of the two is of another generation";
        Err(Bad { offset: 0, reason, torn: false, proven_by: 0 }.error(dir, self, self.end()))
    }

    pub(crate) fn offset(&self, position: u64) -> u64 {
        position - self.header.first
    }
}

/// The length of a segment that has room for a group of one record or batch of `bytes` bytes with framing.
pub(crate) fn length_for(stride: u64, bytes: usize) -> u64 {
    let needed = 2 * PAGE + round_up((GROUP_HEADER + bytes + GROUP_TRAILER) as u64, PAGE);
    needed.div_ceil(stride) * stride
}

/// Zeros are written and synced in pieces of this length: a commit that is synced meanwhile waits for the disk to write one of them, not all.
const PIECE: u64 = 1 << 20;

/// Makes the file of a segment under its name, replacing one of that name: when this returns, file and name survive a
/// power cut. The file is returned. After an error a file may be left whose name is not durable, whatever a later sync of the directory says: nothing may be
/// written to it before it is made again.
pub(crate) fn prepare(dir: &Dir, segment: &Segment) -> Result<Arc<dyn VfsFile>> {
    let path = name::segment(&dir.path, segment.first());
    let temporary = name::temporary(&path);
    let made = fill(dir, segment, &temporary).and_then(|file| {
        let _naming = dir.naming();
        dir.vfs().rename(&temporary, &path)?;
        if !planted("segment-name-not-synced") {
            dir.vfs().sync_dir(&dir.path)?;
        }
        Ok(file)
    });
    if made.is_err() {
        drop(dir.vfs().remove_file(&temporary));
    }
    Ok(made?)
}

fn fill(dir: &Dir, segment: &Segment, temporary: &Path) -> laminar_vfs::Result<Arc<dyn VfsFile>> {
    let file = dir.create_over(temporary)?;
    file.set_len(segment.header.length)?;
    if segment.header.zero_filled {
        let mut at = BLOCK as u64;
        while at < segment.header.length {
            let end = segment.header.length.min(at + PIECE);
            file.write_zeros(at..end)?;
            if end < segment.header.length {
                file.sync_data()?;
            }
            at = end;
        }
    }
    file.write_all_at(&segment.header.encode(), 0)?;
    if !planted("segment-header-not-synced") {
        file.sync_data()?;
    }
    Ok(file)
}

/// What the start of a segment file tells.
#[derive(Debug)]
pub(crate) struct Surveyed {
    pub(crate) segment: Segment,
    /// Nothing once [`let_go`](Self::let_go) was called: a log may have more segments than a process may have files open.
    file: Option<Arc<dyn VfsFile>>,
    /// Whether anything stands in the first page of data.
    pub(crate) used: bool,
}

impl Surveyed {
    /// The segment's file, opened again if it was let go.
    pub(crate) fn file(&self, dir: &Dir) -> Result<Arc<dyn VfsFile>> {
        match &self.file {
            Some(file) => Ok(Arc::clone(file)),
            None => Ok(dir.vfs().open(&name::segment(&dir.path, self.segment.first()), OpenMode::Write)?),
        }
    }

    /// Keeps no file open any more.
    pub(crate) fn let_go(&mut self) {
        self.file = None;
    }
}

/// Reads and checks the header page, and looks at the first page of data.
pub(crate) fn survey(dir: &Dir, identity: &Identity, first: u64) -> Result<Surveyed> {
    let path = name::segment(&dir.path, first);
    let corrupt = |offset, reason| Error::Corrupt {
        path: path.clone(),
        offset,
        from: Lsn::new(first),
        to: Lsn::new(first.saturating_add(identity.stride)),
        reason,
    };
    let file = dir.vfs().open(&path, OpenMode::Write)?;
    let length = file.len()?;
    if length < 3 * PAGE && !planted("segment-length-not-checked") {
        return Err(corrupt(length, "the file is shorter than any segment"));
    }
    let mut pages = [0; 2 * PAGE_LEN];
    file.read_exact_at(&mut pages, 0)?;
    let (head, data) = pages.split_at(PAGE_LEN);
    let (block, rest) = head.split_first_chunk::<BLOCK>().unwrap_or((&[0; BLOCK], &[]));
    let header = SegmentHeader::decode(block).map_err(|bad| match bad {
        BadBlock::Foreign => Error::foreign(&path, "it does not start as a segment does"),
        BadBlock::Version(found) => Error::Version { path: path.clone(), found, supported: VERSION },
        BadBlock::Corrupt(reason) => corrupt(0, reason),
    })?;
    if header.log_id != identity.log_id {
        return Err(Error::foreign(&path, "it belongs to another log"));
    }
    if header.first != first || header.stride != identity.stride {
        return Err(corrupt(0, "the header is that of another segment"));
    }
    if header.length != length {
        return Err(corrupt(length.min(header.length), "the file has not the length that its header states"));
    }
    if !is_zero(rest) {
        return Err(corrupt(SECTOR, "the header page has bytes behind the header"));
    }
    Ok(Surveyed { segment: Segment::new(header), file: Some(file), used: !is_zero(data) })
}
