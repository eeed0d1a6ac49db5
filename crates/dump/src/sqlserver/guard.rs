//! Keeps commands of `sqlcmd` itself out of what it loads. Pure.
//!
//! A script may tell the program to run other programs, to read and write files, or to end. The dumps that
//! are written here hold no such line, so that one with such a line was written, or changed, by somebody
//! else.

use super::literal::is_command;

/// As much of a line's beginning as tells whether it is a command.
const BEGINNING: usize = 64;

/// Looks at the lines of a script as they pass.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// The beginning of the line that has not ended yet.
    line: Vec<u8>,
    ended_lines: u64,
}

impl Guard {
    /// Takes the next piece of the script; returns the number of the first line that is a command.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Option<u64> {
        let mut parts = piece.split(|byte| *byte == b'\n');
        self.extend(parts.next().unwrap_or_default());
        for part in parts {
            if self.is_command() {
                return Some(self.ended_lines + 1);
            }
            self.ended_lines += 1;
            self.line.clear();
            self.extend(part);
        }
        None
    }

    fn extend(&mut self, part: &[u8]) {
        // White space before a command counts for nothing, however much there is of it.
        let part = if self.line.is_empty() { part.trim_ascii_start() } else { part };
        let room = BEGINNING.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn is_command(&self) -> bool {
        let line = String::from_utf8_lossy(&self.line);
        let word: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        is_command(&line) && !word.eq_ignore_ascii_case("GO")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(script: &str, size: usize) -> Option<u64> {
        let mut guard = Guard::default();
        script.as_bytes().chunks(size).find_map(|piece| guard.push(piece)).or_else(|| guard.push(b"\n"))
    }

    #[test]
    fn commands_are_found_however_the_script_is_cut() {
        for size in [1, 2, 3, 7, 1000] {
            for (script, line) in [
                ("SELECT 1\nGO\n!!rm -rf /\n", Some(3)),
                ("SELECT 1\n   \t :r /etc/passwd\n", Some(2)),
                (":out x", Some(1)),
                ("SELECT 1;\nexit\n", Some(2)),
                ("SELECT '!!', ':r'\nGO 5\nGO\n-- :r\nGOTO x\nEDGE", None),
                ("", None),
            ] {
                assert_eq!(found(script, size), line, "{script:?} {size}");
            }
        }
    }

    #[test]
    fn dumps_of_ours_have_none() {
        let dump = include_str!("../../../../tests/fixtures/sqlserver/expected.sql");
        assert_eq!(found(dump, 100), None);
    }
}
