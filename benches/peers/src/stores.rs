//! The macro benches of stores: every part in a process and a directory of its own, the stores in turns.

use std::cell::RefCell;
use std::path::Path;

use laminar_benches::{Figure, Output, Rounds, Series, Settings, child, directory, names};

use crate::backend::{Outcome, Store};
use crate::part::commits::KEYS as COMMITS_KEYS;
use crate::part::{self, Told};

/// Runs all parts at all sizes, and writes their rows down.
pub(crate) fn run(settings: &Settings) -> Outcome {
    let output = Output::create("peers-stores", settings);
    let of_size = |keys| Turns { settings: settings.at(keys), output: &output, keys };
    for keys in settings.sizes() {
        of_size(keys).all();
        if keys == settings.keys {
            // What is said of these does not depend on the size.
            let fits = |store| matches!(store, Store::Laminar | Store::Lmdb);
            of_size(keys).one("quarter", fits);
            of_size(keys.min(COMMITS_KEYS)).one("commits", Store::is_durable);
        }
    }
    Ok(())
}

/// Parts in which the stores take turns.
struct Turns<'a> {
    settings: Settings,
    output: &'a Output,
    keys: u32,
}

impl Turns<'_> {
    /// Everything that is measured at every size.
    fn all(&self) {
        let (keys, is_large) = (self.keys, self.keys >= Settings::LARGE_KEYS);
        if ["operations", "opened", "checkpoints"].iter().any(|part| self.settings.wants(part)) {
            let last = RefCell::new(Vec::new());
            // At the larger size the maps stand beside us in our own benches.
            let fits = |store: Store| store.is_durable() || !is_large;
            self.run("operations, opened, checkpoints", fits, |store, dir| {
                life(store, dir, keys, &mut last.borrow_mut())
            });
            // A later plot replaces an earlier one when it is read: the last round is shown.
            last.take().into_iter().for_each(|series| self.output.series(series));
        }
        if self.settings.wants("scans") {
            // At the larger size the one that ours is held against.
            let fits = |store: Store| match is_large {
                true => matches!(store, Store::Laminar | Store::Lmdb),
                false => store.is_ordered(),
            };
            self.run("scans", fits, |store, dir| scans(store, dir, keys));
        }
    }

    /// A part that needs nothing but itself.
    fn one(&self, part: &str, fits: impl Fn(Store) -> bool) {
        if self.settings.wants(part) {
            self.run(part, fits, |store, dir| figures(part, store, dir, self.keys));
        }
    }

    fn run(&self, part: &str, fits: impl Fn(Store) -> bool, turn: impl Fn(Store, &Path) -> Vec<Figure>) {
        let mut rounds = Rounds::new(format!("{part}, {} keys", self.keys), &self.settings);
        // Loading ten million keys takes some of the others minutes, where we take seconds: once, and reads are repeated on it.
        let of_others = if self.keys < Settings::LARGE_KEYS { self.settings.rounds } else { 1 };
        for store in Store::ALL.iter().copied().filter(|store| fits(*store)) {
            let turn = &turn;
            let count = if store == Store::Laminar { self.settings.rounds } else { of_others };
            rounds.add_for(count, store.name(), move || turn(store, directory::scratch().path()));
        }
        self.output.rows(rounds.run(), self.keys);
    }
}

fn tell(part: &str, store: Store, dir: &Path, keys: u32) -> Told {
    child::run(part, &[store.name(), &dir.to_string_lossy(), &keys.to_string()])
}

fn figures(part: &str, store: Store, dir: &Path, keys: u32) -> Vec<Figure> {
    tell(part, store, dir, keys).into_figures()
}

/// The life of one store, each chapter in a process of its own: loaded, asked, closed; opened, asked, closed; killed with a tail in
/// its log; recovered; checkpoints beside a writer.
fn life(store: Store, dir: &Path, keys: u32, plots: &mut Vec<Series>) -> Vec<Figure> {
    let mut all = figures("operations", store, dir, keys);
    if store.is_durable() {
        all.extend(figures("opened", store, dir, keys));
        kill_with_a_tail(store, dir, keys);
        all.extend(figures("recovered", store, dir, keys));
        let mut told = tell("checkpoints", store, dir, keys);
        plots.push(plot(store, keys, &mut told));
        all.extend(told.into_figures());
    }
    all
}

/// Scans of a store that was loaded, and of the same opened anew.
fn scans(store: Store, dir: &Path, keys: u32) -> Vec<Figure> {
    let mut all = figures("scans", store, dir, keys);
    if store.is_durable() {
        all.extend(figures("opened-groups", store, dir, keys));
    }
    all
}

/// Kills a process that has put records behind all files of a store.
fn kill_with_a_tail(store: Store, dir: &Path, keys: u32) {
    let process = child::start("tail", &[store.name(), &dir.to_string_lossy(), &keys.to_string()]);
    let line = part::kill_after_a_line(process).expect("a child can be killed");
    assert!(!line.is_empty(), "the process over {} died before its time", store.name());
}

fn plot(store: Store, keys: u32, told: &mut Told) -> Series {
    Series {
        plot: names::PLOT_WRITER_PEERS.to_owned(),
        store: store.name().to_owned(),
        keys: keys.into(),
        x: "seconds".to_owned(),
        y: "ns, longest put in 10 ms".to_owned(),
        points: std::mem::take(&mut told.points),
        marks: std::mem::take(&mut told.marks),
    }
}
