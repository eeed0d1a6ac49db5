//! Undoes what the encoder did, and takes the digest of what it is given.

use std::io::{self, Write as _};

use bytes::{Buf as _, Bytes};
use flate2::write::MultiGzDecoder;

use crate::digest::Digest;
use crate::zstd::Frames;

/// Enough output to be worth handing over.
const OUTPUT: usize = 256 << 10;

/// Input goes in by small parts: deflate can grow a thousandfold, which bounds the output of one
/// part to 8 MiB.
const INPUT: usize = 8 << 10;

/// Decodes the bytes of one blob.
pub(crate) struct Decoder {
    form: Form,
    digest: Digest,
}

enum Form {
    Plain,
    /// Several members in one file are one content, as for any gzip reader.
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<Frames>),
}

/// The forms that content is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    Plain,
    Gzip,
    Zstd,
}

/// The first bytes of every gzip member (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The first bytes of every frame of Zstandard (RFC 8878, section 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

impl Stored {
    /// How many bytes tell the form.
    pub(crate) const TELLING: usize = ZSTD.len();

    /// Tells the form by the first bytes.
    pub(crate) fn of(begin: &[u8]) -> Self {
        if begin.starts_with(&GZIP) {
            Self::Gzip
        } else if begin.starts_with(&ZSTD) {
            Self::Zstd
        } else {
            Self::Plain
        }
    }

    /// Returns what a name promises by its ending.
    pub(crate) fn promised(name: &str) -> Option<Self> {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            Some("gz") => Some(Self::Gzip),
            Some("zst") => Some(Self::Zstd),
            Some(_) | None => None,
        }
    }

    /// Returns the form's name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl Decoder {
    /// Makes a decoder for content that begins like this.
    pub(crate) fn new(begin: &[u8]) -> io::Result<Self> {
        let form = match Stored::of(begin) {
            Stored::Plain => Form::Plain,
            Stored::Gzip => Form::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Stored::Zstd => Form::Zstd(Box::new(Frames::new()?)),
        };
        Ok(Self { form, digest: Digest::default() })
    }

    /// Decodes some of the input, which is shortened by what was taken.
    pub(crate) fn decode(&mut self, input: &mut Bytes) -> io::Result<Bytes> {
        match &mut self.form {
            Form::Plain => {
                self.digest.update(input);
                Ok(std::mem::take(input))
            }
            Form::Gzip(decoder) => {
                while !input.is_empty() && decoder.get_ref().len() < OUTPUT {
                    let taken = decoder.write(&input[..INPUT.min(input.len())])?;
                    if taken == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    self.digest.update(&input[..taken]);
                    input.advance(taken);
                }
                Ok(std::mem::take(decoder.get_mut()).into())
            }
            Form::Zstd(frames) => {
                let before = input.clone();
                let output = frames.decode(input)?;
                self.digest.update(&before[..before.len() - input.len()]);
                Ok(output)
            }
        }
    }

    /// Checks the end; returns what was still held back and the digest of all input.
    pub(crate) fn finish(self) -> io::Result<(Bytes, String)> {
        let output = match self.form {
            Form::Plain => Bytes::new(),
            Form::Gzip(decoder) => decoder.finish()?.into(),
            Form::Zstd(mut frames) => frames.finish()?,
        };
        Ok((output, self.digest.finish()))
    }
}
