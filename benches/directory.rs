//! Where the benches keep their figures and their stores.
#![expect(clippy::disallowed_methods, reason = "prepares directories, outside of the seam that stores go through")]

use std::path::{Path, PathBuf};

/// The variable that names the directory of figures; without it, it is `bench` in cargo's target directory.
pub const VARIABLE: &str = "LAMINAR_BENCH_DIR";

/// The directory of figures and reports.
///
/// # Panics
/// If it can't be made.
#[must_use]
pub fn figures() -> PathBuf {
    let dir = std::env::var_os(VARIABLE).map_or_else(beside_this_program, PathBuf::from);
    std::fs::create_dir_all(&dir).expect("the directory of figures can be made");
    dir
}

/// `bench` beside the directory of the profile (`release`, `debug`) that this program was built into.
fn beside_this_program() -> PathBuf {
    let program = std::env::current_exe().expect("a process knows its program");
    let profile = program.ancestors().skip(1).find(|dir| !dir.ends_with("deps")).unwrap_or(Path::new("."));
    profile.parent().unwrap_or(profile).join("bench")
}

/// A fresh directory for a store, on the disk that the figures are on, which goes away when it is dropped.
///
/// # Panics
/// If it can't be made.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("scratch-").tempdir_in(figures()).expect("a directory can be made")
}

/// The bytes that files under `dir` occupy on disk, a file with several names once.
///
/// # Panics
/// If the directory is not there.
#[must_use]
pub fn bytes_on_disk(dir: &Path) -> u64 {
    assert!(dir.is_dir(), "the directory of a store is there");
    let mut seen = std::collections::HashSet::new();
    let mut total = 0;
    visit(dir, &mut |metadata| {
        use std::os::unix::fs::MetadataExt;
        if seen.insert((metadata.dev(), metadata.ino())) {
            total += metadata.blocks() * 512;
        }
    });
    total
}

fn visit(dir: &Path, each: &mut dyn FnMut(&std::fs::Metadata)) {
    // A store in use removes directories and files meanwhile.
    for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => visit(&entry.path(), each),
            Ok(metadata) => each(&metadata),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("a"), vec![1; 8192]).unwrap();
        let once = bytes_on_disk(dir.path());
        std::fs::hard_link(dir.path().join("a"), dir.path().join("sub/b")).unwrap();
        assert!(once >= 8192);
        assert_eq!(bytes_on_disk(dir.path()), once);
    }
}
