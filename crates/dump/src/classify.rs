//! From the words of a tool to an error. Pure.
//!
//! The tools run in the C locale, so that their words are the English ones. The numbers are MySQL's and
//! MariaDB's own (their error message references); PostgreSQL's clients give no codes, only texts.

use shared::models::DatabaseType;

use crate::error::DumpError;
use crate::process::Ending;
use crate::redact::Said;
use crate::target::Target;

/// What kind of failure the words tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The server wants a way to sign in that the client does not have.
    Plugin,
    /// The user or the password is wrong.
    Authentication,
    /// The server does not encrypt.
    Unencrypted,
    /// The server's certificate is not accepted.
    Certificate,
    /// The database is not there.
    UnknownDatabase,
    /// A right is missing.
    Permission,
    /// The host name has no address.
    UnknownHost,
    /// The server cannot be reached, or went away.
    Connection,
    /// The program is older than the server.
    Version,
}

/// The words that tell a cause, in the order in which they are tried: the more particular ones first.
/// All of them have to occur in one line; letters are compared in lower case.
const MYSQL: &[(&[&str], Cause)] = &[
    (&["authentication plugin", "cannot be loaded"], Cause::Plugin),
    (&["plugin", "could not be loaded"], Cause::Plugin),
    (&["authentication requires secure connection"], Cause::Plugin),
    (&["ssl is required", "not support"], Cause::Unencrypted),
    (&["ssl is required", "doesn't support"], Cause::Unencrypted),
    (&["ssl", "certificate verify failed"], Cause::Certificate),
    (&["ssl", "self-signed certificate"], Cause::Certificate),
    (&["ssl", "self signed certificate"], Cause::Certificate),
    (&["ssl", "unable to get local issuer certificate"], Cause::Certificate),
    (&["ssl", "certificate has expired"], Cause::Certificate),
    (&["ssl", "certificate is not yet valid"], Cause::Certificate),
    (&["ssl", "validation of ssl server certificate failed"], Cause::Certificate),
    (&["ssl", "failed to verify the server certificate"], Cause::Certificate),
    (&["ssl_ctx_set_default_verify_paths"], Cause::Certificate),
    (&["access denied", "to database"], Cause::Permission),
    (&["access denied; you need"], Cause::Permission),
    (&["command denied to user"], Cause::Permission),
    (&["insufficient privileges"], Cause::Permission),
    (&["access denied for user"], Cause::Authentication),
    (&["is not allowed to connect"], Cause::Authentication),
    (&["account is locked"], Cause::Authentication),
    (&["password has expired"], Cause::Authentication),
    (&["must reset your password"], Cause::Authentication),
    (&["unknown database"], Cause::UnknownDatabase),
    (&["unknown", "server host"], Cause::UnknownHost),
    (&["can't connect to"], Cause::Connection),
    (&["lost connection to"], Cause::Connection),
    (&["server has gone away"], Cause::Connection),
    (&["too many connections"], Cause::Connection),
    (&["max_user_connections"], Cause::Connection),
    (&["is blocked because of many connection errors"], Cause::Connection),
    (&["server shutdown in progress"], Cause::Connection),
    (&["connection was killed"], Cause::Connection),
    (&["tls/ssl error"], Cause::Connection),
    (&["ssl connection error"], Cause::Connection),
];

