//! Cross-origin calls, as the settings `Host.CORS` and `Host.CORSCredentials` allow them.
//!
//! With origins set, every preflight is answered here, without allow headers for an unknown origin.
//! Without them preflights are requests like all others.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::settings::CorsSettings;

/// Answers a preflight; `None` for any other request.
pub(crate) fn preflight(cors: &CorsSettings, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
    if *method != Method::OPTIONS
        || !headers.contains_key(ORIGIN)
        || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if allow_origin(cors, headers, response.headers_mut()) {
        for (asked, allowed) in [
            (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
            (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
        ] {
            if let Some(value) = headers.get(asked) {
                response.headers_mut().insert(allowed, value.clone());
            }
        }
    }
    Some(response)
}

/// Adds the headers of an answer to a cross-origin call and tells whether its origin is known.
pub(crate) fn allow_origin(cors: &CorsSettings, request: &HeaderMap, response: &mut HeaderMap) -> bool {
    let Some(origin) = request.get(ORIGIN) else { return false };
    let any = cors.origins.iter().any(|allowed| allowed == "*");
    let known = any
        || origin.to_str().is_ok_and(|origin| {
            cors.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin.trim_end_matches('/')))
        });
    if known {
        let value = if any { HeaderValue::from_static("*") } else { origin.clone() };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        if cors.credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
    if !any {
        response.append(VARY, HeaderValue::from_static("Origin"));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(origin: &str, credentials: bool) -> CorsSettings {
        CorsSettings { origins: vec![origin.to_owned()], credentials }
    }

    fn request(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (ORIGIN, HeaderValue::from_static(origin)),
            (ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT")),
            (ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("authorization")),
        ])
    }

    #[test]
    fn answers_preflights_of_known_origins() {
        let cors = settings("http://localhost:3000", true);
        let response = preflight(&cors, &Method::OPTIONS, &request("http://localhost:3000"));
        assert!(response.is_some_and(|response| response.status() == 204
            && response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN] == "http://localhost:3000"
            && response.headers()[ACCESS_CONTROL_ALLOW_METHODS] == "PUT"
            && response.headers()[ACCESS_CONTROL_ALLOW_HEADERS] == "authorization"
            && response.headers()[ACCESS_CONTROL_ALLOW_CREDENTIALS] == "true"));
    }

    #[test]
    fn answers_unknown_origins_without_allowing_anything() {
        let cors = settings("http://localhost:3000", true);
        let response = preflight(&cors, &Method::OPTIONS, &request("http://evil.example"));
        assert!(response.is_some_and(|response| response.status() == 204
            && !response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
            && !response.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS)));
    }

    #[test]
    fn lets_all_else_through() {
        let cors = settings("*", false);
        assert!(preflight(&cors, &Method::PUT, &request("http://a")).is_none());
        assert!(preflight(&cors, &Method::OPTIONS, &HeaderMap::new()).is_none());
        let mut answer = HeaderMap::new();
        assert!(allow_origin(&cors, &request("http://a"), &mut answer));
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
}
