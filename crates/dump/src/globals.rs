//! The roles of a PostgreSQL server: as a stream, and back.
//!
//! `pg_dumpall` writes them, without tablespaces, which are folders of one machine. What is loaded leaves
//! roles alone that are there already: neither are they made nor get they other attributes or another
//! password, or a restore would change who may sign in as the administrator that it signs in with. Their
//! memberships and settings are added.

use std::collections::HashSet;
use std::error::Error;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use shared::models::DatabaseType;

use crate::error::{DumpError, RestoreError};
use crate::postgresql;
use crate::restore::{Restored, restore};
use crate::server::{name_from_hex, question};
use crate::target::{Limits, Target};
use crate::tools::Tools;

/// A longer line is no statement about one role that is looked at; it passes as it is.
const LONGEST: usize = 64 * 1024;

/// Loads the roles of a server, all or none, and leaves alone those that are there.
///
/// The target's database is only where the client connects to.
pub async fn restore_globals<S, E>(
    tools: &Tools,
    target: &Target,
    input: S,
    limits: &Limits,
) -> Result<Restored, RestoreError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn Error + Send + Sync>> + Send,
{
    if target.kind != DatabaseType::Postgresql {
        return Err(DumpError::Unsupported { kind: target.kind }.into());
    }
    let names = question(tools, target, limits, postgresql::ROLES_QUERY).await?;
    let mut present = Present::new(names.lines().filter_map(name_from_hex).collect());
    let pieces = {
        let present = &mut present;
        let ended = stream::once(async { None });
        input.map(Some).chain(ended).map(move |piece| match piece {
            Some(Ok(piece)) => Ok(Bytes::from(present.push(&piece))),
            Some(Err(error)) => Err(error),
            None => Ok(Bytes::from(present.finish())),
        })
    };
    let mut restored = restore(tools, target, pieces, limits, |_| {}).await?;
    restored.adapted.extend(present.told());
    Ok(restored)
}

/// Where in the script the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the beginning of a line, outside of every quote.
    Begin,
    Statement,
    Comment,
    /// Within this kind of quote. A doubled one ends a quote and begins the next; backslashes are doubled
    /// in what `pg_dumpall` writes.
    Quote(u8),
}

/// Leaves out what makes or changes roles that are there.
#[derive(Debug)]
struct Present {
    roles: HashSet<String>,
    at: At,
    /// The line that is being read, while it may still be one that is left out.
    line: Vec<u8>,
    met: Vec<String>,
}

impl Present {
    fn new(roles: HashSet<String>) -> Self {
        Self { roles, at: At::Begin, line: Vec::new(), met: Vec::new() }
    }

    fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut passed = Vec::with_capacity(piece.len() + self.line.len());
        for &byte in piece {
            let begins = self.at == At::Begin || !self.line.is_empty();
            self.at = match (self.at, byte) {
                (At::Begin | At::Statement | At::Comment, b'\n') => At::Begin,
                (At::Begin, b'-') | (At::Comment, _) => At::Comment,
                (At::Begin | At::Statement, b'\'' | b'"') => At::Quote(byte),
                (At::Quote(quote), _) if quote == byte => At::Statement,
                (At::Begin | At::Statement, _) => At::Statement,
                (At::Quote(quote), _) => At::Quote(quote),
            };
            if !begins {
                passed.push(byte);
                continue;
            }
            self.line.push(byte);
            if self.at == At::Begin {
                let line = std::mem::take(&mut self.line);
                if self.is_left_out(&line) {
                    // Its lines stay, empty, so that the numbers in the client's errors are right.
                    passed.extend(line.iter().filter(|byte| **byte == b'\n'));
                } else {
                    passed.extend_from_slice(&line);
                }
            } else if self.line.len() > LONGEST {
                passed.append(&mut self.line);
            }
        }
        passed
    }

    fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }

    fn is_left_out(&mut self, line: &[u8]) -> bool {
        let made = line.strip_prefix(b"CREATE ROLE ");
        let Some(rest) = made.or_else(|| line.strip_prefix(b"ALTER ROLE ")) else { return false };
        let Some((name, rest)) = identifier(rest) else { return false };
        if !self.roles.contains(&name) || !(made.is_some() || rest.starts_with(b" WITH ")) {
            return false;
        }
        if made.is_some() {
            self.met.push(name);
        }
        true
    }

    fn told(&self) -> impl Iterator<Item = String> {
        self.met.iter().map(|name| format!("the role \"{name}\" is there already and was left as it is"))
    }
}

/// Reads an identifier as `pg_dumpall` writes it, and returns what follows it.
fn identifier(text: &[u8]) -> Option<(String, &[u8])> {
    let mut name = Vec::new();
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b' ' | b';'))?;
        return Some((String::from_utf8(text[..end].to_vec()).ok()?, &text[end..]));
    };
    loop {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        name.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(b"\"") {
            Some(more) => {
                name.push(b'"');
                rest = more;
            }
            None => return Some((String::from_utf8(name).ok()?, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCRIPT: &str = r#"--
-- We're at the roles; "one quote
--
CREATE ROLE "We'ird ""x
y";
ALTER ROLE "We'ird ""x
y" WITH LOGIN;
CREATE ROLE app;
COMMENT ON ROLE app IS 'it''s
CREATE ROLE postgres;
';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$1';
ALTER ROLE postgres SET search_path TO 'x', 'y';
CREATE ROLE postgres2;
GRANT app TO postgres GRANTED BY postgres;
"#;

    fn adapted(script: &str, roles: &[&str], cut: usize) -> (String, Vec<String>) {
        let mut present = Present::new(roles.iter().map(|name| (*name).to_owned()).collect());
        let mut passed: Vec<u8> =
            script.as_bytes().chunks(cut).flat_map(|piece| present.push(piece)).collect();
        passed.extend(present.finish());
        (String::from_utf8_lossy(&passed).into_owned(), present.told().collect())
    }

    #[test]
    fn roles_that_are_there_are_neither_made_nor_changed() {
        let (passed, told) = adapted(SCRIPT, &["postgres", "We'ird \"x\ny"], 7);
        insta::assert_snapshot!(passed, @r#"
        --
        -- We're at the roles; "one quote
        --




        CREATE ROLE app;
        COMMENT ON ROLE app IS 'it''s
        CREATE ROLE postgres;
        ';


        ALTER ROLE postgres SET search_path TO 'x', 'y';
        CREATE ROLE postgres2;
        GRANT app TO postgres GRANTED BY postgres;
        "#);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[1], "the role \"postgres\" is there already and was left as it is");
    }

    proptest! {
        #[test]
        fn how_the_script_is_cut_does_not_matter(cut in 1_usize..400, text in "[a'\"\\-\n ;CREATOL]{0,60}") {
            let script = format!("{SCRIPT}{text}");
            prop_assert_eq!(adapted(&script, &["postgres"], cut), adapted(&script, &["postgres"], 1));
            prop_assert_eq!(adapted(&script, &[], cut).0, script);
        }
    }
}
