//! The routes that lists and figures come from, over a long history and a long audit log on the storage
//! emulator.
//!
//! Both are stored as an earlier system would have left them, without an index. The api is started on them
//! twice: first everything has to be counted, then what was counted is there. What a user waits for in
//! both cases is printed before the times of a program that has run for a while.

use std::time::{Duration, Instant};

use end_to_end::api::Server;
use end_to_end::stack::Stack;
use shared::clock::Clock;
use shared::storage::AzureTable;
use shared::storage::table::{Expect, Query, Table as _, query_all};
use storage_account::{Service, StorageAccount};

use crate::batches;
use crate::long_past::{DATABASES, audit, backup, database};

/// How often each route is asked.
const TIMES: usize = 7;

/// The tables that are made from others.
const INDEXES: [&str; 3] = ["backupindex", "backupdays", "auditindex"];

/// What is asked first, right after a start.
const FIRST: [(&str, &str); 5] = [
    ("backups", "/backups?page_size=25&page=1"),
    ("audit", "/audit?limit=50"),
    ("status page", "/system-status?period=1d"),
    ("alerts", "/backup-alerts?consecutive_failures=2"),
    ("audit of a user", "/audit?user_id=user-07"),
];

/// The routes, with what is asked of them.
const ROUTES: [(&str, &str); 19] = [
    ("first page", "/backups?page_size=25&page=1"),
    ("page 50", "/backups?page_size=25&page=50"),
    ("page 50 of 100", "/backups?page_size=100&page=50"),
    ("last page", "/backups?page_size=25&page=4000"),
    ("of a database", "/backups?database_id=db-007"),
    ("failed ones", "/backups?status=failed&page=3"),
    ("of some days", "/backups?start_date=2026-01-01&end_date=2026-01-31"),
    ("alerts", "/backup-alerts?consecutive_failures=2"),
    ("status page", "/system-status?period=all"),
    ("audit", "/audit?limit=50"),
    ("audit page 50", "/audit?limit=50&offset=2450"),
    ("audit, the end", "/audit?limit=50&offset=99900"),
    ("audit action", "/audit?action=backup_failed&offset=50"),
    ("audit user", "/audit?user_id=user-07"),
    ("audit resource", "/audit?resource_type=database&offset=500"),
    ("audit search", "/audit?search=db-007"),
    ("audit, rare", "/audit?search=000000012345"),
    ("audit, engine", "/audit?engine_id=engine-3&database_type=mysql"),
    ("audit stats", "/audit/stats"),
];

/// Fills an account and measures.
pub(crate) async fn measure(rows: u32) {
    let mut stack = Stack::start_with(&[("LOG_LEVEL", "INFO")]).await;
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
    stop(&mut stack).await;
    let began = Instant::now();
    let account = StorageAccount::from_connection_string(&stack.azurite.connection_string()).unwrap();
    let now = Clock::system().now();
    batches::store(&account, "backuphistory", (0..rows).map(|number| backup(number, now))).await;
    batches::store(&account, "auditlogs", (0..rows).map(|number| audit(number, now))).await;
    for index in INDEXES {
        empty(&account, index).await;
    }
    println!("{rows} backups, {rows} audit records stored in {:.0} s", began.elapsed().as_secs_f64());

    start(&mut stack).await;
    first(&stack, "no index").await;
    let indexed = indexed(&stack, rows).await;
    println!("everything is counted after {:.1} s", indexed.as_secs_f64());
    println!("peak memory of the api: {} MiB", peak(&stack).await);

    stop(&mut stack).await;
    start(&mut stack).await;
    first(&stack, "restarted").await;
    println!("\n{:<16} {:>10} {:>10}", "", "median ms", "worst ms");
    for (name, path) in ROUTES {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            times.push(ask(&stack, path).await.0);
        }
        row(name, times);
    }
    println!("peak memory of the api: {} MiB", peak(&stack).await);
}

/// Asks what a user sees first, of an api that has just started.
async fn first(stack: &Stack, state: &str) {
    println!("\n{state}, right after the start:");
    for (name, path) in FIRST {
        let (time, answer) = ask(stack, path).await;
        let total = answer.get("total_count").or_else(|| answer.get("total"));
        let total = total.map_or_else(String::new, |total| format!("   total {total}"));
        println!("{name:<16} {:>10.0} ms{total}", time.as_secs_f64() * 1000.0);
    }
}

/// Waits until the totals are whole, and returns for how long.
async fn indexed(stack: &Stack, rows: u32) -> Duration {
    let began = Instant::now();
    loop {
        let backups = ask(stack, "/backups").await.1["total_count"].as_u64().unwrap();
        let records = ask(stack, "/audit").await.1["total"].as_u64().unwrap();
        if backups == u64::from(rows) && records >= u64::from(rows) {
            return began.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn ask(stack: &Stack, path: &str) -> (Duration, serde_json::Value) {
    let began = Instant::now();
    let answer = stack.api.expect(200, "GET", path, None).await;
    (began.elapsed(), answer)
}

async fn peak(stack: &Stack) -> u64 {
    stack.app("api").await.peak_memory().unwrap() >> 20
}

/// Ends the apps; the storage emulator goes on.
async fn stop(stack: &mut Stack) {
    let mut apps = Vec::new();
    for name in ["api", "scheduler", "processor"] {
        apps.push(stack.app(name).await);
    }
    stack.kill_host();
    for app in apps {
        app.kill();
        while app.is_alive() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn start(stack: &mut Stack) {
    stack.start_host();
    stack.api.wait_until_healthy().await;
}

async fn empty(account: &StorageAccount, table: &str) {
    let options = account.client_options(Service::Table);
    let table = AzureTable::new(account.endpoint(Service::Table).clone(), table, None, options);
    for row in query_all(&table, &Query::default()).await.unwrap() {
        table.delete(&row.key, &Expect::Any).await.unwrap();
    }
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let [median, worst] =
        [times[times.len() / 2], times[times.len() - 1]].map(|time| time.as_secs_f64() * 1000.0);
    println!("{name:<16} {median:>10.0} {worst:>10.0}");
}
