//! What the commands say about themselves.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Stdio};

/// Asks the real program for help, on a terminal of 100 columns.
#[expect(clippy::disallowed_methods, reason = "the program under test is started as a person would")]
fn help(arguments: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_dilux"));
    program.args(arguments).arg("--help").env("COLUMNS", "100").env("DILUX_API", "http://me:s3cret@host");
    let output = program.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn backup() {
    insta::assert_snapshot!(help(&["backup"]), @r#"
    Backs up a database now and follows the backup to its end

    Usage: dilux backup [OPTIONS] <DATABASE>

    Arguments:
      <DATABASE>  The database: its id, or its name if no other one has the same

    Options:
          --no-wait    Only ask for the backup, do not follow it
          --json       Print the result as JSON
          --api <URL>  The address of the api; a bearer token for it is taken from the variable
                       DILUX_TOKEN [env: DILUX_API] [default: http://127.0.0.1:7071/api]
      -h, --help       Print help

    Examples:
      dilux backup shop                  back up the database called "shop" and follow the backup
      dilux backup shop --no-wait        only ask for it, and print the id of the job
      dilux backup shop --json           print the record of the backup as JSON when it has ended
      DILUX_API=https://backup.example.com/api DILUX_TOKEN=… dilux backup shop

    The exit code is 0 when the backup is complete, 1 when it failed, 130 after Ctrl-C. Ctrl-C ends the
    following, not the backup.
    "#);
}

#[test]
fn list() {
    insta::assert_snapshot!(help(&["list"]), @r#"
    Lists backups, or the configured databases

    Usage: dilux list [OPTIONS]

    Options:
          --database <DATABASE>  Only backups of this database: its id, or its name if no other one has
                                 the same
          --status <STATUS>      Only backups that are pending, in_progress, completed, failed or
                                 cancelled
          --limit <NUMBER>       At most so many [default: 20]
          --databases            List the configured databases instead of backups
          --stored               List the blobs of a container instead of records, which may be lost
          --container <NAME>     The container for --stored; the default one otherwise
          --json                 Print JSON
      -h, --help                 Print help

    Examples:
      dilux list                                     the latest backups, newest first
      dilux list --database shop --status completed  what can be restored of "shop"
      dilux list --limit 1000 --json                 as JSON, with blob names and addresses
      dilux list --databases                         the configured databases
      dilux list --stored                            what is in storage, also when all records are lost

    Storage is found as by the apps: by STORAGE_CONNECTION_STRING, or by STORAGE_ACCOUNT_NAME with
    STORAGE_BLOB_ENDPOINT, STORAGE_QUEUE_ENDPOINT and STORAGE_TABLE_ENDPOINT; without any of them it is
    the emulator on this machine.
    "#);
}

#[test]
fn restore() {
    insta::assert_snapshot!(help(&["restore"]), @r#"
    Loads a backup into a database, or writes it to a file as plain SQL

    Usage: dilux restore [OPTIONS] <--to <TARGET>|--output <FILE>> <BACKUP>

    Arguments:
      <BACKUP>  The backup: its id, the name of its blob, or latest:DATABASE with a database's id or
                name

    Options:
          --to <TARGET>           The database to load it into: mysql://user@host:port/database,
                                  postgresql://user@host:port/database, or ENGINE/DATABASE with a
                                  configured engine's id or name
          --output <FILE>         Write it to this file as plain SQL instead; - is standard output
          --yes                   Load into a database that holds something already, or write over a
                                  file that exists [alias: --overwrite]
          --globals               Make the roles first that were stored beside the backup (PostgreSQL);
                                  those that exist are left alone
          --password-file <FILE>  A file that holds the password for the target, and that nobody else
                                  can read
          --tls-mode <MODE>       How the connection to the target is protected: disable, prefer,
                                  require, verify_ca or verify_full; prefer otherwise, or what is
                                  configured for the engine
          --tls-ca <FILE>         A file with the certificates (PEM) of the authorities that verify_ca
                                  and verify_full accept; those that this machine knows otherwise
          --container <NAME>      The container of a blob that no record tells of; the default one
                                  otherwise
      -h, --help                  Print help

    Examples:
      dilux restore latest:shop --to mysql://root@127.0.0.1:3306/shop_copy
      dilux restore 0f9c3c4e-… --to postgresql://admin@db.example.com/shop
      dilux restore latest:shop --to "Sample MariaDB/shop_copy"
      dilux restore mysql/5646d03a-…/20251205_100000.sql.gz --output - | less

    The password for an address is taken from --password-file, else from the variable
    DILUX_TARGET_PASSWORD, else from the person at the terminal. A configured engine brings its own.
    Within an address, the characters / ? # % in a name are written %2F %3F %23 %25.

    The target database has to exist and to be empty. With --yes it need not be empty: what the backup
    holds replaces what has the same name, and everything else stays. PostgreSQL keeps nothing of a
    restore that fails; MySQL and MariaDB keep what came before the error.

    The whole backup is read and proved before anything is loaded.

    Storage is found as by the apps: by STORAGE_CONNECTION_STRING, or by STORAGE_ACCOUNT_NAME with
    STORAGE_BLOB_ENDPOINT, STORAGE_QUEUE_ENDPOINT and STORAGE_TABLE_ENDPOINT; without any of them it is
    the emulator on this machine.
    "#);
}
