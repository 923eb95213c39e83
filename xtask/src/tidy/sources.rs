//! Rules about single source files: their head, size, name, and what may not stand in them.

use super::code::{code_only, is_test_file, is_word, lines_with_word, without_tests};
use super::{Finding, Tree};

/// Lines of a file, its tests not counted.
const MAX_LINES: usize = 500;

/// The files with `unsafe` in them, each with its reason.
const UNSAFE_FILES: [(&str, &str); 4] = [
    (
        "crates/laminar-vfs/src/pages.rs",
        "a pointer to memory that is owned beside it; the proofs stand beside its uses",
    ),
    ("crates/laminar-vfs/src/prefetch.rs", "an instruction that takes a pointer; the proof stands beside it"),
    ("crates/laminar-vfs/src/real/sys.rs", "maps a file into memory; the proof stands beside the call"),
    ("benches/peers/src/backend/lmdb.rs", "a peer's own calls are unsafe; no crate of ours is built with it"),
];

/// Words for which the seam has no use: who needs them there is building in the wrong crate.
const DOMAIN_WORDS: [&str; 9] =
    ["segment", "checkpoint", "lsn", "wal", "manifest", "tombstone", "savepoint", "log record", "key group"];

/// Names that say nothing about what a file owns.
const EMPTY_NAMES: [&str; 8] = ["mod", "util", "utils", "common", "helper", "helpers", "manager", "misc"];

/// Every file begins by saying what it owns.
pub(super) fn heads(tree: &Tree) -> Vec<Finding> {
    let has_head = |text: &str| text.starts_with("//!") || text.starts_with("#![doc = include_str!(");
    let bare = tree.ending(".rs").filter(|(_, text)| !has_head(text));
    bare.map(|(path, _)| Finding::new(path, 1, "begins without `//!`: say what the file owns")).collect()
}

/// No file is longer than a reader holds in mind.
pub(super) fn sizes(tree: &Tree) -> Vec<Finding> {
    let sizes = tree.ending(".rs").filter(|(path, _)| !is_test_file(path));
    let sizes = sizes.map(|(path, text)| (path, without_tests(text)));
    let long = sizes.filter(|(_, lines)| *lines > MAX_LINES);
    long.map(|(path, lines)| Finding::new(path, 0, format!("{lines} lines without tests, at most {MAX_LINES}")))
        .collect()
}

/// Files are named after what they own.
pub(super) fn names(tree: &Tree) -> Vec<Finding> {
    let stem = |path: &str| path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).map(str::to_owned);
    let empty =
        tree.ending(".rs").filter(|(path, _)| stem(path).is_some_and(|stem| EMPTY_NAMES.contains(&stem.as_str())));
    empty.map(|(path, _)| Finding::new(path, 0, "a name that says nothing; `foo.rs` stands beside `foo/`")).collect()
}

/// Sources, manifests and documents are ASCII, so that every tool shows them alike.
pub(super) fn ascii(tree: &Tree) -> Vec<Finding> {
    let texts = [".rs", ".toml", ".md"].into_iter().flat_map(|ending| tree.ending(ending));
    let lines =
        texts.flat_map(|(path, text)| text.lines().enumerate().map(move |(index, line)| (path, index + 1, line)));
    lines
        .filter_map(|(path, number, line)| {
            let odd = line.chars().find(|c| !c.is_ascii())?;
            Some(Finding::new(path, number, format!("not ASCII: {}", odd.escape_unicode())))
        })
        .collect()
}

/// Nothing unfinished, nothing left over from debugging. Clippy knows these too, but not in code that a feature hides.
pub(super) fn macros(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let code = code_only(text);
        for name in ["todo!", "unimplemented!", "dbg!"] {
            let lines = code.lines().enumerate().filter(|(_, line)| {
                line.match_indices(name).any(|(at, _)| !line.get(..at).is_some_and(|text| text.ends_with(is_word)))
            });
            findings.extend(lines.map(|(index, _)| Finding::new(path, index + 1, format!("`{name}`"))));
        }
    }
    findings
}

/// Code that the compiler can't check stands in named files; every other crate forbids it.
pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        if UNSAFE_FILES.iter().all(|(listed, _)| *listed != path) {
            let lines = lines_with_word(&code_only(text), "unsafe");
            findings
                .extend(lines.into_iter().map(|line| Finding::new(path, line, "`unsafe` outside the files that may")));
        }
    }
    for name in tree.crates() {
        let lifted = UNSAFE_FILES.iter().any(|(path, _)| path.starts_with(&format!("crates/{name}/")));
        let path = format!("crates/{name}/src/lib.rs");
        if !lifted && !tree.text(&path).is_some_and(|text| text.contains("#![forbid(unsafe_code)]")) {
            findings.push(Finding::new(&path, 0, "lacks `#![forbid(unsafe_code)]`"));
        }
    }
    findings
}

