//! The keys of the records that were scanned last. A key that changes often comes again soon, and its older record is then replaced on the
//! spot: what is sorted afterwards, and read from the log again, is little more than the keys that changed.

use laminar_checkpoint::hash_key;

/// Keys that are remembered at most: half a MiB of places, which a processor's second cache has room for.
const MOST: usize = 1 << 16;

/// One of so many records of a run is remembered: at the default limit of its records, [`MOST`].
const SHARE: usize = 256;

/// Nothing is remembered here.
const EMPTY: u32 = u32::MAX;

/// Where the slot of a key is, by the hash of the key; of two keys with one place the later is remembered.
#[derive(Debug)]
pub(super) struct Recent {
    places: Box<[Place]>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// The upper half of the hash.
    tag: u32,
    slot: u32,
}

impl Recent {
    /// For a run of at most so many records.
    pub(super) fn new(records: usize) -> Self {
        Self { places: vec![Place { tag: 0, slot: EMPTY }; (records / SHARE).clamp(1, MOST)].into() }
    }

    /// The slot where `key` may have been seen before; nothing if it certainly was not, or was forgotten. From now on it is `next`, unless
    /// `is_same` says of the slot that it is the key's.
    pub(super) fn find_or_note(
        &mut self,
        key: &[u8],
        next: usize,
        is_same: impl FnOnce(usize) -> crate::Result<bool>,
    ) -> crate::Result<Option<usize>> {
        let hash = hash_key(0, key);
        #[expect(clippy::cast_possible_truncation, reason = "halves of a hash")]
        let (tag, low) = ((hash >> 32) as u32, hash as u32);
        let at = (u64::from(low) * self.places.len() as u64) >> 32;
        let Some(place) = usize::try_from(at).ok().and_then(|at| self.places.get_mut(at)) else { return Ok(None) };
        if place.slot != EMPTY && place.tag == tag && is_same(place.slot as usize)? {
            return Ok(Some(place.slot as usize));
        }
        *place = Place { tag, slot: u32::try_from(next).unwrap_or(EMPTY) };
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_came_last() {
        let mut recent = Recent::new(MOST * SHARE);
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let mut rng = fastrand::Rng::with_seed(4);
        let (mut found, mut asked) = (0, 0);
        for _ in 0..200_000 {
            let key = rng.u32(..20_000).to_le_bytes().repeat(1 + rng.usize(..2));
            let slot = recent
                .find_or_note(&key, keys.len(), |slot| {
                    asked += 1;
                    Ok(keys[slot] == key)
                })
                .unwrap();
            match slot {
                Some(slot) => {
                    assert_eq!(keys[slot], key);
                    found += 1;
                }
                None => keys.push(key),
            }
        }
        // 40,000 keys in 65,536 places: most are found, and nearly nobody is asked in vain.
        assert!(found > 90_000 && asked < found + 20, "{found} found, {asked} asked");
    }
}
