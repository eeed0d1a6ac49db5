//! Passing a request on to the handler and its answer back.
//!
//! Two ways exist. *Forward* collects body and answer, keeps of the content headers only length and
//! type, and has three traps of its own that can be switched on. *Proxy* leaves path and query
//! alone and streams both ways. In both the handler sees the path with the route prefix.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING, USER_AGENT as USER_AGENT_HEADER,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, Uri};
use bytes::Bytes;
use uuid::Uuid;

use crate::ForwardTraps;
use crate::invoke::{
    HOST_VERSION, HOST_VERSION_HEADER, INVOCATION_ID_HEADER, InvocationError, Invoker, USER_AGENT,
    traceparent,
};
use crate::process::Instance;
use crate::route;

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers that describe the body; the forward way loses them.
const LOST_CONTENT_HEADERS: [&str; 9] = [
    "allow",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-md5",
    "content-range",
    "expires",
    "last-modified",
];

/// Passes a request on with its body collected, and collects the answer.
pub(crate) async fn forward(
    invoker: &Invoker,
    instance: Instance,
    parts: &Parts,
    body: Bytes,
    id: Uuid,
    traps: ForwardTraps,
) -> Result<Response<Body>, InvocationError> {
    if traps.reject_chunked_uploads && parts.headers.contains_key(TRANSFER_ENCODING) {
        let problem = "a request without Content-Length cannot be forwarded".to_owned();
        return Err(InvocationError::Answer(problem));
    }
    let mut headers = passed_on(&parts.headers, id);
    for name in LOST_CONTENT_HEADERS {
        headers.remove(name);
    }
    headers.remove(CONTENT_LENGTH);
    if body.is_empty() {
        headers.remove(CONTENT_TYPE);
    }
    let request = invoker
        .client
        .request(parts.method.clone(), address(instance, &parts.uri, traps))
        .headers(headers)
        .body(body);
    let response = request.send().await.map_err(InvocationError::connection)?;
    let (status, headers) = (response.status(), passed_back(response.headers()));
    let body = response.bytes().await.map_err(InvocationError::connection)?;
    Ok(answer(status, headers, Body::from(body)))
}

