//! `cargo xtask tidy`: rules of the source tree that neither the compiler nor clippy knows.
//!
//! A rule is a function from the tree to what it finds; each has a test with a tree that breaks it.

use std::fmt;

use crate::Outcome;
use crate::steps::root;

mod claims;
mod code;
mod formats;
mod packages;
mod planted;
mod sources;
mod tree;

use tree::Tree;

/// What to do about a stale hash.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write the hash of each crate's format into its FORMAT.md, after you have made the text say what the code does
    #[arg(long)]
    bless: bool,
}

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: [Rule; 18] = [
    sources::heads,
    sources::sizes,
    sources::names,
    sources::ascii,
    sources::macros,
    sources::unsafe_code,
    sources::locks,
    sources::words_of_the_domain,
    packages::root_entries,
    packages::lints,
    packages::versions_in_one_place,
    packages::reasons,
    packages::arrows,
    formats::documents,
    claims::promises,
    claims::named_files,
    planted::sites,
    planted::feature,
];

/// Blesses if asked to, then checks.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    if arguments.bless {
        formats::bless(&Tree::load(&root())?, &root())?;
    }
    println!("{}", check()?);
    Ok(())
}

/// Checks every rule.
///
/// # Errors
/// If anything was found; all of it is printed.
pub(crate) fn check() -> Outcome<String> {
    let tree = Tree::load(&root())?;
    let findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(format!("{} files, {} rules", tree.len(), RULES.len())),
        count => Err(format!("tidy: {count} to mend").into()),
    }
}
