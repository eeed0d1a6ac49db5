//! PostgreSQL: the commands. Pure.
//!
//! Where to connect is told by environment variables only. `--dbname` and a bare argument would not do:
//! both are read as a connection string when they look like one, and could then name another server.

use shared::models::{DatabaseType, DumpOptions, NamePattern};

use crate::process::{AuthorityBy, Invocation, Pin};
use crate::reach::Reach;
use crate::statements;
use crate::target::{Limits, Target};
use crate::tls;
use crate::tools::Tool;

/// Asks for the version of the server.
pub(crate) const VERSION_QUERY: &str = "SELECT current_setting('server_version')";

/// Asks for the names of all databases that can be connected to, in hexadecimal, so that any name stays on
/// its line.
pub(crate) const DATABASES_QUERY: &str =
    "SELECT encode(convert_to(datname::text, 'UTF8'), 'hex') FROM pg_database WHERE datallowconn";

/// Asks for the extensions of a database; their names are identifiers of the server's own files.
pub(crate) const EXTENSIONS_QUERY: &str = "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'";

/// Asks for the schemas in which extensions are, in hexadecimal, apart from those of the system.
pub(crate) const EXTENSION_SCHEMAS_QUERY: &str = "SELECT DISTINCT \
    encode(convert_to(nspname::text, 'UTF8'), 'hex') FROM pg_extension e \
    JOIN pg_namespace n ON n.oid = e.extnamespace WHERE nspname !~ '^pg_' AND nspname <> 'public'";

/// Asks whether nothing is in a database but what every database has, and what belongs to extensions.
pub(crate) const EMPTY_QUERY: &str = "SELECT NOT EXISTS (SELECT FROM pg_largeobject_metadata) \
    AND NOT EXISTS (SELECT FROM pg_namespace \
        WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema') \
        AND NOT EXISTS (SELECT FROM pg_depend WHERE deptype = 'e' \
            AND classid = 'pg_namespace'::regclass AND objid = pg_namespace.oid)) \
    AND NOT EXISTS (SELECT FROM (\
            SELECT 'pg_class'::regclass AS of, oid, relnamespace AS schema FROM pg_class \
            UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type \
            UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc \
            UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace FROM pg_operator) o \
        WHERE schema = (SELECT oid FROM pg_namespace WHERE nspname = 'public') \
        AND NOT EXISTS (SELECT FROM pg_depend \
            WHERE deptype IN ('e', 'i') AND classid = o.of AND objid = o.oid))";

/// Writes what has to be done before a dump of some schemas can be loaded: extensions are made in schemas
/// that are not in it.
pub(crate) fn prelude(extension_schemas: &[String], options: &DumpOptions) -> String {
    let is_in_it = |name: &String| options.include_schemas.iter().any(|schema| schema.matches(name));
    extension_schemas
        .iter()
        .filter(|name| !is_in_it(name))
        .map(|name| {
            format!("CREATE SCHEMA IF NOT EXISTS {};\n", statements::quoted(DatabaseType::Postgresql, name))
        })
        .collect::<Vec<_>>()
        .concat()
}

/// Asks for the names of all roles, in hexadecimal.
pub(crate) const ROLES_QUERY: &str = "SELECT encode(convert_to(rolname::text, 'UTF8'), 'hex') FROM pg_roles";

/// The database to ask when the question is about the server.
const MAINTENANCE_DATABASE: &str = "postgres";

/// The variable that holds the password; it is seen by the tool's user and by root only.
const PASSWORD: &str = "PGPASSWORD";

/// Builds the command that writes a dump.
///
/// Publications and subscriptions are left out: loaded beside the original they would begin to send and
/// to fetch rows.
///
/// Tablespaces are left out too: each is a folder of one machine.
pub(crate) fn dump(
    tool: &Tool,
    target: &Target,
    limits: &Limits,
    options: &DumpOptions,
    has_extensions: bool,
) -> Invocation {
    let mut invocation = connection(tool, target, limits).args([
        "--format=plain",
        "--clean",
        "--if-exists",
        "--no-tablespaces",
        "--no-password",
    ]);
    if !options.include_privileges {
        invocation = invocation.args(["--no-owner", "--no-privileges"]);
    }
    // A program that does not tell its version may be older than these options.
    if tool.version.is_at_least(10, 0, 0) {
        invocation = invocation.args(["--no-publications", "--no-subscriptions"]);
    }
    // A choice of schemas would leave out what is in none: large objects, and extensions, whose types are
    // used everywhere. A schema that is not there is an error, and not a part of the backup that is missing.
    if !options.include_schemas.is_empty() {
        invocation = invocation.args(["--blobs"]);
        if tool.version.is_at_least(10, 0, 0) {
            invocation = invocation.args(["--strict-names"]);
        }
        if has_extensions && tool.version.is_at_least(14, 0, 0) {
            invocation = invocation.args(["--extension=*"]);
        }
    }
    invocation
        .args(options.include_schemas.iter().map(|schema| format!("--schema={}", quoted(schema.as_str()))))
        .args(options.exclude_tables.iter().map(|table| format!("--exclude-table={}", table_pattern(table))))
        .args(
            options
                .exclude_table_data
                .iter()
                .map(|table| format!("--exclude-table-data={}", table_pattern(table))),
        )
}

