//! Backup jobs as queue messages.
//!
//! The text of a message is a contract with earlier versions: it is read leniently and written in
//! their form. Nothing secret is ever in it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::queue::Queue;
use super::table::Value;
use super::{StorageError, restores, rows};
use crate::models::{BackupJob, DatabaseType, RestoreId, TriggeredBy};

/// The queue of restores; the processor's function names it too.
pub const RESTORE_QUEUE: &str = "restore-jobs";

/// The queues of jobs.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) poison: Arc<dyn Queue>,
    pub(super) restores: Arc<dyn Queue>,
}

impl Jobs {
    /// Makes the queues of jobs and of messages that were given up.
    pub fn new(queue: Arc<dyn Queue>, poison: Arc<dyn Queue>, restores: Arc<dyn Queue>) -> Self {
        Self { queue, poison, restores }
    }

    /// Sends a restore that may run after `delay`.
    pub async fn send_restore(&self, id: &RestoreId, delay: Duration) -> Result<String, StorageError> {
        self.restores.send(&restores::encode(id), delay).await
    }

    /// Sends a job that may run after `delay`; returns the message's id.
    pub async fn send(&self, job: &BackupJob, delay: Duration) -> Result<String, StorageError> {
        self.queue.send(&encode(job), delay).await
    }

    /// Sends any text to the queue of jobs, as a stranger with access could.
    #[cfg(any(test, feature = "testing"))]
    pub async fn send_text(&self, text: &str) -> Result<String, StorageError> {
        self.queue.send(text, Duration::ZERO).await
    }

    /// Returns about how many jobs wait, and how many messages were given up.
    pub async fn depth(&self) -> Result<(u64, u64), StorageError> {
        Ok((self.queue.depth().await?, self.poison.depth().await?))
    }

    /// Returns when the oldest of the jobs was made that come next. Jobs come about in the order in which they
    /// were sent, so a job that is older than this one by far has no message that waits its turn.
    pub async fn oldest(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StorageError> {
        let texts = self.queue.peek().await?;
        Ok(texts.iter().filter_map(|text| decode(text, now).ok()).map(|job| job.created_at).min())
    }

    pub(super) async fn create(&self) -> Result<(), StorageError> {
        self.queue.create().await?;
        self.restores.create().await?;
        self.poison.create().await
    }
}

/// The error of a message that is no job.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJob {
    /// The text is not a JSON object.
    #[error("the message is not a JSON object with the members of a backup job")]
    Json(#[source] serde_json::Error),
    /// A member is missing or cannot be used.
    #[error("the backup job cannot be used: {member}: {problem}")]
    Member {
        /// Which member.
        member: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    database_id: &'a str,
    database_name: &'a str,
    database_type: DatabaseType,
    host: &'a str,
    port: u16,
    database_name_target: &'a str,
    username: &'a str,
    password_secret_name: Option<&'a str>,
    compression: bool,
    backup_destination: Option<&'a str>,
    triggered_by: TriggeredBy,
    tier: Option<&'static str>,
    created_at: Instant,
    scheduled_at: Option<Instant>,
    backup_id: Option<&'a str>,
}

/// An instant, rendered in the form of rows.
struct Instant(DateTime<Utc>);

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match rows::date_time(self.0) {
            Value::String(text) => serializer.serialize_str(&text),
            Value::Bool(_) | Value::Int32(_) | Value::Int64(_) | Value::Double(_) | Value::DateTime(_) => {
                serializer.serialize_none()
            }
        }
    }
}

/// Renders a job as the text of a message.
pub fn encode(job: &BackupJob) -> String {
    let message = Message {
        id: job.id.as_str(),
        database_id: job.database_id.as_str(),
        database_name: &job.database_name,
        database_type: job.database_type,
        host: &job.host,
        port: job.port,
        database_name_target: &job.target_database,
        username: &job.username,
        password_secret_name: None,
        compression: job.compression,
        backup_destination: job.backup_destination.as_deref(),
        triggered_by: job.triggered_by,
        tier: job.tier.map(crate::models::Tier::as_str),
        created_at: Instant(job.created_at),
        scheduled_at: job.scheduled_at.map(Instant),
        backup_id: job.backup_id.as_ref().map(crate::models::BackupId::as_str),
    };
    // A struct of texts and numbers always renders.
    serde_json::to_string(&message).unwrap_or_default()
}

#[derive(Deserialize)]
struct Incoming {
    id: Option<String>,
    database_id: Option<String>,
    #[serde(default)]
    database_name: Json,
    database_type: Option<String>,
    #[serde(default)]
    host: Json,
    #[serde(default)]
    port: Json,
    #[serde(alias = "target_database", default)]
    database_name_target: Json,
    #[serde(default)]
    username: Json,
    compression: Option<bool>,
    #[serde(default)]
    backup_destination: Json,
    triggered_by: Option<String>,
    tier: Option<String>,
    created_at: Option<String>,
    scheduled_at: Option<String>,
    backup_id: Option<String>,
}

