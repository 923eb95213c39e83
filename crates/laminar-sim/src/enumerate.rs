//! Every crash of every small workload: all sequences of up to five operations on two keys, a crash before each change of the
//! disk, every subset of what was pending then, and a second crash inside the recovery of the first.
//!
//! Small exhaustive bounds find what large random runs miss: of 26 known crash bugs of file systems, 24 show with at most three
//! operations. Source: Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing", OSDI 2018.

use std::fmt;

use laminar_storage::{Env, Error, StateStore, StoreOptions, WalStateStore};
use laminar_vfs::sim::SimDisk;

use crate::seeds::caught;
use crate::{Violation, shrink, sources};

/// The operations of a small workload.
const OPS: [SmallOp; 7] = [
    SmallOp::Put,
    SmallOp::Delete,
    SmallOp::Commit,
    SmallOp::CommitDurable,
    SmallOp::Checkpoint,
    SmallOp::Rotate,
    SmallOp::Reopen,
];

/// With at most so many pending changes, every subset of them is tried.
const EXHAUSTIVE_CHOICES: usize = 12;
/// With more, so many subsets.
const SAMPLES: u64 = 256;
/// Second crashes are tried in every way in workloads of at most so many operations: inside the recovery of every image.
const COMPLETE_SECOND_OPS: usize = 1;
/// With at most so many changes pending inside such a recovery, every subset of them is tried.
const EXHAUSTIVE_SECOND_CHOICES: usize = 6;
/// With more, so many subsets.
const SECOND_SAMPLES: u64 = 64;
/// In longer workloads a second crash is tried in the recovery of one image in so many, and with so few subsets.
const SPARSE_SECOND: u64 = 16;
const SPARSE_SECOND_SAMPLES: u64 = 4;
const DIR: &str = "/s";

/// One operation of a small workload. Which of the two keys it works on follows from its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum SmallOp {
    /// Puts the key of this place.
    Put,
    /// Deletes the key of the place before.
    Delete,
    /// Commits, handed to the operating system.
    Commit,
    /// Commits and waits until it is durable.
    CommitDurable,
    /// Makes a checkpoint, retires and merges.
    Checkpoint,
    /// Puts so much that the log enters its next segment, and commits.
    Rotate,
    /// Closes and opens.
    Reopen,
}

/// How many workloads there are with exactly `ops` operations.
#[must_use]
pub fn workloads(ops: u32) -> u64 {
    (OPS.len() as u64).pow(ops)
}

/// The workload of a number below [`workloads`].
#[must_use]
pub fn workload(ops: u32, mut number: u64) -> Vec<SmallOp> {
    (0..ops)
        .map(|_| {
            let op = OPS[usize::try_from(number % OPS.len() as u64).unwrap_or(0)];
            number /= OPS.len() as u64;
            op
        })
        .collect()
}

/// The number of a workload among those of its length: the reverse of [`workload`].
#[must_use]
pub fn workload_number(ops: &[SmallOp]) -> u64 {
    let digit = |op: &SmallOp| OPS.iter().position(|other| other == op).unwrap_or(0) as u64;
    ops.iter().rev().fold(0, |number, op| number * OPS.len() as u64 + digit(op))
}

/// A small workload that went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub struct SmallFailure {
    /// The workload.
    pub ops: Vec<SmallOp>,
    /// What went wrong in it.
    pub violation: Violation,
    /// The shortest workload made of its operations that still fails.
    pub shrunk: Vec<SmallOp>,
    /// What went wrong in that.
    pub shrunk_violation: Violation,
}

impl fmt::Display for SmallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replay =
            |ops: &[SmallOp]| format!("cargo xtask fault --ops {} --workload {}", ops.len(), workload_number(ops));
        writeln!(f, "workload {:?}: {}", self.ops, self.violation)?;
        writeln!(f, "replay: {}", replay(&self.ops))?;
        writeln!(f, "the shortest workload that fails: {:?}: {}", self.shrunk, self.shrunk_violation)?;
        write!(f, "replay: {}", replay(&self.shrunk))
    }
}

impl std::error::Error for SmallFailure {}

/// As [`enumerate`] of one workload by number; a panic is a violation too.
///
/// # Errors
/// A state that must not be, with the workload shrunk.
pub fn enumerate_number(ops: u32, number: u64) -> Result<Counts, Box<SmallFailure>> {
    let run = |ops: &[SmallOp]| caught(|| enumerate(ops, true));
    let ops = workload(ops, number);
    run(&ops).map_err(|violation| {
        let (shrunk, shrunk_violation) = shrink(ops.clone(), violation.clone(), |fewer| run(fewer).map(drop));
        Box::new(SmallFailure { ops, violation, shrunk, shrunk_violation })
    })
}