/// Builds the command that writes the roles of the server: their attributes, settings and memberships.
pub(crate) fn globals(tool: &Tool, target: &Target, limits: &Limits, with_passwords: bool) -> Invocation {
    let invocation =
        connection(tool, target, limits).args(["--globals-only", "--no-tablespaces", "--no-password"]);
    if with_passwords { invocation } else { invocation.args(["--no-role-passwords"]) }
}

/// Writes a pattern for tables in the form of `pg_dump`. Without a schema it means those of all schemas;
/// left to `pg_dump`, it would mean those of the search path.
fn table_pattern(pattern: &NamePattern) -> String {
    match pattern.as_str().split_once('.') {
        Some((schema, table)) => format!("{}.{}", quoted(schema), quoted(table)),
        None => format!("*.{}", quoted(pattern.as_str())),
    }
}

/// Quotes all of a pattern but its wildcards, so that letters keep their case and no other character means
/// anything.
fn quoted(pattern: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for character in pattern.chars() {
        let is_wildcard = matches!(character, '*' | '?');
        if is_wildcard == inside {
            text.push('"');
            inside = !inside;
        }
        text.push(character);
        if character == '"' {
            text.push('"');
        }
    }
    if inside {
        text.push('"');
    }
    text
}

/// Builds the command that asks the server something.
pub(crate) fn query(tool: &Tool, target: &Target, limits: &Limits, query: &str) -> Invocation {
    connection(tool, target, limits).args(quiet()).args(["--no-align", "--tuples-only", "--command", query])
}

/// Builds the command that loads a dump from its input, all or nothing.
///
/// With a `guard`, a random word, nothing in the dump can make the client run a command of its own: only
/// who knows the word can lift the restriction.
pub(crate) fn load(tool: &Tool, target: &Target, limits: &Limits, guard: Option<&str>) -> Invocation {
    let invocation = connection(tool, target, limits).args(quiet()).args(["--single-transaction"]);
    match guard {
        Some(word) => invocation.args(["--command".to_owned(), format!("\\restrict {word}")]),
        None => invocation,
    }
    .args(["--file", "-"])
}

fn quiet() -> [&'static str; 4] {
    ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"]
}

/// Builds what all commands share: the environment.
fn connection(tool: &Tool, target: &Target, limits: &Limits) -> Invocation {
    let database = if target.database.is_empty() { MAINTENANCE_DATABASE } else { &target.database };
    Invocation::new(tool.name, &tool.program)
        .env("PGHOST", target.bare_host())
        .env("PGPORT", target.port.to_string())
        .env("PGUSER", &target.username)
        .env("PGDATABASE", database)
        .env("PGSSLMODE", tls::of_libpq(target.tls.mode))
        // No try with Kerberos first: it may wait for a name service that is not there.
        .env("PGGSSENCMODE", "disable")
        // libpq takes 1 for 2.
        .env("PGCONNECT_TIMEOUT", limits.connect.as_secs().max(2).to_string())
        .env("PGAPPNAME", "dilux-backup")
        .password_by_variable(PASSWORD, &target.password)
        .reaches(Reach::of(target, limits), Pin::Libpq)
        .authority(AuthorityBy::Variable("PGSSLROOTCERT"), tls::authority(&target.tls))
}

#[cfg(test)]
mod tests {
    use shared::connection::Proof;
    use shared::models::{Tls, TlsMode};

    use super::*;
    use crate::version::Version;

    fn target(database: &str) -> Target {
        Target {
            kind: DatabaseType::Postgresql,
            host: "[::1]".to_owned(),
            port: 5433,
            tls: Tls::default(),
            username: "--help".to_owned(),
            password: "s3cret-word".into(),
            proof: Proof::Password,
            database: database.to_owned(),
        }
    }

    fn tool(name: &'static str) -> Tool {
        let version = Version::of_program("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)");
        Tool { name, program: format!("/usr/lib/postgresql/15/bin/{name}").into(), version }
    }

