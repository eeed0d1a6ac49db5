//! The routes that are built: one line each.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};

use crate::state::AppState;
use crate::{
    access_requests, audit, auth_events, backups, databases, engines, openapi, policies, restores, retention,
    settings, system, users,
};

/// A route with its handler.
struct Built {
    method: Method,
    path: &'static str,
    handler: MethodRouter<AppState>,
}

/// Builds the router of all routes, without the prefix.
pub(crate) fn router() -> Router<AppState> {
    built().into_iter().fold(Router::new(), |router, built| {
        tracing::debug!(method = %built.method, path = built.path, "a route");
        router.route(built.path, built.handler)
    })
}

/// Returns method and path of every route that is built, without the prefix, for tests that walk them.
pub fn built_routes() -> Vec<(Method, &'static str)> {
    built().into_iter().map(|built| (built.method, built.path)).collect()
}

fn built() -> Vec<Built> {
    vec![
        get("/openapi.json", openapi::document),
        get("/docs", openapi::page::page),
        get("/health", system::health::health),
        get("/version", system::version::version),
        get("/vnet-status", system::vnet_status::vnet_status),
        get("/system-status", system::status::status),
        get("/backup-alerts", system::alerts::alerts),
        get("/databases", databases::list::list),
        post("/databases", databases::create::create),
        post("/databases/test-connection", databases::test_connection::test_connection),
        get("/databases/{id}", databases::get::get),
        put("/databases/{id}", databases::update::update),
        delete("/databases/{id}", databases::delete::delete),
        get("/databases/{id}/backup-stats", databases::stats::stats),
        get("/databases/{id}/schedule", databases::schedule::schedule),
        post("/databases/{id}/backup", databases::trigger::trigger),
        get("/engines", engines::list::list),
        post("/engines", engines::create::create),
        get("/engines/{id}", engines::get::get),
        put("/engines/{id}", engines::update::update),
        delete("/engines/{id}", engines::delete::delete),
        post("/engines/{id}/test", engines::test::test),
        post("/engines/{id}/discover", engines::discover::discover),
        post("/engines/{id}/databases", engines::import::import),
        get("/backups", backups::list::list),
        get("/backups/files", backups::files::files),
        get("/backups/download", backups::download::download),
        delete("/backups/delete", backups::delete::file),
        post("/backups/delete-bulk", backups::delete::bulk),
        delete("/backups/{backup_id}", backups::delete::record),
        post("/backups/{backup_id}/cancel", backups::cancel::cancel),
        get("/storage-stats", system::storage_stats::storage_stats),
        post("/backups/{backup_id}/restore", restores::create::create),
        post("/backups/{backup_id}/restore/check", restores::check::check),
        get("/restores", restores::list::list),
        get("/restores/{id}", restores::get::get),
        post("/restores/{id}/cancel", restores::cancel::cancel),
        post("/backups/{backup_id}/pin", backups::pin::pin),
        post("/backups/{backup_id}/unpin", backups::pin::unpin),
        get("/retention/preview", retention::preview::preview),
        get("/backup-policies", policies::list::list),
        post("/backup-policies", policies::create::create),
        get("/backup-policies/{id}", policies::get::get),
        put("/backup-policies/{id}", policies::update::update),
        delete("/backup-policies/{id}", policies::delete::delete),
        get("/settings", settings::get::get),
        put("/settings", settings::update::update),
        get("/users/me", users::me::me),
        put("/users/me/preferences", users::preferences::update),
        get("/users", users::list::list),
        post("/users", users::create::create),
        get("/users/{id}", users::get::get),
        put("/users/{id}", users::update::update),
        delete("/users/{id}", users::delete::delete),
        get("/access-requests", access_requests::list::list),
        post("/access-requests/{id}/approve", access_requests::approve::approve),
        post("/access-requests/{id}/reject", access_requests::reject::reject),
        post("/auth/events", auth_events::record),
        get("/audit", audit::list::list),
        get("/audit/actions", audit::names::actions),
        get("/audit/resource-types", audit::names::resource_types),
        get("/audit/stats", audit::stats::stats),
    ]
}

fn get<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Built {
    Built { method: Method::GET, path, handler: routing::get(handler) }
}

fn post<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Built {
    Built { method: Method::POST, path, handler: routing::post(handler) }
}

