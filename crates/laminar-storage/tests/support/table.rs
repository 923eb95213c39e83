//! What of a store lies in its table.

use laminar_storage::{StateStore, WalStateStore};

/// Bytes in the table: what the store reports, without the runs below.
pub(crate) fn table_bytes(store: &WalStateStore) -> u64 {
    let runs = store.attached_checkpoint().map_or(0, |below| below.runs().iter().map(|run| run.payload_bytes()).sum());
    store.size_bytes() - runs
}
