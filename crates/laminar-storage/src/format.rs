#![doc = include_str!("../FORMAT.md")]

use std::collections::BTreeMap;

use laminar_vfs::planted;
use laminar_wal::Lsn;

use crate::table::SPACE_BYTES;

/// The version that this library writes, and the newest that it reads.
pub(crate) const VERSION: u32 = 1;
/// Bytes of one copy of the identity.
pub(crate) const IDENTITY_BYTES: usize = 512;
/// Where the second copy of the identity begins.
pub(crate) const SECOND_COPY_OFFSET: usize = 4096;
/// Bytes of the file `STORE`.
pub(crate) const STORE_BYTES: usize = SECOND_COPY_OFFSET + IDENTITY_BYTES;

/// The most bytes of a caller's key.
pub const MAX_KEY_BYTES: usize = 16 << 20;
/// The most bytes of a value.
pub const MAX_VALUE_BYTES: usize = 16 << 20;
/// The most bytes of the name of a source or an operator.
pub const MAX_NAME_BYTES: usize = 4 << 10;
/// The most source offsets in one commit, set or removed.
pub(crate) const MAX_OFFSETS: usize = 1_000_000;
/// The most bytes of all source offsets of a store, as in a commit record: so any commit fits into one, and all into a manifest.
pub(crate) const MAX_OFFSET_BYTES: usize = 64 << 20;

const MAGIC: [u8; 8] = *b"laminSTO";
const VERSION_OFFSET: usize = 8;
const FLAGS_OFFSET: usize = 12;
const LOG_ID_OFFSET: usize = 16;
const HASH_SEED_OFFSET: usize = 32;
const RESERVED_OFFSET: usize = 40;
const CHECKSUM_OFFSET: usize = 508;

const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;
const KIND_COMMIT: u8 = 3;
/// A commit that removes source offsets too: a kind of its own, so that a reader that knows of no removals does not pass over them.
const KIND_COMMIT_REMOVING: u8 = 4;
/// Kind and key length.
const PUT_FIXED_BYTES: usize = 1 + 4;
/// Kind, first LSN and count of offsets.
const COMMIT_FIXED_BYTES: usize = 1 + 8 + 4;

/// Who a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) log_id: u128,
    pub(crate) hash_seed: u64,
}

/// Why a block is no identity of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadIdentity {
    /// Not our magic.
    Foreign,
    /// A valid block of a later version.
    Version(u32),
    /// Ours, but damaged.
    Corrupt(&'static str),
}

impl Identity {
    /// The bytes of the file `STORE`.
    pub(crate) fn encode(self) -> [u8; STORE_BYTES] {
        self.encode_as(VERSION)
    }

    fn encode_as(self, version: u32) -> [u8; STORE_BYTES] {
        let mut block = [0; IDENTITY_BYTES];
        put(&mut block, 0, &MAGIC);
        put(&mut block, VERSION_OFFSET, &version.to_le_bytes());
        put(&mut block, LOG_ID_OFFSET, &self.log_id.to_le_bytes());
        put(&mut block, HASH_SEED_OFFSET, &self.hash_seed.to_le_bytes());
        let checksum = crc32c::crc32c(block.split_at(CHECKSUM_OFFSET).0);
        put(&mut block, CHECKSUM_OFFSET, &checksum.to_le_bytes());
        let mut file = [0; STORE_BYTES];
        put(&mut file, 0, &block);
        put(&mut file, SECOND_COPY_OFFSET, &block);
        file
    }

    /// Reads one block.
    pub(crate) fn decode(block: &[u8]) -> Result<Self, BadIdentity> {
        const SHORT: BadIdentity = BadIdentity::Corrupt("the block is cut short");
        let block: &[u8; IDENTITY_BYTES] = block.first_chunk().ok_or(SHORT)?;
        if !block.starts_with(&MAGIC) {
            return Err(if block.iter().all(|&byte| byte == 0) {
                BadIdentity::Corrupt("the block is zero")
            } else {
                BadIdentity::Foreign
            });
        }
        let (body, checksum) = block.split_at(CHECKSUM_OFFSET);
        if checksum != crc32c::crc32c(body).to_le_bytes() {
            return Err(BadIdentity::Corrupt("the checksum does not match"));
        }
        let version = u32_at(body, VERSION_OFFSET).ok_or(SHORT)?;
        if version != VERSION {
            return Err(BadIdentity::Version(version));
        }
        let log_id = body.get(LOG_ID_OFFSET..).and_then(|bytes| bytes.first_chunk()).ok_or(SHORT)?;
        let identity =
            Self { log_id: u128::from_le_bytes(*log_id), hash_seed: u64_at(body, HASH_SEED_OFFSET).ok_or(SHORT)? };
        let reserved_is_zero = u32_at(body, FLAGS_OFFSET) == Some(0)
            && body.iter().skip(RESERVED_OFFSET).fold(0, |any, byte| any | byte) == 0;
        if !reserved_is_zero || identity.log_id == 0 {
            return Err(BadIdentity::Corrupt("a reserved field is not zero, or the log id is"));
        }
        Ok(identity)
    }
}

/// A record of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
    Commit(Commit<'a>),
}

/// A commit record; its offsets are read as they are iterated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Commit<'a> {
    /// The LSN of the first change; `None` if the commit has none.
    pub(crate) first: Option<Lsn>,
    count: u32,
    offsets: &'a [u8],
    /// Whether names that are removed come behind the offsets.
    pub(crate) is_removing: bool,
}

