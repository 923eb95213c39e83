//! Benches of laminar's crates.
