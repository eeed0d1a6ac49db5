//! Requests that die between any two of their effects, and rows that nobody can read.

use api::built_routes;
use serde_json::{Value, json};
use shared::storage::table::{Entity, Key, Properties, Value as Cell};
use shared::storage::{BackupFilter, Life};

use crate::support::{World, pretty};
use crate::{log, users};

/// Files and records of all backups.
async fn held(world: &World) -> (Vec<String>, Vec<String>) {
    let records = world.state.storage.backups.list(&BackupFilter::default()).await.unwrap();
    let named = records.iter().filter_map(|backup| Some(backup.artifact()?.blob_name.clone()));
    let mut named: Vec<String> = named.collect();
    named.sort();
    (world.blobs_in("backups").await, named)
}

/// Lets a request die before any of its effects, and be sent again. Returns the names of all effects.
async fn dies_anywhere(method: &str, path: &str, body: Option<&Value>) -> String {
    for effects in 0.. {
        let world = World::new();
        world.create_database("d-1", json!({})).await;
        world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
        let kept = world.completed("d-1", "2026-02-02T02:00:00Z", "backups", 20).await;
        let kept = vec![kept.artifact().unwrap().blob_name.clone()];
        let life = Life::of(effects);
        let first = life.live(world.mortal(&life).send(method, path, body)).await;
        let (files, records) = held(&world).await;
        assert!(files.iter().all(|file| records.contains(file)), "{effects}: a file that nobody knows of");
        assert!(files.ends_with(&kept) && records.ends_with(&kept), "{effects}: {files:?} {records:?}");
        if let Some((status, answer)) = first {
            assert_eq!(status, 200, "{effects}: {answer}");
        } else {
            // Whoever asks again finds it gone, or goes on.
            let (status, answer) = world.send(method, path, body).await;
            assert!(matches!(status, 200 | 404), "{effects}: {status} {answer}");
        }
        assert_eq!(held(&world).await, (kept.clone(), kept), "{effects}");
        if !life.is_over() {
            return life.names().join("\n");
        }
    }
    unreachable!("every request has an end")
}

#[tokio::test]
async fn a_deletion_of_a_backup_that_dies_anywhere_is_ended_by_the_next() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    let backup = world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
    let (id, name) = (backup.id.as_str(), &backup.artifact().unwrap().blob_name);
    let points = dies_anywhere("DELETE", &format!("/backups/{id}"), None).await;
    insta::assert_snapshot!(points, @"
    update backuphistory
    delete blobs
    upsert backupdays
    delete backuphistory
    delete backupindex
    delete backupindex
    delete backupindex
    insert auditlogs
    ");
    let of_file = dies_anywhere("DELETE", &format!("/backups/delete?blob_name={name}"), None).await;
    assert_eq!(of_file, points);
    let of_bulk = dies_anywhere("POST", "/backups/delete-bulk", Some(&json!({"blob_names": [name]}))).await;
    assert_eq!(of_bulk, points);
}

