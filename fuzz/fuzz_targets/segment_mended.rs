//! Bytes in the place of a segment, with checksums that hold.
#![no_main]

use laminar_sim::{Target, meet};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(violation) = meet(Target::Segment, bytes, true) {
        panic!("{violation}");
    }
});
