//! The files of the source tree: names of all, text of those the rules read.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Outcome;

/// Paths from the root, with `/` between their parts, and the text of sources, manifests and documents.
#[derive(Default)]
pub(super) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Everything below `root`, build output and version control left out.
    pub(super) fn load(root: &Path) -> Outcome<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        Ok(tree)
    }

    fn walk(&mut self, dir: &Path, prefix: &str) -> Outcome {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                if name != "target" && path != ".git" {
                    self.walk(&entry.path(), &format!("{path}/"))?;
                }
            } else if path != ".git" {
                let is_text = [".rs", ".toml", ".md"].iter().any(|ending| name.ends_with(ending));
                let text = if is_text { std::fs::read(entry.path())? } else { Vec::new() };
                self.files.insert(path, String::from_utf8_lossy(&text).into_owned());
            }
        }
        Ok(())
    }

    /// A tree made by hand, for tests of the rules.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// How many files there are.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// All paths, in order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Path and text of the files with this ending, in the order of their paths.
    pub(super) fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .filter(move |(path, _)| path.ends_with(ending))
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The names of the library crates below `crates/`.
    pub(super) fn crates(&self) -> impl Iterator<Item = &str> {
        self.paths().filter_map(|path| path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"))
    }
}
