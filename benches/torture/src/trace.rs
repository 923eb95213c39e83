//! What a record of system calls says about the pages that a failed sync has lost.
//!
//! After a failed sync the kernel calls the dirty pages of the file clean. They read as written until the cache drops them,
//! also in the next process, and then the old bytes are back; only pages that were written again since are safe. This
//! module follows the calls and keeps the set of pages that are still bound to go back. It is a model of Linux on ext4 and
//! XFS, of the contents of files alone: names, lengths and holes are taken to survive.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::image::{Image, PAGE};

/// The flag of `openat` that a position is the end of the file.
const APPEND: &str = "O_APPEND";

/// The pages that are bound to go back, by the path their file has by now.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    root: PathBuf,
    files: BTreeMap<PathBuf, LostPages>,
    lengths: HashMap<PathBuf, u64>,
    open: HashMap<u32, Descriptor>,
    /// Calls without their end, by thread.
    unfinished: HashMap<String, String>,
    /// Why the answer can't be trusted, if it can't.
    blind: Option<String>,
    failed_syncs: usize,
}

#[derive(Debug, Clone, Default)]
struct LostPages {
    /// The path the file had when the sync failed, under which its old bytes are known.
    origin: PathBuf,
    pages: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
struct Descriptor {
    path: PathBuf,
    position: u64,
    append: bool,
}

/// The state of the directory before the commit whose sync failed, and after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) before: &'a Image,
    pub(crate) after: &'a Image,
}

impl Lost {
    /// Nothing is lost yet below `root`, a canonical path, where the files are those of `image`.
    pub(crate) fn new(root: &Path, image: &Image) -> Self {
        let lengths = image.files().map(|(path, file)| (path.to_path_buf(), file.length())).collect();
        Self { root: root.to_path_buf(), lengths, ..Self::default() }
    }

    /// Takes over what a running process has open, as `/proc` tells it, before its record begins.
    pub(crate) fn take_over(&mut self, process: u32) -> std::io::Result<()> {
        for entry in std::fs::read_dir(format!("/proc/{process}/fd"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let (Ok(number), Ok(target)) = (name.parse(), std::fs::read_link(entry.path())) else { continue };
            let Ok(path) = target.strip_prefix(&self.root) else { continue };
            let info = std::fs::read_to_string(format!("/proc/{process}/fdinfo/{name}"))?;
            let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let position = field("pos:").and_then(|text| text.parse().ok()).unwrap_or(0);
            let flags = field("flags:").and_then(|text| u32::from_str_radix(text, 8).ok()).unwrap_or(0);
            let append = flags & 0o2000 != 0;
            self.open.insert(number, Descriptor { path: path.to_path_buf(), position, append });
        }
        Ok(())
    }

    /// Follows a record. A failed sync loses what the file's pages were changed to between the two images.
    pub(crate) fn follow(&mut self, record: &str, around: Option<Around<'_>>) {
        for line in record.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if let Some(start) = call.strip_suffix("<unfinished ...>") {
                self.unfinished.insert(thread.to_owned(), start.to_owned());
            } else if call.starts_with("<... ") {
                let rest = call.split_once("resumed>").map(|(_, rest)| rest).unwrap_or_default();
                if let Some(start) = self.unfinished.remove(thread) {
                    self.call(&format!("{start}{rest}"), around);
                }
            } else {
                self.call(call, around);
            }
        }
        // A process that was aborted leaves its last calls without an end; a write among them may have happened.
        for (_, start) in std::mem::take(&mut self.unfinished) {
            self.call(&format!("{start}) = 0"), around);
        }
    }

    /// How many syncs failed.
    pub(crate) fn failed_syncs(&self) -> usize {
        self.failed_syncs
    }

    /// How many pages are bound to go back.
    pub(crate) fn count(&self) -> usize {
        self.files.values().map(|file| file.pages.len()).sum()
    }

    /// From here on the record is that of another process, which starts with nothing open.
    pub(crate) fn next_process(&mut self) {
        self.open.clear();
    }

    /// Why the record can't tell, if it can't.
    pub(crate) fn blind(&self) -> Option<&str> {
        self.blind.as_deref()
    }

    /// The directory `image` once the cache has dropped its clean pages, where `old` is what the disk has of them.
    pub(crate) fn drop_cache(&self, image: &mut Image, old: &Image) {
        let nothing = crate::image::FileImage::default();
        for (path, lost) in &self.files {
            let Some(file) = image.file_mut(path) else { continue };
            let old = old.file(&lost.origin).unwrap_or(&nothing);
            lost.pages.iter().for_each(|page| file.revert_page(*page, old));
        }
    }