/// What an enumeration has looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Workloads.
    pub workloads: u64,
    /// Moments at which the power was cut.
    pub crash_points: u64,
    /// Disks as a power cut may leave them, each checked: recovered by the store's own code and compared whole, or byte for byte one that was.
    pub images: u64,
    /// Those of them that were recovered: no two of them in one workload are equal, but where the power went a second time.
    pub recovered: u64,
    /// Those of them that a second power cut left, inside the recovery of the first.
    pub nested: u64,
}

impl Counts {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.workloads += other.workloads;
        self.crash_points += other.crash_points;
        self.images += other.images;
        self.recovered += other.recovered;
        self.nested += other.nested;
    }
}

/// The states that a workload goes through, by commit.
#[derive(Debug, Clone)]
struct Track {
    /// Values of the two keys and of the filler, as of each commit; the first is the empty state.
    commits: Vec<[Option<u8>; 3]>,
    now: [Option<u8>; 3],
    changed: bool,
    durable: usize,
}

impl Track {
    fn new() -> Self {
        Self { commits: vec![[None; 3]], now: [None; 3], changed: false, durable: 0 }
    }

    fn last(&self) -> usize {
        self.commits.len() - 1
    }

    /// What may be found after a power cut.
    fn may_be(&self, number: usize) -> Option<&[Option<u8>; 3]> {
        self.commits.get(number).filter(|_| number >= self.durable)
    }
}

fn options(env: Env) -> StoreOptions {
    StoreOptions::on(env).segment_bytes(SEGMENT_BYTES).buffer_bytes(4096).read_mode(laminar_storage::ReadMode::Owned)
}

/// As small as a segment can be, so that disks are small and rotation is near.
const SEGMENT_BYTES: u64 = 16 << 10;
/// What `Rotate` puts: more than a segment has room for behind anything else.
const FILLER_BYTES: usize = 9 << 10;

const KEYS: [&[u8]; 3] = [b"a", b"b", b"filler"];

fn value(key: usize, number: u8) -> Vec<u8> {
    vec![number | 0x80; value_bytes(key)]
}

fn value_bytes(key: usize) -> usize {
    if key == 2 { FILLER_BYTES } else { 20 }
}

/// Whether `found` is the value of a key that was put by operation `number`, or none where it is to have none.
fn is_value(found: Option<&[u8]>, key: usize, number: Option<u8>) -> bool {
    match (found, number) {
        (Some(found), Some(number)) => {
            // Every byte, without a way out in the middle: that is quicker than to stop early.
            let differs = found.iter().fold(0, |differs, byte| differs | (byte ^ (number | 0x80)));
            found.len() == value_bytes(key) && differs == 0
        }
        (found, number) => found.is_none() && number.is_none(),
    }
}

/// How often the power goes a second time, before each change that a recovery makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    /// In no recovery.
    Never,
    /// In a few recoveries, a few subsets.
    Sparse,
    /// In every recovery, every subset, or many.
    Complete,
}

impl Second {
    /// Of the image of this number at a crash point: its own subsets are many, and a recovery makes half a dozen changes. Numbers are masks
    /// of what is kept, so they are drawn by a hash: a step would take the same changes each time. One of each point is always taken.
    fn of_image(self, number: u64, images: u64, point: u64) -> Self {
        let is_drawn = scramble(number ^ point << 32).is_multiple_of(SPARSE_SECOND) || number == point % images;
        if self == Self::Sparse && !is_drawn { Self::Never } else { self }
    }

    /// The disks that the power leaves if it goes at this moment of a recovery.
    fn images(self, moment: &SimDisk) -> impl Iterator<Item = SimDisk> {
        let choices = moment.choices();
        let exhaustive = self == Self::Complete && choices <= EXHAUSTIVE_SECOND_CHOICES;
        let count = match self {
            Self::Never => 0,
            Self::Sparse => SPARSE_SECOND_SAMPLES,
            Self::Complete if exhaustive => 1 << choices,
            Self::Complete => SECOND_SAMPLES,
        };
        // Other subsets at each moment, not the same few.
        let of_moment = if count == 0 || exhaustive { 0 } else { moment.fingerprint() };
        (0..count).map(move |number| match exhaustive {
            true => moment.crash_mask(number),
            false => moment.crash(of_moment.wrapping_add(number)),
        })
    }
}

