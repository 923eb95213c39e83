//! The source offsets of a run: one says the number of the commit, others come and go, and a recovery must show those of its commit.

use std::collections::BTreeMap;

use laminar_storage::{Error, WalStateStore};

use crate::Violation;

/// The source whose offset is the number of the commit.
const SOURCE: &str = "commit";
/// Each commit has a source of its own, and one in so many removes those before it.
const REMOVES: u64 = 3;

/// Sets and removes what goes with commit `number`.
pub(crate) fn set(store: &mut WalStateStore, number: u64) -> Result<(), Error> {
    if number.is_multiple_of(REMOVES) {
        for gone in number.saturating_sub(REMOVES)..number {
            store.remove_source_offset(&own(gone))?;
        }
    }
    store.set_source_offset(&own(number), number)?;
    store.set_source_offset(SOURCE, number)
}

/// The number of the commit that these offsets are of; 0 where there are none.
pub(crate) fn number(offsets: &BTreeMap<String, u64>) -> Result<u64, Violation> {
    let number = offsets.get(SOURCE).copied().unwrap_or(0);
    let mut expected = BTreeMap::new();
    if number > 0 {
        let first = (number - number % REMOVES).max(1);
        expected = (first..=number).map(|number| (own(number), number)).collect();
        expected.insert(SOURCE.to_owned(), number);
    }
    if *offsets != expected {
        return Err(Violation::new(format!("the source offsets of commit {number} are {offsets:?}")));
    }
    Ok(number)
}

fn own(number: u64) -> String {
    format!("file {number}")
}
