//! Finding the end of a log: clean, torn or damaged; and making what was found durable.
//!
//! Only the last segment that was entered can hold bytes that are not proven durable. Its groups are walked to the first
//! place where none stands. What lies there and behind decides: a later group (or the segment's header) that says
//! the place was durable makes it damage; so does a group that fails without a sector of zeros to explain it, since
//! an unwritten sector reads as zero. Everything else is a tear, and is cut.

use laminar_vfs::{OpenMode, VfsFile, planted};

use crate::buffer::Resume;
use crate::dir::Dir;
use crate::format::{
    BLOCK, CloseMark, GROUP_HEADER, GROUP_TRAILER, GroupHeader, GroupKind, Identity, PAGE, PAGE_LEN, SECTOR,
    SECTOR_LEN, in_memory, is_zero, round_up,
};
use crate::name;
use crate::open::Listing;
use crate::scan::{Bad, Bytes, Item, Walk, Window};
use crate::segment::{Segment, Surveyed, survey};
use crate::sync::Arc;
use crate::{Error, Lsn, RecoverTo, Result, TailReport, WalOptions};

mod give_up;
mod rewrite;

/// So many segments at the end of a log stay open while it is recovered: the last that was entered, the one before it, and a
/// spare. Others are opened where they are looked into.
const HELD_OPEN: usize = 3;

/// A log whose end is known and durable.
pub(crate) struct Recovered {
    pub(crate) identity: Identity,
    /// Never empty; the last one goes on.
    pub(crate) segments: Vec<Segment>,
    /// The last segment's.
    pub(crate) file: Arc<dyn VfsFile>,
    pub(crate) resume: Resume,
    pub(crate) spare: Option<Segment>,
    /// Whether there is a file `CLOSED`, which must go before anything is written.
    pub(crate) closed_there: bool,
    /// Nothing was ever written, and that the identity's name is durable is not known: it must be published again
    /// before anything is.
    pub(crate) unproven: bool,
}

/// What the walk through one segment came to.
pub(crate) struct Scan {
    /// The end of the last good group, or of the last good record in a group that is bad behind it.
    good_to: u64,
    /// The end of the last good record, if any.
    records_to: u64,
    /// The end of the last whole batch.
    batch_end: Option<u64>,
    /// The end of the seal.
    seal_end: Option<u64>,
    /// What stands where the walk ended.
    verdict: Verdict,
    /// The position just past the last sector that is not all zeros.
    dirty_to: u64,
}

pub(crate) enum Verdict {
    /// Nothing, or a seal.
    Clean,
    /// Bytes of a write that did not come to its end.
    Torn,
    /// Bytes that were durable are not what was written.
    Damaged(Error),
}

/// Recovers the log in `dir`.
pub(crate) fn recover(
    dir: &Dir,
    identity: Identity,
    options: &WalOptions,
    listing: &Listing,
    report: &mut TailReport,
) -> Result<Recovered> {
    let (below, firsts) = listing.segments.split_at(listing.segments.partition_point(|f| *f < identity.first_segment));
    let identity = remove_truncated(dir, identity, below)?;
    let last_good = options.recover_to == RecoverTo::LastGood;
    let (mut found, strays) = match survey_all(dir, &identity, firsts) {
        Err(error) if last_good && give_up::is_damage(&error) => {
            report.possibly_acknowledged = true;
            return give_up::recover(dir, identity, listing, firsts, options.needed_from.get(), report);
        }
        found => found?,
    };
    let mark = read_close_mark(dir, &identity, listing)?.filter(|_| !last_good);
    if let Some(mark) = &mark {
        if let Some(recovered) = try_clean(dir, &identity, &found, mark)? {
            remove_unentered(dir, strays.into_iter())?;
            report.clean = true;
            return Ok(recovered);
        }
        believe(&mut found, mark);
    }
    report.ignored_close = listing.closed;
    report.possibly_acknowledged = true;
    if last_good {
        return give_up::recover(dir, identity, listing, firsts, options.needed_from.get(), report);
    }
    let tail = judge(dir, &identity, &found)?;
    if let Some(mark) = &mark {
        check_against(dir, &identity, &found, &tail, mark)?;
    }
    let recovered = rewrite::finish(dir, identity, listing, found, tail, report)?;
    remove_unentered(dir, strays.into_iter())?;
    Ok(recovered)
}

