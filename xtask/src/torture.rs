//! `cargo xtask torture`: builds and runs `benches/torture`, and writes its tables into the README there.
//!
//! The suite is a workspace of its own, since the peers bring some two hundred packages along. Its build goes to the target directory of
//! this workspace all the same, below a name of its own.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::steps::{cargo, root, seconds, show};

/// Everything behind this line of the README is what was measured last.
const HEADING: &str = "## What was measured last";

/// Whom, and how much of it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A sixth of the flips
    #[arg(long)]
    quick: bool,
    /// Only the contenders with this in their name; the README stays as it is then
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Where the flips fall and what the records contain
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leaves the peers out, which take long to build; the README stays as it is then
    #[arg(long)]
    ours: bool,
}

/// Builds, runs, and takes the tables over.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let tables = target.join("torture/tables.md");
    let readme = root().join("benches/torture/README.md");
    let mut command = cargo(&["run", "--release", "--manifest-path", "benches/torture/Cargo.toml"]);
    command.env("CARGO_TARGET_DIR", target.join("torture"));
    if arguments.ours {
        command.arg("--no-default-features");
    }
    command.arg("--").arg("--markdown").arg(&tables).arg(format!("--seed={}", arguments.seed));
    command.args(arguments.only.iter().map(|name| format!("--only={name}")));
    if arguments.quick {
        command.arg("--quick");
    }
    let start = std::time::Instant::now();
    let outcome = show(command);
    if arguments.ours || !arguments.only.is_empty() {
        return outcome;
    }
    // Also what is not flawless is written down.
    let measured = std::fs::read_to_string(&tables)?;
    let how = if arguments.quick { "200 flips each (`--quick`)" } else { "1,200 flips each" };
    let today = date(SystemTime::now().duration_since(UNIX_EPOCH)?);
    let remark =
        format!("{today}: `cargo xtask torture`, seed {}, {how}, {} in all.", arguments.seed, seconds(start.elapsed()));
    let text = std::fs::read_to_string(&readme)?;
    std::fs::write(&readme, replaced(&text, &remark, &measured))?;
    println!("written into {}", readme.display());
    outcome
}

/// The README with other results.
fn replaced(text: &str, remark: &str, tables: &str) -> String {
    let before = text.split(HEADING).next().unwrap_or_default().trim_end();
    format!("{before}\n\n{HEADING}\n\n{remark}\n\n{}\n", tables.trim())
}

/// The day, in UTC, so long after the beginning of 1970.
fn date(since: Duration) -> String {
    let mut days = since.as_secs() / 86_400;
    let mut year = 1970;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        let day = |days: u64| date(Duration::from_secs(days * 86_400 + 3_600));
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(19_782), "2024-02-29");
        assert_eq!(day(19_783), "2024-03-01");
        assert_eq!(day(20_088), "2024-12-31");
        assert_eq!(day(20_089), "2025-01-01");
        assert_eq!(day(47_540), "2100-02-28");
        assert_eq!(day(47_541), "2100-03-01");
    }

    #[test]
    fn results_take_the_place_of_older_ones() {
        let text = "# Suite\n\nWhat it is.\n";
        let once = replaced(text, "today", "| a |\n");
        assert_eq!(once, "# Suite\n\nWhat it is.\n\n## What was measured last\n\ntoday\n\n| a |\n");
        assert_eq!(replaced(&once, "today", "| a |\n"), once);
    }
}
