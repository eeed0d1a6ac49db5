//! Measures what we make of the rows of SQL Server, with a stand-in for `sqlcmd` that prints them as fast as it
//! can. What the real program and a server take comes on top of it.
//!
//! ```text
//! cargo run --release -p dump --example sqlserver -- [ROWS]
//! ```
//!
//! Prints rows and bytes a second of our own processor time, and the highest resident memory.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use dump::{Limits, Target, Tools};
use futures::StreamExt;
use shared::models::{DatabaseType, Tls};

/// The rows in one line, as a server that can add them up sends them.
const ROWS_IN_LINE: usize = 200;

/// A narrow row: a number, a text of 20 characters in hexadecimal of UTF-16, an amount, a moment.
const ROW: &str = "=1234567|=4E0061006D00650020006F00660020006100200063007500730074006F006D0065007200|=1234.5600|=2026-01-02 03:04:05.1234567";

const CATALOG: &str = "~C|database|=shop|-
~C|schema|=dbo|=dbo
~C|object|=10|=dbo|=orders|=U|=0
~C|table|=10|=dbo|=orders|=0|=0|-|=0|=0|=0
~C|column|=10|=1|=id|-|=int|=int|=4|=10|=0|-|-|=0|=0|-|=0|=0|=0|=0|=0
~C|column|=10|=2|=name|-|=nvarchar|=nvarchar|=80|=0|=0|-|-|=0|=1|-|=0|=0|=0|=0|=0
~C|column|=10|=3|=amount|-|=decimal|=decimal|=9|=18|=4|-|-|=0|=1|-|=0|=0|=0|=0|=0
~C|column|=10|=4|=made|-|=datetime2|=datetime2|=8|=27|=7|-|-|=0|=1|-|=0|=0|=0|=0|=0
~K|schema|1
~K|object|1
~K|table|1
~K|column|4
~K|index|0
~K|indexcolumn|0
~K|module|0
~F|x
~Z
";

fn main() -> Result<(), Box<dyn Error>> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(2_000_000), |rows| rows.parse())?;
    let folder = tempfile::tempdir()?;
    let lines = rows / ROWS_IN_LINE;
    install(folder.path(), lines)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = (Instant::now(), processor_time()?);
    let bytes = runtime.block_on(dumped(folder.path()))?;
    let (wall, processor) = (began.0.elapsed(), processor_time()?.saturating_sub(began.1));
    let rows = (lines * ROWS_IN_LINE) as f64;
    println!("rows             {rows}");
    println!("script           {:.0} MB", bytes as f64 / 1e6);
    println!("wall time        {:.2} s", wall.as_secs_f64());
    println!("processor time   {:.2} s", processor.as_secs_f64());
    println!("rows per core    {:.0} a second", rows / processor.as_secs_f64());
    println!("highest memory   {} KiB", highest_memory()?);
    Ok(())
}

fn install(folder: &Path, lines: usize) -> Result<(), Box<dyn Error>> {
    let line = format!("~R|{}", vec![ROW; ROWS_IN_LINE].join(";"));
    let rows = lines * ROWS_IN_LINE;
    let wide = "x".repeat(70_000);
    fs::write(
        folder.join("probe"),
        format!(
            "~V|Stand-in 1.0\n~P|sample|E900AC20\n~P|literal|E900AC203DD800DE\n~P|datetime2|0|2001-02-03 23:59:58.1234567\n~P|wide|{wide}\n~Z\n"
        ),
    )?;
    // Texts of this catalog travel in hexadecimal, as those of the rows.
    fs::write(folder.join("catalog"), hexadecimal_texts(CATALOG))?;
    fs::write(folder.join("line"), format!("{line}\n"))?;
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'Version: 1.0.0'; exit; fi\nfor script; do :; done\n\
         cd '{}'\nif grep -q 'P|wide' \"$script\"; then cat probe\nelif grep -q 'C|database' \"$script\"; then cat catalog\n\
         else echo '~F|x'; echo '~B|0'; yes \"$(cat line)\" | head -n {lines}; echo '~E|0|{rows}'; echo '~Z'; fi\n",
        folder.display()
    );
    let program = folder.join("sqlcmd");
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Puts the texts of a readable catalog into the form in which they travel: all fields that are no numbers.
fn hexadecimal_texts(catalog: &str) -> String {
    let field = |field: &str| match field.strip_prefix('=') {
        Some(text) if text.bytes().any(|byte| !byte.is_ascii_digit()) => {
            let digits: String = text
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .fold(String::new(), |hex, byte| hex + &format!("{byte:02X}"));
            format!("={digits}")
        }
        _ => field.to_owned(),
    };
    let line = |line: &str| match line.strip_prefix("~C|").and_then(|rest| rest.split_once('|')) {
        Some((kind, fields)) => {
            format!("~C|{kind}|{}\n", fields.split('|').map(field).collect::<Vec<_>>().join("|"))
        }
        None => format!("{line}\n"),
    };
    catalog.lines().map(line).collect()
}

async fn dumped(folder: &Path) -> Result<u64, Box<dyn Error>> {
    let target = Target {
        kind: DatabaseType::Sqlserver,
        host: "db.invalid".to_owned(),
        port: 1433,
        tls: Tls::default(),
        username: "app".to_owned(),
        password: "x".into(),
        proof: shared::connection::Proof::Password,
        database: "shop".to_owned(),
    };
    let mut dump = dump::dump(&Tools::new(vec![folder.to_owned()]), &target, &Limits::default()).await?;
    let mut bytes = 0;
    while let Some(piece) = dump.next().await {
        bytes += piece?.len() as u64;
    }
    Ok(bytes)
}

/// Returns the processor time of this process, without its children.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: u64 = text.split_whitespace().next().ok_or("no time")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

fn highest_memory() -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
