//! What one attempt came to, and how many attempts came to what.

use std::fmt;

use crate::oracle::Reading;
use crate::process::Failure;

/// What reading back a damaged directory came to. The order is that of the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything acknowledged is there.
    Whole,
    /// A typed error.
    Refused(String),
    /// Records are missing, and opening said that something was cut or given up.
    Reported(u64),
    /// Records are missing, and nobody said so.
    Silent(u64),
    /// Records that nobody wrote.
    Wrong(u64),
    /// A panic, an abort or a deadly signal.
    Died(String),
    /// No answer.
    Hung,
}

impl Verdict {
    /// Judges a reading, where every record in `acknowledged` has to be there.
    pub(crate) fn of(reading: Result<Reading, Failure>, acknowledged: impl IntoIterator<Item = u64>) -> Self {
        match reading {
            Err(Failure::Refused(error)) => Self::Refused(error),
            Err(Failure::Died(words)) => Self::Died(words),
            Err(Failure::Hung) => Self::Hung,
            Ok(reading) => match (reading.wrong, reading.found.lacks(acknowledged), reading.report) {
                (0, 0, _) => Self::Whole,
                (0, missing, Some(_)) => Self::Reported(missing),
                (0, missing, None) => Self::Silent(missing),
                (wrong, ..) => Self::Wrong(wrong),
            },
        }
    }

    /// Whether the promise holds: nothing acknowledged is gone without a word, and nothing is made up.
    pub(crate) fn is_honest(&self) -> bool {
        matches!(self, Self::Whole | Self::Refused(_) | Self::Reported(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => write!(formatter, "whole"),
            Self::Refused(_) => write!(formatter, "refused"),
            Self::Reported(missing) => write!(formatter, "{missing} lost, told"),
            Self::Silent(missing) => write!(formatter, "{missing} LOST"),
            Self::Wrong(wrong) => write!(formatter, "{wrong} WRONG"),
            Self::Died(_) => write!(formatter, "PANIC"),
            Self::Hung => write!(formatter, "HANG"),
        }
    }
}

/// Counts of verdicts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) whole: usize,
    pub(crate) refused: usize,
    pub(crate) reported: usize,
    pub(crate) silent: usize,
    pub(crate) wrong: usize,
    pub(crate) died: usize,
    pub(crate) hung: usize,
    /// The fewest and the most records gone in one silent loss.
    pub(crate) silent_range: Option<(u64, u64)>,
}

impl Tally {
    /// Adds one.
    pub(crate) fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Whole => self.whole += 1,
            Verdict::Refused(_) => self.refused += 1,
            Verdict::Reported(_) => self.reported += 1,
            Verdict::Silent(missing) => {
                self.silent += 1;
                let (least, most) = self.silent_range.unwrap_or((*missing, *missing));
                self.silent_range = Some((least.min(*missing), most.max(*missing)));
            }
            Verdict::Wrong(_) => self.wrong += 1,
            Verdict::Died(_) => self.died += 1,
            Verdict::Hung => self.hung += 1,
        }
    }

    /// Whether every verdict was an honest one.
    pub(crate) fn is_honest(&self) -> bool {
        self.silent + self.wrong + self.died + self.hung == 0
    }

    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        self.whole + self.refused + self.reported + self.silent + self.wrong + self.died + self.hung
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Numbers;

    fn reading(found: std::ops::Range<u64>, wrong: u64, report: Option<&str>) -> Result<Reading, Failure> {
        Ok(Reading { found: Numbers::from_ascending(found), wrong, report: report.map(str::to_owned) })
    }

    #[test]
    fn loss_needs_a_report_and_wrong_data_has_no_excuse() {
        assert_eq!(Verdict::of(reading(0..11, 0, None), 0..10), Verdict::Whole);
        assert_eq!(Verdict::of(reading(0..10, 0, Some("cut")), 0..10), Verdict::Whole);
        assert_eq!(Verdict::of(reading(0..7, 0, Some("cut")), 0..10), Verdict::Reported(3));
        assert_eq!(Verdict::of(reading(0..7, 0, None), 0..10), Verdict::Silent(3));
        assert_eq!(Verdict::of(reading(0..10, 1, Some("cut")), 0..10), Verdict::Wrong(1));
        assert_eq!(Verdict::of(Err(Failure::Hung), 0..10), Verdict::Hung);
    }

    #[test]
    fn a_tally_keeps_the_range_of_silent_losses() {
        let mut tally = Tally::default();
        for missing in [4, 2, 9] {
            tally.add(&Verdict::Silent(missing));
        }
        tally.add(&Verdict::Whole);
        assert_eq!((tally.total(), tally.silent, tally.silent_range), (4, 3, Some((2, 9))));
        assert!(!tally.is_honest());
    }
}