/// Spreads what differs in a number over the low bits of another. The factor is 2^64 over the golden ratio. Source: Knuth, The Art of
/// Computer Programming, volume 3, section 6.4.
fn scramble(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}

/// Runs a workload and, before each change of the disk that its last operation makes, cuts the power in every way. The crash points
/// of the operations before belong to the shorter workloads, which are enumerated too.
///
/// What is complete and what is a sample:
///
/// - The first crash: all subsets of up to 12 pending changes; of more, 256 by seed.
/// - With `nested`, a second crash before each change that the recovery of the first makes. In workloads of at most one operation
///   it is complete: inside the recovery of every image, all subsets of up to 6 changes that are pending then, 64 by seed of more. In
///   longer ones it is a sample: inside the recovery of one image in sixteen, 4 subsets, both by a hash.
///
/// Recovery is a function of the bytes on the disk, and what may be found is the same at all crash points of a workload. So of images that are
/// byte for byte equal (see [`SimDisk::fingerprint`]) one is recovered: half of the subsets at one crash point are those of the crash point before,
/// without the change that was added.
///
/// # Errors
/// A state that must not be: see [`Violation`].
pub fn enumerate(ops: &[SmallOp], nested: bool) -> Result<Counts, Violation> {
    let disk = SimDisk::new(1);
    let mut counts = Counts { workloads: 1, ..Counts::default() };
    if ops.is_empty() {
        disk.start_history();
    }
    let mut track = Track::new();
    let mut store = Some(open(&disk.env()).map_err(|error| failed("creating", &error))?);
    for (place, op) in ops.iter().enumerate() {
        let last = place + 1 == ops.len();
        let before = track.clone();
        if last {
            disk.start_history();
        }
        apply(*op, place, &disk, &mut store, &mut track).map_err(|error| failed("running", &error))?;
        if last {
            // While the operation runs, what it submits may be there, and nothing more is owed than before.
            track.durable = before.durable;
        }
    }
    let second = match nested {
        false => Second::Never,
        true if ops.len() <= COMPLETE_SECOND_OPS => Second::Complete,
        true => Second::Sparse,
    };
    let mut passed = Passed::default();
    for moment in disk.take_history() {
        counts.crash_points += 1;
        cut_power(&moment, &track, second, &mut passed, &mut counts)?;
    }
    drop(store);
    Ok(counts)
}

fn open(env: &Env) -> Result<WalStateStore, Error> {
    WalStateStore::open(DIR, options(env.clone())).map(|(store, _)| store)
}

fn failed(doing: &str, error: &Error) -> Violation {
    Violation::new(format!("{doing} failed: {error}"))
}

fn apply(
    op: SmallOp,
    place: usize,
    disk: &SimDisk,
    store: &mut Option<WalStateStore>,
    track: &mut Track,
) -> Result<(), Error> {
    let Some(open_store) = store.as_mut() else { return Ok(()) };
    let number = u8::try_from(place + 1).unwrap_or(u8::MAX);
    match op {
        SmallOp::Put => {
            open_store.put(KEYS[place % 2], &value(place % 2, number))?;
            track.now[place % 2] = Some(number);
            track.changed = true;
        }
        SmallOp::Delete => {
            open_store.delete(KEYS[(place + 1) % 2])?;
            track.now[(place + 1) % 2] = None;
            track.changed = true;
        }
        SmallOp::Commit => drop(commit(open_store, track)?),
        SmallOp::CommitDurable => {
            commit(open_store, track)?.wait()?;
            track.durable = track.last();
        }
        SmallOp::Checkpoint => {
            open_store.checkpoint()?.wait()?;
            track.durable = track.last();
        }
        SmallOp::Rotate => {
            open_store.put(KEYS[2], &value(2, number))?;
            track.now[2] = Some(number);
            track.changed = true;
            drop(commit(open_store, track)?);
        }
        SmallOp::Reopen => {
            open_store.close()?;
            *store = None;
            // What was not committed is gone, and all the rest is durable.
            track.now = track.commits.last().copied().unwrap_or_default();
            track.changed = false;
            track.durable = track.last();
            *store = Some(open(&disk.env())?);
        }
    }
    Ok(())
}

fn commit(store: &mut WalStateStore, track: &mut Track) -> Result<laminar_storage::CommitTicket, Error> {
    if track.changed {
        sources::set(store, track.commits.len() as u64)?;
        track.commits.push(track.now);
        track.changed = false;
    }
    store.commit()
}

