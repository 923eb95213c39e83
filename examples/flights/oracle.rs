//! The truth: a single pass over the rows in memory, and the comparison of every entry of the state with it.

use std::collections::BTreeMap;

use laminar_storage::WalStateStore;
use rkyv::rancor::Error;

use crate::Result;
use crate::input::{Flight, Flights};
use crate::job::SOURCE;
use crate::operators::{Carriers, Fleet, Operator, Routes, State, read};
use crate::windows::{BUSIEST, Busiest, Today};

/// Totals that were computed without this project, so that not even the pass in memory has to be believed.
const KNOWN_ROWS: u64 = 336_776;
const KNOWN_DEPARTURES: [(&str, u64); 5] =
    [("UA", 58_665), ("B6", 54_635), ("EV", 54_173), ("DL", 48_110), ("AA", 32_729)];

type Entries<S> = BTreeMap<Vec<u8>, S>;

/// What the state has to be at the end.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) rows: u64,
    carriers: Entries<<Carriers as Operator>::State>,
    routes: Entries<<Routes as Operator>::State>,
    fleet: Entries<<Fleet as Operator>::State>,
    busiest: Entries<Busiest>,
}

impl Oracle {
    /// Makes the pass.
    pub(crate) fn compute() -> Result<Self> {
        let mut oracle = Self::default();
        let mut flights = Flights::open()?;
        let mut days = Entries::new();
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
                add::<Today>(&mut days, flight);
            }
        }
        for (key, count) in days {
            let (day, dest) = key.split_at_checked("2013-07-01".len()).ok_or("a key without a day")?;
            let busiest = oracle.busiest.entry(day.to_vec()).or_default();
            if count.departures > busiest.departures {
                *busiest =
                    Busiest { dest: dest.strip_prefix(b"/").unwrap_or(dest).try_into()?, departures: count.departures };
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
        comparison.add(store, Carriers::NAME, &self.carriers)?;
        comparison.add(store, Routes::NAME, &self.routes)?;
        comparison.add(store, Fleet::NAME, &self.fleet)?;
        comparison.add(store, BUSIEST, &self.busiest)?;
        // Each day is closed.
        comparison.add::<<Today as Operator>::State>(store, Today::NAME, &Entries::new())?;
        Ok(comparison)
    }
}

fn add<O: Operator>(entries: &mut Entries<O::State>, flight: &Flight) {
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
    fn add<S: State>(&mut self, store: &WalStateStore, operator: &str, expected: &Entries<S>) -> Result<()> {
        let mut found = Entries::new();
        if let Some(view) = store.operator_view(operator) {
            for entry in view.prefix_scan(b"") {
                let (key, bytes) = entry?;
                found.insert(key.to_vec(), rkyv::deserialize::<S, Error>(read::<S>(bytes)?)?);
            }
        }
        self.take(operator, expected, &found);
        Ok(())
    }

    fn take<S: State>(&mut self, operator: &str, expected: &Entries<S>, found: &Entries<S>) {
        let rows = |state: Option<&S>| state.map_or(0, State::rows);
        let (mut lost, mut repeated) = (0, 0);
        let only_found = found.keys().filter(|key| !expected.contains_key(*key));
        for key in expected.keys().chain(only_found) {
            let (expected, found) = (expected.get(key), found.get(key));
            self.entries += 1;
            lost += rows(expected).saturating_sub(rows(found));
            repeated += rows(found).saturating_sub(rows(expected));
            if expected != found {
                let key = String::from_utf8_lossy(key);
                self.differences.push(format!("{operator} {key}: {found:?} instead of {expected:?}"));
            }
        }
        self.lost = self.lost.max(lost);
        self.repeated = self.repeated.max(repeated);
    }
}
