//! What the benches ask of a log, and the logs that answer.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::executor::block_on;
use laminar_benches::names;

use crate::backend::Outcome;

/// A log under measurement. Its settings stand in `README.md`.
pub(super) trait Log: Sync + Sized {
    /// Opens the log in `dir`, or creates it there.
    fn open(dir: &Path) -> Outcome<Self>;

    /// The same for records that need only survive the process, with the settings that suit them best.
    fn open_unsynced(dir: &Path) -> Outcome<Self> {
        Self::open(dir)
    }

    /// Appends records that survive the process together; durable where the log knows nothing less.
    fn append_batch(&self, records: &[&[u8]]) -> Outcome;

    /// Appends a record and waits until it is durable.
    fn append_durable(&self, record: &[u8]) -> Outcome;

    /// Closes the log as its users do.
    fn close(self) -> Outcome {
        Ok(())
    }

    /// Reads all records of a log just opened, and hands each to `each`.
    fn replay(self, each: impl FnMut(&[u8])) -> Outcome;
}

/// Something to do with one log, whichever it is.
pub(super) trait Job {
    /// What it returns.
    type Output;

    /// Does it.
    fn run<L: Log>(self) -> Outcome<Self::Output>;
}

/// The logs, in the order of the tables.
pub(super) const ALL: [&str; 5] =
    [names::LAMINAR, names::RAFT_ENGINE, names::OKAYWAL, names::WAL_DB, names::WRITEAHEAD];

/// Does the job with the log of this name.
pub(super) fn run<J: Job>(name: &str, job: J) -> Outcome<J::Output> {
    match name {
        names::LAMINAR => job.run::<Laminar>(),
        names::RAFT_ENGINE => job.run::<RaftEngine>(),
        names::OKAYWAL => job.run::<Okaywal>(),
        names::WAL_DB => job.run::<WalDb>(),
        names::WRITEAHEAD => job.run::<Writeahead>(),
        _ => Err(format!("no log is called {name}").into()),
    }
}

/// Ours, in the layout for durable commits.
struct Laminar(laminar_wal::Wal);

impl Log for Laminar {
    fn open(dir: &Path) -> Outcome<Self> {
        let options = laminar_wal::WalOptions::new().sync_policy(laminar_wal::SyncPolicy::EveryCommit);
        Ok(Self(laminar_wal::Wal::open(dir, options)?.0))
    }

    /// As it is with its peers, nothing is synced behind the writer: by default it would be, every 8 MiB and at the end of a segment.
    fn open_unsynced(dir: &Path) -> Outcome<Self> {
        let options = laminar_wal::WalOptions::new().segment_bytes(256 << 20).sync_behind_bytes(1 << 30);
        Ok(Self(laminar_wal::Wal::open(dir, options)?.0))
    }

    fn append_batch(&self, records: &[&[u8]]) -> Outcome {
        for record in records {
            self.0.append(record)?;
        }
        self.0.commit()?;
        Ok(())
    }

    fn append_durable(&self, record: &[u8]) -> Outcome {
        let lsn = self.0.append(record)?;
        Ok(self.0.wait_durable(lsn)?)
    }

    fn close(self) -> Outcome {
        Ok(self.0.close()?)
    }

    fn replay(self, mut each: impl FnMut(&[u8])) -> Outcome {
        let mut records = self.0.replay(self.0.start_lsn())?;
        while let Some(record) = records.next()? {
            each(record.payload);
        }
        Ok(())
    }
}

/// raft-engine, as a map from numbers to records: it has no other way in without protocol buffers.
struct RaftEngine {
    engine: raft_engine::Engine,
    next: AtomicU64,
}

const REGION: u64 = 1;

impl RaftEngine {
    fn write(&self, records: &[&[u8]], sync: bool) -> Outcome {
        let mut batch = raft_engine::LogBatch::with_capacity(records.len());
        for record in records {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            batch.put(REGION, number.to_be_bytes().to_vec(), record.to_vec())?;
        }
        self.engine.write(&mut batch, sync)?;
        Ok(())
    }
}

impl Log for RaftEngine {
    fn open(dir: &Path) -> Outcome<Self> {
        let dir = dir.to_string_lossy().into_owned();
        let config = raft_engine::Config { dir, ..raft_engine::Config::default() };
        Ok(Self { engine: raft_engine::Engine::open(config)?, next: AtomicU64::new(0) })
    }

    fn append_batch(&self, records: &[&[u8]]) -> Outcome {
        self.write(records, false)
    }

    fn append_durable(&self, record: &[u8]) -> Outcome {
        self.write(&[record], true)
    }

