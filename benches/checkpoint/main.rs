//! Checkpoints: what they cost, and looking things up in them.
//!
//! Keys of 16 random bytes, values of 100 random bytes.
//!
//! | part | unit | held against |
//! |---|---|---|
//! | full | time and bytes of a checkpoint of everything, from a log that is on disk | F_bw of its bytes |
//! | changed | the same after one key in a hundred changed | the keys and values that changed |
//! | memory | anonymous memory above the store at rest, every key changed; a process of its own | 64 MiB + 24 bytes a key |
//! | run | gets (hit, miss) and scans of one run, without a store: ops/s | - |
//! | merge | records/s of a merge of eight runs, without a store | - |
//!
//! `cargo bench -p laminar-benches --bench checkpoint -- [--quick] [--large] [--keys N] [--rounds N] [PART]`

mod making;
mod memory;
mod run;

use laminar_benches::{Output, Settings, child};

fn main() {
    if let Some((_, arguments)) = child::part() {
        return memory::child(&arguments);
    }
    let settings = Settings::from_arguments();
    let output = Output::create("checkpoint", &settings);
    for keys in settings.sizes() {
        let settings = settings.at(keys);
        if settings.wants("checkpoint full") || settings.wants("checkpoint changed") {
            making::measure(&settings, keys, &output);
        }
        if settings.wants("checkpoint memory") {
            memory::measure(&settings, keys, &output);
        }
    }
    if settings.wants("checkpoint run") || settings.wants("checkpoint merge") {
        run::measure(&settings, &output);
    }
}
