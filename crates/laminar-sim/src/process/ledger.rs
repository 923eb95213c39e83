//! What the surviving side knows: what the dead ones acknowledged, and what therefore must be there.

use super::history::changes;
use crate::driver::difference;
use crate::{Event, Model, Violation};

/// What a process was doing when it was killed, by what it told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum Place {
    /// It had not come to the store yet.
    Start,
    /// Opening.
    Open,
    /// Reading everything.
    Read,
    /// Making changes.
    Change,
    /// Handing a commit over.
    Commit,
    /// Waiting for a commit to be durable.
    Sync,
    /// Waiting for a checkpoint.
    Checkpoint,
    /// Closing.
    Close,
    /// Dropping the store without closing it.
    Drop,
}

/// The history as far as it is known from outside.
#[derive(Debug)]
pub struct Ledger {
    seed: u64,
    /// The state after commit `settled`, which was recovered and compared.
    model: Model,
    settled: u64,
    /// The round in which the commits behind `settled` were made.
    author: u64,
    /// The last commit that was acknowledged, and the last that was submitted.
    handed: u64,
    submitted: u64,
    round: u64,
    found: Option<(u64, Model)>,
    place: Place,
    has_checkpoint: bool,
    compared: u64,
}

impl Ledger {
    /// Nothing has happened; the history is that of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            model: Model::new(),
            settled: 0,
            author: 0,
            handed: 0,
            submitted: 0,
            round: 0,
            found: None,
            place: Place::Start,
            has_checkpoint: false,
            compared: 0,
        }
    }

    /// A process starts, which makes the commits of `round`.
    pub fn begin(&mut self, round: u64) {
        self.round = round;
        self.found = None;
        self.place = Place::Start;
        self.has_checkpoint = false;
    }

    /// Takes note of what the process told.
    ///
    /// # Errors
    /// What it found and must not, or what went wrong by its own account.
    pub fn note(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Opening => {
                self.place = Place::Open;
                self.has_checkpoint = false;
            }
            Event::Found(number) => {
                let (least, most) = (self.handed, self.submitted);
                if !(least..=most).contains(&number) {
                    let what = format!("recovered to commit {number}; {least} was acknowledged, {most} submitted");
                    return Err(Violation::new(what));
                }
                self.found = Some((number, Model::new()));
                self.place = Place::Read;
            }
            Event::Entry(operator, key, value) => {
                let (_, model) = self.found.as_mut().ok_or_else(|| Violation::new("an entry of nothing"))?;
                if model.insert((operator, key), value).is_some() {
                    return Err(Violation::new("one key was told twice"));
                }
            }
            Event::Whole => {
                let (number, found) = self.found.take().ok_or_else(|| Violation::new("all of nothing"))?;
                self.settle(number, &found)?;
                self.place = Place::Change;
            }
            Event::Submitted(number) => {
                self.submitted = number;
                self.place = Place::Commit;
            }
            Event::Handed(number) => {
                self.handed = number;
                self.place = Place::Change;
            }
            Event::Waiting(_) => self.place = Place::Sync,
            Event::Durable(_) => self.place = Place::Change,
            Event::Begun => self.has_checkpoint = true,
            Event::Awaited => self.place = Place::Checkpoint,
            Event::Ended => {
                self.has_checkpoint = false;
                self.place = Place::Change;
            }
            Event::Closing => self.place = Place::Close,
            Event::Dropping => self.place = Place::Drop,
            Event::Gone => self.place = Place::Start,
            Event::Locked => return Err(Violation::new("the store is locked, and its owner is dead")),
            Event::Violation(what) => return Err(Violation::new(what)),
        }
        Ok(())
    }

    /// Compares the whole state. If it is right, history goes on from there: what is recovered stays.
    fn settle(&mut self, number: u64, found: &Model) -> Result<(), Violation> {
        for number in self.settled + 1..=number {
            changes(self.seed, self.author, number).iter().for_each(|change| change.apply_to_model(&mut self.model));
        }
        if self.model != *found {
            let place = format!("after commit {number}");
            return Err(Violation::new(difference(&self.model, found)).with(&place));
        }
        (self.settled, self.handed, self.submitted) = (number, number, number);
        self.author = self.round;
        self.compared += 1;
        Ok(())
    }

    /// What the process is doing, by what it told last.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Whether a checkpoint is being made in the background.
    #[must_use]
    pub fn has_checkpoint(&self) -> bool {
        self.has_checkpoint
    }

    /// The last commit that was acknowledged.
    #[must_use]
    pub fn handed(&self) -> u64 {
        self.handed
    }

    /// How often a whole state was compared.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a process tells that finds `model` after commit `number`.
    fn found(ledger: &mut Ledger, number: u64, model: &Model) -> Result<(), Violation> {
        ledger.note(Event::Opening)?;
        ledger.note(Event::Found(number))?;
        for ((operator, key), value) in model {
            ledger.note(Event::Entry(*operator, key.clone(), value.clone()))?;
        }
        ledger.note(Event::Whole)
    }

    fn model(rounds: &[u64]) -> Model {
        let mut model = Model::new();
        for (number, round) in (1..).zip(rounds) {
            changes(5, *round, number).iter().for_each(|change| change.apply_to_model(&mut model));
        }
        model
    }

    /// A ledger whose first process made one commit, submitted another and was killed.
    fn after_one_kill() -> Ledger {
        let mut ledger = Ledger::new(5);
        ledger.begin(0);
        found(&mut ledger, 0, &Model::new()).unwrap();
        for event in [Event::Submitted(1), Event::Handed(1), Event::Submitted(2)] {
            ledger.note(event).unwrap();
        }
        assert_eq!(ledger.place(), Place::Commit);
        ledger.begin(1);
        ledger
    }

    #[test]
    fn what_was_acknowledged_is_asked_for_and_what_was_submitted_may_be_there() {
        assert!(found(&mut after_one_kill(), 0, &Model::new()).is_err());
        assert!(found(&mut after_one_kill(), 1, &model(&[0])).is_ok());
        assert!(found(&mut after_one_kill(), 2, &model(&[0, 0])).is_ok());
        assert!(found(&mut after_one_kill(), 3, &model(&[0, 0, 0])).is_err());
        assert!(found(&mut after_one_kill(), 2, &model(&[0])).is_err());
        assert!(found(&mut after_one_kill(), 1, &model(&[1])).is_err());
    }

    #[test]
    fn what_was_once_recovered_stays() {
        let mut ledger = after_one_kill();
        found(&mut ledger, 2, &model(&[0, 0])).unwrap();
        ledger.begin(2);
        assert!(found(&mut ledger, 1, &model(&[0])).is_err());
        ledger.begin(3);
        found(&mut ledger, 2, &model(&[0, 0])).unwrap();
        ledger.note(Event::Submitted(3)).unwrap();
        ledger.begin(4);
        found(&mut ledger, 3, &model(&[0, 0, 3])).unwrap();
        assert_eq!(ledger.compared(), 4);
    }
}
