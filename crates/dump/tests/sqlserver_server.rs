//! A round trip on a real server, where there is one: `MSSQL_TEST_URL=sqlserver://user:password@host:port`.
//!
//! Everything is loaded, dumped, restored into an empty database and dumped again; both dumps have to be the
//! same, rows and all. Nobody has such a server by default, so the test is ignored; `scripts/test`
//! runs it when the variable is set.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "the server is named by the environment of the test")]

use std::env;
use std::process::{Command, Stdio};

use bytes::Bytes;
use dump::{Limits, Target, Tools, dump, restore};
use futures::{StreamExt, stream};
use secrecy::ExposeSecret;
use shared::models::{DatabaseType, Tls};

const EVERYTHING: &str = include_str!("../../../tests/fixtures/sqlserver/everything.sql");

/// Returns the server that the environment names.
fn server() -> Target {
    let url = env::var("MSSQL_TEST_URL")
        .unwrap_or_else(|_| panic!("set MSSQL_TEST_URL=sqlserver://user:password@host:port to run this"));
    let (login, address) = url.strip_prefix("sqlserver://").unwrap().rsplit_once('@').unwrap();
    let (username, password) = login.split_once(':').unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    Target {
        kind: DatabaseType::Sqlserver,
        host: host.to_owned(),
        port: port.parse().unwrap(),
        tls: Tls::default(),
        username: username.to_owned(),
        password: password.into(),
        proof: shared::connection::Proof::Password,
        database: String::new(),
    }
}

/// Runs statements about the server.
fn sql(server: &Target, statement: &str) {
    let status = Command::new("sqlcmd")
        .args(["-S", &format!("tcp:{},{}", server.host, server.port), "-U", &server.username])
        .args(["-d", "master", "-C", "-b", "-x", "-I", "-Q", statement])
        .env("SQLCMDPASSWORD", server.password.expose_secret())
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "{statement}");
}

fn empty(server: &Target, database: &str) -> Target {
    sql(
        server,
        &format!(
            "IF DB_ID('{database}') IS NOT NULL DROP DATABASE [{database}]; CREATE DATABASE [{database}]"
        ),
    );
    Target { database: database.to_owned(), ..server.clone() }
}

async fn load(target: &Target, text: &str) {
    let pieces: Vec<std::io::Result<Bytes>> =
        text.as_bytes().chunks(64 * 1024).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let limits = Limits::default();
    restore(&Tools::standard(), target, stream::iter(pieces), &limits, |_| {}).await.unwrap();
}

async fn dumped(target: &Target) -> String {
    let mut dump = dump(&Tools::standard(), target, &Limits::default()).await.unwrap();
    let mut text = Vec::new();
    while let Some(piece) = dump.next().await {
        text.extend_from_slice(&piece.unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// Leaves out what names the database.
fn comparable(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("-- database: ")).collect()
}

#[tokio::test]
#[ignore = "needs a SQL Server that MSSQL_TEST_URL names"]
async fn everything_comes_back() {
    let server = server();
    let (from, to) = (empty(&server, "dilux_everything"), empty(&server, "dilux_everything_again"));
    sql(&server, "ALTER DATABASE [dilux_everything] SET ALLOW_SNAPSHOT_ISOLATION ON");
    sql(&server, "ALTER DATABASE [dilux_everything_again] SET ALLOW_SNAPSHOT_ISOLATION ON");
    load(&from, EVERYTHING).await;
    let first = dumped(&from).await;
    assert!(first.contains("-- rows: 5 [dbo].[types]\n"), "{first}");
    load(&to, &first).await;
    let second = dumped(&to).await;
    let differing: Vec<_> =
        comparable(&first).into_iter().zip(comparable(&second)).filter(|(a, b)| a != b).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(comparable(&first).len(), comparable(&second).len());
}
