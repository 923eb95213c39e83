//! Little-endian numbers in and out of byte slices. Owns: no read past an end, no length believed.

/// Reads fields off the front of a slice.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// A length of four bytes and as many bytes as it says.
    pub(crate) fn blob(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(usize::try_from(len).ok()?)
    }

    /// As [`blob`](Self::blob), for text.
    pub(crate) fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.blob()?).ok().map(str::to_owned)
    }

    /// A count of items that each take at least `item_bytes`, so that it can be believed as far as memory goes.
    pub(crate) fn count(&mut self, item_bytes: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(item_bytes)? <= self.rest.len()).then_some(count)
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }
}

/// Appends fields to a buffer.
pub(crate) trait Encode {
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    fn put_u128(&mut self, value: u128);
    /// A length of four bytes, then the bytes.
    fn put_blob(&mut self, bytes: &[u8]);
}

impl Encode for Vec<u8> {
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u128(&mut self, value: u128) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_blob(&mut self, bytes: &[u8]) {
        self.put_u32(count32(bytes.len()));
        self.extend_from_slice(bytes);
    }
}

/// A count or length that the limits of the format keep below 2^32.
pub(crate) fn count32(value: usize) -> u32 {
    u32::try_from(value).expect("the limits of the format keep this below 2^32")
}

/// A file offset or length as an index into memory; what does not fit is beyond the end of everything.
pub(crate) fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A count of 32 bits as an index into memory.
pub(crate) fn index32(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Puts `value` at `at` in a buffer that is long enough by construction.
pub(crate) fn put_at(buffer: &mut [u8], at: usize, value: &[u8]) {
    let place = buffer.get_mut(at..at + value.len()).expect("the buffer was made long enough");
    place.copy_from_slice(value);
}

/// The four bytes at `at` as a number, if they are there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Without an early end, so that the processor looks at many at once: they are zero nearly always.
    let (chunks, rest) = bytes.as_chunks::<16>();
    let sum = chunks.iter().fold(0, |sum, chunk| sum | u128::from_le_bytes(*chunk));
    sum == 0 && rest.iter().all(|&byte| byte == 0)
}
