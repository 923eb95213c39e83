//! What a checkpoint costs the writer.
//!
//! A store of 16-byte keys and 100-byte values, all of them in a checkpoint; one thread puts random keys that are there, as
//! fast as it can, and hands a commit to the operating system every 1,000 puts. In each round it does so for a second, while a
//! checkpoint of what has changed runs, and then for as long as that took without one: the longest of more puts is longer. Unit: ns
//! for a put; commits have rows of their own.
//!
//! Held against: the same puts in the quiet stretches of the same round, and beside a thread of the lowest priority that only counts.
//!
//! `cargo bench -p laminar-benches --bench writer -- [--quick] [--large] [--keys N] [--rounds N]`

use std::time::{Duration, Instant};

use laminar_benches::loaded::{self, COMMIT_CHANGES};
use laminar_benches::names::{LAMINAR, PLOT_WRITER, WRITER_CHECKPOINT, WRITER_QUIET, WRITER_SPINNING};
use laminar_benches::workload::{self, Key, Values};
use laminar_benches::{Figure, Latency, Measured, Output, Row, Series, Settings, directory, progress, time};
use laminar_storage::{StateStore, WalStateStore};
use laminar_vfs::{Job, Spawn, Step, Threads};

/// The plot has a point for each slot: its longest put.
const SLOT: Duration = Duration::from_millis(10);

/// How long changes are gathered for a checkpoint; in a quick run a third of it.
const CHANGES: Duration = Duration::from_millis(1_000);

fn main() {
    let settings = Settings::from_arguments();
    let output = Output::create("writer", &settings);
    for keys in settings.sizes() {
        measure(&settings.at(keys), keys, &output);
    }
}

fn measure(settings: &Settings, count: u32, output: &Output) {
    let dir = directory::scratch();
    let keys = workload::keys(count);
    let mut writer = Writer::new(loaded::open(dir.path()), &keys);
    loaded::put_all(&mut writer.store, &keys, &writer.values, 0);
    loaded::checkpoint(&mut writer.store);
    let bar = progress(&format!("writer, {count} keys"), settings.rounds as u64);
    let length = if settings.quick { CHANGES / 3 } else { CHANGES };
    // What the first puts fault in is no part of any stretch.
    writer.stretch(length, None);
    loaded::checkpoint(&mut writer.store);
    writer.begin();
    let mut figures: Vec<Figure> = Vec::new();
    for _ in 0..settings.rounds {
        // What the checkpoint has to do.
        writer.stretch(length, None);
        let ticket = writer.store.checkpoint().expect("there is a thread");
        let during = writer.stretch(Duration::ZERO, Some(&ticket));
        let info = ticket.wait().expect("there is space");
        // What changed meanwhile goes into another one, so that all measured ones have the same to do.
        writer.settle();
        let quiet = writer.stretch(during.length, None);
        let spinning = writer.beside_a_spinning_thread(during.length);
        writer.settle();
        figures.extend(quiet.figures(WRITER_QUIET));
        figures.extend(during.figures(WRITER_CHECKPOINT));
        figures.extend(spinning.figures(WRITER_SPINNING));
        figures.push(("writer/checkpoint/time", "ns", during.length.as_secs_f64() * 1e9).into());
        figures.push(("writer/checkpoint/entries", "entries", info.entries_written as f64).into());
        bar.inc(1);
    }
    bar.finish_and_clear();
    for Measured { bench, unit, rounds, .. } in Measured::collect(LAMINAR, figures) {
        output.row(Row::of_many(&bench, LAMINAR, count, &unit, &rounds));
    }
    output.series(Series {
        plot: PLOT_WRITER.to_owned(),
        store: LAMINAR.to_owned(),
        keys: count.into(),
        x: "seconds".to_owned(),
        y: "ns, longest put in 10 ms".to_owned(),
        points: writer.points,
        marks: writer.marks,
    });
}

struct Writer<'a> {
    store: WalStateStore,
    keys: &'a [Key],
    values: Values,
    rng: fastrand::Rng,
    puts: usize,
    begun: Instant,
    points: Vec<(f64, f64)>,
    marks: Vec<(f64, f64)>,
}

struct Stretch {
    length: Duration,
    puts: Latency,
    commits: Latency,
}

impl<'a> Writer<'a> {
    fn new(store: WalStateStore, keys: &'a [Key]) -> Self {
        let rng = fastrand::Rng::with_seed(51);
        let (points, marks) = (Vec::new(), Vec::new());
        Self { store, keys, values: Values::new(), rng, puts: 0, begun: time::now(), points, marks }
    }

    /// All that changed is in a checkpoint.
    fn settle(&mut self) {
        drop(self.store.commit().expect("there is space"));
        loaded::checkpoint(&mut self.store);
    }

    /// The plot begins here.
    fn begin(&mut self) {
        (self.begun, self.points, self.marks) = (time::now(), Vec::new(), Vec::new());
    }

    /// Puts for at least `length`, while a thread as that of a checkpoint does nothing but count. No part of the plot.
    fn beside_a_spinning_thread(&mut self, length: Duration) -> Stretch {
        let spinning = Threads::new().spawn("spinning", Box::new(Spinning)).expect("there is a thread");
        let points = self.points.len();
        let stretch = self.stretch(length, None);
        self.points.truncate(points);
        spinning.stop();
        stretch
    }

    /// Puts for at least `length`, or until a checkpoint is done.
    fn stretch(&mut self, length: Duration, ticket: Option<&laminar_storage::CheckpointTicket>) -> Stretch {
        let mut stretch = Stretch { length, puts: Latency::new(), commits: Latency::new() };
        let begun = time::now();
        let (mut slot_end, mut longest) = (begun + SLOT, Duration::ZERO);
        loop {
            let key = self.keys.get(self.rng.usize(..self.keys.len())).expect("an index below their number");
            let value = self.values.of(key, self.rng.u8(..));
            let start = time::now();
            self.store.put(key, value).expect("there is room");
            let end = stretch.puts.record_since(start);
            longest = longest.max(end - start);
            self.puts += 1;
            if self.puts.is_multiple_of(COMMIT_CHANGES) {
                drop(self.store.commit().expect("there is space"));
                stretch.commits.record_since(end);
            }
            if end >= slot_end {
                self.points.push(((end - self.begun).as_secs_f64(), longest.as_secs_f64() * 1e9));
                (slot_end, longest) = (end + SLOT, Duration::ZERO);
                let is_over = ticket.is_none_or(laminar_storage::CheckpointTicket::is_done);
                if is_over && end - begun >= length {
                    stretch.length = end - begun;
                    break;
                }
            }
        }
        if ticket.is_some() {
            let from = (begun - self.begun).as_secs_f64();
            self.marks.push((from, from + stretch.length.as_secs_f64()));
        }
        stretch
    }
}

/// Takes a processor, and nothing else of the machine.
struct Spinning;

impl Job for Spinning {
    fn step(&mut self) -> Step {
        const STEP: Duration = Duration::from_micros(100);
        let begun = time::now();
        while begun.elapsed() < STEP {
            std::hint::spin_loop();
        }
        Step::Again
    }

    fn is_spare(&self) -> bool {
        true
    }
}

impl Stretch {
    fn figures(&self, bench: &str) -> Vec<Figure> {
        let mut figures = self.puts.figures(bench);
        figures.extend(self.commits.figures(&format!("{bench}/commit")));
        figures.push((bench, "ops/s", self.puts.count() as f64 / self.length.as_secs_f64()).into());
        figures
    }
}
