//! Takes the definers out of a dump of MySQL or MariaDB that the target does not have. Pure.
//!
//! A view, trigger, routine or event of a user who does not exist is made without a word, and fails
//! whenever it is used, or the next time when it is dumped; and naming another user than oneself takes a
//! right that hosted servers give to nobody. So such a clause becomes `DEFINER=CURRENT_USER`.
//!
//! Around code that was made while its database had another collation, the dump programs write `ALTER
//! DATABASE`, with the name of the database that was dumped: the only place where a dump names it. Elsewhere
//! there is none of that name, and on the server that it came from it is the one that has to be left alone.
//! So the name is taken out, by which the database is meant that the dump is loaded into.
//!
//! What must stay true: nothing else is changed, whatever is in rows, comments and the bodies of routines. A
//! clause is one only in the head of a statement, `CREATE … DEFINER=` or `ALTER DATABASE`, and where
//! statements begin is found as the client finds it, byte by byte: quotes, comments, the delimiter. A head
//! that is not understood passes as it is. Lines keep their numbers, and may have any length: only the head of a statement is ever held
//! back.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::{Bytes, BytesMut};

use crate::heads::{Head, read};
use crate::version::{Flavour, Version};

/// The longest head of a statement that is looked at, in bytes.
const LONGEST_HEAD: usize = 8 * 1024;

/// A blank to the client, which the standard library does not count as one.
const VERTICAL_TAB: u8 = 0x0b;

/// The most definers that are told one by one.
const MOST_TOLD: usize = 50;

/// A user on the hosts it may come from; a role has no host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Account {
    pub user: String,
    pub host: String,
}

impl Account {
    /// Hosts are the same in small and capital letters, users are not.
    pub(crate) fn normal(self) -> Self {
        Self { host: self.host.to_ascii_lowercase(), user: self.user }
    }
}

/// The definers that a target takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    /// Who exists, in their normal form; `None` when the target does not tell.
    pub known: Option<HashSet<Account>>,
    /// The user of the restore.
    pub own: Option<Account>,
    /// Whether it may name others than itself.
    pub may_name_others: bool,
}

impl Accounts {
    /// Tells why an account cannot be a definer; `None` when it can, or nothing is known against it.
    fn refuses(&self, account: &Account) -> Option<Refusal> {
        let account = &account.clone().normal();
        if self.own.as_ref() == Some(account) {
            return None;
        }
        if self.known.as_ref().is_some_and(|known| !known.contains(account)) {
            return Some(Refusal::Missing);
        }
        (!self.may_name_others).then_some(Refusal::NotAllowed)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Missing,
    NotAllowed,
}

/// Where in the dump the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before or in the head of a statement.
    Head,
    /// In a statement whose head has passed, or that has none of interest.
    Code,
    /// After so many bytes of the delimiter.
    Delimiter(usize),
    /// After a `-`, or after two.
    Dash(u8),
    /// After a `/`.
    Slash,
    /// After `/*`; after `/*M`, if so said.
    SlashStar { m: bool },
    /// Between quotes of this kind.
    Quoted(u8),
    /// After a backslash between quotes of this kind.
    Escaped(u8),
    /// In a comment to the end of the line.
    LineComment { in_statement: bool },
    /// In a comment between `/*` and `*/`; after a `*`, if so said.
    BlockComment { in_statement: bool, star: bool },
}

/// A dump on its way to a target.
#[derive(Debug)]
pub(crate) struct Definers {
    accounts: Accounts,
    place: Place,
    /// What ends a statement: so many semicolons.
    delimiter: usize,
    /// Whether a backslash is nothing special, as `NO_BACKSLASH_ESCAPES` wants it.
    plain_backslashes: bool,
    /// The dump does something that none of ours does; from here on it passes as it is.
    is_lost: bool,
    held: BytesMut,
    replaced: BTreeMap<(Refusal, Account), u64>,
    unknown_modes: &'static [&'static str],
    left_out: BTreeSet<String>,
    unnamed: u64,
}

impl Definers {
    /// Begins a dump.
    pub(crate) fn new(accounts: Accounts, target: &Version) -> Self {
        Self {
            accounts,
            place: Place::Head,
            delimiter: 1,
            plain_backslashes: false,
            is_lost: false,
            held: BytesMut::new(),
            replaced: BTreeMap::new(),
            unknown_modes: unknown_modes(target),
            left_out: BTreeSet::new(),
            unnamed: 0,
        }
    }

