//! What is told about damage that was made good.

use std::path::PathBuf;

/// Damage that was found and made good in memory: what was read is whole, the bytes on disk are not.
///
/// A run is written anew when it is merged; until then a second damage in the same chapter can lose entries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Healed {
    /// The damaged file.
    pub path: PathBuf,
    /// Where the damaged part begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What it is.
    pub part: Part,
}

/// The part of a file that damage was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// One of the two copies of a MANIFEST; the other one served.
    Manifest,
    /// The header of a run; its footer says the same.
    RunHeader,
    /// One of the two copies of a run's footer; the other one served.
    RunFooter,
    /// A block of a run, rebuilt from its chapter's parity.
    Block,
    /// A block of a run's index, beyond what parity can rebuild; entries were searched for without it.
    Index,
    /// One of the two copies of a section's header; the other one served.
    SectionHeader,
    /// Pages of a section, rebuilt from parity.
    SectionPages,
}
