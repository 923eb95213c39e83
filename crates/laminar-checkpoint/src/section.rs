//! Section files: one archived value each, checked whole at the first access, with parity for damaged pages.

use std::path::{Path, PathBuf};

use laminar_vfs::{Env, ReadMode, Region, Vfs, VfsFile, planted};

use crate::archive::{self, FromArchive, ToSection, archived, wrong_type};
use crate::error::Reason;
use crate::format::bytes::{Encode, count32, index, u32_at};
use crate::format::manifest::SectionRecord;
use crate::format::section::{SectionHeader, groups, page_crc};
use crate::format::{FILE_HEADER, Fault, PAGE};
use crate::name::section_name;
use crate::output::Output;
use crate::report::{Healed, Part};
use crate::run::{open_exact, room};
use crate::sync::{Arc, Mutex, OnceLock};
use crate::verify::Findings;
use crate::{Error, Result};

/// Archives are checked in pieces of this many bytes.
const PIECE: usize = 1 << 20;

/// A value that is to become a section.
#[derive(Debug)]
pub(crate) struct NewSection {
    pub(crate) name: String,
    pub(crate) tag: u64,
    archive: rkyv::util::AlignedVec,
    root_bytes: u32,
    root_align: u32,
}

impl NewSection {
    pub(crate) fn new<T: ToSection>(name: &str, value: &T, tag: u64) -> Result<Self> {
        let root_align = align_of::<T::Archived>();
        if root_align > 16 {
            return Err(wrong_type::<T>(format!("sections are aligned to 16 bytes, this type to {root_align}")));
        }
        let archive = archive::to_bytes(value)?;
        let limit_bytes = 1 << 31;
        if archive.len() >= limit_bytes {
            let bytes = archive.len() as u64;
            return Err(Error::TooLarge { what: "a section", bytes, limit_bytes: limit_bytes as u64 });
        }
        let root_bytes = count32(size_of::<T::Archived>());
        Ok(Self { name: name.to_owned(), tag, archive, root_bytes, root_align: count32(root_align) })
    }

    /// Writes and syncs the section's file in `dir`.
    pub(crate) fn write(&self, env: &Env, dir: &Path, is_read_back: bool) -> Result<SectionRecord> {
        let section_id = env.random.id();
        let (parity, table) = redundancy(section_id, &self.archive);
        let header = SectionHeader {
            section_id,
            archive_bytes: self.archive.len() as u64,
            root_bytes: self.root_bytes,
            root_align: self.root_align,
            tag: self.tag,
            archive_crc: crc32c::crc32c(&self.archive),
            table_crc: crc32c::crc32c(&table),
        };
        let file_name = section_name(&self.name);
        let head = header.encode();
        let zeros = [0; PAGE];
        let padding = |len: usize| zeros.split_at(len.next_multiple_of(PAGE) - len).0;
        let parts: [&[u8]; 7] =
            [&head, &self.archive, padding(self.archive.len()), &parity, &table, padding(table.len()), &head];
        let file_bytes = Output::whole(&*env.vfs, &dir.join(&file_name), is_read_back, |file| {
            parts.into_iter().try_for_each(|part| file.write(part))
        })?;
        let header_crc = u32_at(&head, crate::format::FILE_HEADER_CRC_AT).unwrap_or(0);
        Ok(SectionRecord { name: self.name.clone(), file_name, file_bytes, header_crc, tag: self.tag })
    }
}

/// The pages of parity of an archive, and the checksums of all its pages and of those.
fn redundancy(section_id: u128, archive: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut parity, mut table) = (Vec::new(), Vec::new());
    let mut page_buffer = [0; PAGE];
    let pages = archive.len().div_ceil(PAGE);
    let groups = groups(pages);
    parity.resize(groups * PAGE, 0);
    for (page, bytes) in archive.chunks(PAGE).enumerate() {
        page_buffer.fill(0);
        page_buffer.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
        table.put_u32(page_crc(section_id, page, &page_buffer));
        // The first page of parity is of the group whose turn it is behind the last page.
        let group = (page % groups + groups - pages % groups) % groups;
        parity.iter_mut().skip(group * PAGE).zip(&page_buffer).for_each(|(sum, byte)| *sum ^= byte);
    }
    for (group, bytes) in parity.chunks(PAGE).enumerate() {
        table.put_u32(page_crc(section_id, pages + group, bytes));
    }
    (parity, table)
}

