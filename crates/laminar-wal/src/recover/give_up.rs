//! The way out of damage, on request: keep what is whole, move the rest aside, say what was given up.

use std::path::PathBuf;

use crate::buffer::Resume;
use crate::dir::Dir;
use crate::format::Identity;
use crate::open::Listing;
use crate::recover::{
    Chain, Recovered, Scan, Tail, Verdict, at, is_entered, missing, remove_unentered, rewrite, scan, window,
};
use crate::segment::{Segment, Surveyed, prepare, survey};
use crate::{Error, GivenUp, Lsn, Result, TailReport, name};

/// Whether an error says that bytes of the log are gone, rather than that they can't be had now.
pub(super) fn is_damage(error: &Error) -> bool {
    error.is_corrupt() || matches!(error, Error::Foreign { .. })
}

/// How far the log is whole.
struct Whole {
    found: Vec<Surveyed>,
    /// Of the last of them.
    tail: Option<(Scan, Option<Chain>)>,
    damage: Option<Error>,
}

/// Recovers what is whole from the start. Every record is read.
pub(super) fn recover(
    dir: &Dir,
    identity: Identity,
    listing: &Listing,
    firsts: &[u64],
    needed_from: u64,
    report: &mut TailReport,
) -> Result<Recovered> {
    let whole = walk_whole(dir, &identity, firsts)?;
    if let Some(damage) = &whole.damage
        && whole.end(&identity) < needed_from
        && let Some(at) = needed_segment(dir, &identity, firsts, needed_from)?
    {
        return begin_later(dir, identity, listing, firsts.split_at(at), damage, report);
    }
    let Whole { found, tail, damage } = whole;
    if listing.closed {
        // It may name what is moved aside.
        dir.remove_if_there(&dir.join(name::CLOSED))?;
    }
    let Some((scan, chain)) = tail else {
        return start_over(dir, identity, firsts, damage, report);
    };
    let last = found.len() - 1;
    let window = window(dir, at(&found, last))?;
    let Some(damage) = damage else {
        let unentered: Vec<u64> = firsts.iter().skip(found.len()).copied().collect();
        let recovered = rewrite::finish(dir, identity, listing, found, Tail { last, scan, chain, window }, report)?;
        remove_unentered(dir, unentered.into_iter())?;
        return Ok(recovered);
    };
    // From the newest to the oldest: whatever is still there after a crash is either whole or visibly broken off.
    let mut files = Vec::new();
    let kept = found.last().map_or(0, |last| last.segment.first());
    for first in firsts.iter().rev().filter(|first| **first > kept) {
        files.push(move_aside(dir, *first)?);
    }
    if let Some(last) = found.last() {
        let aside = name::lost_aside(&dir.path, kept, last.segment.header.generation);
        rewrite::keep_aside(dir, &name::segment(&dir.path, kept), &aside, &last.file(dir)?)?;
        files.push(aside);
    }
    let to = end_of(firsts, &identity).max(scan.dirty_to);
    let scan = Scan { verdict: Verdict::Clean, ..scan };
    let recovered = rewrite::finish(dir, identity, listing, found, Tail { last, scan, chain, window }, report)?;
    report.cut = None;
    report.given_up = Some(given_up(recovered.resume.end, to, &damage, files));
    Ok(recovered)
}

impl Whole {
    /// How far it reaches, by whole batches.
    fn end(&self, identity: &Identity) -> u64 {
        self.tail.as_ref().and_then(|(scan, _)| scan.batch_end).unwrap_or(identity.start)
    }
}

/// The index of the segment that `needed_from` lies in, if a log that begins with it is whole up to there.
fn needed_segment(dir: &Dir, identity: &Identity, firsts: &[u64], needed_from: u64) -> Result<Option<usize>> {
    let Some(at) = firsts.partition_point(|first| *first <= needed_from).checked_sub(1) else { return Ok(None) };
    let later = beginning_with(*identity, firsts.split_at(at).1);
    let whole = walk_whole(dir, &later, firsts.split_at(at).1)?;
    Ok((!whole.found.is_empty() && whole.end(&later) >= needed_from).then_some(at))
}

fn beginning_with(identity: Identity, firsts: &[u64]) -> Identity {
    let first = firsts.first().copied().unwrap_or(identity.first_segment);
    Identity { first_segment: first, start: first, ..identity }
}

/// Moves everything aside that comes before the segments that are needed, and begins the log with these.
fn begin_later(
    dir: &Dir,
    identity: Identity,
    listing: &Listing,
    (before, needed): (&[u64], &[u64]),
    damage: &Error,
    report: &mut TailReport,
) -> Result<Recovered> {
    let mut files = Vec::new();
    for first in before.iter().rev() {
        files.push(move_aside(dir, *first)?);
    }
    // A crash before the identity says so leaves a log whose beginning is missing: then it is done once more.
    dir.vfs().sync_dir(&dir.path)?;
    let mut later = beginning_with(identity, needed);
    later.epoch += 1;
    dir.publish_identity(&later)?;
    let recovered = recover(dir, later, listing, needed, 0, report)?;
    let mut lost = given_up(identity.start, later.start, damage, files);
    if let Some(more) = report.given_up.take() {
        lost.to = more.to;
        lost.reason = format!("{}; {}", lost.reason, more.reason);
        lost.files.extend(more.files);
    }
    report.given_up = Some(lost);
    Ok(recovered)
}

