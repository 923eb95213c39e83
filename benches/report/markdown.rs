//! The report as Markdown.

use std::fmt::Write as _;

use laminar_benches::names::{
    CHECKPOINT_CHANGED, DELETE, GET_HIT, GET_HIT_OPENED, GET_MISS, GET_MISS_OPENED, OPEN_TAIL, PUT, PUT_SCANNED, SCAN,
    SCAN_OPENED, ZIPF,
};
use laminar_benches::{Row, quantity};

use crate::document::{BUDGET_COLUMNS, Document, SHORTFALL_COLUMNS};
use crate::grid::{Grid, GridRow};

/// The whole report.
pub(crate) fn render(document: &Document) -> String {
    let mut text = String::from("# What laminar costs\n\n");
    text.push_str(
        "Made by `cargo xtask bench`: medians of the rounds of one run in which all contenders took turns. A ratio in the tables of\n\
         budgets is the median of the ratios of the rounds, with the lowest and the highest, and says whether the budget is met. A\n\
         longest latency is the median of the longest of each round. With plots: [report.html](report.html). Settings of every contender: [peers/README.md](peers/README.md); our store has its\n\
         defaults, but `value_alignment(8)`.\n\n",
    );
    for (name, value) in &document.machine.facts {
        line(&mut text, &format!("- {name}: {value}"));
    }
    line(&mut text, "- runs:");
    for run in &document.settings {
        line(&mut text, &format!("  - {run}"));
    }
    line(&mut text, &format!("\n## Budgets\n\n{}.", document.summary()));
    let mut section = "";
    for budget in &document.lines {
        if budget.section != section {
            section = budget.section;
            line(&mut text, &format!("\n### {section}\n"));
            table(&mut text, &BUDGET_COLUMNS.map(str::to_owned));
        }
        row(&mut text, &budget.cells());
    }
    if document.missed().next().is_some() {
        line(&mut text, "\n### Why budgets are missed");
        for (budget, reason) in document.reasons() {
            line(&mut text, &format!("\n**{budget}.** {reason}"));
        }
    }
    for grid in &document.grids {
        figures(&mut text, grid);
    }
    text
}

/// The missed budgets; nothing if there is none.
fn missed(text: &mut String, document: &Document) {
    if document.missed().next().is_some() {
        text.push('\n');
        table(text, &SHORTFALL_COLUMNS.map(str::to_owned));
        document.missed().for_each(|missed| row(text, &missed.shortfall()));
    }
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
            "Measured {} on {}, {}: {}. All figures, and why budgets are missed: \
             [benches/REPORT.md](benches/REPORT.md), with plots [benches/report.html](benches/report.html).",
            fact("date").unwrap_or_default(),
            fact("processor").unwrap_or_default(),
            fact("system").unwrap_or_default(),
            document.summary()
        ),
    );
    missed(&mut text, document);
    let has_loads = |grid: &&Grid| grid.program == HEADLINES.0 && grid.benches.iter().any(|row| row.bench == PUT);
    if let Some(grid) = document.grids.iter().find(has_loads) {
        line(&mut text, &format!("\n{}, 16-byte keys and 100-byte values, one thread; speed a second:\n", grid.title));
        columns(&mut text, grid);
        let of_headline = |bench: &&str| grid.benches.iter().find(|row| row.bench == **bench);
        HEADLINES.1.iter().filter_map(of_headline).for_each(|bench| grid_row(&mut text, bench, value));
    }
    Some([before, MARKS.0, &text, MARKS.1, after].concat())
}

/// What the README shows of which program.
const HEADLINES: (&str, [&str; 12]) = (
    "peers-stores",
    [
        PUT,
        PUT_SCANNED,
        GET_HIT,
        GET_MISS,
        ZIPF,
        DELETE,
        SCAN,
        GET_HIT_OPENED,
        GET_MISS_OPENED,
        SCAN_OPENED,
        CHECKPOINT_CHANGED,
        OPEN_TAIL,
    ],
);

fn figures(text: &mut String, grid: &Grid) {
    line(text, &format!("\n## {}\n", grid.title));
    if !grid.remark.is_empty() {
        line(text, &format!("{}\n", grid.remark));
    }
    columns(text, grid);
    for bench in &grid.benches {
        grid_row(text, bench, |row| match range(row) {
            Some(range) => format!("{} ({range})", value(row)),
            None => value(row),
        });
    }
    let mut noted =
        grid.benches.iter().flat_map(|bench| bench.rows.iter().flatten()).filter(|row| !row.note.is_empty()).peekable();
    if noted.peek().is_some() {
        text.push('\n');
        noted.for_each(|row| line(text, &format!("- {}", note(row))));
    }
}

fn columns(text: &mut String, grid: &Grid) {
    let mut heads = vec![String::new()];
    heads.extend(grid.stores.iter().cloned());
    heads.push("we stand at".to_owned());
    table(text, &heads);
}

fn grid_row(text: &mut String, bench: &GridRow, of_row: impl Fn(&Row) -> String) {
    let mut cells = vec![bench.bench.clone()];
    cells.extend(bench.rows.iter().map(|known| known.as_ref().map(&of_row).unwrap_or_default()));
    cells.push(match bench.standing() {
        Some(standing) if !standing.is_of_peers => format!("{} x the best other", quantity::ratio(standing.ratio)),
        Some(standing) if standing.ratio >= 1.0 => format!("{} x the best peer", quantity::ratio(standing.ratio)),
        Some(standing) => format!("**{} x the best peer: behind**", quantity::ratio(standing.ratio)),
        None => String::new(),
    });
    row(text, &cells);
}

/// The median.
pub(crate) fn value(row: &Row) -> String {
    quantity::with_unit(row.median(), &row.unit)
}

/// The lowest and the highest of the rounds, where there are several.
pub(crate) fn range(row: &Row) -> Option<String> {
    // In the unit of each; that of a speed is said by the median.
    let unit = if row.unit.contains('/') { "" } else { &row.unit };
    let of = |value: f64| quantity::with_unit(value, unit);
    let (low, high) = row.range();
    (low != high).then(|| format!("{} to {}", of(low), of(high)))
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
    use crate::document::tests::figures_of_two_sizes;

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
        assert!(new.contains("| open to first get, empty tail | 1 M | 3 ms | <= 2 ms | 1.5 |"), "{new}");
        assert_eq!(with_summary(&new, &document).unwrap(), new);
        assert_eq!(with_summary("# A\n", &document), None);
    }

    #[test]
    fn a_reason_is_told_once() {
        let text = render(&Document::new(figures_of_two_sizes()));
        assert_eq!(text.matches("\n**get, hit, in memory, against LMDB.** ").count(), 1, "{text}");
    }
}
