//! The part of the suite of [`Table`] that is about filters.
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

use chrono::TimeDelta;

use super::table::{ODD_TEXTS, in_partition, noon, row};
use crate::storage::filter::{Comparison, Filter, PARTITION, ROW};
use crate::storage::table::{Key, Query, Table, Value, query_all};

/// Checks that filters find what they say, and nothing else, whatever text is in them.
pub(super) async fn filters(table: &dyn Table, partition: &str) {
    no_text_is_syntax(table, partition).await;
    every_type_compares(table, &format!("{partition}-types")).await;
    conditions_nest(table, &format!("{partition}-nest")).await;
    keys_have_ranges(table, &format!("{partition}-ranges")).await;
}

async fn no_text_is_syntax(table: &dyn Table, partition: &str) {
    for (index, text) in ODD_TEXTS.iter().enumerate() {
        table.insert(&row(partition, &index.to_string(), [("text", (*text).into())])).await.unwrap();
    }
    for (index, text) in ODD_TEXTS.iter().enumerate() {
        let found = rows(table, partition, Filter::eq("text", *text)).await;
        assert_eq!(found, [index.to_string()], "{text}");
    }
    for text in ["' or '1' eq '1", "'' or 1 eq 1 or ''", "plain' or text ne '", "\\' or true"] {
        assert!(rows(table, partition, Filter::eq("text", text)).await.is_empty(), "{text}");
        let key = Query::matching(Filter::eq(PARTITION, text));
        assert!(query_all(table, &key).await.unwrap().is_empty(), "{text}");
    }
}

async fn every_type_compares(table: &dyn Table, partition: &str) {
    let later = noon() + TimeDelta::milliseconds(1500);
    let values: [(&'static str, [Value; 3]); 6] = [
        ("text", ["a".into(), "b".into(), "c".into()]),
        ("small", [(-1).into(), 0.into(), 1.into()]),
        ("large", [-3_000_000_000, 5, 9_007_199_254_740_993].map(Value::Int64)),
        ("fraction", [-0.5, 2.0, 2.5].map(Value::Double)),
        ("instant", [noon() - TimeDelta::days(1), noon(), later].map(Value::DateTime)),
        ("flag", [false.into(), true.into(), true.into()]),
    ];
    for index in 0..3 {
        let mut entity = row(partition, &index.to_string(), []);
        for (name, values) in &values {
            entity.properties.insert((*name).to_owned(), values[index].clone());
        }
        table.insert(&entity).await.unwrap();
    }
    // A row that has none of them matches no comparison.
    table.insert(&row(partition, "none", [("other", 1.into())])).await.unwrap();
    let expected: [(Comparison, &[&str]); 6] = [
        (Comparison::Eq, &["1"]),
        (Comparison::Ne, &["0", "2"]),
        (Comparison::Lt, &["0"]),
        (Comparison::Le, &["0", "1"]),
        (Comparison::Gt, &["2"]),
        (Comparison::Ge, &["1", "2"]),
    ];
    for (name, values) in values.into_iter().filter(|(name, _)| *name != "flag") {
        for (comparison, expected) in expected {
            // What an absent property is not equal to is a matter of taste; nothing asks for it.
            let present = Filter::lt(ROW, "none");
            let filter = Filter::And(vec![present, Filter::Compare(name, comparison, values[1].clone())]);
            assert_eq!(rows(table, partition, filter).await, expected, "{name} {comparison:?}");
        }
        let absent = Filter::ge(name, values[0].clone());
        assert_eq!(rows(table, partition, absent).await, ["0", "1", "2"], "{name}");
    }
    assert_eq!(rows(table, partition, Filter::eq("flag", true)).await, ["1", "2"]);
    assert_eq!(rows(table, partition, Filter::eq("flag", false)).await, ["0"]);
}

async fn conditions_nest(table: &dyn Table, partition: &str) {
    for (name, a, b) in [("1", "x", 1), ("2", "x", 2), ("3", "y", 1), ("4", "y", 2)] {
        table.insert(&row(partition, name, [("a", a.into()), ("b", b.into())])).await.unwrap();
    }
    let (x, one) = (Filter::eq("a", "x"), Filter::eq("b", 1));
    let both = Filter::And(vec![x.clone(), one.clone()]);
    assert_eq!(rows(table, partition, both.clone()).await, ["1"]);
    assert_eq!(rows(table, partition, Filter::Or(vec![x, one])).await, ["1", "2", "3"]);
    let four = Filter::And(vec![Filter::eq("a", "y"), Filter::eq("b", 2)]);
    assert_eq!(rows(table, partition, Filter::Or(vec![both, four])).await, ["1", "4"]);
}

async fn keys_have_ranges(table: &dyn Table, partition: &str) {
    let days = ["2025-12-04", "2025-12-05", "2025-12-06", "202512"];
    for day in days {
        table.insert(&row(&format!("{partition} {day}"), "1", [])).await.unwrap();
    }
    let name = |day: &str| format!("{partition} {day}");
    let range = Filter::And(vec![
        Filter::ge(PARTITION, name("2025-12-05")),
        Filter::le(PARTITION, name("2025-12-06")),
    ]);
    let found = query_all(table, &Query::matching(range)).await.unwrap();
    let keys: Vec<Key> = found.into_iter().map(|entity| entity.key).collect();
    assert_eq!(keys, [Key::new(name("2025-12-05"), "1"), Key::new(name("2025-12-06"), "1")]);
}

/// Returns the row keys of what matches in a partition.
async fn rows(table: &dyn Table, partition: &str, filter: Filter) -> Vec<String> {
    let within = in_partition(partition).filter.unwrap();
    let query = Query::matching(Filter::And(vec![within, filter]));
    let found = query_all(table, &query).await.unwrap();
    let mut rows: Vec<String> = found.into_iter().map(|entity| entity.key.row).collect();
    rows.sort_by_key(|row| (row.len(), row.clone()));
    rows
}
