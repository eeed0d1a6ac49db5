//! The HTTP side of a host, with a real handler behind it.

use crate::support::emulator::Emulator;
use crate::support::{App, client, get};
use local_host::{ForwardTraps, Host};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn forwards_requests_with_prefix_headers_and_body() {
    let app = App::with_http();
    let host = app.start().await;
    let response = client()
        .post(host.url("/api/a%20b/c?x=1&x=2"))
        .header("content-type", "application/json")
        .header("content-language", "de")
        .header("x-forwarded-for", "10.0.0.1")
        .body(r#"{"hello":"world"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let seen: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["target"], "/api/a%20b/c?x=1&x=2");
    assert_eq!(seen["body"], json!({"hello": "world"}));
    let headers = &seen["headers"];
    assert_eq!(headers["content-length"], "17");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1");
    assert_eq!(headers["host"], host.address().to_string());
    assert_eq!(headers["x-azure-functions-invocationid"].as_str().map(str::len), Some(36));
    assert!(headers["content-language"].is_null());
    assert!(headers["user-agent"].as_str().unwrap().contains("Azure-Functions-Host/"));
    host.stop().await;
}

#[tokio::test]
async fn passes_every_status_back_and_follows_no_redirect() {
    let app = App::with_http();
    let host = app.start().await;
    for status in [204, 404, 418, 500] {
        assert_eq!(get(&host, &format!("/api/do/status:{status}")).await.0, status);
    }
    let response = client().get(host.url("/api/do/redirect")).send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "/api/elsewhere");
    let head = client().head(host.url("/api/x")).send().await.unwrap();
    assert_eq!(head.status(), 200);
}

#[tokio::test]
async fn answers_by_itself_what_no_function_takes() {
    let app = App::new();
    app.function(
        "only_get",
        &json!([
            {"type": "httpTrigger", "direction": "in", "name": "req", "route": "x", "methods": ["get"]},
            {"type": "http", "direction": "out", "name": "res"},
        ]),
    );
    let host = app.start().await;
    assert_eq!(get(&host, "/api/x").await.0, 200);
    assert_eq!(get(&host, "/api/y").await.0, 404);
    assert_eq!(client().put(host.url("/api/x")).send().await.unwrap().status(), 404);
    assert_eq!(get(&host, "/runtime/webhooks").await.0, 404);
    // Paths of triggers are not reachable from outside.
    assert_eq!(client().post(host.url("/only_get")).send().await.unwrap().status(), 404);
    let home = client().get(host.url("/")).send().await.unwrap();
    assert_eq!(home.status(), 200);
    assert!(home.text().await.unwrap().contains("<h1>"));
}

#[tokio::test]
async fn a_public_path_never_becomes_the_path_of_a_trigger() {
    let emulator = Emulator::start().await;
    let mut app = App::with_http();
    app.set("AzureWebJobsStorage", &emulator.connection_string);
    app.timer_function("tick", "0 0 0 1 1 *", false);
    let host = app.start().await;
    for path in [
        "/tick",
        "//tick",
        "/tick/",
        "/%74ick",
        "/API/../tick",
        "/api/%2e%2e/tick",
        "/api/%252e%252e/tick",
        "/api/.%2E\\tick",
        "/api/./../tick",
    ] {
        let head = raw(&host, path).await.to_lowercase();
        let forwarded = head.contains("\"target\"");
        // What has the prefix is for the HTTP function, which sees the prefix as well.
        assert!(
            head.contains(" 404 ") || (forwarded && head.contains("\"target\":\"/api/")),
            "{path}: {head}"
        );
    }
    let (status, seen) = get(&host, "/api/tick").await;
    assert_eq!((status, &seen["target"]), (200, &json!("/api/tick")));
    assert_eq!(app.record(), Vec::<Value>::new(), "the trigger was called");
}

