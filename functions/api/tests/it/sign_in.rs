//! Who gets in, as what, and who does not: with a directory on this machine.

use api::roles::{Access, access};
use axum::http::Method;
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};
use shared::models::{User, UserRole};
use shared::storage::StorageErrorKind;

use crate::directory::{Directory, claims, graph_token, hmac_signed, signed, token, unsigned};
use crate::support::{Fault, NOW, World, at, pretty};

fn user(id: &str, role: UserRole) -> User {
    User {
        id: id.parse().unwrap(),
        email: format!("{id}@example.org"),
        name: id.to_owned(),
        role,
        enabled: true,
        dark_mode: false,
        page_size: 25,
        created_at: at(NOW),
        updated_at: at(NOW),
        last_login: Some(at(NOW)),
        created_by: None,
    }
}

/// Stores a user of each role, and a disabled one.
async fn populate(world: &World) {
    for role in UserRole::ALL {
        world.state.storage.users.insert(&user(role.as_str(), *role)).await.unwrap();
    }
    let disabled = User { enabled: false, ..user("disabled", UserRole::Admin) };
    world.state.storage.users.insert(&disabled).await.unwrap();
}

/// Calls every built route and returns the statuses with what the table of roles says.
async fn walk(world: &World, headers: &[(&str, &str)]) -> Vec<(Access, String, u16)> {
    let mut seen = Vec::new();
    for (method, path) in api::built_routes() {
        let address = path.replace("{id}", "x").replace("{backup_id}", "x");
        let (status, body) = world.call(method.as_str(), &address, headers, Some(&json!({}))).await;
        assert!(status < 500 || status == 503, "{method} {path}: {body}");
        seen.push((access(&method, path).unwrap(), format!("{method} {path}"), status));
    }
    seen
}

#[tokio::test]
async fn whoever_proves_nothing_passes_no_route_but_the_open_ones() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "one"});
    let now = at(NOW).timestamp();
    let admin = |more: Value| token("admin", more);
    let tokens = [
        ("alg none", format!("{}.", unsigned(&json!({"alg": "none", "kid": "one"}), &claims("admin")))),
        ("no signature", format!("{}.", unsigned(&header, &claims("admin")))),
        ("HS256 with the public key", hmac_signed(&claims("admin"))),
        ("another key", signed(1, &header, &claims("admin"))),
        ("an unknown kid", signed(0, &json!({"alg": "RS256", "kid": "two"}), &claims("admin"))),
        ("no kid", signed(0, &json!({"alg": "RS256"}), &claims("admin"))),
        ("expired", admin(json!({"exp": now - 121}))),
        ("expired in 1970", admin(json!({"exp": 1}))),
        ("an end that is a text", admin(json!({"exp": "9999999999"}))),
        ("without an end", admin(json!({"exp": "(absent)"}))),
        ("not yet", admin(json!({"nbf": now + 121}))),
        ("another audience", admin(json!({"aud": "33333333-aaaa-bbbb-cccc-000000000003"}))),
        ("no audience", admin(json!({"aud": "(absent)"}))),
        ("another issuer", admin(json!({"iss": "https://login.microsoftonline.com/other/v2.0"}))),
        ("no issuer", admin(json!({"iss": "(absent)"}))),
        ("no object id", admin(json!({"oid": "(absent)"}))),
        ("the id of a registration", admin(json!({"oid": "pending-1"}))),
        ("a Graph token that Graph refuses", graph_token(json!({}))),
        ("rubbish", "rubbish".to_owned()),
    ];
    let mut attempts = vec![("nothing".to_owned(), Vec::new())];
    attempts.push((
        "headers of a platform".to_owned(),
        vec![
            ("x-ms-client-principal-id", "admin".to_owned()),
            ("x-ms-client-principal-name", "admin@example.org".to_owned()),
            ("x-ms-client-principal", "eyJ1c2VySWQiOiJhZG1pbiIsInVzZXJEZXRhaWxzIjoiYUBiIn0=".to_owned()),
        ],
    ));
    for (name, token) in tokens {
        attempts.push((name.to_owned(), vec![("authorization", format!("Bearer {token}"))]));
    }
    for (name, headers) in attempts {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for (access, route, status) in walk(&world, &headers).await {
            let refused = matches!(status, 401 | 429);
            assert_eq!(refused, access != Access::Anonymous, "{name}: {route} {status}");
        }
    }
    assert_eq!(world.table("users").rows().await.len(), 4, "nobody was added");
}

