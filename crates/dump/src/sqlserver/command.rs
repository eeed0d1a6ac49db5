//! `sqlcmd`: the commands. Pure.
//!
//! There are two programs of this name, Microsoft's older one on ODBC and a newer one in Go; the options here
//! are those that both understand, and the few that only one of them needs. The password is in the
//! environment, statements are in a file of the private folder; both programs would take the latter from an
//! argument as well, where everybody could read it. A token of the directory tells by itself whose it is: the
//! newer program takes it in place of the password, the older one from a file of the private folder.

use shared::connection::Proof;
use shared::models::TlsMode;

use crate::process::{AuthorityBy, Invocation, Pin};
use crate::reach::Reach;
use crate::target::{Limits, Target};
use crate::tls::authority;
use crate::tools::Tool;
use crate::version::Flavour;

/// The database to ask when the question is about the server.
const MASTER: &str = "master";

/// The variable that holds the password; it is seen by the tool's user and by root only.
const PASSWORD: &str = "SQLCMDPASSWORD";

/// What happens after a statement that the server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnError {
    /// The program ends.
    Stop,
    /// The program goes on with the next batch.
    GoOn,
}

/// Builds the command that runs a script.
pub(crate) fn run(
    tool: &Tool,
    target: &Target,
    limits: &Limits,
    script: String,
    on_error: OnError,
) -> Invocation {
    let stop: &[&str] = match on_error {
        OnError::Stop => &["-b"],
        OnError::GoOn => &[],
    };
    // Without any width, neither headings are printed nor values padded or cut.
    connection(tool, target, limits).args(stop.iter().copied()).args(["-y", "0"]).script(script)
}

/// Builds the command that loads a dump from its input and stops at the first error.
pub(crate) fn load(tool: &Tool, target: &Target, limits: &Limits) -> Invocation {
    connection(tool, target, limits).args(["-b", "-y", "0"])
}

fn connection(tool: &Tool, target: &Target, limits: &Limits) -> Invocation {
    let database = if target.database.is_empty() { MASTER } else { &target.database };
    let encoding: &[&str] = match tool.version.flavour {
        // The encoding of scripts and of what is printed; the other program knows no other.
        Flavour::OdbcSqlcmd => &["-f", "65001"],
        Flavour::GoSqlcmd | Flavour::Mysql | Flavour::Mariadb | Flavour::Postgresql | Flavour::Unknown => &[],
    };
    let invocation = Invocation::new(tool.name, &tool.program)
        .args(["-S".to_owned(), server(target)])
        .args(["-d", database]);
    sign_in(invocation, tool, target)
        .reaches(Reach::of(target, limits), Pin::No)
        // Messages on the error stream, no variables, quoted names.
        .args(["-r1", "-x", "-I"])
        .args(encryption(target.tls.mode, tool.version.flavour).iter().copied())
        .args(encoding.iter().copied())
        .args(["-l".to_owned(), limits.connect.as_secs().clamp(1, 65_534).to_string()])
        // What both programs' libraries take for the list of authorities.
        .authority(AuthorityBy::Variable("SSL_CERT_FILE"), authority(&target.tls))
        .env("SQLCMDCOLORSCHEME", "")
}

/// Adds who signs in, and with what.
fn sign_in(invocation: Invocation, tool: &Tool, target: &Target) -> Invocation {
    match (target.proof, tool.version.flavour) {
        (Proof::Password, _) => {
            invocation.args(["-U", &target.username]).password_by_variable(PASSWORD, &target.password)
        }
        // Without a name, the password is the name of a file with the token.
        (Proof::Token, Flavour::OdbcSqlcmd) => invocation.args(["-G"]).token_by_file(&target.password),
        (Proof::Token, _) => invocation
            .args(["--authentication-method", "ActiveDirectoryServicePrincipalAccessToken"])
            .password_by_variable(PASSWORD, &target.password),
    }
}

/// Returns the mode in the words of the programs. `-C` takes any certificate.
///
/// The older one encrypts unless it is told not to have to; the newer one encrypts when the server offers
/// it, and only with one of its own words looks at the certificate.
fn encryption(mode: TlsMode, flavour: Flavour) -> &'static [&'static str] {
    let odbc = flavour == Flavour::OdbcSqlcmd;
    match mode {
        TlsMode::Disable | TlsMode::Prefer if odbc => &["-No", "-C"],
        TlsMode::Disable => &["-Ndisable", "-C"],
        TlsMode::Prefer => &["-C"],
        TlsMode::Require if odbc => &["-Nm", "-C"],
        TlsMode::Require => &["-Ntrue", "-C"],
        TlsMode::VerifyCa | TlsMode::VerifyFull if odbc => &["-Nm"],
        TlsMode::VerifyCa | TlsMode::VerifyFull => &["-Ntrue"],
    }
}

