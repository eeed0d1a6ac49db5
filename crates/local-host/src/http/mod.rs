//! The HTTP side of the host: its own answers, the routes of HTTP functions, and the ways to the
//! handler.
//!
//! Functions are tried in the order of their names and the first whose route and methods fit gets
//! the request. Access keys are not checked, as with the Core Tools.

pub(crate) mod admin;
pub(crate) mod cors;
pub(crate) mod forward;
pub(crate) mod principal;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use tokio::time::Instant;
use tracing::{error, info};
use uuid::Uuid;

use self::principal::Principal;
use crate::envelope::http::{self as envelope, HttpRequest};
use crate::envelope::payload::Sys;
use crate::host_json::Forwarding;
use crate::index::{Function, HttpTrigger, Trigger};
use crate::invoke::{InvocationError, Invoker};
use crate::manual::Manual;
use crate::settings::CorsSettings;
use crate::stopping::Stopping;
use crate::{ForwardTraps, ambient, error_chain};

/// The largest request body in bytes, as with the Core Tools.
pub(crate) const MAX_BODY: usize = 104_857_600;

const HOME_PAGE: &str = "<!doctype html><html lang=\"en\"><title>local-host</title>\
<h1>The app is running</h1><p>Its functions are listed at <a href=\"/admin/functions\">/admin/functions</a>.</p></html>\n";

/// What answers requests.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) app: Arc<str>,
    pub(crate) host_id: String,
    pub(crate) functions: Arc<Vec<Function>>,
    /// Functions that were left out, and why.
    pub(crate) problems: Vec<String>,
    pub(crate) invoker: Arc<Invoker>,
    pub(crate) manual: Arc<Manual>,
    pub(crate) forwarding: Forwarding,
    pub(crate) cors: Option<CorsSettings>,
    pub(crate) has_home_page: bool,
    pub(crate) principal: Option<Principal>,
    pub(crate) traps: ForwardTraps,
    pub(crate) stopping: Stopping,
}

/// Builds the router of an app. All decisions are the host's, so there is one route for all.
pub(crate) fn router(front: Arc<Front>) -> Router {
    Router::new().fallback(answer).with_state(front)
}

/// Builds an answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

async fn answer(State(front): State<Arc<Front>>, mut request: Request) -> Response<Body> {
    if let Some(principal) = &front.principal {
        principal.sign_in(request.headers_mut());
    }
    let Some(cors) = &front.cors else { return front.dispatch(request).await };
    if let Some(response) = cors::preflight(cors, request.method(), request.headers()) {
        return response;
    }
    let asked = request.headers().clone();
    let mut response = front.dispatch(request).await;
    cors::allow_origin(cors, &asked, response.headers_mut());
    response
}

/// Tells whether a path has a segment `.` or `..`, encoded once or twice. The client that passes requests on
/// would resolve those, and a path below the public prefix become one of a trigger.
fn climbs(path: &str) -> bool {
    let once = crate::route::decode(path);
    let twice = crate::route::decode(&once);
    [path, &once, &twice]
        .iter()
        .any(|path| path.split(['/', '\\']).any(|segment| segment == "." || segment == ".."))
}

impl Front {
    async fn dispatch(&self, request: Request) -> Response<Body> {
        if self.stopping.is_asked() {
            let mut response = Response::new(Body::from("Function host is not running."));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        }
        let path = request.uri().path();
        if climbs(path) {
            return empty(StatusCode::NOT_FOUND);
        }
        if is_below(path, "/admin") {
            return admin::answer(self, request).await;
        }
        if is_below(path, "/runtime") {
            return empty(StatusCode::NOT_FOUND);
        }
        match self.find(request.method(), path) {
            Some((function, trigger, params)) => self.run(function, trigger, params, request).await,
            None if path == "/" && request.method() == Method::GET => self.home_page(),
            None => empty(StatusCode::NOT_FOUND),
        }
    }

    fn find(
        &self,
        method: &Method,
        path: &str,
    ) -> Option<(&Function, &HttpTrigger, BTreeMap<String, String>)> {
        find(&self.functions, method, path)
    }

    fn home_page(&self) -> Response<Body> {
        if !self.has_home_page {
            return empty(StatusCode::NO_CONTENT);
        }
        let mut response = Response::new(Body::from(HOME_PAGE));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response
    }

