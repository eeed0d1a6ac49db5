//! The suite of [`BlobStore`].
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;

use crate::storage::{BlobAddress, BlobStore, CommitOptions, StorageErrorKind};

/// Names that are easily broken on their way into an address or a listing.
const ODD_NAMES: [&str; 9] = [
    "plain.sql.gz",
    "mysql/5646d03a/20251205_100000.sql.gz",
    "plus+percent%25and%2Fampersand&=.sql",
    "hash#question?.sql",
    "space and 'single' and \"double\" quotes",
    "größe/数据/🦀.sql",
    "a//b",
    "semi;colon:at@comma,(paren)[bracket]{brace}",
    "<less>&amp;|pipe^`tick`~tilde!$*",
];

/// Checks an implementation of the blob seam.
///
/// # Panics
///
/// Panics at the first thing that an implementation does differently.
pub async fn blob_store(store: &dyn BlobStore) {
    let run = RandomState::new().hash_one(0_u8);
    let container = format!("conformance-{run:016x}");

    a_missing_container_is_empty(store, &container).await;
    store.create_container(&container).await.unwrap();
    store.create_container(&container).await.unwrap();

    let at = |name: &str| BlobAddress::new(container.as_str(), name);
    nothing_is_visible_before_the_commit(store, &at("commit/staged")).await;
    the_list_decides_on_blocks_and_order(store, &at("commit/order")).await;
    an_unknown_block_commits_nothing(store, &at("commit/unknown")).await;
    nothing_is_overwritten(store, &at("commit/once")).await;
    properties_come_back(store, &at("properties")).await;
    unfit_metadata_is_refused(store, &at("unfit")).await;
    an_empty_blob_is_a_blob(store, &at("empty")).await;
    a_deleted_name_is_free(store, &at("deleted")).await;
    a_copy_is_a_blob_of_its_own(store, &at("copy/from ü"), &at("copy/to")).await;
    a_large_blob_comes_back(store, &at("large")).await;
    odd_names_survive(store, &container).await;
    names_that_would_change_are_refused(store, &container).await;
    listings_come_in_pages(store, &container).await;
}

async fn a_missing_container_is_empty(store: &dyn BlobStore, container: &str) {
    let blob = BlobAddress::new(container, "a");
    assert_eq!(store.properties(&blob).await.unwrap(), None);
    assert_eq!(download_kind(store, &blob).await, StorageErrorKind::NotFound);
    assert!(!store.delete(&blob).await.unwrap());
    assert!(store.list(container, "", None, 10).await.unwrap().blobs.is_empty());
    let staged = store.stage(&blob, b"0001", Bytes::from_static(b"x")).await;
    assert_eq!(staged.unwrap_err().kind(), StorageErrorKind::NotFound);
    let refused = store.create_container("No_Container").await;
    assert_eq!(refused.unwrap_err().kind(), StorageErrorKind::Invalid);
}

async fn nothing_is_visible_before_the_commit(store: &dyn BlobStore, blob: &BlobAddress) {
    store.stage(blob, b"0001", Bytes::from_static(b"content")).await.unwrap();
    assert_eq!(store.properties(blob).await.unwrap(), None, "a staged block is no blob");
    assert_eq!(download_kind(store, blob).await, StorageErrorKind::NotFound);
    assert!(store.list(&blob.container, &blob.name, None, 10).await.unwrap().blobs.is_empty());
    // Deleting is not tried here: the service finds no blob, the emulator deletes the blocks.
    store.commit(blob, &[b"0001".to_vec()], &options()).await.unwrap();
    assert_eq!(read(store, blob).await, "content");
}

async fn the_list_decides_on_blocks_and_order(store: &dyn BlobStore, blob: &BlobAddress) {
    for (id, content) in [(b"0003", "three"), (b"0001", "wrong"), (b"0002", "two"), (b"0009", "unused")] {
        store.stage(blob, id, Bytes::from_static(content.as_bytes())).await.unwrap();
    }
    store.stage(blob, b"0001", Bytes::from_static(b"one")).await.unwrap();
    let ids = [b"0001".to_vec(), b"0002".to_vec(), b"0003".to_vec()];
    store.commit(blob, &ids, &options()).await.unwrap();
    assert_eq!(read(store, blob).await, "onetwothree");
}

async fn an_unknown_block_commits_nothing(store: &dyn BlobStore, blob: &BlobAddress) {
    store.stage(blob, b"0001", Bytes::from_static(b"one")).await.unwrap();
    let ids = [b"0001".to_vec(), b"0002".to_vec()];
    let error = store.commit(blob, &ids, &options()).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotFound);
    assert_eq!(store.properties(blob).await.unwrap(), None);
}

