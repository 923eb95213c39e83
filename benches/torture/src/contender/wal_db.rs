//! wal-db, segmented, with either policy for damage found at open.

use std::path::Path;

use ::wal_db::{OpenPolicy, SegmentedStore, Wal, WalConfig};

use super::{Contender, Handle, Outcome};
use crate::oracle::Oracle;

pub(super) struct WalDb {
    pub(super) strict: bool,
}

impl Contender for WalDb {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        let policy = if self.strict { OpenPolicy::Strict } else { OpenPolicy::TruncateTail };
        let config = WalConfig::new().with_open_policy(policy);
        Ok(Box::new(Open(Wal::open_segmented_with(dir, 128 << 10, config)?)))
    }
}

struct Open(Wal<SegmentedStore>);

impl Handle for Open {
    fn commit(&self, _: u64, content: &[u8]) -> Outcome {
        self.0.append_and_sync(content)?;
        Ok(())
    }

    fn read_back(&self, _: u64, oracle: &mut Oracle) -> Outcome {
        for record in self.0.iter()? {
            oracle.next(record?.data());
        }
        Ok(())
    }

    fn report(&self) -> Option<String> {
        let cut = self.0.truncated_on_open();
        (cut > 0).then(|| format!("truncated_on_open: {cut}"))
    }
}
