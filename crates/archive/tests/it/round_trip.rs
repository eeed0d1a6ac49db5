//! What goes in comes out again, through our own reader and through everybody else's.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use archive::{ArchiveError, Compression, Destination, Progress, metadata};
use bytes::Bytes;
use flate2::bufread::GzDecoder;
use futures::stream;
use proptest::collection::vec;
use proptest::prelude::*;
use shared::storage::{BlobAddress, BlobStore as _, CommitOptions};

use crate::subject::{DumpFailed, GZIP, address, destination, memory, noise, raw, read, rows, store};

/// Runs a program on a file with the given content and returns what it prints.
fn run(program: &str, arguments: &[&str], content: &[u8]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::with_suffix(".gz").unwrap();
    file.write_all(content).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test compares with the real program")]
    let output =
        Command::new(program).args(arguments).arg(file.path()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{program} failed");
    output.stdout
}

/// Decompresses with the program that every operator has.
fn gunzip(member: &[u8]) -> Vec<u8> {
    run("gunzip", &["--stdout"], member)
}

/// Takes the digest with the program that every operator has.
fn sha256sum(content: &[u8]) -> String {
    let line = String::from_utf8(run("sha256sum", &[], content)).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

/// Decompresses with a reader that stops after one member.
fn first_member(member: &[u8]) -> (Vec<u8>, usize) {
    let mut decoder = GzDecoder::new(member);
    let mut found = Vec::new();
    decoder.read_to_end(&mut found).unwrap();
    (found, decoder.into_inner().len())
}

#[tokio::test]
async fn stores_one_gzip_member_that_gunzip_reads() {
    let memory = memory().await;
    // Several pieces, and compressed more than one block.
    let content: Bytes = [rows(3 << 20), noise(6 << 20), rows(1)].concat().into();
    let stored = store(&content, GZIP, destination(&memory, &address())).await.unwrap();
    let blob = raw(&memory, &address()).await;
    assert!(gunzip(&blob) == content);
    assert_eq!(first_member(&blob).1, 0, "bytes after the first member");
    assert!(read(&memory, &address()).await.unwrap() == content);
    assert_eq!(stored.bytes, blob.len() as u64);
    assert_eq!(stored.dumped_bytes, content.len() as u64);
    assert_eq!(stored.blocks, 2);
    assert_eq!(stored.sha256, sha256sum(&blob));
}

#[tokio::test]
async fn describes_the_blob_in_its_metadata() {
    let memory = memory().await;
    let content = rows(1000);
    let given = BTreeMap::from([
        ("database_id".to_owned(), "5646d03a".to_owned()),
        (metadata::SHA256.to_owned(), "not what it is".to_owned()),
    ]);
    let address = address();
    let destination = Destination { metadata: given, ..destination(&memory, &address) };
    let stored = store(&content, GZIP, destination).await.unwrap();
    let properties = memory.properties(&address).await.unwrap().unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/gzip"));
    assert_eq!(
        properties.metadata,
        BTreeMap::from([
            ("attempt".to_owned(), "07".repeat(16)),
            ("database_id".to_owned(), "5646d03a".to_owned()),
            ("dumped_bytes".to_owned(), content.len().to_string()),
            ("sha256".to_owned(), stored.sha256),
        ])
    );
}

#[tokio::test]
async fn stores_plain_text_as_it_is() {
    let memory = memory().await;
    let address = BlobAddress::new("backups", "mysql/1/20251205_100000.sql");
    let content = rows(5 << 20);
    let stored = store(&content, Compression::None, destination(&memory, &address)).await.unwrap();
    assert!(raw(&memory, &address).await == content);
    assert!(read(&memory, &address).await.unwrap() == content);
    assert_eq!((stored.bytes, stored.blocks), (content.len() as u64, 2));
    let properties = memory.properties(&address).await.unwrap().unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/sql"));
}

#[tokio::test]
async fn counts_both_sides_while_it_runs() {
    let memory = memory().await;
    let content = rows(2 << 20);
    let (up, down) = (Progress::default(), Progress::default());
    let address = address();
    let dump = crate::subject::dump(&content);
    let stored = archive::store(dump, GZIP, destination(&memory, &address), &up, async || {
        Ok::<_, DumpFailed>(BTreeMap::new())
    })
    .await
    .unwrap();
    assert_eq!((up.dumped_bytes(), up.stored_bytes()), (stored.dumped_bytes, stored.bytes));
    let opened = archive::open(&memory, &address, &down).await.unwrap();
    futures::TryStreamExt::try_collect::<Vec<_>>(opened.content).await.unwrap();
    assert_eq!((down.dumped_bytes(), down.stored_bytes()), (stored.dumped_bytes, stored.bytes));
}

#[tokio::test]
async fn what_only_the_end_could_tell_becomes_metadata() {
    let memory = memory().await;
    let address = address();
    let further = BTreeMap::from([("consistency".to_owned(), "snapshot".to_owned())]);
    let told = further.clone();
    archive::store(
        crate::subject::dump(&rows(10)),
        GZIP,
        destination(&memory, &address),
        &Progress::default(),
        async || Ok::<_, DumpFailed>(told),
    )
    .await
    .unwrap();
    let stored = memory.properties(&address).await.unwrap().unwrap().metadata;
    assert!(further.iter().all(|(name, value)| stored.get(name) == Some(value)), "{stored:?}");
    assert!(stored.contains_key(metadata::SHA256));
}

#[tokio::test]
async fn an_empty_dump_is_no_backup() {
    let memory = memory().await;
    for compression in [GZIP, Compression::None] {
        let failed = store(&Bytes::new(), compression, destination(&memory, &address())).await;
        assert!(matches!(failed, Err(ArchiveError::Empty)));
    }
    let empty_chunks = stream::iter([Ok::<_, DumpFailed>(Bytes::new()), Ok(Bytes::new())]);
    let address = address();
    let failed = archive::store(
        empty_chunks,
        GZIP,
        destination(&memory, &address),
        &Progress::default(),
        async || Ok(BTreeMap::new()),
    )
    .await;
    assert!(matches!(failed, Err(ArchiveError::Empty)));
    assert_eq!(memory.properties(&address).await.unwrap(), None);
    assert_eq!(memory.staged_blocks(&address), 0);
}

#[tokio::test]
async fn reads_members_one_after_the_other() {
    let memory = memory().await;
    let (one, two) = (rows(100_000), rows(10));
    store(&one, GZIP, destination(&memory, &BlobAddress::new("backups", "one"))).await.unwrap();
    store(&two, GZIP, destination(&memory, &BlobAddress::new("backups", "two"))).await.unwrap();
    let both = BlobAddress::new("backups", "both.gz");
    for (id, part) in [(b"1", "one"), (b"2", "two")] {
        let content = raw(&memory, &BlobAddress::new("backups", part)).await;
        memory.stage(&both, id, content.freeze()).await.unwrap();
    }
    memory.commit(&both, &[b"1".to_vec(), b"2".to_vec()], &CommitOptions::default()).await.unwrap();
    assert!(read(&memory, &both).await.unwrap() == [one, two].concat());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Any bytes in any chunks, where some are longer than a piece.
    #[test]
    fn any_bytes_in_any_chunks_come_back(
        seeds in vec((any::<u8>(), vec(any::<u8>(), 0..200), 1_usize..5_000), 1..6),
        level in 0_u32..=9,
    ) {
        let chunks: Vec<Bytes> = seeds.iter().map(|(byte, text, times)| {
            [vec![*byte], text.repeat(*times)].concat().into()
        }).collect();
        let content = chunks.concat();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let memory = memory().await;
            let address = address();
            let dump = stream::iter(chunks.into_iter().map(Ok::<_, DumpFailed>));
            archive::store(
                dump,
                Compression::Gzip { level },
                destination(&memory, &address),
                &Progress::default(),
                async || Ok(BTreeMap::new()),
            )
            .await
            .unwrap();
            let blob = raw(&memory, &address).await;
            let (found, beyond) = first_member(&blob);
            assert!(found == content);
            assert_eq!(beyond, 0);
            assert!(gunzip(&blob) == content);
            assert!(read(&memory, &address).await.unwrap() == content);
        });
    }
}
