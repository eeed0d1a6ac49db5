//! Undoes what the encoder did, and takes the digest of what it is given.

use std::io::{self, Write as _};

use bytes::{Buf as _, Bytes};
use flate2::write::MultiGzDecoder;

use crate::digest::Digest;

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
}

impl Decoder {
    pub(crate) fn new(is_gzip: bool) -> Self {
        let form = if is_gzip { Form::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))) } else { Form::Plain };
        Self { form, digest: Digest::default() }
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
        }
    }

    /// Checks the end; returns what was still held back and the digest of all input.
    pub(crate) fn finish(self) -> io::Result<(Bytes, String)> {
        let output = match self.form {
            Form::Plain => Bytes::new(),
            Form::Gzip(decoder) => decoder.finish()?.into(),
        };
        Ok((output, self.digest.finish()))
    }
}
