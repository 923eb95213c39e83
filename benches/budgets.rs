//! What the figures are held against: every budget of the project, each with the rows that it speaks of.
//!
//! A budget that compares with a floor or a map is judged within one program of ours; one that compares with a peer, within the
//! programs `peers...`, where our store ran in turns with theirs. So no ratio is made of figures from two runs.

use std::collections::BTreeMap;

mod rule;

pub use rule::{Budget, Finding, Verdict};
use rule::{at_least, at_most};

use crate::names::*;

/// The size that some budgets speak of.
const LARGE: u64 = 10_000_000;

const MS: f64 = 1e6;
const US: f64 = 1e3;
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// All of them, in the order of the report, under its headings.
#[must_use]
pub fn sections() -> Vec<(&'static str, Vec<Budget>)> {
    vec![
        ("Log", log()),
        ("State in memory and from a checkpoint", points().into_iter().chain(scans()).collect()),
        ("From 1 M to 10 M keys", growth()),
        ("Checkpoints", checkpoints()),
        ("Recovery", recovery()),
        ("Nexmark", nexmark()),
    ]
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Budget> {
    sections().into_iter().flat_map(|(_, budgets)| budgets).collect()
}

/// Why budgets are missed: Markdown, a heading with the words of each budget, and below it the reason and what was tried.
const MISSES: &str = include_str!("report/misses.md");

/// What there is to say on why a budget is missed, by the words of the budget.
#[must_use]
pub fn explanations() -> BTreeMap<String, String> {
    explanations_of(MISSES)
}

fn explanations_of(text: &str) -> BTreeMap<String, String> {
    let sections = text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    sections
        .map(|(heading, text)| (heading.trim().to_owned(), text.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}

/// The parts of one budget: it holds where all of them do.
fn budget(whole: &'static str, parts: impl IntoIterator<Item = Budget>) -> Vec<Budget> {
    parts.into_iter().map(|part| part.part_of(whole)).collect()
}

fn log() -> Vec<Budget> {
    [
        budget(
            "log append, buffered",
            [
                at_most("log append, buffered, 100 B", LOG_APPEND, "log")
                    .times(2.0, LOG_APPEND, F_CPU)
                    .plus(20.0, "ns"),
                // None of its own: a call for each piece of the buffer that is full, which holds hundreds of records.
                at_most("log append: calls that write, a record", LOG_APPEND_CALLS, "log").plus(0.005, ""),
                at_most("log append: allocations, a record", LOG_APPEND_ALLOCATIONS, "log").plus(0.001, ""),
                at_most("log append against the fastest log of others", LOG_APPEND, "peers").best(0.2, &LOG_PEERS),
            ],
        ),
        durable(),
        budget(
            "replay",
            [
                at_least("replay, records of 116 B a second and core", LOG_REPLAY, "log").plus(5e6, "records/s"),
                at_most("replay: allocations, a record", LOG_REPLAY_ALLOCATIONS, "log").plus(0.001, ""),
            ],
        ),
    ]
    .concat()
}

fn durable() -> Vec<Budget> {
    let durable = format!("{LOG_DURABLE}/p50");
    let (group_8, group_32) = (format!("{LOG_GROUP_8}{RECORDS_PER_SYNC}"), format!("{LOG_GROUP_32}{RECORDS_PER_SYNC}"));
    let (writes, syncs) = (format!("{LOG_DURABLE_CALLS}/writes"), format!("{LOG_DURABLE_CALLS}/syncs"));
    let mut budgets = budget(
        "log durable append, one thread",
        [
            at_most("log durable append, one thread, p50", &durable, "log")
                .times(1.05, &durable, F_SYNC)
                .plus(5.0 * US, "ns"),
            at_most("log durable append: writes, a record", &writes, "log").plus(1.01, ""),
            at_most("log durable append: syncs, a record", &syncs, "log").plus(1.01, ""),
        ],
    );
    budgets.extend(budget(
        "group commit",
        [
            at_least("group commit, 8 threads: records a sync", &group_8, "log").plus(0.9 * 8.0, "records/sync"),
            at_least("group commit, 32 threads: records a sync", &group_32, "log").plus(0.9 * 32.0, "records/sync"),
            at_most("group commit, 8 threads, p50", &format!("{LOG_GROUP_8}/p50"), "log").times(1.5, &durable, F_SYNC),
        ],
    ));
    budgets
}

fn points() -> Vec<Budget> {
    [
        budget(
            "put",
            [
                at_least("put, random load, log on", PUT, "peers").best(8.0, &DURABLE_PEERS),
                at_least("put against a hash map without durability", PUT, "store").times(1.0, PUT, HASHBROWN),
                at_most("the longest put", PUT_LONGEST, "store").plus(2.0 * MS, "ns").at(LARGE),
            ],
        ),
        budget(
            "memory",
            [at_most("memory an entry: 1.5 x keys and values", MEMORY_ENTRY, "store").plus(1.5 * 116.0, "bytes")],
        ),
        gets(),
        budget("zipf", [at_least("zipf 0.99, half get half put", ZIPF, "peers").best(8.0, &DURABLE_PEERS)]),
        budget("delete", [at_least("delete, random", DELETE, "peers").best(3.0, &DURABLE_PEERS)]),
        budget(
            "state larger than memory",
            [at_least("state larger than memory: gets", GET_HIT_QUARTER, "peers").best(1.0, &[LMDB])],
        ),
        operators(),
    ]
    .concat()
}

fn gets() -> Vec<Budget> {
    let mut budgets = budget(
        "get, hit",
        [
            at_least("get, hit, in memory, against LMDB", GET_HIT, "peers").best(6.0, &[LMDB]),
            at_least("get, hit, in memory, against a hash map", GET_HIT, "store").times(1.2, GET_HIT, HASHBROWN),
            at_least("get, hit, from a checkpoint", GET_HIT_OPENED, "peers").best(4.0, &[LMDB]),
        ],
    );
    budgets.extend(budget(
        "get, miss",
        [
            at_least("get, miss, in memory", GET_MISS, "peers").best(2.0, &DURABLE_PEERS),
            at_least("get, miss, from a checkpoint", GET_MISS_OPENED, "peers").best(1.2, &DURABLE_PEERS),
        ],
    ));
    budgets
}

fn operators() -> Vec<Budget> {
    let as_one = |text: &str, bench: &str| at_least(text, bench, "store").times(0.95, bench, ONE_OPERATOR);
    budget(
        "ten thousand operators",
        [
            as_one("ten thousand operators: puts, within 5 % of noise", PUT_OPERATORS),
            as_one("ten thousand operators: gets, within 5 % of noise", GET_OPERATORS),
        ],
    )
}

fn growth() -> Vec<Budget> {
    let of = |bench: &str| at_least(&format!("{bench}: from 1 M to 10 M keys"), bench, "store").growth(0.5);
    budget("growth", [PUT, GET_HIT, GET_MISS, GET_HIT_OPENED, ZIPF, DELETE, SCAN, SCAN_OPENED].map(of))
}

fn scans() -> Vec<Budget> {
    budget(
        "prefix scan",
        [
            at_least("prefix scan of 10, in memory", SCAN, "peers").best(1.2, &[LMDB]),
            at_least("prefix scan of 10, from a checkpoint", SCAN_OPENED, "peers").best(1.5, &[LMDB]),
        ],
    )
}

fn checkpoints() -> Vec<Budget> {
    [
        pause(),
        bytes(),
        budget(
            "checkpoint: time",
            [
                at_most("checkpoint: time, full", CHECKPOINT_FULL, "checkpoint")
                    .times(1.3, CHECKPOINT_FULL, F_BW)
                    .per_key(200.0, "ns"),
                at_most("checkpoint: time, 1 % changed, against RocksDB", CHECKPOINT_CHANGED, "peers")
                    .best(1.0, &[ROCKSDB]),
            ],
        ),
        budget(
            "checkpoint: memory",
            [at_most("checkpoint: memory, every key changed", CHECKPOINT_MEMORY, "checkpoint")
                .plus(64.0 * MIB, "bytes")
                .per_key(24.0, "bytes")],
        ),
        budget(
            "space",
            [
                at_most("space over live state, averaged over 100 checkpoints", SERIES_SPACE, "series")
                    .plus(1.5, "")
                    .at(LARGE),
                at_most("space over live state, at most", SERIES_SPACE_PEAK, "series").plus(2.7, "").at(LARGE),
            ],
        ),
    ]
    .concat()
}

fn pause() -> Vec<Budget> {
    let (during, quiet) = (format!("{WRITER_CHECKPOINT}/p99.9"), format!("{WRITER_QUIET}/p99.9"));
    let (longest, longest_quiet) = (format!("{WRITER_CHECKPOINT}/max"), format!("{WRITER_QUIET}/max"));
    budget(
        "checkpoint: pause of the writer",
        [
            at_most("checkpoint: p99.9 of puts while it runs", &during, "writer").times(1.2, &quiet, LAMINAR),
            at_most("checkpoint: longest put while it runs", &longest, "writer")
                .times(1.0, &longest_quiet, LAMINAR)
                .plus(MS, "ns"),
            at_most("checkpoint: p99.9 of puts, from 1 M to 10 M keys", &during, "writer").growth(1.2),
        ],
    )
}

fn bytes() -> Vec<Budget> {
    let changed = CHECKPOINT_CHANGED_BYTES;
    budget(
        "checkpoint: bytes",
        [
            at_most("checkpoint: bytes, 1 % changed", changed, "checkpoint")
                .times(1.35, changed, CHANGED_BYTES)
                .plus(64.0 * KIB, "bytes"),
            at_most("checkpoint: bytes, 1 % changed, against RocksDB", changed, "peers").best(1.2, &[ROCKSDB]),
            at_most("100 checkpoints, the same 1 %: bytes over changed bytes", SERIES_SAME, "series").plus(1.5, ""),
            at_most("100 checkpoints, a random 1 %: bytes over changed bytes", SERIES_UNIFORM, "series").plus(3.3, ""),
            at_most("100 checkpoints: runs", SERIES_RUNS, "series").plus(16.0, ""),
        ],
    )
}

fn recovery() -> Vec<Budget> {
    let mut budgets = budget(
        "open to first get",
        [
            at_most("open to first get, empty tail", OPEN_EMPTY_TAIL, "recovery").plus(2.0 * MS, "ns"),
            at_most("open to first get, 100,000 records in the tail", OPEN_TAIL, "peers").best(0.25, &[ROCKSDB]),
        ],
    );
    let full_speed = at_most("open to 100,000 random gets", OPEN_GETS, "peers").best(1.0, &[LMDB]);
    budgets.extend(budget("open to full speed", [full_speed]));
    budgets
}

fn nexmark() -> Vec<Budget> {
    let of = |query: &&str| {
        let rate = format!("nexmark/{query}");
        let (quiet, during) = (format!("{rate}{NEXMARK_QUIET}/p99.9"), format!("{rate}{NEXMARK_CHECKPOINT}/p99.9"));
        let latency = format!("Nexmark {query}: p99.9 of events while a checkpoint runs");
        [
            at_least(&format!("Nexmark {query}: events/s"), &rate, "peers").best(3.0, &DURABLE_PEERS),
            at_most(&latency, &during, "peers").times(1.5, &quiet, LAMINAR),
        ]
    };
    budget("Nexmark", NEXMARK_QUERIES.iter().flat_map(of))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_budget_has_a_name_of_its_own() {
        let mut names = HashSet::new();
        for budget in all() {
            assert!(names.insert(budget.text().to_owned()), "{}", budget.text());
            assert!(!budget.whole().is_empty(), "{} is a part of none", budget.text());
        }
    }

    #[test]
    fn every_explanation_is_of_a_budget() {
        let known: HashSet<String> = all().iter().map(|budget| budget.text().to_owned()).collect();
        for (budget, text) in explanations() {
            assert!(known.contains(&budget), "no budget is called {budget:?}");
            assert!(!text.is_empty(), "{budget:?} is not explained");
        }
    }

    #[test]
    fn an_explanation_is_the_text_below_its_heading() {
        let text = "# Title\nWords.\n\n## a budget, of two words\n\nFirst line\nand second.\n\n## another\nwhy\n";
        let of = explanations_of(text);
        assert_eq!(of["a budget, of two words"], "First line and second.");
        assert_eq!((of["another"].as_str(), of.len()), ("why", 2));
    }
}
