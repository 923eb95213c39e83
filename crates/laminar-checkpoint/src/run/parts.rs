//! Which part of the oldest run a key belongs to: the last one that begins at or below it, else the first.

use std::ops::Bound;

use laminar_vfs::planted;

use super::Run;
use super::guide::Guide;
use crate::format::run::{common_prefix, head};
use crate::key::Key;

/// How the parts of a checkpoint's oldest run, in the order of their keys, are told apart.
#[derive(Debug)]
pub(crate) struct Parts {
    count: usize,
    /// How many bytes all keys of all parts begin with in common.
    prefix: usize,
    /// The heads, after them, of the first keys of all parts but the first.
    guide: Guide,
}

impl Parts {
    pub(crate) fn of(parts: &[Run]) -> Self {
        let first = parts.first().and_then(Run::first_key).unwrap_or_default();
        let last = parts.last().and_then(Run::last_key).unwrap_or_default();
        let prefix = common_prefix(first, last);
        let heads = parts.iter().skip(1).map(|part| head(part.first_key().unwrap_or_default(), prefix));
        Self { count: parts.len(), prefix, guide: Guide::of(heads.collect()) }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The one of `parts` where `key` may lie. A key that lies in none may be looked for in any: it is not there either.
    #[inline(always)]
    pub(crate) fn for_key<'a>(&self, parts: &'a [Run], key: Key<'_>) -> Option<&'a Run> {
        if self.count <= 1 || planted("key-looked-for-in-first-part") {
            return parts.first();
        }
        let sought = key.head(self.prefix);
        let (below, is_tied) = self.guide.below(sought);
        if !is_tied {
            return parts.get(below);
        }
        let (space, name) = key.into_parts();
        parts.get(below + self.count_tied(parts, below, sought, space, name))
    }

    /// How many of the parts that begin with this head behind the first `below` begin at or below the key.
    #[cold]
    #[inline(never)]
    fn count_tied(&self, parts: &[Run], below: usize, sought: u64, space: u64, name: &[u8]) -> usize {
        let key = Key::from_parts((space, name));
        let begins_below = |part: &&Run| key.cmp(part.first_key().unwrap_or_default()).is_ge();
        let tied = parts.iter().skip(1 + below).take(self.guide.equal(below, sought));
        tied.take_while(begins_below).count()
    }
}

/// Those of `parts` in which keys at or above a bound may lie.
pub(crate) fn parts_from<'a>(parts: &'a [Run], lower: Bound<&[u8]>) -> &'a [Run] {
    let (Bound::Included(key) | Bound::Excluded(key)) = lower else { return parts };
    let begin_below = parts.partition_point(|part| part.first_key().is_none_or(|first| first <= key));
    parts.get(begin_below.saturating_sub(1)..).unwrap_or_default()
}