/// Removes what a truncation had not got round to. The identity that says so is published again first: the
/// name of the one that is there may not be durable.
fn remove_truncated(dir: &Dir, mut identity: Identity, below: &[u64]) -> Result<Identity> {
    if !below.is_empty() {
        identity.epoch += 1;
        let published = if planted("log-removes-on-belief") { Ok(()) } else { dir.publish_identity(&identity) };
        match published {
            // They are in nobody's way but the disk's; they go when there is space to say so.
            Err(error) if error.is_no_space() => return Ok(identity),
            published => published?,
        }
        for first in below {
            dir.remove_if_there(&name::segment(&dir.path, *first))?;
        }
    }
    Ok(identity)
}

/// The headers of all segments, which must follow one another without a gap. Segments behind a gap, or within another,
/// are strays if they were never entered: spares whose removal a power cut has taken back.
fn survey_all(dir: &Dir, identity: &Identity, firsts: &[u64]) -> Result<(Vec<Surveyed>, Vec<u64>)> {
    let mut found = Vec::with_capacity(firsts.len());
    let mut strays = Vec::new();
    let mut expected = identity.first_segment;
    for first in firsts {
        let surveyed = survey(dir, identity, *first)?;
        if *first == expected {
            expected = surveyed.segment.end();
            found.push(surveyed);
            if let Some(earlier) = found.len().checked_sub(HELD_OPEN + 1).and_then(|at| found.get_mut(at)) {
                earlier.let_go();
            }
        } else if is_entered(&surveyed) {
            return Err(missing(dir, expected, *first));
        } else {
            strays.push(*first);
        }
    }
    if found.is_empty() { Err(missing(dir, expected, expected)) } else { Ok((found, strays)) }
}

/// Removes segments that were never entered, the newest first. They are made again when they are needed: a name may be
/// there though the sync of the directory failed.
fn remove_unentered(dir: &Dir, firsts: impl DoubleEndedIterator<Item = u64>) -> Result<()> {
    for first in firsts.rev() {
        dir.remove_if_there(&name::segment(&dir.path, first))?;
    }
    Ok(())
}

fn missing(dir: &Dir, from: u64, to: u64) -> Error {
    Error::Missing { path: name::segment(&dir.path, from.min(to)), from: Lsn::new(from.min(to)), to: Lsn::new(to) }
}

/// Whether something was written to a segment, or it was entered by recovery.
fn is_entered(surveyed: &Surveyed) -> bool {
    surveyed.used || surveyed.segment.header.proven_to != 0
}

/// The mark of a clean close, if there is one that verifies.
fn read_close_mark(dir: &Dir, identity: &Identity, listing: &Listing) -> Result<Option<CloseMark>> {
    if !listing.closed {
        return Ok(None);
    }
    let file = dir.vfs().open(&dir.join(name::CLOSED), OpenMode::Read)?;
    let mut block = [0; BLOCK];
    if file.len()? != BLOCK as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut block, 0)?;
    Ok(CloseMark::decode(&block).ok().filter(|mark| mark.log_id == identity.log_id))
}

/// A mark that verifies but does not fit is still a witness: what it names was there, and durable. A segment that was
/// written anew since has another generation, and the mark is an old one, which a failed sync of the directory can bring back.
fn believe(found: &mut [Surveyed], mark: &CloseMark) {
    if let Some(surveyed) = found.iter_mut().find(|surveyed| surveyed.segment.first() == mark.segment) {
        let segment = &mut surveyed.segment;
        if segment.header.generation == mark.generation && mark.prev_end > segment.data() {
            segment.header.proven_to = segment.header.proven_to.max(mark.prev_end.min(segment.end()));
        }
    }
}

