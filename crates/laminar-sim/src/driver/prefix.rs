//! Removing many keys at a time: the one operation that may get half way.

use super::{Driver, Trouble, with_operator};
use crate::Violation;

impl Driver {
    /// Deletes all keys that start with `prefix`. Where a call fails on the way, the first ones of them are gone and the others are not.
    pub(super) fn delete_prefix(&mut self, operator: u8, prefix: &[u8]) -> Result<(), Trouble> {
        let store = self.store.as_mut().ok_or_else(|| Violation::new("no store is open"))?;
        let keys = self.oracle.now().keys().filter(|(of, key)| *of == operator && key.starts_with(prefix));
        let mut doomed: Vec<_> = keys.cloned().collect();
        let outcome = with_operator(store, operator, |state| state.delete_prefix(prefix));
        match &outcome {
            Ok(deleted) if *deleted != doomed.len() as u64 => {
                let said = format!("{deleted} keys with a prefix are said to be deleted, of {}", doomed.len());
                return Err(Violation::new(said).into());
            }
            Ok(_) => {}
            Err(_) => {
                let is_there = |(_, key): &(u8, Vec<u8>)| {
                    with_operator(store, operator, |state| state.contains(key)).unwrap_or(true)
                };
                let gone = doomed.iter().position(is_there).unwrap_or(doomed.len());
                doomed.truncate(gone);
            }
        }
        self.oracle.change(|model| doomed.iter().for_each(|key| drop(model.remove(key))));
        Ok(outcome.map(|_| ())?)
    }
}
