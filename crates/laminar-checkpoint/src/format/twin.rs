//! A block of bytes that is stored twice, so that either copy suffices. Owns: the frame around each copy.

use super::bytes::{Decoder, Encode, index, is_zero, put_at};
use super::{Fault, PAGE, VERSION, checked_magic, page_ceil};
use crate::error::Reason;

/// Bytes of the frame before the body.
pub(crate) const TWIN_HEADER: usize = 64;
const CRC_AT: usize = TWIN_HEADER - 4;
/// The least padding behind a body: a sector, so that where a sector of one copy has changed places with one of the other, no more
/// than padding is damaged in the first.
const LEAST_PADDING: u64 = 512;

/// Bytes that one copy of a body takes in the file.
pub(crate) fn copy_bytes(body_bytes: u64) -> u64 {
    page_ceil(body_bytes.saturating_add(TWIN_HEADER as u64 + LEAST_PADDING))
}

/// Both copies of `body`, back to back, each in whole pages.
pub(crate) fn encode(magic: &[u8; 8], body: &[u8]) -> Vec<u8> {
    let copy_len = index(copy_bytes(body.len() as u64));
    let mut out = Vec::with_capacity(2 * copy_len);
    for copy in 0..2u32 {
        let start = out.len();
        out.extend_from_slice(magic);
        out.put_u32(VERSION);
        out.put_u32(copy);
        out.put_u64(body.len() as u64);
        out.put_u32(crc32c::crc32c(body));
        out.resize(start + TWIN_HEADER, 0);
        let crc = crc32c::crc32c(out.get(start..start + CRC_AT).unwrap_or_default());
        put_at(&mut out, start + CRC_AT, &crc.to_le_bytes());
        out.extend_from_slice(body);
        out.resize(start + copy_len, 0);
    }
    out
}

/// The body of copy number `copy`, which begins where `bytes` begins; what lies behind the copy is not looked at.
pub(crate) fn decode<'a>(magic: &[u8; 8], copy: u32, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
    let (body, padding) = split(magic, copy, bytes)?;
    if is_zero(padding) { Ok(body) } else { Err(Fault::Damage(Reason::Reserved, "zero")) }
}

/// As [`decode`], whatever the padding holds: for when there is nothing better.
pub(crate) fn decode_unpadded<'a>(magic: &[u8; 8], copy: u32, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
    split(magic, copy, bytes).map(|(body, _)| body)
}

/// A body that matches its checksum, and the padding behind it.
fn split<'a>(magic: &[u8; 8], copy: u32, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Fault> {
    let header = bytes.get(..TWIN_HEADER).ok_or(Fault::Damage(Reason::Length, "a header"))?;
    checked_magic(magic, header, CRC_AT)?;
    let fault = || Fault::Damage(Reason::Structure, "a header");
    let mut fields = Decoder::new(header);
    let _magic = fields.take(8).ok_or_else(fault)?;
    let _version = fields.u32().ok_or_else(fault)?;
    if fields.u32() != Some(copy) {
        return Err(Fault::Damage(Reason::Mismatch, "the number of this copy"));
    }
    let body_bytes = fields.u64().ok_or_else(fault)?;
    let body_crc = fields.u32().ok_or_else(fault)?;
    if !is_zero(fields.take(CRC_AT - 28).ok_or_else(fault)?) {
        return Err(Fault::Damage(Reason::Reserved, "zero"));
    }
    let short = Fault::Damage(Reason::Length, "the whole of this copy");
    let copy_bytes = bytes.get(..index(copy_bytes(body_bytes))).ok_or(short)?;
    let (body, padding) =
        copy_bytes.get(TWIN_HEADER..).and_then(|rest| rest.split_at_checked(index(body_bytes))).ok_or(short)?;
    if crc32c::crc32c(body) != body_crc {
        return Err(Fault::Damage(Reason::Checksum, "a body that matches its checksum"));
    }
    Ok((body, padding))
}

/// What `decode` found when it looked at both copies in turn.
#[derive(Debug)]
pub(crate) struct Twin<'a> {
    /// The body, from the first copy that is whole; if neither is, from the first that is but for its padding.
    pub(crate) body: &'a [u8],
    /// The offset in `bytes` of a damaged first copy, if it was damaged.
    pub(crate) healed: Option<u64>,
}

/// The body from whichever copy is whole. `bytes` holds both copies; should it be cut short, the first may still do.
pub(crate) fn either<'a>(magic: &[u8; 8], bytes: &'a [u8]) -> Result<Twin<'a>, Fault> {
    let first = match decode(magic, 0, bytes) {
        Ok(body) => return Ok(Twin { body, healed: None }),
        Err(fault @ Fault::Version(_)) => return Err(fault),
        Err(fault) => fault,
    };
    let half = bytes.len() / 2;
    let second = bytes.get(half..).filter(|_| half.is_multiple_of(PAGE));
    let body = match second.map(|second| decode(magic, 1, second)) {
        Some(Ok(body)) => Some(body),
        Some(Err(fault @ Fault::Version(_))) => return Err(fault),
        _ => {
            let unpadded = decode_unpadded(magic, 0, bytes).ok();
            unpadded.or_else(|| decode_unpadded(magic, 1, second?).ok())
        }
    };
    body.map(|body| Twin { body, healed: Some(0) }).ok_or(first)
}

const _: () = assert!(TWIN_HEADER < PAGE && CRC_AT > 28);

/// The checksum of a body, as the files that refer to it state it.
pub(crate) fn body_crc(body: &[u8]) -> u32 {
    crc32c::crc32c(body)
}
