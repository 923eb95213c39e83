//! Programs of the system that are asked what ran, and on what.

use std::process::Command;

/// What a program prints, trimmed; nothing where it can't be run.
#[must_use]
pub fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
