//! Encrypted connections to real servers: each mode does what it says, with each client.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::OnceLock;

use dump::{DumpError, Limits, Target, Tools, dump, probe, restore};
use end_to_end::servers::{Certificates, mariadb, postgresql};
use futures::TryStreamExt;
use shared::models::{Authorities, DatabaseType, Tls, TlsMode};
use shared::targets::TargetRule;

/// What the servers of this file have.
fn certificates() -> &'static Certificates {
    static CERTIFICATES: OnceLock<Certificates> = OnceLock::new();
    CERTIFICATES.get_or_init(Certificates::make)
}

fn encrypting(kind: DatabaseType, database: &str) -> Target {
    static MARIADB: OnceLock<mariadb::Server> = OnceLock::new();
    static POSTGRESQL: OnceLock<postgresql::Server> = OnceLock::new();
    if kind == DatabaseType::Mysql {
        MARIADB.get_or_init(|| mariadb::Server::start(Some(certificates()))).target(database)
    } else {
        POSTGRESQL.get_or_init(|| postgresql::Server::start(Some(certificates()))).target(database)
    }
}

/// A server that offers no encryption.
fn plain(kind: DatabaseType, database: &str) -> Target {
    if kind == DatabaseType::Mysql {
        mariadb::Server::get().target(database)
    } else {
        postgresql::Server::get().target(database)
    }
}

const KINDS: [DatabaseType; 2] = [DatabaseType::Mysql, DatabaseType::Postgresql];

async fn outcome(target: &Target, host: &str, mode: TlsMode, ca: Option<Authorities>) -> &'static str {
    let target = Target { host: host.to_owned(), tls: Tls { mode, ca }, ..target.clone() };
    match probe(&Tools::standard(), &target, &Limits::default()).await {
        Ok(_) => "connected",
        Err(error) => {
            assert!(error.is_permanent(), "{error}");
            error.class()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_looked_at_by_the_modes_that_say_so() {
    let own = certificates().authority();
    let other = Certificates::make().authority();
    for kind in KINDS {
        let target = encrypting(kind, "");
        let modes = [TlsMode::Disable, TlsMode::Prefer, TlsMode::Require];
        for mode in modes {
            assert_eq!(outcome(&target, "127.0.0.1", mode, None).await, "connected", "{kind} {mode}");
        }
        let found = [
            outcome(&target, "localhost", TlsMode::VerifyFull, Some(own.clone())).await,
            outcome(&target, "localhost", TlsMode::VerifyCa, Some(own.clone())).await,
            outcome(&target, "127.0.0.1", TlsMode::VerifyFull, Some(own.clone())).await,
            outcome(&target, "localhost", TlsMode::VerifyCa, Some(other.clone())).await,
            outcome(&target, "localhost", TlsMode::VerifyFull, Some(other.clone())).await,
            // The public authorities have not signed it either.
            outcome(&target, "localhost", TlsMode::VerifyFull, None).await,
        ];
        let refused = "CertificateRefused";
        assert_eq!(found, ["connected", "connected", refused, refused, refused, refused], "{kind}");
    }
    // Only libpq can look at the authority and not at the name; MariaDB's clients then look at both.
    let address = |kind| {
        let (target, own) = (encrypting(kind, ""), own.clone());
        async move { outcome(&target, "127.0.0.1", TlsMode::VerifyCa, Some(own)).await }
    };
    assert_eq!(address(DatabaseType::Postgresql).await, "connected");
    assert_eq!(address(DatabaseType::Mysql).await, "CertificateRefused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_encryption_is_refused_by_the_modes_that_ask_for_it() {
    let ca = certificates().authority();
    for kind in KINDS {
        let target = plain(kind, "");
        for mode in [TlsMode::Disable, TlsMode::Prefer] {
            assert_eq!(outcome(&target, "127.0.0.1", mode, None).await, "connected", "{kind} {mode}");
        }
        assert_eq!(outcome(&target, "127.0.0.1", TlsMode::Require, None).await, "Unencrypted", "{kind}");
        for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
            let ca = Some(ca.clone());
            assert_eq!(outcome(&target, "localhost", mode, ca).await, "Unencrypted", "{kind} {mode}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_and_restores_are_protected_like_the_question_before_them() {
    for kind in KINDS {
        let tls = Tls { mode: TlsMode::VerifyFull, ca: Some(certificates().authority()) };
        let database = if kind == DatabaseType::Mysql { "sys" } else { "postgres" };
        let source = Target { host: "localhost".to_owned(), tls, ..encrypting(kind, database) };
        // With a rule, a name is looked up before, and still the certificate has to be made out to it.
        let tools = Tools::standard().with_targets(TargetRule::default());
        let dump = dump(&tools, &source, &Limits::default()).await.unwrap();
        let bytes: Vec<u8> = dump.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap();
        assert!(bytes.len() > 100);
        let pieces = futures::stream::iter([Ok::<_, std::io::Error>(bytes.into())]);
        restore(&tools, &source, pieces, &Limits::default(), |_| {}).await.unwrap();
        // A key of another authority stops a dump before it begins.
        let wrong = Tls { mode: TlsMode::VerifyFull, ca: Some(Certificates::make().authority()) };
        let error =
            dump::dump(&tools, &Target { tls: wrong, ..source }, &Limits::default()).await.unwrap_err();
        assert!(matches!(error, DumpError::CertificateRefused { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_the_sixth_version_are_hosts_like_others() {
    for kind in KINDS {
        let target = encrypting(kind, "");
        for host in ["::1", "[::1]"] {
            assert_eq!(outcome(&target, host, TlsMode::Require, None).await, "connected", "{kind} {host}");
        }
    }
}