/// An error if the log ends before the records that a mark vouches for do, however old it is: a log only loses them from its start.
fn check_against(dir: &Dir, identity: &Identity, found: &[Surveyed], tail: &Tail, mark: &CloseMark) -> Result<()> {
    let last = at(found, tail.last).segment;
    let end = tail.end(identity, &last);
    if mark.end <= end {
        return Ok(());
    }
    if mark.segment > last.first() {
        return Err(missing(dir, mark.segment, mark.segment));
    }
    let offset = last.offset(end.max(last.first()));
    let reason = "records that a clean close vouched for are not there";
    Err(Bad { offset, reason, torn: false, proven_by: 0 }.error(&dir.path, &last, mark.end))
}

/// The log as its last `close` left it, if the mark of that fits what is there.
fn try_clean(dir: &Dir, identity: &Identity, found: &[Surveyed], mark: &CloseMark) -> Result<Option<Recovered>> {
    let Some(at) = found.iter().position(|surveyed| surveyed.segment.first() == mark.segment) else { return Ok(None) };
    let (entered, after) = found.split_at(at + 1);
    let Some(last) = entered.last() else { return Ok(None) };
    let segment = last.segment;
    let follows = |before: &Surveyed| before.segment.check_next(&segment, &dir.path).is_ok();
    let fits = mark.generation == segment.header.generation
        && at.checked_sub(1).and_then(|before| found.get(before)).is_none_or(follows)
        && (segment.data()..=segment.data_end()).contains(&mark.next_group)
        && mark.next_group.is_multiple_of(PAGE)
        && mark.end <= mark.prev_end.max(identity.start)
        && mark.prev_end <= mark.next_group
        && !after.iter().any(is_entered)
        && after.len() <= 1;
    let mut page = [0; PAGE_LEN];
    if !fits {
        return Ok(None);
    }
    let file = last.file(dir)?;
    if !ends_with_its_group(&*file, &segment, mark)? {
        return Ok(None);
    }
    file.read_exact_at(&mut page, segment.offset(mark.next_group))?;
    if !is_zero(&page) {
        return Ok(None);
    }
    Ok(Some(Recovered {
        identity: *identity,
        segments: entered.iter().map(|surveyed| surveyed.segment).collect(),
        file,
        resume: Resume { group: mark.next_group, prev_end: mark.prev_end, end: mark.end },
        // One made for an earlier life of the last segment, whose removal a power cut took back, is made anew when it is needed.
        spare: after
            .first()
            .map(|spare| spare.segment)
            .filter(|spare| spare.header.before == segment.header.generation),
        closed_there: true,
        unproven: false,
    }))
}

/// Whether something stands where the last group's end mark belongs.
fn ends_with_its_group(file: &dyn VfsFile, last: &Segment, mark: &CloseMark) -> Result<bool> {
    if mark.prev_end <= last.data() {
        return Ok(true);
    }
    let mut trailer = [0; GROUP_TRAILER];
    file.read_exact_at(&mut trailer, last.offset(mark.prev_end))?;
    Ok(!is_zero(&trailer))
}

/// Where a log ends.
pub(crate) struct Tail {
    /// Index of the last segment.
    last: usize,
    scan: Scan,
    /// What the segment's first group says, or would have to say, of what comes before; nothing for the first.
    chain: Option<Chain>,
    /// What was read for that, so that it need not be read again.
    window: Window,
}

impl Tail {
    /// The end of the last whole batch: what starts before it is kept.
    fn end(&self, identity: &Identity, last: &Segment) -> u64 {
        let batch_end = if planted("log-keeps-open-batch") { Some(self.scan.records_to) } else { self.scan.batch_end };
        let known = batch_end.or(last.header.cut_from).unwrap_or(identity.start);
        known.max(identity.start)
    }
}

