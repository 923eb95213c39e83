//! The rows of the flight data: decompressed, parsed, with missing cells as such.

use std::fs::File;
use std::path::Path;

use csv::StringRecord;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::Result;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flights-2013.csv.zst");

/// What a cell holds where there is no value.
const MISSING: &str = "NA";

/// One scheduled departure.
#[derive(Debug)]
pub(crate) struct Flight {
    /// When it is scheduled, such as `2013-07-01`. Never before that of an earlier row.
    pub(crate) day: String,
    /// The airline, two letters.
    pub(crate) carrier: String,
    /// The aircraft; missing for a tenth of the flights that were cancelled.
    pub(crate) tailnum: Option<String>,
    /// The airport it leaves from, three letters.
    pub(crate) origin: String,
    /// The airport it goes to, three letters.
    pub(crate) dest: String,
    /// Minutes, negative where early; missing where the flight was cancelled.
    pub(crate) departure_delay: Option<i32>,
}

/// The rows in their order.
pub(crate) struct Flights {
    reader: csv::Reader<StreamingDecoder<File, FrameDecoder>>,
    record: StringRecord,
    columns: Columns,
}

/// Where each cell stands in a row.
struct Columns {
    scheduled: usize,
    carrier: usize,
    tailnum: usize,
    origin: usize,
    dest: usize,
    departure_delay: usize,
}

impl Flights {
    /// Opens the data file at its first row.
    pub(crate) fn open() -> Result<Self> {
        let file = File::open(Path::new(DATA)).map_err(|error| format!("{DATA}: {error}"))?;
        let mut reader = csv::Reader::from_reader(StreamingDecoder::new(file)?);
        let header = reader.headers()?;
        let column = |name: &str| {
            let index = header.iter().position(|column| column == name);
            index.ok_or_else(|| format!("{DATA}: no column {name}"))
        };
        let columns = Columns {
            scheduled: column("sched_dep")?,
            carrier: column("carrier")?,
            tailnum: column("tailnum")?,
            origin: column("origin")?,
            dest: column("dest")?,
            departure_delay: column("dep_delay")?,
        };
        Ok(Self { reader, record: StringRecord::new(), columns })
    }

    /// Passes over rows without looking into them.
    pub(crate) fn skip(&mut self, rows: u64) -> Result<()> {
        for _ in 0..rows {
            if !self.reader.read_record(&mut self.record)? {
                return Err("the state is ahead of the input".into());
            }
        }
        Ok(())
    }

    /// The next rows, at most `limit`; none at the end.
    pub(crate) fn batch(&mut self, limit: usize) -> Result<Vec<Flight>> {
        let mut batch = Vec::with_capacity(limit);
        while batch.len() < limit && self.reader.read_record(&mut self.record)? {
            batch.push(self.flight()?);
        }
        Ok(batch)
    }

    fn flight(&self) -> Result<Flight> {
        let cell = |column: usize| self.record.get(column).filter(|cell| !cell.is_empty() && *cell != MISSING);
        let required = |column: usize| {
            let row = self.record.position().map_or(0, csv::Position::record);
            cell(column).map(str::to_owned).ok_or_else(|| format!("row {row} lacks column {column}"))
        };
        let scheduled = required(self.columns.scheduled)?;
        let (day, _) = scheduled.split_once('T').ok_or_else(|| format!("{scheduled} is no day with a time"))?;
        Ok(Flight {
            day: day.to_owned(),
            carrier: required(self.columns.carrier)?,
            tailnum: cell(self.columns.tailnum).map(str::to_owned),
            origin: required(self.columns.origin)?,
            dest: required(self.columns.dest)?,
            departure_delay: cell(self.columns.departure_delay).map(str::parse).transpose()?,
        })
    }
}
