//! All operations of the document, in the order of the table of roles.

use serde_json::{Value, json};
use shared::models::{AuditAction, AuditResource};

use super::answers::{backup_status, database_type, engine_type, triggered_by};
use super::bodies;
use super::operation::{Operation, operation};
use super::schema::{
    Members, by_default, count, described, example, flag, id, list, map, moment, named, number, object,
    one_of, or_null, text, text_of, whole,
};

/// Returns all operations.
pub(super) fn operations() -> Vec<Operation> {
    [system(), databases(), engines(), backups(), restores(), policies(), settings(), users(), audit()]
        .into_iter()
        .flatten()
        .collect()
}

fn message_and(name: &'static str, schema: Value) -> Value {
    object(vec![("message", text()), (name, schema)], vec![])
}

fn only(name: &'static str, schema: Value) -> Value {
    object(vec![(name, schema)], vec![])
}

fn message() -> Value {
    only("message", text())
}

fn sized() -> Members {
    vec![("size_bytes", count()), ("size_formatted", text())]
}

/// A number of a query that is cut to its bounds instead of refused.
fn clamped(least: u32, most: u32, default: Option<u32>) -> Value {
    let number = described(
        json!({"type": "integer", "minimum": least}),
        &format!("More than {most} counts as {most}."),
    );
    match default {
        Some(default) => by_default(number, default),
        None => number,
    }
}

fn offset() -> Value {
    by_default(json!({"type": "integer", "minimum": 0}), 0)
}

fn page() -> Value {
    by_default(json!({"type": "integer", "minimum": 1}), 1)
}

/// A name of a query; an empty one is as good as none.
fn named_or_empty(mut schema: Value) -> Value {
    if let Some(names) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        names.push("".into());
    }
    schema
}

fn day() -> Value {
    described(json!({"type": "string", "format": "date"}), "A day in UTC, itself included.")
}

fn system() -> Vec<Operation> {
    let health = object(
        vec![
            ("status", one_of(["healthy", "unhealthy"])),
            ("service", text()),
            ("version", text()),
            ("timestamp", moment()),
        ],
        vec![("error", text()), ("request_id", text())],
    );
    let version =
        object(vec![("version", text()), ("installation_id", text()), ("environment", text())], vec![]);
    let period = named_or_empty(one_of(["1d", "7d", "30d", "all"]));
    let failures = by_default(whole(1, 100), 2);
    let page = json!({"type": "string", "contentMediaType": "text/html"});
    let document = json!({"type": "object", "additionalProperties": true});
    vec![
        operation("GET", "/openapi.json", "document", "This document").answers(200, document),
        operation("GET", "/docs", "documentPage", "This document as a page").answers(200, page),
        operation("GET", "/health", "health", "Whether the service can work")
            .answers(200, health.clone())
            .answers(503, health),
        operation("GET", "/version", "version", "Which installation this is").answers(200, version),
        operation("GET", "/system-status", "systemStatus", "How the whole system is doing")
            .query(vec![("period", by_default(described(period, "What else counts as 1d."), "1d"))])
            .answers(200, system_status()),
        operation(
            "GET",
            "/backup-alerts",
            "backupAlerts",
            "Databases whose last backups all failed, or that are overdue",
        )
        .query(vec![("consecutive_failures", failures)])
        .answers(200, object(vec![("alerts", list(alert())), ("count", count())], vec![])),
        operation("GET", "/vnet-status", "networkStatus", "The networks of the function apps")
            .answers(200, networks()),
    ]
}

fn system_status() -> Value {
    let storage = object(
        vec![("total_size_bytes", count()), ("total_size_formatted", text()), ("backup_count", count())],
        vec![],
    );
    let backups = object(
        vec![
            ("period", one_of(["1d", "7d", "30d", "all"])),
            ("today", count()),
            ("completed", count()),
            ("failed", count()),
            ("success_rate", or_null(number())),
        ],
        vec![],
    );
    let services = object(
        vec![
            ("api", named("Service")),
            ("storage", named("Service")),
            ("databases", named("DatabasesService")),
        ],
        vec![],
    );
    let tool = object(vec![("name", text()), ("version", text())], vec![]);
    let tick = object(
        vec![
            ("last_tick_at", moment()),
            ("databases", count()),
            ("queued", count()),
            ("failed", count()),
            ("ended", count()),
        ],
        vec![],
    );
    let check = object(vec![("name", text()), ("ok", flag()), ("message", text())], vec![]);
    let health = object(
        vec![("status", one_of(["healthy", "warning"])), ("checked_at", moment()), ("checks", list(check))],
        vec![],
    );
    object(
        vec![
            ("status", one_of(["healthy", "degraded"])),
            ("timestamp", moment()),
            ("storage", storage),
            ("backups", backups),
            ("services", services),
            ("tools", list(tool)),
            ("scheduler", described(or_null(tick), "The last tick; null before the first.")),
            ("health", described(or_null(health), "What the health monitor saw last.")),
        ],
        vec![],
    )
}

