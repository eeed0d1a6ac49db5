//! What requests may hold. Members that are not named are ignored.
//!
//! The bounds are those that the readers in `requests` keep; the texts behind them say more, and the
//! error of a refused request says which rule it broke.

use serde_json::{Value, json};
use shared::models::MOST_CONCURRENT_BACKUPS;

use super::schema::{
    Members, by_default, described, example, flag, id, list_of, named, object, one_of, or_null, text,
    text_of, whole,
};

const HOST: &str = "^(\\[[A-Za-z0-9._:%-]+\\]|[A-Za-z0-9._:%][A-Za-z0-9._:%-]*)$";

fn name(most: u32) -> Value {
    example(described(text_of(1, most), "For people; without control characters."), "Shop")
}

fn host() -> Value {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": HOST});
    example(schema, "db.example.com")
}

fn account() -> Value {
    or_null(example(text_of(0, 256), "backup"))
}

fn secret() -> Value {
    let words = "Never shown again. Empty, null or absent in a change keeps the present one.";
    let schema =
        json!({"type": ["string", "null"], "maxLength": 2000, "format": "password", "writeOnly": true});
    described(schema, words)
}

fn policy() -> Value {
    described(or_null(id()), "A backup policy that exists.")
}

fn tls() -> Members {
    vec![
        ("tls_mode", by_default(named("TlsMode"), "prefer")),
        (
            "tls_ca",
            described(
                or_null(text_of(0, 30_000)),
                "Certificates in PEM; only with verify_ca and verify_full.",
            ),
        ),
    ]
}

fn patterns(words: &str) -> Value {
    let list = list_of(0, 100, text_of(1, 200));
    described(or_null(list), &format!("{words} * stands for any characters and ? for any one."))
}

fn database(needed: Members, rest: Members) -> Value {
    let minutes = || or_null(whole(1, 1440));
    let members = vec![
        ("auth_method", or_null(named("AuthMethod"))),
        ("username", account()),
        ("password", secret()),
        ("engine_id", described(or_null(id()), "An engine that exists.")),
        ("use_engine_credentials", described(flag(), "Place and credentials are those of the engine.")),
        ("policy_id", policy()),
        ("use_engine_policy", flag()),
        ("enabled", by_default(described(flag(), "Whether the scheduler backs it up."), true)),
        (
            "schedule",
            example(
                described(or_null(text()), "Five fields of cron, after `CRON_TZ=zone ` if need be."),
                "30 2 * * *",
            ),
        ),
        ("retention_days", or_null(whole(1, 3650))),
        (
            "backup_destination",
            or_null(json!({"type": "string", "maxLength": 63, "pattern": "^([a-z0-9](-?[a-z0-9]){2,62})?$"})),
        ),
        ("compression", flag()),
        ("compression_format", or_null(named("CompressionFormat"))),
        ("compression_level", described(or_null(whole(1, 19)), "At most 9 for gzip.")),
        ("exclude_tables", patterns("Tables that are left out.")),
        ("exclude_table_data", patterns("Tables whose rows are left out.")),
        ("include_schemas", patterns("Schemas (PostgreSQL) to the exclusion of all others.")),
        ("include_privileges", described(flag(), "PostgreSQL only.")),
        (
            "include_globals",
            described(flag(), "PostgreSQL only: store the roles of the server beside the dump."),
        ),
        (
            "include_role_passwords",
            described(flag(), "PostgreSQL only: with the hashes of the roles' passwords."),
        ),
        ("include_permissions", described(flag(), "SQL Server and Azure SQL only.")),
        ("strict", described(flag(), "SQL Server and Azure SQL only: fail instead of leaving anything out.")),
        ("dump_timeout_minutes", minutes()),
        ("stall_timeout_minutes", minutes()),
        ("tags", json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 50})),
    ];
    object(needed, [rest, members, tls()].concat())
}

/// A new database. Place and credentials are needed, unless those of an engine are used.
pub(super) fn new_database() -> Value {
    let wished = json!({"type": ["string", "null"], "pattern": "^[A-Za-z0-9-]{0,64}$"});
    let needed = vec![("name", name(200)), ("database_name", database_name())];
    let place = vec![
        ("id", described(wished, "An id of your own; one is made up otherwise.")),
        ("database_type", named("DatabaseType")),
        ("host", host()),
        ("port", whole(1, 65_535)),
    ];
    database(needed, place)
}

/// What changes in a database; what is absent stays.
pub(super) fn database_change() -> Value {
    let members = vec![
        ("name", name(200)),
        ("database_name", database_name()),
        ("database_type", named("DatabaseType")),
        ("host", host()),
        ("port", whole(1, 65_535)),
    ];
    database(vec![], members)
}

fn database_name() -> Value {
    example(text_of(1, 128), "shop")
}

/// A connection to try.
pub(super) fn connection_test() -> Value {
    let members = vec![
        ("host", or_null(host())),
        ("port", or_null(whole(1, 65_535))),
        ("username", account()),
        ("password", secret()),
        ("engine_id", or_null(id())),
        ("use_engine_credentials", described(flag(), "Take host, port and credentials of the engine.")),
    ];
    let needed = vec![("database_type", named("DatabaseType")), ("database_name", database_name())];
    object(needed, [members, tls()].concat())
}

