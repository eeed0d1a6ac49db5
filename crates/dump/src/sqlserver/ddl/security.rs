//! Users, roles and permissions.
//!
//! They depend on logins that the other server may not have, and the rows do not depend on them: a
//! statement of this part that fails is told and does not stop the restore.

use std::fmt::Write as _;

use super::super::catalog::{Catalog, Permission, Principal};
use super::super::literal::{Script, full_name, name, text};
use super::others::is_own_schema;

/// The principals that every database has.
const OWN: &[&str] = &["dbo", "guest", "information_schema", "sys", "public"];

fn is_own(principal: &str) -> bool {
    OWN.iter().any(|known| known.eq_ignore_ascii_case(principal))
}

/// Adds users and roles; returns what is not carried over.
pub(crate) fn principals(catalog: &Catalog, script: &mut Script) -> Vec<String> {
    let mut warnings = Vec::new();
    for principal in catalog.principals.iter().filter(|principal| !is_own(&principal.name)) {
        let user = name(&principal.name);
        let schema = principal
            .default_schema
            .as_ref()
            .map_or_else(String::new, |schema| format!("DEFAULT_SCHEMA = {}", name(schema)));
        let with = |options: &str| {
            let all: Vec<&str> =
                [options, schema.as_str()].into_iter().filter(|text| !text.is_empty()).collect();
            if all.is_empty() { String::new() } else { format!(" WITH {}", all.join(", ")) }
        };
        let without_login = format!(
            "CREATE USER {user} WITHOUT LOGIN{}",
            if schema.is_empty() { String::new() } else { format!(" WITH {schema}") }
        );
        match (principal.kind.as_str(), principal.authentication) {
            ("R", _) => tolerant(script, &principal.name, &format!("CREATE ROLE {user}"), None),
            ("S", 2) => {
                warnings.push(format!(
                    "the password of the user {user} cannot be read: it is made without a login"
                ));
                tolerant(script, &principal.name, &without_login, None);
            }
            ("S" | "U" | "G", _) => match &principal.login {
                Some(login) => {
                    let for_login = format!("CREATE USER {user} FOR LOGIN {}{}", name(login), with(""));
                    // A user by a Windows name cannot be without a login.
                    let otherwise = (principal.kind == "S").then_some(without_login.as_str());
                    tolerant(script, &principal.name, &for_login, otherwise);
                }
                None if principal.kind == "S" => tolerant(script, &principal.name, &without_login, None),
                None => {
                    tolerant(script, &principal.name, &format!("CREATE USER {user}{}", with("")), None);
                }
            },
            ("E" | "X", _) => {
                let external = format!("CREATE USER {user} FROM EXTERNAL PROVIDER{}", with(""));
                tolerant(script, &principal.name, &external, None);
            }
            _ => warnings.push(left_out(principal)),
        }
    }
    warnings
}

fn left_out(principal: &Principal) -> String {
    match principal.kind.as_str() {
        "A" => {
            format!("the application role {} is left out: its password cannot be read", name(&principal.name))
        }
        _ => format!("the user {} of a certificate or key is left out", name(&principal.name)),
    }
}

/// Adds memberships, owners and permissions; returns how many permissions are not carried over.
pub(crate) fn rights(catalog: &Catalog, script: &mut Script) -> usize {
    for (role, member) in catalog.members.iter().filter(|(_, member)| !is_own(member)) {
        told(script, &format!("ALTER ROLE {} ADD MEMBER {}", name(role), name(member)));
    }
    for schema in catalog.schemas.iter().filter(|schema| !is_own_schema(&schema.name)) {
        if let Some(owner) = schema.owner.as_ref().filter(|owner| !owner.eq_ignore_ascii_case("dbo")) {
            told(
                script,
                &format!("ALTER AUTHORIZATION ON SCHEMA::{} TO {}", name(&schema.name), name(owner)),
            );
        }
    }
    for role in
        catalog.principals.iter().filter(|principal| principal.kind == "R" && !is_own(&principal.name))
    {
        if let Some(owner) = role.owner.as_ref().filter(|owner| !owner.eq_ignore_ascii_case("dbo")) {
            told(script, &format!("ALTER AUTHORIZATION ON ROLE::{} TO {}", name(&role.name), name(owner)));
        }
    }
    let mut left_out = 0;
    for permission in &catalog.permissions {
        if permission.grantee.eq_ignore_ascii_case("dbo") || permission.major < 0 {
            continue;
        }
        match securable(catalog, permission) {
            Securable::Of(securable) => told(script, &statement(permission, &securable)),
            // What the server has brought along has its rights by itself.
            Securable::Own => {}
            Securable::Unknown => left_out += 1,
        }
    }
    left_out
}

