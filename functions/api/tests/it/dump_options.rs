//! What of a database is dumped, and how, from the request to the answer.

use serde_json::{Value, json};

use crate::support::{World, database, merge};

#[tokio::test]
async fn the_choices_for_sql_server_are_shown_for_it_only() {
    let world = World::new();
    let own = json!({"database_type": "sqlserver", "include_permissions": false, "strict": true});
    let answer = world.create_database("d-1", own).await;
    assert_eq!((&answer["include_permissions"], &answer["strict"]), (&json!(false), &json!(true)));
    let change = json!({"strict": false});
    let answer = world.expect(200, "PUT", "/databases/d-1", Some(&change)).await;
    let shown = &answer["database"];
    assert_eq!((&shown["include_permissions"], &shown["strict"]), (&json!(false), &json!(false)));
    let answer = world.create_database("d-2", json!({"database_type": "mysql"})).await;
    assert!(answer.get("strict").is_none() && answer.get("include_permissions").is_none());
}

#[tokio::test]
async fn options_are_kept_and_changed_one_by_one() {
    let world = World::new();
    let options = json!({
        "database_type": "postgresql", "exclude_tables": ["app.log_*", "Sessions"], "exclude_table_data": ["*.cache"],
        "include_schemas": ["app"], "include_privileges": true, "include_globals": true,
        "include_role_passwords": true, "compression_format": "zstd", "compression_level": 19,
        "dump_timeout_minutes": 30, "stall_timeout_minutes": 5,
    });
    let answer = world.create_database("d-1", options.clone()).await;
    let shown = |answer: &Value, name: &str| answer[name].clone();
    for (name, value) in options.as_object().unwrap() {
        assert_eq!(shown(&answer, name), *value, "{name}");
    }
    let change = json!({
        "exclude_tables": [], "exclude_table_data": null, "compression_level": null, "dump_timeout_minutes": null,
    });
    let answer = world.expect(200, "PUT", "/databases/d-1", Some(&change)).await;
    let database = &answer["database"];
    assert_eq!((&database["exclude_tables"], &database["exclude_table_data"]), (&json!([]), &json!([])));
    assert_eq!(
        (&database["compression_level"], &database["dump_timeout_minutes"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&database["include_schemas"], &database["compression_format"]),
        (&json!(["app"]), &json!("zstd"))
    );
}

#[tokio::test]
async fn what_could_not_be_done_is_refused() {
    let world = World::new();
    let mut errors = Vec::new();
    for change in [
        json!({"exclude_tables": "log"}),
        json!({"exclude_tables": [7]}),
        json!({"exclude_tables": [""]}),
        json!({"exclude_tables": ["a\nb"]}),
        json!({"exclude_tables": vec!["x"; 101]}),
        json!({"database_type": "postgresql", "exclude_tables": ["a.b.c"]}),
        json!({"database_type": "postgresql", "exclude_table_data": ["a."]}),
        json!({"database_type": "sqlserver", "exclude_tables": ["a.b.c"]}),
        json!({"include_schemas": ["app"]}),
        json!({"include_privileges": true}),
        json!({"include_globals": true}),
        json!({"database_type": "postgresql", "include_role_passwords": true}),
        json!({"include_permissions": false}),
        json!({"database_type": "postgresql", "strict": true}),
        json!({"compression_format": "bzip2"}),
        json!({"compression_level": 0}),
        json!({"compression_level": 10}),
        json!({"compression_format": "zstd", "compression_level": 20}),
        json!({"dump_timeout_minutes": 0}),
        json!({"stall_timeout_minutes": 1441}),
    ] {
        let mut body = database("d-1");
        merge(&mut body, change);
        let (status, answer) = world.post("/databases", &body).await;
        errors.push(format!("{status} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    insta::assert_snapshot!(errors.join("\n"), @r#"
    400 exclude_tables: must be a list of texts, not a text
    400 exclude_tables: every entry must be a text
    400 exclude_tables: each must be 1 to 200 characters without control characters, and without spaces at its ends; * stands for any characters and ? for any one
    400 exclude_tables: each must be 1 to 200 characters without control characters, and without spaces at its ends; * stands for any characters and ? for any one
    400 exclude_tables: must have at most 100 entries
    400 exclude_tables: each must be a table, or a schema and a table with a dot between them
    400 exclude_table_data: each must be a table, or a schema and a table with a dot between them
    400 exclude_tables: each must be a table, or a schema and a table with a dot between them
    400 include_schemas: can be used for databases of type postgresql only
    400 include_privileges: can be used for databases of type postgresql only
    400 include_globals: can be used for databases of type postgresql only
    400 include_role_passwords: can be used together with include_globals only
    400 include_permissions: can be used for databases of type sqlserver and azure_sql only
    400 strict: can be used for databases of type sqlserver and azure_sql only
    400 compression_format: "bzip2" is not a known compression format; use one of: gzip, zstd
    400 compression_level: must be a whole number from 1 to 19, not 0
    400 compression_level: must be 1 to 9 for gzip
    400 compression_level: must be a whole number from 1 to 19, not 20
    400 dump_timeout_minutes: must be a whole number from 1 to 1440, not 0
    400 stall_timeout_minutes: must be a whole number from 1 to 1440, not 1441
    "#);
}