/// Walks through everything to the first damage.
fn walk_whole(dir: &Dir, identity: &Identity, firsts: &[u64]) -> Result<Whole> {
    let mut whole = Whole { found: Vec::new(), tail: None, damage: None };
    let mut expected = identity.first_segment;
    let mut rest = firsts.iter();
    let mut shown = None;
    loop {
        let surveyed = match rest.next() {
            Some(first) if *first == expected => survey(dir, identity, *first),
            Some(first) => Err(missing(dir, expected, *first)),
            None => Err(missing(dir, expected, expected)),
        };
        let surveyed = match surveyed {
            Err(error) if is_damage(&error) => {
                whole.damage = Some(error);
                return Ok(whole);
            }
            surveyed => surveyed?,
        };
        if let Some(next) = rest.as_slice().first().filter(|next| **next == surveyed.segment.end())
            && let Ok(next) = survey(dir, identity, *next)
            && is_entered(&next)
            && let Err(error) = surveyed.segment.check_next(&next.segment, &dir.path)
        {
            whole.damage = Some(error);
            return Ok(whole);
        }
        let chain = whole.tail.as_ref().and_then(|(scan, _)| {
            Some(Chain { seal_end: scan.seal_end?, groups_end: scan.good_to, batch_end: scan.batch_end? })
        });
        let window = match &mut shown {
            Some(window) => window,
            None => shown.insert(window(dir, &surveyed)?),
        };
        let scanned = scan(dir, &surveyed, chain, window)?;
        if chain.is_some() && scanned.dirty_to <= surveyed.segment.data() && !is_entered(&surveyed) {
            // It was never entered: the one before is the last. Unless a later one was: then what it had is gone.
            whole.damage = broken_off(dir, identity, &surveyed, &scanned, rest.as_slice());
            return Ok(whole);
        }
        expected = surveyed.segment.end();
        let sealed = scanned.seal_end.is_some();
        whole.damage = match &scanned.verdict {
            Verdict::Damaged(error) => Some(error.clone()),
            _ if sealed => None,
            _ => broken_off(dir, identity, &surveyed, &scanned, rest.as_slice()),
        };
        if let Some(before) = whole.found.last_mut() {
            before.let_go();
        }
        whole.found.push(surveyed);
        whole.tail = Some((scanned, chain));
        if whole.damage.is_some() || !sealed {
            return Ok(whole);
        }
    }
}

/// Damage, if a segment that ends without a seal is followed by one that was entered.
fn broken_off(dir: &Dir, identity: &Identity, at: &Surveyed, scan: &Scan, after: &[u64]) -> Option<Error> {
    let entered = |first: &u64| survey(dir, identity, *first).map_or(true, |surveyed| is_entered(&surveyed));
    after.iter().any(entered).then(|| Error::Corrupt {
        path: name::segment(&dir.path, at.segment.first()),
        offset: at.segment.offset(scan.good_to),
        from: Lsn::new(scan.good_to),
        to: Lsn::new(at.segment.end()),
        reason: "the segment ends without a seal, yet a later one was entered",
    })
}

/// Nothing is whole: an empty log where the first segment was.
fn start_over(
    dir: &Dir,
    identity: Identity,
    firsts: &[u64],
    damage: Option<Error>,
    report: &mut TailReport,
) -> Result<Recovered> {
    let mut files = Vec::new();
    for first in firsts.iter().rev() {
        files.push(move_aside(dir, *first)?);
    }
    dir.vfs().sync_dir(&dir.path)?;
    let mut header = Segment::fresh(dir, &identity, identity.first_segment, identity.stride, 0).header;
    header.proven_to = header.first + crate::format::PAGE;
    let segment = Segment::new(header);
    prepare(dir, &segment)?;
    let end = identity.start;
    let file = dir.vfs().open(&name::segment(&dir.path, segment.first()), laminar_vfs::OpenMode::Write)?;
    let damage = damage.unwrap_or_else(|| missing(dir, identity.first_segment, identity.first_segment));
    report.given_up = Some(given_up(end, end_of(firsts, &identity), &damage, files));
    Ok(Recovered {
        identity,
        segments: vec![segment],
        file,
        resume: Resume { group: segment.data(), prev_end: end, end },
        spare: None,
        closed_there: false,
        unproven: false,
    })
}

fn move_aside(dir: &Dir, first: u64) -> Result<PathBuf> {
    let aside = name::lost_aside(&dir.path, first, dir.generation());
    dir.vfs().rename(&name::segment(&dir.path, first), &aside)?;
    Ok(aside)
}

fn end_of(firsts: &[u64], identity: &Identity) -> u64 {
    firsts.last().map_or(identity.first_segment, |last| last.saturating_add(identity.stride))
}

fn given_up(from: u64, to: u64, damage: &Error, files: Vec<PathBuf>) -> GivenUp {
    GivenUp { from: Lsn::new(from), to: Lsn::new(to), reason: damage.to_string(), files }
}
