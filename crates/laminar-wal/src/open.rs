//! Opening a log: is there one, whose is it, may we have it; creating one where there is nothing.

use std::ffi::OsString;
use std::path::Path;

use laminar_vfs::{Kind, Lock, OpenMode, create_dir_durable, planted};

use crate::ahead::Ahead;
use crate::buffer::{Buffer, Resume};
use crate::commit::Turn;
use crate::dir::Dir;
use crate::format::{BLOCK, BadBlock, IDENTITY_BYTES, IDENTITY_COPY, Identity, PAGE, PAGE_LEN, VERSION, is_zero};
use crate::log::{Choices, Counters, Log};
use crate::name::{self, Name};
use crate::recover::{self, Recovered};
use crate::segment::{Segment, prepare};
use crate::sync::{Arc, AtomicU8, AtomicU64, AtomicUsize, Condvar, Mutex, OnceLock, Weak};
use crate::worker::AWAKE;
use crate::writer::{Begun, CloseMarkFile, Writer};
use crate::{CreateMode, Error, LogId, Lsn, Result, SyncPolicy, TailReport, WalOptions};

/// What stands in a log's directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) identity: bool,
    pub(crate) closed: bool,
    pub(crate) reserve: bool,
    /// First positions of segments, ascending.
    pub(crate) segments: Vec<u64>,
    temporaries: Vec<OsString>,
    aside: bool,
    /// Of what is aside, what was given up.
    given_up: Vec<OsString>,
    other: bool,
}

impl Listing {
    fn read(dir: &Dir) -> Result<Self> {
        let mut listing = Self::default();
        for file in dir.names()? {
            match name::parse(&file) {
                Name::Identity => listing.identity = true,
                Name::Closed => listing.closed = true,
                Name::Reserve => listing.reserve = true,
                Name::Segment(first) => listing.segments.push(first),
                Name::Temporary => listing.temporaries.push(file),
                Name::Cut(_) => listing.aside = true,
                Name::Aside => {
                    listing.aside = true;
                    listing.given_up.push(file);
                }
                Name::Lock => {}
                Name::Other => listing.other = true,
            }
        }
        listing.segments.sort_unstable();
        Ok(listing)
    }

    /// Whether there is anything that only a log leaves behind.
    fn has_log(&self) -> bool {
        self.closed || self.reserve || self.aside || !self.segments.is_empty()
    }
}

/// Opens the log in `path`, or creates one where there is nothing.
pub(crate) fn open(path: &Path, options: &WalOptions) -> Result<(Arc<Log>, TailReport)> {
    options.check()?;
    let zero_filled = options.sync_policy == SyncPolicy::EveryCommit;
    let dir = Dir::new(options.env.clone(), path.to_owned(), zero_filled);
    let is_there = has_identity(&dir)?;
    let seen = match is_there || dir.vfs().kind(path)?.is_none() {
        true => Listing { identity: is_there, ..Listing::default() },
        false => Listing::read(&dir)?,
    };
    admit(&dir, options, &seen)?;
    if !is_there {
        create_dir_durable(dir.vfs(), path)?;
    }
    let lock = match planted("log-lock-not-taken") {
        true => Lock::new(Box::new(())),
        false => dir.vfs().lock(&dir.join(name::LOCK))?,
    };
    // What was seen before the lock was taken may have changed since.
    let listing = Listing::read(&dir)?;
    admit(&dir, options, &listing)?;
    if !listing.identity {
        return create(dir, options, &listing, lock);
    }
    let given_up_before = listing.given_up.iter().map(|file| dir.path.join(file)).collect();
    let mut report = TailReport { given_up_before, ..TailReport::default() };
    let identity = read_identity(&dir, options.log_id, &mut report)?;
    sweep(&dir, &listing, &mut report)?;
    let recovered = recover::recover(&dir, identity, options, &listing, &mut report)?;
    report.end = Lsn::new(recovered.resume.end);
    report.segments = recovered.segments.len();
    Ok((assemble(dir, options, recovered, lock), report))
}

