//! MySQL and MariaDB: the commands. Pure.
//!
//! Everything that comes from a configuration is in the option file, where it is quoted, except the name of
//! the database to dump: `mysqldump` takes it as an argument only, after `--`, which ends the options.

use secrecy::ExposeSecret;
use shared::models::{Consistency, DumpOptions, NamePattern, TlsMode};

use crate::definers::{Account, Accounts};
use crate::error::DumpError;
use crate::option_file::OptionFile;
use crate::process::{AuthorityBy, Invocation, Pin};
use crate::reach::Reach;
use crate::remarks::Remarks;
use crate::server::name_from_hex;
use crate::target::{Limits, Target};
use crate::tls;
use crate::tools::Tool;
use crate::version::{Flavour, Version};

/// Asks for the version of the server; fails when the database is not there.
pub(crate) const VERSION_QUERY: &str = "SELECT VERSION()";

/// Asks for the version of the server, and whether the connection is encrypted.
pub(crate) const ENCRYPTION_QUERY: &str = "SELECT VERSION(); SHOW SESSION STATUS LIKE 'Ssl_cipher'";

/// Asks for the names of all databases, in hexadecimal, so that any name stays on its line.
pub(crate) const DATABASES_QUERY: &str =
    "SELECT HEX(CONVERT(SCHEMA_NAME USING utf8mb4)) FROM information_schema.SCHEMATA";

/// Asks for what in a database needs care when it is dumped: events with `;;` in them, tables that keep
/// their history, those among them that count it by transactions instead of time, and tables that know no
/// transactions.
pub(crate) const SURVEY_QUERY: &str = "SELECT \
    (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() \
        AND CONCAT(EVENT_NAME, EVENT_DEFINITION, EVENT_COMMENT) LIKE '%;;%'), \
    (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
        AND TABLE_TYPE = 'SYSTEM VERSIONED'), \
    (SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() \
        AND GENERATION_EXPRESSION = 'ROW START' AND DATA_TYPE = 'bigint'), \
    (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
        AND TABLE_TYPE = 'BASE TABLE' AND ENGINE NOT IN \
        (SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'))";

/// Asks for the names of all tables and views, in hexadecimal, so that any name stays on its line.
pub(crate) const TABLES_QUERY: &str = "SELECT HEX(CONVERT(TABLE_NAME USING utf8mb4)) \
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";

/// Asks who the user is on the server, in hexadecimal, and what it may.
pub(crate) const OWN_RIGHTS_QUERY: &str = "SELECT CONCAT('u ', HEX(CONVERT(CURRENT_USER() USING utf8mb4))); \
    SELECT CONCAT('r ', PRIVILEGE_TYPE) FROM information_schema.USER_PRIVILEGES \
    WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), ''''); SHOW GRANTS";

/// Asks for all users and roles, in hexadecimal.
pub(crate) const ACCOUNTS_QUERY: &str =
    "SELECT HEX(CONVERT(User USING utf8mb4)), HEX(CONVERT(Host USING utf8mb4)) FROM mysql.user";

/// The rights to name another user than oneself as a definer; their names have changed over the years.
pub(crate) const NAMING_OTHERS: [&str; 4] = ["SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER"];

/// Reads the answers about users; what was not answered counts as allowed.
pub(crate) fn accounts(rights: Option<&str>, known: Option<&str>) -> Accounts {
    let account = |user: &str, host: &str| Account { user: user.to_owned(), host: host.to_owned() }.normal();
    let text = |hex: &str| if hex.is_empty() { Some(String::new()) } else { name_from_hex(hex) };
    let known = known.map(|answer| {
        let read = |line: &str| {
            let (user, host) = line.split_once('\t')?;
            Some(account(&text(user)?, &text(host.trim_end())?))
        };
        answer.lines().filter_map(read).collect()
    });
    let Some(rights) = rights else { return Accounts { known, own: None, may_name_others: true } };
    let own = rights.lines().find_map(|line| text(line.strip_prefix("u ")?));
    let own = own.and_then(|name| name.rsplit_once('@').map(|(user, host)| account(user, host)));
    // Of the rights that come with a role nothing is known here.
    let has_role = |line: &str| line.starts_with("GRANT ") && !line.contains(" ON ");
    let may = |line: &str| line.strip_prefix("r ").is_some_and(|right| NAMING_OTHERS.contains(&right));
    let may_name_others = rights.lines().any(|line| may(line) || has_role(line));
    Accounts { known, own, may_name_others }
}

/// What in a database needs care when it is dumped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    awkward_events: u32,
    versioned_tables: u32,
    counted_by_transactions: u32,
    without_transactions: u32,
}

impl Survey {
    /// Reads the answer to the query; an answer that is not understood tells of nothing.
    pub(crate) fn read(answer: &str) -> Self {
        let mut numbers = answer.split_whitespace().map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        match (next(), next(), next()) {
            (Some(awkward_events), Some(versioned_tables), Some(counted_by_transactions)) => Self {
                awkward_events,
                versioned_tables,
                counted_by_transactions,
                without_transactions: next().unwrap_or(0),
            },
            _ => Self::default(),
        }
    }

    /// Notes what has to be known about the dump.
    pub(crate) fn remark(&self, remarks: &Remarks, keeps_history: bool) {
        if self.without_transactions > 0 {
            remarks.set_consistency(Consistency::PerTable);
            remarks.warn(format!(
                "{} tables are of a kind without transactions (such as MyISAM or Aria): rows that changed \
                 during the dump may not fit those of other tables; convert them to InnoDB",
                self.without_transactions
            ));
        } else {
            remarks.set_consistency(Consistency::Snapshot);
        }
        if self.versioned_tables > 0 && !keeps_history {
            remarks.warn(format!(
                "the history of {} system-versioned tables is not in the dump, only their present rows",
                self.versioned_tables
            ));
        }
    }

    /// Tells whether the history of tables can be dumped by this program from this server.
    pub(crate) fn keeps_history(&self, tool: &Tool, server: &Version) -> bool {
        tool.version.flavour == Flavour::Mariadb
            && tool.version.is_at_least(10, 11, 0)
            && server.is_at_least(10, 11, 0)
            && self.versioned_tables > 0
            && self.counted_by_transactions == 0
    }
}

/// The tables that are left out of a dump, all of them or only their rows, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub tables: Vec<String>,
    pub rows: Vec<String>,
}

