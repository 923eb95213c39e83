//! A sorted row of slots with the heads of their keys: what leaves and inner nodes share.
//!
//! The keys of a node lie between two separators, its fences, and so share what these share, and mostly more: the [`Prefix`], which is left
//! out of the heads. A head is the seven bytes after the prefix and, in its last byte, how many there are (8: more than seven).
//! Heads order as their keys do; equal heads of which the last byte is below 8 are equal keys. So a search reads the keys
//! themselves only where eight bytes past the common prefix leave a tie.

use std::cmp::Ordering;
use std::ops::{Bound, Range};

use bytemuck::{Pod, Zeroable};

use super::super::arena::Slot;
use super::prefix::Prefix;
use super::separator::{Keys, Separators};

/// Slots of a node.
pub(super) const WIDTH: usize = 64;

/// The last byte of the head of a key that goes on.
const LONGER: u64 = HEAD_BYTES as u64 + 1;
pub(super) const HEAD_BYTES: usize = 7;

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Node {
    heads: [u64; WIDTH],
    slots: [Slot; WIDTH],
    /// What all keys of this node begin with, left out of the heads.
    prefix: Prefix,
    len: u16,
    /// Where the last insert went, to see an ascending run of them.
    last: u16,
}

/// Where a key belongs by its head alone: behind so many slots.
enum Like {
    /// None has its head.
    None { below: usize },
    /// The next one is the key's own.
    Same { below: usize },
    /// Among these, or at their ends: their heads are its own, and say no more.
    Tied(Range<usize>),
}

#[expect(clippy::indexing_slicing, reason = "positions are at most `len`, which is at most WIDTH")]
#[expect(clippy::cast_possible_truncation, reason = "positions are at most WIDTH")]
impl Node {
    pub(super) const EMPTY: Self =
        Self { heads: [0; WIDTH], slots: [0; WIDTH], prefix: Prefix::of_fences(0), len: 0, last: u16::MAX };

    /// A node of ascending slots between whose fences all keys share so many bytes.
    pub(super) fn of_sorted(keys: &impl Keys, slots: &[Slot], fenced: usize) -> Self {
        let mut node = Self { prefix: Prefix::of_fences(fenced), ..Self::EMPTY };
        // First all keys, so that the reads of them overlap.
        std::hint::black_box(slots.iter().fold(0, |all, &slot| all ^ keys.key(slot).len()));
        for (at, &slot) in slots.iter().enumerate() {
            node.insert(at, keys.key(slot), slot);
        }
        node
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == WIDTH
    }

