//! A section: one archive in whole pages, its header twice, a checksum a page, and parity over groups of pages.

use super::bytes::{Decoder, Encode, index, is_zero, put_at};
use super::{FILE_HEADER, FILE_HEADER_CRC_AT, Fault, PAGE, SETTINGS, VERSION, checked_magic, page_ceil};
use crate::error::Reason;

pub(crate) const SECTION_MAGIC: &[u8; 8] = b"laminSEC";
/// The most pages of the archive that share one page of parity.
pub(crate) const GROUP: usize = 256;

/// How many groups the pages of an archive are dealt out to, in turn, and their parity after them. Two at least, so that neighbours
/// are in different groups.
pub(crate) fn groups(pages: usize) -> usize {
    if pages == 0 { 0 } else { pages.div_ceil(GROUP).max(2) }
}

/// What a section says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SectionHeader {
    /// Random, so that the page of another section never passes for one of this.
    pub(crate) section_id: u128,
    pub(crate) archive_bytes: u64,
    /// Size and alignment of the archived root, in bytes.
    pub(crate) root_bytes: u32,
    pub(crate) root_align: u32,
    pub(crate) tag: u64,
    pub(crate) archive_crc: u32,
    pub(crate) table_crc: u32,
}

impl SectionHeader {
    /// The first page of the file, and its last.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PAGE);
        out.extend_from_slice(SECTION_MAGIC);
        out.put_u32(VERSION);
        out.put_u32(SETTINGS);
        out.put_u128(self.section_id);
        out.put_u64(self.archive_bytes);
        out.put_u32(self.root_bytes);
        out.put_u32(self.root_align);
        out.put_u64(self.tag);
        out.put_u32(self.archive_crc);
        out.put_u32(self.table_crc);
        out.resize(PAGE, 0);
        let crc = crc32c::crc32c(out.get(..FILE_HEADER_CRC_AT).unwrap_or_default());
        put_at(&mut out, FILE_HEADER_CRC_AT, &crc.to_le_bytes());
        out
    }

    /// Reads the first 512 bytes of a section; returns the header's checksum as well.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, u32), Fault> {
        let header = bytes.get(..FILE_HEADER).ok_or(Fault::Damage(Reason::Length, "a header"))?;
        checked_magic(SECTION_MAGIC, header, FILE_HEADER_CRC_AT)?;
        let structure = Fault::Damage(Reason::Structure, "a header");
        let mut fields = Decoder::new(header);
        let _checked = fields.take(12).ok_or(structure)?;
        if fields.u32() != Some(SETTINGS) {
            return Err(Fault::Settings);
        }
        let decoded = Self::decode_fields(&mut fields).ok_or(structure)?;
        let reserved = fields.take(fields.remaining() - 4).ok_or(structure)?;
        if !is_zero(reserved) {
            return Err(Fault::Damage(Reason::Reserved, "zero"));
        }
        Ok((decoded, super::bytes::u32_at(header, FILE_HEADER_CRC_AT).ok_or(structure)?))
    }

    fn decode_fields(fields: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            section_id: fields.u128()?,
            archive_bytes: fields.u64().filter(|&bytes| bytes < 1 << 31)?,
            root_bytes: fields.u32()?,
            root_align: fields.u32()?,
            tag: fields.u64()?,
            archive_crc: fields.u32()?,
            table_crc: fields.u32()?,
        })
    }

    /// Pages of the archive.
    pub(crate) fn pages(&self) -> usize {
        index(self.archive_bytes).div_ceil(PAGE)
    }

    /// Pages of parity, one a group.
    pub(crate) fn groups(&self) -> usize {
        groups(self.pages())
    }

    /// The offset of page number `page` of the archive; those of the parity follow.
    pub(crate) fn page_offset(page: usize) -> u64 {
        (PAGE + page * PAGE) as u64
    }

    /// Where the checksums of the pages lie.
    pub(crate) fn table_offset(&self) -> u64 {
        Self::page_offset(self.pages() + self.groups())
    }

    /// Bytes of the table.
    pub(crate) fn table_bytes(&self) -> usize {
        4 * (self.pages() + self.groups())
    }

    /// Where the second copy of the header lies.
    pub(crate) fn second_offset(&self) -> u64 {
        self.table_offset() + page_ceil(self.table_bytes() as u64)
    }

    /// The length of the whole file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.second_offset() + PAGE as u64
    }
}

/// The checksum of a page of a section, of the archive or of the parity.
pub(crate) fn page_crc(section_id: u128, page: usize, bytes: &[u8]) -> u32 {
    let seed = crc32c::crc32c_append(
        crc32c::crc32c(&section_id.to_le_bytes()),
        &SectionHeader::page_offset(page).to_le_bytes(),
    );
    crc32c::crc32c_append(seed, bytes)
}
