//! `ETag` and `If-Match`, and the ids of requests.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};

use crate::support::{Fault, World};

async fn send(
    world: &World,
    method: &str,
    path: &str,
    header: (&str, &str),
    body: Option<Value>,
) -> (u16, HeaderMap, Value) {
    let request = Request::builder().method(method).uri(format!("/api{path}")).header(header.0, header.1);
    let body = body.map_or_else(Body::empty, |body| body.to_string().into());
    let (status, headers, body) = world.exchange(request.body(body).unwrap()).await;
    (status.as_u16(), headers, serde_json::from_slice(&body).unwrap())
}

fn tag(headers: &HeaderMap) -> String {
    headers["etag"].to_str().unwrap().to_owned()
}

/// Makes one of each and returns their addresses.
async fn things(world: &World) -> [String; 3] {
    let engine = world.create_engine("db1", json!({})).await;
    world.create_database("d-1", json!({})).await;
    world.expect(201, "POST", "/backup-policies", Some(&json!({"name": "Gold"}))).await;
    [format!("/engines/{engine}"), "/databases/d-1".to_owned(), "/backup-policies/gold".to_owned()]
}

#[tokio::test]
async fn a_change_for_another_version_is_refused() {
    let world = World::new();
    for path in things(&world).await {
        let none = ("x-nothing", "x");
        let (_, headers, _) = send(&world, "GET", &path, none, None).await;
        let first = tag(&headers);
        assert!(first.starts_with('"'), "a weak tag matches nothing: {first}");
        let change = || Some(json!({"name": "New"}));
        let (status, headers, _) = send(&world, "PUT", &path, ("if-match", &first), change()).await;
        assert_eq!(status, 200, "{path}");
        let second = tag(&headers);
        assert_ne!(first, second);
        assert_eq!(tag(&send(&world, "GET", &path, ("if-match", &second), None).await.1), second);
        for (method, body) in [("GET", None), ("PUT", change()), ("DELETE", None)] {
            for stale in [first.as_str(), "", "W/\"x\"", "nonsense", "\"a\", \"b\"", &format!("W/{second}")] {
                let (status, _, answer) =
                    send(&world, method, &path, ("if-match", stale), body.clone()).await;
                assert_eq!(status, 412, "{method} {path} {stale}");
                assert_eq!(
                    answer["error"],
                    "It is not the version that If-Match names any more; load it again and repeat."
                );
            }
        }
        assert_eq!(tag(&send(&world, "GET", &path, none, None).await.1), second, "something was changed");
        let several = format!("{first}, {second}");
        let (status, headers, _) = send(&world, "PUT", &path, ("if-match", &several), change()).await;
        assert_eq!(status, 200, "{path}");
        let third = tag(&headers);
        assert_eq!(send(&world, "PUT", &path, ("if-match", "*"), change()).await.0, 200);
        assert_eq!(send(&world, "DELETE", &path, ("if-match", &third), None).await.0, 412);
        assert_eq!(send(&world, "DELETE", &path, ("if-match", "*"), None).await.0, 200);
        assert_eq!(send(&world, "PUT", &path, ("if-match", &third), change()).await.0, 404);
    }
}

#[tokio::test]
async fn what_changes_between_look_and_write_is_noticed() {
    let world = World::new();
    let [engine, database, policy] = things(&world).await;
    for (path, table) in [(engine, "engines"), (database, "databaseconfigs"), (policy, "backuppolicies")] {
        let (_, headers, _) = send(&world, "GET", &path, ("x-nothing", "x"), None).await;
        // Somebody else is faster, and their change is what the second attempt finds.
        world.table(table).fail(Fault::Overtake);
        let (status, ..) =
            send(&world, "PUT", &path, ("if-match", &tag(&headers)), Some(json!({"name": "N"}))).await;
        assert_eq!(status, 412, "{path}");
        assert_ne!(tag(&send(&world, "GET", &path, ("x-nothing", "x"), None).await.1), tag(&headers));
    }
}

