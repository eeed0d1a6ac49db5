//! Who may call what: the one table of all routes of the contract.
//!
//! The table has every route, those that are not built yet included. The layer in front of the
//! handlers looks a request up by the path that the router matched; what it does not find, it refuses.

use axum::http::Method;
use shared::models::UserRole;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without signing in.
    Anonymous,
    /// Users with this role, or one that may do more.
    Role(UserRole),
    /// Administrators, and each user about themselves. The handler compares the ids.
    AdminOrSelf,
}

/// A route and who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method, in capitals.
    pub method: &'static str,
    /// The path after the prefix, as the router writes it.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

const ANYBODY: Access = Access::Anonymous;
const VIEWER: Access = Access::Role(UserRole::Viewer);
const OPERATOR: Access = Access::Role(UserRole::Operator);
const ADMIN: Access = Access::Role(UserRole::Admin);

/// Every route of the contract, in its order.
pub const ROUTES: [Route; 62] = [
    route("GET", "/openapi.json", ANYBODY),
    route("GET", "/docs", ANYBODY),
    route("GET", "/health", ANYBODY),
    route("GET", "/version", ANYBODY),
    route("GET", "/system-status", VIEWER),
    route("GET", "/backup-alerts", VIEWER),
    route("GET", "/vnet-status", VIEWER),
    route("GET", "/databases", VIEWER),
    route("POST", "/databases", OPERATOR),
    route("POST", "/databases/test-connection", OPERATOR),
    route("GET", "/databases/{id}", VIEWER),
    route("PUT", "/databases/{id}", OPERATOR),
    route("DELETE", "/databases/{id}", OPERATOR),
    route("GET", "/databases/{id}/backup-stats", VIEWER),
    route("GET", "/databases/{id}/schedule", VIEWER),
    route("POST", "/databases/{id}/backup", OPERATOR),
    route("GET", "/engines", VIEWER),
    route("POST", "/engines", OPERATOR),
    route("GET", "/engines/{id}", VIEWER),
    route("PUT", "/engines/{id}", OPERATOR),
    route("DELETE", "/engines/{id}", OPERATOR),
    route("POST", "/engines/{id}/test", OPERATOR),
    route("POST", "/engines/{id}/discover", OPERATOR),
    route("POST", "/engines/{id}/databases", OPERATOR),
    route("GET", "/backups", VIEWER),
    route("GET", "/backups/files", OPERATOR),
    route("GET", "/backups/download", OPERATOR),
    route("DELETE", "/backups/delete", OPERATOR),
    route("POST", "/backups/delete-bulk", OPERATOR),
    route("DELETE", "/backups/{backup_id}", OPERATOR),
    route("POST", "/backups/{backup_id}/cancel", OPERATOR),
    route("POST", "/backups/{backup_id}/restore", OPERATOR),
    route("POST", "/backups/{backup_id}/restore/check", OPERATOR),
    route("GET", "/restores", VIEWER),
    route("GET", "/restores/{id}", VIEWER),
    route("POST", "/restores/{id}/cancel", OPERATOR),
    route("POST", "/backups/{backup_id}/pin", OPERATOR),
    route("POST", "/backups/{backup_id}/unpin", OPERATOR),
    route("GET", "/retention/preview", VIEWER),
    route("GET", "/storage-stats", VIEWER),
    route("GET", "/backup-policies", VIEWER),
    route("POST", "/backup-policies", ADMIN),
    route("GET", "/backup-policies/{id}", VIEWER),
    route("PUT", "/backup-policies/{id}", ADMIN),
    route("DELETE", "/backup-policies/{id}", ADMIN),
    // The web application reads the settings before anybody has signed in; nothing in them is secret.
    route("GET", "/settings", ANYBODY),
    route("PUT", "/settings", ADMIN),
    route("GET", "/users/me", VIEWER),
    route("PUT", "/users/me/preferences", VIEWER),
    route("GET", "/users", ADMIN),
    route("POST", "/users", ADMIN),
    route("GET", "/users/{id}", Access::AdminOrSelf),
    route("PUT", "/users/{id}", ADMIN),
    route("DELETE", "/users/{id}", ADMIN),
    route("GET", "/access-requests", ADMIN),
    route("POST", "/access-requests/{id}/approve", ADMIN),
    route("POST", "/access-requests/{id}/reject", ADMIN),
    route("POST", "/auth/events", VIEWER),
    route("GET", "/audit", ADMIN),
    route("GET", "/audit/actions", ADMIN),
    route("GET", "/audit/resource-types", ADMIN),
    route("GET", "/audit/stats", ADMIN),
];

