//! The sample MariaDB server: private, on the loopback address, with its data below `.local/mariadb`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;

use super::error::UpError;
use super::passwords::Passwords;
use super::place::{Place, remove, write_private};
use super::process::Stopping;
use super::programs::{Account, command, find, run};
use super::running::{Look, Running, Service};
use super::samples::{ADMIN_USER, BACKUP_USER, Sample};

const NAME: &str = "MariaDB";

/// Starts the server, making its data folder and loading the sample on the first occasion.
pub(super) async fn start(
    place: &Place,
    port: u16,
    passwords: &mut Passwords,
    running: &mut Running,
) -> Result<Sample, UpError> {
    let folder = place.folder("mariadb")?;
    let account = Account::of("mysql", &folder).await?.or_own_if_shut_out();
    let data = folder.join("data");
    if !data.exists() {
        println!("dilux: making the data folder of {NAME}");
        make_data_folder(&account, &data).await?;
    }

    let admin = passwords.get_or_make("mariadb_admin")?;
    let backup = passwords.get_or_make("mariadb_backup")?;
    let accounts = folder.join("accounts.sql");
    write_private(&accounts, accounts_sql(&admin, &backup).as_bytes())?;
    account.give(&accounts)?;
    let client_options = folder.join("client.cnf");
    write_private(&client_options, client_options_text(port, &admin).as_bytes())?;

    let mut server = account.command(&find(&["mariadbd"])?);
    server
        .arg("--no-defaults")
        .arg(option("--datadir", &data))
        .arg(option("--init-file", &accounts))
        // Relative to the data folder, since the path of a socket may have 107 bytes only.
        .args(["--socket=mariadb.sock", "--pid-file=mariadb.pid"])
        .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
        .arg(format!("--port={port}"))
        .args(["--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci"])
        .args(["--innodb-buffer-pool-size=64M", "--performance-schema=OFF"]);
    if account.is_root() {
        server.arg("--user=root");
    }
    let service = Service {
        name: NAME,
        ports: &[port],
        stopping: Stopping::Terminate,
        patience: Duration::from_mins(1),
    };
    running.start(service, &mut server)?;
    running
        .wait_ready(NAME, async || {
            match ask(&client_options, "being asked for an answer", "SELECT 1").await {
                Ok(_) => Look::Ready,
                Err(error) => Look::NotYet(error.to_string()),
            }
        })
        .await?;
    remove(&accounts)?;

    let loaded = folder.join("sample-loaded");
    if !loaded.exists() {
        println!("dilux: loading the sample database into {NAME}");
        let script = place.in_checkout("scripts/samples/shop.mariadb.sql");
        let sql = fs::read_to_string(&script).map_err(UpError::file(script, "read"))?;
        ask(&client_options, "loading the sample database", &sql).await?;
        write_private(&loaded, b"")?;
    }
    Ok(Sample { server: "Sample MariaDB", name: "Tea shop (MariaDB)", kind: "mysql", port, password: backup })
}

/// Makes the folder under another name first, so that a half-made one is never taken for a whole one.
async fn make_data_folder(account: &Account, data: &Path) -> Result<(), UpError> {
    let fresh = data.with_extension("new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(UpError::file(&fresh, "deleted"))?;
    }
    fs::create_dir(&fresh).map_err(UpError::file(&fresh, "made"))?;
    account.give(&fresh)?;
    let mut install = account.command(&find(&["mariadb-install-db"])?);
    install
        .arg("--no-defaults")
        .arg(option("--datadir", &fresh))
        .args(["--skip-test-db", "--auth-root-authentication-method=socket"]);
    if account.is_root() {
        install.arg("--user=root");
    }
    run(&mut install, "making a data folder", "").await?;
    fs::rename(&fresh, data).map_err(UpError::file(data, "made"))
}

/// The statements that the server runs before it accepts its first connection, each on one line. They
/// are right on every start, so an interrupted first start leaves nothing to repair.
fn accounts_sql(admin: &SecretString, backup: &SecretString) -> String {
    let (admin, backup) = (admin.expose_secret(), backup.expose_secret());
    format!(
        "CREATE USER IF NOT EXISTS '{ADMIN_USER}'@'127.0.0.1';\n\
         ALTER USER '{ADMIN_USER}'@'127.0.0.1' IDENTIFIED BY '{admin}';\n\
         GRANT ALL PRIVILEGES ON *.* TO '{ADMIN_USER}'@'127.0.0.1' WITH GRANT OPTION;\n\
         CREATE USER IF NOT EXISTS '{BACKUP_USER}'@'127.0.0.1';\n\
         ALTER USER '{BACKUP_USER}'@'127.0.0.1' IDENTIFIED BY '{backup}';\n\
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, RELOAD, PROCESS ON *.* \
         TO '{BACKUP_USER}'@'127.0.0.1';\n"
    )
}

fn client_options_text(port: u16, admin: &SecretString) -> String {
    format!(
        "[client]\nprotocol=tcp\nhost=127.0.0.1\nport={port}\nuser={ADMIN_USER}\npassword={}\n\
         connect-timeout=5\ndefault-character-set=utf8mb4\n",
        admin.expose_secret()
    )
}

async fn ask(client_options: &Path, doing: &'static str, sql: &str) -> Result<String, UpError> {
    let mut client: Command = command(client_program()?);
    client.arg(option("--defaults-file", client_options)).args(["--batch", "--skip-column-names"]);
    run(&mut client, doing, sql).await
}

fn client_program() -> Result<PathBuf, UpError> {
    find(&["mariadb", "mysql"])
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push("=");
    option.push(path);
    option
}
