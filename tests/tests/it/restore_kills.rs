//! `kill -9` in the middle of a restore: of the client that loads, and of the processor.
//!
//! "In the middle" is made certain: half of the rows are loaded, and the server stands still with the next
//! ones for as long as the test wants.

use std::time::Duration;

use end_to_end::api::{PATIENCE, Server, text};
use end_to_end::servers::{Lock, assert_same, mariadb, postgresql};
use end_to_end::stack::Stack;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Enough rows for many statements, so that the next one finds its table locked.
const MARIADB: &str = "
    CREATE TABLE a_first (id INT PRIMARY KEY); INSERT INTO a_first VALUES (1), (2);
    CREATE TABLE z_last (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT);
    INSERT INTO z_last (v) SELECT CONCAT(SHA2(seq, 512), SHA2(-seq, 512)) FROM seq_1_to_60000;";

/// One row takes long to be loaded, and only where a restore loads it.
const POSTGRESQL: &str = "
    CREATE FUNCTION waits(v int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN
        IF v = 4000 AND current_database() LIKE 'dilux%' THEN PERFORM pg_sleep(600); END IF; RETURN true; END$$;
    CREATE TABLE a_first (id int PRIMARY KEY); INSERT INTO a_first VALUES (1), (2);
    CREATE TABLE z_last (v int CHECK (waits(v))); INSERT INTO z_last SELECT generate_series(1, 8000);";

const OLD: &str = "CREATE TABLE old (v int); INSERT INTO old VALUES (1), (2), (3);
    CREATE VIEW seen AS SELECT v FROM old;";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mariadb,
    Postgresql,
}

impl Kind {
    fn client(self) -> Server {
        match self {
            Self::Mariadb => mariadb::Server::get().as_client(),
            Self::Postgresql => postgresql::Server::get().as_client(),
        }
    }

    fn sql(self, database: &str, statements: &str) -> String {
        match self {
            Self::Mariadb => mariadb::Server::get().sql(database, statements),
            Self::Postgresql => postgresql::Server::get().sql(database, statements),
        }
    }

    fn make(self, database: &str, statements: &str) {
        match self {
            Self::Mariadb => mariadb::Server::get().create(database),
            Self::Postgresql => postgresql::Server::get().create(database),
        }
        self.sql(database, statements);
    }

    fn describe(self, database: &str) -> String {
        match self {
            Self::Mariadb => mariadb::Server::get().describe(database),
            Self::Postgresql => postgresql::Server::get().describe(database),
        }
    }

    /// Asks the server something outside of any database of the test.
    fn ask(self, query: &str) -> String {
        let maintenance = if self == Self::Mariadb { "" } else { "postgres" };
        self.sql(maintenance, query).trim().to_owned()
    }

    /// The databases whose names are like this.
    fn databases(self, like: &str) -> Vec<String> {
        let query = match self {
            Self::Mariadb => {
                format!(
                    "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '{like}' ORDER BY 1;"
                )
            }
            Self::Postgresql => {
                format!("SELECT datname FROM pg_database WHERE datname LIKE '{like}' ORDER BY 1;")
            }
        };
        self.ask(&query).lines().map(str::to_owned).collect()
    }

    /// Waits until the server stands still in the middle of the load into this database, or, without a name,
    /// into one beside another.
    async fn standing(self, into: &str) -> Option<Lock> {
        let end = Instant::now() + PATIENCE;
        let wait = async |query: &str| {
            while self.ask(query) != "1" {
                assert!(Instant::now() < end, "the load does not come to stand still");
                sleep(Duration::from_millis(5)).await;
            }
        };
        match self {
            Self::Mariadb => {
                let there = format!(
                    "FROM information_schema.TABLES WHERE TABLE_NAME = 'z_last' AND TABLE_SCHEMA LIKE '{into}'"
                );
                wait(&format!("SELECT COUNT(*) {there};")).await;
                let database = self.ask(&format!("SELECT TABLE_SCHEMA {there};"));
                let lock = mariadb::Server::get().lock(&database, "z_last");
                wait(&format!(
                    "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{database}' \
                     AND STATE LIKE 'Waiting for table metadata lock%';"
                ))
                .await;
                Some(lock)
            }
            Self::Postgresql => {
                wait("SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'dilux%' AND wait_event = 'PgSleep';")
                    .await;
                None
            }
        }
    }
}

