//! The log alone, against the floors of the processor and of the disk.
//!
//! Records of 100 bytes (replay: of 108, which occupy 116 in the log), segments of 16 MiB, a buffer of 1 MiB.
//!
//! | part | unit | sync policy | floor |
//! |---|---|---|---|
//! | append | ns a record, calls that write and allocations a record | none: what is full goes to the system | F_cpu |
//! | durable | latency of append and sync, one thread | every record | F_sync |
//! | group | latency and records a sync, 8 and 32 threads in a closed loop | every record | F_sync |
//! | replay | records/s of one core, allocations a record | - | 5 M/s |
//!
//! `cargo bench -p laminar-benches --bench log -- [--quick] [--rounds N] [PART]`

mod append;
mod durable;
mod replay;

use laminar_benches::{Output, Settings};

/// What applications append.
const RECORD_BYTES: usize = 100;

fn main() {
    let settings = Settings::from_arguments();
    let output = Output::create("log", &settings);
    if settings.wants("log append") {
        append::measure(&settings, &output);
    }
    if settings.wants("log durable") || settings.wants("log group") {
        durable::measure(&settings, &output);
    }
    if settings.wants("log replay") {
        replay::measure(&settings, &output);
    }
}
