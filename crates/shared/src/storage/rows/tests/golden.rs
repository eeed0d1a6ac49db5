//! How each noun looks on the wire. These texts are a contract: other versions read such rows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::written;
use crate::models::{
    AccessRequest, AppSettings, Artifact, Attempt, AuditRecord, AuditStatus, Backup, BackupState,
    CompressionFormat, Consistency, Credentials, Database, DatabaseType, DumpOptions, DumpProgress, Endpoint,
    Engine, EngineType, Failure, Globals, Login, Marks, PlannedBlob, PolicyChoice, Resolution, Roles, Run,
    StoredSecret, Tier, Tls, TriggeredBy, User, UserRole, system_policies,
};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_928_800 + seconds, 123_456_000).unwrap()
}

fn login(password: StoredSecret) -> Login {
    Login { auth_method: None, username: Some("backup".parse().unwrap()), password }
}

fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint { host: host.parse().unwrap(), port, tls: Tls::default() }
}

fn database() -> Database {
    Database {
        id: "5646d03a-c0b3-4c69-82f1-882eeb86faba".parse().unwrap(),
        name: "Orders".to_owned(),
        database_type: DatabaseType::Mysql,
        endpoint: endpoint("db1", 3306),
        database_name: "orders".parse().unwrap(),
        engine_id: None,
        credentials: Credentials::Own(login(StoredSecret::Plain("p'w".to_owned().into()))),
        policy: PolicyChoice { own: Some("production-standard".parse().unwrap()), from_engine: false },
        enabled: true,
        schedule: None,
        retention_days: None,
        backup_destination: None,
        compression: true,
        options: DumpOptions::default(),
        tags: BTreeMap::new(),
        created_at: at(0),
        updated_at: at(1),
        created_by: None,
    }
}

fn backup(state: BackupState) -> Backup {
    Backup {
        id: "b1".parse().unwrap(),
        job_id: "11af80c1-ba02-4ed0-a558-46f590ee7d79".parse().unwrap(),
        database_id: "db-001".parse().unwrap(),
        database_name: "Orders".to_owned(),
        database_type: DatabaseType::AzureSql,
        triggered_by: TriggeredBy::Scheduler,
        tier: Some(Tier::Daily),
        created_at: at(0),
        retry_count: 0,
        marks: Marks::default(),
        state,
    }
}