fn alert() -> Value {
    object(
        vec![
            ("type", one_of(["failures", "overdue"])),
            ("database_id", id()),
            ("database_name", text()),
            ("database_type", named("DatabaseType")),
            ("consecutive_failures", count()),
            ("last_failure_at", described(moment(), "Without a failure, since when it is overdue.")),
            ("last_error", or_null(text())),
            ("overdue_since", or_null(moment())),
        ],
        vec![],
    )
}

fn networks() -> Value {
    let network = object(
        vec![
            ("vnet_name", text()),
            ("vnet_resource_group", text()),
            ("subnet_name", or_null(text())),
            ("connected_apps", list(text())),
            ("connection_status", text()),
            ("is_complete", flag()),
        ],
        vec![],
    );
    let app = object(
        vec![
            ("name", text()),
            ("type", text()),
            ("vnet_name", or_null(text())),
            ("subnet_name", or_null(text())),
            ("vnet_resource_group", or_null(text())),
            ("is_connected", flag()),
            ("error", or_null(text())),
        ],
        vec![],
    );
    object(
        vec![
            ("has_vnet_integration", flag()),
            ("vnets", list(network)),
            ("function_apps", list(app)),
            ("inconsistencies", list(text())),
            ("query_error", or_null(text())),
        ],
        vec![],
    )
}

fn databases() -> Vec<Operation> {
    let database = || message_and("database", named("Database"));
    let page = object(
        vec![
            ("databases", list(named("ScheduledDatabase"))),
            ("count", count()),
            ("total", count()),
            ("has_more", flag()),
        ],
        vec![],
    );
    let stats = object(
        vec![
            ("database_id", id()),
            ("count", count()),
            ("total_size_bytes", count()),
            ("total_size_formatted", text()),
        ],
        vec![],
    );
    let job =
        object(vec![("message", text()), ("job_id", id()), ("queue_message_id", or_null(text()))], vec![]);
    let deleted = object(vec![("message", text())], vec![("backups_deleted", named("DeletedBackups"))]);
    let tested = object(
        vec![
            ("success", flag()),
            ("message", text()),
            ("error_type", or_null(named("ConnectionError"))),
            ("duration_ms", number()),
        ],
        vec![],
    );
    let key = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"});
    let key = described(key, "A repeated request with the same key is answered with the same job.");
    vec![
        operation("GET", "/databases", "listDatabases", "Lists databases, by name")
            .query(vec![
                ("enabled_only", flag()),
                ("type", named_or_empty(database_type())),
                ("search", described(text(), "A part of a name or host.")),
                ("host", text()),
                ("policy_id", text()),
                ("engine_id", text()),
                ("limit", clamped(1, 1000, None)),
                ("offset", offset()),
            ])
            .answers(200, page),
        operation("POST", "/databases", "createDatabase", "Configures a database")
            .body(bodies::new_database())
            .answers(201, database())
            .also(404)
            .also(409),
        operation("POST", "/databases/test-connection", "testConnection", "Tries to connect to a database")
            .body(bodies::connection_test())
            .answers(200, tested)
            .also(404),
        operation("GET", "/databases/{id}", "getDatabase", "Shows a database")
            .versioned()
            .answers(200, only("database", named("ScheduledDatabase"))),
        operation("PUT", "/databases/{id}", "updateDatabase", "Changes a database")
            .versioned()
            .body(bodies::database_change())
            .answers(200, database())
            .also(409),
        operation("DELETE", "/databases/{id}", "deleteDatabase", "Deletes a database")
            .versioned()
            .query(vec![("delete_backups", described(flag(), "Its backups too."))])
            .answers(200, deleted)
            .also(409),
        operation("GET", "/databases/{id}/backup-stats", "databaseStats", "Adds up a database's backups")
            .answers(200, stats),
        operation(
            "GET",
            "/databases/{id}/schedule",
            "databaseSchedule",
            "When a database is backed up, and why",
        )
        .answers(200, schedule()),
        operation("POST", "/databases/{id}/backup", "backUp", "Queues a backup")
            .header("Idempotency-Key", key)
            .answers(202, job)
            .also(409),
    ]
}

