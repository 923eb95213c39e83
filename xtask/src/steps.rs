//! Running one cargo command after the other: a heading each, its output as it comes, and a table of verdicts at the end.
//!
//! A failed step does not keep the next one from running: one call tells everything there is to mend.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};

use crate::Outcome;

/// The steps taken so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
    fresh: bool,
}

struct Step {
    name: &'static str,
    time: Duration,
    outcome: Result<String, String>,
}

impl Steps {
    /// Takes one step. What it returns, or the message of its error, stands in its row of the table.
    pub(crate) fn take(&mut self, name: &'static str, step: impl FnOnce() -> Outcome<String>) {
        if self.fresh {
            println!();
        }
        self.fresh = true;
        println!("--- {name}");
        let start = Instant::now();
        let outcome = step().map_err(|error| error.to_string());
        if let Err(message) = &outcome {
            println!("{message}");
        }
        self.done.push(Step { name, time: start.elapsed(), outcome });
    }

    /// Prints the table of verdicts.
    ///
    /// # Errors
    /// If any step failed, naming all that did.
    pub(crate) fn finish(self) -> Outcome {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["step", "verdict", "time", ""]);
        for step in &self.done {
            let verdict = if step.outcome.is_ok() { "passed" } else { "FAILED" };
            let (Ok(remark) | Err(remark)) = &step.outcome;
            let remark = remark.lines().next().unwrap_or_default();
            table.add_row([step.name, verdict, &seconds(step.time), remark]);
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("\n{table}");
        let total: Duration = self.done.iter().map(|step| step.time).sum();
        let failed: Vec<_> = self.done.iter().filter(|step| step.outcome.is_err()).map(|step| step.name).collect();
        if failed.is_empty() {
            println!("all {} steps passed in {}", self.done.len(), seconds(total));
            return Ok(());
        }
        Err(format!("{} of {} steps failed: {}", failed.len(), self.done.len(), failed.join(", ")).into())
    }
}

/// A duration for a table.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.parent().map_or(package.clone(), PathBuf::from)
}

/// A cargo command at the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Shows a command and runs it, with its output on the terminal.
///
/// # Errors
/// If it can't be started or fails.
pub(crate) fn show(mut command: Command) -> Outcome {
    println!("$ {}", line_of(&command));
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(status.to_string().into()) }
}

/// What the closing lines of test binaries add up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    binaries: u64,
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Adds a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; ...`; any other line adds nothing.
    fn add(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else { return };
        self.binaries += 1;
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(count) = count.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { binaries, passed, failed, ignored } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} ignored in {binaries} test binaries")
    }
}

/// Shows a command that runs tests and runs it; its output goes to the terminal, and its closing lines are added up.
///
/// # Errors
/// If it can't be started or fails; also if it succeeds without having run a single test.
pub(crate) fn show_tests(mut command: Command) -> Outcome<Tally> {
    println!("$ {}", line_of(&command));
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tally.add(&line);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("{tally} ({status})").into());
    }
    if tally.passed == 0 {
        return Err("not a single test".into());
    }
    Ok(tally)
}

fn line_of(command: &Command) -> String {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    let environment = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}='{}'", name.to_string_lossy(), value?.to_string_lossy())));
    environment.chain(["cargo".to_owned()]).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up() {
        let mut tally = Tally::default();
        tally.add("running 3 tests");
        tally.add("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        tally.add("test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.20s");
        assert_eq!(tally, Tally { binaries: 2, passed: 13, failed: 2, ignored: 1 });
    }

    #[test]
    fn a_failed_step_names_itself_and_lets_the_next_one_run() {
        let mut steps = Steps::default();
        let mut ran = false;
        steps.take("first", || Err("no".into()));
        steps.take("second", || {
            ran = true;
            Ok(String::new())
        });
        assert!(ran);
        assert_eq!(steps.finish().unwrap_err().to_string(), "1 of 2 steps failed: first");
    }
}
