//! Whatever is wrong with a stored blob is noticed when it is read.

use archive::{OpenError, metadata};
use bytes::Bytes;
use proptest::prelude::*;
use shared::storage::{
    BlobAddress, BlobCall, BlobStore as _, CommitOptions, Fault, FaultyBlobs, MemoryBlobs, StorageErrorKind,
};

use crate::subject::{GZIP, address, destination, memory, raw, read, rows, store};

/// A stored backup whose bytes can be changed.
struct Original {
    bytes: Vec<u8>,
    options: CommitOptions,
}

impl Original {
    async fn new(content: &Bytes) -> Self {
        let memory = memory().await;
        let stored = store(content, GZIP, destination(&memory, &address())).await.unwrap();
        let metadata = [(metadata::SHA256.to_owned(), stored.sha256)].into();
        Self {
            bytes: raw(&memory, &address()).await.to_vec(),
            options: CommitOptions { content_type: "application/gzip".to_owned(), metadata },
        }
    }

    /// Reads other bytes as if they were this backup.
    async fn read_as(&self, bytes: &[u8], options: &CommitOptions) -> Result<Vec<u8>, OpenError> {
        let memory = memory().await;
        put(&memory, &address(), bytes, options).await;
        Ok(read(&memory, &address()).await?.to_vec())
    }
}

async fn put(memory: &MemoryBlobs, address: &BlobAddress, bytes: &[u8], options: &CommitOptions) {
    let ids: Vec<Vec<u8>> = (0..2_u8).map(|number| vec![number]).collect();
    // Cut within the first two bytes, which tell the form.
    let (begin, rest) = bytes.split_at(1.min(bytes.len()));
    let mut used = Vec::new();
    for (id, part) in ids.iter().zip([begin, rest]) {
        if !part.is_empty() {
            memory.stage(address, id, Bytes::copy_from_slice(part)).await.unwrap();
            used.push(id.clone());
        }
    }
    memory.commit(address, &used, options).await.unwrap();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_is_noticed_wherever_it_is(rows_bytes in 1_usize..200_000, at in any::<prop::sample::Index>()) {
        block_on(async {
            let original = Original::new(&rows(rows_bytes)).await;
            let cut = &original.bytes[..at.index(original.bytes.len())];
            assert!(original.read_as(cut, &original.options).await.is_err());
            // Blobs of other tools have no digest; the format itself must be enough.
            assert!(original.read_as(cut, &CommitOptions::default()).await.is_err());
        });
    }

    #[test]
    fn a_flipped_bit_is_noticed_wherever_it_is(rows_bytes in 1_usize..200_000, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        block_on(async {
            let content = rows(rows_bytes);
            let original = Original::new(&content).await;
            let mut flipped = original.bytes.clone();
            flipped[at.index(original.bytes.len())] ^= 1 << bit;
            assert!(original.read_as(&flipped, &original.options).await.is_err());
            // Without a digest, only what does not change the content may pass.
            let read = original.read_as(&flipped, &CommitOptions::default()).await;
            assert!(read.is_err() || read.is_ok_and(|found| found == content));
        });
    }
}

#[tokio::test]
async fn an_intact_blob_passes_with_and_without_a_digest() {
    let content = rows(100_000);
    let original = Original::new(&content).await;
    for options in [&original.options, &CommitOptions::default()] {
        assert!(original.read_as(&original.bytes, options).await.unwrap() == content);
    }
}

#[tokio::test]
async fn other_bytes_with_good_checksums_are_no_match() {
    let original = Original::new(&rows(1000)).await;
    let other = Original::new(&rows(2000)).await;
    let error = original.read_as(&other.bytes, &original.options).await.unwrap_err();
    assert!(matches!(error, OpenError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn bytes_after_the_end_are_an_error() {
    let original = Original::new(&rows(1000)).await;
    let longer = [original.bytes.as_slice(), b"more"].concat();
    let error = original.read_as(&longer, &CommitOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
}

#[tokio::test]
async fn a_name_that_promises_gzip_must_keep_it() {
    let original = Original::new(&rows(10)).await;
    for bytes in [b"SELECT 1;".as_slice(), b"", &[0x1f]] {
        let error = original.read_as(bytes, &CommitOptions::default()).await.unwrap_err();
        assert!(matches!(error, OpenError::WrongForm { promised: "gzip", .. }), "{error}");
    }
}

#[tokio::test]
async fn a_missing_blob_is_named() {
    let error = read(&memory().await, &address()).await.unwrap_err();
    assert_eq!(error.to_string(), "the backup backups/mysql/1/20251205_100000.sql.gz does not exist");
}

#[tokio::test]
async fn a_download_that_breaks_off_is_an_error() {
    let memory = memory().await;
    let content = crate::subject::noise(9 << 20);
    store(&content, GZIP, destination(&memory, &address())).await.unwrap();
    let kind = StorageErrorKind::Unavailable;
    for (call, fault) in [
        (BlobCall::Download, Fault::Refuse(kind)),
        (BlobCall::Download, Fault::Lose(kind)),
        (BlobCall::Properties, Fault::Refuse(kind)),
    ] {
        let faulty = FaultyBlobs::new(memory.clone()).with(call, 1, fault);
        let error = read(&faulty, &address()).await.unwrap_err();
        assert!(matches!(&error, OpenError::Storage(error) if error.is_transient()), "{error}");
    }
}
