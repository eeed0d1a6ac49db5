//! Taking over the configuration of an earlier system: engines move to their own table, and rows that
//! cannot be read are named.

use super::configurations::Engines;
use super::filter::{Filter, PARTITION};
use super::repository::delete_if;
use super::rows::{Row, UnreadableRow, access_request, database, engine, policy, user};
use super::table::{Entity, Expect, Query, Table, query_all};
use super::take_over::{LeftAlone, TakenOver};
use super::{Storage, StorageError, StorageErrorKind};
use crate::models::{AccessRequest, BackupPolicy, Database, Engine, User};

impl Engines {
    /// Looks at the engines in the table of databases and, when it is to `apply`, moves them to their own.
    ///
    /// Where an engine is in both, its own table has been read and written since; the older row goes.
    pub async fn take_over(&self, apply: bool) -> Result<TakenOver, StorageError> {
        let mut taken = TakenOver::default();
        for row in query_all(&*self.older, &partition(engine::PARTITION)).await? {
            taken.seen += 1;
            let why = match Engine::from_entity(&row) {
                Err(error) => Some(text(&error)),
                Ok(_) if apply => self.move_row(&row).await?,
                Ok(_) => None,
            };
            match why {
                None => taken.moved += 1,
                Some(why) => taken.left.push(LeftAlone { row: format!("engine {}", row.key), why }),
            }
        }
        Ok(taken)
    }

    /// Moves one row; returns why it was left alone, if it was.
    async fn move_row(&self, row: &Entity) -> Result<Option<String>, StorageError> {
        let copy = match self.table.insert(&Entity::new(row.key.clone(), row.properties.clone())).await {
            Ok(etag) => Some(etag),
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => None,
            Err(error) => return Err(error),
        };
        // Asked before the deletion, whose own answer may be lost.
        let now = self.older.get(&row.key).await?;
        if now.as_ref().is_some_and(|now| now.etag == row.etag) {
            let expect = row.etag.clone().map_or(Expect::Any, Expect::Version);
            match delete_if(&*self.older, &row.key, &expect).await {
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == StorageErrorKind::Changed => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(etag) = copy {
            match delete_if(&*self.table, &row.key, &Expect::Version(etag)).await {
                Ok(_) => {}
                Err(error) if error.kind() == StorageErrorKind::Changed => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some("somebody else has changed or deleted it meanwhile; run this again".to_owned()))
    }
}

impl Storage {
    /// Names the rows of the configuration that cannot be read, and so are skipped by everything.
    pub async fn unreadable_configuration(&self) -> Result<Vec<LeftAlone>, StorageError> {
        let mut left = Vec::new();
        unreadable::<Database>(&*self.databases.table, database::PARTITION, "database", &mut left).await?;
        unreadable::<Engine>(&*self.engines.table, engine::PARTITION, "engine", &mut left).await?;
        unreadable::<BackupPolicy>(&*self.policies.table, policy::PARTITION, "policy", &mut left).await?;
        unreadable::<User>(&*self.users.table, user::PARTITION, "user", &mut left).await?;
        let requests = &*self.access_requests.table;
        unreadable::<AccessRequest>(requests, access_request::PARTITION, "access request", &mut left).await?;
        Ok(left)
    }
}

async fn unreadable<T: Row>(
    table: &dyn Table,
    of: &str,
    what: &str,
    left: &mut Vec<LeftAlone>,
) -> Result<(), StorageError> {
    for row in query_all(table, &partition(of)).await? {
        if let Err(error) = T::from_entity(&row) {
            left.push(LeftAlone { row: format!("{what} {}", row.key), why: text(&error) });
        }
    }
    Ok(())
}

fn partition(name: &str) -> Query {
    Query::matching(Filter::eq(PARTITION, name))
}

fn text(error: &UnreadableRow) -> String {
    format!("{}: {}", error.property, error.problem)
}
