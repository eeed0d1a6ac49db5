//! The conversation with `sqlcmd`, against a stand-in for it: arguments, environment, answers, and
//! everything that can go wrong with the program.
//!
//! No T-SQL is run here. That the statements mean on a server what they should, these tests cannot tell.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "the stand-ins are written by a child process")]

#[path = "support/stand_in.rs"]
mod stand_in;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use dump::{DumpError, Limits, Remarks, RestoreError, Target, Tools, discover, dump, probe, restore};
use futures::{StreamExt, stream};
use shared::connection::Proof;
use shared::models::{Consistency, DatabaseType, Tls, TlsMode};

use crate::stand_in::{PASSWORD, StandIn, patient, wait_for_end_of};

/// What the newer of the two programs says about itself.
const GO: &str = "sqlcmd: x\n\nVersion: v1.8.2\n";

/// Answers what was prepared for the kind of script that it is given, which is the last argument.
const ANSWER: &str = r#"for script; do :; done
echo "$0 $*" >>$OUT/arguments
if grep -q 'P|wide' "$script"; then kind=probe
elif grep -q 'C|database' "$script"; then kind=catalog
elif grep -q '@@VERSION' "$script"; then kind=version
else kind=rows; fi
cp "$script" $OUT/$kind.sql
[ -f $OUT/$kind.sh ] && . $OUT/$kind.sh
cat $OUT/$kind
"#;

/// The catalog of a database with two tables, in texts with escapes.
const CATALOG: &str = "~C|database|=shop|-
~C|schema|=dbo|=dbo
~C|object|=10|=dbo|=one|=U|=0
~C|object|=11|=dbo|=two|=U|=0
~C|table|=10|=dbo|=one|=0|=0|-|=0|=0|=0
~C|table|=11|=dbo|=two|=0|=0|-|=0|=0|=0
~C|column|=10|=1|=id|-|=int|=int|=4|=10|=0|-|-|=0|=0|-|=0|=0|=0|=0|=0
~C|column|=10|=2|=name|-|=nvarchar|=nvarchar|=80|=0|=0|-|-|=0|=1|-|=0|=0|=0|=0|=0
~C|column|=11|=1|=id|-|=int|=int|=4|=10|=0|-|-|=0|=0|-|=0|=0|=0|=0|=0
~C|module|=20|-|=1|=1
~K|schema|1
~K|object|2
~K|table|2
~K|column|3
~K|index|0
~K|indexcolumn|0
~K|module|1
~F|/2/21/3
~Z
";

const ROWS: &str = "
~F|/2/21/3
~B|0

~R|=1|=it's
~R|=2|-

~E|0|2
~B|1
~E|1|0
~Z
";

fn probe_answer() -> String {
    let settings = "~P|set|SET QUOTED_IDENTIFIER ON\n";
    format!(
        "~V|Stand-in 1.0 - 12.3.4\n{settings}~P|date|0|2001-02-03\n~P|snapshot|yes\n~P|wide|{}\n~Z\n",
        "x".repeat(70_000)
    )
}

fn stand_in() -> StandIn {
    let stand_in = StandIn::new("");
    stand_in.install("sqlcmd", GO, ANSWER);
    prepare(&stand_in, "probe", &probe_answer());
    prepare(&stand_in, "catalog", CATALOG);
    prepare(&stand_in, "rows", ROWS);
    prepare(&stand_in, "version", "~V|Stand-in 1.0 - 12.3.4\n~D|shop\n~D|a~3Bb\n~Z\n");
    stand_in
}

fn prepare(stand_in: &StandIn, name: &str, text: &str) {
    fs::write(stand_in.path().join(name), text).unwrap();
}

fn target() -> Target {
    Target { kind: DatabaseType::Sqlserver, port: 1433, ..stand_in::target() }
}

async fn dumped(stand_in: &StandIn, limits: &Limits) -> Result<(String, Remarks), DumpError> {
    let mut dump = dump(&stand_in.tools(), &target(), limits).await?;
    let remarks = dump.remarks();
    let mut text = Vec::new();
    while let Some(piece) = dump.next().await {
        text.extend_from_slice(&piece?);
    }
    Ok((String::from_utf8(text).unwrap(), remarks))
}

