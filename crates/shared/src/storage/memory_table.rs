//! A table in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::table::{Continuation, ETag, Entity, Expect, Key, Page, Properties, Query, Table};
use super::{StorageError, StorageErrorKind};

/// A table in memory. Clones share their rows.
#[derive(Debug, Clone, Default)]
pub struct MemoryTable {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<Key, Row>,
    writes: u64,
}

#[derive(Debug, Clone)]
struct Row {
    etag: ETag,
    properties: Properties,
}

impl MemoryTable {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, key: &Key, properties: Properties) -> ETag {
        self.writes += 1;
        let etag = ETag(format!("W/\"{}\"", self.writes));
        self.rows.insert(key.clone(), Row { etag: etag.clone(), properties });
        etag
    }

    fn expect(&self, key: &Key, expect: &Expect, operation: &'static str) -> Result<&Row, StorageError> {
        let row = self
            .rows
            .get(key)
            .ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, operation, key.to_string()))?;
        match expect {
            Expect::Any => Ok(row),
            Expect::Version(etag) if *etag == row.etag => Ok(row),
            Expect::Version(_) => {
                Err(StorageError::new(StorageErrorKind::Changed, operation, key.to_string()))
            }
        }
    }
}

#[async_trait]
impl Table for MemoryTable {
    async fn create(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        entity.key.check()?;
        let mut state = self.state();
        if state.rows.contains_key(&entity.key) {
            return Err(StorageError::new(
                StorageErrorKind::AlreadyExists,
                "insert row",
                entity.key.to_string(),
            ));
        }
        Ok(state.write(&entity.key, entity.properties.clone()))
    }

    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        key.check()?;
        let mut state = self.state();
        let mut merged = state.expect(key, expect, "update row")?.properties.clone();
        merged.extend(properties.clone());
        Ok(state.write(key, merged))
    }

    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        key.check()?;
        let mut state = self.state();
        let mut merged = state.rows.get(key).map(|row| row.properties.clone()).unwrap_or_default();
        merged.extend(properties.clone());
        Ok(state.write(key, merged))
    }

    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        key.check()?;
        let mut state = self.state();
        state.expect(key, expect, "delete row")?;
        state.rows.remove(key);
        Ok(())
    }

    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        key.check()?;
        let state = self.state();
        Ok(state.rows.get(key).map(|row| Entity {
            key: key.clone(),
            etag: Some(row.etag.clone()),
            properties: row.properties.clone(),
        }))
    }

    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        let state = self.state();
        let first = from.map_or_else(
            || Key::new("", ""),
            |from| Key::new(&from.partition, from.row.clone().unwrap_or_default()),
        );
        let top = query.top.map_or(1000, |top| top.clamp(1, 1000) as usize);
        let mut page = Page::default();
        for (key, row) in state.rows.range(first..) {
            let entity =
                Entity { key: key.clone(), etag: Some(row.etag.clone()), properties: row.properties.clone() };
            if query.filter.as_ref().is_some_and(|filter| !filter.matches(&entity)) {
                continue;
            }
            if page.entities.len() == top {
                page.next =
                    Some(Continuation { partition: key.partition.clone(), row: Some(key.row.clone()) });
                break;
            }
            page.entities.push(selected(entity, &query.select));
        }
        Ok(page)
    }
}

fn selected(mut entity: Entity, select: &[&'static str]) -> Entity {
    if !select.is_empty() {
        entity.properties.retain(|name, _| select.contains(&name.as_str()));
    }
    entity
}