#[test]
fn a_database() {
    insta::assert_snapshot!(written(&database()), @r#"
    PartitionKey = "database"
    RowKey = "5646d03a-c0b3-4c69-82f1-882eeb86faba"
    auth_method = ""
    backup_destination = ""
    compression = true
    compression_format = ""
    compression_level = 0
    created_at = "2025-12-05T10:00:00.123456"
    created_by = ""
    database_name = "orders"
    database_type = "mysql"
    dump_timeout_minutes = 0
    enabled = true
    engine_id = ""
    exclude_table_data = "[]"
    exclude_tables = "[]"
    host = "db1"
    include_globals = false
    include_privileges = false
    include_role_passwords = false
    include_schemas = "[]"
    leave_out_permissions = false
    name = "Orders"
    password = "p'w"
    password_sealed = ""
    password_secret_name = ""
    password_secret_version = ""
    policy_id = "production-standard"
    port = 3306
    retention_days = 0
    schedule = ""
    stall_timeout_minutes = 0
    strict = false
    tags = "{}"
    tls_ca = ""
    tls_mode = "prefer"
    updated_at = "2025-12-05T10:00:01.123456"
    use_engine_credentials = false
    use_engine_policy = false
    username = "backup"
    "#);
}

#[test]
fn a_database_with_everything() {
    let database = Database {
        engine_id: Some("e1".parse().unwrap()),
        credentials: Credentials::Engine,
        policy: PolicyChoice { own: None, from_engine: true },
        enabled: false,
        schedule: Some("CRON_TZ=Europe/Berlin 0 2 * * *".parse().unwrap()),
        retention_days: Some(14),
        backup_destination: Some("own-container".parse().unwrap()),
        compression: false,
        options: DumpOptions {
            exclude_tables: vec!["log_*".parse().unwrap()],
            exclude_table_data: vec!["se\"ssions".parse().unwrap()],
            include_schemas: Vec::new(),
            compression_format: Some(CompressionFormat::Zstd),
            compression_level: Some(12),
            dump_timeout_minutes: Some(30),
            stall_timeout_minutes: Some(5),
            include_privileges: true,
            roles: Roles::WithPasswords,
            leave_out_permissions: true,
            strict: true,
        },
        tags: BTreeMap::from([("team".to_owned(), "Zo\u{eb} & 'co'".to_owned())]),
        created_by: Some("a@example.com".to_owned()),
        ..database()
    };
    insta::assert_snapshot!(written(&database), @r#"
    PartitionKey = "database"
    RowKey = "5646d03a-c0b3-4c69-82f1-882eeb86faba"
    auth_method = ""
    backup_destination = "own-container"
    compression = false
    compression_format = "zstd"
    compression_level = 12
    created_at = "2025-12-05T10:00:00.123456"
    created_by = "a@example.com"
    database_name = "orders"
    database_type = "mysql"
    dump_timeout_minutes = 30
    enabled = false
    engine_id = "e1"
    exclude_table_data = "[\"se\\\"ssions\"]"
    exclude_tables = "[\"log_*\"]"
    host = "db1"
    include_globals = true
    include_privileges = true
    include_role_passwords = true
    include_schemas = "[]"
    leave_out_permissions = true
    name = "Orders"
    password = ""
    password_sealed = ""
    password_secret_name = ""
    password_secret_version = ""
    policy_id = ""
    port = 3306
    retention_days = 14
    schedule = "CRON_TZ=Europe/Berlin 0 2 * * *"
    stall_timeout_minutes = 5
    strict = true
    tags = "{\"team\":\"Zoë & 'co'\"}"
    tls_ca = ""
    tls_mode = "prefer"
    updated_at = "2025-12-05T10:00:01.123456"
    use_engine_credentials = true
    use_engine_policy = true
    username = ""
    "#);
}

#[test]
fn an_engine() {
    let engine = Engine {
        id: "e1".parse().unwrap(),
        name: "Main".to_owned(),
        engine_type: EngineType::Postgresql,
        endpoint: endpoint("10.0.0.4", 5432),
        login: login(StoredSecret::Named { name: "engine-e1".to_owned(), version: Some("0a1b".to_owned()) }),
        connection_string: StoredSecret::None,
        policy_id: None,
        max_concurrent_backups: 3,
        last_discovery: Some(at(60)),
        created_at: at(0),
        updated_at: at(1),
        created_by: Some("a@example.com".to_owned()),
    };
    insta::assert_snapshot!(written(&engine), @r#"
    PartitionKey = "engine"
    RowKey = "e1"
    auth_method = ""
    connection_string = ""
    connection_string_sealed = ""
    connection_string_secret_name = ""
    connection_string_secret_version = ""
    created_at = "2025-12-05T10:00:00.123456"
    created_by = "a@example.com"
    discovery_enabled = true
    engine_type = "postgresql"
    host = "10.0.0.4"
    last_discovery = "2025-12-05T10:01:00.123456"
    max_concurrent_backups = 3
    name = "Main"
    password = ""
    password_sealed = ""
    password_secret_name = "engine-e1"
    password_secret_version = "0a1b"
    policy_id = ""
    port = 5432
    tls_ca = ""
    tls_mode = "prefer"
    updated_at = "2025-12-05T10:00:01.123456"
    username = "backup"
    "#);
}

#[test]
fn a_pending_backup() {
    insta::assert_snapshot!(written(&backup(BackupState::Pending { last_failure: None })), @r#"
    PartitionKey = "2025-12-05"
    RowKey = "3137729687998765439_b1"
    blob_name = ""
    blob_url = ""
    bytes_dumped = "0"
    bytes_dumped@odata.type = "Edm.Int64"
    bytes_uploaded = "0"
    bytes_uploaded@odata.type = "Edm.Int64"
    completed_at = ""
    consistency = ""
    container_name = ""
    created_at = "2025-12-05T10:00:00.123456"
    database_id = "db-001"
    database_name = "Orders"
    database_type = "azure_sql"
    duration_seconds = 0.0
    duration_seconds@odata.type = "Edm.Double"
    error_details = ""
    error_message = ""
    file_format = ""
    file_size_bytes = "0"
    file_size_bytes@odata.type = "Edm.Int64"
    heartbeat_at = ""
    job_id = "11af80c1-ba02-4ed0-a558-46f590ee7d79"
    planned_blob_name = ""
    planned_container_name = ""
    retry_count = 0
    sha256 = ""
    started_at = ""
    status = "pending"
    tier = "daily"
    triggered_by = "scheduler"
    warnings = ""
    "#);
}

#[test]
fn a_running_backup() {
    let planned = PlannedBlob {
        container: "backups".parse().unwrap(),
        name: "azure_sql/db-001/20251205_100000.sql.gz".to_owned(),
    };
    let attempt = Attempt {
        started_at: Some(at(5)),
        heartbeat_at: Some(at(65)),
        planned: Some(planned),
        progress: DumpProgress { dumped_bytes: 5_000_000_000, uploaded_bytes: 12 },
    };
    insta::assert_snapshot!(written(&Backup { retry_count: 1, ..backup(BackupState::InProgress(attempt)) }), @r#"
    PartitionKey = "2025-12-05"
    RowKey = "3137729687998765439_b1"
    blob_name = ""
    blob_url = ""
    bytes_dumped = "5000000000"
    bytes_dumped@odata.type = "Edm.Int64"
    bytes_uploaded = "12"
    bytes_uploaded@odata.type = "Edm.Int64"
    completed_at = ""
    consistency = ""
    container_name = ""
    created_at = "2025-12-05T10:00:00.123456"
    database_id = "db-001"
    database_name = "Orders"
    database_type = "azure_sql"
    duration_seconds = 0.0
    duration_seconds@odata.type = "Edm.Double"
    error_details = ""
    error_message = ""
    file_format = ""
    file_size_bytes = "0"
    file_size_bytes@odata.type = "Edm.Int64"
    heartbeat_at = "2025-12-05T10:01:05.123456"
    job_id = "11af80c1-ba02-4ed0-a558-46f590ee7d79"
    planned_blob_name = "azure_sql/db-001/20251205_100000.sql.gz"
    planned_container_name = "backups"
    retry_count = 1
    sha256 = ""
    started_at = "2025-12-05T10:00:05.123456"
    status = "in_progress"
    tier = "daily"
    triggered_by = "scheduler"
    warnings = ""
    "#);
}

#[test]
fn a_completed_backup() {
    let artifact = Artifact {
        blob_name: "azure_sql/db-001/20251205_100000.sql.gz".to_owned(),
        blob_url: Some(
            "https://a.blob.core.windows.net/backups/azure_sql/db-001/20251205_100000.sql.gz".to_owned(),
        ),
        container: Some("backups".parse().unwrap()),
        bytes: Some(3_000_000_000),
        format: Some("sql.gz".to_owned()),
        sha256: Some("e3b0c442".to_owned()),
        consistency: Some(Consistency::PerTable),
        warnings: ["the table \"a\" is encrypted", "é"].into_iter().collect(),
        globals: Some(Globals {
            blob_name: "azure_sql/db-001/20251205_100000.globals.sql.gz".to_owned(),
            bytes: 412,
            sha256: "5d41402a".to_owned(),
        }),
    };
    let state = BackupState::Completed { run: Run::between(at(5), at(17)), artifact: Some(artifact) };
    insta::assert_snapshot!(written(&Backup { tier: None, triggered_by: TriggeredBy::Manual, ..backup(state) }), @r#"
    PartitionKey = "2025-12-05"
    RowKey = "3137729687998765439_b1"
    blob_name = "azure_sql/db-001/20251205_100000.sql.gz"
    blob_url = "https://a.blob.core.windows.net/backups/azure_sql/db-001/20251205_100000.sql.gz"
    bytes_dumped = "0"
    bytes_dumped@odata.type = "Edm.Int64"
    bytes_uploaded = "0"
    bytes_uploaded@odata.type = "Edm.Int64"
    completed_at = "2025-12-05T10:00:17.123456"
    consistency = "per_table"
    container_name = "backups"
    created_at = "2025-12-05T10:00:00.123456"
    database_id = "db-001"
    database_name = "Orders"
    database_type = "azure_sql"
    duration_seconds = 12.0
    duration_seconds@odata.type = "Edm.Double"
    error_details = ""
    error_message = ""
    file_format = "sql.gz"
    file_size_bytes = "3000000000"
    file_size_bytes@odata.type = "Edm.Int64"
    globals_blob_name = "azure_sql/db-001/20251205_100000.globals.sql.gz"
    globals_sha256 = "5d41402a"
    globals_size_bytes = "412"
    globals_size_bytes@odata.type = "Edm.Int64"
    heartbeat_at = ""
    job_id = "11af80c1-ba02-4ed0-a558-46f590ee7d79"
    planned_blob_name = ""
    planned_container_name = ""
    retry_count = 0
    sha256 = "e3b0c442"
    started_at = "2025-12-05T10:00:05.123456"
    status = "completed"
    tier = ""
    triggered_by = "manual"
    warnings = "[\"the table \\\"a\\\" is encrypted\",\"é\"]"
    "#);
}

#[test]
fn a_failed_backup() {
    let failure = Failure::new("AccessDenied", "The server refused the user \"backup\".");
    insta::assert_snapshot!(written(&backup(BackupState::Failed { run: Run::between(at(5), at(6)), failure })), @r#"
    PartitionKey = "2025-12-05"
    RowKey = "3137729687998765439_b1"
    blob_name = ""
    blob_url = ""
    bytes_dumped = "0"
    bytes_dumped@odata.type = "Edm.Int64"
    bytes_uploaded = "0"
    bytes_uploaded@odata.type = "Edm.Int64"
    completed_at = "2025-12-05T10:00:06.123456"
    consistency = ""
    container_name = ""
    created_at = "2025-12-05T10:00:00.123456"
    database_id = "db-001"
    database_name = "Orders"
    database_type = "azure_sql"
    duration_seconds = 1.0
    duration_seconds@odata.type = "Edm.Double"
    error_details = "AccessDenied"
    error_message = "The server refused the user \"backup\"."
    file_format = ""
    file_size_bytes = "0"
    file_size_bytes@odata.type = "Edm.Int64"
    heartbeat_at = ""
    job_id = "11af80c1-ba02-4ed0-a558-46f590ee7d79"
    planned_blob_name = ""
    planned_container_name = ""
    retry_count = 0
    sha256 = ""
    started_at = "2025-12-05T10:00:05.123456"
    status = "failed"
    tier = "daily"
    triggered_by = "scheduler"
    warnings = ""
    "#);
}

#[test]
fn a_policy() {
    insta::assert_snapshot!(written(&system_policies(at(0))[0]), @r#"
    PartitionKey = "backup_policy"
    RowKey = "production-critical"
    created_at = "2025-12-05T10:00:00.123456"
    daily_enabled = true
    daily_keep_count = 15
    daily_time = "02:00"
    description = "All five tiers and the longest history, for data that must not be lost"
    hourly_enabled = true
    hourly_interval_hours = 1
    hourly_keep_count = 24
    is_system = true
    monthly_day_of_month = 1
    monthly_enabled = true
    monthly_keep_count = 4
    monthly_time = "04:00"
    name = "Production Critical"
    time_zone = "UTC"
    updated_at = "2025-12-05T10:00:00.123456"
    weekly_day_of_week = 0
    weekly_enabled = true
    weekly_keep_count = 8
    weekly_time = "03:00"
    yearly_day_of_month = 1
    yearly_enabled = true
    yearly_keep_count = 2
    yearly_month = 1
    yearly_time = "05:00"
    "#);
}

#[test]
fn a_user() {
    let user = User {
        id: "pending-1".parse().unwrap(),
        email: "a@example.com".to_owned(),
        name: "A".to_owned(),
        role: UserRole::Operator,
        enabled: true,
        dark_mode: false,
        page_size: 25,
        created_at: at(0),
        updated_at: at(1),
        last_login: None,
        created_by: None,
    };
    insta::assert_snapshot!(written(&user), @r#"
    PartitionKey = "users"
    RowKey = "pending-1"
    created_at = "2025-12-05T10:00:00.123456"
    dark_mode = false
    email = "a@example.com"
    enabled = true
    name = "A"
    page_size = 25
    role = "operator"
    updated_at = "2025-12-05T10:00:01.123456"
    "#);
    let user = User { last_login: Some(at(9)), created_by: Some("admin".to_owned()), ..user };
    let added: Vec<String> = written(&user)
        .lines()
        .filter(|line| line.starts_with("last_login") || line.starts_with("created_by"))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(added.join("\n"), @r#"
    created_by = "admin"
    last_login = "2025-12-05T10:00:09.123456"
    "#);
}

#[test]
fn an_access_request() {
    let request = AccessRequest {
        id: "r1".parse().unwrap(),
        email: "b@example.com".to_owned(),
        name: "B".to_owned(),
        azure_ad_id: "oid".to_owned(),
        requested_at: at(0),
        resolution: Resolution::Pending,
    };
    insta::assert_snapshot!(written(&request), @r#"
    PartitionKey = "access_requests"
    RowKey = "r1"
    azure_ad_id = "oid"
    email = "b@example.com"
    name = "B"
    requested_at = "2025-12-05T10:00:00.123456"
    status = "pending"
    "#);
    let resolution = Resolution::Rejected {
        at: Some(at(9)),
        by: Some("admin".to_owned()),
        reason: Some("who?".to_owned()),
    };
    insta::assert_snapshot!(written(&AccessRequest { resolution, ..request }), @r#"
    PartitionKey = "access_requests"
    RowKey = "r1"
    azure_ad_id = "oid"
    email = "b@example.com"
    name = "B"
    rejection_reason = "who?"
    requested_at = "2025-12-05T10:00:00.123456"
    resolved_at = "2025-12-05T10:00:09.123456"
    resolved_by = "admin"
    status = "rejected"
    "#);
}

#[test]
fn an_audit_record() {
    let record = AuditRecord {
        id: "a1".parse().unwrap(),
        timestamp: at(0),
        user_id: "system".to_owned(),
        user_email: "system".to_owned(),
        action: "backup_failed".to_owned(),
        resource_type: "backup".to_owned(),
        resource_id: "b1".to_owned(),
        resource_name: "Orders".to_owned(),
        details: json!({"tier": "daily", "file_size_bytes": 3_000_000_000_u64}).as_object().cloned(),
        status: AuditStatus::Failed,
        error_message: Some("no such database".to_owned()),
        ip_address: None,
    };
    insta::assert_snapshot!(written(&record), @r#"
    PartitionKey = "2025-12-05"
    RowKey = "3137729687998765439_a1"
    action = "backup_failed"
    details = "{\"file_size_bytes\":3000000000,\"tier\":\"daily\"}"
    error_message = "no such database"
    id = "a1"
    ip_address = "unknown"
    resource_id = "b1"
    resource_name = "Orders"
    resource_type = "backup"
    status = "failed"
    timestamp = "2025-12-05T10:00:00.123456"
    user_email = "system"
    user_id = "system"
    "#);
}

#[test]
fn the_settings() {
    insta::assert_snapshot!(written(&AppSettings::defaults(30, at(0))), @r#"
    PartitionKey = "settings"
    RowKey = "app"
    access_requests_enabled = true
    dark_mode = false
    default_compression = true
    default_retention_days = 30
    updated_at = "2025-12-05T10:00:00.123456"
    "#);
}
