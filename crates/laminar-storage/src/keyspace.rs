//! Namespaces: the four bytes before each key that keep the operators of a store apart.

use std::ops::Bound;

use laminar_checkpoint::KeyBuf;

use crate::table::SPACE_BYTES;

/// The id of an operator's key space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Namespace(pub(crate) u32);

impl Namespace {
    /// The bytes before its keys.
    #[inline]
    pub(crate) fn id(self) -> [u8; SPACE_BYTES] {
        self.0.swap_bytes().to_le_bytes()
    }

    /// The namespace of a full key; `None` for bytes that are too few to be one.
    pub(crate) fn of(full: &[u8]) -> Option<Self> {
        full.first_chunk().map(|id| Self(u32::from_le_bytes(*id).swap_bytes()))
    }

    /// The full key of `key`: the namespace's id, most significant byte first so that keys sort by namespace, and the key.
    #[inline]
    pub(crate) fn key(self, key: &[u8]) -> KeyBuf {
        KeyBuf::joined(&self.id(), key)
    }

    /// The bounds of all full keys whose key starts with `prefix`: from the first one, to below the second.
    pub(crate) fn prefix(self, prefix: &[u8]) -> (KeyBuf, Bound<KeyBuf>) {
        let first = self.key(prefix);
        let above = KeyBuf::above(&first);
        (first, above.map_or(Bound::Unbounded, Bound::Excluded))
    }

    /// The bounds of full keys for the bounds of keys.
    pub(crate) fn range(self, (lower, upper): (Bound<&[u8]>, Bound<&[u8]>)) -> (Bound<KeyBuf>, Bound<KeyBuf>) {
        let lower = match lower.map(|key| self.key(key)) {
            Bound::Unbounded => Bound::Included(self.key(&[])),
            bound => bound,
        };
        let upper = match upper.map(|key| self.key(key)) {
            Bound::Unbounded => self.prefix(&[]).1,
            bound => bound,
        };
        (lower, upper)
    }
}

/// The key of a full key.
#[inline]
pub(crate) fn strip(full: &[u8]) -> &[u8] {
    full.get(SPACE_BYTES..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_where_they_should() {
        let above = |namespace: u32, prefix: &[u8]| match Namespace(namespace).prefix(prefix).1 {
            Bound::Excluded(key) => Some(key.to_vec()),
            _ => None,
        };
        assert_eq!(above(1, b"ab"), Some(b"\0\0\0\x01ac".to_vec()));
        assert_eq!(above(1, b"a\xFF\xFF"), Some(b"\0\0\0\x01b".to_vec()));
        assert_eq!(above(1, b""), Some(b"\0\0\0\x02".to_vec()));
        assert_eq!(above(0xFF, b"\xFF"), Some(b"\0\0\x01".to_vec()));
        assert_eq!(above(u32::MAX, b"\xFF"), None);
    }

    #[test]
    fn keys_are_whole_at_any_length() {
        for len in [0, 1, 58, 59, 1000] {
            let key = vec![7; len];
            let full = Namespace(0x0102_0304).key(&key);
            assert_eq!(*full, [&[1, 2, 3, 4], key.as_slice()].concat());
            assert_eq!(strip(&full), key);
        }
    }
}
