//! `cargo xtask ci`: everything that a change has to pass, on this machine as on any other.

use crate::steps::{Steps, cargo, root, show};
use crate::{Outcome, fault, test, tidy};

/// Takes all steps and prints their verdicts.
pub(crate) fn run() -> Outcome {
    let mut steps = Steps::default();
    steps.take("formatting", || {
        show(cargo(&["fmt", "--all", "--check"]))?;
        Ok(String::new())
    });
    steps.take("lints", || {
        show(cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))?;
        Ok(String::new())
    });
    steps.take("docs", || {
        let mut command = cargo(&["doc", "--workspace", "--no-deps", "--all-features"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        show(command)?;
        Ok(String::new())
    });
    steps.take("tidy", tidy::check);
    test::take(&mut steps);
    steps.take("planted bugs", || {
        show(fault::command(&["--planted"]))?;
        Ok("each is noticed by the crash runs".to_owned())
    });
    steps.take("examples", examples);
    steps.finish()
}

/// Runs every example, the one that takes arguments with small ones.
fn examples() -> Outcome<String> {
    let manifest = std::fs::read_to_string(root().join("examples/Cargo.toml"))?;
    let names = example_names(&manifest);
    for name in &names {
        let mut command = cargo(&["run", "--release", "--quiet", "--example", name]);
        if *name == "flights" {
            command.args(["--", "--kills", "3", "--seed", "1"]);
        }
        show(command)?;
    }
    if names.is_empty() { Err("examples/Cargo.toml lists no example".into()) } else { Ok(names.join(", ")) }
}

/// The names in the `[[example]]` entries of a manifest.
fn example_names(manifest: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[[example]]";
        }
        let name = line.strip_prefix("name = \"").and_then(|rest| rest.strip_suffix('"'));
        names.extend(name.filter(|_| inside));
    }
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_examples_are_listed() {
        let manifest =
            "[package]\nname = \"p\"\n[[example]]\nname = \"a\"\npath = \"a.rs\"\n\n[[example]]\nname = \"b\"\n";
        assert_eq!(super::example_names(manifest), ["a", "b"]);
    }
}
