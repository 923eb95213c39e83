//! An operator at work: batches of events, commits with the offset and the results in them, checkpoints beside it.

use std::path::Path;
use std::time::{Duration, Instant};

use laminar_benches::workload::{BATCH_KEYS, Key};
use laminar_benches::{Latency, child, memory, names, time};

use super::event::{Event, Source};
use super::query::{Dedup, Query, Results};
use super::{Name, Plan, Told, Work};
use crate::backend::{self, Backend, Outcome, Setup};
use crate::measure::BATCH;

mod checkpoints;

use checkpoints::Checkpoints;

/// The row that is committed with every batch: offset, results, and the word of the operator.
const PROGRESS: Key = [0xFF; 16];
/// Events between two hashes that are told.
const HASH_EVERY: u64 = 50_000;
/// Between two looks at the memory, which take microseconds and stand outside of all latencies.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// More than a store holds at the end of any of the queries, for the sizes of caches.
const KEYS: usize = 4_000_000;

/// Batches in a row with a clock around each event, and without.
const STRETCH: u64 = 8;

/// Which latencies a batch belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// None: speed is measured.
    None,
    /// Those while no checkpoint runs.
    Quiet,
    /// Those while one runs.
    Beside,
}

/// What both parts are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) name: Name,
    pub(crate) dir: &'a Path,
    pub(crate) events: &'a Path,
    pub(crate) plan: Plan,
}

/// Runs until the time is over, tells, and goes on until it is killed.
pub(crate) struct Run<'a>(pub(crate) Job<'a>);

/// Opens what a killed run has left, and goes on to the next hash.
pub(crate) struct Recover<'a>(pub(crate) Job<'a>);

impl backend::Job for Run<'_> {
    type Output = ();

    fn run<B: Backend>(self) -> Outcome {
        struct Running<'a, B>(Job<'a>, std::marker::PhantomData<B>);
        impl<B: Backend> Work for Running<'_, B> {
            type Output = Outcome;
            fn run<Q: Query>(self) -> Outcome {
                run::<B, Q>(self.0)
            }
        }
        self.0.name.run(Running::<B>(self.0, std::marker::PhantomData))
    }
}

impl backend::Job for Recover<'_> {
    type Output = ();

    fn run<B: Backend>(self) -> Outcome {
        struct Recovering<'a, B>(Job<'a>, std::marker::PhantomData<B>);
        impl<B: Backend> Work for Recovering<'_, B> {
            type Output = Outcome;
            fn run<Q: Query>(self) -> Outcome {
                recover::<B, Q>(self.0)
            }
        }
        self.0.name.run(Recovering::<B>(self.0, std::marker::PhantomData))
    }
}

fn run<B: Backend, Q: Query>(job: Job<'_>) -> Outcome {
    let mut operator = Operator::<B, Q>::open(job)?;
    if job.name == Name::Dedup {
        Dedup::prepare(&mut operator.store, job.plan.known)?;
    }
    let mut checkpoints = Checkpoints::new(job);
    let mut told = Told::default();
    for _ in 0..job.plan.windows {
        let before = operator.offset;
        told.figures.extend(window(&mut operator, &mut checkpoints, job.plan)?);
        if operator.offset == before {
            break;
        }
    }
    told.hashes = std::mem::take(&mut operator.hashes);
    child::tell(&told);
    while operator.batch(Clock::None)? {
        if B::IS_DURABLE {
            checkpoints.tick(&mut operator.store)?;
        }
    }
    // Out of events before the signal: it dies with its files as they are all the same.
    std::thread::sleep(Duration::from_secs(60));
    Err("nobody has killed a process that was to die".into())
}

