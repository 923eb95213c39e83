//! What may and what must be there after a crash.

use std::collections::BTreeMap;

/// The whole state: by operator and key.
pub type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// The history of a run, by commits. Commit n sets the source offset of the run to n, so that a recovered store tells itself
/// which commit it ends on.
#[derive(Debug)]
pub struct Oracle {
    /// The state as of each commit; the first is the empty one before any.
    commits: Vec<Model>,
    /// The state with what is not committed yet.
    now: Model,
    /// Whether there is anything to commit.
    changed: bool,
    /// The last commit that was handed to the operating system.
    handed: usize,
    /// The last commit that was acknowledged as durable.
    durable: usize,
}

/// What a crash left of the process's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Everything that was handed to the operating system.
    Killed,
    /// What was synced, and some of the rest.
    PowerCut,
}

impl Oracle {
    /// Nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self { commits: vec![Model::new()], now: Model::new(), changed: false, handed: 0, durable: 0 }
    }

    /// The state as the writer sees it.
    #[must_use]
    pub fn now(&self) -> &Model {
        &self.now
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Model)) {
        change(&mut self.now);
        self.changed = true;
    }

    /// The number that the next commit will have.
    pub(crate) fn next_commit(&self) -> u64 {
        self.commits.len() as u64
    }

    /// A commit is being submitted: from here on it may be recovered.
    pub(crate) fn submit(&mut self) {
        self.commits.push(self.now.clone());
        self.changed = false;
    }

    /// Every submitted commit was handed to the operating system.
    pub(crate) fn hand_over(&mut self) {
        self.handed = self.commits.len() - 1;
    }

    /// Every commit that was handed over by now is durable.
    pub(crate) fn harden(&mut self) {
        self.durable = self.handed;
    }

    /// The state as of commit `found`, if the store may be there after a crash.
    pub(crate) fn may_be(&self, found: u64, crash: Crash) -> Result<&Model, String> {
        let least = match crash {
            Crash::Killed => self.handed,
            Crash::PowerCut => self.durable,
        };
        let last = self.commits.len() - 1;
        let found = usize::try_from(found).map_err(|_| format!("commit {found} was never made"))?;
        if found < least {
            return Err(format!("recovered to commit {found}, but commit {least} was acknowledged"));
        }
        let Some(state) = self.commits.get(found) else {
            return Err(format!("recovered to commit {found}, but {last} was the last one"));
        };
        Ok(state)
    }

    /// Whether the store may have come back on commit `found`, of which `crash` left what it left. If so, history goes on from there:
    /// what is recovered is durable.
    pub(crate) fn recover(&mut self, found: u64, crash: Crash) -> Result<(), String> {
        let state = self.may_be(found, crash)?.clone();
        let found = usize::try_from(found).unwrap_or(usize::MAX);
        self.now = state;
        self.commits.truncate(found + 1);
        self.changed = false;
        (self.handed, self.durable) = (found, found);
        Ok(())
    }

    /// How many commits there are.
    #[must_use]
    pub fn commits(&self) -> usize {
        self.commits.len() - 1
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }
}

impl Default for Oracle {
    fn default() -> Self {
        Self::new()
    }
}
