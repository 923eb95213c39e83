//! The report as one HTML file that needs nothing else.

use laminar_benches::{Row, quantity};

use crate::document::{BUDGET_COLUMNS, Document, Line, is_ours};
use crate::grid::{Grid, GridRow};
use crate::markdown::{note, range, value};
use crate::plots::{Drawing, Form, Plot};
use crate::svg;

const STYLE: &str = include_str!("style.css");

/// The whole report.
pub(crate) fn render(document: &Document) -> String {
    let [met, missed, unknown] = document.whole_counts();
    let [parts_met, parts_missed, parts_unknown] = document.counts();
    let mut parts = vec![
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">".to_owned(),
        "<meta name=\"viewport\" content=\"width=device-width\"><title>What laminar costs</title>".to_owned(),
        format!("<style>{STYLE}</style></head><body><h1>What laminar costs</h1>"),
        "<p class=\"lead\">Every figure is the median of the rounds of one run in which all contenders took turns. A longest latency is the median of the longest of each round, because on a shared machine the longest \
         of all is the machine's.</p>"
            .to_owned(),
        format!(
            "<p class=\"counts\"><span class=\"good\"><b>{met}</b> budgets met</span> <span class=\"bad\"><b>{missed}</b> missed</span> \
             <span class=\"unknown\"><b>{unknown}</b> not measured</span></p><p>A budget is met where all of its parts are, at every size: \
             of the lines below {parts_met} are met, {parts_missed} missed, {parts_unknown} not measured.</p>"
        ),
        "<h2>Budgets</h2><p>What an operation may cost, held against what the machine needs for the same bytes, a map without \
         durability, or the best peer. A ratio is of the measured figure to the one it is held against: the median of the ratios of \
         the rounds, with the lowest and the highest, which what disturbs the machine for longer than a round leaves alone. It says whether \
         a budget is met.</p>"
            .to_owned(),
        budgets(document),
    ];
    parts.extend(document.plots.iter().map(plot));
    parts.push(
        "<h2>All figures</h2><p>The median, and below it the lowest and the highest of the rounds.</p>".to_owned(),
    );
    parts.extend(document.grids.iter().map(figures));
    parts.push("<h2>Machine and settings</h2>".to_owned());
    parts.push(machine(document));
    parts.push("</body></html>\n".to_owned());
    parts.join("\n")
}

fn machine(document: &Document) -> String {
    let facts = document.machine.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let runs = document.settings.iter().map(|run| ("run".to_owned(), run.clone()));
    let rows = facts.chain(runs).map(|(name, value)| format!("<tr><th>{name}</th><td>{}</td></tr>", escaped(&value)));
    format!(
        "<table>{}</table><p>Settings of every contender, and what each part does: \
         <a href=\"peers/README.md\">benches/peers/README.md</a>; our store has its defaults, but <code>value_alignment(8)</code>.</p>",
        rows.collect::<String>()
    )
}

fn budgets(document: &Document) -> String {
    let mut rows = vec![heads(BUDGET_COLUMNS.iter().map(|head| (*head).to_owned()))];
    let mut section = "";
    for (line, because) in document.explained() {
        if line.section != section {
            section = line.section;
            rows.push(format!("<tr class=\"section\"><th colspan=\"7\">{section}</th></tr>"));
        }
        rows.push(budget(line));
        if let Some(because) = because {
            rows.push(format!("<tr class=\"because\"><td colspan=\"7\">{}</td></tr>", escaped(because)));
        }
    }
    format!("<table class=\"wide\">{}</table>", rows.join("\n"))
}

fn budget(line: &Line) -> String {
    let (class, sign) = match line.verdict() {
        "met" => ("good", "&#10003; "),
        "MISSED" => ("bad", "&#10007; "),
        _ => ("unknown", ""),
    };
    let cells = line.cells().into_iter().enumerate().map(|(column, text)| match column {
        6 => format!("<td class=\"{class}\">{sign}{}</td>", escaped(&text)),
        0 => format!("<td>{}</td>", escaped(&text)),
        _ => format!("<td class=\"number\">{}</td>", escaped(&text)),
    });
    format!("<tr class=\"{class}-row\">{}</tr>", cells.collect::<String>())
}

