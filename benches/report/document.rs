//! What a report says, before it has a form.

use laminar_benches::budgets::{self, Finding, Verdict};
use laminar_benches::names::LAMINAR;
use laminar_benches::{Figures, Row, Series, quantity};

use crate::machine::Machine;

/// Headings of the table of budgets.
pub(crate) const BUDGET_COLUMNS: [&str; 7] =
    ["what", "budget", "keys", "measured", "floor or peer", "ratio", "verdict"];

/// A line of the table of budgets.
pub(crate) struct Line {
    text: String,
    rule: String,
    finding: Finding,
}

impl Line {
    pub(crate) fn verdict(&self) -> &'static str {
        match self.finding.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::NotMeasured => "not measured",
        }
    }

    /// In words, if it was missed.
    pub(crate) fn missed(&self) -> Option<String> {
        let Finding { keys, unit, measured, limit, verdict, .. } = &self.finding;
        let quantity = |value: &Option<f64>| value.map(|value| quantity::with_unit(value, unit)).unwrap_or_default();
        let size = if *keys == 0 { String::new() } else { format!(" at {} keys", size(*keys)) };
        let sense = self.rule.split(' ').next().unwrap_or_default();
        (*verdict == Verdict::Missed)
            .then(|| format!("{}{size}: {}, the budget is {sense} {}", self.text, quantity(measured), quantity(limit)))
    }

    pub(crate) fn cells(&self) -> [String; 7] {
        let Finding { keys, unit, measured, against, .. } = &self.finding;
        let quantity = |value: f64| quantity::with_unit(value, unit);
        let against = against.as_ref().map(|(name, value)| format!("{} ({name})", quantity(*value)));
        [
            self.text.clone(),
            self.rule.clone(),
            size(*keys),
            measured.map(quantity).unwrap_or_default(),
            against.unwrap_or_default(),
            self.finding.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.verdict().to_owned(),
        ]
    }
}

/// All that one program measured at one size: a row a bench, a column a contender.
pub(crate) struct Grid {
    pub(crate) title: String,
    pub(crate) stores: Vec<String>,
    pub(crate) benches: Vec<GridRow>,
}

/// The rows of one bench, in the order of the columns.
pub(crate) struct GridRow {
    pub(crate) bench: String,
    pub(crate) rows: Vec<Option<Row>>,
}

impl GridRow {
    /// Ours over the best of the others; nothing where either is missing.
    pub(crate) fn ratio(&self) -> Option<(f64, bool)> {
        let rows = self.rows.iter().flatten();
        let ours = rows.clone().find(|row| row.store == LAMINAR)?;
        let faster_is_more = ours.unit.ends_with("/s") || ours.unit.ends_with("/sync");
        let others = rows.filter(|row| row.store != LAMINAR).map(|row| row.median);
        let best = if faster_is_more { others.max_by(f64::total_cmp) } else { others.min_by(f64::total_cmp) }?;
        let ratio = if faster_is_more { ours.median / best } else { best / ours.median };
        ratio.is_finite().then_some((ratio, ratio >= 1.0))
    }
}

/// A plot: lines with the same axes.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) series: Vec<Series>,
}

/// The report.
pub(crate) struct Document {
    pub(crate) machine: Machine,
    pub(crate) settings: Vec<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) grids: Vec<Grid>,
    pub(crate) plots: Vec<Plot>,
}

impl Document {
    pub(crate) fn new(figures: Figures) -> Self {
        let mut lines = Vec::new();
        for budget in budgets::all() {
            for finding in budget.judge(&figures.rows) {
                lines.push(Line { text: budget.text().to_owned(), rule: budget.rule(), finding });
            }
        }
        let settings = figures.runs.iter().map(|(program, run)| {
            let length = if run.quick { ", quick" } else { "" };
            format!("{program}: {} rounds{length}, {}", run.rounds, crate::machine::date(run.unix_ms))
        });
        Self {
            machine: Machine::this(),
            settings: settings.collect(),
            lines,
            grids: grids(&figures),
            plots: plots(figures),
        }
    }

    /// How many budgets are met, missed and not measured.
    pub(crate) fn summary(&self) -> String {
        let count = |verdict| self.lines.iter().filter(|line| line.finding.verdict == verdict).count();
        let (met, missed) = (count(Verdict::Met), count(Verdict::Missed));
        format!("{met} met, {missed} missed, {} not measured", count(Verdict::NotMeasured))
    }
}

fn grids(figures: &Figures) -> Vec<Grid> {
    let mut grids = Vec::new();
    for program in figures.rows.programs() {
        let rows: Vec<&Row> = figures.rows.iter().filter(|(of, _)| *of == program).map(|(_, row)| row).collect();
        let mut sizes: Vec<u64> = rows.iter().map(|row| row.keys).collect();
        sizes.sort_unstable();
        sizes.dedup();
        for keys in sizes {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.keys == keys).copied().collect();
            let stores = distinct(rows.iter().map(|row| row.store.as_str()));
            let benches = distinct(rows.iter().map(|row| row.bench.as_str()));
            let find = |bench: &str, store: &str| rows.iter().find(|row| row.bench == bench && row.store == store);
            let of_bench = |bench: String| {
                let rows = stores.iter().map(|store| find(&bench, store).map(|row| (*row).clone())).collect();
                GridRow { rows, bench }
            };
            let title = if keys == 0 { program.to_owned() } else { format!("{program}, {} keys", size(keys)) };
            grids.push(Grid { title, benches: benches.into_iter().map(of_bench).collect(), stores });
        }
    }
    grids
}

fn plots(figures: Figures) -> Vec<Plot> {
    let mut plots: Vec<Plot> = Vec::new();
    for series in figures.series {
        let title = match series.keys {
            0 => series.plot.clone(),
            keys => format!("{}, {} keys", series.plot, size(keys)),
        };
        match plots.iter_mut().find(|plot| plot.title == title) {
            Some(plot) => plot.series.push(series),
            None => plots.push(Plot { title, series: vec![series] }),
        }
    }
    plots
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        if !distinct.iter().any(|known| known == name) {
            distinct.push(name.to_owned());
        }
    }
    distinct
}

fn size(keys: u64) -> String {
    match keys {
        0 => String::new(),
        keys => quantity::short(keys as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::default();
        for (store, value) in [(LAMINAR, 3.0), ("rocksdb", 1.0), ("lmdb", 4.0)] {
            figures.rows.insert("peers-stores", Row::of_one("get/hit", store, 1_000_000, "ops/s", value));
        }
        figures
    }

    #[test]
    fn a_loss_is_told_as_a_win_is() {
        let grids = grids(&figures());
        assert_eq!(grids[0].title, "peers-stores, 1 M keys");
        assert_eq!(grids[0].stores, ["laminar", "rocksdb", "lmdb"]);
        assert_eq!(grids[0].benches[0].ratio(), Some((0.75, false)));
    }

    #[test]
    fn every_budget_has_a_line() {
        let document = Document::new(figures());
        assert!(document.lines.len() >= budgets::all().len());
        let hit = document.lines.iter().find(|line| line.text == "get, hit, in memory, against LMDB").unwrap();
        assert_eq!(hit.cells()[3..], ["3 ops/s", "4 ops/s (lmdb)", "0.75", "MISSED"].map(str::to_owned));
        assert!(document.summary().contains("not measured"));
    }
}
