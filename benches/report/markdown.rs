//! The report as Markdown.

use std::fmt::Write as _;

use laminar_benches::{Row, quantity};

use crate::document::{BUDGET_COLUMNS, Document, Grid};

/// The whole report.
pub(crate) fn render(document: &Document) -> String {
    let mut text = String::from("# What laminar costs\n\n");
    text.push_str(
        "Made by `cargo xtask bench`; every ratio is within one run, contenders in turns, medians of the rounds.\n",
    );
    text.push_str("The same with plots is in [report.html](report.html).\n\n");
    for (name, value) in &document.machine.facts {
        line(&mut text, &format!("- {name}: {value}"));
    }
    line(&mut text, "- runs:");
    for run in &document.settings {
        line(&mut text, &format!("  - {run}"));
    }
    line(&mut text, &format!("\n## Budgets\n\n{}.\n", document.summary()));
    table(&mut text, &BUDGET_COLUMNS.map(str::to_owned));
    for budget in &document.lines {
        row(&mut text, &budget.cells());
    }
    for grid in &document.grids {
        figures(&mut text, grid);
    }
    text
}

fn figures(text: &mut String, grid: &Grid) {
    line(text, &format!("\n## {}\n", grid.title));
    let mut heads = vec!["bench".to_owned()];
    heads.extend(grid.stores.iter().cloned());
    heads.push("against the best other".to_owned());
    table(text, &heads);
    let mut notes = Vec::new();
    for of_bench in &grid.benches {
        let mut cells = vec![of_bench.bench.clone()];
        for known in &of_bench.rows {
            cells.push(known.as_ref().map(cell).unwrap_or_default());
            notes.extend(known.iter().filter(|row| !row.note.is_empty()).map(note));
        }
        cells.push(match of_bench.ratio() {
            Some((ratio, true)) => format!("{ratio:.2} x"),
            Some((ratio, false)) => format!("**{ratio:.2} x, a loss**"),
            None => String::new(),
        });
        row(text, &cells);
    }
    if !notes.is_empty() {
        text.push('\n');
        notes.iter().for_each(|note| line(text, &format!("- {note}")));
    }
}

/// The median, and the range of the rounds.
pub(crate) fn cell(row: &Row) -> String {
    let of = |value: f64| quantity::with_unit(value, &row.unit);
    if row.low == row.high {
        return of(row.median);
    }
    format!("{} ({} to {})", of(row.median), quantity::short(row.low), quantity::short(row.high))
}

pub(crate) fn note(row: &Row) -> String {
    format!("{}, {}: {}", row.bench, row.store, row.note)
}

fn table(text: &mut String, heads: &[String]) {
    row(text, heads);
    row(text, &heads.iter().map(|_| "---".to_owned()).collect::<Vec<_>>());
}

fn row(text: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    line(text, &format!("| {} |", cells.join(" | ")));
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes everything");
}
