//! Figures as they are written down, and how they are found again.

use serde::{Deserialize, Serialize};

/// What was measured of one contender: a line of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "made by the benches of this workspace alone")]
pub struct Row {
    /// What was measured: one of [`names`](crate::names), or a name of the bench's own.
    pub bench: String,
    /// Of what: one of the stores in [`names`](crate::names), or a floor.
    pub store: String,
    /// Keys in the store; 0 where it has none.
    pub keys: u64,
    /// Unit of the figures: `ops/s`, `ns`, `bytes`.
    pub unit: String,
    /// The figure of each round, in their order: at least one. Those of one round are of contenders that took turns in it.
    pub rounds: Vec<f64>,
    /// What one has to know to read it: settings, what was left out.
    pub note: String,
}

impl Row {
    /// A row of one measurement.
    #[must_use]
    pub fn of_one(bench: &str, store: &str, keys: u32, unit: &str, value: f64) -> Self {
        Self::of_many(bench, store, keys, unit, &[value])
    }

    /// A row of several rounds.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn of_many(bench: &str, store: &str, keys: u32, unit: &str, rounds: &[f64]) -> Self {
        assert!(!rounds.is_empty(), "at least one round");
        Self {
            bench: bench.to_owned(),
            store: store.to_owned(),
            keys: keys.into(),
            unit: unit.to_owned(),
            rounds: rounds.to_vec(),
            note: String::new(),
        }
    }

    /// The median of the rounds.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(self.rounds.iter().copied()).unwrap_or_default()
    }

    /// The lowest and the highest of the rounds.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        range(&self.rounds)
    }

    /// The same row with a note.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// The median of some figures: of an even number the mean of the two in the middle. Nothing where there are none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let (upper, lower) = (figures.len() / 2, figures.len().checked_sub(1)? / 2);
    Some((figures.get(lower)? + figures.get(upper)?) / 2.0)
}

/// The lowest and the highest of some figures.
pub(crate) fn range(figures: &[f64]) -> (f64, f64) {
    figures.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), figure| (low.min(*figure), high.max(*figure)))
}

/// Points of a plot, of one contender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "made by the benches of this workspace alone")]
pub struct Series {
    /// The plot that it belongs to: one of [`names`](crate::names).
    pub plot: String,
    /// The contender.
    pub store: String,
    /// Keys in the store; 0 where it has none, or where x says it.
    pub keys: u64,
    /// What x is, with its unit.
    pub x: String,
    /// What y is, with its unit.
    pub y: String,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
    /// Stretches of x that are marked, such as those while a checkpoint was running.
    pub marks: Vec<(f64, f64)>,
}

/// How a program was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "made by the benches of this workspace alone")]
pub struct Run {
    /// Small sizes and few rounds.
    pub quick: bool,
    /// Turns of every contender.
    pub rounds: usize,
    /// When it began: milliseconds since 1970-01-01 UTC.
    pub unix_ms: u64,
    /// The commit that was checked out, in short; empty where that could not be told.
    pub commit: String,
}

/// A line of a file of figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "a line is one or the other")]
pub enum Entry {
    /// How the program was run that measured the lines below.
    Run(Run),
    /// A figure.
    Row(Row),
    /// A plot.
    Series(Series),
}

/// All rows of a report, each with the program that measured it. Only figures of one program are comparable: they were measured
/// in turns.
#[derive(Debug, Clone, Default)]
pub struct Rows(Vec<(String, Row)>);

impl Rows {
    /// Adds a row; it replaces an earlier one of the same program, bench, store and size.
    pub fn insert(&mut self, program: &str, row: Row) {
        let is_same = |(known_program, known): &(String, Row)| {
            known_program == program && (&known.bench, &known.store, known.keys) == (&row.bench, &row.store, row.keys)
        };
        self.0.retain(|known| !is_same(known));
        self.0.push((program.to_owned(), row));
    }

    /// All rows with their programs, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.0.iter().map(|(program, row)| (program.as_str(), row))
    }

    /// The row of a program, bench, store and size.
    #[must_use]
    pub fn find(&self, program: &str, bench: &str, store: &str, keys: u64) -> Option<&Row> {
        let mut rows = self.iter().filter(|(known, _)| *known == program);
        rows.find(|(_, row)| (row.bench.as_str(), row.store.as_str(), row.keys) == (bench, store, keys))
            .map(|(_, row)| row)
    }

    /// Programs that measured something, in the order of their names.
    #[must_use]
    pub fn programs(&self) -> Vec<&str> {
        let mut programs: Vec<&str> = self.iter().map(|(program, _)| program).collect();
        programs.sort_unstable();
        programs.dedup();
        programs
    }

    /// The sizes at which a program measured a bench of a store, ascending.
    #[must_use]
    pub fn sizes(&self, program: &str, bench: &str, store: &str) -> Vec<u64> {
        let rows = self.iter().filter(|(known, row)| *known == program && row.bench == bench && row.store == store);
        let mut sizes: Vec<u64> = rows.map(|(_, row)| row.keys).collect();
        sizes.sort_unstable();
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_median_and_the_range() {
        let row = Row::of_many("get", "laminar", 10, "ops/s", &[3.0, 1.0, 2.0]);
        assert_eq!((row.range(), row.median()), ((1.0, 3.0), 2.0));
        assert_eq!(Row::of_many("get", "laminar", 10, "ops/s", &[9.0, 1.0, 4.0, 2.0]).median(), 3.0);
    }

    #[test]
    fn a_later_row_replaces_an_earlier_one_of_its_program() {
        let mut rows = Rows::default();
        rows.insert("store", Row::of_one("get", "laminar", 10, "ops/s", 1.0));
        rows.insert("peers", Row::of_one("get", "laminar", 10, "ops/s", 2.0));
        rows.insert("store", Row::of_one("get", "laminar", 10, "ops/s", 3.0));
        assert_eq!(rows.iter().count(), 2);
        assert_eq!(rows.find("store", "get", "laminar", 10).unwrap().median(), 3.0);
        assert_eq!(rows.sizes("peers", "get", "laminar"), [10]);
        assert_eq!(rows.find("peers", "get", "laminar", 11), None);
    }

    #[test]
    fn a_line_is_read_back() {
        let entry = Entry::Row(Row::of_one("get", "laminar", 10, "ops/s", 1.5).note("warm"));
        let line = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
    }
}
