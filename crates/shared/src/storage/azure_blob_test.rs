//! [`AzureBlobs`] against scripted answers: what an emulator never says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, FixedRetryOptions, HttpClient, Request, RetryOptions, StatusCode,
    Transport,
};
use azure_core::time::Duration;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use url::Url;

use super::{AzureBlobs, BlobAddress, BlobStore, CommitOptions, StorageError, StorageErrorKind};

type Failure = Box<dyn std::error::Error>;

const MIB: usize = 1 << 20;

/// One scripted answer.
enum Answer {
    /// The connection breaks before an answer.
    Cut,
    Status(u16, Vec<(&'static str, String)>, Vec<Bytes>),
    /// As `Status`, but the body breaks off behind its parts.
    Broken(u16, Vec<(&'static str, String)>, Vec<Bytes>),
}

/// What was asked: the request line, the headers of interest and the body.
#[derive(Debug, Clone, Default)]
struct Asked {
    line: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct Server {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Asked>>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

#[async_trait]
impl HttpClient for Server {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let body = match request.body() {
            Body::Bytes(bytes) => bytes.clone(),
            Body::SeekableStream(_) => {
                return Err(Error::with_message(ErrorKind::Other, "a stream was sent"));
            }
        };
        let headers = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned()));
        let mut query: Vec<_> =
            request.url().query().into_iter().flat_map(|query| query.split('&')).collect();
        query.sort_unstable();
        let mut plain = request.url().clone();
        plain.set_query(None);
        let line = format!("{} {plain} {}", request.method(), query.join(" "));
        let asked = Asked { line, headers: headers.collect(), body };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let answer = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let broken = || Error::with_message(ErrorKind::Io, "the connection broke");
        let (status, given, parts, end) = match answer {
            Some(Answer::Status(status, headers, parts)) => (status, headers, parts, None),
            Some(Answer::Broken(status, headers, parts)) => (status, headers, parts, Some(Err(broken()))),
            Some(Answer::Cut) => return Err(broken()),
            None => return Err(Error::with_message(ErrorKind::Other, "the script has no more answers")),
        };
        let mut headers = Headers::new();
        for (name, value) in given {
            headers.insert(HeaderName::from_static(name), value);
        }
        let body = stream::iter(parts.into_iter().map(Ok).chain(end)).boxed();
        Ok(AsyncRawResponse::new(StatusCode::from(status), headers, body))
    }
}

fn scripted(answers: impl IntoIterator<Item = Answer>) -> Result<(AzureBlobs, Arc<Server>), Failure> {
    let server =
        Arc::new(Server { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() });
    let transport = Transport::new(Arc::<Server>::clone(&server));
    let options = ClientOptions { transport: Some(transport), ..ClientOptions::default() };
    let retry = RetryOptions::fixed(FixedRetryOptions {
        delay: Duration::milliseconds(1),
        max_retries: 5,
        ..FixedRetryOptions::default()
    });
    let store = AzureBlobs::new(Url::parse("https://acme.blob.core.windows.net/")?, None, options)?;
    Ok((store.with_retry(retry), server))
}

impl Server {
    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn status(status: u16) -> Answer {
    Answer::Status(status, Vec::new(), Vec::new())
}

fn refused(status: u16, code: &str) -> Answer {
    Answer::Status(status, vec![("x-ms-error-code", code.to_owned())], Vec::new())
}

fn address() -> BlobAddress {
    BlobAddress::new("backups", "mysql/1.sql.gz")
}

fn kind<T>(result: Result<T, StorageError>) -> Option<StorageErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_block_is_sent_again_until_it_arrives() -> Result<(), Failure> {
    let (store, server) = scripted([status(503), Answer::Cut, status(500), status(429), status(201)])?;
    store.stage(&address(), b"0001", Bytes::from_static(b"content")).await?;
    let asked = server.asked();
    assert_eq!(asked.len(), 5);
    for asked in asked {
        insta::allow_duplicates! {
            insta::assert_snapshot!(asked.line, @"PUT https://acme.blob.core.windows.net/backups/mysql/1.sql.gz blockid=MDAwMQ%3D%3D comp=block");
        }
        assert_eq!(asked.body, "content");
    }
    Ok(())
}

#[tokio::test]
async fn a_block_that_never_arrives_may_succeed_later() -> Result<(), Failure> {
    let (store, server) = scripted((0..6).map(|_| status(503)))?;
    let error =
        store.stage(&address(), b"0001", Bytes::from_static(b"content")).await.err().ok_or("it arrived")?;
    assert!(error.is_transient());
    assert_eq!(server.asked().len(), 6);
    insta::assert_snapshot!(error, @"could not upload a block of blob backups/mysql/1.sql.gz: storage cannot be reached or is busy");
    Ok(())
}

#[tokio::test]
async fn a_commit_only_creates() -> Result<(), Failure> {
    let (store, server) = scripted([status(201)])?;
    let options = CommitOptions {
        content_type: "application/gzip".to_owned(),
        metadata: [("sha256".to_owned(), "e3b0".to_owned())].into(),
    };
    store.commit(&address(), &[b"0002".to_vec(), b"0001".to_vec()], &options).await?;
    let asked = server.asked().pop().unwrap_or_default();
    assert_eq!(asked.header("if-none-match"), Some("*"));
    assert_eq!(asked.header("x-ms-blob-content-type"), Some("application/gzip"));
    assert_eq!(asked.header("x-ms-meta-sha256"), Some("e3b0"));
    insta::assert_snapshot!(asked.line, @"PUT https://acme.blob.core.windows.net/backups/mysql/1.sql.gz comp=blocklist");
    insta::assert_snapshot!(
        String::from_utf8_lossy(&asked.body),
        @r#"<?xml version="1.0" encoding="utf-8"?><BlockList><Latest>MDAwMg==</Latest><Latest>MDAwMQ==</Latest></BlockList>"#
    );
    Ok(())
}

#[tokio::test]
async fn a_commit_tells_a_taken_name_from_other_conflicts() -> Result<(), Failure> {
    for (answer, expected) in [
        (refused(409, "BlobAlreadyExists"), StorageErrorKind::AlreadyExists),
        (refused(409, "BlobImmutableDueToPolicy"), StorageErrorKind::AlreadyExists),
        (refused(412, "ConditionNotMet"), StorageErrorKind::AlreadyExists),
        (refused(409, "ContainerBeingDeleted"), StorageErrorKind::Unavailable),
        (refused(404, "ContainerNotFound"), StorageErrorKind::NotFound),
        (refused(400, "InvalidBlockList"), StorageErrorKind::NotFound),
        (refused(400, "InvalidHeaderValue"), StorageErrorKind::Invalid),
        (refused(403, "AuthenticationFailed"), StorageErrorKind::Denied),
    ] {
        let (store, _) = scripted([answer])?;
        let result = store.commit(&address(), &[b"0001".to_vec()], &CommitOptions::default()).await;
        assert_eq!(kind(result), Some(expected));
    }
    Ok(())
}

#[tokio::test]
async fn a_container_that_is_being_deleted_is_none_yet() -> Result<(), Failure> {
    let (store, _) =
        scripted([refused(409, "ContainerAlreadyExists"), refused(409, "ContainerBeingDeleted")])?;
    store.create_container("backups").await?;
    assert_eq!(kind(store.create_container("backups").await), Some(StorageErrorKind::Unavailable));
    Ok(())
}

#[tokio::test]
async fn a_protected_blob_is_not_deleted_and_not_missing() -> Result<(), Failure> {
    let (store, server) = scripted([
        refused(409, "BlobImmutableDueToPolicy"),
        refused(404, "BlobNotFound"),
        refused(404, "ContainerNotFound"),
        status(202),
    ])?;
    assert_eq!(kind(store.delete(&address()).await), Some(StorageErrorKind::Invalid));
    assert!(!store.delete(&address()).await?);
    assert!(!store.delete(&address()).await?);
    assert!(store.delete(&address()).await?);
    assert!(server.asked().iter().all(|asked| asked.header("x-ms-delete-snapshots") == Some("include")));
    Ok(())
}

fn part(range: std::ops::Range<usize>, total: usize) -> Vec<(&'static str, String)> {
    vec![
        ("content-range", format!("bytes {}-{}/{total}", range.start, range.end - 1)),
        ("etag", "\"1\"".to_owned()),
    ]
}

#[tokio::test]
async fn a_body_that_breaks_off_is_asked_for_again() -> Result<(), Failure> {
    let total = 5 * MIB;
    let content: Bytes = (0..=255_u8).cycle().take(total).collect();
    let (first, second) = (content.slice(..4 * MIB), content.slice(4 * MIB..));
    let (store, server) = scripted([
        Answer::Broken(206, part(0..4 * MIB, total), vec![content.slice(..MIB)]),
        Answer::Status(206, part(0..4 * MIB, total), vec![first.slice(..MIB)]),
        Answer::Status(206, part(0..4 * MIB, total), vec![first.slice(..MIB), first.slice(MIB..)]),
        Answer::Broken(206, part(4 * MIB..total, total), vec![second.slice(..7)]),
        Answer::Cut,
        Answer::Status(206, part(4 * MIB..total, total), vec![second]),
    ])?;
    let parts: Vec<Bytes> = store.download(&address()).await?.try_collect().await?;
    assert!(parts.concat() == content);
    let ranges: Vec<_> = server
        .asked()
        .iter()
        .map(|asked| {
            let range = asked.header("range").or(asked.header("x-ms-range")).unwrap_or("none");
            format!("{range} {}", asked.header("if-match").unwrap_or("any"))
        })
        .collect();
    assert_eq!(
        ranges,
        [
            "bytes=0-4194303 any",
            "bytes=0-4194303 any",
            "bytes=0-4194303 any",
            "bytes=4194304-8388607 \"1\"",
            "bytes=4194304-8388607 \"1\"",
            "bytes=4194304-8388607 \"1\"",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_blob_that_is_replaced_while_it_is_read_is_an_error() -> Result<(), Failure> {
    let total = 5 * MIB;
    let (store, _) = scripted([
        Answer::Status(206, part(0..4 * MIB, total), vec![Bytes::from(vec![1; 4 * MIB])]),
        refused(412, "ConditionNotMet"),
    ])?;
    let mut content = store.download(&address()).await?;
    assert_eq!(content.try_next().await?.map(|part| part.len()), Some(4 * MIB));
    assert_eq!(kind(content.try_next().await), Some(StorageErrorKind::Changed));
    Ok(())
}

#[tokio::test]
async fn a_blob_in_the_archive_tier_cannot_be_read_by_trying_again() -> Result<(), Failure> {
    let (store, server) = scripted([refused(409, "BlobArchived")])?;
    assert_eq!(kind(store.download(&address()).await.map(|_| ())), Some(StorageErrorKind::Invalid));
    assert_eq!(server.asked().len(), 1);
    Ok(())
}