fn schedule() -> Value {
    let slot = object(vec![("at", moment()), ("local", moment())], vec![]);
    let lane = object(
        vec![
            ("tier", or_null(named("TierName"))),
            ("why", text()),
            ("last_slot", or_null(moment())),
            ("due_slot", or_null(moment())),
            ("next", list(slot)),
        ],
        vec![],
    );
    object(
        vec![
            ("database_id", id()),
            ("enabled", flag()),
            ("why", text()),
            ("policy_id", or_null(id())),
            ("schedule", or_null(text())),
            ("time_zone", or_null(text())),
            ("next_backup_at", or_null(moment())),
            ("tiers", list(lane)),
        ],
        vec![],
    )
}

fn engines() -> Vec<Operation> {
    let page = object(
        vec![("items", list(named("Engine"))), ("total", count()), ("limit", count()), ("offset", count())],
        vec![],
    );
    let created = object(
        vec![("engine", named("Engine"))],
        vec![("discovered_databases", list(named("DiscoveredDatabase"))), ("discovery_error", text())],
    );
    let changed = object(
        vec![("engine", named("Engine"))],
        vec![("databases_updated", count()), ("databases_policy_updated", count())],
    );
    let deleted = object(
        vec![("deleted", flag()), ("message", text())],
        vec![("databases_deleted", count()), ("backups_deleted", named("DeletedBackups"))],
    );
    let tested = object(
        vec![
            ("success", flag()),
            ("message", text()),
            ("latency_ms", number()),
            ("error_type", or_null(named("ConnectionError"))),
        ],
        vec![],
    );
    let discovered = object(
        vec![
            ("databases", list(named("DiscoveredDatabase"))),
            ("engine_id", id()),
            ("engine_name", text()),
            ("last_discovery", moment()),
        ],
        vec![],
    );
    vec![
        operation("GET", "/engines", "listEngines", "Lists engines (database servers), by name")
            .query(vec![
                ("engine_type", named_or_empty(engine_type())),
                ("search", described(text(), "A part of a name or host.")),
                ("limit", clamped(1, 1000, Some(100))),
                ("offset", offset()),
            ])
            .answers(200, page),
        operation("POST", "/engines", "createEngine", "Configures an engine")
            .body(bodies::new_engine())
            .answers(201, created)
            .also(409),
        operation("GET", "/engines/{id}", "getEngine", "Shows an engine")
            .versioned()
            .answers(200, named("Engine")),
        operation("PUT", "/engines/{id}", "updateEngine", "Changes an engine")
            .versioned()
            .body(bodies::engine_change())
            .answers(200, changed)
            .also(409),
        operation("DELETE", "/engines/{id}", "deleteEngine", "Deletes an engine")
            .versioned()
            .query(vec![
                (
                    "delete_databases",
                    described(flag(), "Its databases too; without it, having any is an error."),
                ),
                ("delete_backups", described(flag(), "And their backups.")),
            ])
            .answers(200, deleted)
            .also(409),
        operation("POST", "/engines/{id}/test", "testEngine", "Tries to connect to an engine")
            .also(400)
            .answers(200, tested),
        operation("POST", "/engines/{id}/discover", "discoverDatabases", "Lists the databases on an engine")
            .also(400)
            .answers(200, discovered)
            .also(409),
        operation("POST", "/engines/{id}/databases", "importDatabases", "Configures databases of an engine")
            .body(bodies::import())
            .answers(201, imported(false))
            .answers(400, json!({"anyOf": [named("Error"), imported(true)]}))
            .also(409),
    ]
}

