//! A take-over of a history on the emulator by the real command, killed in the middle and run again.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};
use end_to_end::azurite::Azurite;
use end_to_end::stack::program;
use futures::{StreamExt as _, stream};
use shared::storage::AzureTable;
use shared::storage::table::{Entity, Key, Properties, Query, Table, Value, query_all};
use storage_account::{Service, StorageAccount};

/// How many rows are taken over; `TAKE_OVER_ROWS` asks for more, for measuring.
const ROWS: usize = 300;

fn table(account: &StorageAccount, name: &str) -> Arc<dyn Table> {
    let mut options = account.client_options(Service::Table);
    options.transport = Some(storage_account::transport().unwrap());
    Arc::new(AzureTable::new(account.endpoint(Service::Table).clone(), name, None, options))
}

fn row(number: usize) -> Entity {
    let made = DateTime::from_timestamp(1_700_000_000, 0).unwrap()
        + TimeDelta::minutes(7) * i32::try_from(number).unwrap();
    let texts = [
        ("job_id", format!("job-{number}")),
        ("database_id", format!("db-{}", number % 20)),
        ("database_name", "Orders".to_owned()),
        ("database_type", "mysql".to_owned()),
        ("status", "completed".to_owned()),
        ("blob_name", format!("mysql/db-{}/{number}.sql.gz", number % 20)),
        ("triggered_by", "scheduler".to_owned()),
        ("tier", "daily".to_owned()),
        ("created_at", made.format("%Y-%m-%dT%H:%M:%S.123456").to_string()),
    ];
    let mut properties: Properties =
        texts.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
    properties.insert("file_size_bytes".to_owned(), Value::Int32(7));
    let id = format!("00000000-0000-4000-8000-{number:012}");
    Entity::new(Key::new(made.format("%Y-%m-%d").to_string(), id), properties)
}

#[expect(clippy::disallowed_methods, reason = "the real program is run")]
fn migrate(connection: &str) -> Command {
    let mut command = Command::new(program("dilux"));
    command.args(["migrate", "--apply"]).env("STORAGE_CONNECTION_STRING", connection);
    for variable in ["STORAGE_ACCOUNT_NAME", "SECRETS_KEY", "KEY_VAULT_NAME", "KEYVAULT_URL"] {
        command.env_remove(variable);
    }
    command
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "who measures says how much")]
async fn a_take_over_that_was_killed_is_ended_by_the_next_one() {
    let rows = std::env::var("TAKE_OVER_ROWS").ok().map_or(ROWS, |rows| rows.parse().unwrap());
    let azurite = Azurite::start().await;
    let connection = azurite.connection_string();
    let account = StorageAccount::from_connection_string(&connection).unwrap();
    let history = table(&account, "backuphistory");
    history.create().await.unwrap();
    let inserted = stream::iter((0..rows).map(|number| {
        let history = Arc::clone(&history);
        async move { history.insert(&row(number)).await.map(drop) }
    }));
    inserted.buffer_unordered(16).for_each(async |made| made.unwrap()).await;

    let mut first = migrate(&connection).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let keys = Query { select: vec!["job_id"], ..Query::default() };
    let is_moved = |row: &Entity| row.key.row.contains('_');
    while !query_all(&*history, &keys).await.unwrap().iter().any(is_moved) {
        assert!(begun.elapsed() < Duration::from_mins(2), "nothing moves");
        assert!(first.try_wait().unwrap().is_none(), "it ended before anything had moved");
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let left = query_all(&*history, &keys).await.unwrap();
    let ids = |rows: &[Entity]| -> BTreeSet<String> {
        rows.iter().map(|row| row.key.row.rsplit('_').next().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&left).len(), rows, "every record is still there");

    let begun = Instant::now();
    let output = migrate(&connection).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    println!("{rows} rows, the kill was at {}: {:?}\n{told}", left.len(), begun.elapsed());
    let after = query_all(&*history, &keys).await.unwrap();
    assert_eq!((after.len(), ids(&after).len()), (rows, rows));
    assert!(after.iter().all(is_moved));
    let again = migrate(&connection).output().unwrap();
    let told = String::from_utf8(again.stdout).unwrap();
    assert!(told.contains(&format!("{rows} seen, 0 moved.")), "{told}");
}
