//! What can go wrong.

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key, a value, or the table would be larger than it may be. Nothing changed.
    #[error("too large: {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size, in bytes.
        bytes: u64,
        /// The largest size, in bytes.
        limit: u64,
    },
}

/// The result of an operation of the store.
pub type Result<T> = std::result::Result<T, Error>;