#[tokio::test]
async fn a_deletion_of_a_server_with_everything_that_dies_anywhere_is_ended_by_the_next() {
    let mut points = Vec::new();
    for effects in 0.. {
        let world = World::new();
        let engine = world.create_engine("main", json!({})).await;
        for id in ["d-1", "d-2"] {
            world.create_database(id, json!({"engine_id": engine})).await;
        }
        world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
        world.create_database("d-3", json!({})).await;
        let kept = world.completed("d-3", "2026-02-02T02:00:00Z", "backups", 20).await;
        let kept = vec![kept.artifact().unwrap().blob_name.clone()];
        let life = Life::of(effects);
        let path = format!("/engines/{engine}?delete_databases=true&delete_backups=true");
        let first = life.live(world.mortal(&life).send("DELETE", &path, None)).await;
        let (files, records) = held(&world).await;
        assert!(files.iter().all(|file| records.contains(file)), "{effects}: a file that nobody knows of");
        if first.is_none() {
            let (status, answer) = world.send("DELETE", &path, None).await;
            assert!(matches!(status, 200 | 404), "{effects}: {status} {answer}");
        }
        assert_eq!(held(&world).await, (kept.clone(), kept), "{effects}");
        world.expect(404, "GET", &format!("/engines/{engine}"), None).await;
        let left = world.get("/databases").await;
        assert_eq!((&left["total"], &left["databases"][0]["id"]), (&json!(1), &json!("d-3")), "{effects}");
        points = life.names();
        if !life.is_over() {
            break;
        }
    }
    insta::assert_snapshot!(points.join("\n"), @"
    update backuphistory
    delete blobs
    upsert backupdays
    delete backuphistory
    delete backupindex
    delete backupindex
    delete backupindex
    delete databaseconfigs
    delete backupslots
    insert auditlogs
    delete databaseconfigs
    delete backupslots
    insert auditlogs
    delete databaseconfigs
    delete engines
    insert auditlogs
    ");
}

/// One of everything.
async fn furnished() -> World {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    let engine = world.create_engine("main", json!({"policy_id": "development"})).await;
    world.create_database("d-1", json!({"engine_id": engine})).await;
    world.expect(201, "POST", "/backup-policies", Some(&json!({"name": "Gold"}))).await;
    let user = json!({"email": "ann@example.org", "name": "Ann", "role": "operator"});
    world.expect(201, "POST", "/users", Some(&user)).await;
    world.expect(200, "PUT", "/settings", Some(&json!({"default_retention_days": 31}))).await;
    let backup = world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
    world.completed("d-1", "2026-02-02T02:00:00Z", "backups", 10).await;
    world.expect(202, "POST", "/databases/d-1/backup", None).await;
    users::request(&world, "r-1", 5).await;
    let target = json!({"host": "db2.example", "port": 3307, "username": "admin", "password": "s3cret"});
    let wish = json!({"target": target, "database_name": "orders_copy"});
    let (status, answer) = world.post(&format!("/backups/{}/restore", backup.id), &wish).await;
    assert_eq!(status, 202, "{answer}");
    world
}

/// Puts beside every row one that has all of its properties in another type.
async fn poison(world: &World) -> usize {
    let mut poisoned = 0;
    for name in world.table_names() {
        for (number, row) in world.table(&name).rows().await.into_iter().enumerate() {
            let spoiled = |cell: &Cell| match cell {
                Cell::String(_) => Cell::Int32(7),
                Cell::Bool(_) | Cell::Int32(_) | Cell::Int64(_) | Cell::Double(_) | Cell::DateTime(_) => {
                    Cell::from("poisoned")
                }
            };
            let spoiled = row.properties.iter().map(|(name, cell)| (name.clone(), spoiled(cell)));
            let spoiled: Properties = spoiled.collect();
            let partition = row.key.partition;
            let key = Key::new(partition.clone(), format!("poisoned-{name}-{number}"));
            world.table(&name).put(&Entity::new(key, spoiled)).await;
            poisoned += 1;
            // What is looked up by its time, or by other members, is come by only if those are right.
            if name == "backuphistory" {
                let before_id = row.key.row.split('_').next().unwrap_or_default();
                let key = Key::new(partition, format!("{before_id}_poisoned-{name}-{number}"));
                let mut properties = row.properties;
                properties.insert("database_type".to_owned(), Cell::from("poisoned"));
                world.table(&name).put(&Entity::new(key, properties)).await;
            }
        }
    }
    poisoned
}

/// Asks every question that needs no id, and some that need one.
async fn all_answers(world: &World) -> Vec<(String, String)> {
    let mut answers = Vec::new();
    for (method, path) in built_routes() {
        // What is downloaded is in the audit log, which is asked for as well.
        let others = ["/docs", "/openapi.json", "/backups/download"];
        if method != "GET" || path.contains('{') || others.contains(&path) {
            continue;
        }
        let path = if path == "/retention/preview" { "/retention/preview?database_id=d-1" } else { path };
        answers.push((path.to_owned(), pretty(&world.get(path).await)));
    }
    answers.push(("/databases/d-1".to_owned(), pretty(&world.get("/databases/d-1").await)));
    for path in
        ["/databases/d-1/backup-stats", "/databases/d-1/schedule", "/users?search=ann", "/audit?search=d-1"]
    {
        answers.push((path.to_owned(), pretty(&world.get(path).await)));
    }
    answers
}

#[tokio::test]
async fn a_poisoned_row_beside_every_row_changes_no_answer_and_is_reported() {
    let read = log::everything();
    let world = furnished().await;
    let sound = all_answers(&world).await;
    assert!(poison(&world).await >= 20);
    for ((path, before), (_, after)) in sound.iter().zip(all_answers(&world).await) {
        assert_eq!(*before, after, "{path}");
    }
    let log = read();
    // Audit records are looked up by their time, which is in the key, so that the odd one is not come by.
    for table in [
        "accessrequests",
        "backuphistory",
        "backuppolicies",
        "databaseconfigs",
        "engines",
        "restores",
        "users",
    ] {
        assert!(log.contains(&format!("poisoned-{table}-")), "no line names the row of {table}");
    }
}

#[tokio::test]
async fn a_poisoned_row_beside_every_row_stops_no_change() {
    let world = furnished().await;
    poison(&world).await;
    world.create_database("d-2", json!({})).await;
    world.expect(200, "PUT", "/databases/d-1", Some(&json!({"name": "Other"}))).await;
    world.expect(202, "POST", "/databases/d-2/backup", None).await;
    world.expect(201, "POST", "/backup-policies", Some(&json!({"name": "Silver"}))).await;
    world.expect(200, "PUT", "/settings", Some(&json!({"default_retention_days": 32}))).await;
    let user = json!({"email": "ben@example.org", "name": "Ben", "role": "viewer"});
    world.expect(201, "POST", "/users", Some(&user)).await;
    world.create_engine("second", json!({})).await;
    world.expect(200, "DELETE", "/databases/d-1?delete_backups=true", None).await;
    world.expect(200, "DELETE", "/databases/d-2", None).await;
    assert_eq!(world.get("/databases").await["total"], 0);
    assert_eq!(world.blobs_in("backups").await, [""; 0]);
}
