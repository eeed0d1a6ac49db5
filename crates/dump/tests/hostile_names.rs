//! Names that try to be something else: options, connection strings, SQL, shell, paths.
//!
//! Each one is used as the name of a database, a user, a host and a table with the real client programs and
//! servers. None of them may be anything but a name: a database that exists by that name is dumped and no
//! other, a user is refused as unknown, a host is no host, a table comes back; and the folder and the port
//! that the names try to reach stay untouched.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::io;
use std::net::TcpListener;

use bytes::Bytes;
use dump::{DumpError, Limits, Target, Tools, dump, probe, restore};
use end_to_end::servers::{mariadb, postgresql};
use futures::{TryStreamExt as _, stream};

/// The names. `DIR` stands for a folder that must stay empty, `PORT` for a port that nobody may connect to.
const NAMES: &[&str] = &[
    // Options of the clients, in every form.
    "-e",
    "-h127.0.0.1",
    "--",
    "---",
    "--help",
    "--version",
    "--execute=system touch DIR/a",
    "--result-file=DIR/b",
    "-rDIR/b2",
    "--tab=DIR",
    "--defaults-file=DIR/c",
    "--defaults-extra-file=DIR/c",
    "--init-command=SELECT 1 INTO OUTFILE 'DIR/d'",
    "--plugin-dir=DIR",
    "--log-error=DIR/e",
    "--file=DIR/f",
    "-fDIR/g",
    "--output=DIR/h",
    "--host=127.0.0.1 --port=PORT",
    "--all-databases",
    "--ssl-ca=DIR/i",
    // Connection strings.
    "host=127.0.0.1 port=PORT",
    "dbname=postgres host=127.0.0.1 port=PORT",
    "postgresql://127.0.0.1:PORT/postgres",
    "postgres://u:p@127.0.0.1:PORT/x",
    "service=evil",
    "passfile=DIR/j",
    // SQL.
    "'; DROP DATABASE keep; --",
    "\"; DROP DATABASE keep; --",
    "`; DROP DATABASE keep; --",
    "x' OR '1'='1",
    "%",
    "_",
    "a\\'b",
    // Commands of the clients.
    "\\! touch DIR/k",
    "x\n\\! touch DIR/l",
    "x\nsystem touch DIR/m",
    "\\c keep",
    // Shells.
    "$(touch DIR/n)",
    "`touch DIR/o`",
    "; touch DIR/p",
    "| touch DIR/q",
    "&& touch DIR/r",
    "> DIR/s",
    "${HOME}",
    "~root",
    "*",
    // Paths and patterns.
    "../../../../etc/passwd",
    "/etc/passwd",
    "@/etc/passwd",
    // Option files.
    "x\n[mysqldump]\nresult-file=DIR/t",
    "#comment",
    "!include /etc/passwd",
    // Formats.
    "%s%s%n",
    "{0}",
];

/// What the names try to reach.
struct Traps {
    folder: tempfile::TempDir,
    listener: TcpListener,
}

impl Traps {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The servers run as other users, and a name that worked would be theirs to carry out as well.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { folder, listener }
    }

    /// Returns the names with the traps filled in; as long as a server takes.
    fn names(&self) -> Vec<String> {
        let port = self.listener.local_addr().unwrap().port().to_string();
        let folder = self.folder.path().display().to_string();
        NAMES.iter().map(|name| name.replace("DIR", &folder).replace("PORT", &port)).collect()
    }

    fn check(&self, name: &str) {
        let entries: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(entries.is_empty(), "{name:?} made {entries:?}");
        let connected = self.listener.accept();
        assert!(
            connected.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock),
            "{name:?} connected"
        );
    }
}

async fn dumped(target: &Target) -> Result<String, DumpError> {
    let dump = dump(&Tools::standard(), target, &Limits::default()).await?;
    let bytes: Vec<u8> = dump.map_ok(|piece| piece.to_vec()).try_concat().await?;
    Ok(String::from_utf8(bytes).unwrap())
}

/// Tells whether a server takes a name at all: MariaDB's end with no space and have 64 characters at most,
/// PostgreSQL's have 63 bytes.
fn fits(name: &str, most: usize) -> bool {
    name.len() <= most && !name.ends_with(' ')
}

