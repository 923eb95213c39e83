//! Puts what a checkpoint found into the order of the keys, and keeps the newest record of each.

use std::ops::Range;

use laminar_vfs::planted;
use laminar_wal::LogView;

use super::collect::{change_at, prefetch};
use crate::Result;

/// A record by the head of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// That of the key, or of what is left of it behind a beginning that others share: see [`head`].
    pub(super) head: [u64; 2],
    pub(super) lsn: u64,
}

const _: () = assert!(size_of::<Slot>() == 24, "the memory of a checkpoint is promised by the record");

/// Bytes of a key that a head holds.
const KEY_BYTES: usize = 15;

/// In the place of the position of a record that a newer one of the same key replaces: no record begins there.
const REPLACED: u64 = u64::MAX;

/// The [`KEY_BYTES`] of a key from `start` on, zeros where it ends before, and in the last byte how many of them are the key's: so that
/// the order of heads as numbers is the order of the bytes, and a head that does not count to the full is all that is left of its key.
pub(super) fn head(key: &[u8], start: usize) -> [u64; 2] {
    let rest = key.get(start..).unwrap_or_default();
    let held = rest.first_chunk::<KEY_BYTES>().map_or(rest, |full| full);
    let mut bytes = [[0u8; 8]; 2];
    bytes.as_flattened_mut().split_at_mut(held.len()).0.copy_from_slice(held);
    let [high, low] = bytes.map(|half| u64::from_le_bytes(half).swap_bytes());
    [high, low | held.len() as u64]
}

/// Whether a key ends within its head.
pub(super) fn ends_within(head: [u64; 2]) -> bool {
    let [_, low] = head;
    low & 0xff < KEY_BYTES as u64
}

/// Slots whose heads are of what their keys hold behind the first `start` bytes, which all of them begin with.
struct Stretch {
    range: Range<usize>,
    start: usize,
}

/// Puts slots that are sorted by their heads, those of their keys, into the order of the keys, and drops all but the newest of each key.
///
/// Heads decide alone where they can. Keys that have one head are read from the log, each once, and are sorted by what they hold behind
/// the bytes that all of them begin with; and so on. Comparing them with one another would read each a dozen times, from all over the log.
pub(super) fn keep_newest(view: &LogView, slots: &mut Vec<Slot>) -> Result<()> {
    // In which slots with one head can be of several keys.
    let mut stretches = vec![Stretch { range: 0..slots.len(), start: 0 }];
    while let Some(Stretch { mut range, start }) = stretches.pop() {
        while let Some((first, others)) = slots.get(range.clone()).and_then(<[Slot]>::split_first) {
            let alike = 1 + others.iter().take_while(|slot| slot.head == first.head).count();
            let is_decided = alike == 1 || ends_within(first.head);
            let found = range.start..range.start + alike;
            range.start = found.end;
            let alike = slots.get_mut(found.clone()).unwrap_or_default();
            match if is_decided { None } else { sort_behind(view, alike, start + KEY_BYTES)? } {
                Some(start) => stretches.push(Stretch { range: found, start }),
                None => keep_one(alike),
            }
        }
    }
    slots.retain(|slot| slot.lsn != REPLACED);
    Ok(())
}

/// The head as one number: to compare two without a branch takes a quarter off a sort. The order of slots with one head is left open.
fn number(slot: &Slot) -> u128 {
    let [high, low] = slot.head;
    u128::from(high) << 64 | u128::from(low)
}

/// The largest head first.
///
/// The standard library's sort is the fastest that was tried: dealing the slots out by one byte of the head after the other, in place,
/// waits for memory more than it saves.
pub(super) fn sort_descending(slots: &mut [Slot]) {
    slots.sort_unstable_by_key(|slot| !number(slot));
}

/// The smallest head first, of slots that are in order from one to the next for long stretches. If there are many more than `usual`, in place:
/// to merge the stretches takes memory for as many again.
pub(super) fn sort_ascending(slots: &mut [Slot], usual: usize) {
    if slots.len() <= usual.saturating_mul(2) { slots.sort_by_key(number) } else { slots.sort_unstable_by_key(number) }
}