/// Runs for a while, and tells what it was like.
fn window<B: Backend, Q: Query>(
    operator: &mut Operator<B, Q>,
    checkpoints: &mut Checkpoints,
    plan: Plan,
) -> Outcome<Vec<(String, String, f64)>> {
    (operator.quiet, operator.beside) = (Latency::new(), Latency::new());
    let (written, begin, worked) = (memory::written(), time::now(), processor_seconds()?);
    let (made, offset) = (checkpoints.made(), operator.offset);
    let (mut peak, mut looked) = (anonymous()?, begin);
    let until = Duration::from_millis(plan.millis);
    // Time without a clock around each event, and the events in it: a clock costs as much as a get.
    let (mut quick, mut quick_events) = (Duration::ZERO, 0);
    for number in 0_u64.. {
        // The map runs to the end: what it finds, the others are held against.
        if B::IS_DURABLE && begin.elapsed() >= until {
            break;
        }
        let is_watched = number / STRETCH % 2 == 1;
        let (start, before) = (time::now(), operator.offset);
        let clock = match (is_watched, checkpoints.is_running()) {
            (false, _) => Clock::None,
            (true, false) => Clock::Quiet,
            (true, true) => Clock::Beside,
        };
        if !operator.batch(clock)? {
            break;
        }
        if B::IS_DURABLE {
            checkpoints.tick(&mut operator.store)?;
        }
        if !is_watched {
            quick += start.elapsed();
            quick_events += operator.offset - before;
        }
        if looked.elapsed() >= LOOK_EVERY {
            (peak, looked) = (peak.max(anonymous()?), time::now());
        }
    }
    let events = (operator.offset - offset) as f64;
    let mut figures = Vec::new();
    if events == 0.0 {
        return Ok(figures);
    }
    let mut figure = |name: &str, unit: &str, value: f64| figures.push((name.into(), unit.into(), value));
    figure("", "ops/s", quick_events as f64 / quick.as_secs_f64());
    figure("/per-core", "ops/s", events / (processor_seconds()? - worked).max(f64::EPSILON));
    figure(names::NEXMARK_WRITTEN, "bytes/event", memory::written().since(written).bytes as f64 / events);
    figure(names::NEXMARK_MEMORY, "bytes", peak as f64);
    figure("/checkpoints", "", (checkpoints.made() - made) as f64);
    for (name, latency) in [(names::NEXMARK_QUIET, &operator.quiet), (names::NEXMARK_CHECKPOINT, &operator.beside)] {
        if latency.count() > 0 {
            figures.extend(latency.figures(name).into_iter().map(|row| (row.bench, row.unit, row.value)));
        }
    }
    Ok(figures)
}

fn recover<B: Backend, Q: Query>(job: Job<'_>) -> Outcome {
    let begin = time::now();
    let mut operator = Operator::<B, Q>::open(job)?;
    let (offset, hash) = (operator.offset, operator.results.hash);
    let recovery = operator.first_event()?.map_or(begin.elapsed(), |first| first - begin);
    let mut told = Told { hashes: vec![(offset, hash)], ..Told::default() };
    // Only offsets between hashes are known to the others.
    told.hashes.retain(|(offset, _)| offset.is_multiple_of(HASH_EVERY) && *offset > 0);
    if offset > 0 {
        while operator.hashes.is_empty() && operator.batch(Clock::None)? {}
        told.hashes.append(&mut operator.hashes);
    }
    told.figures.push((names::NEXMARK_RECOVERY.into(), "ns".into(), recovery.as_secs_f64() * 1e9));
    told.figures.push(("/recovered-offset".into(), "events".into(), offset as f64));
    child::tell(&told);
    Ok(())
}

/// A query over a store, at an offset of its events.
struct Operator<B, Q> {
    store: B,
    query: Q,
    source: Source,
    batch: Vec<Event>,
    tells: bool,
    told: Vec<Key>,
    offset: u64,
    results: Results,
    hashes: Vec<(u64, u64)>,
    quiet: Latency,
    beside: Latency,
}

