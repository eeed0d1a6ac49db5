//! The audit log: who did what to what, and whether it worked.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::AuditId;
use super::kinds::names;

names! {
    /// What was done. Old rows hold further texts, which are shown as they are.
    AuditAction, "audit action" {
        /// An engine was made.
        Create = "create",
        /// An engine was changed.
        Update = "update",
        /// An engine was deleted.
        Delete = "delete",
        /// A backup ended well.
        BackupCompleted = "backup_completed",
        /// A backup was given up.
        BackupFailed = "backup_failed",
        /// A backup was deleted.
        BackupDeleted = "backup_deleted",
        /// Several backups were deleted.
        BackupDeletedBulk = "backup_deleted_bulk",
        /// Retention deleted a backup.
        BackupDeletedRetention = "backup_deleted_retention",
        /// Somebody asked for a backup.
        BackupTriggered = "backup_triggered",
        /// Somebody asked for a download address.
        BackupDownloaded = "backup_downloaded",
        /// A database was configured.
        DatabaseCreated = "database_created",
        /// A database's configuration changed.
        DatabaseUpdated = "database_updated",
        /// A database's configuration was deleted.
        DatabaseDeleted = "database_deleted",
        /// A connection was tried.
        DatabaseTestConnection = "database_test_connection",
        /// A policy was made.
        PolicyCreated = "policy_created",
        /// A policy was changed.
        PolicyUpdated = "policy_updated",
        /// A policy was deleted.
        PolicyDeleted = "policy_deleted",
        /// A user was registered.
        UserCreated = "user_created",
        /// A user was changed.
        UserUpdated = "user_updated",
        /// A user was deleted.
        UserDeleted = "user_deleted",
        /// A user signed in, or was refused.
        UserLogin = "user_login",
        /// A user signed out.
        UserLogout = "user_logout",
        /// A wish for access was granted.
        AccessRequestApproved = "access_request_approved",
        /// A wish for access was refused.
        AccessRequestRejected = "access_request_rejected",
        /// The settings were changed.
        SettingsUpdated = "settings_updated",
        /// Somebody cancelled a backup.
        BackupCancelled = "backup_cancelled",
        /// Somebody asked for a restore.
        RestoreRequested = "restore_requested",
        /// A restore ended well.
        RestoreCompleted = "restore_completed",
        /// A restore failed.
        RestoreFailed = "restore_failed",
        /// Somebody stopped a restore.
        RestoreCancelled = "restore_cancelled",
        /// Somebody wants a backup kept.
        BackupPinned = "backup_pinned",
        /// Somebody took that back.
        BackupUnpinned = "backup_unpinned",
    }
}

names! {
    /// What it was done to.
    AuditResource, "audit resource type" {
        /// A backup.
        Backup = "backup",
        /// A database's configuration.
        Database = "database",
        /// A server.
        Engine = "engine",
        /// A policy.
        Policy = "policy",
        /// A user.
        User = "user",
        /// The settings.
        Settings = "settings",
        /// A wish for access.
        AccessRequest = "access_request",
    }
}

names! {
    /// Whether it worked.
    AuditStatus, "audit status" {
        /// It did.
        Success = "success",
        /// It did not.
        Failed = "failed",
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user's id; `system` for timers and the processor.
    pub user_id: String,
    /// The user's e-mail; `system` likewise.
    pub email: String,
    /// The address that the request came from; `None` where there was no request.
    pub ip_address: Option<String>,
}

impl Actor {
    /// Returns the actor of timers and of the processor.
    pub fn system() -> Self {
        Self { user_id: "system".to_owned(), email: "system".to_owned(), ip_address: None }
    }
}

/// What happened, before it has an id, a time and an actor.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// What was done.
    pub action: AuditAction,
    /// To what kind of thing.
    pub resource: AuditResource,
    /// To which.
    pub resource_id: String,
    /// Its name at the time.
    pub resource_name: String,
    /// More about it; never a secret.
    pub details: Map<String, Value>,
    /// `Some` when it did not work, with the reason.
    pub error: Option<String>,
}

impl AuditEvent {
    /// Makes an event that worked.
    pub fn new(
        action: AuditAction,
        resource: AuditResource,
        id: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            action,
            resource,
            resource_id: id.into(),
            resource_name: name.into(),
            details: Map::new(),
            error: None,
        }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Turns it into an event that did not work.
    #[must_use]
    pub fn failed(mut self, reason: impl Into<String>) -> Self {
        self.error = Some(reason.into());
        self
    }
}

/// A record of the audit log, as it is read. Action and resource are texts, since old rows hold
/// some that are not known today.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Identifies the record.
    pub id: AuditId,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// Who did it.
    pub user_id: String,
    /// The e-mail of who did it.
    pub user_email: String,
    /// What was done.
    pub action: String,
    /// To what kind of thing.
    pub resource_type: String,
    /// To which.
    pub resource_id: String,
    /// Its name at the time.
    pub resource_name: String,
    /// More about it.
    pub details: Option<Map<String, Value>>,
    /// Whether it worked.
    pub status: AuditStatus,
    /// Why not.
    pub error_message: Option<String>,
    /// Where the request came from.
    pub ip_address: Option<String>,
}