/// The end of the segment before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    /// The end of its seal.
    seal_end: u64,
    /// The end of its last group.
    groups_end: u64,
    /// The end of the last whole batch.
    batch_end: u64,
}

/// Walks through the last segment and says how the log ends.
fn judge(dir: &Dir, identity: &Identity, found: &[Surveyed]) -> Result<Tail> {
    let mut last = found.iter().rposition(is_entered).unwrap_or(0);
    let mut window = window(dir, at(found, last))?;
    let mut chain = chain_before(dir, found, last, &mut window)?;
    let mut scan = scan(dir, at(found, last), chain, &mut window)?;
    if let (Some(seal_end), Verdict::Clean) = (scan.seal_end, &scan.verdict) {
        let Some(next) = found.get(last + 1) else {
            if planted("log-missing-last-segment-unnoticed") {
                return Ok(Tail { last, scan, chain, window });
            }
            let end = found.get(last).map_or(identity.first_segment, |last| last.segment.end());
            return Err(missing(dir, end, end));
        };
        // The next one may have been entered though its first page is empty: then this one is proven.
        let batch_end = scan.batch_end.unwrap_or(identity.start);
        let on = Chain { seal_end, groups_end: scan.good_to, batch_end };
        let next_scan = self::scan(dir, next, Some(on), &mut window)?;
        if next_scan.dirty_to > next.segment.data() {
            (last, chain, scan) = (last + 1, Some(on), next_scan);
        }
    }
    match scan.verdict {
        Verdict::Damaged(error) => Err(error),
        _ => Ok(Tail { last, scan, chain, window }),
    }
}

/// Nothing of a segment yet.
pub(crate) fn window(dir: &Dir, surveyed: &Surveyed) -> Result<Window> {
    Ok(Window::new(surveyed.file(dir)?, surveyed.segment.header.length))
}

/// The end of the segment before `last`, from its seal. Where the first group of `last` can't say where that is, the
/// segment is walked through.
fn chain_before(dir: &Dir, found: &[Surveyed], last: usize, window: &mut Window) -> Result<Option<Chain>> {
    let Some((before, rest)) = last.checked_sub(1).and_then(|at| found.get(at..)?.split_first()) else {
        return Ok(None);
    };
    let Some(surveyed) = rest.first() else { return Ok(None) };
    window.show(&surveyed.file(dir)?, surveyed.segment.header.length);
    if let Item::Group(first) = Walk::new(surveyed.segment, None, None).step(window)? {
        let seal_at = first.prev_end.saturating_sub(GROUP_HEADER as u64);
        if (before.segment.data()..before.segment.end()).contains(&seal_at) {
            let mut header = [0; GROUP_HEADER];
            before.file(dir)?.read_exact_at(&mut header, before.segment.offset(seal_at))?;
            let seal = GroupHeader::decode(&header, before.segment.seed, seal_at);
            let seal = seal.filter(|seal| seal.kind == GroupKind::Seal && seal.successor == surveyed.segment.first());
            if let Some(seal) = seal {
                let chain = Chain { seal_end: first.prev_end, groups_end: seal.prev_end, batch_end: seal.batch_end };
                return Ok(Some(chain));
            }
        }
        let bad = Bad {
            offset: before.segment.offset(seal_at.clamp(before.segment.data(), before.segment.end())),
            reason: "the seal that leads to the next segment is not there",
            torn: false,
            proven_by: 0,
        };
        return Err(bad.error(&dir.path, &before.segment, surveyed.segment.first()));
    }
    let scan = scan(dir, before, None, window)?;
    match (scan.verdict, scan.seal_end, scan.batch_end) {
        (Verdict::Damaged(error), _, _) => Err(error),
        (Verdict::Clean, Some(seal_end), Some(batch_end)) => {
            Ok(Some(Chain { seal_end, groups_end: scan.good_to, batch_end }))
        }
        _ => {
            let offset = before.segment.offset(scan.good_to);
            let bad = Bad {
                offset,
                reason: "the segment ends without a seal, yet the next one was entered",
                torn: true,
                proven_by: 0,
            };
            Err(bad.error(&dir.path, &before.segment, surveyed.segment.first()))
        }
    }
}

