//! What of a database is dumped, and how, in requests. Pure.

use std::ops::RangeInclusive;

use shared::models::{CompressionFormat, DatabaseType, DumpOptions, MOST_PATTERNS, NamePattern, Roles};

use crate::error::ApiError;
use crate::json::{Given, Members};

/// A day: beyond every host's limit.
const MINUTES: RangeInclusive<u16> = 1..=1440;

/// The members of a body that say what is dumped, and how.
#[derive(Debug, Clone)]
pub(crate) struct DumpOptionFields {
    exclude_tables: Given<Vec<NamePattern>>,
    exclude_table_data: Given<Vec<NamePattern>>,
    include_schemas: Given<Vec<NamePattern>>,
    compression_format: Given<CompressionFormat>,
    compression_level: Given<u16>,
    dump_timeout_minutes: Given<u16>,
    stall_timeout_minutes: Given<u16>,
    include_privileges: Option<bool>,
    roles: RoleFields,
    include_permissions: Option<bool>,
    strict: Option<bool>,
}

/// The members of a body that say whether the roles of the server are stored.
#[derive(Debug, Clone, Copy)]
struct RoleFields {
    include_globals: Option<bool>,
    include_role_passwords: Option<bool>,
}

impl RoleFields {
    fn read(body: &Members) -> Result<Self, ApiError> {
        Ok(Self {
            include_globals: body.flag("include_globals")?,
            include_role_passwords: body.flag("include_role_passwords")?,
        })
    }

    /// Changes the choice; without the roles there are no passwords either.
    fn update(self, current: Roles) -> Result<Roles, ApiError> {
        let included = self.include_globals.unwrap_or(current.are_included());
        if self.include_role_passwords == Some(true) && !included {
            let rule = "can be used together with include_globals only";
            return Err(ApiError::field("include_role_passwords", rule));
        }
        Ok(Roles::of(included, self.include_role_passwords.unwrap_or(current.have_passwords())))
    }
}

impl DumpOptionFields {
    /// Reads the members that are there.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        Ok(Self {
            exclude_tables: body.list("exclude_tables", MOST_PATTERNS)?,
            exclude_table_data: body.list("exclude_table_data", MOST_PATTERNS)?,
            include_schemas: body.list("include_schemas", MOST_PATTERNS)?,
            compression_format: body.parsed("compression_format")?,
            compression_level: body.number("compression_level", 1..=19)?,
            dump_timeout_minutes: body.number("dump_timeout_minutes", MINUTES)?,
            stall_timeout_minutes: body.number("stall_timeout_minutes", MINUTES)?,
            include_privileges: body.flag("include_privileges")?,
            roles: RoleFields::read(body)?,
            include_permissions: body.flag("include_permissions")?,
            strict: body.flag("strict")?,
        })
    }

    /// Changes the options of a database of this type; absent members keep what is there.
    pub(crate) fn update(self, current: DumpOptions, kind: DatabaseType) -> Result<DumpOptions, ApiError> {
        let level = match self.compression_level {
            Given::Absent => current.compression_level,
            Given::Null => None,
            Given::Value(level) => u8::try_from(level).ok(),
        };
        let options = DumpOptions {
            exclude_tables: list(self.exclude_tables, current.exclude_tables),
            exclude_table_data: list(self.exclude_table_data, current.exclude_table_data),
            include_schemas: list(self.include_schemas, current.include_schemas),
            compression_format: self.compression_format.or_keep(current.compression_format),
            compression_level: level,
            dump_timeout_minutes: self.dump_timeout_minutes.or_keep(current.dump_timeout_minutes),
            stall_timeout_minutes: self.stall_timeout_minutes.or_keep(current.stall_timeout_minutes),
            include_privileges: self.include_privileges.unwrap_or(current.include_privileges),
            roles: self.roles.update(current.roles)?,
            leave_out_permissions: self
                .include_permissions
                .map_or(current.leave_out_permissions, |include| !include),
            strict: self.strict.unwrap_or(current.strict),
        };
        check(&options, kind)?;
        Ok(options)
    }
}

fn list(given: Given<Vec<NamePattern>>, current: Vec<NamePattern>) -> Vec<NamePattern> {
    given.or_keep(Some(current)).unwrap_or_default()
}

/// Checks what depends on the kind of database, and on other members.
fn check(options: &DumpOptions, kind: DatabaseType) -> Result<(), ApiError> {
    let highest = options.format().highest_level();
    if options.compression_level.is_some_and(|level| level > highest) {
        let rule = format!("must be 1 to {highest} for {}", options.format());
        return Err(ApiError::field("compression_level", rule));
    }
    let patterns =
        [("exclude_tables", &options.exclude_tables), ("exclude_table_data", &options.exclude_table_data)];
    for (name, patterns) in patterns {
        match kind {
            DatabaseType::Mysql => {}
            _ if patterns.iter().all(has_one_schema) => {}
            DatabaseType::Postgresql | DatabaseType::Sqlserver | DatabaseType::AzureSql => {
                return Err(ApiError::field(
                    name,
                    "each must be a table, or a schema and a table with a dot between them",
                ));
            }
        }
    }
    let chosen = [
        ("include_schemas", !options.include_schemas.is_empty()),
        ("include_privileges", options.include_privileges),
        ("include_globals", options.roles.are_included()),
    ];
    if kind != DatabaseType::Postgresql
        && let Some((name, _)) = chosen.into_iter().find(|(_, chosen)| *chosen)
    {
        return Err(ApiError::field(name, "can be used for databases of type postgresql only"));
    }
    let chosen = [("include_permissions", options.leave_out_permissions), ("strict", options.strict)];
    if !matches!(kind, DatabaseType::Sqlserver | DatabaseType::AzureSql)
        && let Some((name, _)) = chosen.into_iter().find(|(_, chosen)| *chosen)
    {
        return Err(ApiError::field(name, "can be used for databases of type sqlserver and azure_sql only"));
    }
    Ok(())
}

/// Tells whether a pattern has at most one dot, with something on both sides of it.
fn has_one_schema(pattern: &NamePattern) -> bool {
    match pattern.as_str().split_once('.') {
        None => true,
        Some((schema, table)) => !schema.is_empty() && !table.is_empty() && !table.contains('.'),
    }
}
