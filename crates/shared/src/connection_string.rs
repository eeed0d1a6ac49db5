//! Connection strings of database servers, in the forms in which portals and tools hand them out. Pure.
//!
//! What is read of one is who signs in, with what, where, and how well protected; everything else a string
//! may say is left out, so that no client program ever sees the text itself. No error repeats any of it.

use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use crate::models::{DatabaseType, Host, UserName};

/// What a connection string says.
#[derive(Debug, Clone)]
pub struct ConnectionString {
    /// The server, if it is named.
    pub host: Option<Host>,
    /// Its port, if it is named.
    pub port: Option<u16>,
    /// The account.
    pub username: Option<UserName>,
    /// Its password.
    pub password: Option<SecretString>,
    /// How much the connection is to be protected.
    pub encryption: Encryption,
    /// Whether the account is one of the directory, signed in to with a token.
    pub by_directory: bool,
}

/// How much the connection is to be protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encryption {
    /// The string does not say, or leaves it to the server.
    #[default]
    Unsaid,
    /// Encrypted, whoever the server is.
    Required,
    /// Encrypted, with a server that proves who it is.
    Verified,
}

/// The error of a text that is no connection string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConnectionString {
    /// It is of none of the known forms.
    #[error(
        "is not a connection string of a known form; use Name=Value pairs with semicolons, or for MySQL and \
         PostgreSQL an address such as postgresql://user:password@host:5432/"
    )]
    Form,
    /// A part of it cannot be used.
    #[error("has a part that cannot be used: {0}")]
    Part(&'static str),
}

impl ConnectionString {
    /// Reads a connection string for a kind of server.
    pub fn parse(kind: DatabaseType, text: &str) -> Result<Self, InvalidConnectionString> {
        let text = text.trim();
        let pairs = match kind {
            DatabaseType::Mysql if is_address(text, &["mysql", "mariadb"]) => address(text)?,
            DatabaseType::Postgresql if is_address(text, &["postgresql", "postgres"]) => address(text)?,
            // libpq's own form separates pairs by spaces.
            DatabaseType::Postgresql if !text.contains(';') => words(text)?,
            DatabaseType::Mysql
            | DatabaseType::Postgresql
            | DatabaseType::Sqlserver
            | DatabaseType::AzureSql => semicolons(text)?,
        };
        Self::of(&pairs)
    }

    fn of(pairs: &[(String, String)]) -> Result<Self, InvalidConnectionString> {
        use InvalidConnectionString::Part;
        let find = |names: &[&str]| {
            let found = pairs.iter().rev().find(|(name, _)| names.contains(&name.as_str()));
            found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let (host, port_of_host) =
            match find(&["server", "host", "datasource", "address", "addr", "networkaddress"]) {
                Some(server) => place(server)?,
                None => (None, None),
            };
        let port = match find(&["port"]) {
            Some(port) => Some(port.parse().ok().filter(|port| *port > 0).ok_or(Part("the port"))?),
            None => port_of_host,
        };
        let username = find(&["userid", "uid", "user", "username"]);
        let authentication = find(&["authentication"]).unwrap_or_default().to_lowercase();
        let by_directory = authentication.contains("managed") || authentication.contains("default");
        if authentication.starts_with("activedirectory") || authentication.starts_with("active directory") {
            // Those with a password or a browser have no place in a service.
            if !by_directory {
                return Err(Part("the way to authenticate"));
            }
        }
        Ok(Self {
            host,
            port,
            username: username.map(str::parse).transpose().map_err(|_| Part("the user"))?,
            password: find(&["password", "pwd"]).map(|password| password.to_owned().into()),
            encryption: encryption(&find),
            by_directory,
        })
    }
}

/// Reads `tcp:host,1433`, `host:3306`, `[::1]:5432` or a host alone.
fn place(server: &str) -> Result<(Option<Host>, Option<u16>), InvalidConnectionString> {
    use InvalidConnectionString::Part;
    let server = server.strip_prefix("tcp:").unwrap_or(server).trim();
    let (host, port) = match server.split_once(',') {
        Some((host, port)) => (host, Some(port)),
        None if server.starts_with('[') => match server.split_once("]:") {
            Some((host, port)) => (host.trim_start_matches('['), Some(port)),
            None => (server.trim_matches(['[', ']']), None),
        },
        None => match server.split_once(':') {
            // More than one colon is an address of IPv6.
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            Some(_) | None => (server, None),
        },
    };
    let port = port.map(|port| port.trim().parse().map_err(|_| Part("the port"))).transpose()?;
    Ok((Some(host.trim().parse().map_err(|_| Part("the server"))?), port))
}

fn encryption<'a>(find: &impl Fn(&[&str]) -> Option<&'a str>) -> Encryption {
    let word = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    if let Some(mode) = find(&["sslmode", "ssl"]) {
        return match word(mode).as_str() {
            "verifyfull" | "verifyca" | "verifyidentity" => Encryption::Verified,
            "require" | "required" | "true" => Encryption::Required,
            _ => Encryption::Unsaid,
        };
    }
    let trusts =
        find(&["trustservercertificate"]).is_some_and(|value| matches!(word(value).as_str(), "true" | "yes"));
    match find(&["encrypt"]).map(word).as_deref() {
        Some("true" | "yes" | "mandatory" | "strict") if !trusts => Encryption::Verified,
        Some("true" | "yes" | "mandatory" | "strict") => Encryption::Required,
        Some(_) | None => Encryption::Unsaid,
    }
}

