//! The suite of [`Table`].
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

use std::hash::{BuildHasher as _, RandomState};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::table_filters::filters;
use crate::storage::StorageErrorKind;
use crate::storage::filter::{Filter, PARTITION, ROW};
use crate::storage::table::{ETag, Entity, Expect, Key, Properties, Query, Table, Value, query_all};

/// Texts that are easily broken on their way through addresses, filters and JSON.
pub(super) const ODD_TEXTS: [&str; 17] = [
    "plain",
    "two words",
    "1+1",
    "100%",
    "%2F%27",
    "a&b=c",
    "semi;colon:at@comma,(paren)",
    "'",
    "it's 'quoted'",
    "' or PartitionKey ge '0",
    "\"double\"",
    "{[<>]}|^`~$!*",
    "größe",
    "数据",
    "🦀",
    "datetime'2025-12-05T10:00:00Z'",
    "true",
];

/// Checks an implementation of the table seam. The table must not exist when the suite begins: an
/// operation on it has to make it.
///
/// # Panics
///
/// Panics at the first thing that an implementation does differently.
pub async fn table(table: &dyn Table) {
    a_missing_table_is_an_empty_one(table).await;
    table.create().await.unwrap();
    table.create().await.unwrap();

    a_key_is_taken_once(table, &partition("insert")).await;
    every_type_comes_back(table, &partition("types")).await;
    merging_changes_what_it_names(table, &partition("merge")).await;
    insert_or_merge_does_both(table, &partition("either")).await;
    deleting_minds_the_version(table, &partition("delete")).await;
    versions_agree(table, &partition("versions")).await;
    odd_keys_survive(table, &partition("keys")).await;
    unusable_keys_are_refused(table, &partition("refused")).await;
    selections_keep_the_keys(table, &partition("select")).await;
    filters(table, &partition("filters")).await;
    rows_come_in_the_order_of_their_keys(table).await;
    queries_come_in_pages(table, &partition("pages")).await;
    a_full_page_is_not_the_end(table, &partition("thousand")).await;
}

/// Makes the name of a partition that nobody else uses.
fn partition(name: &str) -> String {
    format!("{name}-{:016x}", RandomState::new().hash_one(0_u8))
}

async fn a_missing_table_is_an_empty_one(table: &dyn Table) {
    let key = Key::new(partition("missing"), "1");
    assert_eq!(table.get(&key).await.unwrap(), None);
    assert!(query_all(table, &in_partition(&key.partition)).await.unwrap().is_empty());
    let merged = table.merge(&key, &properties([("a", 1.into())]), &Expect::Any).await;
    assert_eq!(merged.unwrap_err().kind(), StorageErrorKind::NotFound);
    let deleted = table.delete(&key, &Expect::Any).await;
    assert_eq!(deleted.unwrap_err().kind(), StorageErrorKind::NotFound);
}

async fn a_key_is_taken_once(table: &dyn Table, partition: &str) {
    let first = row(partition, "1", [("a", "first".into())]);
    let etag = table.insert(&first).await.unwrap();
    let error = table.insert(&row(partition, "1", [("a", "second".into())])).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::AlreadyExists);
    assert!(!error.is_transient());
    assert_eq!(table.get(&first.key).await.unwrap(), Some(Entity { etag: Some(etag), ..first }));
    // Case counts, and the row is a part of the key.
    table.insert(&row(partition, "2", [])).await.unwrap();
    table.insert(&row(&partition.to_uppercase(), "1", [])).await.unwrap();
}

