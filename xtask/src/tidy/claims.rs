//! Rules about what the documents claim: every promise has tests that bear its number, every file they name is there.

use super::code::code_only;
use super::{Finding, Tree};

const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "README.md"];

/// Each promise of the architecture (`**P1 ...`) has a test whose name begins with its number (`p1_...`).
pub(super) fn promises(tree: &Tree) -> Vec<Finding> {
    let document = "ARCHITECTURE.md";
    let tests = tree.ending(".rs").filter(|(path, _)| path.contains("/tests/"));
    let code: Vec<String> = tests.map(|(_, text)| code_only(text)).collect();
    let mut findings = Vec::new();
    for (index, line) in tree.text(document).unwrap_or_default().lines().enumerate() {
        let number = line.strip_prefix("- **P").map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
        let Some(number) = number.filter(|number: &String| !number.is_empty()) else { continue };
        if !code.iter().any(|code| code.contains(&format!("fn p{number}_"))) {
            findings.push(Finding::new(document, index + 1, format!("no test is named after P{number}")));
        }
    }
    findings
}

/// Source files that a document names in backquotes are there, below the root or below `crates/`.
pub(super) fn named_files(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in DOCUMENTS {
        for (index, line) in tree.text(document).unwrap_or_default().lines().enumerate() {
            let names = line.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") && name.contains('/'));
            let gone = names.filter(|name| {
                [String::new(), "crates/".to_owned()].iter().all(|dir| tree.text(&format!("{dir}{name}")).is_none())
            });
            findings.extend(gone.map(|name| Finding::new(document, index + 1, format!("`{name}` is not there"))));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_without_a_test_is_found() {
        let text = "# A\n- **P1 Nothing is lost.**\n- **P10 Only errors**\n- **Plain**\n";
        let tree =
            Tree::of(&[("ARCHITECTURE.md", text), ("crates/a/tests/promises.rs", "// fn p10_\nfn p1_kept() {}\n")]);
        assert_eq!(promises(&tree), [Finding::new("ARCHITECTURE.md", 3, "no test is named after P10")]);
    }

    #[test]
    fn a_file_that_is_gone_is_found() {
        let text = "`a/src/b.rs` and `a/src/c.rs`, `xtask/d.rs`, `format.rs`\n";
        let tree = Tree::of(&[("README.md", text), ("crates/a/src/b.rs", ""), ("xtask/d.rs", "")]);
        assert_eq!(named_files(&tree), [Finding::new("README.md", 1, "`a/src/c.rs` is not there")]);
    }
}
