//! okaywal: what it recovers it hands over once, during open, and the program keeps it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ::okaywal::{Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog};

use super::{Contender, Handle, Outcome};
use crate::oracle::Oracle;

pub(super) struct Okaywal;

impl Contender for Okaywal {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        let recovered = Recovered::default();
        // A checkpoint would empty the log under the torture.
        let configuration = Configuration::default_for(dir).checkpoint_after_bytes(1 << 30);
        let log = configuration.open(recovered.clone())?;
        Ok(Box::new(Open { log, recovered }))
    }

    fn shows_again(&self) -> bool {
        false
    }
}

#[derive(Debug, Clone, Default)]
struct Recovered(Arc<Mutex<Vec<Vec<u8>>>>);

impl LogManager for Recovered {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let mut chunks = Vec::new();
        loop {
            match entry.read_chunk()? {
                ReadChunkResult::Chunk(mut chunk) => {
                    chunks.push(chunk.read_all()?);
                    // Left to the program; without this call flipped bits come back as data.
                    if !chunk.check_crc()? {
                        return Err(io::Error::other("the checksum of a chunk does not match"));
                    }
                }
                ReadChunkResult::EndOfEntry => break,
                ReadChunkResult::AbortedEntry => return Ok(()),
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append(&mut chunks);
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}

struct Open {
    log: WriteAheadLog,
    recovered: Recovered,
}

impl Handle for Open {
    fn commit(&self, _: u64, content: &[u8]) -> Outcome {
        let mut entry = self.log.begin_entry()?;
        entry.write_chunk(content)?;
        entry.commit()?;
        Ok(())
    }

    fn read_back(&self, _: u64, oracle: &mut Oracle) -> Outcome {
        for content in self.recovered.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            oracle.next(content);
        }
        Ok(())
    }
}
