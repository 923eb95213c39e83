//! Nexmark: keyed operators over every store as their state backend, with commits every 1,000 events and checkpoints while they
//! run, killed in the end and recovered. All stores must come to the same results.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use laminar_benches::{Figure, Output, Rounds, Settings, child, directory, names};
use serde::{Deserialize, Serialize};

use crate::backend::{Outcome, Store};
use crate::part;

pub(crate) mod event;
pub(crate) mod operator;
pub(crate) mod query;

use query::{Dedup, Q4, Q5, Q8, Q18, Query};

/// The operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// Average price by category.
    Q4,
    /// Hot items.
    Q5,
    /// New users who sell.
    Q8,
    /// Last bids.
    Q18,
    /// What has not come before.
    Dedup,
}

/// Something to do with one operator, whichever it is.
pub(crate) trait Work {
    /// What it returns.
    type Output;

    /// Does it.
    fn run<Q: Query>(self) -> Self::Output;
}

impl Name {
    const ALL: [Self; 5] = [Self::Q4, Self::Q5, Self::Q8, Self::Q18, Self::Dedup];

    /// As rows are called.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Q4 => "q4",
            Self::Q5 => "q5",
            Self::Q8 => "q8",
            Self::Q18 => "q18",
            Self::Dedup => "dedup",
        }
    }

    /// The one of this name.
    pub(crate) fn find(text: &str) -> Outcome<Self> {
        let found = Self::ALL.into_iter().find(|name| name.text() == text);
        found.ok_or_else(|| format!("no query is called {text}").into())
    }

    /// Does some work with it.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        match self {
            Self::Q4 => work.run::<Q4>(),
            Self::Q5 => work.run::<Q5>(),
            Self::Q8 => work.run::<Q8>(),
            Self::Q18 => work.run::<Q18>(),
            Self::Dedup => work.run::<Dedup>(),
        }
    }

    /// Whether it tells a store which keys it will ask for.
    fn tells(self) -> bool {
        struct Tells;
        impl Work for Tells {
            type Output = bool;
            fn run<Q: Query>(self) -> bool {
                Q::TELLS
            }
        }
        self.run(Tells)
    }

    fn write_events(self, path: &Path, plan: Plan) -> Outcome {
        struct Kinds;
        impl Work for Kinds {
            type Output = event::Kinds;
            fn run<Q: Query>(self) -> event::Kinds {
                Q::KINDS
            }
        }
        match self {
            Self::Dedup => event::write(path, event::seen(plan.known, 1).take(plan.events)),
            _ => event::write(path, event::generated(self.run(Kinds)).take(plan.events)),
        }
    }
}

/// How much of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Events in a file: where a store is so fast that it comes to their end, it ends there.
    pub(crate) events: usize,
    /// Numbers that the deduplication knows when it begins.
    pub(crate) known: u64,
    /// For how long a store runs until it tells figures.
    pub(crate) millis: u64,
    /// Such runs, one after the other in the same process: figures each.
    pub(crate) windows: usize,
    /// Between two starts of a checkpoint.
    pub(crate) interval_millis: u64,
    /// Whether a store that can be told which keys will be asked for is told.
    pub(crate) tells: bool,
}

impl Plan {
    fn of(name: Name, settings: &Settings) -> Self {
        let known = if settings.large { Settings::LARGE_KEYS } else { settings.keys }.into();
        match settings.quick {
            true => Self { events: 1_000_000, known, millis: 400, windows: 1, interval_millis: 150, tells: true },
            false => {
                let mut plan =
                    Self { events: 10_000_000, known, millis: 3_000, windows: 1, interval_millis: 1_000, tells: true };
                if plan.turns(name, settings) == 1 {
                    plan.windows = settings.rounds;
                }
                plan
            }
        }
    }
}

/// What a run of an operator tells.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Name behind the query's, unit and value.
    pub(crate) figures: Vec<(String, String, f64)>,
    /// The hash of all results up to an offset, at every so many events.
    pub(crate) hashes: Vec<(u64, u64)>,
}

