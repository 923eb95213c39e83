//! What record `n` contains, and what a reading of all records says about loss and about wrong data.

use std::collections::HashMap;

/// The name of record `n` where records have names.
pub(crate) fn key(number: u64) -> String {
    format!("record-{number:08}")
}

/// The content of record `number`: random bytes, never zero, so that no padding and no hole can pass for it.
pub(crate) fn content(seed: u64, number: u64, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..bytes).map(|_| random.u8(1..)).collect()
}

/// Takes what a reading yields, record by record.
#[derive(Debug)]
pub(crate) struct Oracle {
    seed: u64,
    bytes: usize,
    /// From the first bytes of a record to its number.
    heads: HashMap<Vec<u8>, u64>,
    last: Option<u64>,
    seen: Vec<bool>,
    wrong: u64,
}

/// How much of a record tells which one it is.
const HEAD: usize = 16;

impl Oracle {
    /// An oracle for records 0 to `count`.
    pub(crate) fn new(seed: u64, count: u64, bytes: usize) -> Self {
        let head = |number| content(seed, number, HEAD.min(bytes));
        let heads = (0..count).map(|number| (head(number), number)).collect();
        let seen = (0..count).map(|_| false).collect();
        Self { seed, bytes, heads, last: None, seen, wrong: 0 }
    }

    /// The next record of a log. It has to be one of ours, whole, and later than the one before.
    pub(crate) fn next(&mut self, found: &[u8]) {
        let number = found.get(..HEAD.min(self.bytes)).and_then(|head| self.heads.get(head)).copied();
        match number {
            Some(number) if self.last.is_none_or(|last| number > last) && self.is_content(number, found) => {
                self.last = Some(number);
                self.mark(number);
            }
            _ => self.wrong += 1,
        }
    }

    /// The next record of a log that several threads wrote at once, where any order will do.
    pub(crate) fn next_in_any_order(&mut self, found: &[u8]) {
        self.last = None;
        self.next(found);
    }

    /// What was found under the name of record `number`.
    pub(crate) fn named(&mut self, number: u64, found: &[u8]) {
        if self.is_content(number, found) { self.mark(number) } else { self.wrong += 1 }
    }

    fn is_content(&self, number: u64, found: &[u8]) -> bool {
        found == content(self.seed, number, self.bytes)
    }

    fn mark(&mut self, number: u64) {
        if let Some(seen) = usize::try_from(number).ok().and_then(|index| self.seen.get_mut(index)) {
            *seen = true;
        }
    }

    /// What it all comes to.
    pub(crate) fn reading(self, report: Option<String>) -> Reading {
        let numbers = (0..).zip(&self.seen).filter(|(_, seen)| **seen).map(|(number, _)| number);
        Reading { found: Numbers::from_ascending(numbers), wrong: self.wrong, report }
    }
}

/// What one reading found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The records that were there, whole.
    pub(crate) found: Numbers,
    /// Records that nobody wrote, or in the wrong place.
    pub(crate) wrong: u64,
    /// What opening said it cut or gave up, where it said so.
    pub(crate) report: Option<String>,
}

impl Reading {
    /// One line of text, for the pipe between processes.
    pub(crate) fn to_line(&self) -> String {
        format!("{} {} {}", self.found.to_text(), self.wrong, self.report.as_deref().unwrap_or("-"))
    }

    /// The reading behind a line of text.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let (found, rest) = line.split_once(' ')?;
        let (wrong, report) = rest.split_once(' ')?;
        let report = (report != "-").then(|| report.to_owned());
        Some(Self { found: Numbers::from_text(found)?, wrong: wrong.parse().ok()?, report })
    }
}

/// A set of record numbers, as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Numbers(Vec<(u64, u64)>);

impl Numbers {
    /// The set of these, which ascend.
    pub(crate) fn from_ascending(numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, end)) if *end == number => *end = number + 1,
                _ => ranges.push((number, number + 1)),
            }
        }
        Self(ranges)
    }

    /// All members, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|(start, end)| *start..*end)
    }

    /// Whether `number` is a member.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.0.iter().any(|(start, end)| (*start..*end).contains(&number))
    }

    /// How many of `wanted` are not members.
    pub(crate) fn lacks(&self, wanted: impl IntoIterator<Item = u64>) -> u64 {
        wanted.into_iter().map(|number| u64::from(!self.contains(number))).sum()
    }

    fn to_text(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        let ranges: Vec<String> = self.0.iter().map(|(start, end)| format!("{start}..{end}")).collect();
        ranges.join(",")
    }

    fn from_text(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::default());
        }
        let range = |text: &str| {
            let (start, end) = text.split_once("..")?;
            Some((start.parse().ok()?, end.parse().ok()?))
        };
        text.split(',').map(range).collect::<Option<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_differ_and_have_no_zero() {
        assert_ne!(content(1, 0, 64), content(1, 1, 64));
        assert_ne!(content(1, 0, 64), content(2, 0, 64));
        assert_eq!(content(1, 5, 16), content(1, 5, 64)[..16]);
        assert!((0..1_000).all(|number| !content(7, number, 64).contains(&0)));
    }

    #[test]
    fn loss_and_wrong_data_are_told_apart() {
        let mut oracle = Oracle::new(3, 10, 64);
        for number in [0, 1, 4, 9] {
            oracle.next(&content(3, number, 64));
        }
        oracle.next(&content(3, 4, 64));
        oracle.next(&content(3, 11, 64));
        let mut damaged = content(3, 5, 64);
        damaged[40] ^= 1;
        oracle.next_in_any_order(&damaged);
        let reading = oracle.reading(None);
        assert_eq!(reading.found.iter().collect::<Vec<_>>(), [0, 1, 4, 9]);
        assert_eq!(reading.wrong, 3);
        assert_eq!(reading.found.lacks(0..10), 6);
    }

    #[test]
    fn a_value_under_the_wrong_name_is_wrong() {
        let mut oracle = Oracle::new(3, 10, 64);
        oracle.named(2, &content(3, 2, 64));
        oracle.named(3, &content(3, 2, 64));
        let reading = oracle.reading(None);
        assert_eq!((reading.found.to_text().as_str(), reading.wrong), ("2..3", 1));
    }

    #[test]
    fn a_reading_survives_the_pipe() {
        let numbers = Numbers::from_ascending([0, 1, 2, 7]);
        for (found, report) in [(numbers, Some("cut 5 bytes".to_owned())), (Numbers::default(), None)] {
            let reading = Reading { found, wrong: 2, report };
            assert_eq!(Reading::from_line(&reading.to_line()), Some(reading));
        }
    }
}
