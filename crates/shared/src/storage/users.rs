//! The users, and what must hold for all of them together.
//!
//! Two rules concern more than one row, and the table changes one row at a time: there is one first
//! administrator, and there is always one enabled administrator left. Each has a row of its own in the
//! partition of marks; whoever wants to act writes it first, on condition that nobody else did.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::filter::{Filter, PARTITION};
use super::repository::{self, Versioned};
use super::rows::{Reader, Row as _, date_time, user};
use super::table::{ETag, Entity, Expect, Key, Properties, Query, Table, Value};
use super::{StorageError, StorageErrorKind};
use crate::models::{User, UserId, UserRole};

/// The partition of the marks.
const MARKS: &str = "users_meta";
/// How long a mark holds whose owner went no further; longer than any request lasts.
const MARK_HOLDS: TimeDelta = TimeDelta::minutes(10);
/// How often a mark is read again that others change at the same time.
const ATTEMPTS: usize = 8;

/// The users.
#[derive(Debug, Clone)]
pub struct Users {
    pub(super) table: Arc<dyn Table>,
}

/// Whether an administrator may stop being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Another enabled administrator remains.
    Allowed,
    /// It would be the last one.
    LastOne,
}

impl Users {
    /// Stores a new user; `AlreadyExists` when the id is taken.
    pub async fn insert(&self, user: &User) -> Result<(), StorageError> {
        self.table.insert(&user.entity()).await.map(drop)
    }

    /// Reads one.
    pub async fn get(&self, id: &UserId) -> Result<Option<Versioned<User>>, StorageError> {
        repository::get(&*self.table, &key(id)).await
    }

    /// Reads all; unreadable rows are skipped and logged.
    pub async fn list(&self) -> Result<Vec<User>, StorageError> {
        let all = Query::matching(Filter::eq(PARTITION, user::PARTITION));
        repository::list(&*self.table, &all).await
    }

    /// Tells whether there is no user at all; a row that cannot be read is one.
    pub async fn is_empty(&self) -> Result<bool, StorageError> {
        let one = Query {
            filter: Some(Filter::eq(PARTITION, user::PARTITION)),
            select: vec!["email"],
            top: Some(1),
        };
        let mut from = None;
        loop {
            let page = self.table.query(&one, from.as_ref()).await?;
            match page.next {
                _ if !page.entities.is_empty() => return Ok(false),
                Some(next) => from = Some(next),
                None => return Ok(true),
            }
        }
    }

    /// Changes one, if it is still as it was read.
    pub async fn update(&self, user: &User, etag: &ETag) -> Result<(), StorageError> {
        repository::update(&*self.table, user, etag).await.map(drop)
    }

    /// Changes preferences and nothing else, so that no change of rights at the same time is undone.
    pub async fn prefer(
        &self,
        id: &UserId,
        dark_mode: Option<bool>,
        page_size: Option<u8>,
    ) -> Result<(), StorageError> {
        let dark_mode = dark_mode.map(|dark| ("dark_mode".to_owned(), dark.into()));
        let page_size = page_size.map(|size| ("page_size".to_owned(), Value::Int32(size.into())));
        let changed: Properties = dark_mode.into_iter().chain(page_size).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.table.merge(&key(id), &changed, &Expect::Any).await.map(drop)
    }

    /// Notes that a user is here, and nothing else.
    pub async fn note_login(&self, id: &UserId, at: DateTime<Utc>) -> Result<(), StorageError> {
        let changed = [("last_login".to_owned(), date_time(at))].into();
        self.table.merge(&key(id), &changed, &Expect::Any).await.map(drop)
    }

    /// Deletes one; `false` when there was none.
    pub async fn delete(&self, id: &UserId) -> Result<bool, StorageError> {
        repository::delete(&*self.table, &key(id)).await
    }

    /// Reserves a user who was registered by e-mail for the object id that has proved to own it; of two
    /// ids with the same address, one gets it. `false` when the other one did.
    pub async fn reserve_pending(&self, pending: &UserId, owner: &UserId) -> Result<bool, StorageError> {
        let Some(row) = self.table.get(&key(pending)).await? else { return Ok(false) };
        if let Some(by) = Reader(&row).text("claimed_by") {
            return Ok(by == owner.as_str());
        }
        let claimed = [("claimed_by".to_owned(), owner.as_str().into())].into();
        conditional(self.table.merge(&row.key, &claimed, &version(&row)).await)
    }