#[tokio::test]
async fn every_route_is_open_to_the_roles_of_the_table_and_to_no_other() {
    for role in UserRole::ALL {
        let directory = Directory::start().await;
        let world = directory.world(&[]);
        populate(&world).await;
        let bearer = format!("Bearer {}", token(role.as_str(), json!({})));
        for (access, route, status) in walk(&world, &[("authorization", &bearer)]).await {
            let may = match access {
                Access::Anonymous | Access::Role(UserRole::Viewer) => true,
                Access::Role(UserRole::Operator) => *role != UserRole::Viewer,
                Access::Role(UserRole::Admin) | Access::AdminOrSelf => *role == UserRole::Admin,
            };
            assert_ne!(status, 401, "{role}: {route}");
            assert_eq!(status == 403, !may, "{role}: {route} {status}");
        }
        assert_eq!(directory.key_questions(), 1, "the keys are kept");
    }
}

#[tokio::test]
async fn a_disabled_user_passes_no_route() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let bearer = format!("Bearer {}", token("disabled", json!({})));
    for (access, route, status) in walk(&world, &[("authorization", &bearer)]).await {
        assert_eq!(matches!(status, 401 | 429), access != Access::Anonymous, "{route} {status}");
    }
    insta::assert_snapshot!(world.audit().await, @r#"
    user_login user disabled "disabled@example.org" by disabled@example.org from 203.0.113.7: failed The account disabled@example.org is disabled; ask an administrator to enable it.
      {"event":"login_denied_disabled"}
    "#);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let mut lines = Vec::new();
    for (oid, method, path) in [
        ("", "GET", "/users/me"),
        ("stranger", "GET", "/users/me"),
        ("disabled", "GET", "/users/me"),
        ("viewer", "POST", "/databases"),
        ("operator", "GET", "/audit"),
        ("viewer", "GET", "/users/admin"),
        ("viewer", "GET", "/users/!"),
    ] {
        let bearer = format!("Bearer {}", token(oid, json!({})));
        let headers = [("authorization", bearer.as_str())];
        let headers = if oid.is_empty() { &[][..] } else { &headers };
        let (status, body) = world.call(method, path, headers, None).await;
        lines.push(format!("{oid} {method} {path}: {status} {body}"));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
     GET /users/me: 401 {"error":"Sign-in with the directory is required.","request_id":"r-1"}
    stranger GET /users/me: 401 {"error":"Access denied: stranger@example.org is not registered; ask an administrator for access.","request_id":"r-1"}
    disabled GET /users/me: 401 {"error":"The account disabled@example.org is disabled; ask an administrator to enable it.","request_id":"r-1"}
    viewer POST /databases: 403 {"error":"This needs the role operator; ask an administrator to give it to you.","request_id":"r-1"}
    operator GET /audit: 403 {"error":"This needs the role admin; ask an administrator to give it to you.","request_id":"r-1"}
    viewer GET /users/admin: 403 {"error":"This needs the role admin; ask an administrator to give it to you.","request_id":"r-1"}
    viewer GET /users/!: 403 {"error":"This needs the role admin; ask an administrator to give it to you.","request_id":"r-1"}
    "#);
    let bearer = format!("Bearer {}", token("viewer", json!({})));
    let (status, own) = world.call("GET", "/users/viewer", &[("authorization", &bearer)], None).await;
    assert_eq!((status, &own["user"]["role"]), (200, &json!("viewer")), "everybody may see oneself");
}

#[tokio::test]
async fn accepts_both_issuers_both_audiences_and_a_little_leeway() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let now = at(NOW).timestamp();
    for more in [
        json!({}),
        json!({"iss": "https://sts.windows.net/11111111-aaaa-bbbb-cccc-000000000001/"}),
        json!({"aud": "api://22222222-aaaa-bbbb-cccc-000000000002"}),
        json!({"exp": now - 60, "nbf": now + 60}),
    ] {
        assert_eq!(status(&world, &token("viewer", more.clone())).await, 200, "{more}");
    }
    assert_eq!(
        status(&world, &token("viewer", json!({"preferred_username": "", "upn": "u@example.org"}))).await,
        200
    );
}

