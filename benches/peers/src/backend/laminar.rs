//! Our store, as all benches open it; durable commits take the prepared layout of the log, which is what `EveryCommit` is for.

use std::path::Path;

use laminar_storage::{StateStore, SyncPolicy, WalStateStore};

use super::{Backend, Checkpoint, Durability, Key, Outcome, Setup};

pub(super) struct Laminar {
    store: WalStateStore,
    durability: Durability,
}

impl Backend for Laminar {
    const CAN_BE_TOLD: bool = true;

    fn open(dir: &Path, setup: Setup) -> Outcome<Self> {
        let policy = match setup.durability {
            Durability::Process => SyncPolicy::Manual,
            Durability::Power => SyncPolicy::EveryCommit,
        };
        let mut options = laminar_benches::loaded::options().sync_policy(policy);
        if let Some(bytes) = setup.memory_budget {
            options = options.memory_budget(bytes);
        }
        let (store, _) = WalStateStore::open(dir, options)?;
        Ok(Self { store, durability: setup.durability })
    }

    #[inline]
    fn put(&mut self, key: &Key, value: &[u8]) -> Outcome {
        Ok(self.store.put(key, value)?)
    }

    #[inline]
    fn delete(&mut self, key: &Key) -> Outcome {
        Ok(self.store.delete(key)?)
    }

    #[inline]
    fn get<R>(&mut self, key: &Key, read: impl FnOnce(&[u8]) -> R) -> Outcome<Option<R>> {
        Ok(self.store.get(key)?.map(read))
    }

    #[inline]
    fn prefetch(&mut self, keys: &[Key]) {
        laminar_benches::loaded::tell(&self.store, keys);
    }

    fn scan(&mut self, prefix: &[u8], mut each: impl FnMut(&Key, &[u8])) -> Outcome {
        for entry in self.store.prefix_scan(prefix)? {
            let (key, value) = entry?;
            each(key.try_into()?, value);
        }
        Ok(())
    }

    fn commit(&mut self) -> Outcome {
        let ticket = self.store.commit()?;
        if self.durability == Durability::Power {
            ticket.wait()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome {
        self.store.checkpoint_all()?;
        Ok(())
    }

    fn checkpoint(&mut self, _: &Path) -> Outcome<Checkpoint> {
        let parent = self.store.dir().join("checkpoints");
        Ok(Checkpoint::Ours(self.store.checkpoint()?, parent))
    }

    fn close(mut self) -> Outcome {
        Ok(self.store.close()?)
    }
}
