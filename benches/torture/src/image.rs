//! A directory held in memory as pages, so that it can be damaged and written out again, over and over.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of a page, the unit in which the page cache forgets.
pub(crate) const PAGE: u64 = 4096;

/// Bytes of a block, the unit in which flips look for data.
const BLOCK: usize = 512;

/// One file: its length, and those of its pages that are not all zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileImage {
    length: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// A directory and everything below it. Paths are relative.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image {
    directories: Vec<PathBuf>,
    files: BTreeMap<PathBuf, FileImage>,
}

/// One bit of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bit {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) bit: u8,
}

impl FileImage {
    fn load(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut image = Self::default();
        loop {
            let mut page = Vec::new();
            let count = Read::by_ref(&mut file).take(PAGE).read_to_end(&mut page)?;
            if page.iter().any(|byte| *byte != 0) {
                image.pages.insert(image.length / PAGE, page);
            }
            image.length += count as u64;
            if (count as u64) < PAGE {
                return Ok(image);
            }
        }
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        for (number, page) in &self.pages {
            file.seek(SeekFrom::Start(number * PAGE))?;
            file.write_all(page)?;
        }
        file.set_len(self.length)
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The numbers of the pages in which the two differ.
    pub(crate) fn differing_pages(&self, other: &Self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.pages.keys().chain(other.pages.keys()).copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| self.pages.get(number) != other.pages.get(number));
        numbers
    }

    /// Puts page `number` back to what it is in `other`. What `other` does not have reads as zero.
    pub(crate) fn revert_page(&mut self, number: u64, other: &Self) {
        let kept = self.length.saturating_sub(number * PAGE).min(PAGE);
        match (other.pages.get(&number), usize::try_from(kept)) {
            (Some(page), Ok(kept)) if kept > 0 => {
                let mut page = page.clone();
                page.resize(kept, 0);
                self.pages.insert(number, page);
            }
            _ => drop(self.pages.remove(&number)),
        }
    }

    /// Where `wanted` first stands in the file.
    fn position_of(&self, wanted: &[u8]) -> Option<u64> {
        let mut run: Vec<u8> = Vec::new();
        let mut start = 0;
        let mut next = 0;
        for (number, page) in &self.pages {
            if *number != next {
                run.clear();
            }
            if run.is_empty() {
                start = number * PAGE;
            }
            run.extend_from_slice(page);
            next = number + 1;
            if let Some(position) = memchr::memmem::find(&run, wanted) {
                return Some(start + position as u64);
            }
            let stale = run.len().saturating_sub(wanted.len());
            drop(run.drain(..stale));
            start += stale as u64;
        }
        None
    }
}

impl Image {
    /// Reads a directory.
    pub(crate) fn load(dir: &Path) -> io::Result<Self> {
        let mut image = Self::default();
        image.walk(dir, Path::new(""))?;
        Ok(image)
    }

