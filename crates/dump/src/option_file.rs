//! Option files for the clients of MySQL and MariaDB. Pure.
//!
//! The grammar (MySQL reference manual, "Using Option Files"): a value in quotation marks keeps its spaces
//! and `#`; backslash escapes are read inside of it; a line has at most some 4000 bytes, which the limits
//! of a target keep to.

use secrecy::SecretString;

/// An option file being written.
#[derive(Default)]
pub(crate) struct OptionFile {
    text: String,
}

impl OptionFile {
    /// Begins a group: the options that follow are read by the programs of that name.
    #[must_use]
    pub(crate) fn group(mut self, name: &str) -> Self {
        self.text.push('[');
        self.text.push_str(name);
        self.text.push_str("]\n");
        self
    }

    /// Adds an option with a value that may be any text without NUL.
    #[must_use]
    pub(crate) fn set(mut self, option: &str, value: &str) -> Self {
        self.text.push_str(option);
        self.text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                other => self.text.push(other),
            }
        }
        self.text.push_str("\"\n");
        self
    }

    /// Returns the text, which is as secret as what was put into it.
    pub(crate) fn finish(self) -> SecretString {
        self.text.into()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    #![expect(clippy::disallowed_methods, reason = "MariaDB's own reader is a program")]

    use std::io::Write;

    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    /// Lets MariaDB's own reader of option files read a value back.
    fn read_back(value: &str) -> Vec<u8> {
        let text = OptionFile::default().group("client").set("user", value).finish();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.expose_secret().as_bytes()).unwrap();
        let output = std::process::Command::new("my_print_defaults")
            .arg(format!("--defaults-file={}", file.path().display()))
            .arg("client")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let line = output.stdout.strip_prefix(b"--user=".as_slice()).unwrap();
        line.strip_suffix(b"\n".as_slice()).unwrap().to_vec()
    }

    #[test]
    fn a_file_looks_as_expected() {
        let text = OptionFile::default().group("client").set("host", "db").set("user", "a\"b\\c\nd").finish();
        insta::assert_snapshot!(text.expose_secret(), @r#"
        [client]
        host="db"
        user="a\"b\\c\nd"
        "#);
    }

    #[test]
    fn awkward_values_come_back_whole() {
        for value in [
            "",
            " leading and trailing ",
            "#not a comment",
            "a # b ; c",
            "it's",
            "\"quoted\"",
            "'single'",
            "back\\slash\\n \\s \\",
            "[client]",
            "line\nuser=evil\r\n\tend",
            "!include /etc/passwd",
            "--password=x",
            "pässwörd 😀",
        ] {
            assert_eq!(read_back(value), value.as_bytes(), "{value:?}");
        }
        let long = "\\\"".repeat(1000);
        assert_eq!(read_back(&long), long.as_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_value_comes_back_whole(value in "[^\0]{0,60}") {
            prop_assert_eq!(read_back(&value), value.as_bytes());
        }
    }
}
