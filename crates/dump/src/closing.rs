//! The closing line of a dump. Pure.
//!
//! The tools write it last, after everything else went well. It is looked for in the end of the stream only,
//! and only comments, blank lines and PostgreSQL's `\unrestrict` may follow it.

use shared::models::DatabaseType;

use crate::sqlserver::CLOSING;

/// How much of the end of a dump is looked at, in bytes.
pub(crate) const WINDOW: usize = 4 * 1024;

/// Remembers the end of a stream, to tell whether the closing line of a dump was the last thing in it.
#[derive(Debug, Default)]
pub struct Closing {
    bytes: Vec<u8>,
}

impl Closing {
    /// Adds the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        if piece.len() >= WINDOW {
            self.bytes.clear();
            self.bytes.extend_from_slice(&piece[piece.len() - WINDOW..]);
            return;
        }
        let surplus = (self.bytes.len() + piece.len()).saturating_sub(WINDOW);
        self.bytes.drain(..surplus);
        self.bytes.extend_from_slice(piece);
    }

    /// Tells whether the stream ended as a whole dump does.
    pub fn is_closed(&self, kind: DatabaseType) -> bool {
        is_closed(kind, &self.bytes)
    }
}

/// Tells whether these last bytes of a dump hold its closing line, with nothing of weight after it.
pub(crate) fn is_closed(kind: DatabaseType, end: &[u8]) -> bool {
    let closings: &[&[u8]] = match kind {
        DatabaseType::Mysql => &[b"-- Dump completed"],
        // Of a database, and of the roles of a server.
        DatabaseType::Postgresql => {
            &[b"-- PostgreSQL database dump complete", b"-- PostgreSQL database cluster dump complete"]
        }
        DatabaseType::Sqlserver | DatabaseType::AzureSql => &[CLOSING.as_bytes()],
    };
    for line in end.rsplit(|byte| *byte == b'\n') {
        if closings.iter().any(|closing| line.starts_with(closing)) {
            return true;
        }
        let weightless =
            line.trim_ascii().is_empty() || line.starts_with(b"--") || line.starts_with(b"\\unrestrict ");
        if !weightless {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MYSQL: &str = "INSERT INTO `t` VALUES (1);\n/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n-- Dump completed on 2026-01-02  3:04:05\n";
    const POSTGRESQL: &str =
        "ALTER TABLE x;\n\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict 0a1b2c\n\n";

    fn closed(kind: DatabaseType, text: &str) -> bool {
        let mut end = Closing::default();
        end.push(text.as_bytes());
        end.is_closed(kind)
    }

    #[test]
    fn whole_dumps_are_closed() {
        assert!(closed(DatabaseType::Mysql, MYSQL));
        assert!(closed(DatabaseType::Mysql, MYSQL.trim_end()));
        assert!(closed(DatabaseType::Mysql, "\n-- Dump completed\n"));
        assert!(closed(DatabaseType::Postgresql, POSTGRESQL));
        let globals = "\\unrestrict 0a\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";
        assert!(closed(DatabaseType::Postgresql, globals));
    }

    #[test]
    fn broken_dumps_are_not() {
        for text in [
            "",
            "\n\n--\n",
            "INSERT INTO `t` VALUES ('\n-- Dump completed on 2026-01-02\n');\n",
            "-- Dump completed on 2026-01-02\nINSERT INTO `t` VALUES (1);\n",
            "INSERT INTO `t` VALUES ('-- Dump completed",
            " -- Dump completed",
        ] {
            assert!(!closed(DatabaseType::Mysql, text), "{text:?}");
        }
        assert!(!closed(DatabaseType::Postgresql, MYSQL));
        assert!(!closed(DatabaseType::Mysql, POSTGRESQL));
        assert!(!closed(DatabaseType::Sqlserver, MYSQL));
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_into_pieces_does_not_matter(
            before in 0_usize..10_000,
            cuts in proptest::collection::vec(1_usize..6000, 1..20),
            cut_off in 0_usize..12,
        ) {
            let text = format!("{}\n{POSTGRESQL}", "x".repeat(before));
            let text = &text.as_bytes()[..text.len() - cut_off];
            let mut end = Closing::default();
            let mut rest = text;
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                end.push(piece);
                rest = left;
            }
            end.push(rest);
            prop_assert!(end.bytes.len() <= WINDOW);
            prop_assert_eq!(
                end.is_closed(DatabaseType::Postgresql),
                is_closed(DatabaseType::Postgresql, text)
            );
        }
    }
}