async fn restore(stack: &Stack, id: &str) -> Value {
    stack.api.expect(200, "GET", &format!("/restores/{id}"), None).await["restore"].take()
}

async fn ended(stack: &Stack, id: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = restore(stack, id).await;
        if found["phase"] == "ended" {
            return found;
        }
        assert!(Instant::now() < end, "{found}");
        sleep(Duration::from_millis(200)).await;
    }
}

struct Scene {
    kind: Kind,
    stack: Stack,
    backup: String,
    engine: String,
}

impl Scene {
    async fn new(kind: Kind) -> Self {
        let stack = Stack::start().await;
        kind.make("e2e_rk_source", if kind == Kind::Mariadb { MARIADB } else { POSTGRESQL });
        kind.make("e2e_rk_old", OLD);
        let database = stack.api.create_database("Source", &kind.client(), "e2e_rk_source").await;
        let backup = text(&stack.api.back_up(&database).await["id"]);
        let engine = stack.api.create_engine("Target", &kind.client()).await;
        Self { kind, stack, backup, engine }
    }

    async fn ask_for(&self, database: &str, mode: &str) -> String {
        let wish = json!({
            "target_engine_id": self.engine, "database_name": database, "mode": mode, "confirm": database,
        });
        let path = format!("/backups/{}/restore", self.backup);
        text(&self.stack.api.expect(202, "POST", &path, Some(wish)).await["restore_id"])
    }

    /// Asks for a restore, kills in its middle, and returns what became of it.
    async fn killed(&self, database: &str, mode: &str, whom: Whom) -> Value {
        let id = self.ask_for(database, mode).await;
        let into = if mode == "new" { database } else { "dilux%" };
        let lock = self.kind.standing(into).await;
        assert_eq!(restore(&self.stack, &id).await["phase"], "loading");
        match whom {
            Whom::Client => self.stack.load_tool().await.kill(),
            Whom::Processor => self.stack.app("processor").await.kill(),
        }
        drop(lock);
        let ended = ended(&self.stack, &id).await;
        assert_eq!(ended["status"], "failed", "{ended}");
        assert_eq!(ended["failed_in"], "loading", "{ended}");
        // Databases that only restores make have a part of the restore's id in their names.
        let own: String = id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        let left = self.kind.databases(&format!("dilux%{own}"));
        assert!(left.is_empty(), "{left:?} is left over: {ended}");
        ended
    }
}

#[derive(Debug, Clone, Copy)]
enum Whom {
    Client,
    Processor,
}

fn message(restore: &Value) -> String {
    text(&restore["error_message"])
}

async fn kills_leave_the_old_data(scene: &Scene) {
    let kind = scene.kind;
    let before = kind.describe("e2e_rk_old");
    let there = kind.databases("e2e_rk%");
    assert_eq!(there, ["e2e_rk_old", "e2e_rk_source"]);

    // The host gives an app up whose program dies for the third time.
    for whom in [Whom::Processor, Whom::Client] {
        let ended = scene.killed("e2e_rk_old", "replace", whom).await;
        assert!(message(&ended).contains("was dropped. The old database is in its place."), "{ended}");
        assert_same(&before, &kind.describe("e2e_rk_old"));
        assert_eq!(kind.databases("e2e_rk%"), there, "{ended}");
    }

    let ended = scene.killed("e2e_rk_new", "new", Whom::Processor).await;
    assert!(message(&ended).contains("not begun again by itself"), "{ended}");
    assert!(message(&ended).contains("was dropped"), "{ended}");
    assert_eq!(kind.databases("e2e_rk%"), there, "{ended}");

    let restores = scene.stack.api.expect(200, "GET", "/restores", None).await;
    assert_eq!(restores["total"], 3, "nothing was begun again: {restores}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_into_postgresql_that_are_killed_half_way_leave_the_old_data() {
    kills_leave_the_old_data(&Scene::new(Kind::Postgresql).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_into_mariadb_that_are_killed_half_way_leave_the_old_data() {
    kills_leave_the_old_data(&Scene::new(Kind::Mariadb).await).await;
}
