//! What the keys of a node begin with. Its fences share the first part of it, which whoever comes down to the node shares too; the rest is
//! the keys' own. Without that, the keys that come in ascending order, at the end of what begins like them, would all look alike: the
//! next fence begins with something else.

use std::cmp::Ordering;

use bytemuck::{Pod, Zeroable};

use super::node::{HEAD_BYTES, shared};

/// Bytes that the keys of a node share beyond its fences, at most.
const OWN: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Prefix {
    /// Bytes, those of the fences included.
    len: u32,
    own_len: u8,
    own: [u8; OWN],
}

#[expect(
    clippy::indexing_slicing,
    reason = "`own_len` is at most OWN and at most `len`; a key has the prefixes that it is said to have"
)]
#[expect(clippy::cast_possible_truncation, reason = "prefixes are shorter than a key; OWN is small")]
impl Prefix {
    /// That of the fences alone, so many bytes.
    pub(super) const fn of_fences(bytes: usize) -> Self {
        Self { len: bytes as u32, own_len: 0, own: [0; OWN] }
    }

    /// Behind the bytes of the fences as many of `key` as leave a head.
    pub(super) fn of_one(key: &[u8], fenced: usize) -> Self {
        Self::of_keys(key, fenced, key.len().saturating_sub(HEAD_BYTES))
    }

    /// That of keys which begin like `key` for `len` bytes; less than that where it is more than can be known, and what the fences share at
    /// least.
    pub(super) fn of_keys(key: &[u8], fenced: usize, len: usize) -> Self {
        Self::of_parts(fenced, &key[fenced..len.clamp(fenced, fenced + OWN)])
    }

    fn of_parts(fenced: usize, own: &[u8]) -> Self {
        let mut prefix = Self { len: (fenced + own.len()) as u32, own_len: own.len() as u8, own: [0; OWN] };
        prefix.own[..own.len()].copy_from_slice(own);
        prefix
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes that the fences share.
    #[inline]
    pub(super) fn fenced(&self) -> usize {
        self.len() - usize::from(self.own_len)
    }

    #[inline]
    fn own(&self) -> &[u8] {
        &self.own[..usize::from(self.own_len)]
    }

    /// Where a key that lies between the fences stands to all keys that have this prefix, if that alone says it; `Equal` if it has it too.
    #[inline]
    pub(super) fn stand(&self, key: &[u8]) -> Ordering {
        if self.own_len == 0 {
            return Ordering::Equal;
        }
        let (own, rest) = (self.own(), key.get(self.fenced()..).unwrap_or_default());
        // Words, which overlap: a call that compares bytes takes as long as the search in a node behind it.
        match (own.len().checked_sub(8), word(own), word(rest)) {
            (Some(last), Some(ours), Some(theirs)) if rest.len() >= own.len() => {
                theirs.cmp(&ours).then_with(|| word(&rest[last..]).cmp(&word(&own[last..])))
            }
            (None, _, Some(theirs)) => {
                let unread = u64::BITS as usize - 8 * own.len();
                (theirs >> unread).cmp(&(word(&self.own).unwrap_or_default() >> unread))
            }
            _ => rest[..rest.len().min(own.len())].cmp(own),
        }
    }

    /// Gives up what a key between the fences does not begin with. Returns the bytes that were given up.
    #[inline]
    pub(super) fn admit(&mut self, key: &[u8]) -> GivenUp {
        if self.stand(key).is_eq() {
            return GivenUp::NOTHING;
        }
        self.give_up(shared(self.own(), key.get(self.fenced()..).unwrap_or_default()))
    }

    /// Gives up what another prefix between the same fences does not have.
    pub(super) fn agree(&mut self, other: &Self) -> GivenUp {
        self.give_up(shared(self.own(), other.own()))
    }

    /// Keeps so many of its own bytes.
    fn give_up(&mut self, own_len: usize) -> GivenUp {
        let mut given_up = GivenUp { len: usize::from(self.own_len) - own_len, bytes: [0; OWN] };
        given_up.bytes[..given_up.len].copy_from_slice(&self.own()[own_len..]);
        *self = Self::of_parts(self.fenced(), &self.own[..own_len]);
        given_up
    }
}

/// The first eight bytes as a number that orders as they do; `None` where there are fewer.
#[inline]
fn word(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|word| u64::from_le_bytes(*word).swap_bytes())
}

/// Bytes that have come to the rest of the keys.
pub(super) struct GivenUp {
    len: usize,
    bytes: [u8; OWN],
}

impl GivenUp {
    const NOTHING: Self = Self { len: 0, bytes: [0; OWN] };

    /// `None` if there are none.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|bytes| !bytes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_order_keys_as_their_bytes_do() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut unequal = 0;
        for _ in 0..100_000 {
            let fenced = random.usize(..4);
            let key: Vec<u8> = (0..fenced + random.usize(..OWN + 4)).map(|_| random.u8(..2)).collect();
            let prefix = Prefix::of_keys(&key, fenced, random.usize(..=key.len()));
            let rest = (fenced..fenced + random.usize(..OWN + 8)).map(|at| key.get(at).copied().unwrap_or(0));
            let mut other: Vec<u8> = key[..fenced].iter().copied().chain(rest).collect();
            let compared = other.len().min(prefix.len()) - fenced;
            if compared > 0 && random.bool() {
                other[fenced + random.usize(..compared)] ^= random.u8(1..);
            }
            let rest = &other[fenced..];
            let own = &key[fenced..prefix.len()];
            let expected = if own.is_empty() { Ordering::Equal } else { rest[..rest.len().min(own.len())].cmp(own) };
            assert_eq!(prefix.stand(&other), expected, "{own:?} {rest:?}");
            unequal += usize::from(expected.is_ne());
        }
        assert!((20_000..80_000).contains(&unequal), "{unequal}");
    }
}
