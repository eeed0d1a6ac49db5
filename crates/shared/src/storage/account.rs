//! One storage account, opened: every repository on its seam.

use std::fmt;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_core::time::Duration;
use chrono::{DateTime, Utc};
use storage_account::Service;
use url::Url;

use super::jobs::RESTORE_QUEUE;
use super::priority::Priority;
use super::signer::{LentKey, Signer};
use super::{
    AccessRequests, AuditLog, AzureBlobs, AzureQueue, AzureTable, Backups, BlobStore, Claims, Databases,
    Engines, Jobs, Leases, MemoryBlobs, MemoryQueue, MemoryTable, Places, Policies, Queue, Restores,
    Settings, Slots, StorageError, Table, Users, Watch,
};
use crate::clock::Clock;
use crate::config::{Config, StorageConfig};
use crate::identity;

/// Everything that is stored.
#[derive(Debug, Clone)]
pub struct Storage {
    /// The configured databases.
    pub databases: Databases,
    /// The configured servers.
    pub engines: Engines,
    /// The backup policies.
    pub policies: Policies,
    /// The users.
    pub users: Users,
    /// Strangers' wishes for access.
    pub access_requests: AccessRequests,
    /// The settings.
    pub settings: Settings,
    /// The audit log.
    pub audit: AuditLog,
    /// The backup history.
    pub backups: Backups,
    /// Who works on what.
    pub claims: Claims,
    /// The restores.
    pub restores: Restores,
    /// Who does what only one may do at a time.
    pub leases: Leases,
    /// Places for dumps on the database servers.
    pub places: Places,
    /// What the scheduler remembers.
    pub slots: Slots,
    /// What it has last seen of itself and of the system.
    pub watch: Watch,
    /// The queues of jobs.
    pub jobs: Jobs,
    /// The artifacts.
    pub blobs: Arc<dyn BlobStore>,
    /// What download addresses are signed with.
    pub signer: Signer,
    tables: Vec<Arc<dyn Table>>,
    pub(super) container: String,
}

/// The error of an account that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Transport(#[from] storage_account::TransportError),
    /// The identity cannot be used.
    #[error("the identity for the storage account cannot be used; check the AZURE_… variables")]
    Identity(#[source] azure_core::Error),
    /// A client cannot be set up.
    #[error(transparent)]
    Client(#[from] StorageError),
}

impl Storage {
    /// Opens the account that the configuration names. Nothing is sent yet.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let clients = Clients::new(&config.storage)?;
        let queue = |name: &str| -> Result<Arc<dyn Queue>, OpenError> { Ok(Arc::new(clients.queue(name)?)) };
        let blobs = Arc::new(clients.blobs()?);
        let signer = clients.signer()?;
        let jobs = Jobs {
            queue: queue(&config.names.queue)?,
            poison: queue(&format!("{}-poison", config.names.queue))?,
            restores: queue(RESTORE_QUEUE)?,
        };
        Ok(Self::assemble(config, |name| Arc::new(clients.table(name)), jobs, blobs, signer))
    }

    /// Makes an account in memory, for tests; with the queue, whose messages tests look at.
    pub fn memory(config: &Config) -> (Self, MemoryQueue) {
        let queue = MemoryQueue::default();
        let jobs = Jobs {
            queue: Arc::new(queue.clone()),
            poison: Arc::new(MemoryQueue::default()),
            restores: Arc::new(MemoryQueue::default()),
        };
        let storage = Self::assemble(
            config,
            |_| Arc::new(MemoryTable::default()),
            jobs,
            Arc::new(MemoryBlobs::default()),
            Signer::None,
        );
        (storage, queue)
    }

    /// Assembles the repositories on any seams, for instance on ones that fail on purpose.
    pub fn assemble(
        config: &Config,
        table: impl Fn(&str) -> Arc<dyn Table>,
        jobs: Jobs,
        blobs: Arc<dyn BlobStore>,
        signer: Signer,
    ) -> Self {
        let configurations = table(&config.names.config_table);
        let engines = table("engines");
        let history = table(&config.names.history_table);
        let [policies, users, requests, settings, audit, audit_index, leases, slots, restores] = [
            "backuppolicies",
            "users",
            "accessrequests",
            "settings",
            "auditlogs",
            "auditindex",
            "backupleases",
            "backupslots",
            "restores",
        ]
        .map(&table);
        let [index, days] = ["backupindex", "backupdays"].map(&table);
        let priority = Priority::default();
        let backups =
            Backups::new(history.clone(), index.clone(), days.clone(), priority.clone(), Clock::system());
        Self {
            databases: Databases { table: configurations.clone() },
            engines: Engines { table: engines.clone(), older: configurations.clone() },
            policies: Policies { table: policies.clone() },
            users: Users { table: users.clone() },
            access_requests: AccessRequests { table: requests.clone() },
            settings: Settings { table: settings.clone(), default_retention_days: config.retention_days },
            audit: AuditLog::new(audit.clone(), audit_index.clone(), priority),
            claims: Claims { history: backups.table.clone(), leases: leases.clone(), ttl: config.jobs.claim },
            backups,
            leases: Leases { table: leases.clone() },
            places: Places { leases: Leases { table: leases.clone() }, ttl: config.jobs.claim },
            slots: Slots { table: slots.clone() },
            watch: Watch { table: slots.clone() },
            restores: Restores { table: restores.clone(), ttl: config.jobs.claim },
            jobs,
            blobs,
            signer,
            tables: vec![
                configurations,
                engines,
                history,
                policies,
                users,
                requests,
                settings,
                audit,
                audit_index,
                leases,
                slots,
                index,
                days,
                restores,
            ],
            container: config.names.container.to_string(),
        }
    }

    /// Makes what is missing: tables, queues, the default container and the system policies.
    ///
    /// Every program calls it when it starts, in the background, since the Functions host does not
    /// wait for long. What exists is left as it is.
    pub async fn prepare(&self, now: DateTime<Utc>) -> Result<(), StorageError> {
        for table in &self.tables {
            table.create().await?;
        }
        self.backups.begin_index(now).await?;
        self.jobs.create().await?;
        self.blobs.create_container(&self.container).await?;
        self.policies.seed(now).await
    }

    /// Tells whether the account answers.
    pub async fn ping(&self) -> Result<(), StorageError> {
        self.settings.get(DateTime::UNIX_EPOCH).await.map(drop)
    }
}