    async fn run(
        &self,
        function: &Function,
        trigger: &HttpTrigger,
        params: BTreeMap<String, String>,
        request: Request,
    ) -> Response<Body> {
        let (started, id) = (Instant::now(), ambient::new_id());
        let (parts, body) = request.into_parts();
        if declared_length(&parts).is_some_and(|length| length > MAX_BODY) {
            return empty(StatusCode::PAYLOAD_TOO_LARGE);
        }
        // Any further binding sends the function down the envelope's way.
        let forwarding = if trigger.output.is_some() { self.forwarding } else { Forwarding::Envelope };
        let outcome = match forwarding {
            Forwarding::Proxy => {
                self.invoker
                    .within_time(|instance| forward::proxy(&self.invoker, instance, &parts, body, id))
                    .await
            }
            Forwarding::Forward | Forwarding::Envelope => {
                let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
                    return empty(StatusCode::PAYLOAD_TOO_LARGE);
                };
                if forwarding == Forwarding::Forward {
                    let exchange =
                        |instance| forward::forward(&self.invoker, instance, &parts, body, id, self.traps);
                    self.invoker.within_time(exchange).await
                } else {
                    self.by_envelope(function, trigger, &params, &parts, &body, id).await
                }
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        // The query may hold keys, so the log shows the path only.
        let (method, path) = (&parts.method, parts.uri.path());
        match outcome {
            Ok(response) => {
                info!(app = %self.app, "{method} {path} -> {} in {seconds:.3} s ({id})", response.status().as_u16());
                response
            }
            Err(failure) => {
                error!(app = %self.app, "{method} {path} failed after {seconds:.3} s ({id}): {}", error_chain(&failure));
                empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    async fn by_envelope(
        &self,
        function: &Function,
        trigger: &HttpTrigger,
        params: &BTreeMap<String, String>,
        parts: &Parts,
        body: &Bytes,
        id: Uuid,
    ) -> Result<Response<Body>, InvocationError> {
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let request = HttpRequest {
            url: &format!("http://{host}{}", parts.uri),
            method: &parts.method,
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            params,
            body,
        };
        let sys = Sys { function: &function.name, now: ambient::now(), id };
        let payload = envelope::payload(&trigger.binding, &request, sys);
        let outputs = self.invoker.call(&function.name, &payload).await?.outputs;
        let output = trigger.output.as_ref().and_then(|name| outputs.get(name));
        let output = output.or_else(|| outputs.get("res")).or_else(|| outputs.get("$return"));
        let answer = envelope::answer(output).map_err(InvocationError::Answer)?;
        let mut response = Response::new(Body::from(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// Finds the first function, in the order of names, whose route and methods fit.
fn find<'a>(
    functions: &'a [Function],
    method: &Method,
    path: &str,
) -> Option<(&'a Function, &'a HttpTrigger, BTreeMap<String, String>)> {
    functions.iter().filter(|function| !function.disabled).find_map(|function| {
        let Trigger::Http(trigger) = &function.trigger else { return None };
        let allowed = trigger
            .methods
            .as_ref()
            .is_none_or(|methods| methods.iter().any(|known| known == method.as_str()));
        if !allowed {
            return None;
        }
        trigger.route.matches(path).map(|params| (function, trigger, params))
    })
}

fn is_below(path: &str, root: &str) -> bool {
    path.get(..root.len()).is_some_and(|head| head.eq_ignore_ascii_case(root))
        && matches!(path.as_bytes().get(root.len()), None | Some(b'/'))
}

fn declared_length(parts: &Parts) -> Option<usize> {
    parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::route::{InvalidRoute, Route};

    fn function(name: &str, route: &str, methods: &[&str]) -> Result<Function, InvalidRoute> {
        Ok(Function {
            name: name.to_owned(),
            trigger: Trigger::Http(HttpTrigger {
                binding: "req".to_owned(),
                output: None,
                route: Route::parse("api", route)?,
                methods: (!methods.is_empty())
                    .then(|| methods.iter().map(|&method| method.to_owned()).collect()),
            }),
            disabled: false,
            config: Value::Null,
        })
    }

    #[test]
    fn the_first_name_wins_even_over_a_literal() -> Result<(), InvalidRoute> {
        let mut functions = vec![
            function("a_user", "users/{id}", &["GET"])?,
            function("b_me", "users/me", &["GET"])?,
            function("c_post", "users/{id}", &["POST"])?,
        ];
        let name = |functions: &[Function], method: &Method, path: &str| {
            find(functions, method, path).map(|(function, ..)| function.name.clone())
        };
        assert_eq!(name(&functions, &Method::GET, "/api/users/me").as_deref(), Some("a_user"));
        assert_eq!(name(&functions, &Method::POST, "/api/users/me").as_deref(), Some("c_post"));
        assert_eq!(name(&functions, &Method::DELETE, "/api/users/me"), None);
        functions[0].disabled = true;
        assert_eq!(name(&functions, &Method::GET, "/api/users/me").as_deref(), Some("b_me"));
        Ok(())
    }

    #[test]
    fn the_hosts_own_paths_are_told_apart() {
        assert!(is_below("/admin", "/admin"));
        assert!(is_below("/Admin/host/status", "/admin"));
        assert!(!is_below("/administrator", "/admin"));
        assert!(!is_below("/ädmin", "/admin"));
    }
}
