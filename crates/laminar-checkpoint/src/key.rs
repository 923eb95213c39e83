//! Keys: one that is asked for, in a row or in two parts, and one of one's own.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

use crate::format::run::head;
use crate::hash::{SPACE_BYTES, hash_parts};

const NO_SPACE: u64 = u64::MAX;

/// A key that is asked for: in a row, or in the two parts in which a caller has it, its space and its name.
///
/// The parts are never joined: bytes that were just written next to each other can't be read across the seam before the
/// processor's store buffer is empty, which waits for all that came before, so look-ups one after the other would each
/// wait for the cache misses of the one before. For the same reason a look-up is one function with its parts in registers: what it
/// calls on the way is always inlined.
///
/// ```
/// use laminar_checkpoint::{Key, hash_key};
/// assert_eq!(Key::of_parts(*b"four", b"more").hash(1), Key::from(b"fourmore").hash(1));
/// assert_eq!(Key::from(b"key").hash(1), hash_key(1, b"key"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The first bytes; [`NO_SPACE`] of a key that has not as many. A word, and no `Option` of four bytes: that is written as its tag and the
    /// bytes, and read back in one, which is the seam again.
    space: u64,
    /// What follows them, or all of a shorter key.
    name: &'a [u8],
}

impl<'a> Key<'a> {
    /// The key that `space` and `name` make in a row.
    #[must_use]
    #[inline]
    pub fn of_parts(space: [u8; SPACE_BYTES], name: &'a [u8]) -> Self {
        Self { space: u64::from(u32::from_le_bytes(space)), name }
    }

    /// What it is made of, and is made anew from: a key goes through memory where a function that is not inlined takes it, and then on
    /// every way, also those that do not come there.
    #[inline(always)]
    pub(crate) fn into_parts(self) -> (u64, &'a [u8]) {
        (self.space, self.name)
    }

    #[inline(always)]
    pub(crate) fn from_parts((space, name): (u64, &'a [u8])) -> Self {
        Self { space, name }
    }

    #[inline(always)]
    fn space(self) -> Option<[u8; SPACE_BYTES]> {
        u32::try_from(self.space).ok().map(u32::to_le_bytes)
    }

    /// The hash by which runs made with `seed` find the key, see [`hash_key`](crate::hash_key).
    #[must_use]
    #[inline(always)]
    pub fn hash(self, seed: u64) -> u64 {
        match self.space() {
            Some(space) => hash_parts(seed, space, self.name),
            None => xxhash_rust::xxh3::xxh3_64_with_seed(self.name, seed),
        }
    }

    /// The eight bytes after the first `prefix` of the key in a row, see `format::run::head`.
    #[inline(always)]
    pub(crate) fn head(self, prefix: usize) -> u64 {
        let Some(space) = self.space() else { return head(self.name, prefix) };
        if prefix >= SPACE_BYTES {
            return head(self.name, prefix - SPACE_BYTES);
        }
        // The end of the space, then as much of the name as there is room for: 8 to 32 bits make room for the others.
        let of_space = u64::from(number(space)) << (u32::BITS as usize + 8 * prefix);
        of_space | head(self.name, 0) >> (u32::BITS as usize - 8 * prefix)
    }

    /// Whether no key below this one has the same [`head`](Self::head): it ends in it, with a byte that filling up with zeros does not
    /// make. So it is with the bounds of a prefix scan, mostly.
    #[inline]
    pub(crate) fn is_first_of_head(self, prefix: usize) -> bool {
        let [.., last_of_space] = self.space().unwrap_or_default();
        let len = self.space().map_or(0, |space| space.len()) + self.name.len();
        let last = self.name.last().copied().unwrap_or(last_of_space);
        len <= prefix + size_of::<u64>() && (len <= prefix || last != 0)
    }

    /// Whether the key begins with `prefix`.
    #[inline]
    pub(crate) fn starts_with(self, prefix: &[u8]) -> bool {
        match (self.space(), prefix.split_first_chunk()) {
            (Some(space), Some((theirs, rest))) => space == *theirs && self.name.starts_with(rest),
            (Some(space), None) => space.iter().zip(prefix).all(|(ours, theirs)| ours == theirs),
            (None, _) => self.name.starts_with(prefix),
        }
    }

    /// How the key compares with one in a row.
    #[inline]
    pub(crate) fn cmp(self, other: &[u8]) -> Ordering {
        match (self.space(), other.split_first_chunk()) {
            (Some(space), Some((theirs, rest))) => {
                number(space).cmp(&number(*theirs)).then_with(|| self.name.cmp(rest))
            }
            (Some(space), None) => space.as_slice().cmp(other),
            (None, _) => self.name.cmp(other),
        }
    }

    /// Whether the key is this one in a row.
    #[inline]
    pub(crate) fn is(self, other: &[u8]) -> bool {
        match (self.space(), other.split_first_chunk()) {
            (Some(space), Some((theirs, rest))) => space == *theirs && is_equal(self.name, rest),
            (Some(_), None) => false,
            (None, _) => self.name == other,
        }
    }
}

impl<'a> From<&'a [u8]> for Key<'a> {
    #[inline]
    fn from(key: &'a [u8]) -> Self {
        match key.split_first_chunk() {
            Some((space, name)) => Self::of_parts(*space, name),
            None => Self { space: NO_SPACE, name: key },
        }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Key<'a> {
    #[inline]
    fn from(key: &'a [u8; N]) -> Self {
        Self::from(key.as_slice())
    }
}

/// A space as a number that orders as its bytes do.
#[inline]
fn number(space: [u8; SPACE_BYTES]) -> u32 {
    u32::from_le_bytes(space).swap_bytes()
}

/// Whether two byte strings are equal. Those from 8 to 16 bytes, as most names are, are compared without a call.
#[inline]
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if one.len() < 8 || one.len() > 16 {
        return one == other;
    }
    one.first_chunk::<8>() == other.first_chunk() && one.last_chunk::<8>() == other.last_chunk()
}

