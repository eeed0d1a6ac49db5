//! Questions to a server: is it there, what is it, which databases has it.
//!
//! They go through the same client programs, credentials and encryption as a dump, so that a good answer
//! means that a dump would connect as well.

use std::time::{Duration, Instant};

use shared::models::DatabaseType;

use crate::classify::failure;
use crate::definers::Accounts;
use crate::error::DumpError;
use crate::mysql::{self, Survey};
use crate::postgresql;
use crate::process::{self, Ending};
use crate::reach::Reach;
use crate::rights::{self, Rights};
use crate::sqlserver::{self, Identified};
use crate::target::{Limits, Target};
use crate::tls;
use crate::tools::{Tool, Tools};
use crate::version::Version;

/// The time limit for one question, connecting included.
const QUESTION_LIMIT: Duration = Duration::from_secs(30);

/// What a server said when it was tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The version of the server in its own words.
    pub server_version: String,
    /// The time from the start of the client program to its end: connecting, signing in, one query.
    pub latency: Duration,
}

/// Connects to a server, and to the database when there is one, and asks for its version.
///
/// Fails after 30 seconds at the latest. Without a database, the question goes to the maintenance database
/// `postgres` of PostgreSQL, and to none of MySQL.
pub async fn probe(tools: &Tools, target: &Target, limits: &Limits) -> Result<Probe, DumpError> {
    let server = identify(tools, target, limits).await?;
    Ok(Probe { server_version: server.version.text, latency: server.latency })
}

/// Lists the databases of a server, its own ones included, sorted by name.
///
/// Fails after 30 seconds at the latest. The target's database is not looked at.
pub async fn discover(tools: &Tools, target: &Target, limits: &Limits) -> Result<Vec<String>, DumpError> {
    let target = Target { database: String::new(), ..target.clone() };
    if is_sql_server(&target) {
        target.check()?;
        admit(tools, &target, limits).await?;
        let limit = QUESTION_LIMIT.min(limits.deadline);
        let mut names = sqlserver::discover(tools, &target, limits, limit).await?;
        names.sort();
        return Ok(names);
    }
    let answer = ask(tools, &target, limits, Question::Databases).await?;
    let mut names: Vec<String> = answer.text.lines().filter_map(name_from_hex).collect();
    names.sort();
    Ok(names)
}

/// A server that has said what it is.
#[derive(Debug)]
pub(crate) struct Server {
    /// What it is.
    pub version: Version,
    /// The client that it has answered to.
    pub client: Tool,
    latency: Duration,
}

/// Finds out what a server is, and which of the installed clients can sign in to it.
pub(crate) async fn identify(tools: &Tools, target: &Target, limits: &Limits) -> Result<Server, DumpError> {
    if is_sql_server(target) {
        target.check()?;
        admit(tools, target, limits).await?;
        let limit = QUESTION_LIMIT.min(limits.deadline);
        let Identified { version, client, latency } =
            sqlserver::identify(tools, target, limits, limit).await?;
        return Ok(Server { version, client, latency });
    }
    let Answer { client, text, latency } = ask(tools, target, limits, Question::Version).await?;
    let version = match target.kind {
        DatabaseType::Mysql => Version::of_mysql_server(&text),
        DatabaseType::Postgresql => Version::of_postgresql_server(&text),
        DatabaseType::Sqlserver | DatabaseType::AzureSql => {
            return Err(DumpError::Unsupported { kind: target.kind });
        }
    };
    Ok(Server { version, client, latency })
}

/// Finds out what in a MySQL or MariaDB database needs care when it is dumped.
pub(crate) async fn survey(tools: &Tools, target: &Target, limits: &Limits) -> Result<Survey, DumpError> {
    ask(tools, target, limits, Question::Survey).await.map(|answer| Survey::read(&answer.text))
}

/// Lists the tables and views of a MySQL or MariaDB database.
pub(crate) async fn tables(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
) -> Result<Vec<String>, DumpError> {
    let answer = ask(tools, target, limits, Question::Tables).await?;
    Ok(answer.text.lines().filter_map(name_from_hex).collect())
}

fn is_sql_server(target: &Target) -> bool {
    matches!(target.kind, DatabaseType::Sqlserver | DatabaseType::AzureSql)
}

