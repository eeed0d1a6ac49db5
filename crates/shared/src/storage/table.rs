//! The seam for tables: entities with typed properties, found by key or by filter.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::filter::Filter;
use super::{StorageError, StorageErrorKind};

/// The value of a property, in the types that the service knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `Edm.String`
    String(String),
    /// `Edm.Boolean`
    Bool(bool),
    /// `Edm.Int32`
    Int32(i32),
    /// `Edm.Int64`
    Int64(i64),
    /// `Edm.Double`
    Double(f64),
    /// `Edm.DateTime`
    DateTime(DateTime<Utc>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int32(value)
    }
}

/// The two keys of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The partition.
    pub partition: String,
    /// The row within it.
    pub row: String,
}

impl Key {
    /// Makes a key of partition and row.
    pub fn new(partition: impl Into<String>, row: impl Into<String>) -> Self {
        Self { partition: partition.into(), row: row.into() }
    }

    /// Refuses keys that the service refuses: the characters `/ \ # ?`, control characters, and
    /// more than 1 KiB. The emulator answers some of them with a server error, which would be
    /// retried for nothing.
    pub fn check(&self) -> Result<(), StorageError> {
        let bad = |text: &str| {
            text.len() > 1024 || text.chars().any(|c| matches!(c, '/' | '\\' | '#' | '?') || c.is_control())
        };
        if bad(&self.partition) || bad(&self.row) {
            return Err(StorageError::new(
                StorageErrorKind::Invalid,
                "use",
                "a key with unusable characters",
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.partition, self.row)
    }
}

/// The version of an entity, as the service names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// The properties of an entity by name.
pub type Properties = BTreeMap<String, Value>;

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its keys.
    pub key: Key,
    /// Its version; `None` for one that was not read from the service.
    pub etag: Option<ETag>,
    /// Its properties.
    pub properties: Properties,
}

impl Entity {
    /// Makes an entity that has not been stored yet.
    pub fn new(key: Key, properties: Properties) -> Self {
        Self { key, etag: None, properties }
    }
}

/// Which version of an entity a write is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Whatever version there is, but there must be one.
    Any,
    /// Exactly this version.
    Version(ETag),
}

/// What a query asks for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Which entities; `None` means all.
    pub filter: Option<Filter>,
    /// Which properties; empty means all. Keys always come.
    pub select: Vec<&'static str>,
    /// At most how many in one page (1 to 1000).
    pub top: Option<u32>,
}

impl Query {
    /// Asks for the entities that match `filter`.
    pub fn matching(filter: Filter) -> Self {
        Self { filter: Some(filter), ..Self::default() }
    }
}

/// Where a query goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The partition to go on from.
    pub partition: String,
    /// The row to go on from.
    pub row: Option<String>,
}

/// One page of a query; it may be empty and still have a continuation.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The entities, in the order of their keys.
    pub entities: Vec<Entity>,
    /// Where to go on; `None` on the last page.
    pub next: Option<Continuation>,
}

/// One table.
///
/// Implementations make the table when an operation finds that it does not exist.
#[async_trait]
pub trait Table: fmt::Debug + Send + Sync {
    /// Makes the table; one that exists is fine.
    async fn create(&self) -> Result<(), StorageError>;

    /// Stores a new entity. `AlreadyExists` when the key is taken.
    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError>;

    /// Changes the named properties of an entity and leaves the others.
    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError>;

    /// Stores the named properties, whether the entity exists or not, and leaves the others.
    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError>;

    /// Removes an entity. `NotFound` when it does not exist.
    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError>;

    /// Reads one entity.
    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError>;

    /// Reads one page of the entities that match.
    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError>;
}

/// Reads all pages of a query.
pub async fn query_all(table: &dyn Table, query: &Query) -> Result<Vec<Entity>, StorageError> {
    let mut entities = Vec::new();
    let mut from = None;
    loop {
        let page = table.query(query, from.as_ref()).await?;
        entities.extend(page.entities);
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(entities),
        }
    }
}
