//! Keeps the end of what a tool says, without the secrets in it.
//!
//! A tool may say anything, at any length, and may repeat what it was given. What is kept is bounded, and
//! the text that is shown has the password taken out in every form in which a tool is likely to write it.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

/// How much of the end of a tool's words is kept, in bytes.
const KEPT: usize = 8 * 1024;

/// A password below this length occurs in ordinary words; it is taken out only where it stands alone, since
/// a text full of holes would tell the password by what is missing.
const SHORT: usize = 4;

/// What stands in the place of a secret.
const MASK: &str = "***";

/// The words of a tool: the raw ones to decide by, and the ones to show.
pub(crate) struct Said {
    raw: String,
    shown: String,
}

impl Said {
    /// Returns the words as they were, for decisions only: they may hold the password.
    pub(crate) fn raw(&self) -> &str {
        &self.raw
    }

    /// Returns the words without secrets, on as few lines as they had, or that there were none.
    pub(crate) fn shown(&self) -> String {
        if self.shown.is_empty() { "it said nothing".to_owned() } else { self.shown.clone() }
    }

    /// Tells whether anything was said at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

/// The last bytes of a stream of words.
pub(crate) struct Tail {
    redactor: Redactor,
    bytes: VecDeque<u8>,
    dropped: bool,
}

impl Tail {
    /// Makes an empty tail for a tool that knows this password.
    pub(crate) fn new(password: Option<&SecretString>) -> Self {
        Self { redactor: Redactor::new(password), bytes: VecDeque::new(), dropped: false }
    }

    /// Adds words, forgetting the oldest ones beyond the limit.
    ///
    /// A little more than the limit is kept, so that a secret that is cut in two by the limit is still
    /// recognised.
    pub(crate) fn push(&mut self, words: &[u8]) {
        let limit = KEPT + self.redactor.longest();
        self.bytes.extend(&words[words.len().saturating_sub(limit)..]);
        self.dropped |= words.len() > limit;
        if self.bytes.len() > limit {
            self.bytes.drain(..self.bytes.len() - limit);
            self.dropped = true;
        }
    }

    /// Returns what was kept.
    pub(crate) fn said(&self) -> Said {
        let raw: Vec<u8> = self.bytes.iter().copied().collect();
        let skip = if self.dropped { self.redactor.longest() } else { 0 };
        let mut shown = String::from_utf8_lossy(&self.redactor.redact(&raw, skip)).trim().to_owned();
        if self.dropped {
            shown.insert_str(0, "[…] ");
        }
        Said { raw: String::from_utf8_lossy(&raw).into_owned(), shown }
    }
}

/// The forms of one secret, longest first.
struct Redactor {
    forms: Vec<Vec<u8>>,
    alone: bool,
}

impl Redactor {
    fn new(password: Option<&SecretString>) -> Self {
        let secret = password.map_or("", |password| password.expose_secret());
        let mut forms = if secret.is_empty() { Vec::new() } else { forms(secret) };
        forms.sort_by(|one, two| two.len().cmp(&one.len()).then_with(|| one.cmp(two)));
        forms.dedup();
        Self { forms, alone: secret.len() < SHORT }
    }

    /// Returns the length of the longest form.
    fn longest(&self) -> usize {
        self.forms.first().map_or(0, Vec::len)
    }

    /// Returns the text from `skip` on, with each form replaced; one that begins before `skip` and ends
    /// after it is replaced as well.
    fn redact(&self, raw: &[u8], skip: usize) -> Vec<u8> {
        let mut shown = Vec::with_capacity(raw.len());
        let mut at = 0;
        while at < raw.len() {
            let length = self.form_at(raw, at);
            if length == 0 {
                if at >= skip {
                    shown.push(raw[at]);
                }
                at += 1;
            } else {
                at += length;
                if at > skip {
                    shown.extend_from_slice(MASK.as_bytes());
                }
            }
        }
        shown
    }

