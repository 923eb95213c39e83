//! A model test: random operations, commits, checkpoints, crashes on the simulated disk and reopenings against the oracle. What it
//! checks after every recovery are P1 to P6 of ARCHITECTURE.md: nothing acknowledged is lost (P1, P3), the store is exactly at a
//! commit with the offsets of that commit (P2), nothing passes for damage or is silently cut (P4, P5), and a checkpoint
//! never adds or loses anything (P6).

use laminar_sim::{Op, run_ops, run_seed};
use proptest::prelude::*;

#[test]
fn random_runs_keep_the_promises() {
    let (mut crashes, mut checkpoints, mut recoveries) = (0, 0, 0);
    for seed in 0..150 {
        match run_seed(seed, 120) {
            Ok(summary) => {
                crashes += summary.crashes;
                checkpoints += summary.checkpoints;
                recoveries += summary.recoveries;
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    // The runs must reach what they are meant to test.
    assert!(crashes > 500 && checkpoints > 100 && recoveries > 500, "{crashes}, {checkpoints}, {recoveries}");
}

#[test]
fn equal_seeds_make_equal_runs() {
    // The summary holds a hash over every call to the disk.
    let run = |seed| run_seed(seed, 200).unwrap_or_else(|failure| panic!("{failure}"));
    for seed in [7, 77, 777] {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(7).trace_hash, run(77).trace_hash);
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = any::<u64>().prop_map(|seed| Op::random(&mut fastrand::Rng::with_seed(seed)));
    prop::collection::vec(op, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_operations_keep_the_promises(seed in 0..1000_u64, ops in ops()) {
        if let Err(violation) = run_ops(seed, &ops) {
            return Err(TestCaseError::fail(violation.to_string()));
        }
    }
}