/// Returns the error of a dump during which the program does something else at one of its runs.
async fn failure(run: &str, instead: &str) -> DumpError {
    let stand_in = stand_in();
    prepare(&stand_in, &format!("{run}.sh"), instead);
    match dumped(&stand_in, &patient()).await {
        Ok((text, _)) => panic!("the dump was taken for good: {text}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_dump_is_made_of_three_runs() {
    let stand_in = stand_in();
    prepare(
        &stand_in,
        "rows.sh",
        "tr '\\0' '\\n' </proc/$$/environ >$OUT/environment; stat -c %a \"$script\" >$OUT/mode",
    );
    let (text, remarks) = dumped(&stand_in, &patient()).await.unwrap();
    assert!(
        text.ends_with(
            "-- rows: 2 [dbo].[one]\n-- rows: 0 [dbo].[two]\n-- dilux-backup: the dump is complete\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("INSERT INTO [dbo].[one] ([id], [name]) VALUES\n(1,N'it''s'),\n(2,NULL)\nGO\n"),
        "{text}"
    );
    assert_eq!(remarks.consistency(), Some(Consistency::Snapshot));
    let warnings = remarks.warnings();
    assert!(warnings.as_slice().iter().any(|text| text.contains("encrypted or hidden")), "{warnings:?}");
    let arguments = fs::read_to_string(stand_in.path().join("arguments")).unwrap();
    assert_eq!(arguments.lines().count(), 3, "{arguments}");
    assert!(!arguments.contains(PASSWORD) && !arguments.contains("SELECT"), "{arguments}");
    let line = arguments.lines().last().unwrap();
    assert!(line.contains("-S tcp:db.invalid,1433 -d shop -U app -r1 -x -I -C"), "{line}");
    assert!(!line.contains(" -f "), "{line}");
    let environment = fs::read_to_string(stand_in.path().join("environment")).unwrap();
    assert!(environment.contains(&format!("SQLCMDPASSWORD={PASSWORD}")));
    assert!(!environment.contains("CARGO"), "{environment}");
    assert_eq!(stand_in.wait_for_note("mode"), "600");
    // An error of a question only means that the server does not know the answer; so it is with the catalogs
    // of a server that is not Microsoft's.
    let stops = |line: &str| line.contains(" -b ");
    let stopping: Vec<bool> = arguments.lines().map(stops).collect();
    assert_eq!(stopping, [false, false, true]);
    let rows = fs::read_to_string(stand_in.path().join("rows.sql")).unwrap();
    assert!(rows.contains("SET TRANSACTION ISOLATION LEVEL SNAPSHOT"), "{rows}");
}

#[tokio::test]
async fn the_older_program_is_known_by_its_help() {
    let stand_in = stand_in();
    let help = "Microsoft (R) SQL Server Command Line Tool\nVersion 18.4.0001.1 Linux\n";
    stand_in.install("sqlcmd", "", &format!("if [ \"$1\" = '-?' ]; then echo '{help}'; exit; fi\n{ANSWER}"));
    dumped(&stand_in, &patient()).await.unwrap();
    let arguments = fs::read_to_string(stand_in.path().join("arguments")).unwrap();
    assert!(arguments.lines().all(|line| line.contains(" -No -C -f 65001 ")), "{arguments}");
}

#[tokio::test]
async fn a_token_takes_the_place_of_the_password_in_programs_that_take_one() {
    let token = "eyJ0".repeat(800);
    let tls = Tls { mode: TlsMode::VerifyFull, ca: None };
    let target = Target { proof: Proof::Token, password: token.clone().into(), tls, ..target() };
    let look = "for file; do case $file in */token) cp $file $OUT/token; stat -c %a $file >$OUT/token-mode;; esac; done";
    let notes = format!("{look}\ntr '\\0' '\\n' </proc/$$/environ >$OUT/environment\n{ANSWER}");

    let stand_in = stand_in();
    let error = probe(&stand_in.tools(), &target, &patient()).await.unwrap_err();
    assert_eq!(error.connection_class(), "ToolNotFound", "{error}");
    assert!(error.to_string().contains("from 1.11 on"), "{error}");

    stand_in.install("sqlcmd", "sqlcmd: x\n\nVersion: 1.11.0\n", &notes);
    probe(&stand_in.tools(), &target, &patient()).await.unwrap();
    let arguments = fs::read_to_string(stand_in.path().join("arguments")).unwrap();
    assert!(arguments.contains(" --authentication-method ActiveDirectoryServicePrincipalAccessToken "));
    assert!(arguments.contains(" -Ntrue ") && !arguments.contains(" -U "), "{arguments}");
    let environment = fs::read_to_string(stand_in.path().join("environment")).unwrap();
    assert!(environment.contains(&format!("SQLCMDPASSWORD={token}\n")));

    let help = "Microsoft (R) SQL Server Command Line Tool\nVersion 18.4.0001.1 Linux\n";
    stand_in.install("sqlcmd", "", &format!("if [ \"$1\" = '-?' ]; then echo '{help}'; exit; fi\n{notes}"));
    probe(&stand_in.tools(), &target, &patient()).await.unwrap();
    let arguments = fs::read_to_string(stand_in.path().join("arguments")).unwrap();
    let line = arguments.lines().last().unwrap();
    assert!(line.contains(" -G ") && line.contains(" -Nm ") && !line.contains(" -U "), "{line}");
    assert!(!arguments.contains(&token[..8]), "{arguments}");
    assert!(!fs::read_to_string(stand_in.path().join("environment")).unwrap().contains(&token[..8]));
    let written: Vec<u8> = token.bytes().flat_map(|byte| [byte, 0]).collect();
    assert_eq!(fs::read(stand_in.path().join("token")).unwrap(), written);
    assert_eq!(stand_in.wait_for_note("token-mode"), "600");
}

#[tokio::test]
async fn a_server_without_snapshots_is_dumped_with_the_statement_that_allows_them() {
    let stand_in = stand_in();
    prepare(&stand_in, "probe", &probe_answer().replace("~P|snapshot|yes\n", ""));
    let (text, remarks) = dumped(&stand_in, &patient()).await.unwrap();
    assert_eq!(remarks.consistency(), Some(Consistency::PerTable));
    assert!(text.contains("-- consistency: per_table\n"));
    let warnings = remarks.warnings();
    assert!(
        warnings.as_slice().iter().any(|text| text.contains("SET ALLOW_SNAPSHOT_ISOLATION ON")),
        "{warnings:?}"
    );
    let rows = fs::read_to_string(stand_in.path().join("rows.sql")).unwrap();
    assert!(!rows.contains("SNAPSHOT"), "{rows}");
}

#[tokio::test]
async fn an_error_of_the_server_is_told_with_its_table() {
    let error = failure(
        "rows",
        "head -n 6 $OUT/rows; echo 'Msg 229, Level 14, State 5, Server x, Line 1' >&2; echo 'The SELECT permission was denied on the object one.' >&2; exit 1",
    )
    .await;
    assert!(matches!(error, DumpError::PermissionDenied { .. }), "{error}");
    assert!(error.to_string().contains("reading the table [dbo].[one]:"), "{error}");
}

#[tokio::test]
async fn a_program_that_ends_well_without_its_last_line_is_not_believed() {
    let error = failure("rows", "head -n 6 $OUT/rows; exit 0").await;
    assert!(matches!(error, DumpError::Truncated { .. }), "{error}");
    let error = failure("catalog", "head -n 6 $OUT/catalog; exit 0").await;
    assert!(matches!(error, DumpError::Truncated { .. }), "{error}");
    let error = failure("probe", "exit 0").await;
    assert!(matches!(error, DumpError::Truncated { .. }), "{error}");
}

#[tokio::test]
async fn a_program_that_was_interrupted_and_ends_with_0_is_not_believed() {
    let warning = "Sqlcmd: Warning: The last operation was terminated because the user pressed CTRL+C";
    let error = failure("rows", &format!("head -n 6 $OUT/rows; echo '{warning}'; exit 0")).await;
    assert!(error.to_string().contains("CTRL+C"), "{error}");
    // Even after the last line, what it says is no remark.
    let error = failure("rows", &format!("cat $OUT/rows; echo '{warning}'; exit 0")).await;
    assert!(matches!(error, DumpError::ToolFailed { status: 0, .. }), "{error}");
}

#[tokio::test]
async fn an_expired_time_limit_on_the_output_is_an_error() {
    let error = failure("rows", "head -n 6 $OUT/rows; echo 'Timeout expired'; exit 0").await;
    assert!(error.to_string().contains("Timeout expired"), "{error}");
}

#[tokio::test]
async fn a_line_that_was_cut_is_blamed_on_the_program_that_died() {
    let error = failure("rows", "printf '~F|/2/21/3\\n~B|0\\n~R|=1|=it'; kill -9 $$").await;
    assert!(matches!(error, DumpError::Killed { signal: 9, .. }), "{error}");
    let error = failure("rows", "printf '~F|/2/21/3\\n~B|0\\n~R|=1'; echo 'unable to open tcp connection: connection refused' >&2; exit 1").await;
    assert!(matches!(error, DumpError::ConnectionFailed { .. }), "{error}");
}

#[tokio::test]
async fn rows_that_are_missing_are_noticed() {
    let error = failure("rows", "grep -v '~R|=2' $OUT/rows; exit 0").await;
    assert!(
        matches!(&error, DumpError::RowsMissing { table, counted: 2, received: 1 } if table == "[dbo].[one]"),
        "{error}"
    );
}

#[tokio::test]
async fn a_structure_that_changes_between_the_runs_is_noticed() {
    let error = failure("rows", "sed 's/~F.*/~F|other/' $OUT/rows; exit 0").await;
    assert!(matches!(error, DumpError::Changed { .. }), "{error}");
    assert!(!error.is_permanent());
}

#[tokio::test]
async fn what_a_program_says_on_connecting_decides_on_the_error() {
    // The newer program tells why it cannot connect on its output.
    for (said, class) in [
        ("mssql: login error: Login failed for user 'app'.", "AuthenticationFailed"),
        (
            "mssql: login error: Cannot open database \"shop\" that was requested by the login. The login failed.",
            "UnknownDatabase",
        ),
        (
            "unable to open tcp connection with host 'db.invalid:1433': dial tcp: lookup db.invalid: no such host",
            "UnknownHost",
        ),
        (
            "unable to open tcp connection with host 'db:1433': dial tcp 10.0.0.7:1433: connect: connection refused",
            "ConnectionFailed",
        ),
        ("server does not support encryption", "Unencrypted"),
        (
            "TLS Handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "CertificateRefused",
        ),
        ("invalid respones, expected packet type 4, PRELOGIN RESPONSE", "ConnectionFailed"),
        ("invalid packet size, it is longer than buffer size", "ConnectionFailed"),
        ("Read: EOF", "ConnectionFailed"),
        ("no instance matching 'x' returned from host 'db'", "ConnectionFailed"),
    ] {
        let said = said.replace('\'', "'\\''");
        for stream in ["", " >&2"] {
            let error = failure("probe", &format!("echo '{said}'{stream}; exit 1")).await;
            assert_eq!(error.class(), class, "{error}");
        }
    }
}

#[tokio::test]
async fn a_program_that_falls_silent_is_stopped() {
    let stand_in = stand_in();
    prepare(&stand_in, "rows.sh", "echo $$ >$OUT/tool; head -n 6 $OUT/rows; exec sleep 1000");
    let limits = Limits { stall: Duration::from_secs(2), ..patient() };
    let error = dumped(&stand_in, &limits).await.unwrap_err();
    assert!(matches!(error, DumpError::Stalled { .. }), "{error}");
    wait_for_end_of(&stand_in.wait_for_note("tool"));
}

#[tokio::test]
async fn a_program_that_has_lost_its_connection_is_stopped_long_before() {
    let stand_in = stand_in();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let connected =
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo $$ >$OUT/tool; head -n 6 $OUT/rows; sleep 1000");
    prepare(&stand_in, "rows.sh", &format!("export OUT; exec bash -c '{connected}'"));
    let serving = std::thread::spawn(move || {
        let connection = server.accept().unwrap();
        std::thread::sleep(Duration::from_secs(3));
        drop(connection);
    });
    let error = dumped(&stand_in, &patient()).await.unwrap_err();
    assert!(matches!(error, DumpError::ConnectionFailed { .. }), "{error}");
    assert!(error.to_string().contains("connection was lost"), "{error}");
    wait_for_end_of(&stand_in.wait_for_note("tool"));
    serving.join().unwrap();
}

#[tokio::test]
async fn a_program_that_stumbles_over_an_answer_is_not_waited_for() {
    let said = "runtime error: slice bounds out of range [:4472] with capacity 4000";
    for kind in ["probe", "catalog", "rows"] {
        let stand_in = stand_in();
        prepare(
            &stand_in,
            &format!("{kind}.sh"),
            &format!("echo $$ >$OUT/tool; head -n 6 $OUT/{kind}; echo '{said}'; exec sleep 1000"),
        );
        let error = dumped(&stand_in, &patient()).await.unwrap_err();
        assert!(matches!(error, DumpError::ConnectionFailed { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        wait_for_end_of(&stand_in.wait_for_note("tool"));
    }
}

#[tokio::test]
async fn servers_are_probed_and_listed_the_same_way() {
    let stand_in = stand_in();
    let server = Target { database: String::new(), ..target() };
    let probed = probe(&stand_in.tools(), &server, &patient()).await.unwrap();
    assert_eq!(probed.server_version, "Stand-in 1.0 - 12.3.4");
    assert_eq!(discover(&stand_in.tools(), &server, &patient()).await.unwrap(), ["a;b", "shop"]);
    let arguments = fs::read_to_string(stand_in.path().join("arguments")).unwrap();
    assert!(arguments.lines().all(|line| line.contains(" -d master ")), "{arguments}");
    stand_in.install("sqlcmd", GO, "echo $$ >$OUT/tool; exec sleep 1000");
    let limits = Limits { deadline: Duration::from_secs(1), ..patient() };
    let error = probe(&stand_in.tools(), &server, &limits).await.unwrap_err();
    assert_eq!(error.connection_class(), "Timeout", "{error}");
}

#[tokio::test]
async fn a_dump_is_loaded_through_the_input_and_stops_at_the_first_error() {
    let stand_in = stand_in();
    let (text, _) = dumped(&stand_in, &patient()).await.unwrap();
    let load = |script: &str| {
        let loading = "case \"$*\" in *-i*) ;; *) LOAD;; esac\n".replace("LOAD", script);
        stand_in.install("sqlcmd", GO, &format!("{loading}{ANSWER}"));
    };
    load("echo \"$*\" >$OUT/load; cat >$OUT/loaded; echo '~Z'; exit 0");
    let pieces = |text: &str| {
        let pieces: Vec<std::io::Result<bytes::Bytes>> =
            text.as_bytes().chunks(100).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
        stream::iter(pieces)
    };
    restore(&stand_in.tools(), &target(), pieces(&text), &patient(), |_| {}).await.unwrap();
    let loaded = fs::read_to_string(stand_in.path().join("loaded")).unwrap();
    assert_eq!(loaded, format!("{text}\nSELECT '~Z'\nGO\n"));
    assert!(stand_in.wait_for_note("load").contains(" -b "));

    // One that was interrupted ends with 0, but has not come to the end.
    load("cat >$OUT/loaded; exit 0");
    let error = restore(&stand_in.tools(), &target(), pieces(&text), &patient(), |_| {}).await.unwrap_err();
    assert!(matches!(error, RestoreError::Refused { .. }), "{error}");

    load(
        "echo 'Msg 2714, Level 16, State 6, Server x, Line 7' >&2; echo 'There is already an object.' >&2; exit 1",
    );
    let error = restore(&stand_in.tools(), &target(), pieces(&text), &patient(), |_| {}).await.unwrap_err();
    assert!(matches!(error, RestoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("already an object"), "{error}");

    // The program would run it, and cannot be told not to without losing the password's variable.
    let with_command = text.replacen("\nGO\n", "\nGO\n!!touch $OUT/ran\n", 1);
    load("cat >$OUT/loaded; exit 0");
    let error =
        restore(&stand_in.tools(), &target(), pieces(&with_command), &patient(), |_| {}).await.unwrap_err();
    assert!(
        matches!(error, RestoreError::Refused { .. }) && error.to_string().contains("command"),
        "{error}"
    );

    let cut = text.replace("-- dilux-backup: the dump is complete", "");
    load("cat >$OUT/loaded; exit 0");
    let error = restore(&stand_in.tools(), &target(), pieces(&cut), &patient(), |_| {}).await.unwrap_err();
    assert!(matches!(error, RestoreError::Truncated { .. }), "{error}");
}

#[tokio::test]
#[ignore = "needs the vendor's sqlcmd"]
async fn the_real_program_tells_a_dead_port_and_an_unknown_host() {
    let tools = Tools::standard();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead = Target { host: "127.0.0.1".to_owned(), port, ..target() };
    let error = probe(&tools, &dead, &patient()).await.unwrap_err();
    assert!(matches!(error, DumpError::ConnectionFailed { .. }), "{error}");
    let unknown = Target { host: "nowhere.invalid".to_owned(), ..target() };
    let error = dump(&tools, &unknown, &patient()).await.unwrap_err();
    assert!(matches!(error, DumpError::UnknownHost { .. } | DumpError::ConnectionFailed { .. }), "{error}");
}

/// The beginning of the protocol: an answer to the first packet of a connection that says "no encryption",
/// and then the end of it.
fn serve_without_encryption() -> u16 {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut connection in server.incoming().flatten() {
            let mut asked = [0; 512];
            let _ = connection.read(&mut asked);
            // A packet of 26 bytes; the options 0 (version, 6 bytes at 11) and 1 (encryption, 1 byte at 17).
            let answer: &[u8] =
                &[4, 1, 0, 26, 0, 0, 1, 0, 0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 255, 16, 0, 3, 232, 0, 0, 2];
            let _ = connection.write_all(answer);
            let _ = connection.read(&mut asked);
        }
    });
    port
}

#[tokio::test]
#[ignore = "needs the vendor's sqlcmd"]
async fn the_real_program_takes_no_server_without_encryption_where_that_is_required() {
    let tools = Tools::standard();
    let port = serve_without_encryption();
    let at = |mode| Target { host: "127.0.0.1".to_owned(), port, tls: Tls { mode, ca: None }, ..target() };
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let error = probe(&tools, &at(mode), &patient()).await.unwrap_err();
        assert!(matches!(error, DumpError::Unencrypted { .. }), "{mode:?}: {error}");
    }
    // Elsewhere it goes on, and is told by the connection's end that there is nobody.
    for mode in [TlsMode::Disable, TlsMode::Prefer] {
        let error = probe(&tools, &at(mode), &patient()).await.unwrap_err();
        assert!(matches!(error, DumpError::ConnectionFailed { .. }), "{mode:?}: {error}");
    }
}

#[tokio::test]
#[ignore = "needs the vendor's sqlcmd"]
async fn the_real_program_is_told_from_what_does_not_speak_the_protocol() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut connection in server.incoming().flatten() {
            let _ = connection.read(&mut [0; 512]);
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let other = Target { host: "127.0.0.1".to_owned(), port, ..target() };
    let error = probe(&Tools::standard(), &other, &patient()).await.unwrap_err();
    assert!(matches!(error, DumpError::ConnectionFailed { .. }), "{error}");
}
