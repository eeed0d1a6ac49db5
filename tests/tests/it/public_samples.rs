//! Databases that nobody here has made go and come: about 170 tables with templates and images, as
//! `scripts/test-samples` fetches them and runs this.
#![expect(clippy::disallowed_methods, reason = "the environment says where the samples are")]

use std::fs;
use std::path::PathBuf;

use end_to_end::servers::{assert_same, mariadb, postgresql};

use crate::restore::goes_and_comes;

/// Reads one of the samples.
fn sample(kind: &str) -> String {
    let folder = std::env::var_os("PUBLIC_SAMPLES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| panic!("set PUBLIC_SAMPLES to what scripts/test-samples made"));
    fs::read_to_string(folder.join(format!("{kind}.sql"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs what scripts/test-samples fetches"]
async fn a_public_sample_goes_and_comes_on_mariadb() {
    let server = mariadb::Server::get();
    for name in ["e2e_public", "e2e_public_old"] {
        server.create(name);
    }
    // One transaction: it is made of single rows.
    server.sql("e2e_public", &format!("SET autocommit = 0;\n{}\nCOMMIT;", sample("mysql")));
    let _stack = goes_and_comes(&server.as_client(), "e2e_public", "e2e_public_old").await;
    let before = server.describe("e2e_public");
    assert!(before.lines().count() > 3_000, "{} lines are fewer than expected", before.lines().count());
    assert_same(&before, &server.describe("e2e_public_new"));
    assert_same(&before, &server.describe("e2e_public_old"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs what scripts/test-samples fetches"]
async fn a_public_sample_goes_and_comes_on_postgresql() {
    let server = postgresql::Server::get();
    for name in ["e2e_public", "e2e_public_old"] {
        server.create(name);
    }
    server.sql("e2e_public", &format!("BEGIN;\n{}\nCOMMIT;", sample("postgresql")));
    let _stack = goes_and_comes(&server.as_client(), "e2e_public", "e2e_public_old").await;
    let before = server.describe("e2e_public");
    assert!(before.lines().count() > 3_000, "{} lines are fewer than expected", before.lines().count());
    assert_same(&before, &server.describe("e2e_public_new"));
    assert_same(&before, &server.describe("e2e_public_old"));
}
