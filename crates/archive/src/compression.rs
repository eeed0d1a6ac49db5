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
}

impl Compression {
    /// Returns the media type that the blob gets.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::None => "application/sql",
            Self::Gzip { .. } => "application/gzip",
        }
    }

    /// Returns the ending of the blob's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "sql",
            Self::Gzip { .. } => "sql.gz",
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip { level: 6 }
    }
}
