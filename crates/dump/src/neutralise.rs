//! Makes the head and the end of a dump fit for the client that loads it. Pure.
//!
//! Lines are blanked, never removed, so that the line numbers in the client's errors are those of the
//! dump. The lines:
//!
//! - MariaDB's first line since May 2024, which switches its client to a sandbox; other clients take it for
//!   a wrong command. Our own way of loading switches the client's commands off altogether.
//! - `\restrict` and `\unrestrict` of `pg_dump` since August 2025; older clients do not know them, and newer
//!   ones are given a word of our own, which nobody who wrote the dump can know.
//! - `SET transaction_timeout` of `pg_dump` 17, which older servers do not know.
//!
//! The last few KiB of a dump are held back until the end is known, so that a dump without its closing line
//! is noticed while the transaction can still be dropped. Apart from that, bytes pass as they are: lines
//! may have any length.

use bytes::{Bytes, BytesMut};
use shared::models::DatabaseType;

use crate::closing::{WINDOW, is_closed};

/// How much of a dump is collected to find its head, in bytes.
const HEAD: usize = 4 * 1024;

/// The beginnings of MariaDB's sandbox line.
const SANDBOX: [&[u8]; 2] = [b"/*M!999999\\- ", b"/*!999999\\- "];

/// The stream of a dump on its way to a client.
pub(crate) struct Neutraliser {
    kind: DatabaseType,
    /// The server is too old for `transaction_timeout`.
    old_server: bool,
    /// The beginning of the dump until there is enough of it, then its latest bytes.
    held: BytesMut,
    head_passed: bool,
    told: Vec<&'static str>,
}

impl Neutraliser {
    /// Makes a stream for a server of this kind and major version.
    pub(crate) fn new(kind: DatabaseType, server_major: u32) -> Self {
        let old_server = kind == DatabaseType::Postgresql && server_major < 17;
        Self { kind, old_server, held: BytesMut::new(), head_passed: false, told: Vec::new() }
    }

    /// Takes the next piece of the dump and returns what can be passed on.
    pub(crate) fn push(&mut self, piece: &Bytes) -> [Bytes; 2] {
        if !self.head_passed {
            self.held.extend_from_slice(piece);
            if self.held.len() < HEAD {
                return [Bytes::new(), Bytes::new()];
            }
            self.pass_head();
            let surplus = self.held.len().saturating_sub(WINDOW);
            return [self.held.split_to(surplus).freeze(), Bytes::new()];
        }
        if piece.len() < WINDOW {
            self.held.extend_from_slice(piece);
            let surplus = self.held.len().saturating_sub(WINDOW);
            return [self.held.split_to(surplus).freeze(), Bytes::new()];
        }
        // A large piece is passed on without copying it.
        let before = self.held.split().freeze();
        let (rest, end) = piece.split_at(piece.len() - WINDOW);
        self.held.extend_from_slice(end);
        [before, piece.slice(..rest.len())]
    }

    /// Tells what was left out, once the head has passed.
    pub(crate) fn told(&self) -> impl Iterator<Item = String> {
        self.told.iter().map(|told| (*told).to_owned())
    }

    /// Returns the last bytes, or nothing if the dump is not whole.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        if !self.head_passed {
            self.pass_head();
        }
        if !is_closed(self.kind, &self.held) {
            return None;
        }
        if self.kind == DatabaseType::Postgresql {
            blank_last_unrestrict(&mut self.held);
        }
        Some(self.held.split().freeze())
    }

    fn pass_head(&mut self) {
        self.head_passed = true;
        match self.kind {
            DatabaseType::Mysql => {
                if SANDBOX.iter().any(|line| self.held.starts_with(line)) {
                    blank_line(&mut self.held, 0);
                    self.told.push("the line that switches MariaDB's client to its sandbox was left out");
                }
            }
            DatabaseType::Postgresql => self.told = blank_head(&mut self.held, self.old_server),
            DatabaseType::Sqlserver | DatabaseType::AzureSql => {}
        }
    }
}

/// Blanks what a client or a server may not know in the settings before the first statement of weight, and
/// tells what that was.
fn blank_head(bytes: &mut [u8], old_server: bool) -> Vec<&'static str> {
    let mut told = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let line = line_at(bytes, start);
        let length = line.len();
        let setting = line.starts_with(b"SET ")
            || line.starts_with(b"SELECT pg_catalog.set_config(")
            // Before dumps of some schemas, for extensions in others.
            || line.starts_with(b"CREATE SCHEMA IF NOT EXISTS ");
        if line.starts_with(b"\\restrict ") {
            told.push("the dump's own word for psql's restricted mode was left out");
            blank_line(bytes, start);
        } else if old_server && line.starts_with(b"SET transaction_timeout = ") {
            told.push("the setting transaction_timeout, which the target does not know, was left out");
            blank_line(bytes, start);
        } else if !(setting || line.trim_ascii().is_empty() || line.starts_with(b"--")) {
            return told;
        }
        start += length + 1;
    }
    told
}