/// A key of one's own. One of up to 62 bytes, as most are, takes no allocation: a scan has two bounds, and may be short.
///
/// ```
/// use laminar_checkpoint::KeyBuf;
/// assert_eq!(&*KeyBuf::joined(b"four", b"more"), b"fourmore");
/// ```
#[derive(Clone)]
pub struct KeyBuf(Bytes);

/// Bytes of a key that takes no allocation: so many that it fills a line of memory.
const SHORT_BYTES: usize = 62;

#[derive(Clone)]
enum Bytes {
    Short { len: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

impl KeyBuf {
    /// The key that two parts make in a row.
    #[must_use]
    #[inline]
    pub fn joined(first: &[u8], rest: &[u8]) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        let len = first.len() + rest.len();
        match (u8::try_from(len), bytes.get_mut(..len)) {
            (Ok(len), Some(both)) => {
                let (head, tail) = both.split_at_mut(first.len());
                head.copy_from_slice(first);
                tail.copy_from_slice(rest);
                Self(Bytes::Short { len, bytes })
            }
            _ => Self(Bytes::Long([first, rest].concat().into())),
        }
    }

    /// The least key that is above all keys with this prefix; nothing if there is none.
    #[must_use]
    pub fn above(prefix: &[u8]) -> Option<Self> {
        // The prefix without its trailing 0xFF bytes, plus one.
        let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
        let (rest, byte) = (prefix.get(..last)?, prefix.get(last)?);
        Some(Self::joined(rest, &[byte + 1]))
    }
}

impl From<&[u8]> for KeyBuf {
    #[inline]
    fn from(key: &[u8]) -> Self {
        Self::joined(key, &[])
    }
}

impl Deref for KeyBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for KeyBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of all lengths up to 20 that are close to each other.
    fn keys() -> Vec<Vec<u8>> {
        let ends = |key: &[u8]| [0, 1, 255].map(|byte| [key, &[byte]].concat());
        let mut keys = vec![vec![]];
        for len in 0..20 {
            let longer: Vec<Vec<u8>> = keys.iter().filter(|key| key.len() == len).flat_map(|key| ends(key)).collect();
            keys.extend(longer.into_iter().step_by(2).take(12));
        }
        keys
    }

    #[test]
    fn no_key_below_the_first_of_a_head_has_the_same_head() {
        let mut firsts = 0;
        for ours in keys() {
            let key = Key::from(ours.as_slice());
            for prefix in (0..=ours.len()).filter(|&prefix| key.is_first_of_head(prefix)) {
                let level = keys().into_iter().filter(|theirs| theirs.starts_with(&ours[..prefix]));
                let mut level = level.filter(|theirs| head(theirs, prefix) == head(&ours, prefix));
                assert!(level.all(|theirs| theirs >= ours), "{ours:?} {prefix}");
                firsts += 1;
            }
        }
        assert!(firsts > 100);
        assert!(!Key::from(b"prefix and more than eight").is_first_of_head(6));
        assert!(!Key::from(b"prefix\x01\0").is_first_of_head(6), "the key without the zero lies below");
    }

    #[test]
    fn a_key_in_parts_is_the_key_in_a_row() {
        for ours in keys() {
            let key = Key::from(ours.as_slice());
            for prefix in 0..=ours.len() + 1 {
                assert_eq!(key.head(prefix), head(&ours, prefix), "{ours:?} {prefix}");
            }
            for theirs in keys() {
                assert_eq!(key.cmp(&theirs), ours.cmp(&theirs), "{ours:?} {theirs:?}");
                assert_eq!(key.is(&theirs), ours == theirs, "{ours:?} {theirs:?}");
                assert_eq!(key.starts_with(&theirs), ours.starts_with(&theirs), "{ours:?} {theirs:?}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_what_was_given() {
        for len in [0, 1, 4, SHORT_BYTES, SHORT_BYTES + 1, 300, 1000] {
            let key: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            for at in [0, len / 2, len] {
                let (first, rest) = key.split_at(at);
                assert_eq!(&*KeyBuf::joined(first, rest), key);
            }
            assert_eq!(&*KeyBuf::from(key.as_slice()).clone(), key);
        }
    }

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        let above = |prefix: &[u8]| KeyBuf::above(prefix).map(|key| key.to_vec());
        assert_eq!(above(b"ab").as_deref(), Some(&b"ac"[..]));
        assert_eq!(above(b"a\xff\xff").as_deref(), Some(&b"b"[..]));
        assert_eq!(above(b"\xff"), None);
        assert_eq!(above(b""), None);
    }
}
