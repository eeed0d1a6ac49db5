//! The audit log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use super::rows::Row as _;
use super::table::Table;
use super::{StorageError, StorageErrorKind};
use crate::models::{Actor, AuditEvent, AuditId, AuditRecord, AuditStatus};

/// The audit log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    table: Arc<dyn Table>,
    lost: Arc<AtomicU64>,
}

impl AuditLog {
    /// Makes the log on a table.
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self { table, lost: Arc::default() }
    }

    /// Records what happened.
    ///
    /// The thing itself has been done by then, so a failure to record it must not turn it into an
    /// error: it is logged with the whole event and counted.
    pub async fn record(&self, actor: &Actor, event: AuditEvent, now: DateTime<Utc>) {
        let record = record(actor, event, now);
        if let Err(error) = self.append(&record).await {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                error = &error as &dyn std::error::Error,
                action = record.action,
                resource_type = record.resource_type,
                resource_id = record.resource_id,
                user = record.user_email,
                "an audit record could not be stored"
            );
        }
    }

    /// Returns how many records could not be stored since the program started.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn append(&self, record: &AuditRecord) -> Result<(), StorageError> {
        match self.table.insert(&record.entity()).await {
            // The id is new: it is this very record, whose answer was lost on its way.
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => Ok(()),
            other => other.map(drop),
        }
    }
}

fn record(actor: &Actor, event: AuditEvent, now: DateTime<Utc>) -> AuditRecord {
    AuditRecord {
        id: AuditId::random(),
        timestamp: now,
        user_id: actor.user_id.clone(),
        user_email: actor.email.clone(),
        action: event.action.as_str().to_owned(),
        resource_type: event.resource.as_str().to_owned(),
        resource_id: event.resource_id,
        resource_name: event.resource_name,
        details: (!event.details.is_empty()).then_some(event.details),
        status: if event.error.is_some() { AuditStatus::Failed } else { AuditStatus::Success },
        error_message: event.error,
        ip_address: actor.ip_address.clone(),
    }
}
