//! Bytes in the place of a section, with checksums that hold.
#![no_main]

use laminar_sim::{Target, meet};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(violation) = meet(Target::Section, bytes, true) {
        panic!("{violation}");
    }
});
