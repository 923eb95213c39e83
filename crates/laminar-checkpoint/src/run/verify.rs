//! Reads every byte of a run.

use super::file::RunFile;
use crate::error::Reason;
use crate::format::block::{Data, Kind, checked, is_fixed, run_seed, stated_crc};
use crate::format::bytes::{index, is_zero};
use crate::format::run::{BlockRef, Chapter, FOOTER_MAGIC, decode_header};
use crate::format::{PAGE, twin};
use crate::report::Part;
use crate::verify::Findings;
use crate::{Error, Result};

/// Checks header, blocks, parity and both footers of `run`, which was opened for this; tells `findings` what it sees.
pub(crate) fn verify(run: &RunFile, findings: &mut Findings<'_>) {
    let path = &*run.path();
    header(run, findings);
    let mut content = 0;
    for (at, chapter) in run.footer.chapters.iter().enumerate() {
        verify_chapter(run, at, chapter, &mut content, findings);
    }
    let footer_offset = run.footer.chapters.last().map_or(PAGE as u64, Chapter::end);
    if content != run.footer.content && !findings.has_damage(path) {
        let error = Error::corrupt(path, footer_offset, Reason::Mismatch, "blocks that add up to the footer's content");
        findings.damage(footer_offset, 0, Part::Block, false, error);
    }
    let copy_bytes = (run.region().len() as u64 - footer_offset) / 2;
    for copy in 0..2 {
        let offset = footer_offset + u64::from(copy) * copy_bytes;
        let mut bytes = vec![0; index(copy_bytes)];
        let checked = run.file.read_exact_at(&mut bytes, offset).map_err(Error::from).and_then(|()| {
            let body = twin::decode(FOOTER_MAGIC, copy, &bytes).map_err(|fault| Error::fault(path, offset, fault))?;
            let is_ours = twin::body_crc(body) == run.record.footer_crc;
            if is_ours { Ok(()) } else { Err(Error::corrupt(path, offset, Reason::Mismatch, "the footer of this run")) }
        });
        findings.read(copy_bytes);
        if let Err(error) = checked {
            // The run could be opened, so one of the copies is whole.
            findings.damage(offset, copy_bytes, Part::RunFooter, true, error);
        }
    }
}

fn header(run: &RunFile, findings: &mut Findings<'_>) {
    let mut page = vec![0; PAGE];
    let read = run.file.read_exact_at(&mut page, 0).map_err(Error::from);
    findings.read(PAGE as u64);
    let whole = read.and_then(|()| {
        let identity = decode_header(&page).map_err(|fault| Error::fault(&run.path(), 0, fault))?;
        // A whole header of another run is as little of use as a damaged one.
        if identity != run.footer.identity {
            return Err(Error::corrupt(&run.path(), 0, Reason::Mismatch, "the header of this run"));
        }
        let padding = page.get(crate::format::FILE_HEADER..).unwrap_or_default();
        if is_zero(padding) { Ok(()) } else { Err(Error::corrupt(&run.path(), 0, Reason::Reserved, "zero")) }
    });
    if let Err(error) = whole {
        findings.damage(0, PAGE as u64, Part::RunHeader, true, error);
    }
}

fn verify_chapter(run: &RunFile, at: usize, chapter: &Chapter, content: &mut u32, findings: &mut Findings<'_>) {
    let mut damaged = Vec::new();
    let (mut entries, mut last_key) = (0, None);
    for block in chapter.all_blocks() {
        findings.read(block.bytes as u64);
        match verify_block(run, chapter, block, content, &mut last_key) {
            Ok(found) => entries += found,
            Err(error) => damaged.push((block, error)),
        }
    }
    // One damaged block in a lane is what its parity can make good; the parity itself is only needed for others.
    let heals = |block: BlockRef| block.kind == Kind::Parity || run.block(at, block).is_ok();
    for (block, error) in &damaged {
        // What matches its checksum and makes no sense is not what parity is for.
        let is_nonsense = matches!(error, Error::Corrupt { reason: Reason::Structure, .. });
        let is_healed = !is_nonsense && heals(*block);
        let error = if is_healed { error.clone() } else { run.lost(at, *block) };
        findings.damage(block.offset, block.bytes as u64, Part::Block, is_healed, error);
    }
    let ends = last_key.as_deref().is_none_or(|last| last == run.footer.key(&chapter.last_key));
    if damaged.is_empty() && !(ends && entries == chapter.entries as usize) {
        let error = Error::corrupt(&run.path(), chapter.offset, Reason::Mismatch, "the entries that the footer counts");
        findings.damage(chapter.offset, chapter.data_bytes(), Part::Block, false, error);
    }
}

/// Reads one block; returns how many entries it holds.
fn verify_block(
    run: &RunFile,
    chapter: &Chapter,
    block: BlockRef,
    content: &mut u32,
    last_key: &mut Option<Vec<u8>>,
) -> Result<usize> {
    let mut bytes = vec![0; block.bytes];
    run.file.read_exact_at(&mut bytes, block.offset)?;
    let corrupt = |reason, detail| Error::corrupt(&run.path(), block.offset, reason, detail);
    let region = laminar_vfs::Region::copy_of(&bytes);
    let payload = checked(&region, block.kind, run_seed(run.footer.identity.run_id), block.offset)
        .ok_or_else(|| corrupt(Reason::Checksum, "a block that matches its checksum"))?;
    *content = crc32c::crc32c_append(*content, &stated_crc(&region).unwrap_or(0).to_le_bytes());
    if !matches!(block.kind, Kind::Data | Kind::Wide) {
        return Ok(0);
    }
    let structure = || corrupt(Reason::Structure, "entries in ascending order");
    // Not only as this crate reads it: what is no fixed block must be an archive to rkyv as well.
    let is_sound = match chapter.shape {
        Some(shape) if is_fixed(&region) => shape.is_padded(payload),
        _ => crate::archive::block(payload).is_some(),
    };
    let data = Data::new(&region, chapter.shape).filter(|_| is_sound).ok_or_else(structure)?;
    for at in 0..data.len() {
        let entry = data.entry(at).ok_or_else(structure)?;
        if last_key.as_deref().is_some_and(|last| last >= entry.key) {
            return Err(structure());
        }
        last_key.get_or_insert_default().clear();
        last_key.get_or_insert_default().extend_from_slice(entry.key);
    }
    Ok(data.len())
}
