//! What is dumped, and how long it may take.
//!
//! A target is checked once, here, before any child process is made of it: after that its texts may be
//! anything at all, since no later step reads them as syntax.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use shared::connection::Proof;
use shared::models::{DatabaseType, Tls, TlsMode, is_instance};

use crate::error::DumpError;

/// The longest host name of the domain name system, in bytes.
const HOST_LIMIT: usize = 255;

/// More than any server allows for a user or a database, in bytes; keeps a line of an option file short.
const NAME_LIMIT: usize = 1000;

/// Tokens of the directory stand in place of passwords, and are longer than any of these.
const PASSWORD_LIMIT: usize = 16 * 1024;

/// A database on a server, with the credentials to reach it.
#[derive(Clone)]
pub struct Target {
    /// The kind of server.
    pub kind: DatabaseType,
    /// A host name or an address; never a socket path.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// The name to sign in with.
    pub username: String,
    /// The password to sign in with.
    pub password: SecretString,
    /// What the password is: one in the proper sense, or a token of the directory in its place.
    pub proof: Proof,
    /// The database; empty for calls that are about the server as a whole.
    pub database: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("username", &self.username)
            .field("password", &"***")
            .field("proof", &self.proof)
            .field("database", &self.database)
            .finish()
    }
}

impl Target {
    /// Returns `user@host:port`, the name of the server in messages.
    pub(crate) fn server(&self) -> String {
        format!("{}@{}:{}", self.username, self.host, self.port)
    }

    /// Returns the host as the clients want it: an IPv6 address without its brackets, a machine without the
    /// instance of SQL Server on it.
    pub(crate) fn bare_host(&self) -> &str {
        let host = self.instance_at().map_or(self.host.as_str(), |(machine, _)| machine);
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
    }

    /// Returns the instance of SQL Server that is to be found by its name: one that comes with the usual
    /// port. Another port tells where the server is by itself.
    pub(crate) fn instance(&self) -> Option<&str> {
        let (_, instance) = self.instance_at()?;
        (self.port == self.kind.default_port()).then_some(instance)
    }

    fn instance_at(&self) -> Option<(&str, &str)> {
        self.host.split_once('\\').filter(|_| self.kind.is_sql_server())
    }

    /// Refuses a target that no server could have.
    ///
    /// The host is held to the letters of names and addresses, because libpq reads more into one: a
    /// leading `/` or `@` is a socket, a comma begins a second server. A user is required, since the
    /// clients would take the name of the operating system's user instead.
    pub(crate) fn check(&self) -> Result<(), DumpError> {
        let invalid = |field, problem| Err(DumpError::InvalidTarget { field, problem });
        let host = self.bare_host();
        if host.is_empty() {
            return invalid("host", "is empty");
        }
        if host.len() > HOST_LIMIT {
            return invalid("host", "is longer than 255 bytes");
        }
        if host.starts_with('-') || !host.chars().all(is_host_character) {
            return invalid("host", "is neither a host name nor an address");
        }
        if self.instance_at().is_some_and(|(_, instance)| !is_instance(instance)) {
            return invalid("host", "has something after the backslash that is not the name of an instance");
        }
        if self.port == 0 {
            return invalid("port", "is 0");
        }
        if self.username.is_empty() {
            return invalid("user name", "is empty");
        }
        if self.proof == Proof::Token && self.tls.mode != TlsMode::VerifyFull {
            return invalid("token", "would go to a server that does not prove who it is");
        }
        if matches!(self.kind, DatabaseType::Sqlserver | DatabaseType::AzureSql) {
            // They stand in arguments of their own, but one of the two programs looks for options there too.
            for (field, text) in [("user name", &self.username), ("database name", &self.database)] {
                if text.starts_with('-') {
                    return invalid(field, "begins with a hyphen");
                }
            }
        }
        for (field, text, limit) in [
            ("user name", self.username.as_str(), NAME_LIMIT),
            ("database name", self.database.as_str(), NAME_LIMIT),
            ("password", self.password.expose_secret(), PASSWORD_LIMIT),
        ] {
            if text.contains('\0') {
                return invalid(field, "contains a NUL character");
            }
            if text.len() > limit {
                return invalid(field, "is longer than any client accepts");
            }
        }
        Ok(())
    }

    /// Refuses, besides what [`Self::check`] refuses, a target without a database.
    pub(crate) fn check_database(&self) -> Result<(), DumpError> {
        self.check()?;
        if self.database.is_empty() {
            return Err(DumpError::InvalidTarget { field: "database name", problem: "is empty" });
        }
        Ok(())
    }
}