/// Passes a request on and streams its body and the answer.
pub(crate) async fn proxy(
    invoker: &Invoker,
    instance: Instance,
    parts: &Parts,
    body: Body,
    id: Uuid,
) -> Result<Response<Body>, InvocationError> {
    let has_body =
        parts.headers.contains_key(CONTENT_LENGTH) || parts.headers.contains_key(TRANSFER_ENCODING);
    let mut request = invoker
        .client
        .request(parts.method.clone(), address(instance, &parts.uri, ForwardTraps::default()))
        .headers(passed_on(&parts.headers, id));
    if has_body {
        request = request.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    let response = request.send().await.map_err(InvocationError::connection)?;
    let (status, headers) = (response.status(), passed_back(response.headers()));
    Ok(answer(status, headers, Body::from_stream(response.bytes_stream())))
}

fn answer(status: reqwest::StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Returns the headers that the handler gets.
fn passed_on(original: &HeaderMap, id: Uuid) -> HeaderMap {
    let mut headers = without_hop_by_hop(original);
    headers.remove(EXPECT);
    let agent = headers.get(USER_AGENT_HEADER).and_then(|agent| agent.to_str().ok());
    let agent = agent.map_or_else(|| USER_AGENT.to_owned(), |agent| format!("{agent} {USER_AGENT}"));
    if let Ok(agent) = HeaderValue::try_from(agent) {
        headers.insert(USER_AGENT_HEADER, agent);
    }
    headers.insert(HOST_VERSION_HEADER, HOST_VERSION);
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(INVOCATION_ID_HEADER, id);
    }
    if !headers.contains_key("traceparent")
        && let Ok(trace) = HeaderValue::try_from(traceparent())
    {
        headers.insert("traceparent", trace);
    }
    headers
}

fn passed_back(original: &HeaderMap) -> HeaderMap {
    without_hop_by_hop(original)
}

/// Drops the headers that belong to one connection, those that `Connection` names included.
fn without_hop_by_hop(original: &HeaderMap) -> HeaderMap {
    let named: BTreeSet<String> = original
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let stays = |name: &HeaderName| !HOP_BY_HOP.contains(&name.as_str()) && !named.contains(name.as_str());
    original
        .iter()
        .filter(|(name, _)| stays(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn address(instance: Instance, uri: &Uri, traps: ForwardTraps) -> String {
    let path = if traps.rebuild_path { rebuilt_path(uri.path()) } else { uri.path().to_owned() };
    let mut address = format!("http://127.0.0.1:{}{path}", instance.port);
    if let Some(query) = uri.query().filter(|query| !query.is_empty()) {
        address.push('?');
        address.push_str(&if traps.join_duplicate_query { joined_query(query) } else { query.to_owned() });
    }
    address
}

/// Rebuilds a path from its decoded form: an encoded `?` or `#` ends it, and one level of encoding is
/// lost.
fn rebuilt_path(path: &str) -> String {
    let decoded = route::decode(path);
    let kept = decoded.split(['?', '#']).next().unwrap_or_default();
    let mut rebuilt = String::with_capacity(kept.len());
    for (index, byte) in kept.bytes().enumerate() {
        let encoded = byte == b'%'
            && kept
                .as_bytes()
                .get(index + 1..index + 3)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if encoded || byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            rebuilt.push(char::from(byte));
        } else {
            let _ = write!(rebuilt, "%{byte:02X}");
        }
    }
    rebuilt
}

/// Joins the values of repeated keys by commas.
fn joined_query(query: &str) -> String {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, text)) => {
                text.push(',');
                text.push_str(&value);
            }
            None => joined.push((name.into_owned(), value.into_owned())),
        }
    }
    // A literal plus is encoded by now, so each plus left is a blank.
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(joined).finish().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ForwardTraps =
        ForwardTraps { join_duplicate_query: true, reject_chunked_uploads: true, rebuild_path: true };

    fn addressed(uri: &str, traps: ForwardTraps) -> Result<String, axum::http::uri::InvalidUri> {
        Ok(address(Instance { generation: 1, port: 9 }, &uri.parse()?, traps))
    }

    #[test]
    fn leaves_the_address_alone_unless_told_otherwise() -> Result<(), axum::http::uri::InvalidUri> {
        for (uri, trapped) in [
            ("/api/x", "/api/x"),
            ("/api/a%20b?a=1&a=2&b=c%20d", "/api/a%20b?a=1%2C2&b=c%20d"),
            ("/api/a%3Fb/c?x=1", "/api/a?x=1"),
            ("/api/%2541%2Fb", "/api/%41%2Fb"),
            ("/api/%C3%A4", "/api/%C3%A4"),
            ("/api/x?flag", "/api/x?flag="),
        ] {
            let none = addressed(uri, ForwardTraps::default())?;
            assert_eq!(none, format!("http://127.0.0.1:9{uri}"));
            assert_eq!(addressed(uri, ALL)?, format!("http://127.0.0.1:9{trapped}"));
        }
        Ok(())
    }

    #[test]
    fn passes_headers_on_but_those_of_the_connection() {
        let original = HeaderMap::from_iter([
            (HeaderName::from_static("host"), HeaderValue::from_static("localhost:7071")),
            (HeaderName::from_static("connection"), HeaderValue::from_static("close, X-Private")),
            (HeaderName::from_static("x-private"), HeaderValue::from_static("1")),
            (HeaderName::from_static("te"), HeaderValue::from_static("trailers")),
            (HeaderName::from_static("user-agent"), HeaderValue::from_static("curl/8")),
            (HeaderName::from_static("x-functions-key"), HeaderValue::from_static("k")),
        ]);
        let passed = passed_on(&original, Uuid::nil());
        let mut lines: Vec<_> = passed
            .iter()
            .filter(|(name, _)| *name != "traceparent")
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
            .collect();
        lines.sort();
        insta::assert_snapshot!(lines.join("\n"), @"
        host: localhost:7071
        user-agent: curl/8 Azure-Functions-Host/4.1037.0.0
        x-azure-functions-hostversion: 4.1037.0.0
        x-azure-functions-invocationid: 00000000-0000-0000-0000-000000000000
        x-functions-key: k
        ");
        assert!(
            passed["traceparent"].to_str().is_ok_and(|trace| trace.len() == 55 && trace.starts_with("00-"))
        );
    }
}
