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

/// Loads the backup, and says so.
pub(super) async fn into_database(
    storage: &Storage,
    backup: &Backup,
    globals: Option<&Backup>,
    target: &Target,
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
    use super::*;

    #[test]
    fn only_what_fits_is_loaded() {
        use DatabaseType::{AzureSql, Mysql, Postgresql, Sqlserver};
        assert!(check_fit(Mysql, Mysql).is_ok() && check_fit(AzureSql, Sqlserver).is_ok());
        for (backup, target) in [(Mysql, Postgresql), (Postgresql, Mysql), (Sqlserver, Mysql)] {
            assert!(matches!(check_fit(backup, target), Err(RestoreError::Mismatch { .. })));
        }
    }
}