/// Of the slots of one key the newest stays.
fn keep_one(slots: &mut [Slot]) {
    let lsns = || slots.iter().map(|slot| slot.lsn);
    let kept = if planted("checkpoint-keeps-oldest") { lsns().min() } else { lsns().max() };
    slots.iter_mut().filter(|slot| Some(slot.lsn) != kept).for_each(|older| older.lsn = REPLACED);
}

/// Sorts slots whose keys begin alike for `start` bytes at least by what follows behind all that they share. Says where that is; nothing
/// if they are all of one key.
fn sort_behind(view: &LogView, slots: &mut [Slot], start: usize) -> Result<Option<usize>> {
    let Some(shared) = read_heads(view, slots, start)? else { return Ok(None) };
    let is_told_apart = shared < start + KEY_BYTES;
    let start = if is_told_apart { start } else { shared };
    if !is_told_apart {
        read_heads(view, slots, start)?;
    }
    slots.sort_unstable_by_key(number);
    Ok(Some(start))
}

/// Sets the heads of slots to those of their keys from `start` on. Returns how many bytes these keys begin with in common; nothing if they
/// are all one key.
fn read_heads(view: &LogView, slots: &mut [Slot], start: usize) -> Result<Option<usize>> {
    let Some(first) = slots.first() else { return Ok(None) };
    let first = change_at(view, first.lsn)?.key;
    let (mut is_one, mut shared) = (true, first.len());
    for index in 0..slots.len() {
        prefetch(view, slots, index);
        let Some(slot) = slots.get_mut(index) else { break };
        let key = change_at(view, slot.lsn)?.key;
        slot.head = head(key, start);
        is_one &= key == first;
        shared = first.iter().zip(key).take(shared).take_while(|(a, b)| a == b).count();
    }
    Ok((!is_one).then_some(shared))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use laminar_vfs::sim::SimDisk;

    use super::*;
    use crate::{StateStore, StoreOptions, WalStateStore};

    /// Keys that differ late, by their length alone, or by zeros at their end; few enough that many are written again.
    fn key(rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut key = b"prefix".repeat(rng.usize(..8));
        key.extend(std::iter::repeat_n(b'a', rng.usize(..20)));
        key.extend(std::iter::repeat_n(0, rng.usize(..3)));
        key
    }

    #[test]
    fn the_newest_of_keys_that_begin_alike_is_kept() {
        let mut rng = fastrand::Rng::with_seed(3);
        let disk = SimDisk::new(1);
        // Few records a run, so that only a few keys are known again when they are scanned.
        let options = || StoreOptions::new().env(disk.env()).run_limits(1 << 30, 10_000);
        let open = || WalStateStore::open("/store", options()).unwrap();
        let (mut store, _) = open();
        let mut model = BTreeMap::new();
        for version in 0..6000u32 {
            let key = key(&mut rng);
            if rng.u8(..5) == 0 {
                store.delete(&key).unwrap();
                model.remove(&key);
            } else {
                store.put(&key, &version.to_le_bytes()).unwrap();
                model.insert(key, version.to_le_bytes().to_vec());
            }
        }
        store.commit().unwrap().wait().unwrap();
        let info = store.checkpoint().unwrap().wait().unwrap();
        // And the name of the operator.
        assert_eq!(info.entries_written, model.len() as u64 + 1);
        drop(store);
        let (store, report) = open();
        assert_eq!((report.checkpoint, report.records_replayed), (Some(1), 0));
        let found =
            store.prefix_scan(b"").unwrap().map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())));
        assert_eq!(found.collect::<Result<BTreeMap<_, _>>>().unwrap(), model);
    }

    #[test]
    fn heads_order_as_the_bytes_do() {
        let keys: [&[u8]; 9] =
            [b"", b"\0", b"a", b"a\0", b"a\0\0", b"aaaaaaaab", b"aaaaaaaac", b"aaaaaaaac\0\0\0\0\0\0", b"b"];
        assert!(keys.windows(2).all(|pair| head(pair[0], 0) < head(pair[1], 0)));
        assert_eq!(head(b"xyabc", 2), head(b"abc", 0));
        assert_eq!(head(b"x", 2), head(b"", 0));
        assert_eq!(head(&[9; 15], 0), head(&[9; 16], 0));
        assert!(ends_within(head(&[9; 14], 0)) && !ends_within(head(&[9; 15], 0)));
    }
}
