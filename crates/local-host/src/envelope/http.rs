//! HTTP functions that are not forwarded: the request as JSON, and the answer read from an output.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::payload::{Sys, quoted};

/// A request as the envelope shows it.
pub(crate) struct HttpRequest<'a> {
    /// The address that the caller used.
    pub(crate) url: &'a str,
    /// The method.
    pub(crate) method: &'a Method,
    /// The query as it stands in the address.
    pub(crate) query: &'a str,
    /// The headers.
    pub(crate) headers: &'a HeaderMap,
    /// The values of the route's parameters.
    pub(crate) params: &'a BTreeMap<String, String>,
    /// The body.
    pub(crate) body: &'a Bytes,
}

/// The answer to be given to the caller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Builds the body of an HTTP invocation.
pub(crate) fn payload(binding: &str, request: &HttpRequest, sys: Sys) -> Value {
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in request.headers {
        let list = headers.entry(name.as_str()).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
    }
    let mut data = json!({
        "Url": request.url,
        "Method": request.method.as_str(),
        "Query": joined_query(request.query),
        "Headers": headers,
        "Params": request.params,
        "Identities": [],
    });
    if !request.body.is_empty() {
        data["Body"] = Value::String(if is_binary(request.headers) {
            STANDARD.encode(request.body)
        } else {
            String::from_utf8_lossy(request.body).into_owned()
        });
    }
    let mut metadata: Map<String, Value> =
        request.params.iter().map(|(name, value)| (name.clone(), Value::String(quoted(value)))).collect();
    metadata.insert("sys".to_owned(), sys.to_json());
    json!({ "Data": { binding: data }, "Metadata": metadata })
}

/// Turns the value of the HTTP output into an answer. A value without `statusCode`, `headers` or
/// `body` is itself the body.
pub(crate) fn answer(output: Option<&Value>) -> Result<HttpAnswer, String> {
    let mut answer = HttpAnswer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() };
    let Some(output) = output.filter(|output| !output.is_null()) else { return Ok(answer) };
    let member = |name: &str| {
        output.as_object().and_then(|members| {
            members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        })
    };
    let status = member("statusCode").or_else(|| member("status"));
    let (headers, body) = (member("headers"), member("body"));
    if status.is_none() && headers.is_none() && body.is_none() {
        answer.set_body(output);
        return Ok(answer);
    }
    if let Some(status) = status.filter(|status| !status.is_null()) {
        let text = status.as_str().map_or_else(|| status.to_string(), str::to_owned);
        answer.status = text.parse().map_err(|_| format!("\"{text}\" is not a status code"))?;
    }
    if let Some(body) = body {
        answer.set_body(body);
    }
    for (name, value) in headers.and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let invalid = || format!("the header \"{name}\" is not valid");
        answer.headers.insert(
            HeaderName::try_from(name).map_err(|_| invalid())?,
            HeaderValue::try_from(text).map_err(|_| invalid())?,
        );
    }
    Ok(answer)
}

impl HttpAnswer {
    fn set_body(&mut self, value: &Value) {
        let (kind, body) = match value {
            Value::Null => return,
            Value::String(text) => ("text/plain; charset=utf-8", text.clone()),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                ("application/json; charset=utf-8", value.to_string())
            }
        };
        self.headers.insert("content-type", HeaderValue::from_static(kind));
        self.body = body.into();
    }
}

/// Reads a query into one text per key; values of a repeated key are joined by commas.
fn joined_query(query: &str) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        joined
            .entry(name.into_owned())
            .and_modify(|text| {
                text.push(',');
                text.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    joined
}

fn is_binary(headers: &HeaderMap) -> bool {
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    kind.starts_with("application/octet-stream") || kind.starts_with("multipart/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_request_as_json() -> Result<(), Box<dyn std::error::Error>> {
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("x-a"), HeaderValue::from_static("1")),
            (HeaderName::from_static("content-type"), HeaderValue::from_static("text/plain")),
        ]);
        let params = BTreeMap::from([("id".to_owned(), "7".to_owned())]);
        let request = HttpRequest {
            url: "http://localhost/api/x/7?a=1&a=2",
            method: &Method::POST,
            query: "a=1&a=2",
            headers: &headers,
            params: &params,
            body: &Bytes::from_static(b"hello"),
        };
        let sys = Sys { function: "f", now: "2026-03-01T02:00:00Z".parse()?, id: uuid::Uuid::nil() };
        insta::assert_snapshot!(serde_json::to_string_pretty(&payload("req", &request, sys))?, @r#"
        {
          "Data": {
            "req": {
              "Body": "hello",
              "Headers": {
                "content-type": [
                  "text/plain"
                ],
                "x-a": [
                  "1"
                ]
              },
              "Identities": [],
              "Method": "POST",
              "Params": {
                "id": "7"
              },
              "Query": {
                "a": "1,2"
              },
              "Url": "http://localhost/api/x/7?a=1&a=2"
            }
          },
          "Metadata": {
            "id": "\"7\"",
            "sys": {
              "MethodName": "f",
              "RandGuid": "00000000-0000-0000-0000-000000000000",
              "UtcNow": "2026-03-01T02:00:00.0000000Z"
            }
          }
        }
        "#);
        Ok(())
    }

    #[test]
    fn reads_the_answer_from_the_output() {
        let output = json!({"StatusCode": "201", "headers": {"x-a": 1}, "body": {"ok": true}});
        let read = answer(Some(&output));
        assert!(read.as_ref().is_ok_and(|answer| answer.status == StatusCode::CREATED
            && answer.headers["x-a"] == "1"
            && answer.headers["content-type"] == "application/json; charset=utf-8"
            && answer.body == r#"{"ok":true}"#));
        assert!(answer(Some(&json!("hi"))).is_ok_and(|answer| answer.body == "hi"));
        assert!(answer(None).is_ok_and(|answer| answer.status == StatusCode::OK && answer.body.is_empty()));
        assert!(answer(Some(&json!({"status": 99}))).is_err());
        assert!(answer(Some(&json!({"headers": {"a b": "c"}}))).is_err());
    }
}
