//! LMDB through heed: one write transaction a commit, `MDB_NOSYNC` where a commit need only survive the process.

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, CompactionOption, Database, Env, EnvFlags, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};

use super::{Backend, Checkpoint, Durability, Key, Outcome, Setup, bounds};

/// Address space, not memory.
const MAP_BYTES: usize = 64 << 30;

pub(super) struct Lmdb {
    /// Leaked, so that its transactions can stand beside it. A store lives as long as its process here.
    env: &'static Env<WithoutTls>,
    state: Database<'static, Bytes, Bytes>,
    /// Since the first change after a commit.
    writer: Option<RwTxn<'static>>,
    /// Since the first read after a commit; a reader kept for longer makes the file grow.
    reader: Option<RoTxn<'static, WithoutTls>>,
}

impl Lmdb {
    fn writer(&mut self) -> Outcome<&mut RwTxn<'static>> {
        self.reader = None;
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.env.write_txn()?,
        };
        Ok(self.writer.insert(writer))
    }

    /// The transaction that reads see: the one that writes, if there is one.
    fn view(&mut self) -> Outcome<&RoTxn<'static, WithoutTls>> {
        if let Some(writer) = &self.writer {
            return Ok(writer);
        }
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.env.read_txn()?,
        };
        Ok(self.reader.insert(reader))
    }
}

impl Backend for Lmdb {
    #[expect(
        unsafe_code,
        reason = "LMDB maps a file that nobody else may change or open twice; nobody does in a bench"
    )]
    fn open(dir: &Path, setup: Setup) -> Outcome<Self> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP_BYTES);
        if setup.durability == Durability::Process {
            // SAFETY: what the flag gives up, the state after a power cut, is not looked at.
            unsafe { options.flags(EnvFlags::NO_SYNC) };
        }
        std::fs::create_dir_all(dir)?;
        // SAFETY: the directory belongs to this process, which opens it once.
        let env = unsafe { options.open(dir)? };
        let env: &'static Env<WithoutTls> = Box::leak(Box::new(env));
        let created = env.create_databases_and_commit(env.write_txn()?, |databases, writer| {
            databases.create_database(writer, None).map(CommitOrAbort::<_, ()>::Commit)
        });
        let CommitOrAbort::Commit(state) = created? else { return Err("LMDB made no database".into()) };
        Ok(Self { env, state, writer: None, reader: None })
    }

    fn put(&mut self, key: &Key, value: &[u8]) -> Outcome {
        let state = self.state;
        Ok(state.put(self.writer()?, key, value)?)
    }

    fn delete(&mut self, key: &Key) -> Outcome {
        let state = self.state;
        state.delete(self.writer()?, key)?;
        Ok(())
    }

    fn get<R>(&mut self, key: &Key, read: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        let state = self.state;
        Ok(state.get(self.view()?, key)?.map(read))
    }

    fn scan(&mut self, prefix: &[u8], mut each: impl FnMut(&Key, &[u8])) -> Outcome {
        let state = self.state;
        // Not `prefix_iter`, which knows no empty prefix.
        let (first, last) = bounds(prefix);
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        for entry in state.range(self.view()?, &range)? {
            let (key, value) = entry?;
            each(key.try_into()?, value);
        }
        Ok(())
    }

    fn commit(&mut self) -> Outcome {
        self.reader = None;
        match self.writer.take() {
            Some(writer) => Ok(writer.commit()?),
            None => Ok(()),
        }
    }

    fn settle(&mut self) -> Outcome {
        Ok(self.env.force_sync()?)
    }

    /// Its own copy of the whole file, without the compaction, which costs more than it saves here.
    fn checkpoint(&mut self, dir: &Path) -> Outcome<Checkpoint> {
        let env = self.env;
        Ok(Checkpoint::spawn(dir, move |dir| {
            std::fs::create_dir_all(dir)?;
            Ok(env.copy_to_path(dir.join("data.mdb"), CompactionOption::Disabled)?.sync_all()?)
        }))
    }

    fn close(mut self) -> Outcome {
        self.commit()?;
        Ok(self.env.force_sync()?)
    }
}
