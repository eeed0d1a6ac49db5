//! What the router answers by itself: unknown paths, wrong methods, panics, bodies, origins.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;
use shared::storage::StorageErrorKind;

use crate::support::{Fault, World, redacted};

async fn raw(world: &World, request: Request<Body>) -> String {
    let (status, _, body) = world.exchange(request).await;
    redacted(&format!("{} {}", status.as_u16(), String::from_utf8(body).unwrap()))
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).header("x-request-id", "r-1").body(body.into()).unwrap()
}

#[tokio::test]
async fn everything_unknown_has_the_error_body() {
    let world = World::new();
    let mut lines = Vec::new();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api"),
        ("GET", "/api/"),
        ("GET", "/health"),
        ("GET", "/api/nothing"),
        ("GET", "/api/databases/"),
        ("PATCH", "/api/databases"),
        ("DELETE", "/api/databases"),
        ("POST", "/api/health"),
        ("GET", "/api/databases/no-such"),
        ("GET", "/api/databases/a%20b"),
        ("GET", "/api/databases/%2e%2e"),
        ("GET", "/api/databases/a%2Fb"),
        ("GET", "/api/databases/%FF"),
        ("GET", "/api/databases/x'%20or%20PartitionKey%20ge%20'0"),
        ("GET", "/api/engines/no-such"),
        ("POST", "/api/databases/no-such/backup"),
        ("GET", "/api/databases/no-such/backup-stats"),
        ("DELETE", "/api/databases/no-such"),
        ("POST", "/api/engines/no-such/discover"),
    ] {
        lines.push(format!("{method} {path}: {}", raw(&world, request(method, path, "")).await));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    GET /: 404 {"error":"There is no such path; every path begins with the prefix of the API.","request_id":"r-1"}
    GET /api: 404 {"error":"There is no such path; every path begins with the prefix of the API.","request_id":"r-1"}
    GET /api/: 404 {"error":"There is no such path; every path begins with the prefix of the API.","request_id":"r-1"}
    GET /health: 404 {"error":"There is no such path; every path begins with the prefix of the API.","request_id":"r-1"}
    GET /api/nothing: 404 {"error":"There is no such path; every path begins with the prefix of the API.","request_id":"r-1"}
    GET /api/databases/: 404 {"error":"There is no such path; every path begins with the prefix of the API.","request_id":"r-1"}
    PATCH /api/databases: 405 {"error":"This path does not have the method PATCH.","request_id":"r-1"}
    DELETE /api/databases: 405 {"error":"This path does not have the method DELETE.","request_id":"r-1"}
    POST /api/health: 405 {"error":"This path does not have the method POST.","request_id":"r-1"}
    GET /api/databases/no-such: 404 {"error":"The database no-such does not exist; it may have been deleted.","request_id":"r-1"}
    GET /api/databases/a%20b: 404 {"error":"The database of this id does not exist; it may have been deleted.","request_id":"r-1"}
    GET /api/databases/%2e%2e: 404 {"error":"The database .. does not exist; it may have been deleted.","request_id":"r-1"}
    GET /api/databases/a%2Fb: 404 {"error":"The database of this id does not exist; it may have been deleted.","request_id":"r-1"}
    GET /api/databases/%FF: 404 {"error":"The database of this id does not exist; it may have been deleted.","request_id":"r-1"}
    GET /api/databases/x'%20or%20PartitionKey%20ge%20'0: 404 {"error":"The database of this id does not exist; it may have been deleted.","request_id":"r-1"}
    GET /api/engines/no-such: 404 {"error":"The engine no-such does not exist; it may have been deleted.","request_id":"r-1"}
    POST /api/databases/no-such/backup: 404 {"error":"The database no-such does not exist; it may have been deleted.","request_id":"r-1"}
    GET /api/databases/no-such/backup-stats: 404 {"error":"The database no-such does not exist; it may have been deleted.","request_id":"r-1"}
    DELETE /api/databases/no-such: 404 {"error":"The database no-such does not exist; it may have been deleted.","request_id":"r-1"}
    POST /api/engines/no-such/discover: 404 {"error":"The engine no-such does not exist; it may have been deleted.","request_id":"r-1"}
    "#);
}

