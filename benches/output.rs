//! The files that figures go to: one a program, one line a figure.
#![expect(clippy::disallowed_methods, reason = "figures are plain files, outside of the seam that stores go through")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use laminar_vfs::Env;

use crate::row::{Entry, Row, Rows, Run, Series};
use crate::{Measured, Settings, command, directory, quantity};

/// Where one program's figures go: `target/bench/<program>.jsonl`.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
}

impl Output {
    /// The file of `program`. A run of the whole program begins it anew; a filtered one adds to it, and what it measures again
    /// replaces what was there when the file is read.
    ///
    /// # Panics
    /// If the file can't be written.
    #[must_use]
    pub fn create(program: &str, settings: &Settings) -> Self {
        let path = directory::figures().join(format!("{program}.jsonl"));
        if settings.filter.is_none() {
            std::fs::write(&path, "").expect("the directory of figures can be written to");
        }
        let output = Self { path };
        let unix_ms = Env::real().clock.unix_ms();
        let commit = command::output("git", &["rev-parse", "--short", "HEAD"]);
        let run = Run { quick: settings.quick, rounds: settings.rounds, unix_ms, commit };
        output.write(&Entry::Run(run));
        output
    }

    /// Writes down rounds at a size of `keys`, and prints them.
    ///
    /// # Panics
    /// If the file can't be written.
    pub fn rows(&self, measured: impl IntoIterator<Item = Measured>, keys: u32) {
        for Measured { store, bench, unit, rounds } in measured {
            self.row(Row::of_many(&bench, &store, keys, &unit, &rounds));
        }
    }

    /// Writes down one row, and prints it.
    ///
    /// # Panics
    /// If the file can't be written.
    pub fn row(&self, row: Row) {
        eprintln!("{}", describe(&row));
        self.write(&Entry::Row(row));
    }

    /// Writes down a series.
    ///
    /// # Panics
    /// If the file can't be written.
    pub fn series(&self, series: Series) {
        self.write(&Entry::Series(series));
    }

    fn write(&self, entry: &Entry) {
        let mut line = serde_json::to_string(entry).expect("figures are plain data");
        line.push('\n');
        let mut file = std::fs::File::options();
        let mut file = file.append(true).create(true).open(&self.path).expect("the file of figures can be opened");
        file.write_all(line.as_bytes()).expect("the file of figures can be written to");
    }
}

/// Everything that all programs have written down.
#[derive(Debug, Default)]
pub struct Figures {
    /// The rows.
    pub rows: Rows,
    /// The plots.
    pub series: Vec<Series>,
    /// Programs, and how each was run, one time after the other.
    runs: BTreeMap<String, Vec<Run>>,
    /// Of each row that stands, by program, bench, store and keys: how many runs of its program there were by then.
    origins: BTreeMap<(String, String, String, u64), usize>,
}

impl Figures {
    /// Reads all files of figures.
    ///
    /// # Panics
    /// If one can't be read.
    #[must_use]
    pub fn read() -> Self {
        let files = std::fs::read_dir(directory::figures()).expect("the directory of figures can be read");
        let mut paths: Vec<PathBuf> = files.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        paths.sort();
        let mut figures = Self::default();
        for path in paths {
            let program = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read(&path).expect("a file of figures can be read");
            for line in String::from_utf8_lossy(&text).lines() {
                let entry = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                figures.add(&program, entry);
            }
        }
        figures
    }

    /// Programs, and those of their runs in which rows were measured that stand: a filtered run measures some, or none.
    pub fn runs(&self) -> impl Iterator<Item = (&str, &Run)> {
        let all = self.runs.iter().flat_map(|(program, runs)| runs.iter().zip(1..).map(move |run| (program, run)));
        all.filter(|(program, (_, number))| {
            self.origins.iter().any(|((of, ..), runs)| of == *program && runs == number)
        })
        .map(|(program, (run, _))| (program.as_str(), run))
    }

    fn add(&mut self, program: &str, entry: Entry) {
        match entry {
            Entry::Run(run) => self.runs.entry(program.to_owned()).or_default().push(run),
            Entry::Row(row) => {
                let runs = self.runs.get(program).map_or(0, Vec::len);
                self.origins.insert((program.to_owned(), row.bench.clone(), row.store.clone(), row.keys), runs);
                self.rows.insert(program, row);
            }
            Entry::Series(series) => {
                let id = |series: &Series| (series.plot.clone(), series.store.clone(), series.keys);
                self.series.retain(|known| id(known) != id(&series));
                self.series.push(series);
            }
        }
    }
}

/// A row as one line for people.
fn describe(row: &Row) -> String {
    let Row { bench, store, keys, unit, rounds, note } = row;
    let (low, high) = row.range();
    let of = |value: f64| quantity::with_unit(value, unit);
    let size = if *keys == 0 { String::new() } else { format!(" at {} keys", quantity::short(*keys as f64)) };
    let range =
        if low == high { String::new() } else { format!("  ({} to {}, {} rounds)", of(low), of(high), rounds.len()) };
    let note = if note.is_empty() { String::new() } else { format!("; {note}") };
    format!("{bench:<34} {store:<14} {:>16}{size}{range}{note}", of(row.median()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_for_as_long_as_a_row_of_it_stands() {
        let mut figures = Figures::default();
        let run = |commit: &str| Entry::Run(Run { quick: false, rounds: 5, unix_ms: 0, commit: commit.to_owned() });
        let row = |bench: &str| Entry::Row(Row::of_many(bench, "store", 10, "ns", &[1.0]));
        let told = |figures: &Figures| -> Vec<String> { figures.runs().map(|(_, run)| run.commit.clone()).collect() };
        for entry in [run("first"), row("put"), row("get"), run("second"), row("put"), run("none")] {
            figures.add("program", entry);
        }
        assert_eq!(told(&figures), ["first", "second"]);
        figures.add("program", row("get"));
        assert_eq!(told(&figures), ["second", "none"]);
    }
}