async fn every_type_comes_back(table: &dyn Table, partition: &str) {
    let at = DateTime::from_timestamp(1_764_928_800, 250_000_000).unwrap();
    let mut values: Vec<Value> = [i32::MIN, -1, 0, i32::MAX].map(Value::Int32).into();
    // Beyond what a 64-bit fraction can hold, and small enough to be taken for 32 bits.
    values.extend([i64::MIN, 0, 7, 3_000_000_000, 9_007_199_254_740_993, i64::MAX].map(Value::Int64));
    values.extend([0.0, -0.5, 12.0, 0.1, 1e300, 1e-7].map(Value::Double));
    values.extend([true, false].map(Value::Bool));
    values.extend([at, DateTime::UNIX_EPOCH].map(Value::DateTime));
    values.extend(ODD_TEXTS.map(Value::from));
    values.extend(
        ["", " ", "7", "2025-12-05T10:00:00Z", "line\r\nbreak\tand \\ slash /", "null"].map(Value::from),
    );
    values.push("x".repeat(30 * 1024).into());
    let written: Properties =
        values.into_iter().enumerate().map(|(index, value)| (format!("p{index}"), value)).collect();
    let entity = Entity::new(Key::new(partition, "1"), written.clone());
    table.insert(&entity).await.unwrap();
    let found = table.get(&entity.key).await.unwrap().unwrap();
    for (name, value) in &written {
        assert_eq!(found.properties.get(name), Some(value), "{name} read by key");
    }
    assert_eq!(found.properties.len(), written.len());
    let listed = query_all(table, &in_partition(partition)).await.unwrap();
    assert_eq!(listed, [found], "read by query");
}

async fn merging_changes_what_it_names(table: &dyn Table, partition: &str) {
    let key = Key::new(partition, "1");
    let etag = table
        .insert(&row(partition, "1", [("a", "a".into()), ("b", 1.into()), ("c", true.into())]))
        .await
        .unwrap();
    let second = table
        .merge(&key, &properties([("b", 2.into()), ("d", "".into())]), &Expect::Version(etag.clone()))
        .await
        .unwrap();
    assert_ne!(second, etag);
    let error = table.merge(&key, &properties([("b", 3.into())]), &Expect::Version(etag)).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Changed);
    // A property may change its type.
    let third = table.merge(&key, &properties([("c", "text".into())]), &Expect::Any).await.unwrap();
    assert_ne!(third, second);
    let expected = properties([("a", "a".into()), ("b", 2.into()), ("c", "text".into()), ("d", "".into())]);
    assert_eq!(
        table.get(&key).await.unwrap(),
        Some(Entity { key: key.clone(), etag: Some(third), properties: expected })
    );
    for expect in [Expect::Any, Expect::Version(second)] {
        let missing = Key::new(partition, "none");
        let error = table.merge(&missing, &Properties::new(), &expect).await.unwrap_err();
        assert!(gone(error.kind()), "{:?}", error.kind());
        assert_eq!(table.get(&missing).await.unwrap(), None);
    }
}

async fn insert_or_merge_does_both(table: &dyn Table, partition: &str) {
    let key = Key::new(partition, "1");
    let first = table.insert_or_merge(&key, &properties([("a", 1.into()), ("b", 1.into())])).await.unwrap();
    let second = table.insert_or_merge(&key, &properties([("b", 2.into())])).await.unwrap();
    assert_ne!(first, second);
    let found = table.get(&key).await.unwrap().unwrap();
    assert_eq!(found.properties, properties([("a", 1.into()), ("b", 2.into())]));
    assert_eq!(found.etag, Some(second));
}

async fn deleting_minds_the_version(table: &dyn Table, partition: &str) {
    let key = Key::new(partition, "1");
    let old = table.insert(&row(partition, "1", [])).await.unwrap();
    let new = table.merge(&key, &properties([("a", 1.into())]), &Expect::Any).await.unwrap();
    let error = table.delete(&key, &Expect::Version(old)).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Changed);
    assert!(table.get(&key).await.unwrap().is_some());
    table.delete(&key, &Expect::Version(new.clone())).await.unwrap();
    assert_eq!(table.get(&key).await.unwrap(), None);
    assert!(gone(table.delete(&key, &Expect::Version(new.clone())).await.unwrap_err().kind()));
    assert_eq!(table.delete(&key, &Expect::Any).await.unwrap_err().kind(), StorageErrorKind::NotFound);
    // A row with the same key is another one: the old version must not open it.
    table.insert(&row(partition, "1", [])).await.unwrap();
    assert_eq!(
        table.delete(&key, &Expect::Version(new)).await.unwrap_err().kind(),
        StorageErrorKind::Changed
    );
    table.delete(&key, &Expect::Any).await.unwrap();
}

