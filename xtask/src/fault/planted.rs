//! `cargo xtask fault --planted`: bugs are planted one after the other, and the ordinary runs must notice each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use laminar_sim::{Caught, PLANTED, Planted};

use crate::Outcome;
use crate::steps::seconds;

/// A bug that nothing has noticed for so long goes for one that nothing notices.
const LONGEST_HUNT: Duration = Duration::from_secs(300);

/// What became of one bug.
struct Hunted {
    bug: &'static Planted,
    caught: Option<Caught>,
    time: Duration,
}

/// Hunts all bugs and prints the table.
///
/// # Errors
/// If one was not caught, naming all that were not.
pub(super) fn run() -> Outcome {
    let style = ProgressStyle::with_template("{msg}\n{bar:40} {pos}/{len}, {elapsed}, {eta} to go")?;
    let bar = ProgressBar::new(PLANTED.len() as u64).with_style(style).with_message("planted bugs");
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    // A bug may well end in a panic, and that is one way to notice it.
    std::panic::set_hook(Box::new(|_| {}));
    let work = || {
        while let Some(bug) = PLANTED.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            let caught = laminar_sim::hunt(bug, bug.hunt, &|| start.elapsed() > LONGEST_HUNT);
            let hunted = Hunted { bug, caught, time: start.elapsed() };
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(hunted);
            bar.inc(1);
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(work)));
    });
    drop(std::panic::take_hook());
    let time = bar.elapsed();
    bar.finish_and_clear();
    let mut hunted = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    hunted.sort_by_key(|hunted| (hunted.bug.owner, hunted.bug.name));
    println!("{}", table(&hunted));
    let escaped: Vec<&str> =
        hunted.iter().filter(|hunted| hunted.caught.is_none()).map(|hunted| hunted.bug.name).collect();
    println!("caught {} of {} planted bugs in {}", hunted.len() - escaped.len(), hunted.len(), seconds(time));
    match escaped.len() {
        0 => Ok(()),
        count => Err(format!("{count} planted bugs were not noticed: {}", escaped.join(", ")).into()),
    }
}

fn table(hunted: &[Hunted]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["bug", "crate", "breaks", "caught by", "runs", "time", "replay"]);
    for Hunted { bug, caught, time } in hunted {
        let (runs, replay) = match caught {
            Some(caught) => (caught.runs.to_string(), caught.replay.as_str()),
            None => ("all".to_owned(), "NOT CAUGHT"),
        };
        table.add_row([bug.name, bug.owner, bug.promise, &bug.hunt.to_string(), &runs, &seconds(*time), replay]);
    }
    for column in [4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