    /// Returns the length of the form that begins here, 0 if none does.
    fn form_at(&self, raw: &[u8], at: usize) -> usize {
        let fits = |form: &&Vec<u8>| {
            let end = at + form.len();
            raw[at..].starts_with(form)
                && !(self.alone
                    && (at.checked_sub(1).is_some_and(|before| is_word(raw[before]))
                        || raw.get(end).is_some_and(|after| is_word(*after))))
        };
        self.forms.iter().find(fits).map_or(0, Vec::len)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Returns the ways in which programs write a text: as it is, quoted for SQL, for JSON or for an option
/// file, percent-encoded, in hexadecimal and in base64.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let percent = |keep: fn(u8) -> bool| -> String {
        bytes
            .iter()
            .map(|byte| if keep(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    let strict = percent(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let backslashed = secret.replace('\\', "\\\\");
    [
        secret.to_owned(),
        secret.replace('\'', "''"),
        secret.replace('"', "\"\""),
        backslashed.clone(),
        backslashed.replace('"', "\\\""),
        backslashed.replace('\'', "\\'"),
        backslashed.replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"),
        format!("{secret:?}").trim_matches('"').to_owned(),
        strict.replace("%20", "+"),
        strict.to_lowercase(),
        strict,
        hex.to_uppercase(),
        hex,
        STANDARD.encode(bytes),
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE_NO_PAD.encode(bytes),
    ]
    .into_iter()
    .filter(|form| !form.is_empty())
    .map(String::into_bytes)
    .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(password: &str, words: &[&str]) -> String {
        let mut tail = Tail::new(Some(&password.into()));
        for word in words {
            tail.push(word.as_bytes());
        }
        tail.said().shown
    }

    #[test]
    fn every_usual_form_is_taken_out() {
        let password = "pä'ss \"w\\rd%1";
        for form in forms(password) {
            let form = String::from_utf8_lossy(&form).into_owned();
            assert_eq!(shown(password, &["before ", &form, " after"]), "before *** after", "{form}");
        }
    }

    #[test]
    fn the_longest_form_wins() {
        assert_eq!(shown("it's", &["quoted 'it''s' and it's"]), "quoted '***' and ***");
    }

    #[test]
    fn a_short_password_is_taken_out_only_where_it_stands_alone() {
        assert_eq!(shown("a", &["access denied, a = 'a', banana"]), "access denied, *** = '***', banana");
    }

    #[test]
    fn no_password_and_no_words_are_fine() {
        assert_eq!(shown("", &["hello"]), "hello");
        let tail = Tail::new(None);
        assert!(tail.said().is_empty());
        assert_eq!(tail.said().shown(), "it said nothing");
    }

    #[test]
    fn a_flood_leaves_a_bounded_tail_without_halves_of_the_secret() {
        let mut tail = Tail::new(Some(&"hunter2-hunter2".into()));
        for _ in 0..100_000 {
            tail.push(b"hunter2-hunter2");
        }
        assert!(tail.bytes.len() <= KEPT + 64);
        let shown = tail.said().shown;
        assert!(shown.starts_with("[…] ***"), "{shown}");
        // The end is whole; what was cut at the beginning lies before the part that is shown.
        assert!(shown.ends_with("***"));
    }

    proptest! {
        #[test]
        fn what_is_kept_is_bounded_and_never_holds_the_password(
            password in "[a-zA-Z0-9 '\"\\\\%+/é-]{6,20}",
            pieces in proptest::collection::vec((0_usize..3, 0_usize..3000), 0..12),
        ) {
            let mut tail = Tail::new(Some(&password.as_str().into()));
            for (kind, length) in pieces {
                tail.push("é=".repeat(length / 2).as_bytes());
                if kind > 0 {
                    tail.push(password.as_bytes());
                    tail.push(b"; ");
                }
            }
            let shown = tail.said().shown;
            prop_assert!(!shown.contains(&password));
            prop_assert!(shown.len() <= 3 * (KEPT + 200));
        }
    }
}
