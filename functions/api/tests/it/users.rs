//! Users, access requests, preferences and auth events.

use futures::future::join;
use serde_json::{Value, json};
use shared::models::{AccessRequest, Resolution, User, UserRole};
use shared::storage::StorageErrorKind;

use crate::directory::{Directory, token};
use crate::support::{Fault, NOW, World, at, pretty};

const MOCK: &str = "dev-user-00000000-0000-0000-0000-000000000000";

async fn register(world: &World, email: &str, more: Value) -> Value {
    let mut body = json!({"email": email});
    crate::support::merge(&mut body, more);
    world.expect(201, "POST", "/users", Some(&body)).await["user"].clone()
}

fn signed_in(id: &str, email: &str, role: UserRole) -> User {
    User {
        id: id.parse().unwrap(),
        email: email.to_owned(),
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

#[tokio::test]
async fn a_user_is_registered_changed_and_deleted() {
    let world = World::new();
    let body = json!({"email": "Zoe@example.org", "name": " Zoë Z ", "role": "OPERATOR"});
    let created = world.expect(201, "POST", "/users", Some(&body)).await;
    insta::assert_snapshot!(pretty(&created), @r#"
    {
      "message": "The user Zoe@example.org is registered.",
      "user": {
        "created_at": "2026-03-01T12:00:00.123456Z",
        "created_by": "dev-user-00000000-0000-0000-0000-000000000000",
        "dark_mode": false,
        "email": "Zoe@example.org",
        "enabled": true,
        "id": "pending-<id 1>",
        "last_login": null,
        "name": "Zoë Z",
        "page_size": 25,
        "role": "operator",
        "updated_at": "2026-03-01T12:00:00.123456Z"
      }
    }
    "#);
    let path = format!("/users/{}", created["user"]["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await["user"], created["user"]);
    let change = json!({"name": "Zoë", "role": "viewer", "enabled": false, "email": "other@example.org"});
    insta::assert_snapshot!(pretty(&world.expect(200, "PUT", &path, Some(&change)).await), @r#"
    {
      "message": "The user Zoe@example.org is changed.",
      "user": {
        "created_at": "2026-03-01T12:00:00.123456Z",
        "created_by": "dev-user-00000000-0000-0000-0000-000000000000",
        "dark_mode": false,
        "email": "Zoe@example.org",
        "enabled": false,
        "id": "pending-<id 1>",
        "last_login": null,
        "name": "Zoë",
        "page_size": 25,
        "role": "viewer",
        "updated_at": "2026-03-01T12:00:00.123456Z"
      }
    }
    "#);
    world.expect(200, "PUT", &path, Some(&json!({}))).await;
    insta::assert_snapshot!(world.expect(200, "DELETE", &path, None).await, @r#"{"message":"The user Zoe@example.org is deleted."}"#);
    world.expect(404, "GET", &path, None).await;
    world.expect(404, "PUT", &path, Some(&json!({}))).await;
    world.expect(404, "DELETE", &path, None).await;
    insta::assert_snapshot!(world.audit().await, @r#"
    user_created user pending-<id 1> "Zoe@example.org" by admin@dilux.tech from 203.0.113.7: success -
      {"name":"Zoë Z","role":"operator"}
    user_updated user pending-<id 1> "Zoe@example.org" by admin@dilux.tech from 203.0.113.7: success -
      {"changes":{"enabled":{"from":true,"to":false},"name":{"from":"Zoë Z","to":"Zoë"},"role":{"from":"operator","to":"viewer"}}}
    user_updated user pending-<id 1> "Zoe@example.org" by admin@dilux.tech from 203.0.113.7: success -
      -
    user_deleted user pending-<id 1> "Zoe@example.org" by admin@dilux.tech from 203.0.113.7: success -
      {"name":"Zoë","role":"viewer"}
    "#);
}

#[tokio::test]
async fn an_address_is_registered_once_whatever_its_case() {
    let world = World::new();
    let one = json!({"email": "a@example.org"});
    let other = json!({"email": "A@EXAMPLE.org"});
    let (first, second) = join(world.post("/users", &one), world.post("/users", &other)).await;
    let mut codes = [first.0, second.0];
    codes.sort_unstable();
    assert_eq!(codes, [201, 409], "{first:?} {second:?}");
    insta::assert_snapshot!(world.expect(409, "POST", "/users", Some(&other)).await, @r#"{"error":"A user with the e-mail address A@EXAMPLE.org exists already.","request_id":"r-1"}"#);
    world.expect(409, "POST", "/users", Some(&json!({"email": "Admin@Dilux.tech"}))).await;
}

#[tokio::test]
async fn what_cannot_be_used_is_a_400_and_changes_nothing() {
    let world = World::new();
    let user = register(&world, "a@example.org", json!({})).await;
    let before = format!("{:?}", world.table("users").rows().await);
    let path = format!("/users/{}", user["id"].as_str().unwrap());
    let long = "x".repeat(101);
    for (method, path, body) in [
        ("POST", "/users", json!({})),
        ("POST", "/users", json!({"email": 7})),
        ("POST", "/users", json!({"email": "nobody"})),
        ("POST", "/users", json!({"email": "а@example.org"})),
        ("POST", "/users", json!({"email": "-x@example.org"})),
        ("POST", "/users", json!({"email": "b@example.org", "name": "a\u{0}b"})),
        ("POST", "/users", json!({"email": "b@example.org", "name": long})),
        ("POST", "/users", json!({"email": "b@example.org", "role": "root"})),
        ("PUT", &path, json!({"name": ""})),
        ("PUT", &path, json!({"name": null})),
        ("PUT", &path, json!({"role": ["admin"]})),
        ("PUT", &path, json!({"enabled": "false"})),
        ("PUT", "/users/me/preferences", json!({"page_size": 101})),
        ("PUT", "/users/me/preferences", json!({"page_size": 1e99})),
        ("PUT", "/users/me/preferences", json!({"page_size": 20, "dark_mode": 1})),
        ("POST", "/auth/events", json!({"event": "loggin"})),
        ("POST", "/auth/events", json!({})),
    ] {
        world.expect(400, method, path, Some(&body)).await;
    }
    assert_eq!(format!("{:?}", world.table("users").rows().await), before);
    for query in ["status=pending", "page=0", "page=x", "page_size=-1"] {
        world.expect(400, "GET", &format!("/users?{query}"), None).await;
    }
}

#[tokio::test]
async fn users_are_listed_by_address_in_pages() {
    let world = World::new();
    for (email, role) in [("c@example.org", "viewer"), ("B@example.org", "admin"), ("d@other.de", "viewer")] {
        register(&world, email, json!({"role": role})).await;
    }
    let answer = world.get("/users?page=1&page_size=2&status=").await;
    let emails = |answer: &Value| -> Vec<String> {
        answer["users"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["email"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(emails(&answer), ["admin@dilux.tech", "B@example.org"]);
    insta::assert_snapshot!(
        json!([answer["count"], answer["total_count"], answer["page"], answer["page_size"], answer["has_more"], answer["pending_requests_count"]]),
        @"[2,4,1,2,true,0]"
    );
    assert_eq!(emails(&world.get("/users?page=2&page_size=2").await), ["c@example.org", "d@other.de"]);
    assert_eq!(emails(&world.get("/users?search=OTHER").await), ["d@other.de"]);
    assert_eq!(emails(&world.get("/users?status=disabled").await), [""; 0]);
    assert_eq!(world.get("/users?status=active&page_size=1000").await["page_size"], 200);
    world.table("users").fail(Fault::Answer);
    world.table("users").fail(Fault::Read(StorageErrorKind::Unavailable));
    world.expect(503, "GET", "/users", None).await;
}

#[tokio::test]
async fn nobody_takes_the_own_rights() {
    let world = World::new();
    world.get("/users/me").await;
    world.state.storage.users.insert(&signed_in("other", "o@example.org", UserRole::Admin)).await.unwrap();
    let path = format!("/users/{MOCK}");
    for body in [json!({"role": "viewer"}), json!({"enabled": false})] {
        let answer = world.expect(400, "PUT", &path, Some(&body)).await;
        assert_eq!(answer["error"], "You cannot take your own rights; ask another administrator to do it.");
    }
    insta::assert_snapshot!(world.expect(400, "DELETE", &path, None).await, @r#"{"error":"You cannot delete yourself; ask another administrator to do it.","request_id":"r-1"}"#);
    world.expect(200, "PUT", &path, Some(&json!({"name": "Me", "role": "admin", "enabled": true}))).await;
    world.expect(200, "PUT", "/users/other", Some(&json!({"role": "viewer"}))).await;
    world.expect(200, "DELETE", "/users/other", None).await;
}

#[tokio::test]
async fn of_two_administrators_who_demote_each_other_one_remains() {
    for body in [Some(json!({"role": "viewer"})), Some(json!({"enabled": false})), None] {
        let directory = Directory::start().await;
        let world = directory.world(&[]);
        for id in ["a", "b"] {
            let admin = signed_in(id, &format!("{id}@example.org"), UserRole::Admin);
            world.state.storage.users.insert(&admin).await.unwrap();
        }
        let method = if body.is_some() { "PUT" } else { "DELETE" };
        let call = async |by: &str, on: &str| {
            let bearer = format!("Bearer {}", token(by, json!({})));
            world.call(method, &format!("/users/{on}"), &[("authorization", &bearer)], body.as_ref()).await
        };
        let (one, two) = join(call("a", "b"), call("b", "a")).await;
        let done = [&one, &two].iter().filter(|(code, _)| *code == 200).count();
        assert_eq!(done, 1, "{one:?} {two:?}");
        let users = world.state.storage.users.list().await.unwrap();
        let able = users.iter().filter(|user| user.role == UserRole::Admin && user.enabled).count();
        assert_eq!(able, 1, "{one:?} {two:?}");
    }
}

#[tokio::test]
async fn whoever_is_deleted_does_not_come_back_by_an_old_registration() {
    let world = World::new();
    register(&world, "zoe@example.org", json!({})).await;
    // As a program leaves it that dies between storing the user and deleting the registration.
    world.state.storage.users.insert(&signed_in("zoe", "Zoe@example.org", UserRole::Viewer)).await.unwrap();
    world.expect(200, "DELETE", "/users/zoe", None).await;
    let left = world.state.storage.users.list().await.unwrap();
    assert_eq!(left.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), [MOCK]);
}

#[tokio::test]
async fn preferences_are_stored_and_nothing_else() {
    let world = World::new();
    let body = json!({"dark_mode": true, "page_size": 50, "role": "viewer", "enabled": false});
    insta::assert_snapshot!(pretty(&world.expect(200, "PUT", "/users/me/preferences", Some(&body)).await), @r#"
    {
      "message": "Your preferences are stored.",
      "user": {
        "created_at": "2026-03-01T12:00:00.123456Z",
        "created_by": null,
        "dark_mode": true,
        "email": "admin@dilux.tech",
        "enabled": true,
        "id": "dev-user-00000000-0000-0000-0000-000000000000",
        "last_login": null,
        "name": "Dev Admin",
        "page_size": 50,
        "role": "admin",
        "updated_at": "2026-03-01T12:00:00.123456Z"
      }
    }
    "#);
    world.expect(200, "PUT", "/users/me/preferences", Some(&json!({"page_size": 10}))).await;
    let me = world.get("/users/me").await;
    assert_eq!((&me["user"]["dark_mode"], &me["user"]["page_size"]), (&json!(true), &json!(10)));
    assert_eq!(world.audit().await, "");
}

#[tokio::test]
async fn signing_in_and_out_is_audited() {
    let world = World::new();
    for event in ["login", "logout"] {
        let answer = world.expect(200, "POST", "/auth/events", Some(&json!({"event": event}))).await;
        assert_eq!(answer, json!({"success": true}));
    }
    insta::assert_snapshot!(world.audit().await, @r#"
    user_login user dev-user-00000000-0000-0000-0000-000000000000 "admin@dilux.tech" by admin@dilux.tech from 203.0.113.7: success -
      {"event":"login","role":"admin"}
    user_logout user dev-user-00000000-0000-0000-0000-000000000000 "admin@dilux.tech" by admin@dilux.tech from 203.0.113.7: success -
      {"event":"logout"}
    "#);
}

pub(crate) async fn request(world: &World, id: &str, minutes: i64) -> AccessRequest {
    let request = AccessRequest {
        id: id.parse().unwrap(),
        email: format!("{id}@example.org"),
        name: id.to_owned(),
        azure_ad_id: format!("oid-{id}"),
        requested_at: at(NOW) + chrono::TimeDelta::minutes(minutes),
        resolution: Resolution::Pending,
    };
    world.state.storage.access_requests.insert(&request).await.unwrap();
    request
}

#[tokio::test]
async fn requests_are_listed_newest_first_and_answered_once() {
    let world = World::new();
    for (id, minutes) in [("one", 0), ("two", 2), ("three", 1)] {
        request(&world, id, minutes).await;
    }
    let ids = |answer: &Value| -> Vec<String> {
        answer["requests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&world.get("/access-requests").await), ["two", "three", "one"]);
    assert_eq!(world.get("/users").await["pending_requests_count"], 3);
    let approved =
        world.expect(200, "POST", "/access-requests/one/approve", Some(&json!({"role": "operator"}))).await;
    insta::assert_snapshot!(pretty(&approved), @r#"
    {
      "message": "one@example.org has access now, as operator.",
      "user": {
        "created_at": "2026-03-01T12:00:00.123456Z",
        "created_by": "dev-user-00000000-0000-0000-0000-000000000000",
        "dark_mode": false,
        "email": "one@example.org",
        "enabled": true,
        "id": "oid-one",
        "last_login": null,
        "name": "one",
        "page_size": 25,
        "role": "operator",
        "updated_at": "2026-03-01T12:00:00.123456Z"
      }
    }
    "#);
    world.expect(200, "POST", "/access-requests/two/approve", Some(&json!({"role": null}))).await;
    let answer = world
        .expect(200, "POST", "/access-requests/three/reject", Some(&json!({"reason": "No.\nNever."})))
        .await;
    insta::assert_snapshot!(answer, @r#"{"message":"The request of three@example.org is rejected."}"#);
    for path in ["one/approve", "two/reject", "three/approve", "three/reject"] {
        let answer = world.expect(400, "POST", &format!("/access-requests/{path}"), Some(&json!({}))).await;
        assert_eq!(answer["error"], "This access request has been answered already; load the list again.");
    }
    world.expect(404, "POST", "/access-requests/none/approve", None).await;
    world.expect(404, "POST", "/access-requests/none/reject", None).await;
    assert_eq!(ids(&world.get("/access-requests?status=approved").await), ["two", "one"]);
    assert_eq!(ids(&world.get("/access-requests?status=rejected").await), ["three"]);
    assert_eq!(world.get("/access-requests?status=all").await["count"], 3);
    assert_eq!(world.get("/access-requests").await["count"], 0);
    world.expect(400, "GET", "/access-requests?status=open", None).await;
    let stored = world.state.storage.users.get(&"oid-two".parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!((stored.role, stored.last_login), (UserRole::Viewer, None));
    insta::assert_snapshot!(world.audit().await, @r#"
    access_request_approved access_request one "one@example.org" by admin@dilux.tech from 203.0.113.7: success -
      {"role":"operator"}
    access_request_approved access_request two "two@example.org" by admin@dilux.tech from 203.0.113.7: success -
      {"role":"viewer"}
    access_request_rejected access_request three "three@example.org" by admin@dilux.tech from 203.0.113.7: success -
      {"reason":"No.\nNever."}
    "#);
}

#[tokio::test]
async fn approving_keeps_users_and_takes_over_registrations() {
    let world = World::new();
    request(&world, "one", 0).await;
    world
        .state
        .storage
        .users
        .insert(&signed_in("oid-one", "one@example.org", UserRole::Admin))
        .await
        .unwrap();
    insta::assert_snapshot!(world.expect(409, "POST", "/access-requests/one/approve", None).await, @r#"{"error":"one@example.org is a user already; reject the request.","request_id":"r-1"}"#);
    let kept = world.state.storage.users.get(&"oid-one".parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(kept.role, UserRole::Admin);
    request(&world, "two", 0).await;
    register(&world, "TWO@example.org", json!({"role": "admin"})).await;
    world.expect(200, "POST", "/access-requests/two/approve", None).await;
    let users = world.state.storage.users.list().await.unwrap();
    let two: Vec<_> = users.iter().filter(|user| user.has_email("two@example.org")).collect();
    assert_eq!(
        two.iter().map(|user| (user.id.as_str(), user.role)).collect::<Vec<_>>(),
        [("oid-two", UserRole::Viewer)]
    );
}

#[tokio::test]
async fn a_user_who_cannot_be_stored_leaves_the_request_open() {
    let world = World::new();
    request(&world, "one", 0).await;
    world.get("/users/me").await;
    world.table("users").fail(Fault::Insert);
    world.expect(503, "POST", "/access-requests/one/approve", None).await;
    assert_eq!(world.get("/access-requests").await["count"], 1);
    world.expect(200, "POST", "/access-requests/one/approve", None).await;
    assert_eq!(world.get("/access-requests").await["count"], 0);
}

#[tokio::test]
async fn a_reason_has_bounds() {
    let world = World::new();
    request(&world, "one", 0).await;
    for reason in [json!("x".repeat(1001)), json!(7), json!("a\u{7}b"), json!({})] {
        world.expect(400, "POST", "/access-requests/one/reject", Some(&json!({"reason": reason}))).await;
    }
    world.expect(400, "POST", "/access-requests/one/approve", Some(&json!({"role": "root"}))).await;
    assert_eq!(world.get("/access-requests").await["count"], 1);
    world.expect(200, "POST", "/access-requests/one/reject", Some(&json!({"reason": null}))).await;
}