/// Asks who a token is for.
async fn me(world: &World, token: &str) -> (u16, Value) {
    world.call("GET", "/users/me", &[("authorization", &format!("Bearer {token}"))], None).await
}

async fn status(world: &World, token: &str) -> u16 {
    me(world, token).await.0
}

#[tokio::test]
async fn new_keys_are_found_but_nobody_makes_us_ask_all_the_time() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let with_key =
        |index: usize, kid: &str| signed(index, &json!({"alg": "RS256", "kid": kid}), &claims("viewer"));
    assert_eq!(status(&world, &with_key(0, "one")).await, 200);
    for n in 0..10 {
        assert_eq!(status(&world, &with_key(1, &format!("forged-{n}"))).await, 401);
    }
    assert_eq!(directory.key_questions(), 1, "within a minute");
    *directory.answers.published.lock().unwrap() = vec![("two".to_owned(), 1)];
    assert_eq!(status(&world, &with_key(1, "two")).await, 401, "it is not known yet");
    world.state.clock.set(at(NOW) + TimeDelta::seconds(61));
    assert_eq!(status(&world, &with_key(1, "two")).await, 200);
    assert_eq!(status(&world, &with_key(0, "one")).await, 401, "a key that was withdrawn");
    assert_eq!(directory.key_questions(), 2);
}

#[tokio::test]
async fn a_directory_that_is_away_is_a_503_and_nobody_is_let_in() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    directory.go_away(true);
    let own = token("viewer", json!({}));
    let graph = graph_token(json!({}));
    insta::assert_snapshot!(format!("{:?}", me(&world, &own).await), @r#"(503, Object {"error": String("The directory that says who you are cannot be reached; try again in a moment."), "request_id": String("r-1")})"#);
    assert_eq!(status(&world, &own).await, 503, "and is not asked again at once");
    assert_eq!(directory.key_questions(), 1);
    assert_eq!(status(&world, &graph).await, 503);
    directory.go_away(false);
    world.state.clock.set(at(NOW) + TimeDelta::seconds(6));
    assert_eq!(status(&world, &own).await, 200);
    directory.go_away(true);
    world.state.clock.set(at(NOW) + TimeDelta::seconds(3000));
    assert_eq!(status(&world, &own).await, 200, "known keys go on");
}

#[tokio::test]
async fn graph_is_asked_once_whose_token_it_is() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let me_of = |id: &str, mail: Value| json!({"id": id, "mail": mail, "userPrincipalName": "upn@example.org", "displayName": "G"});
    *directory.answers.me.lock().unwrap() = Some(me_of("operator", json!(null)));
    let (code, answer) = me(&world, &graph_token(json!({}))).await;
    assert_eq!((code, &answer["user"]["id"]), (200, &json!("operator")));
    assert_eq!(status(&world, &graph_token(json!({}))).await, 200);
    assert_eq!(directory.graph_questions(), 1, "the answer is kept");
    world.state.clock.set(at(NOW) + TimeDelta::seconds(301));
    assert_eq!(status(&world, &graph_token(json!({}))).await, 200);
    assert_eq!(directory.graph_questions(), 2, "for five minutes");
    assert_eq!(
        status(&world, &graph_token(json!({"azp": CLIENT_IN_CAPITALS, "appid": "(absent)"}))).await,
        200
    );
    let asked = directory.graph_questions();
    let now = at(NOW).timestamp() + 301;
    for more in [
        json!({"appid": "33333333-aaaa-bbbb-cccc-000000000003"}),
        json!({"appid": "(absent)"}),
        json!({"azp": "33333333-aaaa-bbbb-cccc-000000000003"}),
        json!({"tid": "33333333-aaaa-bbbb-cccc-000000000003"}),
        json!({"tid": "(absent)"}),
        json!({"exp": now - 121}),
        json!({"exp": "(absent)"}),
        json!({"nbf": now + 121}),
    ] {
        assert_eq!(status(&world, &graph_token(more.clone())).await, 401, "{more}");
    }
    assert_eq!(directory.graph_questions(), asked, "tokens of others are not even asked about");
}

const CLIENT_IN_CAPITALS: &str = "22222222-AAAA-BBBB-CCCC-000000000002";

