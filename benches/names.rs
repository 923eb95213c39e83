//! What rows, contenders and plots are called: benches write them down by these names, and [`budgets`](crate::budgets) finds
//! them by these names.
//!
//! Time is in `ns`, speed in `ops/s`, size in `bytes`. A bench with latencies has rows `<name>/p50`, `/p99`, `/p99.9` and `/max`,
//! as [`Latency::figures`](crate::Latency::figures) makes them.

/// Our store, or our log.
pub const LAMINAR: &str = "laminar";
/// `HashMap<[u8; 16], Box<[u8]>>` of the crate hashbrown, without durability.
pub const HASHBROWN: &str = "hashbrown";
/// `BTreeMap<[u8; 16], Box<[u8]>>`, without durability.
pub const BTREEMAP: &str = "BTreeMap";
/// RocksDB.
pub const ROCKSDB: &str = "rocksdb";
/// LMDB, through the crate heed.
pub const LMDB: &str = "lmdb";
/// redb.
pub const REDB: &str = "redb";
/// fjall.
pub const FJALL: &str = "fjall";
/// raft-engine, a log.
pub const RAFT_ENGINE: &str = "raft-engine";
/// okaywal, a log.
pub const OKAYWAL: &str = "okaywal";
/// wal-db, a log.
pub const WAL_DB: &str = "wal-db";
/// writeahead, a log.
pub const WRITEAHEAD: &str = "writeahead";

/// The floor of the processor: the same bytes copied, and CRC32C of them.
pub const F_CPU: &str = "F_cpu";
/// The floor of a sync: `pwrite` and `fdatasync` of the same bytes in a file that was filled with zeros and synced before.
pub const F_SYNC: &str = "F_sync";
/// As [`F_SYNC`], at the end of a file that grows.
pub const F_SYNC_GROWING: &str = "F_sync growing";
/// The floor of the disk: the same bytes written in sequence to a new file, and `fdatasync`.
pub const F_BW: &str = "F_bw";
/// Memory that a process has not had before, in huge pages, touched: nanoseconds for each 4 KiB. Where a virtual machine gives free memory
/// back to its host, this is what getting it again costs.
pub const F_MEM: &str = "F_mem";
/// What [`F_MEM`] measures first.
pub const MEMORY_FRESH: &str = "memory/fresh";
/// The same again, of memory that was given back just now.
pub const MEMORY_AGAIN: &str = "memory/again";

/// The stores of others that survive what ours does.
pub const DURABLE_PEERS: [&str; 4] = [ROCKSDB, LMDB, REDB, FJALL];
/// The logs of others.
pub const LOG_PEERS: [&str; 4] = [RAFT_ENGINE, OKAYWAL, WAL_DB, WRITEAHEAD];

/// Append of 100 bytes to the log's buffer: ns a record, what is handed over meanwhile included, and nothing synced.
pub const LOG_APPEND: &str = "log/append";
/// The same for a writer without a pause, where the log syncs behind it: ns a record.
pub const LOG_APPEND_SUSTAINED: &str = "log/append/sustained";
/// Calls that write, for each record appended.
pub const LOG_APPEND_CALLS: &str = "log/append/calls";
/// Allocations for each record appended.
pub const LOG_APPEND_ALLOCATIONS: &str = "log/append/allocations";
/// Append of 100 bytes and a sync, one thread: latencies.
pub const LOG_DURABLE: &str = "log/durable";
/// Writes for each durable append, and syncs for each.
pub const LOG_DURABLE_CALLS: &str = "log/durable/calls";
/// Durable appends from 8 threads in a closed loop: latencies.
pub const LOG_GROUP_8: &str = "log/group-8";
/// Durable appends from 32 threads in a closed loop: latencies.
pub const LOG_GROUP_32: &str = "log/group-32";
/// Records for each sync, appended to the name of a group commit.
pub const RECORDS_PER_SYNC: &str = "/records-per-sync";
/// Replay of records that occupy 116 bytes: records/s on one core.
pub const LOG_REPLAY: &str = "log/replay";
/// Allocations for each record replayed.
pub const LOG_REPLAY_ALLOCATIONS: &str = "log/replay/allocations";

/// Puts of new keys in random order, a commit handed to the operating system every 1,000: ops/s.
pub const PUT: &str = "put";
/// The longest of these puts: ns.
pub const PUT_LONGEST: &str = "put/longest";
/// [`PUT`] into a store that was scanned before, when it was empty: ops/s.
pub const PUT_SCANNED: &str = "put/scanned";
/// The longest of the commits that hand a thousand of these puts over: ns.
pub const COMMIT_LONGEST: &str = "commit/longest";
/// Puts of keys that are there, with a commit handed to the operating system after each: ops/s.
pub const PUT_COMMIT_EACH: &str = "put/commit-each";
/// Puts of keys that are there, with a durable commit after each: ops/s.
pub const PUT_DURABLE_EACH: &str = "put/durable-each";
/// Gets of keys that are there, their values read: ops/s.
pub const GET_HIT: &str = "get/hit";
/// [`GET_HIT`] in batches of [`BATCH_KEYS`](crate::workload::BATCH_KEYS), each told to the store before.
pub const GET_HIT_BATCH: &str = "get/hit/batch";
/// Gets of keys that are not there: ops/s.
pub const GET_MISS: &str = "get/miss";
/// [`GET_HIT`] from a freshly opened store whose pages the system has cached, each page touched before.
pub const GET_HIT_OPENED: &str = "get/hit/opened";
/// [`GET_HIT_BATCH`] from a freshly opened store, each page touched before.
pub const GET_HIT_OPENED_BATCH: &str = "get/hit/opened/batch";
/// [`GET_MISS`] from a freshly opened store.
pub const GET_MISS_OPENED: &str = "get/miss/opened";
/// [`GET_HIT`] where a tenth of the keys was written since the store was opened.
pub const GET_HIT_MIXTURE: &str = "get/hit/mixture";
/// Half gets and half puts of keys by a zipf distribution of 0.99: ops/s.
pub const ZIPF: &str = "zipf";
/// Deletes of keys that are there: ops/s.
pub const DELETE: &str = "delete";
/// Scans of the ten keys with one prefix, their values read: scans/s.
pub const SCAN: &str = "scan";
/// The first scan of ten keys of a store that was filled and never scanned: ns.
pub const SCAN_FIRST: &str = "scan/first";
/// [`SCAN`] from a freshly opened store.
pub const SCAN_OPENED: &str = "scan/opened";
/// [`SCAN`] where a tenth of the keys was written since the store was opened.
pub const SCAN_MIXTURE: &str = "scan/mixture";
/// [`GET_HIT`] where the store may keep a quarter of its state in memory.
pub const GET_HIT_QUARTER: &str = "get/hit/quarter";
/// Anonymous memory for each entry of a loaded store: bytes.
pub const MEMORY_ENTRY: &str = "memory/entry";