/// An open section.
#[derive(Debug)]
pub(crate) struct SectionFile {
    pub(crate) record: SectionRecord,
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    header: SectionHeader,
    mode: ReadMode,
    /// The archive, once it was found or made whole, and where in the region it begins.
    loaded: OnceLock<(Region, usize)>,
    healed: Mutex<Vec<Healed>>,
}

impl SectionFile {
    /// Opens the section that `record` describes, and reads its header.
    pub(crate) fn open(vfs: &dyn Vfs, dir: &Path, record: &SectionRecord, mode: ReadMode) -> Result<Self> {
        let path = dir.join(&record.file_name);
        let file = open_exact(vfs, &path, record.file_bytes)?;
        let mut healed = Vec::new();
        let header = match read_header(&*file, &path, 0, record) {
            Ok(header) => header,
            Err(error @ Error::Version { .. }) => return Err(error),
            Err(error) => {
                let second = record.file_bytes.saturating_sub(PAGE as u64);
                let header = read_header(&*file, &path, second, record).map_err(|_| error)?;
                healed.push(Healed { path: path.clone(), offset: 0, bytes: PAGE as u64, part: Part::SectionHeader });
                header
            }
        };
        let healed = Mutex::new(healed);
        Ok(Self { record: record.clone(), path, file, header, mode, loaded: OnceLock::new(), healed })
    }

    pub(crate) fn healed(&self) -> Vec<Healed> {
        self.healed.lock().clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the archive.
    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        let (region, start) = match self.loaded.get() {
            Some(loaded) => loaded,
            None => {
                let loaded = self.load()?;
                self.loaded.get_or_init(|| loaded)
            }
        };
        let end = start + index(self.header.archive_bytes);
        region.get(*start..end).ok_or_else(|| self.corrupt(0, Reason::Length, "a file that keeps its length"))
    }

    /// The value, in place.
    pub(crate) fn get<T: FromArchive>(&self) -> Result<&T::Archived> {
        let layout = (count32(size_of::<T::Archived>()), count32(align_of::<T::Archived>()));
        let stated = (self.header.root_bytes, self.header.root_align);
        if layout != stated {
            let detail = format!("the section's root has size and alignment {stated:?}, the type has {layout:?}");
            return Err(wrong_type::<T>(detail));
        }
        archived::<T>(self.bytes()?)
    }

    fn corrupt(&self, offset: u64, reason: Reason, detail: &'static str) -> Error {
        Error::corrupt(&self.path, offset, reason, detail)
    }

    fn load(&self) -> Result<(Region, usize)> {
        if self.mode == ReadMode::Owned {
            return Ok((self.owned()?, 0));
        }
        // Read by calls before it is mapped: a page of a mapping that can't be read is a signal, not an error.
        if !self.is_archive(self.archive_crc().ok()) {
            return self.rebuild().map(|bytes| (Region::copy_of(&bytes), 0));
        }
        let region = self.file.map(self.mode)?;
        Ok((region, PAGE))
    }

    fn is_archive(&self, crc: Option<u32>) -> bool {
        crc == Some(self.header.archive_crc) || planted("section-not-checked")
    }

    /// The archive in memory of its own, and nothing else of the file: what is checked is what is served.
    fn owned(&self) -> Result<Region> {
        let len = room(&*self.file, self.header.archive_bytes)?;
        let read = Region::filled_by(len, |bytes| self.file.read_exact_at(bytes, PAGE as u64));
        match read.ok().filter(|bytes| self.is_archive(Some(crc32c::crc32c(bytes)))) {
            Some(archive) => Ok(archive),
            None => self.rebuild().map(|bytes| Region::copy_of(&bytes)),
        }
    }

    fn archive_crc(&self) -> Result<u32> {
        let mut left = index(self.header.archive_bytes);
        let mut buffer = vec![0; left.min(PIECE)];
        let (mut offset, mut crc) = (PAGE as u64, 0);
        while left > 0 {
            let (piece, _) = buffer.split_at_mut(left.min(PIECE));
            self.file.read_exact_at(piece, offset)?;
            crc = crc32c::crc32c_append(crc, piece);
            offset += piece.len() as u64;
            left -= piece.len();
        }
        Ok(crc)
    }

