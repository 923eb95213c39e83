//! A hundred checkpoints in a row, each after 1 % of the keys has changed: what is written, how many runs there are, and what
//! lies on disk.
//!
//! Keys of 16 bytes, values of 100. Bytes written are those of new runs, of merges that were taken, and of what else a
//! checkpoint writes; held against the keys and values that changed. Space is everything in the store's directory, log
//! and two retained checkpoints, over the keys and values of the state; looked at after each checkpoint. Checkpoints
//! follow one another without a pause but for the changes, which is the least that merging can hope for.
//!
//! `cargo bench -p laminar-benches --bench series -- [--quick] [--large] [--keys N]`

use laminar_benches::names::{LAMINAR, SERIES_RUNS, SERIES_SAME, SERIES_SPACE, SERIES_SPACE_PEAK, SERIES_UNIFORM};
use laminar_benches::workload::{self, Key, Values};
use laminar_benches::{Output, Row, Series, Settings, directory, loaded, progress};

const CHECKPOINTS: u32 = 100;

/// A hundredth of the keys changes each time.
const SHARE: usize = 100;

fn main() {
    let settings = Settings::from_arguments();
    let output = Output::create("series", &settings);
    for keys in settings.sizes() {
        let same = run("the same 1 %", keys, |keys, _| workload::every(keys, SHARE));
        let uniform = run("a random 1 %", keys, |keys, seed| workload::picks(keys, keys.len() / SHARE, seed));
        let row = |bench, value| output.row(Row::of_one(bench, LAMINAR, keys, "", value));
        row(SERIES_SAME, same.bytes_ratio);
        row(SERIES_UNIFORM, uniform.bytes_ratio);
        row(SERIES_RUNS, f64::from(same.most_runs.max(uniform.most_runs)));
        row(SERIES_SPACE, same.mean_space().max(uniform.mean_space()));
        row(SERIES_SPACE_PEAK, same.peak_space().max(uniform.peak_space()));
        for (name, course) in [("the same 1 %", same), ("a random 1 %", uniform)] {
            output.series(Series {
                plot: "space over 100 checkpoints".to_owned(),
                store: format!("{LAMINAR}, {name}"),
                keys: keys.into(),
                x: "checkpoints".to_owned(),
                y: "bytes on disk over live state".to_owned(),
                points: course.space,
                marks: Vec::new(),
            });
        }
    }
}

struct Course {
    bytes_ratio: f64,
    most_runs: u32,
    space: Vec<(f64, f64)>,
}

impl Course {
    fn mean_space(&self) -> f64 {
        self.space.iter().map(|(_, ratio)| ratio).sum::<f64>() / self.space.len() as f64
    }

    fn peak_space(&self) -> f64 {
        self.space.iter().map(|(_, ratio)| *ratio).fold(0.0, f64::max)
    }
}

fn run(name: &str, count: u32, changes: impl Fn(&[Key], u64) -> Vec<Key>) -> Course {
    let dir = directory::scratch();
    let (keys, values) = (workload::keys(count), Values::new());
    let mut store = loaded::open(dir.path());
    loaded::put_all(&mut store, &keys, &values, 0);
    loaded::checkpoint(&mut store);
    let live = loaded::payload_bytes(keys.len()) as f64;
    let (mut written, mut changed) = (0, 0);
    let mut course = Course { bytes_ratio: 0.0, most_runs: 0, space: Vec::new() };
    let bar = progress(&format!("series, {count} keys, {name}"), CHECKPOINTS.into());
    for number in 1..=CHECKPOINTS {
        let dirty = changes(&keys, number.into());
        loaded::put_all(&mut store, &dirty, &values, u8::try_from(number).unwrap_or(u8::MAX));
        let info = loaded::checkpoint(&mut store);
        written += info.bytes_written + info.bytes_merged;
        changed += loaded::payload_bytes(dirty.len());
        course.most_runs = course.most_runs.max(u32::try_from(info.runs).unwrap_or(u32::MAX));
        course.space.push((number.into(), directory::bytes_on_disk(dir.path()) as f64 / live));
        bar.inc(1);
    }
    bar.finish_and_clear();
    course.bytes_ratio = written as f64 / changed as f64;
    course
}