    #[inline]
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots[..self.len()]
    }

    /// The number of keys below `key`.
    #[inline]
    pub(super) fn count_below(&self, keys: &impl Keys, key: &[u8]) -> usize {
        self.count(keys, key, |other| other < key)
    }

    /// The number of keys at or below `key`.
    #[inline]
    pub(super) fn count_to(&self, keys: &impl Keys, key: &[u8]) -> usize {
        self.count(keys, key, |other| other <= key)
    }

    /// The number of keys below a bound, which may lie outside the fences; `inside` is any key between them.
    pub(super) fn count_within(&self, keys: &impl Keys, inside: &[u8], upper: Bound<&[u8]>) -> usize {
        let (Bound::Included(key) | Bound::Excluded(key)) = upper else { return self.len() };
        let fenced = self.prefix.fenced();
        match key.get(..fenced).unwrap_or(key).cmp(&inside[..fenced]) {
            Ordering::Less => 0,
            Ordering::Greater => self.len(),
            Ordering::Equal if matches!(upper, Bound::Included(_)) => self.count_to(keys, key),
            Ordering::Equal => self.count_below(keys, key),
        }
    }

    #[inline]
    fn count(&self, keys: &impl Keys, key: &[u8], is_counted: impl Fn(&[u8]) -> bool) -> usize {
        let tied = match self.heads_like(key) {
            Like::None { below } => return below,
            Like::Same { below } => return below + usize::from(is_counted(key)),
            Like::Tied(tied) => tied,
        };
        // By the heads of what is behind.
        let start = self.prefix.len() + HEAD_BYTES;
        let head = head(key, start);
        let is_before = |slot: &Slot| {
            let other = keys.key(*slot);
            match self::head(other, start).cmp(&head) {
                Ordering::Less => true,
                Ordering::Equal => is_counted(other),
                Ordering::Greater => false,
            }
        };
        tied.start + self.slots[tied].partition_point(is_before)
    }

    /// The slots of keys that `key` has to be compared with to find its place.
    pub(super) fn tied(&self, key: &[u8]) -> &[Slot] {
        if let Like::Tied(tied) = self.heads_like(key) { &self.slots[tied] } else { &[] }
    }

    /// What heads say of a key's place.
    #[inline]
    fn heads_like(&self, key: &[u8]) -> Like {
        match self.prefix.stand(key) {
            Ordering::Less => return Like::None { below: 0 },
            Ordering::Greater => return Like::None { below: self.len() },
            Ordering::Equal => {}
        }
        let head = head(key, self.prefix.len());
        let heads = &self.heads[..self.len()];
        let below = heads.partition_point(|&other| other < head);
        if heads.get(below) != Some(&head) {
            return Like::None { below };
        }
        if head & 0xFF != LONGER {
            return Like::Same { below };
        }
        let same = heads[below..].partition_point(|&other| other == head);
        Like::Tied(below..below + same)
    }

    /// Where the slot of `key` is.
    pub(super) fn position(&self, key: &[u8], slot: Slot) -> Option<usize> {
        let head = head(key, self.prefix.len());
        let below = self.heads[..self.len()].partition_point(|&other| other < head);
        let offset = self.slots()[below..].iter().position(|&other| other == slot)?;
        Some(below + offset)
    }

    /// Puts a slot at `at`; there is room.
    #[inline]
    pub(super) fn insert(&mut self, at: usize, key: &[u8], slot: Slot) {
        let len = self.len();
        if len == 0 {
            self.prefix = Prefix::of_one(key, self.prefix.fenced());
        } else if let Some(bytes) = self.prefix.admit(key).bytes() {
            self.put_before_heads(bytes);
        }
        self.heads.copy_within(at..len, at + 1);
        self.slots.copy_within(at..len, at + 1);
        self.heads[at] = head(key, self.prefix.len());
        self.slots[at] = slot;
        self.len += 1;
        self.last = at as u16;
    }

    /// Takes out the slot at `at`.
    pub(super) fn remove(&mut self, at: usize) -> Slot {
        let slot = self.slots[at];
        let len = self.len();
        self.heads.copy_within(at + 1..len, at);
        self.slots.copy_within(at + 1..len, at);
        self.len -= 1;
        slot
    }

    /// Whether the insert before this one, at `at`, went right before it.
    pub(super) fn ascends(&self, at: usize) -> bool {
        usize::from(self.last) + 1 == at
    }

    /// Moves the slots from `at` on to an empty node.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self { prefix: self.prefix, ..Self::EMPTY };
        right.append_slots(self, at);
        self.len = at as u16;
        self.last = u16::MAX;
        right
    }

    /// Appends the slots of `other`, which lies between the same fences; there is room.
    pub(super) fn append(&mut self, mut other: Self) {
        if self.len == 0 {
            self.prefix = other.prefix;
        } else if other.len > 0 {
            if let Some(bytes) = self.prefix.agree(&other.prefix).bytes() {
                self.put_before_heads(bytes);
            }
            if let Some(bytes) = other.prefix.agree(&self.prefix).bytes() {
                other.put_before_heads(bytes);
            }
        }
        self.append_slots(&other, 0);
    }

    fn append_slots(&mut self, other: &Self, from: usize) {
        let (start, end) = (self.len(), self.len() + other.len() - from);
        self.heads[start..end].copy_from_slice(&other.heads[from..other.len()]);
        self.slots[start..end].copy_from_slice(&other.slots[from..other.len()]);
        self.len = end as u16;
    }

    /// The fences share so many bytes from now on.
    pub(super) fn set_fenced(&mut self, keys: &impl Keys, fenced: usize) {
        let (Some(&first), Some(&last)) = (self.slots().first(), self.slots().last()) else {
            self.prefix = Prefix::of_fences(fenced);
            return;
        };
        let is_dull = self.is_dull();
        if fenced == self.prefix.fenced() && !is_dull {
            return;
        }
        let first = keys.key(first);
        let len = if is_dull { shared(first, keys.key(last)) } else { self.prefix.len() };
        let old = std::mem::replace(&mut self.prefix, Prefix::of_keys(first, fenced, len));
        if self.prefix.len() != old.len() {
            for at in 0..self.len() {
                self.heads[at] = head(keys.key(self.slots[at]), self.prefix.len());
            }
        }
    }

    /// Whether the heads begin alike for more than half of their bytes, which might be left out as well.
    fn is_dull(&self) -> bool {
        let (first, last) = (self.heads[0], self.heads[self.len() - 1]);
        self.len() > 1 && (first ^ last) >> 32 == 0
    }

    /// Has each head begin with some bytes that were in the prefix.
    fn put_before_heads(&mut self, bytes: &[u8]) {
        let len = self.len();
        for head in &mut self.heads[..len] {
            *head = behind(bytes, *head);
        }
    }
}