/// The functions of all apps, which are called by a path of their name.
fn triggers() -> Vec<String> {
    let apps = ["processor", "scheduler"]
        .map(|app| format!("{}/../../host-configs/{app}", env!("CARGO_MANIFEST_DIR")));
    let entries = apps.into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let folders = entries.map(Result::unwrap).filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn triggers_of_other_apps_are_answered_nowhere() {
    let world = World::new();
    let triggers = triggers();
    assert!(triggers.len() >= 7 && triggers.iter().any(|name| name == "backup_processor"), "{triggers:?}");
    for name in triggers.iter().map(String::as_str).chain(["http"]) {
        for path in [
            format!("/{name}"),
            format!("/api/{name}"),
            format!("/api/{name}/"),
            format!("/api//{name}"),
            format!("/api/../{name}"),
            format!("/api/%2e%2e/{name}"),
            format!("/api/..%2f{name}"),
            format!("/admin/functions/{name}"),
        ] {
            let body = r#"{"Data":{"queueItem":"{}","timer":"{}"},"Metadata":{}}"#;
            let (status, _, _) = world.exchange(request("POST", &path, body)).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let world = World::new();
    let (status, _, body) = world.exchange(request("HEAD", "/api/databases", "")).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_a_400() {
    let world = World::new();
    let mut lines = Vec::new();
    for body in ["", "{", "[]", "{\"name\":hunter2}", "{\"name\":\"a\"", "\u{0}"] {
        lines.push(raw(&world, request("POST", "/api/databases", body)).await);
    }
    lines.push(raw(&world, request("POST", "/api/engines", vec![0xff, 0xfe])).await);
    lines.push(raw(&world, request("POST", "/api/engines", "x".repeat(3 << 20))).await);
    insta::assert_snapshot!(lines.join("\n"), @r#"
    400 {"error":"The request body is not valid JSON: EOF while parsing a value at line 1 column 0.","request_id":"r-1"}
    400 {"error":"The request body is not valid JSON: EOF while parsing an object at line 1 column 1.","request_id":"r-1"}
    400 {"error":"The request body must be a JSON object, not a list.","request_id":"r-1"}
    400 {"error":"The request body is not valid JSON: expected value at line 1 column 9.","request_id":"r-1"}
    400 {"error":"The request body is not valid JSON: EOF while parsing an object at line 1 column 11.","request_id":"r-1"}
    400 {"error":"The request body is not valid JSON: expected value at line 1 column 1.","request_id":"r-1"}
    400 {"error":"The request body is not valid JSON: expected value at line 1 column 1.","request_id":"r-1"}
    413 {"error":"The request body is too large; 2 MiB are read at most.","request_id":"r-1"}
    "#);
}

#[tokio::test]
async fn a_panic_and_a_bad_row_are_a_500_that_tells_nothing() {
    let world = World::new();
    world.table("databaseconfigs").fail(Fault::Panic);
    insta::assert_snapshot!(raw(&world, request("GET", "/api/databases/x", "")).await, @r#"500 {"error":"Something went wrong that was not foreseen; the log has the reason under r-1.","request_id":"r-1"}"#);
    world.table("databaseconfigs").fail(Fault::Read(StorageErrorKind::Invalid));
    insta::assert_snapshot!(raw(&world, request("GET", "/api/databases/x", "")).await, @r#"500 {"error":"Something went wrong that was not foreseen; the log has the reason under r-1.","request_id":"r-1"}"#);
    world.get("/databases").await;
}

#[tokio::test]
async fn storage_that_cannot_be_reached_is_a_503_everywhere() {
    let world = World::new();
    for (path, table) in [
        ("/databases", "databaseconfigs"),
        ("/engines", "engines"),
        ("/backups", "backuphistory"),
        ("/backup-policies", "backuppolicies"),
        ("/settings", "settings"),
        ("/users/me", "users"),
    ] {
        for kind in [StorageErrorKind::Unavailable, StorageErrorKind::Denied] {
            world.table(table).fail(Fault::Read(kind));
            let answer = world.expect(503, "GET", path, None).await;
            assert!(!answer.to_string().contains("internal"), "{answer}");
        }
        world.get(path).await;
    }
}

async fn cors(world: &World, method: &str, path: &str) -> String {
    let request = Request::builder().method(method).uri(path).header("origin", "https://ui.example");
    let request = request.header("access-control-request-method", "PUT");
    let request = request.header("access-control-request-headers", "authorization,x-more");
    let (status, headers, body) = world.exchange(request.body(Body::empty()).unwrap()).await;
    let mut lines = vec![format!("{method} {path}: {}", status.as_u16())];
    for (name, value) in &headers {
        if name.as_str().starts_with("access-control") || name == "vary" {
            lines.push(format!("  {name}: {}", value.to_str().unwrap()));
        }
    }
    assert!(*method != *"OPTIONS" || body.is_empty());
    lines.join("\n")
}

#[tokio::test]
async fn in_development_every_origin_reads_every_answer() {
    let world = World::new();
    world.table("databaseconfigs").fail(Fault::Panic);
    let lines = [
        cors(&world, "OPTIONS", "/api/databases/x").await,
        cors(&world, "GET", "/api/databases/x").await,
        cors(&world, "GET", "/api/version").await,
        cors(&world, "GET", "/api/nothing").await,
        cors(&world, "PATCH", "/api/version").await,
        cors(&world, "OPTIONS", "/nowhere").await,
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    OPTIONS /api/databases/x: 204
      access-control-allow-methods: GET, POST, PUT, DELETE, OPTIONS
      access-control-allow-headers: authorization,x-more
      access-control-max-age: 7200
      access-control-allow-origin: *
      access-control-expose-headers: etag, x-request-id
    GET /api/databases/x: 500
      access-control-allow-origin: *
      access-control-expose-headers: etag, x-request-id
    GET /api/version: 200
      access-control-allow-origin: *
      access-control-expose-headers: etag, x-request-id
    GET /api/nothing: 404
      access-control-allow-origin: *
      access-control-expose-headers: etag, x-request-id
    PATCH /api/version: 405
      access-control-allow-origin: *
      access-control-expose-headers: etag, x-request-id
    OPTIONS /nowhere: 204
      access-control-allow-methods: GET, POST, PUT, DELETE, OPTIONS
      access-control-allow-headers: authorization,x-more
      access-control-max-age: 7200
      access-control-allow-origin: *
      access-control-expose-headers: etag, x-request-id
    ");
}

#[tokio::test]
async fn listed_origins_read_and_others_do_not() {
    let azure = ("AUTH_MODE", "azure");
    let listed = World::with(&[("ALLOWED_ORIGINS", "https://a.example, https://UI.example/"), azure]);
    let other = World::with(&[("ALLOWED_ORIGINS", "https://a.example"), azure]);
    let usual = World::with(&[("ENVIRONMENT", "production")]);
    let lines = [
        cors(&listed, "OPTIONS", "/api/databases").await,
        cors(&listed, "GET", "/api/databases").await,
        cors(&other, "OPTIONS", "/api/databases").await,
        cors(&other, "GET", "/api/databases").await,
        cors(&usual, "GET", "/api/version").await,
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    OPTIONS /api/databases: 204
      access-control-allow-methods: GET, POST, PUT, DELETE, OPTIONS
      access-control-allow-headers: authorization,x-more
      access-control-max-age: 7200
      access-control-allow-origin: https://ui.example
      access-control-expose-headers: etag, x-request-id
      vary: Origin
    GET /api/databases: 401
      access-control-allow-origin: https://ui.example
      access-control-expose-headers: etag, x-request-id
      vary: Origin
    OPTIONS /api/databases: 204
      vary: Origin
    GET /api/databases: 401
      vary: Origin
    GET /api/version: 200
      vary: Origin
    ");
}

#[tokio::test]
async fn behind_a_host_that_answers_itself_nothing_is_added() {
    let port = ("FUNCTIONS_CUSTOMHANDLER_PORT", "7000");
    let production = ("ENVIRONMENT", "production");
    let mut lines = Vec::new();
    for variables in [
        &[port][..],
        &[port, production],
        &[port, ("ALLOWED_ORIGINS", "https://ui.example")],
        &[port, ("HOST_ANSWERS_CORS", "false")],
    ] {
        let world = World::with(variables);
        lines.push(cors(&world, "OPTIONS", "/api/version").await);
        lines.push(cors(&world, "GET", "/api/version").await);
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    OPTIONS /api/version: 204
    GET /api/version: 200
    OPTIONS /api/version: 204
    GET /api/version: 200
    OPTIONS /api/version: 204
      access-control-allow-methods: GET, POST, PUT, DELETE, OPTIONS
      access-control-allow-headers: authorization,x-more
      access-control-max-age: 7200
      access-control-allow-origin: https://ui.example
      access-control-expose-headers: etag, x-request-id
      vary: Origin
    GET /api/version: 200
      access-control-allow-origin: https://ui.example
      access-control-expose-headers: etag, x-request-id
      vary: Origin
    OPTIONS /api/version: 204
      access-control-allow-methods: GET, POST, PUT, DELETE, OPTIONS
      access-control-allow-headers: authorization,x-more
      access-control-max-age: 7200
      access-control-allow-origin: *
      access-control-expose-headers: etag, x-request-id
    GET /api/version: 200
      access-control-allow-origin: *
      access-control-expose-headers: etag, x-request-id
    ");
}

#[tokio::test]
async fn the_prefix_can_be_another_one() {
    for (prefix, path) in [("/v1/", "/v1/version"), ("/", "/version"), ("a/b", "/a/b/version")] {
        let world = World::with(&[("ROUTE_PREFIX", prefix)]);
        let (status, _, body) = world.exchange(request("GET", path, "")).await;
        assert_eq!(status, StatusCode::OK, "{prefix}");
        assert!(serde_json::from_slice::<Value>(&body).unwrap()["version"].is_string());
    }
}
