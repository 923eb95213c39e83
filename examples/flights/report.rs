//! What a person gets to see: the kills, what the state says about 2013, and the verdict.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount};
use laminar_storage::{CheckpointView, StoreOptions, WalStateStore};
use rkyv::Archived;

use crate::Result;
use crate::driver::Kill;
use crate::job::SOURCE;
use crate::operators::{Carriers, Operator, Punctuality, Routes, read};
use crate::oracle::Comparison;
use crate::windows::{BUSIEST, Busiest};

/// Routes flown less often say little.
const LEAST_FLOWN: u64 = 365;

/// Differences that are printed; the rest is counted.
const MOST_DIFFERENCES: usize = 20;

/// One line per kill.
pub(crate) fn kills(kills: &[Kill]) {
    let header =
        ["kill", "acknowledged", "checkpoint running", "reopened at", "from checkpoint", "replayed", "bytes cut"];
    let mut table = table(&header);
    for (number, kill) in kills.iter().enumerate() {
        let recovery = kill.recovery;
        table.add_row([
            (number + 1).to_string(),
            format!("row {}", HumanCount(kill.acknowledged)),
            if kill.left_unfinished { "left unfinished".into() } else { "no".into() },
            format!("row {}", HumanCount(recovery.row)),
            if recovery.checkpoint == 0 { "none yet".into() } else { recovery.checkpoint.to_string() },
            format!("{} changes", HumanCount(recovery.records_replayed)),
            HumanCount(recovery.bytes_cut).to_string(),
        ]);
    }
    println!("\nThe job was killed, and began again:\n{table}");
}

/// The ten busiest carriers, the ten worst routes, and what is left of the days, read from the store in place.
pub(crate) fn findings(store: &WalStateStore) -> Result<()> {
    let mut carriers = entries::<Carriers>(store)?;
    carriers.sort_by_key(|(_, state)| std::cmp::Reverse(state.departures.to_native()));
    println!("\nThe ten busiest carriers:\n{}", punctuality("carrier", &carriers));

    let mut routes = entries::<Routes>(store)?;
    routes.retain(|(_, state)| state.flown >= LEAST_FLOWN);
    routes.sort_by(|(_, a), (_, b)| mean(b).total_cmp(&mean(a)));
    println!("\nThe worst routes, of those flown once a day or more:\n{}", punctuality("route", &routes));
    println!("\nWhere most flights of a day went:\n{}", busiest(store)?);
    Ok(())
}

/// For each destination that was the busiest of a day, on how many, and the most departures.
fn busiest(store: &WalStateStore) -> Result<Table> {
    let days = store.operator_view(BUSIEST).ok_or_else(|| format!("no operator {BUSIEST}"))?;
    let mut by_dest: BTreeMap<[u8; 3], (usize, u64)> = BTreeMap::new();
    for entry in days.prefix_scan(b"") {
        let busiest = read::<Busiest>(entry?.1)?;
        let (days, most) = by_dest.entry(busiest.dest).or_default();
        *days += 1;
        *most = busiest.departures.to_native().max(*most);
    }
    let mut by_days: Vec<_> = by_dest.into_iter().collect();
    by_days.sort_by_key(|&(_, (days, _))| std::cmp::Reverse(days));
    let mut table = table(&["destination", "days", "most departures on one"]);
    for (dest, (days, most)) in by_days {
        table.add_row([String::from_utf8_lossy(&dest).into_owned(), days.to_string(), most.to_string()]);
    }
    Ok(table)
}

/// What the store says of itself, as a job would hand it to whoever watches it.
pub(crate) fn stats(store: &WalStateStore) {
    let stats = store.stats();
    println!(
        "\nThe store, opened again: {} entries in {} runs ({}), {} changes in memory ({}), {} of log to replay",
        HumanCount(stats.run_entries),
        stats.runs,
        HumanBytes(stats.run_bytes),
        HumanCount(stats.table_entries),
        HumanBytes(stats.table_resident_bytes),
        HumanBytes(stats.log_bytes_behind),
    );
}

/// Each retained checkpoint, read as a reader in another process would, beside the owner: its carriers must stand for just the rows
/// that its own source offset says. Returns whether all of them do.
pub(crate) fn look_back(dir: &Path) -> Result<bool> {
    let mut table = table(&["checkpoint", "source offset", "rows in its state"]);
    let mut consistent = true;
    for path in CheckpointView::list(dir, StoreOptions::new())? {
        let view = CheckpointView::open(path, StoreOptions::new())?;
        let offset = view.checkpoint().source_offsets().get(SOURCE).copied().unwrap_or(0);
        let mut rows = 0;
        if let Some(carriers) = view.operator(Carriers::NAME) {
            for entry in carriers.prefix_scan(b"") {
                rows += read::<Punctuality>(entry?.1)?.departures.to_native();
            }
        }
        consistent &= rows == offset;
        table.add_row([
            view.checkpoint().id().to_string(),
            HumanCount(offset).to_string(),
            HumanCount(rows).to_string(),
        ]);
    }
    println!("\nLooking back, into each checkpoint that is retained:\n{table}");
    Ok(consistent)
}

type Entry<'a> = (String, &'a Archived<Punctuality>);

fn entries<O: Operator<State = Punctuality>>(store: &WalStateStore) -> Result<Vec<Entry<'_>>> {
    let view = store.operator_view(O::NAME).ok_or_else(|| format!("no operator {}", O::NAME))?;
    let entry = |(key, bytes)| Ok((String::from_utf8_lossy(key).into_owned(), read::<Punctuality>(bytes)?));
    view.prefix_scan(b"").map(|found| entry(found?)).collect()
}

fn punctuality(what: &str, entries: &[Entry<'_>]) -> Table {
    let mut table = table(&[what, "departures", "cancelled", "mean delay", "worst delay"]);
    for (name, state) in entries.iter().take(10) {
        let (departures, flown) = (state.departures.to_native(), state.flown.to_native());
        table.add_row([
            name.clone(),
            HumanCount(departures).to_string(),
            HumanCount(departures - flown).to_string(),
            format!("{:.1} min", mean(state)),
            format!("{} min", state.worst_delay),
        ]);
    }
    table
}

#[expect(clippy::cast_precision_loss, reason = "a mean with one decimal")]
fn mean(state: &Archived<Punctuality>) -> f64 {
    state.delay_sum.to_native() as f64 / state.flown.to_native().max(1) as f64
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What differs, and the last line. Returns whether every row counted exactly once.
pub(crate) fn verdict(rows: u64, kills: usize, comparison: &Comparison) -> bool {
    let Comparison { entries, lost, repeated, differences } = comparison;
    for difference in differences.iter().take(MOST_DIFFERENCES) {
        println!("differs: {difference}");
    }
    if let Some(more @ 1..) = differences.len().checked_sub(MOST_DIFFERENCES) {
        println!("and {more} more");
    }
    let exact = differences.is_empty();
    println!("\n{} entries of state compared, {} differ", HumanCount(*entries), differences.len());
    let verdict = if exact { "exactly once" } else { "NOT exactly once" };
    println!("{verdict}: {} rows, {kills} kills, {lost} lost, {repeated} repeated", HumanCount(rows));
    exact
}
