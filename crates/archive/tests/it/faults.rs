//! Every call is broken once, one at a time; a blob is there whole or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archive::{ArchiveError, Compression, Destination, Progress};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use shared::storage::{
    BlobCall, BlobStore as _, Fault, FaultyBlobs, MemoryBlobs, StorageError, StorageErrorKind,
};

use crate::subject::{DumpFailed, GZIP, address, destination, dump, memory, noise, read, rows, store};

const KINDS: [StorageErrorKind; 6] = [
    StorageErrorKind::NotFound,
    StorageErrorKind::AlreadyExists,
    StorageErrorKind::Changed,
    StorageErrorKind::Unavailable,
    StorageErrorKind::Denied,
    StorageErrorKind::Invalid,
];

/// Content that fills three blocks and a part of a fourth.
fn content() -> Bytes {
    noise(13 << 20)
}

async fn assert_nothing_visible(memory: &MemoryBlobs) {
    assert_eq!(memory.properties(&address()).await.unwrap(), None);
    assert!(memory.list("backups", "", None, 10).await.unwrap().blobs.is_empty());
}

#[tokio::test]
async fn a_failed_block_leaves_nothing_visible() {
    let content = content();
    for nth in 1..=4 {
        // An answer that is lost leaves the block in the store, a refusal does not.
        for fault in [Fault::Refuse(StorageErrorKind::Denied), Fault::Lose(StorageErrorKind::Unavailable)] {
            let memory = memory().await;
            let faulty = FaultyBlobs::new(memory.clone()).with(BlobCall::Stage, nth, fault);
            let failed = store(&content, Compression::None, destination(&faulty, &address())).await;
            let (Fault::Refuse(expected) | Fault::Lose(expected)) = fault else { continue };
            let kind = failed.map_err(|error| match error {
                ArchiveError::Storage(error) => Some(error.kind()),
                ArchiveError::Dump(_)
                | ArchiveError::Refused(_)
                | ArchiveError::Empty
                | ArchiveError::TooLarge
                | ArchiveError::Compress(_) => None,
            });
            assert_eq!(kind, Err(Some(expected)), "block {nth}, {fault:?}");
            assert_eq!(faulty.calls(BlobCall::Commit), 0);
            assert_nothing_visible(&memory).await;
        }
    }
}

