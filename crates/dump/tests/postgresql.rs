//! Dumps and restores of a real PostgreSQL server with the real client programs.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dump::{
    DumpError, Limits, RestoreError, Target, TargetState, Tools, discover, dump, dump_with, probe, restore,
};
use end_to_end::processes::descendants;
use end_to_end::servers::assert_same;
use end_to_end::servers::postgresql::{PASSWORD, Server, name, text};
use end_to_end::stack::free_port;
use futures::{StreamExt, TryStreamExt, stream};
use shared::models::DumpOptions;
use shared::targets::TargetRule;

const NASTY: &str = include_str!("../../../tests/fixtures/postgresql/nasty.sql");

async fn dumped(target: &Target) -> Vec<u8> {
    let dump = dump(&Tools::standard(), target, &Limits::default()).await.unwrap();
    dump.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap()
}

async fn restored(target: &Target, dump: Vec<u8>) -> Result<dump::Restored, RestoreError> {
    let pieces: Vec<io::Result<Bytes>> =
        dump.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    restore(&Tools::standard(), target, stream::iter(pieces), &Limits::default(), |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nasty_database_comes_back_whole() {
    let server = Server::get();
    server.create("nasty");
    server.create("nasty copy");
    server.sql("nasty", NASTY);
    let before = server.describe("nasty");
    assert!(before.lines().count() > 300, "only {} lines", before.lines().count());
    let dump = dump(&Tools::standard(), &server.target("nasty"), &Limits::default()).await.unwrap();
    assert!(dump.tool().starts_with("pg_dump "), "{dump:?}");
    // Straight from one database into the other: the two streams fit.
    let mut seen = 0;
    let restored =
        restore(&Tools::standard(), &server.target("nasty copy"), dump, &Limits::default(), |bytes| {
            seen = bytes;
        })
        .await
        .unwrap();
    assert!(restored.bytes > 2_500_000);
    assert_eq!(seen, restored.bytes);
    assert_same(&before, &server.describe("nasty copy"));
    // The code works, not only its text.
    assert_eq!(
        server.sql("nasty copy", "INSERT INTO from_sequence (v) VALUES (4) RETURNING v; SELECT twice(21), line_ends() = E'a\\r\\nb';"),
        "5\n42|t\n"
    );
    assert!(restored.adapted.iter().any(|told| told.contains("clear away")), "{:?}", restored.adapted);
}

#[tokio::test(flavor = "multi_thread")]
async fn tablespaces_do_not_travel() {
    let server = Server::get();
    server.create("spaces");
    server.create("spaces copy");
    // Without a folder of its own, which the server's user would have to be given.
    server.sql("postgres", "SET allow_in_place_tablespaces = on; CREATE TABLESPACE \"fa st\" LOCATION '';");
    server.sql(
        "spaces",
        "CREATE TABLE t (a text PRIMARY KEY) TABLESPACE \"fa st\"; INSERT INTO t VALUES (E'SET default_tablespace = x;\\nSET default_tablespace = x;');",
    );
    let dump = dumped(&server.target("spaces")).await;
    let before = server.describe("spaces");
    server.sql("postgres", "DROP DATABASE spaces;");
    server.sql("postgres", "DROP TABLESPACE \"fa st\";");
    // An older backup names it.
    let older = String::from_utf8(dump.clone()).unwrap();
    assert!(!older.contains("fa st"), "{older}");
    let older = older
        .replace("CREATE TABLE public.t", "SET default_tablespace = \"fa st\";\n\nCREATE TABLE public.t");
    let told = restored(&server.target("spaces copy"), older.into_bytes()).await.unwrap();
    assert_eq!(told.adapted.last().unwrap(), "the tablespaces of tables and indexes were left out");
    assert_same(&before, &server.describe("spaces copy"));
    server.create("spaces again");
    server.sql("spaces again", &String::from_utf8(dump).unwrap());
    assert_same(&before, &server.describe("spaces again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_of_schemas_loads_with_its_extensions_and_large_objects() {
    let server = Server::get();
    server.create("chosen");
    server.sql(
        "chosen",
        "CREATE SCHEMA \"ext \"\"s\"; CREATE EXTENSION citext SCHEMA \"ext \"\"s\"; CREATE SCHEMA app; CREATE SCHEMA other;
         CREATE TABLE app.t (a \"ext \"\"s\".citext, b oid); INSERT INTO app.t VALUES ('Ü', lo_from_bytea(4711, '\\x00ff'));
         CREATE TABLE other.secret (a integer);",
    );
    let options = |text: &str| DumpOptions {
        include_schemas: text.parse().into_iter().collect(),
        ..DumpOptions::default()
    };
    let target = server.target("chosen");
    let dump = dump_with(&Tools::standard(), &target, &options("app"), &Limits::default()).await.unwrap();
    let dump: Vec<u8> = dump.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap();
    server.create("chosen copy");
    restored(&server.target("chosen copy"), dump.clone()).await.unwrap();
    server.create("chosen plain");
    server.sql("chosen plain", &String::from_utf8(dump.clone()).unwrap());
    // And over itself.
    restored(&server.target("chosen copy"), dump).await.unwrap();
    for copy in ["chosen copy", "chosen plain"] {
        assert_eq!(
            server.sql(copy, "SELECT pg_typeof(a), a, lo_get(b), to_regclass('other.secret') FROM app.t;"),
            "\"ext \"\"s\".citext|Ü|\\x00ff|\n"
        );
    }
    let mut options = options("app");
    options.include_schemas.extend("gone".parse());
    let dump = dump_with(&Tools::standard(), &target, &options, &Limits::default()).await.unwrap();
    let items: Vec<_> = dump.collect().await;
    let error = items.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(error.contains("gone"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_can_be_loaded_by_the_plain_client() {
    let server = Server::get();
    server.create("plain");
    server.create("plain copy");
    server.sql("plain", NASTY);
    // What cannot be cleared away from an empty database; the restore leaves such statements out.
    server.sql("plain", "DROP SCHEMA apart CASCADE;");
    let before = server.describe("plain");
    let dump = String::from_utf8(dumped(&server.target("plain")).await).unwrap();
    server.sql("plain copy", &dump);
    assert_same(&before, &server.describe("plain copy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_tables_is_dumped_and_restored() {
    let server = Server::get();
    server.create("no tables");
    server.create("no tables copy");
    let dump = dumped(&server.target("no tables")).await;
    restored(&server.target("no tables copy"), dump).await.unwrap();
    assert_same(&server.describe("no tables"), &server.describe("no tables copy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_over_an_older_state_brings_the_dumped_state_back() {
    let server = Server::get();
    server.create("again");
    server.sql("again", NASTY);
    let before = server.describe("again");
    let dump = dumped(&server.target("again")).await;
    // PostgreSQL refuses to drop the key of a partition by itself, as the head of such a dump wants to.
    server.sql(
        "again",
        "DROP TABLE parted; UPDATE texts SET fixed = 'x'; DROP TABLE bytes; SELECT lo_unlink(424243);",
    );
    restored(&server.target("again"), dump).await.unwrap();
    assert_same(&before, &server.describe("again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_and_discover_tell_what_is_there() {
    let server = Server::get();
    server.create("tab\tand\nline \"x\"");
    let tools = Tools::standard();
    let probed = probe(&tools, &server.target(""), &Limits::default()).await.unwrap();
    assert!(probed.server_version.split('.').next().unwrap().parse::<u32>().unwrap() >= 15, "{probed:?}");
    assert!(probed.latency > Duration::ZERO);
    probe(&tools, &Target { host: "localhost".to_owned(), ..server.target("template1") }, &Limits::default())
        .await
        .unwrap();
    let names = discover(&tools, &server.target("not looked at"), &Limits::default()).await.unwrap();
    assert!(names.contains(&"tab\tand\nline \"x\"".to_owned()), "{names:?}");
    assert!(names.contains(&"postgres".to_owned()));
    assert!(names.is_sorted());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_named() {
    let server = Server::get();
    server.create("guarded");
    server.sql("guarded", "CREATE TABLE t (a integer); CREATE ROLE reader LOGIN PASSWORD 'reader-word';");
    let tools = Tools::standard();
    let limits = Limits { connect: Duration::from_secs(2), ..Limits::default() };
    let good = server.target("guarded");
    for (target, class, permanent) in [
        (Target { password: "wrong-word".into(), ..good.clone() }, "AuthenticationFailed", true),
        (Target { password: "".into(), ..good.clone() }, "AuthenticationFailed", true),
        (Target { username: "nobody".to_owned(), ..good.clone() }, "AuthenticationFailed", true),
        (Target { database: "not there".to_owned(), ..good.clone() }, "UnknownDatabase", true),
        (Target { host: "nowhere.invalid".to_owned(), ..good.clone() }, "UnknownHost", false),
        (Target { port: free_port(), ..good.clone() }, "ConnectionFailed", false),
    ] {
        for error in [
            dump(&tools, &target, &limits).await.unwrap_err(),
            probe(&tools, &target, &limits).await.unwrap_err(),
        ] {
            assert_eq!(error.class(), class, "{error}");
            assert_eq!(error.is_permanent(), permanent);
            let text = format!("{error} {error:?}");
            assert!(!text.contains("wrong-word") && !text.contains(PASSWORD), "{text}");
        }
    }
    let reader = Target { username: "reader".to_owned(), password: "reader-word".into(), ..good };
    let items: Vec<_> = dump(&tools, &reader, &limits).await.unwrap().collect().await;
    assert!(matches!(items.last(), Some(Err(DumpError::PermissionDenied { .. }))), "{:?}", items.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target { port: silent.local_addr().unwrap().port(), ..Server::get().target("x") };
    let limits = Limits { connect: Duration::from_secs(2), ..Limits::default() };
    let error = dump(&Tools::standard(), &target, &limits).await.unwrap_err();
    assert!(!error.is_permanent(), "{error}");
    assert!(["ConnectionFailed", "Timeout"].contains(&error.class()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_stalls_the_dump_and_a_broken_connection_ends_it() {
    let server = Server::get();
    server.create("locked");
    server.sql("locked", "CREATE TABLE t (a integer); CREATE TABLE big AS SELECT n, repeat('x', 1000) FROM generate_series(1, 60000) n;");
    let limits = Limits { stall: Duration::from_secs(2), ..Limits::default() };
    let locker = std::thread::spawn(|| server.sql("locked", "BEGIN; LOCK TABLE t; SELECT pg_sleep(6);"));
    while server.sql(
        "locked",
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 't'::regclass;",
    ) != "1\n"
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let items: Vec<_> =
        dump(&Tools::standard(), &server.target("locked"), &limits).await.unwrap().collect().await;
    assert!(matches!(items.last(), Some(Err(DumpError::Stalled { .. }))), "{:?}", items.last());
    locker.join().unwrap();
    let mut dump = dump(&Tools::standard(), &server.target("locked"), &Limits::default()).await.unwrap();
    dump.next().await.unwrap().unwrap();
    server.sql("locked", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dilux-backup' AND datname = 'locked';");
    let items: Vec<_> = dump.collect().await;
    assert!(matches!(items.last(), Some(Err(DumpError::ConnectionFailed { .. }))), "{:?}", items.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_dump_lets_go_of_the_server() {
    let server = Server::get();
    server.create("dropped");
    server
        .sql("dropped", "CREATE TABLE big AS SELECT n, repeat('x', 1000) FROM generate_series(1, 60000) n;");
    let connections =
        || server.sql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'dropped';");
    let mut dump = dump(&Tools::standard(), &server.target("dropped"), &Limits::default()).await.unwrap();
    dump.next().await.unwrap().unwrap();
    assert_eq!(connections(), "1\n");
    drop(dump);
    let patience = std::time::Instant::now() + Duration::from_secs(30);
    while connections() != "0\n" {
        assert!(std::time::Instant::now() < patience, "pg_dump is still connected");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_leaves_the_target_unchanged() {
    let server = Server::get();
    server.create("unchanged");
    server.sql("unchanged", "CREATE TABLE kept (a integer); INSERT INTO kept VALUES (1);");
    let target = server.target("unchanged");
    let before = server.describe("unchanged");
    let wrong = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\nSET transaction_timeout = 0;\nDROP TABLE kept;\nCREATE TABLE one (a integer);\nCOPY one FROM stdin;\n1\nnot a number\n\\.\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n";
    let error = restored(&target, wrong.into()).await.unwrap_err();
    let RestoreError::Refused { line, state, .. } = &error else { panic!("{error}") };
    assert_eq!((line.is_some(), *state), (true, TargetState::Unchanged), "{error}");
    assert!(error.to_string().contains("not a number"), "{error}");
    assert_same(&before, &server.describe("unchanged"));
    // Without its closing line, even a dump in which every statement is right.
    let error = restored(&target, b"DROP TABLE kept;\n".to_vec()).await.unwrap_err();
    assert!(matches!(error, RestoreError::Truncated { state: TargetState::Unchanged }), "{error}");
    assert_same(&before, &server.describe("unchanged"));
    let many = Bytes::from("DROP TABLE IF EXISTS kept;\n".repeat(10_000));
    let input = stream::iter([Ok(many), Err(io::Error::other("the blob is gone"))]);
    let error = restore(&Tools::standard(), &target, input, &Limits::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, RestoreError::Input { .. }), "{error}");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the blob is gone");
    assert_same(&before, &server.describe("unchanged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_cannot_run_commands_of_the_client() {
    let server = Server::get();
    server.create("commands");
    let mark = std::env::temp_dir().join(format!("dilux-mark-{}", std::process::id()));
    for command in [
        format!("\\! touch {}", mark.display()),
        format!("\\o {}\nSELECT 1;", mark.display()),
        format!("\\unrestrict abc\n\\! touch {}", mark.display()),
    ] {
        let dump = format!(
            "--\n\\restrict abc\n--\nSELECT 1;\n{command}\n-- PostgreSQL database dump complete\n\n\\unrestrict abc\n"
        );
        let error = restored(&server.target("commands"), dump.into()).await.unwrap_err();
        assert!(error.to_string().contains("restrict"), "{error}");
        assert!(!mark.exists(), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_inert_and_no_password_is_seen() {
    let server = Server::get();
    let stop = Arc::new(AtomicBool::new(false));
    let watch = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || watch_arguments(&stop)
    });
    for (number, hostile) in HOSTILE.iter().enumerate() {
        server.create(hostile);
        server.sql(hostile, &format!("CREATE TABLE t (a text); INSERT INTO t VALUES ({});", text(hostile)));
        // The password is hostile as well, and so is the user.
        let password = format!("{hostile}-s3cret-{number}");
        server.sql(
            "postgres",
            &format!("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {};", name(hostile), text(&password)),
        );
        let target =
            Target { username: (*hostile).to_owned(), password: password.into(), ..server.target(hostile) };
        let dump = dumped(&target).await;
        let before = server.describe(hostile);
        server.sql(hostile, "DROP TABLE t;");
        restored(&target, dump).await.unwrap_or_else(|error| panic!("{hostile}: {error}"));
        assert_same(&before, &server.describe(hostile));
        let error =
            probe(&Tools::standard(), &Target { host: (*hostile).to_owned(), ..target }, &Limits::default())
                .await
                .unwrap_err();
        assert!(["InvalidTarget", "UnknownHost"].contains(&error.class()), "{hostile}: {error}");
    }
    stop.store(true, Ordering::Relaxed);
    let (seen, leaks) = watch.join().unwrap();
    assert!(seen > 0, "no client was seen at work, so that nothing was proved");
    assert_eq!(leaks, Vec::<String>::new());
    assert!(!fs::exists("/tmp/dilux-evil").unwrap());
}

/// Reads the arguments of all processes that this test has started, over and over; returns how many of our clients were seen, and
/// those with a password in them.
fn watch_arguments(stop: &AtomicBool) -> (usize, Vec<String>) {
    let (mut seen, mut leaks) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        for process in descendants(std::process::id()) {
            let Ok(arguments) = fs::read(format!("/proc/{}/cmdline", process.id)) else { continue };
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            if arguments.contains("pg_dump\0--format=plain") {
                seen += 1;
            }
            if arguments.contains("s3cret") || arguments.contains(PASSWORD) {
                leaks.push(arguments);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    (seen, leaks)
}

/// Names of databases and users that look like something else; none is a host name that could exist.
const HOSTILE: [&str; 26] = [
    "--file=/tmp/dilux-evil",
    "-f/tmp/dilux-evil",
    "--help",
    "--version",
    "-c \\! touch /tmp/dilux-evil",
    "--command=DROP DATABASE postgres",
    "--host=evil.example",
    "host=evil.example dbname=postgres",
    "postgresql://root:pw@evil.example/db",
    "postgres://evil.example",
    "dbname=postgres",
    "service=evil",
    "--",
    "-",
    "; touch /tmp/dilux-evil",
    "$(touch /tmp/dilux-evil)",
    "`touch /tmp/dilux-evil`",
    "x'; DROP DATABASE postgres; --",
    "x\"; DROP DATABASE postgres; --",
    "back\\slash\\",
    "line\n\\! touch /tmp/dilux-evil",
    "tab\tand\rreturn",
    "a,b",
    "user=x password=y",
    "../../etc/passwd",
    "Ünïcödé 日本 €",
];

#[tokio::test(flavor = "multi_thread")]
async fn tables_rows_and_schemas_are_left_out_by_patterns_whatever_their_names() {
    let server = Server::get();
    server.create("parts");
    server.sql(
        "parts",
        r#"CREATE EXTENSION pgcrypto; CREATE SCHEMA app; CREATE SCHEMA "Other";
           CREATE TABLE app.orders AS SELECT 'kept row' AS v;
           CREATE TABLE app."Sessions" AS SELECT 'secret row' AS v;
           CREATE TABLE app.sessions AS SELECT 'small row' AS v;
           CREATE TABLE app."log_1 --x" AS SELECT 'log row' AS v;
           CREATE TABLE "Other".t AS SELECT 'other row' AS v;
           CREATE PUBLICATION news FOR ALL TABLES;"#,
    );
    let patterns = |text: &str| vec![text.parse().unwrap()];
    let dumped = async |options: DumpOptions| {
        let target = server.target("parts");
        let dump = dump_with(&Tools::standard(), &target, &options, &Limits::default()).await.unwrap();
        let text: Vec<u8> = dump.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap();
        String::from_utf8(text).unwrap()
    };
    let text = dumped(DumpOptions {
        exclude_tables: patterns("log_*"),
        exclude_table_data: patterns("a*.Sess?ons"),
        ..DumpOptions::default()
    })
    .await;
    for there in ["kept row", "small row", "other row", "CREATE TABLE app.\"Sessions\""] {
        assert!(text.contains(there), "{there}: {text}");
    }
    for gone in ["secret row", "log_1", "PUBLICATION", "OWNER TO"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    let text = dumped(DumpOptions {
        include_schemas: patterns("app"),
        include_privileges: true,
        ..DumpOptions::default()
    })
    .await;
    for there in ["kept row", "secret row", "EXTENSION IF NOT EXISTS pgcrypto", "OWNER TO"] {
        assert!(text.contains(there), "{there}: {text}");
    }
    assert!(!text.contains("other row"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_judged_is_not_looked_up_again() {
    let server = Server::get();
    server.create("pinned");
    let tools = Tools::standard().with_targets(TargetRule::default());
    for host in ["localhost", "127.0.0.1"] {
        let target = Target { host: host.to_owned(), ..server.target("pinned") };
        let dump = dump(&tools, &target, &Limits::default()).await.unwrap();
        let whole: Vec<u8> = dump.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap();
        assert!(String::from_utf8_lossy(&whole).contains("PostgreSQL database dump complete"), "{host}");
        let wrong = Target { password: "wrong-word".into(), ..target };
        let error = probe(&tools, &wrong, &Limits::default()).await.unwrap_err();
        assert_eq!(error.class(), "AuthenticationFailed", "{error}");
    }
}
