//! Reading: the table first, then the attached checkpoint below it.

use std::cmp::Ordering;
use std::ops::Bound;

use laminar_checkpoint::{Checkpoint, Key, KeyBuf};
use laminar_vfs::planted;

use crate::Result;
use crate::keyspace::{Namespace, strip};
use crate::state::Scan;
use crate::table::{Entry, Table, TableRange};

/// Keys whose lines of memory are fetched at the same time: of each there are a few, and a processor has some dozens on their way at once.
const GROUP: usize = 16;

/// The two layers of a store that hold entries.
#[derive(Clone, Copy)]
pub(crate) struct Layers<'a> {
    pub(crate) table: &'a Table,
    pub(crate) attached: Option<&'a Checkpoint>,
}

impl<'a> Layers<'a> {
    /// The value under a caller's key in a namespace. Inlined into whoever asks, so that nothing is passed through memory and little is
    /// executed: look-ups one after the other then wait for the memory together.
    #[inline(always)]
    pub(crate) fn get(self, namespace: Namespace, key: &[u8]) -> Result<Option<&'a [u8]>> {
        // Where nothing was written since the checkpoint, there is no reason to compute the table's hash.
        if !self.table.is_empty() {
            let asked = self.table.key(namespace.id(), key);
            if let Some(entry) = self.table.get(&asked)
                && (entry.value.is_some() || !planted("lookup-goes-below-tombstone"))
            {
                return Ok(entry.value);
            }
        }
        match self.attached {
            Some(checkpoint) => get_below(checkpoint, namespace, key),
            None => Ok(None),
        }
    }

    /// Has what will be looked at for these keys on its way into the processor's cache.
    pub(crate) fn prefetch(self, namespace: Namespace, keys: &[&[u8]]) {
        keys.chunks(GROUP).for_each(|group| self.prefetch_group(namespace, group));
    }

    /// The same for so many that the lines of one step are still on their way when the last of them is asked for.
    fn prefetch_group(self, namespace: Namespace, group: &[&[u8]]) {
        let (space, mut asked) = (namespace.id(), [None; GROUP]);
        // Where nothing was written since the checkpoint, there is no reason to compute the table's hash.
        if !self.table.is_empty() {
            for (name, asked) in group.iter().zip(&mut asked) {
                let key = self.table.key(space, name);
                self.table.prefetch(&key);
                *asked = Some(key);
            }
        }
        let is_above = |asked: &Option<_>| asked.as_ref().is_some_and(|key| self.table.prefetch_entry(key));
        let missing = group.iter().zip(&asked).filter(|(_, asked)| !is_above(asked));
        let (mut below, mut count) = ([Key::from(b""); GROUP], 0);
        for ((name, _), below) in missing.zip(&mut below) {
            *below = Key::of_parts(space, name);
            count += 1;
        }
        if let Some(checkpoint) = self.attached {
            checkpoint.prefetch(below.split_at(count).0);
        }
    }

    /// The entries within bounds of full keys, ascending, as the caller of one namespace sees them.
    pub(crate) fn scan(self, lower: Bound<KeyBuf>, upper: Bound<KeyBuf>) -> Scan<'a> {
        let (lower, upper) = (as_slice(&lower), as_slice(&upper));
        let Some(checkpoint) = self.attached else { return Scan::of_table(self.table.range(lower, upper)) };
        let below = checkpoint.range((lower, upper));
        if self.table.is_empty() {
            self.table.ask(lower, upper);
            return Scan::of_checkpoint(below);
        }
        let mut above = self.table.range(lower, upper);
        // Mostly little was written since the checkpoint, and a short range has nothing of it.
        match above.next() {
            None => Scan::of_checkpoint(below),
            first => Scan::of_layers(Overlay::new(first, above, below)),
        }
    }
}

/// The value that a checkpoint holds. Inlined as well: a call is sixty of the instructions (callgrind) that keep the next look-up from waiting
/// for memory at the same time (a quarter of the time of a get from one run, in turns).
#[inline(always)]
fn get_below<'a>(checkpoint: &'a Checkpoint, namespace: Namespace, key: &[u8]) -> Result<Option<&'a [u8]>> {
    let key = Key::of_parts(namespace.id(), key);
    Ok(checkpoint.get_hashed(key, key.hash(checkpoint.hash_seed()))?)
}

pub(crate) fn as_slice(bound: &Bound<KeyBuf>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &**key)
}

/// Two ascending sequences as one; where both have a key, the table's entry counts, and a tombstone of the table hides what is
/// below it. Ends at the first error.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    table: TableRange<'a>,
    checkpoint: laminar_checkpoint::Scan<'a>,
    /// The next entry of the table.
    above: Option<(&'a [u8], Entry<'a>)>,
    /// The next entry of the checkpoint.
    below: Option<(&'a [u8], &'a [u8])>,
    /// What the checkpoint ends with, where it is not at its end. Apart, so that the entries of a scan are short.
    error: Option<Box<laminar_checkpoint::Error>>,
}

impl<'a> Overlay<'a> {
    fn new(
        above: Option<(&'a [u8], Entry<'a>)>,
        table: TableRange<'a>,
        checkpoint: laminar_checkpoint::Scan<'a>,
    ) -> Self {
        let mut overlay = Self { table, checkpoint, above, below: None, error: None };
        overlay.fetch_below();
        overlay
    }

    fn fetch_below(&mut self) {
        self.below = match self.checkpoint.next().transpose() {
            Ok(next) => next,
            Err(error) => {
                self.error = Some(Box::new(error));
                None
            }
        };
    }

    /// Takes the error: what the table holds further on must not pass for the whole, and nothing behind it is known.
    #[cold]
    fn end(&mut self, error: laminar_checkpoint::Error) -> Result<(&'a [u8], &'a [u8])> {
        (self.above, self.below) = (None, None);
        Err(error.into())
    }
}

impl<'a> Iterator for Overlay<'a> {
    type Item = Result<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.error.take() {
                // Passed on at once: nothing behind it is known.
                return Some(self.end(*error));
            }
            let layer = match (self.above, self.below) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((above, _)), Some((below, _))) => above.cmp(below),
            };
            if layer == Ordering::Greater {
                let (key, value) = self.below?;
                self.fetch_below();
                return Some(Ok((strip(key), value)));
            }
            if layer == Ordering::Equal {
                self.fetch_below();
            }
            let (key, entry) = self.above?;
            self.above = self.table.next();
            if let Some(value) = entry.value {
                return Some(Ok((strip(key), value)));
            }
        }
    }
}