fn is_address(text: &str, schemes: &[&str]) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| schemes.contains(&scheme.to_lowercase().as_str()))
}

/// Takes an address apart. Not by a general parser of addresses: passwords with `#`, `?` or `/` in them are
/// written as they are by many, and the last `@` before the host is what all tools go by.
fn address(text: &str) -> Result<Vec<(String, String)>, InvalidConnectionString> {
    use InvalidConnectionString::{Form, Part};
    let (_, rest) = text.split_once("://").ok_or(Form)?;
    let (who, rest) = rest.rsplit_once('@').map_or(("", rest), |(who, rest)| (who, rest));
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let place = place.split('/').next().unwrap_or_default();
    if place.contains(',') {
        return Err(Part("the server, of which there is more than one"));
    }
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| Part("an escape"))
    };
    let (user, password) = who.split_once(':').unwrap_or((who, ""));
    let mut pairs = vec![
        ("server".to_owned(), decoded(place)?),
        ("user".to_owned(), decoded(user)?),
        ("password".to_owned(), decoded(password)?),
    ];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Only what cannot lead elsewhere: `host` and `user` in a query would win over what is seen first.
        if matches!(normal(name).as_str(), "sslmode" | "ssl") {
            pairs.push((normal(name), decoded(value)?));
        }
    }
    Ok(pairs)
}

/// Reads `Name=Value` pairs with semicolons; a value in quotation marks may hold any character.
/// <https://learn.microsoft.com/dotnet/framework/data/adonet/connection-string-syntax>
fn semicolons(text: &str) -> Result<Vec<(String, String)>, InvalidConnectionString> {
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
        if rest.is_empty() {
            break;
        }
        let (name, after) = rest.split_once('=').ok_or(InvalidConnectionString::Form)?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, left) = if let Some(quote) = quote {
            quoted(&after[1..], quote).ok_or(InvalidConnectionString::Form)?
        } else {
            let (value, left) = after.split_once(';').unwrap_or((after, ""));
            (value.trim_end().to_owned(), left)
        };
        pairs.push((normal(name), value));
        rest = left;
    }
    if pairs.is_empty() { Err(InvalidConnectionString::Form) } else { Ok(pairs) }
}

/// Reads up to the closing quotation mark, which stands twice where it is meant itself.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once(quote)?;
        value.push_str(part);
        match after.strip_prefix(quote) {
            Some(more) => {
                value.push(quote);
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

/// Reads `name=value` pairs with spaces; in a value, and in one between apostrophes, a backslash takes the
/// next character as it is. <https://www.postgresql.org/docs/current/libpq-connect.html>
fn words(text: &str) -> Result<Vec<(String, String)>, InvalidConnectionString> {
    use InvalidConnectionString::Form;
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(Form)?;
        if name.trim().contains(char::is_whitespace) {
            return Err(Form);
        }
        let after = after.trim_start();
        let is_quoted = after.starts_with('\'');
        let mut value = String::new();
        let mut ended = !is_quoted;
        let start = usize::from(is_quoted);
        let mut end = after.len();
        let mut chars = after[start..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.push(chars.next().ok_or(Form)?.1),
                '\'' if is_quoted => {
                    ended = true;
                    end = start + at + 1;
                    break;
                }
                c if c.is_whitespace() && !is_quoted => {
                    end = at;
                    break;
                }
                c => value.push(c),
            }
        }
        if !ended {
            return Err(Form);
        }
        pairs.push((normal(name), value));
        rest = after[end..].trim_start();
    }
    if pairs.is_empty() { Err(Form) } else { Ok(pairs) }
}

