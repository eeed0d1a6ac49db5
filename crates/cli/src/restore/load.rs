//! From the blob into the database.

use std::path::Path;
use std::time::Duration;

use archive::{OpenError, Progress};
use dump::{Closing, DumpError, Limits, Target, Tools};
use futures::TryStreamExt as _;
use shared::config::Config;
use shared::connection::{self, Proof};
use shared::models::{DatabaseType, Tls};
use shared::secrets::Secrets;
use shared::storage::{BlobAddress, BlobProperties, Storage};

use super::error::RestoreError;
use super::source::{Found, SourceError};
use super::target::{Destination, Server};
use super::watch::watched;
use super::{emptiness, password};
use crate::choose::choose;
use crate::ending::print;
use crate::stored::StoredError;
use crate::text::{on_one_line, size};

/// How long the client program may take nothing. Building one index of a large table can take hours.
const STALL: Duration = Duration::from_hours(12);

/// How long a restore may take; there is no host that would end it, and a person can.
const DEADLINE: Duration = Duration::from_hours(30 * 24);

/// A backup that exists.
pub(crate) struct Backup {
    /// What was found.
    found: Found,
    /// What storage knows of the blob.
    properties: BlobProperties,
}

impl Backup {
    /// Returns where its bytes are.
    pub(crate) fn address(&self) -> &BlobAddress {
        &self.found.address
    }

    /// Returns the size of the blob in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.properties.bytes
    }

    /// Returns what storage knows of the blob.
    pub(crate) fn properties(&self) -> &BlobProperties {
        &self.properties
    }

    /// Finds the roles of the server that are stored beside it, if any are.
    pub(crate) async fn globals(&self, storage: &Storage) -> Result<Option<Self>, RestoreError> {
        match self.found.globals(&self.properties) {
            Some(found) => look_at(storage, found).await.map(Some),
            None => Ok(None),
        }
    }

    /// Finds the roles of the server that have to be stored beside it.
    pub(crate) async fn wanted_globals(&self, storage: &Storage) -> Result<Self, RestoreError> {
        let found = self.globals(storage).await?;
        found.ok_or_else(|| RestoreError::NoGlobals(self.address().to_string()))
    }

    /// Returns what it is a backup of.
    pub(crate) fn kind(&self) -> Result<DatabaseType, SourceError> {
        self.found.kind(&self.properties)
    }
}

/// Makes sure that the blob exists and is the one that was recorded.
pub(crate) async fn look_at(storage: &Storage, found: Found) -> Result<Backup, RestoreError> {
    let properties = storage.blobs.properties(&found.address).await.map_err(StoredError::from)?;
    let properties = properties.ok_or_else(|| OpenError::Missing(found.address.to_string()))?;
    found.check(&properties)?;
    Ok(Backup { found, properties })
}

/// Reads everything, from the first byte to the last: size, digest, compressed data and closing line have to
/// be right. Tells whether there was a digest to compare with.
pub(crate) async fn prove(
    storage: &Storage,
    backup: &Backup,
    kind: DatabaseType,
    progress: &Progress,
) -> Result<bool, RestoreError> {
    let mut opened = archive::open(storage.blobs.as_ref(), backup.address(), progress).await?;
    let mut closing = Closing::default();
    while let Some(piece) = opened.content.try_next().await? {
        closing.push(&piece);
    }
    if !closing.is_closed(kind) {
        return Err(RestoreError::NotClosed(backup.address().to_string()));
    }
    Ok(opened.properties.metadata.contains_key(archive::metadata::SHA256))
}

/// Finds out how to sign in to the target, after making sure that the backup fits it.
pub(super) async fn target(
    config: &Config,
    storage: &Storage,
    backup: &Backup,
    destination: &Destination,
    password_file: Option<&Path>,
    tls: Option<Tls>,
) -> Result<Target, RestoreError> {
    let kind = backup.kind()?;
    match destination {
        Destination::Server(server) => {
            check_fit(kind, server.kind)?;
            let Server { kind, host, port, username, database } = server.clone();
            let name = format!("{username}@{host}:{port}");
            let password = password::password(password_file, &on_one_line(&name)).await?;
            Ok(Target {
                kind,
                host,
                port,
                tls: tls.unwrap_or_default(),
                username,
                password,
                proof: Proof::Password,
                database,
            })
        }
        Destination::Engine { engine, database } => {
            let engines = storage.engines.list().await.map_err(StoredError::from)?;
            let engine = choose("engine", engine, &engines, |engine| (engine.id.as_str(), &engine.name))?;
            check_fit(kind, engine.engine_type.into())?;
            let connection = connection::for_engine(engine, &Secrets::open(config)?).await?;
            Ok(Target {
                kind: connection.database_type,
                host: connection.endpoint.host.to_string(),
                port: connection.endpoint.port,
                tls: tls.unwrap_or(connection.endpoint.tls),
                username: connection.username.to_string(),
                password: connection.password,
                proof: connection.proof,
                database: database.clone(),
            })
        }
    }
}

