//! The domain: plain types with no knowledge of JSON bodies or table rows.

mod audit;
mod backup;
mod database;
mod dump_options;
mod ids;
mod kinds;
mod marks;
mod names;
mod policy;
mod remarks;
mod restore;
mod settings;
mod tier;
mod tls;
mod user;

pub use audit::{Actor, AuditAction, AuditEvent, AuditRecord, AuditResource, AuditStatus};
pub use backup::{
    Artifact, Attempt, Backup, BackupJob, BackupState, Cause, DumpProgress, Failure, Globals, Lane,
    PlannedBlob, Run,
};
pub use database::{
    Credentials, DEFAULT_CONCURRENT_BACKUPS, Database, Endpoint, Engine, Login, MOST_CONCURRENT_BACKUPS,
    PolicyChoice, StoredSecret,
};
pub use dump_options::{CompressionFormat, DumpOptions, MOST_PATTERNS, NamePattern, Roles};
pub(crate) use ids::derived_text;
pub use ids::{
    AccessRequestId, AuditId, BackupId, ClaimId, DatabaseId, EngineId, InvalidId, JobId, PolicyId, RestoreId,
    UserId,
};
pub use kinds::{
    AuthMethod, BackupStatus, DatabaseType, EngineType, Tier, TriggeredBy, UnknownName, UserRole,
};
pub use marks::{Marks, Pin, Refusal};
pub use names::{ContainerName, DatabaseName, EmailAddress, Host, InvalidText, UserName, is_instance};
pub use policy::{BackupPolicy, DEFAULT_POLICY, policy_name, slug, system_policies, time_zone};
pub use remarks::{Consistency, Warnings};
pub use restore::{Check, CheckResult, Place, Restore, RestoreMode, RestorePhase, RestoreProgress};
pub use settings::AppSettings;
pub use tier::{InvalidTime, OutOfRange, TierConfig, TimeOfDay};
pub use tls::{Authorities, Tls, TlsMode};
pub use user::{AccessRequest, Resolution, User, is_pending, pending_id, same_email};