/// Brings the name of a part into one form: `User ID` and `user_id` are the same.
fn normal(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn shown(kind: DatabaseType, text: &str) -> String {
        match ConnectionString::parse(kind, text) {
            Err(error) => error.to_string(),
            Ok(parsed) => {
                let ConnectionString { host, port, username, password, encryption, by_directory } = parsed;
                let text = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
                format!(
                    "{} {} {} {} {encryption:?}{}",
                    text(host.map(|host| host.to_string())),
                    text(port.map(|port| port.to_string())),
                    text(username.map(|name| name.to_string())),
                    text(password.map(|password| password.expose_secret().to_owned())),
                    if by_directory { " by directory" } else { "" }
                )
            }
        }
    }

    #[test]
    fn the_forms_that_portals_hand_out_are_read() {
        use DatabaseType::{AzureSql, Mysql, Postgresql, Sqlserver};
        let lines: Vec<String> = [
            (Mysql, "Server=\"shop.mysql.database.azure.com\";UserID = \"app\";Password=\"p;'w\"\"x\";Database=\"shop\";SslMode=Required;SslCa=\"ca.pem\";"),
            (Mysql, "server=db;uid=app;pwd=pw;port=3307"),
            (Mysql, "mysql://app:p%40ss%2Fw@db:3307/shop?ssl-mode=VERIFY_IDENTITY"),
            (Postgresql, "Server=shop.postgres.database.azure.com;Database=shop;Port=5432;User Id=app;Password=p w;Ssl Mode=VerifyFull;"),
            (Postgresql, "host=db port=5433 dbname=shop user=app password='it\\'s \\\\ me' sslmode=require"),
            (Postgresql, "host = db user=app password=p\\ w"),
            (Postgresql, "postgresql://app:pw@[::1]:5433/shop?sslmode=verify-full&host=evil.example&user=evil"),
            (Postgresql, "postgres://app:p@ss#w?rd@db"),
            (Sqlserver, "Server=tcp:shop.database.windows.net,1433;Initial Catalog=shop;Persist Security Info=False;User ID=app;Password='p;w';MultipleActiveResultSets=False;Encrypt=True;TrustServerCertificate=False;Connection Timeout=30;"),
            (Sqlserver, "Data Source=db,1444;User Id=sa;Pwd=pw;Encrypt=yes;TrustServerCertificate=yes"),
            (AzureSql, "Server=tcp:shop.database.windows.net;Authentication=Active Directory Managed Identity;User Id=client-id;Encrypt=True"),
        ]
        .iter()
        .map(|(kind, text)| shown(*kind, text))
        .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        shop.mysql.database.azure.com - app p;'w"x Required
        db 3307 app pw Unsaid
        db 3307 app p@ss/w Verified
        shop.postgres.database.azure.com 5432 app p w Verified
        db 5433 app it's \ me Required
        db - app p w Unsaid
        ::1 5433 app pw Verified
        db - app p@ss#w?rd Unsaid
        shop.database.windows.net 1433 app p;w Verified
        db 1444 sa pw Required
        shop.database.windows.net - client-id - Verified by directory
        "#);
    }

    #[test]
    fn what_is_no_connection_string_is_refused_without_repeating_it() {
        use DatabaseType::{Mysql, Postgresql, Sqlserver};
        for (kind, text) in [
            (Mysql, ""),
            (Mysql, "hunter2"),
            (Mysql, "Server=db;hunter2"),
            (Mysql, "Server=db;Password=\"hunter2"),
            (Mysql, "Server=-hunter2;Uid=app;Pwd=x"),
            (Mysql, "Server=db;Port=hunter2"),
            (Mysql, "mysql://app:%ff%fe@db"),
            (Postgresql, "host=db password='hunter2"),
            (Postgresql, "host=db password=hunter2\\"),
            (Postgresql, "postgresql://app:hunter2@one,two/shop"),
            (Sqlserver, "Server=db,hunter2;User ID=app"),
            (Sqlserver, "Server=db;User ID=-hunter2"),
            (Sqlserver, "Server=db;Authentication=Active Directory Interactive"),
        ] {
            let error = ConnectionString::parse(kind, text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_password_comes_back(password in "[^\0]{1,40}") {
            let text = format!("Server=db;Uid=app;Pwd=\"{}\";Port=1", password.replace('"', "\"\""));
            let parsed = ConnectionString::parse(DatabaseType::Mysql, &text).unwrap();
            let read = parsed.password.unwrap();
            prop_assert_eq!(read.expose_secret(), password.as_str());
            prop_assert_eq!(parsed.port, Some(1));
            let escaped = password.replace('\\', "\\\\").replace('\'', "\\'");
            let text = format!("host=db user=app password='{escaped}' port=2");
            if !text.contains(';') {
                let parsed = ConnectionString::parse(DatabaseType::Postgresql, &text).unwrap();
                let read = parsed.password.unwrap();
            prop_assert_eq!(read.expose_secret(), password.as_str());
                prop_assert_eq!(parsed.port, Some(2));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a-z =;'\"\\\\@:/?\\[\\],%é]{0,60}") {
            for kind in DatabaseType::ALL {
                let _ = ConnectionString::parse(*kind, &text);
            }
        }
    }
}
