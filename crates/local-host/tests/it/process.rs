//! The life of a handler process under a host.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{App, PATIENCE, a_while, client, eventually, get, is_alive, replaced};
use local_host::{Host, RunError, StartError, StopReason};
use serde_json::json;
use tokio::time::timeout;

#[tokio::test]
async fn a_handler_that_exits_with_0_is_left_alone() {
    let app = App::with_http();
    let host = app.start().await;
    assert_eq!(get(&host, "/api/do/exit:0").await.0, 500);
    eventually("the end of the handler", async || host.handler_pid().is_none().then_some(())).await;
    assert_eq!(get(&host, "/api/x").await.0, 500);
    assert_eq!(host.handler_pid(), None);
    assert!(timeout(Duration::from_secs(1), host.stopped()).await.is_err());
    host.stop().await;
}

#[tokio::test]
async fn a_handler_that_exits_with_200_is_always_started_again() {
    let app = App::with_http();
    let host = app.start().await;
    for _ in 0..5 {
        let pid = host.handler_pid().unwrap();
        assert_eq!(get(&host, "/api/do/exit:200").await.0, 500);
        replaced(&host, pid).await;
        assert_eq!(get(&host, "/api/x").await.0, 200);
    }
}

#[tokio::test]
async fn the_third_crash_stops_the_host() {
    let app = App::with_http();
    let host = app.start().await;
    for _ in 0..2 {
        let pid = host.handler_pid().unwrap();
        assert_eq!(get(&host, "/api/do/exit:3").await.0, 500);
        replaced(&host, pid).await;
        assert_eq!(get(&host, "/api/x").await.0, 200);
    }
    let url = host.url("/api/do/exit:3");
    let _ = client().get(&url).send().await;
    assert_eq!(timeout(PATIENCE, host.stopped()).await.unwrap(), StopReason::ThreeStrikes);
    assert!(client().get(&url).send().await.is_err());
}

#[tokio::test]
async fn a_handler_that_is_killed_is_started_again() {
    let app = App::with_http();
    let host = app.start().await;
    let pid = host.handler_pid().unwrap();
    host.kill_handler();
    replaced(&host, pid).await;
    assert!(!is_alive(pid));
    assert_eq!(get(&host, "/api/x").await.0, 200);
}

#[tokio::test]
async fn a_handler_that_fails_at_its_start_gets_three_tries() {
    for (start, key) in [("exit:3", "00:00:30"), ("silent", "00:00:00.3")] {
        let mut app = App::with_http();
        app.set("TOY_START", start);
        app.configure(&["customHandler", "initializationTimeout"], json!(key));
        let host = app.start_only().await;
        assert_eq!(timeout(PATIENCE, host.stopped()).await.unwrap(), StopReason::ThreeStrikes, "{start}");
    }
}

#[tokio::test]
async fn a_missing_program_is_not_tried_again_and_the_first_invocation_stops_the_host() {
    let mut app = App::with_http();
    app.configure(&["customHandler", "description", "defaultExecutablePath"], json!("no-such-program"));
    app.configure(&["customHandler", "initializationTimeout"], json!("00:00:00.5"));
    let host = app.start_only().await;
    assert!(timeout(Duration::from_secs(1), host.stopped()).await.is_err());
    let _ = client().get(host.url("/api/x")).send().await;
    assert_eq!(timeout(PATIENCE, host.stopped()).await.unwrap(), StopReason::HandlerNeverReady);
}

#[tokio::test]
async fn a_time_out_fails_the_invocation_and_replaces_the_handler() {
    let mut app = App::with_http();
    app.configure(&["functionTimeout"], json!("00:00:01"));
    let host = app.start().await;
    for _ in 0..4 {
        let pid = host.handler_pid().unwrap();
        assert_eq!(get(&host, "/api/do/sleep:600").await.0, 500);
        // This is no crash, so it may happen more than three times.
        replaced(&host, pid).await;
        assert!(!is_alive(pid));
    }
    assert_eq!(get(&host, "/api/x").await.0, 200);
}

#[tokio::test]
async fn an_empty_answer_hangs_until_the_time_out() {
    let mut app = App::new();
    app.timer_function("tick", "0 0 0 1 1 *", false);
    app.set("AzureWebJobsStorage", "UseDevelopmentStorage=true");
    app.set("TOY_ORDER", "empty");
    app.configure(&["functionTimeout"], json!("00:00:01"));
    let host = app.start().await;
    let pid = host.handler_pid().unwrap();
    host.run_now("tick", "").unwrap();
    replaced(&host, pid).await;
    assert_eq!(host.run_now("tock", ""), Err(RunError::Unknown("tock".to_owned())));
    drop(host);
    app.switches.empty_answer_fails = true;
    let host = app.start().await;
    let pid = host.handler_pid();
    host.run_now("tick", "").unwrap();
    app.recorded(2).await;
    a_while(2).await;
    assert_eq!(host.handler_pid(), pid);
}

#[tokio::test]
async fn stopping_kills_the_handler() {
    let app = App::with_http();
    let host = app.start().await;
    let pid = host.handler_pid().unwrap();
    let url = host.url("/");
    host.stop().await;
    assert!(!is_alive(pid));
    assert!(client().get(url).send().await.is_err());
}

