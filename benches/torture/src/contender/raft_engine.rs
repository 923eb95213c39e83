//! raft-engine, as a map from the names of records to their contents.

use std::path::Path;

use ::raft_engine::{Config, Engine, LogBatch, ReadableSize};

use super::{Contender, Handle, Outcome};
use crate::oracle::{Oracle, key};

pub(super) struct RaftEngine;

const REGION: u64 = 1;

impl Contender for RaftEngine {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        let dir = dir.to_string_lossy().into_owned();
        let config = Config { dir, target_file_size: ReadableSize::kb(128), ..Config::default() };
        Ok(Box::new(Open(Engine::open(config)?)))
    }
}

struct Open(Engine);

impl Handle for Open {
    fn commit(&self, number: u64, content: &[u8]) -> Outcome {
        let mut batch = LogBatch::default();
        batch.put(REGION, key(number).into_bytes(), content.to_vec())?;
        self.0.write(&mut batch, true)?;
        Ok(())
    }

    fn read_back(&self, count: u64, oracle: &mut Oracle) -> Outcome {
        for number in 0..count {
            if let Some(content) = self.0.get(REGION, key(number).as_bytes()) {
                oracle.named(number, &content);
            }
        }
        Ok(())
    }
}