/// A checkpoint of everything: ns.
pub const CHECKPOINT_FULL: &str = "checkpoint/full";
/// Its bytes.
pub const CHECKPOINT_FULL_BYTES: &str = "checkpoint/full/bytes";
/// A checkpoint after one key in a hundred changed: ns.
pub const CHECKPOINT_CHANGED: &str = "checkpoint/changed";
/// Its bytes that are not shared with the checkpoint before.
pub const CHECKPOINT_CHANGED_BYTES: &str = "checkpoint/changed/bytes";
/// Puts while no checkpoint runs: latencies.
pub const WRITER_QUIET: &str = "writer/quiet";
/// Puts while a checkpoint runs: latencies.
pub const WRITER_CHECKPOINT: &str = "writer/checkpoint";
/// The writer beside a thread of the lowest priority that only counts: what losing the second processor costs it.
pub const WRITER_SPINNING: &str = "writer/spinning";

/// From the call that opens a store with an empty log tail to the first value: ns.
pub const OPEN_EMPTY_TAIL: &str = "open/empty-tail";
/// The same with 100,000 records behind the checkpoint, after a death by signal.
pub const OPEN_TAIL: &str = "open/tail";
/// From the call that opens a store to the last of 100,000 random gets: ns.
pub const OPEN_GETS: &str = "open/gets";

/// Memory of its own that a checkpoint of everything takes at most, beyond what the store has at rest: bytes.
pub const CHECKPOINT_MEMORY: &str = "checkpoint/memory";
/// The keys and values that changed: the floor of [`CHECKPOINT_CHANGED_BYTES`].
pub const CHANGED_BYTES: &str = "changed bytes";
/// Bytes of 100 checkpoints, merges included, over the bytes that changed: each time the same 1 % of the keys.
pub const SERIES_SAME: &str = "series/same";
/// The same, each time a random 1 % of the keys.
pub const SERIES_UNIFORM: &str = "series/uniform";
/// The most runs that one of these checkpoints had.
pub const SERIES_RUNS: &str = "series/runs";
/// Bytes on disk, checkpoints and log, over the live state: the average over these checkpoints.
pub const SERIES_SPACE: &str = "series/space";
/// The highest of these.
pub const SERIES_SPACE_PEAK: &str = "series/space-peak";

/// Puts spread over ten thousand operators: ops/s.
pub const PUT_OPERATORS: &str = "operators/put";
/// Gets spread over ten thousand operators: ops/s.
pub const GET_OPERATORS: &str = "operators/get";
/// The same keys in one operator: what [`PUT_OPERATORS`] and [`GET_OPERATORS`] are held against.
pub const ONE_OPERATOR: &str = "one operator";

/// The queries of Nexmark that are run: rows `nexmark/<query>` in events/s and the rows below.
pub const NEXMARK_QUERIES: [&str; 5] = ["q4", "q5", "q8", "q18", "dedup"];
/// Latencies of events while no checkpoint runs, appended to `nexmark/<query>`.
pub const NEXMARK_QUIET: &str = "/quiet";
/// Latencies of events while a checkpoint runs, appended to `nexmark/<query>`.
pub const NEXMARK_CHECKPOINT: &str = "/checkpoint";
/// Events/s of ours where it is not told for which keys the operator will ask, appended to `nexmark/<query>`.
pub const NEXMARK_UNTOLD: &str = "/untold";
/// Bytes written for each event, appended to `nexmark/<query>`.
pub const NEXMARK_WRITTEN: &str = "/bytes-written";
/// The most memory of its own that the process had, appended to `nexmark/<query>`.
pub const NEXMARK_MEMORY: &str = "/peak-memory";
/// From the start of the process after a death by signal to the first event: ns, appended to `nexmark/<query>`.
pub const NEXMARK_RECOVERY: &str = "/recovery";

/// A plot of latencies: x is the share of operations in percent, y is ns.
pub const PLOT_LATENCY: &str = "Latency percentiles";
/// A plot of the longest put in each short slot of time: x is seconds, y is ns, checkpoints are marked.
pub const PLOT_WRITER: &str = "writer latency over time";
/// As [`PLOT_WRITER`], of every store in turns.
pub const PLOT_WRITER_PEERS: &str = "writer latency over time, side by side";
/// A plot of recovery: x is keys, y is ms.
pub const PLOT_RECOVERY: &str = "recovery time against state size";
