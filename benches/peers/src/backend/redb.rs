//! redb: one table, one transaction a commit, its commits either durable or not at all.
//!
//! `Durability::None` is the class nearest to a commit that survives the process, and below it: after a kill redb
//! is back at its last durable commit. Checkpoints and `settle` make one.

use std::path::Path;
use std::sync::Arc;

use ::redb::{
    Database, Durability as Commit, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};

use super::pending::Pending;
use super::{Backend, Checkpoint, Durability, Key, Outcome, Setup, bounds};

type Table = ReadOnlyTable<&'static Key, &'static [u8]>;

const STATE: TableDefinition<'_, &Key, &[u8]> = TableDefinition::new("state");
const FILE: &str = "state.redb";

pub(super) struct Redb {
    database: Arc<Database>,
    pending: Pending,
    /// Of the last commit; opened by the first read after it.
    reader: Option<Table>,
    durability: Durability,
}

impl Redb {
    fn reader(&mut self) -> Outcome<&Table> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.database.begin_read()?.open_table(STATE)?,
        };
        Ok(self.reader.insert(reader))
    }

    fn write(&mut self, durability: Commit) -> Outcome {
        // A reader from before the commit would keep its pages from being used again.
        self.reader = None;
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(STATE)?;
            for (key, value) in self.pending.changes() {
                match value {
                    Some(value) => drop(table.insert(key, value)?),
                    None => drop(table.remove(key)?),
                }
            }
        }
        transaction.commit()?;
        self.pending.clear();
        Ok(())
    }
}

impl Backend for Redb {
    fn open(dir: &Path, setup: Setup) -> Outcome<Self> {
        std::fs::create_dir_all(dir)?;
        let database = Database::builder().set_cache_size(setup.cache_bytes).create(dir.join(FILE))?;
        let pending = Pending::default();
        let mut store = Self { database: Arc::new(database), pending, reader: None, durability: setup.durability };
        if let Err(TableError::TableDoesNotExist(_)) = store.database.begin_read()?.open_table(STATE) {
            store.write(Commit::Immediate)?;
        }
        Ok(store)
    }

    fn put(&mut self, key: &Key, value: &[u8]) -> Outcome {
        self.pending.push(key, Some(value));
        Ok(())
    }

    fn delete(&mut self, key: &Key) -> Outcome {
        self.pending.push(key, None);
        Ok(())
    }

    fn get<R>(&mut self, key: &Key, read: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        if let Some(value) = self.pending.get(key) {
            return Ok(value.map(read));
        }
        Ok(self.reader()?.get(key)?.map(|value| read(value.value())))
    }

    fn scan(&mut self, prefix: &[u8], mut each: impl FnMut(&Key, &[u8])) -> Outcome {
        let (first, last) = bounds(prefix);
        let entries = self.reader()?.range::<&Key>(&first..=&last)?;
        let mut merge = self.pending.merge(prefix);
        for entry in entries {
            let (key, value) = entry?;
            merge.meet(key.value(), value.value(), &mut each);
        }
        merge.finish(&mut each);
        Ok(())
    }

    fn commit(&mut self) -> Outcome {
        self.write(match self.durability {
            Durability::Process => Commit::None,
            Durability::Power => Commit::Immediate,
        })
    }

    fn settle(&mut self) -> Outcome {
        self.write(Commit::Immediate)
    }

    /// It copies no files: a read transaction is streamed into a second database, in one transaction.
    fn checkpoint(&mut self, dir: &Path) -> Outcome<Checkpoint> {
        // Without it a store killed later would be empty, whatever was copied before.
        self.write(Commit::Immediate)?;
        let source = self.database.begin_read()?.open_table(STATE)?;
        Ok(Checkpoint::spawn(dir, move |dir| {
            std::fs::create_dir_all(dir)?;
            let copy = Database::create(dir.join(FILE))?;
            let transaction = copy.begin_write()?;
            {
                let mut table = transaction.open_table(STATE)?;
                for entry in source.iter()? {
                    let (key, value) = entry?;
                    table.insert(key.value(), value.value())?;
                }
            }
            Ok(transaction.commit()?)
        }))
    }

    fn close(mut self) -> Outcome {
        self.write(Commit::Immediate)
    }
}
