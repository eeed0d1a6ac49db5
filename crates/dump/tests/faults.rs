//! What happens when a tool misbehaves.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "scripts are written by a child process")]

#[path = "support/stand_in.rs"]
mod stand_in;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use dump::{DumpError, Limits, Target, Tools, dump, probe};
use futures::StreamExt;
use shared::models::DatabaseType;
use shared::targets::TargetRule;

use crate::stand_in::{PASSWORD, StandIn, patient, target, wait_for_end_of};

const CLOSING: &str = "echo '-- Dump completed on 2026-01-02  3:04:05'";

/// Runs a script as the dump program to the end of its stream.
async fn outcome(script: &str, limits: &Limits) -> (Vec<Bytes>, Result<(), DumpError>) {
    let stand_in = StandIn::new(script);
    let mut dump = dump(&stand_in.tools(), &target(), limits).await.unwrap();
    let mut pieces = Vec::new();
    let result = loop {
        match dump.next().await {
            None => break Ok(()),
            Some(Ok(piece)) => pieces.push(piece),
            Some(Err(error)) => break Err(error),
        }
    };
    // Whatever happened, it happened once.
    assert!(dump.next().await.is_none());
    if let Err(error) = &result {
        let text = format!("{error} {error:?}");
        assert!(!text.contains(PASSWORD) && !text.contains("s3cret"), "{text}");
    }
    (pieces, result)
}

#[tokio::test]
async fn a_whole_dump_ends_without_an_error() {
    let (pieces, result) = outcome(&format!("echo 'SELECT 1;'; {CLOSING}"), &patient()).await;
    result.unwrap();
    assert_eq!(pieces.concat(), b"SELECT 1;\n-- Dump completed on 2026-01-02  3:04:05\n");
}

#[tokio::test]
async fn every_byte_comes_in_pieces_of_bounded_size() {
    let script = format!("head -c 100000000 /dev/zero; echo; {CLOSING}");
    let (pieces, result) = outcome(&script, &patient()).await;
    result.unwrap();
    assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), 100_000_000 + 1 + 41);
    assert!(pieces.iter().all(|piece| piece.len() <= 256 * 1024));
    assert!(pieces[..pieces.len() - 1].iter().all(|piece| piece.len() >= 64 * 1024));
}

#[tokio::test]
async fn success_without_the_closing_line_is_a_failure() {
    let (pieces, result) = outcome("echo 'SELECT 1;'", &patient()).await;
    assert_eq!(pieces.concat(), b"SELECT 1;\n");
    assert!(matches!(result, Err(DumpError::Truncated { .. })), "{result:?}");
    let (_, result) = outcome(&format!("{CLOSING}; echo 'INSERT INTO'"), &patient()).await;
    assert!(matches!(result, Err(DumpError::Truncated { .. })), "{result:?}");
}

#[tokio::test]
async fn success_without_output_is_a_failure() {
    let (pieces, result) = outcome("exit 0", &patient()).await;
    assert!(pieces.is_empty());
    let error = result.unwrap_err();
    insta::assert_snapshot!(error, @"mysqldump ended without an error, but it wrote nothing: the dump is not complete and must not be used");
}

#[tokio::test]
async fn a_failure_after_the_closing_line_is_a_failure() {
    let (_, result) =
        outcome(&format!("{CLOSING}; echo 'Error: no space left' >&2; exit 5"), &patient()).await;
    insta::assert_snapshot!(result.unwrap_err(), @"mysqldump failed with exit status 5: Error: no space left");
}

#[tokio::test]
async fn a_tool_that_is_killed_is_reported_as_killed() {
    for script in ["echo 'SELECT 1;'; kill -9 $$", "echo 'SELECT 1;'; sleep 1000 & kill -9 $$"] {
        let (_, result) = outcome(script, &patient()).await;
        let error = result.unwrap_err();
        assert!(matches!(error, DumpError::Killed { signal: 9, .. }), "{error}");
        assert!(!error.is_permanent());
    }
    // Even when it had written everything.
    let (_, result) = outcome(&format!("{CLOSING}; kill -TERM $$"), &patient()).await;
    assert!(matches!(result, Err(DumpError::Killed { signal: 15, .. })), "{result:?}");
}

