//! What a report says, before it has a form.

use std::collections::BTreeMap;

use laminar_benches::budgets::{self, Finding, Verdict};
use laminar_benches::names::LAMINAR;
use laminar_benches::{Figures, quantity};

use crate::grid::{self, Grid};
use crate::machine::Machine;
use crate::plots::{self, Plot};

/// Headings of the table of what is missed.
pub(crate) const SHORTFALL_COLUMNS: [&str; 5] = ["missed", "keys", "measured", "budget", "measured / budget"];

/// Headings of the table of budgets.
pub(crate) const BUDGET_COLUMNS: [&str; 7] = ["what", "budget", "keys", "measured", "held against", "ratio", "verdict"];

/// A line of the table of budgets.
pub(crate) struct Line {
    pub(crate) section: &'static str,
    /// The budget that it is a part of.
    whole: &'static str,
    pub(crate) text: String,
    rule: String,
    finding: Finding,
    /// Why it is missed, where somebody has written that down.
    because: Option<String>,
}

impl Line {
    pub(crate) fn verdict(&self) -> &'static str {
        match self.finding.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::NotMeasured => "not measured",
        }
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.finding.verdict == Verdict::Missed
    }

    /// What was measured, what it had to be, and the one over the other.
    pub(crate) fn shortfall(&self) -> [String; 5] {
        let Finding { keys, unit, measured, limit, share, .. } = &self.finding;
        let quantity = |value: &Option<f64>| value.map(|value| quantity::with_unit(value, unit)).unwrap_or_default();
        let sense = self.rule.split(' ').next().unwrap_or_default();
        let share = share.map(|share| match share {
            // Else it looks as if it were met.
            share if (share - 1.0).abs() < 0.01 => format!("{share:.3}"),
            share => quantity::ratio(share),
        });
        let (measured, limit) = (quantity(measured), format!("{sense} {}", quantity(limit)));
        [self.text.clone(), size(*keys), measured, limit, share.unwrap_or_default()]
    }

    /// Why it is missed.
    pub(crate) fn because(&self) -> Option<&str> {
        self.is_missed().then(|| self.because.as_deref().unwrap_or(UNEXPLAINED))
    }

    /// The ratio, and how far it went to both sides.
    fn ratio(&self) -> String {
        let ratio = self.finding.ratio().map(quantity::ratio).unwrap_or_default();
        match self.finding.ratio_range() {
            Some((low, high)) => format!("{ratio} ({} to {})", quantity::ratio(low), quantity::ratio(high)),
            None => ratio,
        }
    }

    pub(crate) fn cells(&self) -> [String; 7] {
        let Finding { keys, unit, measured, against, limit, .. } = &self.finding;
        let quantity = |value: f64| quantity::with_unit(value, unit);
        let against = against.as_ref().map(|(name, value)| format!("{} ({name})", quantity(*value)));
        [
            self.text.clone(),
            self.rule.clone(),
            size(*keys),
            measured.map(quantity).unwrap_or_default(),
            against.or_else(|| Some(format!("{} (the limit)", quantity((*limit)?)))).unwrap_or_default(),
            self.ratio(),
            self.verdict().to_owned(),
        ]
    }
}

const UNEXPLAINED: &str = "Not explained yet.";

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
        let explanations = budgets::explanations();
        let settings = figures.runs().map(|(program, run)| {
            let length = if run.quick { ", quick" } else { "" };
            let date = crate::machine::date(run.unix_ms);
            format!("{program}: {} rounds{length}, {date}, laminar at {}", run.rounds, run.commit)
        });
        Self {
            machine: Machine::this(),
            settings: settings.collect(),
            lines: lines(&figures, &explanations),
            grids: grid::all(&figures),
            plots: plots::all(&figures),
        }
    }

    /// The lines that are missed.
    pub(crate) fn missed(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.is_missed())
    }

    /// The lines, and behind the last that is missed of each budget the reason.
    pub(crate) fn explained(&self) -> impl Iterator<Item = (&Line, Option<&str>)> {
        self.lines.iter().enumerate().map(|(at, line)| {
            let is_told_below =
                || self.lines.iter().skip(at + 1).any(|later| later.text == line.text && later.is_missed());
            (line, line.because().filter(|_| !is_told_below()))
        })
    }

    /// Why budgets are missed: the words of each, once, and the reason.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (&str, &str)> {
        self.explained().filter_map(|(line, because)| Some((line.text.as_str(), because?)))
    }

    /// How many budgets are met and missed, and how many of their parts.
    pub(crate) fn summary(&self) -> String {
        let ([met, missed, unknown], [whole_met, whole_missed, whole_unknown]) = (self.counts(), self.whole_counts());
        let budgets = whole_met + whole_missed + whole_unknown;
        format!(
            "{whole_met} of {budgets} budgets met, {whole_missed} missed, {whole_unknown} not measured \
             (of their parts and sizes {met} met, {missed} missed, {unknown} not measured)"
        )
    }

    /// Budgets that are met in all parts, missed in one, and neither.
    pub(crate) fn whole_counts(&self) -> [usize; 3] {
        let mut wholes: BTreeMap<&str, Verdict> = BTreeMap::new();
        for line in &self.lines {
            let verdict = wholes.entry(line.whole).or_insert(line.finding.verdict);
            if line.is_missed() || *verdict == Verdict::Met {
                *verdict = line.finding.verdict;
            }
        }
        VERDICTS.map(|verdict| wholes.values().filter(|known| **known == verdict).count())
    }

    /// Lines that are met, missed and not measured.
    pub(crate) fn counts(&self) -> [usize; 3] {
        VERDICTS.map(|verdict| self.lines.iter().filter(|line| line.finding.verdict == verdict).count())
    }
}

