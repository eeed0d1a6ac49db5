//! A long history and a long audit log, as an earlier system would have left them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::batches::Row;

/// How many databases the backups belong to.
pub(crate) const DATABASES: u32 = 100;

/// How many backups, and how many audit records, there are on one day.
const A_DAY: u32 = 274;

/// The last instant that row keys count down from, in ticks of 100 ns.
const MAX_TICKS: i64 = 3_155_378_975_999_999_999;

/// The same for the partitions of months, in microseconds.
const MAX_MICROS: i64 = 9_999_999_999_999_999;

/// The age in days from which audit records are in the partition of their month.
const OF_MONTH: i64 = 180;

const ACTIONS: [[&str; 2]; 8] = [
    ["backup_completed", "backup"],
    ["backup_triggered", "backup"],
    ["backup_completed", "backup"],
    ["backup_deleted_retention", "backup"],
    ["backup_completed", "backup"],
    ["user_login", "user"],
    ["backup_failed", "backup"],
    ["database_updated", "database"],
];

/// Returns the id and name of a database.
pub(crate) fn database(number: u32) -> String {
    format!("db-{number:03}")
}

fn instant(number: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::milliseconds(i64::from(number) * 86_400_000 / i64::from(A_DAY))
}

fn day_keys(at: DateTime<Utc>, id: &str) -> [String; 2] {
    let ticks = at.timestamp() * 10_000_000 + i64::from(at.timestamp_subsec_nanos() / 100);
    [at.format("%Y-%m-%d").to_string(), format!("{:019}_{id}", MAX_TICKS - ticks)]
}

/// Makes the row of the backup that is so many before the latest. One in ten has failed.
pub(crate) fn backup(number: u32, now: DateTime<Utc>) -> Row {
    backup_of(&database(number % DATABASES), number, instant(number, now))
}

/// Makes the row of a backup of a database that was made at an instant.
pub(crate) fn backup_of(database: &str, number: u32, at: DateTime<Utc>) -> Row {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let [partition, row] = day_keys(at, &id);
    let text = at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    let failed = number % 10 == 3;
    let blob = format!("mysql/{database}/{}.sql.gz", at.format("%Y%m%d_%H%M%S"));
    let url = format!("http://127.0.0.1:10000/devstoreaccount1/backups/{blob}");
    let unless_failed = |text: String| if failed { String::new() } else { text };
    let if_failed = |text| if failed { text } else { "" };
    let json = json!({
        "PartitionKey": partition,
        "RowKey": row,
        "job_id": id,
        "database_id": database,
        "database_name": database,
        "database_type": "mysql",
        "status": if failed { "failed" } else { "completed" },
        "started_at": text,
        "completed_at": text,
        "created_at": text,
        "blob_url": unless_failed(url),
        "blob_name": unless_failed(blob),
        "file_format": unless_failed("sql.gz".to_owned()),
        "error_message": if_failed("The server could not be reached."),
        "error_details": if_failed("ConnectionFailed"),
        "triggered_by": "scheduler",
        "tier": "daily",
        "duration_seconds": 12.5,
        "file_size_bytes": if failed { "0" } else { "1234567" },
        "file_size_bytes@odata.type": "Edm.Int64",
        "retry_count": 0,
    });
    json.as_object().cloned().unwrap()
}

/// Makes the row of the audit record that is so many before the latest.
pub(crate) fn audit(number: u32, now: DateTime<Utc>) -> Row {
    let at = instant(number, now);
    let id = format!("10000000-0000-4000-8000-{number:012}");
    let [partition, row] = if now - at < TimeDelta::days(OF_MONTH) {
        day_keys(at, &id)
    } else {
        let left = MAX_MICROS - at.timestamp_micros();
        [at.format("%Y%m").to_string(), format!("{left:016}_{id}")]
    };
    let [action, resource] = ACTIONS[(number % 8) as usize];
    let by_hand = matches!(action, "backup_triggered" | "user_login" | "database_updated");
    let user = if by_hand { format!("user-{:02}", number % 20) } else { "system".to_owned() };
    let email = if by_hand { format!("{user}@example.com") } else { "system".to_owned() };
    let database = database(number % DATABASES);
    // Backups have ids of their own, each of which the index holds.
    let thing = if resource == "backup" { id.clone() } else { database.clone() };
    let details = json!({"database_type": "mysql", "engine_id": format!("engine-{}", number % 5)});
    let json = json!({
        "PartitionKey": partition,
        "RowKey": row,
        "id": id,
        "timestamp": at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
        "user_id": user,
        "user_email": email,
        "action": action,
        "resource_type": resource,
        "resource_id": thing,
        "resource_name": database,
        "details": details.to_string(),
        "status": if action == "backup_failed" { "failed" } else { "success" },
        "ip_address": "203.0.113.7",
    });
    json.as_object().cloned().unwrap()
}
