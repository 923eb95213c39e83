//! The input: events of the crate `nexmark`, generated once for each query and kept in a file, so that no store pays for them.
//! The number of an event in its file is its source offset.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::{Event as Generated, EventType};

use crate::backend::Outcome;

/// What an operator gets, without the columns that it does not look at. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody new.
    Person { id: u64, time: u64 },
    /// Something for sale.
    Auction { id: u64, seller: u64, category: u64, time: u64, expires: u64 },
    /// An offer.
    Bid { auction: u64, bidder: u64, price: u64, time: u64 },
    /// Something that may have come before.
    Seen { id: u64 },
}

const WORDS: usize = 6;
const BYTES: usize = WORDS * 8;

impl Event {
    fn encode(self) -> [u64; WORDS] {
        match self {
            Self::Person { id, time } => [0, id, time, 0, 0, 0],
            Self::Auction { id, seller, category, time, expires } => [1, id, seller, category, time, expires],
            Self::Bid { auction, bidder, price, time } => [2, auction, bidder, price, time, 0],
            Self::Seen { id } => [3, id, 0, 0, 0, 0],
        }
    }

    fn decode(words: [u64; WORDS]) -> Outcome<Self> {
        Ok(match words {
            [0, id, time, ..] => Self::Person { id, time },
            [1, id, seller, category, time, expires] => Self::Auction { id, seller, category, time, expires },
            [2, auction, bidder, price, time, _] => Self::Bid { auction, bidder, price, time },
            [3, id, ..] => Self::Seen { id },
            _ => return Err("a file of events holds something else".into()),
        })
    }

    fn of(generated: &Generated) -> Self {
        match generated {
            Generated::Person(person) => Self::Person { id: person.id as u64, time: person.date_time },
            Generated::Auction(auction) => Self::Auction {
                id: auction.id as u64,
                seller: auction.seller as u64,
                category: auction.category as u64,
                time: auction.date_time,
                expires: auction.expires,
            },
            Generated::Bid(bid) => Self::Bid {
                auction: bid.auction as u64,
                bidder: bid.bidder as u64,
                price: bid.price as u64,
                time: bid.date_time,
            },
        }
    }
}

/// The kinds of events that an operator gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kinds {
    /// Persons.
    pub(crate) persons: bool,
    /// Auctions.
    pub(crate) auctions: bool,
    /// Bids.
    pub(crate) bids: bool,
}

/// The events of these kinds, in the order of the generator, without end. Deterministic.
pub(crate) fn generated(kinds: Kinds) -> impl Iterator<Item = Event> {
    // The columns that no operator looks at cost nothing if they are empty; time starts at a fixed day.
    let config = NexmarkConfig {
        base_time: 1_700_000_000_000,
        avg_person_byte_size: 0,
        avg_auction_byte_size: 0,
        avg_bid_byte_size: 0,
        ..NexmarkConfig::default()
    };
    let of_type = |wanted: bool, kind: EventType, each: usize| {
        let events = EventGenerator::new(config.clone()).with_type_filter(kind);
        (events, if wanted { each } else { 0 })
    };
    // A row of fifty events is a person, three auctions and 46 bids.
    let mut sources = [
        of_type(kinds.persons, EventType::Person, config.person_proportion),
        of_type(kinds.auctions, EventType::Auction, config.auction_proportion),
        of_type(kinds.bids, EventType::Bid, config.bid_proportion),
    ];
    std::iter::repeat_with(move || {
        let row = sources.iter_mut().flat_map(|(events, each)| events.take(*each).map(|event| Event::of(&event)));
        row.collect::<Vec<_>>()
    })
    .flatten()
}

/// Numbers of which every other one has come before: the first of `known` on, in an order that follows from `seed`.
pub(crate) fn seen(known: u64, seed: u64) -> impl Iterator<Item = Event> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0_u64..).map(move |number| {
        let fresh = known + number / 2;
        Event::Seen { id: if number % 2 == 0 { fresh } else { rng.u64(..fresh + 1) } }
    })
}

/// Writes a file of events.
pub(crate) fn write(path: &Path, events: impl Iterator<Item = Event>) -> Outcome {
    let mut file = BufWriter::new(File::create(path)?);
    for event in events {
        for word in event.encode() {
            file.write_all(&word.to_le_bytes())?;
        }
    }
    Ok(file.flush()?)
}

/// Reads a file of events from an offset on.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    bytes: Vec<u8>,
}

impl Source {
    /// Opens it.
    pub(crate) fn open(path: &Path, offset: u64) -> Outcome<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset * BYTES as u64))?;
        Ok(Self { file, bytes: Vec::new() })
    }

    /// The next events, at most `count`; fewer only at the end. One call that reads, so that it costs little beside any store.
    pub(crate) fn next(&mut self, count: usize, into: &mut Vec<Event>) -> Outcome {
        into.clear();
        self.bytes.clear();
        (&mut self.file).take((count * BYTES) as u64).read_to_end(&mut self.bytes)?;
        let (words, _) = self.bytes.as_chunks::<8>();
        for words in words.as_chunks::<WORDS>().0 {
            into.push(Event::decode(words.map(u64::from_le_bytes))?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_back_from_an_offset_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let kinds = Kinds { persons: true, auctions: true, bids: true };
        write(&path, generated(kinds).take(120)).unwrap();
        let mut source = Source::open(&path, 100).unwrap();
        let mut events = Vec::new();
        source.next(1_000, &mut events).unwrap();
        assert_eq!(events, generated(kinds).skip(100).take(20).collect::<Vec<_>>());
        assert!(matches!(events[0], Event::Person { .. }));
    }

    #[test]
    fn filtered_events_are_those_of_the_whole_stream() {
        let all = generated(Kinds { persons: true, auctions: true, bids: true }).take(1_000);
        let bids: Vec<_> = all.filter(|event| matches!(event, Event::Bid { .. })).collect();
        let alone = generated(Kinds { persons: false, auctions: false, bids: true });
        assert_eq!(bids, alone.take(bids.len()).collect::<Vec<_>>());
        let whole: Vec<_> = EventGenerator::new(NexmarkConfig {
            base_time: 1_700_000_000_000,
            avg_person_byte_size: 0,
            avg_auction_byte_size: 0,
            avg_bid_byte_size: 0,
            ..NexmarkConfig::default()
        })
        .take(1_000)
        .map(|event| Event::of(&event))
        .filter(|event| matches!(event, Event::Bid { .. }))
        .collect();
        assert_eq!(bids, whole);
    }

    #[test]
    fn every_other_number_has_come_before() {
        let mut known = std::collections::BTreeSet::from_iter(0..10);
        let mut fresh = 0;
        for event in seen(10, 1).take(2_000) {
            let Event::Seen { id } = event else { panic!("{event:?}") };
            fresh += u32::from(known.insert(id));
        }
        assert_eq!(fresh, 1_000);
    }
}
