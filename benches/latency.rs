//! Latencies: a histogram with three digits from a nanosecond to a minute.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Figure;

const MAX_NANOS: u64 = 60_000_000_000;

/// How long each of many operations took.
///
/// ```
/// use laminar_benches::Latency;
/// let mut latency = Latency::new();
/// for nanos in 1..=1000 {
///     latency.record_nanos(nanos);
/// }
/// assert_eq!(latency.quantile(0.5), 500.0);
/// assert_eq!(latency.max(), 1000.0);
/// ```
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Latency {
    /// Nothing measured yet.
    ///
    /// # Panics
    /// Never: the bounds of the histogram are legal.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_NANOS, 3).expect("legal bounds"))
    }

    /// Notes the time since `start`, and returns now: the start of the next operation, where one follows the other.
    #[inline]
    pub fn record_since(&mut self, start: Instant) -> Instant {
        let now = crate::time::now();
        self.record(now - start);
        now
    }

    /// Notes one operation.
    #[inline]
    pub fn record(&mut self, duration: Duration) {
        self.record_nanos(u64::try_from(duration.as_nanos()).unwrap_or(MAX_NANOS));
    }

    /// Notes one operation of so many nanoseconds.
    #[inline]
    pub fn record_nanos(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.max(1));
    }

    /// Adds what another one has noted.
    ///
    /// # Panics
    /// Never: both have the same bounds.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the same bounds");
    }

    /// Operations noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Nanoseconds that this share of the operations did not exceed; `0.999` for p99.9.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64
    }

    /// Nanoseconds of the longest one; exact to three digits.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.0.max() as f64
    }

    /// p50, p99, p99.9 and the longest, as figures of `bench`: `<bench>/p50` and so on, in nanoseconds.
    #[must_use]
    pub fn figures(&self, bench: &str) -> Vec<Figure> {
        let shares = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
        let mut figures: Vec<Figure> = shares
            .iter()
            .map(|(name, share)| (format!("{bench}/{name}"), "ns", self.quantile(*share)).into())
            .collect();
        figures.push((format!("{bench}/max"), "ns", self.max()).into());
        figures
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}
