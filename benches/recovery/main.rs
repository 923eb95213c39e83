//! From the call that opens a store to values, each time in a fresh process.
//!
//! Keys of 16 random bytes, values of 100, all of them in a checkpoint. With an empty tail the store was closed; with a tail of
//! 100,000 puts of further keys behind the checkpoint, the process was killed by a signal. Pages are in the system's cache.
//! Unit: ns from the call of `open` to the first value, and to the last of 100,000 random gets.
//!
//! Held against: 2 ms at every size for an empty tail; peers for the rest.
//!
//! `cargo bench -p laminar-benches --bench recovery -- [--quick] [--large] [--keys N] [--rounds N]`

use std::io::{BufRead, BufReader};
use std::path::Path;

use laminar_benches::names::{LAMINAR, OPEN_EMPTY_TAIL, OPEN_GETS, OPEN_TAIL, PLOT_RECOVERY};
use laminar_benches::workload::{self, Key, Values, read};
use laminar_benches::{Figure, Measured, Output, Row, Series, Settings, child, directory, loaded, progress, time};
use laminar_storage::{StateStore, WalStateStore};

/// Puts behind the checkpoint.
const TAIL: u32 = 100_000;

/// Gets after opening.
const GETS: usize = 100_000;

fn main() {
    if let Some((part, arguments)) = child::part() {
        let [dir, count] = arguments.as_slice() else { panic!("a directory and a count") };
        let (dir, count) = (Path::new(dir), count.parse().expect("a count"));
        return match part.as_str() {
            "closed" => open_closed(dir, count),
            _ => open_killed(dir, count),
        };
    }
    let settings = Settings::from_arguments();
    let output = Output::create("recovery", &settings);
    // The plot needs more than the sizes that budgets name.
    let mut sizes: Vec<u32> = settings.sizes().iter().flat_map(|keys| [keys / 10, *keys]).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let (mut empty, mut tail) = (Vec::new(), Vec::new());
    for keys in sizes {
        for Measured { bench, unit, rounds, .. } in measure(&settings.at(keys), keys) {
            let row = Row::of_many(&bench, LAMINAR, keys, &unit, &rounds);
            match bench.as_str() {
                OPEN_EMPTY_TAIL => empty.push((f64::from(keys), row.median() / 1e6)),
                OPEN_TAIL => tail.push((f64::from(keys), row.median() / 1e6)),
                _ => {}
            }
            output.row(row);
        }
    }
    for (name, points) in [("empty tail", empty), ("100,000 records in the tail", tail)] {
        output.series(Series {
            plot: PLOT_RECOVERY.to_owned(),
            store: format!("{LAMINAR}, {name}"),
            keys: 0,
            x: "keys".to_owned(),
            y: "ms to the first value".to_owned(),
            points,
            marks: Vec::new(),
        });
    }
}

fn measure(settings: &Settings, count: u32) -> Vec<Measured> {
    let dir = directory::scratch();
    let path = dir.path().to_str().expect("a path in letters");
    let (keys, values) = (workload::keys(count), Values::new());
    let mut store = loaded::open(dir.path());
    loaded::put_all(&mut store, &keys, &values, 0);
    loaded::checkpoint(&mut store);
    store.close().expect("there is space");
    drop(store);
    let bar = progress(&format!("recovery, {count} keys"), 2 * settings.rounds as u64 + 1);
    let mut figures: Vec<Figure> = Vec::new();
    for _ in 0..settings.rounds {
        figures.extend(child::figures("closed", &[path, &count.to_string()]));
        bar.inc(1);
    }
    // The first one only leaves a tail for the second to find.
    for round in 0..=settings.rounds {
        let told = until_killed(path, count);
        if round > 0 {
            figures.extend(told);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Measured::collect(LAMINAR, figures)
}

/// Lets a child open the store and leave a tail behind, then kills it. Returns what it measured.
fn until_killed(path: &str, count: u32) -> Vec<Figure> {
    let mut running = child::start("killed", &[path, &count.to_string()]);
    let told = running.stdout.take().map(BufReader::new).expect("its output is piped");
    let mut lines = told.lines().map(|line| line.expect("the child goes on until it is killed"));
    let figures: Vec<(String, String, f64)> =
        serde_json::from_str(&lines.next().unwrap_or_default()).expect("the child tells figures");
    assert_eq!(lines.next().as_deref(), Some("\"ready\""), "the child leaves a tail");
    running.kill().expect("a child can be killed");
    running.wait().expect("a child that was killed ends");
    figures.into_iter().map(Into::into).collect()
}

/// Opens the store; the figures are named after what was found.
fn open(dir: &Path, count: u32, first: &str, gets: &str) -> (WalStateStore, Vec<Figure>) {
    let keys = workload::keys(count);
    let hits = workload::picks(&keys, GETS, 71);
    let start = time::now();
    let store = loaded::open(dir);
    let value = |key: &Key| store.get(key).expect("the store is whole").map(read).expect("it was put");
    let nanos = || start.elapsed().as_secs_f64() * 1e9;
    let sum = hits.first().map(value);
    let first_nanos = nanos();
    let sum = hits.iter().fold(sum.unwrap_or(0), |sum, key| sum ^ value(key));
    std::hint::black_box(sum);
    let figures = vec![(first, "ns", first_nanos).into(), (gets, "ns", nanos()).into()];
    (store, figures)
}

fn open_closed(dir: &Path, count: u32) {
    let (mut store, figures) = open(dir, count, OPEN_EMPTY_TAIL, "open/gets/empty-tail");
    child::tell_figures(&figures);
    store.close().expect("there is space");
}

fn open_killed(dir: &Path, count: u32) {
    let (mut store, figures) = open(dir, count, OPEN_TAIL, OPEN_GETS);
    child::tell_figures(&figures);
    // All that was recovered goes into a checkpoint, and the same 100,000 keys are the tail of the next.
    let further = workload::misses(TAIL as usize);
    loaded::checkpoint(&mut store);
    let values = Values::new();
    for (index, key) in further.iter().enumerate() {
        store.put(key, values.of(key, 1)).expect("there is room");
        if index % loaded::COMMIT_CHANGES == loaded::COMMIT_CHANGES - 1 {
            drop(store.commit().expect("there is space"));
        }
    }
    child::tell(&"ready");
    loop {
        std::thread::park();
    }
}
