//! Contenders that take turns: what disturbs the machine for a while disturbs all of them.

use indicatif::{ProgressBar, ProgressStyle};

use crate::Settings;

/// One figure of one turn.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "made by the benches of this workspace alone")]
pub struct Figure {
    /// What was measured: one of [`names`](crate::names), or a name of the bench's own.
    pub bench: String,
    /// Unit of the value.
    pub unit: String,
    /// The value.
    pub value: f64,
}

impl<B: Into<String>, U: Into<String>> From<(B, U, f64)> for Figure {
    fn from((bench, unit, value): (B, U, f64)) -> Self {
        Self { bench: bench.into(), unit: unit.into(), value }
    }
}

/// A figure of one contender in all rounds.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "read by the benches of this workspace alone")]
pub struct Measured {
    /// The contender.
    pub store: String,
    /// What was measured.
    pub bench: String,
    /// Unit of the values.
    pub unit: String,
    /// A value a round.
    pub rounds: Vec<f64>,
}

type Turn<'a> = Box<dyn FnMut() -> Vec<Figure> + 'a>;

/// One that takes turns.
struct Contender<'a> {
    store: String,
    /// Rounds that it takes part in.
    turns: usize,
    turn: Turn<'a>,
}

/// Rounds in which every contender has one turn, each round beginning with another one.
///
/// ```
/// use laminar_benches::{Rounds, Settings};
/// let mut rounds = Rounds::new("doc", &Settings::parse(["--rounds".into(), "3".into()]));
/// rounds.add("first", || vec![("speed", "ops/s", 1.0)]);
/// rounds.add("second", || vec![("speed", "ops/s", 2.0)]);
/// let measured = rounds.run();
/// assert_eq!((measured[1].store.as_str(), measured[1].rounds.as_slice()), ("second", &[2.0; 3][..]));
/// ```
#[expect(missing_debug_implementations, reason = "holds closures")]
pub struct Rounds<'a> {
    title: String,
    count: usize,
    contenders: Vec<Contender<'a>>,
}

impl<'a> Rounds<'a> {
    /// No contenders yet; as many rounds as the settings say.
    #[must_use]
    pub fn new(title: impl Into<String>, settings: &Settings) -> Self {
        Self { title: title.into(), count: settings.rounds, contenders: Vec::new() }
    }

    /// Adds a contender. A turn prepares what it needs outside of the time it takes, and returns its figures.
    pub fn add<F: Into<Figure>>(&mut self, store: &str, turn: impl FnMut() -> Vec<F> + 'a) {
        self.add_for(self.count, store, turn);
    }

    /// Adds a contender that takes part in the first `turns` rounds only: one whose turns are long, and which is far behind.
    pub fn add_for<F: Into<Figure>>(&mut self, turns: usize, store: &str, mut turn: impl FnMut() -> Vec<F> + 'a) {
        let turn = Box::new(move || turn().into_iter().map(Into::into).collect());
        self.contenders.push(Contender { store: store.to_owned(), turns: turns.min(self.count), turn });
    }

    /// Runs all rounds, with a bar that shows how far they are and how long they will take.
    #[must_use]
    pub fn run(mut self) -> Vec<Measured> {
        let bar = progress(&self.title, self.contenders.iter().map(|contender| contender.turns as u64).sum());
        let mut turns: Vec<Vec<Vec<Figure>>> = vec![Vec::new(); self.contenders.len()];
        for round in 0..self.count {
            let count = self.contenders.len();
            for place in 0..count {
                let index = (round + place) % count;
                let (Some(contender), Some(done)) = (self.contenders.get_mut(index), turns.get_mut(index)) else {
                    continue;
                };
                if round >= contender.turns {
                    continue;
                }
                bar.set_message(contender.store.clone());
                done.push((contender.turn)());
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let measured = |(contender, turns): (&Contender<'a>, Vec<Vec<Figure>>)| {
            Measured::collect(&contender.store, turns.into_iter().flatten())
        };
        self.contenders.iter().zip(turns).flat_map(measured).collect()
    }
}

impl Measured {
    /// The figures of one contender, gathered by what they measure.
    #[must_use]
    pub fn collect(store: &str, figures: impl IntoIterator<Item = Figure>) -> Vec<Self> {
        let mut measured: Vec<Self> = Vec::new();
        for Figure { bench, unit, value } in figures {
            match measured.iter_mut().find(|known| known.bench == bench) {
                Some(known) => known.rounds.push(value),
                None => measured.push(Self { store: store.to_owned(), bench, unit, rounds: vec![value] }),
            }
        }
        measured
    }
}

/// A bar for `steps` of something that takes more than a second.
///
/// # Panics
/// Never: the template is legal.
#[must_use]
pub fn progress(title: &str, steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix}  {wide_bar} {pos}/{len}  {msg}  {elapsed} (still {eta})");
    let bar = ProgressBar::new(steps).with_style(style.expect("a legal template")).with_prefix(title.to_owned());
    bar.enable_steady_tick(std::time::Duration::from_millis(250));
    bar
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn contenders_take_turns_and_each_begins_once() {
        let order = RefCell::new(String::new());
        let settings = Settings::parse(["--rounds".to_owned(), "3".to_owned()]);
        let mut rounds = Rounds::new("test", &settings);
        for name in ["a", "b", "c"] {
            let order = &order;
            rounds.add(name, move || {
                order.borrow_mut().push_str(name);
                vec![("count", "1", order.borrow().len() as f64)]
            });
        }
        let measured = rounds.run();
        assert_eq!(*order.borrow(), "abcbcacab");
        assert_eq!(measured[0].rounds, [1.0, 6.0, 8.0]);
    }

    #[test]
    fn one_may_leave_after_the_first_rounds() {
        let order = RefCell::new(String::new());
        let mut rounds = Rounds::new("test", &Settings::parse(["--rounds".to_owned(), "3".to_owned()]));
        let turn = |name: &'static str| {
            let order = &order;
            move || {
                order.borrow_mut().push_str(name);
                vec![("count", "1", 1.0)]
            }
        };
        rounds.add("long", turn("l"));
        rounds.add_for(1, "short", turn("s"));
        let measured = rounds.run();
        assert_eq!(*order.borrow(), "lsll");
        assert_eq!((measured[0].rounds.len(), measured[1].rounds.len()), (3, 1));
    }
}
