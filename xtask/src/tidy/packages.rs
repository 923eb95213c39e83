//! Rules about packages: who may depend on whom, where versions stand, and which lints hold.

use super::{Finding, Tree};

/// What may stand at the root. Anything else has a better place.
const ROOT_ENTRIES: [&str; 18] = [
    ".cargo",
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "clippy.toml",
    "crates",
    "examples",
    "fuzz",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "xtask",
];

/// The layers: each package and the packages of ours that it may use, in code and in tests.
const ARROWS: [(&str, &[&str]); 11] = [
    ("laminar-vfs", &[]),
    ("laminar-wal", &["laminar-vfs"]),
    ("laminar-checkpoint", &["laminar-vfs"]),
    ("laminar-storage", &["laminar-vfs", "laminar-wal", "laminar-checkpoint"]),
    ("laminar-sim", &["laminar-vfs", "laminar-wal", "laminar-checkpoint", "laminar-storage"]),
    ("laminar-benches", &["laminar-vfs", "laminar-wal", "laminar-checkpoint", "laminar-storage"]),
    ("laminar-examples", &["laminar-vfs", "laminar-wal", "laminar-checkpoint", "laminar-storage"]),
    ("laminar-torture", &["laminar-wal", "laminar-checkpoint", "laminar-storage"]),
    ("laminar-fuzz", &["laminar-sim"]),
    ("laminar-peers", &["laminar-wal", "laminar-storage", "laminar-benches"]),
    ("xtask", &["laminar-sim"]),
];

/// The root holds what the ecosystem expects there, and no more.
pub(super) fn root_entries(tree: &Tree) -> Vec<Finding> {
    let mut entries: Vec<&str> = tree.paths().filter_map(|path| path.split('/').next()).collect();
    entries.dedup();
    entries.retain(|entry| !ROOT_ENTRIES.contains(entry));
    entries.into_iter().map(|entry| Finding::new(entry, 0, "has no place at the root")).collect()
}

/// Every package has the lints of the workspace; Cargo does not imply it.
pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let missing = manifests(tree)
        .filter(|(_, text)| !entries(text).any(|entry| entry.table == "lints" && entry.line == "workspace = true"));
    missing.map(|(path, _)| Finding::new(path, 0, "lacks `[lints] workspace = true`")).collect()
}

/// Versions of dependencies stand in the root manifest alone.
pub(super) fn versions_in_one_place(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A package that names itself, in order to turn on one of its features in tests, has no version to state.
    let has_none = |line: &str| line.contains("workspace = true") || line.contains("path = \".\"");
    for (path, text) in manifests(tree) {
        let own = entries(text).filter(|entry| entry.is_dependency() && !has_none(entry.line));
        let message = "versions stand in the root manifest: `workspace = true`";
        findings.extend(own.map(|entry| Finding::new(path, entry.number, message)));
    }
    findings
}

/// Every dependency from outside has its reason on the line above it.
pub(super) fn reasons(tree: &Tree) -> Vec<Finding> {
    let text = tree.text("Cargo.toml").unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let dependencies = entries(text)
        .filter(|entry| entry.table == "workspace.dependencies" && !entry.line.contains("path = \"crates/"));
    let bare = dependencies.filter(|entry| {
        let above = entry.number.checked_sub(2).and_then(|index| lines.get(index));
        !above.is_some_and(|line| line.starts_with("# "))
    });
    bare.map(|entry| Finding::new("Cargo.toml", entry.number, "a dependency without its reason on the line above"))
        .collect()
}

/// Dependencies between our packages point down.
pub(super) fn arrows(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in manifests(tree) {
        let name = entries(text).find(|entry| entry.table == "package" && entry.key() == "name");
        let name = name.map(|entry| entry.line.trim_start_matches("name = ").trim_matches('"')).unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(package, _)| *package == name) else {
            findings.push(Finding::new(path, 0, format!("`{name}` has no place among the layers yet")));
            continue;
        };
        for entry in entries(text).filter(Entry::is_dependency) {
            let used = entry.key();
            let ours = ARROWS.iter().any(|(package, _)| *package == used);
            if ours && used != name && !allowed.contains(&used) {
                findings.push(Finding::new(path, entry.number, format!("`{name}` must not depend on `{used}`")));
            }
            if used == "tokio" && entry.table == "dependencies" {
                findings.push(Finding::new(path, entry.number, "a runtime is the caller's choice"));
            }
        }
    }
    findings
}

/// The manifests of packages, without that of the workspace.
fn manifests(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.ending("/Cargo.toml").filter(|(_, text)| text.lines().any(|line| line == "[package]"))
}

/// One line of a manifest, with the table it stands in.
struct Entry<'a> {
    table: &'a str,
    line: &'a str,
    /// From 1.
    number: usize,
}

impl<'a> Entry<'a> {
    /// What the line sets, up to the first dot: `name` of `name.workspace = true`.
    fn key(&self) -> &'a str {
        self.line.split(['.', '=', ' ']).next().unwrap_or_default()
    }

    fn is_dependency(&self) -> bool {
        self.table.ends_with("dependencies") && self.table != "workspace.dependencies"
    }
}

fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let mut table = "";
    text.lines().enumerate().filter_map(move |(index, line)| {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']);
            return None;
        }
        let is_entry = line.starts_with(|c: char| c.is_ascii_alphanumeric());
        is_entry.then_some(Entry { table, line, number: index + 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "[package]\nname = \"laminar-wal\"\n[lints]\nworkspace = true\n[dependencies]\nlaminar-vfs.workspace = true\n";

    fn found(rule: super::super::Rule, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)])).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_stray_at_the_root_is_found() {
        let tree = Tree::of(&[("docs/a.md", ""), ("docs/b.md", ""), ("crates/a.rs", ""), ("README.md", "")]);
        assert_eq!(root_entries(&tree), [Finding::new("docs", 0, "has no place at the root")]);
    }

    #[test]
    fn missing_lints_are_found() {
        assert_eq!(found(lints, "a/Cargo.toml", GOOD), []);
        assert_eq!(found(lints, "a/Cargo.toml", "[package]\nname = \"a\"\n"), [0]);
    }

    #[test]
    fn a_version_outside_the_root_is_found() {
        assert_eq!(found(versions_in_one_place, "a/Cargo.toml", GOOD), []);
        assert_eq!(found(versions_in_one_place, "a/Cargo.toml", &format!("{GOOD}csv = \"1\"\n")), [7]);
        assert_eq!(found(versions_in_one_place, "a/Cargo.toml", &format!("{GOOD}a = {{ path = \".\" }}\n")), []);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let text = "[workspace.dependencies]\nours = { path = \"crates/ours\" }\n# Why.\na = \"1\"\nb = \"1\"\n";
        assert_eq!(found(reasons, "Cargo.toml", text), [5]);
    }

    #[test]
    fn arrows_that_point_up_are_found() {
        assert_eq!(found(arrows, "a/Cargo.toml", GOOD), []);
        let up = format!(
            "{GOOD}laminar-storage.workspace = true\n[dev-dependencies]\nlaminar-checkpoint.workspace = true\n"
        );
        assert_eq!(found(arrows, "a/Cargo.toml", &up), [7, 9]);
        let runtime = format!("{GOOD}tokio.workspace = true\n[dev-dependencies]\ntokio.workspace = true\n");
        assert_eq!(found(arrows, "a/Cargo.toml", &runtime), [7]);
        assert_eq!(found(arrows, "a/Cargo.toml", "[package]\nname = \"new\"\n"), [0]);
    }
}
