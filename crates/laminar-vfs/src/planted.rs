//! Planted bugs: faults in our own code that a test turns on by name, to see whether the crash runs notice them.
//!
//! Not for users, and not in their builds: without the feature `planted`, which nothing turns on but
//! `cargo xtask fault --planted`, [`planted`] is a constant `false`, and the compiler drops it with what hangs on it.

#[cfg(feature = "planted")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Whether the bug of this name is to be acted out by this thread. Each stands at one place of the code that it spoils.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn planted(_name: &str) -> bool {
    false
}

/// Whether the bug of this name is to be acted out by this thread. Each stands at one place of the code that it spoils.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted(name: &str) -> bool {
    ACTIVE.get() == Some(name)
}

/// From now on this thread acts out the bug of this name, and no other.
#[cfg(feature = "planted")]
pub fn plant(name: Option<&'static str>) {
    ACTIVE.set(name);
}

#[cfg(not(feature = "planted"))]
const _: () = assert!(!planted("any"), "without the feature no bug is ever acted out, which the compiler knows");
