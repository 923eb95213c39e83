//! writeahead, its futures waited for one at a time.

use std::path::Path;

use ::writeahead::{SimpleFile, WriteAhead, WriteAheadOptions, WriteHandle};
use futures::StreamExt;
use futures::executor::block_on;

use super::{Contender, Handle, Outcome};
use crate::oracle::Oracle;

pub(super) struct Writeahead;

impl Contender for Writeahead {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        let options = WriteAheadOptions { log_dir: dir.to_path_buf(), max_file_size: 128 << 10, ..Default::default() };
        let mut log = WriteAhead::<SimpleFile>::with_options(options);
        log.start()?;
        let writer = log.writer()?;
        Ok(Box::new(Open { log, writer }))
    }
}

struct Open {
    log: WriteAhead<SimpleFile>,
    writer: WriteHandle,
}

impl Handle for Open {
    fn commit(&self, _: u64, content: &[u8]) -> Outcome {
        block_on(self.writer.write(content.to_vec()))?;
        Ok(())
    }

    fn read_back(&self, _: u64, oracle: &mut Oracle) -> Outcome {
        let mut records = self.log.create_stream()?;
        while let Some(record) = block_on(records.next()) {
            oracle.next(&record?.1);
        }
        Ok(())
    }
}
