//! Programs that use laminar's crates. The README is part of this documentation, so that its code runs as a test.
#![doc = include_str!("../README.md")]