async fn nothing_is_overwritten(store: &dyn BlobStore, blob: &BlobAddress) {
    write(store, blob, "first").await;
    store.stage(blob, b"0001", Bytes::from_static(b"second")).await.unwrap();
    let error = store.commit(blob, &[b"0001".to_vec()], &options()).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::AlreadyExists);
    assert!(!error.is_transient());
    let error = store.commit(blob, &[b"0009".to_vec()], &options()).await.unwrap_err();
    assert!(matches!(error.kind(), StorageErrorKind::AlreadyExists | StorageErrorKind::NotFound));
    assert_eq!(read(store, blob).await, "first");
}

async fn properties_come_back(store: &dyn BlobStore, blob: &BlobAddress) {
    store.stage(blob, b"0001", Bytes::from_static(b"12345")).await.unwrap();
    let mut given = options();
    given.metadata.insert("padded".to_owned(), " within ".to_owned());
    given.metadata.insert("empty".to_owned(), " ".to_owned());
    store.commit(blob, &[b"0001".to_vec()], &given).await.unwrap();
    let properties = store.properties(blob).await.unwrap().unwrap();
    assert_eq!(properties.bytes, 5);
    assert_eq!(properties.content_type.as_deref(), Some("application/gzip"));
    let mut expected = options().metadata;
    expected.insert("padded".to_owned(), "within".to_owned());
    assert_eq!(properties.metadata, expected);
    assert!(properties.created_at.is_some());
    assert!(properties.last_modified >= properties.created_at);
    let listing = store.list(&blob.container, &blob.name, None, 10).await.unwrap();
    assert_eq!(listing.blobs.len(), 1);
    let listed = &listing.blobs[0];
    assert_eq!(listed.name, blob.name);
    assert_eq!(listed.properties.bytes, properties.bytes);
    assert_eq!(listed.properties.content_type, properties.content_type);
    assert_eq!(listed.properties.metadata, properties.metadata);
}

async fn unfit_metadata_is_refused(store: &dyn BlobStore, blob: &BlobAddress) {
    store.stage(blob, b"0001", Bytes::from_static(b"x")).await.unwrap();
    for (name, value) in [("Upper", "a"), ("a-b", "a"), ("name", "two\r\nlines: 1"), ("name", "größe")] {
        let options =
            CommitOptions { metadata: BTreeMap::from([(name.to_owned(), value.to_owned())]), ..options() };
        let error = store.commit(blob, &[b"0001".to_vec()], &options).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Invalid, "{name}: {value}");
    }
    assert_eq!(store.properties(blob).await.unwrap(), None);
}

async fn an_empty_blob_is_a_blob(store: &dyn BlobStore, blob: &BlobAddress) {
    store.commit(blob, &[], &options()).await.unwrap();
    assert_eq!(store.properties(blob).await.unwrap().map(|properties| properties.bytes), Some(0));
    assert_eq!(read(store, blob).await, "");
}

async fn a_deleted_name_is_free(store: &dyn BlobStore, blob: &BlobAddress) {
    write(store, blob, "before").await;
    assert!(store.delete(blob).await.unwrap());
    assert!(!store.delete(blob).await.unwrap());
    assert_eq!(store.properties(blob).await.unwrap(), None);
    assert_eq!(download_kind(store, blob).await, StorageErrorKind::NotFound);
    write(store, blob, "after").await;
    assert_eq!(read(store, blob).await, "after");
}

async fn a_copy_is_a_blob_of_its_own(store: &dyn BlobStore, from: &BlobAddress, to: &BlobAddress) {
    let metadata = BTreeMap::from([("job_id".to_owned(), "another".to_owned())]);
    let missing = store.copy(from, to, &metadata).await.unwrap_err();
    assert_eq!(missing.kind(), StorageErrorKind::NotFound);
    assert_eq!(store.properties(to).await.unwrap(), None);
    write(store, from, "content").await;
    store.copy(from, to, &metadata).await.unwrap();
    let copy = store.properties(to).await.unwrap().unwrap();
    assert_eq!((copy.bytes, copy.content_type.as_deref()), (7, Some("application/gzip")));
    assert_eq!(copy.metadata, metadata);
    let again = store.copy(from, to, &metadata).await.unwrap_err();
    assert_eq!(again.kind(), StorageErrorKind::AlreadyExists);
    assert!(store.delete(from).await.unwrap());
    assert_eq!(read(store, to).await, "content");
}

