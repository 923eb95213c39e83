//! A window of a day: departures by where they go, of which the busiest is kept when the day has passed, and the counts are deleted.
//!
//! The first flight of the next day closes the one before. Counts, result and deletion are changes of one commit, as the source offset is: a job
//! that dies in between closes the day again, from the same counts.

use laminar_storage::{StateStore, WalStateStore};
use rkyv::rancor::Error;
use rkyv::{Archive, Deserialize, Serialize};

use crate::Result;
use crate::input::Flight;
use crate::operators::{Operator, State, apply, read};

/// How many departures there were.
#[derive(Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct Count {
    /// Scheduled, cancelled ones among them.
    pub(crate) departures: u64,
}

impl State for Count {
    fn rows(&self) -> u64 {
        self.departures
    }
}

/// Departures of the day that is open, by destination: the key is `2013-07-01/ORD`.
pub(crate) struct Today;

impl Operator for Today {
    const NAME: &'static str = "today";
    type State = Count;

    fn key(flight: &Flight) -> Option<String> {
        Some(format!("{}/{}", flight.day, flight.dest))
    }

    fn update(state: &mut Count, _: &Flight) {
        state.departures += 1;
    }
}

/// The key space of what is left of the days that have passed: the key is `2013-07-01`.
pub(crate) const BUSIEST: &str = "busiest";

/// Where most flights of a day went; of several the first in the alphabet.
#[derive(Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct Busiest {
    pub(crate) dest: [u8; 3],
    pub(crate) departures: u64,
}

impl State for Busiest {
    fn rows(&self) -> u64 {
        self.departures
    }
}

/// Takes flights into account, in the order of their days.
pub(crate) fn apply_by_day(store: &mut WalStateStore, flights: &[Flight]) -> Result<()> {
    for flights in flights.chunk_by(|one, next| one.day == next.day) {
        let is_next = |open: String| flights.first().is_some_and(|flight| flight.day != open);
        if open_day(store)?.is_some_and(is_next) {
            close_day(store)?;
        }
        apply::<Today>(&mut store.operator(Today::NAME)?, flights)?;
    }
    Ok(())
}

/// Closes the day that is open, if there is one.
pub(crate) fn close_day(store: &mut WalStateStore) -> Result<()> {
    let Some(day) = open_day(store)? else { return Ok(()) };
    let prefix = format!("{day}/").into_bytes();
    let mut busiest = Busiest::default();
    let mut today = store.operator(Today::NAME)?;
    for entry in today.prefix_scan(&prefix)? {
        let (key, bytes) = entry?;
        let departures = read::<Count>(bytes)?.departures.to_native();
        if departures > busiest.departures {
            let dest = key.strip_prefix(prefix.as_slice()).and_then(|dest| dest.try_into().ok());
            busiest = Busiest { dest: dest.ok_or("a destination is not of three letters")?, departures };
        }
    }
    today.delete_prefix(&prefix)?;
    store.operator(BUSIEST)?.put(day.as_bytes(), &rkyv::to_bytes::<Error>(&busiest)?)?;
    Ok(())
}

/// The day whose counts are in the state: what a job that begins again finds there.
fn open_day(store: &WalStateStore) -> Result<Option<String>> {
    let first = store.operator_view(Today::NAME).and_then(|today| today.prefix_scan(b"").next());
    let Some((key, _)) = first.transpose()? else { return Ok(None) };
    let key = String::from_utf8_lossy(key);
    Ok(key.split_once('/').map(|(day, _)| day.to_owned()))
}
