//! Making what was recovered durable: the last segment's records, up to the last whole batch, in a new file.
//!
//! The bytes that were read may be in the operating system's cache alone, and after a failed sync it takes them for
//! written. So they are not synced in place: they are written again, under a new generation, and the new file takes
//! the old one's name.

use std::path::{Path, PathBuf};

use laminar_vfs::{OpenMode, VfsFile, planted};

use crate::buffer::Resume;
use crate::dir::Dir;
use crate::format::{
    FRAMING, GROUP_HEADER, GROUP_TRAILER, GroupHeader, GroupKind, Identity, PAGE, SegmentHeader, group_trailer,
    in_memory, round_up, seal_frame,
};
use crate::name;
use crate::open::Listing;
use crate::recover::{Chain, Recovered, Tail, Verdict, is_entered, remove_unentered};
use crate::scan::{Bytes, Item, Walk, Window};
use crate::segment::{Segment, Surveyed};
use crate::sync::Arc;
use crate::{Cut, Error, Lsn, Result, TailReport};

/// How much is written at a time.
const PIECE: usize = 1 << 20;

/// What becomes of the last segment.
struct Plan {
    /// The end of the last whole batch: what starts before it is kept.
    end: u64,
    /// The new header.
    new: Segment,
    /// Where the old file is kept, if bytes of it are cut.
    aside: Option<PathBuf>,
}

/// The last segment as it was found, and what was read of it.
struct Old<'a> {
    surveyed: &'a Surveyed,
    file: Arc<dyn VfsFile>,
    window: Window,
}

/// Makes the log end where `tail` says, durably.
pub(super) fn finish(
    dir: &Dir,
    identity: Identity,
    listing: &Listing,
    mut found: Vec<Surveyed>,
    tail: Tail,
    report: &mut TailReport,
) -> Result<Recovered> {
    let unentered = found.split_off(tail.last + 1);
    let Some(old) = found.last() else { unreachable!("the tail is in one of the segments") };
    let segment = old.segment;
    let end = tail.end(&identity, &segment);
    let Tail { scan, chain, window, .. } = tail;
    let torn = matches!(scan.verdict, Verdict::Torn);
    let cut_here = torn || scan.records_to > end.max(segment.data());
    let cut_before = end < segment.first()
        && segment.header.cut_from != Some(end)
        && chain.is_some_and(|chain| chain.groups_end > end);
    let plan = Plan {
        end,
        new: Segment::new(new_header(dir, &segment, chain, end, cut_before)),
        aside: cut_here.then(|| name::cut_aside(&dir.path, segment.first(), segment.header.generation)),
    };
    if cut_here || cut_before {
        let bytes = scan.dirty_to.max(segment.first()) - end;
        report.cut = Some(Cut { from: Lsn::new(end), bytes, kept_at: plan.aside.clone() });
    }
    let unproven = !is_entered(old) && !cut_here || planted("log-believes-the-cache");
    let kept = if unproven {
        segment
    } else {
        rewrite(dir, Old { surveyed: old, file: old.file(dir)?, window }, &plan, listing.reserve, report)?
    };
    // Only now: a seal that is cut names the first of them.
    remove_unentered(dir, unentered.iter().map(|surveyed| surveyed.segment.first()))?;
    let resume = resume(&kept, end, chain);
    let file = dir.vfs().open(&name::segment(&dir.path, kept.first()), OpenMode::Write)?;
    let mut segments: Vec<Segment> = found.iter().map(|surveyed| surveyed.segment).collect();
    if let Some(last) = segments.last_mut() {
        *last = kept;
    }
    Ok(Recovered { identity, segments, file, resume, spare: None, closed_there: listing.closed, unproven })
}

fn new_header(dir: &Dir, old: &Segment, chain: Option<Chain>, end: u64, cut_before: bool) -> SegmentHeader {
    // The first group says where the last whole batch before it ends. One that is there said so already; one to come will say `end`, and
    // after a truncation that is not where the segment before has it.
    let known = old.header.cut_from.or(chain.map(|chain| chain.batch_end));
    let is_moved = end <= old.data() && known.is_some_and(|known| known != end);
    let cut = cut_before && !planted("log-forgets-cut-batch") || is_moved;
    SegmentHeader {
        generation: dir.generation(),
        proven_to: end.max(old.data()),
        cut_from: if cut { Some(end) } else { old.header.cut_from },
        zero_filled: dir.zero_filled,
        ..old.header
    }
}

