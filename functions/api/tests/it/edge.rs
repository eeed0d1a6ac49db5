//! What holds for every request and every answer.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{World, database, merge};

fn get(path: &str) -> axum::http::request::Builder {
    Request::builder().uri(format!("/api{path}"))
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    for (variables, strict) in [(vec![], false), (vec![("ENVIRONMENT", "production")], true)] {
        let world = World::with(&variables);
        for path in ["/version", "/databases", "/no/such/path"] {
            let (_, headers, _) = world.exchange(get(path).body(Body::empty()).unwrap()).await;
            let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(
                header("content-security-policy"),
                Some("default-src 'none'; frame-ancestors 'none'"),
                "{path}"
            );
            assert_eq!(header("x-frame-options"), Some("DENY"), "{path}");
            assert_eq!(header("referrer-policy"), Some("no-referrer"), "{path}");
            assert_eq!(header("cache-control"), Some("no-store"), "{path}");
            assert_eq!(header("strict-transport-security").is_some(), strict, "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_anything_is_read() {
    let world = World::new();
    let long = "x".repeat(20_000);
    let many = get("/databases")
        .header("x-one", "y".repeat(40_000))
        .header("x-two", "y".repeat(40_000))
        .body(Body::empty());
    let large = get("/databases")
        .method("POST")
        .header("content-type", "application/json")
        .header("content-length", "3000000")
        .body(Body::from("{}"));
    for (request, status) in [
        (get(&format!("/databases?search={long}")).body(Body::empty()), StatusCode::URI_TOO_LONG),
        (many, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (large, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let (seen, _, body) = world.exchange(request.unwrap()).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(seen, status, "{body}");
        assert!(body["error"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn hosts_that_are_no_databases_of_anybody_are_refused_everywhere() {
    let world = World::with(&[("ALLOWED_TARGETS", "*.example, 10.0.0.0/8")]);
    for host in ["169.254.169.254", "0xa9fea9fe", "::ffff:169.254.169.254", "168.63.129.16", "192.168.0.1"] {
        let mut body = database("d-1");
        merge(&mut body, json!({"host": host}));
        let (status, answer) = world.post("/databases", &body).await;
        assert_eq!(status, 400, "{host}: {answer}");
        assert!(answer["error"].as_str().unwrap().starts_with("host: "), "{answer}");
        let (status, answer) = world.post("/databases/test-connection", &body).await;
        assert_eq!(status, 400, "{host}: {answer}");
        let body = json!({"name": "One", "engine_type": "mysql", "host": host});
        let (status, answer) = world.post("/engines", &body).await;
        assert_eq!(status, 400, "{host}: {answer}");
    }
    for host in ["db.example", "10.1.2.3", "::ffff:10.1.2.3"] {
        let mut body = database(&format!("d-{}", host.len()));
        merge(&mut body, json!({"host": host}));
        assert_eq!(world.post("/databases", &body).await.0, 201, "{host}");
    }
    let moved = world.send("PUT", "/databases/d-10", Some(&json!({"host": "169.254.169.254"}))).await;
    assert_eq!(moved.0, 400, "{}", moved.1);
}
