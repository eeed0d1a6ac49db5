//! A private MariaDB server.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dump::Target;
use shared::models::{DatabaseType, Tls};

use super::guardian::{as_user, folder, run, start};
use super::{Certificates, Lock};
use crate::api;
use crate::stack::free_port;

/// The password of the user that dumps; awkward on purpose.
pub const PASSWORD: &str = "pä'ss\"w\\or#d ;%1";

/// A server that runs.
pub struct Server {
    /// The TCP port on 127.0.0.1.
    pub port: u16,
    socket: PathBuf,
}

impl Server {
    /// Returns the server of this test process, started at the first call.
    pub fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Self::start(None))
    }

    /// Starts a server of one's own, which offers encryption if it has certificates.
    pub fn start(certificates: Option<&Certificates>) -> Self {
        let folder = folder("mysql");
        let data = folder.join("data");
        // Servers that share a folder for temporary tables delete each other's when they start.
        run(as_user("mysql", "mariadb-install-db")
            .env("TMPDIR", &folder)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]));
        let server = Self { port: free_port(), socket: folder.join("s") };
        let mut command = as_user("mysql", "mariadbd");
        command
            .arg("--no-defaults")
            .arg(format!("--tmpdir={}", folder.display()))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", server.socket.display()))
            .arg(format!("--port={}", server.port))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--character-set-server=utf8mb4"])
            .args([
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-buffer-pool-size=64M",
                "--max-allowed-packet=64M",
            ]);
        if let Some(certificates) = certificates {
            let (certificate, key) = certificates.install(&folder, "mysql");
            command
                .arg("--bind-address=127.0.0.1,::1")
                .arg(format!("--ssl-cert={}", certificate.display()))
                .arg(format!("--ssl-key={}", key.display()));
        }
        start(&command, &folder);
        let patience = Instant::now() + Duration::from_secs(90);
        while !server
            .client("")
            .arg("--execute=SELECT 1")
            .output()
            .is_ok_and(|output| output.status.success())
        {
            assert!(Instant::now() < patience, "MariaDB does not start, see {}/server.log", folder.display());
            sleep(Duration::from_millis(200));
        }
        server.sql(
            "",
            &format!(
                "CREATE USER backup@'%' IDENTIFIED BY {}; GRANT ALL ON *.* TO backup@'%';",
                text(PASSWORD)
            ),
        );
        server
    }

    /// Runs statements as the administrator, in a database unless the name is empty.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut client = self.client(database);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = client.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let statements = statements.to_owned();
        // The client may stop reading at an error; its status tells of that.
        let feeder = std::thread::spawn(move || stdin.write_all(statements.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let fed = feeder.join();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fed.unwrap().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes an empty database.
    pub fn create(&self, database: &str) {
        self.sql("", &format!("CREATE DATABASE {} CHARACTER SET utf8mb4;", name(database)));
    }

    /// Returns what a configuration needs to know of the server.
    pub fn as_client(&self) -> api::Server {
        api::Server {
            engine_type: "mysql",
            port: self.port,
            username: "backup".to_owned(),
            password: PASSWORD.to_owned(),
        }
    }

    /// Locks a table until the value is dropped, so that a dump stands still when it comes to it.
    pub fn lock(&self, database: &str, table: &str) -> Lock {
        let mut client = self.client(database);
        client.arg("--unbuffered");
        Lock::take(&mut client, &format!("LOCK TABLES {} WRITE; SELECT 'locked';", name(table)))
    }

    /// Returns the database as the target of a user with all rights.
    pub fn target(&self, database: &str) -> Target {
        Target {
            kind: DatabaseType::Mysql,
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: Tls::default(),
            username: "backup".to_owned(),
            password: PASSWORD.into(),
            proof: shared::connection::Proof::Password,
            database: database.to_owned(),
        }
    }

    /// Describes all that is in a database: definitions, code, and each row as a hash of all its bytes.
    pub fn describe(&self, database: &str) -> String {
        let tables = self.sql(
            database,
            "SELECT HEX(TABLE_NAME), TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1;",
        );
        let mut description = tables.clone();
        for line in tables.lines() {
            let (hex, kind) = line.split_once('\t').unwrap();
            let table = name(&unhex(hex));
            let show = match kind {
                "VIEW" => format!("SHOW CREATE VIEW {table};"),
                "SEQUENCE" => format!("SHOW CREATE SEQUENCE {table}; SELECT * FROM {table};"),
                _ => format!("SHOW CREATE TABLE {table};"),
            };
            description += &self.sql(database, &show);
            if kind == "BASE TABLE" || kind == "VIEW" {
                let columns = self.sql(
                    database,
                    &format!("SELECT HEX(COLUMN_NAME) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 0x{hex} ORDER BY ORDINAL_POSITION;"),
                );
                let values: Vec<String> = columns
                    .lines()
                    .map(|column| format!("IFNULL(HEX(CAST({} AS BINARY)), 'NULL')", name(&unhex(column))))
                    .collect();
                description += &self.sql(
                    database,
                    &format!(
                        "SELECT SHA2(CONCAT_WS(',', {}), 256) AS h FROM {table} ORDER BY h;",
                        values.join(", ")
                    ),
                );
            }
        }
        description += &self.sql(
            database,
            "SELECT TRIGGER_NAME, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_TIMING, ACTION_ORDER, SQL_MODE, DEFINER, HEX(ACTION_STATEMENT)
               FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY 1;
             SELECT ROUTINE_NAME, ROUTINE_TYPE, DTD_IDENTIFIER, SQL_MODE, DEFINER, ROUTINE_COMMENT, SECURITY_TYPE, IS_DETERMINISTIC, SQL_DATA_ACCESS, HEX(ROUTINE_DEFINITION)
               FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY 1;
             SELECT HEX(param_list), HEX(body) FROM mysql.proc WHERE db = DATABASE() ORDER BY name;
             SELECT EVENT_NAME, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, STARTS, STATUS, ON_COMPLETION, EVENT_COMMENT, SQL_MODE, TIME_ZONE, HEX(EVENT_DEFINITION)
               FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1;
             SELECT TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_NAME, DELETE_RULE, UPDATE_RULE
               FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY 1, 2;",
        );
        description
    }

    fn client(&self, database: &str) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--protocol=socket", "--user=root", "--default-character-set=utf8mb4"]);
        client.args(["--batch", "--comments", "--skip-column-names", "--max-allowed-packet=64M"]);
        client.arg(format!("--socket={}", self.socket.display())).arg(format!("--database={database}"));
        client
    }
}

/// Quotes a name for a statement.
pub fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Quotes a text for a statement.
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn unhex(hex: &str) -> String {
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}
