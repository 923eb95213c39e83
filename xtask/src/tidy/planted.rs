//! Rules about planted bugs: each that is listed stands at one place of the code, and no build has them that did not ask.

use super::code::is_test_file;
use super::{Finding, Tree};

const LIST: &str = "crates/laminar-sim/src/planted/list.rs";

/// Every bug of the list stands at exactly one place of the crates, and every bug of the crates is in the list.
pub(super) fn sites(tree: &Tree) -> Vec<Finding> {
    let listed: Vec<(usize, &str)> = names(tree.text(LIST).unwrap_or_default(), "bug(\"").collect();
    let is_spoiled = |path: &str| path.starts_with("crates/") && path.contains("/src/") && !is_test_file(path);
    let mut planted: Vec<(&str, usize, &str)> = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| is_spoiled(path)) {
        planted.extend(
            names(text, "planted(\"").filter(|(_, name)| *name != "any").map(|(line, name)| (path, line, name)),
        );
    }
    let mut findings = Vec::new();
    for (line, name) in &listed {
        match planted.iter().filter(|(.., planted)| planted == name).count() {
            1 => {}
            count => {
                findings.push(Finding::new(LIST, *line, format!("`{name}` is planted at {count} places, not one")))
            }
        }
    }
    let unlisted = planted.iter().filter(|(.., planted)| !listed.iter().any(|(_, name)| name == planted));
    findings
        .extend(unlisted.map(|(path, line, name)| Finding::new(path, *line, format!("`{name}` is not in the list"))));
    findings
}

/// The feature that compiles them in is only ever named to forward it: no default and no dependency turns it on.
pub(super) fn feature(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending("Cargo.toml") {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            if line.contains("planted") && !line.starts_with("planted = [") {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    "planted bugs are for `cargo xtask fault --planted` alone",
                ));
            }
        }
    }
    findings
}

/// What stands in quotes behind `before`, and in which line, from 1.
fn names<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    text.lines().enumerate().flat_map(move |(index, line)| {
        line.split(before).skip(1).filter_map(move |rest| Some((index + 1, rest.split_once('"')?.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_has_one_place_and_one_row() {
        let code = "if planted(\"a\") {}\nlet b = !planted(\"b\") && planted(\"c\");\nplanted(\"b\");\n";
        let tree = Tree::of(&[("crates/x/src/a.rs", code), (LIST, "bug(\"a\", 1),\nbug(\"b\", 1),\nbug(\"d\", 1),\n")]);
        let found: Vec<(String, usize)> =
            sites(&tree).into_iter().map(|finding| (finding.path, finding.line)).collect();
        let expected = [(LIST, 2), (LIST, 3), ("crates/x/src/a.rs", 2)];
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn no_build_has_bugs_unasked() {
        let text =
            "[features]\ndefault = [\"planted\"]\nplanted = []\n[dependencies]\na = { features = [\"planted\"] }\n";
        let lines: Vec<usize> =
            feature(&Tree::of(&[("a/Cargo.toml", text)])).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 5]);
    }
}
