//! What a process tells of itself, one line each.

use std::fmt;
use std::str::FromStr;

/// What a process did, or is about to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unpublished crate's own list")]
pub enum Event {
    /// It is about to open the store.
    Opening,
    /// The store ends on this commit; its entries follow.
    Found(u64),
    /// An entry: operator, key, value.
    Entry(u8, Vec<u8>, Vec<u8>),
    /// All entries were told.
    Whole,
    /// It is about to submit this commit.
    Submitted(u64),
    /// This commit was handed to the operating system.
    Handed(u64),
    /// This commit is being waited for.
    Waiting(u64),
    /// This commit is durable.
    Durable(u64),
    /// A checkpoint was begun.
    Begun,
    /// A checkpoint is being waited for.
    Awaited,
    /// No checkpoint is running any more.
    Ended,
    /// It is about to close the store.
    Closing,
    /// It is about to drop the store without closing it.
    Dropping,
    /// The store is gone.
    Gone,
    /// Somebody else has the store.
    Locked,
    /// Something is wrong.
    Violation(String),
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str("opening"),
            Self::Found(number) => write!(f, "found {number}"),
            Self::Entry(operator, key, value) => write!(f, "entry {operator} {} {}", Hex(key), Hex(value)),
            Self::Whole => f.write_str("whole"),
            Self::Submitted(number) => write!(f, "submitted {number}"),
            Self::Handed(number) => write!(f, "handed {number}"),
            Self::Waiting(number) => write!(f, "waiting {number}"),
            Self::Durable(number) => write!(f, "durable {number}"),
            Self::Begun => f.write_str("begun"),
            Self::Awaited => f.write_str("awaited"),
            Self::Ended => f.write_str("ended"),
            Self::Closing => f.write_str("closing"),
            Self::Dropping => f.write_str("dropping"),
            Self::Gone => f.write_str("gone"),
            Self::Locked => f.write_str("locked"),
            Self::Violation(what) => write!(f, "violation {}", what.replace('\n', " ")),
        }
    }
}

impl FromStr for Event {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.parse().map_err(|error| format!("{line:?}: {error}"));
        Ok(match word {
            "opening" => Self::Opening,
            "found" => Self::Found(number()?),
            "entry" => {
                let mut parts = rest.splitn(3, ' ');
                let operator = parts.next().and_then(|part| part.parse().ok());
                let (key, value) = (parts.next().and_then(from_hex), parts.next().and_then(from_hex));
                let entry = operator.zip(key).zip(value).map(|((operator, key), value)| (operator, key, value));
                let (operator, key, value) = entry.ok_or_else(|| format!("no entry: {line:?}"))?;
                Self::Entry(operator, key, value)
            }
            "whole" => Self::Whole,
            "submitted" => Self::Submitted(number()?),
            "handed" => Self::Handed(number()?),
            "waiting" => Self::Waiting(number()?),
            "durable" => Self::Durable(number()?),
            "begun" => Self::Begun,
            "awaited" => Self::Awaited,
            "ended" => Self::Ended,
            "closing" => Self::Closing,
            "dropping" => Self::Dropping,
            "gone" => Self::Gone,
            "locked" => Self::Locked,
            "violation" => Self::Violation(rest.to_owned()),
            _ => return Err(format!("not an event: {line:?}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_pipe() {
        let events = [
            Event::Opening,
            Event::Found(7),
            Event::Entry(2, Vec::new(), vec![0, 255]),
            Event::Whole,
            Event::Submitted(u64::MAX),
            Event::Handed(1),
            Event::Waiting(1),
            Event::Durable(1),
            Event::Begun,
            Event::Awaited,
            Event::Ended,
            Event::Closing,
            Event::Dropping,
            Event::Gone,
            Event::Locked,
            Event::Violation("two words".to_owned()),
        ];
        for event in events {
            assert_eq!(event.to_string().parse(), Ok(event));
        }
        for bad in ["", "found", "found x", "entry 1 0", "entry 1 0 00", "whol"] {
            assert!(bad.parse::<Event>().is_err(), "{bad:?}");
        }
    }
}