/// What came of an import; one that made nothing is an error too.
fn imported(failed: bool) -> Value {
    let not_created = object(vec![("database", text()), ("error", text())], vec![]);
    let error = if failed { vec![("error", text()), ("request_id", text())] } else { vec![] };
    let outcome = vec![
        ("created", list(named("Database"))),
        ("errors", list(not_created)),
        ("total_created", count()),
        ("total_errors", count()),
    ];
    object([error, outcome].concat(), vec![])
}

fn backups() -> Vec<Operation> {
    let blob_name = || example(text_of(1, 1024), "postgresql/f8beb2b5/20261124_015252.sql.gz");
    let page_of = object(
        vec![
            ("backups", list(named("Backup"))),
            ("count", count()),
            ("total_count", count()),
            ("page", count()),
            ("page_size", count()),
            ("has_more", flag()),
        ],
        vec![],
    );
    let file = object(
        vec![
            ("name", text()),
            ("size", count()),
            ("created_at", or_null(moment())),
            ("last_modified", or_null(moment())),
            ("content_type", or_null(text())),
        ],
        vec![],
    );
    let download =
        object(vec![("download_url", text()), ("blob_name", text()), ("expires_in_hours", count())], vec![]);
    let record = message_and("backup_id", id());
    let cancelled =
        object(vec![("message", text()), ("backup_id", id()), ("status", named("BackupStatus"))], vec![]);
    vec![
        operation("GET", "/backups", "listBackups", "Lists backups, newest first")
            .query(vec![
                ("status", named_or_empty(backup_status())),
                ("triggered_by", named_or_empty(triggered_by())),
                ("database_type", named_or_empty(database_type())),
                ("database_id", text()),
                ("engine_id", text()),
                ("start_date", day()),
                ("end_date", day()),
                ("page", page()),
                ("page_size", clamped(1, 100, Some(25))),
                ("limit", described(clamped(1, 100, None), "What page_size is where that is not given.")),
            ])
            .answers(200, page_of),
        operation(
            "GET",
            "/backups/files",
            "listFiles",
            "Lists backup files, whether they have a record or not",
        )
        .query(vec![("prefix", text_of(0, 1024)), ("limit", clamped(1, 5000, Some(100)))])
        .answers(200, object(vec![("files", list(file)), ("count", count())], vec![])),
        operation(
            "GET",
            "/backups/download",
            "downloadAddress",
            "Makes an address that a file can be read at",
        )
        .needs("blob_name", blob_name())
        .query(vec![("expiry_hours", by_default(whole(1, 24), 1))])
        .answers(200, download)
        .also(404),
        operation("DELETE", "/backups/delete", "deleteFile", "Deletes a backup file and its record")
            .needs("blob_name", blob_name())
            .answers(200, message_and("blob_name", text()))
            .also(404)
            .also(409),
        operation("POST", "/backups/delete-bulk", "deleteFiles", "Deletes backup files and their records")
            .body(bodies::files())
            .answers(200, deleted_files()),
        operation(
            "DELETE",
            "/backups/{backup_id}",
            "deleteBackup",
            "Deletes a backup: its record and its file",
        )
        .answers(200, record)
        .also(409),
        operation(
            "POST",
            "/backups/{backup_id}/cancel",
            "cancelBackup",
            "Stops a backup that is queued or runs",
        )
        .answers(200, cancelled)
        .also(409),
        operation("POST", "/backups/{backup_id}/pin", "pinBackup", "Keeps a backup from being deleted")
            .also(400)
            .answers(200, message_and("backup", named("Backup")))
            .also(409),
        operation("POST", "/backups/{backup_id}/unpin", "unpinBackup", "Lets a backup be deleted again")
            .answers(200, message_and("backup", named("Backup")))
            .also(409),
        operation("GET", "/retention/preview", "previewRetention", "What retention would delete, and why")
            .needs("database_id", id())
            .answers(200, preview())
            .also(404),
        operation("GET", "/storage-stats", "storageStats", "Adds up the backup files")
            .answers(200, storage_stats()),
    ]
}

fn preview() -> Value {
    let decided = object(
        vec![
            ("backup_id", id()),
            ("status", named("BackupStatus")),
            ("tier", or_null(named("TierName"))),
            ("created_at", moment()),
            ("blob_name", or_null(text())),
            ("file_size_bytes", or_null(count())),
            ("decision", one_of(["delete", "keep"])),
            ("reason", text()),
        ],
        vec![],
    );
    object(
        vec![
            ("database_id", id()),
            ("paused", flag()),
            ("delete_count", count()),
            ("keep_count", count()),
            ("backups", list(decided)),
        ],
        vec![],
    )
}

