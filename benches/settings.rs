//! The arguments that all benches take.

/// What a bench was asked to do: `[--quick] [--large] [--keys N] [--rounds N] [--large-rounds N] [FILTER]`.
///
/// ```
/// use laminar_benches::Settings;
/// let settings = Settings::parse(["--quick", "log"].map(str::to_owned));
/// assert_eq!((settings.keys, settings.rounds), (100_000, 3));
/// assert!(settings.wants("log append") && !settings.wants("store"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "read by the benches of this workspace alone")]
pub struct Settings {
    /// Small sizes and few rounds: for a look, not for a report.
    pub quick: bool,
    /// Also the size of [`LARGE_KEYS`](Self::LARGE_KEYS), where a bench has a claim about growth.
    pub large: bool,
    /// Keys of a store.
    pub keys: u32,
    /// Turns of every contender; the median counts.
    pub rounds: usize,
    /// Turns at the size of [`LARGE_KEYS`](Self::LARGE_KEYS), which take ten times as long.
    pub large_rounds: usize,
    /// Only parts of the bench whose name contains this.
    pub filter: Option<String>,
}

impl Settings {
    /// The larger of the two sizes that budgets name.
    pub const LARGE_KEYS: u32 = 10_000_000;

    /// Those of this process.
    #[must_use]
    pub fn from_arguments() -> Self {
        Self::parse(std::env::args().skip(1))
    }

    /// Reads arguments; the ones of cargo are ignored.
    ///
    /// # Panics
    /// If a number is none, or an option is unknown.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut settings = Self { quick: false, large: false, keys: 0, rounds: 0, large_rounds: 3, filter: None };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text = arguments.next().unwrap_or_default().replace('_', "");
                text.parse::<u32>().unwrap_or_else(|_| panic!("{argument} needs a number, not {text:?}"))
            };
            match argument.as_str() {
                "--quick" => settings.quick = true,
                "--large" => settings.large = true,
                "--keys" => settings.keys = number(),
                "--rounds" => settings.rounds = number() as usize,
                "--large-rounds" => settings.large_rounds = number().max(1) as usize,
                // Cargo tells every bench that it is one.
                "--bench" => {}
                option if option.starts_with("--") => panic!("unknown option {option}"),
                filter => settings.filter = Some(filter.to_owned()),
            }
        }
        if settings.keys == 0 {
            settings.keys = if settings.quick { 100_000 } else { 1_000_000 };
        }
        if settings.rounds == 0 {
            settings.rounds = if settings.quick { 3 } else { 5 };
        }
        settings
    }

    /// Whether a part of the bench is to run.
    #[must_use]
    pub fn wants(&self, part: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| part.contains(filter.as_str()))
    }

    /// The same with the rounds that are made at this size.
    #[must_use]
    pub fn at(&self, keys: u32) -> Self {
        let is_large = self.large && keys == Self::LARGE_KEYS;
        Self { rounds: if is_large { self.large_rounds } else { self.rounds }, ..self.clone() }
    }

    /// The sizes to measure at: one, or with `--large` two.
    #[must_use]
    pub fn sizes(&self) -> Vec<u32> {
        if self.large { vec![self.keys, Self::LARGE_KEYS] } else { vec![self.keys] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let parse = |line: &str| Settings::parse(line.split_whitespace().map(str::to_owned));
        let plain = parse("--bench");
        assert_eq!((plain.keys, plain.rounds, plain.filter.as_deref()), (1_000_000, 5, None));
        assert_eq!(parse("--keys 10_000_000 --rounds 7").keys, 10_000_000);
        let large = parse("--large --large-rounds 2");
        assert_eq!(large.sizes(), [1_000_000, 10_000_000]);
        assert_eq!((large.at(1_000_000).rounds, large.at(10_000_000).rounds), (5, 2));
        assert_eq!(parse("--quick scan").filter.as_deref(), Some("scan"));
    }

    #[test]
    #[should_panic(expected = "unknown option")]
    fn unknown_options_are_refused() {
        drop(Settings::parse(["--wrong".to_owned()]));
    }
}