impl LeftOut {
    /// Finds the tables that the patterns mean.
    pub(crate) fn among(names: &[String], options: &DumpOptions) -> Self {
        let meant = |patterns: &[NamePattern]| {
            let is_meant = |name: &&String| patterns.iter().any(|pattern| pattern.matches(name));
            names.iter().filter(is_meant).cloned().collect()
        };
        Self { tables: meant(&options.exclude_tables), rows: meant(&options.exclude_table_data) }
    }

    /// Writes the options. They take the table after the first dot, whatever is in its name.
    fn options(&self, database: &str) -> impl Iterator<Item = String> {
        let option = move |option: &'static str, names: &[String]| -> Vec<String> {
            names.iter().map(|name| format!("{option}={database}.{name}")).collect()
        };
        let tables = option("--ignore-table", &self.tables);
        tables.into_iter().chain(option("--ignore-table-data", &self.rows))
    }
}

/// The largest row that servers accept; the clients' own limit is far lower.
const LARGEST_ROW: &str = "--max-allowed-packet=1073741824";

/// Builds the command that writes a dump, unless the program would never come to an end of it.
///
/// The dump names no database, so that it can be loaded into any. It locks no tables when it is loaded:
/// MariaDB could not fill a table then whose default values come from a sequence. Options that only one of the two makers
/// knows are given to that one: the other would refuse to start. The history of tables is dumped where it
/// can be: by programs and servers from 10.11 on, and only by time.
pub(crate) fn dump(
    tool: &Tool,
    target: &Target,
    limits: &Limits,
    server: &Version,
    survey: Survey,
    left_out: &LeftOut,
) -> Result<Invocation, DumpError> {
    let mariadb = tool.version.flavour == Flavour::Mariadb;
    if mariadb && survey.awkward_events > 0 {
        return Err(DumpError::ToolDefect {
            tool: tool.name,
            reason: "one of its events contains two semicolons in a row, at which the program runs for ever; \
                     change the text of the event",
        });
    }
    if !mariadb && !left_out.rows.is_empty() {
        return Err(DumpError::ToolDefect {
            tool: tool.name,
            reason: "it cannot leave out the rows of single tables; install MariaDB's client programs, or use \
                     exclude_tables instead of exclude_table_data",
        });
    }
    let own: &[&str] = match tool.version.flavour {
        Flavour::Mysql if tool.version.is_at_least(8, 0, 0) => {
            &["--set-gtid-purged=OFF", "--column-statistics=0"]
        }
        Flavour::Mysql => &["--set-gtid-purged=OFF"],
        Flavour::Mariadb
        | Flavour::Postgresql
        | Flavour::OdbcSqlcmd
        | Flavour::GoSqlcmd
        | Flavour::Unknown => &[],
    };
    let history = survey.keeps_history(tool, server);
    Ok(connection(tool, target, limits)
        .args([
            "--single-transaction",
            "--routines",
            "--triggers",
            "--events",
            "--quick",
            "--hex-blob",
            "--skip-lock-tables",
            "--skip-add-locks",
            "--no-tablespaces",
            "--default-character-set=utf8mb4",
            LARGEST_ROW,
        ])
        .args(own.iter().copied())
        .args(history.then_some("--dump-history"))
        .args(left_out.options(&target.database))
        .args(["--", target.database.as_str()]))
}