const VERDICTS: [Verdict; 3] = [Verdict::Met, Verdict::Missed, Verdict::NotMeasured];

fn lines(figures: &Figures, explanations: &BTreeMap<String, String>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (section, budgets) in budgets::sections() {
        for budget in budgets {
            for finding in budget.judge(&figures.rows) {
                let because = explanations.get(budget.text()).cloned();
                let (text, rule) = (budget.text().to_owned(), budget.rule());
                lines.push(Line { section, whole: budget.whole(), text, rule, finding, because });
            }
        }
    }
    lines
}

/// Keys, as people write a size.
pub(crate) fn size(keys: u64) -> String {
    match keys {
        0 => String::new(),
        keys => quantity::short(keys as f64),
    }
}

/// Whether a name is of our own store or log.
pub(crate) fn is_ours(store: &str) -> bool {
    store == LAMINAR || store.starts_with(&format!("{LAMINAR}, "))
}

#[cfg(test)]
pub(crate) mod tests {
    use laminar_benches::Row;

    use super::*;

    pub(crate) fn figures() -> Figures {
        let mut figures = Figures::default();
        for (store, value) in [(LAMINAR, 3.0), ("rocksdb", 1.0), ("lmdb", 4.0), ("hashbrown", 9.0)] {
            figures.rows.insert("peers-stores", Row::of_one("get/hit", store, 1_000_000, "ops/s", value));
        }
        figures
    }

    pub(crate) fn figures_of_two_sizes() -> Figures {
        let mut figures = figures();
        for (store, value) in [(LAMINAR, 5.0), ("lmdb", 4.0)] {
            figures.rows.insert("peers-stores", Row::of_one("get/hit", store, 10_000_000, "ops/s", value));
        }
        figures
    }

    #[test]
    fn what_is_just_missed_does_not_look_met() {
        let mut figures = Figures::default();
        figures.rows.insert("recovery", Row::of_one("open/empty-tail", LAMINAR, 7, "ns", 2.006e6));
        let document = Document::new(figures);
        let missed: Vec<_> = document.missed().map(Line::shortfall).collect();
        assert_eq!(missed.len(), 1);
        assert_eq!(missed.iter().flatten().last().map(String::as_str), Some("1.003"));
    }

    #[test]
    fn every_budget_has_a_line() {
        let document = Document::new(figures());
        assert!(document.lines.len() >= budgets::all().len());
        let hit = document.lines.iter().find(|line| line.text == "get, hit, in memory, against LMDB").unwrap();
        assert_eq!(hit.cells()[3..], ["3 ops/s", "4 ops/s (lmdb)", "0.75", "MISSED"].map(str::to_owned));
        assert!(document.summary().contains("not measured"));
    }

    #[test]
    fn a_budget_is_met_where_all_of_its_parts_are() {
        let counts = |lmdb: f64, opened: f64, map: f64| {
            let mut figures = Figures::default();
            for (bench, ours, store, other) in [("get/hit", 6.0, "lmdb", lmdb), ("get/hit/opened", 4.0, "lmdb", opened)]
            {
                figures.rows.insert("peers-stores", Row::of_one(bench, LAMINAR, 7, "ops/s", ours));
                figures.rows.insert("peers-stores", Row::of_one(bench, store, 7, "ops/s", other));
            }
            figures.rows.insert("store", Row::of_one("get/hit", LAMINAR, 7, "ops/s", 6.0));
            figures.rows.insert("store", Row::of_one("get/hit", "hashbrown", 7, "ops/s", map));
            Document::new(figures).whole_counts()
        };
        let [met, missed, unknown] = counts(1.0, 1.0, 5.0);
        assert_eq!((met, missed), (1, 0));
        assert_eq!(counts(1.0, 2.0, 5.0), [0, 1, unknown]);
        assert_eq!(counts(2.0, 1.0, 6.0), [0, 1, unknown]);
    }

    #[test]
    fn a_missed_budget_tells_why() {
        let text = "get, hit, in memory, against LMDB";
        let told = |explanations: &[(&str, &str)]| {
            let explanations = explanations.iter().map(|(text, why)| ((*text).to_owned(), (*why).to_owned())).collect();
            let lines = lines(&figures(), &explanations);
            lines.into_iter().find(|line| line.text == text).and_then(|line| line.because().map(str::to_owned))
        };
        assert_eq!(told(&[(text, "It is far.")]).as_deref(), Some("It is far."));
        assert_eq!(told(&[]).as_deref(), Some(UNEXPLAINED));
    }
}
