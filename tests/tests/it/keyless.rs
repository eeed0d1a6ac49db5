//! The whole product without a single key: storage and databases are reached by the identity of the app.

use end_to_end::api::text;
use end_to_end::identity::{IdentityStandIn, token};
use end_to_end::servers::{Certificates, mariadb, postgresql};
use end_to_end::stack::Stack;
use serde_json::json;

use crate::plain_tools::gunzip;

const RESOURCE: &str = "https://ossrdbms-aad.database.windows.net";

#[tokio::test(flavor = "multi_thread")]
async fn storage_and_databases_are_reached_by_an_identity() {
    let identity = IdentityStandIn::start().await;
    let certificates = Certificates::make();
    let maria = mariadb::Server::start(Some(&certificates));
    let postgres = postgresql::Server::start(Some(&certificates));
    let token = token(RESOURCE);
    assert!(token.len() > 2000, "real ones are as long: {}", token.len());
    maria.create("keyless");
    maria.sql("keyless", &format!("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (42); CREATE USER identity@'%' IDENTIFIED BY '{token}' REQUIRE SSL; GRANT ALL ON *.* TO identity@'%';"));
    postgres.create("keyless");
    postgres.sql("keyless", &format!("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (42); CREATE ROLE identity SUPERUSER LOGIN PASSWORD '{token}';"));

    let settings = [("TOKEN_HOSTS", "localhost")];
    let stack = Stack::start_by_identity(&identity, &settings).await;
    for (kind, port, method) in
        [("mysql", maria.port, "managed_identity"), ("postgresql", postgres.port, "azure_ad")]
    {
        let engine = json!({
            "name": kind, "engine_type": kind, "host": "localhost", "port": port, "auth_method": method,
            "username": "identity", "tls_mode": "verify_full", "tls_ca": certificates.authority().as_str(),
        });
        let engine = stack.api.expect(201, "POST", "/engines", Some(engine)).await;
        let id = text(&engine["engine"]["id"]);
        let found = stack.api.expect(200, "POST", &format!("/engines/{id}/discover"), None).await;
        assert!(found["databases"].as_array().unwrap().iter().any(|one| one["name"] == "keyless"), "{found}");
        let database = json!({
            "name": kind, "database_name": "keyless", "engine_id": id, "use_engine_credentials": true,
            "enabled": false,
        });
        let database = stack.api.expect(201, "POST", "/databases", Some(database)).await;
        let record = stack.api.back_up(&text(&database["database"]["id"])).await;
        let blob = text(&record["blob_name"]);
        let answer = stack.api.expect(200, "GET", &format!("/backups/download?blob_name={blob}"), None).await;
        let address = text(&answer["download_url"]);
        // Signed with the key that the service has lent to the identity of the token.
        assert!(address.contains("skoid=22222222-2222-2222-2222-222222222222"), "{address}");
        let sql = String::from_utf8(gunzip(&stack.api.download(&blob).await)).unwrap();
        assert!(sql.contains("42"), "{sql}");
        let other = address.replace(&blob, "another.sql.gz");
        assert_eq!(stack.api.status_of(&other).await, 403);
    }
    let asked = identity.asked();
    for resource in [RESOURCE, "https://storage.azure.com"] {
        assert!(asked.contains(&format!("{resource} for the app's own")), "{asked:?}");
    }

    // A token goes nowhere else, whatever a configuration says.
    let elsewhere = json!({
        "name": "elsewhere", "engine_type": "mysql", "host": "127.0.0.1", "port": maria.port,
        "auth_method": "managed_identity", "username": "identity",
    });
    let engine = stack.api.expect(201, "POST", "/engines", Some(elsewhere)).await;
    let id = text(&engine["engine"]["id"]);
    let refused = stack.api.expect(400, "POST", &format!("/engines/{id}/discover"), None).await;
    assert!(text(&refused["error"]).contains("TOKEN_HOSTS"), "{refused}");
    let log = stack.log();
    assert!(!log.contains(&token[..40]) && !log.contains("sig="), "a token or a signature is in the log");
}
