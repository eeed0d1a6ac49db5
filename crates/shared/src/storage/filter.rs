//! Filters of table queries as data, so that no text from outside ever becomes syntax.
//!
//! A filter renders itself for the service and can be asked whether an entity matches, which is
//! what the table in memory does.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::table::{Entity, Value};

/// The name of the partition key in filters.
pub const PARTITION: &str = "PartitionKey";
/// The name of the row key in filters.
pub const ROW: &str = "RowKey";

/// A condition on entities.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The property compares so with the value.
    Compare(&'static str, Comparison, Value),
    /// All hold.
    And(Vec<Filter>),
    /// At least one holds.
    Or(Vec<Filter>),
}

/// How a property is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

impl Filter {
    /// The property equals the value.
    pub fn eq(property: &'static str, value: impl Into<Value>) -> Self {
        Self::Compare(property, Comparison::Eq, value.into())
    }

    /// The property is at least the value.
    pub fn ge(property: &'static str, value: impl Into<Value>) -> Self {
        Self::Compare(property, Comparison::Ge, value.into())
    }

    /// The property is less than the value.
    pub fn lt(property: &'static str, value: impl Into<Value>) -> Self {
        Self::Compare(property, Comparison::Lt, value.into())
    }

    /// The property is at most the value.
    pub fn le(property: &'static str, value: impl Into<Value>) -> Self {
        Self::Compare(property, Comparison::Le, value.into())
    }

    /// Renders the filter as the text of `$filter`.
    pub fn to_odata(&self) -> String {
        match self {
            Self::Compare(property, comparison, value) => {
                format!("{property} {} {}", comparison.as_odata(), literal(value))
            }
            Self::And(all) => join(all, " and "),
            Self::Or(any) => join(any, " or "),
        }
    }

    /// Tells whether an entity matches. A property that is absent matches no comparison.
    pub fn matches(&self, entity: &Entity) -> bool {
        match self {
            Self::Compare(property, comparison, wanted) => {
                let partition = Value::String(entity.key.partition.clone());
                let row = Value::String(entity.key.row.clone());
                let found = match *property {
                    PARTITION => Some(&partition),
                    ROW => Some(&row),
                    other => entity.properties.get(other),
                };
                found.and_then(|found| compare(found, wanted)).is_some_and(|order| comparison.accepts(order))
            }
            Self::And(all) => all.iter().all(|filter| filter.matches(entity)),
            Self::Or(any) => any.iter().any(|filter| filter.matches(entity)),
        }
    }
}

impl Comparison {
    fn as_odata(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Gt => "gt",
            Self::Ge => "ge",
        }
    }

    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order == Ordering::Equal,
            Self::Ne => order != Ordering::Equal,
            Self::Lt => order == Ordering::Less,
            Self::Le => order != Ordering::Greater,
            Self::Gt => order == Ordering::Greater,
            Self::Ge => order != Ordering::Less,
        }
    }
}

fn join(filters: &[Filter], word: &str) -> String {
    let parts: Vec<String> = filters.iter().map(|filter| format!("({})", filter.to_odata())).collect();
    parts.join(word)
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Bool(value) => value.to_string(),
        Value::Int32(value) => value.to_string(),
        Value::Int64(value) => format!("{value}L"),
        Value::Double(value) => {
            let mut text = value.to_string();
            if !text.contains(['.', 'e', 'E']) {
                let _ = write!(text, ".0");
            }
            text
        }
        Value::DateTime(value) => format!("datetime'{}'", value.format("%Y-%m-%dT%H:%M:%S%.6fZ")),
    }
}

fn compare(found: &Value, wanted: &Value) -> Option<Ordering> {
    match (found, wanted) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Int32(a), Value::Int32(b)) => Some(a.cmp(b)),
        (Value::Int64(a), Value::Int64(b)) => Some(a.cmp(b)),
        (Value::Int32(a), Value::Int64(b)) => Some(i64::from(*a).cmp(b)),
        (Value::Int64(a), Value::Int32(b)) => Some(a.cmp(&i64::from(*b))),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::DateTime(a), Value::DateTime(b)) => Some(a.cmp(b)),
        (
            Value::String(_)
            | Value::Bool(_)
            | Value::Int32(_)
            | Value::Int64(_)
            | Value::Double(_)
            | Value::DateTime(_),
            _,
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::table::Key;

    #[test]
    fn quotes_what_comes_from_outside() {
        let filter = Filter::And(vec![
            Filter::eq("database_id", "x' or PartitionKey ge '0"),
            Filter::Or(vec![Filter::ge("n", 5), Filter::eq("on", true)]),
        ]);
        insta::assert_snapshot!(filter.to_odata(), @"(database_id eq 'x'' or PartitionKey ge ''0') and ((n ge 5) or (on eq true))");
    }

    #[test]
    fn matches_like_the_service() {
        let entity = Entity::new(
            Key::new("2025-12-05", "1"),
            [("status".to_owned(), Value::from("failed")), ("n".to_owned(), Value::Int32(3))].into(),
        );
        assert!(Filter::eq("status", "failed").matches(&entity));
        assert!(Filter::ge(PARTITION, "2025-12-01").matches(&entity));
        assert!(!Filter::eq("absent", "x").matches(&entity));
        assert!(!Filter::lt("n", 3).matches(&entity));
        assert!(!Filter::eq("n", "3").matches(&entity));
    }
}