    #[test]
    fn the_dump_has_nothing_of_the_configuration_in_its_arguments() {
        let invocation = dump(
            &tool("pg_dump"),
            &target("host=evil dbname=x"),
            &Limits::default(),
            &DumpOptions::default(),
            true,
        );
        insta::assert_snapshot!(format!("{invocation:?}"), @r#"
        PGHOST=::1
        PGPORT=5433
        PGUSER=--help
        PGDATABASE=host=evil dbname=x
        PGSSLMODE=prefer
        PGGSSENCMODE=disable
        PGCONNECT_TIMEOUT=10
        PGAPPNAME=dilux-backup
        PGPASSWORD=***
        /usr/lib/postgresql/15/bin/pg_dump "--format=plain" "--clean" "--if-exists" "--no-tablespaces" "--no-password" "--no-owner" "--no-privileges" "--no-publications" "--no-subscriptions"
        "#);
    }

    #[test]
    fn roles_come_without_passwords_unless_they_are_wanted() {
        let last = |with_passwords| {
            let tool = tool("pg_dumpall");
            let text = format!("{:?}", globals(&tool, &target("shop"), &Limits::default(), with_passwords));
            text.lines().last().unwrap_or_default().to_owned()
        };
        insta::assert_snapshot!(last(false), @r#"/usr/lib/postgresql/15/bin/pg_dumpall "--globals-only" "--no-tablespaces" "--no-password" "--no-role-passwords""#);
        insta::assert_snapshot!(last(true), @r#"/usr/lib/postgresql/15/bin/pg_dumpall "--globals-only" "--no-tablespaces" "--no-password""#);
    }

    #[test]
    fn patterns_are_quoted_but_for_their_wildcards() {
        let pattern = |text: &str| text.parse().map(|pattern| table_pattern(&pattern)).unwrap_or_default();
        assert_eq!(pattern("Orders"), r#"*."Orders""#);
        assert_eq!(pattern("audit.log_*"), r#""audit"."log_"*"#);
        assert_eq!(pattern("*.t?st"), r#"*."t"?"st""#);
        assert_eq!(pattern(r#"a"b|c(+)"#), r#"*."a""b|c(+)""#);
        assert_eq!(pattern("*"), "*.*");
    }

    #[test]
    fn a_choice_is_told_by_options_that_hold_nothing_else() {
        let options = DumpOptions {
            exclude_tables: "--file=x".parse().into_iter().collect(),
            exclude_table_data: "app.log*".parse().into_iter().collect(),
            include_schemas: "app".parse().into_iter().collect(),
            include_privileges: true,
            ..DumpOptions::default()
        };
        let invocation = dump(&tool("pg_dump"), &target("shop"), &Limits::default(), &options, true);
        let text = format!("{invocation:?}");
        insta::assert_snapshot!(
            text.lines().last().unwrap_or_default(),
            @r#"/usr/lib/postgresql/15/bin/pg_dump "--format=plain" "--clean" "--if-exists" "--no-tablespaces" "--no-password" "--no-publications" "--no-subscriptions" "--blobs" "--strict-names" "--extension=*" "--schema=\"app\"" "--exclude-table=*.\"--file=x\"" "--exclude-table-data=\"app\".\"log\"*""#
        );
    }

    #[test]
    fn verification_is_told_with_the_authorities() {
        let target = Target { tls: Tls { mode: TlsMode::VerifyCa, ca: None }, ..target("shop") };
        let invocation = format!("{:?}", query(&tool("psql"), &target, &Limits::default(), VERSION_QUERY));
        assert!(invocation.contains("\nPGSSLMODE=verify-ca\n"), "{invocation}");
        assert!(invocation.contains("\nPGSSLROOTCERT=/etc/"), "{invocation}");
    }

    #[test]
    fn a_question_about_the_server_goes_to_the_maintenance_database() {
        let invocation =
            format!("{:?}", query(&tool("psql"), &target(""), &Limits::default(), VERSION_QUERY));
        assert!(invocation.contains("\nPGDATABASE=postgres\n"), "{invocation}");
    }

    #[test]
    fn a_load_is_one_transaction_that_stops_at_the_first_error() {
        let arguments = |guard| {
            let text = format!("{:?}", load(&tool("psql"), &target("shop"), &Limits::default(), guard));
            text.lines().last().unwrap_or_default().to_owned()
        };
        insta::assert_snapshot!(
            arguments(Some("w0rd")),
            @r#"/usr/lib/postgresql/15/bin/psql "--no-psqlrc" "--quiet" "--no-password" "--set=ON_ERROR_STOP=1" "--single-transaction" "--command" "\\restrict w0rd" "--file" "-""#
        );
        insta::assert_snapshot!(
            arguments(None),
            @r#"/usr/lib/postgresql/15/bin/psql "--no-psqlrc" "--quiet" "--no-password" "--set=ON_ERROR_STOP=1" "--single-transaction" "--file" "-""#
        );
    }
}