/// Reads a job from the text of a message.
///
/// Only what identifies the job must be right; connection data are for information and may be
/// anything, and an empty text counts as missing. A message without `created_at` gets `received_at`.
pub fn decode(text: &str, received_at: DateTime<Utc>) -> Result<BackupJob, InvalidJob> {
    let message: Incoming = serde_json::from_str(text).map_err(InvalidJob::Json)?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let text_of = |value: Json| value.as_str().map(str::to_owned).unwrap_or_default();
    let database_type: DatabaseType = parse("database_type", message.database_type)?;
    Ok(BackupJob {
        id: parse("id", message.id)?,
        backup_id: given(message.backup_id).map(|id| parse("backup_id", Some(id))).transpose()?,
        database_id: parse("database_id", message.database_id)?,
        database_name: text_of(message.database_name),
        database_type,
        host: text_of(message.host),
        port: message.port.as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        target_database: text_of(message.database_name_target),
        username: text_of(message.username),
        compression: message.compression.unwrap_or(true),
        backup_destination: given(message.backup_destination.as_str().map(str::to_owned)),
        triggered_by: match message.triggered_by.as_deref() {
            Some("manual") => TriggeredBy::Manual,
            Some(_) | None => TriggeredBy::Scheduler,
        },
        tier: given(message.tier).map(|tier| parse("tier", Some(tier))).transpose()?,
        created_at: match given(message.created_at) {
            Some(text) => instant("created_at", &text)?,
            None => received_at,
        },
        scheduled_at: given(message.scheduled_at).map(|text| instant("scheduled_at", &text)).transpose()?,
    })
}

fn parse<T: std::str::FromStr<Err: ToString>>(
    member: &'static str,
    text: Option<String>,
) -> Result<T, InvalidJob> {
    let text = text.ok_or_else(|| InvalidJob::Member { member, problem: "missing".to_owned() })?;
    text.parse().map_err(|error: T::Err| InvalidJob::Member { member, problem: error.to_string() })
}

fn instant(member: &'static str, text: &str) -> Result<DateTime<Utc>, InvalidJob> {
    rows::parse_date_time(text).ok_or_else(|| InvalidJob::Member {
        member,
        problem: "no date and time such as 2025-12-05T10:00:00".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"id":"11af80c1-ba02-4ed0-a558-46f590ee7d79","database_id":"db-001","database_name":"Orders","database_type":"mysql","host":"db1","port":3306,"database_name_target":"orders","username":"backup","password_secret_name":null,"compression":true,"backup_destination":null,"triggered_by":"scheduler","tier":"daily","created_at":"2025-12-05T02:00:03.024751","scheduled_at":"2025-12-05T02:00:00"}"#;

    #[test]
    fn reads_and_writes_the_form_of_earlier_versions() -> Result<(), InvalidJob> {
        let job = decode(OLD, DateTime::UNIX_EPOCH)?;
        insta::assert_snapshot!(encode(&job), @r#"{"id":"11af80c1-ba02-4ed0-a558-46f590ee7d79","database_id":"db-001","database_name":"Orders","database_type":"mysql","host":"db1","port":3306,"database_name_target":"orders","username":"backup","password_secret_name":null,"compression":true,"backup_destination":null,"triggered_by":"scheduler","tier":"daily","created_at":"2025-12-05T02:00:03.024751","scheduled_at":"2025-12-05T02:00:00.000000","backup_id":null}"#);
        assert_eq!(decode(&encode(&job), DateTime::UNIX_EPOCH)?, job);
        Ok(())
    }

    #[test]
    fn reads_the_seeds_name_of_the_target() -> Result<(), InvalidJob> {
        let job = decode(&OLD.replace("database_name_target", "target_database"), DateTime::UNIX_EPOCH)?;
        assert_eq!(job.target_database, "orders");
        Ok(())
    }

    #[test]
    fn takes_what_does_not_matter_in_any_form() -> Result<(), InvalidJob> {
        let text = r#"{"id":"j","database_id":"d","database_type":"azure_sql","database_name":null,"host":["x"],
            "port":"3306","username":7,"backup_destination":"","triggered_by":"api","tier":"","created_at":"",
            "scheduled_at":"","backup_id":"","password":"never read","more":{}}"#;
        let job = decode(text, DateTime::UNIX_EPOCH)?;
        assert_eq!(
            (job.tier, job.backup_id, job.scheduled_at, job.backup_destination),
            (None, None, None, None)
        );
        assert_eq!((job.port, job.compression, job.triggered_by), (0, true, TriggeredBy::Scheduler));
        assert_eq!((job.host.as_str(), job.created_at), ("", DateTime::UNIX_EPOCH));
        Ok(())
    }

    #[test]
    fn says_what_is_wrong_with_a_message() {
        let texts = [
            "not json",
            "[]",
            "{}",
            r#"{"id":"a/b","database_id":"d","database_type":"mysql"}"#,
            r#"{"id":"a","database_id":"d","database_type":"oracle"}"#,
            r#"{"id":"a","database_id":"d","database_type":"mysql","created_at":"soon"}"#,
        ];
        let errors: Vec<String> = texts
            .iter()
            .filter_map(|text| decode(text, DateTime::UNIX_EPOCH).err())
            .map(|error| error.to_string())
            .collect();
        insta::assert_snapshot!(errors.join("\n"), @r#"
        the message is not a JSON object with the members of a backup job
        the message is not a JSON object with the members of a backup job
        the backup job cannot be used: database_type: missing
        the backup job cannot be used: id: not an identifier: use 1 to 128 letters, digits, dots, underscores and hyphens
        the backup job cannot be used: database_type: "oracle" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
        the backup job cannot be used: created_at: no date and time such as 2025-12-05T10:00:00
        "#);
    }
}
