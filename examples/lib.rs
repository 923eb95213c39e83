//! Programs that use laminar's crates.
