//! The parts of a run that have a process of their own: one store, one directory, and what it tells its parent.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;

use laminar_benches::{Figure, Settings};
use serde::{Deserialize, Serialize};

use crate::backend::{Outcome, Store};

pub(crate) mod checkpoint;
pub(crate) mod commits;
pub(crate) mod memory;
pub(crate) mod opened;

/// What a part measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Name, unit and value of each figure.
    pub(crate) figures: Vec<(String, String, f64)>,
    /// Seconds and nanoseconds of the longest put in each slot of time, where that was asked for.
    pub(crate) points: Vec<(f64, f64)>,
    /// From when to when a checkpoint ran, in seconds.
    pub(crate) marks: Vec<(f64, f64)>,
}

impl Told {
    /// Adds a figure.
    pub(crate) fn figure(&mut self, name: &str, unit: &str, value: f64) {
        self.figures.push((name.to_owned(), unit.to_owned(), value));
    }

    /// Adds figures.
    pub(crate) fn add(&mut self, figures: impl IntoIterator<Item = Figure>) {
        self.figures.extend(figures.into_iter().map(|figure| (figure.bench, figure.unit, figure.value)));
    }

    /// The figures, as rounds take them.
    pub(crate) fn into_figures(self) -> Vec<Figure> {
        self.figures.into_iter().map(Into::into).collect()
    }
}

/// What all parts are told: which store, where, and of what size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    /// The directory of the store and of what is kept beside it; parts that follow one another find it as the last one left it.
    pub(crate) dir: &'a Path,
    /// Keys of the store.
    pub(crate) keys: u32,
}

impl Task<'_> {
    /// Operations of a part that does not go through all keys: as many as there are keys, at most a million.
    pub(crate) fn operations(&self) -> usize {
        (self.keys as usize).min(1_000_000)
    }

    /// How often reads are repeated on one load, each time for a figure of its own: where loading takes minutes, it is done once.
    pub(crate) fn passes(&self) -> u64 {
        if self.keys < Settings::LARGE_KEYS { 1 } else { 3 }
    }

    /// Where the store stands.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }
}

/// Waits for what a child tells, and kills it: SIGKILL, in the midst of what it does.
pub(crate) fn kill_after_a_line(mut process: Child) -> Outcome<String> {
    let mut line = String::new();
    let read = process.stdout.take().map(|output| BufReader::new(output).read_line(&mut line));
    process.kill()?;
    process.wait()?;
    read.transpose()?;
    Ok(line)
}

/// Does the part `name` for a store.
pub(crate) fn run(name: &str, store: Store, task: Task<'_>) -> Outcome<Told> {
    match name {
        "operations" => store.run(memory::Operations(task)),
        "scans" => store.run(memory::Scans(task)),
        "quarter" => store.run(memory::Quarter(task)),
        "commits" => store.run(commits::Commits(task)),
        "checkpoints" => store.run(checkpoint::Checkpoints(task)),
        "tail" => store.run(opened::Tail(task)),
        "opened" => store.run(opened::Opened(task)),
        "recovered" => store.run(opened::Recovered(task)),
        "opened-groups" => store.run(opened::OpenedGroups(task)),
        _ => Err(format!("no part is called {name}").into()),
    }
}
