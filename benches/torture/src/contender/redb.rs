//! redb: one table, a transaction for each key, durability as by default.

use std::path::Path;

use ::redb::{Database, ReadableDatabase, TableDefinition, TableError};

use super::{Contender, Handle, Outcome};
use crate::oracle::{Oracle, key};

pub(super) struct Redb;

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

impl Contender for Redb {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        Ok(Box::new(Open(Database::create(dir.join("records.redb"))?)))
    }
}

struct Open(Database);

impl Handle for Open {
    fn commit(&self, number: u64, content: &[u8]) -> Outcome {
        let transaction = self.0.begin_write()?;
        transaction.open_table(RECORDS)?.insert(key(number).as_str(), content)?;
        transaction.commit()?;
        Ok(())
    }

    fn read_back(&self, count: u64, oracle: &mut Oracle) -> Outcome {
        let table = match self.0.begin_read()?.open_table(RECORDS) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            table => table?,
        };
        for number in 0..count {
            if let Some(content) = table.get(key(number).as_str())? {
                oracle.named(number, content.value());
            }
        }
        Ok(())
    }
}
