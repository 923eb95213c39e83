//! What is made ahead of need: the next segment, so that entering it costs no more than a sync, and the reserve, so that
//! a full disk opens.

use laminar_vfs::{OpenMode, VfsFile, planted};

use crate::coming::Coming;
use crate::dir::Dir;
use crate::format::{Identity, PAGE, round_up};
use crate::log::Log;
use crate::segment::{Segment, prepare};
use crate::sync::{Arc, Ordering};
use crate::{Result, name};

/// The reserve starts with this much and doubles, but grows by no more than a step at a time: whoever comes to its end waits for one.
const FIRST_RESERVE: u64 = 64 << 10;
const RESERVE_STEP: u64 = 4 << 20;

/// The next segment and the reserve.
#[derive(Debug)]
pub(crate) struct Ahead {
    identity: Identity,
    /// The first position of the segment to be made next.
    next: u64,
    /// The generation of the segment before that.
    before: u64,
    spare: Option<Segment>,
    /// A file may lie under the name of the next segment whose name is not durable: the next `close` must not vouch for it.
    has_remains: bool,
    reserve: Option<Arc<dyn VfsFile>>,
}

impl Ahead {
    pub(crate) fn new(identity: Identity, last: &Segment, spare: Option<Segment>) -> Self {
        Self { identity, next: last.end(), before: last.header.generation, spare, has_remains: false, reserve: None }
    }

    pub(crate) fn has_spare(&self) -> bool {
        self.spare.is_some()
    }

    fn prepare(&mut self, dir: &Dir, segment: &Segment) -> Result<Arc<dyn VfsFile>> {
        self.has_remains = true;
        let file = prepare(dir, segment)?;
        self.has_remains = false;
        Ok(file)
    }
}

impl Log {
    /// The segment behind `last`, at least `length` long: the one made ahead, or made now. From here on it is the
    /// caller's.
    pub(crate) fn take_next(&self, last: &Segment, length: u64) -> Result<Segment> {
        let (first, before) = (last.end(), last.header.generation);
        let mut ahead = self.ahead.lock();
        let next = match ahead.spare.take() {
            Some(spare) if spare.first() == first && spare.header.length >= length => spare,
            // A spare that is too short is replaced, under the same name.
            _ => {
                let fresh = Segment::fresh(&self.dir, &ahead.identity, first, length, before);
                drop(ahead.prepare(&self.dir, &fresh)?);
                fresh
            }
        };
        // The worker must never make a file over one that was entered.
        (ahead.next, ahead.before) = (next.end(), next.header.generation);
        Ok(next)
    }

    /// Gives back a segment that could not be entered.
    pub(crate) fn put_back(&self, segment: Segment) {
        let mut ahead = self.ahead.lock();
        (ahead.next, ahead.before) = (segment.first(), segment.header.before);
        ahead.spare = Some(segment);
    }

    /// Makes the next segment if there is none, and gives what of it should be in memory before it is entered.
    pub(crate) fn prepare_spare(&self) -> Result<Option<Coming>> {
        let mut ahead = self.ahead.lock();
        if ahead.spare.is_some() {
            return Ok(None);
        }
        let fresh = Segment::fresh(&self.dir, &ahead.identity, ahead.next, ahead.identity.stride, ahead.before);
        let file = ahead.prepare(&self.dir, &fresh)?;
        ahead.spare = Some(fresh);
        Ok(Coming::of(file, &fresh))
    }

    /// Removes what a preparation that failed may have left.
    pub(crate) fn remove_remains(&self) -> Result<()> {
        let mut ahead = self.ahead.lock();
        if ahead.has_remains && !planted("log-segment-kept-after-failed-sync") {
            self.dir.remove_if_there(&name::segment(&self.dir.path, ahead.next))?;
            ahead.has_remains = false;
        }
        Ok(())
    }

    /// Whether writing has come so far that the reserve, which may become `most` long, should grow. Before it is begun the writer begins it.
    pub(crate) fn is_reserve_short(&self, offset: u64, most: u64) -> bool {
        let have = self.reserve_bytes.load(Ordering::Acquire);
        have > 0 && have < most && offset > have / 4 * 3
    }

    /// Makes the reserve a step longer, up to `most`.
    pub(crate) fn grow_reserve(&self, most: u64) -> Result<()> {
        self.extend_reserve((self.reserve_bytes.load(Ordering::Acquire) + 1).min(most), most)
    }

    /// Makes the reserve at least `needed` bytes long, and more of it up to `most`. Its space was allocated and that
    /// synced, so that it is really had.
    pub(crate) fn extend_reserve(&self, needed: u64, most: u64) -> Result<()> {
        let mut ahead = self.ahead.lock();
        let have = self.reserve_bytes.load(Ordering::Acquire);
        if have >= needed || planted("log-keeps-no-reserve") {
            return Ok(());
        }
        let extended = self.extend_reserve_file(&mut ahead, needed, most);
        if extended.as_ref().is_err_and(|error| !error.is_no_space()) {
            // Nothing is known of it any more; the next try starts over.
            ahead.reserve = None;
            self.reserve_bytes.store(0, Ordering::Release);
            drop(self.dir.remove_if_there(&self.dir.join(name::RESERVE)));
        }
        Ok(extended?)
    }

    fn extend_reserve_file(&self, ahead: &mut Ahead, needed: u64, most: u64) -> laminar_vfs::Result<()> {
        let path = self.dir.join(name::RESERVE);
        let file = match &ahead.reserve {
            Some(file) => Arc::clone(file),
            None => match self.dir.vfs().open(&path, OpenMode::Write) {
                // How much of it was had in an earlier life is not known: a length may be there without the space.
                Ok(file) => {
                    let had = if planted("log-trusts-length-of-reserve") { file.len()? } else { 0 };
                    self.reserve_bytes.store(had, Ordering::Release);
                    file
                }
                Err(error) if error.is_not_found() => {
                    let _naming = self.dir.naming();
                    let file = self.dir.create_over(&path)?;
                    self.dir.vfs().sync_dir(&self.dir.path)?;
                    file
                }
                Err(error) => return Err(error),
            },
        };
        ahead.reserve = Some(Arc::clone(&file));
        let have = self.reserve_bytes.load(Ordering::Acquire);
        if have < needed {
            let step = have.clamp(FIRST_RESERVE, RESERVE_STEP);
            let target = round_up(needed, PAGE).max(have + step).min(most.max(needed));
            file.allocate(have..target)?;
            file.sync_data()?;
            self.reserve_bytes.store(target, Ordering::Release);
        }
        Ok(())
    }
}