#[tokio::test]
async fn a_refused_commit_leaves_nothing_visible() {
    let content = rows(2 << 20);
    for kind in KINDS {
        let memory = memory().await;
        let faulty = FaultyBlobs::new(memory.clone()).with(BlobCall::Commit, 1, Fault::Refuse(kind));
        let failed = store(&content, GZIP, destination(&faulty, &address())).await;
        // Blocks that are not there any more can be uploaded again.
        let lost = kind == StorageErrorKind::NotFound;
        let expected = if lost { StorageErrorKind::Unavailable } else { kind };
        assert!(matches!(failed, Err(ArchiveError::Storage(error)) if error.kind() == expected));
        assert_nothing_visible(&memory).await;
    }
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_a_success() {
    let content = rows(2 << 20);
    for kind in KINDS {
        let memory = memory().await;
        let faulty = FaultyBlobs::new(memory.clone()).with(BlobCall::Commit, 1, Fault::Lose(kind));
        let stored = store(&content, GZIP, destination(&faulty, &address())).await.unwrap();
        assert_eq!(stored.dumped_bytes, content.len() as u64);
        assert!(read(&memory, &address()).await.unwrap() == content);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_found_out_is_the_first_error() {
    let memory = memory().await;
    let faulty = FaultyBlobs::new(memory.clone())
        .with(BlobCall::Commit, 1, Fault::Lose(StorageErrorKind::Unavailable))
        .with(BlobCall::Properties, 1, Fault::Refuse(StorageErrorKind::Denied));
    let failed = store(&rows(1000), GZIP, destination(&faulty, &address())).await;
    assert!(
        matches!(failed, Err(ArchiveError::Storage(error)) if error.kind() == StorageErrorKind::Unavailable)
    );
}

#[tokio::test]
async fn a_blob_of_somebody_else_is_never_taken_for_ours() {
    let memory = memory().await;
    let address = address();
    let same = rows(1000);
    let first = Destination { attempt: [1; 16], ..destination(&memory, &address) };
    store(&same, GZIP, first).await.unwrap();
    let second = Destination { attempt: [2; 16], ..destination(&memory, &address) };
    let failed = store(&same, GZIP, second).await;
    assert!(
        matches!(failed, Err(ArchiveError::Storage(error)) if error.kind() == StorageErrorKind::AlreadyExists)
    );
}

#[tokio::test]
async fn blocks_of_an_earlier_attempt_never_get_in() {
    let memory = memory().await;
    let address = address();
    let faulty = FaultyBlobs::new(memory.clone()).with(
        BlobCall::Commit,
        1,
        Fault::Refuse(StorageErrorKind::Unavailable),
    );
    let first = Destination { attempt: [1; 16], ..destination(&faulty, &address) };
    store(&content(), GZIP, first).await.unwrap_err();
    assert!(memory.staged_blocks(&address) >= 4);
    let second = Destination { attempt: [2; 16], ..destination(&memory, &address) };
    store(&rows(1000), GZIP, second).await.unwrap();
    assert!(read(&memory, &address).await.unwrap() == rows(1000));
}

#[tokio::test]
async fn an_error_of_the_dump_leaves_nothing_visible() {
    let memory = memory().await;
    let address = address();
    for compression in [GZIP, Compression::None] {
        for length in [0, 1, 5 << 20] {
            let broken = dump(&noise(length)).chain(stream::iter([Err(DumpFailed("killed"))]));
            let failed = archive::store(
                broken,
                compression,
                destination(&memory, &address),
                &Progress::default(),
                async || Ok(BTreeMap::new()),
            )
            .await;
            assert!(matches!(failed, Err(ArchiveError::Dump(DumpFailed("killed")))));
            assert_nothing_visible(&memory).await;
        }
    }
}

#[tokio::test]
async fn the_caller_is_asked_after_the_last_block_and_may_refuse() {
    let memory = memory().await;
    let address = address();
    let faulty = FaultyBlobs::new(memory.clone());
    let failed = archive::store(
        dump(&content()),
        Compression::None,
        destination(&faulty, &address),
        &Progress::default(),
        async || {
            assert_eq!(faulty.calls(BlobCall::Stage), 4);
            assert_eq!(faulty.calls(BlobCall::Commit), 0);
            Err(DumpFailed("the claim is somebody else's"))
        },
    )
    .await;
    assert!(matches!(failed, Err(ArchiveError::Refused(DumpFailed("the claim is somebody else's")))));
    assert_eq!(faulty.calls(BlobCall::Commit), 0);
    assert_nothing_visible(&memory).await;
}

#[tokio::test]
async fn metadata_that_cannot_be_stored_is_refused_before_the_dump_is_read() {
    let address = address();
    let memory = memory().await;
    let metadata = [("name".to_owned(), "größe".to_owned())].into();
    let destination = Destination { metadata, ..destination(&memory, &address) };
    let progress = Progress::default();
    let failed = archive::store(dump(&rows(10)), GZIP, destination, &progress, async || {
        Ok::<_, DumpFailed>(BTreeMap::new())
    })
    .await;
    assert!(matches!(failed, Err(ArchiveError::Storage(error)) if error.kind() == StorageErrorKind::Invalid));
    assert_eq!(progress.dumped_bytes(), 0);
}

#[tokio::test]
async fn a_missing_container_is_an_error_of_the_store() {
    let failed = store(&rows(10), GZIP, destination(&MemoryBlobs::default(), &address())).await;
    assert!(
        matches!(failed, Err(ArchiveError::Storage(error)) if error.kind() == StorageErrorKind::NotFound)
    );
}

#[tokio::test]
async fn a_hanging_store_stops_the_reading_of_the_dump() {
    let memory = memory().await;
    let address = address();
    let faulty = (1..=3)
        .fold(FaultyBlobs::new(memory.clone()), |store, nth| store.with(BlobCall::Stage, nth, Fault::Hang));
    let progress = Progress::default();
    let chunk = noise(1 << 20);
    let endless = stream::repeat_with(move || Ok::<_, DumpFailed>(chunk.clone()));
    let transfer =
        archive::store(
            endless,
            GZIP,
            destination(&faulty, &address),
            &progress,
            async || Ok(BTreeMap::new()),
        );
    let mut transfer = std::pin::pin!(transfer);
    let mut last = None;
    // Reading has stopped when the count stays the same.
    while last != Some(progress.dumped_bytes()) || progress.dumped_bytes() == 0 {
        last = Some(progress.dumped_bytes());
        let waited = tokio::time::timeout(Duration::from_millis(500), &mut transfer).await;
        assert!(waited.is_err(), "it ended");
        assert!(progress.dumped_bytes() < 24 << 20, "{} bytes were read", progress.dumped_bytes());
    }
    assert_eq!(progress.stored_bytes(), 0);
}

#[tokio::test]
async fn dropping_the_transfer_drops_the_dump_and_commits_nothing() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let memory = memory().await;
    let address = address();
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = Dropped(Arc::clone(&dropped));
    let silent = dump(&rows(2 << 20)).chain(stream::pending()).map(move |chunk| {
        let _ = &guard;
        chunk
    });
    let progress = Progress::default();
    let transfer = archive::store(silent, GZIP, destination(&memory, &address), &progress, async || {
        Ok::<_, DumpFailed>(BTreeMap::new())
    });
    assert!(tokio::time::timeout(Duration::from_millis(200), transfer).await.is_err());
    assert!(dropped.load(Ordering::SeqCst));
    assert_nothing_visible(&memory).await;
}

#[tokio::test]
async fn the_future_can_be_sent_to_another_task() -> Result<(), StorageError> {
    let memory = memory().await;
    let store = memory.clone();
    let task = tokio::spawn(async move {
        let address = address();
        store_rows(&store, &address).await
    });
    assert!(task.await.unwrap().is_ok());
    assert!(memory.properties(&address()).await?.is_some());
    Ok(())
}

async fn store_rows(
    memory: &MemoryBlobs,
    address: &shared::storage::BlobAddress,
) -> Result<archive::Stored, ArchiveError<DumpFailed>> {
    store(&rows(1000), GZIP, destination(memory, address)).await
}
