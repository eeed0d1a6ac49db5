//! The timer trigger, on a real storage emulator.

use serde_json::{Value, json};

use crate::support::emulator::Emulator;
use crate::support::{App, a_while, eventually};

const YEARLY: &str = "0 0 0 1 1 *";

fn app(emulator: &Emulator) -> App {
    let mut app = App::new();
    app.set("AzureWebJobsStorage", &emulator.connection_string);
    app.set("AzureFunctionsWebHost__hostid", "toy-host");
    app
}

const STATUS: [&str; 5] = ["azure-webjobs-hosts", "timers", "toy-host", "Host.Functions.tick", "status"];

async fn status(emulator: &Emulator) -> Value {
    eventually("the timer's state", async || emulator.blob(&STATUS).await).await
}

#[tokio::test]
async fn the_first_start_remembers_and_the_next_makes_up_for_one_missed_tick() {
    let emulator = Emulator::start().await;
    let app = app(&emulator);
    app.timer_function("tick", YEARLY, true);
    let host = app.start().await;
    let first = status(&emulator).await;
    assert_eq!(first["Last"], "0001-01-01T00:00:00");
    assert!(first["Next"].as_str().unwrap().ends_with("-01-01T00:00:00+00:00"));
    a_while(1).await;
    assert!(app.record().is_empty());
    host.run_now("tick", "").unwrap();
    let by_hand = &app.recorded(1).await[0]["body"]["Data"]["timer"];
    assert_eq!((&by_hand["ScheduleStatus"], &by_hand["IsPastDue"]), (&first, &json!(false)));
    host.stop().await;

    // Many ticks were missed while no host was there.
    let missed = json!({"Last": "2020-01-01T00:00:00.1+00:00", "Next": "2021-01-01T00:00:00+00:00", "LastUpdated": "2020-01-01T00:00:00.1+00:00"});
    emulator.write_blob(&STATUS, &missed).await;
    let host = app.start().await;
    let seen = &app.recorded(2).await[1];
    assert_eq!(seen["target"], "/tick");
    let timer = &seen["body"]["Data"]["timer"];
    assert_eq!(timer["IsPastDue"], true);
    assert_eq!(timer["ScheduleStatus"], missed);
    assert_eq!(timer["Schedule"], json!({"AdjustForDST": true}));
    assert_eq!(seen["body"]["Metadata"]["sys"]["MethodName"], "tick");
    let after =
        eventually("the new state", async || Some(status(&emulator).await).filter(|now| *now != missed))
            .await;
    assert!(after["Last"].as_str().unwrap() > "2024");
    assert!(after["Next"].as_str().unwrap() > after["Last"].as_str().unwrap());
    host.stop().await;
    // Now nothing is missing.
    let host = app.start().await;
    a_while(1).await;
    host.stop().await;
    assert_eq!(app.record().len(), 2);
}

#[tokio::test]
async fn ticks_come_in_time_and_never_overlap() {
    let emulator = Emulator::start().await;
    let mut app = app(&emulator);
    app.timer_function("tick", "* * * * * *", true);
    app.set("TOY_ORDER", "sleep:2");
    let host = app.start().await;
    let record = app.recorded(3).await;
    host.stop().await;
    let started: Vec<chrono::DateTime<chrono::Utc>> = record
        .iter()
        .map(|seen| seen["body"]["Metadata"]["sys"]["UtcNow"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(started.windows(2).all(|pair| (pair[1] - pair[0]).num_milliseconds() >= 2000), "{started:?}");
    // So frequent a timer is not remembered.
    assert!(record[0]["body"]["Data"]["timer"]["ScheduleStatus"].is_null());
    assert_eq!(emulator.blob(&STATUS).await, None);
}

#[tokio::test]
async fn a_failed_run_counts_and_is_repeated_by_rule_only() {
    let emulator = Emulator::start().await;
    let mut app = app(&emulator);
    let binding = json!({"type": "timerTrigger", "name": "timer", "schedule": YEARLY, "runOnStartup": true});
    app.write(
        "tick/function.json",
        &json!({
            "bindings": [binding],
            "retry": {"strategy": "fixedDelay", "maxRetryCount": 2, "delayInterval": "00:00:01"},
        }),
    );
    app.set("TOY_ORDER", "fail");
    let host = app.start().await;
    let record = app.recorded(3).await;
    assert!(record[0]["body"]["Metadata"]["RetryContext"].is_null());
    assert_eq!(record[2]["body"]["Metadata"]["RetryContext"]["RetryCount"], 2);
    eventually("the new state", async || {
        Some(status(&emulator).await).filter(|now| now["Last"] != "0001-01-01T00:00:00")
    })
    .await;
    a_while(2).await;
    assert_eq!(app.record().len(), 3);
    host.stop().await;
}

#[tokio::test]
async fn a_disabled_timer_runs_by_hand_only() {
    let emulator = Emulator::start().await;
    let mut app = app(&emulator);
    app.timer_function("tick", "* * * * * *", true);
    app.set("AzureWebJobs.tick.Disabled", "true");
    let host = app.start().await;
    a_while(2).await;
    assert!(app.record().is_empty());
    host.run_now("tick", "").unwrap();
    app.recorded(1).await;
    host.stop().await;
}