    fn call(&mut self, call: &str, around: Option<Around<'_>>) {
        let Some((name, rest)) = call.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let arguments = split_arguments(arguments.trim_end().strip_suffix(')').unwrap_or(arguments));
        let argument = |index: usize| arguments.get(index).map(String::as_str).unwrap_or_default();
        if result.contains("(INJECTED)") {
            self.failed_syncs += 1;
            if let Some(around) = around {
                self.lose(self.descriptor_path(argument(0)), around);
            }
            return;
        }
        let Some(result) = number(result) else { return };
        match name {
            "openat" | "open" | "creat" => self.opened(call, result),
            "lseek" => self.seek_to(argument(0), result),
            "read" => self.advance(argument(0), result),
            "write" | "writev" | "sendfile" => self.wrote(argument(0), None, result),
            "pwrite64" | "pwritev" | "pwritev2" => self.wrote(argument(0), number(argument(3)), result),
            "copy_file_range" => self.wrote(argument(2), None, result),
            "ftruncate" => self.cut(argument(0), number(argument(1)).unwrap_or(0)),
            "fallocate" if argument(1).contains("PUNCH_HOLE") || argument(1).contains("ZERO_RANGE") => {
                self.wrote(argument(0), number(argument(2)), number(argument(3)).unwrap_or(0));
            }
            "rename" => self.renamed(None, argument(0), None, argument(1)),
            "renameat" | "renameat2" => {
                self.renamed(Some(argument(0)), argument(1), Some(argument(2)), argument(3));
            }
            "link" => self.linked(None, argument(0), None, argument(1)),
            "linkat" => self.linked(Some(argument(0)), argument(1), Some(argument(2)), argument(3)),
            "unlink" => self.forget(None, argument(0)),
            "unlinkat" => self.forget(Some(argument(0)), argument(1)),
            "mmap" => self.mapped(argument(2), argument(3), argument(4)),
            "io_uring_setup" => self.blind = Some("writes through io_uring, where no tracer looks".to_owned()),
            _ => {}
        }
    }

    /// A sync of `path` failed (of an unknown file: of every file).
    fn lose(&mut self, path: Option<PathBuf>, around: Around<'_>) {
        let nothing = crate::image::FileImage::default();
        for (file, after) in around.after.files().filter(|(file, _)| path.as_deref().is_none_or(|path| path == *file)) {
            let before = around.before.file(file).unwrap_or(&nothing);
            let lost = self.files.entry(file.to_path_buf()).or_default();
            lost.origin = file.to_path_buf();
            lost.pages.extend(after.differing_pages(before));
        }
    }

    fn opened(&mut self, call: &str, result: u64) {
        // With -y the result tells the path: `= 5</path>`.
        let path = call.rsplit_once(" = ").and_then(|(_, result)| between(result, '<', '>'));
        let Some(path) = path.and_then(|path| self.below_root(path)) else { return };
        if call.contains("O_TRUNC") || call.contains("O_EXCL") {
            self.files.remove(&path);
            self.lengths.insert(path.clone(), 0);
        }
        if let Ok(number) = u32::try_from(result) {
            self.open.insert(number, Descriptor { path, position: 0, append: call.contains(APPEND) });
        }
    }

    fn descriptor(&mut self, argument: &str) -> Option<&mut Descriptor> {
        let number = u32::try_from(number(argument)?).ok()?;
        let path = self.descriptor_path(argument)?;
        let descriptor =
            self.open.entry(number).or_insert_with(|| Descriptor { path: path.clone(), position: 0, append: false });
        if descriptor.path != path {
            // Renamed while open, or a duplicate we did not see being made.
            descriptor.path = path;
        }
        Some(descriptor)
    }

    /// The file of a descriptor, if it is one of ours: `5</path>`.
    fn descriptor_path(&self, argument: &str) -> Option<PathBuf> {
        self.below_root(between(argument, '<', '>')?)
    }

    fn below_root(&self, path: &str) -> Option<PathBuf> {
        let path = path.trim_matches('"').trim_end_matches("(deleted)");
        Path::new(path).strip_prefix(&self.root).ok().map(Path::to_path_buf)
    }

    fn seek_to(&mut self, descriptor: &str, position: u64) {
        if let Some(descriptor) = self.descriptor(descriptor) {
            descriptor.position = position;
        }
    }

