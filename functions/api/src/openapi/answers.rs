//! What answers hold: the named schemas of the document, one per view.
//!
//! The tests compare every answer of the small world with these, member by member.

use serde_json::{Map, Value};
use shared::models::{
    AuthMethod, BackupStatus, CheckResult, CompressionFormat, Consistency, DatabaseType, EngineType,
    MOST_CONCURRENT_BACKUPS, RestoreMode, RestorePhase, Tier, TlsMode, TriggeredBy, UserRole,
};

use super::schema::{
    Members, count, described, example, flag, id, list, map, moment, named, number, object, one_of, or_null,
    text, whole,
};

/// Returns all named schemas.
pub(super) fn schemas() -> Map<String, Value> {
    let scheduled = [database_members(), vec![("next_backup_at", or_null(moment()))]].concat();
    let named = [
        ("Error", error()),
        ("Database", object(database_members(), database_options())),
        ("ScheduledDatabase", object(scheduled, database_options())),
        ("Engine", engine()),
        ("DiscoveredDatabase", discovered()),
        ("Policy", policy()),
        ("Tier", tier()),
        ("Backup", backup()),
        ("Restore", restore()),
        ("RestorePhase", one_of(RestorePhase::ALL.iter().map(|phase| phase.as_str()))),
        ("RestoreMode", one_of(RestoreMode::ALL.iter().map(|mode| mode.as_str()))),
        ("CheckResult", one_of(CheckResult::ALL.iter().map(|result| result.as_str()))),
        ("User", user()),
        ("AccessRequest", access_request()),
        ("AuditRecord", audit_record()),
        ("Settings", settings()),
        ("DeletedBackups", deleted_backups()),
        ("ConnectionError", connection_error()),
        ("Service", object(service(), vec![])),
        (
            "DatabasesService",
            object([service(), vec![("total", count()), ("enabled", count())]].concat(), vec![]),
        ),
        ("Name", object(vec![("value", text()), ("label", text())], vec![])),
        ("DatabaseType", database_type()),
        ("EngineType", engine_type()),
        ("TlsMode", tls_mode()),
        ("AuthMethod", auth_method()),
        ("CompressionFormat", compression_format()),
        ("BackupStatus", backup_status()),
        ("TierName", tier_name()),
        ("TriggeredBy", triggered_by()),
        ("UserRole", user_role()),
    ];
    named.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

pub(super) fn database_type() -> Value {
    one_of(DatabaseType::ALL.iter().map(|kind| kind.as_str()))
}

pub(super) fn engine_type() -> Value {
    one_of(EngineType::ALL.iter().map(|kind| kind.as_str()))
}

pub(super) fn tls_mode() -> Value {
    one_of(TlsMode::ALL.iter().map(|mode| mode.as_str()))
}

pub(super) fn auth_method() -> Value {
    one_of(AuthMethod::ALL.iter().map(|method| method.as_str()))
}

pub(super) fn compression_format() -> Value {
    one_of(CompressionFormat::ALL.iter().map(|format| format.as_str()))
}

pub(super) fn backup_status() -> Value {
    one_of(BackupStatus::ALL.iter().map(|status| status.as_str()))
}

pub(super) fn tier_name() -> Value {
    one_of(Tier::ALL.iter().map(|tier| tier.as_str()))
}

pub(super) fn triggered_by() -> Value {
    one_of(TriggeredBy::ALL.iter().map(|who| who.as_str()))
}

pub(super) fn user_role() -> Value {
    one_of(UserRole::ALL.iter().map(|role| role.as_str()))
}

fn connection_error() -> Value {
    one_of(["ConnectionFailed", "Timeout", "ToolNotFound", "UnsupportedType"])
}

fn error() -> Value {
    let request_id = described(text(), "Finds the lines of the log that belong to the request.");
    object(
        vec![
            (
                "error",
                example(
                    described(text(), "For people; no program should read it."),
                    "name: must be 1 to 200 characters, without control characters",
                ),
            ),
            ("request_id", request_id),
        ],
        vec![],
    )
}

fn database_members() -> Members {
    vec![
        ("id", id()),
        ("name", text()),
        ("database_type", named("DatabaseType")),
        ("engine_id", or_null(id())),
        ("use_engine_credentials", flag()),
        ("host", text()),
        ("port", whole(0, 65_535)),
        ("tls_mode", named("TlsMode")),
        ("tls_ca", or_null(text())),
        ("database_name", described(text(), "The name on its server.")),
        ("auth_method", or_null(named("AuthMethod"))),
        ("username", or_null(text())),
        ("password_secret_name", or_null(text())),
        ("policy_id", or_null(id())),
        ("use_engine_policy", flag()),
        ("enabled", flag()),
        ("schedule", or_null(text())),
        ("retention_days", or_null(count())),
        ("backup_destination", or_null(text())),
        ("compression", flag()),
        ("compression_format", named("CompressionFormat")),
        ("compression_level", or_null(whole(0, 19))),
        ("exclude_tables", list(text())),
        ("exclude_table_data", list(text())),
        ("include_schemas", list(text())),
        ("include_privileges", flag()),
        ("dump_timeout_minutes", or_null(count())),
        ("stall_timeout_minutes", or_null(count())),
        ("tags", map(text())),
        ("created_at", moment()),
        ("updated_at", moment()),
        ("created_by", or_null(text())),
    ]
}

fn database_options() -> Members {
    vec![
        ("include_globals", described(flag(), "Of PostgreSQL.")),
        ("include_role_passwords", described(flag(), "Of PostgreSQL.")),
        ("include_permissions", described(flag(), "Of SQL Server and Azure SQL.")),
        ("strict", described(flag(), "Of SQL Server and Azure SQL.")),
        (
            "engine_name",
            described(text(), "In the list, where the database belongs to an engine that exists."),
        ),
    ]
}

fn engine() -> Value {
    object(
        vec![
            ("id", id()),
            ("name", text()),
            ("engine_type", named("EngineType")),
            ("host", text()),
            ("port", whole(0, 65_535)),
            ("tls_mode", named("TlsMode")),
            ("tls_ca", or_null(text())),
            ("auth_method", or_null(named("AuthMethod"))),
            ("username", or_null(text())),
            ("password_secret_name", or_null(text())),
            ("connection_string", described(serde_json::json!({"type": "null"}), "Never shown.")),
            ("policy_id", or_null(id())),
            ("max_concurrent_backups", whole(1, MOST_CONCURRENT_BACKUPS.into())),
            ("discovery_enabled", described(flag(), "Whether its credentials are complete.")),
            ("last_discovery", or_null(moment())),
            ("created_at", moment()),
            ("updated_at", moment()),
            ("created_by", or_null(text())),
            ("database_count", count()),
        ],
        vec![],
    )
}

fn discovered() -> Value {
    object(
        vec![
            ("name", text()),
            ("exists", described(flag(), "Whether it is configured.")),
            ("existing_id", or_null(id())),
            ("is_system", flag()),
        ],
        vec![],
    )
}

fn policy() -> Value {
    let tier = || named("Tier");
    object(
        vec![
            ("id", id()),
            ("name", text()),
            ("description", or_null(text())),
            ("is_system", described(flag(), "Whether it can neither be renamed nor deleted.")),
            ("time_zone", text()),
            ("hourly", tier()),
            ("daily", tier()),
            ("weekly", tier()),
            ("monthly", tier()),
            ("yearly", tier()),
            ("created_at", moment()),
            ("updated_at", moment()),
        ],
        vec![],
    )
}

fn tier() -> Value {
    object(
        vec![
            ("enabled", flag()),
            ("keep_count", count()),
            ("interval_hours", whole(1, 24)),
            ("time", described(text(), "HH:MM in the policy's time zone.")),
            ("day_of_week", described(whole(0, 6), "0 is Sunday.")),
            ("day_of_month", whole(1, 31)),
            ("month", whole(1, 12)),
        ],
        vec![],
    )
}

fn backup() -> Value {
    let while_running = "While the backup runs.";
    object(
        vec![
            ("id", id()),
            ("job_id", id()),
            ("database_id", id()),
            ("database_name", text()),
            ("database_type", named("DatabaseType")),
            ("status", named("BackupStatus")),
            ("started_at", or_null(moment())),
            ("completed_at", or_null(moment())),
            ("duration_seconds", or_null(number())),
            ("blob_name", or_null(text())),
            ("blob_url", or_null(text())),
            ("file_size_bytes", or_null(count())),
            ("file_format", or_null(text())),
            ("error_message", or_null(text())),
            ("error_details", or_null(text())),
            ("retry_count", count()),
            ("triggered_by", named("TriggeredBy")),
            ("tier", or_null(named("TierName"))),
            ("created_at", moment()),
        ],
        vec![
            ("engine_id", id()),
            ("engine_name", or_null(text())),
            ("bytes_dumped", described(count(), while_running)),
            ("bytes_uploaded", described(count(), while_running)),
            ("heartbeat_at", described(or_null(moment()), while_running)),
            ("consistency", one_of(Consistency::ALL.iter().map(|kind| kind.as_str()))),
            ("warnings", list(text())),
            ("globals_blob_name", described(text(), "The roles of the server, stored beside the dump.")),
            ("globals_size_bytes", count()),
            ("globals_sha256", text()),
            ("pinned_at", described(moment(), "Since when nobody may delete it.")),
            ("pinned_by", text()),
            ("verified_at", described(moment(), "When it was last proved that it can be restored.")),
            ("deletion_refused_at", described(moment(), "When storage last refused to delete it.")),
            ("deletion_refused", text()),
        ],
    )
}

fn restore() -> Value {
    let progress = object(
        vec![("read_bytes", count()), ("total_bytes", or_null(count())), ("sql_bytes", count())],
        vec![],
    );
    object(
        vec![
            ("id", id()),
            ("backup_id", id()),
            ("database_type", named("DatabaseType")),
            ("blob_name", text()),
            ("target_engine_id", or_null(id())),
            ("host", or_null(text())),
            ("port", or_null(whole(0, 65_535))),
            ("username", or_null(text())),
            ("database_name", text()),
            ("mode", named("RestoreMode")),
            ("keep_failed", flag()),
            ("status", named("BackupStatus")),
            ("phase", named("RestorePhase")),
            ("progress", progress),
            ("cancel_requested", flag()),
            ("requested_by", text()),
            ("created_at", moment()),
            ("started_at", or_null(moment())),
            ("completed_at", or_null(moment())),
            ("duration_seconds", or_null(number())),
            ("failed_in", or_null(named("RestorePhase"))),
            ("error_message", or_null(text())),
            ("error_details", or_null(text())),
            ("failed_line", or_null(count())),
            ("adapted", list(text())),
            ("warnings", list(text())),
        ],
        vec![],
    )
}

fn user() -> Value {
    object(
        vec![
            ("id", id()),
            ("email", text()),
            ("name", text()),
            ("role", named("UserRole")),
            ("enabled", flag()),
            ("dark_mode", flag()),
            ("page_size", count()),
            ("created_at", moment()),
            ("updated_at", moment()),
            ("last_login", or_null(moment())),
            ("created_by", or_null(text())),
        ],
        vec![],
    )
}

fn access_request() -> Value {
    object(
        vec![
            ("id", id()),
            ("email", text()),
            ("name", text()),
            ("azure_ad_id", text()),
            ("status", one_of(["pending", "approved", "rejected"])),
            ("requested_at", moment()),
        ],
        vec![],
    )
}

fn audit_record() -> Value {
    object(
        vec![
            ("id", id()),
            ("timestamp", moment()),
            ("user_id", text()),
            ("user_email", text()),
            ("action", described(text(), "See /audit/actions; records of earlier versions may have others.")),
            ("resource_type", text()),
            ("resource_id", text()),
            ("resource_name", text()),
            ("details", or_null(serde_json::json!({"type": "object", "additionalProperties": true}))),
            ("status", one_of(["success", "failed"])),
            ("error_message", or_null(text())),
            ("ip_address", text()),
        ],
        vec![],
    )
}

fn settings() -> Value {
    object(
        vec![
            ("dark_mode", flag()),
            ("default_retention_days", count()),
            ("default_compression", flag()),
            ("access_requests_enabled", flag()),
            ("updated_at", moment()),
        ],
        vec![],
    )
}

fn deleted_backups() -> Value {
    object(vec![("deleted_files", count()), ("deleted_records", count()), ("errors", list(text()))], vec![])
}

fn service() -> Members {
    vec![("status", one_of(["healthy", "unhealthy", "unknown"])), ("message", text())]
}
