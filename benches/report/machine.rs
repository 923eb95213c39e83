//! The machine that the figures are from: its class, and nothing that names it.

use laminar_benches::command::output;
use laminar_benches::directory;
use laminar_vfs::Env;

/// The machine, and what ran on it.
pub(crate) struct Machine {
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        // Major and minor version: what follows names a build, not a class of machines.
        let release = read("/proc/sys/kernel/osrelease");
        let kernel: Vec<&str> = release.trim().splitn(3, '.').take(2).collect();
        Self {
            facts: vec![
                ("date", date(Env::real().clock.unix_ms())),
                ("processor", format!("{cpu}, {cores} cores")),
                ("memory", memory.map_or_else(String::new, |kib| format!("{} GiB", kib >> 20))),
                ("system", format!("{} {}", std::env::consts::OS, kernel.join("."))),
                ("file system", output("stat", &["-f", "-c", "%T", &directory::figures().to_string_lossy()])),
                ("compiler", output("rustc", &["--version"])),
                ("peers", peers()),
                ("laminar", env!("CARGO_PKG_VERSION").to_owned()),
            ],
        }
    }
}

/// What is compared, with versions, as the lock file of the peers has them.
fn peers() -> String {
    const NAMES: [&str; 10] = [
        "rocksdb",
        "librocksdb-sys",
        "heed",
        "redb",
        "fjall",
        "hashbrown",
        "raft-engine",
        "okaywal",
        "wal-db",
        "writeahead",
    ];
    let versions = NAMES.iter().filter_map(|name| Some(format!("{name} {}", version(LOCK, name)?)));
    versions.collect::<Vec<_>>().join(", ")
}

const LOCK: &str = include_str!("../peers/Cargo.lock");

/// The newest version of a package in a lock file.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let head = format!("name = \"{name}\"\nversion = \"");
    lock.rsplit_once(&head)?.1.split('"').next()
}

fn read(path: &str) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The day of a point in time, as 2026-01-31. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub(crate) fn date(unix_ms: u64) -> String {
    let days = unix_ms / 86_400_000 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400_000), "2000-02-29");
        assert_eq!(date(1_767_225_599_999), "2025-12-31");
    }

    #[test]
    fn peers_have_versions() {
        assert_eq!(version("name = \"a\"\nversion = \"1.2.3\"\n", "a"), Some("1.2.3"));
        assert!(peers().contains("rocksdb 0.") && peers().contains("writeahead 0."), "{}", peers());
    }

    #[test]
    fn a_machine_has_a_class() {
        let machine = Machine::this();
        assert!(machine.facts.iter().any(|(name, value)| *name == "processor" && value.ends_with("cores")));
    }
}