fn deleted_files() -> Value {
    let failed = object(vec![("blob_name", text()), ("error", text())], vec![]);
    let results = object(
        vec![("deleted", list(text())), ("not_found", list(text())), ("errors", list(failed))],
        vec![],
    );
    object(
        vec![
            ("message", text()),
            ("deleted_count", count()),
            ("not_found_count", count()),
            ("error_count", count()),
            ("results", results),
        ],
        vec![],
    )
}

fn storage_stats() -> Value {
    let of_database = vec![
        ("database_id", id()),
        ("database_name", text()),
        ("database_type", named("DatabaseType")),
        ("engine_id", or_null(id())),
        ("backup_count", count()),
    ];
    let of_engine = vec![
        ("engine_id", id()),
        ("engine_name", text()),
        ("engine_type", named("EngineType")),
        ("backup_count", count()),
        ("database_count", count()),
    ];
    let with_size = |members: Members| object([members, sized()].concat(), vec![]);
    object(
        vec![
            ("total_size_bytes", count()),
            ("total_size_formatted", text()),
            ("total_backup_count", count()),
            ("by_database", list(with_size(of_database))),
            ("by_engine", list(with_size(of_engine))),
            ("by_type", described(map(with_size(vec![("count", count())])), "By type of database.")),
        ],
        vec![],
    )
}

fn restores() -> Vec<Operation> {
    let check = object(vec![("name", text()), ("result", named("CheckResult")), ("message", text())], vec![]);
    let checks = object(vec![("result", named("CheckResult")), ("checks", list(check))], vec![]);
    let page = object(
        vec![
            ("restores", list(named("Restore"))),
            ("count", count()),
            ("total", count()),
            ("has_more", flag()),
        ],
        vec![],
    );
    vec![
        operation("POST", "/backups/{backup_id}/restore", "restore", "Queues a restore")
            .body(bodies::restore())
            .answers(202, message_and("restore_id", id()))
            .also(409),
        operation("POST", "/backups/{backup_id}/restore/check", "checkRestore", "Whether a restore can work")
            .body(bodies::restore())
            .answers(200, checks),
        operation("GET", "/restores", "listRestores", "Lists restores, newest first")
            .query(vec![("limit", by_default(whole(1, 1000), 100)), ("offset", offset())])
            .answers(200, page),
        operation("GET", "/restores/{id}", "getRestore", "Shows a restore")
            .answers(200, only("restore", named("Restore"))),
        operation("POST", "/restores/{id}/cancel", "cancelRestore", "Stops a restore")
            .also(400)
            .answers(202, message_and("restore", named("Restore")))
            .also(409),
    ]
}

fn policies() -> Vec<Operation> {
    let policy = || message_and("policy", named("Policy"));
    let shown = object(vec![("policy", named("Policy")), ("usage_count", count())], vec![]);
    vec![
        operation("GET", "/backup-policies", "listPolicies", "Lists backup policies")
            .answers(200, object(vec![("policies", list(named("Policy"))), ("count", count())], vec![])),
        operation("POST", "/backup-policies", "createPolicy", "Makes a backup policy")
            .body(bodies::new_policy())
            .answers(201, policy())
            .also(409),
        operation("GET", "/backup-policies/{id}", "getPolicy", "Shows a backup policy")
            .versioned()
            .answers(200, shown),
        operation("PUT", "/backup-policies/{id}", "updatePolicy", "Changes a backup policy")
            .versioned()
            .body(bodies::policy_change())
            .answers(200, policy())
            .also(409),
        operation(
            "DELETE",
            "/backup-policies/{id}",
            "deletePolicy",
            "Deletes a backup policy that nothing uses",
        )
        .versioned()
        .also(400)
        .answers(200, message())
        .also(409),
    ]
}

fn settings() -> Vec<Operation> {
    vec![
        operation("GET", "/settings", "getSettings", "Shows the settings")
            .answers(200, only("settings", named("Settings"))),
        operation("PUT", "/settings", "updateSettings", "Changes the settings")
            .body(bodies::settings())
            .answers(200, message_and("settings", named("Settings")))
            .also(409),
    ]
}