/// The separators below and above a node; `None` at the ends of the order.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fences {
    pub(super) below: Option<Slot>,
    pub(super) above: Option<Slot>,
}

#[expect(clippy::indexing_slicing, reason = "the child's number is at most the node's length")]
impl Fences {
    /// The fences of child `at` of `node`, which has these.
    pub(super) fn of_child(self, node: &Node, at: usize) -> Self {
        Self {
            below: if at > 0 { Some(node.slots()[at - 1]) } else { self.below },
            above: node.slots().get(at).copied().or(self.above),
        }
    }

    /// Bytes that all keys between the fences share.
    pub(super) fn shared(self, separators: &Separators) -> usize {
        match (self.below, self.above) {
            (Some(below), Some(above)) => shared(separators.key(below), separators.key(above)),
            _ => 0,
        }
    }
}

/// Bytes at the start that two keys share.
pub(in super::super) fn shared(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The head of a key that has the prefix.
#[inline]
pub(in super::super) fn head(key: &[u8], prefix: usize) -> u64 {
    let rest = key.get(prefix..).unwrap_or_default();
    if let Some(whole) = rest.first_chunk::<8>() {
        return u64::from_le_bytes(*whole).swap_bytes() & !0xFF | LONGER;
    }
    // Seven bytes or fewer: the eighth is padding, and becomes their number.
    let bytes = match key.last_chunk::<8>() {
        // Where there are some before them, these are read too, and shifted out.
        Some(last) if !rest.is_empty() => {
            u64::from_le_bytes(*last).swap_bytes() << (u64::BITS as usize - 8 * rest.len())
        }
        _ => {
            let mut padded = [0; 8];
            padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            u64::from_le_bytes(padded).swap_bytes()
        }
    };
    bytes | rest.len() as u64
}

/// The head of a key that has `bytes` and then what `head` is the head of.
fn behind(bytes: &[u8], head: u64) -> u64 {
    let rest = head & 0xFF;
    let count = if rest == LONGER { LONGER } else { (bytes.len() as u64 + rest).min(LONGER) };
    let after = (head & !0xFF).swap_bytes().to_le_bytes();
    let mut held = [0; 8];
    held.iter_mut().zip(bytes.iter().chain(&after)).take(HEAD_BYTES).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(held).swap_bytes() | count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_know_what_stood_before_them() {
        for len in 0..25 {
            let key: Vec<u8> = (1..=len).collect();
            for prefix in 0..=key.len() {
                for before in 0..=prefix {
                    let found = behind(&key[before..prefix], head(&key, prefix));
                    assert_eq!(found, head(&key, before), "{prefix} bytes of {len} left out, then {before}");
                }
            }
        }
    }

    #[test]
    fn heads_order_as_keys() {
        // Some of every length, also beyond what a head holds.
        let mut keys: Vec<Vec<u8>> = vec![vec![]];
        for len in 0..12 {
            let parents = keys.iter().filter(|key| key.len() == len);
            let longer = parents.flat_map(|key| [0, 7, 255].map(|byte| [key.as_slice(), &[byte]].concat()));
            let longer: Vec<_> = longer.step_by(2).take(60).collect();
            keys.extend(longer);
        }
        assert!(keys.iter().any(|key| key.len() > 8));
        for one in &keys {
            for other in &keys {
                let (heads, order) = (head(one, 0).cmp(&head(other, 0)), one.cmp(other));
                assert!(heads == order || (heads.is_eq() && head(one, 0) & 0xFF == LONGER), "{one:?} {other:?}");
            }
        }
    }
}
