//! walogs: one writer, an fdatasync for each append.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ::walogs::{TailState, Wal, WalConfig};

use super::{Contender, Handle, Outcome};
use crate::oracle::Oracle;

pub(super) struct Walogs;

impl Contender for Walogs {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        let config = WalConfig { max_segment_size: Some(128 << 10) };
        Ok(Box::new(Open(Mutex::new(Wal::open_with_config(dir, config)?))))
    }
}

struct Open(Mutex<Wal>);

impl Handle for Open {
    fn commit(&self, _: u64, content: &[u8]) -> Outcome {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append(content)?;
        Ok(())
    }

    fn read_back(&self, _: u64, oracle: &mut Oracle) -> Outcome {
        for record in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            oracle.next(&record?.1);
        }
        Ok(())
    }

    fn report(&self) -> Option<String> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).tail_state() {
            TailState::Clean => None,
            TailState::TruncatedAt(offset) => Some(format!("tail_state: TruncatedAt({offset})")),
        }
    }
}
