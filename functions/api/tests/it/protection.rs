//! How connections are protected, from the request to the answer.

use serde_json::json;

use crate::support::{World, database};

const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

#[tokio::test]
async fn a_mode_and_its_authorities_are_kept_and_changed() {
    let world = World::new();
    let answer = world.create_database("d-1", json!({"tls_mode": "verify_full", "tls_ca": CA})).await;
    assert_eq!((&answer["tls_mode"], &answer["tls_ca"]), (&json!("verify_full"), &json!(CA)));
    let change = json!({"name": "New"});
    let kept = world.expect(200, "PUT", "/databases/d-1", Some(&change)).await;
    assert_eq!(
        (&kept["database"]["tls_mode"], &kept["database"]["tls_ca"]),
        (&json!("verify_full"), &json!(CA))
    );
    let change = json!({"tls_mode": "require", "tls_ca": null});
    let changed = world.expect(200, "PUT", "/databases/d-1", Some(&change)).await;
    assert_eq!(
        (&changed["database"]["tls_mode"], &changed["database"]["tls_ca"]),
        (&json!("require"), &json!(null))
    );
}

#[tokio::test]
async fn what_would_protect_nobody_is_refused() {
    let world = World::new();
    let mut errors = Vec::new();
    for change in [
        json!({"tls_mode": "verify-full"}),
        json!({"tls_mode": null}),
        json!({"tls_mode": true}),
        json!({"tls_ca": "ca.pem", "tls_mode": "verify_ca"}),
        json!({"tls_ca": CA}),
        json!({"tls_ca": CA, "tls_mode": "require"}),
    ] {
        let mut body = database("d-1");
        crate::support::merge(&mut body, change);
        let (status, answer) = world.post("/databases", &body).await;
        errors.push(format!("{status} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    insta::assert_snapshot!(errors.join("\n"), @r#"
    400 tls_mode: "verify-full" is not a known TLS mode; use one of: disable, prefer, require, verify_ca, verify_full
    400 tls_mode: must not be empty or null
    400 tls_mode: must be a text, not true
    400 tls_ca: must be one or more certificates in PEM form, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, and nothing else
    400 tls_ca: has no effect with tls_mode prefer; choose verify_ca or verify_full, or set tls_ca to null
    400 tls_ca: has no effect with tls_mode require; choose verify_ca or verify_full, or set tls_ca to null
    "#);
}

#[tokio::test]
async fn a_database_with_the_credentials_of_its_engine_is_protected_like_the_engine() {
    let world = World::new();
    let engine = world.create_engine("db1", json!({"tls_mode": "verify_ca", "tls_ca": CA})).await;
    let answer = world
        .create_database(
            "d-1",
            json!({"engine_id": engine, "use_engine_credentials": true, "tls_mode": "disable"}),
        )
        .await;
    assert_eq!((&answer["tls_mode"], &answer["tls_ca"]), (&json!("verify_ca"), &json!(CA)));
}
