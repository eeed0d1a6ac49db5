//! What a person has when the service is lost: `gunzip` and the database's own client.

use std::io::Write as _;
use std::process::{Command, Stdio};

use end_to_end::api::Server;

/// Unpacks a `.gz` with the plain program.
#[expect(clippy::disallowed_methods, reason = "the point is the plain program")]
pub(crate) fn gunzip(packed: &[u8]) -> Vec<u8> {
    feed(Command::new("gunzip").arg("--stdout"), packed)
}

/// Loads SQL into a database with the plain client, stopping at the first error.
#[expect(clippy::disallowed_methods, reason = "the point is the plain program")]
pub(crate) fn load(server: &Server, database: &str, sql: &[u8]) {
    match server.engine_type {
        "mysql" => feed(
            Command::new("mysql")
                .args([
                    "--no-defaults",
                    "--host=127.0.0.1",
                    "--protocol=tcp",
                    "--default-character-set=utf8mb4",
                ])
                // Without it this client drops the comments in the bodies of routines.
                .arg("--comments")
                .args([format!("--port={}", server.port), format!("--user={}", server.username)])
                .env("MYSQL_PWD", &server.password)
                .arg(format!("--database={database}")),
            sql,
        ),
        _ => feed(
            Command::new("psql")
                .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"])
                .env("PGHOST", "127.0.0.1")
                .env("PGPORT", server.port.to_string())
                .env("PGUSER", &server.username)
                .env("PGPASSWORD", &server.password)
                .env("PGDATABASE", database),
            sql,
        ),
    };
}

/// Runs a program on an input and returns what it wrote; fails the test when it fails.
fn feed(command: &mut Command, input: &[u8]) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/setup"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        let feeder = scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output().unwrap();
        // A program that fails stops reading; its status says so below.
        let _ = feeder.join();
        output
    });
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
