//! The store with its log on, against maps without durability.
//!
//! Keys of 16 random bytes, values of 100 random bytes, one thread; a commit handed to the operating system every 1,000 changes
//! in the store, none in the maps. A get reads every byte of the value.
//!
//! | part | unit | held against |
//! |---|---|---|
//! | points | puts (random load), gets (hit and miss), zipf 0.99 half put, deletes, prefix scans of 10: ops/s | hashbrown, BTreeMap |
//! | opened | gets and scans from a freshly opened checkpoint, and with a tenth of the keys written since: ops/s | - |
//! | operators | puts and gets spread over 10,000 operators: ops/s | one operator |
//! | footprint | anonymous memory an entry, latencies of puts while loading, a process each: bytes, ns | 1.5 x keys and values |
//! | quarter | gets where the table may hold a quarter of the state: ops/s | - |
//!
//! `cargo bench -p laminar-benches --bench store -- [--quick] [--large] [--keys N] [--rounds N] [PART]`

mod contenders;
mod footprint;
mod opened;
mod operators;
mod points;
mod quarter;

use laminar_benches::{Output, Settings, child};

fn main() {
    if let Some((part, arguments)) = child::part() {
        return match part.as_str() {
            "footprint" => footprint::child(&arguments),
            _ => quarter::child(&arguments),
        };
    }
    let settings = Settings::from_arguments();
    let output = Output::create("store", &settings);
    for keys in settings.sizes() {
        let settings = settings.at(keys);
        if settings.wants("store points") {
            points::measure(&settings, keys, &output);
        }
        if settings.wants("store opened") {
            opened::measure(&settings, keys, &output);
        }
        if settings.wants("store footprint") {
            footprint::measure(&settings, keys, &output);
        }
    }
    if settings.wants("store operators") {
        operators::measure(&settings, &output);
    }
    if settings.wants("store quarter") {
        quarter::measure(&settings, &output);
    }
}