    fn advance(&mut self, descriptor: &str, count: u64) {
        if let Some(descriptor) = self.descriptor(descriptor) {
            descriptor.position += count;
        }
    }

    fn wrote(&mut self, descriptor: &str, offset: Option<u64>, count: u64) {
        let Some(path) = self.descriptor_path(descriptor) else { return };
        let length = self.lengths.get(&path).copied().unwrap_or(0);
        let Some(descriptor) = self.descriptor(descriptor) else { return };
        let start = match offset {
            Some(offset) => offset,
            None => {
                let start = if descriptor.append { length } else { descriptor.position };
                descriptor.position = start + count;
                start
            }
        };
        let end = start + count;
        self.lengths.insert(path.clone(), length.max(end));
        if let Some(lost) = self.files.get_mut(&path) {
            // A page that is touched anywhere is dirty as a whole.
            lost.pages.retain(|page| count == 0 || page * PAGE >= end || (page + 1) * PAGE <= start);
        }
    }

    fn cut(&mut self, descriptor: &str, length: u64) {
        let Some(path) = self.descriptor_path(descriptor) else { return };
        let old = self.lengths.insert(path.clone(), length).unwrap_or(0);
        if let Some(lost) = self.files.get_mut(&path).filter(|_| length < old) {
            lost.pages.retain(|page| (page + 1) * PAGE <= length);
        }
    }

    fn renamed(&mut self, from_dir: Option<&str>, from: &str, to_dir: Option<&str>, to: &str) {
        let (Some(from), Some(to)) = (self.path_in(from_dir, from), self.path_in(to_dir, to)) else { return };
        let moved = |path: &PathBuf| {
            path.strip_prefix(&from)
                .ok()
                .map(|rest| if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) })
        };
        self.files.remove(&to);
        self.lengths.remove(&to);
        let files = std::mem::take(&mut self.files);
        self.files = files.into_iter().map(|(path, lost)| (moved(&path).unwrap_or(path), lost)).collect();
        let lengths = std::mem::take(&mut self.lengths);
        self.lengths = lengths.into_iter().map(|(path, length)| (moved(&path).unwrap_or(path), length)).collect();
    }

    fn linked(&mut self, from_dir: Option<&str>, from: &str, to_dir: Option<&str>, to: &str) {
        let (Some(from), Some(to)) = (self.path_in(from_dir, from), self.path_in(to_dir, to)) else { return };
        if let Some(lost) = self.files.get(&from).cloned() {
            self.files.insert(to.clone(), lost);
        }
        if let Some(length) = self.lengths.get(&from).copied() {
            self.lengths.insert(to, length);
        }
    }

    fn forget(&mut self, dir: Option<&str>, path: &str) {
        if let Some(path) = self.path_in(dir, path) {
            self.files.remove(&path);
            self.lengths.remove(&path);
        }
    }

    fn mapped(&mut self, protection: &str, flags: &str, descriptor: &str) {
        let shared = protection.contains("PROT_WRITE") && flags.contains("MAP_SHARED");
        // SQLite's shared index is made anew from the log whenever the first process opens it.
        let path = self.descriptor_path(descriptor).filter(|path| !path.to_string_lossy().ends_with("-shm"));
        if let Some(path) = path.filter(|_| shared) {
            self.blind = Some(format!("writes {} through a mapping, where no tracer looks", path.display()));
        }
    }

    fn path_in(&self, dir: Option<&str>, path: &str) -> Option<PathBuf> {
        let path = path.trim_matches('"');
        if path.starts_with('/') {
            return self.below_root(path);
        }
        self.descriptor_path(dir?).map(|dir| dir.join(path))
    }
}

/// The number at the head of a text, decimal as strace prints it; none if it is negative.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().ok()
}

fn between(text: &str, open: char, close: char) -> Option<&str> {
    let (_, rest) = text.split_once(open)?;
    rest.rsplit_once(close).map(|(inner, _)| inner)
}

/// Arguments at the commas outside of quotes, brackets and annotations.
fn split_arguments(text: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut depth, mut quoted, mut last) = (0_usize, false, ' ');
    for c in text.chars() {
        match c {
            '"' if last != '\\' => quoted = !quoted,
            '[' | '{' | '<' if !quoted => depth += 1,
            ']' | '}' | '>' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        last = c;
        if c == ',' && depth == 0 && !quoted {
            arguments.push(String::new());
        } else if let Some(argument) = arguments.last_mut().filter(|argument| !argument.is_empty() || c != ' ') {
            argument.push(c);
        }
    }
    arguments
}

#[cfg(test)]
mod tests;