const fn route(method: &'static str, path: &'static str, access: Access) -> Route {
    Route { method, path, access }
}

/// Looks up who may call a route; `None` for one that is not in the table.
pub fn access(method: &Method, path: &str) -> Option<Access> {
    // The router answers HEAD by the handler of GET.
    let method = if *method == Method::HEAD { Method::GET } else { method.clone() };
    ROUTES.iter().find(|route| route.path == path && *route.method == method).map(|route| route.access)
}

/// Tells whether a role includes another one.
pub(crate) fn includes(role: UserRole, needed: UserRole) -> bool {
    rank(role) >= rank(needed)
}

fn rank(role: UserRole) -> u8 {
    match role {
        UserRole::Viewer => 0,
        UserRole::Operator => 1,
        UserRole::Admin => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_contracts() {
        let lines: Vec<_> = ROUTES
            .iter()
            .map(|Route { method, path, access }| {
                let who = match access {
                    Access::Anonymous => "anonymous",
                    Access::Role(role) => role.as_str(),
                    Access::AdminOrSelf => "admin, or oneself",
                };
                format!("{method} {path}: {who}")
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        GET /openapi.json: anonymous
        GET /docs: anonymous
        GET /health: anonymous
        GET /version: anonymous
        GET /system-status: viewer
        GET /backup-alerts: viewer
        GET /vnet-status: viewer
        GET /databases: viewer
        POST /databases: operator
        POST /databases/test-connection: operator
        GET /databases/{id}: viewer
        PUT /databases/{id}: operator
        DELETE /databases/{id}: operator
        GET /databases/{id}/backup-stats: viewer
        GET /databases/{id}/schedule: viewer
        POST /databases/{id}/backup: operator
        GET /engines: viewer
        POST /engines: operator
        GET /engines/{id}: viewer
        PUT /engines/{id}: operator
        DELETE /engines/{id}: operator
        POST /engines/{id}/test: operator
        POST /engines/{id}/discover: operator
        POST /engines/{id}/databases: operator
        GET /backups: viewer
        GET /backups/files: operator
        GET /backups/download: operator
        DELETE /backups/delete: operator
        POST /backups/delete-bulk: operator
        DELETE /backups/{backup_id}: operator
        POST /backups/{backup_id}/cancel: operator
        POST /backups/{backup_id}/restore: operator
        POST /backups/{backup_id}/restore/check: operator
        GET /restores: viewer
        GET /restores/{id}: viewer
        POST /restores/{id}/cancel: operator
        POST /backups/{backup_id}/pin: operator
        POST /backups/{backup_id}/unpin: operator
        GET /retention/preview: viewer
        GET /storage-stats: viewer
        GET /backup-policies: viewer
        POST /backup-policies: admin
        GET /backup-policies/{id}: viewer
        PUT /backup-policies/{id}: admin
        DELETE /backup-policies/{id}: admin
        GET /settings: anonymous
        PUT /settings: admin
        GET /users/me: viewer
        PUT /users/me/preferences: viewer
        GET /users: admin
        POST /users: admin
        GET /users/{id}: admin, or oneself
        PUT /users/{id}: admin
        DELETE /users/{id}: admin
        GET /access-requests: admin
        POST /access-requests/{id}/approve: admin
        POST /access-requests/{id}/reject: admin
        POST /auth/events: viewer
        GET /audit: admin
        GET /audit/actions: admin
        GET /audit/resource-types: admin
        GET /audit/stats: admin
        ");
    }

    #[test]
    fn no_route_is_there_twice() {
        for route in &ROUTES {
            let same = ROUTES.iter().filter(|other| (other.method, other.path) == (route.method, route.path));
            assert_eq!(same.count(), 1, "{route:?}");
        }
    }

    #[test]
    fn each_role_includes_those_below_it_and_no_other() {
        let included = |role| UserRole::ALL.iter().filter(|needed| includes(role, **needed)).count();
        assert_eq!(included(UserRole::Viewer), 1);
        assert_eq!(included(UserRole::Operator), 2);
        assert_eq!(included(UserRole::Admin), 3);
        assert!(includes(UserRole::Operator, UserRole::Viewer));
    }

    #[test]
    fn what_is_not_in_the_table_has_no_access() {
        assert_eq!(access(&Method::HEAD, "/health"), Some(Access::Anonymous));
        assert_eq!(access(&Method::PATCH, "/health"), None);
        assert_eq!(access(&Method::GET, "/nothing"), None);
    }
}
