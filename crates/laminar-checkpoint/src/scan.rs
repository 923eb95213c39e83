//! Several runs seen as one: in order of the keys, and of each key the newest entry.

use std::fmt;
use std::ops::Bound;

use crate::Result;
use crate::run::{KeyValue, Run, RunIter, parts_from};

/// The entries of one run, in as many parts as it has, in order.
pub(crate) struct Chain<'a> {
    iter: RunIter<'a>,
    /// The parts behind.
    rest: &'a [Run],
}

impl<'a> Chain<'a> {
    /// The entries between two bounds of a run in these parts, in the order of their keys; nothing if there are none.
    pub(crate) fn new(parts: &'a [Run], lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Option<Self> {
        let (first, rest) = parts_from(parts, lower).split_first()?;
        Some(Self { iter: first.range(lower, upper), rest })
    }
}

impl<'a> Iterator for Chain<'a> {
    type Item = Result<KeyValue<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = self.iter.next();
            if next.is_some() {
                return next;
            }
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            self.iter.go_on_in(&first.file);
        }
    }
}

/// One run's next entry, and what comes after.
struct Source<'a> {
    iter: Chain<'a>,
    next: Option<KeyValue<'a>>,
}

/// Of each key the newest entry, tombstones among them. Ends with the first error: what an unreadable block of a newer
/// run hides must not come to light from an older one.
pub(crate) struct Newest<'a> {
    /// The newest run first. Runs that have come to their end are taken out.
    sources: Vec<Source<'a>>,
    error: Option<crate::Error>,
}

impl<'a> Newest<'a> {
    /// The entries of these runs, the newest first.
    pub(crate) fn of(runs: impl IntoIterator<Item = Chain<'a>>) -> Self {
        let mut newest = Self { sources: Vec::new(), error: None };
        for iter in runs {
            let mut source = Source { iter, next: None };
            if newest.advance(&mut source) {
                newest.sources.push(source);
            }
        }
        newest
    }

    /// Fetches a source's next entry; says whether there is one.
    fn advance(&mut self, source: &mut Source<'a>) -> bool {
        match source.iter.next().transpose() {
            Ok(next) => source.next = next,
            Err(error) => {
                source.next = None;
                self.error = self.error.take().or(Some(error));
            }
        }
        source.next.is_some()
    }

    fn pick(&mut self) -> Option<KeyValue<'a>> {
        // The first of the lowest keys is the newest: the sources are in that order.
        let (key, value) = self.sources.iter().filter_map(|source| source.next).min_by(|a, b| a.0.cmp(b.0))?;
        let mut sources = std::mem::take(&mut self.sources);
        sources.retain_mut(|source| source.next.is_none_or(|next| next.0 != key) || self.advance(source));
        self.sources = sources;
        Some((key, value))
    }
}

/// The runs' entries between two bounds, the newest run first.
pub(crate) fn chains<'a>(
    parts: &'a [Run],
    later: &'a [Run],
    lower: Bound<&[u8]>,
    upper: Bound<&[u8]>,
) -> impl DoubleEndedIterator<Item = Chain<'a>> {
    let later = later.iter().rev().map(std::slice::from_ref);
    later.chain([parts]).filter_map(move |run| Chain::new(run, lower, upper))
}

impl<'a> Iterator for Newest<'a> {
    type Item = Result<KeyValue<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.error.take() {
            self.sources.clear();
            return Some(Err(error));
        }
        self.pick().map(Ok)
    }
}

/// The entries of a checkpoint in ascending order of their keys, without those that were deleted.
///
/// Keys and values lie where they are in the files; values begin as [`CheckpointOptions::value_alignment`](crate::CheckpointOptions::value_alignment) says. The first error is the last item.
///
/// ```
/// use laminar_checkpoint::{CheckpointManager, CheckpointOptions, Create};
/// # let scratch = tempfile::tempdir()?;
/// # let manager = CheckpointManager::open(scratch.path(), CheckpointOptions::new())?;
/// let entries = [("apple", Some("1")), ("apricot", Some("2")), ("pear", Some("3"))];
/// let checkpoint = manager.create(Create::new(1).entries(entries))?;
/// let found: Result<Vec<_>, _> = checkpoint.prefix(b"ap").collect();
/// assert_eq!(found?, [(&b"apple"[..], &b"1"[..]), (b"apricot", b"2")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Scan<'a>(Inner<'a>);

enum Inner<'a> {
    /// The usual checkpoint of a fresh or merged state: nothing to compare.
    One(Chain<'a>),
    Many(Newest<'a>),
    Done,
}

impl<'a> Scan<'a> {
    /// The live entries between two bounds of a run in `parts`, and of `later` ones, oldest first.
    pub(crate) fn new(parts: &'a [Run], later: &'a [Run], lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Self {
        if later.is_empty() {
            return Self(Chain::new(parts, lower, upper).map_or(Inner::Done, Inner::One));
        }
        Self(Inner::Many(Newest::of(chains(parts, later, lower, upper))))
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<(&'a [u8], &'a [u8])>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.0 {
            Inner::One(iter) => live(iter),
            Inner::Many(newest) => live(newest),
            Inner::Done => None,
        };
        if matches!(next, Some(Err(_))) {
            self.0 = Inner::Done;
        }
        next
    }
}

/// The next entry that is no tombstone.
#[inline]
fn live<'a>(entries: &mut impl Iterator<Item = Result<KeyValue<'a>>>) -> Option<Result<(&'a [u8], &'a [u8])>> {
    loop {
        match entries.next()? {
            Ok((key, Some(value))) => return Some(Ok((key, value))),
            Ok((_, None)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

impl fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scan")
    }
}