#[tokio::test]
async fn graph_tokens_can_be_switched_off() {
    let directory = Directory::start().await;
    let world = directory.world(&[("ACCEPT_GRAPH_TOKENS", "false")]);
    populate(&world).await;
    *directory.answers.me.lock().unwrap() = Some(json!({"id": "admin", "mail": "a@b.de"}));
    assert_eq!(status(&world, &graph_token(json!({}))).await, 401);
    assert_eq!(directory.graph_questions(), 0);
}

#[tokio::test]
async fn headers_of_the_platform_count_where_they_are_trusted() {
    let directory = Directory::start().await;
    let world = directory.world(&[("TRUST_EASYAUTH_HEADERS", "true")]);
    populate(&world).await;
    let pair = [("x-ms-client-principal-id", "operator"), ("x-ms-client-principal-name", "o@example.org")];
    let (code, answer) = world.call("GET", "/users/me", &pair, None).await;
    assert_eq!((code, &answer["user"]["id"]), (200, &json!("operator")));
    let whole = [("x-ms-client-principal", "eyJ1c2VySWQiOiJ2aWV3ZXIiLCJ1c2VyRGV0YWlscyI6ImFAYiJ9")];
    let (code, answer) = world.call("GET", "/users/me", &whole, None).await;
    assert_eq!((code, &answer["user"]["id"]), (200, &json!("viewer")));
    let bearer = format!("Bearer {}", token("admin", json!({})));
    let mixed = [("x-ms-client-principal", "?"), ("authorization", bearer.as_str())];
    let (code, answer) = world.call("GET", "/users/me", &mixed, None).await;
    assert_eq!((code, &answer["user"]["id"]), (200, &json!("admin")), "what cannot be read falls through");
}

#[tokio::test]
async fn one_of_many_who_come_first_becomes_the_administrator() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    let tokens: Vec<String> = (0..12).map(|n| token(&format!("u{}", n % 6), json!({}))).collect();
    let answers = join_all(tokens.iter().map(|token| me(&world, token))).await;
    let admins: Vec<&Value> = answers.iter().filter(|(code, _)| *code == 200).map(|(_, body)| body).collect();
    assert!(!admins.is_empty(), "{answers:?}");
    assert_eq!(admins.iter().filter(|answer| answer["is_first_run"] == true).count(), 1);
    let first = &admins[0]["user"]["id"];
    assert!(admins.iter().all(|answer| answer["user"]["id"] == *first && answer["user"]["role"] == "admin"));
    assert!(answers.iter().all(|(code, _)| matches!(code, 200 | 401 | 503)), "{answers:?}");
    let users = world.state.storage.users.list().await.unwrap();
    assert_eq!(users.len(), 1);
    let audit = world.audit().await;
    assert_eq!(audit.matches("first_admin_created").count(), 1, "{audit}");
}

#[tokio::test]
async fn a_table_that_fails_makes_nobody_an_administrator() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    for fault in 0..4 {
        for _ in 0..fault {
            world.table("users").fail(Fault::Answer);
        }
        world.table("users").fail(Fault::Read(StorageErrorKind::Unavailable));
        let (code, body) = me(&world, &token("u", json!({}))).await;
        let users = world.state.storage.users.list().await.unwrap_or_default();
        assert!(code == 503 && users.is_empty(), "{fault}: {code} {body}");
        world.table("users").forget_faults();
    }
    assert_eq!(status(&world, &token("u", json!({}))).await, 200, "and later it works");
}

#[tokio::test]
async fn a_registered_user_comes_in_with_the_rights_that_were_given() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let pending = User {
        dark_mode: true,
        email: "Zoe@Example.org".to_owned(),
        created_by: Some("admin".to_owned()),
        last_login: None,
        ..user("pending-0815", UserRole::Operator)
    };
    world.state.storage.users.insert(&pending).await.unwrap();
    let zoe = token("zoe", json!({"preferred_username": "ZOE@example.org"}));
    let twice = join_all([me(&world, &zoe), me(&world, &zoe)]).await;
    assert!(twice.iter().all(|(code, _)| *code == 200), "{twice:?}");
    insta::assert_snapshot!(pretty(&me(&world, &zoe).await.1), @r#"
    {
      "is_first_run": false,
      "user": {
        "created_at": "2026-03-01T12:00:00.123456Z",
        "created_by": "admin",
        "dark_mode": true,
        "email": "ZOE@example.org",
        "enabled": true,
        "id": "zoe",
        "last_login": "2026-03-01T12:00:00.123456Z",
        "name": "Name of zoe",
        "page_size": 25,
        "role": "operator",
        "updated_at": "2026-03-01T12:00:00.123456Z"
      }
    }
    "#);
    assert!(world.state.storage.users.get(&pending.id).await.unwrap().is_none());
    let other = token("other", json!({"preferred_username": "zoe@example.org"}));
    assert_eq!(status(&world, &other).await, 401, "an address is given once");
}

