//! Who removes segments: this file, on request, whole ones, oldest first; the identity says so before. With them goes what
//! recoveries cut from them.

use laminar_vfs::planted;

use crate::format::Identity;
use crate::log::Log;
use crate::name::Name;
use crate::segment::Segment;
use crate::sync::Ordering;
use crate::{Error, Lsn, Result, name};

/// What a truncation removed.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// use laminar_wal::{Wal, WalOptions};
/// let (wal, _) = Wal::open(scratch.path(), WalOptions::new())?;
/// // Only whole segments go, and never the one being written.
/// assert_eq!(wal.truncate_below(wal.end_lsn())?.segments, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Truncated {
    /// Segments removed.
    pub segments: usize,
    /// The sum of their lengths.
    pub bytes: u64,
}

impl Log {
    /// Publishes the identity as it is once more.
    pub(crate) fn republish_identity(&self) -> Result<()> {
        let mut published = self.retain.lock();
        let identity = Identity { epoch: published.epoch + 1, ..*published };
        self.dir.publish_identity(&identity)?;
        *published = identity;
        Ok(())
    }

    /// Removes what recoveries cut from segments that the log no longer has: there is nothing left that it could be held
    /// against, and where a process is killed time and again it would fill the disk.
    fn remove_cut_below(&self, first_segment: u64) -> Result<()> {
        for file in self.dir.names()? {
            if matches!(name::parse(&file), Name::Cut(first) if first < first_segment) {
                self.dir.remove_if_there(&self.dir.path.join(file))?;
            }
        }
        Ok(())
    }

    /// Removes the segments all of whose records are below `lsn`.
    pub(crate) fn truncate_below(&self, lsn: Lsn) -> Result<Truncated> {
        let mut published = self.retain.lock();
        self.check_poison()?;
        if self.lock.lock().is_none() {
            return Err(Error::Closed);
        }
        let going: Vec<Segment> = {
            let segments = self.segments.lock();
            let (_, entered) = segments.split_last().ok_or(Error::Closed)?;
            let is_below = |segment: &&Segment| match planted("log-trims-one-segment-too-many") {
                true => segment.first() <= lsn.get(),
                false => segment.end() <= lsn.get(),
            };
            entered.iter().take_while(is_below).copied().collect()
        };
        let Some(last) = going.last() else { return Ok(Truncated::default()) };
        let mut identity = *published;
        identity.first_segment = last.end();
        identity.start = last.end();
        identity.epoch += 1;
        if !planted("log-unlinks-before-saying-so") {
            self.dir.publish_identity(&identity)?;
        }
        *published = identity;
        self.segments.lock().retain(|segment| segment.first() >= identity.first_segment);
        self.start.store(identity.start, Ordering::Release);
        for segment in &going {
            // What can't be removed now goes when the log is opened again.
            self.dir.remove_if_there(&name::segment(&self.dir.path, segment.first()))?;
        }
        self.remove_cut_below(identity.first_segment)?;
        Ok(Truncated { segments: going.len(), bytes: going.iter().map(|segment| segment.header.length).sum() })
    }
}
