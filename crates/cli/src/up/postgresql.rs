//! The sample PostgreSQL server: private, on the loopback address, with its data below
//! `.local/postgresql`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::error::UpError;
use super::passwords::Passwords;
use super::place::{Place, remove, write_private};
use super::process::Stopping;
use super::programs::{Account, command, find, run};
use super::running::{Look, Running, Service};
use super::samples::{ADMIN_USER, BACKUP_USER, SAMPLE_DATABASE, Sample};

const NAME: &str = "PostgreSQL";
const ADMIN_KEY: &str = "postgresql_admin";

/// Starts the server, making its data folder and loading the sample on the first occasion.
pub(super) async fn start(
    place: &Place,
    port: u16,
    passwords: &mut Passwords,
    running: &mut Running,
) -> Result<Sample, UpError> {
    let folder = place.folder("postgresql")?;
    let account = Account::of("postgres", &folder).await?;
    let data = folder.join("data");
    // The password of the first account is fixed when the data folder is made.
    if data.exists() && !passwords.knows(ADMIN_KEY) {
        return Err(UpError::PasswordLost { passwords: passwords.path(), key: ADMIN_KEY, data: folder });
    }
    let admin = passwords.get_or_make(ADMIN_KEY)?;
    let backup = passwords.get_or_make("postgresql_backup")?;
    if !data.exists() {
        println!("dilux: making the data folder of {NAME}");
        make_data_folder(&account, &data, admin.expose_secret()).await?;
    }
    let client = Client { pass_file: &folder.join("client.pgpass"), port };
    write_private(
        client.pass_file,
        format!("127.0.0.1:{port}:*:{ADMIN_USER}:{}\n", admin.expose_secret()).as_bytes(),
    )?;

    let mut server = account.command(&find(&["postgres"])?);
    server.arg("-D").arg(&data);
    // No socket file: everything here goes by TCP, and its path would have a limit of 107 bytes.
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", &format!("port={port}")] {
        server.args(["-c", setting]);
    }
    let service = Service {
        name: NAME,
        ports: &[port],
        stopping: Stopping::Interrupt,
        patience: Duration::from_mins(1),
    };
    running.start(service, &mut server)?;
    running
        .wait_ready(NAME, async || {
            match client.ask("postgres", "being asked for an answer", "SELECT 1").await {
                Ok(_) => Look::Ready,
                Err(error) => Look::NotYet(error.to_string()),
            }
        })
        .await?;
    client.ask("postgres", "making the backup account", &backup_account_sql(backup.expose_secret())).await?;

    let loaded = folder.join("sample-loaded");
    if !loaded.exists() {
        println!("dilux: loading the sample database into {NAME}");
        let script = place.in_checkout("scripts/samples/shop.postgresql.sql");
        let sql = fs::read_to_string(&script).map_err(UpError::file(script, "read"))?;
        let empty =
            format!("DROP DATABASE IF EXISTS {SAMPLE_DATABASE};\nCREATE DATABASE {SAMPLE_DATABASE};\n");
        client.ask("postgres", "making the sample database", &empty).await?;
        client.ask(SAMPLE_DATABASE, "loading the sample database", &sql).await?;
        write_private(&loaded, b"")?;
    }
    Ok(Sample {
        server: "Sample PostgreSQL",
        name: "Tea shop (PostgreSQL)",
        kind: "postgresql",
        port,
        password: backup,
    })
}

/// Makes the folder under another name first, so that a half-made one is never taken for a whole one.
async fn make_data_folder(account: &Account, data: &Path, admin_password: &str) -> Result<(), UpError> {
    let fresh = data.with_extension("new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(UpError::file(&fresh, "deleted"))?;
    }
    fs::create_dir(&fresh).map_err(UpError::file(&fresh, "made"))?;
    account.give(&fresh)?;
    let password_file = data.with_extension("password");
    write_private(&password_file, admin_password.as_bytes())?;
    account.give(&password_file)?;
    let mut install = account.command(&find(&["initdb"])?);
    install.arg("--pgdata").arg(&fresh).arg("--pwfile").arg(&password_file).args([
        "--username",
        ADMIN_USER,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    ]);
    let outcome = run(&mut install, "making a data folder", "").await;
    remove(&password_file)?;
    outcome?;
    fs::rename(&fresh, data).map_err(UpError::file(data, "made"))
}

/// The statements that make the account for backups and set its password; right on every start.
fn backup_account_sql(password: &str) -> String {
    format!(
        "SET log_min_error_statement = panic;\n\
         SELECT 'CREATE ROLE {BACKUP_USER} LOGIN' \
         WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{BACKUP_USER}') \\gexec\n\
         ALTER ROLE {BACKUP_USER} PASSWORD '{password}';\n\
         GRANT pg_read_all_data TO {BACKUP_USER};\n"
    )
}

#[derive(Clone, Copy)]
struct Client<'a> {
    pass_file: &'a Path,
    port: u16,
}

impl Client<'_> {
    async fn ask(self, database: &str, doing: &'static str, sql: &str) -> Result<String, UpError> {
        let mut client = command(find(&["psql"])?);
        for variable in ["PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR", "PGOPTIONS", "PGSSLMODE", "PGPASSWORD"] {
            client.env_remove(variable);
        }
        client
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", ADMIN_USER)
            .env("PGDATABASE", database)
            .env("PGPASSFILE", self.pass_file)
            .env("PGCONNECT_TIMEOUT", "5")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        run(&mut client, doing, sql).await
    }
}
