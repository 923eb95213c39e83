//! The form of a budget: one figure of ours, at most or at least so many times another figure, plus something.

use crate::names::LAMINAR;
use crate::quantity;
use crate::row::{self, Row, Rows};

/// A budget.
#[derive(Debug, Clone)]
pub struct Budget {
    text: String,
    /// The budget that this is a part of.
    whole: &'static str,
    bench: String,
    /// A program, or the beginning of the names of several.
    program: String,
    sense: Sense,
    factor: f64,
    against: Against,
    plus: f64,
    per_key: f64,
    /// Of `plus` and `per_key`.
    unit: String,
    /// The one size that it speaks of, if it does.
    only: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    AtMost,
    AtLeast,
}

/// The other figure.
#[derive(Debug, Clone)]
enum Against {
    Nothing,
    /// Of a floor or a map, in the same program and at the same size.
    Row {
        bench: String,
        store: String,
    },
    /// The same bench of the best of some stores, in the same program and at the same size.
    Best(Vec<String>),
    /// Our own figure at the next smaller size.
    SmallerSize,
}

/// Whether a budget holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "read by the report alone")]
pub enum Verdict {
    /// It holds.
    Met,
    /// It does not.
    Missed,
    /// A figure is missing.
    NotMeasured,
}

/// What became of a budget at one size.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "read by the report alone")]
pub struct Finding {
    /// Keys in the store; 0 where it has none.
    pub keys: u64,
    /// Unit of the figures.
    pub unit: String,
    /// Our figure: the median of the rounds.
    pub measured: Option<f64>,
    /// The figure that it is held against, with its name.
    pub against: Option<(String, f64)>,
    /// What our figure may be at most, or must be at least.
    pub limit: Option<f64>,
    /// Our figure over the one it is held against, in each round; over the limit where there is no such figure. Of figures that were not
    /// measured in the same rounds it is one ratio, of their medians.
    pub ratios: Vec<f64>,
    /// Our figure over the limit: the median of the rounds. Whether it is above or below one is the verdict.
    pub share: Option<f64>,
    /// Whether it holds.
    pub verdict: Verdict,
}

impl Finding {
    fn not_measured() -> Self {
        Self {
            keys: 0,
            unit: String::new(),
            measured: None,
            against: None,
            limit: None,
            ratios: Vec::new(),
            share: None,
            verdict: Verdict::NotMeasured,
        }
    }

    /// Our figure over the one it is held against: the median of the [`ratios`](Self::ratios), which what disturbs a machine for longer
    /// than a round leaves alone.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        row::median(self.ratios.iter().copied())
    }

    /// The lowest and the highest of the ratios, where they differ.
    #[must_use]
    pub fn ratio_range(&self) -> Option<(f64, f64)> {
        let (low, high) = row::range(&self.ratios);
        (low < high).then_some((low, high))
    }
}

/// What our figure is held against.
struct Base<'a> {
    name: String,
    row: &'a Row,
    /// Whether its rounds were those of our figure.
    is_in_turns: bool,
}

impl<'a> Base<'a> {
    fn of(row: &'a Row) -> Self {
        let name = if row.store == LAMINAR { row.bench.clone() } else { row.store.clone() };
        Self { name, row, is_in_turns: true }
    }

    /// Our figure and this one, a pair a round.
    fn pairs(&self, ours: &Row) -> Vec<(f64, f64)> {
        if self.is_in_turns && self.row.rounds.len() == ours.rounds.len() {
            return ours.rounds.iter().copied().zip(self.row.rounds.iter().copied()).collect();
        }
        vec![(ours.median(), self.row.median())]
    }
}

/// A budget on what a figure of ours may be at most.
pub(super) fn at_most(text: &str, bench: &str, program: &str) -> Budget {
    budget(text, bench, program, Sense::AtMost)
}

/// A budget on what a figure of ours must be at least.
pub(super) fn at_least(text: &str, bench: &str, program: &str) -> Budget {
    budget(text, bench, program, Sense::AtLeast)
}