async fn users_and_hosts(base: &Target, traps: &Traps) {
    let (tools, limits) = (Tools::standard(), Limits::default());
    for name in traps.names() {
        let user = Target { username: name.clone(), password: "wrong".into(), ..base.clone() };
        let error = probe(&tools, &user, &limits).await.unwrap_err();
        assert!(matches!(error, DumpError::AuthenticationFailed { .. }), "user {name:?}: {error}");
        let host = Target { host: name.clone(), ..base.clone() };
        let error = probe(&tools, &host, &limits).await.unwrap_err();
        let refused = matches!(
            error,
            DumpError::InvalidTarget { field: "host", .. }
                | DumpError::UnknownHost { .. }
                | DumpError::TargetRefused { .. }
        );
        assert!(refused, "host {name:?}: {error}");
        if !fits(&name, 50) {
            traps.check(&name);
            continue;
        }
        // A database that is not there is not there, whatever it is called.
        let database = Target { database: format!("{name} not there"), ..base.clone() };
        let error = probe(&tools, &database, &limits).await.unwrap_err();
        // The server's words are read by line, and a name with a line break tears them apart.
        let torn = name.contains('\n') && error.to_string().contains("does not exist");
        assert!(torn || matches!(error, DumpError::UnknownDatabase { .. }), "database {name:?}: {error}");
        traps.check(&name);
    }
}

async fn tables(from: &Target, to: &Target, traps: &Traps) {
    let dump = dumped(from).await.unwrap();
    traps.check("a dump of the tables");
    let pieces: Vec<io::Result<Bytes>> =
        dump.as_bytes().chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    restore(&Tools::standard(), to, stream::iter(pieces), &Limits::default(), |_| {}).await.unwrap();
    traps.check("a restore of the tables");
}

#[test]
fn there_are_enough_names_and_no_two_are_the_same() {
    let names: std::collections::BTreeSet<&&str> = NAMES.iter().collect();
    assert!(names.len() >= 40 && names.len() == NAMES.len(), "{} of {}", names.len(), NAMES.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_takes_every_name_for_a_name() {
    let (server, traps) = (mariadb::Server::get(), Traps::set());
    server.create("keep");
    users_and_hosts(&server.target("keep"), &traps).await;

    let names: Vec<String> = traps.names().into_iter().filter(|name| fits(name, 60)).collect();
    assert!(names.len() >= 40, "{}", names.len());
    server.create("hostile tables");
    server.create("hostile tables copy");
    for (number, name) in names.iter().enumerate() {
        // A slash or a dot is a character like others to the server.
        server.create(name);
        let content = format!("content of {number}.");
        let quoted = mariadb::name(name);
        server.sql("", &format!("CREATE TABLE {quoted}.t (v TEXT); INSERT INTO {quoted}.t VALUES ('{content}'); CREATE TABLE `hostile tables`.{quoted} (v INT);"));
        let dump = dumped(&server.target(name)).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert!(dump.contains(&content), "{name:?}: {dump}");
        assert_eq!(dump.matches("content of ").count(), 1, "{name:?}: {dump}");
        traps.check(name);
    }
    tables(&server.target("hostile tables"), &server.target("hostile tables copy"), &traps).await;
    let count = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'hostile tables copy';";
    assert_eq!(server.sql("", count).trim(), names.len().to_string());
    assert_eq!(server.sql("keep", "SELECT DATABASE();").trim(), "keep");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_takes_every_name_for_a_name() {
    let (server, traps) = (postgresql::Server::get(), Traps::set());
    server.create("keep");
    users_and_hosts(&server.target("keep"), &traps).await;

    let names: Vec<String> = traps.names().into_iter().filter(|name| fits(name, 63)).collect();
    assert!(names.len() >= 40, "{}", names.len());
    server.create("hostile tables");
    server.create("hostile tables copy");
    for (number, name) in names.iter().enumerate() {
        let quoted = postgresql::name(name);
        server.create(name);
        let content = format!("content of {number}.");
        // By its own name for connecting, so that the test does not rely on what it tests.
        server.sql("hostile tables", &format!("CREATE TABLE {quoted} (v INT);"));
        let target = server.target(name);
        let pieces = format!(
            "CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('{content}');\n--\n-- PostgreSQL database dump complete\n--\n"
        );
        restore(
            &Tools::standard(),
            &target,
            stream::iter([Ok::<_, io::Error>(Bytes::from(pieces))]),
            &Limits::default(),
            |_| {},
        )
        .await
        .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let dump = dumped(&target).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(dump.matches("content of ").count(), 1, "{name:?}: {dump}");
        assert!(dump.contains(&content), "{name:?}: {dump}");
        traps.check(name);
    }
    tables(&server.target("hostile tables"), &server.target("hostile tables copy"), &traps).await;
    let count = "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public';";
    assert_eq!(server.sql("hostile tables copy", count).trim(), names.len().to_string());
    assert_eq!(server.sql("keep", "SELECT current_database();").trim(), "keep");
}