async fn a_large_blob_comes_back(store: &dyn BlobStore, blob: &BlobAddress) {
    // More than two ranges of a reader, and no multiple of one.
    let block = |number: u8| -> Bytes {
        (0..=250_u8).map(|byte| byte ^ number).cycle().take(3_333_333).collect::<Vec<u8>>().into()
    };
    let mut ids = Vec::new();
    let mut expected = BytesMut::new();
    for number in 0..4 {
        let content = block(number);
        expected.extend_from_slice(&content);
        ids.push(vec![0, 0xff, number]);
        store.stage(blob, &[0, 0xff, number], content).await.unwrap();
    }
    store.commit(blob, &ids, &options()).await.unwrap();
    let found = bytes(store, blob).await;
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "the bytes differ");
}

async fn odd_names_survive(store: &dyn BlobStore, container: &str) {
    for name in ODD_NAMES {
        write(store, &BlobAddress::new(container, format!("odd/{name}")), name).await;
    }
    let listing = store.list(container, "odd/", None, 100).await.unwrap();
    let listed: BTreeSet<String> = listing.blobs.into_iter().map(|blob| blob.name).collect();
    let expected: BTreeSet<String> = ODD_NAMES.iter().map(|name| format!("odd/{name}")).collect();
    assert_eq!(listed, expected);
    let mut addresses = BTreeSet::new();
    for name in ODD_NAMES {
        let blob = BlobAddress::new(container, format!("odd/{name}"));
        assert_eq!(read(store, &blob).await, name);
        addresses.insert(store.url(&blob));
        let found = store.list(container, &blob.name, None, 10).await.unwrap();
        assert_eq!(found.blobs.len(), 1, "the prefix {name}");
        assert!(store.delete(&blob).await.unwrap(), "{name}");
    }
    assert_eq!(addresses.len(), ODD_NAMES.len(), "two names share an address");
    assert!(store.list(container, "odd/", None, 10).await.unwrap().blobs.is_empty());
}

async fn names_that_would_change_are_refused(store: &dyn BlobStore, container: &str) {
    for name in ["", "/a", "a/", "a\\b", "../other/a", "a/./b", "line\nbreak", "dot."] {
        let blob = BlobAddress::new(container, name);
        let error = store.stage(&blob, b"0001", Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Invalid, "{name:?}");
        assert_eq!(download_kind(store, &blob).await, StorageErrorKind::Invalid, "{name:?}");
        assert_eq!(store.delete(&blob).await.unwrap_err().kind(), StorageErrorKind::Invalid, "{name:?}");
    }
}

async fn listings_come_in_pages(store: &dyn BlobStore, container: &str) {
    let names: Vec<String> = (0..7).map(|number| format!("pages/{number}")).collect();
    for name in names.iter().rev() {
        write(store, &BlobAddress::new(container, name.as_str()), name).await;
    }
    write(store, &BlobAddress::new(container, "pagesbeside"), "x").await;
    let mut found = Vec::new();
    let mut pages = 0;
    let mut marker: Option<String> = None;
    loop {
        let listing = store.list(container, "pages/", marker.as_deref(), 3).await.unwrap();
        assert!(listing.blobs.len() <= 3);
        found.extend(listing.blobs.into_iter().map(|blob| blob.name));
        pages += 1;
        assert!(pages < 20, "the markers lead nowhere");
        marker = listing.marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(found, names);
    assert!(pages >= 3);
    assert!(store.list(container, "nothing/", None, 3).await.unwrap().blobs.is_empty());
}

fn options() -> CommitOptions {
    CommitOptions {
        content_type: "application/gzip".to_owned(),
        metadata: BTreeMap::from([
            ("database_id".to_owned(), "5646d03a".to_owned()),
            ("sha256".to_owned(), "e3b0c442".to_owned()),
            ("text".to_owned(), "a, b; c=\"d\" <e>".to_owned()),
        ]),
    }
}

async fn write(store: &dyn BlobStore, blob: &BlobAddress, content: &str) {
    store.stage(blob, b"0001", Bytes::copy_from_slice(content.as_bytes())).await.unwrap();
    store.commit(blob, &[b"0001".to_vec()], &options()).await.unwrap();
}

async fn bytes(store: &dyn BlobStore, blob: &BlobAddress) -> BytesMut {
    let content = store.download(blob).await.unwrap();
    content
        .try_fold(BytesMut::new(), async |mut all, part| {
            all.extend_from_slice(&part);
            Ok(all)
        })
        .await
        .unwrap()
}

async fn read(store: &dyn BlobStore, blob: &BlobAddress) -> String {
    String::from_utf8(bytes(store, blob).await.to_vec()).unwrap()
}

/// Returns how a download failed; a stream in place of an error is a failure of the suite.
async fn download_kind(store: &dyn BlobStore, blob: &BlobAddress) -> StorageErrorKind {
    match store.download(blob).await {
        Ok(_) => panic!("{blob} can be downloaded"),
        Err(error) => error.kind(),
    }
}