/// Whether the directory holds an identity; an error where that can't be a log's directory.
fn has_identity(dir: &Dir) -> Result<bool> {
    let path = dir.join(name::IDENTITY);
    match dir.vfs().kind(&path) {
        Ok(Some(Kind::File)) => Ok(true),
        Ok(Some(_)) => Err(Error::foreign(&path, "it is not a file")),
        found => match dir.vfs().kind(&dir.path)? {
            Some(Kind::Dir) => Ok(found?.is_some()),
            Some(_) => Err(Error::foreign(&dir.path, "it is not a directory")),
            None => Ok(false),
        },
    }
}

/// Refuses what [`CreateMode`] or something that is no log forbids.
fn admit(dir: &Dir, options: &WalOptions, listing: &Listing) -> Result<()> {
    match (options.create, listing.identity) {
        (CreateMode::Only, true) => return Err(Error::AlreadyThere { path: dir.path.clone() }),
        (_, true) => return Ok(()),
        (_, false) if listing.other && !listing.has_log() => {
            return Err(Error::foreign(&dir.path, "it holds files but no log"));
        }
        (CreateMode::Never, false) if listing.has_log() => return Err(identity_is_missing(dir, listing)),
        (CreateMode::Never, false) => return Err(Error::NothingThere { path: dir.path.clone() }),
        (_, false) => {}
    }
    Ok(())
}

fn identity_is_missing(dir: &Dir, listing: &Listing) -> Error {
    let from = Lsn::new(listing.segments.first().copied().unwrap_or(0));
    Error::Missing { path: dir.join(name::IDENTITY), from, to: from }
}

fn create(dir: Dir, options: &WalOptions, listing: &Listing, lock: Lock) -> Result<(Arc<Log>, TailReport)> {
    if listing.has_log() {
        remove_unfinished_creation(&dir, listing)?;
    }
    let mut report =
        TailReport { created: true, clean: true, segments: 1, end: options.start, ..TailReport::default() };
    sweep(&dir, listing, &mut report)?;
    sync_parent(&dir)?;
    let start = options.start.get();
    let identity = Identity {
        log_id: options.log_id.unwrap_or_else(|| LogId::new(dir.env.random.id())),
        stride: options.segment_bytes,
        start,
        first_segment: start.div_ceil(options.segment_bytes) * options.segment_bytes,
        epoch: 1,
    };
    let segment = Segment::fresh(&dir, &identity, identity.first_segment, identity.stride, 0);
    prepare(&dir, &segment)?;
    dir.publish_identity(&identity)?;
    let file = dir.vfs().open(&name::segment(&dir.path, segment.first()), OpenMode::Write)?;
    let recovered = Recovered {
        identity,
        segments: vec![segment],
        file,
        resume: Resume { group: segment.data(), prev_end: start, end: start },
        spare: None,
        closed_there: false,
        unproven: false,
    };
    Ok((assemble(dir, options, recovered, lock), report))
}

/// A segment without an identity is what a crash during creation leaves, if it is the only one and holds nothing.
/// Otherwise the identity is missing.
fn remove_unfinished_creation(dir: &Dir, listing: &Listing) -> Result<()> {
    let missing = || identity_is_missing(dir, listing);
    let [first] = listing.segments.as_slice() else { return Err(missing()) };
    if listing.closed || listing.reserve || listing.aside {
        return Err(missing());
    }
    let path = name::segment(&dir.path, *first);
    let file = dir.vfs().open(&path, OpenMode::Read)?;
    let length = file.len()?;
    let mut offset = PAGE;
    let mut page = [0; PAGE_LEN];
    while offset < length {
        let read = file.read_at(&mut page, offset)?;
        if read == 0 || !is_zero(page.split_at(read).0) {
            return Err(missing());
        }
        offset += read as u64;
    }
    Ok(dir.vfs().remove_file(&path)?)
}

/// Makes the directory's own name durable: an earlier try may have created it and got no further.
fn sync_parent(dir: &Dir) -> Result<()> {
    let parent = match dir.path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    match dir.vfs().sync_dir(parent) {
        // A parent that we may not read holds a directory that somebody else has made.
        Err(error) if error.io().kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        synced => Ok(synced?),
    }
}

fn sweep(dir: &Dir, listing: &Listing, report: &mut TailReport) -> Result<()> {
    for file in &listing.temporaries {
        dir.remove_if_there(&dir.path.join(file))?;
        report.swept += 1;
    }
    Ok(())
}

