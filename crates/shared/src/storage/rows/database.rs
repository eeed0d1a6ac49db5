//! Databases as rows of the configuration table.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;

use super::super::table::{Entity, Key, Value};
use super::read::{Reader, date_time};
use super::{Row, UnreadableRow, properties};
use crate::models::{
    Credentials, Database, DumpOptions, Endpoint, InvalidId, Login, NamePattern, PolicyChoice, Roles,
    StoredSecret, Tls,
};

/// The partition of all databases.
pub(crate) const PARTITION: &str = "database";

/// The policy of a database whose row names none.
const DEFAULT_POLICY: &str = "production-standard";

impl Row for Database {
    fn entity(&self) -> Entity {
        let none = Login::default();
        let login = self.own_login().unwrap_or(&none);
        let [name, version, sealed, plain] = secret_columns(&login.password);
        let [tls_mode, tls_ca] = tls_columns(&self.endpoint.tls);
        Entity::new(
            Key::new(PARTITION, self.id.as_str()),
            properties([
                ("name", self.name.as_str().into()),
                ("database_type", self.database_type.as_str().into()),
                ("engine_id", text(self.engine_id.as_ref())),
                ("use_engine_credentials", self.uses_engine_credentials().into()),
                ("host", self.endpoint.host.as_str().into()),
                ("port", Value::Int32(self.endpoint.port.into())),
                ("tls_mode", tls_mode),
                ("tls_ca", tls_ca),
                ("database_name", self.database_name.as_str().into()),
                ("auth_method", text(login.auth_method.as_ref())),
                ("username", text(login.username.as_ref())),
                ("password_secret_name", name),
                ("password_secret_version", version),
                ("password_sealed", sealed),
                ("password", plain),
                ("policy_id", text(self.policy.own.as_ref())),
                ("use_engine_policy", self.policy.from_engine.into()),
                ("enabled", self.enabled.into()),
                ("schedule", text(self.schedule.as_ref())),
                ("retention_days", Value::Int32(self.retention_days.unwrap_or(0).into())),
                ("backup_destination", text(self.backup_destination.as_ref())),
                ("compression", self.compression.into()),
                ("exclude_tables", patterns_text(&self.options.exclude_tables)),
                ("exclude_table_data", patterns_text(&self.options.exclude_table_data)),
                ("include_schemas", patterns_text(&self.options.include_schemas)),
                ("compression_format", text(self.options.compression_format.as_ref())),
                ("compression_level", Value::Int32(self.options.compression_level.unwrap_or(0).into())),
                ("dump_timeout_minutes", minutes(self.options.dump_timeout_minutes)),
                ("stall_timeout_minutes", minutes(self.options.stall_timeout_minutes)),
                ("include_privileges", self.options.include_privileges.into()),
                ("include_globals", self.options.roles.are_included().into()),
                ("include_role_passwords", self.options.roles.have_passwords().into()),
                ("leave_out_permissions", self.options.leave_out_permissions.into()),
                ("strict", self.options.strict.into()),
                ("tags", serde_json::json!(self.tags).to_string().into()),
                ("created_at", date_time(self.created_at)),
                ("updated_at", date_time(self.updated_at)),
                ("created_by", text(self.created_by.as_ref())),
            ]),
        )
    }

    fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow> {
        let row = Reader(entity);
        let engine_id = row.parse_optional("engine_id")?;
        let from_engine = row.flag("use_engine_policy", false);
        let own = row.parse_optional("policy_id")?;
        let own = match own {
            None if !from_engine => DEFAULT_POLICY.parse().ok(),
            own => own,
        };
        let credentials = if row.flag("use_engine_credentials", false) && engine_id.is_some() {
            Credentials::Engine
        } else {
            Credentials::Own(login(&row)?)
        };
        let created_at = row.made_at();
        Ok(Self {
            id: entity
                .key
                .row
                .parse()
                .map_err(|error: InvalidId| row.unreadable("RowKey", error.to_string()))?,
            name: row.required("name")?.to_owned(),
            database_type: row.parse("database_type")?,
            endpoint: endpoint(&row)?,
            database_name: row.parse("database_name")?,
            engine_id,
            credentials,
            policy: PolicyChoice { own, from_engine },
            enabled: row.flag("enabled", true),
            schedule: schedule(&row),
            retention_days: retention_days(&row),
            backup_destination: row.parse_optional("backup_destination")?,
            compression: row.flag("compression", true),
            options: options(&row),
            tags: row.text("tags").map(tags).unwrap_or_default(),
            created_at,
            updated_at: row.instant("updated_at").unwrap_or(created_at),
            created_by: row.owned("created_by"),
        })
    }
}

