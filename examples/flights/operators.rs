//! What the job computes for all time: three operators, written against any `StateStore`.
//!
//! A value is an rkyv archive: what the store returns is read where it lies, without decoding.

use laminar_storage::StateStore;
use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator, to_bytes_in};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Portable, Serialize};

use crate::Result;
use crate::input::Flight;

/// State that can be stored as an archive and read in place.
pub(crate) trait State:
    Archive<
        Archived: Portable + Deserialize<Self, HighDeserializer<Error>> + for<'a> CheckBytes<HighValidator<'a, Error>>,
    > + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Error>>
    + Default
    + PartialEq
    + std::fmt::Debug
{
    /// How many rows it stands for.
    fn rows(&self) -> u64;
}

/// One keyed aggregation.
pub(crate) trait Operator {
    /// The name of its key space.
    const NAME: &'static str;

    /// What it keeps per key.
    type State: State;

    /// The key a flight belongs to, if it has one.
    fn key(flight: &Flight) -> Option<String>;

    /// Takes a flight into account.
    fn update(state: &mut Self::State, flight: &Flight);
}

/// Departures and their delays.
#[derive(Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct Punctuality {
    /// Scheduled, cancelled ones among them.
    pub(crate) departures: u64,
    /// Those that took place.
    pub(crate) flown: u64,
    /// Minutes of delay of those that took place; early ones count negative.
    pub(crate) delay_sum: i64,
    /// The worst of these delays, in minutes; 0 where all were early.
    pub(crate) worst_delay: i32,
}

impl Punctuality {
    fn add(&mut self, flight: &Flight) {
        self.departures += 1;
        if let Some(delay) = flight.departure_delay {
            self.flown += 1;
            self.delay_sum += i64::from(delay);
            self.worst_delay = self.worst_delay.max(delay);
        }
    }
}

impl State for Punctuality {
    fn rows(&self) -> u64 {
        self.departures
    }
}

/// Where an aircraft has been.
#[derive(Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct Aircraft {
    /// Flights that took place.
    pub(crate) legs: u64,
    /// Where the last of them went.
    pub(crate) last_airport: [u8; 3],
}

impl State for Aircraft {
    fn rows(&self) -> u64 {
        self.legs
    }
}

/// Punctuality by airline.
pub(crate) struct Carriers;

impl Operator for Carriers {
    const NAME: &'static str = "carriers";
    type State = Punctuality;

    fn key(flight: &Flight) -> Option<String> {
        Some(flight.carrier.clone())
    }

    fn update(state: &mut Punctuality, flight: &Flight) {
        state.add(flight);
    }
}

/// Punctuality by origin and destination.
pub(crate) struct Routes;

impl Operator for Routes {
    const NAME: &'static str = "routes";
    type State = Punctuality;

    fn key(flight: &Flight) -> Option<String> {
        Some(format!("{}-{}", flight.origin, flight.dest))
    }

    fn update(state: &mut Punctuality, flight: &Flight) {
        state.add(flight);
    }
}

/// Legs and last airport by aircraft. A cancelled flight moves none.
pub(crate) struct Fleet;

impl Operator for Fleet {
    const NAME: &'static str = "aircraft";
    type State = Aircraft;

    fn key(flight: &Flight) -> Option<String> {
        flight.tailnum.clone().filter(|_| flight.departure_delay.is_some())
    }

    fn update(state: &mut Aircraft, flight: &Flight) {
        state.legs += 1;
        for (to, from) in state.last_airport.iter_mut().zip(flight.dest.bytes()) {
            *to = from;
        }
    }
}

/// A value of the store, read in place.
pub(crate) fn read<S: State>(bytes: &[u8]) -> Result<&S::Archived> {
    Ok(rkyv::access::<S::Archived, Error>(bytes)?)
}

/// Flights whose keys the store is told of at once: as many as it fetches at a time.
const AHEAD: usize = 16;

/// Takes flights into account, one after the other, in the operator's own key space.
pub(crate) fn apply<O: Operator>(state: &mut impl StateStore, flights: &[Flight]) -> Result<()> {
    let mut buffer = AlignedVec::new();
    for group in flights.chunks(AHEAD) {
        let keyed: Vec<_> = group.iter().filter_map(|flight| Some((O::key(flight)?, flight))).collect();
        // Told ahead, these look-ups wait for memory together. It pays where there is more state than the processor's cache holds, other than here.
        state.prefetch(&keyed.iter().map(|(key, _)| key.as_bytes()).collect::<Vec<_>>());
        for (key, flight) in keyed {
            let mut value = match state.get(key.as_bytes())? {
                Some(bytes) => rkyv::deserialize::<O::State, Error>(read::<O::State>(bytes)?)?,
                None => O::State::default(),
            };
            O::update(&mut value, flight);
            buffer.clear();
            buffer = to_bytes_in::<_, Error>(&value, buffer)?;
            state.put(key.as_bytes(), &buffer)?;
        }
    }
    Ok(())
}
