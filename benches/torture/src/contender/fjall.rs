//! fjall: one keyspace, every insert made durable. Its journal is a log, so it stands in both tables.

use std::path::Path;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Contender, Handle, Outcome};
use crate::oracle::{Oracle, key};

pub(super) struct Fjall;

impl Contender for Fjall {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        let database = Database::builder(dir).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        Ok(Box::new(Open { database, records }))
    }
}

struct Open {
    database: Database,
    records: Keyspace,
}

impl Handle for Open {
    fn commit(&self, number: u64, content: &[u8]) -> Outcome {
        self.records.insert(key(number), content)?;
        self.database.persist(PersistMode::SyncData)?;
        Ok(())
    }

    fn read_back(&self, count: u64, oracle: &mut Oracle) -> Outcome {
        for number in 0..count {
            if let Some(content) = self.records.get(key(number))? {
                oracle.named(number, &content);
            }
        }
        Ok(())
    }
}