    fn replay(self, mut each: impl FnMut(&[u8])) -> Outcome {
        let scan = |_: &[u8], record: &[u8]| {
            each(record);
            true
        };
        Ok(self.engine.scan_raw_messages(REGION, None, None, false, scan)?)
    }
}

/// okaywal: every entry is synced, so a batch is one entry; what it recovers it hands over while it opens.
struct Okaywal {
    log: okaywal::WriteAheadLog,
    recovered: Recovered,
}

#[derive(Debug, Clone, Default)]
struct Recovered(Arc<Mutex<Vec<Vec<u8>>>>);

impl okaywal::LogManager for Recovered {
    fn recover(&mut self, entry: &mut okaywal::Entry<'_>) -> std::io::Result<()> {
        let mut chunks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let okaywal::ReadChunkResult::Chunk(mut chunk) = entry.read_chunk()? {
            chunks.push(chunk.read_all()?);
            if !chunk.check_crc()? {
                return Err(std::io::Error::other("the checksum of a chunk does not match"));
            }
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: okaywal::EntryId,
        _: &mut okaywal::SegmentReader,
        _: &okaywal::WriteAheadLog,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log for Okaywal {
    fn open(dir: &Path) -> Outcome<Self> {
        let recovered = Recovered::default();
        // A checkpoint would empty the log before it is replayed.
        let configuration = okaywal::Configuration::default_for(dir).checkpoint_after_bytes(8 << 30);
        Ok(Self { log: configuration.open(recovered.clone())?, recovered })
    }

    fn append_batch(&self, records: &[&[u8]]) -> Outcome {
        let mut entry = self.log.begin_entry()?;
        for record in records {
            entry.write_chunk(record)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn append_durable(&self, record: &[u8]) -> Outcome {
        self.append_batch(&[record])
    }

    fn replay(self, mut each: impl FnMut(&[u8])) -> Outcome {
        let records = self.recovered.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().for_each(|record| each(record));
        Ok(())
    }
}

/// wal-db: one file; what is appended is handed to the operating system at once.
struct WalDb(wal_db::Wal<wal_db::FileStore>);

impl Log for WalDb {
    fn open(dir: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self(wal_db::Wal::open(dir.join("log"))?))
    }

    fn append_batch(&self, records: &[&[u8]]) -> Outcome {
        for record in records {
            let _: wal_db::Lsn = self.0.append(record)?;
        }
        Ok(())
    }

    fn append_durable(&self, record: &[u8]) -> Outcome {
        let _: wal_db::Lsn = self.0.append_and_sync(record)?;
        Ok(())
    }

    fn replay(self, mut each: impl FnMut(&[u8])) -> Outcome {
        for record in self.0.iter()? {
            each(record?.data());
        }
        Ok(())
    }
}

/// writeahead: every write is synced, by one thread for all writers; a batch is one submission.
struct Writeahead {
    log: writeahead::WriteAhead<writeahead::SimpleFile>,
    writer: writeahead::WriteHandle,
}

impl Log for Writeahead {
    fn open(dir: &Path) -> Outcome<Self> {
        let options = writeahead::WriteAheadOptions { log_dir: dir.to_path_buf(), ..Default::default() };
        let mut log = writeahead::WriteAhead::<writeahead::SimpleFile>::with_options(options);
        log.start()?;
        let writer = log.writer()?;
        Ok(Self { log, writer })
    }

    fn append_batch(&self, records: &[&[u8]]) -> Outcome {
        let records = records.iter().map(|record| record.to_vec()).collect();
        block_on(self.writer.write_batch(records))?;
        Ok(())
    }

    fn append_durable(&self, record: &[u8]) -> Outcome {
        block_on(self.writer.write(record.to_vec()))?;
        Ok(())
    }

    fn replay(self, mut each: impl FnMut(&[u8])) -> Outcome {
        let mut records = self.log.create_stream()?;
        while let Some(record) = block_on(records.next()) {
            each(&record?.1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Contract<'a>(&'a Path);

    impl Job for Contract<'_> {
        type Output = ();

        fn run<L: Log>(self) -> Outcome {
            let records: Vec<Vec<u8>> = (0..100_u8).map(|number| vec![number + 1; 100]).collect();
            let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            let (first, rest) = slices.split_at(10);
            let log = L::open(self.0)?;
            log.append_batch(first)?;
            rest.iter().try_for_each(|record| log.append_durable(record))?;
            drop(log);
            let mut found = Vec::new();
            L::open(self.0)?.replay(|record| found.push(record.to_vec()))?;
            assert_eq!(found, records);
            Ok(())
        }
    }

    #[test]
    fn every_log_replays_what_was_appended() {
        for name in ALL {
            let dir = tempfile::tempdir().unwrap();
            run(name, Contract(&dir.path().join("log"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
