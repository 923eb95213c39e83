//! Rules about bytes on disk: a crate that owns some has a document, a hash that ties the document to the code, and a
//! file of every version it ever wrote.
//!
//! The document is `FORMAT.md`, rendered as the module documentation of `src/format.rs`. Its hash line stands in a
//! comment that rustdoc does not show. Files of released versions stand below `tests/golden/`, the version in a part
//! of the path of its own (`v1`, `segment-v1.wal`), and one that says `future` has a version from beyond.

use std::path::Path;

use super::code::{is_test_file, without_tests};
use super::{Finding, Tree};
use crate::Outcome;

const BEFORE: &str = "<!-- bytes of src/format.rs: crc32c ";
const AFTER: &str = " -->";

/// Every rule about formats.
pub(super) fn documents(tree: &Tree) -> Vec<Finding> {
    tree.crates().flat_map(|name| of_crate(tree, name)).collect()
}

fn of_crate(tree: &Tree, name: &str) -> Vec<Finding> {
    let (document, code) = (format!("crates/{name}/FORMAT.md"), format!("crates/{name}/src/format.rs"));
    let mut findings = Vec::new();
    let (text, head) = match (tree.text(&document), tree.text(&code)) {
        (None, None) => return findings,
        (Some(_), None) => return vec![Finding::new(&document, 0, "a document of bytes without src/format.rs")],
        (None, Some(_)) => return vec![Finding::new(&code, 0, "bytes without a document: FORMAT.md")],
        (Some(text), Some(head)) => (text, head),
    };
    if !head.lines().any(|line| line == "#![doc = include_str!(\"../FORMAT.md\")]") {
        findings.push(Finding::new(&code, 1, "does not show FORMAT.md as its documentation"));
    }
    if hash_in(text) != Some(hash_of(tree, name).as_str()) {
        let message =
            "does not match src/format.rs; make the text say what the code does, then `cargo xtask tidy --bless`";
        findings.push(Finding::new(&document, 0, message));
    }
    findings.extend(golden(tree, name));
    findings
}

/// The files with the bytes of a crate, unit tests left out.
fn code_of<'a>(tree: &'a Tree, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let stem = format!("crates/{name}/src/format");
    tree.ending(".rs").filter(move |(path, _)| {
        path.strip_prefix(&stem).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')) && !is_test_file(path)
    })
}

fn hash_of(tree: &Tree, name: &str) -> String {
    let hash = code_of(tree, name).fold(0, |hash, (path, text)| {
        let hash = crc32c::crc32c_append(hash, path.as_bytes());
        let lines = text.lines().take(without_tests(text));
        lines.fold(hash, |hash, line| crc32c::crc32c_append(hash, format!("{line}\n").as_bytes()))
    });
    format!("{hash:08x}")
}

fn hash_in(document: &str) -> Option<&str> {
    document.lines().find_map(|line| line.strip_prefix(BEFORE)?.strip_suffix(AFTER))
}

/// There is a file of every version up to the current one, and one from the future.
fn golden(tree: &Tree, name: &str) -> Vec<Finding> {
    let dir = format!("crates/{name}/tests/golden/");
    let names: Vec<&str> = tree.paths().filter_map(|path| path.strip_prefix(&dir)).collect();
    let mut findings = Vec::new();
    let mut require = |part: &str| {
        let is_part = |path: &&str| path.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == part);
        if !names.iter().any(is_part) {
            findings.push(Finding::new(&dir, 0, format!("holds no file with `{part}` in its name")));
        }
    };
    let newest = code_of(tree, name).flat_map(|(_, text)| text.lines().filter_map(version_in)).max().unwrap_or(1);
    (1..=newest).for_each(|version| require(&format!("v{version}")));
    require("future");
    findings
}

/// The number in a line like `pub const VERSION: u32 = 1;`.
fn version_in(line: &str) -> Option<u32> {
    let (name, value) = line.split_once(": u32 = ")?;
    name.ends_with("VERSION").then(|| value.trim_end_matches(';').parse().ok()).flatten()
}

/// Writes the hash into every document.
pub(super) fn bless(tree: &Tree, root: &Path) -> Outcome {
    for name in tree.crates() {
        let path = format!("crates/{name}/FORMAT.md");
        let Some(document) = tree.text(&path) else { continue };
        let line = format!("{BEFORE}{}{AFTER}", hash_of(tree, name));
        let Some(blessed) = with_hash(document, &line) else { continue };
        std::fs::write(root.join(&path), blessed)?;
        println!("{path}: {line}");
    }
    Ok(())
}

/// The document with this hash line, at the end where it had none; `None` if it has it already.
fn with_hash(document: &str, line: &str) -> Option<String> {
    let mut lines: Vec<&str> = document.lines().collect();
    match lines.iter_mut().find(|old| old.starts_with(BEFORE)) {
        Some(old) if *old == line => return None,
        Some(old) => *old = line,
        None => lines.extend(["", line]),
    }
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "#![doc = include_str!(\"../FORMAT.md\")]\npub const VERSION: u32 = 2;\n";

    fn tree<'a>(document: &'a str, code: &'a str) -> Tree {
        let dir = "crates/a/tests/golden";
        let golden = [format!("{dir}/v1/x"), format!("{dir}/x-v2.bin"), format!("{dir}/future.bin")];
        let mut files =
            vec![("crates/a/Cargo.toml", ""), ("crates/a/FORMAT.md", document), ("crates/a/src/format.rs", code)];
        files.extend(golden.iter().map(|path| (path.as_str(), "")));
        Tree::of(&files)
    }

    fn blessed(code: &str) -> String {
        let line = format!("{BEFORE}{}{AFTER}", hash_of(&tree("", code), "a"));
        with_hash("# Bytes\n", &line).unwrap()
    }

    #[test]
    fn a_blessed_document_passes_until_the_code_changes() {
        let document = blessed(CODE);
        assert_eq!(documents(&tree(&document, CODE)), []);
        assert_eq!(documents(&tree(&document, &CODE.replace("u32 = 2", "u32 = 1"))).len(), 1);
        assert_eq!(documents(&tree("# Bytes\n", CODE)).len(), 1);
        assert_eq!(with_hash(&document, document.lines().last().unwrap()), None);
    }

    #[test]
    fn unit_tests_are_no_bytes() {
        let tested = format!("{CODE}#[cfg(test)]\nmod tests {{\n}}\n");
        assert_eq!(documents(&tree(&blessed(CODE), &tested)), []);
    }

    #[test]
    fn a_version_without_a_golden_file_is_found() {
        let code = CODE.replace("u32 = 2", "u32 = 3");
        let found = documents(&tree(&blessed(&code), &code));
        assert_eq!(found, [Finding::new("crates/a/tests/golden/", 0, "holds no file with `v3` in its name")]);
    }

    #[test]
    fn bytes_and_document_need_each_other() {
        let manifest = ("crates/a/Cargo.toml", "");
        assert_eq!(documents(&Tree::of(&[manifest, ("crates/a/src/format.rs", CODE)])).len(), 1);
        assert_eq!(documents(&Tree::of(&[manifest, ("crates/a/FORMAT.md", "")])).len(), 1);
        assert_eq!(documents(&tree(&blessed("//! x\n"), "//! x\n")).len(), 1);
    }
}