/// Builds the command that writes the code of a database: its triggers, routines and events.
pub(crate) fn code(tool: &Tool, target: &Target, limits: &Limits) -> Invocation {
    definitions(tool, target, limits)
        .args(["--no-create-info", "--triggers", "--routines", "--events"])
        .args(["--", target.database.as_str()])
}

/// Builds the command that writes these views of a database, if there are any.
pub(crate) fn views(tool: &Tool, target: &Target, limits: &Limits, views: &[String]) -> Option<Invocation> {
    if views.is_empty() {
        return None;
    }
    let views = views.iter().map(String::as_str);
    Some(
        definitions(tool, target, limits)
            .args(["--skip-triggers", "--", target.database.as_str()])
            .args(views),
    )
}

/// Builds what the commands share that write definitions and no rows.
fn definitions(tool: &Tool, target: &Target, limits: &Limits) -> Invocation {
    let is_mysql = tool.version.flavour == Flavour::Mysql;
    connection(tool, target, limits)
        .args([
            "--no-data",
            "--skip-lock-tables",
            "--skip-add-locks",
            "--no-tablespaces",
            "--default-character-set=utf8mb4",
        ])
        .args(is_mysql.then_some("--set-gtid-purged=OFF"))
}

/// Builds the command that asks the server something.
pub(crate) fn query(tool: &Tool, target: &Target, limits: &Limits, query: &str) -> Invocation {
    connection(tool, target, limits).args([
        "--batch",
        "--skip-column-names",
        "--default-character-set=utf8mb4",
        "--execute",
        query,
    ])
}

/// Builds the command that loads a dump from its input.
///
/// In binary mode the client passes on what it reads: line ends within texts stay what they are, and
/// nothing in a dump can make the client run a command of its own. It would leave out comments, which are
/// part of the code of routines, unless told to send them. Without `--force` it stops at the first error.
pub(crate) fn load(tool: &Tool, target: &Target, limits: &Limits) -> Invocation {
    connection(tool, target, limits).args([
        "--batch",
        "--binary-mode",
        "--comments",
        "--default-character-set=utf8mb4",
        LARGEST_ROW,
    ])
}

/// The clients read option files in pieces of 4096 bytes, and each byte may need an escape.
const LONGEST_IN_FILE: usize = 2000;

/// The variable that holds a password; it is seen by the tool's user and by root only.
const PASSWORD: &str = "MYSQL_PWD";

/// Builds what all commands share: the option file.
fn connection(tool: &Tool, target: &Target, limits: &Limits) -> Invocation {
    let mut file = OptionFile::default()
        .group("client")
        // By TCP also to localhost, which the clients otherwise take for a socket on this machine.
        .set("protocol", "tcp")
        .set("host", target.bare_host())
        .set("port", &target.port.to_string())
        .set("user", &target.username);
    // A token, which is longer than a line of an option file may be, goes by the environment.
    let is_long = target.password.expose_secret().len() > LONGEST_IN_FILE;
    if !is_long {
        file = file.set("password", target.password.expose_secret());
    }
    if target.tls.mode == TlsMode::VerifyFull && tool.version.flavour != Flavour::Mariadb {
        // MySQL's own clients send no password as it is unless they are told to, which is how tokens are
        // sent. The server has proved who it is by then. MariaDB's clients do not know the option.
        file = file.set("loose-enable-cleartext-plugin", "1");
    }
    file = tls::of_mysql(target.tls.mode, tool.version.flavour, file)
        .group("mysql")
        .set("connect-timeout", &limits.connect.as_secs().max(1).to_string())
        // A server must not be able to fetch files of this machine.
        .set("local-infile", "0")
        // A new connection in the middle of a load would have lost the settings of the dump's head.
        .set("loose-reconnect", "0");
    if !target.database.is_empty() {
        file = file.set("database", &target.database);
    }
    let invocation = Invocation::new(tool.name, &tool.program);
    let invocation =
        if is_long { invocation.password_by_variable(PASSWORD, &target.password) } else { invocation };
    invocation
        .reaches(Reach::of(target, limits), Pin::No)
        .password_by_option_file(&target.password, file.finish())
        .authority(AuthorityBy::Option("--ssl-ca="), tls::authority(&target.tls))
}

