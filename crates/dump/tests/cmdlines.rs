//! Nothing secret is in an argument, at any instant of a run, and nothing is left behind.
//!
//! A thread reads `/proc/*/cmdline` of the whole machine as fast as it can while the real tools run against
//! real servers, on good ways and on bad ones.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use dump::{DumpError, Limits, Target, Tools, discover, dump, probe, restore};
use end_to_end::servers::{mariadb, postgresql};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use secrecy::{ExposeSecret as _, SecretString};

/// A password that nothing else on the machine holds by accident, in any of the pieces that are looked for.
const MARKED: &str = "marked-4c1d-s3cret";

/// What was seen from outside.
#[derive(Debug, Default)]
struct Seen {
    /// Command lines that hold the mark.
    marked: BTreeSet<String>,
    /// Programs of ours that ran: without them, nothing was watched.
    tools: BTreeSet<String>,
    /// Modes of folders and files that were there meanwhile.
    modes: BTreeSet<(String, u32)>,
}

struct Watcher {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Seen>,
}

impl Watcher {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            while !asked.load(Ordering::Relaxed) {
                look(&mut seen);
            }
            seen
        });
        Self { stop, thread }
    }

    fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Looks at every process once. One that ends meanwhile is not there any more, which is fine.
fn look(seen: &mut Seen) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(MARKED) {
            seen.marked.insert(line.clone());
        }
        let program = line.split(' ').next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        if ["mysql", "mariadb", "mysqldump", "mariadb-dump", "psql", "pg_dump"].contains(&name) {
            seen.tools.insert(name.to_owned());
        }
    }
    for folder in folders() {
        note_mode(seen, "folder", &folder);
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            note_mode(seen, &file.file_name().to_string_lossy(), &file.path());
        }
    }
}

fn note_mode(seen: &mut Seen, what: &str, path: &std::path::Path) {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        seen.modes.insert((what.to_owned(), metadata.permissions().mode() & 0o7777));
    }
}

/// Returns the private folders of this process.
fn folders() -> Vec<PathBuf> {
    let prefix = format!("dilux-tool-{}-", std::process::id());
    let entries = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

/// Goes every way that a tool is used on: good, refused, given up, killed.
async fn use_everything(target: &Target, copy: &Target, missing: &Target) {
    let (tools, limits) = (Tools::standard(), Limits::default());
    probe(&tools, target, &limits).await.unwrap();
    assert!(!discover(&tools, target, &limits).await.unwrap().is_empty());
    let whole = dump(&tools, target, &limits).await.unwrap();
    let whole: Vec<u8> = whole.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap();
    let pieces = whole.chunks(50_000).map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece)));
    restore(&tools, copy, stream::iter(pieces), &limits, |_| {}).await.unwrap();

    // In the middle it is dropped, which kills the tool.
    let mut cut = dump(&tools, target, &limits).await.unwrap();
    let _ = cut.next().await;
    drop(cut);
    let broken = [Ok(Bytes::from_static(b"this is no SQL;\n")), Err(io::Error::other("cut"))];
    restore(&tools, copy, stream::iter(broken), &limits, |_| {}).await.unwrap_err();

    let wrong = Target { password: format!("{MARKED}-wrong").into(), ..target.clone() };
    let error = probe(&tools, &wrong, &limits).await.unwrap_err();
    assert!(matches!(error, DumpError::AuthenticationFailed { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains(MARKED), "{error:?}");
    dump(&tools, missing, &limits).await.err().unwrap();
    let hurried = Limits { deadline: Duration::from_millis(1), ..limits };
    probe(&tools, target, &hurried).await.unwrap_err();
}

fn check(seen: &Seen, tools: &[&[&str]]) {
    assert_eq!(seen.marked, BTreeSet::new());
    for names in tools {
        assert!(names.iter().any(|name| seen.tools.contains(*name)), "{names:?} in {:?}", seen.tools);
    }
    for (what, mode) in &seen.modes {
        let expected: &[u32] = if what == "folder" { &[0o700] } else { &[0o600] };
        assert!(expected.contains(mode), "{what}: {mode:o}");
    }
    assert!(seen.modes.iter().any(|(what, _)| what == "folder"), "{:?}", seen.modes);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_line_holds_a_password_and_nothing_stays() {
    let password = SecretString::from(MARKED);
    let maria = mariadb::Server::get();
    let postgres = postgresql::Server::get();
    for name in ["watched", "watched copy"] {
        maria.create(name);
        postgres.create(name);
    }
    let rows = "CREATE TABLE t (id INT PRIMARY KEY, v TEXT);";
    maria.sql("watched", &format!("{rows} INSERT INTO t SELECT seq, REPEAT('x', 1000) FROM seq_1_to_5000; CREATE USER marked@'%' IDENTIFIED BY '{MARKED}'; GRANT ALL ON *.* TO marked@'%';"));
    postgres.sql("watched", &format!("{rows} INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) g; CREATE ROLE marked SUPERUSER LOGIN PASSWORD '{MARKED}';"));
    let marked = |target: Target| Target {
        username: "marked".to_owned(),
        password: password.expose_secret().into(),
        ..target
    };

    let watcher = Watcher::start();
    for server in [
        [maria.target("watched"), maria.target("watched copy"), maria.target("not there")],
        [postgres.target("watched"), postgres.target("watched copy"), postgres.target("not there")],
    ] {
        let [target, copy, missing] = server.map(marked);
        use_everything(&target, &copy, &missing).await;
    }
    let seen = watcher.end();
    check(&seen, &[&["mysql", "mariadb"], &["mysqldump", "mariadb-dump"], &["psql"], &["pg_dump"]]);
    // Dropping a run kills its tool at once and removes its folder with it.
    assert_eq!(folders(), Vec::<PathBuf>::new());
}