fn plot(plot: &Plot) -> String {
    let drawings: String = plot.drawings.iter().map(drawing).collect();
    format!("<h2>{}</h2><p>{}</p><div class=\"plots\">{drawings}</div>", escaped(&plot.title), escaped(&plot.remark))
}

fn drawing(drawing: &Drawing) -> String {
    let svg = match &drawing.form {
        Form::Lines(series) => svg::lines(series),
        Form::Bars(values) => svg::bars(values),
        Form::Ratios(ratios) => svg::ratios(ratios),
    };
    format!("<figure><figcaption>{}</figcaption>{svg}</figure>", escaped(&drawing.title))
}

fn figures(grid: &Grid) -> String {
    let mut names = vec![String::new()];
    names.extend(grid.stores.iter().cloned());
    names.push("we stand at".to_owned());
    let mut rows = vec![heads(names.into_iter())];
    rows.extend(grid.benches.iter().map(grid_row));
    let noted = grid.benches.iter().flat_map(|bench| bench.rows.iter().flatten()).filter(|row| !row.note.is_empty());
    let notes: String = noted.map(|row| format!("<li>{}</li>", escaped(&note(row)))).collect();
    let (title, remark) = (escaped(&grid.title), escaped(grid.remark).replace('`', ""));
    format!("<h3>{title}</h3><p>{remark}</p><table>{}</table><ul>{notes}</ul>", rows.join("\n"))
}

fn grid_row(bench: &GridRow) -> String {
    let cells: String = bench.rows.iter().map(|row| row.as_ref().map_or("<td></td>".to_owned(), cell)).collect();
    format!("<tr><th>{}</th>{cells}{}</tr>", escaped(&bench.bench), standing(bench))
}

fn cell(row: &Row) -> String {
    let class = if is_ours(&row.store) { "number ours" } else { "number" };
    let range = range(row).map(|range| format!("<small>{}</small>", escaped(&range))).unwrap_or_default();
    format!("<td class=\"{class}\">{}{range}</td>", escaped(&value(row)))
}

fn standing(bench: &GridRow) -> String {
    let Some(standing) = bench.standing() else { return "<td></td>".to_owned() };
    let ratio = quantity::ratio(standing.ratio);
    match (standing.is_of_peers, standing.ratio >= 1.0) {
        (true, true) => format!("<td class=\"good\">{ratio} &times; the best peer</td>"),
        (true, false) => format!("<td class=\"bad\">{ratio} &times; the best peer</td>"),
        (false, _) => format!("<td>{ratio} &times; the best other</td>"),
    }
}

fn heads(names: impl Iterator<Item = String>) -> String {
    format!("<tr class=\"heads\">{}</tr>", names.map(|name| format!("<th>{}</th>", escaped(&name))).collect::<String>())
}

/// Text with the characters replaced that mean something in HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::{figures, figures_of_two_sizes};

    #[test]
    fn signs_are_no_tags() {
        assert_eq!(escaped("a <= \"b\" & c"), "a &lt;= &quot;b&quot; &amp; c");
    }

    #[test]
    fn budgets_come_first_and_say_why() {
        let text = render(&Document::new(figures()));
        let (budgets, plots) = (text.find("<h2>Budgets").unwrap(), text.find("<h2>Wins and losses").unwrap());
        assert!(budgets < plots);
        assert!(text.contains("&#10007; MISSED") && text.contains("class=\"because\""));
    }

    #[test]
    fn a_reason_is_told_once() {
        let document = Document::new(figures_of_two_sizes());
        assert_eq!(document.missed().filter(|line| line.text == "get, hit, in memory, against LMDB").count(), 2);
        assert_eq!(render(&document).matches("class=\"because\"").count(), document.reasons().count());
    }
}