/// Renders a text that may be missing.
pub(super) fn text(value: Option<&impl ToString>) -> Value {
    Value::String(value.map(ToString::to_string).unwrap_or_default())
}

/// Renders a secret as its four columns: its name and version in the store, its sealed text, its plain text.
/// All are always written, so that a secret that has moved leaves nothing behind.
pub(super) fn secret_columns(secret: &StoredSecret) -> [Value; 4] {
    let (name, version, sealed, plain) = match secret {
        StoredSecret::None => ("", "", "", ""),
        StoredSecret::Named { name, version } => (name.as_str(), version.as_deref().unwrap_or(""), "", ""),
        StoredSecret::Sealed(text) => ("", "", text.as_str(), ""),
        StoredSecret::Plain(secret) => ("", "", "", secret.expose_secret()),
    };
    [name.into(), version.into(), sealed.into(), plain.into()]
}

/// The columns of a password.
pub(crate) const PASSWORD: [&str; 4] =
    ["password_secret_name", "password_secret_version", "password_sealed", "password"];

/// Reads a secret from its four columns.
pub(super) fn secret(row: &Reader<'_>, columns: [&'static str; 4]) -> StoredSecret {
    match columns.map(|column| row.owned(column)) {
        [Some(name), version, _, _] => StoredSecret::Named { name, version },
        [None, _, Some(text), _] => StoredSecret::Sealed(text),
        [None, _, None, Some(plain)] => StoredSecret::Plain(plain.into()),
        [None, _, None, None] => StoredSecret::None,
    }
}

pub(super) fn login(row: &Reader<'_>) -> Result<Login, UnreadableRow> {
    Ok(Login {
        auth_method: row.parse_optional("auth_method")?,
        username: row.parse_optional("username")?,
        password: secret(row, PASSWORD),
    })
}

pub(super) fn endpoint(row: &Reader<'_>) -> Result<Endpoint, UnreadableRow> {
    let port = row.number("port").filter(|port| *port > 0);
    Ok(Endpoint {
        host: row.parse("host")?,
        port: port.ok_or_else(|| row.unreadable("port", "no port number"))?,
        tls: tls(row)?,
    })
}

/// Renders how connections are protected: the mode and the authorities.
pub(super) fn tls_columns(tls: &Tls) -> [Value; 2] {
    [tls.mode.as_str().into(), text(tls.ca.as_ref())]
}

/// Reads how connections are protected. A row that asks for something unknown is not read, rather than
/// connected to with less protection than it asks for.
fn tls(row: &Reader<'_>) -> Result<Tls, UnreadableRow> {
    let mode = row.parse_optional("tls_mode")?.unwrap_or(Tls::default().mode);
    Ok(Tls { mode, ca: row.parse_optional("tls_ca")? })
}

/// Reads the schedule. One that is no schedule counts as none, so that the database is then backed
/// up by its policy rather than never.
fn schedule(row: &Reader<'_>) -> Option<crate::schedule::Schedule> {
    row.parse_optional("schedule").unwrap_or_else(|error| {
        tracing::warn!(%error, "the stored schedule is not used; the policy decides");
        None
    })
}

fn patterns_text(patterns: &[NamePattern]) -> Value {
    serde_json::json!(patterns).to_string().into()
}

fn minutes(minutes: Option<u16>) -> Value {
    Value::Int32(minutes.unwrap_or(0).into())
}

