//! What the scheduler has last seen of itself and of the system, for whoever asks how things are.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::StorageError;
use super::rows::{Reader, date_time};
use super::table::{Key, Properties, Table};

/// In the table of slots, beside their partition.
const PARTITION: &str = "system";

/// The last tick and the last look at the system.
#[derive(Debug, Clone)]
pub struct Watch {
    pub(super) table: Arc<dyn Table>,
}

/// What the last tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTick {
    /// Enabled databases.
    pub databases: usize,
    /// Jobs that were queued.
    pub queued: usize,
    /// Databases that could not be served.
    pub failed: usize,
    /// Records that were ended because their processor was lost.
    pub ended: usize,
}

/// What the health monitor saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// One for each thing that was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, for programs.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was seen, for people.
    pub message: String,
}

impl HealthReport {
    /// Tells whether all is as it should be.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

impl Watch {
    /// Notes a tick.
    pub async fn note_tick(&self, at: DateTime<Utc>, tick: LastTick) -> Result<(), StorageError> {
        self.note("tick", at, serde_json::to_string(&tick)).await
    }

    /// Reads when the last tick was, and what it did; `None` when there was none.
    pub async fn last_tick(&self) -> Result<Option<(DateTime<Utc>, LastTick)>, StorageError> {
        self.last("tick").await
    }

    /// Notes what the health monitor saw.
    pub async fn note_health(&self, at: DateTime<Utc>, report: &HealthReport) -> Result<(), StorageError> {
        self.note("health", at, serde_json::to_string(report)).await
    }

    /// Reads what the health monitor last saw, and when; `None` when it has not looked yet.
    pub async fn last_health(&self) -> Result<Option<(DateTime<Utc>, HealthReport)>, StorageError> {
        self.last("health").await
    }

    async fn note(
        &self,
        row: &str,
        at: DateTime<Utc>,
        json: Result<String, serde_json::Error>,
    ) -> Result<(), StorageError> {
        // Structs of texts and numbers always render.
        let json = json.unwrap_or_default();
        let properties =
            Properties::from([("at".to_owned(), date_time(at)), ("report".to_owned(), json.into())]);
        self.table.insert_or_merge(&Key::new(PARTITION, row), &properties).await.map(drop)
    }

    /// Reads a note; one of another version, which cannot be read, counts as none.
    async fn last<T: for<'a> Deserialize<'a>>(
        &self,
        row: &str,
    ) -> Result<Option<(DateTime<Utc>, T)>, StorageError> {
        let Some(entity) = self.table.get(&Key::new(PARTITION, row)).await? else { return Ok(None) };
        let row = Reader(&entity);
        let report = row.text("report").and_then(|json| serde_json::from_str(json).ok());
        Ok(row.instant("at").zip(report))
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryTable;
    use super::*;

    #[tokio::test]
    async fn what_was_noted_last_is_read_and_what_cannot_be_read_is_nothing() -> Result<(), StorageError> {
        let watch = Watch { table: Arc::new(MemoryTable::default()) };
        assert_eq!(watch.last_tick().await?, None);
        let at = |seconds| DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
        let tick = LastTick { databases: 3, queued: 2, failed: 1, ended: 0 };
        watch.note_tick(at(1), LastTick { queued: 9, ..tick }).await?;
        watch.note_tick(at(2), tick).await?;
        assert_eq!(watch.last_tick().await?, Some((at(2), tick)));
        assert_eq!(watch.last_health().await?, None);
        let broken =
            Properties::from([("at".to_owned(), date_time(at(3))), ("report".to_owned(), "{".into())]);
        watch.table.insert_or_merge(&Key::new(PARTITION, "health"), &broken).await?;
        assert_eq!(watch.last_health().await?, None);
        Ok(())
    }
}
