//! Computes the checksums of every file of a directory anew, as the formats describe them, so that hostile bytes get behind them.
//!
//! Written from the FORMAT.md of the crates alone: on honest files it changes nothing, which a test holds both to.

use std::path::Path;

use crc32c::{crc32c, crc32c_append};
use laminar_vfs::sim::SimDisk;

const PAGE: usize = 4096;
const SECTOR: usize = 512;
const CRC_AT: usize = 508;

/// Mends all files that are there.
pub(super) fn mend(disk: &SimDisk, relink: bool) -> laminar_vfs::Result<()> {
    let files = disk.files();
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    for path in files.iter().filter(|path| name(path) != "MANIFEST" && !name(path).ends_with(".run")) {
        let mut bytes = disk.read_file(path)?;
        match name(path).as_str() {
            "STORE" | "LOG" => [0, PAGE].into_iter().for_each(|at| block(&mut bytes, at)),
            "CLOSED" => block(&mut bytes, 0),
            other if other.ends_with(".wal") => segment(&mut bytes),
            other if other.ends_with(".section") => section(&mut bytes).unwrap_or_default(),
            _ => continue,
        }
        disk.write_file(path, &bytes)?;
    }
    for path in files.iter().filter(|path| name(path) == "MANIFEST") {
        let mut manifest = disk.read_file(path)?;
        for record in records(&manifest) {
            let file = path.with_file_name(&record.file);
            let Ok(mut bytes) = disk.read_file(&file) else { continue };
            if record.is_run {
                let footer = usize::try_from(u64_at(&manifest, record.at + 40)).unwrap_or(usize::MAX);
                let _ = run(&mut bytes, footer);
                disk.write_file(&file, &bytes)?;
            }
            if relink {
                record.relink(&mut manifest, &bytes);
            }
        }
        twin(&mut manifest);
        disk.write_file(path, &manifest)?;
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u32::from_le_bytes(*number))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u64::from_le_bytes(*number))
}

fn put(bytes: &mut [u8], at: usize, number: &[u8]) {
    if let Some(into) = at.checked_add(number.len()).and_then(|end| bytes.get_mut(at..end)) {
        into.copy_from_slice(number);
    }
}

/// A block of 512 bytes whose last four are its checksum.
fn block(bytes: &mut [u8], at: usize) {
    if let Some(block) = bytes.get(at..at + CRC_AT) {
        let crc = crc32c(block);
        put(bytes, at + CRC_AT, &crc.to_le_bytes());
    }
}

/// A segment: its header, and every group and record from the first page on.
fn segment(bytes: &mut [u8]) {
    block(bytes, 0);
    if bytes.len() < PAGE {
        return;
    }
    let seed = crc32c_append(crc32c(&bytes[16..32]), &bytes[56..64]);
    let first = u64_at(bytes, 32);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are kept, one over the other")]
    let start = |salt: u32, at: usize| {
        let position = first.wrapping_add(at as u64);
        seed ^ salt ^ position as u32 ^ (position >> 32) as u32
    };
    let mut at = PAGE;
    while at + SECTOR <= bytes.len() {
        let len = u32_at(bytes, at + 32) as usize;
        let is_group = matches!(bytes[at + 36], 1..=3) && len >= 48 && at + len + 8 <= bytes.len();
        if !is_group {
            at += SECTOR;
            continue;
        }
        let mut record = at + 48;
        while record + 8 <= at + len {
            let end = record + 8 + (u32_at(bytes, record + 4) & 0x7fff_ffff) as usize;
            let Some(payload) = bytes.get(record + 4..end.min(at + len)) else { break };
            let crc = crc32c_append(start(0x6672_616d, record), payload);
            put(bytes, record, &crc.to_le_bytes());
            record = end;
        }
        let crc = crc32c_append(start(0x6772_6f75, at), &bytes[at..at + 44]);
        put(bytes, at + 44, &crc.to_le_bytes());
        let crc = crc32c_append(0x656e_6421, &bytes[at..at + 48]);
        put(bytes, at + len, &crc.to_le_bytes());
        put(bytes, at + len + 4, &(!crc).to_le_bytes());
        at = (at + len + 8).next_multiple_of(SECTOR);
    }
}