enum Securable {
    Of(String),
    Own,
    Unknown,
}

fn securable(catalog: &Catalog, permission: &Permission) -> Securable {
    match permission.class {
        0 => Securable::Of(String::new()),
        1 => {
            let Some(object) = catalog.objects.get(&permission.major) else { return Securable::Own };
            let mut text = format!(" ON OBJECT::{}", full_name(&object.schema, &object.name));
            if permission.minor > 0 {
                match catalog.column_name(permission.major, permission.minor) {
                    Some(column) => {
                        let _ = write!(text, " ({})", name(column));
                    }
                    None => return Securable::Unknown,
                }
            }
            Securable::Of(text)
        }
        3 => match &permission.name {
            Some(schema) if schema.eq_ignore_ascii_case("sys") => Securable::Own,
            Some(schema) => Securable::Of(format!(" ON SCHEMA::{}", name(schema))),
            None => Securable::Unknown,
        },
        4 => match catalog.principals.iter().find(|principal| principal.id == permission.major) {
            Some(role) if role.kind == "R" => Securable::Of(format!(" ON ROLE::{}", name(&role.name))),
            Some(user) if matches!(user.kind.as_str(), "S" | "U" | "G" | "E" | "X") => {
                Securable::Of(format!(" ON USER::{}", name(&user.name)))
            }
            Some(_) | None => Securable::Unknown,
        },
        6 => match (&permission.schema, &permission.name) {
            (Some(schema), Some(of)) => Securable::Of(format!(" ON TYPE::{}", full_name(schema, of))),
            _ => Securable::Unknown,
        },
        _ => Securable::Unknown,
    }
}

fn statement(permission: &Permission, securable: &str) -> String {
    let (verb, option) = match permission.state.as_str() {
        "DENY" => ("DENY", ""),
        "GRANT_WITH_GRANT_OPTION" => ("GRANT", " WITH GRANT OPTION"),
        _ => ("GRANT", ""),
    };
    // The names of permissions are the server's own: letters and spaces.
    let words: String =
        permission.right.chars().filter(|c| c.is_ascii_alphabetic() || *c == ' ' || *c == '_').collect();
    format!("{verb} {words}{securable} TO {}{option}", name(&permission.grantee))
}

/// Adds the making of a principal that may be there already, or may not be possible here.
fn tolerant(script: &mut Script, principal: &str, sql: &str, otherwise: Option<&str>) {
    let failed = match otherwise {
        Some(_) => TRIED,
        None => TOLD,
    };
    let mut declared = format!("DECLARE @sql nvarchar(max) = {};", text(sql));
    if let Some(other) = otherwise {
        let _ = write!(declared, "\nDECLARE @other nvarchar(max) = {};", text(other));
    }
    script.batch(&format!(
        "{declared}\nIF USER_ID({}) IS NULL\nBEGIN TRY EXEC (@sql); END TRY\nBEGIN CATCH {failed}; END CATCH;",
        text(principal)
    ));
}

/// Adds a statement whose failure is told and does not stop the restore.
pub(crate) fn told(script: &mut Script, sql: &str) {
    script.batch(&format!(
        "DECLARE @sql nvarchar(max) = {};\nBEGIN TRY EXEC (@sql); END TRY\nBEGIN CATCH {TOLD}; END CATCH;",
        text(sql)
    ));
}

const TRIED: &str = "BEGIN TRY EXEC (@other); END TRY BEGIN CATCH PRINT ERROR_MESSAGE() + N' Not restored: ' + @sql; END CATCH";

const TOLD: &str = "PRINT ERROR_MESSAGE() + N' Not restored: ' + @sql";