const POSTGRESQL: &[(&[&str], Cause)] = &[
    (&["server version mismatch"], Cause::Version),
    (&["does not support ssl, but ssl was required"], Cause::Unencrypted),
    (&["ssl error: certificate verify failed"], Cause::Certificate),
    (&["root certificate file", "does not exist"], Cause::Certificate),
    (&["could not read root certificate file"], Cause::Certificate),
    (&["server certificate for", "does not match host name"], Cause::Certificate),
    (&["authentication failed"], Cause::Authentication),
    (&["no password supplied"], Cause::Authentication),
    (&["no pg_hba.conf entry"], Cause::Authentication),
    (&["pg_hba.conf rejects"], Cause::Authentication),
    (&["fatal:", "role", "does not exist"], Cause::Authentication),
    (&["is not permitted to log in"], Cause::Authentication),
    (&["fatal:", "database", "does not exist"], Cause::UnknownDatabase),
    (&["fatal:", "not currently accepting connections"], Cause::UnknownDatabase),
    (&["could not translate host name"], Cause::UnknownHost),
    (&["permission denied"], Cause::Permission),
    (&["must be superuser"], Cause::Permission),
    (&["must be owner"], Cause::Permission),
    (&["row-level security"], Cause::Permission),
    (&["connection refused"], Cause::Connection),
    (&["could not connect to server"], Cause::Connection),
    (&["timeout expired"], Cause::Connection),
    (&["server closed the connection"], Cause::Connection),
    (&["connection to server was lost"], Cause::Connection),
    (&["no connection to the server"], Cause::Connection),
    (&["terminating connection"], Cause::Connection),
    (&["the database system is"], Cause::Connection),
    (&["too many clients"], Cause::Connection),
    (&["too many connections"], Cause::Connection),
    (&["remaining connection slots"], Cause::Connection),
    (&["ssl syscall error"], Cause::Connection),
    (&["no route to host"], Cause::Connection),
    (&["network is unreachable"], Cause::Connection),
    (&["connection timed out"], Cause::Connection),
    (&["connection to server", "failed"], Cause::Connection),
];

/// Both programs called `sqlcmd`, and what the servers themselves say.
const SQL_SERVER: &[(&[&str], Cause)] = &[
    (&["cannot open database"], Cause::UnknownDatabase),
    (&["cannot open server", "requested by the login"], Cause::Authentication),
    (&["database", "does not exist"], Cause::UnknownDatabase),
    (&["login failed"], Cause::Authentication),
    (&["login error"], Cause::Authentication),
    (&["password authentication failed"], Cause::Authentication),
    (&["password", "has expired"], Cause::Authentication),
    (&["permission was denied"], Cause::Permission),
    (&["permission denied"], Cause::Permission),
    (&["does not have permission"], Cause::Permission),
    (&["no such host"], Cause::UnknownHost),
    (&["name or service not known"], Cause::UnknownHost),
    (&["temporary failure in name resolution"], Cause::UnknownHost),
    (&["server misbehaving"], Cause::UnknownHost),
    (&["unable to open tcp connection"], Cause::Connection),
    (&["connection refused"], Cause::Connection),
    (&["connection reset"], Cause::Connection),
    (&["broken pipe"], Cause::Connection),
    (&["i/o timeout"], Cause::Connection),
    (&["login timeout expired"], Cause::Connection),
    (&["tcp provider"], Cause::Connection),
    (&["network-related"], Cause::Connection),
    (&["communication link failure"], Cause::Connection),
    (&["unable to complete login process"], Cause::Connection),
    (&["unable to get instances"], Cause::Connection),
    (&["unexpected eof"], Cause::Connection),
    (&["bad connection"], Cause::Connection),
    (&["context deadline exceeded"], Cause::Connection),
    (&["server does not support encryption"], Cause::Unencrypted),
    (&["encryption not supported on"], Cause::Unencrypted),
    (&["failed to verify certificate"], Cause::Certificate),
    (&["x509: "], Cause::Certificate),
    (&["certificate verify failed"], Cause::Certificate),
    (&["tls handshake"], Cause::Connection),
    (&["tls: "], Cause::Connection),
    (&["certificate"], Cause::Connection),
    (&["prelogin response"], Cause::Connection),
    (&["read: eof"], Cause::Connection),
    (&["invalid packet size"], Cause::Connection),
    (&["invalid tds stream"], Cause::Connection),
    (&["no instance matching"], Cause::Connection),
    (&["ssl provider"], Cause::Connection),
    (&["no route to host"], Cause::Connection),
    (&["is in the middle of a restore"], Cause::Connection),
    (&["shutdown is in progress"], Cause::Connection),
    (&["is not currently available"], Cause::Connection),
];