#[cfg(test)]
mod tests {
    use shared::connection::Proof;
    use shared::models::{Authorities, DatabaseType, Tls};

    use super::*;

    fn target() -> Target {
        Target {
            kind: DatabaseType::Mysql,
            host: "localhost".to_owned(),
            port: 3307,
            tls: Tls::default(),
            username: "back\"up".to_owned(),
            password: "s3cret-word".into(),
            proof: Proof::Password,
            database: "--result-file=/tmp/x".to_owned(),
        }
    }

    fn tool(name: &'static str, line: &str) -> Tool {
        Tool { name, program: format!("/usr/bin/{name}").into(), version: Version::of_program(line) }
    }

    const MARIADB: &str = "mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)";

    fn dumped_by(line: &str, survey: Survey) -> Result<String, DumpError> {
        let server = Version::of_mysql_server("10.11.19-MariaDB");
        dump(&tool("mysqldump", line), &target(), &Limits::default(), &server, survey, &LeftOut::default())
            .map(|invocation| format!("{invocation:?}"))
    }

    #[test]
    fn a_survey_decides_on_history_and_refuses_what_would_never_end() {
        assert_eq!(Survey::read("10.11.19-MariaDB\n"), Survey::default());
        let history = |answer: &str, line: &str| {
            dumped_by(line, Survey::read(answer)).map(|text| text.contains("--dump-history"))
        };
        let older = "mysqldump  Ver 10.19 Distrib 10.6.22-MariaDB, for x (y)";
        assert!(matches!(history("0\t2\t0\n", MARIADB), Ok(true)));
        assert!(matches!(history("0\t2\t1\n", MARIADB), Ok(false)));
        assert!(matches!(history("0\t0\t0\n", MARIADB), Ok(false)));
        assert!(matches!(history("0\t2\t0\n", older), Ok(false)));
        let error = history("1\t0\t0\n", MARIADB);
        assert!(matches!(error, Err(DumpError::ToolDefect { .. })), "{error:?}");
    }

    #[test]
    fn tables_without_transactions_and_lost_history_are_remarked() {
        let said = |answer: &str| {
            let remarks = Remarks::default();
            let survey = Survey::read(answer);
            let server = Version::of_mysql_server("10.11.19-MariaDB");
            survey.remark(&remarks, survey.keeps_history(&tool("mysqldump", MARIADB), &server));
            (remarks.consistency(), remarks.warnings().as_slice().len())
        };
        assert_eq!(said("0\t0\t0\t0\n"), (Some(Consistency::Snapshot), 0));
        assert_eq!(said("0\t2\t0\t0\n"), (Some(Consistency::Snapshot), 0));
        assert_eq!(said("0\t2\t1\t3\n"), (Some(Consistency::PerTable), 2));
    }

    #[test]
    fn whom_a_server_takes_as_definers_is_read_from_its_answers() {
        let read = |rights: &str, known: Option<&str>| accounts(Some(rights), known);
        let found =
            read("u 6261636B75704025\nr SELECT\nr SET USER\n", Some("6D65\t4C4F43414C\n726F6C65\t\n"));
        let account = |user: &str, host: &str| Account { user: user.to_owned(), host: host.to_owned() };
        assert_eq!(found.own, Some(account("backup", "%")));
        assert_eq!(found.known, Some([account("me", "local"), account("role", "")].into()));
        assert!(found.may_name_others);
        assert!(!read("u 61402562\nr SELECT\nGRANT SELECT ON *.* TO a\n", None).may_name_others);
        assert!(read("u 61402562\nGRANT `admin`@`%` TO `a`@`%`\n", None).may_name_others);
        assert!(accounts(None, None).may_name_others);
    }

    #[test]
    fn tables_are_left_out_by_their_names() {
        let names = ["log_1", "log.2", "orders"].map(str::to_owned);
        let patterns = |text: &str| text.parse().into_iter().collect();
        let options = DumpOptions {
            exclude_tables: patterns("log?*"),
            exclude_table_data: patterns("orders"),
            ..DumpOptions::default()
        };
        let left_out = LeftOut::among(&names, &options);
        let options: Vec<String> = left_out.options("shop").collect();
        assert_eq!(
            options,
            ["--ignore-table=shop.log_1", "--ignore-table=shop.log.2", "--ignore-table-data=shop.orders"]
        );
        let mysql =
            tool("mysqldump", "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)");
        let server = Version::of_mysql_server("8.0.36");
        let error = dump(&mysql, &target(), &Limits::default(), &server, Survey::default(), &left_out);
        assert!(matches!(error, Err(DumpError::ToolDefect { .. })), "{error:?}");
    }

