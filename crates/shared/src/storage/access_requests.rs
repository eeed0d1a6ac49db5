//! Strangers' wishes for access, and when their refusals were last written into the audit log.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::filter::{Filter, PARTITION};
use super::repository::{self, Versioned};
use super::rows::{Reader, Row as _, access_request, date_time};
use super::table::{ETag, Entity, Expect, Key, Properties, Query, Table};
use super::{StorageError, StorageErrorKind};
use crate::models::{AccessRequest, AccessRequestId};

/// The partition of the notes on refusals.
const REFUSALS: &str = "refusals";

/// Strangers' wishes for access.
#[derive(Debug, Clone)]
pub struct AccessRequests {
    pub(super) table: Arc<dyn Table>,
}

impl AccessRequests {
    /// Stores a new request; `AlreadyExists` when the id is taken.
    pub async fn insert(&self, request: &AccessRequest) -> Result<(), StorageError> {
        self.table.insert(&request.entity()).await.map(drop)
    }

    /// Reads one.
    pub async fn get(&self, id: &AccessRequestId) -> Result<Option<Versioned<AccessRequest>>, StorageError> {
        repository::get(&*self.table, &Key::new(access_request::PARTITION, id.as_str())).await
    }

    /// Reads all; unreadable rows are skipped and logged.
    pub async fn list(&self) -> Result<Vec<AccessRequest>, StorageError> {
        let all = Query::matching(Filter::eq(PARTITION, access_request::PARTITION));
        repository::list(&*self.table, &all).await
    }

    /// Changes one, if it is still as it was read.
    pub async fn update(&self, request: &AccessRequest, etag: &ETag) -> Result<ETag, StorageError> {
        repository::update(&*self.table, request, etag).await
    }

    /// Notes that a refusal is about to be written into the audit log; `false` when that was done less
    /// than `pause` ago, by whichever process.
    pub async fn note_refusal(
        &self,
        event: &str,
        user_id: &str,
        pause: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        let key = Key::new(REFUSALS, format!("{event}_{user_id}"));
        let note: Properties = [("noted_at".to_owned(), date_time(now))].into();
        let outcome = match self.table.get(&key).await? {
            None => self.table.insert(&Entity::new(key, note)).await,
            Some(row) if Reader(&row).instant("noted_at").is_some_and(|at| now - at < pause) => {
                return Ok(false);
            }
            Some(row) => {
                let version = row.etag.map_or(Expect::Any, Expect::Version);
                self.table.merge(&key, &note, &version).await
            }
        };
        match outcome {
            Ok(_) => Ok(true),
            Err(error)
                if matches!(error.kind(), StorageErrorKind::AlreadyExists | StorageErrorKind::Changed) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
