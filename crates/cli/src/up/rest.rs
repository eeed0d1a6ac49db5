//! The few requests that `dilux up` makes of the api, as any other client would.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::UpError;
use super::samples::{BACKUP_USER, SAMPLE_DATABASE, Sample};

const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How much of an answer that is no JSON goes into an error text, in characters.
const QUOTE: usize = 200;

/// A client of the api on this machine.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    base: String,
    http: Client,
}

/// What is read of a server ("engine" on the wire).
#[derive(Debug, Deserialize)]
pub(super) struct Engine {
    pub(super) id: String,
    #[serde(rename = "engine_type")]
    kind: String,
    host: String,
    port: u16,
}

/// What is read of a database.
#[derive(Debug, Deserialize)]
pub(super) struct Database {
    pub(super) id: String,
    name: String,
}

/// What is read of a backup.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Backup {
    pub(super) job_id: String,
    pub(super) status: String,
    pub(super) blob_name: Option<String>,
    pub(super) file_size_bytes: Option<u64>,
    pub(super) duration_seconds: Option<f64>,
    pub(super) error_message: Option<String>,
}

impl Rest {
    /// Makes a client for the api on this port. Proxies of the environment do not apply to it.
    pub(super) fn new(port: u16) -> Result<Self, UpError> {
        // Only the first call in a process counts; that it was done before is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = format!("http://127.0.0.1:{port}");
        let http = Client::builder()
            .no_proxy()
            .timeout(TIME_LIMIT)
            .build()
            .map_err(|source| UpError::Unreachable { method: "GET", path: base.clone(), source })?;
        Ok(Self { base, http })
    }

    /// Asks whether the api is healthy.
    pub(super) async fn health(&self) -> Result<(), UpError> {
        self.get::<Value>("/api/health", &[]).await.map(drop)
    }

    /// Asks the host of an app on another port whether it runs.
    pub(super) async fn host_status(&self, port: u16) -> Result<(), UpError> {
        #[derive(Deserialize)]
        struct Status {
            state: String,
        }
        let host = Self { base: format!("http://127.0.0.1:{port}"), http: self.http.clone() };
        let status: Status = host.get("/admin/host/status", &[]).await?;
        if status.state == "Running" {
            return Ok(());
        }
        Err(UpError::Unexpected { method: "GET", path: "/admin/host/status".to_owned(), what: status.state })
    }

    /// Finds the server of a sample, or creates it.
    pub(super) async fn engine(&self, sample: &Sample) -> Result<Engine, UpError> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Engine>,
        }
        #[derive(Deserialize)]
        struct Created {
            engine: Engine,
        }
        let list: List = self.get("/api/engines", &[("limit", "1000"), ("engine_type", sample.kind)]).await?;
        let is_ours = |engine: &Engine| {
            engine.kind == sample.kind && engine.host == "127.0.0.1" && engine.port == sample.port
        };
        if let Some(engine) = list.items.into_iter().find(is_ours) {
            return Ok(engine);
        }
        let body = json!({
            "name": sample.server,
            "engine_type": sample.kind,
            "host": "127.0.0.1",
            "port": sample.port,
            "auth_method": "user_password",
            "username": BACKUP_USER,
            "password": sample.password.expose_secret(),
        });
        Ok(self.post::<Created>("/api/engines", Some(&body)).await?.engine)
    }

    /// Finds the database of a sample on its server, or creates it.
    pub(super) async fn database(&self, sample: &Sample, engine: &Engine) -> Result<Database, UpError> {
        #[derive(Deserialize)]
        struct List {
            databases: Vec<Database>,
        }
        #[derive(Deserialize)]
        struct Created {
            database: Database,
        }
        let list: List = self.get("/api/databases", &[("engine_id", &engine.id)]).await?;
        if let Some(database) = list.databases.into_iter().find(|database| database.name == sample.name) {
            return Ok(database);
        }
        let body = json!({
            "name": sample.name,
            "database_type": sample.kind,
            "engine_id": engine.id,
            "use_engine_credentials": true,
            "host": engine.host,
            "port": engine.port,
            "database_name": SAMPLE_DATABASE,
            "policy_id": "production-standard",
        });
        Ok(self.post::<Created>("/api/databases", Some(&body)).await?.database)
    }

    /// Asks for a backup; gives the id of the job.
    pub(super) async fn trigger(&self, database: &Database) -> Result<String, UpError> {
        #[derive(Deserialize)]
        struct Accepted {
            job_id: String,
        }
        let path = format!("/api/databases/{}/backup", database.id);
        Ok(self.post::<Accepted>(&path, None).await?.job_id)
    }

    /// Looks up the record of a job; `None` when there is none yet.
    pub(super) async fn backup(&self, database: &Database, job_id: &str) -> Result<Option<Backup>, UpError> {
        #[derive(Deserialize)]
        struct List {
            backups: Vec<Backup>,
        }
        let list: List =
            self.get("/api/backups", &[("database_id", &database.id), ("page_size", "100")]).await?;
        Ok(list.backups.into_iter().find(|backup| backup.job_id == job_id))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, UpError> {
        self.send("GET", path, self.http.request(Method::GET, self.url(path, query)?)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Option<&Value>) -> Result<T, UpError> {
        let mut request = self.http.request(Method::POST, self.url(path, &[])?);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.send("POST", path, request).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        request: RequestBuilder,
    ) -> Result<T, UpError> {
        let path = path.to_owned();
        let unreachable = |source: reqwest::Error| UpError::Unreachable {
            method,
            path: path.clone(),
            // Without the address, which the text has already.
            source: source.without_url(),
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(UpError::Refused { method, path, status: status.as_u16(), text: error_text(&body) });
        }
        serde_json::from_slice(&body).map_err(|error| UpError::Unexpected {
            method,
            path,
            what: error.to_string(),
        })
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, UpError> {
        let mut url = Url::parse(&format!("{}{path}", self.base)).map_err(|error| UpError::Unexpected {
            method: "GET",
            path: path.to_owned(),
            what: error.to_string(),
        })?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

/// Takes the text for people out of an error body; a body of another shape is quoted.
fn error_text(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    serde_json::from_slice::<Body>(body).map_or_else(
        |_| String::from_utf8_lossy(body).trim().chars().take(QUOTE).collect(),
        |body| body.error,
    )
}
