//! RocksDB: bloom filter, hash index in the blocks, a cache that holds the data, LZ4, one `WriteBatch` a commit with the log on.

use std::path::Path;
use std::sync::Arc;

use ::rocksdb::checkpoint::Checkpoint as Maker;
use ::rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DataBlockIndexType, Options, ReadOptions, WaitForCompactOptions,
    WriteBatch, WriteOptions,
};

use super::pending::Pending;
use super::{Backend, Checkpoint, Durability, Key, Outcome, Setup, bounds};

pub(super) struct RocksDb {
    db: Arc<DB>,
    pending: Pending,
    writes: WriteOptions,
}

impl Backend for RocksDb {
    fn open(dir: &Path, setup: Setup) -> Outcome<Self> {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_bloom_filter(10.0, false);
        blocks.set_block_cache(&Cache::new_lru_cache(setup.cache_bytes));
        blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_block_based_table_factory(&blocks);
        let mut writes = WriteOptions::default();
        writes.set_sync(setup.durability == Durability::Power);
        Ok(Self { db: Arc::new(DB::open(&options, dir)?), pending: Pending::default(), writes })
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
            None => Ok(self.db.get_pinned(key)?.map(|value| read(&value))),
        }
    }

    fn scan(&mut self, prefix: &[u8], mut each: impl FnMut(&Key, &[u8])) -> Outcome {
        let (first, last) = bounds(prefix);
        let mut options = ReadOptions::default();
        // The bound is exclusive; a byte more makes it the last key's successor.
        options.set_iterate_upper_bound([&last[..], &[0]].concat());
        let mut entries = self.db.raw_iterator_opt(options);
        entries.seek(first);
        let mut merge = self.pending.merge(prefix);
        while let Some((key, value)) = entries.item() {
            merge.meet(key.try_into()?, value, &mut each);
            entries.next();
        }
        entries.status()?;
        merge.finish(&mut each);
        Ok(())
    }

    fn commit(&mut self) -> Outcome {
        let mut batch = WriteBatch::default();
        for (key, value) in self.pending.changes() {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        self.db.write_opt(batch, &self.writes)?;
        self.pending.clear();
        Ok(())
    }

    /// Without it compactions would run beside the reads, and misses would search a memtable that has no filter.
    fn rest(&mut self) -> Outcome {
        self.settle()
    }

    fn settle(&mut self) -> Outcome {
        self.db.flush()?;
        Ok(self.db.wait_for_compact(&WaitForCompactOptions::default())?)
    }

    fn checkpoint(&mut self, dir: &Path) -> Outcome<Checkpoint> {
        let db = Arc::clone(&self.db);
        Ok(Checkpoint::spawn(dir, move |dir| Ok(Maker::new(&*db)?.create_checkpoint(dir)?)))
    }

    fn close(self) -> Outcome {
        Ok(())
    }
}
