//! Restores, on a real server: a processor that dies anywhere leaves the old database or the loaded one,
//! whole, and a record that has ended and says which.

use std::collections::BTreeMap;

use archive::{Compression, Destination, Progress};
use dump::{Limits, Tools};
use end_to_end::servers::mariadb;
use shared::models::{
    BackupStatus, DatabaseType, Endpoint, Place, Restore, RestoreId, RestoreMode, RestorePhase,
    RestoreProgress, Run, StoredSecret, Tls, Warnings,
};
use shared::storage::{BlobAddress, Life, restores};

use crate::world::{NOW, World, at};

const FUNCTION: &str = "restore_processor";
const SOURCE: &str = "survival_source";
const TARGET: &str = "survival_target";

/// How a processor dies.
#[derive(Clone, Copy)]
enum Death {
    /// Before the effect on storage after so many.
    Effect(u64),
    /// When it starts the client program after so many.
    Start(usize),
}

fn server() -> &'static mariadb::Server {
    mariadb::Server::get()
}

/// Makes an empty database in the place of what an earlier instant has left.
fn anew(name: &str) {
    server().sql("", &format!("DROP DATABASE IF EXISTS {name};"));
    server().create(name);
}

/// A world whose client programs are the real ones, and a backup in it.
async fn world() -> (World, Restore) {
    let world = World::empty().await;
    for name in ["mysql", "mysqldump"] {
        world.install(name, &format!("exec /usr/bin/{name} \"$@\""));
    }
    let source = server().target(SOURCE);
    let dump = dump::dump(&Tools::standard(), &source, &Limits::default()).await.unwrap();
    let metadata = dump.origin().metadata();
    let address = BlobAddress::new("backups", "mysql/d/source.sql.gz");
    let destination = Destination { store: &world.blobs, address: &address, attempt: [1; 16], metadata };
    let agree = || async { Ok(BTreeMap::new()) };
    let compression = Compression::Gzip { level: 1 };
    let progress = Progress::default();
    let stored = archive::store(dump, compression, destination, &progress, agree).await.unwrap();
    let restore = Restore {
        id: RestoreId::random(),
        backup_id: "b-1".parse().unwrap(),
        database_type: DatabaseType::Mysql,
        container: "backups".parse().unwrap(),
        blob_name: address.name,
        blob_bytes: None,
        sha256: Some(stored.sha256),
        place: Place::Server {
            endpoint: Endpoint { host: source.host.parse().unwrap(), port: source.port, tls: Tls::default() },
            username: source.username.parse().unwrap(),
            password: StoredSecret::Plain(source.password),
        },
        database: TARGET.parse().unwrap(),
        mode: RestoreMode::Replace,
        keep_failed: false,
        requested_by: "a@example.org".to_owned(),
        created_at: at(NOW),
        sent_at: None,
        status: BackupStatus::Pending,
        phase: RestorePhase::Waiting,
        failed_in: None,
        cancel_requested: false,
        claim: None,
        heartbeat_at: None,
        progress: RestoreProgress::default(),
        work_database: None,
        has_made: false,
        run: Run::default(),
        failure: None,
        failed_line: None,
        adapted: Warnings::default(),
        warnings: Warnings::default(),
    };
    (world, restore)
}

/// Lets a processor die over a restore, and the host deliver it again. Returns whether it died, and all
/// points that it came by.
async fn dies(death: Death) -> (bool, Vec<String>) {
    anew(TARGET);
    server().sql(TARGET, "CREATE TABLE old (v INT); INSERT INTO old VALUES (1);");
    let old = server().describe(TARGET);
    let (world, restore) = world().await;
    world.storage(&Life::endless()).restores.insert(&restore).await.unwrap();
    let message = restores::encode(&restore.id);
    let life = match death {
        Death::Effect(effects) => Life::of(effects),
        Death::Start(_) => Life::endless(),
    };
    if let Death::Start(starts) = death {
        world.let_start(Some(starts));
    }
    let died = world.deliver(&life, FUNCTION, &message).await.is_none();
    let points = match death {
        Death::Effect(_) => life.names(),
        Death::Start(_) => world.starts(),
    };
    let when = format!("at {:?} of {points:?}", points.last());
    world.let_start(None);
    world.drain(FUNCTION, if died { vec![message] } else { Vec::new() }).await;
    let ended = world.storage(&Life::endless()).restores.get(&restore.id).await.unwrap().unwrap().value;
    let Place::Server { password, .. } = &ended.place else { panic!("another place") };
    assert!(!password.is_kept(), "{when}: the password is still kept");
    let there = dump::discover(&Tools::standard(), &server().target(""), &Limits::default()).await.unwrap();
    let left: Vec<&String> =
        there.iter().filter(|name| [restore.beside(), restore.aside()].contains(*name)).collect();
    let now = server().describe(TARGET);
    match ended.status {
        BackupStatus::Completed => assert_eq!(now, server().describe(SOURCE), "{when}"),
        BackupStatus::Failed => {
            let message = ended.failure.unwrap().message;
            // An exchange of tables that broke off in the middle is for a person, and says so.
            if message.contains("nothing was dropped") {
                assert_eq!(left.len(), 2, "{when}: {message}");
                for name in [restore.beside(), restore.aside()] {
                    server().sql("", &format!("DROP DATABASE {name};"));
                }
                return (died, points);
            }
            assert_eq!(now, old, "{when}: {message}");
        }
        BackupStatus::Pending | BackupStatus::InProgress | BackupStatus::Cancelled => {
            panic!("{when}: it is {}", ended.status)
        }
    }
    // What a restore that was ended well may leave is the old database, which a warning names.
    let is_told = format!("{:?}", ended.warnings).contains(&restore.aside());
    assert!(left.is_empty() || (is_told && *left[0] == restore.aside()), "{when}: {left:?} is left");
    for name in left {
        server().sql("", &format!("DROP DATABASE {name};"));
    }
    (died, points)
}

/// Visits all instants of one kind, and returns their names.
async fn visit(death: impl Fn(u64) -> Death) -> String {
    anew(SOURCE);
    server().sql(SOURCE, "CREATE TABLE fresh (v INT); INSERT INTO fresh VALUES (1), (2);");
    let mut number = 0;
    loop {
        let (died, points) = dies(death(number)).await;
        if !died {
            return points.join("\n");
        }
        number += 1;
    }
}

/// One test, since both kinds of death restore into the same database.
#[tokio::test]
async fn a_processor_that_dies_anywhere_leaves_one_of_the_two_databases_and_a_record_that_has_ended() {
    insta::assert_snapshot!(visit(Death::Effect).await, @"
    update restores
    update restores
    update restores
    update restores
    update restores
    update restores
    update restores
    update restores
    update restores
    insert auditlogs
    ");
    let starts = visit(|number| Death::Start(usize::try_from(number).unwrap())).await;
    insta::assert_snapshot!(starts, @"
    mysql --version
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysqldump --version
    mysql --defaults-file
    mysqldump --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysqldump --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    mysql --defaults-file
    ");
}
