//! The queue trigger, on a real storage emulator.

use std::time::Duration;

use serde_json::json;

use crate::support::emulator::Emulator;
use crate::support::{App, a_while, eventually, replaced};

/// An app that reads the queue `jobs` quickly.
fn app(emulator: &Emulator) -> App {
    let mut app = App::new();
    app.queue_function("on_message", "jobs");
    app.set("AzureWebJobsStorage", &emulator.connection_string);
    app.configure(
        &["extensions", "queues"],
        json!({
            "batchSize": 1, "newBatchThreshold": 0, "maxPollingInterval": "00:00:00.2",
            "visibilityTimeout": "00:00:01", "maxDequeueCount": 3, "messageEncoding": "none",
        }),
    );
    app
}

#[tokio::test]
async fn a_message_that_succeeds_is_deleted() {
    let emulator = Emulator::start().await;
    let app = app(&emulator);
    // The queue comes later than the host.
    let host = app.start().await;
    let queue = emulator.queue("jobs").create().await;
    queue.send(r#"{"do":"ok","id":"mine","text":"<&> ä"}"#).await;
    let seen = &app.recorded(1).await[0];
    assert_eq!(seen["target"], "/on_message");
    assert_eq!(seen["headers"]["content-type"], "application/json; charset=utf-8");
    assert!(!seen["headers"]["content-length"].is_null());
    let body = &seen["body"];
    assert_eq!(body["Data"]["msg"], r#""{\"do\":\"ok\",\"id\":\"mine\",\"text\":\"<&> ä\"}""#);
    let metadata = &body["Metadata"];
    assert_eq!(metadata["Id"], r#""mine""#);
    assert_eq!(metadata["DequeueCount"], "1");
    assert_eq!(metadata["sys"]["MethodName"], "on_message");
    let seconds =
        |name: &str| metadata[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!((seconds("ExpirationTime") - seconds("InsertionTime")).num_days(), 7);
    let lease = (seconds("NextVisibleTime") - seconds("InsertionTime")).num_seconds();
    assert!((600..660).contains(&lease), "{lease}");
    queue.emptied().await;
    host.stop().await;
    assert_eq!(app.record().len(), 1);
}

#[tokio::test]
async fn a_message_that_fails_is_repeated_and_then_poisoned() {
    let emulator = Emulator::start().await;
    let app = app(&emulator);
    let queue = emulator.queue("jobs").create().await;
    let text = r#"{"do":"fail"}"#;
    queue.send(text).await;
    let host = app.start().await;
    let record = app.recorded(3).await;
    let counts: Vec<_> = record.iter().map(|seen| seen["body"]["Metadata"]["DequeueCount"].clone()).collect();
    assert_eq!(counts, ["1", "2", "3"]);
    let poison = emulator.queue("jobs-poison");
    assert_eq!(poison.first_text().await, text);
    queue.emptied().await;
    // What is not understood as JSON is handled all the same.
    queue.send("plain <text>").await;
    app.recorded(4).await;
    queue.emptied().await;
    host.stop().await;
    assert_eq!(app.record().len(), 4);
}

#[tokio::test]
async fn base64_is_decoded_and_anything_else_is_poison_at_once() {
    let emulator = Emulator::start().await;
    let mut app = app(&emulator);
    app.configure(&["extensions", "queues", "messageEncoding"], json!("base64"));
    let queue = emulator.queue("jobs").create().await;
    queue.send("no base64!").await;
    queue.send("eyJkbyI6Im9rIn0=").await;
    let _host = app.start().await;
    assert_eq!(app.recorded(1).await[0]["body"]["Data"]["msg"], r#""{\"do\":\"ok\"}""#);
    assert_eq!(emulator.queue("jobs-poison").first_text().await, "no base64!");
    queue.emptied().await;
    assert_eq!(app.record().len(), 1);
}

#[tokio::test]
async fn the_lease_is_renewed_while_a_message_runs() {
    let emulator = Emulator::start().await;
    let mut app = app(&emulator);
    app.configure(&["extensions", "queues", "newBatchThreshold"], json!(4));
    app.switches.lease = Duration::from_secs(3);
    app.switches.lease_renewal = Some(Duration::from_secs(1));
    let queue = emulator.queue("jobs").create().await;
    queue.send(r#"{"do":"sleep:8"}"#).await;
    let _host = app.start().await;
    app.recorded(1).await;
    // The deletion at the end needs the newest receipt.
    queue.emptied().await;
    assert_eq!(app.record().len(), 1);
}

#[tokio::test]
async fn a_crash_in_mid_run_repeats_the_message() {
    let emulator = Emulator::start().await;
    let app = app(&emulator);
    let queue = emulator.queue("jobs").create().await;
    queue.send(r#"{"do":"sleep:600","then":"ok"}"#).await;
    let host = app.start().await;
    app.recorded(1).await;
    let pid = host.handler_pid().unwrap();
    host.kill_handler();
    replaced(&host, pid).await;
    let record = app.recorded(2).await;
    assert_eq!(record[1]["body"]["Metadata"]["DequeueCount"], "2");
    queue.emptied().await;
}

#[tokio::test]
async fn a_host_that_goes_away_leaves_the_message_to_the_next() {
    let emulator = Emulator::start().await;
    let mut app = app(&emulator);
    app.switches.lease = Duration::from_secs(5);
    app.switches.stop_grace = Duration::from_millis(100);
    let queue = emulator.queue("jobs").create().await;
    queue.send(r#"{"do":"sleep:600","then":"ok"}"#).await;
    let host = app.start().await;
    app.recorded(1).await;
    host.stop().await;
    // Neither deleted nor released nor poisoned: it is hidden until the lease ends.
    assert_eq!((queue.count().await, queue.texts().await.len()), (Some(1), 0));
    let _host = app.start().await;
    assert_eq!(app.recorded(2).await[1]["body"]["Metadata"]["DequeueCount"], "2");
    queue.emptied().await;
}

#[tokio::test]
async fn a_poison_queue_gets_no_poison_queue_of_its_own() {
    let emulator = Emulator::start().await;
    let mut app = app(&emulator);
    app.queue_function("on_poison", "jobs-poison");
    app.switches.lease = Duration::from_secs(1);
    app.switches.lease_renewal = Some(Duration::from_secs(30));
    let queue = emulator.queue("jobs-poison").create().await;
    queue.send(r#"{"do":"fail"}"#).await;
    let _host = app.start().await;
    // More often than maxDequeueCount, each time when the lease ends.
    let record = app.recorded(5).await;
    assert_eq!(record[4]["body"]["Metadata"]["DequeueCount"], "5");
    assert_eq!(emulator.queue("jobs-poison-poison").count().await, None);
}

#[tokio::test]
async fn messages_run_side_by_side_up_to_the_limit() {
    let emulator = Emulator::start().await;
    let mut app = app(&emulator);
    app.configure(&["extensions", "queues", "batchSize"], json!(2));
    app.configure(&["extensions", "queues", "newBatchThreshold"], json!(1));
    let queue = emulator.queue("jobs").create().await;
    for _ in 0..5 {
        queue.send(r#"{"do":"sleep:600"}"#).await;
    }
    let _host = app.start().await;
    app.recorded(2).await;
    a_while(3).await;
    assert_eq!(app.record().len(), 2, "two are running, so no further batch is fetched");
    assert_eq!(eventually("the count", async || queue.count().await).await, 5);
}

#[tokio::test]
async fn storage_that_is_down_is_waited_for() {
    let emulator = Emulator::start().await;
    let app = app(&emulator);
    let queue = emulator.queue("jobs").create().await;
    let host = app.start().await;
    emulator.pause();
    a_while(2).await;
    emulator.resume();
    queue.send(r#"{"do":"ok"}"#).await;
    app.recorded(1).await;
    queue.emptied().await;
    host.stop().await;
}
