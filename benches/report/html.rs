//! The report as one HTML file that needs nothing else.

use laminar_benches::{Row, quantity};

use crate::document::{BUDGET_COLUMNS, Document, Grid};
use crate::markdown::{cell, note};
use crate::svg;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --good: #2a7d46; --bad: #c0392b; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; font-size: 0.9em; }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: bold; } .unknown { opacity: 0.6; }
svg { max-width: 100%; height: auto; } svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; } figcaption { font-weight: bold; }
";

/// The whole report.
pub(crate) fn render(document: &Document) -> String {
    let mut parts = vec![
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">".to_owned(),
        "<meta name=\"viewport\" content=\"width=device-width\"><title>What laminar costs</title>".to_owned(),
        format!("<style>{STYLE}</style></head><body><h1>What laminar costs</h1>"),
        "<p>Made by <code>cargo xtask bench</code>; every ratio is within one run, contenders in turns, medians of the \
         rounds.</p>"
            .to_owned(),
        machine(document),
        format!("<h2>Budgets</h2><p>{}.</p>", escaped(&document.summary())),
        budgets(document),
        "<h2>Plots</h2><div class=\"plots\">".to_owned(),
    ];
    parts.extend(document.plots.iter().map(|plot| figure(&plot.title, &svg::lines(&plot.series))));
    parts.push("</div>".to_owned());
    parts.extend(document.grids.iter().map(figures));
    parts.push("</body></html>\n".to_owned());
    parts.join("\n")
}

fn machine(document: &Document) -> String {
    let mut rows: Vec<String> = document
        .machine
        .facts
        .iter()
        .map(|(name, value)| format!("<tr><th>{name}</th><td>{}</td></tr>", escaped(value)))
        .collect();
    rows.push(format!("<tr><th>runs</th><td>{}</td></tr>", escaped(&document.settings.join("; "))));
    format!("<table>{}</table>", rows.join(""))
}

fn budgets(document: &Document) -> String {
    let mut rows = vec![heads(BUDGET_COLUMNS.iter().map(|head| (*head).to_owned()))];
    for line in &document.lines {
        let class = match line.verdict() {
            "met" => "good",
            "MISSED" => "bad",
            _ => "unknown",
        };
        let cells = line.cells().into_iter().enumerate().map(|(column, text)| {
            let class = if column == 6 {
                class
            } else if column >= 2 {
                "number"
            } else {
                ""
            };
            format!("<td class=\"{class}\">{}</td>", escaped(&text))
        });
        rows.push(format!("<tr>{}</tr>", cells.collect::<String>()));
    }
    format!("<table>{}</table>", rows.join("\n"))
}

fn figures(grid: &Grid) -> String {
    let mut names = vec!["bench".to_owned()];
    names.extend(grid.stores.iter().cloned());
    names.push("against the best other".to_owned());
    let mut rows = vec![heads(names.into_iter())];
    let (mut notes, mut bars) = (Vec::new(), Vec::new());
    for of_bench in &grid.benches {
        let mut cells = format!("<td>{}</td>", escaped(&of_bench.bench));
        for known in &of_bench.rows {
            cells += &format!("<td class=\"number\">{}</td>", escaped(&known.as_ref().map(cell).unwrap_or_default()));
            notes.extend(
                known.iter().filter(|row| !row.note.is_empty()).map(|row| format!("<li>{}</li>", escaped(&note(row)))),
            );
        }
        cells += &match of_bench.ratio() {
            Some((ratio, true)) => format!("<td class=\"good\">{ratio:.2} x</td>"),
            Some((ratio, false)) => format!("<td class=\"bad\">{ratio:.2} x, a loss</td>"),
            None => "<td></td>".to_owned(),
        };
        rows.push(format!("<tr>{cells}</tr>"));
        let known: Vec<&Row> = of_bench.rows.iter().flatten().collect();
        if let Some(first) = known.first().filter(|row| known.len() > 1 && row.unit.ends_with("/s")) {
            let values: Vec<(String, f64, String)> = known
                .iter()
                .map(|row| (row.store.clone(), row.median, quantity::with_unit(row.median, &first.unit)))
                .collect();
            bars.push(figure(&of_bench.bench, &svg::bars(&values)));
        }
    }
    let (table, notes) = (rows.join("\n"), notes.join(""));
    let title = escaped(&grid.title);
    format!("<h2>{title}</h2><table>{table}</table><ul>{notes}</ul><div class=\"plots\">{}</div>", bars.join(""))
}

fn figure(title: &str, drawing: &str) -> String {
    format!("<figure><figcaption>{}</figcaption>{drawing}</figure>", escaped(title))
}

fn heads(names: impl Iterator<Item = String>) -> String {
    format!("<tr>{}</tr>", names.map(|name| format!("<th>{}</th>", escaped(&name))).collect::<String>())
}

/// Text with the characters replaced that mean something in HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn signs_are_no_tags() {
        assert_eq!(escaped("a <= \"b\" & c"), "a &lt;= &quot;b&quot; &amp; c");
    }
}