/// Finds out once more how to connect to an engine, right before it is loaded: it takes long to prove a large
/// backup, a token ends, and a password may have been changed. `None` for a password that was entered, and where
/// it cannot be found out.
pub(super) async fn target_again(
    config: &Config,
    storage: &Storage,
    backup: &Backup,
    destination: &Destination,
    tls: Option<Tls>,
) -> Option<Target> {
    match destination {
        Destination::Server(_) => None,
        Destination::Engine { .. } => target(config, storage, backup, destination, None, tls).await.ok(),
    }
}

/// Loads the backup, and says so. `again` is awaited when the backup is proved, and serves as the target then.
pub(super) async fn into_database(
    storage: &Storage,
    backup: &Backup,
    globals: Option<&Backup>,
    target: &Target,
    again: impl Future<Output = Option<Target>>,
    even_if_not_empty: bool,
) -> Result<(), RestoreError> {
    let program = std::env::current_exe().map_err(RestoreError::OwnPath)?;
    let tools = Tools::standard().with_launcher(program);
    if !even_if_not_empty && !emptiness::is_empty(&tools, target).await.map_err(before_loading)? {
        return Err(RestoreError::NotEmpty(on_one_line(&target.database)));
    }
    // Twice through the blob, so that a damaged one is found while the target is as it was.
    for whole in globals.into_iter().chain([backup]) {
        let progress = Progress::default();
        let proving = prove(storage, whole, whole.kind()?, &progress);
        match watched(&progress, whole.bytes(), proving).await {
            Some(proved) => proved?,
            None => return Err(RestoreError::Interrupted("stopped; nothing was restored")),
        };
    }
    let again = again.await;
    let target = again.as_ref().unwrap_or(target);
    let limits = Limits { stall: STALL, deadline: DEADLINE, ..Limits::default() };
    if let Some(globals) = globals {
        make_roles(storage, globals, &tools, target, &limits).await?;
    }
    let progress = Progress::default();
    let opened = archive::open(storage.blobs.as_ref(), backup.address(), &progress).await?;
    let loading = dump::restore(&tools, target, opened.content, &limits, |_| {});
    let restored = match watched(&progress, backup.bytes(), loading).await {
        Some(restored) => restored.map_err(RestoreError::Load)?,
        None => return Err(RestoreError::Interrupted(left_behind(target.kind))),
    };
    let text = format!(
        "restored  {} into \"{}\" on {}@{}:{}  {} of SQL  {:.1} s\n",
        backup.address(),
        on_one_line(&target.database),
        on_one_line(&target.username),
        target.host,
        target.port,
        size(restored.bytes),
        restored.elapsed.as_secs_f64(),
    );
    let adapted = restored.adapted.iter().map(|adapted| format!("adapted   {}\n", on_one_line(adapted)));
    print(&(text + &adapted.collect::<String>())).map_err(RestoreError::Print)
}

/// Makes the roles that are stored beside a backup, all or none of them, and says so.
async fn make_roles(
    storage: &Storage,
    globals: &Backup,
    tools: &Tools,
    target: &Target,
    limits: &Limits,
) -> Result<(), RestoreError> {
    let progress = Progress::default();
    let opened = archive::open(storage.blobs.as_ref(), globals.address(), &progress).await?;
    let making = dump::restore_globals(tools, target, opened.content, limits);
    let made = match watched(&progress, globals.bytes(), making).await {
        Some(made) => made.map_err(RestoreError::Globals)?,
        None => return Err(RestoreError::Interrupted("stopped; nothing was restored")),
    };
    let text = format!("roles     {} on {}:{}\n", globals.address(), target.host, target.port);
    let adapted = made.adapted.iter().map(|adapted| format!("adapted   {}\n", on_one_line(adapted)));
    print(&(text + &adapted.collect::<String>())).map_err(RestoreError::Print)
}

/// Refuses a backup of one kind of server for another kind.
fn check_fit(backup: DatabaseType, target: DatabaseType) -> Result<(), RestoreError> {
    let family = |kind| match kind {
        DatabaseType::AzureSql => DatabaseType::Sqlserver,
        DatabaseType::Mysql | DatabaseType::Postgresql | DatabaseType::Sqlserver => kind,
    };
    if family(backup) == family(target) { Ok(()) } else { Err(RestoreError::Mismatch { backup, target }) }
}

