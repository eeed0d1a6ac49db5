//! What all repositories share: reading rows into nouns without letting one bad row stop the rest.

use super::rows::{Row, UnreadableRow};
use super::table::{ETag, Entity, Expect, Key, Query, Table};
use super::{StorageError, StorageErrorKind};

/// A noun together with the version of its row.
#[derive(Debug, Clone)]
pub struct Versioned<T> {
    /// The noun.
    pub value: T,
    /// The version that was read.
    pub etag: ETag,
}

/// Reads every row that matches; an unreadable one is skipped and logged. A page is turned into nouns
/// before the next one is read, so that rows, which take far more room, are never held all at once.
pub(super) async fn list<T: Row>(table: &dyn Table, query: &Query) -> Result<Vec<T>, StorageError> {
    let (mut rows, mut unreadable) = (Vec::new(), 0);
    let mut from = None;
    loop {
        let page = table.query(query, from.as_ref()).await?;
        let (read, skipped) = readable(&page.entities);
        rows.extend(read);
        unreadable += skipped;
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    if unreadable > 0 {
        tracing::warn!(unreadable, ?table, "rows were skipped because they cannot be read");
    }
    Ok(rows)
}

/// Returns the row keys of all rows that match and cannot be read.
pub(super) async fn unreadable_keys<T: Row>(
    table: &dyn Table,
    query: &Query,
) -> Result<Vec<String>, StorageError> {
    let (mut keys, mut from) = (Vec::new(), None);
    loop {
        let page = table.query(query, from.as_ref()).await?;
        let bad = page.entities.iter().filter(|entity| T::from_entity(entity).is_err());
        keys.extend(bad.map(|entity| entity.key.row.clone()));
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(keys),
        }
    }
}

/// Reads the rows that can be read and counts the others.
pub(super) fn readable<T: Row>(entities: &[Entity]) -> (Vec<T>, usize) {
    let mut unreadable = 0;
    let rows = entities
        .iter()
        .filter_map(|entity| match T::from_entity(entity) {
            Ok(row) => Some(row),
            Err(error) => {
                tracing::warn!(%error, "a row is skipped");
                unreadable += 1;
                None
            }
        })
        .collect();
    (rows, unreadable)
}

/// Reads one row.
pub(super) async fn get<T: Row>(table: &dyn Table, key: &Key) -> Result<Option<Versioned<T>>, StorageError> {
    let Some(entity) = table.get(key).await? else { return Ok(None) };
    let value = T::from_entity(&entity).map_err(unreadable)?;
    Ok(Some(Versioned { value, etag: entity.etag.unwrap_or_else(|| ETag("*".to_owned())) }))
}

/// Writes all properties of a noun over those of its row; properties of newer versions stay.
pub(super) async fn update<T: Row>(table: &dyn Table, value: &T, etag: &ETag) -> Result<ETag, StorageError> {
    let entity = value.entity();
    table.merge(&entity.key, &entity.properties, &Expect::Version(etag.clone())).await
}

/// Deletes a row; `false` when there was none.
pub(super) async fn delete(table: &dyn Table, key: &Key) -> Result<bool, StorageError> {
    delete_if(table, key, &Expect::Any).await
}

/// Deletes a row of the expected version; `false` when there was none.
pub(super) async fn delete_if(table: &dyn Table, key: &Key, expect: &Expect) -> Result<bool, StorageError> {
    match table.delete(key, expect).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn unreadable(error: UnreadableRow) -> StorageError {
    StorageError::new(StorageErrorKind::Invalid, "read", error.key.clone()).because(error)
}
