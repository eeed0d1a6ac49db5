//! The REST API as a client sees it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How long a test waits for something that happens in seconds on a quiet machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// A client of the REST API.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    http: reqwest::Client,
}

/// What a configuration needs to know of a server.
#[derive(Debug, Clone)]
pub struct Server {
    /// `mysql` or `postgresql`.
    pub engine_type: &'static str,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The account.
    pub username: String,
    /// Its password.
    pub password: String,
}

impl Api {
    /// Makes a client of the API on a local port.
    ///
    /// # Panics
    ///
    /// When the HTTP client cannot be set up.
    pub fn on_port(port: u16) -> Self {
        Self::trusting(port, None)
    }

    /// Makes a client that also trusts a certificate, for downloads from an emulator that has it.
    ///
    /// # Panics
    ///
    /// When the HTTP client cannot be set up.
    pub fn trusting(port: u16, certificate: Option<&Path>) -> Self {
        // The provider is one for the whole process; whoever is first installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder().timeout(Duration::from_mins(1));
        if let Some(file) = certificate {
            let pem = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let certificate = reqwest::Certificate::from_pem(&pem);
            http = http.tls_certs_only(certificate);
        }
        let http = http.build();
        Self {
            base: format!("http://127.0.0.1:{port}/api"),
            http: http.unwrap_or_else(|error| panic!("the HTTP client: {error}")),
        }
    }

    /// Sends a request and returns status and body.
    ///
    /// # Panics
    ///
    /// When the API does not answer, or not with JSON.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().unwrap_or(reqwest::Method::GET);
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        let status = response.status().as_u16();
        let text = response.text().await.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        let json = serde_json::from_str(&text);
        (status, json.unwrap_or_else(|error| panic!("{path}: {status} {text}: {error}")))
    }

    /// Sends a request that must be answered with `expected`.
    ///
    /// # Panics
    ///
    /// When it is answered otherwise.
    pub async fn expect(&self, expected: u16, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.send(method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
        answer
    }

    /// Waits until the API answers that it is healthy.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn wait_until_healthy(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.http.get(format!("{}/health", self.base)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            assert!(Instant::now() < end, "the API at {} does not become healthy", self.base);
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Configures a server and returns its id.
    pub async fn create_engine(&self, name: &str, server: &Server) -> String {
        let body = json!({
            "name": name, "engine_type": server.engine_type, "host": "127.0.0.1", "port": server.port,
            "auth_method": "user_password", "username": server.username, "password": server.password,
        });
        let answer = self.expect(201, "POST", "/engines", Some(body)).await;
        text(&answer["engine"]["id"])
    }

    /// Configures a database with its own credentials and returns its id.
    pub async fn create_database(&self, name: &str, server: &Server, database: &str) -> String {
        self.create_database_with(name, server, database, json!({})).await
    }

    /// Configures a database with further members and returns its id.
    ///
    /// # Panics
    ///
    /// When the API refuses.
    pub async fn create_database_with(
        &self,
        name: &str,
        server: &Server,
        database: &str,
        more: Value,
    ) -> String {
        let mut body = json!({
            "name": name, "database_type": server.engine_type, "host": "127.0.0.1", "port": server.port,
            "database_name": database, "username": server.username, "password": server.password,
            "enabled": false,
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let answer = self.expect(201, "POST", "/databases", Some(body)).await;
        text(&answer["database"]["id"])
    }

    /// Asks for a backup and returns the job's id.
    pub async fn trigger(&self, database: &str) -> String {
        let answer = self.expect(202, "POST", &format!("/databases/{database}/backup"), None).await;
        text(&answer["job_id"])
    }

    /// Returns the record of a job, if there is one.
    ///
    /// # Panics
    ///
    /// When a job has more than one record.
    pub async fn record(&self, database: &str, job: &str) -> Option<Value> {
        let records = self.records(database).await;
        let mut found = records.into_iter().filter(|record| record["job_id"] == job);
        let first = found.next();
        assert!(found.next().is_none(), "the job {job} has more than one record");
        first
    }

    /// Returns all records of a database, newest first.
    pub async fn records(&self, database: &str) -> Vec<Value> {
        let path = format!("/backups?database_id={database}&page_size=100");
        let answer = self.expect(200, "GET", &path, None).await;
        answer["backups"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until a job has ended and returns its record.
    pub async fn wait_for_end(&self, database: &str, job: &str) -> Value {
        self.wait_for(database, job, |record| {
            ["completed", "failed", "cancelled"].iter().any(|end| record["status"] == *end)
        })
        .await
    }

    /// Waits until the record of a job is as wanted, and returns it.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn wait_for(&self, database: &str, job: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let record = self.record(database, job).await;
            match record {
                Some(record) if wanted(&record) => return record,
                other => assert!(Instant::now() < end, "the job {job} does not get there: {other:?}"),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Makes a backup from beginning to end and returns its completed record.
    ///
    /// # Panics
    ///
    /// When it does not end well.
    pub async fn back_up(&self, database: &str) -> Value {
        let job = self.trigger(database).await;
        let record = self.wait_for_end(database, &job).await;
        assert_eq!(record["status"], "completed", "{record}");
        record
    }

    /// Fetches an address and returns the status of the answer.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn status_of(&self, address: &str) -> u16 {
        let response = self.http.get(address).send().await;
        response.unwrap_or_else(|error| panic!("{error:?}")).status().as_u16()
    }

    /// Downloads a blob by the address that the API gives out.
    ///
    /// # Panics
    ///
    /// When the address does not work.
    pub async fn download(&self, blob: &str) -> Vec<u8> {
        let encoded: String = url::form_urlencoded::byte_serialize(blob.as_bytes()).collect();
        let answer = self.expect(200, "GET", &format!("/backups/download?blob_name={encoded}"), None).await;
        let address = text(&answer["download_url"]);
        let response = self.http.get(&address).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        let body = response.unwrap_or_else(|error| panic!("{error:?}")).bytes().await;
        body.unwrap_or_else(|error| panic!("{error:?}")).to_vec()
    }
}

/// Returns the text of a JSON value.
///
/// # Panics
///
/// When it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
