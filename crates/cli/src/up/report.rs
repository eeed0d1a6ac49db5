//! What is printed at the end of the start: a table of the backups, and where everything is.

use std::fmt::Write as _;

use super::options::Ports;
use super::rest::Backup;

const HEADINGS: [&str; 5] = ["DATABASE", "STATUS", "SIZE", "BLOB", "SECONDS"];

/// What became of the backup of one sample.
#[derive(Debug)]
pub(super) struct Outcome {
    database: &'static str,
    backup: Option<Backup>,
}

impl Outcome {
    /// Keeps the last known record of the backup.
    pub(super) fn of(database: &'static str, backup: Option<Backup>) -> Self {
        Self { database, backup }
    }

    /// Whether the backup exists.
    pub(super) fn is_completed(&self) -> bool {
        self.backup.as_ref().is_some_and(|backup| backup.status == "completed")
    }

    fn cells(&self) -> [String; 5] {
        let absent = || "-".to_owned();
        let backup = self.backup.as_ref();
        [
            self.database.to_owned(),
            backup.map_or_else(|| "no record".to_owned(), |backup| backup.status.clone()),
            backup.and_then(|backup| backup.file_size_bytes).map_or_else(absent, size_text),
            backup.and_then(|backup| backup.blob_name.clone()).unwrap_or_else(absent),
            backup
                .and_then(|backup| backup.duration_seconds)
                .map_or_else(absent, |seconds| format!("{seconds:.1}")),
        ]
    }
}

/// Draws the table; below it the errors of those backups that failed.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(outcomes.iter().map(Outcome::cells));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_completed()) {
        let error = outcome.backup.as_ref().and_then(|backup| backup.error_message.as_deref());
        let error = error.unwrap_or("it did not come to an end in time; see the log of the apps");
        let _ = writeln!(text, "\n{}: {error}", outcome.database);
    }
    text
}

/// Tells where everything listens.
pub(super) fn addresses(ports: &Ports, samples: bool) -> String {
    let mut text = format!(
        "api        http://127.0.0.1:{}/api\n\
         scheduler  http://127.0.0.1:{}\n\
         processor  http://127.0.0.1:{}\n\
         Azurite    127.0.0.1, blobs {}, queues {}, tables {}\n",
        ports.api,
        ports.scheduler,
        ports.processor,
        ports.azurite_blobs,
        ports.azurite_queues,
        ports.azurite_tables,
    );
    if samples {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "MariaDB    127.0.0.1:{}", ports.mariadb);
        let _ = writeln!(text, "PostgreSQL 127.0.0.1:{}", ports.postgresql);
    }
    text
}

/// Writes a size in the largest unit of which there is at least one.
fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, in whole numbers: exact for every size.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10 * 1024 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(status: &str) -> Backup {
        Backup {
            job_id: "job".to_owned(),
            status: status.to_owned(),
            blob_name: None,
            file_size_bytes: None,
            duration_seconds: None,
            error_message: None,
        }
    }

    #[test]
    fn the_table_shows_success_failure_and_silence() {
        let completed = Backup {
            blob_name: Some("mysql/shop/2025.sql.gz".to_owned()),
            file_size_bytes: Some(43_210),
            duration_seconds: Some(1.26),
            ..backup("completed")
        };
        let failed = Backup { error_message: Some("access denied".to_owned()), ..backup("failed") };
        let outcomes = [
            Outcome::of("Tea shop (MariaDB)", Some(completed)),
            Outcome::of("Tea shop (PostgreSQL)", Some(failed)),
            Outcome::of("Третий", None),
        ];
        insta::assert_snapshot!(table(&outcomes), @r"
        DATABASE               STATUS     SIZE      BLOB                    SECONDS
        Tea shop (MariaDB)     completed  42.1 KiB  mysql/shop/2025.sql.gz  1.3
        Tea shop (PostgreSQL)  failed     -         -                       -
        Третий                 no record  -         -                       -

        Tea shop (PostgreSQL): access denied

        Третий: it did not come to an end in time; see the log of the apps
        ");
    }

    #[test]
    fn sizes_are_exact_at_the_edges() {
        let texts: Vec<String> =
            [0, 1023, 1024, 1024 * 1024 - 1, 1024 * 1024, u64::MAX].map(size_text).into();
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1023.9 KiB", "1.0 MiB", "16777215.9 TiB"]);
    }
}