/// The identity, from whichever copy is good, the newer one if both are; a damaged copy is written anew.
fn read_identity(dir: &Dir, expected: Option<LogId>, report: &mut TailReport) -> Result<Identity> {
    let path = dir.join(name::IDENTITY);
    let file = dir.vfs().open(&path, OpenMode::Read)?;
    let length = file.len()?;
    let mut bytes = [0; IDENTITY_BYTES];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    let (first, second) = bytes.split_at(IDENTITY_COPY);
    let (first, gap) = first.split_at(BLOCK);
    let decode = |copy: &[u8]| copy.first_chunk::<BLOCK>().map_or(Err(BadBlock::Foreign), Identity::decode);
    // What is the same twice need not be read twice.
    let is_whole = first == second && is_zero(gap) && length == IDENTITY_BYTES as u64;
    let one = decode(first);
    let other = if is_whole { one } else { decode(second) };
    let identity = match (one, other) {
        (Ok(one), Ok(other)) => Ok(if other.epoch > one.epoch { other } else { one }),
        (Err(BadBlock::Version(found)), _) | (_, Err(BadBlock::Version(found))) => Err(BadBlock::Version(found)),
        (Ok(good), Err(_)) | (Err(_), Ok(good)) => Ok(good),
        (Err(BadBlock::Foreign), Err(other)) => Err(other),
        (Err(bad), Err(_)) => Err(bad),
    };
    let identity = identity.map_err(|bad| match bad {
        BadBlock::Foreign => Error::foreign(&path, "it does not start as a log's identity does"),
        BadBlock::Version(found) => Error::Version { path: path.clone(), found, supported: VERSION },
        BadBlock::Corrupt(reason) => {
            Error::Corrupt { path: path.clone(), offset: 0, from: Lsn::ZERO, to: Lsn::ZERO, reason }
        }
    })?;
    if expected.is_some_and(|expected| expected != identity.log_id) {
        return Err(Error::foreign(&path, "it is that of another log"));
    }
    if !is_whole {
        // One good copy is enough: on a full disk the other has to wait.
        match dir.publish_identity(&identity) {
            Err(error) if error.is_no_space() => {}
            published => {
                published?;
                report.healed = true;
            }
        }
    }
    Ok(identity)
}

fn assemble(dir: Dir, options: &WalOptions, recovered: Recovered, lock: Lock) -> Arc<Log> {
    let Recovered { identity, segments, file, resume, spare, closed_there, unproven } = recovered;
    let last = segments.last().copied();
    Arc::new_cyclic(|me: &Weak<Log>| {
        let Some(last) = last else { unreachable!("recovery leaves at least one segment") };
        Log {
            log_id: identity.log_id,
            choices: Choices {
                sync_policy: options.sync_policy,
                sync_behind_bytes: options.sync_behind_bytes,
                idle_seal: options.idle_seal,
            },
            buffer: Mutex::new(Buffer::new(&last, resume, options.buffer_bytes)),
            writer: Mutex::new(Writer::new(
                last,
                file,
                resume.end,
                Begun {
                    close_mark: match (closed_there, unproven) {
                        (true, _) => CloseMarkFile::There,
                        // What an earlier life in the same boot removed may be back after a power cut, and fit this segment.
                        (false, true) => CloseMarkFile::Doubtful,
                        (false, false) => CloseMarkFile::Gone,
                    },
                    identity_is_proven: !unproven || planted("log-believes-its-name"),
                },
            )),
            ahead: Mutex::new(Ahead::new(identity, &last, spare)),
            reserve_bytes: AtomicU64::new(0),
            sync: Mutex::new(()),
            turn: Mutex::new(Turn::default()),
            progress: Condvar::new(),
            news: AtomicU64::new(0),
            arrived: Condvar::new(),
            retain: Mutex::new(identity),
            segments: Mutex::new(segments),
            written: AtomicU64::new(resume.end),
            durable: AtomicU64::new(resume.end),
            start: AtomicU64::new(identity.start_lsn().get()),
            poison: OnceLock::new(),
            counters: Counters::default(),
            eager_followers: AtomicUsize::new(0),
            doze: AtomicU8::new(AWAKE),
            worker: OnceLock::new(),
            starting_worker: Mutex::new(()),
            me: Weak::clone(me),
            lock: Mutex::new(Some(lock)),
            dir,
        }
    })
}
