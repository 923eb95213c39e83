//! Edits of a store's directory, with checksums that hold.
#![no_main]

use laminar_sim::{Target, meet};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(violation) = meet(Target::Directory, bytes, true) {
        panic!("{violation}");
    }
});
