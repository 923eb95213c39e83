//! The clock of the benches.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// The machine's clock.
#[must_use]
#[inline]
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock of the machine")]
pub fn now() -> Instant {
    Instant::now()
}

/// How long `work` takes.
pub fn of<R>(work: impl FnOnce() -> R) -> (R, Duration) {
    let start = now();
    let result = black_box(work());
    (result, start.elapsed())
}

/// How long this thread has been on a processor: time without waiting, and without what others took of the machine.
///
/// # Panics
/// Where there is no `/proc` as Linux has it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the system tells it in a file of its own")]
pub fn on_processor() -> Duration {
    let text = std::fs::read("/proc/thread-self/schedstat").expect("the system tells it");
    let nanos = String::from_utf8_lossy(&text).split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number comes first"))
}

/// Nanoseconds for each of `count` pieces of `work`.
pub fn nanos_per<R>(count: usize, work: impl FnOnce() -> R) -> f64 {
    of(work).1.as_secs_f64() * 1e9 / count as f64
}

/// Operations a second, one for each of `inputs`.
pub fn rate<T, R>(inputs: &[T], mut operation: impl FnMut(&T) -> R) -> f64 {
    let start = now();
    for input in inputs {
        black_box(operation(input));
    }
    inputs.len() as f64 / start.elapsed().as_secs_f64()
}
