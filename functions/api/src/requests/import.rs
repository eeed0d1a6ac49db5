//! Imports of databases from an engine, in requests. Pure.

use chrono::{DateTime, Utc};
use shared::models::{
    Credentials, Database, DatabaseId, DatabaseName, DatabaseType, DumpOptions, Engine, Login, PolicyChoice,
    PolicyId, StoredSecret,
};

use crate::error::ApiError;
use crate::json::Members;

/// How many databases are imported with one request.
const MOST: usize = 500;

/// A wish for databases to be configured.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub wishes: Vec<Wish>,
    pub use_engine_credentials: bool,
}

/// One database that is to be configured.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub name: DatabaseName,
    /// The name for people.
    alias: Option<String>,
    pub policy_id: Option<PolicyId>,
}

/// What is the same for all databases of an import.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub engine: &'a Engine,
    pub use_engine_credentials: bool,
    pub compression: bool,
    pub created_by: &'a str,
    pub now: DateTime<Utc>,
}

impl Import {
    /// Reads a body.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        let list = body.objects("databases")?.not_null("databases")?.unwrap_or_default();
        if !(1..=MOST).contains(&list.len()) {
            return Err(ApiError::field("databases", format!("must name 1 to {MOST} databases")));
        }
        let wish = |(index, members): (usize, &Members)| {
            Wish::read(members).map_err(|error| error.inside(&format!("databases[{index}]")))
        };
        Ok(Self {
            wishes: list.iter().enumerate().map(wish).collect::<Result<_, _>>()?,
            use_engine_credentials: body.flag("use_engine_credentials")?.unwrap_or(true),
        })
    }
}

impl Wish {
    fn read(members: &Members) -> Result<Self, ApiError> {
        let name: Option<DatabaseName> = members.parsed("name")?.not_null("name")?;
        let alias = if members.text("alias")?.value().is_none_or(str::is_empty) {
            None
        } else {
            members.label("alias", 200)?
        };
        Ok(Self {
            name: name.ok_or_else(|| ApiError::field("name", "is missing"))?,
            alias,
            policy_id: members.parsed("policy_id")?.value(),
        })
    }

    /// Makes the database. Its own login, if it is to have one, has no password yet.
    ///
    /// Without a policy of its own it takes the engine's where the engine has one.
    pub(crate) fn database(&self, source: Source<'_>) -> Database {
        let Source { engine, now, .. } = source;
        let credentials = if source.use_engine_credentials {
            Credentials::Engine
        } else {
            Credentials::Own(Login { password: StoredSecret::None, ..engine.login.clone() })
        };
        let inherits = self.policy_id.is_none() && engine.policy_id.is_some();
        let default = || shared::models::DEFAULT_POLICY.parse().ok().filter(|_| !inherits);
        Database {
            id: DatabaseId::random(),
            name: self.alias.clone().unwrap_or_else(|| self.name.to_string()),
            database_type: DatabaseType::from(engine.engine_type),
            endpoint: engine.endpoint.clone(),
            database_name: self.name.clone(),
            engine_id: Some(engine.id.clone()),
            credentials,
            policy: PolicyChoice { own: self.policy_id.clone().or_else(default), from_engine: inherits },
            enabled: true,
            schedule: None,
            retention_days: None,
            backup_destination: None,
            compression: source.compression,
            options: DumpOptions::default(),
            tags: std::collections::BTreeMap::new(),
            created_at: now,
            updated_at: now,
            created_by: Some(source.created_by.to_owned()),
        }
    }
}