    /// The archive with damaged pages rebuilt, at most one in each group.
    fn rebuild(&self) -> Result<Vec<u8>> {
        let header = &self.header;
        let lost = |page| {
            self.corrupt(SectionHeader::page_offset(page), Reason::Checksum, "a section that matches its checksum")
        };
        let mut table = vec![0; header.table_bytes()];
        let table_read = self.file.read_exact_at(&mut table, header.table_offset());
        if table_read.is_err() || crc32c::crc32c(&table) != header.table_crc {
            return Err(lost(0));
        }
        let mut bytes = vec![0; (header.pages() + header.groups()) * PAGE];
        let mut bad = Vec::new();
        for (page, buffer) in bytes.chunks_mut(PAGE).enumerate() {
            let read = self.file.read_exact_at(buffer, SectionHeader::page_offset(page));
            if read.is_err() || u32_at(&table, page * 4) != Some(page_crc(header.section_id, page, buffer)) {
                buffer.fill(0);
                bad.push(page);
            }
        }
        for &page in bad.iter().filter(|&&page| page < header.pages()) {
            let members = (page % header.groups()..header.pages() + header.groups()).step_by(header.groups());
            let others: Vec<usize> = members.filter(|&other| other != page).collect();
            let others = if planted("section-healed-without-parity") { Vec::new() } else { others };
            if others.iter().any(|other| bad.contains(other)) {
                return Err(lost(page));
            }
            let mut sum = vec![0; PAGE];
            for &other in &others {
                let other = bytes.get(other * PAGE..(other + 1) * PAGE).unwrap_or_default();
                sum.iter_mut().zip(other).for_each(|(sum, byte)| *sum ^= byte);
            }
            bytes.iter_mut().skip(page * PAGE).zip(&sum).for_each(|(to, from)| *to = *from);
        }
        bytes.truncate(index(header.archive_bytes));
        if crc32c::crc32c(&bytes) != header.archive_crc {
            return Err(lost(0));
        }
        for &page in &bad {
            let offset = SectionHeader::page_offset(page);
            self.healed.lock().push(Healed {
                path: self.path.clone(),
                offset,
                bytes: PAGE as u64,
                part: Part::SectionPages,
            });
        }
        Ok(bytes)
    }

    /// Reads every byte; the section was opened for this.
    pub(crate) fn verify(&self, findings: &mut Findings<'_>) {
        let header = &self.header;
        let second = header.second_offset();
        for offset in [0, second] {
            let mut page = vec![0; PAGE];
            let whole = self.file.read_exact_at(&mut page, offset).is_ok() && page == header.encode();
            findings.read(PAGE as u64);
            if !whole {
                let error = self.corrupt(offset, Reason::Checksum, "a header that matches its checksum");
                findings.damage(offset, PAGE as u64, Part::SectionHeader, true, error);
            }
        }
        let archive = self.archive_crc();
        if !matches!(archive, Ok(crc) if crc == header.archive_crc) {
            let healed = self.rebuild();
            let error = self.corrupt(PAGE as u64, Reason::Checksum, "a section that matches its checksum");
            findings.damage(PAGE as u64, header.archive_bytes, Part::SectionPages, healed.is_ok(), error);
        }
        // The rest only matters once the archive is damaged: its padding, the parity and the checksums.
        let mut rest = vec![0; index(second - PAGE as u64 - header.archive_bytes)];
        let read = self.file.read_exact_at(&mut rest, PAGE as u64 + header.archive_bytes);
        findings.read(header.archive_bytes + rest.len() as u64);
        let expected = self.bytes().map(|bytes| {
            let (parity, table) = redundancy(header.section_id, bytes);
            let mut expected = vec![0; bytes.len().next_multiple_of(PAGE) - bytes.len()];
            expected.extend_from_slice(&parity);
            expected.extend_from_slice(&table);
            expected.resize(rest.len(), 0);
            expected
        });
        let is_healed = expected.is_ok();
        if read.is_err() || expected.is_ok_and(|expected| expected != rest) {
            let offset = PAGE as u64 + header.archive_bytes;
            let differs = || self.corrupt(offset, Reason::Checksum, "parity that matches its archive");
            let error = read.map_or_else(Error::from, |()| differs());
            findings.damage(offset, rest.len() as u64, Part::SectionPages, is_healed, error);
        }
    }
}

fn read_header(file: &dyn VfsFile, path: &Path, offset: u64, record: &SectionRecord) -> Result<SectionHeader> {
    let mut bytes = [0; FILE_HEADER];
    file.read_exact_at(&mut bytes, offset)?;
    let fault = |fault: Fault| Error::fault(path, offset, fault);
    let (header, crc) = SectionHeader::decode(&bytes).map_err(fault)?;
    if crc != record.header_crc || header.file_bytes() != record.file_bytes || header.tag != record.tag {
        return Err(Error::corrupt(path, offset, Reason::Mismatch, "the section that the manifest means"));
    }
    Ok(header)
}
