//! The floor: maps in memory that keep nothing. What a program has that starts over from the beginning after a crash.

use std::collections::BTreeMap;
use std::path::Path;

use hashbrown::HashMap;

use super::{Backend, Checkpoint, Key, Outcome, Setup, bounds};

/// A general hash map, without order.
pub(super) struct Hash(HashMap<Key, Box<[u8]>>);

impl Backend for Hash {
    const IS_DURABLE: bool = false;
    const IS_ORDERED: bool = false;

    fn open(_: &Path, _: Setup) -> Outcome<Self> {
        Ok(Self(HashMap::new()))
    }

    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) -> Outcome {
        match self.0.get_mut(key) {
            Some(old) if old.len() == value.len() => old.copy_from_slice(value),
            Some(old) => *old = value.into(),
            None => drop(self.0.insert(*key, value.into())),
        }
        Ok(())
    }

    #[inline]
    fn delete(&mut self, key: &Key) -> Outcome {
        self.0.remove(key);
        Ok(())
    }

    #[inline]
    fn get<R>(&mut self, key: &Key, read: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(self.0.get(key).map(|value| read(value)))
    }

    fn scan(&mut self, _: &[u8], _: impl FnMut(&Key, &[u8])) -> Outcome {
        Err("a hash map has no order".into())
    }

    fn commit(&mut self) -> Outcome {
        Ok(())
    }

    fn settle(&mut self) -> Outcome {
        Ok(())
    }

    fn checkpoint(&mut self, _: &Path) -> Outcome<Checkpoint> {
        Err("a map keeps nothing".into())
    }

    fn close(self) -> Outcome {
        Ok(())
    }
}

/// An ordered map.
pub(super) struct BTree(BTreeMap<Key, Box<[u8]>>);

impl Backend for BTree {
    const IS_DURABLE: bool = false;

    fn open(_: &Path, _: Setup) -> Outcome<Self> {
        Ok(Self(BTreeMap::new()))
    }

    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) -> Outcome {
        match self.0.get_mut(key) {
            Some(old) if old.len() == value.len() => old.copy_from_slice(value),
            Some(old) => *old = value.into(),
            None => drop(self.0.insert(*key, value.into())),
        }
        Ok(())
    }

    #[inline]
    fn delete(&mut self, key: &Key) -> Outcome {
        self.0.remove(key);
        Ok(())
    }

    #[inline]
    fn get<R>(&mut self, key: &Key, read: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(self.0.get(key).map(|value| read(value)))
    }

    fn scan(&mut self, prefix: &[u8], mut each: impl FnMut(&Key, &[u8])) -> Outcome {
        let (first, last) = bounds(prefix);
        for (key, value) in self.0.range(first..=last) {
            each(key, value);
        }
        Ok(())
    }

    fn commit(&mut self) -> Outcome {
        Ok(())
    }

    fn settle(&mut self) -> Outcome {
        Ok(())
    }

    fn checkpoint(&mut self, _: &Path) -> Outcome<Checkpoint> {
        Err("a map keeps nothing".into())
    }

    fn close(self) -> Outcome {
        Ok(())
    }
}
