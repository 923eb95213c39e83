//! The table of `laminar-storage` against a hash map and a sorted map, all in memory, in one run.
//!
//! Unit: millions of operations a second of processor time, one thread: what else the machine does takes no part, except
//! in the caches. Keys of 16 random bytes (the table adds a namespace of four), values of 100 random bytes. The stores
//! take turns, and each figure is the median of its rounds. Memory and the longest insert are measured in a process for each
//! store.
//!
//! `cargo bench -p laminar-benches --bench table -- [COUNT] [ROUNDS]`, 1,000,000 keys and 5 rounds unless said.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::indexing_slicing, reason = "a bench may stop with a panic")]

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

mod stores;
mod workload;

use stores::{BTree, Hash, Laminar, Store};
use workload::{Key, Workload, read};

/// What is measured, in this order; the last one only of stores with an order.
const PHASES: [&str; 6] = ["load", "get, hit", "get, miss", "zipf, half put", "delete", "prefix scan of 10"];

/// Operations of a phase other than load and delete.
const OPS: usize = 1_000_000;

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == "footprint") {
        let count = args.get(2).and_then(|arg| arg.parse().ok()).unwrap_or(1_000_000);
        return match args[1].as_str() {
            "table" => footprint(Laminar::new(), count),
            "hashbrown" => footprint(Hash::default(), count),
            _ => footprint(BTree::default(), count),
        };
    }
    args.resize(2, String::new());
    let count: u32 = args[0].parse().unwrap_or(1_000_000);
    let rounds: usize = args[1].parse().unwrap_or(5);

    let workload = Workload::new(count, OPS);
    let mut results = [vec![], vec![], vec![]];
    for round in 0..rounds {
        eprintln!("{count} keys, round {} of {rounds}", round + 1);
        results[0].push(run::<Laminar>(Laminar::new(), &workload));
        results[1].push(run::<Hash>(Hash::default(), &workload));
        results[2].push(run::<BTree>(BTree::default(), &workload));
    }
    println!("{count} keys, M ops/s         table   hashbrown       BTreeMap  table/hashbrown  table/BTreeMap");
    for (phase, name) in PHASES.iter().enumerate() {
        let [table, hash, tree] = [0, 1, 2].map(|store| median(results[store].iter().map(|run| run[phase])));
        println!("{name:<22} {table:>10.2} {hash:>11.2} {tree:>14.2} {:>16.2} {:>15.2}", table / hash, table / tree);
    }
    for store in ["table", "hashbrown", "BTreeMap"] {
        let this = std::env::current_exe().expect("a process knows its program");
        let child = Command::new(this).args(["footprint", store, &count.to_string()]).status();
        assert!(child.is_ok_and(|status| status.success()), "the footprint of {store} was not measured");
    }
}

/// Millions of operations a second for each phase.
fn run<S: Store>(mut store: S, workload: &Workload) -> [f64; PHASES.len()] {
    let load = rate(&workload.keys, |key| store.put(key, workload.value(key)));
    let hit = rate(&workload.hits, |key| read(store.get(key).expect("it was loaded")));
    let miss = rate(&workload.misses, |key| black_box(store.get(key).is_none()));
    let mut put = false;
    let zipf = rate(&workload.zipf, |key| {
        put = !put;
        if put {
            store.put(key, workload.value(key));
        } else {
            black_box(read(store.get(key).expect("it was loaded")));
        }
    });
    let delete = rate(&workload.deletes, |key| store.delete(key));
    let scan = if S::IS_ORDERED { scans(S::new_empty(), workload) } else { f64::NAN };
    [load, hit, miss, zipf, delete, scan]
}

fn scans<S: Store>(mut store: S, workload: &Workload) -> f64 {
    for key in &workload.grouped {
        store.put(key, workload.value(key));
    }
    rate(&workload.groups, |prefix| {
        let (mut entries, mut all) = (0, 0);
        store.scan(prefix, &mut |value| (entries, all) = (entries + 1, all ^ read(value)));
        assert_eq!(entries, 10, "a group has ten keys");
        all
    })
}

fn rate<K, R>(keys: &[K], mut operation: impl FnMut(&K) -> R) -> f64 {
    let start = processor_time();
    for key in keys {
        black_box(operation(key));
    }
    keys.len() as f64 / (processor_time() - start).as_secs_f64() / 1e6
}

/// Prints memory and longest insert of a store that is loaded in this process alone.
fn footprint<S: Store>(mut store: S, count: u32) {
    let workload = Workload::new(count, 0);
    let before = resident_bytes();
    let mut longest = Duration::ZERO;
    for key in &workload.keys {
        let start = processor_time();
        store.put(key, workload.value(key));
        longest = longest.max(processor_time() - start);
    }
    let each = (resident_bytes() - before) as f64 / f64::from(count);
    let raw = (size_of::<Key>() + workload::VALUE_BYTES) as f64;
    println!(
        "{:<10} {each:>6.1} B an entry resident ({:.2} x raw), {:>6.1} counted; longest put {:>9.1} us",
        S::NAME,
        each / raw,
        store.counted_bytes() as f64 / f64::from(count),
        longest.as_secs_f64() * 1e6
    );
    // Not timed, and not waited for.
    std::mem::forget(store);
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("time is not negative")
}

/// Resident memory of this process, where the system tells it.
#[expect(clippy::disallowed_methods, reason = "the system tells it in a file of its own")]
fn resident_bytes() -> u64 {
    let statm = std::fs::read("/proc/self/statm").unwrap_or_default();
    let pages = String::from_utf8_lossy(&statm).split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