/// Lists the extensions of a PostgreSQL database.
pub(crate) async fn extensions(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
) -> Result<Vec<String>, DumpError> {
    let answer = ask(tools, target, limits, Question::Extensions).await?;
    Ok(answer.text.lines().map(str::to_owned).collect())
}

/// Lists the schemas of a PostgreSQL database in which extensions are.
pub(crate) async fn extension_schemas(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
) -> Result<Vec<String>, DumpError> {
    let answer = ask(tools, target, limits, Question::Other(postgresql::EXTENSION_SCHEMAS_QUERY)).await?;
    Ok(answer.text.lines().filter_map(name_from_hex).collect())
}

/// Tells whether a PostgreSQL database is empty. What cannot be found out counts as no.
pub(crate) async fn is_empty(tools: &Tools, target: &Target, limits: &Limits) -> bool {
    match ask(tools, target, limits, Question::Other(postgresql::EMPTY_QUERY)).await {
        Ok(answer) => answer.text.trim() == "t",
        Err(error) => {
            tracing::info!(%error, "the server does not tell whether the database is empty");
            false
        }
    }
}

/// Asks a server, outside of any database, something that is not among the usual questions.
pub(crate) async fn question(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
    query: &'static str,
) -> Result<String, DumpError> {
    let target = Target { database: String::new(), ..target.clone() };
    ask(tools, &target, limits, Question::Other(query)).await.map(|answer| answer.text)
}

/// Finds out what a user may see of a MySQL or MariaDB database, if the server tells.
pub(crate) async fn rights(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
    server: &Version,
) -> Option<Rights> {
    match question(tools, target, limits, rights::GRANTS_QUERY).await {
        Ok(answer) => Rights::read(&answer, &target.database, server),
        Err(error) => {
            tracing::info!(%error, "the server does not tell what the user may");
            None
        }
    }
}

/// Finds out whom a MySQL or MariaDB server takes as definers. What it does not tell counts as allowed.
pub(crate) async fn accounts(tools: &Tools, target: &Target, limits: &Limits) -> Accounts {
    let rights = question(tools, target, limits, mysql::OWN_RIGHTS_QUERY).await;
    let known = question(tools, target, limits, mysql::ACCOUNTS_QUERY).await;
    let known = known.inspect_err(|error| tracing::info!(%error, "the server does not list its users"));
    mysql::accounts(rights.ok().as_deref(), known.ok().as_deref())
}

