//! Reading a blob of Azure Storage from its beginning to its end.
//!
//! Ranges of a fixed size are asked for one after the other, with one read ahead. All ranges carry
//! the first one's `ETag`, so that a blob that is replaced in the meantime is an error and never a
//! mixture. A body that breaks off is asked for again; the vendor's client repeats requests alone.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Etag;
use azure_core::http::headers::HeaderName;
use azure_storage_blob::BlobClient;
use azure_storage_blob::models::{BlobClientDownloadOptions, HttpRange};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::azure_blob::refusal;
use super::blob::ByteStream;
use super::{StorageError, StorageErrorKind};

/// What errors call the operation.
pub(super) const OPERATION: &str = "download blob";

const RANGE: u64 = 4 << 20;
const RANGE_LENGTH: NonZero<usize> = NonZero::new(4 << 20).unwrap();
/// How many ranges are under way or waiting for the reader.
const AHEAD: usize = 2;
/// With doubling pauses from 250 ms the last one follows the first by half a minute.
const TRIES: u32 = 8;

/// Opens the blob and returns its content; a blob that does not exist is an error at once.
pub(super) async fn stream(client: BlobClient, target: String) -> Result<ByteStream, StorageError> {
    let client = Arc::new(client);
    let first = fetch(&client, &target, 0, None).await?;
    let (total, etag) = (first.total, first.etag);
    let begin = stream::iter([Ok(first.content)]);
    let step = usize::try_from(RANGE).unwrap_or(usize::MAX);
    let rest = stream::iter((RANGE..total).step_by(step))
        .map(move |offset| {
            let (client, target, etag) = (client.clone(), target.clone(), etag.clone());
            async move {
                let fetched = fetch(&client, &target, offset, Some((total, etag))).await?;
                Ok(fetched.content)
            }
        })
        .buffered(AHEAD);
    Ok(begin.chain(rest).try_filter(|content| std::future::ready(!content.is_empty())).boxed())
}

struct Fetched {
    content: Bytes,
    total: u64,
    etag: Option<Etag>,
}

/// Fetches one range, again when its body breaks off.
async fn fetch(
    client: &BlobClient,
    target: &str,
    offset: u64,
    known: Option<(u64, Option<Etag>)>,
) -> Result<Fetched, StorageError> {
    let mut tries = 1;
    loop {
        match fetch_once(client, target, offset, known.clone()).await {
            Err(Broken::Body(_)) if tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(125 << tries)).await;
                tries += 1;
            }
            Err(Broken::Body(error) | Broken::Request(error)) => return Err(error),
            Ok(fetched) => return Ok(fetched),
        }
    }
}

/// Where a range broke: requests have been repeated already, bodies have not.
enum Broken {
    Request(StorageError),
    Body(StorageError),
}

async fn fetch_once(
    client: &BlobClient,
    target: &str,
    offset: u64,
    known: Option<(u64, Option<Etag>)>,
) -> Result<Fetched, Broken> {
    let (known_total, known_etag) = known.unzip();
    let options = BlobClientDownloadOptions {
        range: Some(HttpRange::new(offset, RANGE)),
        partition_size: Some(RANGE_LENGTH),
        parallel: Some(NonZero::<usize>::MIN),
        if_match: known_etag.flatten(),
        ..BlobClientDownloadOptions::default()
    };
    let answer = client
        .download(Some(options))
        .await
        .map_err(|error| Broken::Request(refusal(error, OPERATION, target)))?;
    let content_range = answer.headers.get_optional_str(&HeaderName::from_static("content-range"));
    let total = known_total
        .or_else(|| content_range.and_then(total_of))
        .or(answer.properties.content_length)
        .unwrap_or_default();
    let expected = usize::try_from(total.saturating_sub(offset).min(RANGE)).unwrap_or(usize::MAX);
    let mut content = vec![0; expected];
    let read = answer
        .body
        .collect_into(&mut content)
        .await
        .map_err(|error| Broken::Body(StorageError::from_azure(error, OPERATION, target)))?;
    if read != expected {
        return Err(Broken::Body(
            StorageError::new(StorageErrorKind::Unavailable, OPERATION, target)
                .because(format!("{read} of {expected} bytes from offset {offset} arrived")),
        ));
    }
    Ok(Fetched { content: content.into(), total, etag: answer.properties.etag })
}

/// Reads the total length out of `bytes 0-99/1234` (RFC 9110, section 14.4).
fn total_of(content_range: &str) -> Option<u64> {
    content_range.rsplit_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_total_length() {
        assert_eq!(total_of("bytes 0-99/1234"), Some(1234));
        assert_eq!(total_of("bytes 0-99/*"), None);
        assert_eq!(total_of("1234"), None);
    }
}
