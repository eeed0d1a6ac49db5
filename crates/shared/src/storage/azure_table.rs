//! Tables of Azure Storage over its REST interface.
//!
//! The vendor offers no crate for tables, so this is a small client on the vendor's own pipeline.
//! <https://learn.microsoft.com/rest/api/storageservices/table-service-rest-api>

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::http::headers::HeaderName;
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, RawResponse, Request, StatusCode,
};
use serde_json::json;
use url::Url;

use super::table::{Continuation, ETag, Entity, Expect, Key, Page, Properties, Query, Table};
use super::{StorageError, StorageErrorKind, wire};

const VERSION: &str = "2019-02-02";
const JSON: &str = "application/json;odata=minimalmetadata";

/// One table of an account.
pub struct AzureTable {
    endpoint: Url,
    name: String,
    pipeline: Pipeline,
}

impl AzureTable {
    /// Makes a client of the table `name`.
    ///
    /// `options` carries the signing policy for accounts reached by key; with a `credential`,
    /// requests carry its token instead.
    pub fn new(
        endpoint: Url,
        name: &str,
        credential: Option<Arc<dyn TokenCredential>>,
        options: ClientOptions,
    ) -> Self {
        let per_try: Vec<Arc<dyn Policy>> = credential
            .map(|credential| -> Arc<dyn Policy> {
                Arc::new(BearerTokenAuthorizationPolicy::new(
                    credential,
                    vec!["https://storage.azure.com/.default"],
                ))
            })
            .into_iter()
            .collect();
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            options,
            Vec::new(),
            per_try,
            None,
        );
        Self { endpoint, name: name.to_owned(), pipeline }
    }

    fn url(&self, last: &str) -> Url {
        let mut url = self.endpoint.clone();
        let path = format!("{}/{last}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    fn entity_url(&self, key: &Key) -> Url {
        let part = |text: &str| encode(&text.replace('\'', "''"));
        self.url(&format!(
            "{}(PartitionKey='{}',RowKey='{}')",
            self.name,
            part(&key.partition),
            part(&key.row)
        ))
    }

    /// Sends a request; makes the table and sends again when the service says there is none.
    async fn send(
        &self,
        mut request: Request,
        operation: &'static str,
        target: &str,
    ) -> Result<RawResponse, StorageError> {
        let again = request.clone();
        let response = self.send_once(&mut request, operation, target).await?;
        if response.status() == StatusCode::NotFound
            && error_code(&response).as_deref() == Some("TableNotFound")
        {
            self.create().await?;
            return self.send_once(&mut again.clone(), operation, target).await;
        }
        Ok(response)
    }

    async fn send_once(
        &self,
        request: &mut Request,
        operation: &'static str,
        target: &str,
    ) -> Result<RawResponse, StorageError> {
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        self.pipeline
            .send(&Context::new(), request, Some(options))
            .await
            .map_err(|error| StorageError::from_azure(error, operation, target))
    }

    async fn write(
        &self,
        method: Method,
        key: &Key,
        properties: &Properties,
        expect: Option<&Expect>,
    ) -> Result<ETag, StorageError> {
        key.check()?;
        let operation = "update row";
        let mut request = request_with_body(method, self.entity_url(key), &wire::object(properties));
        if let Some(expect) = expect {
            request.insert_header("if-match", if_match(expect));
        }
        let response = self.send(request, operation, &self.place(key)).await?;
        etag(&checked(response, operation, &self.place(key))?)
    }

    fn place(&self, key: &Key) -> String {
        format!("{key} of table {}", self.name)
    }
}

impl fmt::Debug for AzureTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AzureTable({})", self.name)
    }
}

