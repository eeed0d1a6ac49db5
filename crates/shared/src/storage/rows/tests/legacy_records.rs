//! Records of the history and of the audit log as the earlier system left them.

use serde_json::{Value as Json, json};

use super::{read, with};
use crate::models::{AuditRecord, AuditStatus, Backup, BackupState, BackupStatus, Run, Tier, TriggeredBy};

/// A completed record of the earlier system, with all that it writes.
fn history() -> Json {
    json!({
        "odata.etag": "W/\"datetime'2025-12-05T02%3A01%3A00.0000000Z'\"",
        "PartitionKey": "2025-12-05",
        "RowKey": "3137730015969752491_5646d03a-c0b3-4c69-82f1-882eeb86faba",
        "Timestamp": "2025-12-05T02:01:00.0000000Z",
        "job_id": "11af80c1-ba02-4ed0-a558-46f590ee7d79",
        "database_id": "db-001",
        "database_name": "Orders",
        "database_type": "mysql",
        "status": "completed",
        "started_at": "2025-12-05T02:00:05.000001",
        "completed_at": "2025-12-05T02:00:17.500000",
        "duration_seconds": 12.499_999,
        "blob_name": "mysql/db-001/20251205_020005.sql.gz",
        "blob_url": "http://127.0.0.1:10000/devstoreaccount1/backups/mysql/db-001/20251205_020005.sql.gz",
        "file_size_bytes": 123_456,
        "file_format": "sql.gz",
        "error_message": "",
        "error_details": "",
        "retry_count": 0,
        "triggered_by": "scheduler",
        "tier": "daily",
        "created_at": "2025-12-05T02:00:03.024751",
    })
}

fn without(mut row: Json, names: &[&str]) -> Json {
    row.as_object_mut().unwrap().retain(|name, _| !names.contains(&name.as_str()));
    row
}

fn backup(row: &Json) -> Backup {
    read(row).unwrap()
}

#[test]
fn a_completed_record_is_read_as_it_is() {
    let backup = backup(&history());
    assert_eq!(backup.id.as_str(), "5646d03a-c0b3-4c69-82f1-882eeb86faba");
    assert_eq!((backup.tier, backup.triggered_by), (Some(Tier::Daily), TriggeredBy::Scheduler));
    assert_eq!(backup.created_at.to_rfc3339(), "2025-12-05T02:00:03.024751+00:00");
    assert_eq!(backup.run().seconds, Some(12.499_999));
    let artifact = backup.artifact().unwrap();
    assert_eq!(
        (artifact.bytes, artifact.container.as_ref(), artifact.sha256.as_ref()),
        (Some(123_456), None, None)
    );
    assert_eq!(artifact.format.as_deref(), Some("sql.gz"));
}

#[test]
fn the_id_is_the_whole_key_of_the_oldest_rows() {
    let old = with(history(), json!({"RowKey": "0b1c2d3e-0000-4000-8000-000000000001"}));
    assert_eq!(backup(&old).id.as_str(), "0b1c2d3e-0000-4000-8000-000000000001");
}

#[test]
fn sizes_are_read_in_every_type() {
    let size = |changes| backup(&with(history(), changes)).artifact().and_then(|artifact| artifact.bytes);
    assert_eq!(size(json!({"file_size_bytes": 2_147_483_647})), Some(2_147_483_647));
    let wide = json!({"file_size_bytes": "3000000000", "file_size_bytes@odata.type": "Edm.Int64"});
    assert_eq!(size(wide), Some(3_000_000_000));
    let double = json!({"file_size_bytes": 42.0, "file_size_bytes@odata.type": "Edm.Double"});
    assert_eq!(size(double), Some(42));
    for none in
        [json!({"file_size_bytes": 0}), json!({"file_size_bytes": -1}), json!({"file_size_bytes": "many"})]
    {
        assert_eq!(size(none), None);
    }
}

#[test]
fn what_is_empty_or_zero_or_absent_is_nothing() {
    let empty = json!({
        "status": "pending", "started_at": "", "completed_at": "", "duration_seconds": 0, "blob_name": "",
        "blob_url": "", "file_size_bytes": 0, "file_format": "", "error_message": "", "tier": "",
        "triggered_by": "manual",
    });
    let pending = backup(&with(history(), empty));
    assert_eq!(pending.state, BackupState::Pending { last_failure: None });
    assert_eq!((pending.tier, pending.run()), (None, Run::default()));

    let names = [
        "started_at",
        "completed_at",
        "duration_seconds",
        "blob_url",
        "file_size_bytes",
        "file_format",
        "error_message",
        "error_details",
        "retry_count",
        "triggered_by",
        "tier",
        "database_name",
    ];
    let bare = backup(&without(history(), &names));
    assert_eq!((bare.retry_count, bare.tier, bare.triggered_by), (0, None, TriggeredBy::Scheduler));
    assert_eq!(
        bare.artifact().map(|artifact| artifact.blob_name.as_str()),
        Some("mysql/db-001/20251205_020005.sql.gz")
    );
    assert_eq!(backup(&without(history(), &["blob_name"])).artifact(), None);
}

#[test]
fn a_whole_number_of_seconds_may_have_lost_its_type() {
    assert_eq!(backup(&with(history(), json!({"duration_seconds": 12}))).run().seconds, Some(12.0));
}

