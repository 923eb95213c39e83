//! What was found in a stretch of log: a slot of 24 bytes for each key that is not seen again soon; everything else stays in the log.

use laminar_vfs::planted;
use laminar_wal::{LogView, Record};

use super::collect::{change_at, not_ours};
use super::order::{Slot, ends_within, head, sort_descending};
use super::recent::Recent;
use crate::Result;
use crate::format::{Commit, Record as Entry};

/// Slots of a piece at most: sorted at once, while the processor's caches have much of it.
pub(super) const PIECE: usize = 1 << 17;

#[derive(Debug)]
pub(super) struct Found {
    /// Each in descending order of the heads.
    pieces: Vec<Vec<Slot>>,
    /// Slots in these.
    in_pieces: usize,
    /// The next piece, in the order of the log.
    slots: Vec<Slot>,
    recent: Recent,
    longest: usize,
}

impl Found {
    /// For a run of at most so many records, in pieces of `longest` slots.
    pub(super) fn new(records: usize, longest: usize) -> Self {
        Self { pieces: Vec::new(), in_pieces: 0, slots: Vec::new(), recent: Recent::new(records), longest }
    }

    pub(super) fn len(&self) -> usize {
        self.in_pieces + self.slots.len()
    }

    /// Takes in one record of `view`, or returns it if it is a commit.
    #[inline]
    pub(super) fn take<'a>(&mut self, view: &LogView, record: &Record<'a>) -> Result<Option<Commit<'a>>> {
        match Entry::decode(record.payload) {
            Some(Entry::Put { key, .. } | Entry::Delete { key }) => {
                let slots = &mut self.slots;
                let new = Slot { head: head(key, 0), lsn: record.lsn.get() };
                let is_same = |at| is_of(view, slots.get(at), new.head, key);
                match self.recent.find_or_note(key, slots.len(), is_same)?.and_then(|at| slots.get_mut(at)) {
                    Some(_) if planted("checkpoint-passes-over-what-comes-again") => {}
                    Some(older) => older.lsn = new.lsn,
                    None => {
                        slots.push(new);
                        if slots.len() >= self.longest {
                            self.end_piece();
                        }
                    }
                }
                Ok(None)
            }
            Some(Entry::Commit(commit)) => Ok(Some(commit)),
            None => Err(not_ours(view, record.lsn)),
        }
    }

    /// What is remembered of it as recent names places in the next piece from now on, where there are other keys.
    #[cold]
    fn end_piece(&mut self) {
        let mut piece = std::mem::take(&mut self.slots);
        sort_descending(&mut piece);
        self.in_pieces += piece.len();
        self.pieces.push(piece);
    }

    /// Takes in what others have found behind.
    pub(super) fn append(&mut self, pieces: Vec<Vec<Slot>>) {
        self.in_pieces += pieces.iter().map(Vec::len).sum::<usize>();
        self.pieces.extend(pieces);
    }

    /// Pieces, each in descending order of the heads.
    pub(super) fn into_pieces(mut self) -> Vec<Vec<Slot>> {
        if !self.slots.is_empty() {
            self.slots.shrink_to_fit();
            self.end_piece();
        }
        self.pieces
    }
}

/// Whether a slot is that of `key`, which has this head.
fn is_of(view: &LogView, slot: Option<&Slot>, head: [u64; 2], key: &[u8]) -> Result<bool> {
    let Some(slot) = slot.filter(|slot| slot.head == head) else { return Ok(false) };
    Ok(ends_within(head) || change_at(view, slot.lsn)?.key == key)
}
