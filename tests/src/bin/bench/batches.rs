//! Stores many rows quickly: a hundred with one request, which the product itself never needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use azure_core::http::{Context, Method, Pipeline, PipelineSendOptions, Request};
use serde_json::{Map, Value};
use storage_account::{Service, StorageAccount};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

/// The most rows of one request; the service takes no more.
const A_BATCH: usize = 100;

/// How many requests are on their way at a time.
const WRITERS: usize = 4;

/// A row as JSON, its keys among its members.
pub(crate) type Row = Map<String, Value>;

/// Stores rows in a table that exists.
pub(crate) async fn store(account: &StorageAccount, table: &str, rows: impl Iterator<Item = Row>) {
    // One request writes to one partition.
    let mut partitions: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        partitions.entry(row["PartitionKey"].as_str().unwrap().to_owned()).or_default().push(row);
    }
    let endpoint = account.endpoint(Service::Table).as_str().trim_end_matches('/').to_owned();
    let options = account.client_options(Service::Table);
    let pipeline = Pipeline::new(None, None, options, Vec::new(), Vec::new(), None);
    let places = Arc::new(Semaphore::new(WRITERS));
    let mut writes = JoinSet::new();
    for rows in partitions.values().flat_map(|rows| rows.chunks(A_BATCH)) {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (pipeline, request) = (pipeline.clone(), request(&endpoint, table, rows));
        writes.spawn(async move {
            send(&pipeline, request).await;
            drop(place);
        });
    }
    while let Some(written) = writes.join_next().await {
        written.unwrap();
    }
}

async fn send(pipeline: &Pipeline, mut request: Request) {
    let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
    let answer = pipeline.send(&Context::new(), &mut request, Some(options)).await.unwrap();
    let text = String::from_utf8_lossy(answer.body().as_ref()).into_owned();
    // The answer is 202, whatever became of the rows.
    assert!(u16::from(answer.status()) == 202 && !text.contains("HTTP/1.1 4"), "{text}");
}

/// Renders the transaction that inserts rows.
/// <https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions>
fn request(endpoint: &str, table: &str, rows: &[Row]) -> Request {
    let mut body =
        String::from("--batch_rows\r\nContent-Type: multipart/mixed; boundary=changeset_rows\r\n\r\n");
    for row in rows {
        let row = Value::from(row.clone());
        let _ = write!(
            body,
            "--changeset_rows\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
             POST {endpoint}/{table} HTTP/1.1\r\nAccept: application/json;odata=minimalmetadata\r\n\
             Content-Type: application/json\r\nPrefer: return-no-content\r\nDataServiceVersion: 3.0;\r\n\r\n\
             {row}\r\n"
        );
    }
    body.push_str("--changeset_rows--\r\n--batch_rows--\r\n");
    let mut request = Request::new(Url::parse(&format!("{endpoint}/$batch")).unwrap(), Method::Post);
    request.insert_header("content-type", "multipart/mixed; boundary=batch_rows");
    request.insert_header("accept", "application/json;odata=minimalmetadata");
    request.insert_header("x-ms-version", "2019-02-02");
    request.insert_header("dataserviceversion", "3.0;");
    request.set_body(body.into_bytes());
    request
}
