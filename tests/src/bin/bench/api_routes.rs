//! The routes that lists and figures come from, over a long history on the storage emulator.
//!
//! The history is stored as an earlier system would have left it, so the first question also counts
//! all of its days; what that took is printed by itself.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use end_to_end::api::Server;
use end_to_end::stack::Stack;
use shared::clock::Clock;
use shared::storage::AzureTable;
use shared::storage::table::{Entity, Key, Properties, Table as _, Value};
use storage_account::{Service, StorageAccount};
use tokio::task::JoinSet;

/// How many databases the backups belong to.
const DATABASES: u32 = 100;

/// How many backups there are on one day.
const A_DAY: u32 = 274;

/// How many rows are stored at a time.
const WRITERS: u32 = 8;

/// How often each route is asked.
const TIMES: usize = 7;

/// The last instant that row keys count down from, in ticks of 100 ns.
const MAX_TICKS: i64 = 3_155_378_975_999_999_999;

/// The routes, with what is asked of them.
const ROUTES: [(&str, &str); 9] = [
    ("first page", "/backups?page_size=25&page=1"),
    ("page 50", "/backups?page_size=25&page=50"),
    ("page 50 of 100", "/backups?page_size=100&page=50"),
    ("last page", "/backups?page_size=25&page=4000"),
    ("of a database", "/backups?database_id=db-007"),
    ("failed ones", "/backups?status=failed&page=3"),
    ("of some days", "/backups?start_date=2026-01-01&end_date=2026-01-31"),
    ("alerts", "/backup-alerts?consecutive_failures=2"),
    ("status page", "/system-status?period=all"),
];

/// Fills an account and measures.
pub(crate) async fn measure(rows: u32) {
    let stack = Stack::start_with(&[("LOG_LEVEL", "INFO")]).await;
    let server = Server {
        engine_type: "mysql",
        port: 3306,
        username: "backup".to_owned(),
        password: "none".to_owned(),
    };
    for number in 0..DATABASES {
        let more = serde_json::json!({"id": database(number), "enabled": false});
        stack.api.create_database_with(&database(number), &server, "orders", more).await;
    }
    let began = Instant::now();
    fill(&stack, rows).await;
    println!("{rows} backups stored in {:.0} s", began.elapsed().as_secs_f64());

    let began = Instant::now();
    let first = stack.api.expect(200, "GET", "/backups", None).await;
    assert_eq!(first["total_count"], rows, "every backup is counted");
    println!("first question, with all days counted: {:.1} s", began.elapsed().as_secs_f64());
    println!("{:<16} {:>10} {:>10}", "", "median ms", "worst ms");
    for (name, path) in ROUTES {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let began = Instant::now();
            stack.api.expect(200, "GET", path, None).await;
            times.push(began.elapsed());
        }
        row(name, times);
    }
    let api = stack.app("api").await;
    println!("peak memory of the api: {} MiB", api.peak_memory().unwrap() >> 20);
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let [median, worst] =
        [times[times.len() / 2], times[times.len() - 1]].map(|time| time.as_secs_f64() * 1000.0);
    println!("{name:<16} {median:>10.0} {worst:>10.0}");
}

fn database(number: u32) -> String {
    format!("db-{number:03}")
}

/// Stores the history behind the product's back.
async fn fill(stack: &Stack, rows: u32) {
    let account = StorageAccount::from_connection_string(&stack.azurite.connection_string()).unwrap();
    let now = Clock::system().now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let options = account.client_options(Service::Table);
        let table = AzureTable::new(account.endpoint(Service::Table).clone(), "backuphistory", None, options);
        writers.spawn(async move {
            for number in (writer..rows).step_by(WRITERS as usize) {
                table.insert(&entity(number, now)).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

/// Makes the row of the backup that is so many before the latest. One in ten has failed.
fn entity(number: u32, now: DateTime<Utc>) -> Entity {
    let at = now - TimeDelta::seconds(i64::from(number) * 86_400 / i64::from(A_DAY));
    let ticks = at.timestamp() * 10_000_000 + i64::from(at.timestamp_subsec_nanos() / 100);
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let key = Key::new(at.format("%Y-%m-%d").to_string(), format!("{:019}_{id}", MAX_TICKS - ticks));
    let text = at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    let database = database(number % DATABASES);
    let failed = number % 10 == 3;
    let blob = format!("mysql/{database}/{}.sql.gz", at.format("%Y%m%d_%H%M%S"));
    let texts = [
        ("job_id", id),
        ("database_id", database.clone()),
        ("database_name", database),
        ("database_type", "mysql".to_owned()),
        ("status", if failed { "failed" } else { "completed" }.to_owned()),
        ("started_at", text.clone()),
        ("completed_at", text.clone()),
        ("created_at", text),
        (
            "blob_url",
            if failed {
                String::new()
            } else {
                format!("http://127.0.0.1:10000/devstoreaccount1/backups/{blob}")
            },
        ),
        ("blob_name", if failed { String::new() } else { blob }),
        ("file_format", if failed { "" } else { "sql.gz" }.to_owned()),
        ("error_message", if failed { "The server could not be reached." } else { "" }.to_owned()),
        ("error_details", if failed { "ConnectionFailed" } else { "" }.to_owned()),
        ("triggered_by", "scheduler".to_owned()),
        ("tier", "daily".to_owned()),
    ];
    let texts = texts.map(|(name, text)| (name.to_owned(), Value::String(text)));
    let numbers = [
        ("duration_seconds".to_owned(), Value::Double(12.5)),
        ("file_size_bytes".to_owned(), Value::Int64(if failed { 0 } else { 1_234_567 })),
        ("retry_count".to_owned(), Value::Int32(0)),
    ];
    Entity::new(key, texts.into_iter().chain(numbers).collect::<Properties>())
}