#[tokio::test]
async fn stopping_waits_for_what_runs_but_not_for_ever() {
    let mut app = App::with_http();
    app.switches.stop_grace = Duration::from_secs(30);
    let host = app.start().await;
    let answer = tokio::spawn(client().get(host.url("/api/do/sleep:2")).send());
    a_while(1).await;
    host.stop().await;
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);

    // A run by hand is waited for as well.
    let mut by_hand = App::new();
    by_hand.timer_function("tick", "0 0 0 1 1 *", false);
    by_hand.set("AzureWebJobsStorage", "UseDevelopmentStorage=true");
    by_hand.set("TOY_ORDER", "touch-after:2");
    let file = by_hand.folder().join("touched");
    by_hand.set("TOY_TOUCH", &file.to_string_lossy());
    let host = by_hand.start().await;
    host.run_now("tick", "").unwrap();
    by_hand.recorded(1).await;
    host.stop().await;
    assert!(file.exists());

    app.switches.stop_grace = Duration::from_millis(100);
    let host = app.start().await;
    let answer = tokio::spawn(client().get(host.url("/api/do/sleep:600")).send());
    a_while(1).await;
    timeout(PATIENCE, host.stop()).await.unwrap();
    // The caller sees the failure that the end of the handler brings, or a broken connection.
    assert!(answer.await.unwrap().map_or(true, |answer| answer.status() == 500));
}

#[tokio::test]
async fn sigterm_can_come_first() {
    let mut app = App::with_http();
    let file = app.folder().join("term.txt");
    app.set("TOY_TERM", &file.to_string_lossy());
    app.start().await.stop().await;
    assert!(!file.exists());
    app.switches.term_first = Some(PATIENCE);
    app.start().await.stop().await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "term");
}

#[tokio::test]
async fn dropping_a_host_kills_the_handler() {
    let app = App::with_http();
    let host = app.start().await;
    let pid = host.handler_pid().unwrap();
    drop(host);
    eventually("the end of the handler", async || (!is_alive(pid)).then_some(())).await;
}

#[tokio::test]
async fn several_hosts_live_in_one_process() {
    let mut apps = [App::with_http(), App::with_http()];
    for (index, app) in apps.iter_mut().enumerate() {
        app.set("WHO", &index.to_string());
    }
    let hosts = [apps[0].start().await, apps[1].start().await];
    assert_ne!(hosts[0].host_id(), hosts[1].host_id());
    for (index, host) in hosts.iter().enumerate() {
        assert_eq!(get(host, "/api/do/env:WHO").await.1, index.to_string());
    }
}

#[tokio::test]
async fn a_start_that_cannot_work_is_refused() {
    let app = App::with_http();
    let host = app.start().await;
    let mut options = app.options();
    options.port = Some(host.address().port());
    assert!(matches!(Host::start(options).await, Err(StartError::Listen { .. })));
    let app = App::new();
    app.queue_function("on_message", "jobs");
    let refused = Host::start(app.options()).await.err().unwrap();
    assert_eq!(
        refused.to_string(),
        "on_message needs a storage account, but the setting AzureWebJobsStorage holds no connection string; \
         set it (UseDevelopmentStorage=true is the emulator)"
    );
    let mut options = app.options();
    options.environment.set("AzureWebJobsStorage", "AccountName=a;AccountKey=%secret%");
    let refused = Host::start(options).await.err().unwrap();
    assert!(matches!(refused, StartError::Storage { .. }));
    assert!(!format!("{refused:?}").contains("secret"));
}

#[tokio::test]
async fn an_app_without_functions_has_no_handler() {
    let app = App::new();
    let host = app.start().await;
    assert_eq!(host.handler_pid(), None);
    assert_eq!(get(&host, "/").await.0, 200);
    host.stop().await;
}

#[tokio::test]
async fn the_program_takes_its_handler_with_it_even_when_killed() {
    let app = App::with_http();
    for signal in ["-TERM", "-KILL"] {
        let mut host = program(&["--app", &format!("{}:0", app.folder().display())]);
        let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.ok().filter(|line| line.contains("handler ready"))).unwrap();
        let pid: u32 = ready.split("process ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        assert!(is_alive(pid));
        #[expect(clippy::disallowed_methods, reason = "a test sends a signal")]
        let mut kill = Command::new("kill");
        assert!(kill.args([signal, &host.id().to_string()]).status().unwrap().success());
        // Its output has to be read, or the program would block or break.
        let reader = std::thread::spawn(move || lines.count());
        let status = host.wait().unwrap();
        assert_eq!(status.success(), signal == "-TERM");
        eventually("the end of the handler", async || (!is_alive(pid)).then_some(())).await;
        reader.join().unwrap();
    }
}

#[test]
fn the_program_says_what_is_wrong() {
    let host = program(&["--app", "/no/such/folder"]);
    let output = host.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the app folder /no/such/folder cannot be read: No such file"), "{text}");
}

fn program(arguments: &[&str]) -> std::process::Child {
    #[expect(clippy::disallowed_methods, reason = "a test runs the program")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-host"));
    command.args(arguments).stdout(Stdio::piped()).spawn().unwrap()
}