    fn walk(&mut self, root: &Path, below: &Path) -> io::Result<()> {
        for entry in fs::read_dir(root.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.directories.push(path.clone());
                self.walk(root, &path)?;
            } else if kind.is_file() {
                self.files.insert(path, FileImage::load(&entry.path())?);
            }
        }
        self.directories.sort();
        Ok(())
    }

    /// Writes the directory out, in place of whatever stands at `dir`.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        for path in &self.directories {
            fs::create_dir_all(dir.join(path))?;
        }
        self.files.iter().try_for_each(|(path, file)| file.write(&dir.join(path)))
    }

    /// All files, by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, &FileImage)> {
        self.files.iter().map(|(path, file)| (path.as_path(), file))
    }

    /// One file.
    pub(crate) fn file(&self, path: &Path) -> Option<&FileImage> {
        self.files.get(path)
    }

    /// One file, to change it.
    pub(crate) fn file_mut(&mut self, path: &Path) -> Option<&mut FileImage> {
        self.files.get_mut(path)
    }

    /// The same without one file.
    pub(crate) fn without(&self, path: &Path) -> Self {
        let mut image = self.clone();
        image.files.remove(path);
        image
    }

    /// The same with one bit turned over.
    pub(crate) fn flipped(&self, bit: &Bit) -> Self {
        let mut image = self.clone();
        let page = image.files.get_mut(&bit.file).and_then(|file| file.pages.get_mut(&(bit.offset / PAGE)));
        let byte = page.and_then(|page| page.get_mut(usize::try_from(bit.offset % PAGE).ok()?));
        if let Some(byte) = byte {
            *byte ^= 1 << bit.bit;
        }
        image
    }

    /// File and offset of `wanted`.
    pub(crate) fn position_of(&self, wanted: &[u8]) -> Option<(PathBuf, u64)> {
        self.files.iter().find_map(|(path, file)| Some((path.clone(), file.position_of(wanted)?)))
    }

    /// `count` random bits, each in a 512-byte block that has data: a file that is mostly empty reserve would take nearly
    /// all flips otherwise, and tell nothing.
    pub(crate) fn random_bits(&self, count: usize, seed: u64) -> Vec<Bit> {
        let mut blocks = Vec::new();
        for (path, file) in &self.files {
            for (number, page) in &file.pages {
                let used = page.chunks(BLOCK).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0));
                blocks.extend(used.map(|(index, block)| (path, number * PAGE + (index * BLOCK) as u64, block.len())));
            }
        }
        let mut random = fastrand::Rng::with_seed(seed);
        let bit = |(file, start, length): &(&PathBuf, u64, usize), random: &mut fastrand::Rng| Bit {
            file: (*file).clone(),
            offset: start + random.usize(..*length) as u64,
            bit: random.u8(..8),
        };
        (0..count).filter_map(|_| Some(bit(blocks.get(random.usize(..blocks.len().max(1)))?, &mut random))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (tempfile::TempDir, Image) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        let mut bytes = vec![0; 3 * 4096 + 100];
        bytes[4090..4110].copy_from_slice(b"across the page edge");
        bytes[3 * 4096 + 99] = 1;
        fs::write(dir.path().join("sub/a"), &bytes).unwrap();
        fs::write(dir.path().join("b"), b"").unwrap();
        let image = Image::load(dir.path()).unwrap();
        (dir, image)
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let (dir, image) = sample();
        let copy = tempfile::tempdir().unwrap();
        image.write(copy.path()).unwrap();
        assert_eq!(Image::load(copy.path()).unwrap(), image);
        let paths = ["sub/a", "b"].map(|path| (dir.path().join(path), copy.path().join(path)));
        assert!(paths.iter().all(|(from, to)| fs::read(from).unwrap() == fs::read(to).unwrap()));
        assert!(copy.path().join("empty").is_dir());
    }

    #[test]
    fn a_flip_changes_one_bit() {
        let (_dir, image) = sample();
        let bits = image.random_bits(100, 5);
        assert_eq!(bits.len(), 100);
        assert_eq!(bits, image.random_bits(100, 5));
        for bit in bits {
            let flipped = image.flipped(&bit);
            assert_ne!(flipped, image);
            assert_eq!(flipped.flipped(&bit), image);
        }
    }

    #[test]
    fn bytes_across_pages_are_found() {
        let (_dir, image) = sample();
        assert_eq!(image.position_of(b"the page"), Some((PathBuf::from("sub/a"), 4097)));
        assert_eq!(image.position_of(b"nowhere"), None);
    }

    #[test]
    fn a_page_goes_back_to_what_it_was() {
        let (_dir, old) = sample();
        let path = Path::new("sub/a");
        let mut new = old.clone();
        let file = new.file_mut(path).unwrap();
        file.pages.insert(2, vec![7; 4096]);
        file.pages.remove(&0);
        assert_eq!(new.file(path).unwrap().differing_pages(old.file(path).unwrap()), [0, 2]);
        for number in [0, 2] {
            new.file_mut(path).unwrap().revert_page(number, old.file(path).unwrap());
        }
        assert_eq!(new, old);
    }
}
