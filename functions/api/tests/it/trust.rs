//! Whose word it takes to send a secret on another way than before.

use serde_json::{Value, json};
use shared::models::{User, UserRole};

use crate::directory::{Directory, token};
use crate::support::{NOW, World, at};

/// Stores an administrator and an operator.
async fn populate(world: &World) {
    for role in [UserRole::Admin, UserRole::Operator] {
        let user = User {
            id: role.as_str().parse().unwrap(),
            email: format!("{role}@example.org"),
            name: role.as_str().to_owned(),
            role,
            enabled: true,
            dark_mode: false,
            page_size: 25,
            created_at: at(NOW),
            updated_at: at(NOW),
            last_login: Some(at(NOW)),
            created_by: None,
        };
        world.state.storage.users.insert(&user).await.unwrap();
    }
}

const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const OTHER_CA: &str = "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n";

/// Sends changes, each as somebody, and tells what came of them.
async fn changes(world: &World, path: &str, changes: &[(&str, Value)]) -> String {
    let mut lines = Vec::new();
    for (oid, change) in changes {
        let bearer = format!("Bearer {}", token(oid, json!({})));
        let (status, answer) = world.call("PUT", path, &[("authorization", &bearer)], Some(change)).await;
        lines.push(format!("{oid} {status} {}", answer["error"].as_str().unwrap_or("done")));
    }
    lines.join("\n")
}

/// Makes something as somebody and returns its path, or the error.
async fn made(world: &World, oid: &str, of: &str, body: &Value) -> String {
    let bearer = format!("Bearer {}", token(oid, json!({})));
    let (_, answer) = world.call("POST", of, &[("authorization", &bearer)], Some(body)).await;
    let id = ["database", "engine"].iter().find_map(|member| answer[member]["id"].as_str());
    id.map_or_else(|| answer["error"].to_string(), |id| format!("{of}/{id}"))
}

#[tokio::test]
async fn a_kept_password_goes_over_a_weaker_connection_on_an_administrators_word_only() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let body = json!({
        "name": "Orders", "database_type": "mysql", "engine_type": "mysql", "host": "db.example.com", "port": 3306,
        "database_name": "orders", "username": "backup", "password": "s3cret-pw", "tls_mode": "require",
        "connection_string": "Server=db.example.com;Uid=backup;Pwd=s3cret-pw",
    });
    let strength = [
        ("operator", json!({"tls_mode": "prefer"})),
        ("operator", json!({"tls_mode": "disable", "password": ""})),
        ("operator", json!({"tls_mode": "disable", "password": "another", "connection_string": "Server=x"})),
        ("operator", json!({"tls_mode": "verify_ca"})),
        ("operator", json!({"tls_mode": "verify_full"})),
        ("operator", json!({"tls_ca": CA})),
        ("admin", json!({"tls_ca": CA})),
        ("operator", json!({"tls_ca": OTHER_CA})),
        ("operator", json!({"tls_ca": CA, "tls_mode": "verify_full", "name": "New"})),
        ("operator", json!({"tls_ca": null})),
        ("operator", json!({"tls_ca": null, "tls_mode": "require"})),
        ("admin", json!({"tls_ca": null, "tls_mode": "require"})),
        ("operator", json!({"tls_ca": CA, "tls_mode": "verify_full"})),
    ];
    let database = made(&world, "operator", "/databases", &body).await;
    insta::assert_snapshot!(changes(&world, &database, &strength).await, @"
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    operator 200 done
    operator 200 done
    operator 200 done
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    admin 200 done
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    operator 200 done
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    admin 200 done
    operator 200 done
    ");
    let engine = made(&world, "operator", "/engines", &body).await;
    insta::assert_snapshot!(changes(&world, &engine, &strength).await, @"
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    operator 200 done
    operator 200 done
    operator 200 done
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    admin 200 done
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    operator 200 done
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    admin 200 done
    operator 400 connection_string: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    ");
    let own = [
        ("operator", json!({"password": "another", "tls_mode": "prefer", "tls_ca": null})),
        ("operator", json!({"connection_string": "Server=x", "tls_mode": "prefer", "tls_ca": null})),
    ];
    insta::assert_snapshot!(changes(&world, &engine, &own).await, @"
    operator 400 connection_string: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    operator 400 password: must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these with the one that is stored
    ");
}

#[tokio::test]
async fn who_gets_a_token_is_an_administrators_choice() {
    let directory = Directory::start().await;
    let world = directory.world(&[]);
    populate(&world).await;
    let body = |more: Value| {
        let mut body = json!({
            "name": "Orders", "database_type": "postgresql", "engine_type": "postgresql",
            "host": "db.postgres.database.azure.com", "port": 5432, "database_name": "orders", "username": "app",
            "tls_mode": "verify_full",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let by_identity = json!({"auth_method": "managed_identity", "tls_ca": CA});
    for of in ["/databases", "/engines"] {
        let refused = made(&world, "operator", of, &body(by_identity.clone())).await;
        assert!(refused.starts_with("\"tls_ca: decides who gets the token"), "{refused}");
        let path = made(&world, "operator", of, &body(json!({"auth_method": "azure_ad"}))).await;
        let steps = [
            ("operator", json!({"tls_ca": CA})),
            ("operator", json!({"name": "New", "tls_mode": "prefer"})),
            ("operator", json!({"tls_ca": CA, "tls_mode": "verify_full"})),
            ("admin", json!({"tls_ca": CA, "tls_mode": "verify_full"})),
            ("operator", json!({"tls_ca": CA, "auth_method": "managed_identity"})),
            ("operator", json!({"tls_ca": OTHER_CA})),
            // By way of a password of one's own.
            ("operator", json!({"auth_method": "user_password", "password": "p", "tls_ca": OTHER_CA})),
            ("operator", json!({"auth_method": "managed_identity"})),
            ("operator", json!({"auth_method": "managed_identity", "tls_ca": null, "password": "p"})),
        ];
        let lines = changes(&world, &path, &steps).await;
        insta::allow_duplicates! { insta::assert_snapshot!(lines, @"
            operator 400 tls_ca: decides who gets the token that is sent in place of a password: only an administrator may choose it for managed_identity and azure_ad
            operator 200 done
            operator 400 tls_ca: decides who gets the token that is sent in place of a password: only an administrator may choose it for managed_identity and azure_ad
            admin 200 done
            operator 200 done
            operator 400 tls_ca: decides who gets the token that is sent in place of a password: only an administrator may choose it for managed_identity and azure_ad
            operator 200 done
            operator 400 tls_ca: decides who gets the token that is sent in place of a password: only an administrator may choose it for managed_identity and azure_ad
            operator 200 done
            ") };
    }
    let second = json!({
        "engine_type": "sqlserver", "host": "shop.database.windows.net", "port": 1433, "tls_ca": CA,
        "connection_string": "Server=tcp:shop.database.windows.net;Authentication=Active Directory Managed Identity",
    });
    let refused = made(&world, "operator", "/engines", &body(second)).await;
    assert!(refused.starts_with("\"tls_ca: decides who gets the token"), "{refused}");
}
