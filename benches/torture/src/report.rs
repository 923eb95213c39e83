//! The tables, for a terminal and as Markdown.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::contender::Kind;
use crate::torture::{Plan, Row};
use crate::verdict::Tally;

/// The lock file of this package: who took part, exactly.
const LOCK: &str = include_str!("../Cargo.lock");

/// The version of a package in this build.
pub(crate) fn version(package: &str) -> String {
    let name = format!("name = \"{package}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = ")).unwrap_or("?");
    version.trim_matches('"').to_owned()
}

/// The table of one kind as a person reads it on a terminal, if anybody of that kind took part.
pub(crate) fn for_terminal(kind: Kind, plan: &Plan, rows: &[Row]) -> Option<String> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.kind == kind).collect();
    if rows.is_empty() {
        return None;
    }
    let mut table = table(kind, plan, &rows);
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(160);
    Some(format!("{}\n{table}\n{}", title(kind), remarks(&rows, "  ")))
}

/// The same as Markdown.
pub(crate) fn as_markdown(kind: Kind, plan: &Plan, rows: &[Row]) -> Option<String> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.kind == kind).collect();
    if rows.is_empty() {
        return None;
    }
    let mut table = table(kind, plan, &rows);
    table.load_style(presets::ASCII_MARKDOWN);
    let versions: Vec<String> = rows.iter().map(|row| format!("{} {}", row.package, row.version)).collect();
    let mut versions = versions;
    versions.dedup();
    let seed = format!("Seed {}, {} flips. Versions: {}.", plan.seed, plan.flips, versions.join(", "));
    Some(format!("## {}\n\n{table}\n\n{seed}\n\n{}", title(kind), remarks(&rows, "- ")))
}

fn title(kind: Kind) -> String {
    let (records, bytes) = (kind.records(), kind.bytes());
    match kind {
        Kind::Log => format!("Logs: {records} records of {bytes} bytes, each synced and acknowledged, not closed"),
        Kind::Store => format!("Stores: {records} durable commits of one key with {bytes} bytes, not closed"),
    }
}

fn table(kind: Kind, plan: &Plan, rows: &[&Row]) -> Table {
    let flips = format!("{} flips: whole", plan.flips);
    let (who, first): (_, &[&str]) = match kind {
        Kind::Log => ("log", &["unharmed", "bit in record 500", "middle segment gone"]),
        Kind::Store => ("store", &["unharmed", "each file gone"]),
    };
    let sync = ["acks after a failed sync", "failed sync, restart, cache dropped"];
    let last = [flips.as_str(), "refused", "loss told", "SILENT LOSS", "WRONG", "PANIC", "HANG"];
    let mut table = Table::new();
    table.set_header([who, "version"].iter().chain(first).chain(&sync).chain(&last));
    for row in rows {
        let mut cells = vec![row.name.to_owned(), row.version.clone()];
        cells.extend(row.cells.iter().cloned());
        cells.resize(2 + first.len() + sync.len(), "?".to_owned());
        let tally = &row.flips;
        let silent = match tally.silent_range {
            Some((least, most)) if least == most => format!("{} ({least})", tally.silent),
            Some((least, most)) => format!("{} ({least}-{most})", tally.silent),
            None => "0".to_owned(),
        };
        cells.extend([tally.whole, tally.refused, tally.reported].map(|count| count.to_string()));
        cells.push(silent);
        cells.extend([tally.wrong, tally.died, tally.hung].map(|count| count.to_string()));
        table.add_row(cells);
    }
    for index in 2 + first.len() + sync.len()..2 + first.len() + sync.len() + last.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn remarks(rows: &[&Row], bullet: &str) -> String {
    let remarks = rows.iter().flat_map(|row| &row.remarks);
    remarks.map(|remark| format!("{bullet}{}\n", without_home(remark))).collect()
}

/// A remark without the part of its paths that differs from machine to machine: where the sources of packages lie.
fn without_home(remark: &str) -> String {
    let words = remark.split(' ').map(|word| match word.split_once("/registry/src/") {
        Some((_, rest)) => rest.split_once('/').map_or(rest, |(_, path)| path),
        None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.whole, "whole"),
            (self.refused, "refused"),
            (self.reported, "loss told"),
            (self.silent, "LOST"),
            (self.wrong, "WRONG"),
            (self.died, "PANIC"),
            (self.hung, "HANG"),
        ];
        let parts: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        formatter.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_with_the_package() {
        let told = "panicked at /home/me/.cargo/registry/src/index-1/peer-1.0/src/lib.rs:1:2: no";
        assert_eq!(without_home(told), "panicked at peer-1.0/src/lib.rs:1:2: no");
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(version("clap").starts_with("4."));
        assert_eq!(version("no-such-package"), "?");
    }
}
