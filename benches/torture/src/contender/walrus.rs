//! walrus, one topic, every append synced.

use std::path::Path;

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus as Log};

use super::{Contender, Handle, Outcome};
use crate::oracle::Oracle;

pub(super) struct Walrus;

const TOPIC: &str = "records";

impl Contender for Walrus {
    /// Ignores `dir`: walrus takes its directory from the environment, where [`crate::process`] has put it.
    fn open(&self, _: &Path) -> Outcome<Box<dyn Handle>> {
        // How far a reader got is kept across openings; this keeps it at the start.
        let again = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
        Ok(Box::new(Open(Log::with_consistency_and_schedule(again, FsyncSchedule::SyncEach)?)))
    }
}

struct Open(Log);

impl Handle for Open {
    fn commit(&self, _: u64, content: &[u8]) -> Outcome {
        self.0.append_for_topic(TOPIC, content)?;
        Ok(())
    }

    fn read_back(&self, _: u64, oracle: &mut Oracle) -> Outcome {
        while let Some(record) = self.0.read_next(TOPIC, true)? {
            oracle.next(&record.data);
        }
        Ok(())
    }
}