    /// Takes the name of their database out of definitions that go elsewhere on the same server, and nothing
    /// else; tells whether it was there.
    pub(crate) fn unnamed(code: Vec<u8>, server: &Version) -> (Vec<u8>, bool) {
        let mut all = Self::new(Accounts { known: None, own: None, may_name_others: true }, server);
        all.unknown_modes = &[];
        let mut text = all.push(&Bytes::from(code)).concat();
        text.extend_from_slice(&all.finish());
        (text, all.unnamed > 0)
    }

    /// Takes the next piece of the dump and returns what can be passed on.
    pub(crate) fn push(&mut self, piece: &Bytes) -> Vec<Bytes> {
        if self.is_lost {
            return vec![self.held.split().freeze(), piece.clone()];
        }
        let data = if self.held.is_empty() {
            piece.clone()
        } else {
            self.held.extend_from_slice(piece);
            self.held.split().freeze()
        };
        let mut passed = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < data.len() {
            if self.place != Place::Head {
                at = self.pass(&data, at);
                continue;
            }
            let window = &data[at..data.len().min(at + LONGEST_HEAD)];
            match read(window) {
                Head::Unfinished if window.len() == LONGEST_HEAD => self.place = Place::Code,
                Head::Unfinished => {
                    self.held.extend_from_slice(&data[at..]);
                    passed.push(data.slice(from..at));
                    return passed;
                }
                Head::Blank(length) => at += length,
                Head::LineComment => self.place = Place::LineComment { in_statement: false },
                Head::BlockComment => {
                    self.place = Place::BlockComment { in_statement: false, star: false };
                    at += 2;
                }
                Head::Delimiter { word, length } => {
                    at += length;
                    if word.is_empty() || word.iter().any(|byte| *byte != b';') {
                        self.is_lost = true;
                        break;
                    }
                    self.delimiter = word.len();
                }
                Head::SqlMode { plain_backslashes, modes } => {
                    self.plain_backslashes = plain_backslashes;
                    self.place = Place::Code;
                    if let Some((modes, range)) = modes
                        && let Some(known) = self.without_unknown(&modes)
                    {
                        passed.push(data.slice(from..at + range.start));
                        passed.push(known);
                        from = at + range.end;
                        at = from;
                    }
                }
                Head::Definer { account, range } => {
                    self.place = Place::Code;
                    if let Some(refusal) = self.accounts.refuses(&account) {
                        let (start, end) = (at + range.start, at + range.end);
                        passed.push(data.slice(from..start));
                        passed.push(current_user(&data[start..end]));
                        *self.replaced.entry((refusal, account)).or_default() += 1;
                        (from, at) = (end, end);
                    }
                }
                Head::AlterDatabase { range } => {
                    self.place = Place::Code;
                    let (start, end) = (at + range.start, at + range.end);
                    passed.push(data.slice(from..start));
                    passed.push(Bytes::from("\n".repeat(lines(&data[start..end]))));
                    self.unnamed += 1;
                    (from, at) = (end, end);
                }
                Head::Other => self.place = Place::Code,
            }
        }
        passed.push(data.slice(from..));
        passed
    }

    /// Leaves the modes out that the target does not know, if there are any.
    fn without_unknown(&mut self, modes: &str) -> Option<Bytes> {
        let is_unknown = |mode: &&str| self.unknown_modes.contains(mode);
        let left_out: Vec<&str> = modes.split(',').filter(is_unknown).collect();
        let known: Vec<&str> = modes.split(',').filter(|mode| !is_unknown(mode)).collect();
        if left_out.is_empty() {
            return None;
        }
        let known = Bytes::from(format!("'{}'", known.join(",")));
        self.left_out.extend(left_out.into_iter().map(str::to_owned));
        Some(known)
    }

