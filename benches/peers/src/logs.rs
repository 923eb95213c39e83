//! The benches of logs: appends handed to the operating system every 1,000 records, durable appends of one thread, group
//! commit, replay. Records of 100 bytes; each log in a process and a directory of its own, in turns.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use laminar_benches::workload::{self, Values};
use laminar_benches::{Latency, Output, Rounds, Settings, child, directory, names, time};

use crate::backend::Outcome;
use crate::measure::{self, BATCH};
use crate::part::Told;

mod contender;

use contender::{ALL, Job, Log};

/// Appends and a replay of all logs, and writes the rows down.
pub(crate) fn run(settings: &Settings) -> Outcome {
    if !settings.wants("logs") {
        return Ok(());
    }
    let output = Output::create("peers-logs", settings);
    let mut rounds = Rounds::new("logs", settings);
    for name in ALL {
        rounds.add(name, move || {
            let scratch = directory::scratch();
            let told: Told = child::run("log", &[name, &scratch.path().to_string_lossy(), &settings.keys.to_string()]);
            told.into_figures()
        });
    }
    output.rows(rounds.run(), 0);
    Ok(())
}

/// The part of a child.
pub(crate) fn part(arguments: &[String]) -> Outcome {
    let [name, dir, records] = arguments else { return Err("a log with other arguments".into()) };
    let told = contender::run(name, Appends { dir: Path::new(dir), records: records.parse()? })?;
    child::tell(&told);
    Ok(())
}

/// For how long threads append in a closed loop.
const CLOSED_LOOP: Duration = Duration::from_millis(300);

struct Appends<'a> {
    dir: &'a Path,
    records: u32,
}

impl Job for Appends<'_> {
    type Output = Told;

    fn run<L: Log>(self) -> Outcome<Told> {
        let (keys, values) = (workload::keys(self.records), Values::new());
        let records: Vec<&[u8]> = keys.iter().map(|key| values.of(key, 0)).collect();
        let mut told = Told::default();
        let dir = self.dir.join("appended");
        let log = L::open_unsynced(&dir)?;
        // What a log makes once, files and buffers, it has made by half of it.
        records.chunks(BATCH).try_for_each(|batch| log.append_batch(batch))?;
        let start = time::now();
        records.chunks(BATCH).try_for_each(|batch| log.append_batch(batch))?;
        told.figure(names::LOG_APPEND, "ns", start.elapsed().as_secs_f64() * 1e9 / records.len() as f64);
        log.close()?;
        // From the opening on: some read everything then, others when they are asked.
        let start = time::now();
        let (mut count, mut sum) = (0, 0_u64);
        L::open_unsynced(&dir)?.replay(|record| {
            count += 1;
            sum = sum.wrapping_add(workload::read(record));
        })?;
        std::hint::black_box(sum);
        told.figure(names::LOG_REPLAY, "ops/s", measure::per_second(count, start.elapsed()));
        if count != 2 * records.len() {
            return Err(format!("{count} of {} records were replayed", 2 * records.len()).into());
        }
        let log = L::open(&self.dir.join("durable"))?;
        for (name, threads) in [(names::LOG_DURABLE, 1), (names::LOG_GROUP_8, 8), (names::LOG_GROUP_32, 32)] {
            let latency = closed_loop(&log, threads, &records)?;
            told.figure(&format!("{name}/rate"), "ops/s", latency.count() as f64 / CLOSED_LOOP.as_secs_f64());
            told.add(latency.figures(name));
        }
        Ok(told)
    }
}

/// Durable appends from so many threads, each waiting for its own before the next.
fn closed_loop<L: Log>(log: &L, threads: usize, records: &[&[u8]]) -> Outcome<Latency> {
    let all = Mutex::new(Latency::new());
    let begin = time::now();
    let append = || -> Outcome {
        let mut latency = Latency::new();
        for record in records.iter().cycle() {
            let start = time::now();
            log.append_durable(record)?;
            latency.record_since(start);
            if begin.elapsed() >= CLOSED_LOOP {
                break;
            }
        }
        all.lock().map_err(|_| "a thread panicked")?.add(&latency);
        Ok(())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(append)).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    Ok(all.into_inner().map_err(|_| "a thread panicked")?)
}