#[tokio::test]
async fn a_tool_that_hangs_is_stopped_with_all_it_has_started() {
    let stand_in = StandIn::new("sleep 1000 & echo $! >$OUT/child; echo $$ >$OUT/tool; echo data; wait");
    let limits = Limits { stall: Duration::from_millis(700), ..patient() };
    let items: Vec<_> = dump(&stand_in.tools(), &target(), &limits).await.unwrap().collect().await;
    assert!(matches!(items.last(), Some(Err(DumpError::Stalled { .. }))), "{items:?}");
    wait_for_end_of(&stand_in.wait_for_note("tool"));
    wait_for_end_of(&stand_in.wait_for_note("child"));
}

#[tokio::test]
async fn a_tool_that_closes_its_output_and_stays_is_stopped() {
    let limits = Limits { stall: Duration::from_millis(700), ..patient() };
    let (_, result) = outcome(&format!("{CLOSING}; exec >&-; sleep 1000"), &limits).await;
    assert!(matches!(result, Err(DumpError::Stalled { .. })), "{result:?}");
}

#[tokio::test]
async fn a_tool_that_never_comes_to_an_end_is_stopped_at_the_deadline() {
    let limits = Limits { deadline: Duration::from_secs(2), ..patient() };
    let (_, result) = outcome("while :; do echo data; sleep 0.05; done", &limits).await;
    insta::assert_snapshot!(result.unwrap_err(), @"mysqldump was stopped because it had not finished after 2 s");
}

#[tokio::test]
async fn a_process_that_the_tool_leaves_behind_does_not_hold_the_stream_open() {
    let stand_in = StandIn::new(&format!("sleep 1000 & echo $! >$OUT/child; {CLOSING}"));
    let items: Vec<_> = dump(&stand_in.tools(), &target(), &patient()).await.unwrap().collect().await;
    assert!(items.iter().all(Result::is_ok), "{items:?}");
    wait_for_end_of(&stand_in.wait_for_note("child"));
}

#[tokio::test]
async fn a_dropped_stream_kills_the_tool_and_removes_its_folder() {
    let stand_in = StandIn::new(
        "echo ${1#--defaults-file=} >$OUT/file; sleep 1000 & echo $! >$OUT/child; echo $$ >$OUT/tool; yes data",
    );
    let mut dump = dump(&stand_in.tools(), &target(), &patient()).await.unwrap();
    dump.next().await.unwrap().unwrap();
    let file = stand_in.wait_for_note("file");
    assert!(Path::new(&file).exists());
    drop(dump);
    wait_for_end_of(&stand_in.wait_for_note("tool"));
    wait_for_end_of(&stand_in.wait_for_note("child"));
    assert!(!Path::new(&file).parent().unwrap().exists());
}

#[tokio::test]
async fn the_private_folder_goes_away_after_success_and_failure() {
    for (script, good) in [(CLOSING, true), ("exit 1", false)] {
        let stand_in = StandIn::new(&format!("echo ${{1#--defaults-file=}} >$OUT/file; {script}"));
        let items: Vec<_> = dump(&stand_in.tools(), &target(), &patient()).await.unwrap().collect().await;
        assert_eq!(items.iter().all(Result::is_ok), good);
        assert!(!Path::new(&stand_in.wait_for_note("file")).parent().unwrap().exists());
    }
}

#[tokio::test]
async fn nobody_reads_so_the_tool_waits() {
    let stand_in = StandIn::new(
        "n=0; while [ $n -lt 2000 ]; do head -c 65536 /dev/zero; n=$((n+1)); echo $n >$OUT/n; done",
    );
    let mut dump = dump(&stand_in.tools(), &target(), &patient()).await.unwrap();
    dump.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let blocks: usize = stand_in.wait_for_note("n").parse().unwrap();
    assert!(blocks * 65536 < 4 * 1024 * 1024, "{blocks} blocks were written with nobody reading");
}

#[tokio::test]
async fn a_flood_of_words_blocks_nothing_and_is_kept_in_part() {
    let flood =
        "yes \"$(cat ${1#--defaults-file=}) and more words\" | head -c 30000000 >&2; echo the last words >&2";
    let (_, result) = outcome(&format!("{flood}; {CLOSING}"), &patient()).await;
    result.unwrap();
    let (_, result) = outcome(&format!("{flood}; exit 2"), &patient()).await;
    let text = result.unwrap_err().to_string();
    assert!(text.len() < 9 * 1024, "{}", text.len());
    assert!(text.ends_with("the last words"), "{text}");
    assert!(text.contains("***"), "{text}");
}