#[tokio::test]
async fn a_deletion_of_one_version_deletes_no_other() {
    let world = World::new();
    let [engine, database, policy] = things(&world).await;
    let all = [(&engine, "engines"), (&database, "databaseconfigs"), (&policy, "backuppolicies")];
    let with_more = [
        (format!("{engine}?delete_databases=true"), &engine, "engines"),
        (format!("{database}?delete_backups=true"), &database, "databaseconfigs"),
    ];
    let deletions = all.map(|(path, table)| (path.clone(), path, table)).into_iter().chain(with_more);
    for (deletion, path, table) in deletions {
        let (_, headers, _) = send(&world, "GET", path, ("x-nothing", "x"), None).await;
        let (audit, version) = (world.audit().await, tag(&headers));
        // Somebody changes it between the look at its version and the deletion, or deletes it.
        world.table(table).fail(Fault::Overtake);
        let (status, ..) = send(&world, "DELETE", &deletion, ("if-match", &version), None).await;
        assert_eq!(status, 412, "{deletion}");
        let (status, headers, _) = send(&world, "GET", path, ("x-nothing", "x"), None).await;
        assert_eq!((status, tag(&headers) == version), (200, false), "{deletion}");
        assert_eq!(world.audit().await, audit, "{deletion}");
    }
    for (path, _) in all {
        let (_, headers, _) = send(&world, "GET", path, ("x-nothing", "x"), None).await;
        assert_eq!(send(&world, "DELETE", path, ("if-match", &tag(&headers)), None).await.0, 200, "{path}");
        assert_eq!(send(&world, "DELETE", path, ("if-match", &tag(&headers)), None).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn with_all_that_belongs_to_it_a_version_goes_at_once() {
    let world = World::new();
    let engine = world.create_engine("db1", json!({})).await;
    world.create_database("d-1", json!({"engine_id": engine})).await;
    world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
    let path = format!("/engines/{engine}");
    let (_, headers, _) = send(&world, "GET", &path, ("x-nothing", "x"), None).await;
    let deletion = format!("{path}?delete_databases=true&delete_backups=true");
    assert_eq!(send(&world, "DELETE", &deletion, ("if-match", &tag(&headers)), None).await.0, 200);
    world.create_database("d-1", json!({})).await;
    world.completed("d-1", "2026-02-02T02:00:00Z", "backups", 10).await;
    let (_, headers, _) = send(&world, "GET", "/databases/d-1", ("x-nothing", "x"), None).await;
    let deletion = "/databases/d-1?delete_backups=true";
    assert_eq!(send(&world, "DELETE", deletion, ("if-match", &tag(&headers)), None).await.0, 200);
    assert_eq!(world.blobs_in("backups").await, Vec::<String>::new());
    assert!(world.table("backuphistory").rows().await.is_empty());
}

#[tokio::test]
async fn an_engine_in_the_older_place_is_deleted_by_its_version() {
    let world = World::new();
    let path = format!("/engines/{}", world.create_engine("db1", json!({})).await);
    world.move_rows("engines", "databaseconfigs").await;
    for deletion in [path.clone(), format!("{path}?delete_databases=true")] {
        let (_, headers, _) = send(&world, "GET", &path, ("x-nothing", "x"), None).await;
        world.table("databaseconfigs").fail(Fault::Overtake);
        // Deleting the databases too begins with a note on the engine, for which both places are tried.
        let (status, ..) = send(&world, "DELETE", &deletion, ("if-match", &tag(&headers)), None).await;
        assert_eq!(status, 412, "{deletion}");
    }
    let (_, headers, _) = send(&world, "GET", &path, ("x-nothing", "x"), None).await;
    assert_eq!(send(&world, "DELETE", &path, ("if-match", &tag(&headers)), None).await.0, 200);
    assert!(world.table("databaseconfigs").rows().await.is_empty());
}

#[tokio::test]
async fn new_things_come_with_their_version() {
    let world = World::new();
    let bodies = [
        ("/databases", crate::support::database("d-1")),
        ("/engines", crate::support::engine("db1")),
        ("/backup-policies", json!({"name": "Gold"})),
    ];
    for (path, body) in bodies {
        let (status, headers, answer) = send(&world, "POST", path, ("x-nothing", "x"), Some(body)).await;
        assert_eq!(status, 201);
        let made =
            ["database", "engine", "policy"].iter().find_map(|name| answer[name]["id"].as_str()).unwrap();
        let (_, later, _) = send(&world, "GET", &format!("{path}/{made}"), ("x-nothing", "x"), None).await;
        assert_eq!(tag(&headers), tag(&later));
    }
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request_and_errors_repeat_it() {
    let world = World::new();
    let cases = [
        ("GET", "/version", "mine-1", 200),
        ("GET", "/nothing", "mine-1", 404),
        ("PATCH", "/version", "mine-1", 405),
        ("GET", "/databases/none", "mine-1", 404),
        ("POST", "/databases", "mine-1", 400),
    ];
    for (method, path, id, expected) in cases {
        let (status, headers, body) = send(&world, method, path, ("x-request-id", id), None).await;
        assert_eq!((status, headers["x-request-id"].to_str().unwrap()), (expected, id), "{path}");
        let shown = if expected == 200 { Value::Null } else { json!(id) };
        assert_eq!(body["request_id"], shown, "{path}");
    }
    world.table("databaseconfigs").fail(Fault::Panic);
    let (status, _, body) =
        send(&world, "GET", "/databases/x", ("x-azure-functions-invocationid", "i-7"), None).await;
    assert_eq!(status, 500);
    insta::assert_snapshot!(body, @r#"{"error":"Something went wrong that was not foreseen; the log has the reason under i-7.","request_id":"i-7"}"#);
    let (_, headers, body) = send(&world, "GET", "/nothing", ("x-request-id", "a\"b <script>"), None).await;
    assert_eq!(headers["x-request-id"].len(), 36);
    assert_eq!(body["request_id"], headers["x-request-id"].to_str().unwrap());
    world.table("settings").fail(Fault::Read(shared::storage::StorageErrorKind::Unavailable));
    let (status, headers, body) = send(&world, "GET", "/health", ("x-nothing", "x"), None).await;
    assert_eq!((status, &body["request_id"]), (503, &json!(headers["x-request-id"].to_str().unwrap())));
}
