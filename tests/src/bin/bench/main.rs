//! Measures, called by `scripts/bench`: `bench backup [MEGABYTES]` whole backups, `bench api [ROWS]` the
//! routes of the API that lists and figures come from, `bench scheduler [DATABASES]` ticks.
//!
//! Each line of the first is one way to get a dump of the same database into the same storage. Seconds depend on
//! the machine and on what else it does; the ratios to the dump tool alone are what to look at.

#![expect(clippy::unwrap_used, reason = "a step that fails ends the measurement")]
#![expect(clippy::disallowed_methods, reason = "measuring is about real processes and the real clock")]

mod api_routes;
mod batches;
mod long_past;
mod ticks;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use archive::{Compression, Destination, Progress};
use end_to_end::api::{self, Api};
use end_to_end::processes::{Process, descendants};
use end_to_end::servers::{mariadb, postgresql};
use end_to_end::stack::Stack;
use shared::config::Config;
use shared::storage::{BlobAddress, Storage};
use tokio_util::io::ReaderStream;

/// What a way of backing up cost.
struct Cost {
    wall: f64,
    /// Of all processes but the database server and the storage emulator.
    cpu: f64,
    /// The most memory of each process, added up, in MiB.
    peak: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Some measures make clients of storage by themselves, before anything else has chosen a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, blob] = &arguments[..]
        && command == "upload"
    {
        upload(blob).await;
        return ExitCode::SUCCESS;
    }
    if arguments.first().is_some_and(|command| command == "api") {
        let Some(rows) = arguments.get(1).map_or(Some(100_000), |text| text.parse::<u32>().ok()) else {
            eprintln!("bench: ROWS must be a whole number");
            return ExitCode::from(2);
        };
        println!("{}", machine());
        api_routes::measure(rows).await;
        return ExitCode::SUCCESS;
    }
    if arguments.first().is_some_and(|command| command == ticks::ONE) {
        ticks::one().await;
        return ExitCode::SUCCESS;
    }
    if arguments.first().is_some_and(|command| command == "scheduler") {
        let Some(databases) = arguments.get(1).map_or(Some(10_000), |text| text.parse::<u32>().ok()) else {
            eprintln!("bench: DATABASES must be a whole number");
            return ExitCode::from(2);
        };
        println!("{}", machine());
        ticks::measure(databases).await;
        return ExitCode::SUCCESS;
    }
    let (Some("backup"), megabytes) = (
        arguments.first().map(String::as_str),
        arguments.get(1).map_or(Some(1000), |text| text.parse::<u32>().ok()),
    ) else {
        eprintln!("usage: bench backup [MEGABYTES] | bench api [ROWS] | bench scheduler [DATABASES]");
        return ExitCode::from(2);
    };
    let Some(megabytes) = megabytes else {
        eprintln!("bench: MEGABYTES must be a whole number");
        return ExitCode::from(2);
    };
    let stack = Stack::start_with(&[("LOG_LEVEL", "INFO")]).await;
    println!("{}", machine());
    for server in [load_postgresql(megabytes), load_mariadb(megabytes)] {
        measure(&stack, &server).await;
    }
    ExitCode::SUCCESS
}

async fn measure(stack: &Stack, server: &api::Server) {
    let dump = dump_command(server);
    let bytes: u64 = run(server, &format!("{dump} | wc --bytes"), stack).1.trim().parse().unwrap();
    println!("\n{} ({:.0} MB of SQL)", server.engine_type, mega(bytes));
    println!(
        "{:<34} {:>8} {:>8} {:>9} {:>10} {:>9}",
        "", "wall s", "CPU s", "peak MiB", "stored MB", "ratio"
    );
    let (floor, _) = run(server, &format!("{dump} > /dev/null"), stack);
    row("dump tool alone", &floor, None, &floor);
    for (name, filter) in [("gzip -6", "gzip -6"), ("zstd -3", "zstd -q -3")] {
        let blob = format!("bench/{}-{}", server.engine_type, name.replace(' ', ""));
        let own = std::env::current_exe().unwrap();
        let pipe = format!("{dump} | {filter} | {} upload {blob}", own.display());
        let (cost, _) = run(server, &pipe, stack);
        let storage = Storage::open(&stack.config()).unwrap();
        let stored = storage.blobs.properties(&BlobAddress::new("backups", &blob)).await.unwrap().unwrap();
        row(&format!("dump | {name} | plain upload"), &cost, Some(stored.bytes), &floor);
    }
    let name = format!("bench {}", server.engine_type);
    let database = stack.api.create_database(&name, server, "bench").await;
    let processor = stack.app("processor").await;
    let (cost, stored) = through_processor(&stack.api, &database, &processor).await;
    row("dilux processor (gzip -6)", &cost, Some(stored), &floor);
}

