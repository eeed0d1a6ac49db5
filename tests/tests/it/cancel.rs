//! Cancelling a backup in the middle of its dump.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::kills::{Blobs as _, Standing};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_is_stopped_leaves_no_blob_and_frees_its_database() {
    let standing = Standing::start("e2e_cancel").await;
    let Standing { stack, database, job, lock } = standing;
    let tool = stack.dump_tool().await;
    let id = stack.api.record(&database, &job).await.unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/backups/{id}/cancel");
    let answer = stack.api.expect(200, "POST", &path, None).await;
    assert_eq!(answer["status"], "cancelled");

    // The dump stands still, so only being killed ends its tool.
    let end = Instant::now() + Duration::from_secs(30);
    while tool.is_alive() {
        assert!(Instant::now() < end, "the dump tool lives on");
        sleep(Duration::from_millis(100)).await;
    }
    drop(lock);
    let record = stack.api.record(&database, &job).await.unwrap();
    assert_eq!((&record["status"], &record["blob_name"]), (&"cancelled".into(), &serde_json::Value::Null));
    stack.api.expect(409, "POST", &path, None).await;

    // The next one need not wait, and its blob is the only one.
    let next = stack.api.trigger(&database).await;
    assert_ne!(next, job);
    let completed = stack.api.wait_for_end(&database, &next).await;
    assert_eq!(completed["status"], "completed", "{completed}");
    assert_eq!(stack.blobs().await, [completed["blob_name"].as_str().unwrap()]);
    let record = stack.api.record(&database, &job).await.unwrap();
    assert_eq!(record["status"], "cancelled", "nobody has touched it since");
}
