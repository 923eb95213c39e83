//! The report as Markdown.

use std::fmt::Write as _;

use laminar_benches::{Row, quantity};

use crate::document::{BUDGET_COLUMNS, Document, Grid, Line};

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

/// What stands in the README before and after the words on the report.
const MARKS: (&str, &str) = ("<!-- report -->\n", "<!-- /report -->\n");

/// The README with the words on this report between its marks; nothing if it has no marks.
pub(crate) fn with_summary(readme: &str, document: &Document) -> Option<String> {
    let (before, rest) = readme.split_once(MARKS.0)?;
    let (_, after) = rest.split_once(MARKS.1)?;
    let mut text = String::new();
    let fact =
        |name: &str| document.machine.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    line(
        &mut text,
        &format!(
            "Measured {} on {}, {}: {} of the budgets. All figures: [benches/REPORT.md](benches/REPORT.md), with plots \
             [benches/report.html](benches/report.html).",
            fact("date").unwrap_or_default(),
            fact("processor").unwrap_or_default(),
            fact("system").unwrap_or_default(),
            document.summary()
        ),
    );
    let missed: Vec<String> = document.lines.iter().filter_map(Line::missed).collect();
    if !missed.is_empty() {
        line(&mut text, "\nMissed:\n");
        missed.iter().for_each(|missed| line(&mut text, &format!("- {missed}")));
    }
    Some([before, MARKS.0, &text, MARKS.1, after].concat())
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

#[cfg(test)]
mod tests {
    use laminar_benches::Figures;

    use super::*;

    #[test]
    fn the_readme_keeps_what_is_not_of_the_report() {
        let mut figures = Figures::default();
        figures.rows.insert("recovery", Row::of_one("open/empty-tail", "laminar", 1_000_000, "ns", 3e6));
        let document = Document::new(figures);
        let readme = "# A\n<!-- report -->\nold\n<!-- /report -->\nlast\n";
        let new = with_summary(readme, &document).unwrap();
        assert!(
            new.starts_with("# A\n<!-- report -->\nMeasured 2") && new.ends_with("<!-- /report -->\nlast\n"),
            "{new}"
        );
        assert!(new.contains("- open to first get, empty tail at 1 M keys: 3 ms, the budget is <= 2 ms"), "{new}");
        assert_eq!(with_summary(&new, &document).unwrap(), new);
        assert_eq!(with_summary("# A\n", &document), None);
    }
}
