//! A store that holds all keys of a workload: what benches of checkpoints and recovery begin with.

use std::path::Path;

use laminar_storage::{CheckpointInfo, StateStore, StoreOptions, WalStateStore};

use crate::workload::{BATCH_KEYS, Key, VALUE_BYTES, Values};

/// Changes in a commit.
pub const COMMIT_CHANGES: usize = 1_000;

/// Bytes of keys and values of so many entries.
#[must_use]
pub fn payload_bytes(entries: usize) -> u64 {
    (entries * (size_of::<Key>() + VALUE_BYTES)) as u64
}

/// How all benches open the store: its defaults, but that values begin on multiples of 8 in checkpoints too, for 16: they are bytes, or archives of numbers
/// of 64 bits.
#[must_use]
pub fn options() -> StoreOptions {
    StoreOptions::new().value_alignment(8)
}

/// Opens the store in `dir` with these [`options`].
///
/// # Panics
/// If it can't be opened.
#[must_use]
pub fn open(dir: &Path) -> WalStateStore {
    WalStateStore::open(dir, options()).expect("the store can be opened").0
}

/// Puts every key, with a commit handed to the system every [`COMMIT_CHANGES`], and waits until all of it is on disk.
///
/// # Panics
/// If the store fails.
pub fn put_all<'a>(store: &mut WalStateStore, keys: impl IntoIterator<Item = &'a Key>, values: &Values, version: u8) {
    for (index, key) in keys.into_iter().enumerate() {
        store.put(key, values.of(key, version)).expect("there is room");
        if index % COMMIT_CHANGES == COMMIT_CHANGES - 1 {
            drop(store.commit().expect("there is space"));
        }
    }
    store.commit().and_then(|ticket| ticket.wait()).expect("there is space");
}

/// Tells the store which keys will be asked for, [`BATCH_KEYS`] at a time.
#[inline]
pub fn tell(store: &impl StateStore, keys: &[Key]) {
    let mut told = [&[][..]; BATCH_KEYS];
    for keys in keys.chunks(BATCH_KEYS) {
        told.iter_mut().zip(keys).for_each(|(told, key)| *told = key);
        store.prefetch(told.split_at(keys.len()).0);
    }
}

/// Makes a checkpoint, waits for it, and takes it into use.
///
/// # Panics
/// If the store fails.
pub fn checkpoint(store: &mut WalStateStore) -> CheckpointInfo {
    let info = store.checkpoint().and_then(|ticket| ticket.wait()).expect("there is space");
    drop(store.commit().expect("there is space"));
    if let Some(error) = store.take_upkeep_error() {
        panic!("work in the background failed: {error}");
    }
    info
}