    #[test]
    fn mariadb_gets_no_options_of_mysql() {
        let invocation = dumped_by(MARIADB, Survey::default()).unwrap_or_default();
        insta::assert_snapshot!(
            invocation,
            @r#"/usr/bin/mysqldump --defaults-file=*** "--single-transaction" "--routines" "--triggers" "--events" "--quick" "--hex-blob" "--skip-lock-tables" "--skip-add-locks" "--no-tablespaces" "--default-character-set=utf8mb4" "--max-allowed-packet=1073741824" "--" "--result-file=/tmp/x""#
        );
    }

    #[test]
    fn mysql_gets_its_own_options_from_their_versions_on() {
        let own = |line| {
            let text = dumped_by(line, Survey::default()).unwrap_or_default();
            (text.contains("--set-gtid-purged=OFF"), text.contains("--column-statistics=0"))
        };
        assert_eq!(
            own("mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)"),
            (true, true)
        );
        assert_eq!(own("mysqldump  Ver 10.13 Distrib 5.7.44, for linux-glibc2.12 (x86_64)"), (true, false));
        assert_eq!(own("a wrapper"), (false, false));
    }

    #[test]
    fn authorities_come_right_after_the_option_file() {
        let ca: Option<Authorities> =
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".parse().ok();
        assert!(ca.is_some());
        let target = Target { tls: Tls { mode: TlsMode::VerifyFull, ca }, ..target() };
        let invocation = query(&tool("mysql", MARIADB), &target, &Limits::default(), VERSION_QUERY);
        insta::assert_snapshot!(
            format!("{invocation:?}"),
            @r#"/usr/bin/mysql --defaults-file=*** --ssl-ca=(its own) "--batch" "--skip-column-names" "--default-character-set=utf8mb4" "--execute" "SELECT VERSION()""#
        );
    }

    #[test]
    fn a_token_goes_as_it_is_to_a_verified_server_only() {
        const MYSQL: &str = "mysql  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)";
        let token = "x".repeat(3000);
        let with = |proof, mode, line| {
            let tls = Tls { mode, ca: None };
            let target = Target { proof, tls, password: token.clone().into(), ..target() };
            let invocation = query(&tool("mysql", line), &target, &Limits::default(), VERSION_QUERY);
            let shown = format!("{invocation:?}");
            assert!(!shown.contains("xxx") && shown.contains("MYSQL_PWD=***"), "{shown}");
            let file = invocation.option_file().unwrap_or_default().to_owned();
            assert!(!file.contains("xxx"), "too long for a line: {file}");
            file
        };
        let file = with(Proof::Token, TlsMode::VerifyFull, MYSQL);
        assert!(file.contains("\nloose-enable-cleartext-plugin=\"1\"\n"), "{file}");
        assert!(file.contains("\nssl-mode=\"VERIFY_IDENTITY\"\n"), "{file}");
        // MariaDB's send it to whoever asks, so that the server has to prove who it is before.
        let file = with(Proof::Token, TlsMode::VerifyFull, MARIADB);
        assert!(!file.contains("cleartext"), "{file}");
        assert!(file.contains("\nssl=\"1\"\nssl-verify-server-cert=\"1\"\n"), "{file}");
        for mode in [TlsMode::Disable, TlsMode::Prefer, TlsMode::Require, TlsMode::VerifyCa] {
            assert!(!with(Proof::Password, mode, MYSQL).contains("cleartext"), "{mode}");
            let tls = Tls { mode, ca: None };
            assert!(Target { proof: Proof::Token, tls, ..target() }.check().is_err(), "{mode}");
        }
    }

    #[test]
    fn the_option_file_holds_what_the_configuration_says() {
        let invocation = query(&tool("mysql", MARIADB), &target(), &Limits::default(), VERSION_QUERY);
        insta::assert_snapshot!(invocation.option_file().unwrap_or_default(), @r#"
        [client]
        protocol="tcp"
        host="localhost"
        port="3307"
        user="back\"up"
        password="s3cret-word"
        ssl-verify-server-cert="0"
        [mysql]
        connect-timeout="10"
        local-infile="0"
        loose-reconnect="0"
        database="--result-file=/tmp/x"
        "#);
    }
}