fn at(found: &[Surveyed], at: usize) -> &Surveyed {
    let Some(surveyed) = found.get(at) else { unreachable!("the caller found the segment") };
    surveyed
}

/// Walks through a segment from its start, and judges what stands where the groups end.
pub(crate) fn scan(dir: &Dir, surveyed: &Surveyed, chain: Option<Chain>, window: &mut Window) -> Result<Scan> {
    let segment = surveyed.segment;
    window.show(&surveyed.file(dir)?, segment.header.length);
    let mut walk = Walk::new(segment, chain.map(|chain| chain.seal_end), chain.map(|chain| chain.batch_end));
    let mut records_to = 0;
    let (mut seal_end, mut sealed_batch_end) = (None, None);
    let bad = loop {
        match walk.step(window)? {
            Item::Frame { .. } => records_to = walk.frame_position(),
            Item::Group(header) if header.kind == GroupKind::Seal => {
                seal_end = Some(walk.next_position() + GROUP_HEADER as u64);
                sealed_batch_end = Some(header.batch_end);
                break None;
            }
            Item::Group(_) => {}
            Item::Absent => break None,
            Item::Bad(bad) => break Some(bad),
        }
    };
    let behind = seal_end.unwrap_or_else(|| bad.map_or(walk.next_position(), |bad| segment.first() + bad.offset));
    let rest = look_behind(&segment, window, behind)?;
    let good_to = walk.frame_position();
    let verdict = if seal_end.is_some() {
        Verdict::Clean
    } else {
        verdict(dir, &segment, bad, good_to, walk.next_position(), &rest)
    };
    Ok(Scan {
        good_to,
        records_to,
        batch_end: sealed_batch_end.or(walk.batch_end()),
        seal_end,
        verdict,
        dirty_to: rest.dirty_to.max(good_to),
    })
}

/// What lies behind the place where the walk ended.
struct Behind {
    /// The position just past the last sector that is not all zeros.
    dirty_to: u64,
    /// The highest position that a later group says was durable.
    durable: u64,
}

fn look_behind(segment: &Segment, window: &mut Window, from: u64) -> Result<Behind> {
    let mut behind = Behind { dirty_to: 0, durable: 0 };
    let mut offset = segment.offset(from) / SECTOR * SECTOR;
    while offset < segment.header.length {
        // A page at a time: most of it is zeros.
        let len = in_memory((round_up(offset + 1, PAGE)).min(segment.header.length) - offset);
        let position = segment.first() + offset;
        let bytes = window.at(offset, len)?;
        if !is_zero(bytes) {
            for (index, sector) in bytes.chunks(SECTOR_LEN).enumerate().filter(|(_, sector)| !is_zero(sector)) {
                let position = position + index as u64 * SECTOR;
                behind.dirty_to = position + SECTOR;
                let header = sector.first_chunk().and_then(|head| GroupHeader::decode(head, segment.seed, position));
                behind.durable = behind.durable.max(header.map_or(0, |header| header.durable));
            }
        }
        offset += len as u64;
    }
    Ok(behind)
}

fn verdict(dir: &Dir, segment: &Segment, bad: Option<Bad>, good_to: u64, next: u64, rest: &Behind) -> Verdict {
    let proven = rest.durable.max(segment.header.proven_to);
    let absent = Bad { offset: segment.offset(next), reason: "", torn: true, proven_by: good_to + 1 };
    let mut found = bad.unwrap_or(absent);
    if proven >= found.proven_by && !planted("log-cuts-what-was-durable") {
        found.reason = "records that were durable are not there";
        found.torn = false;
    }
    if !found.torn {
        Verdict::Damaged(found.error(&dir.path, segment, proven.max(rest.dirty_to)))
    } else if bad.is_some() || rest.dirty_to > next {
        Verdict::Torn
    } else {
        Verdict::Clean
    }
}