fn engine_members() -> Members {
    let members = vec![
        ("port", described(or_null(whole(0, 65_535)), "0, null or absent is the usual one of the type.")),
        ("auth_method", or_null(named("AuthMethod"))),
        ("username", account()),
        ("password", secret()),
        ("connection_string", secret()),
        ("policy_id", policy()),
        (
            "max_concurrent_backups",
            described(
                or_null(whole(1, MOST_CONCURRENT_BACKUPS.into())),
                "How many of its databases are dumped at once. Null is 2.",
            ),
        ),
    ];
    [members, tls()].concat()
}

/// A new engine.
pub(super) fn new_engine() -> Value {
    let needed = vec![("name", name(100)), ("engine_type", named("EngineType")), ("host", host())];
    let discover = ("discover_databases", described(flag(), "List its databases at once."));
    object(needed, [engine_members(), vec![discover]].concat())
}

/// What changes in an engine. Its type, host and port cannot.
pub(super) fn engine_change() -> Value {
    let members = vec![
        ("name", name(100)),
        ("engine_type", named("EngineType")),
        ("host", host()),
        (
            "apply_to_all_databases",
            described(flag(), "All its databases use its place and credentials from now on."),
        ),
        (
            "apply_policy_to_all_databases",
            described(flag(), "All its databases take its policy from now on."),
        ),
    ];
    object(vec![], [members, engine_members()].concat())
}

/// Databases of an engine to configure.
pub(super) fn import() -> Value {
    let database = object(
        vec![("name", database_name())],
        vec![("alias", or_null(text_of(0, 200))), ("policy_id", policy())],
    );
    object(
        vec![("databases", list_of(1, 500, database))],
        vec![("use_engine_credentials", by_default(flag(), true))],
    )
}

/// Files to delete.
pub(super) fn files() -> Value {
    let file = example(text_of(1, 1024), "postgresql/f8beb2b5/20261124_015252.sql.gz");
    object(vec![("blob_names", list_of(1, 1000, file))], vec![])
}

/// Where a backup is to be loaded: an engine, or a server with its credentials; one of the two.
pub(super) fn restore() -> Value {
    let place =
        vec![("host", host()), ("username", example(text_of(1, 256), "admin")), ("password", secret())];
    let server = object(place, [vec![("port", or_null(whole(1, 65_535)))], tls()].concat());
    object(
        vec![("database_name", database_name())],
        vec![
            ("target_engine_id", or_null(id())),
            ("target", described(or_null(server), "A server that is not configured.")),
            ("mode", by_default(or_null(named("RestoreMode")), "new")),
            ("confirm", described(or_null(text()), "Repeats database_name where mode is replace.")),
            ("keep_failed", flag()),
        ],
    )
}

fn tier() -> Value {
    object(
        vec![],
        vec![
            ("enabled", flag()),
            ("keep_count", described(whole(0, 10_000), "How many are kept.")),
            ("interval_hours", or_null(whole(1, 12))),
            (
                "time",
                example(json!({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}), "02:00"),
            ),
            ("day_of_week", described(whole(0, 6), "0 is Sunday.")),
            ("day_of_month", whole(1, 28)),
            ("month", whole(1, 12)),
        ],
    )
}

fn policy_members() -> Members {
    vec![
        ("description", or_null(text_of(0, 1000))),
        ("time_zone", by_default(example(text(), "Europe/Berlin"), "UTC")),
        ("hourly", tier()),
        ("daily", tier()),
        ("weekly", tier()),
        ("monthly", tier()),
        ("yearly", tier()),
    ]
}

/// A new policy.
pub(super) fn new_policy() -> Value {
    object(vec![("name", name(100))], policy_members())
}

/// What changes in a policy. A tier is given whole.
pub(super) fn policy_change() -> Value {
    object(vec![], [vec![("name", name(100))], policy_members()].concat())
}

/// What changes in the settings.
pub(super) fn settings() -> Value {
    object(
        vec![],
        vec![
            ("dark_mode", flag()),
            ("default_retention_days", whole(1, 365)),
            ("default_compression", flag()),
            ("access_requests_enabled", flag()),
        ],
    )
}

/// What changes in one's preferences.
pub(super) fn preferences() -> Value {
    object(vec![], vec![("dark_mode", flag()), ("page_size", whole(10, 100))])
}

fn role() -> Value {
    named("UserRole")
}

/// A new user.
pub(super) fn new_user() -> Value {
    let email = example(json!({"type": "string", "maxLength": 254}), "zoe@example.org");
    object(
        vec![("email", email)],
        vec![("name", or_null(text_of(0, 100))), ("role", by_default(or_null(role()), "viewer"))],
    )
}

/// What changes in a user.
pub(super) fn user_change() -> Value {
    object(vec![], vec![("name", name(100)), ("role", role()), ("enabled", flag())])
}

/// The role of whoever is let in.
pub(super) fn approval() -> Value {
    object(vec![], vec![("role", by_default(or_null(role()), "viewer"))])
}

/// Why somebody is not let in.
pub(super) fn rejection() -> Value {
    object(vec![], vec![("reason", or_null(text_of(0, 1000)))])
}

/// What a browser tells about its user.
pub(super) fn auth_event() -> Value {
    object(vec![("event", one_of(["login", "logout"]))], vec![])
}
