//! Reading: the table first, then the attached checkpoint below it.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Bound;

use laminar_checkpoint::Checkpoint;
use laminar_vfs::planted;

use crate::Result;
use crate::keyspace::{FullKey, Namespace, strip};
use crate::state::Scan;
use crate::table::{Table, TableRange};

/// The two layers of a store that hold entries.
#[derive(Clone, Copy)]
pub(crate) struct Layers<'a> {
    pub(crate) table: &'a Table,
    pub(crate) attached: Option<&'a Checkpoint>,
}

impl<'a> Layers<'a> {
    /// The value under a caller's key in a namespace.
    pub(crate) fn get(self, namespace: Namespace, key: &[u8]) -> Result<Option<&'a [u8]>> {
        let asked = self.table.key(namespace.id(), key);
        if let Some(entry) = self.table.get(&asked)
            && (entry.value.is_some() || !planted("lookup-goes-below-tombstone"))
        {
            return Ok(entry.value);
        }
        match self.attached {
            Some(checkpoint) => Ok(checkpoint.get_hashed(namespace.key(key).as_bytes(), asked.hash())?),
            None => Ok(None),
        }
    }

    /// The entries within bounds of full keys, ascending, as the caller of one namespace sees them.
    pub(crate) fn scan(self, lower: Bound<FullKey>, upper: Bound<FullKey>) -> Scan<'a> {
        let (lower, upper) = (as_slice(&lower), as_slice(&upper));
        let below = self.attached.map(|checkpoint| checkpoint.range((lower, upper)).peekable());
        Scan::of_layers(Overlay { above: self.table.range(lower, upper).peekable(), below })
    }
}

pub(crate) fn as_slice(bound: &Bound<FullKey>) -> Bound<&[u8]> {
    bound.as_ref().map(FullKey::as_bytes)
}

/// Two ascending sequences as one; where both have a key, the table's entry counts, and a tombstone of the table hides what is
/// below it. Ends at the first error.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    above: Peekable<TableRange<'a>>,
    below: Option<Peekable<laminar_checkpoint::Scan<'a>>>,
}

impl<'a> Overlay<'a> {
    /// Which layer has the next key; `Equal` for both.
    fn next_layer(&mut self) -> Option<Ordering> {
        let above = self.above.peek().map(|(key, _)| *key);
        let below = self.below.as_mut().and_then(Peekable::peek);
        match (above, below) {
            (None, None) => None,
            (Some(_), None) => Some(Ordering::Less),
            // An error below is passed on at once: nothing behind it is known.
            (None, Some(_)) | (Some(_), Some(Err(_))) => Some(Ordering::Greater),
            (Some(above), Some(Ok((below, _)))) => Some(above.cmp(below)),
        }
    }
}

impl<'a> Iterator for Overlay<'a> {
    type Item = Result<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let layer = self.next_layer()?;
            if layer == Ordering::Greater {
                let entry = self.below.as_mut()?.next()?;
                if entry.is_err() {
                    self.below = None;
                    // What the table holds further on must not pass for the whole.
                    self.above.by_ref().for_each(drop);
                }
                return Some(entry.map(|(key, value)| (strip(key), value)).map_err(Into::into));
            }
            if layer == Ordering::Equal {
                drop(self.below.as_mut()?.next());
            }
            let (key, entry) = self.above.next()?;
            if let Some(value) = entry.value {
                return Some(Ok((strip(key), value)));
            }
        }
    }
}
