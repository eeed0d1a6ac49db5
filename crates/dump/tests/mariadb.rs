//! Dumps and restores of a real MariaDB server with the real client programs.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dump::{
    DumpError, Limits, Remarks, RestoreError, Target, TargetState, Tools, discover, dump, dump_with,
    exchange_databases, probe, restore,
};
use end_to_end::processes::descendants;
use end_to_end::servers::assert_same;
use end_to_end::servers::mariadb::{PASSWORD, Server, name, text};
use end_to_end::stack::free_port;
use futures::{StreamExt, TryStreamExt, stream};
use shared::models::{Consistency, DumpOptions};

const NASTY: &str = include_str!("../../../tests/fixtures/mariadb/nasty.sql");

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
    assert!(before.lines().count() > 350, "only {} lines", before.lines().count());
    let dump = dumped(&server.target("nasty")).await;
    let mut seen = 0;
    let pieces = dump.chunks(64 * 1024).map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece)));
    let restored = restore(
        &Tools::standard(),
        &server.target("nasty copy"),
        stream::iter(pieces),
        &Limits::default(),
        |bytes| seen = bytes,
    )
    .await
    .unwrap();
    assert_eq!(restored.bytes, dump.len() as u64);
    assert_eq!(seen, restored.bytes);
    assert!(restored.server_version.contains("MariaDB"));
    assert_same(&before, &server.describe("nasty copy"));
    // The code works, not only its text.
    assert_eq!(
        server.sql("nasty copy", "INSERT INTO zero_key (v) VALUES (4); SELECT v FROM zero_key WHERE id = LAST_INSERT_ID(); SELECT twice(21), ansi('y');"),
        "50\n42\tback\\\\slashyx\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_can_be_loaded_by_the_plain_client() {
    let server = Server::get();
    server.create("plain");
    server.create("plain copy");
    server.sql("plain", NASTY);
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
    assert_eq!(server.describe("no tables copy"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_over_an_older_state_brings_the_dumped_state_back() {
    let server = Server::get();
    server.create("again");
    server.sql("again", NASTY);
    let before = server.describe("again");
    let dump = dumped(&server.target("again")).await;
    server.sql(
        "again",
        "DELETE FROM no_key; UPDATE texts SET short = 'changed'; DROP TABLE parted; DROP FUNCTION twice;",
    );
    restored(&server.target("again"), dump).await.unwrap();
    assert_same(&before, &server.describe("again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn definers_that_the_target_does_not_have_become_the_user_of_the_restore() {
    let server = Server::get();
    server.create("definers");
    server.sql(
        "definers",
        "CREATE USER gone@'%', `kept``one`@'%'; GRANT ALL ON *.* TO gone@'%';
         CREATE TABLE t (v TEXT);
         INSERT INTO t VALUES (';\nCREATE DEFINER=`gone`@`%` VIEW v AS SELECT 1;\n'), ('\\\\'), ('`');
         CREATE DEFINER=gone@'%' SQL SECURITY DEFINER VIEW seen AS SELECT v FROM t;
         CREATE DEFINER=gone@'%' EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 1;
         CREATE DEFINER=gone@'%' TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.v = CONCAT(NEW.v, ';');
         CREATE DEFINER=gone@'%' FUNCTION f() RETURNS TEXT RETURN '\nCREATE DEFINER=`gone`@`%` VIEW v';
         CREATE DEFINER=`kept``one`@'%' PROCEDURE p() SELECT 1;",
    );
    let rows = server.sql("definers", "SELECT HEX(v) FROM t ORDER BY 1; SELECT HEX(f());");
    let dump = dumped(&server.target("definers")).await;
    server.sql("", "DROP USER gone@'%';");
    server.create("definers copy");
    let restored = restored(&server.target("definers copy"), dump).await.unwrap();
    let definers = "SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()
        UNION ALL SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()
        UNION ALL SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()
        UNION ALL SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY 1;";
    let found = server.sql("definers copy", definers);
    assert_eq!(found, "backup@%\nbackup@%\nbackup@%\nbackup@%\nkept`one@%\n");
    assert_eq!(server.sql("definers copy", "SELECT HEX(v) FROM t ORDER BY 1; SELECT HEX(f());"), rows);
    let told = restored.adapted.join("\n");
    assert!(told.contains("`gone`@`%` does not exist on the target: 4 of its"), "{told}");
    assert!(told.contains("sandbox") && !told.contains("kept"), "{told}");
    // Such a database can be dumped again, which with a missing definer it could not.
    dumped(&server.target("definers copy")).await;
    server.sql("", "DROP USER `kept``one`@'%';");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_may_not_see_is_told_and_the_documented_rights_suffice() {
    let server = Server::get();
    server.create("seen_by");
    server.create("seen_by copy");
    server.sql(
        "seen_by",
        "CREATE TABLE t (v INT); CREATE TRIGGER hidden_trigger BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1;
         CREATE VIEW w AS SELECT v FROM t; CREATE PROCEDURE hidden_procedure() SELECT 1;
         CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 1;
         CREATE USER blind@'%' IDENTIFIED BY 'x', seeing@'%' IDENTIFIED BY 'x', by_role@'%' IDENTIFIED BY 'x';
         GRANT SELECT, SHOW VIEW, EVENT ON `seen\\_by`.* TO blind@'%';
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `seen\\_by`.* TO seeing@'%'; GRANT SELECT ON mysql.proc TO seeing@'%';
         CREATE ROLE sees; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `seen\\_by`.* TO sees; GRANT SELECT ON mysql.proc TO sees;
         GRANT sees TO by_role@'%'; SET DEFAULT ROLE sees FOR by_role@'%';",
    );
    let seen = async |user: &str| {
        let target = Target { username: user.to_owned(), password: "x".into(), ..server.target("seen_by") };
        let dump = dump(&Tools::standard(), &target, &Limits::default()).await.unwrap();
        let remarks = dump.remarks();
        let text: Vec<u8> = dump.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap();
        (text, remarks.warnings().as_slice().join("\n"))
    };
    let (text, warnings) = seen("blind").await;
    assert!(!String::from_utf8(text).unwrap().contains("hidden"));
    assert_eq!(
        warnings,
        "triggers may be missing, since the server shows none to a user without the right TRIGGER: GRANT TRIGGER ON `seen_by`.* TO the user of the backup\n\
         procedures and functions may be missing, since the server shows none to a user without a right on all of them: GRANT SELECT ON `mysql`.`proc` TO the user of the backup"
    );
    let before = server.describe("seen_by");
    for user in ["seeing", "by_role"] {
        let (text, warnings) = seen(user).await;
        assert_eq!(warnings, "", "{user}");
        restored(&server.target("seen_by copy"), text).await.unwrap();
        assert_same(&before, &server.describe("seen_by copy"));
    }
}

/// Makes a database whose code was made while it had another collation.
fn create_with_changed_collation(server: &Server, database: &str) {
    server.sql("", &format!("CREATE DATABASE {} CHARACTER SET latin1;", name(database)));
    server.sql(
        database,
        "CREATE TABLE t (v INT); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.v = NEW.v + 1;
         CREATE FUNCTION f() RETURNS TEXT RETURN 'x'; CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 1;
         CREATE VIEW w AS SELECT v FROM t;",
    );
    server.sql(
        database,
        "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; CREATE PROCEDURE p() SELECT 1;",
    );
}

const COLLATIONS: &str = "SELECT TRIGGER_NAME, DATABASE_COLLATION FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()
    UNION ALL SELECT EVENT_NAME, DATABASE_COLLATION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()
    UNION ALL SELECT ROUTINE_NAME, DATABASE_COLLATION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY 1;
    SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE();";

/// Puts one database in the place of another.
async fn exchanged(target: &Target, loaded: &str, aside: &str) -> (Result<(), DumpError>, String) {
    let remarks = Remarks::default();
    let result =
        exchange_databases(&Tools::standard(), target, loaded, aside, &Limits::default(), &remarks).await;
    (result, remarks.warnings().as_slice().join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_another_collation_comes_back_and_alters_no_other_database() {
    let server = Server::get();
    let source = "changed `collation`";
    create_with_changed_collation(server, source);
    let collations = server.sql(source, COLLATIONS);
    assert!(collations.contains("g\tlatin1_") && collations.contains("p\tutf8mb4_bin"), "{collations}");
    let dump = dumped(&server.target(source)).await;
    assert!(
        String::from_utf8_lossy(&dump)
            .contains("ALTER DATABASE `changed ``collation``` CHARACTER SET latin1")
    );
    // On the same server, the one that was dumped is live.
    server.sql(source, "ALTER DATABASE CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;");
    server.create("changed copy");
    let copied = restored(&server.target("changed copy"), dump.clone()).await.unwrap();
    assert!(copied.adapted.iter().any(|told| told.contains("ALTER DATABASE")), "{:?}", copied.adapted);
    assert_eq!(server.sql("changed copy", COLLATIONS), collations);
    assert!(server.sql(source, COLLATIONS).ends_with("utf8mb3_bin\n"));
    // In its place, with the collation that the live one has by now.
    let (result, warnings) = exchanged(&server.target(source), "changed copy", "changed aside").await;
    result.unwrap();
    assert_eq!(warnings, "");
    assert_eq!(server.sql(source, COLLATIONS), collations.replace("\nutf8mb4_bin", "\nutf8mb3_bin"));
    // Elsewhere, there is none of that name.
    server.sql("", &format!("DROP DATABASE {};", name(source)));
    server.create("changed elsewhere");
    restored(&server.target("changed elsewhere"), dump).await.unwrap();
    assert_eq!(server.sql("changed elsewhere", COLLATIONS), collations);
}

/// A user without the right to name others, as administrators of hosted servers are.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_name_others_restores_as_itself() {
    let server = Server::get();
    server.create("hosted");
    server.sql("hosted", "CREATE DEFINER=root@localhost VIEW v AS SELECT 1 AS one;");
    let dump = dumped(&server.target("hosted")).await;
    server.create("hosted copy");
    server.sql("", "CREATE USER hosted@'%' IDENTIFIED BY 'x'; GRANT ALL ON `hosted copy`.* TO hosted@'%';");
    let target =
        Target { username: "hosted".to_owned(), password: "x".into(), ..server.target("hosted copy") };
    let told = restored(&target, dump).await.unwrap().adapted.join("\n");
    assert!(told.contains("`root`@`localhost` may not be named"), "{told}");
    let found =
        server.sql("", "SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'hosted copy';");
    assert_eq!(found, "hosted@%\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_tables_comes_back() {
    let server = Server::get();
    server.create("history");
    server.create("history copy");
    let table = "CREATE TABLE h (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING;";
    server.sql(
        "history",
        &format!(
            "{table} INSERT INTO h VALUES (1, 1), (2, 1); UPDATE h SET v = 2; DELETE FROM h WHERE id = 2;"
        ),
    );
    let rows = |database| {
        server.sql(database, "SELECT id, v, row_start, row_end FROM h FOR SYSTEM_TIME ALL ORDER BY 1, 2;")
    };
    assert_eq!(rows("history").lines().count(), 4);
    let dump = dumped(&server.target("history")).await;
    restored(&server.target("history copy"), dump).await.unwrap();
    assert_eq!(rows("history"), rows("history copy"));
    // History by transactions cannot be dumped; the present rows still are.
    server.sql("history", "CREATE TABLE t (id INT PRIMARY KEY, a BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, b BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (a, b)) WITH SYSTEM VERSIONING; INSERT INTO t (id) VALUES (7);");
    server.create("history copy 2");
    let dump = dumped(&server.target("history")).await;
    restored(&server.target("history copy 2"), dump).await.unwrap();
    assert_eq!(server.sql("history copy 2", "SELECT id FROM t; SELECT id, v FROM h;"), "7\n1\t2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_on_which_the_program_would_never_end_is_refused() {
    let server = Server::get();
    server.create("endless");
    server
        .sql("endless", "DELIMITER //\nCREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 'a;;b'//\n");
    let error = dump(&Tools::standard(), &server.target("endless"), &Limits::default()).await.unwrap_err();
    assert!(matches!(error, DumpError::ToolDefect { .. }), "{error}");
    assert!(error.is_permanent());
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_and_discover_tell_what_is_there() {
    let server = Server::get();
    server.create("tab\tand\nline `x`");
    let tools = Tools::standard();
    let probed = probe(&tools, &server.target(""), &Limits::default()).await.unwrap();
    assert!(probed.server_version.contains("MariaDB"), "{probed:?}");
    assert!(probed.latency > Duration::ZERO);
    probe(&tools, &Target { host: "localhost".to_owned(), ..server.target("mysql") }, &Limits::default())
        .await
        .unwrap();
    let names = discover(&tools, &server.target("not looked at"), &Limits::default()).await.unwrap();
    assert!(names.contains(&"tab\tand\nline `x`".to_owned()), "{names:?}");
    assert!(names.contains(&"information_schema".to_owned()));
    assert!(names.is_sorted());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_named() {
    let server = Server::get();
    server.sql("", "CREATE USER reader@'%' IDENTIFIED BY 'reader-word'; CREATE DATABASE readable; CREATE TABLE readable.t (a INT); CREATE VIEW readable.v AS SELECT a FROM readable.t; GRANT SELECT ON readable.* TO reader@'%';");
    let tools = Tools::standard();
    let limits = Limits { connect: Duration::from_secs(2), ..Limits::default() };
    let good = server.target("readable");
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
    let limits = Limits { connect: Duration::from_secs(1), ..Limits::default() };
    let error = dump(&Tools::standard(), &target, &limits).await.unwrap_err();
    assert!(!error.is_permanent(), "{error}");
    assert!(["ConnectionFailed", "Timeout"].contains(&error.class()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_stops_at_the_first_error_and_names_the_line() {
    let server = Server::get();
    server.create("stops");
    let dump = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\nCREATE TABLE one (a INT);\n\nINSERT INTO missing VALUES (1);\nCREATE TABLE two (a INT);\n-- Dump completed\n";
    let error = restored(&server.target("stops"), dump.into()).await.unwrap_err();
    let RestoreError::Refused { line, state, .. } = &error else { panic!("{error}") };
    assert_eq!((*line, *state), (Some(5), TargetState::PartlyFilled));
    assert!(error.to_string().contains("missing"), "{error}");
    assert_eq!(server.sql("stops", "SHOW TABLES;"), "one\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_breaks_off_is_reported() {
    let server = Server::get();
    server.create("breaks");
    let target = server.target("breaks");
    let error = restored(&target, b"CREATE TABLE one (a INT);\n".to_vec()).await.unwrap_err();
    assert!(matches!(error, RestoreError::Truncated { state: TargetState::PartlyFilled }), "{error}");
    let input =
        stream::iter([Ok(Bytes::from_static(b"SELECT 1;\n")), Err(io::Error::other("the blob is gone"))]);
    let error = restore(&Tools::standard(), &target, input, &Limits::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, RestoreError::Input { .. }), "{error}");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the blob is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_cannot_run_commands_of_the_client() {
    let server = Server::get();
    server.create("commands");
    let mark = std::env::temp_dir().join(format!("dilux-mark-{}", std::process::id()));
    for command in [
        format!("\\! touch {}", mark.display()),
        format!("system touch {}", mark.display()),
        format!("tee {}", mark.display()),
    ] {
        let dump = format!("-- MariaDB dump\n{command}\nSELECT 1;\n-- Dump completed\n");
        // Whether the server refuses the line or not, the client must not obey it.
        let _ = restored(&server.target("commands"), dump.into()).await;
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
        server.sql(hostile, &format!("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ({});", text(hostile)));
        // The password is hostile as well, and so is the user.
        let password = format!("{hostile}-s3cret-{number}");
        server.sql(
            "",
            &format!(
                "CREATE USER {}@'%' IDENTIFIED BY {}; GRANT ALL ON *.* TO {0}@'%';",
                name(hostile),
                text(&password)
            ),
        );
        let target =
            Target { username: (*hostile).to_owned(), password: password.into(), ..server.target(hostile) };
        let dump = dumped(&target).await;
        let before = server.describe(hostile);
        assert_eq!(before.lines().count(), 3, "{hostile}: {before}");
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
            if !arguments.contains("dilux-tool-") {
                continue;
            }
            seen += 1;
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
    "--result-file=/tmp/dilux-evil",
    "--init-command=SELECT 1 INTO OUTFILE '/tmp/dilux-evil'",
    "--help",
    "--version",
    "-e system touch /tmp/dilux-evil",
    "--execute=DROP DATABASE mysql",
    "--defaults-file=/etc/passwd",
    "--host=evil.example",
    "--",
    "-",
    "; touch /tmp/dilux-evil",
    "$(touch /tmp/dilux-evil)",
    "`touch /tmp/dilux-evil`",
    "x'; DROP DATABASE mysql; --",
    "x\"; DROP DATABASE mysql; #",
    "x` ; DROP DATABASE mysql; -- `",
    "back\\slash\\",
    "line\n[client]\nuser=root",
    "tab\tand\rreturn",
    "mysql://root:pw@evil/db",
    "host=evil dbname=x",
    "a,b",
    "per%cent_und",
    "#comment",
    "../../etc/passwd",
    "Ünïcödé 日本 €",
];

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_rows_are_left_out_by_patterns_whatever_their_names() {
    let server = Server::get();
    server.create("parts");
    server.sql(
        "parts",
        "CREATE TABLE orders (v TEXT); INSERT INTO orders VALUES ('kept row');
         CREATE TABLE sessions (v TEXT); INSERT INTO sessions VALUES ('secret row');
         CREATE TABLE log_1 (v TEXT); INSERT INTO log_1 VALUES ('log row');
         CREATE TABLE `log_2.x --y` (v TEXT); INSERT INTO `log_2.x --y` VALUES ('odd row');
         CREATE TABLE old (v TEXT) ENGINE=MyISAM;",
    );
    let patterns = |text: &str| vec![text.parse().unwrap()];
    let options = DumpOptions {
        exclude_tables: patterns("log_*"),
        exclude_table_data: patterns("sess?ons"),
        ..DumpOptions::default()
    };
    let dump =
        dump_with(&Tools::standard(), &server.target("parts"), &options, &Limits::default()).await.unwrap();
    let remarks = dump.remarks();
    let text: Vec<u8> = dump.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("kept row") && text.contains("CREATE TABLE `sessions`"), "{text}");
    assert!(!text.contains("secret row") && !text.contains("log"), "{text}");
    assert_eq!(remarks.consistency(), Some(Consistency::PerTable));
    assert!(remarks.warnings().as_slice()[0].starts_with("1 tables are of a kind without transactions"));
}
