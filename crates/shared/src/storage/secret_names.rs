//! Which secrets of the store the rows of an account name.
//!
//! Asked of the properties themselves: a row that cannot be read names its secret all the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::filter::{Filter, PARTITION};
use super::rows::database::PASSWORD;
use super::rows::engine::CONNECTION_STRING;
use super::rows::{Row, UnreadableRow, database, engine, restore};
use super::table::{Entity, Key, Query, Table, Value, query_all};
use super::take_over::LeftAlone;
use super::{Storage, StorageError};
use crate::models::{Database, Engine, Restore};

/// The properties in which rows name secrets.
const NAMES: [&str; 2] = [PASSWORD[0], CONNECTION_STRING[0]];

impl Storage {
    /// Tells whether the row to which a name belongs names the secret.
    pub(crate) async fn names_secret(&self, name: &str) -> Result<bool, StorageError> {
        for (table, key, property) in self.rows_of(name) {
            let row = table.get(&key).await?;
            if row.as_ref().and_then(|row| text(row, property)).is_some_and(|text| is_same(text, name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the rows that may have a secret of this name. That of an engine's connection string is the
    /// name of the password of an engine whose id ends in `-cs`.
    fn rows_of(&self, name: &str) -> Vec<(&Arc<dyn Table>, Key, &'static str)> {
        let mut rows = Vec::new();
        if let Some(id) = name.strip_prefix("database-") {
            rows.push((&self.databases.table, Key::new(database::PARTITION, id), PASSWORD[0]));
        }
        if let Some(id) = name.strip_prefix("restore-") {
            rows.push((&self.restores.table, Key::new(restore::PARTITION, id), PASSWORD[0]));
        }
        if let Some(id) = name.strip_prefix("engine-") {
            let owners = [(Some(id), PASSWORD[0]), (id.strip_suffix("-cs"), CONNECTION_STRING[0])];
            for (id, property) in owners {
                let Some(id) = id else { continue };
                for table in [&self.engines.table, &self.engines.older] {
                    rows.push((table, Key::new(engine::PARTITION, id), property));
                }
            }
        }
        rows
    }

    /// Returns the names of all secrets that rows name, in small letters: a vault does not tell them apart.
    pub(crate) async fn secret_names(&self) -> Result<BTreeSet<String>, StorageError> {
        let mut names = BTreeSet::new();
        for (table, partition) in self.with_secrets() {
            let of = Filter::eq(PARTITION, partition);
            let query = Query { select: NAMES.to_vec(), ..Query::matching(of) };
            for row in query_all(&**table, &query).await? {
                names.extend(NAMES.iter().filter_map(|property| text(&row, property)).map(str::to_lowercase));
            }
        }
        Ok(names)
    }

    /// Names the rows that cannot be read and hold a secret, or the name of one.
    pub(crate) async fn unreadable_with_secrets(&self) -> Result<Vec<LeftAlone>, StorageError> {
        let mut left = Vec::new();
        for (table, partition) in self.with_secrets() {
            for row in query_all(&**table, &Query::matching(Filter::eq(PARTITION, partition))).await? {
                let holds = |property: &&str| text(&row, property).is_some();
                if let (Some(error), true) =
                    (unreadable(&row, partition), PASSWORD.iter().chain(&CONNECTION_STRING).any(holds))
                {
                    let why = format!("{}: {}", error.property, error.problem);
                    left.push(LeftAlone { row: format!("{partition} {}", row.key), why });
                }
            }
        }
        left.sort();
        left.dedup();
        Ok(left)
    }

    /// Returns the places of all rows that may hold secrets.
    fn with_secrets(&self) -> [(&Arc<dyn Table>, &'static str); 4] {
        [
            (&self.databases.table, database::PARTITION),
            (&self.engines.table, engine::PARTITION),
            (&self.engines.older, engine::PARTITION),
            (&self.restores.table, restore::PARTITION),
        ]
    }
}

fn unreadable(row: &Entity, partition: &str) -> Option<UnreadableRow> {
    match partition {
        database::PARTITION => Database::from_entity(row).err(),
        engine::PARTITION => Engine::from_entity(row).err(),
        _ => Restore::from_entity(row).err(),
    }
}

fn text<'a>(row: &'a Entity, property: &str) -> Option<&'a str> {
    match row.properties.get(property) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        Some(_) | None => None,
    }
}

/// A vault does not tell names apart by the size of their letters.
fn is_same(one: &str, two: &str) -> bool {
    one.eq_ignore_ascii_case(two)
}