pub(super) fn resume(segment: &Segment, end: u64, chain: Option<Chain>) -> Resume {
    if end > segment.data() {
        Resume { group: round_up(end + GROUP_TRAILER as u64, PAGE), prev_end: end, end }
    } else {
        Resume { group: segment.data(), prev_end: chain.map_or(end, |chain| chain.seal_end), end }
    }
}

/// Writes the segment again and gives the new file its name.
fn rewrite(dir: &Dir, mut old: Old<'_>, plan: &Plan, has_reserve: bool, report: &mut TailReport) -> Result<Segment> {
    let segment = old.surveyed.segment;
    let path = name::segment(&dir.path, segment.first());
    let temporary = name::temporary(&path);
    let written =
        dir.create_over(&temporary).map_err(Error::from).and_then(|file| write(&*file, &mut old, plan, plan.new));
    let (source, new) = match written {
        Ok(()) => (temporary, plan.new),
        Err(error) if error.is_no_space() => {
            drop(dir.vfs().remove_file(&temporary));
            let proven = segment.header.proven_to >= plan.end && plan.aside.is_none();
            let in_reserve = if has_reserve { write_into_reserve(dir, &mut old, plan) } else { Err(error) };
            match in_reserve {
                Ok(written) => written,
                // An earlier recovery has written it, and no log goes on without a reserve that is long enough.
                Err(error) if error.is_no_space() && proven && plan.new.header.cut_from == segment.header.cut_from => {
                    // It may have been killed before its name was durable.
                    dir.vfs().sync_dir(&dir.path)?;
                    return Ok(segment);
                }
                Err(error) => return Err(error),
            }
        }
        Err(error) => {
            drop(dir.vfs().remove_file(&temporary));
            return Err(error);
        }
    };
    if let Some(aside) = plan.aside.as_ref().filter(|_| !planted("log-cut-not-kept-aside")) {
        keep_aside(dir, &path, aside, &old.file)?;
    }
    dir.vfs().rename(&source, &path)?;
    if !planted("log-recovered-name-not-synced") {
        dir.vfs().sync_dir(&dir.path)?;
    }
    report.rewritten_bytes = plan.end.max(new.data()) - new.first();
    Ok(new)
}

/// The reserve's space was had before the log was written, so that it is there on a full disk: for what was written, and not for the
/// rest of the segment. Gives the path, and the segment as it is there.
fn write_into_reserve(dir: &Dir, old: &mut Old<'_>, plan: &Plan) -> Result<(PathBuf, Segment)> {
    let path = dir.join(name::RESERVE);
    let file = dir.vfs().open(&path, OpenMode::Write)?;
    let zero_filled = planted("log-fills-the-reserve") && plan.new.header.zero_filled;
    let new = Segment::new(SegmentHeader { zero_filled, ..plan.new.header });
    write(&*file, old, plan, new)?;
    Ok((path, new))
}

/// Writes the header of `new` and the kept groups, and nothing else is in the file; then the length, then the sync.
fn write(file: &dyn VfsFile, old: &mut Old<'_>, plan: &Plan, new: Segment) -> Result<()> {
    let mut stage = Stage { file, bytes: Vec::new(), at: 0 };
    stage.push(&new.header.encode())?;
    if plan.end > new.data() {
        copy_groups(&mut stage, old, plan)?;
    }
    stage.flush()?;
    if file.len()? != stage.at {
        // What was in the reserve must not be taken for groups. Zeros in its place could need space: of its length, not all was had.
        file.set_len(stage.at)?;
    }
    if new.header.zero_filled {
        file.write_zeros(stage.at..new.header.length)?;
    }
    file.set_len(new.header.length)?;
    if planted("log-recovered-bytes-not-synced") { Ok(()) } else { Ok(file.sync_data()?) }
}