/// What is stored twice: the first copy's checksums, and the second copy from the first.
fn twin(bytes: &mut [u8]) {
    let half = bytes.len() / 2;
    let len = usize::try_from(u64_at(bytes, 16)).unwrap_or(usize::MAX);
    let Some(body) = len.checked_add(64).filter(|end| *end <= half).and_then(|end| bytes.get(64..end)) else { return };
    let crc = crc32c(body);
    put(bytes, 24, &crc.to_le_bytes());
    bytes.copy_within(..half, half);
    put(bytes, half + 12, &1_u32.to_le_bytes());
    for copy in [0, half] {
        let crc = crc32c(&bytes[copy..copy + 60]);
        put(bytes, copy + 60, &crc.to_le_bytes());
    }
}

/// Reads numbers and blobs one after another.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn skip(&mut self, bytes: usize) -> Option<usize> {
        let at = self.at;
        self.at = at.checked_add(bytes).filter(|end| *end <= self.bytes.len())?;
        Some(at)
    }

    fn u32(&mut self) -> Option<u32> {
        self.skip(4).map(|at| u32_at(self.bytes, at))
    }

    fn blob(&mut self) -> Option<&[u8]> {
        let len = self.u32()? as usize;
        let at = self.skip(len)?;
        self.bytes.get(at..at + len)
    }
}

/// Where a MANIFEST speaks of a file.
struct Record {
    is_run: bool,
    file: String,
    /// Of a run the offset of its record; of a section that of its file's length.
    at: usize,
}

/// The files that a MANIFEST names, as far as it can be read.
fn records(manifest: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    let mut fields = Fields { bytes: manifest, at: 64 };
    let _ = read_records(&mut fields, &mut found);
    found
}

fn read_records(fields: &mut Fields<'_>, found: &mut Vec<Record>) -> Option<()> {
    fields.skip(8 + 16 + 8 + 8 + 4)?;
    for _ in 0..fields.u32()? {
        fields.blob()?;
        fields.skip(8)?;
    }
    for _ in 0..fields.u32()? {
        let at = fields.skip(88)?;
        let (from, to) = (u64_at(fields.bytes, at), u64_at(fields.bytes, at + 8));
        fields.blob()?;
        fields.blob()?;
        // Parts of the same positions are numbered.
        let name = format!("{from:020}-{to:020}");
        let part = found.iter().filter(|record| record.file.starts_with(&name)).count();
        let file = if part == 0 { format!("{name}.run") } else { format!("{name}-{part:04}.run") };
        found.push(Record { is_run: true, file, at });
    }
    for _ in 0..fields.u32()? {
        fields.blob()?;
        let file = String::from_utf8_lossy(fields.blob()?).into_owned();
        let at = fields.skip(8 + 4 + 8)?;
        found.push(Record { is_run: false, file, at });
    }
    Some(())
}

impl Record {
    /// Makes the MANIFEST mean the file as it is.
    fn relink(&self, manifest: &mut [u8], bytes: &[u8]) {
        let len = (bytes.len() as u64).to_le_bytes();
        if self.is_run {
            let footer = usize::try_from(u64_at(manifest, self.at + 40)).unwrap_or(usize::MAX);
            put(manifest, self.at + 32, &len);
            if let Some(footer) = bytes.get(footer..).filter(|footer| footer.len() >= 64) {
                put(manifest, self.at + 48, &footer[16..24]);
                put(manifest, self.at + 56, &footer[24..28]);
            }
        } else {
            put(manifest, self.at, &len);
            put(manifest, self.at + 8, &u32_at(bytes, CRC_AT).to_le_bytes());
        }
    }
}

