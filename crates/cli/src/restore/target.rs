//! What `--to` says: a server by its address, or a configured engine. Pure.
//!
//! What must stay true: no error repeats a text in which a password may be. Names and hosts are only taken
//! apart here; whether a server could have them is checked where the client program is started.

use shared::models::{DatabaseType, UnknownName};

/// Where a backup is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// A server of which nothing is configured.
    Server(Server),
    /// A database on a configured engine.
    Engine {
        /// The engine's id or name.
        engine: String,
        /// The database's name.
        database: String,
    },
}

/// A database on a server, by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// What it is.
    pub(super) kind: DatabaseType,
    /// Its name or address.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// The user to sign in as.
    pub(super) username: String,
    /// The database's name.
    pub(super) database: String,
}

/// Why a target is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DestinationError {
    /// It is neither an address nor an engine.
    #[error(
        "the target is not understood; write mysql://user@host:port/database, \
         postgresql://user@host:port/database, sqlserver://user@host:port/database, or the name of a configured engine and a database, as in \
         engine/database"
    )]
    Form,
    /// The kind of server is not one that can be restored to.
    #[error(
        "the target begins with a kind of server that cannot be restored to; use mysql://, postgresql://, \
         sqlserver:// or azure_sql://"
    )]
    Kind,
    /// There is a password in it.
    #[error(
        "the target has a password in it, where every user of this machine can read it in the list of \
         processes; leave it out and set DILUX_TARGET_PASSWORD, use --password-file, or enter it when asked"
    )]
    Password,
    /// A part of the address is missing or wrong.
    #[error("the {part} in the target {problem}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is wrong, and what would be right.
        problem: &'static str,
    },
}

impl std::str::FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        if let Some((scheme, rest)) = text.split_once("://") {
            return server(kind(scheme)?, rest).map(Self::Server);
        }
        let (engine, database) = text.split_once('/').ok_or(DestinationError::Form)?;
        // An address whose beginning was forgotten; it may hold a password, and no engine is called so.
        let forgotten = engine.contains('@') && engine.contains(':');
        if forgotten || engine.trim().is_empty() || database.is_empty() {
            return Err(DestinationError::Form);
        }
        Ok(Self::Engine { engine: engine.to_owned(), database: database.to_owned() })
    }
}

/// Reads the kind of server; the other common spellings are taken as well.
fn kind(scheme: &str) -> Result<DatabaseType, DestinationError> {
    match scheme.to_ascii_lowercase().as_str() {
        "mariadb" => Ok(DatabaseType::Mysql),
        "postgres" => Ok(DatabaseType::Postgresql),
        other => other.parse().map_err(|_: UnknownName| DestinationError::Kind),
    }
}

/// Takes `user@host:port/database` apart.
///
/// Not done by the general rules for addresses, since those drop and resolve what could be part of a name.
fn server(kind: DatabaseType, text: &str) -> Result<Server, DestinationError> {
    let part = |part, problem| DestinationError::Part { part, problem };
    // A password may hold any character, so it is looked for first.
    let before_last_at = text.rsplit_once('@').map(|(user, _)| user);
    if before_last_at.is_some_and(|user| user.contains(':')) {
        return Err(DestinationError::Password);
    }
    let (authority, path) = text.split_once('/').unwrap_or((text, ""));
    let (username, host) = authority
        .rsplit_once('@')
        .ok_or(part("user", "is missing; write mysql://user@host:port/database"))?;
    let username = decoded("user", username)?;
    let (host, number) = host_and_port(host)?;
    if path.contains(['/', '?', '#']) {
        return Err(part(
            "database",
            "is followed by something else; a /, ? or # in a name is written %2F, %3F or %23",
        ));
    }
    let database = decoded("database", path)?;
    for (name, value) in [("user", &username), ("host", &host), ("database", &database)] {
        if value.is_empty() {
            return Err(part(name, "is missing; write mysql://user@host:port/database"));
        }
    }
    Ok(Server { kind, host, port: number.unwrap_or(kind.default_port()), username, database })
}

/// Splits off the port; an IPv6 address loses its brackets.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), DestinationError> {
    let port = |text: &str| {
        let number = text.parse::<u16>().ok().filter(|&number| number > 0 && !text.starts_with('+'));
        let problem = "is not a number from 1 to 65535";
        number.ok_or(DestinationError::Part { part: "port", problem })
    };
    if let Some(rest) = text.strip_prefix('[') {
        let problem = "is not an address in brackets, with or without a port behind them";
        let wrong = || DestinationError::Part { part: "host", problem };
        let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
        return match rest.strip_prefix(':') {
            Some(number) => Ok((host.to_owned(), Some(port(number)?))),
            None if rest.is_empty() => Ok((host.to_owned(), None)),
            None => Err(wrong()),
        };
    }
    match text.split_once(':') {
        None => Ok((text.to_owned(), None)),
        Some((_, rest)) if rest.contains(':') => {
            let problem = "has several colons; write an IPv6 address in brackets, as in [::1]:3306";
            Err(DestinationError::Part { part: "host", problem })
        }
        Some((host, number)) => Ok((host.to_owned(), Some(port(number)?))),
    }
}