/// Says where the server is. For an instance by its name, the program asks the machine's browser service
/// (UDP 1434) for the port.
fn server(target: &Target) -> String {
    match target.instance() {
        Some(instance) => format!("tcp:{}\\{instance}", target.bare_host()),
        None => format!("tcp:{},{}", target.bare_host(), target.port),
    }
}

#[cfg(test)]
mod tests {
    use shared::connection::Proof;
    use shared::models::{DatabaseType, Tls};

    use super::*;
    use crate::version::Version;

    fn tool(flavour: Flavour) -> Tool {
        let version = Version { flavour, numbers: [1, 8, 2], text: "1.8.2".to_owned() };
        Tool { name: "sqlcmd", program: "/opt/tools/bin/sqlcmd".into(), version }
    }

    fn target(database: &str) -> Target {
        Target {
            kind: DatabaseType::Sqlserver,
            host: "[::1]".to_owned(),
            port: 1433,
            tls: Tls::default(),
            username: "sa".to_owned(),
            password: "s3cret-word".into(),
            proof: Proof::Password,
            database: database.to_owned(),
        }
    }

    fn shown(flavour: Flavour, database: &str, on_error: OnError) -> String {
        let script = "SELECT 1".to_owned();
        format!("{:?}", run(&tool(flavour), &target(database), &Limits::default(), script, on_error))
    }

    #[test]
    fn an_instance_is_looked_for_by_its_name_unless_a_port_says_where_it_is() {
        let at = |host: &str, port| server(&Target { host: host.to_owned(), port, ..target("shop") });
        assert_eq!(at("db1\\SQLEXPRESS", 1433), "tcp:db1\\SQLEXPRESS");
        assert_eq!(at("db1\\SQLEXPRESS", 50_000), "tcp:db1,50000");
        assert_eq!(at("[::1]", 1433), "tcp:::1,1433");
    }

    #[test]
    fn neither_password_nor_statements_are_in_the_arguments() {
        insta::assert_snapshot!(shown(Flavour::GoSqlcmd, "$(x); DROP", OnError::Stop), @r#"
        SQLCMDCOLORSCHEME=
        SQLCMDPASSWORD=***
        /opt/tools/bin/sqlcmd "-S" "tcp:::1,1433" "-d" "$(x); DROP" "-U" "sa" "-r1" "-x" "-I" "-C" "-l" "10" "-b" "-y" "0" -i ***
        "#);
    }

    #[test]
    fn the_older_program_is_told_the_encoding() {
        insta::assert_snapshot!(shown(Flavour::OdbcSqlcmd, "", OnError::GoOn), @r#"
        SQLCMDCOLORSCHEME=
        SQLCMDPASSWORD=***
        /opt/tools/bin/sqlcmd "-S" "tcp:::1,1433" "-d" "master" "-U" "sa" "-r1" "-x" "-I" "-No" "-C" "-f" "65001" "-l" "10" "-y" "0" -i ***
        "#);
    }

    #[test]
    fn a_token_is_in_no_argument_and_goes_to_a_verified_server_only() {
        let with_token = |flavour| {
            let tls = Tls { mode: TlsMode::VerifyFull, ca: None };
            let target = Target { proof: Proof::Token, tls, ..target("shop") };
            let invocation = load(&tool(flavour), &target, &Limits::default());
            format!("{invocation:?}").lines().last().unwrap_or_default().to_owned()
        };
        insta::assert_snapshot!(with_token(Flavour::GoSqlcmd), @r#"/opt/tools/bin/sqlcmd "-S" "tcp:::1,1433" "-d" "shop" "--authentication-method" "ActiveDirectoryServicePrincipalAccessToken" "-r1" "-x" "-I" "-Ntrue" "-l" "10" "-b" "-y" "0""#);
        insta::assert_snapshot!(with_token(Flavour::OdbcSqlcmd), @r#"/opt/tools/bin/sqlcmd "-S" "tcp:::1,1433" "-d" "shop" "-G" "-r1" "-x" "-I" "-Nm" "-f" "65001" "-l" "10" "-b" "-y" "0" -P ***"#);
    }

    #[test]
    fn no_certificate_is_taken_unseen_where_it_is_to_be_verified() {
        for flavour in [Flavour::GoSqlcmd, Flavour::OdbcSqlcmd, Flavour::Unknown] {
            for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
                assert!(!encryption(mode, flavour).contains(&"-C"), "{mode:?}");
            }
            for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
                let words = encryption(mode, flavour);
                assert!(words.contains(&"-Nm") || words.contains(&"-Ntrue"), "{mode:?}");
            }
        }
    }
}