/// Runs all operators over all stores, and writes their rows down.
pub(crate) fn run(settings: &Settings) -> Outcome {
    let output = Output::create("peers-nexmark", settings);
    for name in Name::ALL.into_iter().filter(|name| settings.wants(&title(*name))) {
        let plan = Plan::of(name, settings);
        let scratch = directory::scratch();
        let events = scratch.path().join("events");
        name.write_events(&events, plan)?;
        let hashes = RefCell::new(BTreeMap::new());
        let mut rounds = Rounds::new(title(name), settings);
        // The map comes first: it goes through all events, and what it finds the others must find.
        let reference = std::iter::once((Store::Btreemap, 1, plan));
        let durable = Store::ALL.iter().copied().filter(|store| store.is_durable());
        let turns = plan.turns(name, settings);
        let untold = name.tells().then_some((Store::Laminar, turns, Plan { tells: false, ..plan }));
        let contenders = reference.chain(durable.map(|store| (store, turns, plan))).chain(untold);
        for (store, turns, plan) in contenders {
            let (events, hashes, scratch) = (&events, &hashes, scratch.path());
            rounds.add_for(turns, store.name(), move || {
                let dir = tempfile::tempdir_in(scratch).expect("a directory can be made");
                let run = Run { name, store, dir: dir.path(), events, plan };
                let figures = run.measure(&mut hashes.borrow_mut()).unwrap_or_else(|error| panic!("{error}"));
                if plan.tells {
                    return figures;
                }
                let speed = figures.into_iter().filter(|figure| figure.bench == title(name));
                speed.map(|speed| Figure { bench: speed.bench + names::NEXMARK_UNTOLD, ..speed }).collect()
            });
        }
        output.rows(rounds.run(), plan.keys(name));
    }
    Ok(())
}

fn title(name: Name) -> String {
    format!("nexmark/{}", name.text())
}

impl Plan {
    /// Runs over each store. Before the deduplication can run, millions of keys are put, which takes longer than all runs of the
    /// others: once, and the one run is looked at several times.
    fn turns(self, name: Name, settings: &Settings) -> usize {
        if name == Name::Dedup && self.known >= Settings::LARGE_KEYS.into() { 1 } else { settings.rounds }
    }

    /// What is said to be the size of the state.
    fn keys(self, name: Name) -> u32 {
        if name == Name::Dedup { u32::try_from(self.known).unwrap_or(u32::MAX) } else { 0 }
    }
}

/// One operator over one store.
struct Run<'a> {
    name: Name,
    store: Store,
    dir: &'a Path,
    events: &'a Path,
    plan: Plan,
}

impl Run<'_> {
    fn arguments(&self) -> Outcome<[String; 5]> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let plan = serde_json::to_string(&self.plan)?;
        Ok([self.name.text().into(), self.store.name().into(), text(self.dir), text(self.events), plan])
    }

    /// Runs, kills, recovers; compares the results with those of the stores before.
    fn measure(&self, hashes: &mut BTreeMap<u64, u64>) -> Outcome<Vec<Figure>> {
        let arguments = self.arguments()?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // It is in the middle of further events when it dies.
        let line = part::kill_after_a_line(child::start("nexmark", &arguments))?;
        let told: Told =
            serde_json::from_str(&line).map_err(|error| format!("{arguments:?} told {line:?}: {error}"))?;
        self.compare(&told.hashes, hashes)?;
        let mut figures = told.figures;
        if self.store.is_durable() {
            let recovered: Told = child::run("nexmark-recover", &arguments);
            self.compare(&recovered.hashes, hashes)?;
            figures.extend(recovered.figures);
        }
        let title = title(self.name);
        Ok(figures.into_iter().map(|(name, unit, value)| (format!("{title}{name}"), unit, value).into()).collect())
    }

    /// Holds results against those that are known, and keeps the ones that nobody has come to yet.
    fn compare(&self, told: &[(u64, u64)], hashes: &mut BTreeMap<u64, u64>) -> Outcome {
        for (offset, hash) in told {
            let known = *hashes.entry(*offset).or_insert(*hash);
            if known != *hash {
                let (query, store) = (self.name.text(), self.store.name());
                return Err(format!("{query} over {store} has other results after {offset} events").into());
            }
        }
        Ok(())
    }
}

/// The part of a child: runs the operator, tells, and goes on until it is killed; or recovers it.
pub(crate) fn part(arguments: &[String], recovers: bool) -> Outcome {
    let [name, store, dir, events, plan] = arguments else { return Err("a part with other arguments".into()) };
    let (name, store) = (Name::find(name)?, Store::find(store)?);
    let job = operator::Job { name, dir: Path::new(dir), events: Path::new(events), plan: serde_json::from_str(plan)? };
    if recovers { store.run(operator::Recover(job)) } else { store.run(operator::Run(job)) }
}
