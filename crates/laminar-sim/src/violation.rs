//! What goes wrong in a run, and where it was seen.

use std::fmt;

use crate::Op;

/// What a store did that it must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    what: String,
    place: Option<String>,
}

impl Violation {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), place: None }
    }

    /// Adds where it was seen.
    pub(crate) fn with(self, place: &str) -> Self {
        let place = self.place.map_or_else(|| place.to_owned(), |inner| format!("{inner}, {place}"));
        Self { place: Some(place), ..self }
    }

    pub(crate) fn at(self, number: usize, op: &Op) -> Self {
        self.with(&format!("operation {number}, {op:?}"))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} ({place})", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Violation {}
