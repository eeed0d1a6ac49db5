//! How a stream is compressed on its way into a blob.

/// The form in which a stream is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As it comes.
    None,
    /// As one gzip member (RFC 1952).
    Gzip {
        /// From 0, no compression, to 9; more is taken as 9.
        level: u32,
    },
    /// As frames of Zstandard (RFC 8878).
    Zstd {
        /// From 1 to 19; more is taken as 19.
        level: i32,
    },
}

impl Compression {
    /// Returns the media type that the blob gets.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::None => "application/sql",
            Self::Gzip { .. } => "application/gzip",
            Self::Zstd { .. } => "application/zstd",
        }
    }

    /// Returns the ending of the blob's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "sql",
            Self::Gzip { .. } => "sql.gz",
            Self::Zstd { .. } => "sql.zst",
        }
    }

    /// Returns the size in bytes of the pieces that are compressed one by one.
    pub(crate) fn piece(self) -> usize {
        match self {
            Self::None | Self::Gzip { .. } => 512 << 10,
            // What repeats from piece to piece is not found.
            Self::Zstd { .. } => 2 << 20,
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip { level: 6 }
    }
}