/// Checks that the version is the same whether it comes from a write, from a read or from a query.
async fn versions_agree(table: &dyn Table, partition: &str) {
    let key = Key::new(partition, "1");
    let written = table.insert(&row(partition, "1", [("n", 0.into())])).await.unwrap();
    let read = version(table.get(&key).await.unwrap());
    let queried = version(query_all(table, &in_partition(partition)).await.unwrap().pop());
    let selecting = Query { select: vec!["n"], ..in_partition(partition) };
    let selected = version(query_all(table, &selecting).await.unwrap().pop());
    assert_eq!([&read, &queried, &selected], [&written; 3]);
    let etag = table.merge(&key, &properties([("n", 1.into())]), &Expect::Version(queried)).await.unwrap();
    assert_eq!(version(table.get(&key).await.unwrap()), etag);
}

async fn odd_keys_survive(table: &dyn Table, partition: &str) {
    for text in ODD_TEXTS {
        let key = Key::new(format!("{partition} {text}"), text);
        let etag = table.insert(&Entity::new(key.clone(), properties([("n", 1.into())]))).await.unwrap();
        let found = table.get(&key).await.unwrap().unwrap();
        assert_eq!(found.key, key);
        let etag = {
            assert_eq!(found.etag, Some(etag.clone()), "{text}");
            table.merge(&key, &properties([("n", 2.into())]), &Expect::Version(etag)).await.unwrap()
        };
        table.insert_or_merge(&key, &properties([("m", 3.into())])).await.unwrap();
        let query = Query::matching(Filter::And(vec![
            Filter::eq(PARTITION, key.partition.as_str()),
            Filter::eq(ROW, key.row.as_str()),
        ]));
        let listed = query_all(table, &query).await.unwrap();
        assert_eq!(listed.len(), 1, "{text}");
        assert_eq!(listed[0].key, key);
        assert_eq!(listed[0].properties, properties([("m", 3.into()), ("n", 2.into())]));
        let error = table.delete(&key, &Expect::Version(etag)).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Changed);
        table.delete(&key, &Expect::Any).await.unwrap();
        assert_eq!(table.get(&key).await.unwrap(), None, "{text}");
    }
}

async fn unusable_keys_are_refused(table: &dyn Table, partition: &str) {
    let long = "x".repeat(1025);
    for bad in ["a/b", "a\\b", "a#b", "a?b", "a\nb", "a\tb", "\u{0}", "\u{7f}", "\u{85}", &long] {
        for key in [Key::new(partition, bad), Key::new(bad, "1")] {
            let entity = Entity::new(key.clone(), Properties::new());
            let errors = [
                table.insert(&entity).await.err(),
                table.merge(&key, &Properties::new(), &Expect::Any).await.err(),
                table.insert_or_merge(&key, &Properties::new()).await.err(),
                table.delete(&key, &Expect::Any).await.err(),
                table.get(&key).await.err(),
            ];
            for error in errors {
                assert_eq!(error.map(|error| error.kind()), Some(StorageErrorKind::Invalid), "{key}");
            }
        }
    }
    assert!(query_all(table, &in_partition(partition)).await.unwrap().is_empty());
}

async fn selections_keep_the_keys(table: &dyn Table, partition: &str) {
    table.insert(&row(partition, "1", [("a", 1.into()), ("b", 2.into())])).await.unwrap();
    let select = |select| Query { select, ..in_partition(partition) };
    let found = query_all(table, &select(vec!["b"])).await.unwrap();
    assert_eq!(found[0].key, Key::new(partition, "1"));
    assert_eq!(found[0].properties, properties([("b", 2.into())]));
    // A property that no row has is no error.
    let found = query_all(table, &select(vec!["a", "none"])).await.unwrap();
    assert_eq!(found[0].properties, properties([("a", 1.into())]));
}