    /// Reserves being the first administrator; `false` when somebody else has.
    ///
    /// Whoever reserved it and did not come to store the user gets it again, and after some minutes
    /// anybody does, so that a program that dies in between locks nobody out.
    pub async fn reserve_first_admin(&self, id: &UserId, now: DateTime<Utc>) -> Result<bool, StorageError> {
        let key = Key::new(MARKS, "first_admin");
        let mine: Properties =
            [("user_id".to_owned(), id.as_str().into()), ("reserved_at".to_owned(), date_time(now))].into();
        match self.table.insert(&Entity::new(key.clone(), mine.clone())).await {
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {}
            other => return other.map(|_| true),
        }
        let Some(mark) = self.table.get(&key).await? else { return Ok(false) };
        let row = Reader(&mark);
        if row.text("user_id") == Some(id.as_str()) {
            return Ok(true);
        }
        if row.instant("reserved_at").is_some_and(|at| now - at < MARK_HOLDS) {
            return Ok(false);
        }
        conditional(self.table.merge(&key, &mine, &version(&mark)).await)
    }

    /// Reserves that an administrator stops being an enabled one.
    ///
    /// Those who are about to leave at the same time do not count as remaining. The mark is read before
    /// the users and written on condition that it is unchanged: whoever has left in between had to write
    /// it, so of two who would leave none behind, one finds out.
    pub async fn reserve_leaving(&self, id: &UserId, now: DateTime<Utc>) -> Result<Leaving, StorageError> {
        for _ in 0..ATTEMPTS {
            let mark = self.table.get(&leaving_key()).await?;
            let mut leaving = mark.as_ref().map(leaving_in).unwrap_or_default();
            leaving.retain(|(other, at)| other != id.as_str() && now - *at < MARK_HOLDS);
            let remains = |user: &User| {
                user.role == UserRole::Admin
                    && user.enabled
                    && !user.is_pending()
                    && user.id != *id
                    && leaving.iter().all(|(other, _)| other != user.id.as_str())
            };
            if !self.list().await?.iter().any(remains) {
                return Ok(Leaving::LastOne);
            }
            leaving.push((id.as_str().to_owned(), now));
            if self.write_leaving(mark.as_ref(), &leaving).await? {
                return Ok(Leaving::Allowed);
            }
        }
        Err(StorageError::new(StorageErrorKind::Changed, "change", "the administrators"))
    }

    /// Takes the reservation back once the user is stored, or stays as it was. Only then: while it is
    /// there, the user counts as gone. One that is forgotten ends by itself.
    pub async fn settle_leaving(&self, id: &UserId) -> Result<(), StorageError> {
        for _ in 0..ATTEMPTS {
            let Some(mark) = self.table.get(&leaving_key()).await? else { return Ok(()) };
            let mut leaving = leaving_in(&mark);
            let before = leaving.len();
            leaving.retain(|(other, _)| other != id.as_str());
            if leaving.len() == before || self.write_leaving(Some(&mark), &leaving).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn write_leaving(
        &self,
        mark: Option<&Entity>,
        leaving: &[(String, DateTime<Utc>)],
    ) -> Result<bool, StorageError> {
        let pieces = leaving.iter().map(|(id, at)| format!("{id} {}", at.timestamp_micros()));
        let text = pieces.collect::<Vec<_>>().join(",");
        let properties: Properties = [("leaving".to_owned(), text.into())].into();
        match mark {
            None => conditional(self.table.insert(&Entity::new(leaving_key(), properties)).await),
            Some(mark) => conditional(self.table.merge(&leaving_key(), &properties, &version(mark)).await),
        }
    }
}

fn key(id: &UserId) -> Key {
    Key::new(user::PARTITION, id.as_str())
}

fn leaving_key() -> Key {
    Key::new(MARKS, "leaving")
}

/// Reads who is leaving since when; an id has neither spaces nor commas.
fn leaving_in(mark: &Entity) -> Vec<(String, DateTime<Utc>)> {
    let piece = |piece: &str| {
        let (id, micros) = piece.split_once(' ')?;
        Some((id.to_owned(), DateTime::from_timestamp_micros(micros.parse().ok()?)?))
    };
    Reader(mark).text("leaving").map(|text| text.split(',').filter_map(piece).collect()).unwrap_or_default()
}

fn version(row: &Entity) -> Expect {
    row.etag.clone().map_or(Expect::Any, Expect::Version)
}

/// Tells whether a conditional write was done, or somebody else was faster.
fn conditional(outcome: Result<ETag, StorageError>) -> Result<bool, StorageError> {
    use StorageErrorKind::{AlreadyExists, Changed, NotFound};
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if [AlreadyExists, Changed, NotFound].contains(&error.kind()) => Ok(false),
        Err(error) => Err(error),
    }
}