#[test]
fn a_failed_record_without_a_reason_says_so() {
    let failed = backup(&with(history(), json!({"status": "failed", "blob_name": ""})));
    assert_eq!(
        failed.failure().map(|failure| failure.message.as_str()),
        Some("The reason was not recorded.")
    );
    let reason = json!({"status": "failed", "error_message": "exit status 2", "error_details": "DumpError"});
    let failure = backup(&with(history(), reason)).failure().cloned().unwrap();
    assert_eq!((failure.message.as_str(), failure.class.as_deref()), ("exit status 2", Some("DumpError")));
}

#[test]
fn a_running_record_has_no_sign_of_life_but_its_start() {
    let running = backup(&with(history(), json!({"status": "in_progress", "completed_at": ""})));
    assert_eq!(running.status(), BackupStatus::InProgress);
    let BackupState::InProgress(attempt) = &running.state else { panic!("{running:?}") };
    assert_eq!((attempt.heartbeat_at, attempt.planned.as_ref()), (None, None));
    assert_eq!(crate::storage::last_sign_of_life(&running).to_rfc3339(), "2025-12-05T02:00:05.000001+00:00");
}

#[test]
fn a_cancelled_record_stays_cancelled() {
    assert_eq!(backup(&with(history(), json!({"status": "cancelled"}))).status(), BackupStatus::Cancelled);
}

#[test]
fn instants_are_read_in_every_form() {
    let forms = [
        json!({"created_at": "2025-12-05T02:00:03.024751Z"}),
        json!({"created_at": "2025-12-05T03:00:03.024751+01:00"}),
        json!({"created_at": "2025-12-05 02:00:03.024751"}),
        json!({"created_at": "2025-12-05T02:00:03.0247510Z", "created_at@odata.type": "Edm.DateTime"}),
    ];
    for form in forms {
        assert_eq!(
            backup(&with(history(), form.clone())).created_at,
            backup(&history()).created_at,
            "{form}"
        );
    }
    let whole = backup(&with(history(), json!({"created_at": "2025-12-05T02:00:03"})));
    assert_eq!(whole.created_at.to_rfc3339(), "2025-12-05T02:00:03+00:00");
}

#[test]
fn what_cannot_be_read_says_why() {
    let broken = [
        json!({"status": "resting"}),
        json!({"database_type": ""}),
        json!({"created_at": "yesterday"}),
        json!({"tier": "fortnightly"}),
        json!({"database_id": "a/b"}),
    ];
    let texts: Vec<String> = broken
        .into_iter()
        .filter_map(|changes| read::<Backup>(&with(history(), changes)).err())
        .map(|error| error.to_string())
        .collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
    row (2025-12-05, 3137730015969752491_5646d03a-c0b3-4c69-82f1-882eeb86faba) cannot be read: status: "resting" is not a known backup status; use one of: pending, in_progress, completed, failed, cancelled
    row (2025-12-05, 3137730015969752491_5646d03a-c0b3-4c69-82f1-882eeb86faba) cannot be read: database_type: missing
    row (2025-12-05, 3137730015969752491_5646d03a-c0b3-4c69-82f1-882eeb86faba) cannot be read: created_at: missing or no date and time
    row (2025-12-05, 3137730015969752491_5646d03a-c0b3-4c69-82f1-882eeb86faba) cannot be read: tier: "fortnightly" is not a known tier; use one of: hourly, daily, weekly, monthly, yearly
    row (2025-12-05, 3137730015969752491_5646d03a-c0b3-4c69-82f1-882eeb86faba) cannot be read: database_id: not an identifier: use 1 to 128 letters, digits, dots, underscores and hyphens
    "#);
}

#[test]
fn audit_records_of_a_month_are_read() {
    let row = json!({
        "PartitionKey": "202512",
        "RowKey": "8235071196975249_0b1c2d3e-0000-4000-8000-000000000001",
        "id": "0b1c2d3e-0000-4000-8000-000000000001",
        "timestamp": "2025-12-05T02:00:03.024751",
        "user_id": "u1",
        "user_email": "a@example.com",
        "action": "engine_discovered",
        "resource_type": "engine",
        "resource_id": "e1",
        "resource_name": "Main",
        "status": "success",
        "ip_address": "unknown",
        "details": "{\"found\": 3}",
    });
    let record: AuditRecord = read(&row).unwrap();
    assert_eq!(record.id.as_str(), "0b1c2d3e-0000-4000-8000-000000000001");
    assert_eq!((record.action.as_str(), record.status), ("engine_discovered", AuditStatus::Success));
    assert_eq!((record.ip_address.as_ref(), record.error_message.as_ref()), (None, None));
    assert_eq!(record.details.unwrap()["found"], 3);

    let bare: AuditRecord =
        read(&without(row.clone(), &["id", "details", "ip_address", "status", "user_id"])).unwrap();
    assert_eq!(bare.id, record.id, "the key has the id too");
    assert_eq!((bare.details, bare.user_id.as_str()), (None, ""));
    let garbled: AuditRecord = read(&with(row.clone(), json!({"details": "{'found': 3}"}))).unwrap();
    let text = garbled.details.as_ref().and_then(|details| details.get("text"));
    assert_eq!(text, Some(&"{'found': 3}".into()), "details that are no JSON are shown as they are");
    let timeless: AuditRecord = read(&without(row, &["timestamp"])).unwrap();
    // The earlier system took its own zone for UTC when it made the key.
    let apart = timeless.timestamp - record.timestamp;
    assert!(apart.abs() < chrono::TimeDelta::days(1), "the key has about the same time: {apart}");
}