/// The groups of the old file up to the plan's end, record by record, each checksum under the new seed.
fn copy_groups(stage: &mut Stage<'_>, old: &mut Old<'_>, plan: &Plan) -> Result<()> {
    let (segment, new) = (old.surveyed.segment, plan.new);
    let window = &mut old.window;
    window.show(&old.file, segment.header.length);
    let mut walk = Walk::new(segment, None, None);
    let mut trailer = None;
    while walk.frame_position() < plan.end {
        let position = walk.frame_position();
        match walk.step(window)? {
            Item::Group(header) if header.kind != GroupKind::Seal => {
                let start = walk.frame_position() - GROUP_HEADER as u64;
                let end = walk.position().min(plan.end);
                let header = GroupHeader {
                    len: u32::try_from(end - start).unwrap_or(u32::MAX),
                    then_page: header.then_page || walk.position() >= plan.end,
                    ..header
                };
                stage.end_group(trailer.take())?;
                stage.pad_to(segment.offset(start));
                let encoded = header.encode(new.seed, start);
                stage.push(&encoded)?;
                trailer = Some(group_trailer(&encoded));
            }
            Item::Frame { offset, len, more } => {
                let frame = stage.push(window.at(offset, FRAMING + len)?)?;
                seal_frame(frame, new.seed, position, more);
            }
            Item::Group(_) | Item::Absent | Item::Bad(_) => {
                // It was walked through a moment ago: the disk gives other bytes now.
                let reason = "the segment reads differently the second time";
                let offset = segment.offset(position);
                let (from, to) = (Lsn::new(position), Lsn::new(plan.end));
                return Err(Error::Corrupt { path: old.file.path().to_owned(), offset, from, to, reason });
            }
        }
    }
    stage.end_group(trailer)?;
    Ok(())
}

/// Bytes on their way into a file, from its start, a large piece at a time.
struct Stage<'a> {
    file: &'a dyn VfsFile,
    bytes: Vec<u8>,
    /// Offset of the first byte held.
    at: u64,
}

impl Stage<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<&mut [u8]> {
        if self.bytes.len() >= PIECE {
            self.flush()?;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Ok(self.bytes.split_at_mut(start).1)
    }

    /// Puts the end mark behind the group that was pushed, if there is one.
    fn end_group(&mut self, trailer: Option<[u8; GROUP_TRAILER]>) -> Result<()> {
        if let Some(trailer) = trailer {
            self.push(&trailer)?;
        }
        Ok(())
    }

    fn pad_to(&mut self, offset: u64) {
        let gap = in_memory(offset - self.at - self.bytes.len() as u64);
        self.bytes.resize(self.bytes.len() + gap, 0);
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.at..self.at + self.bytes.len() as u64;
        self.file.write_all_at(&self.bytes, written.start)?;
        // The disk works while the next piece is made, and the sync at the end has little left to wait for.
        self.file.evict(written.clone());
        self.at = written.end;
        self.bytes.clear();
        Ok(())
    }
}

/// Gives the old file a second name, durably, before the new one takes the first.
pub(super) fn keep_aside(dir: &Dir, path: &Path, aside: &Path, old: &Arc<dyn VfsFile>) -> Result<()> {
    match dir.vfs().hard_link(path, aside) {
        // An earlier recovery got as far as this.
        Err(error) if error.is_already_there() => {}
        Err(error) if error.is_unsupported() => copy(dir, old, aside)?,
        linked => linked?,
    }
    Ok(dir.vfs().sync_dir(&dir.path)?)
}

fn copy(dir: &Dir, from: &Arc<dyn VfsFile>, to: &Path) -> Result<()> {
    let temporary = name::temporary(to);
    let file = dir.create_over(&temporary)?;
    let length = from.len()?;
    let mut window = Window::new(Arc::clone(from), length);
    let mut offset = 0;
    while offset < length {
        let len = in_memory(PAGE.min(length - offset));
        file.write_all_at(window.at(offset, len)?, offset)?;
        offset += len as u64;
    }
    file.sync_data()?;
    Ok(dir.vfs().rename(&temporary, to)?)
}
