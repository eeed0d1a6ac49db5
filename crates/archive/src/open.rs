//! From a blob back to the stream that was stored.
//!
//! Content is given out as it comes, before its end has been seen; only when the stream ends
//! without an error is what came before it proven. A reader must treat an error as the failure of
//! the whole.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use shared::storage::{BlobAddress, BlobProperties, BlobStore, ByteStream, StorageErrorKind};

use crate::decoder::{Decoder, Stored};
use crate::error::OpenError;
use crate::metadata;
use crate::progress::{Progress, count};

/// The decompressed content of a blob.
pub type Content = BoxStream<'static, Result<Bytes, OpenError>>;

/// A blob that is being read.
pub struct Opened {
    /// What the store knows of the blob, among it the size that `progress` approaches.
    pub properties: BlobProperties,
    /// The decompressed content.
    pub content: Content,
}

/// Opens a blob for reading and decompresses it when it is gzip or zstd.
///
/// The content decides on its form; a name that ends in `.gz` or `.zst` with other content is an error.
/// The length, the checksums inside the compressed data and, where the metadata has it, the SHA-256 are
/// checked; what does not check out is an error in place of the content's end.
pub async fn open(
    store: &dyn BlobStore,
    address: &BlobAddress,
    progress: &Progress,
) -> Result<Opened, OpenError> {
    let properties = store.properties(address).await.map_err(OpenError::Storage)?;
    let properties = properties.ok_or_else(|| OpenError::Missing(address.to_string()))?;
    let mut download = store.download(address).await.map_err(|error| match error.kind() {
        StorageErrorKind::NotFound => OpenError::Missing(address.to_string()),
        StorageErrorKind::AlreadyExists
        | StorageErrorKind::Changed
        | StorageErrorKind::Unavailable
        | StorageErrorKind::Denied
        | StorageErrorKind::Invalid => OpenError::Storage(error),
    })?;
    let begin = beginning(&mut download).await?;
    if let Some(promised) = Stored::promised(&address.name)
        && promised != Stored::of(&begin)
    {
        return Err(OpenError::WrongForm { blob: address.to_string(), promised: promised.name() });
    }
    let decoder = Decoder::new(&begin).map_err(OpenError::Damaged)?;
    let reading = Reading {
        download: stream::iter([Ok(begin)]).chain(download).boxed(),
        decoder: Some(decoder),
        input: Bytes::new(),
        expected_bytes: properties.bytes,
        expected_sha256: properties.metadata.get(metadata::SHA256).map(|text| text.to_ascii_lowercase()),
        received: 0,
        progress: progress.clone(),
    };
    Ok(Opened { properties, content: stream::try_unfold(reading, Reading::next).boxed() })
}

/// Reads until the form can be told or the blob ends.
async fn beginning(download: &mut ByteStream) -> Result<Bytes, OpenError> {
    let mut begin = BytesMut::new();
    while begin.len() < Stored::TELLING {
        match download.try_next().await.map_err(OpenError::Storage)? {
            Some(chunk) if begin.is_empty() && chunk.len() >= Stored::TELLING => return Ok(chunk),
            Some(chunk) => begin.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(begin.freeze())
}

struct Reading {
    download: ByteStream,
    /// `None` once the end has been checked.
    decoder: Option<Decoder>,
    input: Bytes,
    expected_bytes: u64,
    expected_sha256: Option<String>,
    received: u64,
    progress: Progress,
}

impl Reading {
    /// Returns the next part of the content, and after the last one checks it all.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, OpenError> {
        loop {
            let Some(decoder) = self.decoder.take() else { return Ok(None) };
            let output = if !self.input.is_empty() {
                let (decoder, output) = self.decode(decoder).await?;
                self.decoder = Some(decoder);
                output
            } else if let Some(chunk) = self.download.try_next().await.map_err(OpenError::Storage)? {
                self.received += count(chunk.len());
                self.progress.add_stored(chunk.len());
                self.input = chunk;
                self.decoder = Some(decoder);
                continue;
            } else {
                self.finish(decoder)?
            };
            if !output.is_empty() {
                self.progress.add_dumped(output.len());
                return Ok(Some((output, self)));
            }
        }
    }

    /// Decodes a part of the input on a thread of its own.
    async fn decode(&mut self, mut decoder: Decoder) -> Result<(Decoder, Bytes), OpenError> {
        let mut input = std::mem::take(&mut self.input);
        let worker = tokio::task::spawn_blocking(move || {
            let output = decoder.decode(&mut input)?;
            Ok::<_, io::Error>((decoder, input, output))
        });
        let (decoder, input, output) =
            worker.await.map_err(OpenError::Interrupted)?.map_err(OpenError::Damaged)?;
        self.input = input;
        Ok((decoder, output))
    }

    /// Checks length, checksums and digest; returns what the decoder still held.
    fn finish(&self, decoder: Decoder) -> Result<Bytes, OpenError> {
        if self.received != self.expected_bytes {
            return Err(OpenError::Length { expected: self.expected_bytes, found: self.received });
        }
        let (output, found) = decoder.finish().map_err(OpenError::Damaged)?;
        match &self.expected_sha256 {
            Some(expected) if *expected != found => {
                Err(OpenError::Digest { expected: expected.clone(), found })
            }
            Some(_) | None => Ok(output),
        }
    }
}