/// A run: every block that its footer tells of, the footer, the header.
fn run(bytes: &mut [u8], footer: usize) -> Option<()> {
    block(bytes, 0);
    let (blocks, footer) = bytes.split_at_mut_checked(footer)?;
    let body = footer.get(64..)?.to_vec();
    let mut fields = Fields { bytes: &body, at: 0 };
    fields.skip(4)?;
    let id = fields.skip(16)?;
    let content = fields.skip(8 * 3 + 4 + 8 * 4 + 4)? + 8 * 3 + 4 + 8 * 4;
    let mut checksums = Vec::new();
    for _ in 0..fields.u32()? {
        if chapter(&mut fields, id, blocks, &mut checksums).is_none() {
            break;
        }
    }
    put(footer, 64 + content, &crc32c(&checksums).to_le_bytes());
    twin(footer);
    Some(())
}

/// The blocks of a chapter, in their order.
fn chapter(fields: &mut Fields<'_>, id: usize, blocks: &mut [u8], checksums: &mut Vec<u8>) -> Option<()> {
    let at = fields.skip(8 + 4 * 6)?;
    let offset = usize::try_from(u64_at(fields.bytes, at)).ok()?;
    let [unit, units, buckets, lines, _, parity] =
        [0, 1, 2, 3, 4, 5].map(|n| u32_at(fields.bytes, at + 8 + 4 * n) as usize);
    // The shape of fixed blocks, if there are any.
    let (unit, shape) = (unit & !1, if unit & 1 == 1 { 12 } else { 0 });
    fields.skip(shape)?;
    let mut wide = Vec::new();
    for _ in 0..fields.u32()? {
        wide.push((fields.u32()? as usize, fields.u32()? as usize));
    }
    fields.blob()?;
    fields.blob()?;
    let mut lens = Vec::new();
    let mut next = 0;
    while next < units && lens.len() <= blocks.len() / PAGE {
        let taken = wide.iter().find(|(first, _)| *first == next).map_or(1, |(_, units)| (*units).max(1));
        lens.push(taken.saturating_mul(unit));
        next = next.saturating_add(taken);
    }
    let heads = if lens.len() > 1 { units.div_ceil(510) } else { 0 };
    let pages = buckets.div_ceil(63).saturating_add(heads).saturating_add(lines.div_ceil(63));
    lens.extend((0..pages.min(blocks.len() / PAGE)).map(|_| PAGE));
    lens.extend(std::iter::repeat_n(parity, if wide.is_empty() { 2 } else { 1 }));
    let mut start = offset;
    for len in lens {
        let end = start.checked_add(len).filter(|end| *end <= blocks.len() && len >= 16)?;
        let crc = crc32c_append(crc32c(fields.bytes.get(id..id + 16)?), &(start as u64).to_le_bytes());
        let crc = crc32c_append(crc32c_append(crc, &blocks[start..end - 16]), &blocks[end - 12..end]);
        put(blocks, end - 16, &crc.to_le_bytes());
        checksums.extend(crc.to_le_bytes());
        start = end;
    }
    Some(())
}

/// A section: its table, archive and header, and the header once more at the end.
fn section(bytes: &mut [u8]) -> Option<()> {
    let len = usize::try_from(u64_at(bytes, 32)).ok()?;
    let archive = bytes.get(PAGE..PAGE.checked_add(len)?)?;
    let crc = crc32c(archive);
    put(bytes, 56, &crc.to_le_bytes());
    let pages = len.div_ceil(PAGE);
    let groups = if pages == 0 { 0 } else { pages.div_ceil(256).max(2) };
    let table = PAGE * (1 + pages + groups);
    let table_len = (4 * (pages + groups)).next_multiple_of(PAGE);
    if bytes.len() >= table + table_len {
        for page in 0..pages + groups {
            let at = PAGE * (1 + page);
            let crc = crc32c_append(crc32c(&bytes[16..32]), &(at as u64).to_le_bytes());
            let crc = crc32c_append(crc, &bytes[at..at + PAGE]);
            put(bytes, table + 4 * page, &crc.to_le_bytes());
        }
        let crc = crc32c(&bytes[table..table + 4 * (pages + groups)]);
        put(bytes, 60, &crc.to_le_bytes());
    }
    block(bytes, 0);
    let last = bytes.len().checked_sub(PAGE).filter(|last| *last >= PAGE)?;
    bytes.copy_within(..PAGE, last);
    Some(())
}