/// Undoes percent-encoding.
fn decoded(part: &'static str, text: &str) -> Result<String, DestinationError> {
    let problem = "has a % that no two hexadecimal digits follow, or is not UTF-8; a % itself is written %25";
    let wrong = DestinationError::Part { part, problem };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let value = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        let Some(value) = value else { return Err(wrong) };
        bytes.push(value);
    }
    String::from_utf8(bytes).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn parsed(text: &str) -> Result<Destination, DestinationError> {
        text.parse()
    }

    fn at(kind: DatabaseType, username: &str, host: &str, port: u16, database: &str) -> Destination {
        let [username, host, database] = [username, host, database].map(str::to_owned);
        Destination::Server(Server { kind, host, port, username, database })
    }

    #[test]
    fn addresses_of_both_kinds_are_taken_apart() {
        use DatabaseType::{Mysql, Postgresql};
        assert_eq!(parsed("mysql://app@db:3307/shop"), Ok(at(Mysql, "app", "db", 3307, "shop")));
        assert_eq!(parsed("MariaDB://app@db/shop"), Ok(at(Mysql, "app", "db", 3306, "shop")));
        assert_eq!(parsed("postgres://app@[::1]:5433/shop"), Ok(at(Postgresql, "app", "::1", 5433, "shop")));
        assert_eq!(
            parsed("postgresql://app@[fe80::1%eth0]/shop"),
            Ok(at(Postgresql, "app", "fe80::1%eth0", 5432, "shop"))
        );
    }

    #[test]
    fn names_keep_what_is_in_them() {
        use DatabaseType::{Mysql, Postgresql};
        assert_eq!(
            parsed("mysql://app@cloud@db/..%2F--x%20%F0%9F%8D%B5"),
            Ok(at(Mysql, "app@cloud", "db", 3306, "../--x 🍵"))
        );
        assert_eq!(parsed("mysql://app@db/.."), Ok(at(Mysql, "app", "db", 3306, "..")));
        assert_eq!(
            parsed("postgresql://a%3Ab@db/dbname=x+y"),
            Ok(at(Postgresql, "a:b", "db", 5432, "dbname=x+y"))
        );
    }

    #[test]
    fn engines_are_named_before_the_first_slash() {
        let engine = |engine: &str, database: &str| {
            Ok(Destination::Engine { engine: engine.to_owned(), database: database.to_owned() })
        };
        assert_eq!(parsed("Sample MariaDB/tea shop"), engine("Sample MariaDB", "tea shop"));
        assert_eq!(parsed("id-1/a/b"), engine("id-1", "a/b"));
    }

    #[test]
    fn passwords_are_refused_wherever_they_are_and_never_repeated() {
        for text in [
            "mysql://app:s3cret@db/shop",
            "mysql://app:@db/shop",
            "mysql://app:s3cret/@db/shop",
            "mysql://app:s3c@ret@db:3306/shop",
            "postgresql://:s3cret@db",
            "mysql://app:s3cret@",
        ] {
            assert_eq!(parsed(text), Err(DestinationError::Password), "{text}");
        }
        for text in ["app:s3cret@db/shop", "s3cret", "://s3cret@x/y", "s3cret://app@db/x"] {
            let error = parsed(text).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn incomplete_and_wrong_addresses_are_refused() {
        for text in [
            "",
            "/",
            "shop",
            "/shop",
            " /shop",
            "engine/",
            "mysql://",
            "mysql://db/shop",
            "mysql://@db/shop",
            "mysql://app@/shop",
            "mysql://app@db",
            "mysql://app@db/",
            "mysql://app@:3306/shop",
            "mysql://app@db:/x",
            "mysql://app@db:0/x",
            "mysql://app@db:+1/x",
            "mysql://app@db:65536/x",
            "mysql://app@::1/x",
            "mysql://app@[::1/x",
            "mysql://app@[::1]3306/x",
            "mysql://app@db/x/y",
            "mysql://app@db/x?ssl=0",
            "mysql://app@db/x#y",
            "mysql://app@db/x%",
            "mysql://app@db/x%4",
            "mysql://app@db/x%zz",
            "mysql://app@db/x%FF",
            "sqlite://app@db/x",
            "http://app@db/x",
            "mysql ://app@db/x",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let text = |target| parsed(target).unwrap_err().to_string();
        insta::assert_snapshot!(text("mysql://db/shop"), @"the user in the target is missing; write mysql://user@host:port/database");
        insta::assert_snapshot!(text("mysql://app@::1/x"), @"the host in the target has several colons; write an IPv6 address in brackets, as in [::1]:3306");
        insta::assert_snapshot!(text("oracle://app@db/x"), @"the target begins with a kind of server that cannot be restored to; use mysql://, postgresql://, sqlserver:// or azure_sql://");
        insta::assert_snapshot!(text("shop"), @"the target is not understood; write mysql://user@host:port/database, postgresql://user@host:port/database, sqlserver://user@host:port/database, or the name of a configured engine and a database, as in engine/database");
    }
}
