//! The closed sets of names that appear on the wire, in rows and in messages.
//!
//! Each type has exactly one text form per variant; parsing accepts that form and nothing else.

/// The error of parsing a name that is not in its set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not a known {set}; use one of: {known}")]
pub struct UnknownName {
    /// What was given, shortened.
    pub given: String,
    /// The set that was asked, for people.
    pub set: &'static str,
    /// The names that would have been accepted.
    pub known: String,
}

/// Defines an enum with a fixed text form per variant.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident, $set:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the text form used on the wire and in rows.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::models::UnknownName;

            fn from_str(text: &str) -> Result<Self, $crate::models::UnknownName> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| $crate::models::UnknownName {
                    given: text.chars().take(60).collect(),
                    set: $set,
                    known: Self::ALL.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

pub(super) use names;

names! {
    /// The kind of a database that is backed up.
    DatabaseType, "database type" {
        /// MySQL or MariaDB.
        Mysql = "mysql",
        /// PostgreSQL.
        Postgresql = "postgresql",
        /// SQL Server.
        Sqlserver = "sqlserver",
        /// Azure SQL Database.
        AzureSql = "azure_sql",
    }
}

impl DatabaseType {
    /// Returns the port that a server of this kind listens on when nobody says otherwise.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Mysql => 3306,
            Self::Postgresql => 5432,
            Self::Sqlserver | Self::AzureSql => 1433,
        }
    }

    /// Tells whether it is SQL Server in one of its forms: they speak the same language and have the same client.
    pub fn is_sql_server(self) -> bool {
        matches!(self, Self::Sqlserver | Self::AzureSql)
    }

    /// Tells whether a backup of one kind is for servers of the other.
    pub fn fits(self, server: Self) -> bool {
        self == server || (self.is_sql_server() && server.is_sql_server())
    }

    /// Tells whether a database name is one of the server's own, compared without regard to case.
    pub fn is_system_database(self, name: &str) -> bool {
        let own: &[&str] = match self {
            Self::Mysql => &["mysql", "information_schema", "performance_schema", "sys"],
            Self::Postgresql => &["postgres", "template0", "template1"],
            Self::Sqlserver | Self::AzureSql => &["master", "tempdb", "model", "msdb"],
        };
        own.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

names! {
    /// The kind of a database server ("engine" in the public API).
    EngineType, "engine type" {
        /// MySQL or MariaDB.
        Mysql = "mysql",
        /// PostgreSQL.
        Postgresql = "postgresql",
        /// SQL Server, Azure SQL included.
        Sqlserver = "sqlserver",
    }
}

impl From<EngineType> for DatabaseType {
    fn from(engine: EngineType) -> Self {
        match engine {
            EngineType::Mysql => Self::Mysql,
            EngineType::Postgresql => Self::Postgresql,
            EngineType::Sqlserver => Self::Sqlserver,
        }
    }
}

names! {
    /// How a server is signed in to.
    AuthMethod, "authentication method" {
        /// A user name and a password.
        UserPassword = "user_password",
        /// The managed identity of the app.
        ManagedIdentity = "managed_identity",
        /// A directory account.
        AzureAd = "azure_ad",
        /// A connection string, kept like a password.
        ConnectionString = "connection_string",
    }
}

names! {
    /// Where a backup stands.
    BackupStatus, "backup status" {
        /// Queued, not begun.
        Pending = "pending",
        /// A processor works on it.
        InProgress = "in_progress",
        /// Done; the artifact is stored.
        Completed = "completed",
        /// Given up; the reason is recorded.
        Failed = "failed",
        /// Stopped by a person.
        Cancelled = "cancelled",
    }
}

names! {
    /// A tier of a backup policy, lowest first.
    Tier, "tier" {
        /// Every few hours.
        Hourly = "hourly",
        /// Every day.
        Daily = "daily",
        /// Every week.
        Weekly = "weekly",
        /// Every month.
        Monthly = "monthly",
        /// Every year.
        Yearly = "yearly",
    }
}

names! {
    /// Who asked for a backup.
    TriggeredBy, "trigger" {
        /// A person, through the API.
        Manual = "manual",
        /// The scheduler.
        Scheduler = "scheduler",
    }
}

names! {
    /// What a user may do.
    UserRole, "role" {
        /// Everything.
        Admin = "admin",
        /// Databases, engines and backups.
        Operator = "operator",
        /// Looking only.
        Viewer = "viewer",
    }
}
