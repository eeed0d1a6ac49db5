//! Reads how a statement of a MySQL or MariaDB dump begins. Pure.

use std::ops::Range;

use crate::definers::Account;

/// How what comes next begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head<'a> {
    /// More of it has to be seen.
    Unfinished,
    /// Nothing but so many blanks.
    Blank(usize),
    /// A comment to the end of its line.
    LineComment,
    /// A comment that is no code.
    BlockComment,
    /// The client's own command that sets what ends a statement; so long with its line.
    Delimiter {
        /// What ends a statement from here on.
        word: &'a [u8],
        /// The length of the line.
        length: usize,
    },
    /// A statement that sets `sql_mode`.
    SqlMode {
        /// Whether backslashes mean nothing from here on.
        plain_backslashes: bool,
        /// The modes, and where they stand with their quotes; none when they come from a variable.
        modes: Option<(String, Range<usize>)>,
    },
    /// A statement that makes something of a definer's.
    Definer {
        /// The definer.
        account: Account,
        /// Where it stands.
        range: Range<usize>,
    },
    /// A statement that alters a database which it names.
    AlterDatabase {
        /// Where the name stands, with its quotes.
        range: Range<usize>,
    },
    /// Anything else.
    Other,
}

/// What follows `ALTER DATABASE` when no database is named.
const OF_THE_DEFAULT_DATABASE: [&str; 7] =
    ["CHARACTER", "CHARSET", "COLLATE", "COMMENT", "DEFAULT", "ENCRYPTION", "READ"];

/// Reads the head of the statement that begins here.
pub(crate) fn read(text: &[u8]) -> Head<'_> {
    let blank = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if blank > 0 {
        return Head::Blank(blank);
    }
    match text {
        [] | [b'-' | b'/'] | [b'/', b'*'] | [b'/', b'*', b'M'] => return Head::Unfinished,
        [b'#', ..] | [b'-', b'-', ..] => return Head::LineComment,
        [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => {}
        [b'/', b'*', ..] => return Head::BlockComment,
        _ => {}
    }
    let mut cursor = Cursor { text, at: 0 };
    match cursor.head() {
        Ok(head) => head,
        Err(Stop::Unfinished) => Head::Unfinished,
        Err(Stop::Other) => Head::Other,
    }
}

