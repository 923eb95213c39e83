//! Hostile bytes, in every place where bytes are read: the cases that were found once, and some thousands of mutations by seed. None may
//! panic, take more memory than the files explain, or give anything but entries and typed errors.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test stops at what it does not expect"
)]

use std::path::Path;

use laminar_sim::{Met, Target, honest, meet, meet_mutation};

/// The directories are below 400 KiB; what is mapped is a copy on the simulated disk, and a run is read, verified and merged.
const MOST_BYTES: u64 = 24 << 20;

#[test]
fn honest_bytes_are_read_and_mending_them_changes_nothing() {
    for target in Target::ALL {
        for mend in [false, true] {
            assert_eq!(meet(target, &honest(target).unwrap(), mend).unwrap(), Met::Read, "{target}, mended: {mend}");
        }
        assert!(laminar_sim::mending_changes_nothing(target).unwrap(), "{target}: FORMAT.md and the code differ");
    }
}

#[test]
fn what_was_found_once_is_met() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut met = 0;
    for target in Target::ALL {
        for file in std::fs::read_dir(cases.join(target.to_string())).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            for mend in [false, true] {
                meet(target, &bytes, mend).unwrap_or_else(|violation| panic!("{}: {violation}", path.display()));
                met += 1;
            }
        }
    }
    assert!(met >= 20, "{met} cases");
}

#[test]
fn mutations_are_met_within_bounds() {
    for target in Target::ALL {
        for mend in [false, true] {
            // The directory that they take the place in is made outside of the measurement.
            honest(target).unwrap();
            let (mut refused, mut partly, mut read) = (0, 0, 0);
            for seed in 0..400 {
                let mut verdict = None;
                let used = allocation_counter::measure(|| verdict = Some(meet_mutation(target, mend, seed)));
                match verdict.unwrap() {
                    Ok(Met::Refused) => refused += 1,
                    Ok(Met::Partly) => partly += 1,
                    Ok(Met::Read) => read += 1,
                    Err(violation) => panic!("{violation}"),
                }
                assert!(used.bytes_max < MOST_BYTES, "{} bytes of memory for {target}:{mend}:{seed}", used.bytes_max);
            }
            println!("{target}, mended {mend}: {refused} refused, {partly} in part, {read} read");
            // Else the mutations don't reach what they are meant to test.
            assert!(
                refused + partly > 0 && partly + read > 0,
                "{target}, mended {mend}: {refused} refused, {read} read"
            );
        }
    }
}