fn put<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Built {
    Built { method: Method::PUT, path, handler: routing::put(handler) }
}

fn delete<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Built {
    Built { method: Method::DELETE, path, handler: routing::delete(handler) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use dump::Tools;
    use shared::clock::Clock;
    use shared::config::{Config, ConfigError, Source};
    use shared::networks::Networks;
    use shared::secrets::Secrets;
    use shared::storage::Storage;
    use tower::ServiceExt as _;

    use super::*;
    use crate::app;
    use crate::roles::{Access, ROUTES, access};

    fn state(auth_mode: &str) -> Result<AppState, ConfigError> {
        let config = Config::read(&Source::of(&[("AUTH_MODE", auth_mode)]))?;
        Ok(AppState {
            identities: crate::Identities::new(&config).unwrap_or_else(|error| panic!("{error}")),
            storage: Storage::memory(&config).0,
            secrets: Secrets::assemble(&config, None),
            tools: Arc::new(Tools::new(Vec::new())),
            networks: Arc::new(
                Networks::with_token(&config, "token").unwrap_or_else(|error| panic!("{error}")),
            ),
            figures: crate::Figures::default(),
            clock: Clock::fixed(chrono::DateTime::UNIX_EPOCH),
            config: Arc::new(config),
        })
    }

    /// Calls each built route, with something in place of its variable.
    async fn walk(
        auth_mode: &str,
        headers: &[(&str, &str)],
    ) -> Result<Vec<(Access, StatusCode)>, ConfigError> {
        let app = app(state(auth_mode)?);
        let mut seen = Vec::new();
        for Built { method, path, .. } in built() {
            let Some(access) = access(&method, path) else { panic!("{method} {path} has no role") };
            let address = format!("/api{}", path.replace("{id}", "x").replace("{backup_id}", "x"));
            let mut request = Request::new(Body::empty());
            *request.method_mut() = method.clone();
            *request.uri_mut() = address.parse().unwrap_or_default();
            for (name, value) in headers {
                let name = name.parse::<axum::http::HeaderName>().unwrap_or(axum::http::header::COOKIE);
                request
                    .headers_mut()
                    .insert(name, value.parse().unwrap_or(axum::http::HeaderValue::from_static("")));
            }
            let Ok(response) = app.clone().oneshot(request).await;
            seen.push((access, response.status()));
        }
        Ok(seen)
    }

    #[test]
    fn every_built_route_is_in_the_table_of_roles() {
        for Built { method, path, .. } in built() {
            assert!(access(&method, path).is_some(), "{method} {path}");
        }
    }

    #[tokio::test]
    async fn without_an_identity_only_the_anonymous_routes_answer() -> Result<(), ConfigError> {
        let principal = [
            ("x-ms-client-principal-id", "00000000-0000-0000-0000-000000000001"),
            ("x-ms-client-principal-name", "admin@example.org"),
            ("authorization", "Bearer eyJhbGciOiJub25lIn0.eyJvaWQiOiJ4In0."),
        ];
        for headers in [&[][..], &principal] {
            let seen = walk("azure", headers).await?;
            assert!(seen.iter().any(|(access, _)| *access == Access::Anonymous));
            for (access, status) in seen {
                let refused = status == StatusCode::UNAUTHORIZED;
                assert_eq!(refused, access != Access::Anonymous, "{access:?} {status}");
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn in_mock_mode_everybody_may_do_everything() -> Result<(), ConfigError> {
        for (access, status) in walk("mock", &[]).await? {
            assert!(!matches!(status.as_u16(), 401 | 403 | 500..), "{access:?} {status}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_route_that_is_not_in_the_table_is_refused() -> Result<(), ConfigError> {
        let state = state("mock")?;
        let gate = axum::middleware::from_fn_with_state(state.clone(), crate::actor::authorize);
        let forgotten =
            Router::new().route("/forgotten", routing::get(|| async { "open" })).route_layer(gate);
        let app = Router::new().nest("/api", forgotten).with_state(state);
        let request = Request::get("/api/forgotten").body(Body::empty());
        let Ok(response) = app.oneshot(request.unwrap_or_default()).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(ROUTES.iter().all(|route| route.path != "/forgotten"));
        Ok(())
    }
}
