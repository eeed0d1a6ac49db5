//! What becomes of a catalog with every kind of thing in it. The catalog is made up, and was never on a
//! server; what a server makes of the script, only a server can tell.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use super::catalog::Reader;
use super::data::{Bad, Done, Writer};
use super::literal::{Script, is_plain};
use super::plan::{self, Choices};
use super::probe::Capabilities;
use super::transfer::TextForm;

const CATALOG: &str = include_str!("../../../../tests/fixtures/sqlserver/catalog.txt");
const EXPECTED: &str = include_str!("../../../../tests/fixtures/sqlserver/expected.sql");

const CHOICES: Choices = Choices { permissions: true, strict: false };

/// A server like SQL Server, but with texts that people can read.
fn caps() -> Capabilities {
    Capabilities { text: TextForm::Escaped, ..Capabilities::of_sql_server() }
}

fn catalog(caps: &Capabilities) -> super::catalog::Catalog {
    let mut reader = Reader::new(caps);
    for line in CATALOG.lines() {
        reader.push(line).unwrap_or_else(|unreadable| panic!("{unreadable:?}: {line}"));
    }
    reader.finish(&[]).unwrap().0
}

/// What the rows' run of the tool prints, for the tables in their order.
const ROWS: &[&str] = &[
    "~B|0",
    "~R|=1|=Ann 'A'|=12345|-|=00FF|=<a/>",
    "~R|=2|=$(HOME)~0D~0AGO|-|=short|-|-",
    "~V|3",
    "~L|3|=aaa'",
    "~L|3|=bbb~0A",
    "~N|4",
    "~N|5",
    "~G|=7|=large|-|^|^|^",
    "~E|0|3",
];