#[tokio::test]
async fn a_stranger_asks_for_access_once_and_is_audited_once_an_hour() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let stranger = token("stranger", json!({"exp": at(NOW).timestamp() + 1_000_000}));
    join_all((0..5).map(|_| me(&world, &stranger))).await;
    let admin = format!("Bearer {}", token("admin", json!({"exp": at(NOW).timestamp() + 1_000_000})));
    let headers = [("authorization", admin.as_str())];
    let (_, list) = world.call("GET", "/access-requests", &headers, None).await;
    insta::assert_snapshot!(pretty(&list), @r#"
    {
      "count": 1,
      "requests": [
        {
          "azure_ad_id": "stranger",
          "email": "stranger@example.org",
          "id": "<id 1>",
          "name": "Name of stranger",
          "requested_at": "2026-03-01T12:00:00.123456Z",
          "status": "pending"
        }
      ]
    }
    "#);
    insta::assert_snapshot!(world.audit().await, @r#"
    user_login access_request <id 1> "stranger@example.org" by stranger@example.org from 203.0.113.7: success -
      {"event":"access_request_created"}
    user_login user stranger "stranger@example.org" by stranger@example.org from 203.0.113.7: failed Access denied: stranger@example.org is not registered; ask an administrator for access.
      {"event":"login_denied_not_registered"}
    "#);
    let path = format!("/access-requests/{}/reject", list["requests"][0]["id"].as_str().unwrap());
    let (code, _) = world.call("POST", &path, &headers, Some(&json!({"reason": "who are you?"}))).await;
    assert_eq!(code, 200);
    for (hours, requests, refusals) in [(0, 0, 1), (23, 0, 2), (25, 1, 3), (26, 1, 4)] {
        world.state.clock.set(at(NOW) + TimeDelta::hours(hours));
        assert_eq!(status(&world, &stranger).await, 401);
        let (_, list) = world.call("GET", "/access-requests", &headers, None).await;
        assert_eq!(list["count"], requests, "after {hours} hours");
        let audit = world.audit().await;
        assert_eq!(audit.matches("login_denied_not_registered").count(), refusals, "{hours}: {audit}");
    }
}

#[tokio::test]
async fn strangers_ask_for_nothing_where_that_is_switched_off() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let off = shared::storage::table::Entity::new(
        shared::storage::table::Key::new("settings", "app"),
        [("access_requests_enabled".to_owned(), false.into())].into(),
    );
    world.table("settings").put(&off).await;
    assert_eq!(status(&world, &token("stranger", json!({}))).await, 401);
    assert!(world.state.storage.access_requests.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_last_sign_in_is_noted_now_and_then() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let id = "viewer".parse().unwrap();
    for (minutes, noted) in [(14, 0), (15, 15), (16, 15), (30, 30)] {
        world.state.clock.set(at(NOW) + TimeDelta::minutes(minutes));
        assert_eq!(status(&world, &token("viewer", json!({}))).await, 200);
        let stored = world.state.storage.users.get(&id).await.unwrap().unwrap().value;
        assert_eq!(stored.last_login, Some(at(NOW) + TimeDelta::minutes(noted)), "{minutes}");
    }
    world.state.clock.set(at(NOW) + TimeDelta::minutes(50));
    world.table("users").fail(Fault::Change);
    assert_eq!(
        status(&world, &token("viewer", json!({}))).await,
        200,
        "that it cannot be noted stops nobody"
    );
}

#[tokio::test]
async fn whoever_fails_too_often_waits_and_nobody_else_does() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let forged = token("admin", json!({"aud": "other"}));
    let mut codes = Vec::new();
    for _ in 0..32 {
        codes.push(status(&world, &forged).await);
    }
    assert!(
        codes[..30].iter().all(|code| *code == 401) && codes[30..].iter().all(|code| *code == 429),
        "{codes:?}"
    );
    let request = axum::http::Request::get("/api/users/me").header("x-forwarded-for", "203.0.113.7");
    let request = request.header("x-request-id", "r-1");
    let request = request.header("authorization", format!("Bearer {forged}"));
    let (_, headers, body) = world.exchange(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(headers["retry-after"], "61");
    insta::assert_snapshot!(String::from_utf8(body).unwrap(), @r#"{"error":"There were too many failed sign-ins from your address; try again in 61 seconds.","request_id":"r-1"}"#);
    assert_eq!(status(&world, &token("viewer", json!({}))).await, 200);
    assert_eq!(world.call("GET", "/users/me", &[], None).await.0, 401, "not having signed in is no failure");
    world.state.clock.set(at(NOW) + TimeDelta::seconds(61));
    assert_eq!(status(&world, &forged).await, 401);
}

#[tokio::test]
async fn a_good_token_for_graph_gets_in_where_others_fail_and_graph_is_asked_so_often_and_no_more() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let from = async |address: &str, number: usize| {
        let bearer = format!("Bearer {}", graph_token(json!({"number": number})));
        let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", address)];
        world.call("GET", "/users/me", &headers, None).await.0
    };
    let all_at_once = async |numbers: std::ops::Range<usize>| {
        futures::future::join_all(numbers.map(|number| from("203.0.113.8", number))).await
    };
    let refused = all_at_once(0..40).await;
    assert_eq!(refused.iter().filter(|code| **code == 401).count(), 30);
    assert!(refused.iter().all(|code| matches!(code, 401 | 429)), "{refused:?}");
    let viewer = json!({"id": "viewer", "mail": "v@example.org"});
    *directory.answers.me.lock().unwrap() = Some(viewer);
    assert_eq!(all_at_once(100..300).await, [200; 200], "they are who they say, so they pass");
    *directory.answers.me.lock().unwrap() = None;
    let asked = directory.graph_questions();
    assert!(all_at_once(1000..1120).await.iter().all(|code| *code == 429));
    assert_eq!(directory.graph_questions() - asked, 50, "ninety in all were in vain");
    assert_eq!(from("203.0.113.8", 100).await, 200, "who is known goes on");
    assert_eq!(from("203.0.113.9", 2000).await, 401, "and others are not concerned");
}

#[tokio::test]
async fn no_token_is_in_an_answer_or_in_a_row() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    let good = token("u", json!({}));
    let (_, body) = me(&world, &good).await;
    let bad = token("u", json!({"aud": "x"}));
    let (_, refused) = me(&world, &bad).await;
    let rows = format!("{:?} {body} {refused}", world.table("users").rows().await);
    for token in [good, bad] {
        assert!(!rows.contains(token.rsplit('.').next().unwrap()));
    }
    assert!(access(&Method::GET, "/users/me").is_some());
}