/// Finds the cause in what a tool said, if it is a known one.
pub(crate) fn cause(kind: DatabaseType, said: &str) -> Option<Cause> {
    let table = match kind {
        DatabaseType::Mysql => MYSQL,
        DatabaseType::Postgresql => POSTGRESQL,
        DatabaseType::Sqlserver | DatabaseType::AzureSql => SQL_SERVER,
    };
    let said = said.to_lowercase();
    table
        .iter()
        .find(|(words, _)| said.lines().any(|line| words.iter().all(|word| line.contains(word))))
        .map(|(_, cause)| *cause)
}

/// Makes the error of a tool that did not succeed.
pub(crate) fn failure(target: &Target, tool: &'static str, ending: Ending, said: &Said) -> DumpError {
    let detail = said.shown();
    let status = match ending {
        // A tool that was killed says nothing about why.
        Ending::Killed(signal) => return DumpError::Killed { tool, signal, detail },
        Ending::Exited(status) => status,
    };
    let server = target.server();
    let database = target.database.clone();
    match cause(target.kind, said.raw()) {
        Some(Cause::Plugin) => DumpError::PluginMissing { server, plugin: plugin(said.raw()), detail },
        Some(Cause::Authentication) => DumpError::AuthenticationFailed { server, detail },
        Some(Cause::Unencrypted) => DumpError::Unencrypted { server },
        Some(Cause::Certificate) => DumpError::CertificateRefused { server, detail },
        Some(Cause::UnknownDatabase) => DumpError::UnknownDatabase { database, server, detail },
        Some(Cause::Permission) => DumpError::PermissionDenied { server, database, detail },
        Some(Cause::UnknownHost) => DumpError::UnknownHost { host: target.host.clone(), detail },
        Some(Cause::Connection) => DumpError::ConnectionFailed { server, detail },
        Some(Cause::Version) => DumpError::VersionMismatch { tool: tool.to_owned(), server: detail },
        None => DumpError::ToolFailed { tool, status, detail },
    }
}