#[tokio::test]
async fn a_password_in_the_words_of_a_tool_is_taken_out() {
    let script = r#"cat "${1#--defaults-file=}" >&2; exit 1"#;
    let (_, result) = outcome(script, &patient()).await;
    let text = result.unwrap_err().to_string();
    assert!(text.contains(r#"password="***""#), "{text}");
    assert!(text.contains(r#"host="db.invalid""#), "{text}");
}

#[tokio::test]
async fn the_option_file_is_private_and_the_environment_is_empty() {
    let stand_in = StandIn::new(&format!(
        "file=${{1#--defaults-file=}}; stat -c %a $file $(dirname $file) >$OUT/modes; env -u PWD -u SHLVL -u _ | cut -d= -f1 | sort >$OUT/environment; pwd >$OUT/folder; readlink /proc/self/fd/0 >$OUT/stdin; {CLOSING}"
    ));
    let items: Vec<_> = dump(&stand_in.tools(), &target(), &patient()).await.unwrap().collect().await;
    assert!(items.iter().all(Result::is_ok), "{items:?}");
    assert_eq!(stand_in.note("modes").unwrap(), "600\n700");
    assert_eq!(stand_in.note("environment").unwrap(), "HOME\nLC_ALL\nPATH");
    assert!(stand_in.note("folder").unwrap().contains("dilux-tool-"));
    assert_eq!(stand_in.note("stdin").unwrap(), "/dev/null");
}

#[tokio::test]
async fn a_missing_dump_program_is_named() {
    let stand_in = StandIn::new(CLOSING);
    fs::remove_file(stand_in.path().join("mysqldump")).unwrap();
    let error = dump(&stand_in.tools(), &target(), &patient()).await.unwrap_err();
    assert!(matches!(error, DumpError::ToolNotFound { tool: "mysqldump", .. }), "{error}");
    fs::remove_file(stand_in.path().join("mysql")).unwrap();
    let error = probe(&stand_in.tools(), &target(), &patient()).await.unwrap_err();
    assert_eq!((error.class(), error.connection_class()), ("ToolNotFound", "ToolNotFound"));
}

#[tokio::test]
async fn another_client_is_tried_when_one_lacks_the_way_to_sign_in() {
    let stand_in = StandIn::new(CLOSING);
    let refusal = "echo \"ERROR 1156 (08S01): Authentication plugin 'caching_sha2_password' cannot be loaded: x\" >&2; exit 1";
    stand_in.install("mysql", "mysql  Ver 15.1 Distrib 10.11.19-MariaDB, for x (y)", refusal);
    let error = probe(&stand_in.tools(), &target(), &patient()).await.unwrap_err();
    assert!(matches!(error, DumpError::PluginMissing { .. }), "{error}");
    stand_in.install(
        "mariadb",
        "mysql  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
        "echo 8.0.36",
    );
    let probed = probe(&stand_in.tools(), &target(), &patient()).await.unwrap();
    assert_eq!(probed.server_version, "8.0.36");
}

#[tokio::test]
async fn a_client_that_hangs_is_stopped() {
    let stand_in = StandIn::new(CLOSING);
    stand_in.install(
        "mysql",
        "mysql  Ver 15.1 Distrib 10.11.19-MariaDB, for x (y)",
        "echo $$ >$OUT/tool; sleep 1000",
    );
    let limits = Limits { deadline: Duration::from_secs(1), ..patient() };
    let error = probe(&stand_in.tools(), &target(), &limits).await.unwrap_err();
    assert!(matches!(error, DumpError::Timeout { .. }), "{error}");
    assert_eq!(error.connection_class(), "Timeout");
    wait_for_end_of(&stand_in.wait_for_note("tool"));
}

#[tokio::test]
async fn a_program_of_postgresql_is_told_the_address_that_was_judged() {
    let stand_in = StandIn::new("");
    stand_in.install("psql", "psql (PostgreSQL) 15.18", "env >$OUT/environment; echo 15.18");
    let target = Target { kind: DatabaseType::Postgresql, host: "127.1".to_owned(), ..target() };
    let environment = async |tools: Tools| {
        probe(&tools, &target, &patient()).await.unwrap();
        fs::read_to_string(stand_in.path().join("environment")).unwrap()
    };
    let told = environment(stand_in.tools().with_targets(TargetRule::default())).await;
    assert!(told.contains("PGHOST=127.1\n") && told.contains("PGHOSTADDR=127.0.0.1\n"), "{told}");
    // Who stands at the keyboard may connect to everything.
    assert!(!environment(stand_in.tools()).await.contains("PGHOSTADDR"));
}
