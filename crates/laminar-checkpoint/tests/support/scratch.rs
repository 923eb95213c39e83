//! What the tests share: a directory that goes away, entries to write, ways to damage a file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failing test says where"
)]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions, Env, Error};
use laminar_vfs::OpenMode;

pub(crate) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A directory on the real disk.
pub(crate) struct Scratch {
    _dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) env: Env,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().join("checkpoints"), _dir: dir, env: Env::real() }
    }

    pub(crate) fn options(&self) -> CheckpointOptions {
        CheckpointOptions::new().env(self.env.clone()).hash_seed(7).read_back(false)
    }

    pub(crate) fn manager(&self) -> CheckpointManager {
        CheckpointManager::open(&self.path, self.options()).unwrap()
    }

    /// All bytes of a file.
    pub(crate) fn read(&self, path: &Path) -> Vec<u8> {
        let file = self.env.vfs.open(path, OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Puts bytes into an existing file.
    pub(crate) fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) {
        self.env.vfs.open(path, OpenMode::Write).unwrap().write_all_at(bytes, offset).unwrap();
    }

    /// Makes a file anew.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        drop(self.env.vfs.remove_file(path));
        self.env.vfs.open(path, OpenMode::CreateNew).unwrap().write_all_at(bytes, 0).unwrap();
    }

    pub(crate) fn names(&self, dir: &Path) -> Vec<String> {
        self.env.vfs.list(dir).unwrap().into_iter().map(|entry| entry.name.into_string().unwrap()).collect()
    }
}

/// `count` entries with keys of 16 bytes and values of `value_bytes`, every key a multiple of `step`.
pub(crate) fn numbered(count: u64, step: u64, value_bytes: usize) -> Map {
    (0..count).map(|i| (key(i * step), value(i * step, value_bytes))).collect()
}

pub(crate) fn key(i: u64) -> Vec<u8> {
    format!("key{i:013}").into_bytes()
}

pub(crate) fn value(i: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (i.wrapping_mul(0x9e37_79b9) >> (at % 4 * 8)) as u8 ^ at as u8).collect()
}

/// Entries as `Create::entries` takes them.
pub(crate) fn all(map: &Map) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    map.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
}

/// What a checkpoint holds, by a scan.
pub(crate) fn contents(checkpoint: &Checkpoint) -> Result<Map, Error> {
    checkpoint.range(..).map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
}