/// What a server can be asked.
#[derive(Debug, Clone, Copy)]
enum Question {
    Version,
    Databases,
    /// For MySQL and MariaDB only.
    Survey,
    /// For MySQL and MariaDB only.
    Tables,
    /// For PostgreSQL only.
    Extensions,
    Other(&'static str),
}

struct Answer {
    client: Tool,
    text: String,
    latency: Duration,
}

/// Refuses a host that may not be connected to before any program is looked for. Each start of a program
/// that connects looks once more.
async fn admit(tools: &Tools, target: &Target, limits: &Limits) -> Result<(), DumpError> {
    Reach::of(target, limits).admit(tools).await.map(drop)
}

/// Asks with the clients that are installed, within the limit for a question.
async fn ask(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
    question: Question,
) -> Result<Answer, DumpError> {
    target.check()?;
    admit(tools, target, limits).await?;
    let limit = QUESTION_LIMIT.min(limits.deadline);
    let until = Instant::now() + limit;
    let clients = match target.kind {
        DatabaseType::Mysql => tools.mysql().await?,
        DatabaseType::Postgresql => vec![tools.any_psql().await?],
        DatabaseType::Sqlserver | DatabaseType::AzureSql => Vec::new(),
    };
    let mut refused = DumpError::Unsupported { kind: target.kind };
    let must_be_asked = |client: &Tool| tls::must_be_asked(target.tls.mode, client.version.flavour);
    for client in clients {
        let began = Instant::now();
        let invocation = match (target.kind, question) {
            (DatabaseType::Mysql, Question::Other(query)) => mysql::query(&client, target, limits, query),
            (_, Question::Other(query)) => postgresql::query(&client, target, limits, query),
            (DatabaseType::Mysql, Question::Version) if must_be_asked(&client) => {
                mysql::query(&client, target, limits, mysql::ENCRYPTION_QUERY)
            }
            (DatabaseType::Mysql, Question::Version) => {
                mysql::query(&client, target, limits, mysql::VERSION_QUERY)
            }
            (DatabaseType::Mysql, Question::Databases) => {
                mysql::query(&client, target, limits, mysql::DATABASES_QUERY)
            }
            (DatabaseType::Mysql, Question::Survey) => {
                mysql::query(&client, target, limits, mysql::SURVEY_QUERY)
            }
            (DatabaseType::Mysql, Question::Tables) => {
                mysql::query(&client, target, limits, mysql::TABLES_QUERY)
            }
            (_, Question::Extensions) => {
                postgresql::query(&client, target, limits, postgresql::EXTENSIONS_QUERY)
            }
            (_, Question::Version | Question::Survey | Question::Tables) => {
                postgresql::query(&client, target, limits, postgresql::VERSION_QUERY)
            }
            (_, Question::Databases) => {
                postgresql::query(&client, target, limits, postgresql::DATABASES_QUERY)
            }
        };
        let output = match process::output(tools, invocation, until.saturating_duration_since(began)).await {
            Err(DumpError::Timeout { tool, .. }) => Err(DumpError::Timeout { tool, after: limit }),
            other => other,
        }?;
        if output.ending == Ending::SUCCESS {
            let asked = matches!(question, Question::Version) && must_be_asked(&client);
            if asked && !tls::is_encrypted(&output.stdout) {
                return Err(DumpError::Unencrypted { server: target.server() });
            }
            return Ok(Answer { client, text: output.stdout, latency: began.elapsed() });
        }
        refused = failure(target, client.name, output.ending, &output.said);
        // The client of the other maker may know a way to sign in that this one does not.
        if !matches!(refused, DumpError::PluginMissing { .. }) {
            break;
        }
    }
    Err(refused)
}

/// Reads a name back from hexadecimal; one that is not UTF-8 could not be configured, and is left out.
pub(crate) fn name_from_hex(line: &str) -> Option<String> {
    let digits = line.trim().as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use shared::connection::Proof;
    use shared::targets::TargetRule;

    use super::*;

    #[test]
    fn names_come_back_from_hexadecimal() {
        assert_eq!(name_from_hex("73686f70"), Some("shop".to_owned()));
        assert_eq!(name_from_hex("C3BC0A"), Some("ü\n".to_owned()));
        for wrong in ["", "7", "zz", "FF"] {
            assert_eq!(name_from_hex(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_host_that_is_not_allowed_is_refused_before_any_program_is_looked_for() {
        let nothing = || Tools::new(Vec::new());
        let target = |host: &str| Target {
            kind: DatabaseType::Mysql,
            host: host.to_owned(),
            port: 3306,
            tls: shared::models::Tls::default(),
            username: "app".to_owned(),
            password: "x".into(),
            proof: Proof::Password,
            database: String::new(),
        };
        let class = async |tools: &Tools, host: &str| {
            probe(tools, &target(host), &Limits::default()).await.map_or_else(|error| error.class(), |_| "")
        };
        let production = nothing().with_targets(TargetRule::new(Vec::new(), true));
        for host in ["localhost", "127.1", "0x7f000001", "[::1]", "169.254.169.254", "::ffff:a9fe:a9fe"] {
            assert_eq!(class(&production, host).await, "TargetRefused", "{host}");
        }
        assert_eq!(class(&production, "10.0.0.7").await, "ToolNotFound");
        assert_eq!(class(&production, "nowhere.invalid").await, "UnknownHost");
        // A program that is started without having been asked about before finds the same door.
        let program = Tool { name: "mysql", program: "/bin/true".into(), version: Version::of_program("") };
        for (host, refused) in [("169.254.169.254", true), ("10.0.0.7", false)] {
            let invocation = mysql::query(&program, &target(host), &Limits::default(), mysql::VERSION_QUERY);
            let started = process::output(&production, invocation, QUESTION_LIMIT).await;
            assert_eq!(matches!(started, Err(DumpError::TargetRefused { .. })), refused, "{host}");
        }
        let developer = nothing().with_targets(TargetRule::default());
        assert_eq!(class(&developer, "localhost").await, "ToolNotFound");
        assert_eq!(class(&developer, "2852039166").await, "TargetRefused");
    }
}
