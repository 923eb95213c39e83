//! A directory's bytes as edits: which file, what happens to it, where, and with which bytes.

use std::path::PathBuf;

/// Bytes of an edit before its payload: file, kind, offset, length.
pub(super) const HEAD: usize = 1 + 1 + 4 + 1;
/// A file does not grow beyond this, so that the bytes given bound the work.
const MOST_BYTES: usize = 1 << 20;

/// The files that the edits change, as they are after.
pub(super) fn edited(files: &[(PathBuf, Vec<u8>)], edits: &[u8]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut changed: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let mut rest = edits;
    while let Some((&[file, kind, a, b, c, d, len], after)) = rest.split_first_chunk::<HEAD>() {
        let (payload, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let (path, whole) = &files[usize::from(file) % files.len()];
        let at = changed.iter().position(|(other, _)| other == path).unwrap_or_else(|| {
            changed.push((path.clone(), whole.clone()));
            changed.len() - 1
        });
        let bytes = &mut changed[at].1;
        let offset = u32::from_le_bytes([a, b, c, d]) as usize % (bytes.len() + 1);
        match kind % 5 {
            0 => bytes.truncate(offset),
            1 => {
                let end = bytes.len().min(offset + usize::from(len) * 64);
                bytes[offset..end].fill(0);
            }
            2 if bytes.len() < MOST_BYTES => bytes.splice(offset..offset, payload.iter().copied()).for_each(drop),
            3 => {
                // A piece of another file.
                let from = &files[payload.first().map_or(0, |byte| usize::from(*byte)) % files.len()].1;
                let piece = from.iter().skip(offset / 512 * 512).take(512);
                bytes.iter_mut().skip(offset / 512 * 512).zip(piece).for_each(|(to, from)| *to = *from);
            }
            _ => bytes.iter_mut().skip(offset).zip(payload).for_each(|(to, from)| *to = *from),
        }
    }
    changed
}