/// Why a head is not read any further.
enum Stop {
    Unfinished,
    Other,
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn head(&mut self) -> Result<Head<'a>, Stop> {
        match self.word()?.as_str() {
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "SET" => self.set(),
            "DELIMITER" => self.delimiter(),
            _ => Err(Stop::Other),
        }
    }

    fn create(&mut self) -> Result<Head<'a>, Stop> {
        loop {
            match self.word()?.as_str() {
                "OR" if self.word()? == "REPLACE" => {}
                "ALGORITHM" => {
                    self.expect(b'=')?;
                    self.word()?;
                }
                "DEFINER" => {
                    self.expect(b'=')?;
                    self.blanks()?;
                    let start = self.at;
                    let account = self.account()?;
                    return Ok(Head::Definer { account, range: start..self.at });
                }
                _ => return Err(Stop::Other),
            }
        }
    }

    fn alter(&mut self) -> Result<Head<'a>, Stop> {
        if !matches!(self.word()?.as_str(), "DATABASE" | "SCHEMA") {
            return Err(Stop::Other);
        }
        self.blanks()?;
        let start = self.at;
        if let quote @ (b'`' | b'"') = self.peek()? {
            self.quoted(quote)?;
        } else {
            while !(self.peek()?.is_ascii_whitespace() || matches!(self.peek()?, b';' | b'*' | b'/')) {
                self.at += 1;
            }
            let bare = &self.text[start..self.at];
            let is_word = |word: &&str| bare.eq_ignore_ascii_case(word.as_bytes());
            if bare.is_empty() || OF_THE_DEFAULT_DATABASE.iter().any(is_word) {
                return Err(Stop::Other);
            }
        }
        Ok(Head::AlterDatabase { range: start..self.at })
    }

    /// Reads `'user'@'host'` with quotes of any kind, or none; or the name of a role.
    fn account(&mut self) -> Result<Account, Stop> {
        let quoted = matches!(self.peek()?, b'`' | b'\'' | b'"');
        let user = self.name()?;
        if !quoted && user.eq_ignore_ascii_case("CURRENT_USER") {
            return Err(Stop::Other);
        }
        let host = if self.peek()? == b'@' {
            self.at += 1;
            self.name()?
        } else {
            String::new()
        };
        Ok(Account { user, host })
    }

    fn name(&mut self) -> Result<String, Stop> {
        let name = match self.peek()? {
            quote @ (b'`' | b'\'' | b'"') => self.quoted(quote)?,
            _ => self.bare()?,
        };
        String::from_utf8(name).map_err(|_| Stop::Other)
    }

    fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, Stop> {
        let mut name = Vec::new();
        loop {
            self.at += 1;
            match self.peek()? {
                byte if byte == quote => {
                    self.at += 1;
                    if self.peek()? != quote {
                        return Ok(name);
                    }
                    name.push(quote);
                }
                // None of our programs escapes anything here.
                b'\\' if quote != b'`' => return Err(Stop::Other),
                byte => name.push(byte),
            }
        }
    }

    fn bare(&mut self) -> Result<Vec<u8>, Stop> {
        let mut name = Vec::new();
        loop {
            let byte = self.peek()?;
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.' | b'-' | b'%')) {
                return if name.is_empty() { Err(Stop::Other) } else { Ok(name) };
            }
            name.push(byte);
            self.at += 1;
        }
    }

    fn set(&mut self) -> Result<Head<'a>, Stop> {
        if self.word()? != "SQL_MODE" {
            return Err(Stop::Other);
        }
        self.expect(b'=')?;
        self.blanks()?;
        if self.peek()? != b'\'' {
            return Ok(Head::SqlMode { plain_backslashes: false, modes: None });
        }
        let start = self.at;
        let modes = self.name()?;
        let plain_backslashes = modes.split(',').any(|mode| mode == "NO_BACKSLASH_ESCAPES");
        Ok(Head::SqlMode { plain_backslashes, modes: Some((modes, start..self.at)) })
    }

    fn delimiter(&mut self) -> Result<Head<'a>, Stop> {
        let rest = &self.text[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Err(Stop::Unfinished) };
        Ok(Head::Delimiter { word: rest[..end].trim_ascii(), length: self.at + end + 1 })
    }

    /// Reads a word in capitals.
    fn word(&mut self) -> Result<String, Stop> {
        self.blanks()?;
        let mut word = String::new();
        loop {
            let byte = self.peek()?;
            if !(byte.is_ascii_alphanumeric() || byte == b'_') {
                break;
            }
            word.push(char::from(byte.to_ascii_uppercase()));
            self.at += 1;
        }
        if word.is_empty() { Err(Stop::Other) } else { Ok(word) }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Stop> {
        self.blanks()?;
        if self.peek()? != wanted {
            return Err(Stop::Other);
        }
        self.at += 1;
        Ok(())
    }

    /// Skips blanks, and the beginnings and ends of comments that are code.
    fn blanks(&mut self) -> Result<(), Stop> {
        loop {
            match self.peek()? {
                byte if byte.is_ascii_whitespace() => self.at += 1,
                b'/' => {
                    let rest = &self.text[self.at..];
                    let opening =
                        [b"/*M!".as_slice(), b"/*!"].into_iter().find(|opening| rest.starts_with(opening));
                    match opening {
                        Some(opening) => self.at += opening.len(),
                        None if rest.len() < 4 => return Err(Stop::Unfinished),
                        None => return Err(Stop::Other),
                    }
                    while self.peek()?.is_ascii_digit() {
                        self.at += 1;
                    }
                }
                b'*' => match self.text.get(self.at + 1) {
                    Some(b'/') => self.at += 2,
                    Some(_) => return Err(Stop::Other),
                    None => return Err(Stop::Unfinished),
                },
                _ => return Ok(()),
            }
        }
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.text.get(self.at).copied().ok_or(Stop::Unfinished)
    }
}
