//! Records of the audit log as answers show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::models::{AuditId, AuditRecord, AuditStatus};

/// A record as answers show it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AuditView {
    id: AuditId,
    timestamp: DateTime<Utc>,
    user_id: String,
    user_email: String,
    action: String,
    resource_type: String,
    resource_id: String,
    resource_name: String,
    details: Option<Map<String, Value>>,
    status: AuditStatus,
    error_message: Option<String>,
    ip_address: String,
}

impl From<AuditRecord> for AuditView {
    fn from(record: AuditRecord) -> Self {
        Self {
            id: record.id,
            timestamp: record.timestamp,
            user_id: record.user_id,
            user_email: record.user_email,
            action: record.action,
            resource_type: record.resource_type,
            resource_id: record.resource_id,
            resource_name: record.resource_name,
            details: record.details,
            status: record.status,
            error_message: record.error_message,
            // The web application hides this word.
            ip_address: record.ip_address.unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}
