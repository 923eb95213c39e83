//! The macro benches of stores: every part in a process and a directory of its own, the stores in turns.

use std::path::Path;

use laminar_benches::{Figure, Output, Rounds, Series, Settings, child, directory, names};

use crate::backend::{Outcome, Store};
use crate::part::{self, Told};

/// Which stores a part is for.
type Fits = fn(Store) -> bool;

/// Parts that need nothing but themselves.
const PARTS: [(&str, Fits); 4] = [
    ("operations", |_| true),
    ("scans", Store::is_ordered),
    ("quarter", |store| matches!(store, Store::Laminar | Store::Lmdb)),
    ("commits", Store::is_durable),
];

/// Runs all parts at all sizes, and writes their rows down.
pub(crate) fn run(settings: &Settings) -> Outcome {
    let output = Output::create("peers-stores", settings);
    for keys in settings.sizes() {
        for (part, fits) in PARTS {
            in_turns(settings, &output, part, keys, fits, |store, dir| figures(part, store, dir, keys));
        }
        in_turns(settings, &output, "opened", keys, Store::is_durable, |store, dir| opened(store, dir, keys));
        let last = std::cell::RefCell::new(Vec::new());
        in_turns(settings, &output, "checkpoints", keys, Store::is_durable, |store, dir| {
            let mut told = tell("checkpoints", store, dir, keys);
            last.borrow_mut().push(plot(store, keys, &mut told));
            told.into_figures()
        });
        // A later plot replaces an earlier one when it is read: the last round is shown.
        last.take().into_iter().for_each(|series| output.series(series));
    }
    Ok(())
}

fn in_turns(
    settings: &Settings,
    output: &Output,
    part: &str,
    keys: u32,
    fits: Fits,
    turn: impl Fn(Store, &Path) -> Vec<Figure>,
) {
    if !settings.wants(part) {
        return;
    }
    let mut rounds = Rounds::new(part, settings);
    for store in Store::ALL.iter().copied().filter(|store| fits(*store)) {
        let turn = &turn;
        rounds.add(store.name(), move || turn(store, directory::scratch().path()));
    }
    output.rows(rounds.run(), keys);
}

fn tell(part: &str, store: Store, dir: &Path, keys: u32) -> Told {
    child::run(part, &[store.name(), &dir.to_string_lossy(), &keys.to_string()])
}

fn figures(part: &str, store: Store, dir: &Path, keys: u32) -> Vec<Figure> {
    tell(part, store, dir, keys).into_figures()
}

/// Fills a store in one process; opens it in others, once after a close and once after a death by signal.
fn opened(store: Store, dir: &Path, keys: u32) -> Vec<Figure> {
    let (random, groups) = (dir.join("random"), dir.join("groups"));
    drop(tell("fill", store, &random, keys));
    let mut all = figures("opened", store, &random, keys);
    kill_with_a_tail(store, &random, keys);
    all.extend(figures("recovered", store, &random, keys));
    drop(tell("fill-groups", store, &groups, keys));
    all.extend(figures("opened-groups", store, &groups, keys));
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
        plot: names::PLOT_WRITER.to_owned(),
        store: store.name().to_owned(),
        keys: keys.into(),
        x: "s".to_owned(),
        y: "ns".to_owned(),
        points: std::mem::take(&mut told.points),
        marks: std::mem::take(&mut told.marks),
    }
}