#[tokio::test]
async fn a_kept_password_goes_to_another_server_on_an_administrators_word_only() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let [operator, admin] = ["operator", "admin"].map(|oid| format!("Bearer {}", token(oid, json!({}))));
    let [operator, admin] = [&operator, &admin].map(|bearer| [("authorization", bearer.as_str())]);
    let database = json!({
        "name": "Orders", "database_type": "mysql", "host": "db.example.com", "port": 3306,
        "database_name": "orders", "username": "backup", "password": "s3cret-pw",
    });
    let (status, answer) = world.call("POST", "/databases", &admin, Some(&database)).await;
    assert_eq!(status, 201, "{answer}");
    let path = format!("/databases/{}", answer["database"]["id"].as_str().unwrap());
    let mut lines = Vec::new();
    for (headers, change) in [
        (&operator, json!({"name": "Orders 2", "host": "db.example.com", "port": 3306, "password": ""})),
        (&operator, json!({"host": "elsewhere.example.com", "password": ""})),
        (&operator, json!({"port": 3307})),
        (&operator, json!({"host": "elsewhere.example.com", "password": "another"})),
        (&admin, json!({"host": "third.example.com", "password": ""})),
    ] {
        let (status, answer) = world.call("PUT", &path, headers, Some(&change)).await;
        let host = &answer["database"]["host"];
        lines.push(format!("{status} {}", answer["error"].as_str().unwrap_or(&host.to_string())));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    200 "db.example.com"
    400 password: must be entered again for another server: only an administrator may move a database with the password that is stored
    400 password: must be entered again for another server: only an administrator may move a database with the password that is stored
    200 "elsewhere.example.com"
    200 "third.example.com"
    "#);
}
