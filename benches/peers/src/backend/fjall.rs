//! fjall: one keyspace, one batch a commit, handed to the operating system or synced by its journal.

use std::path::Path;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

use super::pending::Pending;
use super::{Backend, Checkpoint, Durability, Key, Outcome, Setup};

const KEYSPACE: &str = "state";

pub(super) struct Fjall {
    database: Database,
    state: Keyspace,
    pending: Pending,
    mode: PersistMode,
}

impl Backend for Fjall {
    fn open(dir: &Path, setup: Setup) -> Outcome<Self> {
        let database = Database::builder(dir).cache_size(setup.cache_bytes as u64).open()?;
        let state = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
        let mode = match setup.durability {
            Durability::Process => PersistMode::Buffer,
            Durability::Power => PersistMode::SyncData,
        };
        Ok(Self { database, state, pending: Pending::default(), mode })
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
        match self.pending.get(key) {
            Some(value) => Ok(value.map(read)),
            None => Ok(self.state.get(key)?.map(|value| read(&value))),
        }
    }

    fn scan(&mut self, prefix: &[u8], mut each: impl FnMut(&Key, &[u8])) -> Outcome {
        let mut merge = self.pending.merge(prefix);
        for entry in self.state.prefix(prefix) {
            let (key, value) = entry.into_inner()?;
            merge.meet((&*key).try_into()?, &value, &mut each);
        }
        merge.finish(&mut each);
        Ok(())
    }

    fn commit(&mut self) -> Outcome {
        let mut batch = self.database.batch().durability(Some(self.mode));
        for (key, value) in self.pending.changes() {
            match value {
                Some(value) => batch.insert(&self.state, key, value),
                None => batch.remove(&self.state, key),
            }
        }
        batch.commit()?;
        self.pending.clear();
        Ok(())
    }

    /// Its tables have filters, its memtable has none.
    fn rest(&mut self) -> Outcome {
        self.settle()
    }

    fn settle(&mut self) -> Outcome {
        Ok(self.state.rotate_memtable_and_wait()?)
    }

    /// It has no call for this: a snapshot goes into a second database by bulk ingestion, its fastest way in.
    fn checkpoint(&mut self, dir: &Path) -> Outcome<Checkpoint> {
        let (snapshot, state) = (self.database.snapshot(), self.state.clone());
        Ok(Checkpoint::spawn(dir, move |dir| {
            let copy = Database::builder(dir).open()?;
            let copied = copy.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
            let mut ingestion = copied.start_ingestion()?;
            for entry in snapshot.iter(&state) {
                let (key, value) = entry.into_inner()?;
                ingestion.write(key, value)?;
            }
            ingestion.finish()?;
            Ok(copy.persist(PersistMode::SyncAll)?)
        }))
    }

    fn close(self) -> Outcome {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