#[test]
fn every_kind_of_thing_is_written() {
    let caps = caps();
    let catalog = catalog(&caps);
    let plan = plan::plan(&catalog, &caps, CHOICES).unwrap();
    let names: Vec<&str> = plan.tables.iter().map(|table| table.full_name.as_str()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    let mut script = Script::default();
    let mut writer = Writer::new(&plan.tables, &caps);
    let mut lines: Vec<String> = ROWS.iter().map(|line| (*line).to_owned()).collect();
    lines.extend(
        [
            "~B|1",
            "~R|=100|=1|=12345678901234567890123456789012.3456|=-1.5000|=2026-01-02 03:04:05.1234567|=1.5E0|=6F9619FF-8B86-D011-B42D-00C04FC964FF|=int:10:0:4::5;=110|=2|=0.0000|-|=9999-12-31 23:59:59.9999999|-|=6F9619FF-8B86-D011-B42D-00C04FC964FF|-",
            "~E|1|2",
            "~B|2",
            "~R|-",
            "~E|2|1",
        ]
        .map(str::to_owned),
    );
    for table in 3..6 {
        lines.push(format!("~B|{table}"));
        lines.push(format!("~E|{table}|0"));
    }
    for line in &lines {
        writer.push(&mut script, line).unwrap_or_else(|bad| panic!("{bad:?}: {line}"));
    }
    assert!(writer.is_complete());
    let done = std::mem::take(&mut writer.done);
    assert_eq!(done[0], Done { rows: 3, identity: Some(7) });
    let mut late = Vec::new();
    let after = plan::after(&catalog, &plan, &done, &caps, CHOICES, &mut late);
    let warnings: Vec<String> = plan.warnings.iter().chain(&late).cloned().collect();
    let written = format!(
        "{}{}{}{after}{}",
        plan::head(&catalog, &caps, "snapshot", &warnings),
        plan.before,
        script.into_text(),
        plan::closing()
    );
    if written != EXPECTED {
        let place = std::env::temp_dir().join("dilux-expected.sql");
        std::fs::write(&place, &written).unwrap();
        let differing = written.lines().zip(EXPECTED.lines()).find(|(one, other)| one != other);
        panic!("the script is another one, see {}: {differing:?}", place.display());
    }
    for batch in written.split("\nGO\n") {
        assert!(is_plain(batch.trim_end()), "{batch}");
    }
}

#[test]
fn an_answer_that_is_cut_or_not_what_was_asked_for_is_noticed() {
    let caps = caps();
    let catalog = catalog(&caps);
    let plan = plan::plan(&catalog, &caps, CHOICES).unwrap();
    let run = |lines: &[&str]| {
        let mut script = Script::default();
        let mut writer = Writer::new(&plan.tables, &caps);
        let result = lines.iter().try_for_each(|line| writer.push(&mut script, line));
        (result, writer.is_complete())
    };
    assert_eq!(run(ROWS), (Ok(()), false));
    let wrong = Err(Bad::Line { table: Some(0) });
    for lines in [
        &["~B|0", "~R|=1|=x|-|-|-"][..],
        &["~B|0", "~R|=1|=x|-|-|-|-|-"],
        &["~B|0", "~R|=1); DROP TABLE x|=x|-|-|-|-"],
        &["~B|0", "~L|3|=a"],
        &["~B|0", "~V|0"],
        &["~B|0", "~V|3", "~G|=7|=large|-|^|^|^"],
        &["~B|0", "~V|3", "~E|0|0"],
        &["~B|0", "~E|1|0"],
        &["~B|0", "~B|1"],
        &["~B|0", "something"],
    ] {
        assert_eq!(run(lines).0, wrong, "{lines:?}");
    }
    assert_eq!(run(&["~B|1"]).0, Err(Bad::Line { table: None }));
    assert_eq!(run(&["~E|0|0"]).0, Err(Bad::Line { table: None }));
    let missing = Bad::Count { table: 0, counted: 2, received: 1 };
    assert_eq!(run(&["~B|0", "~R|=1|=x|-|-|-|-", "~E|0|2"]).0, Err(missing));
}

#[test]
fn questions_are_inert_whatever_tables_are_called() {
    let caps = caps();
    let catalog = catalog(&caps);
    let plan = plan::plan(&catalog, &caps, CHOICES).unwrap();
    let mut script = Script::default();
    for (number, table) in plan.tables.iter().enumerate() {
        table.ask(&mut script, number, &caps);
    }
    let text = script.into_text();
    let batches: Vec<&str> = text.split("\nGO\n").filter(|batch| !batch.is_empty()).collect();
    assert_eq!(batches.len(), plan.tables.len());
    assert!(batches.iter().all(|batch| is_plain(batch)));
    assert!(batches[2].starts_with("DECLARE @batch nvarchar(max) = "), "{}", batches[2]);
}

#[test]
fn rows_are_counted_in_the_snapshot_or_as_they_are_sent() {
    let questions = |caps: &Capabilities| {
        let catalog = catalog(caps);
        let plan = plan::plan(&catalog, caps, CHOICES).unwrap();
        let mut script = Script::default();
        plan.tables.iter().enumerate().for_each(|(number, table)| table.ask(&mut script, number, caps));
        (script.into_text(), plan.tables.len())
    };
    let (text, tables) = questions(&caps());
    // One table is memory-optimised, and is read when the snapshot is over.
    assert_eq!(text.matches("COUNT_BIG(*)) FROM").count(), tables - 1, "{text}");
    assert_eq!(text.matches("DECLARE @sent bigint").count(), 1, "{text}");
    let (text, tables) = questions(&Capabilities { snapshot: false, ..caps() });
    assert_eq!(text.matches("CONVERT(varchar(20), @sent)").count(), tables, "{text}");
    assert!(!text.contains("COUNT_BIG(*)) FROM"), "{text}");
    let (text, _) = questions(&Capabilities { snapshot: false, microsoft: false, ..caps() });
    assert!(!text.contains("@sent"), "{text}");
}

#[test]
fn what_cannot_be_kept_is_listed() {
    let caps = caps();
    let catalog = catalog(&caps);
    let warnings = plan::plan(&catalog, &caps, CHOICES).unwrap().warnings;
    insta::assert_snapshot!(warnings.join("\n"), @r"
    the text of [dbo].[hidden_code] is encrypted or hidden: it is left out
    dbo.assembly_code is code of an assembly: it is left out
    [dbo].[secrets] is memory-optimised: it comes back as an ordinary table
    the column [ssn] of [dbo].[secrets] is always encrypted: it comes back empty and in plain text
    the type point_clr is one of an assembly: it is left out
    the parts of partitioned tables come back in one filegroup
    2 full-text indexes are left out
    the rows of memory-optimised tables are of a later moment than all others
    the password of the user [contained] cannot be read: it is made without a login
    the application role [app] is left out: its password cannot be read
    ");
}