/// Fingerprints of disks from which the recovery was right.
type Passed = std::collections::HashSet<u64, std::hash::BuildHasherDefault<Fingerprint>>;

/// A fingerprint is a hash already.
#[derive(Default)]
struct Fingerprint(u64);

impl std::hash::Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Cuts the power in every way that there is, or in many.
fn cut_power(
    moment: &SimDisk,
    track: &Track,
    second: Second,
    passed: &mut Passed,
    counts: &mut Counts,
) -> Result<(), Violation> {
    let choices = moment.choices();
    let exhaustive = choices <= EXHAUSTIVE_CHOICES;
    let images = if exhaustive { 1 << choices } else { SAMPLES };
    for number in 0..images {
        let image = if exhaustive { moment.crash_mask(number) } else { moment.crash(number) };
        check(&image, track, second.of_image(number, images, counts.crash_points), passed, counts)
            .map_err(|violation| violation.with(&format!("with {choices} pending changes, subset {number}")))?;
    }
    Ok(())
}

/// Recovers a disk and compares; also cuts the power before every change that the recovery makes, as often as `second` says.
fn check(
    image: &SimDisk,
    track: &Track,
    second: Second,
    passed: &mut Passed,
    counts: &mut Counts,
) -> Result<(), Violation> {
    if second == Second::Never {
        return recover_once(image, track, passed, counts);
    }
    passed.insert(image.fingerprint());
    image.start_history();
    let found = recover(image, track)?;
    counts.images += 1;
    counts.recovered += 1;
    for moment in image.take_history() {
        for again in second.images(&moment) {
            // Whatever the first recovery would have come to, so must the second, or further back where it may.
            recover_once(&again, track, passed, counts).map_err(|violation| violation.with("inside a recovery"))?;
            counts.nested += 1;
        }
    }
    let settled = image.crash_lose_all();
    if recover(&settled, track)? != found {
        return Err(Violation::new("what was recovered was not durable"));
    }
    counts.images += 1;
    counts.recovered += 1;
    Ok(())
}

/// Recovers a disk and compares, unless it was right for the same bytes before. After a violation the enumeration ends, so all that
/// were met were right.
fn recover_once(image: &SimDisk, track: &Track, passed: &mut Passed, counts: &mut Counts) -> Result<(), Violation> {
    counts.images += 1;
    if passed.insert(image.fingerprint()) {
        counts.recovered += 1;
        recover(image, track)?;
    }
    Ok(())
}

/// Opens the store on a disk and holds it against what may be there. Returns the commit that it is at.
fn recover(image: &SimDisk, track: &Track) -> Result<usize, Violation> {
    let env = image.env();
    let (store, report) = WalStateStore::open(DIR, options(env)).map_err(|error| failed("recovery", &error))?;
    if report.is_degraded() {
        return Err(Violation::new(format!("a power cut passes for damage: {report:?}")));
    }
    let number = usize::try_from(sources::number(store.source_offsets())?).unwrap_or(usize::MAX);
    let Some(expected) = track.may_be(number) else {
        let (least, last) = (track.durable, track.last());
        return Err(Violation::new(format!("recovered to commit {number}, not one of {least} to {last}")));
    };
    let mut entries = 0;
    for (key, number) in expected.iter().enumerate() {
        let found = store.get(KEYS[key]).map_err(|error| failed("reading", &error))?;
        if !is_value(found, key, *number) {
            return Err(Violation::new(format!("key {key} is not as of its commit")));
        }
        entries += u64::from(number.is_some());
    }
    let len = store.len().map_err(|error| failed("counting", &error))?;
    if len != entries {
        return Err(Violation::new(format!("{len} entries instead of {entries}")));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_and_numbers_are_one_to_one() {
        for number in (0..workloads(5)).step_by(97) {
            assert_eq!(workload_number(&workload(5, number)), number);
        }
        assert_eq!(workload_number(&[]), 0);
    }

    #[test]
    fn a_failure_names_the_commands_that_replay_it() {
        let ops = vec![SmallOp::Put, SmallOp::Commit, SmallOp::Reopen];
        let (shrunk, violation) = (vec![SmallOp::Reopen], Violation::new("a made up one"));
        let failure = SmallFailure { ops, violation: violation.clone(), shrunk, shrunk_violation: violation };
        let text = failure.to_string();
        assert!(text.contains("cargo xtask fault --ops 3 --workload 308"), "{text}");
        assert!(text.ends_with("cargo xtask fault --ops 1 --workload 6"), "{text}");
    }
}