/// Tells apart why a target could not be looked at.
fn before_loading(error: DumpError) -> RestoreError {
    match error {
        DumpError::UnknownDatabase { .. } => RestoreError::NoDatabase(error),
        DumpError::Unsupported { .. }
        | DumpError::InvalidTarget { .. }
        | DumpError::TargetRefused { .. }
        | DumpError::PluginMissing { .. }
        | DumpError::AuthenticationFailed { .. }
        | DumpError::Unencrypted { .. }
        | DumpError::CertificateRefused { .. }
        | DumpError::UnknownHost { .. }
        | DumpError::ConnectionFailed { .. } => RestoreError::Server(error),
        DumpError::ToolNotFound { .. }
        | DumpError::VersionMismatch { .. }
        | DumpError::ToolDefect { .. }
        | DumpError::NotExportable { .. }
        | DumpError::Changed { .. }
        | DumpError::RowsMissing { .. }
        | DumpError::PermissionDenied { .. }
        | DumpError::Timeout { .. }
        | DumpError::Stalled { .. }
        | DumpError::ToolFailed { .. }
        | DumpError::Truncated { .. }
        | DumpError::Killed { .. }
        | DumpError::Local { .. } => RestoreError::Unclear(error),
    }
}

/// Says what Ctrl-C has left behind.
fn left_behind(kind: DatabaseType) -> &'static str {
    match kind {
        DatabaseType::Postgresql => "stopped; the target database was left as it was",
        DatabaseType::Mysql | DatabaseType::Sqlserver | DatabaseType::AzureSql => {
            "stopped; the target database is partly filled, empty it before the next attempt"
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use chrono::DateTime;
    use shared::config::Source;
    use shared::models::{DEFAULT_CONCURRENT_BACKUPS, Endpoint, Engine, Login, StoredSecret};
    use shared::storage::CommitOptions;

    use super::*;
    use crate::restore::source;

    fn login(username: &str) -> Login {
        let password = StoredSecret::Plain(format!("{username}-pw").into());
        Login { username: Some(username.parse().unwrap()), password, ..Login::default() }
    }

    #[tokio::test]
    async fn an_engine_is_asked_again_after_the_backup_was_proved() {
        let config = Config::read(&Source::of(&[])).unwrap();
        let storage = Storage::memory(&config).0;
        storage.prepare(DateTime::UNIX_EPOCH).await.unwrap();
        let engine = Engine {
            id: "e-1".parse().unwrap(),
            name: "main".to_owned(),
            engine_type: "mysql".parse().unwrap(),
            endpoint: Endpoint { host: "db".parse().unwrap(), port: 3306, tls: Tls::default() },
            login: login("first"),
            connection_string: StoredSecret::None,
            policy_id: None,
            max_concurrent_backups: DEFAULT_CONCURRENT_BACKUPS,
            last_discovery: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            created_by: None,
        };
        let version = storage.engines.insert(&engine).await.unwrap();
        let address = BlobAddress::new("backups", "mysql/d/x.sql.gz");
        storage.blobs.stage(&address, b"0001", bytes::Bytes::from_static(b"stored")).await.unwrap();
        let options = CommitOptions { content_type: "application/gzip".to_owned(), metadata: [].into() };
        storage.blobs.commit(&address, &[b"0001".to_vec()], &options).await.unwrap();
        let found = source::find(&storage, &"mysql/d/x.sql.gz".parse().unwrap(), None).await.unwrap();
        let backup = look_at(&storage, found).await.unwrap();

        let to = "main/shop".parse::<Destination>().unwrap();
        let before = target(&config, &storage, &backup, &to, None, None).await.unwrap();
        let again = target_again(&config, &storage, &backup, &to, None);
        storage.engines.update(&Engine { login: login("second"), ..engine }, &version).await.unwrap();
        let again = again.await.unwrap();
        assert_eq!((before.username.as_str(), again.username.as_str()), ("first", "second"));
        let entered = "mysql://me@db:3306/shop".parse::<Destination>().unwrap();
        assert!(target_again(&config, &storage, &backup, &entered, None).await.is_none());
    }

    #[test]
    fn only_what_fits_is_loaded() {
        use DatabaseType::{AzureSql, Mysql, Postgresql, Sqlserver};
        assert!(check_fit(Mysql, Mysql).is_ok() && check_fit(AzureSql, Sqlserver).is_ok());
        for (backup, target) in [(Mysql, Postgresql), (Postgresql, Mysql), (Sqlserver, Mysql)] {
            assert!(matches!(check_fit(backup, target), Err(RestoreError::Mismatch { .. })));
        }
    }
}