fn budget(text: &str, bench: &str, program: &str, sense: Sense) -> Budget {
    let (text, bench, program) = (text.to_owned(), bench.to_owned(), program.to_owned());
    Budget {
        text,
        whole: "",
        bench,
        program,
        sense,
        factor: 1.0,
        against: Against::Nothing,
        plus: 0.0,
        per_key: 0.0,
        unit: String::new(),
        only: None,
    }
}

impl Budget {
    /// So many times a floor, or a map.
    pub(super) fn times(self, factor: f64, bench: &str, store: &str) -> Self {
        let against = Against::Row { bench: bench.to_owned(), store: store.to_owned() };
        Self { factor, against, ..self }
    }

    /// So many times the best of some stores.
    pub(super) fn best(self, factor: f64, stores: &[&str]) -> Self {
        let against = Against::Best(stores.iter().map(|store| (*store).to_owned()).collect());
        Self { factor, against, ..self }
    }

    /// So many times our own figure at a smaller size.
    pub(super) fn growth(self, factor: f64) -> Self {
        Self { factor, against: Against::SmallerSize, ..self }
    }

    /// And so much more, in the unit of the bench.
    pub(super) fn plus(self, plus: f64, unit: &str) -> Self {
        Self { plus, unit: unit.to_owned(), ..self }
    }

    /// And so much more for each key, in the unit of the bench.
    pub(super) fn per_key(self, per_key: f64, unit: &str) -> Self {
        Self { per_key, unit: unit.to_owned(), ..self }
    }

    /// At this size only.
    pub(super) fn at(self, keys: u64) -> Self {
        Self { only: Some(keys), ..self }
    }

    /// As a part of the budget of this name, which holds where all of its parts do.
    pub(super) fn part_of(self, whole: &'static str) -> Self {
        Self { whole, ..self }
    }