/// Blanks the last `\unrestrict`, if nothing but blank lines and comments follows it: `pg_dump` writes it
/// after the closing line, and `pg_dumpall` before.
fn blank_last_unrestrict(bytes: &mut [u8]) {
    let mut end = bytes.len();
    loop {
        let start = bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
        let line = &bytes[start..end];
        if line.starts_with(b"\\unrestrict ") {
            return blank_line(bytes, start);
        }
        if start == 0 || !(line.trim_ascii().is_empty() || line.starts_with(b"--")) {
            return;
        }
        end = start - 1;
    }
}

/// Returns the line that begins here, without its end.
fn line_at(bytes: &[u8], start: usize) -> &[u8] {
    let rest = &bytes[start..];
    rest.iter().position(|byte| *byte == b'\n').map_or(rest, |end| &rest[..end])
}

/// Turns the line that begins here into spaces.
fn blank_line(bytes: &mut [u8], start: usize) {
    let length = line_at(bytes, start).len();
    bytes[start..start + length].fill(b' ');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(kind: DatabaseType, major: u32, text: &str, cuts: &[usize]) -> Option<String> {
        let mut neutraliser = Neutraliser::new(kind, major);
        let mut passed = Vec::new();
        let mut rest = Bytes::copy_from_slice(text.as_bytes());
        for cut in cuts {
            let piece = rest.split_to((*cut).min(rest.len()));
            passed.extend(neutraliser.push(&piece).concat());
        }
        passed.extend(neutraliser.push(&rest).concat());
        passed.extend(neutraliser.finish()?);
        Some(String::from_utf8_lossy(&passed).into_owned())
    }

    const POSTGRESQL: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc123\n\n-- Dumped from database version 17.6\n\nSET statement_timeout = 0;\nSET transaction_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\nCOPY public.t (v) FROM stdin;\nSET transaction_timeout = 0;\n\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc123\n\n";

    #[test]
    fn the_sandbox_line_is_blanked_and_the_lines_keep_their_numbers() {
        let text = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\nSELECT 1;\n-- Dump completed on x\n";
        let passed = pass(DatabaseType::Mysql, 10, text, &[]).unwrap_or_default();
        assert_eq!(passed.len(), text.len());
        assert_eq!(passed.trim_start(), text.split_once('\n').unwrap_or_default().1);
        assert!(passed.starts_with("   "));
        assert_eq!(passed.lines().count(), text.lines().count());
    }

    #[test]
    fn restrictions_and_new_settings_are_blanked_in_the_head_only() {
        let old = pass(DatabaseType::Postgresql, 15, POSTGRESQL, &[]).unwrap_or_default();
        assert!(!old.contains("restrict"), "{old}");
        assert_eq!(old.matches("SET transaction_timeout").count(), 1, "the row stays: {old}");
        assert_eq!(old.lines().count(), POSTGRESQL.lines().count());
        let new = pass(DatabaseType::Postgresql, 17, POSTGRESQL, &[]).unwrap_or_default();
        assert_eq!(new.matches("SET transaction_timeout").count(), 2);
    }

    #[test]
    fn the_word_of_a_script_of_roles_is_blanked_too() {
        let text = "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict a1\n\nSET x = on;\n\nCREATE ROLE a;\n\n\n\\unrestrict a1\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";
        let passed = pass(DatabaseType::Postgresql, 15, text, &[40]).unwrap_or_default();
        assert!(!passed.contains("restrict"), "{passed}");
        assert_eq!(passed.lines().count(), text.lines().count());
    }

    #[test]
    fn a_dump_without_its_closing_line_has_no_end() {
        let cut = POSTGRESQL.split_once("-- PostgreSQL database dump complete").unwrap_or_default().0;
        assert_eq!(pass(DatabaseType::Postgresql, 15, cut, &[]), None);
        assert_eq!(pass(DatabaseType::Mysql, 10, "", &[]), None);
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter_and_nothing_else_changes(
            body in "[a-z\n]{0,12000}",
            cuts in proptest::collection::vec(1_usize..7000, 0..12),
        ) {
            let text = POSTGRESQL.replace("COPY public", &format!("{body}\nCOPY public"));
            let whole = pass(DatabaseType::Postgresql, 17, &text, &[]);
            prop_assert_eq!(&pass(DatabaseType::Postgresql, 17, &text, &cuts), &whole);
            let whole = whole.unwrap_or_default();
            prop_assert_eq!(whole.len(), text.len());
            for (one, two) in whole.lines().zip(text.lines()) {
                prop_assert!(one == two || (one.trim().is_empty() && two.contains("restrict abc123")));
            }
        }
    }
}