impl<'a> Record<'a> {
    /// Reads a record's payload; `None` if it is none of ours.
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let (&kind, rest) = payload.split_first()?;
        match kind {
            KIND_PUT => {
                let (key_len, rest) = take_u32(rest)?;
                let (key, value) = rest.split_at_checked(usize::try_from(key_len).ok()?)?;
                Some(Self::Put { key, value })
            }
            KIND_DELETE => Some(Self::Delete { key: rest }),
            KIND_COMMIT | KIND_COMMIT_REMOVING => {
                let (first, rest) = take_u64(rest)?;
                let (count, offsets) = take_u32(rest)?;
                let first = (first != 0).then(|| Lsn::new(first));
                Some(Self::Commit(Commit { first, count, offsets, is_removing: kind == KIND_COMMIT_REMOVING }))
            }
            _ => None,
        }
    }
}

impl Commit<'_> {
    /// Adds the offsets to `into`, and takes the removed ones out; `None` if the bytes are not what a commit holds.
    pub(crate) fn apply(&self, into: &mut BTreeMap<String, u64>) -> Option<()> {
        let mut rest = self.offsets;
        for _ in 0..self.count {
            let (name, after) = take_name(rest)?;
            let (offset, after) = take_u64(after)?;
            match into.get_mut(name) {
                Some(known) => *known = offset,
                None => drop(into.insert(name.to_owned(), offset)),
            }
            rest = after;
        }
        if self.is_removing {
            rest = remove(rest, into)?;
        }
        rest.is_empty().then_some(())
    }
}

/// Takes the names at the start of `bytes` out of `from`, and returns what comes behind them.
fn remove<'a>(bytes: &'a [u8], from: &mut BTreeMap<String, u64>) -> Option<&'a [u8]> {
    let (count, mut rest) = take_u32(bytes)?;
    for _ in 0..count {
        let (name, after) = take_name(rest)?;
        if !planted("removed-offset-stays") {
            from.remove(name);
        }
        rest = after;
    }
    Some(rest)
}

/// Length of a put's payload.
pub(crate) fn put_len(key: &[u8], value: &[u8]) -> usize {
    PUT_FIXED_BYTES + SPACE_BYTES + key.len() + value.len()
}

/// Writes a put into `into`, which has [`put_len`] bytes.
pub(crate) fn encode_put(into: &mut [u8], space: [u8; SPACE_BYTES], key: &[u8], value: &[u8]) {
    let key_len = u32::try_from(SPACE_BYTES + key.len()).expect("keys are within their limit");
    let (fixed, rest) = into.split_at_mut(PUT_FIXED_BYTES + SPACE_BYTES);
    put(fixed, 0, &[KIND_PUT]);
    put(fixed, 1, &key_len.to_le_bytes());
    put(fixed, PUT_FIXED_BYTES, &space);
    let (key_part, value_part) = rest.split_at_mut(key.len());
    key_part.copy_from_slice(key);
    value_part.copy_from_slice(value);
}

/// Length of a delete's payload.
pub(crate) fn delete_len(key: &[u8]) -> usize {
    1 + SPACE_BYTES + key.len()
}

/// Writes a delete into `into`, which has [`delete_len`] bytes.
pub(crate) fn encode_delete(into: &mut [u8], space: [u8; SPACE_BYTES], key: &[u8]) {
    put(into, 0, &[KIND_DELETE]);
    put(into, 1, &space);
    put(into, 1 + SPACE_BYTES, key);
}

/// Writes a commit over what `into` held. `first` is the LSN of the first change, if there was one; a source without an offset is
/// removed.
pub(crate) fn encode_commit(into: &mut Vec<u8>, first: Option<Lsn>, offsets: &BTreeMap<String, Option<u64>>) {
    let removed = offsets.values().filter(|offset| offset.is_none()).count();
    into.clear();
    into.push(if removed > 0 { KIND_COMMIT_REMOVING } else { KIND_COMMIT });
    into.extend_from_slice(&first.map_or(0, Lsn::get).to_le_bytes());
    put_len32(into, offsets.len() - removed);
    debug_assert_eq!(into.len(), COMMIT_FIXED_BYTES);
    for (name, offset) in offsets.iter().filter_map(|(name, offset)| Some((name, (*offset)?))) {
        put_name(into, name);
        into.extend_from_slice(&offset.to_le_bytes());
    }
    if removed > 0 {
        put_len32(into, removed);
        offsets.iter().filter(|(_, offset)| offset.is_none()).for_each(|(name, _)| put_name(into, name));
    }
}

fn put_name(into: &mut Vec<u8>, name: &str) {
    put_len32(into, name.len());
    into.extend_from_slice(name.as_bytes());
}

fn put_len32(into: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("names and their count are within their limits");
    into.extend_from_slice(&len.to_le_bytes());
}

/// Bytes of a source offset in a commit record; its removal takes less.
pub(crate) fn offset_len(name: &str) -> usize {
    4 + name.len() + 8
}

fn put(into: &mut [u8], offset: usize, bytes: &[u8]) {
    into.split_at_mut(offset).1.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
}

fn take_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = take_u32(bytes)?;
    let (name, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(take_u32(bytes.get(offset..)?)?.0)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(take_u64(bytes.get(offset..)?)?.0)
}

const _: () = {
    assert!(MAGIC.len() == VERSION_OFFSET);
    assert!(VERSION_OFFSET + size_of::<u32>() == FLAGS_OFFSET);
    assert!(FLAGS_OFFSET + size_of::<u32>() == LOG_ID_OFFSET);
    assert!(LOG_ID_OFFSET + size_of::<u128>() == HASH_SEED_OFFSET);
    assert!(HASH_SEED_OFFSET + size_of::<u64>() == RESERVED_OFFSET);
    assert!(CHECKSUM_OFFSET + size_of::<u32>() == IDENTITY_BYTES);
};

#[cfg(test)]
mod tests;
