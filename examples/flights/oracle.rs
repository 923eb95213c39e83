//! The truth: a single pass over the rows in memory, and the comparison of every entry of the state with it.

use std::collections::BTreeMap;

use laminar_storage::WalStateStore;
use rkyv::rancor::Error;

use crate::Result;
use crate::input::{Flight, Flights};
use crate::job::SOURCE;
use crate::operators::{Carriers, Fleet, Operator, Routes, read};

/// Totals that were computed without this project, so that not even the pass in memory has to be believed.
const KNOWN_ROWS: u64 = 336_776;
const KNOWN_DEPARTURES: [(&str, u64); 5] =
    [("UA", 58_665), ("B6", 54_635), ("EV", 54_173), ("DL", 48_110), ("AA", 32_729)];

type Entries<O> = BTreeMap<Vec<u8>, <O as Operator>::State>;

/// What the state has to be at the end.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) rows: u64,
    carriers: Entries<Carriers>,
    routes: Entries<Routes>,
    fleet: Entries<Fleet>,
}

impl Oracle {
    /// Makes the pass.
    pub(crate) fn compute() -> Result<Self> {
        let mut oracle = Self::default();
        let mut flights = Flights::open()?;
        loop {
            let batch = flights.batch(10_000)?;
            if batch.is_empty() {
                break;
            }
            oracle.rows += u64::try_from(batch.len())?;
            for flight in &batch {
                add::<Carriers>(&mut oracle.carriers, flight);
                add::<Routes>(&mut oracle.routes, flight);
                add::<Fleet>(&mut oracle.fleet, flight);
            }
        }
        if oracle.rows != KNOWN_ROWS {
            return Err(format!("the input has {} rows, known are {KNOWN_ROWS}", oracle.rows).into());
        }
        for (carrier, known) in KNOWN_DEPARTURES {
            let counted = oracle.carriers.get(carrier.as_bytes()).map_or(0, |state| state.departures);
            if counted != known {
                return Err(format!("the input has {counted} departures of {carrier}, known are {known}").into());
            }
        }
        Ok(oracle)
    }

    /// Compares every entry of every operator, and the source offset.
    pub(crate) fn compare(&self, store: &WalStateStore) -> Result<Comparison> {
        let mut comparison = Comparison::default();
        let offset = store.source_offset(SOURCE).unwrap_or(0);
        if offset != self.rows {
            comparison.differences.push(format!("source offset: {offset} instead of {}", self.rows));
        }
        comparison.add::<Carriers>(store, &self.carriers)?;
        comparison.add::<Routes>(store, &self.routes)?;
        comparison.add::<Fleet>(store, &self.fleet)?;
        Ok(comparison)
    }
}

fn add<O: Operator>(entries: &mut Entries<O>, flight: &Flight) {
    if let Some(key) = O::key(flight) {
        O::update(entries.entry(key.into_bytes()).or_default(), flight);
    }
}

/// How the state differs from the truth.
#[derive(Default)]
pub(crate) struct Comparison {
    /// Entries looked at.
    pub(crate) entries: u64,
    /// Rows that are missing in the state, in the operator that misses most.
    pub(crate) lost: u64,
    /// Rows that are in the state more than once, in the operator that repeats most.
    pub(crate) repeated: u64,
    /// One line for every entry that differs.
    pub(crate) differences: Vec<String>,
}

impl Comparison {
    fn add<O: Operator>(&mut self, store: &WalStateStore, expected: &Entries<O>) -> Result<()> {
        let mut found: Entries<O> = BTreeMap::new();
        if let Some(view) = store.operator_view(O::NAME) {
            for entry in view.prefix_scan(b"") {
                let (key, bytes) = entry?;
                found.insert(key.to_vec(), rkyv::deserialize::<O::State, Error>(read::<O::State>(bytes)?)?);
            }
        }
        self.take::<O>(expected, &found);
        Ok(())
    }

    fn take<O: Operator>(&mut self, expected: &Entries<O>, found: &Entries<O>) {
        let rows = |state: Option<&O::State>| state.map_or(0, crate::operators::State::rows);
        let (mut lost, mut repeated) = (0, 0);
        let only_found = found.keys().filter(|key| !expected.contains_key(*key));
        for key in expected.keys().chain(only_found) {
            let (expected, found) = (expected.get(key), found.get(key));
            self.entries += 1;
            lost += rows(expected).saturating_sub(rows(found));
            repeated += rows(found).saturating_sub(rows(expected));
            if expected != found {
                let key = String::from_utf8_lossy(key);
                self.differences.push(format!("{} {key}: {found:?} instead of {expected:?}", O::NAME));
            }
        }
        self.lost = self.lost.max(lost);
        self.repeated = self.repeated.max(repeated);
    }
}