    /// Returns what was held back.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// Tells what was changed.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = self.replaced.iter().take(MOST_TOLD).map(|((refusal, account), times)| {
            let why = match refusal {
                Refusal::Missing => "does not exist on the target",
                Refusal::NotAllowed => "may not be named by the user of the restore (SUPER or SET USER)",
            };
            format!(
                "the definer `{}`@`{}` {why}: {times} of its views, triggers, routines or events belong to the user of the restore",
                account.user, account.host
            )
        });
        let more = self.replaced.len().saturating_sub(MOST_TOLD);
        let more = (more > 0).then(|| format!("{more} more definers were replaced in the same way"));
        let modes = self.left_out.iter().map(|mode| {
            format!("the SQL mode {mode} of routines, which the target does not know, was left out")
        });
        let unnamed = (self.unnamed > 0).then(|| {
            "ALTER DATABASE, around code that was made while its database had another collation, was made to \
             alter the target instead of the database that was dumped"
                .to_owned()
        });
        told.chain(more).chain(modes).chain(unnamed).collect()
    }

    /// Passes bytes up to the end of the statement or comment, or of the data; returns where it stopped.
    fn pass(&mut self, data: &[u8], mut at: usize) -> usize {
        while at < data.len() {
            let byte = data[at];
            match self.place {
                Place::Head => return at,
                Place::Code => {
                    let Some(next) = data[at..].iter().position(|byte| is_special(*byte)) else {
                        return data.len();
                    };
                    at += next;
                    self.place = self.special(data[at]);
                }
                Place::Delimiter(before) if byte == b';' => {
                    let now = before + 1;
                    self.place = if now == self.delimiter { Place::Head } else { Place::Delimiter(now) };
                }
                Place::Dash(1) if byte == b'-' => self.place = Place::Dash(2),
                Place::Dash(2) if byte == b'-' => {}
                Place::Dash(2) if byte.is_ascii_whitespace() || byte == VERTICAL_TAB => {
                    self.place = Place::LineComment { in_statement: true };
                    continue;
                }
                Place::Slash if byte == b'*' => self.place = Place::SlashStar { m: false },
                // What is in `/*! … */` and `/*M! … */` is code.
                Place::SlashStar { .. } if byte == b'!' => self.place = Place::Code,
                Place::SlashStar { m: false } if byte == b'M' => self.place = Place::SlashStar { m: true },
                Place::SlashStar { .. } => {
                    self.place = Place::BlockComment { in_statement: true, star: false };
                    continue;
                }
                // It was none; this byte may begin something else.
                Place::Delimiter(_) | Place::Dash(_) | Place::Slash => {
                    self.place = Place::Code;
                    continue;
                }
                Place::Quoted(quote) => {
                    let ends = |byte: &u8| *byte == quote || *byte == b'\\';
                    let Some(next) = data[at..].iter().position(ends) else { return data.len() };
                    at += next;
                    if data[at] == quote {
                        self.place = Place::Code;
                    } else if !self.plain_backslashes && quote != b'`' {
                        self.place = Place::Escaped(quote);
                    }
                }
                Place::Escaped(quote) => self.place = Place::Quoted(quote),
                Place::LineComment { in_statement } => {
                    let Some(next) = data[at..].iter().position(|byte| *byte == b'\n') else {
                        return data.len();
                    };
                    at += next;
                    self.place = if in_statement { Place::Code } else { Place::Head };
                }
                Place::BlockComment { in_statement, star } => {
                    self.place = match byte {
                        b'/' if star && in_statement => Place::Code,
                        b'/' if star => Place::Head,
                        _ => Place::BlockComment { in_statement, star: byte == b'*' },
                    };
                }
            }
            at += 1;
        }
        at
    }

    /// Returns the place after a byte that means something in code.
    fn special(&self, byte: u8) -> Place {
        match byte {
            b';' if self.delimiter == 1 => Place::Head,
            b';' => Place::Delimiter(1),
            b'-' => Place::Dash(1),
            b'/' => Place::Slash,
            b'#' => Place::LineComment { in_statement: true },
            quote => Place::Quoted(quote),
        }
    }
}

/// Returns the SQL modes of other makes and releases that change nothing in a routine, but that this target
/// refuses.
fn unknown_modes(target: &Version) -> &'static [&'static str] {
    match target.flavour {
        Flavour::Mysql if target.is_at_least(8, 0, 11) => &["NO_AUTO_CREATE_USER"],
        // It always does what this asks for.
        Flavour::Mariadb => &["TIME_TRUNCATE_FRACTIONAL"],
        Flavour::Mysql | Flavour::Postgresql | Flavour::OdbcSqlcmd | Flavour::GoSqlcmd | Flavour::Unknown => {
            &[]
        }
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b';' | b'-' | b'/' | b'#' | b'\'' | b'"' | b'`')
}