impl<B: Backend, Q: Query> Operator<B, Q> {
    /// Opens the store, and goes on where it ends.
    fn open(job: Job<'_>) -> Outcome<Self> {
        let known = usize::try_from(job.plan.known)?;
        let mut store = B::open(&job.dir.join("store"), Setup::for_keys(KEYS.max(known)))?;
        let progress = store.get(&PROGRESS, |value| {
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(value.as_chunks().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            words
        })?;
        let [offset, hash, count, word] = progress.unwrap_or_default();
        Ok(Self {
            store,
            query: Q::restore(word),
            source: Source::open(job.events, offset)?,
            batch: Vec::with_capacity(BATCH),
            tells: job.plan.tells,
            told: Vec::with_capacity(BATCH_KEYS),
            offset,
            results: Results { hash, count },
            hashes: Vec::new(),
            quiet: Latency::new(),
            beside: Latency::new(),
        })
    }

    /// Takes one event alone, with its commit, and tells when it was done. None at the end.
    fn first_event(&mut self) -> Outcome<Option<Instant>> {
        let mut first = None;
        self.source.next(BATCH, &mut self.batch)?;
        for event in std::mem::take(&mut self.batch) {
            self.query.apply(&mut self.store, event, &mut self.results)?;
            first.get_or_insert_with(time::now);
            self.offset += 1;
        }
        self.commit()?;
        Ok(first)
    }

    /// Takes the next events and commits them. False at the end.
    fn batch(&mut self, clock: Clock) -> Outcome<bool> {
        self.source.next(BATCH, &mut self.batch)?;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(false);
        }
        match clock {
            Clock::None => {
                for events in batch.chunks(BATCH_KEYS) {
                    self.tell(events);
                    for event in events {
                        self.query.apply(&mut self.store, *event, &mut self.results)?;
                    }
                }
                self.offset += batch.len() as u64;
                self.commit()?;
            }
            Clock::Quiet | Clock::Beside => self.watched(&batch, clock)?,
        }
        self.batch = batch;
        Ok(true)
    }

    /// Tells a store that can be told what these events will ask for; the first of them waits for that.
    #[inline]
    fn tell(&mut self, events: &[Event]) {
        if B::CAN_BE_TOLD && Q::TELLS && self.tells {
            self.told.clear();
            self.told.extend(events.iter().filter_map(Q::told));
            self.store.prefetch(&self.told);
        }
    }

    /// The same with a clock around each event; the commit belongs to the latency of the last one.
    fn watched(&mut self, batch: &[Event], clock: Clock) -> Outcome {
        let mut start = time::now();
        let end = self.offset + batch.len() as u64;
        for events in batch.chunks(BATCH_KEYS) {
            self.tell(events);
            for event in events {
                self.query.apply(&mut self.store, *event, &mut self.results)?;
                self.offset += 1;
                if self.offset == end {
                    self.commit()?;
                }
                start = self.latency(clock).record_since(start);
            }
        }
        Ok(())
    }

    fn latency(&mut self, clock: Clock) -> &mut Latency {
        if clock == Clock::Beside { &mut self.beside } else { &mut self.quiet }
    }

    fn commit(&mut self) -> Outcome {
        let mut progress = [0; 32];
        let words = [self.offset, self.results.hash, self.results.count, self.query.save()];
        for (bytes, word) in progress.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        self.store.put(&PROGRESS, &progress)?;
        self.store.commit()?;
        if self.offset.is_multiple_of(HASH_EVERY) {
            self.hashes.push((self.offset, self.results.hash));
        }
        Ok(())
    }
}

/// Anonymous memory of this process by the counter of the kernel, which is cheap to look at.
fn anonymous() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
    let kibibytes: u64 = line.split_whitespace().next().ok_or("no number")?.parse()?;
    Ok(kibibytes << 10)
}

/// Seconds that all threads of this process have spent on processors, in steps of the kernel's hundredths.
fn processor_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in brackets may hold anything; the times are the 12th and 13th word behind it.
    let words = stat.rsplit_once(") ").ok_or("no name")?.1.split_whitespace().skip(11).take(2);
    let ticks: u64 = words.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(ticks as f64 / 100.0)
}