/// Sends a path as it is, which clients would tidy up, and returns the whole answer.
async fn raw(host: &Host, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(host.address()).await.unwrap();
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_home_page_can_be_switched_off() {
    let mut app = App::with_http();
    app.set("AzureWebJobsDisableHomepage", "true");
    assert_eq!(get(&app.start().await, "/").await.0, 204);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let app = App::with_http();
    let host = app.start().await;
    let mut stream = tokio::net::TcpStream::connect(host.address()).await.unwrap();
    // The announcement is enough; nobody has to send it all.
    stream.write_all(b"POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 104857601\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");
}

#[tokio::test]
async fn traps_of_the_forward_way_can_be_switched_on() {
    let mut app = App::with_http();
    app.switches.forward_traps =
        ForwardTraps { join_duplicate_query: true, reject_chunked_uploads: true, rebuild_path: true };
    let host = app.start().await;
    assert_eq!(get(&host, "/api/a%3Fb?x=1&x=2").await.1["target"], "/api/a?x=1%2C2");
    assert_eq!(chunked_upload(&host).await.0, 500);
}

#[tokio::test]
async fn chunked_uploads_work_in_both_ways() {
    for mode in ["enableForwardingHttpRequest", "enableProxyingHttpRequest"] {
        let mut app = App::with_http();
        app.configure(&["customHandler", mode], json!(true));
        let (status, seen) = chunked_upload(&app.start().await).await;
        assert_eq!((status, &seen["body"]), (200, &json!([1, 2])), "{mode}");
    }
}

async fn chunked_upload(host: &Host) -> (u16, Value) {
    let parts = futures::stream::iter([Ok::<_, std::io::Error>("[1,"), Ok("2]")]);
    let body = reqwest::Body::wrap_stream(parts);
    let response = client().post(host.url("/api/up")).body(body).send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn a_function_with_another_binding_gets_the_envelope() {
    let app = App::new();
    app.function(
        "hello",
        &json!([
            {"type": "httpTrigger", "direction": "in", "name": "req", "route": "hello/{id}"},
        ]),
    );
    let host = app.start().await;
    let response = client().get(host.url("/api/hello/7?a=1&a=2")).send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["x-toy"], "yes");
    let seen = &app.record()[0];
    assert_eq!((&seen["method"], &seen["target"]), (&json!("POST"), &json!("/hello")));
    let data = &seen["body"]["Data"]["req"];
    assert_eq!(data["Method"], "GET");
    assert_eq!(data["Params"], json!({"id": "7"}));
    assert_eq!(data["Query"], json!({"a": "1,2"}));
    assert_eq!(data["Url"], host.url("/api/hello/7?a=1&a=2"));
}

#[tokio::test]
async fn a_signed_in_user_replaces_what_clients_claim() {
    let mut app = App::with_http();
    app.write("user.json", &json!({"auth_typ": "aad", "claims": [{"typ": "oid", "val": "u-1"}]}));
    app.switches.principal = Some(app.folder().join("user.json"));
    let host = app.start().await;
    let request = client().get(host.url("/api/x")).header("x-ms-client-principal-id", "forged");
    let seen: Value = serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(seen["headers"]["x-ms-client-principal-id"], "u-1");
    assert_eq!(get(&host, "/api/do/env:WEBSITE_AUTH_ENABLED").await.1, "True");
}

#[tokio::test]
async fn origins_of_the_settings_may_call() {
    let app = App::with_http();
    app.write(
        "local.settings.json",
        &json!({"IsEncrypted": false, "Host": {"CORS": "http://localhost:3000"}}),
    );
    let host = app.start().await;
    let preflight = |origin: &'static str| {
        client()
            .request(reqwest::Method::OPTIONS, host.url("/api/x"))
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .send()
    };
    let known = preflight("http://localhost:3000").await.unwrap();
    assert_eq!(
        (known.status().as_u16(), &known.headers()["access-control-allow-methods"]),
        (204, &"PUT".parse().unwrap())
    );
    let unknown = preflight("http://evil.example").await.unwrap();
    assert_eq!(unknown.status(), 204);
    assert!(!unknown.headers().contains_key("access-control-allow-origin"));
    let real =
        client().get(host.url("/api/x")).header("origin", "http://localhost:3000").send().await.unwrap();
    assert_eq!(real.headers()["access-control-allow-origin"], "http://localhost:3000");
    // Without an origin it is a request like any other.
    let options = client().request(reqwest::Method::OPTIONS, host.url("/api/x")).send().await.unwrap();
    assert_eq!(options.status(), 200);
}