#[async_trait]
impl Table for AzureTable {
    async fn create(&self) -> Result<(), StorageError> {
        let mut request =
            request_with_body(Method::Post, self.url("Tables"), &json!({"TableName": self.name}));
        let response = self.send_once(&mut request, "create table", &self.name).await?;
        match checked(response, "create table", &self.name) {
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => Ok(()),
            other => other.map(drop),
        }
    }

    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        entity.key.check()?;
        let operation = "insert row";
        let body = wire::entity(entity);
        let request = request_with_body(Method::Post, self.url(&self.name), &body);
        let response = self.send(request, operation, &self.place(&entity.key)).await?;
        etag(&checked(response, operation, &self.place(&entity.key))?)
    }

    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        // A merge is the verb PATCH for the service; MERGE is its older name.
        self.write(Method::Patch, key, properties, Some(expect)).await
    }

    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        self.write(Method::Patch, key, properties, None).await
    }

    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        key.check()?;
        let mut request = request(Method::Delete, self.entity_url(key));
        request.insert_header("if-match", if_match(expect));
        let response = self.send(request, "delete row", &self.place(key)).await?;
        checked(response, "delete row", &self.place(key)).map(drop)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        key.check()?;
        let request = request(Method::Get, self.entity_url(key));
        let response = self.send(request, "read row", &self.place(key)).await?;
        if response.status() == StatusCode::NotFound {
            return Ok(None);
        }
        let response = checked(response, "read row", &self.place(key))?;
        let etag = etag(&response).ok();
        wire::read_entity(response.body().as_ref())
            .map(|mut entity| {
                entity.etag = etag.or(entity.etag);
                Some(entity)
            })
            .map_err(|error| {
                StorageError::new(StorageErrorKind::Invalid, "read row", self.place(key)).because(error)
            })
    }

    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        let mut url = self.url(&format!("{}()", self.name));
        {
            let mut pairs = url.query_pairs_mut();
            if let Some(filter) = &query.filter {
                pairs.append_pair("$filter", &filter.to_odata());
            }
            if !query.select.is_empty() {
                // The service drops the keys from a selection that does not name them.
                let names = ["PartitionKey", "RowKey"].iter().chain(&query.select).copied();
                pairs.append_pair("$select", &names.collect::<Vec<_>>().join(","));
            }
            if let Some(top) = query.top {
                pairs.append_pair("$top", &top.clamp(1, 1000).to_string());
            }
            if let Some(from) = from {
                pairs.append_pair("NextPartitionKey", &from.partition);
                if let Some(row) = &from.row {
                    pairs.append_pair("NextRowKey", row);
                }
            }
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        let target = format!("table {}", self.name);
        let response = self.send(request(Method::Get, url), "query", &target).await?;
        let response = checked(response, "query", &target)?;
        let entities = wire::read_page(response.body().as_ref())
            .map_err(|error| StorageError::new(StorageErrorKind::Invalid, "query", &target).because(error))?;
        Ok(Page { entities, next: continuation(&response) })
    }
}

fn request(method: Method, url: Url) -> Request {
    let mut request = Request::new(url, method);
    request.insert_header("accept", JSON);
    request.insert_header("x-ms-version", VERSION);
    request.insert_header("dataserviceversion", "3.0;NetFx");
    request.insert_header("maxdataserviceversion", "3.0;NetFx");
    request
}

fn request_with_body(method: Method, url: Url, body: &serde_json::Value) -> Request {
    let mut request = request(method, url);
    request.insert_header("content-type", "application/json");
    request.insert_header("prefer", "return-no-content");
    request.set_body(body.to_string().into_bytes());
    request
}

fn if_match(expect: &Expect) -> String {
    match expect {
        Expect::Any => "*".to_owned(),
        Expect::Version(etag) => etag.0.clone(),
    }
}

fn continuation(response: &RawResponse) -> Option<Continuation> {
    let header = |name| response.headers().get_optional_string(&HeaderName::from_static(name));
    header("x-ms-continuation-nextpartitionkey")
        .map(|partition| Continuation { partition, row: header("x-ms-continuation-nextrowkey") })
}

fn etag(response: &RawResponse) -> Result<ETag, StorageError> {
    response
        .headers()
        .get_optional_string(&HeaderName::from_static("etag"))
        .map(ETag)
        .ok_or_else(|| StorageError::new(StorageErrorKind::Invalid, "read the version of", "a row"))
}

fn error_code(response: &RawResponse) -> Option<String> {
    let header = response.headers().get_optional_string(&HeaderName::from_static("x-ms-error-code"));
    header.or_else(|| {
        let body: serde_json::Value = serde_json::from_slice(response.body().as_ref()).ok()?;
        body.get("odata.error")?.get("code")?.as_str().map(str::to_owned)
    })
}

fn checked(
    response: RawResponse,
    operation: &'static str,
    target: &str,
) -> Result<RawResponse, StorageError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let code = error_code(&response);
    let kind = if code.as_deref() == Some("TableBeingDeleted") {
        // A conflict that passes.
        StorageErrorKind::Unavailable
    } else {
        StorageErrorKind::of_status(u16::from(status))
    };
    let reason = format!("the table service answered {status} {}", code.unwrap_or_default());
    Err(StorageError::new(kind, operation, target).because(reason))
}

/// Percent-encodes a key for a path; only unreserved characters stay as they are.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
