//! sled: the default tree, a flush after each insert.

use std::path::Path;

use ::sled::Db;

use super::{Contender, Handle, Outcome};
use crate::oracle::{Oracle, key};

pub(super) struct Sled;

impl Contender for Sled {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        Ok(Box::new(Open(::sled::open(dir)?)))
    }
}

struct Open(Db);

impl Handle for Open {
    fn commit(&self, number: u64, content: &[u8]) -> Outcome {
        self.0.insert(key(number), content)?;
        self.0.flush()?;
        Ok(())
    }

    fn read_back(&self, count: u64, oracle: &mut Oracle) -> Outcome {
        for number in 0..count {
            if let Some(content) = self.0.get(key(number))? {
                oracle.named(number, &content);
            }
        }
        Ok(())
    }
}