#[tokio::test]
async fn settings_reach_the_handler_and_the_environment_wins() {
    let mut app = App::with_http();
    app.write(
        "local.settings.json",
        &json!({"IsEncrypted": false, "Values": {
            "FROM_FILE": "file", "BOTH": "file",
            "AzureFunctionsJobHost__extensions__http__routePrefix": "other",
        }}),
    );
    app.set("BOTH", "environment");
    app.configure(&["extensions", "http", "routePrefix"], json!("api"));
    let host = app.start().await;
    assert_eq!(get(&host, "/api/x").await.0, 404);
    assert_eq!(get(&host, "/other/x").await.0, 200);
    drop(host);
    app.set("AzureFunctionsJobHost__extensions__http__routePrefix", "api");
    let host = app.start().await;
    let folder = app.folder().canonicalize().unwrap();
    for (name, expected) in [
        ("FROM_FILE", "file"),
        ("BOTH", "environment"),
        ("AZURE_FUNCTIONS_ENVIRONMENT", "Development"),
        ("WEBSITE_HOSTNAME", &host.address().to_string()),
        ("AzureWebJobsScriptRoot", &folder.to_string_lossy()),
        ("FUNCTIONS_APP_ROOT_PATH", &folder.to_string_lossy()),
    ] {
        assert_eq!(get(&host, &format!("/api/do/env:{name}")).await.1, expected, "{name}");
    }
    let port = get(&host, "/api/do/env:FUNCTIONS_HTTPWORKER_PORT").await.1;
    assert_eq!(get(&host, "/api/do/env:FUNCTIONS_CUSTOMHANDLER_PORT").await.1, port);
}

#[tokio::test]
async fn the_admin_routes_tell_what_is_there() {
    let app = App::with_http();
    app.function("broken", &json!([{"type": "blobTrigger", "name": "b"}]));
    let host = app.start().await;
    assert_eq!(get(&host, "/admin/host/ping").await.0, 200);
    let (status, body) = get(&host, "/admin/host/status").await;
    assert_eq!((status, &body["state"], &body["id"]), (200, &json!("Running"), &json!(host.host_id())));
    assert!(body["errors"][0].as_str().unwrap().starts_with("broken: "));
    assert_eq!(host.problems().len(), 1);
    let (_, functions) = get(&host, "/admin/functions").await;
    assert_eq!(functions.as_array().map(Vec::len), Some(1));
    assert_eq!(functions[0]["name"], "http");
    assert_eq!(get(&host, "/admin/functions/HTTP").await.0, 200);
    assert_eq!(get(&host, "/admin/functions/none").await.0, 404);
}

#[tokio::test]
async fn functions_run_by_hand() {
    let mut app = App::with_http();
    app.queue_function("on_message", "jobs");
    app.timer_function("on_time", "0 0 0 1 1 *", false);
    // Nothing listens there: a run by hand needs no storage, and no listener finds a message.
    app.set("AzureWebJobsStorage", &dead_storage());
    app.switches.chunked_invocations = true;
    let host = app.start().await;
    let run = async |name: &str, kind: &str, body: &'static str| {
        let url = host.url(&format!("/admin/functions/{name}"));
        client().post(url).header("content-type", kind).body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(run("on_message", "application/json", r#"{"input":"{\"do\":\"ok\"}"}"#).await, 202);
    let seen = &app.recorded(1).await[0];
    assert_eq!(seen["target"], "/on_message");
    assert_eq!(seen["body"]["Data"]["msg"], r#""{\"do\":\"ok\"}""#);
    assert_eq!(seen["body"]["Metadata"]["DequeueCount"], "1");
    assert_eq!(seen["headers"]["transfer-encoding"], "chunked");
    assert_eq!(run("ON_TIME", "application/json; charset=utf-8", "{}").await, 202);
    let seen = &app.recorded(2).await[1];
    assert_eq!(seen["target"], "/on_time");
    assert!(seen["body"]["Data"]["timer"]["ScheduleStatus"].is_null());
    assert_eq!(run("none", "application/json", "{}").await, 404);
    assert_eq!(run("http", "application/json", "{}").await, 400);
    assert_eq!(run("on_time", "text/plain", "{}").await, 415);
    assert_eq!(run("on_time", "application/json", "{").await, 400);
}

fn dead_storage() -> String {
    ["Blob", "Queue", "Table"].map(|service| format!("{service}Endpoint=http://127.0.0.1:9/a")).join(";")
        + ";AccountName=a;AccountKey=a2V5"
}