fn users() -> Vec<Operation> {
    let user = || message_and("user", named("User"));
    let page_of = object(
        vec![
            ("users", list(named("User"))),
            ("count", count()),
            ("total_count", count()),
            ("page", count()),
            ("page_size", count()),
            ("has_more", flag()),
            ("pending_requests_count", count()),
        ],
        vec![],
    );
    let requests = object(vec![("requests", list(named("AccessRequest"))), ("count", count())], vec![]);
    let status = named_or_empty(one_of(["pending", "approved", "rejected", "all"]));
    vec![
        operation("GET", "/users/me", "getMe", "Shows oneself")
            .answers(200, object(vec![("user", named("User")), ("is_first_run", flag())], vec![])),
        operation("PUT", "/users/me/preferences", "updatePreferences", "Changes one's preferences")
            .body(bodies::preferences())
            .answers(200, user())
            .also(404)
            .also(409),
        operation("GET", "/users", "listUsers", "Lists users, by e-mail address")
            .query(vec![
                ("status", named_or_empty(one_of(["active", "disabled"]))),
                ("search", described(text(), "A part of a name or e-mail address.")),
                ("page", page()),
                ("page_size", clamped(1, 200, Some(50))),
            ])
            .answers(200, page_of),
        operation("POST", "/users", "createUser", "Registers a user")
            .body(bodies::new_user())
            .answers(201, user())
            .also(409),
        operation("GET", "/users/{id}", "getUser", "Shows a user").answers(200, only("user", named("User"))),
        operation("PUT", "/users/{id}", "updateUser", "Changes a user")
            .body(bodies::user_change())
            .answers(200, user())
            .also(409),
        operation("DELETE", "/users/{id}", "deleteUser", "Deletes a user")
            .also(400)
            .answers(200, message())
            .also(409),
        operation("GET", "/access-requests", "listAccessRequests", "Lists who asks for access")
            .query(vec![("status", by_default(status, "pending"))])
            .answers(200, requests),
        operation("POST", "/access-requests/{id}/approve", "approveAccess", "Lets somebody in")
            .optional_body(bodies::approval())
            .answers(200, user())
            .also(409),
        operation("POST", "/access-requests/{id}/reject", "rejectAccess", "Does not let somebody in")
            .optional_body(bodies::rejection())
            .answers(200, message())
            .also(409),
        operation(
            "POST",
            "/auth/events",
            "recordAuthEvent",
            "Records a sign-in or sign-out in the audit log",
        )
        .body(bodies::auth_event())
        .answers(200, only("success", flag())),
    ]
}

fn audit() -> Vec<Operation> {
    let actions = named_or_empty(one_of(AuditAction::ALL.iter().map(|action| action.as_str())));
    let resources = named_or_empty(one_of(AuditResource::ALL.iter().map(|resource| resource.as_str())));
    let page = object(
        vec![
            ("logs", list(named("AuditRecord"))),
            ("count", count()),
            ("total", count()),
            ("has_more", flag()),
        ],
        vec![],
    );
    let by_user = object(vec![("user_id", text()), ("email", text()), ("count", count())], vec![]);
    let stats = object(
        vec![
            ("total", count()),
            ("by_action", map(count())),
            ("by_resource_type", map(count())),
            ("by_status", map(count())),
            ("by_user", list(by_user)),
        ],
        vec![],
    );
    vec![
        operation("GET", "/audit", "listAudit", "Lists who did what, newest first")
            .query(vec![
                ("start_date", day()),
                ("end_date", day()),
                ("user_id", text()),
                ("action", actions),
                ("resource_type", resources),
                ("status", named_or_empty(one_of(["success", "failed"]))),
                ("search", text()),
                ("database_type", text()),
                ("engine_id", text()),
                ("resource_name", text()),
                ("limit", clamped(1, 500, Some(50))),
                ("offset", offset()),
            ])
            .answers(200, page),
        operation("GET", "/audit/actions", "listActions", "Lists the names of actions")
            .answers(200, only("actions", list(named("Name")))),
        operation("GET", "/audit/resource-types", "listResourceTypes", "Lists the names of kinds of things")
            .answers(200, only("resource_types", list(named("Name")))),
        operation("GET", "/audit/stats", "auditStats", "Adds up the audit log")
            .query(vec![("start_date", day()), ("end_date", day())])
            .answers(200, stats),
    ]
}