/// Reads what is dumped, and how. What cannot be read counts as not given: the dump then holds more than
/// was asked for, never less.
fn options(row: &Reader<'_>) -> DumpOptions {
    let above_zero = |property| row.number(property).filter(|number: &u16| *number > 0);
    DumpOptions {
        exclude_tables: patterns(row, "exclude_tables"),
        exclude_table_data: patterns(row, "exclude_table_data"),
        include_schemas: patterns(row, "include_schemas"),
        compression_format: row.parse_optional("compression_format").unwrap_or_else(|error| {
            tracing::warn!(%error, "the stored form of compression is not used");
            None
        }),
        compression_level: row.number("compression_level").filter(|level: &u8| *level > 0),
        dump_timeout_minutes: above_zero("dump_timeout_minutes"),
        stall_timeout_minutes: above_zero("stall_timeout_minutes"),
        include_privileges: row.flag("include_privileges", false),
        roles: Roles::of(row.flag("include_globals", false), row.flag("include_role_passwords", false)),
        leave_out_permissions: row.flag("leave_out_permissions", false),
        strict: row.flag("strict", false),
    }
}

fn patterns(row: &Reader<'_>, property: &'static str) -> Vec<NamePattern> {
    let Some(text) = row.text(property) else { return Vec::new() };
    let texts = serde_json::from_str::<Vec<String>>(text).ok();
    let patterns = texts.and_then(|texts| texts.iter().map(|text| text.parse().ok()).collect());
    patterns.unwrap_or_else(|| {
        tracing::warn!(property, "stored patterns are not used");
        Vec::new()
    })
}

/// Reads tags as JSON, or in the form of a Python dictionary of texts that earlier rows have.
fn tags(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).ok().or_else(|| python_dictionary(text)).unwrap_or_default()
}

fn python_dictionary(text: &str) -> Option<BTreeMap<String, String>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut tags = BTreeMap::new();
    while !rest.starts_with('}') {
        let (key, after) = python_text(rest)?;
        let (value, after) = python_text(after.trim_start().strip_prefix(':')?.trim_start())?;
        tags.insert(key, value);
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(tags)
}

/// Reads one quoted text and returns what follows it.
fn python_text(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        match c {
            c if c == quote => return Some((value, &text[index + c.len_utf8()..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                'x' => value.push(python_code(&mut chars, 2)?),
                'u' => value.push(python_code(&mut chars, 4)?),
                'U' => value.push(python_code(&mut chars, 8)?),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

/// Reads the character that so many hexadecimal digits stand for.
fn python_code(chars: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> Option<char> {
    let digits: String = chars.take(digits).map(|(_, c)| c).collect();
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}

/// The longest age limit that can be chosen.
const MOST_DAYS: u16 = 3650;

/// Reads the age limit; 0 and an empty text stand for none. What is no such number reads as the longest one:
/// nothing is deleted early for a reason that nobody has given.
fn retention_days(row: &Reader<'_>) -> Option<u16> {
    if let Some(days) = row.whole("retention_days") {
        return (days != 0)
            .then(|| u16::try_from(days).ok().filter(|days| *days <= MOST_DAYS).unwrap_or(MOST_DAYS));
    }
    match row.0.properties.get("retention_days") {
        None => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(_) => {
            tracing::warn!(key = %row.0.key, "the stored retention_days cannot be read; {MOST_DAYS} days count instead");
            Some(MOST_DAYS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tags_of_both_systems() {
        let expected: BTreeMap<String, String> =
            [("a".to_owned(), "it's".to_owned()), ("b".to_owned(), "2".to_owned())].into();
        assert_eq!(tags(r#"{"a":"it's","b":"2"}"#), expected);
        assert_eq!(tags(r#"{'a': "it's", 'b': '2'}"#), expected);
        assert_eq!(
            tags("{'owner': 'Zo\u{eb} \\\\ \\u200b\\x07\\U0001f980\\n', 'e': ''}"),
            BTreeMap::from([
                ("owner".to_owned(), "Zo\u{eb} \\ \u{200b}\u{7}\u{1f980}\n".to_owned()),
                ("e".to_owned(), String::new()),
            ])
        );
        assert_eq!(tags("{}"), BTreeMap::new());
        assert_eq!(tags("{'a': 1}"), BTreeMap::new());
        assert_eq!(tags("{'a'"), BTreeMap::new());
    }
}