/// Locks and atomics come from a crate's own `sync`, where a model checker can replace them.
pub(super) fn locks(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let layered = ["vfs", "wal", "checkpoint", "storage"]
            .iter()
            .any(|name| path.starts_with(&format!("crates/laminar-{name}/src/")));
        if !layered || path.ends_with("/src/sync.rs") || path.contains("/src/sync/") || is_test_file(path) {
            continue;
        }
        let code: Vec<String> = code_only(text).lines().take(without_tests(text)).map(str::to_owned).collect();
        for (index, line) in code.iter().enumerate() {
            if ["parking_lot::", "sync::atomic", "sync::Mutex", "sync::RwLock", "sync::Condvar"]
                .iter()
                .any(|path| line.contains(path))
                && !line.contains("crate::sync")
            {
                findings.push(Finding::new(path, index + 1, "locks and atomics are imported from `crate::sync`"));
            }
        }
    }
    findings
}

/// The seam knows files, not what is in them.
pub(super) fn words_of_the_domain(tree: &Tree) -> Vec<Finding> {
    let texts = [".rs", ".md"].into_iter().flat_map(|ending| tree.ending(ending));
    let mut findings = Vec::new();
    for (path, text) in texts.filter(|(path, _)| path.starts_with("crates/laminar-vfs/")) {
        for (index, line) in text.lines().enumerate() {
            let line = format!(" {} ", words(line).join(" "));
            for word in DOMAIN_WORDS {
                if [format!(" {word} "), format!(" {word}s ")].iter().any(|word| line.contains(word)) {
                    findings.push(Finding::new(path, index + 1, format!("`{word}` is a word of the crates above")));
                }
            }
        }
    }
    findings
}

/// The words of a line in lower case, those inside of identifiers (`FooBar`, `foo_bar`) apart.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in line.chars() {
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && after_lower) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_file_without_a_head_is_found() {
        let tree =
            Tree::of(&[("a.rs", "use b;\n"), ("c.rs", "//! c\n"), ("d.rs", "#![doc = include_str!(\"D.md\")]\n")]);
        assert_eq!(heads(&tree), [Finding::new("a.rs", 1, "begins without `//!`: say what the file owns")]);
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let short = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(500), "x\n".repeat(500));
        let tree = Tree::of(&[("a.rs", &"x\n".repeat(501)), ("b.rs", &short), ("c/tests/d.rs", &"x\n".repeat(900))]);
        assert_eq!(sizes(&tree).len(), 1);
    }

    #[test]
    fn empty_names_are_found() {
        let tree = Tree::of(&[("a/mod.rs", ""), ("a/util.rs", ""), ("a/utility.rs", ""), ("mod/a.rs", "")]);
        assert_eq!(names(&tree).len(), 2);
    }

    #[test]
    fn letters_beyond_ascii_are_found() {
        let tree = Tree::of(&[("a.rs", "//! a\n// \u{e9}\n"), ("b.bin", "\u{e9}"), ("c.md", "\u{2192}")]);
        assert_eq!(lines(&ascii(&tree)), [2, 1]);
    }

    #[test]
    fn unfinished_code_is_found_and_talk_about_it_is_not() {
        let tree = Tree::of(&[("a.rs", "// todo!()\ntodo!()\n\"dbg!\"\ndbg!(1)\nmy_todo!()\n")]);
        assert_eq!(lines(&macros(&tree)), [2, 4]);
    }

    #[test]
    fn unsafe_code_is_found_where_it_may_not_be() {
        let tree = Tree::of(&[
            ("crates/laminar-vfs/Cargo.toml", ""),
            ("crates/laminar-vfs/src/real/sys.rs", "unsafe {}"),
            ("crates/laminar-vfs/src/vfs.rs", "//! unsafe\nunsafe {}"),
            ("crates/laminar-wal/Cargo.toml", ""),
            ("crates/laminar-wal/src/lib.rs", "//! No forbid."),
        ]);
        let expected = [("crates/laminar-vfs/src/vfs.rs", 2), ("crates/laminar-wal/src/lib.rs", 0)];
        let found: Vec<_> = unsafe_code(&tree).into_iter().map(|finding| (finding.path, finding.line)).collect();
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn locks_of_others_are_found() {
        let text = "//! a\nuse parking_lot::Mutex;\nuse crate::sync::Mutex;\nuse std::sync::Arc;\nuse std::sync::atomic::AtomicU64;\n";
        let tree = Tree::of(&[
            ("crates/laminar-wal/src/a.rs", text),
            ("crates/laminar-wal/src/sync.rs", text),
            ("crates/laminar-wal/src/sync/model.rs", text),
            ("crates/laminar-sim/src/a.rs", text),
        ]);
        assert_eq!(lines(&locks(&tree)), [2, 5]);
    }

    #[test]
    fn words_of_the_domain_are_found_in_the_seam_alone() {
        let text = "a walk\nstruct SegmentId;\nlet key_group = 1;\n// old checkpoints\nfn wal_name()\n";
        let tree = Tree::of(&[("crates/laminar-vfs/src/a.rs", text), ("crates/laminar-wal/src/a.rs", text)]);
        assert_eq!(lines(&words_of_the_domain(&tree)), [2, 3, 4, 5]);
    }
}