/// Makes a backup through queue and processor, from the request to the completed record.
async fn through_processor(api: &Api, database: &str, processor: &Process) -> (Cost, u64) {
    let before = cpu_seconds(processor.id);
    let started = Instant::now();
    let job = api.trigger(database).await;
    let mut peaks = Peaks::default();
    let record = loop {
        peaks.look(processor.id);
        let record = api.record(database, &job).await;
        if let Some(record) = record.filter(|record| record["completed_at"].is_string()) {
            break record;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(record["status"], "completed", "{record}");
    let wall = started.elapsed().as_secs_f64();
    let cost =
        Cost { wall, cpu: cpu_seconds(processor.id) - before, peak: processor.peak_memory().unwrap() >> 20 };
    (cost, record["file_size_bytes"].as_u64().unwrap())
}

/// Runs a shell command and measures it.
fn run(server: &api::Server, script: &str, stack: &Stack) -> (Cost, String) {
    let before = cpu_seconds_of_children();
    let started = Instant::now();
    let mut child = Command::new("bash")
        .args(["-c", &format!("set -eo pipefail; {script}")])
        .env("MYSQL_PWD", &server.password)
        .env("PGPASSWORD", &server.password)
        .env("STORAGE_CONNECTION_STRING", stack.azurite.connection_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let output = std::thread::spawn(move || std::io::read_to_string(stdout));
    let mut peaks = Peaks::default();
    let status = wait(&mut child, &mut peaks);
    assert!(status, "{script} failed");
    let wall = started.elapsed().as_secs_f64();
    let cost = Cost { wall, cpu: cpu_seconds_of_children() - before, peak: peaks.total() >> 20 };
    (cost, output.join().unwrap().unwrap())
}

/// Uploads standard input as it is: what a plain client does at the end of a pipe.
async fn upload(blob: &str) {
    let storage = Storage::open(&Config::from_env().unwrap()).unwrap();
    let address = BlobAddress::new("backups", blob);
    let destination = Destination {
        store: &*storage.blobs,
        address: &address,
        attempt: [1; 16],
        metadata: BTreeMap::new(),
    };
    let input = ReaderStream::with_capacity(tokio::io::stdin(), 256 * 1024);
    let agree = || async { Ok(BTreeMap::new()) };
    archive::store(input, Compression::None, destination, &Progress::default(), agree).await.unwrap();
}

fn wait(child: &mut Child, peaks: &mut Peaks) -> bool {
    loop {
        peaks.look(child.id());
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        sleep(Duration::from_millis(20));
    }
}

/// The most memory that each of a group of processes has held.
#[derive(Default)]
struct Peaks(HashMap<u32, u64>);

impl Peaks {
    fn look(&mut self, root: u32) {
        // The shell becomes the program itself where there is only one.
        let itself = Process { id: root, name: String::new() };
        for process in descendants(root).into_iter().chain([itself]) {
            if let Some(peak) = process.peak_memory() {
                self.0.insert(process.id, peak);
            }
        }
    }

    fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

fn row(name: &str, cost: &Cost, stored: Option<u64>, floor: &Cost) {
    let stored = stored.map_or_else(String::new, |bytes| format!("{:.0}", mega(bytes)));
    println!(
        "{name:<34} {:>8.1} {:>8.1} {:>9} {stored:>10} {:>8.2}x",
        cost.wall,
        cost.cpu,
        cost.peak,
        cost.wall / floor.wall
    );
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Returns the processor time of a process and of the children that it has waited for, in seconds.
fn cpu_seconds(id: u32) -> f64 {
    ticks(&format!("/proc/{id}/stat"), &[11, 12, 13, 14])
}

fn cpu_seconds_of_children() -> f64 {
    ticks("/proc/self/stat", &[13, 14])
}

/// Adds up fields of a `stat` file, counted after the program's name, in seconds of 100 ticks.
fn ticks(path: &str, fields: &[usize]) -> f64 {
    let stat = fs::read_to_string(path).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let values: Vec<&str> = rest.split_whitespace().collect();
    fields.iter().map(|field| values[*field].parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores,{}", model.trim_start_matches(['\t', ':']))
}

fn dump_command(server: &api::Server) -> String {
    let (user, port) = (&server.username, server.port);
    match server.engine_type {
        "mysql" => format!(
            "mysqldump --no-defaults --protocol=tcp --host=127.0.0.1 --port={port} --user={user} \
             --single-transaction --quick --routines --triggers --events --hex-blob --skip-lock-tables bench"
        ),
        _ => format!(
            "pg_dump --host=127.0.0.1 --port={port} --username={user} --clean --if-exists --no-owner --no-privileges bench"
        ),
    }
}

fn load_postgresql(megabytes: u32) -> api::Server {
    let server = postgresql::Server::get();
    server.create("bench");
    let rows = megabytes * 4000;
    server.sql(
        "bench",
        &format!(
            "CREATE UNLOGGED TABLE orders AS SELECT id, 'customer ' || (id * 7919 % 50000) AS customer, \
               md5(id::text) || md5((id * 31)::text) AS reference, \
               'Lorem ipsum dolor sit amet, order ' || id || ' of many, shipped by road and rail to a town nearby. Thank you for buying!' AS note, \
               now() - (id % 100000) * interval '1 minute' AS placed_at, (id * 37 % 100000)::numeric / 100 AS total \
             FROM generate_series(1::bigint, {rows}) AS id;"
        ),
    );
    server.as_client()
}

fn load_mariadb(megabytes: u32) -> api::Server {
    let server = mariadb::Server::get();
    server.create("bench");
    let rows = megabytes * 4000;
    server.sql(
        "bench",
        &format!(
            "CREATE TABLE orders (id INT PRIMARY KEY, customer VARCHAR(40), reference CHAR(64), note TEXT, placed_at DATETIME, total DECIMAL(10, 2)); \
             INSERT INTO orders SELECT seq, CONCAT('customer ', seq * 7919 % 50000), CONCAT(MD5(seq), MD5(seq * 31)), \
               CONCAT('Lorem ipsum dolor sit amet, order ', seq, ' of many, shipped by road and rail to a town nearby. Thank you for buying!'), \
               '2026-01-01' + INTERVAL (seq % 100000) MINUTE, (seq * 37 % 100000) / 100 \
             FROM seq_1_to_{rows};"
        ),
    );
    server.as_client()
}
