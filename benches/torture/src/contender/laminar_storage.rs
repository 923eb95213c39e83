//! laminar-storage: the log alone, or two checkpoints and the log behind them.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::laminar_storage::{RecoveryReport, StateStore, StoreOptions, WalStateStore};

use super::laminar_wal::loss;
use super::{Contender, Handle, Outcome};
use crate::oracle::{Oracle, key};

pub(super) struct LaminarStorage {
    /// Whether a checkpoint is made after every twentieth commit.
    pub(super) checkpoints: bool,
}

impl Contender for LaminarStorage {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        let (store, report) = WalStateStore::open(dir, StoreOptions::new().segment_bytes(256 << 10))?;
        Ok(Box::new(Open { store: Mutex::new(store), report, checkpoints: self.checkpoints }))
    }
}

struct Open {
    store: Mutex<WalStateStore>,
    report: RecoveryReport,
    checkpoints: bool,
}

impl Open {
    fn store(&self) -> MutexGuard<'_, WalStateStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle for Open {
    fn commit(&self, number: u64, content: &[u8]) -> Outcome {
        self.store().put(key(number).as_bytes(), content)?;
        let ticket = self.store().commit()?;
        ticket.wait()?;
        if self.checkpoints && number % 20 == 19 {
            let ticket = self.store().checkpoint()?;
            ticket.wait()?;
        }
        Ok(())
    }

    fn read_back(&self, count: u64, oracle: &mut Oracle) -> Outcome {
        let store = self.store();
        for number in 0..count {
            if let Some(content) = store.get(key(number).as_bytes())? {
                oracle.named(number, content);
            }
        }
        Ok(())
    }

    fn report(&self) -> Option<String> {
        let log = self.report.log_given_up.as_ref().map(|path| format!("gave up {}", path.display()));
        log.or_else(|| loss(&self.report.tail))
    }
}