/// Makes clients that share one transport.
struct Clients<'a> {
    config: &'a StorageConfig,
    transport: Transport,
    credential: Option<Arc<dyn TokenCredential>>,
}

impl<'a> Clients<'a> {
    fn new(config: &'a StorageConfig) -> Result<Self, OpenError> {
        let transport = storage_account::transport()?;
        let credential = match config {
            StorageConfig::Account(_) => None,
            StorageConfig::Identity { identity, .. } => {
                Some(identity::credential(identity, transport.clone()).map_err(OpenError::Identity)?)
            }
        };
        Ok(Self { config, transport, credential })
    }

    fn table(&self, name: &str) -> AzureTable {
        let (endpoint, options) = self.parts(Service::Table);
        AzureTable::new(endpoint, name, self.credential.clone(), options)
    }

    fn queue(&self, name: &str) -> Result<AzureQueue, StorageError> {
        let (endpoint, options) = self.parts(Service::Queue);
        AzureQueue::new(endpoint, name, self.credential.clone(), options)
    }

    fn blobs(&self) -> Result<AzureBlobs, StorageError> {
        let (endpoint, options) = self.parts(Service::Blob);
        AzureBlobs::new(endpoint, self.credential.clone(), options)
    }

    fn signer(&self) -> Result<Signer, StorageError> {
        let (endpoint, options) = self.parts(Service::Blob);
        Ok(match (self.config, &self.credential) {
            (StorageConfig::Account(account), _) => Signer::Key(Box::new(account.clone())),
            (StorageConfig::Identity { account, .. }, Some(credential)) => {
                Signer::Lent(Arc::new(LentKey::new(account.clone(), endpoint, credential.clone(), options)?))
            }
            (StorageConfig::Identity { .. }, None) => Signer::None,
        })
    }

    fn parts(&self, service: Service) -> (Url, ClientOptions) {
        let (endpoint, options) = match self.config {
            StorageConfig::Account(account) => {
                (account.endpoint(service).clone(), account.client_options(service))
            }
            StorageConfig::Identity { blob, queue, table, .. } => {
                let endpoint = match service {
                    Service::Blob => blob,
                    Service::Queue => queue,
                    Service::Table => table,
                };
                (endpoint.clone(), ClientOptions::default())
            }
        };
        (endpoint, ClientOptions { retry: quick(), transport: Some(self.transport.clone()), ..options })
    }
}

/// Retries of rows and messages: a person may be waiting, so a few seconds must do.
fn quick() -> RetryOptions {
    RetryOptions::exponential(ExponentialRetryOptions {
        initial_delay: Duration::milliseconds(200),
        max_retries: 4,
        max_total_elapsed: Duration::seconds(10),
        max_delay: Duration::seconds(3),
    })
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.signer {
            Signer::Key(account) => account.name(),
            Signer::Lent(_) | Signer::None => "storage account",
        })
    }
}
