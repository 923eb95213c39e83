//! Parts of a bench that need a process of their own: memory, recovery, death by signal.
//!
//! The bench starts itself with `--child NAME ARGUMENTS...`; the child measures, prints its figures as one line of JSON, and
//! ends. What it prints to the standard error stream is shown.

use std::process::{Child, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Figure;

/// The first argument of a child.
const FLAG: &str = "--child";

/// What this process has to do if it is a child: the name of the part, and its arguments.
#[must_use]
pub fn part() -> Option<(String, Vec<String>)> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != FLAG {
        return None;
    }
    Some((arguments.next()?, arguments.collect()))
}

fn command(name: &str, arguments: &[&str]) -> Command {
    let program = std::env::current_exe().expect("a process knows its program");
    let mut command = Command::new(program);
    command.arg(FLAG).arg(name).args(arguments);
    command
}

/// Runs a part in a process of its own and returns what it told with [`tell`].
///
/// # Panics
/// If it fails, or tells something else.
pub fn run<T: DeserializeOwned>(name: &str, arguments: &[&str]) -> T {
    let output = command(name, arguments).stderr(Stdio::inherit()).output().expect("the bench can start itself");
    assert!(output.status.success(), "{name} {arguments:?} failed: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{name} {arguments:?} told {text:?}: {error}"))
}

/// Starts a part that is to be killed, with its standard output piped.
///
/// # Panics
/// If it can't be started.
#[must_use]
pub fn start(name: &str, arguments: &[&str]) -> Child {
    command(name, arguments).stdout(Stdio::piped()).spawn().expect("the bench can start itself")
}

/// Tells the parent the result of a part.
///
/// # Panics
/// If it is not plain data.
#[expect(clippy::print_stdout, reason = "the parent reads it there")]
pub fn tell(result: &impl Serialize) {
    println!("{}", serde_json::to_string(result).expect("plain data"));
}

/// Runs a part that tells figures, see [`tell_figures`].
///
/// # Panics
/// As [`run`].
#[must_use]
pub fn figures(name: &str, arguments: &[&str]) -> Vec<Figure> {
    let told: Vec<(String, String, f64)> = run(name, arguments);
    told.into_iter().map(Into::into).collect()
}

/// Tells the parent figures.
///
/// # Panics
/// As [`tell`].
pub fn tell_figures(figures: &[Figure]) {
    let told: Vec<(&str, &str, f64)> =
        figures.iter().map(|figure| (figure.bench.as_str(), figure.unit.as_str(), figure.value)).collect();
    tell(&told);
}