    /// The budget that it is a part of.
    #[must_use]
    pub fn whole(&self) -> &'static str {
        self.whole
    }

    /// What it is about.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rule as people read it.
    #[must_use]
    pub fn rule(&self) -> String {
        let sense = if self.sense == Sense::AtMost { "<=" } else { ">=" };
        let mut terms = Vec::new();
        match &self.against {
            Against::Nothing => {}
            Against::Row { bench, store } if *bench == self.bench => terms.push(format!("{} x {store}", self.factor)),
            Against::Row { bench, .. } => terms.push(format!("{} x {bench}", self.factor)),
            Against::Best(stores) => match stores.as_slice() {
                [store] => terms.push(format!("{} x {store}", self.factor)),
                _ => terms.push(format!("{} x the best peer", self.factor)),
            },
            Against::SmallerSize => terms.push(format!("{} x at the smaller size", self.factor)),
        }
        if self.plus != 0.0 {
            terms.push(quantity::with_unit(self.plus, &self.unit));
        }
        if self.per_key != 0.0 {
            terms.push(format!("{} a key", quantity::with_unit(self.per_key, &self.unit)));
        }
        format!("{sense} {}", terms.join(" + "))
    }

    /// What became of it, at every size that was measured.
    #[must_use]
    pub fn judge(&self, rows: &Rows) -> Vec<Finding> {
        let ours: Vec<(&str, &Row)> = rows
            .iter()
            .filter(|(program, row)| self.is_of(program) && row.bench == self.bench && row.store == LAMINAR)
            .filter(|(_, row)| self.only.is_none_or(|keys| keys == row.keys))
            .collect();
        let mut findings: Vec<Finding> =
            ours.into_iter().filter_map(|(program, row)| self.judge_one(rows, program, row)).collect();
        findings.sort_by_key(|finding| finding.keys);
        if findings.is_empty() {
            findings.push(Finding::not_measured());
        }
        findings
    }

    fn is_of(&self, program: &str) -> bool {
        program == self.program || (self.program == "peers" && program.starts_with("peers"))
    }

    /// Nothing where the size has no smaller one to be held against.
    fn judge_one(&self, rows: &Rows, program: &str, ours: &Row) -> Option<Finding> {
        let base = match &self.against {
            Against::Nothing => return Some(self.finding(ours, None)),
            Against::Row { bench, store } => rows.find(program, bench, store, ours.keys).map(Base::of),
            Against::Best(stores) => {
                let known = stores.iter().filter_map(|store| rows.find(program, &self.bench, store, ours.keys));
                let order = |a: &&Row, b: &&Row| a.median().total_cmp(&b.median());
                let best = if self.sense == Sense::AtMost { known.min_by(order) } else { known.max_by(order) };
                best.map(Base::of)
            }
            Against::SmallerSize => {
                let sizes = rows.sizes(program, &self.bench, LAMINAR);
                let smaller = sizes.into_iter().rfind(|size| *size < ours.keys)?;
                let row = rows.find(program, &self.bench, LAMINAR, smaller)?;
                Some(Base { name: format!("{smaller} keys"), is_in_turns: false, ..Base::of(row) })
            }
        };
        Some(match base {
            Some(base) => self.finding(ours, Some(&base)),
            None => {
                let (unit, measured) = (ours.unit.clone(), Some(ours.median()));
                Finding { keys: ours.keys, unit, measured, ..Finding::not_measured() }
            }
        })
    }

    /// The limit, where our figure is held against one of `base`.
    fn limit(&self, base: f64, keys: u64) -> f64 {
        self.factor * base + self.plus + self.per_key * keys as f64
    }

    fn finding(&self, ours: &Row, base: Option<&Base<'_>>) -> Finding {
        let limit = |base: f64| self.limit(base, ours.keys);
        let (pairs, ratios): (Vec<(f64, f64)>, Vec<f64>) = match base {
            Some(base) => base.pairs(ours).into_iter().map(|(ours, base)| ((ours, limit(base)), ours / base)).unzip(),
            None => ours.rounds.iter().map(|ours| ((*ours, limit(0.0)), ours / limit(0.0))).unzip(),
        };
        let share = row::median(pairs.into_iter().map(|(ours, limit)| ours / limit));
        let is_met = share.is_some_and(|share| if self.sense == Sense::AtMost { share <= 1.0 } else { share >= 1.0 });
        Finding {
            keys: ours.keys,
            unit: ours.unit.clone(),
            measured: Some(ours.median()),
            against: base.map(|base| (base.name.clone(), base.row.median())),
            limit: Some(limit(base.map_or(0.0, |base| base.row.median()))),
            ratios,
            share,
            verdict: if is_met { Verdict::Met } else { Verdict::Missed },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(&str, &str, &str, u32, f64)]) -> Rows {
        let mut all = Rows::default();
        for (program, bench, store, keys, value) in rows {
            all.insert(program, Row::of_one(bench, store, *keys, "ns", *value));
        }
        all
    }

    #[test]
    fn a_floor_is_of_the_same_program_and_size() {
        let budget = at_most("append", "append", "log").times(2.0, "append", "floor").plus(20.0, "ns");
        let judge =
            |value| budget.judge(&rows(&[("log", "append", "laminar", 0, value), ("log", "append", "floor", 0, 15.0)]));
        assert_eq!(judge(50.0)[0].verdict, Verdict::Met);
        assert_eq!(judge(50.5)[0].verdict, Verdict::Missed);
        assert_eq!(judge(30.0)[0].ratio(), Some(2.0));
        let elsewhere = rows(&[("log", "append", "laminar", 0, 1.0), ("store", "append", "floor", 0, 15.0)]);
        let finding = budget.judge(&elsewhere).remove(0);
        assert_eq!((finding.verdict, finding.measured, finding.ratio()), (Verdict::NotMeasured, Some(1.0), None));
        assert_eq!(budget.rule(), "<= 2 x floor + 20 ns");
    }

    #[test]
    fn what_slows_a_round_down_slows_down_both() {
        let budget = at_least("get", "get", "store").times(1.2, "get", "map");
        let judge = |ours: &[f64], map: &[f64]| {
            let mut rows = Rows::default();
            rows.insert("store", Row::of_many("get", LAMINAR, 7, "ops/s", ours));
            rows.insert("store", Row::of_many("get", "map", 7, "ops/s", map));
            budget.judge(&rows).remove(0)
        };
        // The medians, 4 and 6, would say that it is missed by far.
        let finding = judge(&[13.0, 4.0, 2.6], &[10.0, 6.0, 2.0]);
        assert_eq!((finding.ratio(), finding.verdict), (Some(1.3), Verdict::Met));
        assert_eq!(finding.ratio_range(), Some((4.0 / 6.0, 1.3)));
        assert_eq!((finding.measured, finding.against), (Some(4.0), Some(("map".to_owned(), 6.0))));
        // One that left after a round has no pairs.
        let finding = judge(&[13.0, 4.0, 2.6], &[2.0]);
        assert_eq!((finding.ratio(), finding.ratio_range()), (Some(2.0), None));
    }

    #[test]
    fn what_is_added_to_a_floor_is_added_in_each_round() {
        let budget = at_most("put", "max", "writer").times(1.0, "quiet", LAMINAR).plus(1.0, "ns");
        let mut rows = Rows::default();
        rows.insert("writer", Row::of_many("max", LAMINAR, 7, "ns", &[1.9, 4.9, 8.1]));
        rows.insert("writer", Row::of_many("quiet", LAMINAR, 7, "ns", &[1.0, 4.0, 7.0]));
        let finding = budget.judge(&rows).remove(0);
        assert_eq!((finding.verdict, finding.limit), (Verdict::Met, Some(5.0)));
        assert!(finding.share.is_some_and(|share| share < 1.0));
        rows.insert("writer", Row::of_many("max", LAMINAR, 7, "ns", &[1.9, 5.1, 8.1]));
        assert_eq!(budget.judge(&rows).remove(0).verdict, Verdict::Missed);
    }

    #[test]
    fn the_best_peer_is_the_fastest_one() {
        let speed = at_least("get", "get", "peers").best(2.0, &["a", "b"]);
        let all = rows(&[
            ("peers-x", "get", "laminar", 7, 5.0),
            ("peers-x", "get", "a", 7, 1.0),
            ("peers-x", "get", "b", 7, 3.0),
        ]);
        let finding = speed.judge(&all).remove(0);
        assert_eq!((finding.verdict, finding.limit, finding.keys), (Verdict::Missed, Some(6.0), 7));
        let time = at_most("get", "get", "peers").best(5.0, &["a", "b"]);
        assert_eq!(time.judge(&all)[0].limit, Some(5.0));
        assert_eq!(at_least("get", "get", "store").best(2.0, &["a"]).judge(&all)[0].verdict, Verdict::NotMeasured);
    }

    #[test]
    fn growth_is_judged_at_the_larger_size_only() {
        let budget = at_least("put grows", "put", "store").growth(0.5);
        let all = rows(&[("store", "put", "laminar", 1, 10.0), ("store", "put", "laminar", 10, 4.0)]);
        let findings = budget.judge(&all);
        assert_eq!(findings.iter().map(|finding| finding.keys).collect::<Vec<_>>(), [10]);
        assert_eq!(findings[0].verdict, Verdict::Missed);
    }

    #[test]
    fn a_budget_may_speak_of_one_size() {
        let budget = at_most("space", "space", "series").plus(1.5, "").at(10);
        assert_eq!(budget.judge(&rows(&[("series", "space", "laminar", 1, 1.0)]))[0].verdict, Verdict::NotMeasured);
        assert_eq!(budget.judge(&rows(&[("series", "space", "laminar", 10, 1.6)]))[0].verdict, Verdict::Missed);
    }

    #[test]
    fn a_limit_may_grow_with_the_keys() {
        let budget = at_most("memory", "memory", "checkpoint").plus(100.0, "bytes").per_key(24.0, "bytes");
        let judge = |value| budget.judge(&rows(&[("checkpoint", "memory", "laminar", 10, value)])).remove(0).verdict;
        assert_eq!((judge(340.0), judge(341.0)), (Verdict::Met, Verdict::Missed));
    }
}