/// Returns the name of the authentication plugin that was asked for.
fn plugin(said: &str) -> String {
    let known = ["caching_sha2_password", "sha256_password", "mysql_clear_password", "auth_gssapi_client"];
    known
        .iter()
        .find(|name| said.contains(**name))
        .map_or_else(|| "of its own".to_owned(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use shared::models::Tls;

    use super::*;

    #[test]
    fn words_of_mysql_and_mariadb_are_understood() {
        for (said, expected) in [
            (
                "ERROR 1045 (28000): Access denied for user 'app'@'localhost' (using password: YES)",
                Some(Cause::Authentication),
            ),
            (
                "mysqldump: Got error: 1045: \"Access denied for user 'app'@'10.0.0.7' (using password: NO)\" when trying to connect",
                Some(Cause::Authentication),
            ),
            ("ERROR 1698 (28000): Access denied for user 'root'@'localhost'", Some(Cause::Authentication)),
            (
                "ERROR 1130 (HY000): Host '10.0.0.7' is not allowed to connect to this MariaDB server",
                Some(Cause::Authentication),
            ),
            ("ERROR 4151 (HY000): Access denied, this account is locked", Some(Cause::Authentication)),
            (
                "ERROR 1862 (HY000): Your password has expired. To log in you must change it using a client that supports expired passwords.",
                Some(Cause::Authentication),
            ),
            ("ERROR 1049 (42000): Unknown database 'shop'", Some(Cause::UnknownDatabase)),
            (
                "mysqldump: Got error: 1049: \"Unknown database 'shop'\" when selecting the database",
                Some(Cause::UnknownDatabase),
            ),
            (
                "ERROR 1044 (42000): Access denied for user 'app'@'%' to database 'shop'",
                Some(Cause::Permission),
            ),
            (
                "mysqldump: Error: 'Access denied; you need (at least one of) the PROCESS privilege(s) for this operation' when trying to dump tablespaces",
                Some(Cause::Permission),
            ),
            (
                "mysqldump: Couldn't execute 'show events': Access denied for user 'app'@'%' to database 'shop' (1044)",
                Some(Cause::Permission),
            ),
            (
                "mysqldump: Got error: 1142: \"SHOW VIEW command denied to user 'app'@'localhost' for table `shop`.`v`\" when doing SHOW CREATE",
                Some(Cause::Permission),
            ),
            (
                "mysqldump: app has insufficient privileges to SHOW CREATE PROCEDURE `p`!",
                Some(Cause::Permission),
            ),
            ("ERROR 2005 (HY000): Unknown server host 'nowhere.invalid' (-2)", Some(Cause::UnknownHost)),
            (
                "mysqldump: Got error: 2005: Unknown MySQL server host 'nowhere.invalid' (2) when trying to connect",
                Some(Cause::UnknownHost),
            ),
            ("ERROR 2002 (HY000): Can't connect to server on 'db' (111)", Some(Cause::Connection)),
            ("ERROR 2003 (HY000): Can't connect to MySQL server on 'db:3306' (110)", Some(Cause::Connection)),
            (
                "ERROR 2013 (HY000): Lost connection to server at 'handshake: reading initial communication packet', system error: 110",
                Some(Cause::Connection),
            ),
            (
                "mysqldump: Error 2013: Lost connection to server during query when dumping table `big` at row: 4711",
                Some(Cause::Connection),
            ),
            ("ERROR 1040 (08004): Too many connections", Some(Cause::Connection)),
            (
                "ERROR 1226 (42000): User 'app' has exceeded the 'max_user_connections' resource (current value: 3)",
                Some(Cause::Connection),
            ),
            (
                "ERROR 1156 (08S01): Authentication plugin 'caching_sha2_password' cannot be loaded: /usr/lib/mysql/plugin/caching_sha2_password.so: cannot open shared object file: No such file or directory",
                Some(Cause::Plugin),
            ),
            (
                "ERROR 2061 (HY000): Authentication plugin 'caching_sha2_password' reported error: Authentication requires secure connection.",
                Some(Cause::Plugin),
            ),
            (
                "mysqldump: Got error: 1356: \"View 'shop.v' references invalid table(s) or column(s) or function(s) or definer/invoker of view lack rights to use them\" when using LOCK TABLES",
                None,
            ),
            ("mysqldump: Couldn't write to stdout", None),
            ("", None),
        ] {
            assert_eq!(cause(DatabaseType::Mysql, said), expected, "{said}");
        }
    }

    #[test]
    fn words_of_mysql_and_mariadb_about_encryption_are_understood() {
        for (said, expected) in [
            (
                "ERROR 2026 (HY000): TLS/SSL error: self-signed certificate in certificate chain",
                Some(Cause::Certificate),
            ),
            (
                "ERROR 2026 (HY000): SSL connection error: error:0A000086:SSL routines::certificate verify failed",
                Some(Cause::Certificate),
            ),
            (
                "ERROR 2026 (HY000): TLS/SSL error: Validation of SSL server certificate failed",
                Some(Cause::Certificate),
            ),
            (
                "ERROR 2026 (HY000): TLS/SSL error: SSL is required, but the server does not support it",
                Some(Cause::Unencrypted),
            ),
            (
                "ERROR 2026 (HY000): SSL connection error: SSL is required but the server doesn't support it",
                Some(Cause::Unencrypted),
            ),
            ("ERROR 2026 (HY000): TLS/SSL error: Connection reset by peer", Some(Cause::Connection)),
        ] {
            assert_eq!(cause(DatabaseType::Mysql, said), expected, "{said}");
        }
    }

    #[test]
    fn words_of_postgresql_are_understood() {
        for (said, expected) in [
            (
                "psql: error: connection to server at \"db\" (10.0.0.7), port 5432 failed: FATAL:  password authentication failed for user \"app\"",
                Some(Cause::Authentication),
            ),
            (
                "pg_dump: error: connection to server at \"db\" (10.0.0.7), port 5432 failed: fe_sendauth: no password supplied",
                Some(Cause::Authentication),
            ),
            (
                "psql: error: connection to server at \"db\" (10.0.0.7), port 5432 failed: FATAL:  no pg_hba.conf entry for host \"10.0.0.9\", user \"app\", database \"shop\", no encryption",
                Some(Cause::Authentication),
            ),
            (
                "psql: error: connection to server at \"db\" (::1), port 5432 failed: FATAL:  role \"app\" does not exist",
                Some(Cause::Authentication),
            ),
            (
                "psql: error: connection to server at \"db\" (::1), port 5432 failed: FATAL:  database \"shop\" does not exist",
                Some(Cause::UnknownDatabase),
            ),
            (
                "psql: error: connection to server at \"db\" (::1), port 5432 failed: server does not support SSL, but SSL was required",
                Some(Cause::Unencrypted),
            ),
            (
                "psql: error: connection to server at \"db\" (::1), port 5432 failed: SSL error: certificate verify failed",
                Some(Cause::Certificate),
            ),
            (
                "psql: error: connection to server at \"db\" (::1), port 5432 failed: server certificate for \"x\" does not match host name \"db\"",
                Some(Cause::Certificate),
            ),
            (
                "pg_dump: error: could not translate host name \"nowhere.invalid\" to address: Name or service not known",
                Some(Cause::UnknownHost),
            ),
            (
                "psql: error: connection to server at \"localhost\" (127.0.0.1), port 1 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
                Some(Cause::Connection),
            ),
            (
                "psql: error: connection to server at \"10.255.255.1\", port 5432 failed: timeout expired",
                Some(Cause::Connection),
            ),
            (
                "pg_dump: error: Dumping the contents of table \"big\" failed: PQgetCopyData() failed.\npg_dump: detail: Error message from server: server closed the connection unexpectedly",
                Some(Cause::Connection),
            ),
            (
                "psql: error: connection to server at \"db\" (::1), port 5432 failed: FATAL:  sorry, too many clients already",
                Some(Cause::Connection),
            ),
            (
                "psql: error: connection to server at \"db\" (::1), port 5432 failed: FATAL:  the database system is starting up",
                Some(Cause::Connection),
            ),
            (
                "pg_dump: error: query failed: ERROR:  permission denied for table secrets",
                Some(Cause::Permission),
            ),
            (
                "psql: error: connection to server at \"db\" (::1), port 5432 failed: FATAL:  permission denied for database \"shop\"",
                Some(Cause::Permission),
            ),
            (
                "pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table \"t\"",
                Some(Cause::Permission),
            ),
            (
                "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 17.2; pg_dump version: 15.18",
                Some(Cause::Version),
            ),
            ("pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout", None),
        ] {
            assert_eq!(cause(DatabaseType::Postgresql, said), expected, "{said}");
        }
    }

    #[test]
    fn a_missing_plugin_is_named_and_the_right_client_is_asked_for() {
        let mut tail = crate::redact::Tail::new(None);
        tail.push(b"ERROR 1156 (08S01): Authentication plugin 'caching_sha2_password' cannot be loaded: no such file");
        let target = Target {
            kind: DatabaseType::Mysql,
            host: "db".to_owned(),
            port: 3306,
            tls: Tls::default(),
            username: "app".to_owned(),
            password: "x".into(),
            proof: shared::connection::Proof::Password,
            database: "shop".to_owned(),
        };
        let error = failure(&target, "mysql", Ending::Exited(1), &tail.said());
        assert!(error.is_permanent());
        insta::assert_snapshot!(error, @"the installed client cannot sign in to app@db:3306, which asks for the authentication plugin caching_sha2_password; install MySQL's own client programs (mysql, mysqldump): ERROR 1156 (08S01): Authentication plugin 'caching_sha2_password' cannot be loaded: no such file");
    }
}
