//! laminar-wal, a sync for each record.

use std::path::Path;

use ::laminar_wal::{TailReport, Wal, WalOptions};

use super::{Contender, Handle, Outcome};
use crate::oracle::Oracle;

pub(super) struct LaminarWal;

impl Contender for LaminarWal {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        let (log, report) = Wal::open(dir, WalOptions::new().segment_bytes(256 << 10))?;
        Ok(Box::new(Open { log, report }))
    }
}

struct Open {
    log: Wal,
    report: TailReport,
}

impl Handle for Open {
    fn commit(&self, _: u64, content: &[u8]) -> Outcome {
        self.log.append(content)?;
        self.log.sync()?;
        Ok(())
    }

    fn read_back(&self, _: u64, oracle: &mut Oracle) -> Outcome {
        let mut records = self.log.replay(self.log.start_lsn())?;
        while let Some(record) = records.next()? {
            oracle.next(record.payload);
        }
        Ok(())
    }

    fn report(&self) -> Option<String> {
        loss(&self.report)
    }
}

/// What a report says to be gone.
pub(super) fn loss(report: &TailReport) -> Option<String> {
    let cut = report.cut.as_ref().map(|cut| format!("cut {} bytes from {}", cut.bytes, cut.from));
    cut.or_else(|| report.given_up.as_ref().map(|given_up| format!("given up from {}", given_up.from)))
}