async fn rows_come_in_the_order_of_their_keys(table: &dyn Table) {
    let [low, high] = [partition("order-1"), partition("order-2")];
    for (partition, name) in [(&high, "1"), (&low, "3"), (&low, "10"), (&high, "0"), (&low, "2")] {
        table.insert(&row(partition, name, [])).await.unwrap();
    }
    let both = Query::matching(Filter::Or(vec![
        Filter::eq(PARTITION, high.as_str()),
        Filter::eq(PARTITION, low.as_str()),
    ]));
    let found = query_all(table, &both).await.unwrap();
    let keys: Vec<Key> = found.into_iter().map(|entity| entity.key).collect();
    let expected = [(&low, "10"), (&low, "2"), (&low, "3"), (&high, "0"), (&high, "1")];
    assert_eq!(keys, expected.map(|(partition, row)| Key::new(partition, row)));
}

async fn queries_come_in_pages(table: &dyn Table, partition: &str) {
    let [first, second] = [format!("{partition} + a"), format!("{partition} + b")];
    for number in 0..8 {
        let partition = if number < 5 { &first } else { &second };
        let odd = number % 2 == 1;
        table.insert(&row(partition, &format!("{number} & %"), [("odd", odd.into())])).await.unwrap();
    }
    let all = Filter::Or(vec![Filter::eq(PARTITION, first.as_str()), Filter::eq(PARTITION, second.as_str())]);
    let odd = Filter::And(vec![all.clone(), Filter::eq("odd", true)]);
    for (filter, expected) in [(all, "01234567"), (odd, "1357")] {
        for top in [1, 2, 3, 100] {
            let query = Query { top: Some(top), ..Query::matching(filter.clone()) };
            let (mut found, mut from, mut pages) = (String::new(), None, 0);
            loop {
                let page = table.query(&query, from.as_ref()).await.unwrap();
                assert!(page.entities.len() <= top as usize, "a page of {} for {top}", page.entities.len());
                found.extend(page.entities.iter().filter_map(|entity| entity.key.row.chars().next()));
                pages += 1;
                assert!(pages < 40, "the continuations lead nowhere");
                match page.next {
                    Some(next) => from = Some(next),
                    None => break,
                }
            }
            assert_eq!(found, expected, "in pages of {top}");
        }
    }
    // The next row may be gone by the time that the next page is asked for.
    let query = Query { top: Some(2), ..in_partition(&first) };
    let page = table.query(&query, None).await.unwrap();
    table.delete(&Key::new(&first, "2 & %"), &Expect::Any).await.unwrap();
    let page = table.query(&query, page.next.as_ref()).await.unwrap();
    let found: Vec<&str> = page.entities.iter().map(|entity| &entity.key.row[..1]).collect();
    assert_eq!(found, ["3", "4"]);
}

/// Checks that a query without a limit of its own gives everything, although the service gives
/// 1000 rows at a time.
async fn a_full_page_is_not_the_end(table: &dyn Table, partition: &str) {
    let inserts = (0..1001).map(|number| {
        let entity = row(partition, &format!("{number:04}"), []);
        async move { table.insert(&entity).await }
    });
    let etags: Vec<ETag> = stream::iter(inserts).buffer_unordered(16).try_collect().await.unwrap();
    assert_eq!(etags.len(), 1001);
    let page = table.query(&in_partition(partition), None).await.unwrap();
    assert_eq!(page.entities.len(), 1000);
    assert!(page.next.is_some());
    let more = Query { top: Some(5000), ..in_partition(partition) };
    assert_eq!(table.query(&more, None).await.unwrap().entities.len(), 1000);
    assert_eq!(query_all(table, &in_partition(partition)).await.unwrap().len(), 1001);
}

fn gone(kind: StorageErrorKind) -> bool {
    matches!(kind, StorageErrorKind::NotFound | StorageErrorKind::Changed)
}

fn version(entity: Option<Entity>) -> ETag {
    entity.and_then(|entity| entity.etag).unwrap()
}

pub(super) fn in_partition(partition: &str) -> Query {
    Query::matching(Filter::eq(PARTITION, partition))
}

pub(super) fn row<const N: usize>(partition: &str, row: &str, list: [(&str, Value); N]) -> Entity {
    Entity::new(Key::new(partition, row), properties(list))
}

fn properties<const N: usize>(list: [(&str, Value); N]) -> Properties {
    list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns the instant that the filters are tried with.
pub(super) fn noon() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(12)
}
