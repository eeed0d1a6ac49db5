//! A private PostgreSQL server.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
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
    folder: PathBuf,
}

impl Server {
    /// Returns the server of this test process, started at the first call.
    pub fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Self::start(None))
    }

    /// Starts a server of one's own, which offers encryption if it has certificates.
    pub fn start(certificates: Option<&Certificates>) -> Self {
        let programs = programs();
        let server = Self { port: free_port(), folder: folder("postgres") };
        let data = server.folder.join("data");
        run(as_user("postgres", programs.join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]));
        let mut command = as_user("postgres", programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-p").arg(server.port.to_string()).arg("-k").arg(&server.folder);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=60"]);
        if let Some(certificates) = certificates {
            let (certificate, key) = certificates.install(&server.folder, "postgres");
            command.args(["-c", "ssl=on", "-c", "listen_addresses=127.0.0.1,::1"]);
            command.arg("-c").arg(format!("ssl_cert_file={}", certificate.display()));
            command.arg("-c").arg(format!("ssl_key_file={}", key.display()));
        }
        start(&command, &server.folder);
        let patience = Instant::now() + Duration::from_secs(90);
        while !server
            .client("postgres")
            .args(["-c", "SELECT 1"])
            .output()
            .is_ok_and(|output| output.status.success())
        {
            assert!(Instant::now() < patience, "PostgreSQL does not start, see {}", server.folder.display());
            sleep(Duration::from_millis(200));
        }
        server.sql("postgres", &format!("CREATE ROLE backup SUPERUSER LOGIN PASSWORD {};", text(PASSWORD)));
        server
    }

    /// Runs statements as the administrator.
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
        self.sql("postgres", &format!("CREATE DATABASE {} TEMPLATE template0;", name(database)));
    }

    /// Lets nobody read the large objects of a database, which come last in a dump, as long as the value is
    /// there. `pg_dump` locks all tables at its beginning, so no lock on one makes it stand still in its
    /// middle.
    pub fn lock_large_objects(&self, database: &str) -> Lock {
        let statements = "BEGIN; LOCK TABLE pg_catalog.pg_largeobject; SELECT 'locked';";
        Lock::take(&mut self.client(database), statements)
    }

    /// Returns what a configuration needs to know of the server.
    pub fn as_client(&self) -> api::Server {
        api::Server {
            engine_type: "postgresql",
            port: self.port,
            username: "backup".to_owned(),
            password: PASSWORD.to_owned(),
        }
    }

    /// Returns the database as the target of a user with all rights.
    pub fn target(&self, database: &str) -> Target {
        Target {
            kind: DatabaseType::Postgresql,
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: Tls::default(),
            username: "backup".to_owned(),
            password: PASSWORD.into(),
            proof: shared::connection::Proof::Password,
            database: database.to_owned(),
        }
    }

    /// Describes all that is in a database: definitions, code, and the rows of each relation as a hash.
    pub fn describe(&self, database: &str) -> String {
        let rows = self.sql(
            database,
            "SELECT format('SELECT %L, count(*), md5(string_agg(h, '','' ORDER BY h)) FROM (SELECT md5(t::text) AS h FROM ONLY %I.%I t) s;', c.oid::regclass, n.nspname, c.relname)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'v', 'm') AND c.relispopulated AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY c.oid::regclass::text;",
        );
        // A name with a line break makes a statement of two lines; the client takes that.
        let mut description = self.sql(database, &rows.replace("ONLY", ""));
        description += &self.sql(database, DEFINITIONS);
        description
    }

    fn client(&self, database: &str) -> Command {
        let mut client = Command::new(programs().join("psql"));
        client.env_clear().env("PGHOST", &self.folder).env("PGPORT", self.port.to_string());
        client.env("PGUSER", "postgres").env("PGDATABASE", database).env("PGCLIENTENCODING", "UTF8");
        client.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        client
    }
}

/// Lists everything but rows, in an order that does not depend on the order of making.
const DEFINITIONS: &str = r"
SET search_path = '';
SELECT 'column', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
       a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)' ORDER BY a.attrelid::regclass::text, a.attname;
SELECT 'relation', c.oid::regclass, c.relkind, c.relpersistence, c.relispopulated, c.relrowsecurity, c.reloptions, obj_description(c.oid), pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid),
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END
  FROM pg_class c WHERE c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)' ORDER BY c.oid::regclass::text;
SELECT 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace::regnamespace::text !~ '^(pg_|information_schema)' ORDER BY conrelid::regclass::text, conname, contypid::regtype::text;
SELECT 'index', indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace::regnamespace::text !~ '^pg_' ORDER BY indexrelid::regclass::text;
SELECT 'trigger', tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text, tgname;
SELECT 'rule', c.oid::regclass, r.rulename, pg_get_ruledef(r.oid) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)' ORDER BY c.oid::regclass::text, 3;
SELECT 'policy', polrelid::regclass, polname, polcmd, pg_get_expr(polqual, polrelid) FROM pg_policy ORDER BY polrelid::regclass::text, 3;
SELECT 'function', oid::regprocedure, prokind, provolatile, proisstrict, proparallel, CASE WHEN prokind <> 'a' THEN md5(pg_get_functiondef(oid)) END, md5(prosrc)
  FROM pg_proc WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema)' ORDER BY oid::regprocedure::text;
SELECT 'operator', oid::regoperator FROM pg_operator WHERE oprnamespace::regnamespace::text !~ '^pg_' ORDER BY oid::regoperator::text;
SELECT 'enum', enumtypid::regtype, enumlabel FROM pg_enum ORDER BY enumtypid::regtype::text, enumsortorder;
SELECT 'type', oid::regtype, typtype, typdefault FROM pg_type WHERE typnamespace::regnamespace::text !~ '^(pg_|information_schema)' ORDER BY oid::regtype::text;
SELECT 'inherits', inhrelid::regclass, inhparent::regclass FROM pg_inherits ORDER BY inhrelid::regclass::text;
SELECT 'statistics', stxname, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext ORDER BY stxname;
SELECT 'extension', extname, extversion FROM pg_extension ORDER BY extname;
SELECT 'schema', nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY nspname;
SELECT 'large object', oid, md5(lo_get(oid)), obj_description(oid) FROM pg_largeobject_metadata ORDER BY oid;
SELECT 'sequence', schemaname, sequencename, data_type, start_value, min_value, max_value, increment_by, cycle, cache_size, last_value FROM pg_sequences ORDER BY 2, 3;
";

/// Quotes a name for a statement.
pub fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text for a statement.
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Finds the newest server that is installed.
fn programs() -> PathBuf {
    let mut majors: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .unwrap_or_else(|error| panic!("no PostgreSQL server is installed: {error}"))
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let major = path.file_name()?.to_str()?.parse().ok()?;
            Path::new(&path.join("bin/initdb")).exists().then(|| (major, path.join("bin")))
        })
        .collect();
    majors.sort();
    majors.pop().unwrap().1
}
