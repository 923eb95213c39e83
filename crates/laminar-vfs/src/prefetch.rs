//! A word to the processor about memory that will be read soon.

/// Bytes of a cache line on most processors.
const LINE: usize = 64;

/// Has the cache lines of these bytes on their way into the cache, and does not wait for them.
///
/// For who knows early where it will read: a table that is larger than the cache has one miss after the other else. A read ahead
/// of time does the same, but what follows it can go no further than the processor looks ahead, some hundred instructions.
/// Where there is no such word in the language, each line is read.
///
/// ```
/// let table = vec![7_u8; 1 << 20];
/// laminar_vfs::prefetch(&table[500_000..500_100]);
/// assert_eq!(table[500_050], 7);
/// ```
#[inline]
pub fn prefetch(bytes: &[u8]) {
    bytes.iter().step_by(LINE).for_each(line);
    // The last line, where the bytes begin in the middle of one.
    bytes.last().into_iter().for_each(line);
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "the instruction takes a pointer")]
fn line(byte: &u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    // SAFETY: every x86-64 processor has the instruction, and it changes nothing and faults on no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn line(byte: &u8) {
    std::hint::black_box(*byte);
}