/// How long the parts of a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time to connect, for each address of the host.
    pub connect: Duration,
    /// The time without a single byte after which a run is given up.
    pub stall: Duration,
    /// The time for the whole run. It has to end before the Functions host would end the process, or
    /// the reason could not be recorded any more.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_mins(15),
            deadline: Duration::from_mins(55),
        }
    }
}

/// Tells whether a character can be part of a host name, an IPv4 or an IPv6 address (with its zone).
fn is_host_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '.' | '-' | '_' | ':' | '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, username: &str, database: &str) -> Target {
        Target {
            kind: DatabaseType::Mysql,
            host: host.to_owned(),
            port: 3306,
            tls: Tls::default(),
            username: username.to_owned(),
            password: "s3cret-word".into(),
            proof: Proof::Password,
            database: database.to_owned(),
        }
    }

    #[test]
    fn debug_shows_everything_but_the_password() {
        insta::assert_snapshot!(
            format!("{:?}", target("db", "app", "shop")),
            @r#"Target { kind: Mysql, host: "db", port: 3306, tls: Tls { mode: Prefer, ca: None }, username: "app", password: "***", proof: Password, database: "shop" }"#
        );
    }

    #[test]
    fn ordinary_hosts_pass() {
        for host in [
            "localhost",
            "db_1",
            "10.0.0.7",
            "::1",
            "[fe80::1%eth0]",
            "shop.mysql.example.org",
            "bücher.example",
        ] {
            assert!(target(host, "app", "shop").check_database().is_ok(), "{host}");
        }
        assert_eq!(target("[::1]", "app", "").bare_host(), "::1");
    }

    #[test]
    fn hosts_that_a_client_would_read_as_more_than_a_host_are_refused() {
        for host in [
            "",
            "/var/run/postgresql",
            "@abstract",
            "one,two",
            "--protocol=socket",
            "-hother",
            "db;drop",
            "db other",
            "user@db",
            "db\nport=1",
            "postgresql://db",
            "host=db",
            "a\0b",
            "\\\\.\\pipe\\mysql",
        ] {
            let error = target(host, "app", "shop").check();
            assert!(matches!(error, Err(DumpError::InvalidTarget { field: "host", .. })), "{host:?}");
        }
    }

    #[test]
    fn an_instance_belongs_to_sql_server_and_to_the_usual_port() {
        let on = |kind, host, port| Target { kind, port, ..target(host, "app", "shop") };
        let express = on(DatabaseType::Sqlserver, "db1\\SQLEXPRESS", 1433);
        assert!(express.check().is_ok());
        assert_eq!((express.bare_host(), express.instance()), ("db1", Some("SQLEXPRESS")));
        let elsewhere = on(DatabaseType::Sqlserver, "db1\\SQLEXPRESS", 50_000);
        assert_eq!((elsewhere.bare_host(), elsewhere.instance()), ("db1", None));
        for host in ["db1\\", "\\SQLEXPRESS", "db1\\a,1", "db1\\a.b", "db1\\-x", "\\\\.\\pipe\\sql"] {
            assert!(on(DatabaseType::Sqlserver, host, 1433).check().is_err(), "{host}");
        }
        assert!(on(DatabaseType::Postgresql, "db1\\SQLEXPRESS", 5432).check().is_err());
    }

    #[test]
    fn missing_parts_and_nul_characters_are_refused() {
        assert!(target("db", "", "shop").check().is_err());
        assert!(target("db", "a\0", "shop").check().is_err());
        assert!(target("db", "app", "sh\0p").check().is_err());
        assert!(target("db", "app", "").check().is_ok());
        assert!(target("db", "app", "").check_database().is_err());
        assert!(Target { port: 0, ..target("db", "app", "shop") }.check().is_err());
        assert!(Target { password: "x\0".into(), ..target("db", "app", "shop") }.check().is_err());
    }

    #[test]
    fn names_that_one_program_could_take_for_options_are_refused_for_it() {
        for (kind, refused) in
            [(DatabaseType::Sqlserver, true), (DatabaseType::AzureSql, true), (DatabaseType::Mysql, false)]
        {
            assert_eq!(Target { kind, ..target("db", "-v", "shop") }.check().is_err(), refused);
            assert_eq!(Target { kind, ..target("db", "app", "-i") }.check().is_err(), refused);
        }
    }
}