/// Writes the user who loads, on as many lines as what is replaced.
fn current_user(replaced: &[u8]) -> Bytes {
    Bytes::from(format!("CURRENT_USER{}", "\n".repeat(lines(replaced))))
}

/// Counts the ends of lines.
fn lines(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(user: &str, host: &str) -> Account {
        Account { user: user.to_owned(), host: host.to_owned() }
    }

    /// Only `kept` exists.
    fn accounts() -> Accounts {
        Accounts {
            known: Some([account("kept", "%")].into()),
            own: Some(account("me", "%")),
            may_name_others: true,
        }
    }

    fn passed(accounts: Accounts, text: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<String>) {
        let mut definers = Definers::new(accounts, &Version::of_mysql_server("8.0.36"));
        let mut rest = Bytes::copy_from_slice(text);
        let mut passed = Vec::new();
        for cut in cuts {
            let piece = rest.split_to((*cut).min(rest.len()));
            passed.extend(definers.push(&piece).concat());
        }
        passed.extend(definers.push(&rest).concat());
        passed.extend(definers.finish());
        (passed, definers.told())
    }

    fn text(dump: &str) -> String {
        String::from_utf8_lossy(&passed(accounts(), dump.as_bytes(), &[]).0).into_owned()
    }

    /// What the dump programs write, and have written.
    const CLAUSES: [&str; 7] = [
        "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=? SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS SELECT 1 */;\n",
        "DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=?*/ /*!50003 TRIGGER t BEFORE INSERT ON u FOR EACH ROW SET @a = ';' */;;\nDELIMITER ;\n",
        "DELIMITER ;;\n/*!50106 CREATE*/ /*!50117 DEFINER=?*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */ ;;\nDELIMITER ;\n",
        "DELIMITER ;;\nCREATE DEFINER=? PROCEDURE `p`()\nBEGIN\n  SELECT 1;\nEND ;;\nDELIMITER ;\n",
        "DELIMITER ;;\n/*!50003 CREATE*/ /*!50020 DEFINER=?*/ /*!50003 FUNCTION `f`() RETURNS int RETURN 1 */;;\nDELIMITER ;\n",
        "DELIMITER ;;\nCREATE OR REPLACE DEFINER=? AGGREGATE FUNCTION `f`() RETURNS int BEGIN END ;;\nDELIMITER ;\n",
        "create definer = ? view v as select 1;\n",
    ];

    #[test]
    fn missing_definers_are_replaced_in_all_that_the_dump_programs_write() {
        for clause in CLAUSES {
            for gone in
                ["`gone`@`%`", "`gone`@`10.0.0.%`", "'gone'@'%'", "`go``ne`@`%`", "gone@localhost", "`role`"]
            {
                assert_eq!(text(&clause.replace('?', gone)), clause.replace('?', "CURRENT_USER"), "{gone}");
            }
            for kept in ["`kept`@`%`", "`me`@`%`", "CURRENT_USER", "CURRENT_USER()"] {
                assert_eq!(text(&clause.replace('?', kept)), clause.replace('?', kept));
            }
        }
    }

    #[test]
    fn each_replaced_definer_is_told_with_how_often_it_was() {
        let dump =
            "CREATE DEFINER=`gone`@`%` VIEW a AS SELECT 1;\nCREATE DEFINER=`gone`@`%` VIEW b AS SELECT 1;\n";
        insta::assert_snapshot!(
            passed(accounts(), dump.as_bytes(), &[]).1.join("\n"),
            @"the definer `gone`@`%` does not exist on the target: 2 of its views, triggers, routines or events belong to the user of the restore"
        );
        let hosted = Accounts { known: None, may_name_others: false, ..accounts() };
        let (text, told) = passed(hosted, dump.as_bytes(), &[]);
        assert!(!String::from_utf8_lossy(&text).contains("gone"));
        assert!(told[0].contains("may not be named"), "{told:?}");
        let trusting = Accounts { known: None, ..accounts() };
        assert_eq!(passed(trusting, dump.as_bytes(), &[]), (dump.as_bytes().to_vec(), Vec::new()));
    }

    #[test]
    fn what_only_looks_like_a_definer_stays() {
        for dump in [
            "INSERT INTO t VALUES ('x;\nCREATE DEFINER=`gone`@`%` VIEW v AS SELECT 1;');\n",
            "INSERT INTO t VALUES ('it\\'s;\\nCREATE DEFINER=`gone`@`%` VIEW v');\n",
            "INSERT INTO t VALUES ('\\\\',';CREATE DEFINER=`gone`@`%` VIEW v');\n",
            "CREATE TABLE `;CREATE DEFINER=``gone``@``%`` VIEW` (v INT) COMMENT \";CREATE DEFINER=`gone`@`%`\";\n",
            "-- ;\n-- CREATE DEFINER=`gone`@`%` VIEW v;\n# CREATE DEFINER=`gone`@`%` VIEW v;\nSELECT 1;\n",
            "/* CREATE DEFINER=`gone`@`%` VIEW v; ' */ SELECT 1 -- ;CREATE DEFINER=`gone`@`%` VIEW v\n;\n",
            "DELIMITER ;;\nCREATE DEFINER=`kept`@`%` PROCEDURE p()\nBEGIN\n  SELECT 1;\nCREATE DEFINER=`gone`@`%` VIEW v AS SELECT 1;\nEND ;;\nDELIMITER ;\n",
            "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';\nSELECT '\\', 'CREATE DEFINER=`gone`@`%` VIEW v';\nSET sql_mode = @saved;\nSELECT '\\';CREATE DEFINER=`gone`@`%` VIEW v';\n",
            "CREATE TABLE definer (definer INT DEFAULT 1, CHECK (DEFINER=`gone`@`%`));\n",
            "DELIMITER $$\nCREATE DEFINER=`gone`@`%` VIEW v AS SELECT 1$$\n",
        ] {
            assert_eq!(text(dump), dump);
        }
    }

    #[test]
    fn modes_that_the_target_refuses_are_left_out_and_told() {
        let dump = "/*!50003 SET sql_mode              = 'STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER,NO_ZERO_DATE' */ ;\nSELECT 'NO_AUTO_CREATE_USER';\n";
        let (text, told) = passed(accounts(), dump.as_bytes(), &[7, 30]);
        assert_eq!(String::from_utf8_lossy(&text), dump.replacen("NO_AUTO_CREATE_USER,", "", 1));
        assert_eq!(
            told,
            ["the SQL mode NO_AUTO_CREATE_USER of routines, which the target does not know, was left out"]
        );
    }

    #[test]
    fn the_database_that_was_dumped_is_not_altered() {
        let dump = |name: &str| {
            format!(
                "ALTER DATABASE{name} CHARACTER SET latin1 COLLATE latin1_swedish_ci ;\nDELIMITER ;;;\n\
                 CREATE DEFINER=`kept`@`%` PROCEDURE p()\nBEGIN\n SELECT 1;\n\
                 ALTER DATABASE `inside` CHARACTER SET utf8mb4;;\n\
                 ALTER DATABASE `inside` COLLATE utf8mb4_bin;\nEND ;;;\nDELIMITER ;\n\
                 /*!50003 ALTER DATABASE{name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;\n\
                 INSERT INTO t VALUES ('\n;ALTER DATABASE `in a row` COLLATE utf8mb4_bin;\n');\n"
            )
        };
        for name in ["`sh``op; --`", "\"shop\"", "shop", "`character`", "`ü`", "shop$1"] {
            let named = dump(&format!(" {name}"));
            for cuts in [&[][..], &[18, 1, 1, 3], &[14; 40]] {
                let (text, told) = passed(accounts(), named.as_bytes(), cuts);
                assert_eq!(String::from_utf8_lossy(&text), dump(" "), "{name}");
                assert!(told.len() == 1 && told[0].starts_with("ALTER DATABASE"), "{told:?}");
            }
            let (text, is_named) =
                Definers::unnamed(named.clone().into_bytes(), &Version::of_mysql_server("8.0.36"));
            assert_eq!((String::from_utf8_lossy(&text).into_owned(), is_named), (dump(" "), true));
        }
        assert_eq!(text("ALTER DATABASE `a\nb`\nCOLLATE x;\n"), "ALTER DATABASE \n\nCOLLATE x;\n");
        assert_eq!(passed(accounts(), dump("").as_bytes(), &[]), (dump("").into_bytes(), Vec::new()));
    }

    #[test]
    fn a_name_with_a_line_break_leaves_the_lines_their_numbers() {
        let dump = "CREATE DEFINER=`go\nne`@`%` VIEW v AS SELECT 1;\n";
        assert_eq!(text(dump), "CREATE DEFINER=CURRENT_USER\n VIEW v AS SELECT 1;\n");
    }

    /// A text of what is awkward.
    fn awkward() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("CREATE DEFINER=`gone`@`%` VIEW v AS SELECT 1"),
            Just("/*!50013 DEFINER=`gone`@`%` */"),
            Just("DELIMITER ;;\n"),
            Just(";"),
            Just(";;"),
            Just("\n"),
            Just("'"),
            Just("\""),
            Just("`"),
            Just("\\"),
            Just("--"),
            Just("-- "),
            Just("#"),
            Just("/*"),
            Just("*/"),
            Just(" x "),
            Just("ü"),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// A statement, and what it has to become.
    fn statement() -> impl Strategy<Value = (String, String)> {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
        let row = awkward().prop_map(move |text| {
            let row = format!("INSERT INTO `t` VALUES (-1,'{}',0x00,NULL),('');\n", escaped(&text));
            (row.clone(), row)
        });
        let raw_row = awkward().prop_map(|text| {
            let row =
                format!("INSERT INTO `t` VALUES ('{}');\n", text.replace('\\', "\\\\").replace('\'', "''"));
            (row.clone(), row)
        });
        let name = awkward().prop_map(|text| {
            let table = format!("CREATE TABLE `{}` (v int);\n", text.replace('`', "``"));
            (table.clone(), table)
        });
        let comment = awkward().prop_map(|text| {
            let comment = format!("-- {}\n", text.replace('\n', " "));
            (comment.clone(), comment)
        });
        let clause = (0..CLAUSES.len(), any::<bool>()).prop_map(|(clause, is_gone)| {
            let (from, to) =
                if is_gone { ("`gone`@`%`", "CURRENT_USER") } else { ("`kept`@`%`", "`kept`@`%`") };
            (CLAUSES[clause].replace('?', from), CLAUSES[clause].replace('?', to))
        });
        let body = awkward().prop_map(move |text| {
            let body = |definer: &str| {
                format!(
                    "DELIMITER ;;\nCREATE DEFINER={definer} PROCEDURE `p`()\nBEGIN\n SET @a = '{}';\n-- {}\nEND ;;\nDELIMITER ;\n",
                    escaped(&text),
                    text.replace('\n', " "),
                )
            };
            (body("`gone`@`%`"), body("CURRENT_USER"))
        });
        prop_oneof![row, raw_row, name, comment, clause, body]
    }

    proptest! {
        #[test]
        fn definers_are_replaced_and_nothing_else_wherever_the_dump_is_cut(
            statements in proptest::collection::vec(statement(), 0..12),
            cuts in proptest::collection::vec(0_usize..200, 0..20),
        ) {
            let (dump, wanted): (String, String) = statements.into_iter().unzip();
            let (text, _) = passed(accounts(), dump.as_bytes(), &cuts);
            prop_assert_eq!(String::from_utf8_lossy(&text), wanted);
        }

        #[test]
        fn a_dump_without_missing_definers_passes_as_it_is(
            dump in proptest::collection::vec(any::<u8>(), 0..2000),
            awkward in awkward(),
            cuts in proptest::collection::vec(0_usize..200, 0..20),
        ) {
            let dump = [dump.as_slice(), awkward.as_bytes(), dump.as_slice()].concat();
            let everybody = Accounts { known: None, own: None, may_name_others: true };
            prop_assert_eq!(passed(everybody, &dump, &cuts), (dump.clone(), Vec::new()));
            // Whatever is there, cuts change nothing.
            prop_assert_eq!(passed(accounts(), &dump, &cuts), passed(accounts(), &dump, &[]));
        }
    }
}
